// Credentials of the machine: containers (ECS, EKS Pod Identity) and EC2 (IMDSv2).
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

// Both answer at once or are not there.
constexpr int64_t kContainerTimeoutMs = 2'000;
constexpr int64_t kInstanceTimeoutMs = 1'000;
constexpr uint64_t kMaxAnswerBytes = 64 * KiB;
constexpr const char* kContainerHost = "http://169.254.170.2";
constexpr const char* kInstanceEndpoint = "http://169.254.169.254";
constexpr const char* kInstanceEndpointIpv6 = "http://[fd00:ec2::254]";

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_loopback_ipv4(const std::string& host) {
  std::array<unsigned, 4> part{};
  char rest = 0;
  return std::sscanf(host.c_str(), "%3u.%3u.%3u.%3u%c", &part[0], &part[1], &part[2], &part[3],
                     &rest) == 4 &&
         part[0] == 127 &&
         std::all_of(part.begin(), part.end(), [](unsigned p) { return p < 256; });
}

// Without TLS only on the machine itself and at the addresses of ECS and EKS: the token that goes
// along is worth as much as the credentials.
bool is_allowed_container_host(const Url& url) {
  static constexpr std::array<std::string_view, 5> kAllowed = {"localhost", "::1", "169.254.170.2",
                                                               "169.254.170.23", "fd00:ec2::23"};
  return url.tls() || is_loopback_ipv4(url.host) ||
         std::find(kAllowed.begin(), kAllowed.end(), url.host) != kAllowed.end();
}

