// The commands of a disk (SBC-4 table 33), as data.
#include "target/scsi/block_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

using Usage = std::vector<uint8_t>;
constexpr uint8_t kControl = 0x04;        // NACA is looked at
constexpr uint32_t kLongTimeout_s = 600;  // what may touch all of the disk

// CDB usage data of the common formats: byte 1 as given, LBA, length, group number.
Usage usage6(uint8_t opcode) { return {opcode, 0x1F, 0xFF, 0xFF, 0xFF, kControl}; }
Usage usage10(uint8_t opcode, uint8_t flags) {
  return {opcode, flags, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0xFF, 0xFF, kControl};
}
Usage usage12(uint8_t opcode, uint8_t flags) {
  return {opcode, flags, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, kControl};
}
Usage usage16(uint8_t opcode, uint8_t flags) {
  Usage out(16, 0xFF);
  out[0] = opcode;
  out[1] = flags;
  out[14] = 0;
  out[15] = kControl;
  return out;
}

uint64_t bounded(uint64_t bytes, uint64_t limit) { return bytes <= limit ? bytes : 0; }

}  // namespace

Footprint BlockUnit::range(const Command& command, bool writes) const {
  const Extent e = extent_of(command.cdb);
  const uint64_t capacity = capacity_blocks();
  if (e.lba > capacity) return Footprint::nothing();  // will be refused
  // 0 blocks can mean all that follow (PRE-FETCH); nobody is harmed by that elsewhere.
  const uint64_t end = e.blocks == 0 ? capacity : e.lba + e.blocks;
  return writes ? Footprint::writes_to(e.lba, end) : Footprint::reads_from(e.lba, end);
}

// Longer transfers than the Block Limits page allows are refused: no data is asked for.
std::function<uint64_t(ByteView)> BlockUnit::blocks_of_data() const {
  return [this](ByteView cdb) {
    const Extent extent = extent_of(cdb);
    return extent.blocks <= max_transfer_blocks_ ? bytes_of(extent) : 0;
  };
}

void BlockUnit::add_read_opcodes() {
  const auto reads = [this](const Command& c) { return range(c, false); };
  struct Row {
    Usage usage;
    std::string_view name;
    Reply (BlockUnit::*handler)(const Command&);
    bool may_block;
    std::function<uint64_t(ByteView)> data_out;
  };
  const auto verify_data = [this](ByteView cdb) { return verify_data_length(cdb); };
  const Row rows[] = {
      {usage6(0x08), "READ(6)", &BlockUnit::read, true, {}},
      {usage10(0x28, 0xFA), "READ(10)", &BlockUnit::read, true, {}},
      {usage12(0xA8, 0xFA), "READ(12)", &BlockUnit::read, true, {}},
      {usage16(0x88, 0xFA), "READ(16)", &BlockUnit::read, true, {}},
      {usage10(0x2F, 0xF6), "VERIFY(10)", &BlockUnit::verify, true, verify_data},
      {usage12(0xAF, 0xF6), "VERIFY(12)", &BlockUnit::verify, true, verify_data},
      {usage16(0x8F, 0xF6), "VERIFY(16)", &BlockUnit::verify, true, verify_data},
      {usage10(0x34, 0x02), "PRE-FETCH(10)", &BlockUnit::prefetch, false, {}},
      {usage16(0x90, 0x02), "PRE-FETCH(16)", &BlockUnit::prefetch, false, {}},
  };
  for (const Row& row : rows)
    opcodes().add({.opcode = row.usage[0],
                   .service_action = {},
                   .name = row.name,
                   .usage = row.usage,
                   .handler = [this, h = row.handler](const Command& c) { return (this->*h)(c); },
                   .rule = ReservationRule::allowed_if_shared,
                   .may_block = row.may_block,
                   .data_out = row.data_out,
                   .footprint = reads});
}

void BlockUnit::add_write_opcodes() {
  const auto writes = [this](const Command& c) { return range(c, true); };
  struct Row {
    Usage usage;
    std::string_view name;
    Reply (BlockUnit::*handler)(const Command&);
    bool takes_short_data;
    std::function<uint64_t(ByteView)> data_out;
  };
  const auto blocks = blocks_of_data();
  const auto both = [this](ByteView cdb) {  // COMPARE AND WRITE
    return bounded(2 * bytes_of(extent_of(cdb)), options_.max_transfer_bytes);
  };
  Usage compare = usage16(0x89, 0xFA);
  compare[10] = compare[11] = compare[12] = 0;
  const Row rows[] = {
      {usage6(0x0A), "WRITE(6)", &BlockUnit::write, true, blocks},
      {usage10(0x2A, 0xFA), "WRITE(10)", &BlockUnit::write, true, blocks},
      {usage12(0xAA, 0xFA), "WRITE(12)", &BlockUnit::write, true, blocks},
      {usage16(0x8A, 0xFA), "WRITE(16)", &BlockUnit::write, true, blocks},
      {usage10(0x2E, 0xF6), "WRITE AND VERIFY(10)", &BlockUnit::write_and_verify, true, blocks},
      {usage12(0xAE, 0xF6), "WRITE AND VERIFY(12)", &BlockUnit::write_and_verify, true, blocks},
      {usage16(0x8E, 0xF6), "WRITE AND VERIFY(16)", &BlockUnit::write_and_verify, true, blocks},
      {usage16(0x9C, 0xFA), "WRITE ATOMIC(16)", &BlockUnit::write_atomic, false, blocks},
      {usage16(0x8B, 0xFA), "ORWRITE(16)", &BlockUnit::or_write, false, blocks},
      {std::move(compare), "COMPARE AND WRITE", &BlockUnit::compare_and_write, false, both},
  };
  for (const Row& row : rows)
    opcodes().add({.opcode = row.usage[0],
                   .service_action = {},
                   .name = row.name,
                   .usage = row.usage,
                   .handler = [this, h = row.handler](const Command& c) { return (this->*h)(c); },
                   .may_block = true,
                   .data_out = row.data_out,
                   .takes_short_data = row.takes_short_data,
                   .footprint = writes});
}

