// The bandwidth schedule while the gateway runs: the configuration's, until one is set through the
// management API, which is kept in the catalog and wins from then on. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "catalog/catalog.h"
#include "uploader/cloud/live_bandwidth.h"

namespace coldshelf {

class BandwidthControl {
 public:
  static constexpr size_t kMaxIntervals = 20;

  static Result<std::unique_ptr<BandwidthControl>> open(Catalog& catalog,
                                                        std::vector<BandwidthRule> configured);

  // What transfers ask.
  std::shared_ptr<LiveBandwidth> live() const { return live_; }
  BandwidthLimits at(int64_t unix_ms) const { return live_->at(unix_ms); }

  // Intervals of days and times; where none holds, the constant limits do.
  std::vector<BandwidthRule> intervals() const;
  BandwidthLimits constant() const;
  Status set_intervals(std::vector<BandwidthRule> intervals);
  Status set_constant(const BandwidthLimits& limits);

 private:
  BandwidthControl(Catalog& catalog, std::vector<BandwidthRule> rules);
  Status replace(std::vector<BandwidthRule> intervals, const BandwidthLimits& constant);

  Catalog& catalog_;
  mutable std::mutex mutex_;
  std::vector<BandwidthRule> intervals_;
  BandwidthLimits constant_;
  std::shared_ptr<LiveBandwidth> live_;
};

}  // namespace coldshelf
