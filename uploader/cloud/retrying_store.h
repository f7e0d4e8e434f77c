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
#include "uploader/cloud/forwarding_store.h"

namespace coldshelf {

struct RetryOptions {
  unsigned max_attempts = 4;
  int64_t base_ms = 100;  // before the first retry up to this, then doubled
  int64_t longest_ms = 5'000;
  int64_t budget = 500;                        // a retry costs 5, a success gives 1 back
  std::function<void(const Error&)> on_retry;  // why something is tried again; thread-safe
};

class RetryingStore final : public ForwardingStore<RetryingStore> {
 public:
  // `clock` and `random` outlive the store.
  RetryingStore(std::unique_ptr<ObjectStore> inner, Clock& clock, Random& random,
                RetryOptions options = {});

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Result<ObjectInfo> change_class(const std::string& key, StorageClass storage_class) override;
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override;
  void give_up() override;

 private:
  friend class ForwardingStore<RetryingStore>;
  template <typename Work>
  auto pass(const StoreOperation&, const Work& work) -> decltype(work()) {
    unsigned attempts = 0;
    return retry(work, attempts);
  }
  // Whether to try again after `error`, having waited; `attempt` counts from 1.
  bool wait_to_retry(const Error& error, unsigned attempt);
  void succeeded();
  template <typename Call>
  auto retry(const Call& call, unsigned& attempts) -> decltype(call()) {
    while (true) {
      ++attempts;
      auto result = call();
      if (result.ok()) {
        succeeded();
        return result;
      }
      if (!wait_to_retry(result.error(), attempts)) return result;
    }
  }

  Clock& clock_;
  Random& random_;
  const RetryOptions options_;
  std::atomic<bool> give_up_{false};
  std::mutex mutex_;  // random_ and tokens_
  int64_t tokens_;
};

}  // namespace coldshelf
