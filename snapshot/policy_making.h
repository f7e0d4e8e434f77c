// Makes the snapshots of one target of a run: an instance's at once, or a single volume's.
#pragma once

#include "snapshot/policy_engine.h"

namespace coldshelf {

class PolicyEngine::Making {
 public:
  Making(PolicyEngine& engine, const Policy& policy, const PolicyRun& run,
         const PolicyTarget& target)
      : engine_(engine), policy_(policy), run_(run), target_(target) {}
  // One attempt. What became of it is in the run's items.
  Status make();

 private:
  using Each = std::function<void(PolicyRun&, PolicyItem&)>;
  Status change(const Each& each);  // the target's items that are still wanted
  Result<unsigned> count();         // this attempt
  Status put_off();                 // the next one: EC2 has its time from now on
  Result<bool> find_earlier();
  // Without volumes: there is nothing to make. Learns root_.
  Result<CloudSnapshotOrder> order();
  Status freeze_and_create(const CloudSnapshotOrder& order);
  Status fail(const Error& why);
  Status give_up();
  Status take(const std::vector<CloudSnapshot>& made);
  Status leave_out();
  std::string name() const;

  PolicyEngine& engine_;
  const Policy& policy_;
  const PolicyRun& run_;
  const PolicyTarget& target_;
  std::string root_;  // the instance's boot volume
};

}  // namespace coldshelf
