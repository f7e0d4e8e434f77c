// READ, WRITE, VERIFY, WRITE FILEMARKS, ERASE, READ BLOCK LIMITS (SSC-5 clause 5).
#include <algorithm>

#include "base/log.h"
#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

constexpr uint8_t kFixed = 0x01;
constexpr uint8_t kSili = 0x02;

Sense stop_sense(SenseKey key, AdditionalSense code, uint64_t residual) {
  Sense s;
  s.key = key;
  s.code = code;
  s.information = static_cast<int64_t>(residual);
  return s;
}

// What ends a read (or a verify) other than a record, with the residual that was asked for.
Sense read_stop(ReadOutcome::Kind kind, uint64_t residual) {
  switch (kind) {
    case ReadOutcome::Kind::filemark: {
      Sense s = stop_sense(SenseKey::no_sense, asc::filemark_detected, residual);
      s.filemark = true;
      return s;
    }
    case ReadOutcome::Kind::end_of_data:
      return stop_sense(SenseKey::blank_check, asc::end_of_data_detected, residual);
    default: {
      Sense s = stop_sense(SenseKey::medium_error, asc::end_of_partition_detected, residual);
      s.end_of_medium = true;
      return s;
    }
  }
}

// Length of data-out of WRITE(6): none for what will be refused, so that nothing is solicited for
// it.
uint64_t write_length(ByteView cdb, uint64_t block_length) {
  const uint64_t length = get_number(cdb, 2, 3);
  if ((get_byte(cdb, 1) & kFixed) == 0) return length > kMaxBlockBytes ? 0 : length;
  const uint64_t bytes = length * block_length;
  return bytes > kMaxTransferBytes ? 0 : bytes;
}

void append_record(DataIn& to, const RecordData& record) {
  to.parts.insert(to.parts.end(), record.parts.begin(), record.parts.end());
  to.owners.insert(to.owners.end(), record.owners.begin(), record.owners.end());
  to.size += record.size;
}

bool aborted(const Command& command) { return command.aborted && command.aborted->load(); }

}  // namespace

void TapeUnit::add_data_opcodes() {
  const auto add = [this](OpcodeEntry e) { opcodes().add(std::move(e)); };
  add({.opcode = 0x08,
       .service_action = {},
       .name = "READ(6)",
       .usage = {0x08, 0x03, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return read6(c); },
       .may_block = true,
       .recommended_timeout_s = 1500,
       .data_out = {}});
  add({.opcode = 0x0A,
       .service_action = {},
       .name = "WRITE(6)",
       .usage = {0x0A, 0x01, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return write6(c); },
       .may_block = true,
       .recommended_timeout_s = 1500,
       .data_out = [this](ByteView cdb) { return write_length(cdb, state_->block_length); }});
  add({.opcode = 0x13,
       .service_action = {},
       .name = "VERIFY(6)",
       .usage = {0x13, 0x37, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return verify6(c); },
       .may_block = true,
       .recommended_timeout_s = 36000,
       .data_out = {}});
  add({.opcode = 0x10,
       .service_action = {},
       .name = "WRITE FILEMARKS(6)",
       .usage = {0x10, 0x01, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return write_filemarks(c); },
       .may_block = true,
       .recommended_timeout_s = 1500,
       .data_out = {}});
  add({.opcode = 0x80,
       .service_action = {},
       .name = "WRITE FILEMARKS(16)",
       .usage = {0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return write_filemarks(c); },
       .may_block = true,
       .recommended_timeout_s = 1500,
       .data_out = {}});
  add({.opcode = 0x05,
       .service_action = {},
       .name = "READ BLOCK LIMITS",
       .usage = {0x05, 0x01, 0, 0, 0, 0x04},
       .handler = [this](const Command& c) { return read_block_limits(c); },
       .rule = ReservationRule::allowed,
       .data_out = {}});
  add({.opcode = 0x19,
       .service_action = {},
       .name = "ERASE(6)",
       .usage = {0x19, 0x03, 0, 0, 0, 0x04},
       .handler = [this](const Command& c) { return erase(c); },
       .may_block = true,
       .recommended_timeout_s = 36000,
       .data_out = {}});
}

Reply TapeUnit::read_block_limits(const Command& command) {
  Buffer out;
  WireWriter w(out);
  if ((get_byte(command.cdb, 1) & 0x01) != 0) {  // MLOI: the maximum logical object identifier
    w.zeros(12).u64(UINT64_MAX);
    return data(std::move(out), 20);
  }
  w.u8(0).u24(kMaxBlockBytes).u16(1);
  return data(std::move(out), 6);
}

// -- READ

Reply TapeUnit::read6(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const bool fixed = (flags & kFixed) != 0;
  const bool sili = (flags & kSili) != 0;
  const uint64_t length = get_number(command.cdb, 2, 3);
  const uint64_t block = state_->block_length;
  if (fixed && (sili || block == 0)) return check(invalid_cdb_field(1, sili ? 1 : 0));
  if (fixed && length * block > kMaxTransferBytes) return check(invalid_cdb_field(2, 7));
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (length == 0) return good();
  return fixed ? read_fixed(length, command) : read_variable(length, sili);
}

