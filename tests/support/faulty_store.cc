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

Status FaultyStore::get(const std::string& key, uint64_t offset, MutableBytes out) {
  const Plan what = plan("get");
  if (watch_) watch_("get", key, false);
  if (what.before) return *what.before;
  TRY(inner().get(key, offset, out));
  if (what.after) return *what.after;
  if (what.corrupt && !out.empty()) {
    const std::lock_guard lock(mutex_);
    out[static_cast<size_t>(random_.below(out.size()))] ^= std::byte{1};
  }
  return {};
}

Status FaultyStore::restore(const std::string& key, RestoreTier tier, unsigned days) {
  return pass({StoreCall::restore, "restore", key}, [&]() -> Status {
    if (refused_tier_ && refused_tier_->first == tier) return refused_tier_->second;
    return inner().restore(key, tier, days);
  });
}

Result<StoreCapabilities> FaultyStore::capabilities() {
  if (capabilities_) return *capabilities_;
  return inner().capabilities();
}

}  // namespace coldshelf::test
