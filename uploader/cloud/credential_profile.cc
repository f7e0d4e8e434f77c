// Credentials of the environment, of web identities, and of a profile of ~/.aws with all it can
// refer to.
#include <charconv>

#include "base/command.h"
#include "base/log.h"
#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sts_client.h"

namespace coldshelf {

namespace {

constexpr size_t kMaxRoleChain = 10;
constexpr CommandLimits kProcessLimits{60'000, 64 * KiB};

std::string value_of(const AwsSettings& settings, const char* name) {
  const auto found = settings.find(name);
  return found == settings.end() ? std::string() : found->second;
}

StsClient sts_for(const CredentialContext& context, std::string region) {
  const CredentialOptions& options = context.options;
  if (region.empty()) region = options.region;
  if (region.empty()) region = context.env("AWS_REGION");
  if (region.empty()) region = context.env("AWS_DEFAULT_REGION");
  std::string endpoint = options.sts_endpoint;
  if (endpoint.empty()) endpoint = context.env("AWS_ENDPOINT_URL_STS");
  if (endpoint.empty()) endpoint = context.env("AWS_ENDPOINT_URL");
  return StsClient(context.clock, context.transport, std::move(region), std::move(endpoint));
}

std::string session_name(const CredentialContext& context, const std::string& given) {
  return given.empty() ? "coldshelf-" + std::to_string(context.clock.unix_ms() / 1000) : given;
}

Result<Credentials> by_web_identity(const CredentialContext& context, const std::string& token_file,
                                    const AssumeRole& role, const std::string& region) {
  const auto content = context.files.read_file(token_file, 64 * KiB);
  if (!content.ok()) {
    return Error(ErrorCode::permission, "web identity token: " + content.error().context);
  }
  std::string token = to_text(*content);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  return sts_for(context, region).assume_role_with_web_identity(role, token);
}

// One walk along source_profile; no profile twice.
class ProfileWalk {
 public:
  ProfileWalk(const CredentialContext& context, const AwsProfiles& files)
      : context_(context), files_(files) {}

  Result<Credentials> resolve(const std::string& profile) {
    const auto found = files_.profiles.find(profile);
    if (found == files_.profiles.end()) {
      return Error(ErrorCode::permission, "profile " + profile + " is neither in " +
                                              files_.config_path + " nor in " +
                                              files_.credentials_path);
    }
    if (!seen_.insert(profile).second || seen_.size() > kMaxRoleChain) {
      return Error(ErrorCode::permission, "source_profile goes in a circle: " + path_ + profile);
    }
    path_ += profile + " -> ";
    const AwsSettings& settings = found->second;
    if (!value_of(settings, "role_arn").empty()) return role_of(profile, settings);
    return plain_of(profile, settings);
  }

 private:
  Result<Credentials> role_of(const std::string& profile, const AwsSettings& settings) {
    const std::string where = "profile " + profile + ": ";
    AssumeRole role;
    role.role_arn = value_of(settings, "role_arn");
    role.session_name = session_name(context_, value_of(settings, "role_session_name"));
    role.external_id = value_of(settings, "external_id");
    const std::string duration = value_of(settings, "duration_seconds");
    if (!duration.empty()) {
      const char* end = duration.data() + duration.size();
      const auto parsed = std::from_chars(duration.data(), end, role.duration_seconds);
      if (parsed.ec != std::errc() || parsed.ptr != end || role.duration_seconds < 900 ||
          role.duration_seconds > 43'200) {
        return Error(ErrorCode::permission,
                     where + "duration_seconds is not a number from 900 to 43200");
      }
    }
    if (!value_of(settings, "mfa_serial").empty()) {
      return Error(ErrorCode::permission,
                   where + "mfa_serial asks for a one-time password, and nobody is there to ask");
    }
    const std::string region = value_of(settings, "region");
    const std::string token_file = value_of(settings, "web_identity_token_file");
    const std::string source = value_of(settings, "source_profile");
    const std::string kind = value_of(settings, "credential_source");
    if (!token_file.empty()) return by_web_identity(context_, token_file, role, region);
    if (source.empty() == kind.empty()) {
      return Error(ErrorCode::permission,
                   where + "role_arn needs source_profile or credential_source, one of them");
    }
    ASSIGN_OR_RETURN(const Credentials as, source.empty()      ? of_source(where, kind)
                                           : source == profile ? plain_of(profile, settings)
                                                               : resolve(source));
    return sts_for(context_, region).assume_role(role, as);
  }

  // credential_source
  Result<Credentials> of_source(const std::string& where, const std::string& kind) {
    Result<MaybeCredentials> found =
        Error(ErrorCode::permission, where +
                                         "credential_source is none of Environment, "
                                         "Ec2InstanceMetadata and EcsContainer");
    if (kind == "Environment") found = credentials_of_environment(context_);
    if (kind == "Ec2InstanceMetadata") found = credentials_of_instance(context_);
    if (kind == "EcsContainer") found = credentials_of_container(context_);
    if (!found.ok()) return found.error();
    if (!*found) {
      return Error(ErrorCode::permission,
                   where + "credential_source = " + kind + ", but nothing is found there");
    }
    return *std::move(*found);
  }

  // No role of its own.
  Result<Credentials> plain_of(const std::string& profile, const AwsSettings& settings) {
    if (!value_of(settings, "sso_session").empty() ||
        !value_of(settings, "sso_start_url").empty()) {
      return credentials_of_sso(context_, files_, profile, settings);
    }
    Credentials out;
    out.access_key_id = value_of(settings, "aws_access_key_id");
    out.secret_access_key = Secret(std::string_view(value_of(settings, "aws_secret_access_key")));
    out.session_token = value_of(settings, "aws_session_token");
    if (!out.access_key_id.empty() && !out.secret_access_key.empty()) return out;
    if (!out.access_key_id.empty() || !out.secret_access_key.empty()) {
      return Error(ErrorCode::permission, "profile " + profile +
                                              ": aws_access_key_id and aws_secret_access_key go "
                                              "together, and one is missing");
    }
    const std::string command = value_of(settings, "credential_process");
    if (!command.empty()) return credentials_of_process(context_, command);
    return Error(ErrorCode::not_found, "profile " + profile + " names no credentials");
  }

  const CredentialContext& context_;
  const AwsProfiles& files_;
  std::set<std::string> seen_;
  std::string path_;  // "a -> b -> "
};

}  // namespace

Result<MaybeCredentials> credentials_of_environment(const CredentialContext& context) {
  Credentials out;
  out.access_key_id = context.env("AWS_ACCESS_KEY_ID");
  out.secret_access_key = Secret(std::string_view(context.env("AWS_SECRET_ACCESS_KEY")));
  if (out.access_key_id.empty() && out.secret_access_key.empty()) return MaybeCredentials{};
  if (out.access_key_id.empty() || out.secret_access_key.empty()) {
    return Error(ErrorCode::permission,
                 "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and one is not set");
  }
  out.session_token = context.env("AWS_SESSION_TOKEN");
  if (out.session_token.empty()) out.session_token = context.env("AWS_SECURITY_TOKEN");
  const std::string expires = context.env("AWS_CREDENTIAL_EXPIRATION");
  if (!expires.empty()) {
    const auto at = parse_iso8601_ms(expires);
    if (!at) return Error(ErrorCode::permission, "AWS_CREDENTIAL_EXPIRATION is not a time");
    out.expires_ms = *at;
  }
  return MaybeCredentials(std::move(out));
}

Result<MaybeCredentials> credentials_of_web_identity(const CredentialContext& context) {
  const std::string token_file = context.env("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (token_file.empty()) return MaybeCredentials{};
  AssumeRole role;
  role.role_arn = context.env("AWS_ROLE_ARN");
  if (role.role_arn.empty()) {
    return Error(ErrorCode::permission,
                 "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
  }
  role.session_name = session_name(context, context.env("AWS_ROLE_SESSION_NAME"));
  ASSIGN_OR_RETURN(Credentials found, by_web_identity(context, token_file, role, {}));
  return MaybeCredentials(std::move(found));
}

Result<MaybeCredentials> credentials_of_profile(const CredentialContext& context,
                                                const std::string& profile, bool required) {
  ASSIGN_OR_RETURN(const AwsProfiles files, context.profiles());
  if (!required && !files.profiles.contains(profile)) return MaybeCredentials{};
  auto found = ProfileWalk(context, files).resolve(profile);
  if (found.ok()) return MaybeCredentials(*std::move(found));
  if (found.error().code == ErrorCode::not_found) {
    if (!required) return MaybeCredentials{};
    return Error(ErrorCode::permission, found.error().context);
  }
  return found.error();
}

Result<Credentials> credentials_of_process(const CredentialContext& context,
                                           const std::string& command) {
  static const std::string kWhere = "credential_process";
  const auto words = split_command_line(command);
  if (!words.ok()) return Error(ErrorCode::permission, kWhere + ": " + words.error().context);
  const auto output = run_program(*words, kProcessLimits);
  if (!output.ok()) {
    const bool later = output.error().code == ErrorCode::timed_out;
    return Error(later ? ErrorCode::unavailable : ErrorCode::permission,
                 kWhere + ": " + output.error().context);
  }
  ASSIGN_OR_RETURN(const int64_t version, credentials_json_version(output->reveal(), kWhere));
  if (version != 1) {
    return Error(ErrorCode::permission,
                 kWhere + ": Version " + std::to_string(version) + ", expected 1");
  }
  ASSIGN_OR_RETURN(Credentials found,
                   parse_credentials_json(output->reveal(), "SessionToken", kWhere));
  if (found.expires_ms != 0 && found.expires_ms <= context.clock.unix_ms()) {
    return Error(ErrorCode::permission, kWhere + ": what it printed has expired already");
  }
  return found;
}

Result<std::string> find_aws_region(FileSystem& files, Clock& clock, HttpTransport& transport,
                                    const CredentialOptions& options, bool ask_instance) {
  const CredentialContext context{files, clock, transport, options};
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    std::string region = context.env(name);
    if (!region.empty()) return region;
  }
  ASSIGN_OR_RETURN(const AwsProfiles profiles, context.profiles());
  const auto found = profiles.profiles.find(context.profile_name());
  if (found != profiles.profiles.end()) {
    std::string region = value_of(found->second, "region");
    if (!region.empty()) return region;
  }
  return ask_instance ? region_of_instance(context) : std::string();
}

}  // namespace coldshelf
