#include "uploader/cloud/retrying_store.h"

#include <algorithm>

namespace coldshelf {

namespace {
constexpr int64_t kRetryCost = 5;
constexpr int64_t kSleepSliceMs = 50;  // give_up() is noticed within it

bool worth_retrying(const Error& error) { return error.disposition == Disposition::retry; }
}  // namespace

RetryingStore::RetryingStore(std::unique_ptr<ObjectStore> inner, Clock& clock, Random& random,
                             RetryOptions options)
    : ForwardingStore(std::move(inner)),
      clock_(clock),
      random_(random),
      options_(options),
      tokens_(options.budget) {}

void RetryingStore::give_up() {
  give_up_ = true;
  inner().give_up();
}

bool RetryingStore::wait_to_retry(const Error& error, unsigned attempt) {
  // A conflict or a busy object is for the caller to judge, however short-lived it may be.
  if (!worth_retrying(error) || error.code == ErrorCode::conflict || give_up_ ||
      attempt >= options_.max_attempts) {
    return false;
  }
  int64_t wait_ms = 0;
  {
    const std::lock_guard lock(mutex_);
    if (tokens_ < kRetryCost) return false;
    tokens_ -= kRetryCost;
    const int64_t doubled = options_.base_ms << std::min(attempt - 1, 20U);
    const int64_t cap_ms =
        std::clamp<int64_t>(doubled, 1, std::max<int64_t>(options_.longest_ms, 1));
    // "Full jitter": callers that failed together do not come back together.
    wait_ms = static_cast<int64_t>(random_.below(static_cast<uint64_t>(cap_ms) + 1));
  }
  if (options_.on_retry) options_.on_retry(error);
  for (; wait_ms > 0 && !give_up_; wait_ms -= kSleepSliceMs) {
    clock_.sleep_ms(std::min(wait_ms, kSleepSliceMs));
  }
  return !give_up_;
}

void RetryingStore::succeeded() {
  const std::lock_guard lock(mutex_);
  tokens_ = std::min(tokens_ + 1, options_.budget);
}

Result<ObjectInfo> RetryingStore::put(const std::string& key, const PutSource& source,
                                      const PutOptions& options) {
  unsigned attempts = 0;
  unsigned damaged = 0;
  const auto attempt = [&] {
    auto done = inner().put(key, source, options);
    // What the store received is not what was to be sent: damaged on the way, or where it came
    // from. Sending it again tells, and once is enough to know.
    if (!done.ok() && done.error().code == ErrorCode::corrupt && ++damaged == 1) {
      Error again = std::move(done).error();
      again.disposition = Disposition::retry;
      return Result<ObjectInfo>(std::move(again));
    }
    return done;
  };
  auto result = retry(attempt, attempts);
  if (!result.ok() && damaged == 1 && result.error().code == ErrorCode::corrupt) {
    return Error(ErrorCode::corrupt, result.error().context);  // the budget allowed no second try
  }
  if (!result.ok() && result.error().code == ErrorCode::precondition_failed && attempts > 1) {
    // The answer to our own earlier attempt may have been lost: what stands there is ours when its
    // digest is.
    Result<ObjectInfo> there = head(key);
    if (there.ok() && there->sha256 && *there->sha256 == source.sha256) return there;
    if (!there.ok() && worth_retrying(there.error())) return there;  // not known is not lost
  }
  return result;
}

Result<ObjectInfo> RetryingStore::change_class(const std::string& key, StorageClass storage_class) {
  unsigned attempts = 0;
  auto result = retry([&] { return inner().change_class(key, storage_class); }, attempts);
  if (!result.ok() && result.error().code == ErrorCode::cold && attempts > 1) {
    // Done by an attempt whose answer was lost: now it is in the class, and cold for that.
    Result<ObjectInfo> there = head(key);
    if (there.ok() && there->storage_class == storage_class) return there;
    if (!there.ok() && worth_retrying(there.error())) return there;
  }
  return result;
}

Status RetryingStore::restore(const std::string& key, RestoreTier tier, unsigned days) {
  unsigned attempts = 0;
  auto result = retry([&] { return inner().restore(key, tier, days); }, attempts);
  // "Under way": by an attempt whose answer was lost.
  if (!result.ok() && result.error().code == ErrorCode::conflict && attempts > 1) return {};
  return result;
}

}  // namespace coldshelf
