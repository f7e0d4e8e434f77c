// The single places credentials come from; credentials.cc strings them together.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "uploader/cloud/aws_profiles.h"
#include "uploader/cloud/credentials.h"

namespace coldshelf {

struct CredentialContext {
  FileSystem& files;
  Clock& clock;
  HttpTransport& transport;
  CredentialOptions options;

  std::string env(const char* name) const;  // "" when not set
  std::string home() const;
  std::string profile_name() const;  // as options, environment or "default" say
  Result<AwsProfiles> profiles() const;
};

// nullopt: this place is not set up, look further. An error: it is, and gives nothing.
using MaybeCredentials = std::optional<Credentials>;

Result<MaybeCredentials> credentials_of_environment(const CredentialContext& context);
Result<MaybeCredentials> credentials_of_web_identity(const CredentialContext& context);
// `required`: that there is no such profile, or that it names no credentials, is an error.
Result<MaybeCredentials> credentials_of_profile(const CredentialContext& context,
                                                const std::string& profile, bool required);
Result<MaybeCredentials> credentials_of_container(const CredentialContext& context);
Result<MaybeCredentials> credentials_of_instance(const CredentialContext& context);
Result<Credentials> credentials_of_sso(const CredentialContext& context, const AwsProfiles& files,
                                       const std::string& profile, const AwsSettings& settings);
Result<Credentials> credentials_of_process(const CredentialContext& context,
                                           const std::string& command);
// "" when there is no metadata service, or it does not say.
std::string region_of_instance(const CredentialContext& context);

// JSON as credential_process, containers and EC2 give it: AccessKeyId, SecretAccessKey,
// `token_name` and Expiration. `where` is for messages.
Result<Credentials> parse_credentials_json(std::string_view text, const char* token_name,
                                           const std::string& where);
Result<int64_t> credentials_json_version(std::string_view text, const std::string& where);
std::optional<int64_t> parse_iso8601_ms(
    std::string_view text);  // 2026-11-21T01:02:03[.004](Z|+hh:mm)

// "https://<service>.<region>.<the partition's domain>".
std::string aws_endpoint(std::string_view service, const std::string& region);

// unavailable or permission, as `status` is about; the message says which service answered what.
Error error_of_answer(const std::string& service, int status, const std::string& said);
// A transport's error: what no server decided is worth another try.
Error error_of_transport(const std::string& service, const Error& error);

}  // namespace coldshelf