Reply TapeUnit::read_variable(uint64_t length, bool sili) {
  auto outcome = state_->drive->read();
  if (!outcome.ok()) {
    state_->note(outcome.error(), Activity::reading);
    Sense sense = sense_of(outcome.error(), Activity::reading);
    sense.information = static_cast<int64_t>(length);
    return check(sense);
  }
  if (outcome->kind != ReadOutcome::Kind::record) return check(read_stop(outcome->kind, length));
  const uint64_t actual = outcome->record.size;
  Reply reply;
  append_record(reply.data, outcome->record);
  reply.data.truncate(length);
  if (actual == length) return reply;
  // SSC-5 READ(6): with SILI an overlength block is reported only when the block descriptor's
  // BLOCK LENGTH is not zero, an underlength block never.
  if (sili && (actual < length || state_->block_length == 0)) return reply;
  Sense sense;
  sense.incorrect_length = true;
  sense.information = static_cast<int64_t>(length) - static_cast<int64_t>(actual);
  return check_with_data(sense, std::move(reply.data));
}

Reply TapeUnit::read_fixed(uint64_t count, const Command& command) {
  DataIn data;
  const uint64_t block = state_->block_length;
  for (uint64_t done = 0; done < count; ++done) {
    if (aborted(command)) return check(Error(ErrorCode::cancelled, "task"), Activity::reading);
    auto outcome = state_->drive->read();
    if (!outcome.ok()) {
      state_->note(outcome.error(), Activity::reading);
      Sense sense = sense_of(outcome.error(), Activity::reading);
      sense.information = static_cast<int64_t>(count - done);
      return check_with_data(sense, std::move(data));
    }
    if (outcome->kind != ReadOutcome::Kind::record)
      return check_with_data(read_stop(outcome->kind, count - done), std::move(data));
    if (outcome->record.size != block) {
      // The block of another length is passed over and its data is not sent: the transfer ends
      // where INFORMATION says, at whole blocks.
      Sense sense;
      sense.incorrect_length = true;
      sense.information = static_cast<int64_t>(count - done);
      return check_with_data(sense, std::move(data));
    }
    append_record(data, outcome->record);
  }
  Reply reply;
  reply.data = std::move(data);
  return reply;
}

// -- VERIFY: a read that sends nothing

Reply TapeUnit::verify6(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const bool to_end = (flags & 0x20) != 0;        // VTE
  const bool by_filemarks = (flags & 0x10) != 0;  // VBF
  const bool fixed = (flags & kFixed) != 0;
  const uint64_t length = get_number(command.cdb, 2, 3);
  const uint64_t block = state_->block_length;
  if ((flags & 0x02) != 0) return check(invalid_cdb_field(1, 1));  // BYTCMP
  if ((flags & 0x08) != 0) return check(invalid_cdb_field(1, 3));  // VLBPM: no protection here
  if (to_end && by_filemarks) return check(invalid_cdb_field(1, 5));
  if (fixed && (block == 0 || to_end || by_filemarks)) return check(invalid_cdb_field(1, 0));
  if (const auto sense = not_ready_reason()) return check(*sense);
  const uint64_t wanted = to_end                    ? UINT64_MAX
                          : (fixed || by_filemarks) ? length
                          : length == 0             ? 0
                                                    : 1;
  for (uint64_t done = 0; done < wanted;) {
    if (aborted(command)) return check(Error(ErrorCode::cancelled, "task"), Activity::reading);
    auto outcome = state_->drive->read();
    const uint64_t residual = (fixed || by_filemarks) ? wanted - done : to_end ? 0 : length;
    if (!outcome.ok()) {
      state_->note(outcome.error(), Activity::reading);
      Sense sense = sense_of(outcome.error(), Activity::reading);
      if (!to_end) sense.information = static_cast<int64_t>(residual);
      return check(sense);
    }
    const auto kind = outcome->kind;
    if (to_end && kind == ReadOutcome::Kind::end_of_data) return good();
    if (kind == ReadOutcome::Kind::filemark && (to_end || by_filemarks)) {
      if (by_filemarks) ++done;
      continue;
    }
    if (kind != ReadOutcome::Kind::record) return check(read_stop(kind, residual));
    if (to_end || by_filemarks) continue;
    const uint64_t actual = outcome->record.size;
    if (actual != (fixed ? block : length)) {
      Sense sense;
      sense.incorrect_length = true;
      sense.information = fixed ? static_cast<int64_t>(residual)
                                : static_cast<int64_t>(length) - static_cast<int64_t>(actual);
      return check(sense);
    }
    ++done;
  }
  return good();
}

// -- WRITE

Reply TapeUnit::write_error(const Error& error, std::optional<uint64_t> residual) {
  state_->note(error, Activity::writing);
  Sense sense = sense_of(error, Activity::writing);
  if (state_->is_worm_overwrite(error)) sense.code = asc::worm_overwrite_attempted;
  if (residual) sense.information = static_cast<int64_t>(*residual);
  return check(sense);
}

