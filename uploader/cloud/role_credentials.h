// Credentials of a role in this or another account, by STS AssumeRole as somebody else; asked for
// anew before they expire. Thread-safe.
#pragma once

#include <memory>

#include "uploader/cloud/credentials.h"
#include "uploader/cloud/sts_client.h"

namespace coldshelf {

std::unique_ptr<CredentialsProvider> make_role_credentials(
    std::shared_ptr<CredentialsProvider> as, AssumeRole role, std::string region,
    std::string sts_endpoint, std::shared_ptr<Clock> clock,
    std::shared_ptr<HttpTransport> transport);

}  // namespace coldshelf
