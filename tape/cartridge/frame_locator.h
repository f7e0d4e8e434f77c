// Finds objects: manifest or tail, then the segment's frame index.
#pragma once

#include <optional>

#include "tape/cartridge/cartridge_state.h"
#include "tape/cartridge/segment_cache.h"

namespace coldshelf {

struct FrameLocation {
  std::shared_ptr<SegmentFile> segment;
  size_t frame = 0;
  FrameIndexEntry entry;
  uint64_t visible_end = 0;  // first block of the partition that this segment does not show

  bool same_frame(const FrameLocation& other) const {
    return segment->sequence() == other.segment->sequence() && frame == other.frame;
  }
  // Block after the last one that ends in this frame, as far as it is visible.
  uint64_t end_block() const;
  // Holds the object, or its first part.
  bool starts(uint64_t block) const;
};

class FrameLocator {
 public:
  FrameLocator(CartridgeState& state, SegmentCache& cache) : state_(state), cache_(cache) {}

  // Where object `block` begins; it is in a file (committed). May read, and wait for the source.
  Result<FrameLocation> locate(uint32_t partition, uint64_t block);
  // Where filemark number `filemark` is; it is committed.
  Result<FrameLocation> locate_filemark(uint32_t partition, uint64_t filemark);
  // The frame after `at`, when it is known without reading; nullopt also at the end of data.
  std::optional<FrameLocation> next(const FrameLocation& at);

  // The sealed segments that follow `after_block`, at most `limit`.
  std::vector<SegmentEntry> upcoming(uint32_t partition, uint64_t after_block, size_t limit) const;
  // Plain bytes of a partition's sealed segments before the one with this sequence.
  uint64_t plain_bytes_before(uint32_t partition, uint64_t sequence);
  // After segments were dropped.
  void forget();

 private:
  // A tail segment, or the manifest's entry of a sealed one; neither: nothing there.
  struct Found {
    std::shared_ptr<SegmentFile> tail;
    std::optional<SegmentEntry> sealed;
  };
  Found find(uint32_t partition, uint64_t block) const;
  Result<std::shared_ptr<SegmentFile>> open(const Found& found);
  static Result<FrameLocation> at_frame(const Found& found, std::shared_ptr<SegmentFile> segment,
                                        std::optional<size_t> frame, const std::string& what);

  CartridgeState& state_;
  SegmentCache& cache_;
  struct {
    uint32_t partition = 0;
    size_t segment = 0;  // place in the partition's list
    uint64_t plain_bytes = 0;
  } prefix_;  // the last sum, under the state's mutex
};

}  // namespace coldshelf
