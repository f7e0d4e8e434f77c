// Every request passes here: who is it, may they, and, for changes, the record of what they did.
// Requests of the local socket are the operator's own; over TLS they carry a signature (SigV4), or
// a browser's cookie and CSRF token.
//   POST /            an operation (Service)
//   POST /login       {"AccessKeyId", "SecretAccessKey"}: a cookie, and the CSRF token
//   GET  /session     who is signed in, and the CSRF token again
//   POST /logout
//   GET  /metrics     with a cookie, a signature, or the access key by HTTP's Basic scheme
//   GET  /healthz, /readyz   for everybody
//   GET  anything else       the web console's files
#pragma once

#include <optional>

#include "gateway/api/audit_log.h"
#include "gateway/api/authenticator.h"
#include "gateway/api/console_assets.h"
#include "gateway/api/login_sessions.h"
#include "gateway/api/service.h"

namespace coldshelf::api {

class FrontDoor {
 public:
  struct Env {
    Service* service = nullptr;
    AccessKeys* keys = nullptr;
    AuditLog* audit = nullptr;
    Clock* clock = nullptr;
    Random* random = nullptr;
    int64_t session_idle_ms = 30 * 60'000;
  };
  explicit FrontDoor(const Env& env);

  ApiResponse handle(const ApiRequest& request);

 private:
  ApiResponse operate(const ApiRequest& request, const Principal& who);
  ApiResponse handle_post(const ApiRequest& request);
  ApiResponse handle_get(const ApiRequest& request);
  bool known(const ApiRequest& request);  // a cookie, a signature, or a key by the Basic scheme
  ApiResponse metrics(const ApiRequest& request);
  ApiResponse health(const ApiRequest& request);
  ApiResponse sign_in(const ApiRequest& request);
  ApiResponse sign_out(const ApiRequest& request);
  ApiResponse session(const ApiRequest& request);
  // Of a browser; none, with `refused` filled in, when the request is not let in.
  std::optional<Principal> by_cookie(const ApiRequest& request, ApiResponse& refused);
  Status record(const Principal& who, const ApiRequest& request, const std::string& operation,
                Json input, const std::string& result);

  const Env env_;
  Authenticator authenticator_;
  LoginSessions sessions_;
  const ConsoleAssets assets_;
};

// Values whose names say that they are secret, replaced, however deep.
Json without_secrets(Json input);

}  // namespace coldshelf::api
