// One run of a policy, from the moment it was due until everybody was told: what is durable of it,
// and where.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "snapshot/policy_world.h"

namespace coldshelf {

enum class PolicyItemState {
  wanted,   // a snapshot is to be made
  created,  // AWS makes it
  ready,    // complete in AWS, to be pulled
  done,     // complete, and pulled if the policy says so
  failed,
  skipped,
  archived,  // complete in AWS, not pulled: its archive is on the shelf, and must come back first
};
std::string_view to_string(PolicyItemState state);

// One volume of a run.
struct PolicyItem {
  PolicyPlace place;
  std::string instance;
  std::string volume;
  std::string snapshot;
  PolicyItemState state = PolicyItemState::wanted;
  unsigned attempts = 0;    // to make it, or to pull it; counted before each
  int64_t next_try_ms = 0;  // not before
  int64_t since_ms = 0;     // in this state
  std::string note;         // the last error

  bool settled() const {
    return state == PolicyItemState::done || state == PolicyItemState::failed ||
           state == PolicyItemState::skipped || state == PolicyItemState::archived;
  }
};

struct PolicyRun {
  enum class Phase {
    choose,  // which volumes
    create,  // their snapshots
    settle,  // complete in AWS, pulled
    retain,  // what is to go, goes
    done,
  };
  struct Place {  // of `choose` and `retain`: what is still to be looked at
    PolicyPlace place;
    unsigned attempts = 0;
    int64_t next_try_ms = 0;
  };
  std::string policy;
  std::string id;  // "20261127T023000Z", by hand "20261127T023000Z-1a2b3c": sorts by time
  Phase phase = Phase::choose;
  bool by_hand = false;
  unsigned missed = 0;  // earlier moments that this run makes up for
  int64_t due_ms = 0;
  int64_t started_ms = 0;
  int64_t finished_ms = 0;  // 0: not yet
  bool places_known = false;
  unsigned attempts = 0;  // to learn the places
  int64_t next_try_ms = 0;
  std::vector<Place> places;
  std::vector<PolicyItem> items;
  std::vector<std::string> done;
  std::vector<std::string> skipped;
  std::vector<std::string> failed;
  bool notified = false;
  unsigned notify_attempts = 0;
  int64_t notify_next_ms = 0;

  bool finished() const { return phase == Phase::done; }
  size_t not_pulled() const;  // items that are PolicyItemState::archived
};
std::string_view to_string(PolicyRun::Phase phase);
nlohmann::json policy_run_json(const PolicyRun& run);
Result<PolicyRun> policy_run_from_json(const nlohmann::json& json);

// DIRECTORY/NAME/seen: when the policy was first seen; DIRECTORY/NAME/schedule: the one it had
// last; DIRECTORY/NAME/definition.json: when the API made it; DIRECTORY/NAME/runs/ID.json. Each
// file is replaced atomically and synced.
class PolicyJournal {
 public:
  PolicyJournal(FileSystem& files, std::string directory);

  struct Loaded {
    std::vector<Policy> definitions;
    std::vector<PolicyRun> runs;  // by time
    std::vector<std::pair<std::string, int64_t>> seen;
    std::map<std::string, std::string> schedules;
    std::vector<std::string> problems;  // files that cannot be read: left alone
  };
  Result<Loaded> load();
  Status save_seen(const std::string& policy, int64_t ms);
  Status save_schedule(const Policy& policy);
  Status save_definition(const Policy& policy);
  Status remove_definition(const std::string& policy);
  Status save(const PolicyRun& run);
  Status remove(const PolicyRun& run);

 private:
  std::string folder(const std::string& policy) const { return join_path(directory_, policy); }
  Status load_policy(const std::string& name, Loaded& out);
  Status load_runs(const std::string& name, Loaded& out);
  FileSystem& files_;
  const std::string directory_;
};

}  // namespace coldshelf
