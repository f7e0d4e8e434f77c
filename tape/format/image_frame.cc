// docs/format/image.md
#include "tape/format/image_frame.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace coldshelf {

namespace {

constexpr uint8_t kTableContinues = 1;
constexpr size_t kTableCrcBytes = 4;
constexpr size_t kMinTableBytes = kTableSizeBytes + 1 + 1 + 2 + kTableCrcBytes;

Error corrupt(std::string what) { return Error(ErrorCode::corrupt, "image: " + std::move(what)); }

size_t varint_size(uint64_t v) {
  size_t n = 1;
  for (; v >= 128; v >>= 7) ++n;
  return n;
}

std::byte* put_varint(std::byte* at, uint64_t v) {
  for (; v >= 128; v >>= 7) *at++ = static_cast<std::byte>(v | 128U);
  *at++ = static_cast<std::byte>(v);
  return at;
}

bool good_block_bytes(uint64_t bytes) { return bytes == 512 || bytes == 4096; }

// Calls `use` with each piece of the extents.
template <typename Use>
void for_pieces(std::span<const BlockRange> ranges, uint32_t block_bytes, ByteView data, Use use) {
  for (const BlockRange& range : ranges) {
    size_t left = static_cast<size_t>(range.count) * block_bytes;
    for (; left > 0;) {
      const size_t n = std::min<size_t>(left, kImagePieceBytes);
      use(data.first(n));
      data = data.subspan(n);
      left -= n;
    }
  }
  CHECK(data.empty());
}

}  // namespace

uint64_t ExtentTable::block_count() const {
  uint64_t sum = 0;
  for (const BlockRange& range : ranges) sum += range.count;
  return sum;
}

size_t pieces_of(uint64_t blocks, uint32_t block_bytes) {
  return static_cast<size_t>((blocks * block_bytes + kImagePieceBytes - 1) / kImagePieceBytes);
}

size_t extent_table_size(std::span<const BlockRange> ranges, FrameKind kind, uint32_t block_bytes) {
  size_t size = kTableSizeBytes + 1 + varint_size(ranges.size()) + kTableCrcBytes;
  uint64_t end = 0;
  for (const BlockRange& range : ranges) {
    size += varint_size(range.first - end) + varint_size(range.count);
    if (kind == FrameKind::extents) size += 4 * pieces_of(range.count, block_bytes);
    end = range.end();
  }
  return size;
}

void encode_extent_table(std::span<const BlockRange> ranges, FrameKind kind, bool continues_next,
                         uint32_t block_bytes, ByteView data, MutableBytes out) {
  store_le(out.data(), static_cast<uint32_t>(out.size()));
  std::byte* at = out.data() + kTableSizeBytes;
  *at++ = static_cast<std::byte>(continues_next ? kTableContinues : 0);
  at = put_varint(at, ranges.size());
  uint64_t end = 0;
  for (const BlockRange& range : ranges) {
    CHECK(range.first >= end && range.count > 0);
    at = put_varint(at, range.first - end);
    at = put_varint(at, range.count);
    end = range.end();
  }
  if (kind == FrameKind::extents) {
    for_pieces(ranges, block_bytes, data, [&](ByteView piece) {
      store_le(at, crc32c(piece));
      at += 4;
    });
  }
  CHECK(at == out.data() + out.size() - kTableCrcBytes);
  store_le(at, crc32c(ByteView(out).first(out.size() - kTableCrcBytes)));
}

Result<uint32_t> extent_table_bytes(ByteView payload_begin, uint32_t plain_size) {
  if (payload_begin.size() < kTableSizeBytes) return corrupt("a table cut short");
  const auto size = load_le<uint32_t>(payload_begin.data());
  if (size < kMinTableBytes || size > plain_size) return corrupt("table size out of bounds");
  return size;
}

Result<ExtentTable> decode_extent_table(ByteView table, FrameKind kind, uint32_t block_bytes,
                                        uint32_t plain_size) {
  if (kind != FrameKind::extents && kind != FrameKind::holes) return corrupt("no table here");
  if (!good_block_bytes(block_bytes)) return corrupt("block size");
  ASSIGN_OR_RETURN(const uint32_t size, extent_table_bytes(table, plain_size));
  if (size != table.size()) return corrupt("table size");
  if (load_le<uint32_t>(table.data() + size - kTableCrcBytes) !=
      crc32c(table.first(size - kTableCrcBytes))) {
    return corrupt("table checksum");
  }
  Decoder d(table.first(size - kTableCrcBytes).subspan(kTableSizeBytes));
  ExtentTable out;
  out.table_bytes = size;
  const uint8_t flags = d.u8();
  if ((flags & ~kTableContinues) != 0) return corrupt("unknown flags of a table");
  out.continues_next = (flags & kTableContinues) != 0;
  const uint64_t count = d.varint();
  if (count == 0 || count > d.remaining() / 2) return corrupt("range count");
  out.ranges.resize(static_cast<size_t>(count));
  uint64_t end = 0;
  uint64_t blocks = 0;
  size_t pieces = 0;
  for (BlockRange& range : out.ranges) {
    const uint64_t gap = d.varint();
    range.count = d.varint();
    if (range.count == 0 || gap > kMaxImageBlocks || range.count > kMaxImageBlocks ||
        end + gap + range.count > kMaxImageBlocks) {
      return corrupt("a range out of bounds");
    }
    range.first = end + gap;
    end = range.end();
    blocks += range.count;
    if (kind == FrameKind::extents && blocks > kMaxFramePlainBytes / block_bytes) {
      return corrupt("more blocks than a frame holds");
    }
    pieces += pieces_of(range.count, block_bytes);
  }
  if (kind == FrameKind::extents) {
    if (d.remaining() != pieces * 4) return corrupt("checksum count");
    if (blocks * block_bytes != plain_size - size) return corrupt("ranges and data differ in size");
    out.piece_crcs.resize(pieces);
    for (uint32_t& crc : out.piece_crcs) crc = d.u32();
  } else if (size != plain_size || out.continues_next) {
    return corrupt("holes with data");
  }
  if (!d.ok() || d.remaining() != 0) return corrupt("table fields");
  return out;
}

