#include "gateway/api/front_door.h"

#include <algorithm>

#include "base/log.h"
#include "gateway/api/roles.h"

namespace coldshelf::api {

namespace {

constexpr std::string_view kCookieName = "__Host-coldshelf";
constexpr std::string_view kCsrfHeader = "x-coldshelf-csrf";
constexpr unsigned kMaxDepth = 16;
constexpr size_t kMaxResult = 1'000;

ApiResponse refuse(unsigned status, const char* type, const std::string& message,
                   ErrorCode code = ErrorCode::permission) {
  ApiResponse out;
  out.status = status;
  const Json body = {{"__type", type}, {"message", message}, {"code", to_string(code)}};
  out.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

ApiResponse json_answer(const Json& body) {
  ApiResponse out;
  out.content_type = "application/json";
  out.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  out.headers = {{"Cache-Control", "no-store"}};
  add_browser_headers(out);
  return out;
}

std::string cookie_of(const ApiRequest& request) {
  std::string_view rest = request.header("cookie");
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    if (part.starts_with(kCookieName) && part.size() > kCookieName.size() &&
        part[kCookieName.size()] == '=') {
      return std::string(part.substr(kCookieName.size() + 1));
    }
  }
  return {};
}

std::string cookie(const std::string& token, bool gone) {
  return std::string(kCookieName) + "=" + token + "; Path=/; Secure; HttpOnly; SameSite=Strict" +
         (gone ? "; Max-Age=0" : "");
}

// A browser says where a request comes from; one that comes from another site is not for us.
bool from_elsewhere(const ApiRequest& request) {
  const std::string_view origin = request.header("origin");
  return !origin.empty() && origin != "https://" + std::string(request.header("host"));
}

std::string bare_name(const std::string& target) {
  std::string name = target.substr(target.rfind('.') + 1);
  return name.substr(0, 100);
}

bool names_secret(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  for (const char* word : {"secret", "password", "passphrase"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

void hide_secrets(Json& value, unsigned depth) {
  if (depth > kMaxDepth) {
    value = "...";
    return;
  }
  if (value.is_object()) {
    for (auto& [name, inner] : value.items()) {
      if (names_secret(name)) {
        inner = "(not shown)";
      } else {
        hide_secrets(inner, depth + 1);
      }
    }
  } else if (value.is_array()) {
    for (Json& inner : value) hide_secrets(inner, depth + 1);
  }
}

std::string result_of(const ApiResponse& response) {
  if (response.status == 200) return "ok";
  const Json body = Json::parse(response.body, nullptr, false);
  if (!body.is_object()) return "failed with status " + std::to_string(response.status);
  // A message may repeat what was sent.
  return body.value("code", "failed") + ": " + body.value("message", "").substr(0, kMaxResult);
}

Principal local_operator(const ApiRequest& request) {
  return {request.peer.empty() ? "local" : request.peer, Role::admin, ""};
}

}  // namespace

Json without_secrets(Json input) {
  hide_secrets(input, 0);
  return input;
}

FrontDoor::FrontDoor(const Env& env)
    : env_(env),
      authenticator_(*env.keys, *env.clock),
      sessions_(*env.keys, *env.clock, *env.random, env.session_idle_ms),
      assets_(console_files()) {}

Status FrontDoor::record(const Principal& who, const ApiRequest& request,
                         const std::string& operation, Json input, const std::string& result) {
  Status written =
      env_.audit->append({who.name, std::string(to_string(who.role)), who.access_key_id,
                          request.local ? "local socket" : request.peer, operation,
                          without_secrets(std::move(input)), result});
  if (!written.ok()) {
    log_error("audit", "record not written",
              {{"operation", operation}, {"who", who.name}, {"error", written.error().message()}});
  }
  return written;
}

// 1. The role. 2. A change waits until the audit log can be written. 3. The operation. 4. Its
// record. A record that cannot be written then is kept, and nothing else is changed before it is.
ApiResponse FrontDoor::operate(const ApiRequest& request, const Principal& who) {
  const OperationRule rule = rule_of(request.amz_target);
  const std::string name = bare_name(request.amz_target);
  // It says itself that it has no such operation, or that the body is none.
  const auto body = parse_body(request.body);
  if (!body.ok() || !env_.service->serves(request.amz_target)) {
    return env_.service->handle(request);
  }
  Json input = *body;
  if (who.role < rule.role) {
    ApiResponse refused =
        refuse(403, "AccessDeniedException",
               "User " + who.name + " is " + std::string(to_string(who.role)) + "; " + name +
                   " is for " + (rule.role == Role::operator_ ? "operators and admins" : "admins"));
    if (rule.changes) {
      // Refused either way: a failure is logged by record().
      if (!record(who, request, name, std::move(input), "denied").ok()) refused.status = 503;
    }
    return refused;
  }
  if (!rule.changes) return env_.service->handle(request);
  if (const Status ready = env_.audit->ready(); !ready.ok()) {
    return refuse(
        503, "ServiceUnavailableError",
        "nothing is changed while the audit log cannot be written: " + ready.error().context,
        ErrorCode::unavailable);
  }
  ApiResponse response = env_.service->handle(request);
  if (!record(who, request, name, std::move(input), result_of(response)).ok()) {
    response.headers.emplace_back("X-Coldshelf-Audit", "pending");
  }
  return response;
}

std::optional<Principal> FrontDoor::by_cookie(const ApiRequest& request, ApiResponse& refused) {
  const auto found = sessions_.find(cookie_of(request));
  if (!found) {
    refused = refuse(401, "SignInRequiredException", "sign in first");
    return std::nullopt;
  }
  const std::string_view token = request.header(kCsrfHeader);
  if (from_elsewhere(request) || !constant_time_equal(as_view(token), as_view(found->csrf))) {
    refused = refuse(403, "AccessDeniedException",
                     "the request does not come from the console: X-Coldshelf-Csrf is missing or "
                     "wrong");
    return std::nullopt;
  }
  return found->who;
}

ApiResponse FrontDoor::sign_in(const ApiRequest& request) {
  const auto body = parse_body(request.body);
  const Json input = body.ok() ? *body : Json();
  const bool json = request.header("content-type").starts_with("application/json");
  if (from_elsewhere(request) || !json || !input.is_object() ||
      !input.value("AccessKeyId", Json()).is_string() ||
      !input.value("SecretAccessKey", Json()).is_string()) {
    return refuse(400, "InvalidGatewayRequestException",
                  "AccessKeyId and SecretAccessKey are needed, as application/json",
                  ErrorCode::invalid_argument);
  }
  const auto id = input["AccessKeyId"].get<std::string>();
  Principal who;
  if (!authenticator_.check_secret(id, input["SecretAccessKey"].get<std::string>(), who)) {
    log_warning("api", "sign-in refused", {{"peer", request.peer}});
    return refuse(403, "UnrecognizedClientException", "the access key or its secret is wrong");
  }
  // As a change: asked before, so that nobody who was refused stands there as signed in.
  if (const Status ready = env_.audit->ready(); !ready.ok()) {
    return refuse(503, "ServiceUnavailableError",
                  "the audit log cannot be written: " + ready.error().context,
                  ErrorCode::unavailable);
  }
  const Status kept = record(who, request, "SignIn", Json::object(), "ok");
  const LoginSessions::Opened opened = sessions_.open(who);
  ApiResponse out = json_answer({{"User", who.name},
                                 {"Role", to_string(who.role)},
                                 {"CsrfToken", opened.csrf},
                                 {"IdleTimeoutSeconds", sessions_.idle_ms() / 1'000}});
  out.headers.emplace_back("Set-Cookie", cookie(opened.token, false));
  if (!kept.ok()) out.headers.emplace_back("X-Coldshelf-Audit", "pending");
  return out;
}

ApiResponse FrontDoor::session(const ApiRequest& request) {
  const auto found = sessions_.find(cookie_of(request));
  if (!found) return refuse(401, "SignInRequiredException", "sign in first");
  return json_answer({{"User", found->who.name},
                      {"Role", to_string(found->who.role)},
                      {"CsrfToken", found->csrf},
                      {"IdleTimeoutSeconds", sessions_.idle_ms() / 1'000}});
}

ApiResponse FrontDoor::sign_out(const ApiRequest& request) {
  ApiResponse refused;
  if (!by_cookie(request, refused)) return refused;
  sessions_.close(cookie_of(request));
  ApiResponse out = json_answer(Json::object());
  out.headers.emplace_back("Set-Cookie", cookie("", true));
  return out;
}

bool FrontDoor::known(const ApiRequest& request) {
  Principal who;
  AuthFailure why;
  return sessions_.find(cookie_of(request)) || authenticator_.verify_basic(request, who) ||
         authenticator_.verify(request, who, why);
}

// Whether, for everybody; why, with its paths and addresses, for who may see the gateway.
ApiResponse FrontDoor::health(const ApiRequest& request) {
  ApiResponse out = env_.service->handle(request);
  Json body = Json::parse(out.body, nullptr, false);
  if (body.is_object() && body.contains("problem") && !known(request)) {
    body.erase("problem");
    out.body = body.dump() + "\n";
  }
  return out;
}

ApiResponse FrontDoor::metrics(const ApiRequest& request) {
  if (known(request)) return env_.service->handle(request);
  ApiResponse out = refuse(401, "MissingAuthenticationTokenException",
                           "give an access key and its secret by HTTP's Basic scheme");
  out.headers.emplace_back("WWW-Authenticate", "Basic realm=\"coldshelf\"");
  return out;
}

ApiResponse FrontDoor::handle_get(const ApiRequest& request) {
  if (request.path == "/healthz" || request.path == "/readyz") return health(request);
  if (request.path == "/metrics") return metrics(request);
  if (request.path == "/session") return session(request);
  return assets_.get(request);
}

ApiResponse FrontDoor::handle_post(const ApiRequest& request) {
  if (request.path == "/login") return sign_in(request);
  if (request.path == "/logout") return sign_out(request);
  if (request.path != "/") {
    return refuse(404, "UnknownOperationException", "there is nothing at " + request.path,
                  ErrorCode::not_found);
  }
  Principal who;
  if (request.header("authorization").empty() && !cookie_of(request).empty()) {
    ApiResponse refused;
    const auto found = by_cookie(request, refused);
    if (!found) return refused;
    ApiResponse out = operate(request, *found);
    out.headers.emplace_back("Cache-Control", "no-store");
    return out;
  }
  AuthFailure why;
  if (!authenticator_.verify(request, who, why)) {
    log_warning("api", "request refused", {{"peer", request.peer}, {"why", why.type}});
    return refuse(400, why.type, why.message);
  }
  return operate(request, who);
}

ApiResponse FrontDoor::handle(const ApiRequest& request) {
  if (request.local) {
    if (request.method != "POST" || request.path != "/") return env_.service->handle(request);
    return operate(request, local_operator(request));
  }
  if (request.method == "POST") return handle_post(request);
  if (request.method == "GET" || request.method == "HEAD") {
    ApiRequest as_get = request;
    as_get.method = "GET";  // the server leaves the body away
    return handle_get(as_get);
  }
  ApiResponse out = refuse(405, "InvalidGatewayRequestException", "GET, HEAD and POST only",
                           ErrorCode::invalid_argument);
  out.headers.emplace_back("Allow", "GET, HEAD, POST");
  return out;
}

}  // namespace coldshelf::api
