// Makes the golden files of the format version this program writes: make_golden DIRECTORY.
// Not run by tests. Files of a version that was ever released are never made again: a later version
// gets a directory of its own, and goes on reading the old one.
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tape/format/image_frame.h"
#include "tape/format/keys.h"
#include "tape/format/manifest_codec.h"
#include "tests/support/segment_builder.h"

namespace coldshelf {
namespace {

using nlohmann::json;

constexpr std::string_view kKeyText =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

void write(const std::string& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  CHECK(out.good());
}

SegmentHeader header_of(uint64_t sequence) {
  SegmentHeader h;
  h.cartridge = test_uuid(0xa0);
  h.epoch = 2;
  h.sequence = sequence;
  h.first_block = 100;
  h.first_filemark = 4;
  h.created_unix_ms = 1'795'222'800'000;
  return h;
}

// Writes objects and keeps what a reader must find.
class Golden {
 public:
  Golden(uint64_t sequence, const Secret* key, bool compress)
      : builder_(header_of(sequence), key, {compress, 1}) {}
  void record(const Buffer& bytes) {
    builder_.record(bytes);
    objects_.push_back({{"record", bytes.size()}, {"sha256", to_hex(Sha256::of(bytes))}});
  }
  void filemarks(uint32_t count) {
    builder_.filemarks(count);
    for (uint32_t i = 0; i < count; ++i) objects_.push_back("filemark");
  }
  json finish(const std::string& directory, const std::string& name) {
    const BuiltSegment built = builder_.seal();
    write(directory + "/" + name, built.bytes);
    const SegmentHeader& h = builder_.header();
    return {{"cartridge", h.cartridge.to_string()},
            {"partition", h.partition},
            {"epoch", h.epoch},
            {"sequence", h.sequence},
            {"first_block", h.first_block},
            {"first_filemark", h.first_filemark},
            {"created_unix_ms", h.created_unix_ms},
            {"encrypted", h.encrypted},
            {"size", built.bytes.size()},
            {"sha256", to_hex(built.sha256)},
            {"frames", built.frames.size()},
            {"objects", objects_}};
  }

