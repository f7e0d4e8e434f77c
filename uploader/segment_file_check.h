// The digests of a sealed segment's file, in one pass.
#pragma once

#include "base/buffer_pool.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/sha256.h"

namespace coldshelf {

// Hashes a segment as it goes by. A segment ends with the digest of all before it (tape/format/
// segment.h): `body` is what that must be, `object` the digest of every byte, which is what an
// object store confirms.
class SegmentHasher {
 public:
  explicit SegmentHasher(uint64_t size) : size_(size) {}
  void update(ByteView bytes);  // in order, `size` bytes in all
  // corrupt: too short, or the body does not have digest `expected`, or the file does not end with
  // it: every byte is checked.
  Status finish(const Sha256Digest& expected);
  const Sha256Digest& object() const { return object_; }

 private:
  const uint64_t size_;
  uint64_t seen_ = 0;
  Sha256 sha_;
  Sha256Digest body_{};
  Buffer tail_;  // what the file ends with
  Sha256Digest object_{};
};

// Reads the whole file: its size and body digest must be those given; gives the object's digest.
Result<Sha256Digest> check_segment_file(File& file, uint64_t size, const Sha256Digest& body,
                                        BufferPool& pool);

}  // namespace coldshelf
