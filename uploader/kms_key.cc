#include "uploader/kms_key.h"

#include <vector>

#include "base/log.h"
#include "tape/format/aead.h"

namespace coldshelf {

namespace {

constexpr std::string_view kIdPrefix = "kms:";

KmsContext context_of(const Uuid& cartridge) {
  return {{"coldshelf:cartridge", cartridge.to_string()}};
}

bool is_key_arn(const std::string& key) {
  return !region_of_kms_arn(key).empty() && key.find(":key/") != std::string::npos;
}

}  // namespace

std::string region_of_kms_arn(const std::string& arn) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (parts.size() < 5) {
    const size_t end = arn.find(':', at);
    if (end == std::string::npos) return {};
    parts.push_back(arn.substr(at, end - at));
    at = end + 1;
  }
  return parts[0] == "arn" && parts[2] == "kms" ? parts[3] : std::string();
}

KmsKey::KmsKey(std::unique_ptr<KmsClient> client, std::string arn)
    : client_(std::move(client)), arn_(std::move(arn)), id_(std::string(kIdPrefix) + arn_) {}

Result<std::unique_ptr<KmsKey>> KmsKey::open(std::unique_ptr<KmsClient> client,
                                             const std::string& key) {
  const auto tried = client->generate_data_key(key, {{"coldshelf:purpose", "check"}});
  std::string arn = key;
  if (tried.ok()) {
    arn = tried->encrypted.key_arn;
  } else if (tried.error().code == ErrorCode::unavailable && is_key_arn(key)) {
    log_warning("keys", "KMS is out of reach; encrypted tapes wait for it",
                {{"key", key}, {"error", tried.error().message()}});
  } else {
    return Error(tried.error().code, "key " + key + ": " + tried.error().context);
  }
  return std::unique_ptr<KmsKey>(new KmsKey(std::move(client), std::move(arn)));
}

bool KmsKey::opens(const std::string& key_id) const {
  return key_id.starts_with(kIdPrefix) &&
         region_of_kms_arn(key_id.substr(kIdPrefix.size())) == region_of_kms_arn(arn_);
}

Result<WrappedKey> KmsKey::wrap(const Secret& data_key, const Uuid& cartridge, Random&) const {
  ASSIGN_OR_RETURN(KmsCiphertext made, client_->encrypt(arn_, data_key, context_of(cartridge)));
  return WrappedKey{std::string(kIdPrefix) + made.key_arn, std::move(made.bytes)};
}

Result<Secret> KmsKey::unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const {
  if (wrapped.empty()) return Error(ErrorCode::corrupt, "key: the cartridge has no wrapped key");
  if (!opens(wrapped.key_id)) {
    return Error(ErrorCode::key_mismatch,
                 "key: the cartridge needs " + wrapped.key_id + ", the configured one is " + id_);
  }
  ASSIGN_OR_RETURN(Secret plain,
                   client_->decrypt({wrapped.key_id.substr(kIdPrefix.size()), wrapped.wrapped},
                                    context_of(cartridge)));
  if (plain.reveal().size() != aead::kKeySize) {
    return Error(ErrorCode::corrupt, "key: what KMS decrypted is not a data key");
  }
  return plain;
}

Result<NewDataKey> KmsKey::make_data_key(const Uuid& cartridge, Random&) const {
  ASSIGN_OR_RETURN(KmsDataKey made, client_->generate_data_key(arn_, context_of(cartridge)));
  return NewDataKey{
      std::move(made.plain),
      {std::string(kIdPrefix) + made.encrypted.key_arn, std::move(made.encrypted.bytes)}};
}

}  // namespace coldshelf
