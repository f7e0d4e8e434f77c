// An object store that misbehaves on demand: errors, answers lost after the work was done, damaged
// bytes, latency on the simulated clock. Watchers see every call that reaches the store.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "uploader/cloud/forwarding_store.h"

namespace coldshelf::test {

struct StoreFaults {
  // One call in so many, on average; 0: never.
  uint64_t error_one_in = 0;    // nothing done, unavailable
  uint64_t lost_one_in = 0;     // done, and unavailable all the same
  uint64_t corrupt_one_in = 0;  // a get gives a flipped bit
  uint64_t late_one_in = 0;     // a put: unavailable, and done some calls later all the same
  int64_t max_latency_ms = 0;
};

// For gateways without retries of single calls: up to four puts of ten fail.
StoreFaults draw_storm(Random& random);

// Puts that were given up and that the store still carries out: they outlive whoever gave them up.
class LatePuts {
 public:
  // `calls` calls of take_due() from now.
  void add(const std::string& key, Buffer content, const PutOptions& options, uint64_t calls);
  struct Put {
    std::string key;
    Buffer content;
    PutOptions options;
    uint64_t calls = 0;
  };
  std::vector<Put> take_due();
  std::vector<Put> take_all();

 private:
  std::mutex mutex_;
  std::vector<Put> waiting_;
};

class FaultyStore final : public ForwardingStore<FaultyStore> {
 public:
  // All outlive it. `random` draws under this object's lock.
  FaultyStore(ObjectStore& inner, Clock& clock, Random& random)
      : ForwardingStore(inner), clock_(clock), random_(random) {}

  void set_faults(const StoreFaults& faults);
  // The next `count` calls of `operation` ("put", "get", "head", ...) fail with `error`, `done`:
  // after having been carried out. Empty operation: of any.
  void fail_next(std::string operation, Error error, unsigned count = 1, bool done = false);
  void corrupt_next_gets(unsigned count);
  // Shared by the stores of one bucket; without it late_one_in does nothing.
  void set_late_puts(LatePuts* late) { late_ = late; }
  void carry_out_all();  // of the late puts
  // Before and after each call of the inner store; may throw.
  using Watch = std::function<void(const char* operation, const std::string& key, bool after)>;
  void watch(Watch watch) { watch_ = std::move(watch); }
  uint64_t calls(const std::string& operation) const;
  // Says that it can do less than the inner store; what is asked of it is passed on all the same.
  void set_capabilities(const StoreCapabilities& capabilities) { capabilities_ = capabilities; }

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override;
  Status restore(const std::string& key, RestoreTier tier, unsigned days) override;
  Result<StoreCapabilities> capabilities() override;
  void give_up() override {}  // the store behind is the test's
  std::string describe() const override { return "faulty " + inner().describe(); }
  // Every restore of this tier fails so from now on.
  void refuse_tier(RestoreTier tier, Error error) { refused_tier_ = {tier, std::move(error)}; }
  // Calls for keys that hold `part` fail so from now on; empty: none.
  void refuse_keys(std::string part, Error error) { refused_keys_ = {std::move(part), error}; }

 private:
  friend class ForwardingStore<FaultyStore>;
  struct Plan {
    std::optional<Error> before;
    std::optional<Error> after;
    bool corrupt = false;
    uint64_t late = 0;  // how many calls later; 0: not
  };
  Plan plan(const char* operation);
  void carry_out(const std::vector<LatePuts::Put>& puts);
  template <typename Work>
  auto pass(const StoreOperation& operation, const Work& work) -> decltype(work()) {
    const Plan what = plan(operation.name);
    return pass(what, operation, work);
  }
  template <typename Work>
  auto pass(const Plan& what, const StoreOperation& operation, const Work& work)
      -> decltype(work()) {
    const std::string key(operation.key);
    if (watch_) watch_(operation.name, key, false);
    if (refused_keys_ && !refused_keys_->first.empty() &&
        key.find(refused_keys_->first) != std::string::npos) {
      return refused_keys_->second;
    }
    if (what.before) return *what.before;
    auto result = work();
    if (watch_) watch_(operation.name, key, true);
    if (what.after) return *what.after;
    return result;
  }

  Clock& clock_;
  Random& random_;
  Watch watch_;
  std::optional<StoreCapabilities> capabilities_;
  std::optional<std::pair<RestoreTier, Error>> refused_tier_;
  std::optional<std::pair<std::string, Error>> refused_keys_;
  mutable std::mutex mutex_;
  StoreFaults faults_;
  std::string scripted_operation_;
  std::optional<Error> scripted_;
  unsigned scripted_count_ = 0;
  bool scripted_done_ = false;
  unsigned corrupt_gets_ = 0;
  LatePuts* late_ = nullptr;
  std::map<std::string, uint64_t> calls_;
};

}  // namespace coldshelf::test
