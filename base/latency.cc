#include "base/latency.h"

#include <algorithm>

namespace coldshelf {

uint64_t LatencyHistogram::Snapshot::count() const {
  uint64_t all = 0;
  for (const uint64_t n : counts) all += n;
  return all;
}

void LatencyHistogram::record(int64_t duration_ns) {
  const int64_t ns = std::max<int64_t>(0, duration_ns);
  size_t bucket = 0;
  while (bucket < kBoundsUs.size() && ns > kBoundsUs[bucket] * 1'000) ++bucket;
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  total_ns_.fetch_add(static_cast<uint64_t>(ns), std::memory_order_relaxed);
}

LatencyHistogram::Snapshot LatencyHistogram::snapshot() const {
  Snapshot out;
  for (size_t i = 0; i < kBuckets; ++i) out.counts[i] = counts_[i].load(std::memory_order_relaxed);
  out.total_ns = total_ns_.load(std::memory_order_relaxed);
  return out;
}

}  // namespace coldshelf