 private:
  SegmentBuilder builder_;
  json objects_ = json::array();
};

json make_segment(const std::string& directory, const std::string& name, uint64_t sequence,
                  const Secret* key, bool compress, bool split) {
  SeededRandom random(sequence);
  Golden golden(sequence, key, compress);
  for (int i = 0; i < 3; ++i) golden.record(random_bytes(random, 64));
  golden.record(text_bytes(600));
  golden.filemarks(1);
  golden.record(random_bytes(random, 33));
  golden.record(text_bytes(1));
  if (split) golden.record(text_bytes(2 * MiB + 5));
  golden.filemarks(2);
  golden.record(text_bytes(900, "0123456789"));
  return golden.finish(directory, name);
}

SegmentEntry entry(uint64_t sequence, uint32_t partition, uint64_t first, uint64_t blocks,
                   uint64_t first_filemark, uint64_t filemarks) {
  SegmentEntry e;
  e.sequence = sequence;
  e.epoch = 1;
  e.partition = partition;
  e.first_block = first;
  e.block_count = blocks;
  e.first_filemark = first_filemark;
  e.filemark_count = filemarks;
  e.plain_bytes = blocks * 65536;
  e.stored_bytes = blocks * 40000 + 300;
  for (size_t i = 0; i < e.sha256.size(); ++i) {
    e.sha256[i] = static_cast<std::byte>(i * 7 + sequence);
  }
  return e;
}

json json_of(const Manifest& m) {
  json partitions = json::array();
  for (const Partition& p : m.partitions) {
    json segments = json::array();
    for (const SegmentEntry& s : p.segments) {
      segments.push_back({s.sequence, s.epoch, s.first_block, s.block_count, s.first_filemark,
                          s.filemark_count, s.plain_bytes, s.stored_bytes, to_hex(s.sha256)});
    }
    partitions.push_back({{"capacity_bytes", p.capacity_bytes}, {"segments", segments}});
  }
  json mam = json::array();
  for (const auto& [key, value] : m.mam) {
    mam.push_back({key.partition, key.id, value.format, to_hex(value.value)});
  }
  return {{"uuid", m.uuid.to_string()},
          {"label", m.label},
          {"kind", static_cast<int>(m.kind)},
          {"medium", m.medium},
          {"capacity_bytes", m.capacity_bytes},
          {"created_unix_ms", m.created_unix_ms},
          {"parent", m.parent.to_string()},
          {"worm", m.worm},
          {"write_protected", m.write_protected},
          {"epoch", m.epoch},
          {"next_sequence", m.next_sequence},
          {"generation", m.generation},
          {"key_id", m.key.key_id},
          {"wrapped_key", to_hex(m.key.wrapped)},
          {"partitions", partitions},
          {"mam", mam},
          {"properties", m.properties}};
}

json make_manifests(const std::string& directory, const Secret& data_key) {
  SeededRandom random(99);
  auto key = KeyEncryptionKey::parse(kKeyText);
  CHECK(key.ok());
  Manifest m;
  m.uuid = test_uuid(0xa0);
  m.label = "GOLD01L8";
  m.medium = "LTO-8";
  m.capacity_bytes = 12'000'000'000'000;
  m.created_unix_ms = 1'795'222'800'000;
  m.epoch = 1;
  m.generation = 10;
  m.next_sequence = 4;
  m.key = *key->wrap(data_key, m.uuid, random);
  m.partitions.push_back({1 * TiB, {entry(0, 0, 0, 50, 0, 3), entry(1, 0, 50, 50, 3, 1)}});
  m.partitions.push_back({2 * TiB, {entry(3, 1, 0, 1000, 0, 0)}});
  m.mam[{0, 0x0800}] = {1, to_buffer(as_view("COLDSHLF"))};
  m.mam[{1, 0x0009}] = {0, Buffer(4, std::byte{7})};
  m.properties = {{"pool", "GLACIER"}, {"status", "AVAILABLE"}};
  json out;
  Buffer image = encode_manifest(m);
  write(directory + "/manifest-snapshot", image);
  out["manifest-snapshot"] = json_of(m);
  write(directory + "/manifest-after",
        encode_manifest_after(m, "\"9e107d9d372bb6826bd81d3542a419d6\""));
  out["manifest-after"] = json_of(m);
  // Every kind of edit once, the last ones in one commit.
  const std::vector<std::vector<ManifestEdit>> commits = {
      {SetEpoch{2, 5}},
      {TruncatePartition{0, 60, 3, 10 * 65536}},
      {AddSegment{entry(5, 0, 60, 7, 3, 2)}},
      {SetMam{{0, 0x0806}, {1, to_buffer(as_view("GOLD01L8"))}}, RemoveMam{{0, 0x0800}}},
      {SetProperty{"pool", ""}, SetProperty{"status", "ARCHIVED"}, SetWriteProtected{true}},
      {SetWrappedKey{*key->wrap(data_key, m.uuid, random)}},
  };
  const auto add = [&](const std::vector<ManifestEdit>& edits) {
    for (const ManifestEdit& edit : edits) CHECK(apply_edit(m, edit, nullptr).ok());
    append(image, encode_manifest_commit(edits, m.generation));
  };
  for (const auto& edits : commits) add(edits);
  write(directory + "/manifest-log", image);
  out["manifest-log"] = json_of(m);
  add({SetPartitions{{10, 20}}, SetCapacity{30}});
  add({m});
  write(directory + "/manifest-formatted", image);
  out["manifest-formatted"] = json_of(m);
  return out;
}

// An image: a segment of its log, and its map.
class GoldenImage {
 public:
  GoldenImage(uint64_t sequence, uint32_t partition, const Secret* key)
      : builder_(header(sequence, partition), key, {false, 1}) {}
  void mark(const LogMark& m) {
    add(FrameKind::truncate, encode_log_mark(m));
    frames_.push_back({{"mark", {m.block_bytes, m.block_count, m.next_sequence, m.frame_count}}});
  }
  void table(FrameKind kind, const std::vector<BlockRange>& ranges, const Buffer& data, bool more) {
    Buffer payload(extent_table_size(ranges, kind, 512));
    encode_extent_table(ranges, kind, more, 512, data, payload);
    append(payload, data);
    add(kind, std::move(payload));
    json list = json::array();
    for (const BlockRange& r : ranges) list.push_back({r.first, r.count});
    frames_.push_back({{kind == FrameKind::extents ? "extents" : "holes", list},
                       {"goes_on", more},
                       {"sha256", to_hex(Sha256::of(data))}});
  }
  void sources(const std::vector<MapSource>& sources) {
    add(FrameKind::reference, encode_map_sources(sources));
    json list = json::array();
    for (const MapSource& s : sources) {
      list.push_back({s.cartridge.to_string(), s.sequence, s.epoch, s.live_blocks});
    }
    frames_.push_back({{"sources", list}});
  }
  void group(uint64_t number, const std::vector<MapEntry>& entries) {
    Buffer payload;
    put_map_group(payload, number, entries);
    add(FrameKind::reference, std::move(payload));
    json list = json::array();
    for (const MapEntry& e : entries) list.push_back({e.first, e.count, e.source, e.offset});
    frames_.push_back({{"group", number}, {"entries", list}});
  }
  json finish(const std::string& directory, const std::string& name) {
    const BuiltSegment built = builder_.seal();
    write(directory + "/" + name, built.bytes);
    return {{"sequence", builder_.header().sequence},
            {"epoch", builder_.header().epoch},
            {"encrypted", builder_.header().encrypted},
            {"sha256", to_hex(built.sha256)},
            {"frames", frames_}};
  }

