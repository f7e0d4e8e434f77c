#include "uploader/transfer_governor.h"

#include <algorithm>

namespace coldshelf {

namespace {
constexpr int64_t kNsPerMs = 1'000'000;
// A raise has paid when the rate grew by at least this part of what the places would promise.
constexpr double kPaid = 0.25;
constexpr double kAsGood = 0.97;  // fewer places do as well
// Crowded: transfers take so much longer than they could, and yet less arrives.
constexpr double kCrowdedLatency = 4.0;
constexpr double kCrowdedRate = 0.7;
constexpr double kForget = 1.02;  // the best latency ages, stores change
}  // namespace

bool is_overload(const Error& error) {
  return error.disposition == Disposition::retry &&
         (error.code == ErrorCode::unavailable || error.code == ErrorCode::timed_out);
}

TransferGovernor::TransferGovernor(Clock& clock, GovernorOptions options)
    : clock_(clock), options_(options) {
  limit_ = std::clamp(options_.initial, 1U, std::max(1U, options_.maximum));
  open_window(clock_.monotonic_ns());
}

void TransferGovernor::open_window(int64_t now_ns) {
  window_ = Window{};
  window_.began_ns = now_ns;
}

bool TransferGovernor::try_begin() {
  const std::lock_guard lock(mutex_);
  if (active_ >= limit_) {
    window_.saturated = true;
    return false;
  }
  // Time without any transfer says nothing of the store.
  if (active_ == 0 && window_.transfers == 0) open_window(clock_.monotonic_ns());
  ++active_;
  return true;
}

void TransferGovernor::abandon() {
  const std::lock_guard lock(mutex_);
  --active_;
}

void TransferGovernor::finish(uint64_t bytes, int64_t duration_ns) {
  const std::lock_guard lock(mutex_);
  --active_;
  window_.bytes += bytes;
  window_.busy_ns += duration_ns;
  ++window_.transfers;
  const int64_t now = clock_.monotonic_ns();
  const unsigned wanted = std::max(options_.window_transfers, limit_);
  if (window_.transfers < wanted || now - window_.began_ns < options_.window_ms * kNsPerMs) return;
  judge(now);
  open_window(now);
}

void TransferGovernor::overloaded() {
  const std::lock_guard lock(mutex_);
  const int64_t now = clock_.monotonic_ns();
  if (now < deaf_until_ns_) return;
  ceiling_ = std::max(1U, limit_ - 1);
  ceiling_until_ns_ = now + options_.ceiling_ms * kNsPerMs;
  limit_ = std::max(1U, limit_ / 2);
  deaf_until_ns_ = now + options_.window_ms * kNsPerMs;
  end_probe(Probe::up, now, options_.cool_down_ms);
  open_window(now);
}

void TransferGovernor::judge(int64_t now_ns) {
  if (window_.bytes == 0) return;
  const auto bytes = static_cast<double>(window_.bytes);
  const double rate = bytes * 1e9 / static_cast<double>(now_ns - window_.began_ns);
  const double ns_per_byte = static_cast<double>(window_.busy_ns) / bytes;
  const bool crowded = best_ns_per_byte_ > 0 && ns_per_byte > kCrowdedLatency * best_ns_per_byte_ &&
                       rate < kCrowdedRate * last_rate_;
  best_ns_per_byte_ =
      best_ns_per_byte_ == 0 ? ns_per_byte : std::min(best_ns_per_byte_ * kForget, ns_per_byte);
  last_rate_ = rate;
  if (crowded) {
    limit_ = std::max(1U, limit_ * 3 / 4);
    end_probe(Probe::up, now_ns, options_.cool_down_ms);
  } else if (!window_.saturated) {
    // There was not enough to do: nothing is learnt of the limit.
    if (probe_ != Probe::none) end_probe(probe_, now_ns, options_.probe_every_ms);
  } else if (probe_ != Probe::none) {
    judge_probe(rate, now_ns);
  } else if (now_ns >= next_probe_ns_) {
    begin_probe(rate, next_probe_);
  }
}

void TransferGovernor::judge_probe(double rate, int64_t now_ns) {
  const double places = static_cast<double>(limit_) / static_cast<double>(limit_before_);
  if (probe_ == Probe::up) {
    if (rate >= rate_before_ * (1 + kPaid * (places - 1))) {
      // Below a ceiling one by one: the store is known to have an end.
      step_ = now_ns < ceiling_until_ns_ ? 1 : std::min(2 * step_, options_.maximum);
      begin_probe(rate, Probe::up);
      return;
    }
    limit_ = limit_before_;
    end_probe(Probe::down, now_ns, options_.probe_every_ms);
    return;
  }
  if (rate >= kAsGood * rate_before_ && limit_ > 1) {
    // Compared with the rate before the first step down: many small losses are a big one.
    limit_before_ = limit_--;
    return;
  }
  if (rate < kAsGood * rate_before_) limit_ = limit_before_;
  end_probe(Probe::up, now_ns, options_.probe_every_ms);
}

void TransferGovernor::begin_probe(double rate, Probe direction) {
  rate_before_ = rate;
  limit_before_ = limit_;
  const int64_t now = clock_.monotonic_ns();
  if (direction == Probe::up && limit_ < highest(now)) {
    probe_ = Probe::up;
    limit_ = std::min(highest(now), limit_ + step_);
  } else if (direction == Probe::down && limit_ > 1) {
    probe_ = Probe::down;
    --limit_;
  } else {
    end_probe(direction == Probe::up ? Probe::down : Probe::up, now, options_.probe_every_ms);
  }
}

unsigned TransferGovernor::highest(int64_t now_ns) const {
  return now_ns < ceiling_until_ns_ ? std::min(ceiling_, options_.maximum) : options_.maximum;
}

void TransferGovernor::end_probe(Probe next, int64_t now_ns, int64_t pause_ms) {
  probe_ = Probe::none;
  next_probe_ = next;
  step_ = 1;
  next_probe_ns_ = now_ns + pause_ms * kNsPerMs;
}

unsigned TransferGovernor::limit() const {
  const std::lock_guard lock(mutex_);
  return limit_;
}

unsigned TransferGovernor::active() const {
  const std::lock_guard lock(mutex_);
  return active_;
}

}  // namespace coldshelf
