// How many requests of one job may be under way: more while they go well, fewer when the service
// does not keep up (additive increase, multiplicative decrease). Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace coldshelf {

class InFlightWindow {
 public:
  struct Options {
    size_t least = 4;
    size_t first = 128;  // at 100 ms for an answer, more than the quota of EBS
    size_t most = 256;
  };
  explicit InFlightWindow(const Options& options);

  void enter();  // waits for a place
  enum class Outcome { good, overloaded, other };
  void leave(Outcome outcome, int64_t now_ns);
  size_t size() const;
  size_t highest_in_flight() const;

 private:
  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable free_;
  double size_;
  size_t in_flight_ = 0;
  size_t highest_ = 0;
  int64_t shrunk_ns_ = INT64_MIN / 2;
};

}  // namespace coldshelf
