// Something that must happen when a piece of work takes too long.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace coldshelf {

// Calls `late` on a thread of its own when the time is over before this object is.
class Deadline {
 public:
  Deadline(int64_t ms, std::function<void()> late)
      : late_(std::move(late)), thread_([this, ms] { run(ms); }) {}
  ~Deadline() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  bool passed() const { return passed_; }

 private:
  void run(int64_t ms) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return over_; })) return;
    passed_ = true;
    lock.unlock();
    late_();
  }
  const std::function<void()> late_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::atomic<bool> passed_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace coldshelf
