// Where each block of an image lies: in which segment ("slot", a number its user gives out), in
// which frame. In memory 12 bytes for an extent, ordered, in groups of 4096 blocks.
//
// A copy is a snapshot: it shares the groups until one of the two changes them. Not thread-safe;
// but copies may be read and dropped on other threads while the original changes.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "tape/format/image_frame.h"

namespace coldshelf {

class ExtentMap {
 public:
  struct Extent {
    BlockRange range;
    uint32_t slot = 0;
    uint32_t offset = 0;  // of the frame in its segment
    bool operator==(const Extent&) const = default;
  };
  // Told how many blocks of a slot are no longer mapped there.
  using Freed = std::function<void(uint32_t slot, uint64_t blocks)>;

  void insert(const BlockRange& range, uint32_t slot, uint32_t offset, const Freed& freed) {
    replace(range, true, slot, offset, freed);
  }
  void erase(const BlockRange& range, const Freed& freed) { replace(range, false, 0, 0, freed); }
  // Appends the mapped parts of `range` in order; at most `limit` of them.
  void find(const BlockRange& range, std::vector<Extent>& out, size_t limit = SIZE_MAX) const;
  // Length of the run at `block` that is mapped or not throughout, at most `limit`.
  uint64_t run_at(uint64_t block, uint64_t limit, bool& mapped) const;

  // A whole group, as a map file holds it; the group must have been empty.
  void set_group(uint64_t group, std::span<const MapEntry> entries);
  // Groups that hold something, in order. Stops at the first error.
  Status for_each_group(
      const std::function<Status(uint64_t group, std::span<const MapEntry>)>& use) const;

  uint64_t mapped_blocks() const { return mapped_blocks_; }
  uint64_t extent_count() const { return extent_count_; }
  uint64_t memory_bytes() const;

 private:
  using Leaf = std::vector<MapEntry>;
  static constexpr size_t kPageLeaves = 256;
  struct Page {
    std::array<std::shared_ptr<Leaf>, kPageLeaves> leaves;
  };

  void replace(const BlockRange& range, bool mapped, uint32_t slot, uint32_t offset,
               const Freed& freed);
  void replace_in(Leaf& leaf, uint32_t first, uint32_t end, bool mapped, uint32_t slot,
                  uint32_t offset, const Freed& freed);
  const Leaf* leaf_of(uint64_t group) const;
  Leaf* writable_leaf(uint64_t group, bool make);

  std::vector<std::shared_ptr<Page>> pages_;
  uint64_t mapped_blocks_ = 0;
  uint64_t extent_count_ = 0;
};

}  // namespace coldshelf
