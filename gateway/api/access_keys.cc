#include "gateway/api/access_keys.h"

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr const char* kUsersName = "users.json";
constexpr const char* kChapName = "chap.json";  // sealed by the same key
constexpr const char* kKeyName = "users.key";
constexpr unsigned kVersion = 1;
constexpr size_t kMaxKeysPerUser = 2;
constexpr uint64_t kMaxFileBytes = 16 * MiB;
constexpr std::string_view kKeyPrefix = "CSK";
constexpr size_t kKeyIdCharacters = 20;
constexpr size_t kSecretBytes = 30;  // 40 characters of base64

bool valid_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '@';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

std::string new_key_id(Random& random) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out(kKeyPrefix);
  while (out.size() < kKeyIdCharacters) out += kAlphabet[random.below(kAlphabet.size())];
  return out;
}

// The role is part of what is sealed: the file cannot be edited to make a viewer an admin.
std::string owner_of(const ApiUser& user, const std::string& key_id) {
  return key_id + "/" + user.name + "/" + std::string(to_string(user.role));
}

Error damaged(const std::string& path, const std::string& what) {
  return {ErrorCode::corrupt, path + " is damaged: " + what};
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::viewer:
      return "viewer";
    case Role::operator_:
      return "operator";
    case Role::admin:
      return "admin";
  }
  return "viewer";
}

std::optional<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::viewer, Role::operator_, Role::admin}) {
    if (to_string(role) == text) return role;
  }
  return std::nullopt;
}

struct AccessKeys::User {
  ApiUser shown;
  std::vector<Secret> secrets;  // of shown.keys
};

AccessKeys::AccessKeys(FileSystem& files, Clock& clock, Random& random, std::string directory,
                       SecretBox box)
    : files_(files),
      clock_(clock),
      random_(random),
      directory_(std::move(directory)),
      box_(std::move(box)) {}

AccessKeys::~AccessKeys() = default;

Result<std::unique_ptr<AccessKeys>> AccessKeys::open(FileSystem& files, Clock& clock,
                                                     Random& random, const std::string& directory) {
  TRY(files.create_directories(directory));
  bool made_before = false;
  for (const char* name : {kUsersName, kChapName}) {
    ASSIGN_OR_RETURN(const bool there, files.exists(join_path(directory, name)));
    made_before = made_before || there;
  }
  ASSIGN_OR_RETURN(SecretBox box,
                   SecretBox::open(files, random, join_path(directory, kKeyName), made_before));
  std::unique_ptr<AccessKeys> out(new AccessKeys(files, clock, random, directory, std::move(box)));
  TRY(out->load());
  return out;
}

Status AccessKeys::load() {
  const std::string path = join_path(directory_, kUsersName);
  ASSIGN_OR_RETURN(const bool there, files_.exists(path));
  if (!there) return {};
  ASSIGN_OR_RETURN(const Buffer text, files_.read_file(path, kMaxFileBytes));
  const Json file = Json::parse(as_text(text), nullptr, false);
  if (!file.is_object() || !file.contains("users") || !file["users"].is_array()) {
    return damaged(path, "it is not what this program writes");
  }
  if (file.value("version", 0U) > kVersion) {
    return Error(ErrorCode::unsupported_version, path + " was written by a newer version");
  }
  std::map<std::string, User> users;
  try {
    for (const Json& entry : file["users"]) {
      User user;
      user.shown.name = entry.at("name").get<std::string>();
      user.shown.created_ms = entry.at("created_ms").get<int64_t>();
      const auto role = parse_role(entry.at("role").get<std::string>());
      if (!role) return damaged(path, "it has a role that is none");
      user.shown.role = *role;
      for (const Json& key : entry.at("keys")) {
        AccessKey one{key.at("id").get<std::string>(), key.at("created_ms").get<int64_t>(),
                      key.at("expires_ms").get<int64_t>()};
        ASSIGN_OR_RETURN(Secret secret, box_.unseal(key.at("secret").get<std::string>(),
                                                    owner_of(user.shown, one.id)));
        user.shown.keys.push_back(std::move(one));
        user.secrets.push_back(std::move(secret));
      }
      users[user.shown.name] = std::move(user);
    }
  } catch (const Json::exception& e) {
    return damaged(path, e.what());
  }
  replace(std::move(users));
  return {};
}

