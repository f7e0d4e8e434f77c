// Any bytes as a manifest file. What is decoded must be a manifest that can be written and read
// again. Checksums are put right in a copy.
#include "base/coding.h"
#include "base/crc32c.h"
#include "tape/format/manifest_codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/segment_builder.h"

namespace {

using namespace coldshelf;

void repair(Buffer& bytes) {
  const ByteView all = bytes;
  if (bytes.size() < kManifestHeaderSize) return;
  store_le(bytes.data() + 12, crc32c(all.first(12)));
  for (size_t at = kManifestHeaderSize; bytes.size() - at >= kManifestCommitHeaderSize;) {
    std::byte* commit = bytes.data() + at;
    const size_t left = bytes.size() - at - kManifestCommitHeaderSize;
    auto size = load_le<uint32_t>(commit + 4);
    if (size > left) {  // the last one takes what there is
      size = static_cast<uint32_t>(left);
      store_le(commit + 4, size);
    }
    store_le(commit + 16, crc32c(all.subspan(at + kManifestCommitHeaderSize, size)));
    store_le(commit + 20, crc32c(all.subspan(at, 20)));
    at += kManifestCommitHeaderSize + size;
  }
}

void try_manifest(ByteView bytes) {
  for (bool tolerate : {false, true}) {
    auto read = decode_manifest(bytes, tolerate);
    if (!read.ok()) continue;
    CHECK(read->valid_bytes <= bytes.size());
    CHECK(check_manifest(read->manifest).ok());
    auto again = decode_manifest(encode_manifest(read->manifest), false);
    CHECK(again.ok() && again->manifest == read->manifest);
    for (uint32_t p = 0; p < kMaxPartitions; ++p) {
      for (uint64_t n : {uint64_t{0}, uint64_t{10}, UINT64_MAX}) {
        const SegmentEntry* found = read->manifest.find_block(p, n);
        CHECK(found == nullptr || (found->first_block <= n && n < found->end_block()));
        found = read->manifest.find_filemark(p, n);
        CHECK(found == nullptr || (found->first_filemark <= n && n < found->end_filemark()));
      }
    }
  }
}

SegmentEntry entry(uint64_t sequence, uint64_t first_block, uint64_t blocks) {
  SegmentEntry e;
  e.sequence = sequence;
  e.first_block = first_block;
  e.block_count = blocks;
  return e;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Buffer bytes = to_buffer({reinterpret_cast<const std::byte*>(data), size});
  try_manifest(bytes);
  repair(bytes);
  try_manifest(bytes);
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  Manifest m;
  m.uuid = test_uuid(1);
  m.label = "FUZZ01L8";
  m.next_sequence = 2;
  m.partitions.push_back({1000, {entry(0, 0, 5), entry(1, 5, 7)}});
  m.properties["pool"] = "p";
  m.mam[{0, 0x0800}] = {1, Buffer(3, std::byte{'x'})};
  Buffer image = encode_manifest(m);
  std::vector<Buffer> seeds = {image};
  const std::vector<ManifestEdit> edits = {
      AddSegment{entry(2, 12, 1)},
      TruncatePartition{0, 6, 0, 0},
      SetEpoch{1, 9},
      SetMam{{0, 1}, {}},
      RemoveMam{{0, 1}},
      SetProperty{"a", "b"},
      SetWriteProtected{true},
      SetWrappedKey{{"k", Buffer(5, std::byte{5})}},
      SetPartitions{{1, 2}},
      SetCapacity{3},
  };
  for (const ManifestEdit& edit : edits) {
    CHECK(apply_edit(m, edit, nullptr).ok());
    append(image, encode_manifest_commit({&edit, 1}, m.generation));
    seeds.push_back(image);
  }
  // An image: segments without objects, of which any can leave.
  m = Manifest();
  m.kind = CartridgeKind::image;
  m.partitions.resize(2);
  m.partitions[0].segments = {entry(2, 0, 0), entry(5, 0, 0)};
  m.next_sequence = 6;
  m.epoch = 1;
  const ManifestEdit drop = DropSegments{0, {2}};
  image = encode_manifest(m);
  CHECK(apply_edit(m, drop, nullptr).ok());
  append(image, encode_manifest_commit({&drop, 1}, m.generation));
  seeds.push_back(image);
  return seeds;
}
