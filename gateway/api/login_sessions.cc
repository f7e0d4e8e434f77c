#include "gateway/api/login_sessions.h"

#include <algorithm>

#include "base/sha256.h"

namespace coldshelf {

namespace {

constexpr int64_t kLongestMs = 12 * 3'600'000;
constexpr size_t kTokenBytes = 32;

// Looking a token up by its hash tells nothing of it by how long that takes.
std::string hash_of(std::string_view token) { return to_hex(Sha256::of(as_view(token))); }

std::string fresh(Random& random) {
  Buffer raw(kTokenBytes);
  random.fill(raw);
  return to_hex(raw);
}

}  // namespace

LoginSessions::Opened LoginSessions::open(const Principal& who) {
  Opened out{fresh(random_), fresh(random_)};
  const int64_t now_ms = clock_.unix_ms();
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kMaxSessions) {
    sessions_.erase(std::min_element(
        sessions_.begin(), sessions_.end(),
        [](const auto& a, const auto& b) { return a.second.used_ms < b.second.used_ms; }));
  }
  sessions_[hash_of(out.token)] = {who.access_key_id, out.csrf, now_ms, now_ms};
  return out;
}

std::optional<LoginSessions::Found> LoginSessions::find(std::string_view token) {
  if (token.empty()) return std::nullopt;
  const int64_t now_ms = clock_.unix_ms();
  const std::lock_guard lock(mutex_);
  const auto at = sessions_.find(hash_of(token));
  if (at == sessions_.end()) return std::nullopt;
  Session& session = at->second;
  const auto key = keys_.find(session.access_key_id);
  if (!key || now_ms - session.used_ms > idle_ms_ || now_ms - session.opened_ms > kLongestMs) {
    sessions_.erase(at);
    return std::nullopt;
  }
  session.used_ms = std::max(session.used_ms, now_ms);
  return Found{{key->user, key->role, session.access_key_id}, session.csrf};
}

void LoginSessions::close(std::string_view token) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(hash_of(token));
}

}  // namespace coldshelf
