// The sealed segments used last, with file and index; loads others from disk or the SegmentSource.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "tape/cartridge/cartridge_state.h"

namespace coldshelf {

class SegmentCache {
 public:
  explicit SegmentCache(CartridgeState& state) : state_(state) {}

  // Thread-safe. Null: not in the cache.
  std::shared_ptr<SegmentFile> find(uint64_t sequence);
  void insert(std::shared_ptr<SegmentFile> segment);
  void clear();

  // From the cache, or read. `may_fetch`: a file that is not here is waited for
  // (SegmentSource::fetch); otherwise not_found.
  Result<std::shared_ptr<SegmentFile>> load(const SegmentEntry& entry, bool may_fetch);

 private:
  Result<SegmentIndex> read_index(File& file, const SegmentEntry& entry) const;
  Result<SegmentIndex> salvage_index(File& file, const SegmentEntry& entry) const;

  CartridgeState& state_;
  std::mutex mutex_;
  std::list<std::shared_ptr<SegmentFile>> recent_;  // most recent first
};

}  // namespace coldshelf
