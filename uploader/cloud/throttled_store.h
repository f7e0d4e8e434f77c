// Keeps the bytes of segments within the bandwidth limits of now, both ways. A change of the limit
// reaches transfers under way. Small objects (manifests, documents) never wait; they are counted.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "uploader/cloud/forwarding_store.h"
#include "uploader/cloud/live_bandwidth.h"

namespace coldshelf {

// Tokens are bytes. A taker waits until the bucket is out of debt and may then run up one: any size
// can be taken, and the rate holds on average. Thread-safe.
class TokenBucket {
 public:
  explicit TokenBucket(Clock& clock) : clock_(clock) {}
  // How long to wait before asking again, in ms; 0: taken. `rate` is the limit of now, 0: none.
  int64_t take(uint64_t bytes, uint64_t rate_bytes_per_s);
  // Takes without waiting: what comes next pays for it.
  void charge(uint64_t bytes, uint64_t rate_bytes_per_s);

 private:
  bool refill(uint64_t rate_bytes_per_s);  // false: there is no limit

  Clock& clock_;
  std::mutex mutex_;
  double tokens_ = 0;
  int64_t filled_ns_ = 0;  // 0: not limited until now
};

class ThrottledStore final : public ForwardingStore<ThrottledStore> {
 public:
  // `clock` outlives the store.
  ThrottledStore(std::unique_ptr<ObjectStore> inner, Clock& clock,
                 std::shared_ptr<LiveBandwidth> limits);
  ThrottledStore(std::unique_ptr<ObjectStore> inner, Clock& clock, BandwidthSchedule schedule)
      : ThrottledStore(std::move(inner), clock,
                       std::make_shared<LiveBandwidth>(std::move(schedule))) {}
  ~ThrottledStore() override;

  Result<ObjectInfo> put(const std::string& key, const PutSource& source,
                         const PutOptions& options) override;
  Status get(const std::string& key, uint64_t offset, MutableBytes out) override;
  void give_up() override;

 private:
  friend class ForwardingStore<ThrottledStore>;
  template <typename Work>
  auto pass(const StoreOperation&, const Work& work) -> decltype(work()) {
    return work();  // put and get are the ones that move bytes
  }
  class PacedFile;
  enum class Direction { up, down };
  uint64_t rate_of(Direction direction) const;
  Status pace(Direction direction, uint64_t bytes);

  Clock& clock_;
  const std::shared_ptr<LiveBandwidth> limits_;
  TokenBucket up_;
  TokenBucket down_;
  std::atomic<bool> give_up_{false};
};

}  // namespace coldshelf
