// Any bytes as the payload of an image's frame. Checksums of tables are put right in a copy, or
// hardly any mutation would get past them.
#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "tape/format/image_frame.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace coldshelf;

void try_table(ByteView bytes, FrameKind kind, uint32_t block_bytes) {
  const auto plain = static_cast<uint32_t>(bytes.size());
  auto size = extent_table_bytes(bytes, plain);
  if (!size.ok()) return;
  CHECK(*size <= bytes.size());
  auto table = decode_extent_table(bytes.first(*size), kind, block_bytes, plain);
  if (!table.ok()) return;
  uint64_t end = 0;
  size_t pieces = 0;
  for (const BlockRange& range : table->ranges) {
    CHECK(range.first >= end && range.count > 0 && range.end() <= kMaxImageBlocks);
    end = range.end();
    pieces += pieces_of(range.count, block_bytes);
  }
  CHECK(table->table_bytes == *size);
  if (kind == FrameKind::extents) {
    CHECK(table->piece_crcs.size() == pieces);
    CHECK(table->block_count() * block_bytes == bytes.size() - *size);
    // The same ranges and data again: a table of the same size, unless numbers were coded longer
    // than they need.
    CHECK(extent_table_size(table->ranges, kind, block_bytes) <= *size);
  }
}

void try_payload(ByteView bytes) {
  for (const uint32_t block_bytes : {512U, 4096U}) {
    try_table(bytes, FrameKind::extents, block_bytes);
    try_table(bytes, FrameKind::holes, block_bytes);
  }
  auto mark = decode_log_mark(bytes);
  if (mark.ok()) {
    auto again = decode_log_mark(encode_log_mark(*mark));
    CHECK(again.ok() && *again == *mark);
  }
  auto kind = reference_kind(bytes);
  auto sources = decode_map_sources(bytes);
  if (sources.ok()) {
    CHECK(kind.ok() && sources->size() <= kMapSourcesPerFrame);
    auto again = decode_map_sources(encode_map_sources(*sources));
    CHECK(again.ok() && *again == *sources);
  }
  MapGroups groups(bytes);
  uint64_t group = 0;
  std::vector<MapEntry> entries;
  for (size_t turns = 0;; ++turns) {
    CHECK(turns <= bytes.size());
    auto more = groups.next(group, entries, 3);
    if (!more.ok() || !*more) break;
    CHECK(!entries.empty() && entries.size() <= kMapGroupBlocks);
    uint32_t end = 0;
    for (const MapEntry& e : entries) {
      CHECK(e.first >= end && e.count > 0 && e.end() <= kMapGroupBlocks && e.source < 3);
      end = e.end();
    }
  }
}

Buffer table_payload(const std::vector<BlockRange>& ranges, FrameKind kind, bool more) {
  uint64_t blocks = 0;
  for (const BlockRange& r : ranges) blocks += r.count;
  const Buffer data(kind == FrameKind::extents ? static_cast<size_t>(blocks) * 512 : 0,
                    std::byte{7});
  Buffer out(extent_table_size(ranges, kind, 512));
  encode_extent_table(ranges, kind, more, 512, data, out);
  append(out, data);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Buffer bytes = to_buffer({reinterpret_cast<const std::byte*>(data), size});
  try_payload(bytes);
  if (bytes.size() < 12) return 0;
  const auto table = load_le<uint32_t>(bytes.data());
  if (table < 12 || table > bytes.size()) return 0;
  store_le(bytes.data() + table - 4, crc32c(ByteView(bytes).first(table - 4)));
  try_payload(bytes);
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  std::vector<Buffer> seeds;
  seeds.push_back(table_payload({{3, 9}, {1000, 1}}, FrameKind::extents, true));
  seeds.push_back(table_payload({{0, 4}, {2'000'000, 90'000}}, FrameKind::holes, false));
  seeds.push_back(encode_log_mark({512, 1 << 20, 33, 7}));
  const MapSource source{Uuid{}, 5, 1, 77};
  seeds.push_back(encode_map_sources({&source, 1}));
  Buffer entries;
  const std::vector<MapEntry> group = {{4, 8, 0, 181}, {96, 4000, 1, 128}};
  put_map_group(entries, 0, group);
  put_map_group(entries, 9, group);
  seeds.push_back(entries);
  return seeds;
}
