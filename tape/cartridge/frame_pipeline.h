// From closed frames to bytes in files, in order:
//
//   encode (workers, in parallel) -> write stage (one at a time, in order) -> hash stage (likewise)
//
// Whichever worker finishes the frame that is next in line drives the two stages, so that one
// frame is hashed while the following one is written, and the caller's thread does neither.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "tape/cartridge/cartridge_state.h"

namespace coldshelf {

class FramePipeline {
 public:
  // `segment_finished` is called on a worker after a segment's footer is written.
  FramePipeline(CartridgeState& state, std::function<void()> segment_finished)
      : state_(state), segment_finished_(std::move(segment_finished)) {}

  // Waits until `bytes` more may be taken over; the error of an earlier write comes back.
  Status wait_for_room(uint64_t bytes);
  bool would_block(uint64_t bytes) const;

  // Hands over a frame (`plain` null: filemarks). `after` is where the partition ends with it.
  void submit(const std::shared_ptr<SegmentFile>& segment, FrameHeader header,
              std::shared_ptr<const Buffer> plain, const PartitionEnd& after);
  // No more frames for this segment: footer and trailer follow its last one.
  void finish(const std::shared_ptr<SegmentFile>& segment);
  // What the segment will measure when all that was submitted is written, by the ratio seen so far.
  uint64_t expected_bytes(const SegmentFile& segment) const;
  // The same of everything that is not sealed.
  uint64_t unsealed_bytes() const;

  // Waits until everything submitted is written; with `hashed`, until segments are finished, too.
  Status drain(bool hashed);

 private:
  uint64_t expected_locked(const SegmentFile& segment) const;
  struct Item {
    std::shared_ptr<SegmentFile> segment;
    bool finish = false;
    bool ready = false;
    FrameHeader header;
    std::shared_ptr<const Buffer> plain;
    PartitionEnd after;
    uint64_t cost = 0;  // bytes of memory it holds
    EncodedFrame encoded;
    std::optional<Error> error;
    bool written = false;
  };
  void encode(Item& item);
  void pump();
  Status write(Item& item);
  void publish(Item& item, bool ok);  // under the state's mutex
  Status hash(Item& item);
  Status create_file(SegmentFile& segment);
  void start_writeback(SegmentFile& segment);

  CartridgeState& state_;
  const std::function<void()> segment_finished_;
  // Under the state's mutex:
  std::deque<std::shared_ptr<Item>> to_write_;
  std::deque<std::shared_ptr<Item>> to_hash_;
  bool writing_ = false;
  bool hashing_ = false;
  uint64_t pending_bytes_ = 0;
  double stored_per_plain_ = 1.0;
};

}  // namespace coldshelf