 private:
  static SegmentHeader header(uint64_t sequence, uint32_t partition) {
    SegmentHeader h = header_of(sequence);
    h.partition = partition;
    h.first_block = 0;
    h.first_filemark = 0;
    return h;
  }
  void add(FrameKind kind, Buffer payload) {
    builder_.add(builder_.next(kind), std::make_shared<const Buffer>(std::move(payload)));
  }
  SegmentBuilder builder_;
  json frames_ = json::array();
};

json make_images(const std::string& directory, const Secret& data_key) {
  SeededRandom random(4);
  json out;
  for (const Secret* key : {static_cast<const Secret*>(nullptr), &data_key}) {
    const std::string suffix = key != nullptr ? "-encrypted.seg" : ".seg";
    GoldenImage log(33, kImageLogPartition, key);
    log.mark({512, 2'097'152, 32, 700});
    log.table(FrameKind::extents, {{3, 9}, {1000, 1}}, random_bytes(random, 10 * 512), true);
    log.table(FrameKind::extents, {{1001, 2}}, random_bytes(random, 2 * 512), false);
    log.table(FrameKind::holes, {{0, 4}, {2'000'000, 97'152}}, {}, false);
    out["image" + suffix] = log.finish(directory, "image" + suffix);
    GoldenImage map(34, kImageMapPartition, key);
    map.mark({512, 2'097'152, 34, 1});
    map.sources({{test_uuid(0xa0), 33, 2, 9}, {test_uuid(0xb0), 7, 1, 4000}});
    map.group(0, {{4, 8, 0, 181}, {96, 4000, 1, 128}});
    map.group(2, {{0, 1, 0, 5400}});
    out["map" + suffix] = map.finish(directory, "map" + suffix);
  }
  return out;
}

int run(const std::string& directory) {
  const Secret key = test_key(0x50);
  json all;
  all["key_encryption_key"] = kKeyText;
  all["data_key"] = to_hex(key.reveal_bytes());
  json& segments = all["segments"];
  segments["plain.seg"] = make_segment(directory, "plain.seg", 16, nullptr, false, false);
  segments["zstd.seg"] = make_segment(directory, "zstd.seg", 17, nullptr, true, false);
  segments["encrypted.seg"] = make_segment(directory, "encrypted.seg", 18, &key, true, false);
  segments["split.seg"] = make_segment(directory, "split.seg", 19, &key, true, true);
  all["manifests"] = make_manifests(directory, key);
  all["images"] = make_images(directory, key);
  write(directory + "/expected.json", as_view(all.dump(1) + "\n"));
  return 0;
}

}  // namespace
}  // namespace coldshelf

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_golden DIRECTORY\n");
    return 2;
  }
  return coldshelf::run(argv[1]);
}
