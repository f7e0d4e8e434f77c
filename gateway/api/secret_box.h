// Secrets at rest that must be read again: AES-256-GCM under a key of the gateway's own
// (<data>/api/users.key, mode 0600), bound to what they belong to.
#pragma once

#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace coldshelf {

class SecretBox {
 public:
  // The key is made when it is not there; key_missing when it is gone although `made_before`.
  static Result<SecretBox> open(FileSystem& files, Random& random, const std::string& path,
                                bool made_before);

  // Hexadecimal. `owner` must be the same to open it.
  std::string seal(const Secret& plain, std::string_view owner, Random& random) const;
  Result<Secret> unseal(const std::string& sealed, std::string_view owner) const;  // corrupt

 private:
  explicit SecretBox(Secret key) : key_(std::move(key)) {}
  Secret key_;
};

}  // namespace coldshelf
