// What the gateway measured of itself lately, for the console's charts: a sample every two seconds
// for an hour, and one a minute for a day. In memory only; for years there is /metrics.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace coldshelf {

struct HistorySample {
  int64_t unix_ms = 0;
  // Counted since the gateway's start.
  uint64_t initiator_written_bytes = 0, initiator_read_bytes = 0;
  uint64_t uploaded_bytes = 0, downloaded_bytes = 0;
  // Levels of the moment.
  uint64_t cache_bytes = 0, not_uploaded_bytes = 0, buffer_bytes = 0;
};

class History {
 public:
  static constexpr int64_t kFineMs = 2'000, kCoarseMs = 60'000;
  static constexpr size_t kFineSamples = 1'800, kCoarseSamples = 1'440;

  using Measure = std::function<HistorySample()>;  // called on the history's own thread
  History(Clock& clock, Measure measure) : clock_(clock), measure_(std::move(measure)) {}
  ~History() { stop(); }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  void start();
  void stop();    // no measuring afterwards; what there is stays
  void sample();  // what start() does every two seconds; a test calls it

  // Samples later than `after_ms`, oldest first.
  std::vector<HistorySample> since(int64_t after_ms, bool coarse) const;

 private:
  Clock& clock_;
  const Measure measure_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<HistorySample> fine_, coarse_;
  std::thread thread_;
};

}  // namespace coldshelf
