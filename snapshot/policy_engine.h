// Carries policies out. Level-triggered: each step looks at what is there and does what is left, so
// that a crash, a lost answer or a day without a network only means a later step.
//
// Order, for a crash at any place:
//   1. A run is durable before anything is done for it; the moment it was due is in it.
//   2. An attempt to make snapshots is counted, durable, before the call. Whoever finds an attempt
//      without a result looks for snapshots with the run's tag first.
//   3. A pull is asked for again until the archive says it has the point.
//   4. Deletions are planned from what is there when they are done, never from memory.
//   5. A run that ended is told about until a receiver has it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "snapshot/policy_plan.h"
#include "snapshot/policy_run.h"
#include "uploader/cloud/notification.h"

namespace coldshelf {

class PolicyEngine {
 public:
  struct Env {
    FileSystem* files = nullptr;
    Clock* clock = nullptr;
    Random* random = nullptr;  // thread-safe
    PolicyCloud* cloud = nullptr;
    PolicyArchive* archive = nullptr;
    Quiescer* quiescer = nullptr;
    NotificationSink* notify = nullptr;
    std::string directory;  // of the journal
    std::string gateway;    // its id: two gateways may have policies of the same name
    ZoneOffset zone = local_zone_offset;
  };
  explicit PolicyEngine(Env env);
  ~PolicyEngine();
  PolicyEngine(const PolicyEngine&) = delete;
  PolicyEngine& operator=(const PolicyEngine&) = delete;

  // Reads the journal. `configured` wins over what the API made under the same name.
  Status open(std::vector<Policy> configured);

  // All that is due now, pulls excepted. One caller at a time. Errors are the runs' own; what is
  // returned means that nothing can be written down any more.
  Status step();
  // The oldest pull that is due, until it ends. False: there is none. Several callers may be here;
  // of one volume one pull is under way.
  Result<bool> pull_next();

  struct Info {
    Policy policy;
    bool configured = false;  // in the configuration's file: the API cannot change it
    int64_t next_ms = 0;      // 0: never by itself
    size_t open_runs = 0;
    std::string last_run;
    int64_t last_finished_ms = 0;
    size_t last_failed = 0;
  };
  std::vector<Info> policies() const;  // by name
  Result<Info> policy(const std::string& name) const;
  std::vector<PolicyRun> runs(const std::string& name) const;  // by time, the last 100 that ended
  Status put(const Policy& policy);                            // by the API
  Status remove(const std::string& name);
  Result<std::string> run_now(const std::string& name);  // the run's id

  // What a run would do now. Errors of places are in `failed`.
  struct Preview {
    std::vector<PolicyTarget> targets;
    std::vector<PolicyNote> skipped;
    std::vector<AwsDeletion> aws_deletions;
    std::vector<ArchiveDeletion> archive_deletions;
    std::vector<std::string> failed;
  };
  Result<Preview> preview(const std::string& name);

  const Env& env() const { return env_; }
  // What ages are counted to: our time or AWS's, whichever is earlier. A clock that is wrong must
  // not make everything old.
  int64_t expiry_now() const;
  uint64_t changes() const { return changes_; }  // of runs: a step that made some came further

 private:
  struct Shared;  // outlives us in callbacks
  class Making;   // the snapshots of one target
  using Change = std::function<void(PolicyRun&)>;

  Status start_due_runs(const Policy& policy);
  Status set_seen(const std::string& policy, int64_t ms);
  bool has_run(const std::string& policy, const std::string& id) const;
  Status begin_run(const Policy& policy, int64_t due_ms, unsigned missed, bool by_hand,
                   std::string* id);
  Status advance(const Policy& policy, const PolicyRun& run);
  Status choose(const Policy& policy, const PolicyRun& run);
  Status choose_in(const Policy& policy, const PolicyRun& run, const PolicyRun::Place& place);
  // One attempt for each target of `run` that is due. False: others wait for theirs.
  Result<bool> make_wanted(const Policy& policy, const PolicyRun& run);
  Status create(const Policy& policy, const PolicyRun& run);
  Status settle(const Policy& policy, const PolicyRun& run);
  Status retain(const Policy& policy, const PolicyRun& run);
  Status retain_in_aws(const Policy& policy, const PolicyRun& run, const PolicyRun::Place& place,
                       const std::set<std::string>& archived);
  Status retain_in_archive(const Policy& policy, const PolicyRun& run,
                           const std::vector<ArchivePoint>& points);
  Status finish(const Policy& policy, const PolicyRun& run);
  Status tell(const PolicyRun& run, PolicyNotify when);
  Status prune(const std::string& policy);

  // Changes a run: durable first, then in memory. not_found: it was pruned.
  Status update(const PolicyRun& run, const Change& change);
  std::vector<PolicyRun> unfinished(const std::string& policy) const;
  PolicyRun as_it_is(const PolicyRun& run) const;  // now; it is there
  std::set<std::string> busy_snapshots() const;
  PolicyTags tags_of(const Policy& policy, const PolicyRun& run) const;
  // By which a run's snapshots are found; the policy's own tags may be others by then.
  PolicyTags marks_of(const PolicyRun& run) const;
  int64_t now() const { return env_.clock->unix_ms(); }

  const Env env_;
  PolicyJournal journal_;
  const std::shared_ptr<Shared> shared_;
  mutable std::mutex mutex_;  // never held during a call to AWS, the archive or a command
  std::map<std::string, Policy> policies_;
  std::set<std::string> configured_;
  std::map<std::string, int64_t> seen_;                           // the moment handled last
  std::map<std::string, std::map<std::string, PolicyRun>> runs_;  // by policy and id
  std::set<std::string> pulling_;                                 // "place volume"
  std::atomic<uint64_t> changes_{0};
};

}  // namespace coldshelf
