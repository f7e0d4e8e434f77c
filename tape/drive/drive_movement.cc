// Moving over the medium (SSC-5 7.3 LOCATE, 7.11 SPACE, 7.12 REWIND). Only indexes are consulted,
// never data. A move first writes out what is buffered (SSC-5 4.2.10), so that an error of the data
// before comes back here, not after the position is lost.
#include "tape/drive/drive_state.h"

namespace coldshelf {

Result<DrivePosition> TapeDrive::position() const {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  TRY(s.require_loaded());
  DrivePosition out;
  out.at = s.at;
  out.beginning_of_partition = s.at.block == 0;
  out.end_of_partition = s.behind(s.early_warning);
  out.programmable_early_warning_zone =
      s.programmable_zone_bytes > 0 && s.behind(s.programmable_zone_start());
  out.buffered_objects = s.buffered_objects;
  out.buffered_bytes = s.buffered_bytes;
  return out;
}

Status TapeDrive::rewind() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::positioning);
  TRY(s.require_loaded());
  TRY(s.flush());
  // SSC-5 7.12: the beginning of the current partition.
  s.go_to(Position{s.at.partition, 0, 0});
  return {};
}

Result<LocateOutcome> TapeDrive::locate_block(uint32_t partition, uint64_t block) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::positioning);
  TRY(s.require_partition(partition));
  TRY(s.flush());
  const Position end = s.cartridge->end_of_data(partition);
  if (block >= end.block) {
    s.go_to(end);
    return block > end.block ? LocateOutcome::end_of_data : LocateOutcome::done;
  }
  ASSIGN_OR_RETURN(const Position target, s.cartridge->position_of(partition, block));
  s.go_to(target);
  return LocateOutcome::done;
}

Result<LocateOutcome> TapeDrive::locate_filemark(uint32_t partition, uint64_t filemark) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::positioning);
  TRY(s.require_partition(partition));
  TRY(s.flush());
  const Position end = s.cartridge->end_of_data(partition);
  if (filemark > end.filemark) {
    s.go_to(end);
    return LocateOutcome::end_of_data;
  }
  if (filemark == 0) {
    s.go_to(Position{partition, 0, 0});
    return LocateOutcome::done;
  }
  ASSIGN_OR_RETURN(const std::optional<uint64_t> block,
                   s.cartridge->filemark_block(partition, filemark - 1));
  if (!block) {
    return Error(ErrorCode::corrupt,
                 "filemark " + std::to_string(filemark - 1) + " is missing in the index");
  }
  s.go_to(Position{partition, *block + 1, filemark});
  return LocateOutcome::done;
}

Result<LocateOutcome> TapeDrive::locate_end_of_data(uint32_t partition) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::positioning);
  TRY(s.require_partition(partition));
  TRY(s.flush());
  s.go_to(s.cartridge->end_of_data(partition));
  return LocateOutcome::done;
}

bool TapeDrive::at_end_of_data() const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  return s.cartridge && s.at.block >= s.cartridge->end_of_data(s.at.partition).block;
}

void TapeDrive::lose_position() { state_->position_lost = state_->loaded.load(); }

bool TapeDrive::position_lost() const { return state_->position_lost; }

Result<SpaceOutcome> TapeDrive::space(SpaceCode code, int64_t count) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const State::Doing doing(s, DriveActivity::positioning);
  TRY(s.require_loaded());
  if (code != SpaceCode::end_of_data && count == 0) return SpaceOutcome{};
  TRY(s.flush());
  const bool forward = count > 0;
  const uint64_t n = forward ? static_cast<uint64_t>(count) : 0 - static_cast<uint64_t>(count);
  switch (code) {
    case SpaceCode::blocks:
      return forward ? s.space_blocks_forward(n) : s.space_blocks_backward(n);
    case SpaceCode::filemarks:
      return forward ? s.space_filemarks_forward(n) : s.space_filemarks_backward(n);
    case SpaceCode::sequential_filemarks:
      return forward ? s.space_sequential_forward(n) : s.space_sequential_backward(n);
    case SpaceCode::end_of_data:
      break;
  }
  s.go_to(s.cartridge->end_of_data(s.at.partition));
  return SpaceOutcome{};
}

Result<uint64_t> TapeDrive::State::filemark_block(uint64_t n) {
  ASSIGN_OR_RETURN(const std::optional<uint64_t> block, cartridge->filemark_block(at.partition, n));
  if (!block) {
    return Error(ErrorCode::corrupt, "filemark " + std::to_string(n) + " is missing in the index");
  }
  return *block;
}

