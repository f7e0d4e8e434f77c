// Coding of the parts of a segment: header, footer, trailer, and the index in memory.
#include "tape/format/segment.h"

#include <algorithm>
#include <cstdio>

#include "base/coding.h"
#include "base/crc32c.h"

namespace coldshelf {

namespace {

// docs/format/segment.md, "Header", "Footer", "Trailer".
constexpr std::string_view kHeaderMagic = "CLDSHSEG";
constexpr std::string_view kTrailerMagic = "CLDSHEND";
constexpr uint16_t kHeaderFlagEncrypted = 1;
constexpr size_t kHeaderCrcAt = kSegmentHeaderSize - 4;
constexpr size_t kTrailerCrcAt = 44;
constexpr size_t kTrailerDigestAt = 48;
static_assert(kTrailerDigestAt + sizeof(Sha256Digest) == kSegmentTrailerSize);

constexpr uint8_t kEntryKindMask = 0x0f;
constexpr uint8_t kEntryContinuesPrevious = 0x10;
constexpr uint8_t kEntryContinuesNext = 0x20;
constexpr size_t kMinEntryBytes = 5;

Error corrupt(std::string what) { return Error(ErrorCode::corrupt, "segment: " + std::move(what)); }

Error newer(const char* part, uint16_t version) {
  return Error(ErrorCode::unsupported_version,
               std::string("segment: ") + part + " version " + std::to_string(version) +
                   " is newer than this program, which reads up to version " +
                   std::to_string(kSegmentFormatVersion));
}

uint64_t frame_bytes(const FrameIndexEntry& e) { return uint64_t{e.header_size} + e.stored_size; }

// One past the last object of which this frame holds a byte.
uint64_t block_reach(const FrameIndexEntry& e) {
  return e.first_block + (e.continues_next ? 1 : e.block_count);
}

const char* entry_problem(const FrameIndexEntry& e) {
  if (e.kind < FrameKind::records || e.kind > FrameKind::reference) return "unknown frame kind";
  if (e.header_size < kFrameHeaderFixedSize || e.header_size > kMaxFrameHeaderSize ||
      e.plain_size > kMaxFramePlainBytes || e.stored_size > e.plain_size + kFrameTagSize) {
    return "frame size out of bounds";
  }
  if (e.kind == FrameKind::records) {
    const uint64_t expected = e.continues_next ? 0 : 1;
    if (e.filemark_count != 0 || e.block_count > e.plain_size) return "object count out of bounds";
    if ((e.continues_previous || e.continues_next) && e.block_count != expected) {
      return "object count of a part";
    }
    if (e.block_count == 0 && !e.continues_next) return "a frame without objects";
    return nullptr;
  }
  if (e.continues_previous || e.continues_next) return "a part of what is no record";
  const bool filemarks = e.kind == FrameKind::filemarks;
  if (e.block_count != e.filemark_count || filemarks != (e.filemark_count != 0)) {
    return "filemark count";
  }
  return nullptr;
}

}  // namespace

Buffer encode_segment_header(const SegmentHeader& header) {
  CHECK(header.epoch <= UINT32_MAX && header.sequence <= UINT32_MAX);
  Buffer out;
  Encoder e(out);
  e.raw(as_view(kHeaderMagic));
  e.u16(header.version);
  e.u16(header.encrypted ? kHeaderFlagEncrypted : uint16_t{0});
  e.u32(kSegmentHeaderSize);
  e.raw(header.cartridge.view());
  e.u32(header.partition);
  e.u32(0);
  e.u64(header.epoch);
  e.u64(header.sequence);
  e.u64(header.first_block);
  e.u64(header.first_filemark);
  e.u64(static_cast<uint64_t>(header.created_unix_ms));
  out.resize(kHeaderCrcAt, std::byte{0});
  e.u32(crc32c(out));
  CHECK(out.size() == kSegmentHeaderSize);
  return out;
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
  if (bytes.size() < kSegmentHeaderSize) return corrupt("shorter than its header");
  bytes = bytes.first(kSegmentHeaderSize);
  Decoder d(bytes);
  if (!equal(d.raw(kHeaderMagic.size()), as_view(kHeaderMagic))) return corrupt("no header here");
  // Size and place of the checksum are the same in every version, so that damage and a newer format
  // can be told apart.
  if (load_le<uint32_t>(bytes.data() + kHeaderCrcAt) != crc32c(bytes.first(kHeaderCrcAt))) {
    return corrupt("header checksum");
  }
  SegmentHeader h;
  h.version = d.u16();
  if (h.version > kSegmentFormatVersion) return newer("header", h.version);
  const uint16_t flags = d.u16();
  const uint32_t size = d.u32();
  if (h.version == 0 || size != kSegmentHeaderSize || (flags & ~kHeaderFlagEncrypted) != 0) {
    return corrupt("header fields");
  }
  h.encrypted = (flags & kHeaderFlagEncrypted) != 0;
  const ByteView uuid = d.raw(16);
  std::copy(uuid.begin(), uuid.end(), h.cartridge.bytes.begin());
  h.partition = d.u32();
  const uint32_t reserved = d.u32();
  h.epoch = d.u64();
  h.sequence = d.u64();
  h.first_block = d.u64();
  h.first_filemark = d.u64();
  h.created_unix_ms = static_cast<int64_t>(d.u64());
  const ByteView rest = d.raw(kHeaderCrcAt - d.position());
  if (reserved != 0 ||
      !std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{0}; })) {
    return corrupt("reserved bytes of the header");
  }
  if (h.epoch > UINT32_MAX || h.sequence > UINT32_MAX) return corrupt("epoch or sequence");
  if (h.first_filemark > h.first_block) return corrupt("more filemarks than blocks");
  return h;
}

