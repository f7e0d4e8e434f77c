// The archive of EBS snapshots as policies see it.
#pragma once

#include <atomic>
#include <memory>

#include "gateway/snapshot_service.h"
#include "snapshot/policy_world.h"

namespace coldshelf {

class PolicySnapshots final : public PolicyArchive {
 public:
  // Both outlive it.
  PolicySnapshots(SnapshotService& snapshots, Clock& clock)
      : snapshots_(snapshots), clock_(clock) {}

  Result<std::vector<ArchivePoint>> points() override;
  // By a job of the service, which goes on after a restart: whoever asks again waits for it.
  Status pull(const PolicyPlace& place, const CloudSnapshot& snapshot) override;
  Status remove(const std::string& archive, const std::string& point) override;
  void give_up() { stopping_ = true; }  // pulls that are waited for end soon, with cancelled

 private:
  bool is_held(const std::string& snapshot);
  bool is_on_its_way(const std::string& volume);  // its archive, to the shelf or back
  Status wait_for(int64_t job);
  SnapshotService& snapshots_;
  Clock& clock_;
  std::atomic<bool> stopping_{false};
};

}  // namespace coldshelf
