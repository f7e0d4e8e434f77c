#include "uploader/cloud/throttled_store.h"

#include <algorithm>

namespace coldshelf {

namespace {
// What is in debt waits in naps of at most this: a changed limit is noticed, and so is a stop.
constexpr int64_t kNapMs = 50;
// Bodies up to this size do not wait: they are manifests and documents, and single footers.
constexpr uint64_t kSmallBytes = 256 * KiB;
// A read of an upload's file is cut so that each piece takes about this long.
constexpr double kReadSliceS = 0.1;
constexpr uint64_t kMinReadSlice = 16 * KiB;
// Each slice of a download is a request: these are longer.
constexpr double kGetSliceS = 0.5;
constexpr uint64_t kMinGetSlice = 256 * KiB;

uint64_t slice_of(uint64_t rate, double seconds, uint64_t least, uint64_t all) {
  if (rate == 0) return all;
  const auto slice = static_cast<uint64_t>(static_cast<double>(rate) * seconds);
  return std::min(all, std::max(least, slice));
}
}  // namespace

bool TokenBucket::refill(uint64_t rate) {
  if (rate == 0) {
    filled_ns_ = 0;
    tokens_ = 0;
    return false;
  }
  const int64_t now = clock_.monotonic_ns();
  const auto per_s = static_cast<double>(rate);
  if (filled_ns_ != 0) tokens_ += per_s * static_cast<double>(now - filled_ns_) / 1e9;
  filled_ns_ = now;
  tokens_ = std::min(tokens_, per_s * static_cast<double>(kNapMs) / 1e3);
  return true;
}

int64_t TokenBucket::take(uint64_t bytes, uint64_t rate) {
  const std::lock_guard lock(mutex_);
  if (!refill(rate)) return 0;
  if (tokens_ < 0) {
    const double wait_ms = -tokens_ * 1e3 / static_cast<double>(rate);
    return std::clamp<int64_t>(static_cast<int64_t>(std::min(wait_ms, 1e3)) + 1, 1, kNapMs);
  }
  tokens_ -= static_cast<double>(bytes);
  return 0;
}

void TokenBucket::charge(uint64_t bytes, uint64_t rate) {
  const std::lock_guard lock(mutex_);
  if (refill(rate)) tokens_ -= static_cast<double>(bytes);
}

// The local file of an upload, read at the pace of the limit.
class ThrottledStore::PacedFile final : public File {
 public:
  PacedFile(ThrottledStore& store, File& file) : store_(store), file_(file) {}
  Status read_at(uint64_t offset, MutableBytes out) override {
    while (!out.empty()) {
      const uint64_t n =
          slice_of(store_.rate_of(Direction::up), kReadSliceS, kMinReadSlice, out.size());
      TRY(store_.pace(Direction::up, n));
      TRY(file_.read_at(offset, out.first(static_cast<size_t>(n))));
      out = out.subspan(static_cast<size_t>(n));
      offset += n;
    }
    return {};
  }
  Status write_at(uint64_t offset, ByteView bytes) override {
    return file_.write_at(offset, bytes);
  }
  Status sync() override { return file_.sync(); }
  Status truncate(uint64_t size) override { return file_.truncate(size); }
  Result<uint64_t> size() override { return file_.size(); }
  void start_writeback(uint64_t offset, uint64_t length) override {
    file_.start_writeback(offset, length);
  }
  void drop_cache() override { file_.drop_cache(); }

 private:
  ThrottledStore& store_;
  File& file_;
};

ThrottledStore::ThrottledStore(std::unique_ptr<ObjectStore> inner, Clock& clock,
                               std::shared_ptr<LiveBandwidth> limits)
    : ForwardingStore(std::move(inner)),
      clock_(clock),
      limits_(std::move(limits)),
      up_(clock),
      down_(clock) {}

ThrottledStore::~ThrottledStore() = default;

void ThrottledStore::give_up() {
  give_up_ = true;
  inner().give_up();
}

uint64_t ThrottledStore::rate_of(Direction direction) const {
  const BandwidthLimits limits = limits_->at(clock_.unix_ms());
  return direction == Direction::up ? limits.upload_bytes_per_s : limits.download_bytes_per_s;
}

Status ThrottledStore::pace(Direction direction, uint64_t bytes) {
  TokenBucket& bucket = direction == Direction::up ? up_ : down_;
  while (true) {
    if (give_up_) return Error(ErrorCode::cancelled, "the gateway is stopping");
    const int64_t wait_ms = bucket.take(bytes, rate_of(direction));
    if (wait_ms == 0) return {};
    clock_.sleep_ms(wait_ms);
  }
}

Result<ObjectInfo> ThrottledStore::put(const std::string& key, const PutSource& source,
                                       const PutOptions& options) {
  if (source.file == nullptr || source.size <= kSmallBytes) {
    const uint64_t size = source.file == nullptr ? source.bytes.size() : source.size;
    up_.charge(size, rate_of(Direction::up));
    return inner().put(key, source, options);
  }
  PacedFile paced(*this, *source.file);
  PutSource slow = source;
  slow.file = &paced;
  return inner().put(key, slow, options);
}

Status ThrottledStore::get(const std::string& key, uint64_t offset, MutableBytes out) {
  if (out.size() <= kSmallBytes) {
    down_.charge(out.size(), rate_of(Direction::down));
    return inner().get(key, offset, out);
  }
  while (!out.empty()) {
    const uint64_t n = slice_of(rate_of(Direction::down), kGetSliceS, kMinGetSlice, out.size());
    TRY(pace(Direction::down, n));
    TRY(inner().get(key, offset, out.first(static_cast<size_t>(n))));
    out = out.subspan(static_cast<size_t>(n));
    offset += n;
  }
  return {};
}

}  // namespace coldshelf
