// How long things took, in buckets: what Prometheus calls a histogram. Counting is two relaxed
// additions, on any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace coldshelf {

class LatencyHistogram {
 public:
  // Upper bounds; what is longer falls into a last bucket without one.
  static constexpr std::array<int64_t, 15> kBoundsUs = {
      50,     100,    250,     500,     1'000,     2'500,      5'000,     10'000,
      25'000, 50'000, 100'000, 250'000, 1'000'000, 10'000'000, 60'000'000};
  static constexpr size_t kBuckets = kBoundsUs.size() + 1;

  struct Snapshot {
    std::array<uint64_t, kBuckets> counts{};  // of each bucket alone
    uint64_t total_ns = 0;
    uint64_t count() const;
  };

  void record(int64_t duration_ns);
  Snapshot snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
  std::atomic<uint64_t> total_ns_{0};
};

}  // namespace coldshelf
