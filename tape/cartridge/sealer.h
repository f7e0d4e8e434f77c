// Seals finished segments, strictly in sequence order, on Env::sealers while the writer goes on.
#pragma once

#include <memory>
#include <vector>

#include "tape/cartridge/cartridge_state.h"
#include "tape/cartridge/segment_cache.h"

namespace coldshelf {

// The manifest's line for a finished segment.
SegmentEntry entry_of(const SegmentFile& segment);

class Sealer {
 public:
  Sealer(CartridgeState& state, SegmentCache& cache) : state_(state), cache_(cache) {}

  // Starts sealing what is finished, unless that is under way. Any thread.
  void kick();
  // Waits until every finished segment is sealed, or the cartridge failed.
  Status drain();

 private:
  void run();
  std::vector<std::shared_ptr<SegmentFile>> next_batch();  // under the state's mutex
  Status seal(const std::vector<std::shared_ptr<SegmentFile>>& batch);

  CartridgeState& state_;
  SegmentCache& cache_;
  bool running_ = false;  // under the state's mutex
};

}  // namespace coldshelf
