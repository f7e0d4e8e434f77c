#include "uploader/cloud/in_flight_window.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {
constexpr double kSmaller = 0.75;
constexpr int64_t kTogetherNs = 500'000'000;  // what fails together shrinks it once
}  // namespace

InFlightWindow::InFlightWindow(const Options& options)
    : options_(options), size_(static_cast<double>(options.first)) {
  CHECK(options.least > 0 && options.least <= options.first && options.first <= options.most);
}

void InFlightWindow::enter() {
  std::unique_lock lock(mutex_);
  free_.wait(lock, [this] { return in_flight_ < static_cast<size_t>(size_); });
  ++in_flight_;
  highest_ = std::max(highest_, in_flight_);
}

void InFlightWindow::leave(Outcome outcome, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  // A window that was not full says nothing about a larger one.
  const bool full = in_flight_ + 1 >= static_cast<size_t>(size_);
  --in_flight_;
  if (outcome == Outcome::good && full) {
    size_ = std::min(size_ + 1.0 / size_ + 0.05, static_cast<double>(options_.most));
  } else if (outcome == Outcome::overloaded && now_ns - shrunk_ns_ >= kTogetherNs) {
    size_ = std::max(size_ * kSmaller, static_cast<double>(options_.least));
    shrunk_ns_ = now_ns;
  }
  free_.notify_one();
}

size_t InFlightWindow::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(size_);
}

size_t InFlightWindow::highest_in_flight() const {
  const std::lock_guard lock(mutex_);
  return highest_;
}

}  // namespace coldshelf
