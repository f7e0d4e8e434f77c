// Reading segments from files: map, one frame, the scan of an unsealed one, full verification.
#include <algorithm>

#include "base/check.h"
#include "tape/format/frame_sequence.h"
#include "tape/format/segment.h"

namespace coldshelf {

namespace {

// A footer names frames of at least 64 bytes with a few bytes each; a bigger one is not believed.
constexpr uint64_t kMaxFooterBytes = 256 * MiB;

Error corrupt(std::string what) { return Error(ErrorCode::corrupt, "segment: " + std::move(what)); }

Error at_offset(Error error, uint64_t offset) {
  error.context = "at byte " + std::to_string(offset) + ": " + error.context;
  return error;
}

// A frame as it lies in the file, its header decoded.
struct RawFrame {
  FrameHeader header;
  Buffer header_bytes;
  std::shared_ptr<const Buffer> stored;  // null when stored_size is 0
  uint64_t size() const { return header_bytes.size() + header.stored_size; }
};

// Reads the frame at `offset`, which must end by `end`. corrupt and unsupported_version speak of
// the bytes; every other error is the file's.
Result<RawFrame> read_raw_frame(File& file, uint64_t offset, uint64_t end, BufferPool& pool) {
  if (offset > end || end - offset < kFrameHeaderFixedSize) {
    return Error(ErrorCode::corrupt, "frame: header cut short");
  }
  RawFrame raw;
  raw.header_bytes.resize(kFrameHeaderFixedSize);
  TRY(file.read_at(offset, raw.header_bytes));
  ASSIGN_OR_RETURN(const uint32_t header_size, frame_header_size(raw.header_bytes));
  if (header_size > end - offset) return Error(ErrorCode::corrupt, "frame: header cut short");
  if (header_size > kFrameHeaderFixedSize) {
    raw.header_bytes.resize(header_size);
    TRY(file.read_at(offset + kFrameHeaderFixedSize,
                     MutableBytes(raw.header_bytes).subspan(kFrameHeaderFixedSize)));
  }
  ASSIGN_OR_RETURN(raw.header, decode_frame_header(raw.header_bytes));
  if (raw.header.stored_size > end - offset - header_size) {
    return Error(ErrorCode::corrupt, "frame: payload cut short");
  }
  if (raw.header.stored_size > 0) {
    auto stored = pool.take(raw.header.stored_size);
    TRY(file.read_at(offset + header_size, *stored));
    raw.stored = std::move(stored);
  }
  return raw;
}

bool speaks_of_bytes(const Error& error) {
  return error.code == ErrorCode::corrupt || error.code == ErrorCode::unsupported_version;
}

// Of a frame whose key is not at hand all but the tag and the content can be checked.
Status check_payload(const RawFrame& raw, const FrameCipher* cipher, BufferPool& pool) {
  auto plain = decode_frame_payload(raw.header, raw.header_bytes, raw.stored, cipher, pool);
  if (plain.ok()) return {};
  if (raw.header.encrypted && cipher == nullptr && plain.error().code == ErrorCode::key_missing) {
    return {};
  }
  return std::move(plain).error();
}

}  // namespace

Result<SegmentMap> read_segment_map(File& file) {
  SegmentMap map;
  ASSIGN_OR_RETURN(map.file_size, file.size());
  if (map.file_size < kSegmentHeaderSize + kSegmentTrailerSize) {
    return corrupt("shorter than a header and a trailer");
  }
  Buffer bytes(kSegmentHeaderSize);
  TRY(file.read_at(0, bytes));
  ASSIGN_OR_RETURN(map.header, decode_segment_header(bytes));
  bytes.resize(kSegmentTrailerSize);
  const uint64_t trailer_at = map.file_size - kSegmentTrailerSize;
  TRY(file.read_at(trailer_at, bytes));
  ASSIGN_OR_RETURN(map.trailer, decode_segment_trailer(bytes));
  const SegmentTrailer& t = map.trailer;
  if (t.footer_offset > trailer_at || t.footer_size != trailer_at - t.footer_offset ||
      t.footer_size > kMaxFooterBytes) {
    return corrupt("the trailer does not fit the size of the file");
  }
  bytes.resize(static_cast<size_t>(t.footer_size));
  TRY(file.read_at(t.footer_offset, bytes));
  ASSIGN_OR_RETURN(map.index, decode_segment_footer(bytes, t));
  if (!map.index.frames.empty() &&
      (map.index.frames.front().first_block != map.header.first_block ||
       map.index.frames.front().first_filemark != map.header.first_filemark)) {
    return corrupt("header and footer begin at different blocks");
  }
  return map;
}

Result<DecodedFrame> read_frame(File& file, const FrameIndexEntry& entry, const FrameCipher* cipher,
                                BufferPool& pool) {
  if (entry.header_size < kFrameHeaderFixedSize || entry.header_size > kMaxFrameHeaderSize ||
      entry.stored_size > kMaxFramePlainBytes + kFrameTagSize) {
    return at_offset(corrupt("index entry out of bounds"), entry.offset);
  }
  const uint64_t end = entry.offset + entry.header_size + entry.stored_size;
  auto raw = read_raw_frame(file, entry.offset, end, pool);
  if (!raw.ok()) return at_offset(std::move(raw).error(), entry.offset);
  const auto header_size = static_cast<uint32_t>(raw->header_bytes.size());
  if (index_entry_of(raw->header, entry.offset, header_size) != entry) {
    return at_offset(corrupt("a frame other than the index says"), entry.offset);
  }
  if (cipher != nullptr && !raw->header.encrypted) {
    return at_offset(corrupt("a frame that is not encrypted among encrypted ones"), entry.offset);
  }
  auto plain =
      decode_frame_payload(raw->header, raw->header_bytes, std::move(raw->stored), cipher, pool);
  if (!plain.ok()) return at_offset(std::move(plain).error(), entry.offset);
  DecodedFrame out;
  out.header = std::move(raw->header);
  if (out.header.kind != FrameKind::filemarks) out.plain = std::move(plain).value();
  return out;
}

Result<SegmentScan> scan_segment(File& file, const FrameCipher* cipher, BufferPool& pool) {
  ASSIGN_OR_RETURN(const uint64_t end, file.size());
  if (end < kSegmentHeaderSize) return corrupt("shorter than its header");
  Buffer head(kSegmentHeaderSize);
  TRY(file.read_at(0, head));
  SegmentScan scan;
  ASSIGN_OR_RETURN(scan.header, decode_segment_header(head));
  scan.running.update(head);
  scan.valid_end = kSegmentHeaderSize;
  FrameSequence sequence(scan.header);
  while (scan.valid_end < end) {  // each turn moves by a frame or ends
    auto raw = read_raw_frame(file, scan.valid_end, end, pool);
    if (!raw.ok()) {
      if (!speaks_of_bytes(raw.error())) return std::move(raw).error();
      break;
    }
    // Checksum first: only then is it a frame at all, and a false tag no torn write.
    auto intact = check_payload(*raw, nullptr, pool);
    if (!intact.ok() || !sequence.accept(raw->header).ok()) break;
    if (cipher != nullptr && raw->header.encrypted) {
      auto authentic = check_payload(*raw, cipher, pool);
      if (!authentic.ok()) return at_offset(std::move(authentic).error(), scan.valid_end);
    }
    scan.index.frames.push_back(index_entry_of(raw->header, scan.valid_end,
                                               static_cast<uint32_t>(raw->header_bytes.size())));
    scan.running.update(raw->header_bytes);
    if (raw->stored) scan.running.update(*raw->stored);
    scan.valid_end += raw->size();
  }
  scan.clean = scan.valid_end == end;
  return scan;
}

Status verify_segment(File& file, const Uuid& cartridge, const Secret* data_key, BufferPool& pool) {
  ASSIGN_OR_RETURN(const SegmentMap map, read_segment_map(file));
  if (map.header.cartridge != cartridge) return corrupt("belongs to another cartridge");
  FrameCipher cipher;
  const bool decrypt = map.header.encrypted && data_key != nullptr;
  if (decrypt) {
    cipher.data_key = *data_key;
    cipher.epoch = static_cast<uint32_t>(map.header.epoch);
    cipher.sequence = static_cast<uint32_t>(map.header.sequence);
  }
  Sha256 running;
  Buffer bytes(kSegmentHeaderSize);
  TRY(file.read_at(0, bytes));
  running.update(bytes);
  FrameSequence sequence(map.header);
  uint64_t offset = kSegmentHeaderSize;
  for (const FrameIndexEntry& entry : map.index.frames) {
    auto raw = read_raw_frame(file, offset, map.trailer.footer_offset, pool);
    if (!raw.ok()) return at_offset(std::move(raw).error(), offset);
    const auto header_size = static_cast<uint32_t>(raw->header_bytes.size());
    if (index_entry_of(raw->header, offset, header_size) != entry) {
      return at_offset(corrupt("a frame other than the index says"), offset);
    }
    auto follows = sequence.accept(raw->header);
    if (!follows.ok()) return at_offset(std::move(follows).error(), offset);
    auto intact = check_payload(*raw, decrypt ? &cipher : nullptr, pool);
    if (!intact.ok()) return at_offset(std::move(intact).error(), offset);
    running.update(raw->header_bytes);
    if (raw->stored) running.update(*raw->stored);
    offset += raw->size();
  }
  if (offset != map.trailer.footer_offset) return corrupt("frames and footer do not meet");
  bytes.resize(static_cast<size_t>(map.file_size - offset));
  TRY(file.read_at(offset, bytes));
  running.update(ByteView(bytes).first(bytes.size() - sizeof(Sha256Digest)));
  const Sha256Digest digest = running.finish();
  if (digest != map.trailer.sha256 || !equal(ByteView(bytes).last(sizeof(Sha256Digest)), digest)) {
    return corrupt("SHA-256 of the whole differs from the trailer's");
  }
  return {};
}

}  // namespace coldshelf
