#include "tests/support/faulty_store.h"

#include <algorithm>
#include <utility>

namespace coldshelf::test {

namespace {
constexpr uint64_t kLatestCalls = 40;
}

StoreFaults draw_storm(Random& random) {
  StoreFaults faults;
  faults.error_one_in = 10 + random.below(20);
  faults.lost_one_in = 10 + random.below(20);
  faults.late_one_in = 4 + random.below(10);
  return faults;
}

void LatePuts::add(const std::string& key, Buffer content, const PutOptions& options,
                   uint64_t calls) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back({key, std::move(content), options, calls});
}

std::vector<LatePuts::Put> LatePuts::take_due() {
  const std::lock_guard lock(mutex_);
  std::vector<Put> due;
  for (Put& put : waiting_) {
    if (--put.calls == 0) due.push_back(std::move(put));
  }
  std::erase_if(waiting_, [](const Put& put) { return put.calls == 0; });
  return due;
}

std::vector<LatePuts::Put> LatePuts::take_all() {
  const std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

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

void FaultyStore::carry_out(const std::vector<LatePuts::Put>& puts) {
  for (const LatePuts::Put& put : puts) {
    PutSource source;
    source.bytes = put.content;
    source.size = put.content.size();
    source.sha256 = Sha256::of(put.content);
    static_cast<void>(inner().put(put.key, source, put.options).ok());  // nobody waits for it
    if (watch_) watch_("put", put.key, true);
  }
}

void FaultyStore::carry_out_all() {
  if (late_ != nullptr) carry_out(late_->take_all());
}

FaultyStore::Plan FaultyStore::plan(const char* operation) {
  if (late_ != nullptr) carry_out(late_->take_due());
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
  if (late_ != nullptr && std::string_view(operation) == "put" && !plan.before && !plan.after &&
      chance(faults_.late_one_in)) {
    plan.late = 1 + random_.below(kLatestCalls);
  }
  if (corrupt_gets_ > 0 && std::string(operation) == "get") {
    --corrupt_gets_;
    plan.corrupt = true;
  }
  plan.corrupt = plan.corrupt || chance(faults_.corrupt_one_in);
  return plan;
}

Result<ObjectInfo> FaultyStore::put(const std::string& key, const PutSource& source,
                                    const PutOptions& options) {
  const Plan what = plan("put");
  return pass(what, {StoreCall::put, "put", key, source.size}, [&]() -> Result<ObjectInfo> {
    if (what.late == 0) return inner().put(key, source, options);
    Buffer content = to_buffer(source.bytes);
    if (source.file != nullptr) {
      content.resize(source.size);
      TRY(source.file->read_at(0, content));
    }
    late_->add(key, std::move(content), options, what.late);
    return Error(ErrorCode::unavailable, "put: simulated time-out, to be carried out later");
  });
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
