// SPACE, LOCATE, READ POSITION, REWIND, LOAD UNLOAD (SSC-5 clauses 5 and 6).
#include <algorithm>

#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

int64_t signed_24(uint64_t v) {
  const auto n = static_cast<int64_t>(v & 0xFFFFFF);
  return n >= 0x800000 ? n - 0x1000000 : n;
}

std::optional<SpaceCode> space_code(uint8_t code) {
  switch (code) {
    case 0:
      return SpaceCode::blocks;
    case 1:
      return SpaceCode::filemarks;
    case 2:
      return SpaceCode::sequential_filemarks;
    case 3:
      return SpaceCode::end_of_data;
    default:  // 4, 5: setmarks are obsolete
      return std::nullopt;
  }
}

// Why SPACE stopped early. Linux st works out file and block numbers from the residual, which is
// positive in both directions.
Sense space_stop(const SpaceOutcome& outcome) {
  Sense s;
  s.information = static_cast<int64_t>(outcome.residual);
  switch (outcome.stop) {
    case SpaceOutcome::Stop::filemark:
      s.code = asc::filemark_detected;
      s.filemark = true;
      break;
    case SpaceOutcome::Stop::end_of_data:
      s.key = SenseKey::blank_check;
      s.code = asc::end_of_data_detected;
      break;
    default:
      s.code = asc::beginning_of_partition_detected;
      s.end_of_medium = true;
      break;
  }
  return s;
}

uint64_t flags_of(const DrivePosition& p) {
  return (p.beginning_of_partition ? 0x80U : 0U) | (p.end_of_partition ? 0x40U : 0U) |
         (p.programmable_early_warning_zone ? 0x01U : 0U);
}

}  // namespace

