// Any bytes as a segment file: map, frames, scan, verification. Checksums are put right in a copy,
// or hardly any mutation would get past them.
#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/memory_file.h"
#include "tests/support/segment_builder.h"

namespace {

using namespace coldshelf;

SegmentHeader seed_header() {
  SegmentHeader h;
  h.cartridge = test_uuid(0xa0);
  h.epoch = 2;
  h.sequence = 18;
  return h;
}

void repair(Buffer& bytes) {
  const ByteView all = bytes;
  if (bytes.size() < kSegmentHeaderSize) return;
  store_le(bytes.data() + 124, crc32c(all.first(124)));
  for (size_t at = kSegmentHeaderSize; bytes.size() - at >= kFrameHeaderFixedSize;) {
    std::byte* frame = bytes.data() + at;
    const auto header_size = load_le<uint32_t>(frame + 8);
    if (load_le<uint32_t>(frame) != 0x52465343 || header_size < kFrameHeaderFixedSize ||
        header_size > bytes.size() - at) {
      break;
    }
    const auto stored_size = load_le<uint32_t>(frame + 40);
    if (stored_size > bytes.size() - at - header_size) break;
    store_le(frame + 56, crc32c(all.subspan(at + header_size, stored_size)));
    store_le(frame + 60,
             crc32c(all.subspan(at + 64, header_size - 64), crc32c(all.subspan(at, 60))));
    at += header_size + stored_size;
  }
  if (bytes.size() < kSegmentHeaderSize + kSegmentTrailerSize) return;
  const size_t trailer_at = bytes.size() - kSegmentTrailerSize;
  std::byte* trailer = bytes.data() + trailer_at;
  const auto footer_at = load_le<uint64_t>(trailer + 16);
  if (footer_at <= trailer_at) {
    store_le(trailer + 24, uint64_t{trailer_at - footer_at});
    store_le(trailer + 32, crc32c(all.subspan(static_cast<size_t>(footer_at),
                                              trailer_at - static_cast<size_t>(footer_at))));
  }
  store_le(trailer + 44, crc32c(all.subspan(trailer_at, 44)));
}

void check_frame(const DecodedFrame& frame) {
  CHECK(frame.header.plain_size <= kMaxFramePlainBytes);
  if (frame.plain) CHECK(frame.plain->size() == frame.header.plain_size);
  uint64_t total = 0;
  for (const RecordRun& run : frame.header.runs) total += uint64_t{run.length} * run.count;
  if (frame.header.kind == FrameKind::records) CHECK(total == frame.header.plain_size);
}

void try_segment(Buffer bytes, BufferPool& pool, const Secret& key) {
  MemoryFile file(std::move(bytes));
  auto map = read_segment_map(file);
  if (map.ok()) {
    const FrameCipher cipher{key, static_cast<uint32_t>(map->header.epoch),
                             static_cast<uint32_t>(map->header.sequence)};
    for (const FrameIndexEntry& entry : map->index.frames) {
      auto frame = read_frame(file, entry, map->header.encrypted ? &cipher : nullptr, pool);
      if (frame.ok()) check_frame(*frame);
      if (entry.block_count > 0) {
        const FrameIndexEntry* found = map->index.find_block(entry.first_block);
        CHECK(found != nullptr && found->first_block <= entry.first_block);
      }
    }
    (void)verify_segment(file, map->header.cartridge, &key, pool).ok();
    (void)verify_segment(file, map->header.cartridge, nullptr, pool).ok();
  }
  const FrameCipher cipher{key, 2, 18};
  auto scan = scan_segment(file, nullptr, pool);
  (void)scan_segment(file, &cipher, pool).ok();
  if (!scan.ok()) return;
  CHECK(scan->valid_end <= file.bytes().size());
  CHECK(scan->clean == (scan->valid_end == file.bytes().size()));
  // What a scan lists can be sealed, and is a sound segment then.
  Sha256Digest digest{};
  Buffer sealed = to_buffer(ByteView(file.bytes()).first(static_cast<size_t>(scan->valid_end)));
  append(sealed, encode_segment_end(scan->index, scan->valid_end, scan->running, digest));
  MemoryFile again(std::move(sealed));
  CHECK(verify_segment(again, scan->header.cartridge, nullptr, pool).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<BufferPool> pool = BufferPool::create(16 * MiB);
  const Secret key = test_key(0x50);
  Buffer bytes = to_buffer({reinterpret_cast<const std::byte*>(data), size});
  try_segment(bytes, *pool, key);
  repair(bytes);
  try_segment(std::move(bytes), *pool, key);
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  std::vector<Buffer> seeds;
  const Secret key = test_key(0x50);
  for (const Secret* with : {static_cast<const Secret*>(nullptr), &key}) {
    SegmentBuilder builder(seed_header(), with);
    builder.record(text_bytes(300));
    builder.record(text_bytes(300));
    builder.filemarks(2);
    builder.record(text_bytes(1 * MiB + 17));
    builder.record(text_bytes(5));
    seeds.push_back(builder.unsealed());
    seeds.push_back(builder.seal().bytes);
  }
  return seeds;
}
