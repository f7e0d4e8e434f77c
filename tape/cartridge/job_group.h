// Counts the jobs an object has given to executors, so that it can outlive all of them.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "base/executor.h"

namespace coldshelf {

class JobGroup {
 public:
  JobGroup() = default;
  JobGroup(const JobGroup&) = delete;
  JobGroup& operator=(const JobGroup&) = delete;
  ~JobGroup() { wait(); }

  void submit(Executor& executor, std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      ++running_;
    }
    executor.submit([this, work = std::move(work)]() mutable {
      work();
      work = nullptr;  // what the job holds goes before it counts as done
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_all();
    });
  }

  void wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  uint64_t running_ = 0;
};

}  // namespace coldshelf
