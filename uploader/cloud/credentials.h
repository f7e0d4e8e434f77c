// AWS credentials, found where AWS's own tools find them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/secret.h"
#include "uploader/cloud/http.h"

namespace coldshelf {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  std::string session_token;  // empty: long-lived
  int64_t expires_ms = 0;     // unix; 0: never
};

// Thread-safe.
class CredentialsProvider {
 public:
  virtual ~CredentialsProvider() = default;
  // Fresh ones: refreshed well before they expire; while that fails the old ones go on being used
  // until they have expired. permission: none could be found, the message says where was looked;
  // unavailable: a service that gives them does not answer.
  virtual Result<Credentials> get() = 0;
  // The server refused them: the next get() asks anew.
  virtual void expire() = 0;
};

// Whether a service's error says that the keys have expired, or that it does not know them (any
// more): asked for anew they may be others, as keys in a file that somebody exchanged. All of AWS's
// names for it.
bool are_refused_keys(std::string_view error_name);

// As given.
std::unique_ptr<CredentialsProvider> make_static_credentials(Credentials credentials);

struct CredentialOptions {
  // Given: that profile and no other place. Empty: the whole chain, with $AWS_PROFILE or "default".
  std::string profile;
  std::string region;  // for STS
  // Each may be replaced by a test.
  std::function<const char*(const char*)> environment;  // std::getenv
  std::string home;                                     // $HOME
  std::string imds_endpoint;       // $AWS_EC2_METADATA_SERVICE_ENDPOINT, http://169.254.169.254
  std::string sts_endpoint;        // $AWS_ENDPOINT_URL_STS, https://sts.<region>.amazonaws.com
  std::string sso_endpoint;        // https://portal.sso.<region>.amazonaws.com
  std::string sso_oidc_endpoint;   // https://oidc.<region>.amazonaws.com
  std::string container_endpoint;  // http://169.254.170.2
};
// One thread refreshes; the others go on with the old ones meanwhile. Once a place has given
// credentials, only that place is asked again: a gateway does not change its identity by itself.
// The chain of the AWS SDKs and the CLI: environment; web identity
// (AWS_WEB_IDENTITY_TOKEN_FILE); the profile of ~/.aws/config and ~/.aws/credentials (static keys,
// source_profile and credential_source with role_arn, credential_process, SSO's token cache, web
// identity); container (ECS, EKS Pod Identity); EC2 instance metadata (IMDSv2).
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
std::unique_ptr<CredentialsProvider> make_credential_chain(FileSystem& files, Clock& clock,
                                                           HttpTransport& transport,
                                                           CredentialOptions options);

// As the AWS CLI finds it: $AWS_REGION, $AWS_DEFAULT_REGION, the profile's region, and, when
// `ask_instance`, EC2's metadata. "" when nobody says.
Result<std::string> find_aws_region(FileSystem& files, Clock& clock, HttpTransport& transport,
                                    const CredentialOptions& options, bool ask_instance);

}  // namespace coldshelf
