// How often what failed is tried again.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/result.h"

namespace coldshelf {

constexpr unsigned kPolicyAttempts = 5;

// After the `attempts`-th attempt: 1, 2, 4 ... 60 minutes.
inline int64_t policy_pause_ms(unsigned attempts) {
  return std::min<int64_t>(60'000LL << std::min(attempts > 0 ? attempts - 1 : 0, 10U), 3'600'000);
}

// Whether it is time for what was put off until `at_ms`. What is put off for longer than anything
// ever is was put off by a clock that was wrong.
inline bool policy_is_due(int64_t at_ms, int64_t now_ms) {
  constexpr int64_t kLongestMs = 2 * 3'600'000;
  return at_ms <= now_ms || at_ms - now_ms > kLongestMs;
}

// The gateway stops: nothing failed, and the next start goes on with it.
inline bool policy_is_stop(const Error& error) { return error.code == ErrorCode::cancelled; }

// Another attempt gives the same answer.
inline bool policy_is_final(const Error& error) {
  return error.code == ErrorCode::permission || error.code == ErrorCode::not_found ||
         error.code == ErrorCode::invalid_argument || error.code == ErrorCode::not_supported;
}

}  // namespace coldshelf
