#include "volume/image_reader.h"

#include <algorithm>

#include "base/crc32c.h"

namespace coldshelf {

namespace {

// Header, table of a small frame, and some: what is read beside the blocks that are wanted.
constexpr uint64_t kHeadBytes = 512;
constexpr size_t kMaxKept = 128;  // of 64 KiB

Error corrupt(const ImageSegment& segment, uint64_t offset, std::string what) {
  return Error(ErrorCode::corrupt,
               segment.path + " at byte " + std::to_string(offset) + ": " + std::move(what));
}

Buffer& scratch() {
  thread_local Buffer buffer;
  return buffer;
}

struct Place {
  size_t at = 0;  // of the range's data, behind the table
  size_t first_piece = 0;
  const BlockRange* range = nullptr;
};

Place place_of(const ExtentTable& table, uint32_t block_bytes, const BlockRange& wanted) {
  Place place;
  place.at = table.table_bytes;
  for (const BlockRange& range : table.ranges) {
    if (wanted.first >= range.first && wanted.end() <= range.end()) {
      place.range = &range;
      return place;
    }
    place.at += static_cast<size_t>(range.count) * block_bytes;
    place.first_piece += pieces_of(range.count, block_bytes);
  }
  return place;
}

}  // namespace

// Reads at least the header and the table, and `want` bytes of what follows if it is there; decodes
// both. `bytes` holds what was read, from the frame's first byte on.
Result<ImageReader::FrameInfo> ImageReader::read_begin(const ImageSegment& segment, uint64_t offset,
                                                       uint64_t size, uint64_t want,
                                                       Buffer& bytes) {
  if (offset < kSegmentHeaderSize || offset > size || size - offset < kFrameHeaderFixedSize) {
    return corrupt(segment, offset, "a frame beyond the end");
  }
  bytes.resize(static_cast<size_t>(std::min(size - offset, kHeadBytes + want)));
  Status done = files_.read_at(segment, offset, bytes);
  if (!done.ok() && done.error().code == ErrorCode::corrupt) {
    // What lies behind the frame may be lost (a sync failed); the frame itself need not be.
    bytes.resize(kFrameHeaderFixedSize);
    done = files_.read_at(segment, offset, bytes);
  }
  TRY(done);
  FrameInfo info;
  ASSIGN_OR_RETURN(info.header_size, frame_header_size(bytes));
  if (info.header_size != kFrameHeaderFixedSize) {
    return corrupt(segment, offset, "runs in a frame of an image");
  }
  ASSIGN_OR_RETURN(info.header, decode_frame_header(ByteView(bytes).first(info.header_size)));
  if (info.header.encrypted != segment.encrypted) {
    return corrupt(segment, offset, "encryption differs from the segment");
  }
  if (info.size() > size - offset || info.header.stored_size < kTableSizeBytes) {
    return corrupt(segment, offset, "a frame cut short");
  }
  if (bytes.size() > info.size()) bytes.resize(static_cast<size_t>(info.size()));
  return info;
}

// Reads on until `bytes` holds that much of the frame.
Status ImageReader::read_to(const ImageSegment& segment, uint64_t offset, uint64_t end,
                            Buffer& bytes) {
  const size_t have = bytes.size();
  if (have >= end) return {};
  bytes.resize(static_cast<size_t>(end));
  return files_.read_at(segment, offset + have, MutableBytes(bytes).subspan(have));
}

Status ImageReader::open_whole(const ImageSegment& segment, uint64_t offset, Buffer& bytes,
                               FrameInfo& info) {
  TRY(read_to(segment, offset, info.size(), bytes));
  auto stored = buffers_->take(info.header.stored_size);
  std::copy(bytes.begin() + info.header_size, bytes.end(), stored->begin());
  auto plain = decode_frame_payload(info.header, ByteView(bytes).first(info.header_size),
                                    std::move(stored), segment.cipher_or_null(), *buffers_);
  if (!plain.ok()) return corrupt(segment, offset, plain.error().context);
  info.plain = std::move(plain).value();
  if (info.header.kind != FrameKind::extents && info.header.kind != FrameKind::holes) return {};
  ASSIGN_OR_RETURN(const uint32_t table_bytes,
                   extent_table_bytes(*info.plain, info.header.plain_size));
  ASSIGN_OR_RETURN(info.table,
                   decode_extent_table(ByteView(*info.plain).first(table_bytes), info.header.kind,
                                       block_bytes_, info.header.plain_size));
  return {};
}

Result<ImageReader::FrameInfo> ImageReader::read_info(const ImageSegment& segment, uint64_t offset,
                                                      uint64_t size) {
  Buffer& bytes = scratch();
  ASSIGN_OR_RETURN(FrameInfo info, read_begin(segment, offset, size, 0, bytes));
  const bool table_alone = info.header.kind == FrameKind::extents && !info.header.encrypted &&
                           info.header.codec == FrameCodec::none;
  if (!table_alone) {
    TRY(open_whole(segment, offset, bytes, info));
    return info;
  }
  TRY(read_to(segment, offset, info.header_size + kTableSizeBytes, bytes));
  ASSIGN_OR_RETURN(
      const uint32_t table_bytes,
      extent_table_bytes(ByteView(bytes).subspan(info.header_size), info.header.plain_size));
  TRY(read_to(segment, offset, info.header_size + table_bytes, bytes));
  ASSIGN_OR_RETURN(info.table,
                   decode_extent_table(ByteView(bytes).subspan(info.header_size, table_bytes),
                                       info.header.kind, block_bytes_, info.header.plain_size));
  return info;
}

std::shared_ptr<const ImageReader::FrameInfo> ImageReader::kept(const SegmentId& id,
                                                                uint64_t offset) {
  const std::lock_guard lock(mutex_);
  for (auto at = kept_.begin(); at != kept_.end(); ++at) {
    if (at->offset != offset || at->id != id) continue;
    kept_.splice(kept_.begin(), kept_, at);
    return at->info;
  }
  return nullptr;
}

void ImageReader::keep(const SegmentId& id, uint64_t offset,
                       std::shared_ptr<const FrameInfo> info) {
  const std::lock_guard lock(mutex_);
  kept_.push_front({id, offset, std::move(info)});
  if (kept_.size() > kMaxKept) kept_.pop_back();
}

// What was damaged on its way here, or where it was kept, may come whole the second time.
Status ImageReader::read(const ImageSegment& segment, uint64_t offset, uint64_t size,
                         const BlockRange& wanted, MutableBytes out) {
  Status done = read_once(segment, offset, size, wanted, out);
  if (done.ok() || done.error().code != ErrorCode::corrupt || !segment.sealed ||
      files_.is_local(segment)) {
    return done;
  }
  files_.distrust(segment, offset,
                  std::min(size - std::min(size, offset), kHeadBytes + kMaxFramePlainBytes));
  return read_once(segment, offset, size, wanted, out);
}

Status ImageReader::read_once(const ImageSegment& segment, uint64_t offset, uint64_t size,
                              const BlockRange& wanted, MutableBytes out) {
  Buffer& bytes = scratch();
  std::shared_ptr<const FrameInfo> whole;
  if (segment.encrypted) whole = kept(segment.id, offset);
  FrameInfo info;
  if (whole == nullptr) {
    ASSIGN_OR_RETURN(info, read_begin(segment, offset, size, out.size(), bytes));
    if (info.header.kind != FrameKind::extents) return corrupt(segment, offset, "no data here");
    if (info.header.encrypted || info.header.codec != FrameCodec::none) {
      if (!segment.encrypted) whole = kept(segment.id, offset);
      if (whole == nullptr) {
        TRY(open_whole(segment, offset, bytes, info));
        whole = std::make_shared<const FrameInfo>(std::move(info));
        keep(segment.id, offset, whole);
      }
    }
  }
  if (whole != nullptr) {
    const Place place = place_of(whole->table, block_bytes_, wanted);
    if (place.range == nullptr) return corrupt(segment, offset, "the frame lacks the block");
    const size_t from = place.at + (wanted.first - place.range->first) * block_bytes_;
    std::memcpy(out.data(), whole->plain->data() + from, out.size());
    return {};
  }

  TRY(read_to(segment, offset, info.header_size + kTableSizeBytes, bytes));
  ASSIGN_OR_RETURN(
      const uint32_t table_bytes,
      extent_table_bytes(ByteView(bytes).subspan(info.header_size), info.header.plain_size));
  TRY(read_to(segment, offset, info.header_size + table_bytes, bytes));
  ASSIGN_OR_RETURN(info.table,
                   decode_extent_table(ByteView(bytes).subspan(info.header_size, table_bytes),
                                       info.header.kind, block_bytes_, info.header.plain_size));
  const Place place = place_of(info.table, block_bytes_, wanted);
  if (place.range == nullptr) return corrupt(segment, offset, "the frame lacks the block");
  // Whole pieces around the blocks.
  const size_t skip = static_cast<size_t>(wanted.first - place.range->first) * block_bytes_;
  const size_t range_bytes = static_cast<size_t>(place.range->count) * block_bytes_;
  const size_t begin = skip / kImagePieceBytes * kImagePieceBytes;
  const size_t end = std::min(range_bytes, (skip + out.size() + kImagePieceBytes - 1) /
                                               kImagePieceBytes * kImagePieceBytes);
  const size_t data_at = info.header_size + place.at;
  ByteView pieces;
  if (data_at + end <= bytes.size()) {
    pieces = ByteView(bytes).subspan(data_at + begin, end - begin);
  } else {
    bytes.resize(end - begin);
    TRY(files_.read_at(segment, offset + data_at + begin, bytes));
    pieces = bytes;
  }
  size_t number = place.first_piece + begin / kImagePieceBytes;
  for (size_t at = 0; at < pieces.size(); at += kImagePieceBytes, ++number) {
    const size_t n = std::min<size_t>(kImagePieceBytes, pieces.size() - at);
    if (crc32c(pieces.subspan(at, n)) != info.table.piece_crcs[number]) {
      return corrupt(segment, offset, "data checksum");
    }
  }
  std::memcpy(out.data(), pieces.data() + (skip - begin), out.size());
  return {};
}

}  // namespace coldshelf
