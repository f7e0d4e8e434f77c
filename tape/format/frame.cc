#include "tape/format/frame.h"

#include <zstd.h>

#include <algorithm>
#include <optional>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tape/format/aead.h"

namespace coldshelf {

namespace {

// The fixed part of a frame header; docs/format/segment.md, "Frame".
constexpr uint32_t kFrameMagic = 0x52465343;  // "CSFR"
constexpr uint8_t kFrameVersion = 1;
constexpr uint8_t kFlagEncrypted = 1;
constexpr uint8_t kFlagContinuesPrevious = 2;
constexpr uint8_t kFlagContinuesNext = 4;
constexpr size_t kPayloadCrcAt = 56;  // after what is associated data, before the runs
constexpr size_t kHeaderCrcAt = 60;

static_assert(kFrameTagSize == aead::kTagSize);
static_assert(kFrameHeaderFixedSize + kMaxFrameRuns * 6 <= kMaxFrameHeaderSize);

// Data that sampling calls compressible to less than this is compressed, and kept compressed when
// all of it shrinks by a twentieth.
constexpr size_t kSampleBytes = 4 * KiB;
constexpr size_t kSampleCount = 8;
constexpr size_t kSampleAbove = 2 * kSampleCount * kSampleBytes;
constexpr size_t kMinCompressBytes = 128;
// Whoever asks for at most this level wants speed: then the fast level may be taken instead. Higher
// levels are taken at their word.
constexpr int kHighestQuickLevel = 2;
constexpr int kFastLevel = -3;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Contexts hold tables of hundreds of KiB: one per worker thread, not one per frame.
ZSTD_CCtx* thread_compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  CHECK(context != nullptr);
  return context.get();
}
ZSTD_DCtx* thread_decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  CHECK(context != nullptr);
  return context.get();
}

uint32_t header_crc(ByteView header) {
  return crc32c(header.subspan(kFrameHeaderFixedSize), crc32c(header.first(kHeaderCrcAt)));
}

const char* records_problem(const FrameHeader& h) {
  if (h.filemark_count != 0) return "filemarks in a records frame";
  if (h.runs.empty()) return "a records frame without records";
  if (h.runs.size() > kMaxFrameRuns) return "too many runs of records";
  uint64_t total = 0;
  for (const RecordRun& run : h.runs) {
    if (run.length == 0 || run.count == 0) return "an empty run of records";
    if (run.length > kMaxFramePlainBytes || run.count > kMaxFramePlainBytes) {
      return "a run longer than a frame";
    }
    total += uint64_t{run.length} * run.count;
    if (total > kMaxFramePlainBytes) return "runs longer than a frame";
  }
  if (total != h.plain_size) return "runs and payload differ in size";
  const bool part = h.continues_previous || h.continues_next;
  if (part != (h.record_size != 0)) return "part flags and record size contradict each other";
  if (!part) return nullptr;
  if (h.runs.size() != 1 || h.runs[0].count != 1) return "a part of a record must be alone";
  if (h.record_size > kMaxRecordBytes) return "a record too long";
  if (h.plain_size >= h.record_size) return "a part as long as its record";
  return nullptr;
}

// What is wrong with a header, or null. Both ways: nothing else is written, nothing else is read.
const char* structure_problem(const FrameHeader& h) {
  if (h.plain_size > kMaxFramePlainBytes) return "payload too long";
  const size_t tag = h.encrypted ? kFrameTagSize : 0;
  if (h.codec == FrameCodec::none && h.stored_size != h.plain_size + tag) {
    return "stored size is not the plain size";
  }
  if (h.codec == FrameCodec::zstd &&
      (h.stored_size <= tag || h.stored_size - tag >= h.plain_size)) {
    return "compressed size out of bounds";
  }
  if (h.first_block > UINT64_MAX - kMaxFramePlainBytes - h.filemark_count ||
      h.first_filemark > h.first_block) {
    return "block numbers out of bounds";
  }
  if (h.kind == FrameKind::records) return records_problem(h);
  if (!h.runs.empty() || h.record_size != 0 || h.continues_previous || h.continues_next) {
    return "records in another kind of frame";
  }
  if (h.kind == FrameKind::filemarks) {
    if (h.filemark_count == 0) return "a filemarks frame without filemarks";
    if (h.plain_size != 0) return "a filemarks frame with a payload";
    return nullptr;
  }
  return h.filemark_count != 0 ? "filemarks in another kind of frame" : nullptr;
}

