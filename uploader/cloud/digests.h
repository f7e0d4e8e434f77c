// Digests of what goes up, where the server does not check SHA-256 itself.
#pragma once

#include <array>
#include <memory>

#include "base/bytes.h"
#include "base/sha256.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

using Md5Digest = std::array<std::byte, 16>;

// S3's ETags and Content-MD5. Not for anything an adversary may choose.
class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(const Md5&) = delete;
  Md5& operator=(const Md5&) = delete;
  void update(ByteView bytes);
  Md5Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};
Md5Digest md5_of(ByteView bytes);

// Hands the part of `source` in pieces to `take`.
Status read_source(const PutSource& source, uint64_t offset, uint64_t bytes,
                   const std::function<void(ByteView)>& take);

}  // namespace coldshelf
