// A write whose frame is made before its place in the log is known: where it comes from fills the
// buffer that is written, and compresses it, on a thread of its own; many at once.
#pragma once

#include <memory>

#include "tape/format/frame.h"
#include "tape/format/image_frame.h"

namespace coldshelf {

// What one prepared write holds at most: it is one frame.
constexpr uint64_t kMaxPreparedBytes = 512 * KiB;

class PreparedWrite {
 public:
  // Room for the data of `range`; the buffer comes from `pool`.
  PreparedWrite(const BlockRange& range, uint32_t block_bytes, BufferPool& pool);

  MutableBytes data();  // to be filled before finish()
  // The frame's table, and the whole compressed where that pays.
  void finish(const CompressionOptions& compression, BufferPool& pool);

  const BlockRange& range() const { return range_; }
  uint64_t data_bytes() const { return range_.count * block_bytes_; }
  bool finished() const { return finished_; }
  FrameCodec codec() const { return codec_; }
  uint32_t plain_size() const { return plain_size_; }
  std::shared_ptr<const Buffer> payload() const { return payload_; }

 private:
  const BlockRange range_;
  const uint32_t block_bytes_;
  size_t table_bytes_;
  uint32_t plain_size_;
  FrameCodec codec_ = FrameCodec::none;
  bool finished_ = false;
  std::shared_ptr<Buffer> payload_;
};

}  // namespace coldshelf