// The header with both CRCs still zero: as it is, without these 8 bytes, the associated data.
Buffer encode_header(const FrameHeader& h) {
  Buffer out;
  out.reserve(kFrameHeaderFixedSize + h.runs.size() * 6);
  Encoder e(out);
  e.u32(kFrameMagic);
  e.u8(kFrameVersion);
  e.u8(static_cast<uint8_t>(h.kind));
  e.u8(static_cast<uint8_t>(h.codec));
  e.u8(static_cast<uint8_t>((h.encrypted ? kFlagEncrypted : 0) |
                            (h.continues_previous ? kFlagContinuesPrevious : 0) |
                            (h.continues_next ? kFlagContinuesNext : 0)));
  e.u32(0);  // header size, known below
  e.u32(h.frame_index);
  e.u64(h.first_block);
  e.u64(h.first_filemark);
  e.u32(h.filemark_count);
  e.u32(h.plain_size);
  e.u32(h.stored_size);
  e.u32(h.record_size);
  e.u32(static_cast<uint32_t>(h.runs.size()));
  e.u32(0);  // reserved
  e.u32(0);  // payload CRC
  e.u32(0);  // header CRC
  CHECK(out.size() == kFrameHeaderFixedSize);
  for (const RecordRun& run : h.runs) {
    e.varint(run.length);
    e.varint(run.count);
  }
  store_le(out.data() + 8, static_cast<uint32_t>(out.size()));
  return out;
}

aead::Nonce frame_nonce(const FrameCipher& cipher, uint32_t frame_index) {
  aead::Nonce nonce;
  store_le(nonce.data(), cipher.epoch);
  store_le(nonce.data() + 4, cipher.sequence);
  store_le(nonce.data() + 8, frame_index);
  return nonce;
}

// Compressed size of every other one of a few pieces spread over the frame: those with an even
// number, or an odd one.
size_t sample_half(ZSTD_CCtx* context, ByteView plain, int level, size_t first) {
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  std::array<std::byte, ZSTD_COMPRESSBOUND(kSampleBytes)> out;
  const size_t stride = (plain.size() - kSampleBytes) / (kSampleCount - 1);
  size_t packed = 0;
  for (size_t i = first; i < kSampleCount; i += 2) {
    const size_t n =
        ZSTD_compress2(context, out.data(), out.size(), plain.data() + i * stride, kSampleBytes);
    packed += ZSTD_isError(n) != 0 ? kSampleBytes : n;
  }
  return packed;
}

// The level for this frame, found from samples, not by compressing all of it; nullopt: it is not
// worth it. Data that a fast level packs nearly as well goes three to five times as fast that way:
// runs of zeros, data that is half compressed already.
std::optional<int> choose_level(ZSTD_CCtx* context, ByteView plain, int level) {
  if (plain.size() < kSampleAbove) return level;
  const size_t even = sample_half(context, plain, level, 0);
  if (even >= kSampleCount / 2 * kSampleBytes) return std::nullopt;  // noise, all four of them
  const size_t packed = even + sample_half(context, plain, level, 1);
  if (packed * 10 > kSampleCount * kSampleBytes * 9) return std::nullopt;
  if (level < 1 || level > kHighestQuickLevel) return level;
  const size_t fast =
      sample_half(context, plain, kFastLevel, 0) + sample_half(context, plain, kFastLevel, 1);
  return fast * 10 <= packed * 11 ? kFastLevel : level;
}

// The compressed bytes with `extra` bytes of room behind them, or null when it does not pay.
std::shared_ptr<Buffer> compress(ByteView plain, int level, size_t extra, BufferPool& pool) {
  if (plain.size() < kMinCompressBytes) return nullptr;
  ZSTD_CCtx* context = thread_compressor();
  const std::optional<int> chosen = choose_level(context, plain, level);
  if (!chosen) return nullptr;
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, *chosen);
  const size_t limit = plain.size() - plain.size() / 20;
  auto out = pool.take(plain.size() + extra);
  // Output that does not fit below the limit is an error of zstd: then it is stored as it is.
  const size_t n = ZSTD_compress2(context, out->data(), limit, plain.data(), plain.size());
  if (ZSTD_isError(n) != 0 || n >= plain.size()) return nullptr;
  out->resize(n + extra);
  return out;
}

Error corrupt(std::string what) { return Error(ErrorCode::corrupt, "frame: " + std::move(what)); }

}  // namespace

uint64_t FrameHeader::block_count() const {
  if (kind == FrameKind::filemarks) return filemark_count;
  if (kind != FrameKind::records || continues_next) return 0;
  uint64_t count = 0;
  for (const RecordRun& run : runs) count += run.count;
  return count;
}

