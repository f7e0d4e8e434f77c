// What policies see of AWS, from the daemon's parts. Of the archive: policy_snapshots.h.
#pragma once

#include <memory>

#include "gateway/aws_accounts.h"
#include "snapshot/policy_world.h"

namespace coldshelf {

// `accounts` outlives it.
std::unique_ptr<PolicyCloud> make_policy_cloud(AwsAccounts& accounts);

}  // namespace coldshelf
