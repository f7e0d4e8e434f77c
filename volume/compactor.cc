#include "volume/compactor.h"

#include <algorithm>

#include "volume/map_file.h"

namespace coldshelf {

namespace {
// For a hundred bytes that users append: at the limit of what may be dead, and for each hundredth
// beyond it. What is needed is at most 150, and less the more is dead.
constexpr uint64_t kMovedAtLimit = 50;
constexpr uint64_t kMovedBeyondLimit = 10;
constexpr uint64_t kMostAllowedBytes = 4 * MiB;  // what is saved up
}  // namespace

Result<bool> Compactor::step(const Pinned& pinned) {
  if (source_) {  // a map may have given it back by now
    const std::lock_guard lock(state_.mutex);
    if (source_->segment->live_blocks == 0) source_.reset();
  }
  if (!source_) {
    ASSIGN_OR_RETURN(const std::set<SegmentId> needed, pinned());
    const auto segment = choose(needed);
    if (!segment) {
      users_seen_.reset();
      return false;
    }
    ASSIGN_OR_RETURN(SegmentIndex index, read_segment_index(state_.files, *segment));
    source_ = Source{segment, std::move(index)};
  }
  if (!may_move()) return false;
  {
    const std::lock_guard lock(
        state_.mutex);  // whoever waits for the sealer looks at it under this
    state_.moving = true;
  }
  state_.changed.notify_all();
  const Status done = move_some(*source_);
  state_.moving = false;
  if (!done.ok() || source_->next == source_->index.frames.size()) source_.reset();
  if (!done.ok()) return done.error();
  return true;
}

bool Compactor::may_move() {
  {
    const std::lock_guard lock(state_.mutex);
    const uint64_t moved = state_.counters.moved_bytes;
    const uint64_t users = state_.appended_bytes - moved;
    if (!users_seen_) {  // what was appended while there was nothing to do is not saved up
      allowed_bytes_ = 0;
      users_seen_ = users;
      moved_seen_ = moved;
    }
    allowed_bytes_ += (users - *users_seen_) * moved_per_100_ / 100 + granted_bytes_.exchange(0);
    allowed_bytes_ -= std::min(allowed_bytes_, moved - moved_seen_);
    allowed_bytes_ =
        std::min(allowed_bytes_, std::max(kMostAllowedBytes, state_.options.compact_bytes_per_s));
    users_seen_ = users;
    moved_seen_ = moved;
  }
  if (in_hurry_ > 0 || idle_since_ == uses_ || allowed_bytes_ >= kMaxFrameDataBytes) return true;
  const uint64_t missing = kMaxFrameDataBytes - allowed_bytes_;
  goes_on_at_ = state_.appended_bytes + missing * 100 / moved_per_100_;
  return false;
}

bool Compactor::used() {
  ++uses_;
  if (state_.appended_bytes < goes_on_at_) return false;
  return goes_on_at_.exchange(kNothingWaits) != kNothingWaits;
}

bool Compactor::tick() {
  const uint64_t uses = uses_;
  const bool idle = uses_at_tick_.exchange(uses) == uses;
  const bool idle_now = idle && idle_since_.exchange(uses) != uses;
  if (goes_on_at_ == kNothingWaits) return idle_now;  // blocks may have been freed since it looked
  granted_bytes_ = state_.options.compact_bytes_per_s;
  goes_on_at_ = kNothingWaits;
  return true;
}

// The sealed segment with the least that lives, when enough of all is dead; null: it does not pay.
std::shared_ptr<ImageSegment> Compactor::choose(const std::set<SegmentId>& pinned) {
  const std::lock_guard lock(state_.mutex);
  std::shared_ptr<ImageSegment> best;
  uint64_t live = 0;
  uint64_t total = 0;
  uint64_t dead_bytes = 0;
  uint64_t all_bytes = 0;
  for (const auto& segment : state_.slots) {
    if (!segment || !segment->own || !segment->sealed || pinned.contains(segment->id)) continue;
    all_bytes += segment->entry.stored_bytes;
    if (segment->live_blocks == 0) {  // a map alone gives it back
      dead_bytes += segment->entry.stored_bytes;
      continue;
    }
    live += segment->live_blocks;
    total += segment->total_blocks;
    const bool better = !best || segment->live_blocks * best->total_blocks <
                                     best->live_blocks * segment->total_blocks;
    if (better) best = segment;
  }
  if (dead_bytes > 4 * state_.options.segment_bytes && dead_bytes * 4 > all_bytes) {
    state_.map_wanted = true;
  }
  const uint64_t limit = state_.options.compact_percent;
  if (!best || (total - live) * 100 < total * limit) return nullptr;
  moved_per_100_ = kMovedAtLimit + kMovedBeyondLimit * ((total - live) * 100 / total - limit);
  const uint64_t dead = best->total_blocks - best->live_blocks;
  return dead * 100 >= best->total_blocks * limit ? best : nullptr;
}

// What is alive in the next frames of a segment: as much as one frame may hold, or what one large
// frame held.
Status Compactor::move_some(Source& source) {
  std::vector<Buffer> data;
  LogOp op;
  uint64_t gathered = 0;
  for (; source.next < source.index.frames.size(); ++source.next) {
    ASSIGN_OR_RETURN(const auto live, live_in(*source.segment, source.index.frames[source.next]));
    uint64_t bytes = 0;
    for (const ExtentMap::Extent& e : live) bytes += e.range.count * state_.block_bytes;
    if (gathered > 0 && gathered + bytes > kMaxFrameDataBytes) break;
    for (const ExtentMap::Extent& e : live) {
      const uint64_t size = e.range.count * state_.block_bytes;
      if (gathered > 0 && gathered + size > kMaxFrameDataBytes) {
        TRY(move(op));
        data.clear();
        gathered = 0;
      }
      Buffer& read = data.emplace_back(static_cast<size_t>(size));
      TRY(state_.reader.read(*source.segment, e.offset, source.segment->entry.stored_bytes, e.range,
                             read));
      op.moved.push_back({e.range, e.slot, e.offset, read});
      gathered += size;
    }
  }
  return move(op);
}

Result<std::vector<ExtentMap::Extent>> Compactor::live_in(const ImageSegment& segment,
                                                          const FrameIndexEntry& frame) {
  std::vector<ExtentMap::Extent> live;
  if (frame.kind != FrameKind::extents) return live;
  ASSIGN_OR_RETURN(const ImageReader::FrameInfo info,
                   state_.reader.read_info(segment, frame.offset, segment.entry.stored_bytes));
  {
    const std::lock_guard lock(state_.mutex);
    for (const BlockRange& range : info.table.ranges) state_.map.find(range, live);
  }
  std::erase_if(live, [&](const ExtentMap::Extent& e) {
    return e.slot != segment.slot || e.offset != frame.offset;
  });
  return live;
}

Status Compactor::move(LogOp& op) {
  if (op.moved.empty()) return {};
  std::sort(op.moved.begin(), op.moved.end(),
            [](const MovedPiece& a, const MovedPiece& b) { return a.range.first < b.range.first; });
  op.kind = LogOp::Kind::move;
  op.moved_frame = make_moved_frame(op.moved, state_);
  const Status done = writer_.run(op);
  op.moved.clear();
  op.done = false;
  op.status = {};
  return done;
}

}  // namespace coldshelf
