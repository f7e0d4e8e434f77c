// Frames around the reader's position: decoded by workers, ahead of a sequential reader, in order.
// Used by one thread at a time (the cartridge's user).
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "tape/cartridge/frame_locator.h"

namespace coldshelf {

// One frame on its way to being decoded.
class FrameSlot {
 public:
  explicit FrameSlot(FrameLocation where) : location(std::move(where)) {}
  const FrameLocation location;

  bool ready() const;
  // Waits until it is decoded.
  const Result<DecodedFrame>& wait() const;
  void set(Result<DecodedFrame> result);

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable done_;
  std::optional<Result<DecodedFrame>> result_;
};

class ReadWindow {
 public:
  ReadWindow(CartridgeState& state, SegmentCache& cache, FrameLocator& locator)
      : state_(state), cache_(cache), locator_(locator) {}

  // The frame where object `block` begins, decoded or being decoded; it becomes the first of the
  // window.
  Result<std::shared_ptr<FrameSlot>> frame_of(uint32_t partition, uint64_t block);
  // The frame after the first `distance` ones of the window (parts of a split record).
  Result<std::shared_ptr<FrameSlot>> part(size_t distance);

  // The slot where `block` begins, if it is in the window.
  std::shared_ptr<FrameSlot> peek(uint32_t partition, uint64_t block) const;
  // All frames of the object at `block` are decoded, without error.
  bool is_ready(uint32_t partition, uint64_t block) const;

  // Forgets every frame: after an error, and when objects were dropped.
  void clear();

 private:
  std::optional<size_t> place_of(uint32_t partition, uint64_t block) const;
  void push(const FrameLocation& location);
  void extend();
  void prepare_following_segments(const FrameLocation& at);

  CartridgeState& state_;
  SegmentCache& cache_;
  FrameLocator& locator_;
  std::deque<std::shared_ptr<FrameSlot>> slots_;  // consecutive frames
  uint64_t ahead_bytes_ = 0;                      // how far to read ahead now
  std::optional<uint64_t> prepared_;              // segment whose followers were asked for
};

}  // namespace coldshelf
