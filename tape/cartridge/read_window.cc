#include "tape/cartridge/read_window.h"

#include <algorithm>
#include <utility>

namespace coldshelf {

namespace {
// Segments that are named to the SegmentSource before the reader arrives there: it takes as many of
// the missing ones as it is set to.
constexpr size_t kSegmentsAhead = 16;
// Frames in the window at most: small frames (one filemark each) must not make it long.
constexpr size_t kMaxSlots = 64;
}  // namespace

bool FrameSlot::ready() const {
  const std::lock_guard lock(mutex_);
  return result_.has_value();
}

const Result<DecodedFrame>& FrameSlot::wait() const {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return result_.has_value(); });
  return *result_;
}

void FrameSlot::set(Result<DecodedFrame> result) {
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  done_.notify_all();
}

std::optional<size_t> ReadWindow::place_of(uint32_t partition, uint64_t block) const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const FrameLocation& at = slots_[i]->location;
    if (at.segment->partition() == partition && at.starts(block)) return i;
  }
  return std::nullopt;
}

std::shared_ptr<FrameSlot> ReadWindow::peek(uint32_t partition, uint64_t block) const {
  const auto place = place_of(partition, block);
  return place ? slots_[*place] : nullptr;
}

bool ReadWindow::is_ready(uint32_t partition, uint64_t block) const {
  const auto place = place_of(partition, block);
  if (!place) return false;
  for (size_t i = *place; i < slots_.size(); ++i) {
    if (!slots_[i]->ready() || !slots_[i]->wait().ok()) return false;
    if (!slots_[i]->location.entry.continues_next) return true;
  }
  return false;
}

Result<std::shared_ptr<FrameSlot>> ReadWindow::frame_of(uint32_t partition, uint64_t block) {
  if (const auto place = place_of(partition, block)) {
    if (*place > 0) {
      // Going forward through the window: read further ahead with each step, up to the limit.
      slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(*place));
      ahead_bytes_ = std::min(state_.options.read_ahead_bytes, std::max(2 * MiB, 2 * ahead_bytes_));
      extend();
    }
    return slots_.front();
  }
  const bool onward = !slots_.empty() &&
                      slots_.back()->location.segment->partition() == partition &&
                      slots_.back()->location.end_block() == block;
  ASSIGN_OR_RETURN(const FrameLocation location, locator_.locate(partition, block));
  slots_.clear();
  ahead_bytes_ =
      onward ? std::min(state_.options.read_ahead_bytes, std::max(2 * MiB, 2 * ahead_bytes_)) : 0;
  push(location);
  extend();
  return slots_.front();
}

Result<std::shared_ptr<FrameSlot>> ReadWindow::part(size_t distance) {
  while (slots_.size() <= distance) {
    const auto following = locator_.next(slots_.back()->location);
    if (!following) return Error(ErrorCode::corrupt, "the record's other parts are not there");
    push(*following);
  }
  return slots_[distance];
}

void ReadWindow::clear() {
  slots_.clear();
  ahead_bytes_ = 0;
  prepared_.reset();
}

void ReadWindow::push(const FrameLocation& location) {
  auto slot = std::make_shared<FrameSlot>(location);
  slots_.push_back(slot);
  state_.jobs.submit(*state_.env.workers, [this, slot] {
    const FrameLocation& at = slot->location;
    auto decoded =
        read_frame(*at.segment->file(), at.entry, at.segment->cipher(), *state_.env.buffers);
    if (!decoded.ok() && decoded.error().code == ErrorCode::unsupported_version) {
      // The segment is of a known version, and so are its frames: a damaged version field.
      decoded = Error(ErrorCode::corrupt, decoded.error().context);
    }
    if (decoded.ok()) {
      state_.stored_bytes_read += at.entry.header_size + at.entry.stored_size;
      // A frame of another place in the segment that fits the entry's numbers by chance.
      if (decoded->header.frame_index != at.frame) {
        decoded = Error(ErrorCode::corrupt, "frame number does not fit the index");
      }
    }
    slot->set(std::move(decoded));
  });
}

void ReadWindow::extend() {
  uint64_t bytes = 0;
  for (size_t i = 1; i < slots_.size(); ++i) bytes += slots_[i]->location.entry.plain_size;
  while (bytes < ahead_bytes_ && slots_.size() < kMaxSlots) {
    const auto following = locator_.next(slots_.back()->location);
    if (!following) break;
    bytes += following->entry.plain_size;
    push(*following);
  }
  prepare_following_segments(slots_.front()->location);
}

// The index of the segment after this one is loaded by a worker, so that the window can grow into
// it; the source hears of segments that are not here.
void ReadWindow::prepare_following_segments(const FrameLocation& at) {
  if (prepared_ == at.segment->sequence()) return;
  prepared_ = at.segment->sequence();
  auto next = locator_.upcoming(at.segment->partition(), at.visible_end, kSegmentsAhead);
  if (next.empty()) return;
  state_.jobs.submit(*state_.env.workers, [this, next = std::move(next)] {
    std::vector<SegmentEntry> missing;
    for (size_t i = 0; i < next.size(); ++i) {
      const std::string path = state_.sealed_path(next[i].sequence, next[i].epoch);
      const auto here = state_.env.files->exists(path);
      if (here.ok() && !*here) {
        missing.push_back(next[i]);
      } else if (i == 0) {
        // An error comes back when the reader gets there.
        static_cast<void>(cache_.load(next[i], false).ok());
      }
    }
    if (!missing.empty() && state_.env.source != nullptr) {
      state_.env.source->will_need(state_.uuid, missing);
    }
  });
}

}  // namespace coldshelf
