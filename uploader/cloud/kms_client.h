// AWS Key Management Service, as far as data keys need it (JSON 1.1). Thread-safe.
// https://docs.aws.amazon.com/kms/latest/APIReference/
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "uploader/cloud/aws_service.h"

namespace coldshelf {

using KmsContext = std::map<std::string, std::string>;  // must be the same again for decrypt

struct KmsCiphertext {
  std::string key_arn;  // of the key that encrypted
  Buffer bytes;
};
struct KmsDataKey {
  Secret plain;  // 32 bytes
  KmsCiphertext encrypted;
};

// Errors: permission (refused, or no credentials), key_missing (no such key, disabled, to be
// deleted), key_mismatch (encrypted by another key), corrupt (not what KMS encrypted, or another
// context), unavailable (busy or out of reach, after some attempts).
class KmsClient {
 public:
  struct Options {
    std::string region;
    std::string endpoint;  // empty: the region's own
    int64_t timeout_ms = 10'000;
    unsigned attempts = 3;
  };
  KmsClient(Options options, std::shared_ptr<Clock> clock, std::shared_ptr<HttpTransport> transport,
            std::shared_ptr<CredentialsProvider> credentials);

  // `key`: an ARN, an id, or "alias/...".
  Result<KmsDataKey> generate_data_key(const std::string& key, const KmsContext& context);
  Result<KmsCiphertext> encrypt(const std::string& key, const Secret& plain,
                                const KmsContext& context);
  Result<Secret> decrypt(const KmsCiphertext& encrypted, const KmsContext& context);

  const std::string& region() const { return options_.region; }

 private:
  Result<Buffer> call(const std::string& operation, const std::string& body);
  Result<Buffer> once(const std::string& operation, const std::string& body,
                      AwsService::Remedies& remedies, bool& put_right);

  const Options options_;
  const std::shared_ptr<Clock> clock_;
  AwsService service_;
  SystemRandom random_;
};

}  // namespace coldshelf
