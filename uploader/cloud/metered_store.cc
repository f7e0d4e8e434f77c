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

}  // namespace coldshelf
