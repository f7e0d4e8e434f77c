// The pace of requests to a service with quotas: so many a second, fewer while the service says
// that it is too much. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>

namespace coldshelf {

class RateLimiter {
 public:
  // `per_second` > 0: the quota. `burst_ms`: what was not used may be made up for so long after.
  explicit RateLimiter(double per_second, int64_t burst_ms = 20);

  // The next free place: when, on the caller's monotonic clock, one request may go. It is taken.
  int64_t reserve(int64_t now_ns);
  // The service refused a request as too many: slower. Refusals that come together count as one.
  void refused(int64_t now_ns);
  // The pace now: the quota, or less after refusals; it comes back by a hundredth of the quota a
  // second.
  double per_second(int64_t now_ns) const;

 private:
  double rate_at(int64_t now_ns) const;  // mutex_ is held

  const double quota_;
  const int64_t burst_ns_;
  mutable std::mutex mutex_;
  int64_t next_ns_ = 0;
  double slowed_to_;  // at refused_ns_
  int64_t refused_ns_ = 0;
  bool ever_refused_ = false;
};

}  // namespace coldshelf
