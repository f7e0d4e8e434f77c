// A key of AWS KMS as what keeps the cartridges' data keys. The key itself never leaves KMS; the
// cartridge's uuid is the encryption context, so that a wrapped key fits no other cartridge and
// every use of it stands in CloudTrail with the cartridge it was for.
#pragma once

#include <memory>
#include <string>

#include "tape/format/keys.h"
#include "uploader/cloud/kms_client.h"

namespace coldshelf {

class KmsKey final : public KeyWrapper {
 public:
  // Asks KMS for a data key and throws it away: wrong keys, credentials and permissions show at the
  // start. KMS out of reach is no error when `key` is the ARN of a key: tapes can wait for it.
  static Result<std::unique_ptr<KmsKey>> open(std::unique_ptr<KmsClient> client,
                                              const std::string& key);

  const std::string& id() const override { return id_; }  // "kms:arn:aws:kms:..."
  // Every key of KMS in this region: KMS says which of them may be used. So an alias may come to
  // point to another key.
  bool opens(const std::string& key_id) const override;
  Result<WrappedKey> wrap(const Secret& data_key, const Uuid& cartridge,
                          Random& random) const override;
  Result<Secret> unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const override;
  Result<NewDataKey> make_data_key(const Uuid& cartridge, Random& random) const override;

 private:
  KmsKey(std::unique_ptr<KmsClient> client, std::string arn);
  const std::unique_ptr<KmsClient> client_;
  const std::string arn_;
  const std::string id_;
};

// The region in "arn:aws:kms:<region>:<account>:key/<id>"; "" when it is no such ARN.
std::string region_of_kms_arn(const std::string& arn);

}  // namespace coldshelf
