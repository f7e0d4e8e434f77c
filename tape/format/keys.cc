#include "tape/format/keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "base/coding.h"
#include "base/command.h"
#include "base/sha256.h"
#include "tape/format/aead.h"

namespace coldshelf {

namespace {

// A wrapped key: version | nonce | encrypted data key and tag. docs/format/manifest.md.
constexpr uint8_t kWrapVersion = 1;
constexpr size_t kWrappedSize = 1 + aead::kNonceSize + aead::kKeySize + aead::kTagSize;
constexpr std::string_view kIdContext = "coldshelf key-encryption key id 1";
constexpr std::string_view kWrapContext = "coldshelf wrapped data key 1";

Error unusable(const char* what) {
  return Error(ErrorCode::invalid_argument, std::string("key: ") + what);
}

// Key bytes on their way through a buffer do not stay in freed memory.
struct Wiped {
  Buffer bytes;
  Wiped() { bytes.reserve(64); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

constexpr CommandLimits kCommandLimits{30'000, 4 * KiB};

std::string key_id_of(ByteView key) {
  Sha256 sha;
  sha.update(as_view(kIdContext));
  sha.update(key);
  const Sha256Digest digest = sha.finish();
  return "kek-" + to_hex(ByteView(digest).first(8));
}

}  // namespace

Result<KeyEncryptionKey> KeyEncryptionKey::parse(std::string_view text) {
  Wiped raw;
  // Exactly 32 bytes are the key itself, even when the last one looks like white space.
  if (text.size() != aead::kKeySize) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
      text.remove_suffix(1);
    }
  }
  if (text.empty()) return unusable("empty");
  if (text.size() == aead::kKeySize) {
    append(raw.bytes, as_view(text));
  } else if (text.size() == 2 * aead::kKeySize) {
    if (!from_hex(text, raw.bytes)) return unusable("64 characters, but not all hexadecimal");
  } else if (text.size() == 44) {
    if (!from_base64(text, raw.bytes) || raw.bytes.size() != aead::kKeySize) {
      return unusable("44 characters, but not the base64 of 32 bytes");
    }
  } else {
    return Error(ErrorCode::invalid_argument,
                 "key: neither 32 bytes, nor 64 hexadecimal digits, nor 44 characters of base64, "
                 "but " +
                     std::to_string(text.size()) + " bytes");
  }
  std::string id = key_id_of(raw.bytes);
  return KeyEncryptionKey(Secret(ByteView(raw.bytes)), std::move(id));
}

Result<KeyEncryptionKey> KeyEncryptionKey::load_file(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const FileInfo info, files.info(path));
  if ((info.permissions & 077U) != 0) {
    char mode[16];
    std::snprintf(mode, sizeof mode, "%04o", info.permissions);
    return Error(ErrorCode::permission, path + ": others than its owner may read or write the key" +
                                            " (mode " + mode + "); chmod 600 it");
  }
  Wiped content;
  ASSIGN_OR_RETURN(content.bytes, files.read_file(path, 4 * KiB));
  auto key = parse(as_text(content.bytes));
  if (!key.ok()) return Error(key.error().code, path + ": " + key.error().context);
  return key;
}

Result<KeyEncryptionKey> KeyEncryptionKey::load_environment(const std::string& variable) {
  const char* text = std::getenv(variable.c_str());
  if (text == nullptr) {
    return Error(ErrorCode::not_found, "key: the environment has no variable " + variable);
  }
  auto key = parse(text);
  if (!key.ok()) {
    return Error(key.error().code, "variable " + variable + ": " + key.error().context);
  }
  return key;
}

Result<KeyEncryptionKey> KeyEncryptionKey::load_command(const std::string& command_line) {
  const auto about = [](const Error& error) {
    return Error(error.code, error.disposition, "key command: " + error.context);
  };
  const auto words = split_command_line(command_line);
  if (!words.ok()) return about(words.error());
  const auto output = run_program(*words, kCommandLimits);
  if (!output.ok()) return about(output.error());
  auto key = parse(output->reveal());
  if (!key.ok()) return about(key.error());
  return key;
}

Secret KeyEncryptionKey::generate_text(Random& random) {
  const Secret key = generate_data_key(random);
  std::string hex = to_hex(key.reveal_bytes());
  Secret text{std::string_view(hex)};
  OPENSSL_cleanse(hex.data(), hex.size());
  return text;
}

Result<NewDataKey> KeyWrapper::make_data_key(const Uuid& cartridge, Random& random) const {
  NewDataKey out;
  out.plain = generate_data_key(random);
  ASSIGN_OR_RETURN(out.wrapped, wrap(out.plain, cartridge, random));
  return out;
}

Result<WrappedKey> KeyEncryptionKey::wrap(const Secret& data_key, const Uuid& cartridge,
                                          Random& random) const {
  CHECK(data_key.reveal_bytes().size() == aead::kKeySize);
  aead::Nonce nonce;
  random.fill(nonce);
  WrappedKey out;
  out.key_id = id_;
  Encoder e(out.wrapped);
  e.u8(kWrapVersion);
  e.raw(nonce);
  const size_t sealed_at = out.wrapped.size();
  out.wrapped.resize(kWrappedSize);
  aead::seal(key_.reveal_bytes(), nonce, {as_view(kWrapContext), cartridge.view(), as_view(id_)},
             data_key.reveal_bytes(), MutableBytes(out.wrapped).subspan(sealed_at));
  return out;
}

Result<Secret> KeyEncryptionKey::unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const {
  if (wrapped.empty()) return Error(ErrorCode::corrupt, "key: the cartridge has no wrapped key");
  if (wrapped.key_id != id_) {
    return Error(ErrorCode::key_mismatch,
                 "key: the cartridge needs " + wrapped.key_id + ", the configured one is " + id_);
  }
  const auto version = std::to_integer<uint8_t>(wrapped.wrapped[0]);
  if (version > kWrapVersion) {
    return Error(ErrorCode::unsupported_version,
                 "key: wrapped in form " + std::to_string(version) + ", newer than this program");
  }
  if (version == 0 || wrapped.wrapped.size() != kWrappedSize) {
    return Error(ErrorCode::corrupt, "key: the wrapped key is malformed");
  }
  const ByteView bytes = wrapped.wrapped;
  aead::Nonce nonce;
  std::memcpy(nonce.data(), bytes.data() + 1, nonce.size());
  Wiped key;
  key.bytes.resize(aead::kKeySize);
  if (!aead::open(key_.reveal_bytes(), nonce,
                  {as_view(kWrapContext), cartridge.view(), as_view(id_)},
                  bytes.subspan(1 + nonce.size()), key.bytes)) {
    return Error(ErrorCode::corrupt, "key: the wrapped key is damaged, or of another cartridge");
  }
  return Secret(ByteView(key.bytes));
}

KeyRing::KeyRing(std::unique_ptr<const KeyWrapper> current) { keys_.push_back(std::move(current)); }

Status KeyRing::add_old(std::unique_ptr<const KeyWrapper> key) {
  const std::vector<std::string> known = ids();
  if (std::find(known.begin(), known.end(), key->id()) != known.end()) {
    return Error(ErrorCode::invalid_argument, "key " + key->id() + " is configured twice");
  }
  keys_.push_back(std::move(key));
  return {};
}

std::vector<std::string> KeyRing::ids() const {
  std::vector<std::string> out;
  for (const auto& key : keys_) out.push_back(key->id());
  return out;
}

const KeyWrapper* KeyRing::find(const std::string& key_id) const {
  // The one with that very name first: others may open it too, with other rights.
  for (const auto& key : keys_) {
    if (key->id() == key_id) return key.get();
  }
  for (const auto& key : keys_) {
    if (key->opens(key_id)) return key.get();
  }
  return nullptr;
}

Result<WrappedKey> KeyRing::wrap(const Secret& data_key, const Uuid& cartridge,
                                 Random& random) const {
  return current().wrap(data_key, cartridge, random);
}

Result<Secret> KeyRing::unwrap(const WrappedKey& wrapped, const Uuid& cartridge) const {
  // The current key has the words for what is wrong with it, and the only name when it is alone.
  const KeyWrapper* key = find(wrapped.key_id);
  if (key != nullptr || wrapped.empty() || keys_.size() == 1) {
    return (key == nullptr ? &current() : key)->unwrap(wrapped, cartridge);
  }
  std::string configured;
  for (const std::string& id : ids()) configured += (configured.empty() ? "" : ", ") + id;
  return Error(ErrorCode::key_mismatch, "key: the cartridge needs " + wrapped.key_id +
                                            ", the configured ones are " + configured);
}

Result<NewDataKey> KeyRing::make_data_key(const Uuid& cartridge, Random& random) const {
  return current().make_data_key(cartridge, random);
}

Secret generate_data_key(Random& random) {
  std::array<std::byte, aead::kKeySize> key;
  random.fill(key);
  Secret out{ByteView(key)};
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

}  // namespace coldshelf
