// Keys: a random data key per cartridge, wrapped by a key-encryption key that never leaves the
// gateway.
#pragma once

#include <memory>
#include <string>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "tape/format/manifest.h"

namespace coldshelf {

// Wraps with AES-256-GCM (random 96-bit nonce; the cartridge's uuid and the key id are associated
// data).
class KeyEncryptionKey {
 public:
  // Key material: 32 bytes raw, or 64 hex digits, or base64 of 32 bytes; white space at the end is
  // ignored. invalid_argument says what is wrong, never the content.
  static Result<KeyEncryptionKey> parse(std::string_view text);
  static Result<KeyEncryptionKey> load_file(FileSystem& files, const std::string& path);
  static Result<KeyEncryptionKey> load_environment(const std::string& variable);
  static Secret generate_text(Random& random);  // 64 hex digits, for `coldshelf key generate`

  // A public name of this key, derived one-way from it: "kek-" and 16 hex digits.
  const std::string& id() const { return id_; }

  WrappedKey wrap(const Secret& data_key, const Uuid& cartridge, Random& random) const;
  // key_mismatch: wrapped by another key (both ids are named in the message); corrupt: the wrapped
  // bytes are damaged.
  Result<Secret> unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const;

 private:
  KeyEncryptionKey(Secret key, std::string id) : key_(std::move(key)), id_(std::move(id)) {}
  Secret key_;
  std::string id_;
};

Secret generate_data_key(Random& random);  // 32 bytes

}  // namespace coldshelf
