// AWS Security Token Service: temporary credentials for a role.
#pragma once

#include <string>

#include "uploader/cloud/credentials.h"

namespace coldshelf {

struct AssumeRole {
  std::string role_arn;
  std::string session_name;
  std::string external_id;       // may be empty
  int64_t duration_seconds = 0;  // 0: STS's default, an hour
};

class StsClient {
 public:
  // `endpoint`: empty for the region's own.
  StsClient(Clock& clock, HttpTransport& transport, std::string region, std::string endpoint);
  // `refused_with`: STS's name of the error, when it answered with one.
  Result<Credentials> assume_role(const AssumeRole& role, const Credentials& as,
                                  std::string* refused_with = nullptr);
  // Unsigned: the token (OpenID Connect) is the proof.
  Result<Credentials> assume_role_with_web_identity(const AssumeRole& role,
                                                    const std::string& token);

 private:
  Result<Credentials> call(const AssumeRole& role, const std::string& action,
                           std::vector<std::pair<std::string, std::string>> parameters,
                           const Credentials* as, std::string* refused_with);
  Clock& clock_;
  HttpTransport& transport_;
  const std::string region_;
  const std::string endpoint_;
};

}  // namespace coldshelf