Result<std::string> container_url(const CredentialContext& context, const std::string& relative,
                                  const std::string& full) {
  if (!relative.empty()) {
    if (relative.front() != '/') {
      return Error(ErrorCode::permission,
                   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
    }
    const std::string& host = context.options.container_endpoint;
    return (host.empty() ? std::string(kContainerHost) : host) + relative;
  }
  const auto url = parse_url(full);
  if (!url.ok()) {
    return Error(ErrorCode::permission,
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI: " + url.error().context);
  }
  if (!is_allowed_container_host(*url)) {
    return Error(ErrorCode::permission, "AWS_CONTAINER_CREDENTIALS_FULL_URI: " + url->host +
                                            " is neither HTTPS nor an address that credentials "
                                            "may come from unencrypted");
  }
  return full;
}

Result<std::string> container_token(const CredentialContext& context) {
  std::string token = context.env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  const std::string path = context.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  if (!path.empty()) {  // EKS writes it anew when it is about to expire
    const auto content = context.files.read_file(path, 64 * KiB);
    if (!content.ok()) {
      return Error(ErrorCode::permission,
                   "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: " + content.error().context);
    }
    token = trim(as_text(*content));
  }
  if (token.find_first_of("\r\n") != std::string::npos) {
    return Error(ErrorCode::permission, "the container's authorization token has a line break");
  }
  return token;
}

struct InstanceService {
  const CredentialContext& context;
  std::string endpoint;
  std::string token;

  Result<HttpResponse> ask(const std::string& method, const std::string& path,
                           std::vector<std::pair<std::string, std::string>> headers) const {
    HttpRequest request;
    request.method = method;
    request.url = endpoint + path;
    request.headers = std::move(headers);
    request.max_body_bytes = kMaxAnswerBytes;
    request.total_timeout_ms = kInstanceTimeoutMs;
    request.direct = true;
    return context.transport.perform(request);
  }
  Result<HttpResponse> get(const std::string& path) const {
    return ask("GET", path, {{"x-aws-ec2-metadata-token", token}});
  }
};

// Version 2 only: a token first. nullopt: nothing there.
Result<std::optional<InstanceService>> open_instance_service(const CredentialContext& context) {
  std::string disabled = context.env("AWS_EC2_METADATA_DISABLED");
  std::transform(disabled.begin(), disabled.end(), disabled.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (disabled == "true") return std::optional<InstanceService>{};
  std::string endpoint = context.options.imds_endpoint;
  if (endpoint.empty()) endpoint = context.env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (endpoint.empty()) {
    const std::string mode = context.env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    endpoint = mode == "IPv6" || mode == "ipv6" ? kInstanceEndpointIpv6 : kInstanceEndpoint;
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  InstanceService service{context, std::move(endpoint), {}};
  const auto ask_token = [&service] {
    return service.ask("PUT", "/latest/api/token",
                       {{"x-aws-ec2-metadata-token-ttl-seconds", "21600"}});
  };
  auto answer = ask_token();
  // One lost packet must not look like another machine.
  if (!answer.ok() && answer.error().code == ErrorCode::timed_out) answer = ask_token();
  if (!answer.ok()) return std::optional<InstanceService>{};
  if (answer->status == 403) {
    return Error(ErrorCode::permission, "EC2 instance metadata (" + service.endpoint +
                                            "): switched off for this instance (HTTP 403)");
  }
  if (answer->status != 200) return std::optional<InstanceService>{};
  service.token = trim(as_text(answer->body));
  return std::optional<InstanceService>(std::move(service));
}

}  // namespace

Result<MaybeCredentials> credentials_of_container(const CredentialContext& context) {
  const std::string relative = context.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const std::string full = context.env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (relative.empty() && full.empty()) return MaybeCredentials{};
  HttpRequest request;
  ASSIGN_OR_RETURN(request.url, container_url(context, relative, full));
  ASSIGN_OR_RETURN(const std::string token, container_token(context));
  request.headers = {{"accept", "application/json"}};
  if (!token.empty()) request.headers.emplace_back("authorization", token);
  request.max_body_bytes = kMaxAnswerBytes;
  request.total_timeout_ms = kContainerTimeoutMs;
  request.direct = request.url.starts_with("http:");
  const auto answer = context.transport.perform(request);
  if (!answer.ok()) return error_of_transport("container credentials", answer.error());
  if (answer->status != 200) {
    return error_of_answer("container credentials", answer->status, {});
  }
  ASSIGN_OR_RETURN(Credentials found,
                   parse_credentials_json(as_text(answer->body), "Token", "container credentials"));
  return MaybeCredentials(std::move(found));
}

Result<MaybeCredentials> credentials_of_instance(const CredentialContext& context) {
  ASSIGN_OR_RETURN(const auto service, open_instance_service(context));
  if (!service) return MaybeCredentials{};
  const std::string where = "EC2 instance metadata (" + service->endpoint + ")";
  static const std::string kRoles = "/latest/meta-data/iam/security-credentials/";
  const auto roles = service->get(kRoles);
  if (!roles.ok()) return error_of_transport(where, roles.error());
  if (roles->status == 404) return MaybeCredentials{};  // no role is attached to the instance
  if (roles->status != 200) return error_of_answer(where, roles->status, {});
  const std::string_view names = trim(as_text(roles->body));
  const std::string role(trim(names.substr(0, names.find('\n'))));
  if (role.empty()) return MaybeCredentials{};
  const auto answer = service->get(kRoles + percent_encode(role, false));
  if (!answer.ok()) return error_of_transport(where, answer.error());
  if (answer->status != 200) return error_of_answer(where, answer->status, {});
  const auto json = nlohmann::json::parse(as_text(answer->body), nullptr, false);
  if (json.is_object() && json.contains("Code") && json["Code"] != "Success") {
    return Error(ErrorCode::unavailable, where + ": role " + role + " has no credentials now");
  }
  ASSIGN_OR_RETURN(Credentials found,
                   parse_credentials_json(as_text(answer->body), "Token", where));
  return MaybeCredentials(std::move(found));
}

std::string region_of_instance(const CredentialContext& context) {
  const auto service = open_instance_service(context);
  if (!service.ok() || !*service) return {};
  const auto answer = (*service)->get("/latest/meta-data/placement/region");
  if (!answer.ok() || answer->status != 200) return {};
  return std::string(trim(as_text(answer->body)));
}

}  // namespace coldshelf
