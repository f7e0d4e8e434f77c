// Credentials of IAM Identity Center ("aws sso login"): its token lies in ~/.aws/sso/cache.
#include <openssl/evp.h>

#include <array>
#include <nlohmann/json.hpp>

#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr int64_t kTimeoutMs = 20'000;
constexpr uint64_t kMaxAnswerBytes = 256 * KiB;
constexpr int64_t kRefreshAheadMs = 5 * 60'000;

struct SsoSettings {
  std::string session;  // "": the settings stand in the profile itself
  std::string start_url;
  std::string region;
  std::string account_id;
  std::string role_name;
};

std::string value_of(const AwsSettings& settings, const char* name) {
  const auto found = settings.find(name);
  return found == settings.end() ? std::string() : found->second;
}

std::string string_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<SsoSettings> settings_of(const AwsProfiles& files, const std::string& profile,
                                const AwsSettings& settings) {
  SsoSettings out;
  out.session = value_of(settings, "sso_session");
  const AwsSettings* place = &settings;
  if (!out.session.empty()) {
    const auto found = files.sso_sessions.find(out.session);
    if (found == files.sso_sessions.end()) {
      return Error(ErrorCode::permission, "profile " + profile + ": " + files.config_path +
                                              " has no [sso-session " + out.session + "]");
    }
    place = &found->second;
  }
  out.start_url = value_of(*place, "sso_start_url");
  out.region = value_of(*place, "sso_region");
  out.account_id = value_of(settings, "sso_account_id");
  out.role_name = value_of(settings, "sso_role_name");
  for (const auto& [name, value] :
       {std::pair<const char*, const std::string&>{"sso_start_url", out.start_url},
        {"sso_region", out.region},
        {"sso_account_id", out.account_id},
        {"sso_role_name", out.role_name}}) {
    if (value.empty()) {
      return Error(ErrorCode::permission, "profile " + profile + ": " + name + " is missing");
    }
  }
  return out;
}

std::string cache_path(const CredentialContext& context, const SsoSettings& sso) {
  const std::string& name = sso.session.empty() ? sso.start_url : sso.session;
  std::array<std::byte, 20> digest{};
  unsigned length = 0;
  CHECK(EVP_Digest(name.data(), name.size(), reinterpret_cast<unsigned char*>(digest.data()),
                   &length, EVP_sha1(), nullptr) == 1);
  return join_path(context.home(), ".aws/sso/cache/" + to_hex(digest) + ".json");
}

Error log_in_again(const std::string& profile, const std::string& why) {
  return Error(ErrorCode::permission, "profile " + profile + ": " + why + "; run \"aws sso login" +
                                          (profile == "default" ? "" : " --profile " + profile) +
                                          "\" as the user the gateway runs as");
}

// A new access token for the refresh token of the cache; the cache is written anew, as other tools
// of this user go on with it. Only of an sso-session.
Result<std::string> refresh_token(const CredentialContext& context, const SsoSettings& sso,
                                  const std::string& profile, const std::string& path, Json cache) {
  const auto registered = parse_iso8601_ms(string_of(cache, "registrationExpiresAt"));
  const std::string token = string_of(cache, "refreshToken");
  if (sso.session.empty() || token.empty() || string_of(cache, "clientId").empty() ||
      string_of(cache, "clientSecret").empty() ||
      (registered && *registered <= context.clock.unix_ms())) {
    return log_in_again(profile, "the SSO token has expired");
  }
  const std::string body = Json{
      {"grantType", "refresh_token"},
      {"clientId", string_of(cache, "clientId")},
      {"clientSecret", string_of(cache, "clientSecret")},
      {"refreshToken", token}}.dump();
  const std::string endpoint = context.options.sso_oidc_endpoint.empty()
                                   ? aws_endpoint("oidc", sso.region)
                                   : context.options.sso_oidc_endpoint;
  HttpRequest request;
  request.method = "POST";
  request.url = endpoint + "/token";
  request.headers = {{"content-type", "application/json"}};
  request.body = as_view(body);
  request.max_body_bytes = kMaxAnswerBytes;
  request.total_timeout_ms = kTimeoutMs;
  const auto answer = context.transport.perform(request);
  if (!answer.ok()) return error_of_transport("SSO (" + endpoint + ")", answer.error());
  if (answer->status >= 500 || answer->status == 429) {
    return error_of_answer("SSO (" + endpoint + ")", answer->status, {});
  }
  const Json given = Json::parse(as_text(answer->body), nullptr, false);
  if (answer->status != 200 || !given.is_object() || string_of(given, "accessToken").empty()) {
    return log_in_again(profile, "the SSO token could not be refreshed");
  }
  cache["accessToken"] = given["accessToken"];
  const auto lasts = given.find("expiresIn");
  const int64_t seconds =
      lasts != given.end() && lasts->is_number_integer() ? lasts->get<int64_t>() : 3600;
  const std::string expires = format_utc(context.clock.unix_ms() + seconds * 1000);
  cache["expiresAt"] = expires.substr(0, expires.find('.')) + "Z";
  if (given.contains("refreshToken")) cache["refreshToken"] = given["refreshToken"];
  TRY(context.files.replace_file(path, as_view(cache.dump()), OpenMode::create_private));
  return string_of(cache, "accessToken");
}

