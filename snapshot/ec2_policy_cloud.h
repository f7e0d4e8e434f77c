// What policies need of AWS, by EC2's API in several accounts and regions.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "snapshot/policy_world.h"
#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

class Ec2PolicyCloud final : public PolicyCloud {
 public:
  struct Env {
    // An account's regions; the gateway's own for "". not_found: no such account.
    std::function<Result<std::vector<std::string>>(const std::string& account)> regions;
    std::function<Result<std::unique_ptr<Ec2Client>>(const PolicyPlace& place)> client;
  };
  explicit Ec2PolicyCloud(Env env) : env_(std::move(env)) {}

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
  int64_t clock_ahead_ms() override;  // the most of all places

 private:
  Result<std::shared_ptr<Ec2Client>> client(const PolicyPlace& place);
  const Env env_;
  std::mutex mutex_;
  std::map<PolicyPlace, std::shared_ptr<Ec2Client>> clients_;
};

}  // namespace coldshelf
