// Keys: a random data key per cartridge, wrapped by a key-encryption key that never leaves the
// gateway.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "tape/format/manifest.h"

namespace coldshelf {

struct NewDataKey {
  Secret plain;  // 32 bytes
  WrappedKey wrapped;
};

// What keeps data keys: a key-encryption key of this gateway, or a service that has one
// (uploader/kms_key.h). Thread-safe. A service may be out of reach: unavailable, timed_out,
// permission.
class KeyWrapper {
 public:
  virtual ~KeyWrapper() = default;
  // The public name of the key that wraps. WrappedKey::key_id of what it wrapped.
  virtual const std::string& id() const = 0;
  // Whether unwrap() is worth trying for a key of that name.
  virtual bool opens(const std::string& key_id) const { return key_id == id(); }
  virtual Result<WrappedKey> wrap(const Secret& data_key, const Uuid& cartridge,
                                  Random& random) const = 0;
  // key_mismatch: wrapped by another key (both ids are named in the message); corrupt: the wrapped
  // bytes are damaged, or of another cartridge.
  virtual Result<Secret> unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const = 0;
  // A fresh data key, and the same wrapped.
  virtual Result<NewDataKey> make_data_key(const Uuid& cartridge, Random& random) const;
};

// Wraps with AES-256-GCM (random 96-bit nonce; the cartridge's uuid and the key id are associated
// data).
class KeyEncryptionKey final : public KeyWrapper {
 public:
  // Key material: 32 bytes raw, or 64 hex digits, or base64 of 32 bytes; white space at the end is
  // ignored. invalid_argument says what is wrong, never the content.
  static Result<KeyEncryptionKey> parse(std::string_view text);
  // permission: others than its owner may read the file.
  static Result<KeyEncryptionKey> load_file(FileSystem& files, const std::string& path);
  static Result<KeyEncryptionKey> load_environment(const std::string& variable);
  // What the program prints (base/command.h), within 30 seconds.
  static Result<KeyEncryptionKey> load_command(const std::string& command_line);
  static Secret generate_text(Random& random);  // 64 hex digits, for `coldshelf key generate`

  // A public name of this key, derived one-way from it: "kek-" and 16 hex digits.
  const std::string& id() const override { return id_; }

  Result<WrappedKey> wrap(const Secret& data_key, const Uuid& cartridge,
                          Random& random) const override;
  Result<Secret> unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const override;

 private:
  KeyEncryptionKey(Secret key, std::string id) : key_(std::move(key)), id_(std::move(id)) {}
  Secret key_;
  std::string id_;
};

// The key that is in use, and older ones that some cartridges are still wrapped by.
class KeyRing final : public KeyWrapper {
 public:
  explicit KeyRing(std::unique_ptr<const KeyWrapper> current);
  // invalid_argument: the same key is there already.
  Status add_old(std::unique_ptr<const KeyWrapper> key);

  const KeyWrapper& current() const { return *keys_.front(); }
  std::vector<std::string> ids() const;  // the current one first

  const std::string& id() const override { return current().id(); }
  bool opens(const std::string& key_id) const override { return find(key_id) != nullptr; }
  Result<WrappedKey> wrap(const Secret& data_key, const Uuid& cartridge,
                          Random& random) const override;
  Result<Secret> unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const override;
  Result<NewDataKey> make_data_key(const Uuid& cartridge, Random& random) const override;

 private:
  const KeyWrapper* find(const std::string& key_id) const;
  std::vector<std::unique_ptr<const KeyWrapper>> keys_;
};

Secret generate_data_key(Random& random);  // 32 bytes

}  // namespace coldshelf
