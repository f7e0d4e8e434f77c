// Who sends a request: AWS Signature Version 4, verified with the access keys coldshelf keeps.
#pragma once

#include <string>

#include "base/clock.h"
#include "gateway/api/access_keys.h"
#include "gateway/api/http_server.h"

namespace coldshelf {

constexpr std::string_view kSigningService = "storagegateway";
constexpr int64_t kMaxClockSkewMs = 5 * 60'000;

struct Principal {
  std::string name;  // the user's, or "uid 0" on the local socket
  Role role = Role::viewer;
  std::string access_key_id;  // "" on the local socket
};

// Why a request was not let in: AWS's exception, as its clients know it.
struct AuthFailure {
  const char* type = "";
  std::string message;
};

class Authenticator {
 public:
  Authenticator(const AccessKeys& keys, Clock& clock) : keys_(keys), clock_(clock) {}

  // The signature must cover host, the date, X-Amz-Target and the payload's hash; the region may be
  // any. False: `why` says it in AWS's words.
  bool verify(const ApiRequest& request, Principal& who, AuthFailure& why) const;

  // The secret as it is, for browsers' sign-in and HTTP's Basic scheme (RFC 7617) on /metrics.
  bool check_secret(std::string_view access_key_id, std::string_view secret, Principal& who) const;
  bool verify_basic(const ApiRequest& request, Principal& who) const;

 private:
  const AccessKeys& keys_;
  Clock& clock_;
};

}  // namespace coldshelf
