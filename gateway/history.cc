#include "gateway/history.h"

#include <chrono>

namespace coldshelf {

void History::sample() {
  HistorySample now = measure_();
  now.unix_ms = clock_.unix_ms();
  const std::lock_guard lock(mutex_);
  // A wall clock that was set back: what lies in its future would hide every new sample.
  for (auto* list : {&fine_, &coarse_}) {
    while (!list->empty() && list->back().unix_ms >= now.unix_ms) list->pop_back();
  }
  fine_.push_back(now);
  if (fine_.size() > kFineSamples) fine_.pop_front();
  if (coarse_.empty() || now.unix_ms - coarse_.back().unix_ms >= kCoarseMs) {
    coarse_.push_back(now);
    if (coarse_.size() > kCoarseSamples) coarse_.pop_front();
  }
}

std::vector<HistorySample> History::since(int64_t after_ms, bool coarse) const {
  const std::lock_guard lock(mutex_);
  const auto& list = coarse ? coarse_ : fine_;
  auto first = list.end();
  while (first != list.begin() && std::prev(first)->unix_ms > after_ms) --first;
  return {first, list.end()};
}

void History::start() {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      sample();
      lock.lock();
      wake_.wait_for(lock, std::chrono::milliseconds(kFineMs), [this] { return stopping_; });
    }
  });
}

void History::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace coldshelf
