#include "gateway/api/secret_box.h"

#include <algorithm>

#include "tape/format/aead.h"

namespace coldshelf {

Result<SecretBox> SecretBox::open(FileSystem& files, Random& random, const std::string& path,
                                  bool made_before) {
  ASSIGN_OR_RETURN(const bool there, files.exists(path));
  if (!there && made_before) {
    return Error(ErrorCode::key_missing,
                 path +
                     " is gone; without it the API's users and CHAP secrets cannot be read. Put "
                     "it back, or remove users.json and chap.json beside it and make them anew");
  }
  if (!there) {
    Buffer raw(aead::kKeySize);
    random.fill(raw);
    const Secret text(to_hex(raw));
    std::fill(raw.begin(), raw.end(), std::byte{0});
    TRY(files.replace_file(path, text.reveal_bytes(), OpenMode::create_private));
  }
  ASSIGN_OR_RETURN(const Buffer text, files.read_file(path, 1 * KiB));
  std::string_view hex = as_text(text);
  while (!hex.empty() && (hex.back() == '\n' || hex.back() == '\r')) hex.remove_suffix(1);
  Buffer raw;
  if (!from_hex(hex, raw) || raw.size() != aead::kKeySize) {
    return Error(ErrorCode::corrupt, path + " is not a key of 64 hexadecimal digits");
  }
  return SecretBox(Secret(ByteView(raw)));
}

// A random nonce each time: 96 bits, and a secret is sealed some thousand times in its life.
std::string SecretBox::seal(const Secret& plain, std::string_view owner, Random& random) const {
  aead::Nonce nonce{};
  random.fill(nonce);
  Buffer out(aead::kNonceSize + plain.reveal_bytes().size() + aead::kTagSize);
  std::copy(nonce.begin(), nonce.end(), out.begin());
  aead::seal(key_.reveal_bytes(), nonce, {as_view(owner)}, plain.reveal_bytes(),
             MutableBytes(out).subspan(aead::kNonceSize));
  return to_hex(out);
}

Result<Secret> SecretBox::unseal(const std::string& sealed, std::string_view owner) const {
  Buffer raw;
  if (!from_hex(sealed, raw) || raw.size() < aead::kNonceSize + aead::kTagSize) {
    return Error(ErrorCode::corrupt, "a secret is not one");
  }
  aead::Nonce nonce{};
  std::copy_n(raw.begin(), nonce.size(), nonce.begin());
  Buffer plain(raw.size() - aead::kNonceSize - aead::kTagSize);
  if (!aead::open(key_.reveal_bytes(), nonce, {as_view(owner)},
                  ByteView(raw).subspan(aead::kNonceSize), plain)) {
    return Error(ErrorCode::corrupt, "the secret of " + std::string(owner) + " does not open");
  }
  Secret out{ByteView(plain)};
  std::fill(plain.begin(), plain.end(), std::byte{0});
  return out;
}

}  // namespace coldshelf
