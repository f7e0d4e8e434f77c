// What policies see of AWS and of the archive, from the daemon's parts.
#pragma once

#include <memory>

#include "gateway/aws_accounts.h"
#include "snapshot/policy_world.h"

namespace coldshelf {

// `accounts` outlives it.
std::unique_ptr<PolicyCloud> make_policy_cloud(AwsAccounts& accounts);

// Of a gateway that keeps no EBS snapshots: policies make and delete them in AWS alone, and what
// asks for a pull is told that there is none.
std::unique_ptr<PolicyArchive> make_aws_only_archive();

}  // namespace coldshelf
