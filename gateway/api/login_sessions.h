// Browsers that signed in with an access key: a cookie stands for it. In memory: a restart signs
// everybody out. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/api/authenticator.h"

namespace coldshelf {

class LoginSessions {
 public:
  static constexpr size_t kMaxSessions = 1'000;  // one more: the one idle for longest goes

  LoginSessions(const AccessKeys& keys, Clock& clock, Random& random, int64_t idle_ms)
      : keys_(keys), clock_(clock), random_(random), idle_ms_(idle_ms) {}

  struct Opened {
    std::string token;  // for the cookie
    std::string csrf;   // for the header of every change
  };
  Opened open(const Principal& who);
  struct Found {
    Principal who;  // with the role the user has now
    std::string csrf;
  };
  // None: unknown, idle for too long, older than twelve hours, or its key is gone.
  std::optional<Found> find(std::string_view token);
  void close(std::string_view token);
  int64_t idle_ms() const { return idle_ms_; }

 private:
  struct Session {
    std::string access_key_id, csrf;
    int64_t opened_ms = 0, used_ms = 0;
  };
  const AccessKeys& keys_;
  Clock& clock_;
  Random& random_;
  const int64_t idle_ms_;
  std::mutex mutex_;
  std::map<std::string, Session> sessions_;  // by the token's hash
};

}  // namespace coldshelf
