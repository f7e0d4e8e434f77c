// Payloads of the frames of an image: block extents with data, holes, where the log stands, and the
// map. docs/format/image.md. Coding only: volume/ says what they mean.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "tape/format/frame.h"

namespace coldshelf {

// Partitions of an image's manifest.
constexpr uint32_t kImageLogPartition = 0;
constexpr uint32_t kImageMapPartition = 1;
constexpr uint32_t kImagePartitions = 2;

// Data of an extent is checked in pieces of this size from its beginning (the last one shorter).
constexpr uint32_t kImagePieceBytes = 4096;
// The map is kept in groups of so many blocks.
constexpr uint32_t kMapGroupBlocks = 4096;
// Blocks of an image, at most: 64 TiB of 512 bytes.
constexpr uint64_t kMaxImageBlocks = uint64_t{1} << 37;

struct BlockRange {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
  bool operator==(const BlockRange&) const = default;
};

// What an extents or a holes frame begins with: ranges ascend and do not overlap.
struct ExtentTable {
  bool continues_next = false;  // the write goes on in the next frame: all of it counts, or nothing
  std::vector<BlockRange> ranges;
  std::vector<uint32_t> piece_crcs;  // extents: of every piece, in order
  size_t table_bytes = 0;            // data begins here
  uint64_t block_count() const;
};
size_t pieces_of(uint64_t blocks, uint32_t block_bytes);

// The size of the table and the table itself; `data` (extents) the data of all ranges in order.
// Ranges must ascend. Written to `out`, which has exactly that size.
size_t extent_table_size(std::span<const BlockRange> ranges, FrameKind kind, uint32_t block_bytes);
void encode_extent_table(std::span<const BlockRange> ranges, FrameKind kind, bool continues_next,
                         uint32_t block_bytes, ByteView data, MutableBytes out);

constexpr size_t kTableSizeBytes = 4;
// From the first 4 bytes of the payload: the size of the table. corrupt: none a frame could hold.
Result<uint32_t> extent_table_bytes(ByteView payload_begin, uint32_t plain_size);
// `table`: exactly that much. Its own CRC is checked, so that the rest of the payload need not be
// read; and that the data fits `plain_size`.
Result<ExtentTable> decode_extent_table(ByteView table, FrameKind kind, uint32_t block_bytes,
                                        uint32_t plain_size);

// The payload of a truncate frame, the first of every segment of an image: the geometry, and where
// the log stands: the segment of the log before this one, or the last one a map takes in.
struct LogMark {
  uint32_t block_bytes = 0;
  uint64_t block_count = 0;    // of the disk
  uint64_t next_sequence = 0;  // the sequence before, plus 1; 0: none
  uint64_t frame_count = 0;    // frames of that segment
  bool operator==(const LogMark&) const = default;
};
Buffer encode_log_mark(const LogMark& mark);
Result<LogMark> decode_log_mark(ByteView payload);

// The map: reference frames. First the sources, then the entries by group.
struct MapSource {
  Uuid cartridge;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint64_t live_blocks = 0;
  bool operator==(const MapSource&) const = default;
};
// Blocks [first, first + count) of a group lie in the frame at `offset` of a source.
struct MapEntry {
  uint16_t first = 0;
  uint16_t count = 0;
  uint32_t source = 0;
  uint32_t offset = 0;
  uint32_t end() const { return uint32_t{first} + count; }
  bool operator==(const MapEntry&) const = default;
};
static_assert(sizeof(MapEntry) == 12);
constexpr size_t kMapEntryBytes = 12;

enum class ReferenceKind : uint8_t { sources = 1, entries = 2 };
constexpr size_t kMapSourcesPerFrame = 16384;
Buffer encode_map_sources(std::span<const MapSource> sources);
Result<std::vector<MapSource>> decode_map_sources(ByteView payload);

// Appends a group to the payload of an entries frame; an empty payload is begun.
void put_map_group(Buffer& payload, uint64_t group, std::span<const MapEntry> entries);
constexpr size_t kMaxMapGroupBytes = 20 + kMapGroupBlocks * kMapEntryBytes;

// Reads the groups of an entries frame one after the other.
class MapGroups {
 public:
  explicit MapGroups(ByteView payload) : rest_(payload) {}
  // False: there are no more. corrupt: entries overlap, leave their group, or name no source.
  Result<bool> next(uint64_t& group, std::vector<MapEntry>& entries, uint64_t source_count);

 private:
  ByteView rest_;
  bool begun_ = false;
};
Result<ReferenceKind> reference_kind(ByteView payload);

}  // namespace coldshelf
