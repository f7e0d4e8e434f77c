#include "tests/support/faulty_store.h"

namespace coldshelf::test {

void FaultyStore::set_faults(const StoreFaults& faults) {
  const std::lock_guard lock(mutex_);
  faults_ = faults;
}

void FaultyStore::fail_next(std::string operation, Error error, unsigned count, bool done) {
  const std::lock_guard lock(mutex_);
  scripted_operation_ = std::move(operation);
  scripted_ = std::move(error);
  scripted_count_ = count;
  scripted_done_ = done;
}

void FaultyStore::corrupt_next_gets(unsigned count) {
  const std::lock_guard lock(mutex_);
  corrupt_gets_ = count;
}

uint64_t FaultyStore::calls(const std::string& operation) const {
  const std::lock_guard lock(mutex_);
  const auto at = calls_.find(operation);
  return at == calls_.end() ? 0 : at->second;
}

FaultyStore::Plan FaultyStore::plan(const char* operation) {
  const std::lock_guard lock(mutex_);
  ++calls_[operation];
  Plan plan;
  const auto chance = [this](uint64_t one_in) { return one_in != 0 && random_.one_in(one_in); };
  if (faults_.max_latency_ms > 0) {
    clock_.sleep_ms(
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_.max_latency_ms) + 1)));
  }
  if (scripted_count_ > 0 && (scripted_operation_.empty() || scripted_operation_ == operation)) {
    --scripted_count_;
    (scripted_done_ ? plan.after : plan.before) = scripted_;
    return plan;
  }
  if (chance(faults_.error_one_in)) {
    plan.before = Error(ErrorCode::unavailable, std::string(operation) + ": simulated failure");
  } else if (chance(faults_.lost_one_in)) {
    plan.after = Error(ErrorCode::unavailable, std::string(operation) + ": simulated lost answer");
  }
  if (corrupt_gets_ > 0 && std::string(operation) == "get") {
    --corrupt_gets_;
    plan.corrupt = true;
  }
  plan.corrupt = plan.corrupt || chance(faults_.corrupt_one_in);
  return plan;
}

template <typename Call>
auto FaultyStore::run(const char* operation, const std::string& key, const Call& call)
    -> decltype(call()) {
  const Plan what = plan(operation);
  if (watch_) watch_(operation, key, false);
  if (what.before) return *what.before;
  auto result = call();
  if (watch_) watch_(operation, key, true);
  if (what.after) return *what.after;
  return result;
}

Result<ObjectInfo> FaultyStore::put(const std::string& key, const PutSource& source,
                                    const PutOptions& options) {
  return run("put", key, [&] { return inner_.put(key, source, options); });
}

Status FaultyStore::get(const std::string& key, uint64_t offset, MutableBytes out) {
  const Plan what = plan("get");
  if (watch_) watch_("get", key, false);
  if (what.before) return *what.before;
  TRY(inner_.get(key, offset, out));
  if (what.after) return *what.after;
  if (what.corrupt && !out.empty()) {
    const std::lock_guard lock(mutex_);
    out[static_cast<size_t>(random_.below(out.size()))] ^= std::byte{1};
  }
  return {};
}

Result<ObjectInfo> FaultyStore::head(const std::string& key) {
  return run("head", key, [&] { return inner_.head(key); });
}

Result<ObjectStore::ListPage> FaultyStore::list(const std::string& prefix,
                                                const std::string& continue_after, size_t limit) {
  return run("list", prefix, [&] { return inner_.list(prefix, continue_after, limit); });
}

Result<ObjectStore::FolderPage> FaultyStore::list_folders(const std::string& prefix,
                                                          const std::string& continue_after,
                                                          size_t limit) {
  return run("list", prefix, [&] { return inner_.list_folders(prefix, continue_after, limit); });
}

Status FaultyStore::remove_all(const std::vector<std::string>& keys) {
  return run("remove", keys.empty() ? "" : keys.front(), [&] { return inner_.remove_all(keys); });
}

Status FaultyStore::remove(const std::string& key) {
  return run("remove", key, [&] { return inner_.remove(key); });
}

Result<ObjectInfo> FaultyStore::change_class(const std::string& key, StorageClass storage_class) {
  return run("change_class", key, [&] { return inner_.change_class(key, storage_class); });
}

Status FaultyStore::restore(const std::string& key, RestoreTier tier, unsigned days) {
  return run("restore", key, [&]() -> Status {
    if (refused_tier_ && refused_tier_->first == tier) return refused_tier_->second;
    return inner_.restore(key, tier, days);
  });
}

Status FaultyStore::set_lock(const std::string& key, const ObjectLock& lock) {
  return run("set_lock", key, [&] { return inner_.set_lock(key, lock); });
}

Result<ObjectLock> FaultyStore::lock_of(const std::string& key) {
  return run("lock_of", key, [&] { return inner_.lock_of(key); });
}

Result<StoreCapabilities> FaultyStore::capabilities() {
  if (capabilities_) return *capabilities_;
  return inner_.capabilities();
}

Result<size_t> FaultyStore::abort_unfinished(const std::string& prefix, int64_t age_ms) {
  return run("abort_unfinished", prefix, [&] { return inner_.abort_unfinished(prefix, age_ms); });
}

}  // namespace coldshelf::test