Status AccessKeys::save(const std::map<std::string, User>& users) const {
  Json file = {{"version", kVersion}, {"users", Json::array()}};
  for (const auto& [name, user] : users) {
    Json entry = {{"name", name},
                  {"role", to_string(user.shown.role)},
                  {"created_ms", user.shown.created_ms},
                  {"keys", Json::array()}};
    for (size_t i = 0; i < user.shown.keys.size(); ++i) {
      const AccessKey& key = user.shown.keys[i];
      entry["keys"].push_back(
          {{"id", key.id},
           {"created_ms", key.created_ms},
           {"expires_ms", key.expires_ms},
           {"secret", box_.seal(user.secrets[i], owner_of(user.shown, key.id), random_)}});
    }
    file["users"].push_back(std::move(entry));
  }
  return files_.replace_file(join_path(directory_, kUsersName), as_view(file.dump(1) + "\n"),
                             OpenMode::create_private);
}

void AccessKeys::replace(std::map<std::string, User> users) {
  users_ = std::move(users);
  user_of_.clear();
  for (const auto& [name, user] : users_) {
    for (const AccessKey& key : user.shown.keys) user_of_[key.id] = name;
  }
}

AccessKeys::NewKey AccessKeys::make_key(User& user) {
  Buffer raw(kSecretBytes);
  random_.fill(raw);
  NewKey out;
  out.secret = Secret(to_base64(raw));
  std::fill(raw.begin(), raw.end(), std::byte{0});
  out.access_key_id = new_key_id(random_);
  user.shown.keys.insert(user.shown.keys.begin(), {out.access_key_id, clock_.unix_ms(), 0});
  user.secrets.insert(user.secrets.begin(), out.secret);
  out.user = user.shown;
  return out;
}

Result<AccessKeys::NewKey> AccessKeys::add(const std::string& name, Role role) {
  if (!valid_name(name)) {
    return Error(ErrorCode::invalid_argument,
                 "a user's name is 1 to 64 of letters, digits and - _ . @");
  }
  const std::unique_lock lock(mutex_);
  if (users_.contains(name)) return Error(ErrorCode::exists, "there is a user " + name);
  if (users_.size() >= kMaxUsers) return Error(ErrorCode::no_space, "there are 1000 users");
  auto users = users_;
  User& user = users[name];
  user.shown.name = name;
  user.shown.role = role;
  user.shown.created_ms = clock_.unix_ms();
  NewKey made = make_key(user);
  TRY(save(users));
  replace(std::move(users));
  return made;
}

Result<AccessKeys::NewKey> AccessKeys::rotate(const std::string& name, int64_t grace_ms) {
  const std::unique_lock lock(mutex_);
  if (!users_.contains(name)) return Error(ErrorCode::not_found, "there is no user " + name);
  auto users = users_;
  User& user = users[name];
  NewKey made = make_key(user);
  const int64_t end_ms = clock_.unix_ms() + grace_ms;
  const size_t kept = grace_ms > 0 ? kMaxKeysPerUser : 1;
  if (user.shown.keys.size() > kept) {
    user.shown.keys.resize(kept);
    user.secrets.resize(kept);
  }
  for (size_t i = 1; i < user.shown.keys.size(); ++i) {
    int64_t& expires = user.shown.keys[i].expires_ms;
    expires = expires == 0 ? end_ms : std::min(expires, end_ms);
  }
  made.user = user.shown;
  TRY(save(users));
  replace(std::move(users));
  return made;
}

Status AccessKeys::remove(const std::string& name) {
  const std::unique_lock lock(mutex_);
  if (!users_.contains(name)) return Error(ErrorCode::not_found, "there is no user " + name);
  auto users = users_;
  users.erase(name);
  TRY(save(users));
  replace(std::move(users));
  return {};
}

std::vector<ApiUser> AccessKeys::list() const {
  const std::shared_lock lock(mutex_);
  std::vector<ApiUser> out;
  for (const auto& [name, user] : users_) out.push_back(user.shown);
  return out;
}

std::optional<AccessKeys::Found> AccessKeys::find(std::string_view access_key_id) const {
  const std::shared_lock lock(mutex_);
  const auto at = user_of_.find(access_key_id);
  if (at == user_of_.end()) return std::nullopt;
  const User& user = users_.at(at->second);
  for (size_t i = 0; i < user.shown.keys.size(); ++i) {
    const AccessKey& key = user.shown.keys[i];
    if (key.id != access_key_id) continue;
    if (key.expires_ms != 0 && clock_.unix_ms() >= key.expires_ms) return std::nullopt;
    return Found{user.shown.name, user.shown.role, user.secrets[i]};
  }
  return std::nullopt;
}

}  // namespace coldshelf