Buffer encode_log_mark(const LogMark& mark) {
  Buffer out;
  Encoder e(out);
  e.varint(mark.block_bytes);
  e.varint(mark.block_count);
  e.varint(mark.next_sequence);
  e.varint(mark.frame_count);
  return out;
}

Result<LogMark> decode_log_mark(ByteView payload) {
  Decoder d(payload);
  LogMark mark;
  const uint64_t block_bytes = d.varint();
  mark.block_count = d.varint();
  mark.next_sequence = d.varint();
  mark.frame_count = d.varint();
  if (!d.ok() || d.remaining() != 0 || !good_block_bytes(block_bytes) ||
      mark.block_count > kMaxImageBlocks || mark.next_sequence > uint64_t{UINT32_MAX} + 1 ||
      mark.frame_count > UINT32_MAX || (mark.next_sequence == 0) != (mark.frame_count == 0)) {
    return corrupt("log mark");
  }
  mark.block_bytes = static_cast<uint32_t>(block_bytes);
  return mark;
}

Result<ReferenceKind> reference_kind(ByteView payload) {
  if (payload.empty()) return corrupt("an empty reference frame");
  const auto kind = std::to_integer<uint8_t>(payload[0]);
  if (kind != static_cast<uint8_t>(ReferenceKind::sources) &&
      kind != static_cast<uint8_t>(ReferenceKind::entries)) {
    return corrupt("unknown reference frame");
  }
  return static_cast<ReferenceKind>(kind);
}

Buffer encode_map_sources(std::span<const MapSource> sources) {
  CHECK(sources.size() <= kMapSourcesPerFrame);
  Buffer out;
  Encoder e(out);
  e.u8(static_cast<uint8_t>(ReferenceKind::sources));
  e.varint(sources.size());
  for (const MapSource& source : sources) {
    e.raw(source.cartridge.view());
    e.varint(source.sequence);
    e.varint(source.epoch);
    e.varint(source.live_blocks);
  }
  CHECK(out.size() <= kMaxFramePlainBytes);
  return out;
}

Result<std::vector<MapSource>> decode_map_sources(ByteView payload) {
  Decoder d(payload);
  if (d.u8() != static_cast<uint8_t>(ReferenceKind::sources)) return corrupt("no sources here");
  const uint64_t count = d.varint();
  if (count > kMapSourcesPerFrame || count > d.remaining() / 19) return corrupt("source count");
  std::vector<MapSource> out(static_cast<size_t>(count));
  for (MapSource& source : out) {
    const ByteView id = d.raw(source.cartridge.bytes.size());
    std::copy(id.begin(), id.end(), source.cartridge.bytes.begin());
    source.sequence = d.varint();
    source.epoch = d.varint();
    source.live_blocks = d.varint();
    if (source.sequence > UINT32_MAX || source.epoch > UINT32_MAX) return corrupt("a source");
  }
  if (!d.ok() || d.remaining() != 0) return corrupt("sources");
  return out;
}

void put_map_group(Buffer& payload, uint64_t group, std::span<const MapEntry> entries) {
  CHECK(!entries.empty() && entries.size() <= kMapGroupBlocks);
  Encoder e(payload);
  if (payload.empty()) e.u8(static_cast<uint8_t>(ReferenceKind::entries));
  e.varint(group);
  e.varint(entries.size());
  size_t at = payload.size();
  payload.resize(at + entries.size() * kMapEntryBytes);
  for (const MapEntry& entry : entries) {
    std::byte* p = payload.data() + at;
    store_le(p, entry.first);
    store_le(p + 2, entry.count);
    store_le(p + 4, entry.source);
    store_le(p + 8, entry.offset);
    at += kMapEntryBytes;
  }
}

Result<bool> MapGroups::next(uint64_t& group, std::vector<MapEntry>& entries,
                             uint64_t source_count) {
  Decoder d(rest_);
  if (!begun_) {
    if (d.u8() != static_cast<uint8_t>(ReferenceKind::entries)) return corrupt("no entries here");
    begun_ = true;
  }
  if (d.ok() && d.remaining() == 0) return false;
  group = d.varint();
  const uint64_t count = d.varint();
  if (count == 0 || count > kMapGroupBlocks || group >= kMaxImageBlocks / kMapGroupBlocks) {
    return corrupt("a group out of bounds");
  }
  const ByteView raw = d.raw(static_cast<size_t>(count) * kMapEntryBytes);
  if (!d.ok()) return corrupt("a group cut short");
  entries.resize(static_cast<size_t>(count));
  const std::byte* p = raw.data();
  uint32_t end = 0;
  for (MapEntry& entry : entries) {
    entry = {load_le<uint16_t>(p), load_le<uint16_t>(p + 2), load_le<uint32_t>(p + 4),
             load_le<uint32_t>(p + 8)};
    p += kMapEntryBytes;
    if (entry.first < end || entry.count == 0 || entry.end() > kMapGroupBlocks ||
        entry.source >= source_count) {
      return corrupt("a map entry");
    }
    end = entry.end();
  }
  rest_ = rest_.subspan(d.position());
  return true;
}

}  // namespace coldshelf
