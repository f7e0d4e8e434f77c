// The bandwidth schedule in force, which may be replaced while transfers run. Thread-safe.
#pragma once

#include <memory>
#include <mutex>

#include "uploader/cloud/bandwidth_schedule.h"

namespace coldshelf {

class LiveBandwidth {
 public:
  explicit LiveBandwidth(BandwidthSchedule schedule)
      : schedule_(std::make_shared<const BandwidthSchedule>(std::move(schedule))) {}

  BandwidthLimits at(int64_t unix_ms) const {
    std::shared_ptr<const BandwidthSchedule> now;
    {
      const std::lock_guard lock(mutex_);
      now = schedule_;
    }
    return now->at(unix_ms);
  }
  void replace(BandwidthSchedule schedule) {
    auto fresh = std::make_shared<const BandwidthSchedule>(std::move(schedule));
    const std::lock_guard lock(mutex_);
    schedule_ = std::move(fresh);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const BandwidthSchedule> schedule_;
};

}  // namespace coldshelf
