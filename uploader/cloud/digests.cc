#include "uploader/cloud/digests.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {
constexpr uint64_t kPieceBytes = 1 * MiB;
}

struct Md5::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { CHECK(EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Md5::Md5() : state_(std::make_unique<State>()) {}
Md5::~Md5() = default;

void Md5::update(ByteView bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

Md5Digest Md5::finish() {
  Md5Digest digest{};
  unsigned length = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()),
                           &length) == 1);
  CHECK(length == digest.size());
  return digest;
}

Md5Digest md5_of(ByteView bytes) {
  Md5 md5;
  md5.update(bytes);
  return md5.finish();
}

Status read_source(const PutSource& source, uint64_t offset, uint64_t bytes,
                   const std::function<void(ByteView)>& take) {
  if (source.file == nullptr) {
    take(source.bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(bytes)));
    return {};
  }
  Buffer piece(static_cast<size_t>(std::min(bytes, kPieceBytes)));
  for (uint64_t done = 0; done < bytes;) {
    const MutableBytes into =
        MutableBytes(piece).first(static_cast<size_t>(std::min(kPieceBytes, bytes - done)));
    TRY(source.file->read_at(offset + done, into));
    take(into);
    done += into.size();
  }
  return {};
}

}  // namespace coldshelf
