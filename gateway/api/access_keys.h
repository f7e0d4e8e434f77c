// Who may use the management API from elsewhere: users, their roles, their access keys. SigV4 needs
// the secret itself, so it cannot be kept as a hash: it is kept encrypted (AES-256-GCM) in
// users.json under users.key, both mode 0600. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "gateway/api/secret_box.h"

namespace coldshelf {

// Each may do what those before it may.
enum class Role { viewer, operator_, admin };
std::string_view to_string(Role role);  // "viewer", "operator", "admin"
std::optional<Role> parse_role(std::string_view text);

struct AccessKey {
  std::string id;  // "CSK..." of 20 characters
  int64_t created_ms = 0;
  int64_t expires_ms = 0;  // 0: never
};

struct ApiUser {
  std::string name;
  Role role = Role::viewer;
  int64_t created_ms = 0;
  std::vector<AccessKey> keys;  // the newest first
};

class AccessKeys {
 public:
  static constexpr size_t kMaxUsers = 1'000;

  // `directory` is made when it is not there.
  static Result<std::unique_ptr<AccessKeys>> open(FileSystem& files, Clock& clock, Random& random,
                                                  const std::string& directory);
  ~AccessKeys();

  // The only time a secret is told.
  struct NewKey {
    ApiUser user;
    std::string access_key_id;
    Secret secret;
  };
  Result<NewKey> add(const std::string& name, Role role);  // exists
  // A new key; the ones before it go on working for `grace_ms`.
  Result<NewKey> rotate(const std::string& name, int64_t grace_ms);
  Status remove(const std::string& name);        // not_found
  std::vector<ApiUser> list() const;             // by name
  const SecretBox& box() const { return box_; }  // for other secrets of the API

  struct Found {
    std::string user;
    Role role = Role::viewer;
    Secret secret;
  };
  // None: there is no such key, or its time is over.
  std::optional<Found> find(std::string_view access_key_id) const;

 private:
  struct User;
  AccessKeys(FileSystem& files, Clock& clock, Random& random, std::string directory, SecretBox box);
  Status load();
  Status save(const std::map<std::string, User>& users) const;
  void replace(std::map<std::string, User> users);
  NewKey make_key(User& user);

  FileSystem& files_;
  Clock& clock_;
  Random& random_;
  const std::string directory_;
  const SecretBox box_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, User> users_;                        // by name
  std::map<std::string, std::string, std::less<>> user_of_;  // by access key id
};

}  // namespace coldshelf