FrameIndexEntry index_entry_of(const FrameHeader& header, uint64_t offset, uint32_t header_size) {
  FrameIndexEntry e;
  e.offset = offset;
  e.kind = header.kind;
  e.continues_previous = header.continues_previous;
  e.continues_next = header.continues_next;
  e.first_block = header.first_block;
  e.first_filemark = header.first_filemark;
  e.block_count = header.block_count();
  e.filemark_count = header.filemark_count;
  e.header_size = header_size;
  e.stored_size = header.stored_size;
  e.plain_size = header.plain_size;
  return e;
}

const FrameIndexEntry* SegmentIndex::find_block(uint64_t block) const {
  const auto at =
      std::upper_bound(frames.begin(), frames.end(), block,
                       [](uint64_t b, const FrameIndexEntry& e) { return b < block_reach(e); });
  return at != frames.end() && at->first_block <= block ? &*at : nullptr;
}

const FrameIndexEntry* SegmentIndex::find_filemark(uint64_t filemark) const {
  const auto at = std::upper_bound(
      frames.begin(), frames.end(), filemark,
      [](uint64_t f, const FrameIndexEntry& e) { return f < e.first_filemark + e.filemark_count; });
  return at != frames.end() && at->first_filemark <= filemark ? &*at : nullptr;
}

uint64_t SegmentIndex::plain_bytes() const {
  uint64_t total = 0;
  for (const FrameIndexEntry& e : frames) total += e.plain_size;
  return total;
}

Buffer encode_segment_end(const SegmentIndex& index, uint64_t footer_offset, Sha256& running,
                          Sha256Digest& digest_out) {
  Buffer out;
  out.reserve(index.frames.size() * 16 + kSegmentTrailerSize + 20);
  Encoder e(out);
  uint64_t offset = kSegmentHeaderSize;
  uint64_t block = index.frames.empty() ? 0 : index.frames.front().first_block;
  uint64_t filemark = index.frames.empty() ? 0 : index.frames.front().first_filemark;
  e.varint(block);
  e.varint(filemark);
  for (const FrameIndexEntry& f : index.frames) {
    // Offsets and numbers are not stored: frames and objects follow each other without a gap.
    CHECK(f.offset == offset && f.first_block == block && f.first_filemark == filemark);
    CHECK(entry_problem(f) == nullptr);
    e.u8(static_cast<uint8_t>(static_cast<uint8_t>(f.kind) |
                              (f.continues_previous ? kEntryContinuesPrevious : 0) |
                              (f.continues_next ? kEntryContinuesNext : 0)));
    e.varint(f.block_count);
    e.varint(f.header_size);
    e.varint(f.stored_size);
    e.varint(f.plain_size);
    offset += frame_bytes(f);
    block += f.block_count;
    filemark += f.filemark_count;
  }
  CHECK(offset == footer_offset && index.frames.size() <= UINT32_MAX);
  const size_t footer_size = out.size();
  const uint32_t footer_crc = crc32c(out);

  e.raw(as_view(kTrailerMagic));
  e.u16(kSegmentFormatVersion);
  e.u16(0);
  e.u32(static_cast<uint32_t>(index.frames.size()));
  e.u64(footer_offset);
  e.u64(footer_size);
  e.u32(footer_crc);
  e.u64(0);
  e.u32(crc32c(ByteView(out).subspan(footer_size)));
  CHECK(out.size() == footer_size + kTrailerDigestAt);
  running.update(out);
  digest_out = running.peek();
  running.update(digest_out);
  e.raw(digest_out);
  return out;
}

