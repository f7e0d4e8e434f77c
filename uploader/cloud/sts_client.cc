#include "uploader/cloud/sts_client.h"

#include <pugixml.hpp>

#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

constexpr int64_t kTimeoutMs = 20'000;
constexpr uint64_t kMaxAnswerBytes = 256 * KiB;

Result<Credentials> parse_answer(std::string_view body, const std::string& action) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) {
    return Error(ErrorCode::unavailable, "STS " + action + ": the answer is not XML");
  }
  const pugi::xml_node found = document.child((action + "Response").c_str())
                                   .child((action + "Result").c_str())
                                   .child("Credentials");
  Credentials out;
  out.access_key_id = found.child_value("AccessKeyId");
  out.secret_access_key = Secret(std::string_view(found.child_value("SecretAccessKey")));
  out.session_token = found.child_value("SessionToken");
  const auto expires = parse_iso8601_ms(found.child_value("Expiration"));
  if (out.access_key_id.empty() || out.secret_access_key.empty() || out.session_token.empty() ||
      !expires) {
    return Error(ErrorCode::unavailable, "STS " + action + ": the answer holds no credentials");
  }
  out.expires_ms = *expires;
  return out;
}

std::string what_it_said(std::string_view body, std::string& code) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return {};
  const pugi::xml_node error = document.child("ErrorResponse").child("Error");
  code = error.child_value("Code");
  return code.empty() ? std::string() : code + ": " + error.child_value("Message");
}

}  // namespace

StsClient::StsClient(Clock& clock, HttpTransport& transport, std::string region,
                     std::string endpoint)
    : clock_(clock),
      transport_(transport),
      region_(region.empty() ? "us-east-1" : std::move(region)),
      endpoint_(endpoint.empty() ? aws_endpoint("sts", region_) : std::move(endpoint)) {}

Result<Credentials> StsClient::assume_role(const AssumeRole& role, const Credentials& as,
                                           std::string* refused_with) {
  std::vector<std::pair<std::string, std::string>> parameters;
  if (!role.external_id.empty()) parameters.emplace_back("ExternalId", role.external_id);
  return call(role, "AssumeRole", std::move(parameters), &as, refused_with);
}

Result<Credentials> StsClient::assume_role_with_web_identity(const AssumeRole& role,
                                                             const std::string& token) {
  return call(role, "AssumeRoleWithWebIdentity", {{"WebIdentityToken", token}}, nullptr, nullptr);
}

Result<Credentials> StsClient::call(const AssumeRole& role, const std::string& action,
                                    std::vector<std::pair<std::string, std::string>> parameters,
                                    const Credentials* as, std::string* refused_with) {
  ASSIGN_OR_RETURN(const Url url, parse_url(endpoint_));
  parameters.emplace_back("Action", action);
  parameters.emplace_back("Version", "2011-06-15");
  parameters.emplace_back("RoleArn", role.role_arn);
  parameters.emplace_back("RoleSessionName", role.session_name);
  if (role.duration_seconds > 0) {
    parameters.emplace_back("DurationSeconds", std::to_string(role.duration_seconds));
  }
  const std::string body = encode_query(parameters);
  HttpRequest request;
  request.method = "POST";
  request.url = url.origin() + url.path_or_root();
  request.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
  request.body = as_view(body);
  request.max_body_bytes = kMaxAnswerBytes;
  request.total_timeout_ms = kTimeoutMs;
  if (as != nullptr) {
    SignedRequest to_sign;
    to_sign.method = request.method;
    to_sign.host = url.host_and_port();
    to_sign.path = url.path_or_root();
    to_sign.headers = request.headers;
    to_sign.payload_hash = to_hex(Sha256::of(as_view(body)));
    const auto added = sign_v4(to_sign, {region_, "sts"}, *as, clock_.unix_ms());
    request.headers.insert(request.headers.end(), added.begin(), added.end());
  }
  const auto answer = transport_.perform(request);
  const std::string who = "STS (" + url.host_and_port() + ") " + action + " " + role.role_arn;
  if (!answer.ok()) return error_of_transport(who, answer.error());
  if (answer->status != 200) {
    std::string code;
    const std::string said = what_it_said(as_text(answer->body), code);
    if (refused_with != nullptr) *refused_with = code;
    return error_of_answer(who, answer->status, said);
  }
  return parse_answer(as_text(answer->body), action);
}

}  // namespace coldshelf