void TapeUnit::add_position_opcodes() {
  const auto add = [this](OpcodeEntry e) { opcodes().add(std::move(e)); };
  const auto space_to = [this](const Command& c) { return space(c); };
  const auto locate_to = [this](const Command& c) { return locate(c); };
  add({.opcode = 0x11,
       .service_action = {},
       .name = "SPACE(6)",
       .usage = {0x11, 0x0F, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = space_to,
       .may_block = true,
       .recommended_timeout_s = 3000,
       .data_out = {}});
  add({.opcode = 0x91,
       .service_action = {},
       .name = "SPACE(16)",
       .usage = {0x91, 0x0F, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0x04},
       .handler = space_to,
       .may_block = true,
       .recommended_timeout_s = 3000,
       .data_out = {}});
  add({.opcode = 0x2B,
       .service_action = {},
       .name = "LOCATE(10)",
       .usage = {0x2B, 0x07, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0x04},
       .handler = locate_to,
       .may_block = true,
       .recommended_timeout_s = 3000,
       .data_out = {}});
  add({.opcode = 0x92,
       .service_action = {},
       .name = "LOCATE(16)",
       .usage = {0x92, 0x3B, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0,
                 0x04},
       .handler = locate_to,
       .may_block = true,
       .recommended_timeout_s = 3000,
       .data_out = {}});
  add({.opcode = 0x34,
       .service_action = {},
       .name = "READ POSITION",
       .usage = {0x34, 0x1F, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return read_position(c); },
       .data_out = {}});
  add({.opcode = 0x01,
       .service_action = {},
       .name = "REWIND",
       .usage = {0x01, 0x01, 0, 0, 0, 0x04},
       .handler = [this](const Command& c) { return rewind(c); },
       .may_block = true,
       .recommended_timeout_s = 1200,
       .data_out = {}});
  add({.opcode = 0x1B,
       .service_action = {},
       .name = "LOAD UNLOAD",
       .usage = {0x1B, 0x01, 0, 0, 0x0F, 0x04},
       .handler = [this](const Command& c) { return load_unload(c); },
       .may_block = true,
       .recommended_timeout_s = 1200,
       .data_out = {}});
}

// Before a move: that what was written is lost is a write error, not one of the move.
std::optional<Reply> TapeUnit::write_out() {
  const Status done = state_->drive->sync();
  if (done.ok()) return std::nullopt;
  return write_error(done.error(), std::nullopt);
}

Reply TapeUnit::space(const Command& command) {
  const bool sixteen = get_byte(command.cdb, 0) == 0x91;
  const auto code = space_code(static_cast<uint8_t>(get_byte(command.cdb, 1) & 0x0FU));
  if (!code) return check(invalid_cdb_field(1, 3));
  if (sixteen && get_number(command.cdb, 12, 2) != 0) return check(invalid_cdb_field(12, 7));
  const int64_t count = sixteen ? static_cast<int64_t>(get_number(command.cdb, 4, 8))
                                : signed_24(get_number(command.cdb, 2, 3));
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (const auto lost = write_out()) return *lost;
  auto outcome = state_->drive->space(*code, count);
  if (!outcome.ok()) {
    state_->note(outcome.error(), Activity::reading);
    return check(outcome.error(), Activity::reading);
  }
  if (outcome->stop == SpaceOutcome::Stop::done) return good();
  return check(space_stop(*outcome));
}

Reply TapeUnit::locate(const Command& command) {
  const bool sixteen = get_byte(command.cdb, 0) == 0x92;
  const uint8_t flags = get_byte(command.cdb, 1);
  const auto destination = static_cast<uint8_t>(sixteen ? (flags >> 3) & 0x07U : 0);
  const uint64_t id = sixteen ? get_number(command.cdb, 4, 8) : get_number(command.cdb, 3, 4);
  const bool change_partition = (flags & 0x02) != 0;
  if (destination == 2 || destination > 3) return check(invalid_cdb_field(1, 5));
  if (const auto sense = not_ready_reason()) return check(*sense);
  TapeDrive& drive = *state_->drive;
  if (const auto lost = write_out()) return *lost;
  const auto position = drive.position();
  if (!position.ok()) return check(position.error(), Activity::reading);
  const uint16_t partition_byte = sixteen ? 3 : 8;
  const uint32_t partition =
      change_partition ? get_byte(command.cdb, partition_byte) : position->at.partition;
  if (partition >= drive.partition_count()) return check(invalid_cdb_field(partition_byte, 7));
  auto outcome = destination == 0   ? drive.locate_block(partition, id)
                 : destination == 1 ? drive.locate_filemark(partition, id)
                                    : drive.locate_end_of_data(partition);
  if (!outcome.ok()) {
    state_->note(outcome.error(), Activity::reading);
    return check(outcome.error(), Activity::reading);
  }
  if (*outcome == LocateOutcome::done) return good();
  Sense sense;
  sense.key = SenseKey::blank_check;
  sense.code = asc::end_of_data_detected;
  return check(sense);
}

// Forms: 00h 01h short, 06h long, 08h extended (SSC-5 READ POSITION).
Reply TapeUnit::read_position(const Command& command) {
  const auto action = static_cast<uint8_t>(get_byte(command.cdb, 1) & 0x1FU);
  if (action != 0 && action != 1 && action != 6 && action != 8)
    return check(invalid_cdb_field(1, 4));
  if (const auto sense = not_ready_reason()) return check(*sense);
  const auto position = state_->drive->position();
  if (!position.ok()) return check(position.error(), Activity::other);
  const DrivePosition& p = *position;
  const uint64_t first = p.at.block;
  const uint64_t last = first - std::min(first, p.buffered_objects);
  Buffer out;
  WireWriter w(out);
  if (action == 6) {
    w.u8(flags_of(p)).zeros(3).u32(p.at.partition).u64(first).u64(p.at.filemark).u64(0);
    return data(std::move(out), 32);
  }
  if (action == 8) {
    w.u8(flags_of(p)).u8(p.at.partition).u16(28).u8(0);
    w.u24(std::min<uint64_t>(p.buffered_objects, 0xFFFFFF));
    w.u64(first).u64(last).u64(p.buffered_bytes);
    return data(std::move(out), get_number(command.cdb, 7, 2));
  }
  // LOLU and PERR: the numbers do not fit their fields (SSC-5 table 64).
  const bool unknown = first > UINT32_MAX;
  w.u8(flags_of(p) | (unknown ? 0x06U : 0U)).u8(p.at.partition).u16(0);
  w.u32(unknown ? 0 : first).u32(unknown ? 0 : last).u8(0);
  w.u24(std::min<uint64_t>(p.buffered_objects, 0xFFFFFF));
  w.u32(std::min<uint64_t>(p.buffered_bytes, UINT32_MAX));
  return data(std::move(out), 20);
}

Reply TapeUnit::rewind(const Command&) {
  if (const auto sense = not_ready_reason()) return check(*sense);
  // IMMED: there is nothing to wait for but the sync of what was written, whose failure is better
  // told here than as a deferred error.
  const Status done = state_->drive->rewind();
  if (!done.ok()) return write_error(done.error(), std::nullopt);
  return good();
}

Reply TapeUnit::load_unload(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 4);
  const bool load = (flags & 0x01) != 0;
  if (load && (flags & 0x04) != 0) return check(invalid_cdb_field(4, 2));  // EOT is for unloading
  TapeDrive& drive = *state_->drive;
  if (!drive.inserted()) return check(Error(ErrorCode::not_ready, "empty"), Activity::other);
  if (load) {
    const bool was_loaded = drive.loaded();
    const Status done = drive.load();  // at the beginning of partition 0, whichever it was in
    if (!done.ok()) {
      if (was_loaded) return write_error(done.error(), std::nullopt);  // of what was buffered
      if (drive.inserted()) state_->raise(TapeAlert::load_failure);
      return check(done.error(), Activity::moving);
    }
    // The initiator that asked for it knows; the others hear of the medium.
    if (drive.medium_generation() != state_->generation_seen) {
      before_command(command);
      unit_attentions().take(command.nexus->id);
    }
    return good();
  }
  if (prevented()) {
    state_->raise(TapeAlert::no_removal);
    return check(illegal_request(asc::medium_removal_prevented));
  }
  if (!drive.loaded()) return good();
  const Status done = drive.unload();
  if (!done.ok()) {
    state_->raise(TapeAlert::unload_failure);
    return write_error(done.error(), std::nullopt);
  }
  state_->alerts.reset();
  return good();
}

}  // namespace coldshelf::scsi