Result<SegmentTrailer> decode_segment_trailer(ByteView last_bytes) {
  if (last_bytes.size() != kSegmentTrailerSize) return corrupt("shorter than its trailer");
  Decoder d(last_bytes);
  if (!equal(d.raw(kTrailerMagic.size()), as_view(kTrailerMagic))) {
    return corrupt("no trailer at the end: not sealed, or cut short");
  }
  if (load_le<uint32_t>(last_bytes.data() + kTrailerCrcAt) !=
      crc32c(last_bytes.first(kTrailerCrcAt))) {
    return corrupt("trailer checksum");
  }
  const uint16_t version = d.u16();
  if (version > kSegmentFormatVersion) return newer("trailer", version);
  const uint16_t reserved = d.u16();
  SegmentTrailer t;
  t.frame_count = d.u32();
  t.footer_offset = d.u64();
  t.footer_size = d.u64();
  t.footer_crc = d.u32();
  if (version == 0 || reserved != 0 || d.u64() != 0) return corrupt("trailer fields");
  if (t.footer_offset < kSegmentHeaderSize || t.footer_offset > INT64_MAX ||
      t.footer_size > INT64_MAX) {
    return corrupt("footer place");
  }
  const ByteView digest = last_bytes.subspan(kTrailerDigestAt);
  std::copy(digest.begin(), digest.end(), t.sha256.begin());
  return t;
}

Result<SegmentIndex> decode_segment_footer(ByteView footer, const SegmentTrailer& trailer) {
  if (footer.size() != trailer.footer_size) return corrupt("footer size");
  if (crc32c(footer) != trailer.footer_crc) return corrupt("footer checksum");
  Decoder d(footer);
  uint64_t block = d.varint();
  uint64_t filemark = d.varint();
  uint64_t offset = kSegmentHeaderSize;
  if (filemark > block) return corrupt("more filemarks than blocks");
  if (trailer.frame_count > d.remaining() / kMinEntryBytes) return corrupt("frame count");
  SegmentIndex index;
  index.frames.reserve(trailer.frame_count);
  bool in_record = false;
  for (uint32_t i = 0; i < trailer.frame_count; ++i) {
    const uint8_t head = d.u8();
    const uint64_t block_count = d.varint();
    const uint64_t header_size = d.varint();
    const uint64_t stored_size = d.varint();
    const uint64_t plain_size = d.varint();
    if (!d.ok() || block_count > UINT32_MAX || header_size > kMaxFrameHeaderSize ||
        stored_size > kMaxFramePlainBytes + kFrameTagSize || plain_size > kMaxFramePlainBytes ||
        (head & ~(kEntryKindMask | kEntryContinuesPrevious | kEntryContinuesNext)) != 0 ||
        block > UINT64_MAX - block_count) {
      return corrupt("footer entry " + std::to_string(i));
    }
    FrameIndexEntry f;
    f.offset = offset;
    f.kind = static_cast<FrameKind>(head & kEntryKindMask);
    f.continues_previous = (head & kEntryContinuesPrevious) != 0;
    f.continues_next = (head & kEntryContinuesNext) != 0;
    f.first_block = block;
    f.first_filemark = filemark;
    f.block_count = block_count;
    f.filemark_count =
        f.kind == FrameKind::filemarks ? static_cast<uint32_t>(block_count) : uint32_t{0};
    f.header_size = static_cast<uint32_t>(header_size);
    f.stored_size = static_cast<uint32_t>(stored_size);
    f.plain_size = static_cast<uint32_t>(plain_size);
    const char* problem = entry_problem(f);
    if (problem == nullptr && i > 0 && f.continues_previous != in_record) {
      problem = "part of a record out of sequence";
    }
    if (problem != nullptr) {
      return corrupt("footer entry " + std::to_string(i) + ": " + problem);
    }
    in_record = f.continues_next;
    offset += frame_bytes(f);
    block += f.block_count;
    filemark += f.filemark_count;
    index.frames.push_back(f);
  }
  if (!d.ok() || d.remaining() != 0) return corrupt("footer and frame count differ");
  if (offset != trailer.footer_offset) return corrupt("frames do not end where the footer begins");
  return index;
}

std::string segment_file_stem(uint64_t sequence, uint64_t epoch) {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx-%08llx", static_cast<unsigned long long>(sequence),
                static_cast<unsigned long long>(epoch));
  return text;
}

std::optional<SegmentName> parse_segment_file_stem(std::string_view stem) {
  if (stem.size() != 25 || stem[16] != '-') return std::nullopt;
  SegmentName name;
  for (size_t i = 0; i < stem.size(); ++i) {
    if (i == 16) continue;
    const char c = stem[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    const auto value = static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
    uint64_t& part = i < 16 ? name.sequence : name.epoch;
    part = part << 4 | value;
  }
  return name;
}

}  // namespace coldshelf
