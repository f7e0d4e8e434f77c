#include "uploader/cloud/metered_store.h"

namespace coldshelf {

namespace {

// An answer is an answer, "there is no such object" too. What is wrong with the store, the way to
// it, or what we may do there, is not one.
bool is_no_answer(const Error& error) {
  if (error.code == ErrorCode::permission || error.code == ErrorCode::io ||
      error.code == ErrorCode::no_space) {
    return true;
  }
  return error.disposition == Disposition::retry && error.code != ErrorCode::precondition_failed &&
         error.code != ErrorCode::conflict;
}

}  // namespace

std::string_view to_string(StoreCall call) {
  constexpr std::string_view kNames[kStoreCalls] = {"put",  "get",     "head", "list", "remove",
                                                    "copy", "restore", "lock", "other"};
  return kNames[static_cast<size_t>(call)];
}

StoreMeter::Call StoreMeter::call(StoreCall kind) const {
  const Counters& counters = calls_[static_cast<size_t>(kind)];
  Call out;
  out.latency = counters.latency.snapshot();
  out.bytes = counters.bytes.load(std::memory_order_relaxed);
  out.errors = counters.errors.load(std::memory_order_relaxed);
  return out;
}

StoreMeter::Reach StoreMeter::reach() const {
  const std::lock_guard lock(mutex_);
  return reach_;
}

void StoreMeter::end(StoreCall kind, int64_t begun_ns, uint64_t bytes, const Error* error) {
  // Given up by a program that stops: says nothing about the store.
  if (error != nullptr && error->disposition == Disposition::cancelled) return;
  Counters& counters = calls_[static_cast<size_t>(kind)];
  counters.latency.record(clock_.monotonic_ns() - begun_ns);
  const bool failed = error != nullptr && is_no_answer(*error);
  if (failed) counters.errors.fetch_add(1, std::memory_order_relaxed);
  if (error == nullptr) counters.bytes.fetch_add(bytes, std::memory_order_relaxed);
  const int64_t now = clock_.unix_ms();
  const std::lock_guard lock(mutex_);
  if (!failed) {
    reach_ = Reach{now, 0, 0, {}};
    return;
  }
  if (reach_.failing_since_ms == 0) reach_.failing_since_ms = now;
  ++reach_.failures;
  reach_.problem = error->message();
}

template <typename Work>
auto MeteredStore::metered(StoreCall kind, uint64_t bytes, const Work& work) -> decltype(work()) {
  const int64_t begun = meter_->begin();
  auto result = work();
  meter_->end(kind, begun, bytes, result.ok() ? nullptr : &result.error());
  return result;
}

Result<ObjectInfo> MeteredStore::put(const std::string& key, const PutSource& source,
                                     const PutOptions& options) {
  return metered(StoreCall::put, source.size, [&] { return inner_->put(key, source, options); });
}

Status MeteredStore::get(const std::string& key, uint64_t offset, MutableBytes out) {
  return metered(StoreCall::get, out.size(), [&] { return inner_->get(key, offset, out); });
}

Result<ObjectInfo> MeteredStore::head(const std::string& key) {
  return metered(StoreCall::head, 0, [&] { return inner_->head(key); });
}

Result<ObjectStore::ListPage> MeteredStore::list(const std::string& prefix,
                                                 const std::string& continue_after, size_t limit) {
  return metered(StoreCall::list, 0, [&] { return inner_->list(prefix, continue_after, limit); });
}

Result<ObjectStore::FolderPage> MeteredStore::list_folders(const std::string& prefix,
                                                           const std::string& continue_after,
                                                           size_t limit) {
  return metered(StoreCall::list, 0,
                 [&] { return inner_->list_folders(prefix, continue_after, limit); });
}

Status MeteredStore::remove(const std::string& key) {
  return metered(StoreCall::remove, 0, [&] { return inner_->remove(key); });
}

Status MeteredStore::remove_all(const std::vector<std::string>& keys) {
  return metered(StoreCall::remove, 0, [&] { return inner_->remove_all(keys); });
}

Result<ObjectInfo> MeteredStore::change_class(const std::string& key, StorageClass storage_class) {
  return metered(StoreCall::copy, 0, [&] { return inner_->change_class(key, storage_class); });
}

Status MeteredStore::restore(const std::string& key, RestoreTier tier, unsigned days) {
  return metered(StoreCall::restore, 0, [&] { return inner_->restore(key, tier, days); });
}

Status MeteredStore::set_lock(const std::string& key, const ObjectLock& lock) {
  return metered(StoreCall::lock, 0, [&] { return inner_->set_lock(key, lock); });
}

Result<ObjectLock> MeteredStore::lock_of(const std::string& key) {
  return metered(StoreCall::lock, 0, [&] { return inner_->lock_of(key); });
}

Result<StoreCapabilities> MeteredStore::capabilities() {
  return metered(StoreCall::other, 0, [&] { return inner_->capabilities(); });
}

Result<size_t> MeteredStore::abort_unfinished(const std::string& prefix, int64_t age_ms) {
  return metered(StoreCall::other, 0, [&] { return inner_->abort_unfinished(prefix, age_ms); });
}

}  // namespace coldshelf
