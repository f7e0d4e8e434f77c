#include "volume/compactor.h"

#include <algorithm>

#include "base/log.h"
#include "volume/map_file.h"

namespace coldshelf {

namespace {
// For a hundred bytes that users append: at the limit of what may be dead, and for each hundredth
// beyond it. What is needed is at most 150, and less the more is dead.
constexpr uint64_t kMovedAtLimit = 50;
constexpr uint64_t kMovedBeyondLimit = 10;
constexpr uint64_t kMostAllowedBytes = 4 * MiB;  // what is saved up
// On a disk that is nearly full a segment that is this dead pays.
constexpr uint64_t kPercentOnShortDisk = 10;
// When as much is dead, a map that gives it back pays, and need not wait for more log.
constexpr uint64_t kDeadSegments = 4;
// After which what could not be read is tried again.
constexpr int64_t kSetAsideNs = 60'000'000'000;
}  // namespace

// While this thread, which seals, is in the log: it may have to write for others there, and nobody
// there may wait for the sealer.
class Compactor::Moving {
 public:
  explicit Moving(VolumeState& state) : state_(state) {
    {
      const std::lock_guard lock(state_.mutex);  // under which the waiters look at it
      state_.moving = true;
    }
    state_.changed.notify_all();
  }
  ~Moving() { state_.moving = false; }
  Moving(const Moving&) = delete;
  Moving& operator=(const Moving&) = delete;

 private:
  VolumeState& state_;
};

Result<bool> Compactor::step(const Pinned& pinned) {
  if (source_) {  // a map may have given it back by now
    const std::lock_guard lock(state_.mutex);
    if (source_->segment->live_blocks == 0) source_.reset();
  }
  if (!source_) return begin(pinned);
  if (!may_move()) return false;
  const auto segment = source_->segment;
  const Status done = move_some(*source_);
  if (!done.ok() || source_->next == source_->index.frames.size()) source_.reset();
  if (!done.ok()) return set_aside(*segment, done.error());
  return true;
}

Result<bool> Compactor::begin(const Pinned& pinned) {
  auto needed = pinned();
  if (!needed.ok()) {
    const std::lock_guard lock(state_.mutex);
    ++rests_;
    return std::move(needed).error();
  }
  if (state_.disk_short) state_.has_room_for_writes();  // perhaps no more
  const Choice choice = choose(*needed);
  if (choice.map_now) {
    const Moving moving(state_);
    TRY(writer_.end_with_map());
    return true;
  }
  if (!choice.segment) {
    users_seen_.reset();
    return false;
  }
  auto index = read_segment_index(state_.files, *choice.segment);
  if (!index.ok()) return set_aside(*choice.segment, index.error());
  source_ = Source{choice.segment, std::move(*index)};
  return true;
}

// The others go on, unless it is a matter of the disk, or of the store, which they need, too.
Result<bool> Compactor::set_aside(const ImageSegment& segment, const Error& why) {
  const bool of_segment = why.code != ErrorCode::no_space && state_.failed().ok();
  if (of_segment) {
    set_aside_[segment.id] = state_.env.cartridge.clock->monotonic_ns() + kSetAsideNs;
    if (why.disposition != Disposition::retry) {
      log_warning("volume", "a segment cannot be compacted",
                  {{"label", state_.label}, {"segment", segment.path}, {"error", why.message()}});
      return true;
    }
  }
  const std::lock_guard lock(state_.mutex);
  ++rests_;
  return why;
}

// Nobody waits for it, and somebody uses the disk.
bool Compactor::unhurried() const {
  return in_hurry_ == 0 && !state_.disk_short && idle_since_ != uses_;
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
  if (!unhurried() || allowed_bytes_ >= kMaxFrameDataBytes) return true;
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
  if (goes_on_at_ == kNothingWaits) {  // blocks may have been freed since it looked
    return idle_now || state_.disk_short;
  }
  granted_bytes_ = state_.options.compact_bytes_per_s;
  goes_on_at_ = kNothingWaits;
  return true;
}

// The sealed segment with the least that lives, when enough of all is dead.
Compactor::Choice Compactor::choose(const std::set<SegmentId>& pinned) {
  const int64_t now = state_.env.cartridge.clock->monotonic_ns();
  std::erase_if(set_aside_, [&](const auto& one) { return one.second <= now; });
  const std::lock_guard lock(state_.mutex);
  std::shared_ptr<ImageSegment> best;
  uint64_t live = 0;
  uint64_t total = 0;
  uint64_t dead_bytes = 0;
  uint64_t all_bytes = 0;
  std::shared_ptr<ImageSegment> last;
  for (const auto& segment : state_.slots) {
    if (!segment || !segment->own || !segment->sealed) continue;
    if (!last || last->id.sequence < segment->id.sequence) last = segment;
    if (pinned.contains(segment->id)) continue;
    all_bytes += segment->entry.stored_bytes;
    if (segment->live_blocks == 0) {  // a map alone gives it back
      dead_bytes += segment->entry.stored_bytes;
      continue;
    }
    if (set_aside_.contains(segment->id)) continue;
    live += segment->live_blocks;
    total += segment->total_blocks;
    const bool better = !best || segment->live_blocks * best->total_blocks <
                                     best->live_blocks * segment->total_blocks;
    if (better) best = segment;
  }
  if (last && last->live_blocks == 0 && !pinned.contains(last->id)) {  // but the last one stays
    dead_bytes -= last->entry.stored_bytes;
  }
  const bool scarce = state_.disk_short;
  const bool map_pays =
      dead_bytes > kDeadSegments * state_.options.segment_bytes && dead_bytes * 4 > all_bytes;
  if ((scarce && dead_bytes > 0) || (map_pays && !unhurried())) return {nullptr, true};
  if (map_pays) state_.map_wanted = true;
  const uint64_t limit =
      scarce ? std::min<uint64_t>(kPercentOnShortDisk, state_.options.compact_percent)
             : state_.options.compact_percent;
  const auto enough = [&](uint64_t lives, uint64_t of) { return (of - lives) * 100 >= of * limit; };
  if (!best || !enough(best->live_blocks, best->total_blocks) ||
      (!scarce && !enough(live, total))) {
    ++rests_;
    return {};
  }
  const uint64_t dead_percent = (total - live) * 100 / total;
  moved_per_100_ = kMovedAtLimit + kMovedBeyondLimit * (std::max(dead_percent, limit) - limit);
  return {best, false};
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
  const Moving moving(state_);
  const Status done = writer_.run(op);
  op.moved.clear();
  op.done = false;
  op.status = {};
  return done;
}

}  // namespace coldshelf
