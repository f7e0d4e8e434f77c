// Policies in the daemon: the engine, and the threads that carry it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "snapshot/policy_engine.h"
#include "snapshot/policy_report.h"

namespace coldshelf {

class PolicyService {
 public:
  struct Env {
    FileSystem* files = nullptr;
    Clock* clock = nullptr;
    Random* random = nullptr;  // thread-safe
    NotificationSink* notify = nullptr;
    Quiescer* quiescer = nullptr;  // whoever has it thaws what a former process left behind
    std::string directory;         // of the data directory; "policies" is made in it
    std::string gateway;
    std::unique_ptr<PolicyCloud> cloud;
    std::unique_ptr<PolicyArchive> archive;
    unsigned pulls = 2;  // at once
  };
  static Result<std::unique_ptr<PolicyService>> open(Env env, std::vector<Policy> configured);
  ~PolicyService();  // stop()
  PolicyService(const PolicyService&) = delete;
  PolicyService& operator=(const PolicyService&) = delete;

  void start();
  // What is under way ends first: the archive must have been told to give up its pulls.
  void stop();
  void wake();  // something is due now

  PolicyEngine& engine() { return *engine_; }

 private:
  explicit PolicyService(Env env);
  void run_steps();
  void run_pulls();
  void complain(const Error& error);
  bool wait(int64_t longest_ms);  // false: we are ending

  const Env env_;
  std::unique_ptr<PolicyEngine> engine_;
  int64_t complained_ms_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  uint64_t woken_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace coldshelf
