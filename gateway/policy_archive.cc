#include "gateway/policy_archive.h"

#include "snapshot/ec2_policy_cloud.h"

namespace coldshelf {

namespace {
// Of a request; after that policies have longer pauses of their own. All wait meanwhile, and an
// instance may be frozen.
constexpr int64_t kPatienceMs = 60'000;
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
    return accounts.ec2({place.account, place.region}, nullptr, kPatienceMs);
  };
  return std::make_unique<Ec2PolicyCloud>(std::move(env));
}

}  // namespace coldshelf
