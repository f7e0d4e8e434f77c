// Time. Nothing outside base/ reads a clock or sleeps by itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace coldshelf {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t unix_ms() = 0;       // wall clock, milliseconds since 1970
  virtual int64_t monotonic_ns() = 0;  // never goes back
  virtual void sleep_ms(int64_t ms) = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t unix_ms() override;
  int64_t monotonic_ns() override;
  void sleep_ms(int64_t ms) override;
};

std::string format_utc(int64_t unix_ms);  // 2026-11-21T01:02:03.004Z

}  // namespace coldshelf
