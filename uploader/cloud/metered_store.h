// Counts what is asked of a store, how long it takes, and whether the store answers at all. Stands
// right above the store itself, so that each attempt counts.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/latency.h"
#include "uploader/cloud/forwarding_store.h"

namespace coldshelf {

constexpr size_t kStoreCalls = 9;
std::string_view to_string(StoreCall call);  // "put"

// Shared by the store and those who show it; thread-safe.
class StoreMeter {
 public:
  explicit StoreMeter(Clock& clock) : clock_(clock) {}

  struct Call {
    LatencyHistogram::Snapshot latency;
    uint64_t bytes = 0;   // of objects' content
    uint64_t errors = 0;  // the store did not answer, or not as it should
  };
  struct Reach {
    int64_t answered_ms = 0;       // unix time of the last answer; 0: none yet
    int64_t failing_since_ms = 0;  // 0: the last call was answered
    uint64_t failures = 0;         // since then
    std::string problem;           // of the last failure
  };
  Call call(StoreCall kind) const;
  Reach reach() const;

  int64_t begin() const { return clock_.monotonic_ns(); }
  // `error` null: it went well.
  void end(StoreCall kind, int64_t begun_ns, uint64_t bytes, const Error* error);

 private:
  struct Counters {
    LatencyHistogram latency;
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> errors{0};
  };
  Clock& clock_;
  std::array<Counters, kStoreCalls> calls_;
  mutable std::mutex mutex_;
  Reach reach_;
};

class MeteredStore final : public ForwardingStore<MeteredStore> {
 public:
  MeteredStore(std::unique_ptr<ObjectStore> inner, std::shared_ptr<StoreMeter> meter)
      : ForwardingStore(std::move(inner)), meter_(std::move(meter)) {}

 private:
  friend class ForwardingStore<MeteredStore>;
  template <typename Work>
  auto pass(const StoreOperation& what, const Work& work) -> decltype(work()) {
    const int64_t begun = meter_->begin();
    auto result = work();
    meter_->end(what.call, begun, what.bytes, result.ok() ? nullptr : &result.error());
    return result;
  }

  const std::shared_ptr<StoreMeter> meter_;
};

}  // namespace coldshelf
