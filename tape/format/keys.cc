#include "tape/format/keys.h"

#include <openssl/crypto.h>

#include <cctype>
#include <cstdlib>

#include "base/coding.h"
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

Secret KeyEncryptionKey::generate_text(Random& random) {
  const Secret key = generate_data_key(random);
  std::string hex = to_hex(key.reveal_bytes());
  Secret text{std::string_view(hex)};
  OPENSSL_cleanse(hex.data(), hex.size());
  return text;
}

WrappedKey KeyEncryptionKey::wrap(const Secret& data_key, const Uuid& cartridge,
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

Secret generate_data_key(Random& random) {
  std::array<std::byte, aead::kKeySize> key;
  random.fill(key);
  Secret out{ByteView(key)};
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

}  // namespace coldshelf
