// Every released version of the format stays readable: the files of tests/golden against what
// expected.json says is in them. And no byte of them can change unnoticed.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tape/format/image_frame.h"
#include "tape/format/keys.h"
#include "tape/format/manifest.h"
#include "tape/format/segment.h"
#include "tests/support/memory_file.h"

namespace coldshelf {
namespace {

using nlohmann::json;

Buffer read_golden(const std::string& version, const std::string& name) {
  std::ifstream in(std::string(COLDSHELF_GOLDEN_DIR) + "/" + version + "/" + name,
                   std::ios::binary);
  CHECK(in.good());
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return to_buffer(as_view(text));
}

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  Golden() {
    expected = json::parse(as_text(read_golden(GetParam(), "expected.json")));
    Buffer bytes;
    CHECK(from_hex(expected["data_key"].get<std::string>(), bytes));
    data_key = Secret(ByteView(bytes));
  }
  json expected;
  Secret data_key;
  std::shared_ptr<BufferPool> pool = BufferPool::create(4 * MiB);
};

// The objects of a segment, as expected.json lists them.
json objects_of(File& file, const SegmentMap& map, const FrameCipher* cipher, BufferPool& pool) {
  json objects = json::array();
  Buffer part;
  for (const FrameIndexEntry& entry : map.index.frames) {
    auto frame = read_frame(file, entry, cipher, pool);
    CHECK(frame.ok());
    for (uint32_t i = 0; i < frame->header.filemark_count; ++i) objects.push_back("filemark");
    size_t at = 0;
    for (const RecordRun& run : frame->header.runs) {
      for (uint32_t i = 0; i < run.count; ++i, at += run.length) {
        append(part, ByteView(*frame->plain).subspan(at, run.length));
        if (frame->header.continues_next) continue;
        objects.push_back({{"record", part.size()}, {"sha256", to_hex(Sha256::of(part))}});
        part.clear();
      }
    }
  }
  return objects;
}

// A frame of an image, as expected.json lists it.
json image_frame(const FrameHeader& header, const Buffer& plain) {
  if (header.kind == FrameKind::truncate) {
    auto m = decode_log_mark(plain);
    CHECK(m.ok());
    return {{"mark", {m->block_bytes, m->block_count, m->next_sequence, m->frame_count}}};
  }
  if (header.kind == FrameKind::reference) {
    auto kind = reference_kind(plain);
    CHECK(kind.ok());
    json list = json::array();
    if (*kind == ReferenceKind::sources) {
      auto sources = decode_map_sources(plain);
      CHECK(sources.ok());
      for (const MapSource& s : *sources) {
        list.push_back({s.cartridge.to_string(), s.sequence, s.epoch, s.live_blocks});
      }
      return {{"sources", list}};
    }
    MapGroups groups(plain);
    uint64_t number = 0;
    std::vector<MapEntry> entries;
    auto more = groups.next(number, entries, 2);
    CHECK(more.ok() && *more);
    for (const MapEntry& e : entries) list.push_back({e.first, e.count, e.source, e.offset});
    return {{"group", number}, {"entries", list}};
  }
  auto size = extent_table_bytes(plain, header.plain_size);
  CHECK(size.ok());
  auto table =
      decode_extent_table(ByteView(plain).first(*size), header.kind, 512, header.plain_size);
  CHECK(table.ok());
  json list = json::array();
  for (const BlockRange& r : table->ranges) list.push_back({r.first, r.count});
  return {{header.kind == FrameKind::extents ? "extents" : "holes", list},
          {"goes_on", table->continues_next},
          {"sha256", to_hex(Sha256::of(ByteView(plain).subspan(*size)))}};
}

TEST_P(Golden, ImagesAreRead) {
  ASSERT_FALSE(expected["images"].empty());
  for (const auto& [name, want] : expected["images"].items()) {
    SCOPED_TRACE(name);
    MemoryFile file(read_golden(GetParam(), name));
    auto map = read_segment_map(file);
    ASSERT_TRUE(map.ok()) << map.error().message();
    EXPECT_EQ(map->header.sequence, want["sequence"]);
    EXPECT_EQ(map->header.encrypted, want["encrypted"]);
    EXPECT_EQ(to_hex(map->trailer.sha256), want["sha256"]);
    const FrameCipher cipher{data_key, static_cast<uint32_t>(map->header.epoch),
                             static_cast<uint32_t>(map->header.sequence)};
    json frames = json::array();
    for (const FrameIndexEntry& entry : map->index.frames) {
      auto frame = read_frame(file, entry, map->header.encrypted ? &cipher : nullptr, *pool);
      ASSERT_TRUE(frame.ok()) << frame.error().message();
      frames.push_back(image_frame(frame->header, *frame->plain));
    }
    EXPECT_EQ(frames, want["frames"]);
    EXPECT_TRUE(verify_segment(file, map->header.cartridge, &data_key, *pool).ok());
  }
}

TEST_P(Golden, SegmentsAreRead) {
  ASSERT_FALSE(expected["segments"].empty());
  for (const auto& [name, want] : expected["segments"].items()) {
    SCOPED_TRACE(name);
    MemoryFile file(read_golden(GetParam(), name));
    auto map = read_segment_map(file);
    ASSERT_TRUE(map.ok()) << map.error().message();
    const SegmentHeader& h = map->header;
    EXPECT_EQ(h.cartridge.to_string(), want["cartridge"]);
    EXPECT_EQ(h.partition, want["partition"]);
    EXPECT_EQ(h.epoch, want["epoch"]);
    EXPECT_EQ(h.sequence, want["sequence"]);
    EXPECT_EQ(h.first_block, want["first_block"]);
    EXPECT_EQ(h.first_filemark, want["first_filemark"]);
    EXPECT_EQ(h.created_unix_ms, want["created_unix_ms"]);
    EXPECT_EQ(h.encrypted, want["encrypted"]);
    EXPECT_EQ(map->file_size, want["size"]);
    EXPECT_EQ(to_hex(map->trailer.sha256), want["sha256"]);
    EXPECT_EQ(map->index.frames.size(), want["frames"]);
    const FrameCipher cipher{data_key, static_cast<uint32_t>(h.epoch),
                             static_cast<uint32_t>(h.sequence)};
    EXPECT_EQ(objects_of(file, *map, h.encrypted ? &cipher : nullptr, *pool), want["objects"]);
    auto verified = verify_segment(file, h.cartridge, &data_key, *pool);
    EXPECT_TRUE(verified.ok()) << verified.error().message();
  }
}

TEST_P(Golden, EveryFlippedByteOfASegmentIsNoticed) {
  for (const auto& [name, want] : expected["segments"].items()) {
    const bool big = name == "split.seg";  // MiBs to decompress: one bit of each byte has to do
    MemoryFile file(read_golden(GetParam(), name));
    const Uuid cartridge = *Uuid::parse(want["cartridge"].get<std::string>());
    size_t noticed = 0;
    size_t changes = 0;
    for (std::byte& b : file.bytes()) {
      for (int change = big ? 128 : 1; change < 256; change <<= 1, ++changes) {
        b ^= static_cast<std::byte>(change);
        noticed += verify_segment(file, cartridge, &data_key, *pool).ok() ? 0 : 1;
        b ^= static_cast<std::byte>(change);
      }
    }
    EXPECT_EQ(noticed, changes) << name;
    EXPECT_GE(changes, file.bytes().size());
  }
}

void expect_manifest(const Manifest& m, const json& want) {
  EXPECT_EQ(m.uuid.to_string(), want["uuid"]);
  EXPECT_EQ(m.label, want["label"]);
  EXPECT_EQ(static_cast<int>(m.kind), want["kind"]);
  EXPECT_EQ(m.medium, want["medium"]);
  EXPECT_EQ(m.capacity_bytes, want["capacity_bytes"]);
  EXPECT_EQ(m.created_unix_ms, want["created_unix_ms"]);
  EXPECT_EQ(m.parent.to_string(), want["parent"]);
  EXPECT_EQ(m.worm, want["worm"]);
  EXPECT_EQ(m.write_protected, want["write_protected"]);
  EXPECT_EQ(m.epoch, want["epoch"]);
  EXPECT_EQ(m.next_sequence, want["next_sequence"]);
  EXPECT_EQ(m.generation, want["generation"]);
  EXPECT_EQ(m.key.key_id, want["key_id"]);
  EXPECT_EQ(to_hex(m.key.wrapped), want["wrapped_key"]);
  EXPECT_EQ(json(m.properties), want["properties"]);
  json mam = json::array();
  for (const auto& [key, value] : m.mam) {
    mam.push_back({key.partition, key.id, value.format, to_hex(value.value)});
  }
  EXPECT_EQ(mam, want["mam"]);
  ASSERT_EQ(m.partitions.size(), want["partitions"].size());
  for (size_t p = 0; p < m.partitions.size(); ++p) {
    const json& partition = want["partitions"][p];
    EXPECT_EQ(m.partitions[p].capacity_bytes, partition["capacity_bytes"]);
    json segments = json::array();
    for (const SegmentEntry& s : m.partitions[p].segments) {
      EXPECT_EQ(s.partition, p);
      segments.push_back({s.sequence, s.epoch, s.first_block, s.block_count, s.first_filemark,
                          s.filemark_count, s.plain_bytes, s.stored_bytes, to_hex(s.sha256)});
    }
    EXPECT_EQ(segments, partition["segments"]);
  }
}

TEST_P(Golden, ManifestsAreRead) {
  ASSERT_FALSE(expected["manifests"].empty());
  auto key = KeyEncryptionKey::parse(expected["key_encryption_key"].get<std::string>());
  ASSERT_TRUE(key.ok());
  for (const auto& [name, want] : expected["manifests"].items()) {
    SCOPED_TRACE(name);
    const Buffer image = read_golden(GetParam(), name);
    auto read = decode_manifest(image, false);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read->valid_bytes, image.size());
    expect_manifest(read->manifest, want);
    auto unwrapped = key->unwrap(read->manifest.key, read->manifest.uuid);
    ASSERT_TRUE(unwrapped.ok()) << unwrapped.error().message();
    EXPECT_TRUE(equal(unwrapped->reveal_bytes(), data_key.reveal_bytes()));
  }
}

TEST_P(Golden, EveryFlippedByteOfAManifestIsNoticed) {
  for (const auto& item : expected["manifests"].items()) {
    Buffer image = read_golden(GetParam(), item.key());
    size_t noticed = 0;
    for (std::byte& b : image) {
      for (int change = 1; change < 256; change <<= 1) {
        b ^= static_cast<std::byte>(change);
        noticed += decode_manifest(image, false).ok() ? 0 : 1;
        b ^= static_cast<std::byte>(change);
      }
    }
    EXPECT_EQ(noticed, image.size() * 8) << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Golden, ::testing::Values("v1"));

}  // namespace
}  // namespace coldshelf
