// Reads blocks out of frames, and checks every byte it returns. Thread-safe.
//
// A frame that is stored as it is (not compressed, not encrypted) need not be read whole for a few
// blocks of it: header and table have checksums of their own, and the table one for every 4096
// bytes. Any other frame is read and opened whole; the last ones used are kept.
#pragma once

#include <list>

#include "volume/image_segment.h"

namespace coldshelf {

class ImageReader {
 public:
  ImageReader(SegmentFiles& files, std::shared_ptr<BufferPool> buffers, uint32_t block_bytes)
      : files_(files), buffers_(std::move(buffers)), block_bytes_(block_bytes) {}

  // `wanted` of the frame at `offset`, whose table must hold all of it in one range. `size`: bytes
  // of the segment that are written so far.
  Status read(const ImageSegment& segment, uint64_t offset, uint64_t size, const BlockRange& wanted,
              MutableBytes out);

  // The frame at `offset` with its table, without its data where that can be. For kinds without a
  // table only `header` and `plain`.
  struct FrameInfo {
    FrameHeader header;
    uint32_t header_size = 0;
    ExtentTable table;
    std::shared_ptr<const Buffer> plain;  // null when only the table was read
    uint64_t size() const { return uint64_t{header_size} + header.stored_size; }
  };
  Result<FrameInfo> read_info(const ImageSegment& segment, uint64_t offset, uint64_t size);

 private:
  struct Kept {
    SegmentId id;
    uint64_t offset = 0;
    std::shared_ptr<const FrameInfo> info;
  };
  Status read_once(const ImageSegment& segment, uint64_t offset, uint64_t size,
                   const BlockRange& wanted, MutableBytes out);
  Result<FrameInfo> read_begin(const ImageSegment& segment, uint64_t offset, uint64_t size,
                               uint64_t want, Buffer& bytes);
  Status read_to(const ImageSegment& segment, uint64_t offset, uint64_t end, Buffer& bytes);
  Status open_whole(const ImageSegment& segment, uint64_t offset, Buffer& bytes, FrameInfo& info);
  std::shared_ptr<const FrameInfo> kept(const SegmentId& id, uint64_t offset);
  void keep(const SegmentId& id, uint64_t offset, std::shared_ptr<const FrameInfo> info);

  SegmentFiles& files_;
  const std::shared_ptr<BufferPool> buffers_;
  const uint32_t block_bytes_;
  std::mutex mutex_;
  std::list<Kept> kept_;  // last used first
};

}  // namespace coldshelf
