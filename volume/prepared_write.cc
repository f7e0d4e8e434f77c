#include "volume/prepared_write.h"

#include "base/check.h"

namespace coldshelf {

PreparedWrite::PreparedWrite(const BlockRange& range, uint32_t block_bytes, BufferPool& pool)
    : range_(range),
      block_bytes_(block_bytes),
      table_bytes_(extent_table_size({&range_, 1}, FrameKind::extents, block_bytes)),
      plain_size_(static_cast<uint32_t>(table_bytes_ + range.count * block_bytes)),
      payload_(pool.take(plain_size_)) {
  CHECK(range.count > 0 && data_bytes() <= kMaxPreparedBytes);
}

MutableBytes PreparedWrite::data() {
  CHECK(!finished_);
  return MutableBytes(*payload_).subspan(table_bytes_);
}

void PreparedWrite::finish(const CompressionOptions& compression, BufferPool& pool) {
  CHECK(!finished_);
  finished_ = true;
  const MutableBytes all(*payload_);
  encode_extent_table({&range_, 1}, FrameKind::extents, false, block_bytes_,
                      all.subspan(table_bytes_), all.first(table_bytes_));
  if (auto packed = compress_frame_payload(all, compression, pool)) {
    payload_ = std::move(packed);
    codec_ = FrameCodec::zstd;
  }
}

}  // namespace coldshelf
