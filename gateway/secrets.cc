#include "gateway/secrets.h"

#include <cstdlib>

#include "base/clock.h"
#include "base/environment.h"
#include "uploader/kms_key.h"

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

Result<std::unique_ptr<const KeyWrapper>> open_kms_key(FileSystem& files,
                                                       const Config::KeySource& source) {
  auto clock = std::make_shared<SystemClock>();
  CurlOptions curl;
  curl.ca_file = source.kms_ca_file.empty() ? environment("AWS_CA_BUNDLE") : source.kms_ca_file;
  ASSIGN_OR_RETURN(std::shared_ptr<HttpTransport> transport, make_curl_transport(curl));
  CredentialOptions credentials;
  credentials.profile = source.kms_profile;
  KmsClient::Options options;
  options.region = source.kms_region;
  options.endpoint = source.kms_endpoint;
  if (options.region.empty()) options.region = region_of_kms_arn(source.kms_key_id);
  if (options.region.empty()) {
    ASSIGN_OR_RETURN(options.region, find_aws_region(files, *clock, *transport, credentials, true));
  }
  if (options.region.empty()) {
    return Error(ErrorCode::invalid_argument,
                 "encryption.kms_region is not set, and neither the key's ARN nor the AWS settings "
                 "name a region");
  }
  credentials.region = options.region;
  std::shared_ptr<CredentialsProvider> provider =
      make_credential_chain(files, *clock, *transport, credentials);
  auto client = std::make_unique<KmsClient>(options, clock, transport, std::move(provider));
  ASSIGN_OR_RETURN(auto key, KmsKey::open(std::move(client), source.kms_key_id));
  return std::unique_ptr<const KeyWrapper>(std::move(key));
}

Result<std::unique_ptr<const KeyWrapper>> open_key(FileSystem& files,
                                                   const Config::KeySource& source) {
  if (!source.kms_key_id.empty()) return open_kms_key(files, source);
  auto key = !source.key_file.empty()  ? KeyEncryptionKey::load_file(files, source.key_file)
             : !source.key_env.empty() ? KeyEncryptionKey::load_environment(source.key_env)
                                       : KeyEncryptionKey::load_command(source.key_command);
  if (!key.ok()) return key.error();
  return std::unique_ptr<const KeyWrapper>(
      std::make_unique<const KeyEncryptionKey>(std::move(key).value()));
}

}  // namespace

Result<std::unique_ptr<const KeyRing>> load_keys(FileSystem& files,
                                                 const Config::Encryption& encryption) {
  if (!encryption.set()) return std::unique_ptr<const KeyRing>();
  ASSIGN_OR_RETURN(auto current, open_key(files, encryption));
  auto ring = std::make_unique<KeyRing>(std::move(current));
  for (const Config::KeySource& old : encryption.old_keys) {
    ASSIGN_OR_RETURN(auto key, open_key(files, old));
    TRY(ring->add_old(std::move(key)));
  }
  return std::unique_ptr<const KeyRing>(std::move(ring));
}

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
  ASSIGN_OR_RETURN(out.key, load_keys(files, config.encryption));
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
