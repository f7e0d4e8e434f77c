// Where work runs: a pool of threads in the daemon, the caller itself in simulations.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace coldshelf {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` later or at once. Never fails; the submitter bounds how much it has outstanding.
  virtual void submit(std::function<void()> work) = 0;
};

class InlineExecutor final : public Executor {
 public:
  void submit(std::function<void()> work) override { work(); }
};

// Lets every other thread go first from now on: for transfers and other work that nobody waits for.
void lower_priority_of_this_thread();

// A fixed number of threads, first come first served. The destructor runs what was submitted, then
// joins.
class WorkerPool final : public Executor {
 public:
  explicit WorkerPool(unsigned threads);
  ~WorkerPool() override;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  void submit(std::function<void()> work) override;
  unsigned thread_count() const { return static_cast<unsigned>(threads_.size()); }

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace coldshelf
