// A segment: fixed header | frames | footer index | fixed trailer with the SHA-256 of all before
// it. docs/format/segment.md. Layout and coding only; files are written by tape/cartridge.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/uuid.h"
#include "tape/format/frame.h"

namespace coldshelf {

constexpr uint16_t kSegmentFormatVersion = 1;
constexpr uint64_t kDefaultSegmentBytes = 64 * MiB;

struct SegmentHeader {
  uint16_t version = kSegmentFormatVersion;
  Uuid cartridge;
  uint32_t partition = 0;
  uint64_t epoch = 0;           // < 2^32, see the nonce
  uint64_t sequence = 0;        // < 2^32; counts over the whole cartridge, never reused
  uint64_t first_block = 0;     // block number of the first object in this segment
  uint64_t first_filemark = 0;  // filemarks in the partition before it
  int64_t created_unix_ms = 0;
  bool encrypted = false;
  bool operator==(const SegmentHeader&) const = default;
};
constexpr size_t kSegmentHeaderSize = 128;
Buffer encode_segment_header(const SegmentHeader& header);
Result<SegmentHeader> decode_segment_header(ByteView bytes);  // corrupt, unsupported_version

// One line of the footer index.
struct FrameIndexEntry {
  uint64_t offset = 0;  // of the frame header in the segment
  FrameKind kind = FrameKind::records;
  bool continues_previous = false;
  bool continues_next = false;
  uint64_t first_block = 0;
  uint64_t first_filemark = 0;
  uint64_t block_count = 0;  // objects that end in this frame
  uint32_t filemark_count = 0;
  uint32_t header_size = 0;
  uint32_t stored_size = 0;
  uint32_t plain_size = 0;
  bool operator==(const FrameIndexEntry&) const = default;
};
FrameIndexEntry index_entry_of(const FrameHeader& header, uint64_t offset, uint32_t header_size);

// The footer, decoded: frames in order; searches are binary.
struct SegmentIndex {
  std::vector<FrameIndexEntry> frames;

  // The first frame holding (a part of) object `block`; null when the segment does not hold it.
  const FrameIndexEntry* find_block(uint64_t block) const;
  // The frame that holds filemark number `filemark` (0-based within the partition); null when not
  // here.
  const FrameIndexEntry* find_filemark(uint64_t filemark) const;
  uint64_t plain_bytes() const;
};

constexpr size_t kSegmentTrailerSize = 80;
struct SegmentTrailer {
  uint64_t footer_offset = 0;
  uint64_t footer_size = 0;
  uint32_t footer_crc = 0;
  uint32_t frame_count = 0;
  Sha256Digest
      sha256{};  // of every byte before the digest itself (header, frames, footer, trailer fields)
};
// Footer and trailer as the bytes that end a segment. `running` has seen every byte of [0,
// footer_offset); the digest of the finished segment comes back in `digest_out`. Afterwards
// `running` has seen the whole file: finish() gives the digest of the object as a store sees it.
Buffer encode_segment_end(const SegmentIndex& index, uint64_t footer_offset, Sha256& running,
                          Sha256Digest& digest_out);
Result<SegmentTrailer> decode_segment_trailer(ByteView last_bytes);  // exactly kSegmentTrailerSize
Result<SegmentIndex> decode_segment_footer(ByteView footer, const SegmentTrailer& trailer);

// Reads header, trailer and footer of a sealed segment: three small reads. corrupt when any part
// does not fit.
struct SegmentMap {
  SegmentHeader header;
  SegmentTrailer trailer;
  SegmentIndex index;
  uint64_t file_size = 0;
};
Result<SegmentMap> read_segment_map(File& file);

// Reads one frame through the index entry and verifies it, also against the entry. With `cipher` a
// frame that is not encrypted is corrupt: nobody can slip plain data into an encrypted cartridge.
struct DecodedFrame {
  FrameHeader header;
  std::shared_ptr<const Buffer> plain;  // null for filemarks
};
Result<DecodedFrame> read_frame(File& file, const FrameIndexEntry& entry, const FrameCipher* cipher,
                                BufferPool& pool);

// Walks an unsealed segment from its beginning: every whole, valid frame is listed, the walk ends
// at the first byte that is not one. `valid_end` is the offset after the last valid frame;
// `running` is the SHA-256 state up to there. With `cipher` the payloads of encrypted frames are
// authenticated too, and a failed authentication is corrupt, for a torn write cannot look like one;
// always their CRC is checked. corrupt: no valid segment header.
struct SegmentScan {
  SegmentHeader header;
  SegmentIndex index;
  uint64_t valid_end = 0;
  bool clean = true;  // the file ends exactly at valid_end
  Sha256 running;
};
Result<SegmentScan> scan_segment(File& file, const FrameCipher* cipher, BufferPool& pool);

// Reads the whole file: trailer's SHA-256, every frame's CRC, tag and structure, index against
// frames. corrupt says where.
// `data_key` null: of an encrypted segment everything but the tags and the plain data.
Status verify_segment(File& file, const Uuid& cartridge, const Secret* data_key, BufferPool& pool);

// "0000000000000012-00000003": sequence then epoch, so that names sort in writing order.
std::string segment_file_stem(uint64_t sequence, uint64_t epoch);
struct SegmentName {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
};
std::optional<SegmentName> parse_segment_file_stem(std::string_view stem);

}  // namespace coldshelf
