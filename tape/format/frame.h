// A frame: up to 1 MiB of plain data as one unit of CRC32C, zstd and AES-256-GCM.
// docs/format/segment.md.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/buffer_pool.h"
#include "base/bytes.h"
#include "base/result.h"
#include "base/secret.h"

namespace coldshelf {

constexpr size_t kMaxFramePlainBytes = 1 * MiB;
// A record on tape, at most (READ BLOCK LIMITS); bigger than a frame, it is split over several.
constexpr size_t kMaxRecordBytes = 8 * MiB;
// Runs in one frame, at most: keeps the header below kMaxFrameHeaderSize. A writer ends the frame
// when it gets there (more than 8192 changes of record length in 1 MiB).
constexpr size_t kMaxFrameRuns = 8192;
// What encryption adds to a payload. A filemarks frame of an encrypted segment consists of it.
constexpr size_t kFrameTagSize = 16;

enum class FrameKind : uint8_t {
  records = 1,    // tape records, or one part of a big record
  filemarks = 2,  // a count of filemarks; no payload but the tag when encrypted
  extents = 3,    // image: block index + length, with data
  holes = 4,      // image: block index + length, unmapped
  truncate = 5,   // image: new length
  reference = 6,  // data held by an earlier segment of this or another cartridge
};

enum class FrameCodec : uint8_t { none = 0, zstd = 1 };

// `count` records of `length` bytes one after the other. A zero-length record does not exist on
// tape.
struct RecordRun {
  uint32_t length = 0;
  uint32_t count = 0;
  bool operator==(const RecordRun&) const = default;
};

// What a frame says of itself; stored before its payload, under a CRC of its own, and the
// associated data of the AEAD. A logical object is a record or a filemark; objects of a partition
// are numbered from 0 ("block number", SSC-5 4.2.7).
struct FrameHeader {
  FrameKind kind = FrameKind::records;
  FrameCodec codec = FrameCodec::none;
  bool encrypted = false;
  bool continues_previous = false;  // holds a later part of a record begun in the frame before
  bool continues_next =
      false;  // the record goes on in the next frame; this frame then completes no object
  uint32_t frame_index = 0;  // within the segment, from 0
  uint64_t first_block =
      0;  // block number of the first object here (of the record being continued, too)
  uint64_t first_filemark = 0;  // filemarks in the partition before this frame
  uint32_t filemark_count = 0;  // kind filemarks
  uint32_t plain_size = 0;      // payload bytes before compression
  uint32_t stored_size =
      0;  // payload bytes in the segment, tag of 16 bytes included when encrypted
  uint32_t payload_crc = 0;     // CRC32C of the stored payload
  uint32_t record_size = 0;     // of the whole record, in a frame that holds a part of one; else 0
  std::vector<RecordRun> runs;  // kind records; a part of a record is one run of count 1

  // Objects that end in this frame.
  uint64_t block_count() const;
};

// Key material and identity that frame encryption needs. Nonce: epoch, sequence, frame index, each
// 32 bits little-endian.
struct FrameCipher {
  Secret data_key;  // 32 bytes
  uint32_t epoch = 0;
  uint32_t sequence = 0;
};

struct CompressionOptions {
  bool enabled = true;
  // zstd level, negative ones are the fast ones. With 1 and 2 a frame is compressed by a fast one
  // where samples of it shrink to nearly the same size.
  int level = 1;
};

// A frame ready to be written: header bytes then payload bytes. The payload may be the caller's own
// plain buffer (incompressible, not encrypted), kept alive by `owner`.
struct EncodedFrame {
  FrameHeader header;
  Buffer header_bytes;
  ByteView payload;
  std::shared_ptr<const void> owner;
  size_t size() const { return header_bytes.size() + payload.size(); }
};

// Encodes one frame; thread-safe, for worker threads. `header` gives kind, flags, frame_index,
// first_*, record_size, runs, filemark_count; sizes, codec, encrypted and CRCs are filled in here.
// Whether to compress is found by sampling the data: incompressible data is stored as it is.
// `cipher` null: not encrypted. Every frame of an encrypted segment is, filemarks too (their header
// is authenticated). `plain` null: no payload (filemarks). invalid_argument: a header or a payload
// no frame can have.
Result<EncodedFrame> encode_frame(FrameHeader header, std::shared_ptr<const Buffer> plain,
                                  const CompressionOptions& compression, const FrameCipher* cipher,
                                  BufferPool& pool);

// What encode_frame() does first, for who compresses before the frame's place is known: the payload
// compressed, or null when that does not pay. Thread-safe.
std::shared_ptr<Buffer> compress_frame_payload(ByteView plain,
                                               const CompressionOptions& compression,
                                               BufferPool& pool);

// A frame without runs, built where it is to be written from: `frame` is room for the header (64
// bytes), then the payload, then with a cipher room for the tag. Stored as it is; for writers that
// cannot wait for compression. Without a cipher the payload may end elsewhere, in `rest`, which is
// to be written behind `frame`. `header` gives kind, frame_index and first_*, and codec and
// plain_size of a payload that is compressed already; it comes back complete. invalid_argument: as
// encode_frame, or a cipher and a rest.
Status encode_frame_in_place(FrameHeader& header, const FrameCipher* cipher, MutableBytes frame,
                             ByteView rest = {});

// The fixed first part of every frame header; tells how long the rest is.
constexpr size_t kFrameHeaderFixedSize = 64;
// Upper bound of a whole frame header (the runs are bounded by what 1 MiB can hold); anything
// larger is corrupt.
constexpr size_t kMaxFrameHeaderSize = 64 * KiB;
// From the fixed part: the size of the whole header. corrupt: not a frame header;
// unsupported_version: newer.
Result<uint32_t> frame_header_size(ByteView fixed_part);
// From the whole header, its CRC verified, every field bounded and consistent.
Result<FrameHeader> decode_frame_header(ByteView header_bytes);

// Verifies the CRC, decrypts (tag verified, header as associated data), decompresses (never beyond
// plain_size). corrupt: any mismatch; key_missing: encrypted and `cipher` is null; key_mismatch is
// found by the key check of keys.h before.
Result<std::shared_ptr<const Buffer>> decode_frame_payload(const FrameHeader& header,
                                                           ByteView header_bytes,
                                                           std::shared_ptr<const Buffer> stored,
                                                           const FrameCipher* cipher,
                                                           BufferPool& pool);

}  // namespace coldshelf