void BlockUnit::add_provisioning_opcodes() {
  const auto add = [this](OpcodeEntry e) { opcodes().add(std::move(e)); };
  const auto nothing = [](const Command&) { return Footprint::nothing(); };
  const auto writes = [this](const Command& c) { return range(c, true); };
  const auto one_block = [this](ByteView cdb) {  // NDOB: none
    const bool none = get_byte(cdb, 0) == 0x93 && (get_byte(cdb, 1) & 0x01) != 0;
    return none ? 0 : block_;
  };
  for (const Usage& usage : {usage10(0x41, 0xF8), usage16(0x93, 0xF9)})
    add({.opcode = usage[0],
         .service_action = {},
         .name = usage[0] == 0x41 ? "WRITE SAME(10)" : "WRITE SAME(16)",
         .usage = usage,
         .handler = [this](const Command& c) { return write_same(c); },
         .may_block = true,
         .recommended_timeout_s = kLongTimeout_s,
         .data_out = one_block,
         .footprint = writes});
  add({.opcode = 0x42,
       .service_action = {},
       .name = "UNMAP",
       .usage = {0x42, 0x01, 0, 0, 0, 0, 0, 0xFF, 0xFF, kControl},
       .handler = [this](const Command& c) { return unmap(c); },
       .may_block = true,
       .data_out = length_at(7, 2),
       .footprint = [this](const Command& c) { return unmap_footprint(c); }});
  for (const Usage& usage : {usage10(0x35, 0x02), usage16(0x91, 0x02)})
    add({.opcode = usage[0],
         .service_action = {},
         .name = usage[0] == 0x35 ? "SYNCHRONIZE CACHE(10)" : "SYNCHRONIZE CACHE(16)",
         .usage = usage,
         .handler = [this](const Command& c) { return synchronize_cache(c); },
         .may_block = true,
         .data_out = {},
         .footprint = nothing});
  add({.opcode = 0x25,
       .service_action = {},
       .name = "READ CAPACITY(10)",
       .usage = {0x25, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0x01, kControl},
       .handler = [this](const Command& c) { return read_capacity10(c); },
       .rule = ReservationRule::allowed,
       .data_out = {},
       .footprint = nothing});
  Usage service = usage16(0x9E, 0x10);
  service[14] = 0x01;
  add({.opcode = 0x9E,
       .service_action = uint16_t{0x10},
       .name = "READ CAPACITY(16)",
       .usage = service,
       .handler = [this](const Command& c) { return read_capacity16(c); },
       .rule = ReservationRule::allowed,
       .data_out = {},
       .footprint = nothing});
  service[1] = 0x12;
  service[14] = 0xFF;
  add({.opcode = 0x9E,
       .service_action = uint16_t{0x12},
       .name = "GET LBA STATUS(16)",
       .usage = service,
       .handler = [this](const Command& c) { return get_lba_status(c); },
       .rule = ReservationRule::allowed_if_shared,
       .may_block = true,
       .data_out = {},
       .footprint = nothing});
}

