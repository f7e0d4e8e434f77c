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
#include "uploader/cloud/object_store.h"

namespace coldshelf {

enum class StoreCall { put, get, head, list, remove, copy, restore, lock, other };
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

class MeteredStore final : public ObjectStore {
 public:
  MeteredStore(std::unique_ptr<ObjectStore> inner, std::shared_ptr<StoreMeter> meter)
      : inner_(std::move(inner)), meter_(std::move(meter)) {}

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override;
  Result<ObjectInfo> head(const std::string& key) override;
  Result<ListPage> list(const std::string& prefix, const std::string& continue_after,
                        size_t limit) override;
  Result<FolderPage> list_folders(const std::string& prefix, const std::string& continue_after,
                                  size_t limit) override;
  Status remove(const std::string& key) override;
  Status remove_all(const std::vector<std::string>& keys) override;
  Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) override;
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override;
  Status set_lock(const std::string& key, const ObjectLock& lock) override;
  Result<ObjectLock> lock_of(const std::string& key) override;
  Result<StoreCapabilities> capabilities() override;
  Result<size_t> abort_unfinished(const std::string& prefix, int64_t age_ms) override;
  std::string describe() const override { return inner_->describe(); }
  void give_up() override { inner_->give_up(); }

 private:
  template <typename Work>
  auto metered(StoreCall kind, uint64_t bytes, const Work& work) -> decltype(work());

  const std::unique_ptr<ObjectStore> inner_;
  const std::shared_ptr<StoreMeter> meter_;
};

}  // namespace coldshelf
