#include "gateway/store_keeper.h"

namespace coldshelf {

using Json = nlohmann::json;

Json to_json(const StoreCheckReport& report) {
  Json out = {{"Cartridges", report.cartridges},
              {"Segments", report.segments},
              {"Bytes", report.bytes},
              {"ReadSegments", report.read_segments},
              {"ColdSegments", report.cold_segments},
              {"Orphans", report.orphans},
              {"OrphanBytes", report.orphan_bytes},
              {"ProblemCount", report.problems_total},
              {"Problems", Json::array()}};
  for (const StoreProblem& p : report.problems) {
    out["Problems"].push_back(
        {{"Kind", p.kind}, {"Key", p.key}, {"Barcode", p.barcode}, {"What", p.what}});
  }
  return out;
}

Json to_json(const StoreGcReport& report) {
  return {{"Cartridges", report.cartridges},      {"Deleted", report.deleted},
          {"DeletedBytes", report.deleted_bytes}, {"KeptYoung", report.kept_young},
          {"KeptLiving", report.kept_living},     {"Locked", report.locked},
          {"Unfinished", report.unfinished},      {"Keys", report.keys},
          {"Problems", report.problems}};
}

FindDataKey OpenedCartridges::counting(FindDataKey find) {
  return [this, find = std::move(find)](const Manifest& manifest) -> std::optional<Secret> {
    ++encrypted_;
    std::optional<Secret> key;
    if (find) key = find(manifest);
    if (key) ++opened_;
    return key;
  };
}

void OpenedCartridges::add_to(nlohmann::json& report) const {
  report["EncryptedCartridges"] = encrypted_.load();
  report["OpenedCartridges"] = opened_.load();
}

Status StoreKeeper::start(const std::string& kind, Task task) {
  const std::lock_guard lock(mutex_);
  if (state_ == "running") {
    return Error(ErrorCode::conflict, "store " + kind_ + " is under way; wait for its end");
  }
  if (thread_.joinable()) thread_.join();  // it has ended
  kind_ = kind;
  state_ = "running";
  error_.clear();
  done_ = total_ = 0;
  report_ = nullptr;
  thread_ = std::thread([this, task = std::move(task)] {
    const Result<Json> done = task();
    const std::lock_guard end(mutex_);
    state_ = done.ok() ? "succeeded" : "failed";
    if (done.ok()) {
      report_ = *done;
    } else {
      error_ = done.error().message();
    }
  });
  return {};
}

void StoreKeeper::show(size_t done, size_t total) {
  const std::lock_guard lock(mutex_);
  done_ = done;
  total_ = total;
}

Status StoreKeeper::start_check(bool deep) {
  return start("verify", [this, deep]() -> Result<Json> {
    OpenedCartridges opened;
    StoreCheckOptions options;
    options.deep = deep;
    options.data_key = opened.counting(env_.data_key);
    options.progress = [this](size_t done, size_t total) { show(done, total); };
    options.abandon = &abandon_;
    ASSIGN_OR_RETURN(const StoreCheckReport report,
                     check_store(*env_.store, *env_.clock, *env_.buffers, options));
    Json out = to_json(report);
    opened.add_to(out);
    return out;
  });
}

Status StoreKeeper::start_gc(bool dry_run, int64_t min_age_ms) {
  return start("gc", [this, dry_run, min_age_ms]() -> Result<Json> {
    StoreGcOptions options;
    options.dry_run = dry_run;
    options.min_age_ms = min_age_ms;
    options.progress = [this](size_t done, size_t total) { show(done, total); };
    options.abandon = &abandon_;
    ASSIGN_OR_RETURN(const StoreGcReport report,
                     collect_store_garbage(*env_.store, *env_.clock, options));
    return to_json(report);
  });
}

Json StoreKeeper::describe() const {
  const std::lock_guard lock(mutex_);
  Json out = {{"Kind", kind_}, {"State", state_}, {"Done", done_}, {"Total", total_}};
  if (state_ == "succeeded") out["Report"] = report_;
  if (state_ == "failed") out["Error"] = error_;
  return out;
}

void StoreKeeper::stop() {
  abandon_ = true;
  if (thread_.joinable()) thread_.join();
}

}  // namespace coldshelf
