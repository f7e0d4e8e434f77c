#include "target/scsi/block_unit.h"

#include <algorithm>

#include "base/log.h"
#include "target/scsi/sbc_sanitize.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr uint64_t kIdleBufferBytes = 16 * MiB;
constexpr int64_t kComplaintInterval_ns = 1'000'000'000;

DeviceIdentity identity_of(const BlockUnitOptions& options) {
  DeviceIdentity id;
  id.device_type = 0x00;
  id.vendor = options.vendor;
  id.product = options.product;
  id.revision = options.revision;
  id.serial = options.serial;
  id.target_name = options.target_name;
  id.relative_target_port = options.relative_target_port;
  id.target_port_group = options.target_port_group;
  id.version_descriptors = {0x00A0, 0x0960, 0x0460, 0x04C0};  // SAM-5, iSCSI, SPC-4, SBC-3
  return id;
}

}  // namespace

Extent extent_of(ByteView cdb) {
  switch (cdb_length(get_byte(cdb, 0))) {
    case 6: {
      const uint64_t blocks = get_byte(cdb, 4);
      return {get_number(cdb, 1, 3) & 0x1FFFFF, blocks == 0 ? 256 : blocks, 4};
    }
    case 10:
      return {get_number(cdb, 2, 4), get_number(cdb, 7, 2), 7};
    case 12:
      return {get_number(cdb, 2, 4), get_number(cdb, 6, 4), 6};
    default:
      break;
  }
  switch (get_byte(cdb, 0)) {
    case 0x89:  // COMPARE AND WRITE
      return {get_number(cdb, 2, 8), get_byte(cdb, 13), 13};
    case 0x9C:  // WRITE ATOMIC
      return {get_number(cdb, 2, 8), get_number(cdb, 12, 2), 12};
    default:
      return {get_number(cdb, 2, 8), get_number(cdb, 10, 4), 10};
  }
}

BlockUnit::BlockUnit(BlockUnitOptions options)
    : DeviceServer(identity_of(options), options.clock),
      options_(std::move(options)),
      device_(options_.device),
      block_(device_->block_bytes()),
      max_transfer_blocks_(options_.max_transfer_bytes / block_),
      buffers_(BufferPool::create(kIdleBufferBytes)),
      write_cache_(options_.write_cache),
      seen_size_(device_->size_bytes()),
      sanitize_(std::make_unique<SanitizeJob>(device_.get(), options_.store, medium_)) {
  add_read_opcodes();
  add_write_opcodes();
  add_provisioning_opcodes();
  add_medium_opcodes();
  let_common_opcodes_overlap();
  add_mode_pages();
  add_vpd_pages();
  add_log_pages();
}

BlockUnit::~BlockUnit() = default;

Result<std::unique_ptr<BlockUnit>> BlockUnit::open(BlockUnitOptions options) {
  if (!options.device || options.device->block_bytes() == 0 ||
      options.device->size_bytes() < options.device->block_bytes())
    return Error(ErrorCode::invalid_argument, "a disk without blocks");
  std::unique_ptr<BlockUnit> unit(new BlockUnit(std::move(options)));
  if (UnitStore* store = unit->options_.store; store != nullptr) {
    TRY(unit->keep_state_in(store));
    unit->take_over_mode_pages();
    TRY(unit->sanitize_->resume());
  }
  return unit;
}

// -- hooks

// Any thread; commands may run beside this one.
void BlockUnit::before_command(const Command&) {
  const uint64_t size = device_->size_bytes();
  if (seen_size_.load(std::memory_order_relaxed) == size) return;
  if (seen_size_.exchange(size) != size) unit_attentions().raise_for_all(asc::capacity_changed);
}

std::optional<Sense> BlockUnit::not_ready_reason() {
  if (auto sense = sanitize_->condition()) return sense;
  if (!stopped_) return std::nullopt;
  Sense sense;
  sense.key = SenseKey::not_ready;
  sense.code = asc::initializing_command_required;
  return sense;
}

std::optional<Sense> BlockUnit::condition() { return sanitize_->condition(); }

void BlockUnit::finish_inquiry(Buffer& data) {
  put_number(data, 5, get_byte(data, 5) | 0x08U, 1);  // 3PC: third-party copy
  put_number(data, 1, 0x00, 1);                       // RMB: the medium is not removable
}

void BlockUnit::reset(ResetKind kind) {
  stopped_ = false;
  DeviceServer::reset(kind);
}

void BlockUnit::device_reset() { take_over_mode_pages(); }

