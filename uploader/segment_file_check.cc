#include "uploader/segment_file_check.h"

#include <algorithm>

namespace coldshelf {

namespace {
constexpr uint64_t kReadBytes = 1 * MiB;
constexpr uint64_t kDigestBytes = sizeof(Sha256Digest);
}  // namespace

void SegmentHasher::update(ByteView bytes) {
  const uint64_t body_end = size_ < kDigestBytes ? 0 : size_ - kDigestBytes;
  if (seen_ <= body_end && seen_ + bytes.size() >= body_end) {
    const size_t n = static_cast<size_t>(body_end - seen_);
    sha_.update(bytes.first(n));
    body_ = sha_.peek();
    sha_.update(bytes.subspan(n));
    append(tail_, bytes.subspan(n));
  } else {
    sha_.update(bytes);
    if (seen_ > body_end) append(tail_, bytes);
  }
  seen_ += bytes.size();
}

Status SegmentHasher::finish(const Sha256Digest& expected) {
  object_ = sha_.finish();
  if (seen_ != size_ || size_ < kDigestBytes) return Error(ErrorCode::corrupt, "too short");
  if (body_ != expected || !equal(tail_, expected)) {
    return Error(ErrorCode::corrupt, "the digest does not match");
  }
  return {};
}

Result<Sha256Digest> check_segment_file(File& file, uint64_t size, const Sha256Digest& body,
                                        BufferPool& pool) {
  ASSIGN_OR_RETURN(const uint64_t found, file.size());
  if (found != size) {
    return Error(ErrorCode::corrupt,
                 std::to_string(found) + " bytes, the manifest says " + std::to_string(size));
  }
  const auto buffer = pool.take(kReadBytes);
  SegmentHasher hasher(size);
  for (uint64_t at = 0; at < size;) {
    const MutableBytes part =
        MutableBytes(*buffer).first(static_cast<size_t>(std::min(kReadBytes, size - at)));
    TRY(file.read_at(at, part));
    hasher.update(part);
    at += part.size();
  }
  TRY(hasher.finish(body));
  return hasher.object();
}

}  // namespace coldshelf
