#include "base/sha256.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"
#include "base/file_system.h"

namespace coldshelf {

namespace {
constexpr uint64_t kPieceBytes = 64 * KiB;  // stays in a processor's own cache
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) { reset(); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::reset() { CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1); }

void Sha256::update(ByteView bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest{};
  unsigned length = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()),
                           &length) == 1);
  CHECK(length == digest.size());
  return digest;
}

Sha256 Sha256::copy() const {
  Sha256 other;
  CHECK(EVP_MD_CTX_copy_ex(other.state_->context, state_->context) == 1);
  return other;
}

Sha256Digest Sha256::peek() const { return copy().finish(); }

Sha256Digest Sha256::of(ByteView bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.finish();
}

Status hash_file(File& file, uint64_t& at, uint64_t end, Sha256& sha) {
  Buffer piece;
  while (at < end) {
    piece.resize(static_cast<size_t>(std::min(kPieceBytes, end - at)));
    TRY(file.read_at(at, piece));
    sha.update(piece);
    at += piece.size();
  }
  return {};
}

}  // namespace coldshelf