Result<EncodedFrame> encode_frame(FrameHeader header, std::shared_ptr<const Buffer> plain,
                                  const CompressionOptions& compression, const FrameCipher* cipher,
                                  BufferPool& pool) {
  const ByteView bytes = plain ? ByteView(*plain) : ByteView();
  if (bytes.size() > kMaxFramePlainBytes) {
    return Error(ErrorCode::invalid_argument, "frame: payload too long");
  }
  if (cipher != nullptr && cipher->data_key.reveal_bytes().size() != aead::kKeySize) {
    return Error(ErrorCode::invalid_argument, "frame: a data key is 32 bytes");
  }
  const size_t tag = cipher != nullptr ? kFrameTagSize : 0;
  header.encrypted = cipher != nullptr;
  header.codec = FrameCodec::none;
  header.plain_size = static_cast<uint32_t>(bytes.size());
  header.stored_size = static_cast<uint32_t>(bytes.size() + tag);
  if (const char* problem = structure_problem(header)) {
    return Error(ErrorCode::invalid_argument, std::string("frame: ") + problem);
  }

  std::shared_ptr<Buffer> packed;
  if (compression.enabled) packed = compress(bytes, compression.level, tag, pool);
  if (packed) {
    header.codec = FrameCodec::zstd;
    header.stored_size = static_cast<uint32_t>(packed->size());
  }
  EncodedFrame out;
  out.header_bytes = encode_header(header);
  if (cipher != nullptr) {
    const ByteView head = out.header_bytes;
    const bool in_place = packed != nullptr;
    if (!in_place) packed = pool.take(bytes.size() + tag);
    const ByteView clear = in_place ? ByteView(*packed).first(packed->size() - tag) : bytes;
    aead::seal(cipher->data_key.reveal_bytes(), frame_nonce(*cipher, header.frame_index),
               {head.first(kPayloadCrcAt), head.subspan(kFrameHeaderFixedSize)}, clear, *packed);
  }
  if (packed) {
    out.payload = *packed;
    out.owner = std::move(packed);
  } else {
    out.payload = bytes;
    out.owner = std::move(plain);
  }
  header.payload_crc = crc32c(out.payload);
  store_le(out.header_bytes.data() + kPayloadCrcAt, header.payload_crc);
  store_le(out.header_bytes.data() + kHeaderCrcAt, header_crc(out.header_bytes));
  out.header = std::move(header);
  return out;
}

std::shared_ptr<Buffer> compress_frame_payload(ByteView plain,
                                               const CompressionOptions& compression,
                                               BufferPool& pool) {
  if (!compression.enabled || plain.size() > kMaxFramePlainBytes) return nullptr;
  return compress(plain, compression.level, 0, pool);
}

Status encode_frame_in_place(FrameHeader& header, const FrameCipher* cipher, MutableBytes frame,
                             ByteView rest) {
  const size_t tag = cipher != nullptr ? kFrameTagSize : 0;
  if (frame.size() < kFrameHeaderFixedSize + tag || !header.runs.empty() ||
      frame.size() - kFrameHeaderFixedSize - tag + rest.size() > kMaxFramePlainBytes) {
    return Error(ErrorCode::invalid_argument, "frame: no room, or runs");
  }
  if (cipher != nullptr && !rest.empty()) {
    return Error(ErrorCode::invalid_argument, "frame: what is encrypted lies in one piece");
  }
  if (cipher != nullptr && cipher->data_key.reveal_bytes().size() != aead::kKeySize) {
    return Error(ErrorCode::invalid_argument, "frame: a data key is 32 bytes");
  }
  const MutableBytes payload = frame.subspan(kFrameHeaderFixedSize);
  const size_t clear_size = payload.size() - tag + rest.size();
  header.encrypted = cipher != nullptr;
  if (header.codec == FrameCodec::none) header.plain_size = static_cast<uint32_t>(clear_size);
  header.stored_size = static_cast<uint32_t>(clear_size + tag);
  if (const char* problem = structure_problem(header)) {
    return Error(ErrorCode::invalid_argument, std::string("frame: ") + problem);
  }
  const Buffer head = encode_header(header);
  std::memcpy(frame.data(), head.data(), head.size());
  if (cipher != nullptr) {
    aead::seal(cipher->data_key.reveal_bytes(), frame_nonce(*cipher, header.frame_index),
               {ByteView(head).first(kPayloadCrcAt)}, payload.first(clear_size), payload);
  }
  header.payload_crc = crc32c(rest, crc32c(payload));
  store_le(frame.data() + kPayloadCrcAt, header.payload_crc);
  store_le(frame.data() + kHeaderCrcAt, header_crc(frame.first(kFrameHeaderFixedSize)));
  return {};
}

Result<uint32_t> frame_header_size(ByteView fixed_part) {
  if (fixed_part.size() < kFrameHeaderFixedSize) return corrupt("header cut short");
  if (load_le<uint32_t>(fixed_part.data()) != kFrameMagic) return corrupt("no frame header here");
  const auto version = std::to_integer<uint8_t>(fixed_part[4]);
  if (version > kFrameVersion) {
    return Error(ErrorCode::unsupported_version,
                 "frame: version " + std::to_string(version) +
                     " is newer than this program, which reads up to version " +
                     std::to_string(kFrameVersion));
  }
  if (version == 0) return corrupt("version 0");
  const auto size = load_le<uint32_t>(fixed_part.data() + 8);
  if (size < kFrameHeaderFixedSize || size > kMaxFrameHeaderSize) {
    return corrupt("header size out of bounds");
  }
  return size;
}

