#include "gateway/secrets.h"

#include <cstdlib>

namespace coldshelf {

namespace {

constexpr size_t kMinChapSecretBytes = 12;
constexpr size_t kMaxSecretBytes = 4096;

Result<iscsi::ChapCredentials> load_chap(FileSystem& files, const std::string& user,
                                         const std::string& file, const std::string& variable) {
  ASSIGN_OR_RETURN(Secret secret, load_secret(files, file, variable));
  if (secret.reveal().size() < kMinChapSecretBytes) {
    return Error(ErrorCode::invalid_argument,
                 "the CHAP secret in " + (file.empty() ? "$" + variable : file) + " has " +
                     std::to_string(secret.reveal().size()) + " bytes; at least 12 are needed");
  }
  return iscsi::ChapCredentials{user, std::move(secret)};
}

}  // namespace

Result<Secret> load_secret(FileSystem& files, const std::string& file,
                           const std::string& variable) {
  std::string text;
  if (!file.empty()) {
    auto content = files.read_file(file, kMaxSecretBytes);
    if (!content.ok()) {
      Error why = content.error();
      why.context = "reading a secret: " + why.context;
      return why;
    }
    text = to_text(*content);
  } else {
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr) {
      return Error(ErrorCode::not_found, "the environment has no variable " + variable);
    }
    text = value;
  }
  std::string_view view = text;
  while (!view.empty() && (view.back() == '\n' || view.back() == '\r' || view.back() == ' ')) {
    view.remove_suffix(1);
  }
  Secret secret(view);
  std::fill(text.begin(), text.end(), '\0');
  return secret;
}

Result<LoadedSecrets> load_secrets(FileSystem& files, const Config& config) {
  LoadedSecrets out;
  if (!config.encryption.key_file.empty()) {
    ASSIGN_OR_RETURN(auto key, KeyEncryptionKey::load_file(files, config.encryption.key_file));
    out.key.emplace(std::move(key));
  } else if (!config.encryption.key_env.empty()) {
    ASSIGN_OR_RETURN(auto key, KeyEncryptionKey::load_environment(config.encryption.key_env));
    out.key.emplace(std::move(key));
  }
  const Config::Chap& chap = config.iscsi.chap;
  if (!chap.user.empty()) {
    ASSIGN_OR_RETURN(auto loaded, load_chap(files, chap.user, chap.secret_file, chap.secret_env));
    out.chap.emplace(std::move(loaded));
  }
  if (!chap.mutual_user.empty()) {
    ASSIGN_OR_RETURN(auto loaded, load_chap(files, chap.mutual_user, chap.mutual_secret_file,
                                            chap.mutual_secret_env));
    if (constant_time_equal(loaded.secret.reveal_bytes(), out.chap->secret.reveal_bytes())) {
      return Error(ErrorCode::invalid_argument,
                   "the CHAP secrets of both directions are the same; they must differ");
    }
    out.mutual_chap.emplace(std::move(loaded));
  }
  return out;
}

}  // namespace coldshelf
