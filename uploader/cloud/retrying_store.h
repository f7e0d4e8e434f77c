// Retries what another store fails at for the moment: jittered exponential backoff, and a budget
// shared by all calls so that a store in trouble is not hammered (the retry quota of the AWS SDKs'
// standard mode). A put that arrived damaged is sent once more.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/random.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

struct RetryOptions {
  unsigned max_attempts = 4;
  int64_t base_ms = 100;  // before the first retry up to this, then doubled
  int64_t longest_ms = 5'000;
  int64_t budget = 500;                        // a retry costs 5, a success gives 1 back
  std::function<void(const Error&)> on_retry;  // why something is tried again; thread-safe
};

class RetryingStore final : public ObjectStore {
 public:
  // `clock` and `random` outlive the store.
  RetryingStore(std::unique_ptr<ObjectStore> inner, Clock& clock, Random& random,
                RetryOptions options = {});

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
  std::string describe() const override;

  void give_up() override;

 private:
  // Whether to try again after `error`, having waited; `attempt` counts from 1.
  bool wait_to_retry(const Error& error, unsigned attempt);
  void succeeded();
  template <typename Call>
  auto retry(const Call& call, unsigned& attempts) -> decltype(call());

  const std::unique_ptr<ObjectStore> inner_;
  Clock& clock_;
  Random& random_;
  const RetryOptions options_;
  std::atomic<bool> give_up_{false};
  std::mutex mutex_;  // random_ and tokens_
  int64_t tokens_;
};

}  // namespace coldshelf