Result<std::string> access_token(const CredentialContext& context, const SsoSettings& sso,
                                 const std::string& profile) {
  const std::string path = cache_path(context, sso);
  const auto content = context.files.read_file(path, kMaxAnswerBytes);
  if (!content.ok()) return log_in_again(profile, "no SSO token in " + path);
  const Json cache = Json::parse(as_text(*content), nullptr, false);
  if (!cache.is_object()) return log_in_again(profile, path + " is damaged");
  std::string token = string_of(cache, "accessToken");
  const auto expires = parse_iso8601_ms(string_of(cache, "expiresAt"));
  if (token.empty() || !expires) return log_in_again(profile, path + " is damaged");
  const int64_t now = context.clock.unix_ms();
  if (*expires - now > kRefreshAheadMs) return token;
  auto fresh = refresh_token(context, sso, profile, path, cache);
  if (!fresh.ok() && *expires > now) return token;  // good for a little longer
  return fresh;
}

}  // namespace

Result<Credentials> credentials_of_sso(const CredentialContext& context, const AwsProfiles& files,
                                       const std::string& profile, const AwsSettings& settings) {
  ASSIGN_OR_RETURN(const SsoSettings sso, settings_of(files, profile, settings));
  ASSIGN_OR_RETURN(const std::string token, access_token(context, sso, profile));
  const std::string endpoint = context.options.sso_endpoint.empty()
                                   ? aws_endpoint("portal.sso", sso.region)
                                   : context.options.sso_endpoint;
  HttpRequest request;
  request.url = endpoint + "/federation/credentials?" +
                encode_query({{"account_id", sso.account_id}, {"role_name", sso.role_name}});
  request.headers = {{"x-amz-sso_bearer_token", token}};
  request.max_body_bytes = kMaxAnswerBytes;
  request.total_timeout_ms = kTimeoutMs;
  const auto answer = context.transport.perform(request);
  const std::string where = "SSO (" + endpoint + "), profile " + profile;
  if (!answer.ok()) return error_of_transport(where, answer.error());
  if (answer->status == 401) return log_in_again(profile, "the SSO token is no longer accepted");
  const Json json = Json::parse(as_text(answer->body), nullptr, false);
  if (answer->status != 200) {
    return error_of_answer(where, answer->status,
                           json.is_object() ? string_of(json, "message") : std::string());
  }
  if (!json.is_object() || !json.contains("roleCredentials") ||
      !json["roleCredentials"].is_object()) {
    return Error(ErrorCode::unavailable, where + ": the answer holds no credentials");
  }
  const Json& given = json["roleCredentials"];
  Credentials out;
  out.access_key_id = string_of(given, "accessKeyId");
  out.secret_access_key = Secret(std::string_view(string_of(given, "secretAccessKey")));
  out.session_token = string_of(given, "sessionToken");
  const auto expires = given.find("expiration");
  if (expires != given.end() && expires->is_number_integer()) {
    out.expires_ms = expires->get<int64_t>();
  }
  if (out.access_key_id.empty() || out.secret_access_key.empty()) {
    return Error(ErrorCode::unavailable, where + ": the answer holds no credentials");
  }
  return out;
}

}  // namespace coldshelf
