// A clock that moves only when told, or when somebody sleeps on it.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace coldshelf::test {

class SimClock final : public Clock {
 public:
  int64_t unix_ms() override { return 1'795'000'000'000 + now_ms_; }
  int64_t monotonic_ns() override { return (1'000'000 + now_ms_) * 1'000'000; }
  void sleep_ms(int64_t ms) override { now_ms_ += ms > 0 ? ms : 0; }
  void advance_ms(int64_t ms) { now_ms_ += ms; }
  int64_t elapsed_ms() const { return now_ms_; }

 private:
  std::atomic<int64_t> now_ms_{0};
};

}  // namespace coldshelf::test