// The warnings of a write that has been done, in the order of their weight (SSC-5 4.2.10).
std::optional<Sense> TapeUnit::write_warning(const WriteOutcome& outcome, uint64_t residual) {
  Sense sense;
  sense.information = static_cast<int64_t>(residual);
  sense.code = asc::end_of_partition_detected;
  sense.end_of_medium = true;
  if (outcome.volume_overflow) {
    sense.key = SenseKey::volume_overflow;
    return sense;
  }
  if (outcome.early_warning) return sense;
  if (!outcome.programmable_early_warning) return std::nullopt;
  sense.code = asc::programmable_early_warning;
  sense.end_of_medium = false;
  return sense;
}

// What is there must not go. After a restart the medium stands at its beginning, and whoever was
// writing takes that for the place where he was: Linux st, for one, writes a filemark on close
// (kernel commit 9604eea5bd3a tells of a gateway whose tapes it emptied). And append-only mode
// (SSC-5 4.2.24): writing is for the end of data, but where ALLOW OVERWRITE named the position.
std::optional<Sense> TapeUnit::overwrite_violation() {
  if (state_->drive->position_lost() && !state_->drive->at_end_of_data()) {
    log_warning("tape", "a write before the tape was positioned after a restart is refused",
                {{"tape", state_->drive->label()}});
    Sense sense;
    sense.key = SenseKey::medium_error;
    sense.code = asc::sequential_positioning_error;
    return sense;
  }
  if (!state_->append_only) return std::nullopt;
  const auto position = state_->drive->position();
  if (!position.ok()) return sense_of(position.error(), Activity::writing);
  if (state_->overwrite_allowed && *state_->overwrite_allowed == position->at) {
    state_->overwrite_allowed.reset();
    return std::nullopt;
  }
  if (state_->drive->at_end_of_data()) return std::nullopt;
  Sense sense;
  sense.key = SenseKey::data_protect;
  sense.code = asc::write_append_position_error;
  return sense;
}

Reply TapeUnit::write6(const Command& command) {
  const bool fixed = (get_byte(command.cdb, 1) & kFixed) != 0;
  const uint64_t length = get_number(command.cdb, 2, 3);
  const uint64_t block = fixed ? state_->block_length.load() : length;
  if (fixed && block == 0) return check(invalid_cdb_field(1, 0));
  if (block > kMaxBlockBytes || (fixed && length * block > kMaxTransferBytes))
    return check(invalid_cdb_field(2, 7));
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (const Status writable = state_->drive->check_writable(); !writable.ok())
    return write_error(writable.error(), length);
  if (length == 0) return good();
  if (const auto sense = overwrite_violation()) return check(*sense);
  const uint64_t count = fixed ? length : 1;
  WriteOutcome met;
  for (uint64_t done = 0; done < count; ++done) {
    const uint64_t residual = fixed ? count - done : length;
    auto outcome = state_->drive->write(command.data_out.subspan(done * block, block));
    if (!outcome.ok()) return write_error(outcome.error(), residual);
    met.early_warning |= outcome->early_warning;
    met.programmable_early_warning |= outcome->programmable_early_warning;
    if (outcome->volume_overflow) return check(*write_warning(*outcome, residual));
  }
  if (!state_->buffered) {  // unbuffered: on the medium before GOOD (SSC-5 8.3)
    if (const Status synced = state_->drive->sync(); !synced.ok())
      return write_error(synced.error(), length);
  }
  if (const auto sense = write_warning(met, 0)) return check(*sense);
  return good();
}

Reply TapeUnit::write_filemarks(const Command& command) {
  const bool sixteen = get_byte(command.cdb, 0) == 0x80;
  const uint8_t flags = get_byte(command.cdb, 1);
  const uint64_t count = get_number(command.cdb, sixteen ? 12 : 2, 3);
  if ((flags & 0x02) != 0) return check(invalid_cdb_field(1, 1));  // WSMK: setmarks are obsolete
  if ((flags & 0x0C) != 0) return check(invalid_cdb_field(1, 3));  // FCS, LCS: no explicit mode
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (count > 0) {
    if (const Status writable = state_->drive->check_writable(); !writable.ok())
      return write_error(writable.error(), count);
    if (const auto sense = overwrite_violation()) return check(*sense);
  }
  const bool immediate = (flags & 0x01) != 0;
  auto outcome = state_->drive->write_filemarks(count, immediate);
  if (!outcome.ok()) return write_error(outcome.error(), count);
  if (const auto sense = write_warning(*outcome, outcome->volume_overflow ? count : 0))
    return check(*sense);
  return good();
}

Reply TapeUnit::erase(const Command& command) {
  // IMMED and LONG change nothing: what follows is dropped at once. METHOD and SMD: secure erase,
  // which is not offered.
  if ((get_byte(command.cdb, 1) & 0x0C) != 0) return check(invalid_cdb_field(1, 3));
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (const Status writable = state_->drive->check_writable(); !writable.ok())
    return write_error(writable.error(), std::nullopt);
  if (const auto sense = overwrite_violation()) return check(*sense);
  if (const Status erased = state_->drive->erase(); !erased.ok())
    return write_error(erased.error(), std::nullopt);
  return good();
}

}  // namespace coldshelf::scsi