bool BlockUnit::may_block(const Command& command) const {
  const ByteView cdb = command.cdb;
  const uint8_t opcode = get_byte(cdb, 0);
  const Extent extent = extent_of(cdb);
  const uint64_t capacity = capacity_blocks();
  const bool inside = extent.lba <= capacity && extent.blocks <= capacity - extent.lba &&
                      extent.blocks <= max_transfer_blocks_;
  switch (opcode) {
    case 0x08:  // READ
    case 0x28:
    case 0xA8:
    case 0x88:
      if (!inside) return false;
      return (opcode != 0x08 && (get_byte(cdb, 1) & 0x0A) != 0) ||
             device_->read_may_wait(offset_of(extent), bytes_of(extent));
    case 0x0A:  // WRITE, WRITE ATOMIC
    case 0x2A:
    case 0xAA:
    case 0x8A:
    case 0x9C:
      return inside &&
             (durable(cdb) || device_->write_may_wait(offset_of(extent), bytes_of(extent)));
    case 0x89:  // COMPARE AND WRITE, ORWRITE
    case 0x8B:
      return inside &&
             (durable(cdb) || device_->read_may_wait(offset_of(extent), bytes_of(extent)) ||
              device_->write_may_wait(offset_of(extent), bytes_of(extent)));
    default:
      return DeviceServer::may_block(command);
  }
}

// Commands that bring data for the medium, or have it copied: WRITE SAME, EXTENDED COPY.
int64_t BlockUnit::hold_ms(const Command& command) const {
  static constexpr uint8_t kWrites[] = {0x0A, 0x2A, 0xAA, 0x8A, 0x2E, 0xAE, 0x8E,
                                        0x41, 0x93, 0x89, 0x8B, 0x9C, 0x83};
  if (command.data_out.empty()) return 0;
  const uint8_t opcode = get_byte(command.cdb, 0);
  return std::ranges::find(kWrites, opcode) != std::end(kWrites) ? device_->write_hold_ms() : 0;
}

// -- what data commands have in common

std::optional<Sense> BlockUnit::refuse_medium(Access access) {
  if (auto sense = not_ready_reason()) return sense;
  if (access == Access::read) return std::nullopt;
  Sense sense;
  sense.key = SenseKey::data_protect;
  if (write_protected_) {
    sense.code = asc::software_write_protected;
    return sense;
  }
  if (!device_->read_only()) return std::nullopt;
  sense.code = asc::write_protected;
  return sense;
}

std::optional<Sense> BlockUnit::refuse(const Command& command, const Extent& extent, Access access,
                                       uint64_t max_blocks) {
  // RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT: there is no protection information (SBC-4 4.22).
  const bool six = cdb_length(get_byte(command.cdb, 0)) == 6;
  if (!six && (get_byte(command.cdb, 1) & 0xE0) != 0) return invalid_cdb_field(1, 7);
  if (auto sense = refuse_medium(access)) return sense;
  const uint64_t capacity = capacity_blocks();
  if (extent.lba > capacity || extent.blocks > capacity - extent.lba)
    return illegal_request(asc::logical_block_address_out_of_range);
  if (extent.blocks > max_blocks) return invalid_cdb_field(extent.count_byte, 7);
  return std::nullopt;
}

Reply BlockUnit::failed(const Error& error, Activity activity) const {
  Sense sense = sense_of(error, activity);
  // A thin disk without space left (SBC-4 4.7.3.6): initiators tell it from a broken medium.
  if (error.code == ErrorCode::no_space) {
    sense.key = SenseKey::data_protect;
    sense.code = asc::space_allocation_failed;
  }
  if (error.code == ErrorCode::invalid_argument || error.code == ErrorCode::out_of_range) {
    // Everything was checked before: the disk and we are not of one mind.
    sense.key = SenseKey::hardware_error;
    sense.code = asc::internal_target_failure;
  }
  // A disk that fails fails many commands at once: one line a second says it.
  const int64_t now = options_.clock->monotonic_ns();
  int64_t last = last_complaint_ns_.load(std::memory_order_relaxed);
  const bool worth_a_line =
      sense.key != SenseKey::not_ready && error.code != ErrorCode::cancelled &&
      now - last >= kComplaintInterval_ns && last_complaint_ns_.compare_exchange_strong(last, now);
  if (worth_a_line)
    log_warning("scsi", "a disk command failed",
                {{"target", identity().target_name}, {"error", error.message()}});
  return check(sense);
}

// FUA and FUA_NV, or no write cache: every write is durable before its status.
bool BlockUnit::durable(ByteView cdb) const {
  if (!write_cache_) return true;
  const uint8_t opcode = get_byte(cdb, 0);
  const bool has_fua = cdb_length(opcode) != 6;
  return has_fua && (get_byte(cdb, 1) & 0x0A) != 0;
}

Status BlockUnit::settle(bool durable) { return durable ? device_->flush() : Status(); }

}  // namespace coldshelf::scsi
