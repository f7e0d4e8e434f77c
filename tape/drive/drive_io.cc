// Reading and writing (SSC-5 6.4, 6.8, 6.9, 7.x).
#include "tape/drive/drive_state.h"

namespace coldshelf {

Result<ReadOutcome> TapeDrive::read() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::reading);
  TRY(s.require_loaded());
  Result<TapeObject> object = s.cartridge->read(s.at);
  if (!object.ok()) {
    const ErrorCode code = object.error().code;
    if (code == ErrorCode::corrupt || code == ErrorCode::not_found || code == ErrorCode::io) {
      s.counters.read_errors.add(1);
      s.remember(object.error());
    }
    if (code == ErrorCode::corrupt || code == ErrorCode::not_found) TRY(s.skip_damaged());
    return std::move(object).error();
  }
  ReadOutcome out;
  switch (object->kind) {
    case TapeObject::Kind::record:
      out.kind = ReadOutcome::Kind::record;
      out.record = std::move(object->record);
      if (s.bytes_at) *s.bytes_at += out.record.size;
      s.counters.records_read.add(1);
      s.counters.bytes_to_initiator.add(out.record.size);
      break;
    case TapeObject::Kind::filemark:
      out.kind = ReadOutcome::Kind::filemark;
      break;
    case TapeObject::Kind::end_of_data:
      out.kind = ReadOutcome::Kind::end_of_data;
      break;
  }
  out.early_warning = s.behind(s.early_warning);
  return out;
}

// Behind the object that cannot be read. With its segment's index lost too, behind the segment: its
// objects cannot be told apart any more, and what follows must stay readable.
Status TapeDrive::State::skip_damaged() {
  Result<Position> next = cartridge->position_of(at.partition, at.block + 1);
  if (next.ok()) {
    jump_to(*next);
    return {};
  }
  const Manifest manifest = cartridge->manifest();
  if (const SegmentEntry* lost = manifest.find_block(at.partition, at.block)) {
    jump_to(Position{at.partition, lost->end_block(), lost->end_filemark()});
  }
  return {};
}

bool TapeDrive::read_is_ready() const {
  const State& s = *state_;
  const std::unique_lock lock(s.mutex, std::try_to_lock);
  return lock && s.loaded && s.cartridge->read_is_ready(s.at);
}

Result<WriteOutcome> TapeDrive::write(ByteView record) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::writing);
  TRY(s.prepare_write());
  TRY(s.learn_bytes());
  WriteOutcome out;
  const uint64_t before = *s.bytes_at;
  if (record.empty()) {  // SSC-5 6.8: nothing is transferred, which is no error
    out.early_warning = before >= s.early_warning;
    return out;
  }
  if (before > s.capacity || record.size() > s.capacity - before) {
    out.early_warning = true;
    out.volume_overflow = true;
    return out;
  }
  TRY(s.begin_change());
  Status written = s.cartridge->write_record(s.at, record);
  if (!written.ok()) return s.write_failed(std::move(written).error());
  s.wrote(1, record.size());
  s.counters.records_written.add(1);
  s.counters.bytes_from_initiator.add(record.size());
  out.early_warning = *s.bytes_at >= s.early_warning;
  const uint64_t zone = s.programmable_zone_start();
  out.programmable_early_warning =
      s.programmable_zone_bytes > 0 && before < zone && *s.bytes_at >= zone;
  return out;
}

bool TapeDrive::write_would_block(size_t record_bytes) const {
  const State& s = *state_;
  const std::unique_lock lock(s.mutex, std::try_to_lock);
  if (!lock) return true;
  if (!s.loaded) return false;  // refused at once
  return s.change_pending || !s.bytes_at || s.cartridge->write_would_block(record_bytes);
}

int64_t TapeDrive::write_hold_ms() const {
  const State& s = *state_;
  const std::unique_lock lock(s.mutex, std::try_to_lock);
  return lock && s.loaded ? s.cartridge->write_hold_ms() : 0;
}

Result<WriteOutcome> TapeDrive::write_filemarks(uint64_t count, bool immediate) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::writing);
  TRY(s.require_loaded());
  if (count > 0) {
    TRY(s.prepare_write());
    TRY(s.learn_bytes());
    TRY(s.begin_change());
    Status written = s.cartridge->write_filemarks(s.at, count);
    if (!written.ok()) return s.write_failed(std::move(written).error());
    s.wrote(count, 0);
    s.counters.filemarks_written.add(count);
  }
  // SSC-5 6.9: with IMMED=0 everything buffered is on the medium first, for a count of 0 too.
  if (!immediate) TRY(s.flush());
  WriteOutcome out;
  out.early_warning = s.behind(s.early_warning);
  return out;
}

Status TapeDrive::sync() {
  const std::lock_guard lock(state_->mutex);
  const State::Doing doing(*state_, DriveActivity::writing);
  TRY(state_->require_loaded());
  return state_->flush();
}

Status TapeDrive::erase() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::erasing);
  TRY(s.prepare_write());
  TRY(s.flush());
  if (s.at.block == s.cartridge->end_of_data(s.at.partition).block) return {};  // nothing follows
  if (s.worm) return Error(ErrorCode::write_protected, "WORM medium: nothing can be erased");
  TRY(s.begin_change());
  Status erased = s.cartridge->erase_from(s.at);
  if (!erased.ok()) return s.write_failed(std::move(erased).error());
  return {};
}

Status TapeDrive::set_property(const std::string& label, const std::string& name,
                               const std::string& value) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (!s.cartridge || s.cartridge->label() != label) {
    return Error(ErrorCode::conflict, "tape " + label + " is not in drive " +
                                          std::to_string(s.options.number) + " any more");
  }
  return s.cartridge->set_property(name, value);
}

Status TapeDrive::format_medium(const std::vector<uint64_t>& partition_capacities) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::erasing);
  TRY(s.writable());
  if (partition_capacities.empty() ||
      partition_capacities.size() > s.medium.load()->max_partitions) {
    return Error(ErrorCode::out_of_range, std::string(s.medium.load()->name) + " takes 1 to " +
                                              std::to_string(s.medium.load()->max_partitions) +
                                              " partitions, not " +
                                              std::to_string(partition_capacities.size()));
  }
  TRY(s.refuse_worm());
  ++s.history.initializations;
  s.change_pending = true;
  TRY(s.begin_change());
  Status formatted = s.cartridge->format(partition_capacities);
  if (!formatted.ok()) return s.write_failed(std::move(formatted).error());
  s.reset_after_format();
  return {};
}

Status TapeDrive::set_capacity(uint64_t capacity_bytes) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  TRY(s.writable());
  TRY(s.refuse_worm());
  TRY(s.begin_change());
  Status set = s.cartridge->set_capacity(capacity_bytes);
  if (!set.ok()) return s.write_failed(std::move(set).error());
  s.reset_after_format();
  return {};
}

// WORM cartridges keep the one partition and the size they were made with, as LTO's do.
Status TapeDrive::State::refuse_worm() const {
  if (!worm) return {};
  return Error(ErrorCode::write_protected, "WORM medium: it cannot be formatted");
}

}  // namespace coldshelf
