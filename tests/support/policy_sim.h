// AWS, our archive, a quiescer and a receiver of notifications, as policies see them: in memory, on
// a simulated clock, with seeded faults. It checks every deletion when it is asked for.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "snapshot/policy_engine.h"
#include "tests/support/sim_clock.h"

namespace coldshelf::test {

struct PolicySimCrash {};  // thrown in the middle of a call

class PolicySim final : public PolicyCloud,
                        public PolicyArchive,
                        public Quiescer,
                        public NotificationSink {
 public:
  PolicySim(uint64_t seed, SimClock& clock, std::string gateway);

  // One in so many calls; 0: never.
  struct Faults {
    uint64_t refused = 0;  // before anything was done
    uint64_t lost = 0;     // the answer, after it was done
    uint64_t crash = 0;    // before or after
    uint64_t bad_snapshots = 0;
    uint64_t quiesce = 0;
    uint64_t receiver = 0;
  };
  Faults faults;
  std::set<std::string> on_shelf;      // volumes whose archives are ARCHIVED
  std::set<std::string> silent;        // regions that do not answer, each time for five minutes
  std::optional<unsigned> calls_left;  // to AWS; then the gateway stops, and they are cancelled
  unsigned lost_creations = 0;         // answers, so many
  unsigned unanswered_deletions = 0;   // so many, in AWS
  int64_t listed_after_ms = 0;         // a new snapshot is not listed before: eventual consistency
  int64_t gateway_ahead_ms = 0;        // the gateway's clock is wrong
  int64_t freeze_ms = 0;               // that freezing takes
  bool crash_after_create = false;     // once

  std::string add_volume(const PolicyPlace& place, const std::string& instance,
                         const PolicyTags& tags);
  void change_volumes();  // a day's worth: new ones, others go, are attached, get other tags
  void forget_callbacks() { callbacks_.clear(); }  // the process has ended
  void deliver();                                  // what the receiver has taken is settled

  // PolicyCloud
  Result<std::vector<PolicyPlace>> places(const Policy& policy) override;
  Result<std::vector<CloudVolume>> volumes(const PolicyPlace& place,
                                           const PolicyTags& tags) override;
  Result<std::vector<CloudVolume>> volumes_of(const PolicyPlace& place,
                                              const std::string& instance) override;
  Result<std::vector<CloudSnapshot>> snapshots(const PolicyPlace& place,
                                               const PolicyTags& tags) override;
  Result<std::vector<CloudSnapshot>> create(const PolicyPlace& place,
                                            const CloudSnapshotOrder& order) override;
  Status remove(const PolicyPlace& place, const std::string& snapshot) override;
  int64_t clock_ahead_ms() override { return gateway_ahead_ms; }
  // PolicyArchive
  Result<std::vector<ArchivePoint>> points() override;
  Status pull(const PolicyPlace& place, const CloudSnapshot& snapshot) override;
  Status remove(const std::string& archive, const std::string& point) override;
  // Quiescer
  Result<std::unique_ptr<Frozen>> freeze(const QuiesceCommands& commands,
                                         const std::string& what) override;
  // NotificationSink
  void send(Notification notification, std::function<void(bool)> settled) override;

  struct Seen {
    std::vector<std::string> broken;  // what must never happen
    uint64_t snapshots_made = 0;
    uint64_t snapshots_deleted = 0;
    uint64_t points_deleted = 0;
    uint64_t pulls_in_full = 0;
    uint64_t pulls = 0;
    uint64_t freezes = 0;
    uint64_t crashes = 0;
    std::map<std::string, unsigned> told;  // by run, how often
    std::vector<Notification> notifications;
    std::string text;           // all failures that were told
    std::set<std::string> bad;  // snapshots that did not complete
  };
  Seen seen;
  int frozen = 0;
  const std::map<PolicyPlace, std::map<std::string, CloudSnapshot>>& all_snapshots() const {
    return snapshots_;
  }
  const std::vector<ArchivePoint>& all_points() const { return points_; }
  std::set<std::string> all_volumes() const;

 private:
  Status trouble(const char* what);  // before
  Status call_aws(const char* what);
  Status after(const char* what);  // the answer is lost
  void broken(const std::string& what) { seen.broken.push_back(what); }
  void ripen();
  int64_t now() { return clock_.unix_ms() - gateway_ahead_ms; }  // AWS's
  std::string id(const char* kind) { return std::string(kind) + std::to_string(++last_id_); }

  SeededRandom random_;
  SimClock& clock_;
  const std::string gateway_;
  uint64_t last_id_ = 0;
  std::map<PolicyPlace, std::map<std::string, CloudVolume>> volumes_;
  std::map<PolicyPlace, std::map<std::string, CloudSnapshot>> snapshots_;
  std::map<std::string, int64_t> completes_ms_;
  std::vector<ArchivePoint> points_;
  std::set<std::string> was_pulled_;  // volumes of which there was a point
  std::vector<std::function<void(bool)>> callbacks_;
};

}  // namespace coldshelf::test