// Told of it, the initiator knows where it is: `mt eod` comes here by filemarks, and what goes back
// from here goes back from a known place.
SpaceOutcome TapeDrive::State::stop_at_end_of_data(uint64_t residual) {
  go_to(cartridge->end_of_data(at.partition));
  return {SpaceOutcome::Stop::end_of_data, residual};
}

SpaceOutcome TapeDrive::State::stop_at_beginning(uint64_t residual) {
  jump_to(Position{at.partition, 0, 0});
  return {SpaceOutcome::Stop::beginning_of_partition, residual};
}

Result<SpaceOutcome> TapeDrive::State::space_blocks_forward(uint64_t count) {
  const Position end = cartridge->end_of_data(at.partition);
  if (at.filemark < end.filemark) {
    ASSIGN_OR_RETURN(const uint64_t mark, filemark_block(at.filemark));
    const uint64_t records = mark - at.block;  // before the filemark
    if (count > records) {
      jump_to(Position{at.partition, mark + 1, at.filemark + 1});
      return SpaceOutcome{SpaceOutcome::Stop::filemark, count - records};
    }
  }
  const uint64_t left = end.block - at.block;
  if (count > left) return stop_at_end_of_data(count - left);
  jump_to(Position{at.partition, at.block + count, at.filemark});
  return SpaceOutcome{};
}

Result<SpaceOutcome> TapeDrive::State::space_blocks_backward(uint64_t count) {
  if (at.filemark > 0) {
    ASSIGN_OR_RETURN(const uint64_t mark, filemark_block(at.filemark - 1));
    const uint64_t records = at.block - mark - 1;
    if (count > records) {
      jump_to(Position{at.partition, mark, at.filemark - 1});
      return SpaceOutcome{SpaceOutcome::Stop::filemark, count - records};
    }
  }
  if (count > at.block) return stop_at_beginning(count - at.block);
  jump_to(Position{at.partition, at.block - count, at.filemark});
  return SpaceOutcome{};
}

Result<SpaceOutcome> TapeDrive::State::space_filemarks_forward(uint64_t count) {
  const uint64_t ahead = cartridge->end_of_data(at.partition).filemark - at.filemark;
  if (count > ahead) return stop_at_end_of_data(count - ahead);
  const uint64_t last = at.filemark + count - 1;
  ASSIGN_OR_RETURN(const uint64_t mark, filemark_block(last));
  jump_to(Position{at.partition, mark + 1, last + 1});
  return SpaceOutcome{};
}

Result<SpaceOutcome> TapeDrive::State::space_filemarks_backward(uint64_t count) {
  if (count > at.filemark) return stop_at_beginning(count - at.filemark);
  const uint64_t target = at.filemark - count;
  ASSIGN_OR_RETURN(const uint64_t mark, filemark_block(target));
  jump_to(Position{at.partition, mark, target});
  return SpaceOutcome{};
}

// The first place ahead with `count` filemarks in a row. Each round looks at a run's far end first
// and then walks back: it either reaches the run's start or skips everything before the gap. At
// most two lookups for each filemark.
Result<SpaceOutcome> TapeDrive::State::space_sequential_forward(uint64_t count) {
  const uint64_t end = cartridge->end_of_data(at.partition).filemark;
  uint64_t first = at.filemark;
  while (count <= end - first) {
    const uint64_t last = first + count - 1;
    ASSIGN_OR_RETURN(const uint64_t last_block, filemark_block(last));
    uint64_t run = last;  // filemarks run..last are in a row
    while (run > first) {
      ASSIGN_OR_RETURN(const uint64_t block, filemark_block(run - 1));
      if (last_block - block != last - (run - 1)) break;
      --run;
    }
    if (run == first) {
      jump_to(Position{at.partition, last_block + 1, last + 1});
      return SpaceOutcome{};
    }
    first = run;
  }
  return stop_at_end_of_data(count);
}

Result<SpaceOutcome> TapeDrive::State::space_sequential_backward(uint64_t count) {
  uint64_t behind_last = at.filemark;  // the run must end before this filemark
  while (count <= behind_last) {
    const uint64_t first = behind_last - count;
    ASSIGN_OR_RETURN(const uint64_t first_block, filemark_block(first));
    uint64_t run = first;  // filemarks first..run are in a row
    while (run + 1 < behind_last) {
      ASSIGN_OR_RETURN(const uint64_t block, filemark_block(run + 1));
      if (block - first_block != run + 1 - first) break;
      ++run;
    }
    if (run + 1 == behind_last) {
      jump_to(Position{at.partition, first_block, first});
      return SpaceOutcome{};
    }
    behind_last = run + 1;
  }
  return stop_at_beginning(count);
}

}  // namespace coldshelf