Result<FrameHeader> decode_frame_header(ByteView header_bytes) {
  ASSIGN_OR_RETURN(const uint32_t size, frame_header_size(header_bytes));
  if (size != header_bytes.size()) return corrupt("header size");
  if (load_le<uint32_t>(header_bytes.data() + kHeaderCrcAt) != header_crc(header_bytes)) {
    return corrupt("header checksum");
  }
  Decoder d(header_bytes);
  d.raw(5);  // magic and version, seen above
  const uint8_t kind = d.u8();
  const uint8_t codec = d.u8();
  const uint8_t flags = d.u8();
  d.u32();  // header size
  if (kind < static_cast<uint8_t>(FrameKind::records) ||
      kind > static_cast<uint8_t>(FrameKind::reference)) {
    return corrupt("unknown kind");
  }
  if (codec > static_cast<uint8_t>(FrameCodec::zstd)) return corrupt("unknown codec");
  if ((flags & ~(kFlagEncrypted | kFlagContinuesPrevious | kFlagContinuesNext)) != 0) {
    return corrupt("unknown flags");
  }
  FrameHeader h;
  h.kind = static_cast<FrameKind>(kind);
  h.codec = static_cast<FrameCodec>(codec);
  h.encrypted = (flags & kFlagEncrypted) != 0;
  h.continues_previous = (flags & kFlagContinuesPrevious) != 0;
  h.continues_next = (flags & kFlagContinuesNext) != 0;
  h.frame_index = d.u32();
  h.first_block = d.u64();
  h.first_filemark = d.u64();
  h.filemark_count = d.u32();
  h.plain_size = d.u32();
  h.stored_size = d.u32();
  h.record_size = d.u32();
  const uint32_t run_count = d.u32();
  if (d.u32() != 0) return corrupt("reserved bytes");
  h.payload_crc = d.u32();
  d.u32();  // header CRC
  if (run_count > kMaxFrameRuns || run_count > d.remaining() / 2) return corrupt("run count");
  h.runs.resize(run_count);
  for (RecordRun& run : h.runs) {
    const uint64_t length = d.varint();
    const uint64_t count = d.varint();
    if (length > kMaxFramePlainBytes || count > kMaxFramePlainBytes) return corrupt("run");
    run = {static_cast<uint32_t>(length), static_cast<uint32_t>(count)};
  }
  if (!d.ok() || d.remaining() != 0) return corrupt("runs and header size differ");
  if (const char* problem = structure_problem(h)) return corrupt(problem);
  return h;
}

Result<std::shared_ptr<const Buffer>> decode_frame_payload(const FrameHeader& header,
                                                           ByteView header_bytes,
                                                           std::shared_ptr<const Buffer> stored,
                                                           const FrameCipher* cipher,
                                                           BufferPool& pool) {
  if (const char* problem = structure_problem(header)) return corrupt(problem);
  if (header_bytes.size() < kFrameHeaderFixedSize) return corrupt("header cut short");
  const ByteView bytes = stored ? ByteView(*stored) : ByteView();
  if (bytes.size() != header.stored_size) return corrupt("payload size");
  if (crc32c(bytes) != header.payload_crc) return corrupt("payload checksum");

  ByteView packed = bytes;
  if (header.encrypted) {
    if (cipher == nullptr) return Error(ErrorCode::key_missing, "frame: encrypted, and no key");
    if (cipher->data_key.reveal_bytes().size() != aead::kKeySize) {
      return Error(ErrorCode::invalid_argument, "frame: a data key is 32 bytes");
    }
    auto opened = pool.take(bytes.size() - kFrameTagSize);
    if (!aead::open(
            cipher->data_key.reveal_bytes(), frame_nonce(*cipher, header.frame_index),
            {header_bytes.first(kPayloadCrcAt), header_bytes.subspan(kFrameHeaderFixedSize)}, bytes,
            *opened)) {
      return corrupt("payload is not authentic");
    }
    stored = opened;
    packed = *stored;
  }
  if (header.codec == FrameCodec::none) {
    if (!stored) stored = std::make_shared<const Buffer>();
    return stored;
  }
  auto plain = pool.take(header.plain_size);
  const size_t n = ZSTD_decompressDCtx(thread_decompressor(), plain->data(), plain->size(),
                                       packed.data(), packed.size());
  if (ZSTD_isError(n) != 0 || n != header.plain_size) return corrupt("payload does not decompress");
  return std::shared_ptr<const Buffer>(std::move(plain));
}

}  // namespace coldshelf
