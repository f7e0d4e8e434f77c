#include "uploader/cloud/rate_limiter.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {
constexpr double kSlower = 0.98;
constexpr double kSlowest = 0.02;             // of the quota
constexpr double kBackPerSecond = 0.01;       // of the quota
constexpr int64_t kTogetherNs = 100'000'000;  // refusals of requests that went out at one pace
}  // namespace

RateLimiter::RateLimiter(double per_second, int64_t burst_ms)
    : quota_(per_second), burst_ns_(burst_ms * 1'000'000), slowed_to_(per_second) {
  CHECK(per_second > 0 && burst_ms >= 0);
}

double RateLimiter::rate_at(int64_t now_ns) const {
  if (!ever_refused_) return quota_;
  const double seconds = static_cast<double>(std::max<int64_t>(0, now_ns - refused_ns_)) / 1e9;
  return std::min(quota_, slowed_to_ + seconds * kBackPerSecond * quota_);
}

int64_t RateLimiter::reserve(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  next_ns_ = std::max(next_ns_, now_ns - burst_ns_);
  const int64_t place = next_ns_;
  next_ns_ += static_cast<int64_t>(1e9 / rate_at(now_ns));
  return place;
}

void RateLimiter::refused(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (ever_refused_ && now_ns - refused_ns_ < kTogetherNs) return;
  slowed_to_ = std::max(rate_at(now_ns) * kSlower, quota_ * kSlowest);
  refused_ns_ = now_ns;
  ever_refused_ = true;
}

double RateLimiter::per_second(int64_t now_ns) const {
  const std::lock_guard lock(mutex_);
  return rate_at(now_ns);
}

}  // namespace coldshelf