void BlockUnit::add_medium_opcodes() {
  const auto add = [this](OpcodeEntry e) { opcodes().add(std::move(e)); };
  const auto nothing = [](const Command&) { return Footprint::nothing(); };
  add({.opcode = 0x1B,
       .service_action = {},
       .name = "START STOP UNIT",
       .usage = {0x1B, 0x01, 0, 0x0F, 0xF7, kControl},
       .handler = [this](const Command& c) { return start_stop(c); },
       .may_block = true,
       .data_out = {}});
  add({.opcode = 0x37,
       .service_action = {},
       .name = "READ DEFECT DATA(10)",
       .usage = {0x37, 0, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, kControl},
       .handler = [this](const Command& c) { return read_defect_data(c); },
       .rule = ReservationRule::allowed_if_shared,
       .data_out = {},
       .footprint = nothing});
  add({.opcode = 0xB7,
       .service_action = {},
       .name = "READ DEFECT DATA(12)",
       .usage = {0xB7, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, kControl},
       .handler = [this](const Command& c) { return read_defect_data(c); },
       .rule = ReservationRule::allowed_if_shared,
       .data_out = {},
       .footprint = nothing});
  add({.opcode = 0x04,
       .service_action = {},
       .name = "FORMAT UNIT",
       .usage = {0x04, 0xFF, 0, 0, 0, kControl},
       .handler = [this](const Command& c) { return format_unit(c); },
       .may_block = true,
       .recommended_timeout_s = kLongTimeout_s,
       .data_out = [](ByteView cdb) -> uint64_t {  // FMTDATA, LONGLIST: the header, which is all
         const uint8_t flags = get_byte(cdb, 1);
         return (flags & 0x10) == 0 ? 0 : (flags & 0x20) == 0 ? 4 : 8;
       }});
  const auto sanitize_action = [&](uint8_t action, std::string_view name, bool has_list) {
    add({.opcode = 0x48,
         .service_action = action,
         .name = name,
         .usage = {0x48, static_cast<uint8_t>(0xA0 | action), 0, 0, 0, 0, 0, 0xFF, 0xFF, kControl},
         .handler = [this](const Command& c) { return sanitize(c); },
         .may_block = true,
         .recommended_timeout_s = kLongTimeout_s,
         .data_out = has_list ? length_at(7, 2) : nullptr,
         .footprint = nothing});
  };
  const bool blocks = device_->can_erase(BlockDevice::Erasure::blocks);
  const bool key = device_->can_erase(BlockDevice::Erasure::key);
  if (blocks) sanitize_action(0x01, "SANITIZE OVERWRITE", true);
  if (blocks) sanitize_action(0x02, "SANITIZE BLOCK ERASE", false);
  if (key) sanitize_action(0x03, "SANITIZE CRYPTOGRAPHIC ERASE", false);
  if (blocks || key) sanitize_action(0x1F, "SANITIZE EXIT FAILURE MODE", false);
  add({.opcode = 0x83,
       .service_action = uint16_t{0x00},
       .name = "EXTENDED COPY(LID1)",
       .usage = {0x83, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, kControl},
       .handler = [this](const Command& c) { return extended_copy(c); },
       .may_block = true,
       .recommended_timeout_s = kLongTimeout_s,
       .data_out = length_at(10, 4),
       .footprint = [this](const Command& c) { return copy_footprint(c); }});
  static constexpr struct {
    uint16_t action;
    std::string_view name;
  } results[] = {{0x00, "COPY STATUS(LID1)"},
                 {0x01, "RECEIVE DATA(LID1)"},
                 {0x03, "OPERATING PARAMETERS"},
                 {0x04, "FAILED SEGMENT DETAILS(LID1)"}};
  for (const auto& result : results)
    add({.opcode = 0x84,
         .service_action = result.action,
         .name = result.name,
         .usage = {0x84, static_cast<uint8_t>(0xE0 | result.action), 0xFF, 0, 0, 0, 0, 0, 0, 0,
                   0xFF, 0xFF, 0xFF, 0xFF, 0, kControl},
         .handler = [this](const Command& c) { return receive_copy_results(c); },
         .data_out = {},
         .footprint = nothing});
}

// Commands that only look, at what nothing but a command that runs alone changes, wait for nobody:
// a slow read does not hold up TEST UNIT READY.
void BlockUnit::let_common_opcodes_overlap() {
  static constexpr uint8_t lookers[] = {0x00,  // TEST UNIT READY
                                        0x03,  // REQUEST SENSE
                                        0x12,  // INQUIRY
                                        0x1A,  // MODE SENSE(6), (10)
                                        0x5A,
                                        0x4D,   // LOG SENSE
                                        0x5E,   // PERSISTENT RESERVE IN
                                        0xA0,   // REPORT LUNS
                                        0xA3};  // MAINTENANCE IN
  for (const uint8_t opcode : lookers)
    opcodes().adjust(opcode, [](OpcodeEntry& entry) {
      entry.footprint = [](const Command&) { return Footprint::nothing(); };
    });
  opcodes().adjust(0x5F, [this](OpcodeEntry& entry) {
    entry.may_block = options_.store != nullptr;  // APTPL
    // PREEMPT AND ABORT does not wait for those it ends, and a registration need not wait for
    // anybody; what takes or gives up a reservation comes after all that was sent before it.
    const uint16_t action = entry.service_action.value_or(0);
    if (action == 0 || action == 5 || action == 6)
      entry.footprint = [](const Command&) { return Footprint::nothing(); };
  });
  for (const uint8_t opcode : {uint8_t{0x15}, uint8_t{0x55}})  // MODE SELECT: WCE, SP
    opcodes().adjust(opcode, [](OpcodeEntry& entry) { entry.may_block = true; });
}

}  // namespace coldshelf::scsi
