// The store looked over and cleaned by a running gateway: one task at a time, on its own thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "uploader/bucket_check.h"

namespace coldshelf {

nlohmann::json to_json(const StoreCheckReport& report);
nlohmann::json to_json(const StoreGcReport& report);

// How many of the encrypted cartridges a deep check looks into: one without its key is read and its
// digests are checked, its content is not decrypted, and the report must say so. Thread-safe.
class OpenedCartridges {
 public:
  FindDataKey counting(FindDataKey find);  // is not called after this object is gone
  void add_to(nlohmann::json& report) const;

 private:
  std::atomic<uint64_t> encrypted_{0}, opened_{0};
};

class StoreKeeper {
 public:
  struct Env {
    ObjectStore* store = nullptr;
    Clock* clock = nullptr;
    std::shared_ptr<BufferPool> buffers;
    FindDataKey data_key = {};
  };
  explicit StoreKeeper(Env env) : env_(std::move(env)) {}
  ~StoreKeeper() { stop(); }

  // conflict: a task is running.
  Status start_check(bool deep);
  Status start_gc(bool dry_run, int64_t min_age_ms);
  // {"Kind", "State": "none", "running", "succeeded" or "failed", "Done", "Total", "Report",
  // "Error"}
  nlohmann::json describe() const;
  void stop();  // ends the task

 private:
  using Task = std::function<Result<nlohmann::json>()>;
  Status start(const std::string& kind, Task task);
  void show(size_t done, size_t total);

  const Env env_;
  mutable std::mutex mutex_;
  std::string kind_, state_ = "none", error_;
  size_t done_ = 0, total_ = 0;
  nlohmann::json report_;
  std::atomic<bool> abandon_{false};
  std::thread thread_;
};

}  // namespace coldshelf
