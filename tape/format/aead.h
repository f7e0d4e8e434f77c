// AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, for frames and wrapped keys.
#pragma once

#include <array>
#include <initializer_list>

#include "base/bytes.h"

namespace coldshelf::aead {

constexpr size_t kKeySize = 32;
constexpr size_t kNonceSize = 12;
constexpr size_t kTagSize = 16;
using Nonce = std::array<std::byte, kNonceSize>;

// Encrypts `plain` into `out`, ciphertext then tag: out.size() == plain.size() + kTagSize. `out`
// may begin where `plain` does. The associated data is the concatenation of `associated`.
void seal(ByteView key, const Nonce& nonce, std::initializer_list<ByteView> associated,
          ByteView plain, MutableBytes out);

// The inverse: out.size() + kTagSize == sealed.size(). False: not authentic, and `out` is zeroed.
[[nodiscard]] bool open(ByteView key, const Nonce& nonce,
                        std::initializer_list<ByteView> associated, ByteView sealed,
                        MutableBytes out);

}  // namespace coldshelf::aead
