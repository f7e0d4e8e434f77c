#include "gateway/policy_archive.h"

#include "snapshot/ec2_policy_cloud.h"

namespace coldshelf {

namespace {

class AwsOnlyArchive final : public PolicyArchive {
 public:
  Result<std::vector<ArchivePoint>> points() override { return std::vector<ArchivePoint>(); }
  Status pull(const PolicyPlace&, const CloudSnapshot&) override {
    return Error(ErrorCode::not_supported,
                 "this gateway does not pull snapshots; set pull = false in the policy");
  }
  Status remove(const std::string&, const std::string&) override { return {}; }
};

}  // namespace

std::unique_ptr<PolicyCloud> make_policy_cloud(AwsAccounts& accounts) {
  Ec2PolicyCloud::Env env;
  env.regions = [&accounts](const std::string& account) -> Result<std::vector<std::string>> {
    ASSIGN_OR_RETURN(std::vector<std::string> regions, accounts.regions(account));
    if (!regions.empty()) return regions;
    ASSIGN_OR_RETURN(const AwsPlace own, accounts.resolve({account, ""}));
    return std::vector<std::string>{own.region};
  };
  env.client = [&accounts](const PolicyPlace& place) {
    return accounts.ec2({place.account, place.region});
  };
  return std::make_unique<Ec2PolicyCloud>(std::move(env));
}

std::unique_ptr<PolicyArchive> make_aws_only_archive() {
  return std::make_unique<AwsOnlyArchive>();
}

}  // namespace coldshelf
