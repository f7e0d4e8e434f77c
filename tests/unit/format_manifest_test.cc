// The manifest: edits, its bytes, and the log on disk.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tape/format/manifest_codec.h"
#include "tests/support/segment_builder.h"

namespace coldshelf {
namespace {

SegmentEntry entry(uint64_t sequence, uint32_t partition, uint64_t first_block, uint64_t blocks,
                   uint64_t first_filemark, uint64_t filemarks, uint64_t epoch = 1) {
  SegmentEntry e;
  e.sequence = sequence;
  e.epoch = epoch;
  e.partition = partition;
  e.first_block = first_block;
  e.block_count = blocks;
  e.first_filemark = first_filemark;
  e.filemark_count = filemarks;
  e.plain_bytes = blocks * 1000;
  e.stored_bytes = blocks * 700;
  e.sha256[0] = static_cast<std::byte>(sequence);
  return e;
}

Manifest small_manifest() {
  Manifest m;
  m.uuid = test_uuid(1);
  m.label = "CSH001L8";
  m.medium = "LTO-8";
  m.capacity_bytes = 12 * TiB;
  m.created_unix_ms = 1'790'000'000'123;
  m.parent = test_uuid(0x40);
  m.worm = true;
  m.epoch = 2;
  m.next_sequence = 6;
  m.generation = 41;
  m.key = {"kek-0123456789abcdef", to_buffer(as_view("wrapped"))};
  m.partitions.push_back({100 * GiB, {entry(0, 0, 0, 10, 0, 2), entry(1, 0, 10, 5, 2, 0)}});
  m.partitions.push_back({200 * GiB, {entry(2, 1, 0, 1, 0, 1), entry(5, 1, 1, 100, 1, 0, 2)}});
  m.mam[{0, 0x0800}] = {1, to_buffer(as_view("coldshelf"))};
  m.mam[{1, 0x0009}] = {0, Buffer(4, std::byte{9})};
  m.properties["pool"] = "deep";
  m.properties["status"] = "AVAILABLE";
  return m;
}

Manifest big_manifest(uint64_t segments) {
  Manifest m = small_manifest();
  m.partitions.clear();
  m.partitions.push_back({16 * TiB, {}});
  for (uint64_t i = 0; i < segments; ++i) {
    SegmentEntry e = entry(i, 0, i * 256, 256, i, 1);
    e.sha256[1] = static_cast<std::byte>(i >> 8);
    m.partitions[0].segments.push_back(e);
  }
  m.next_sequence = segments;
  return m;
}

TEST(FormatManifest, RoundTrips) {
  for (const Manifest& m : {small_manifest(), big_manifest(1000)}) {
    const Buffer image = encode_manifest(m);
    auto back = decode_manifest(image, false);
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(back->manifest, m);
    EXPECT_EQ(back->valid_bytes, image.size());
    EXPECT_EQ(back->edit_count, 1U);
  }
}

TEST(FormatManifest, OnTopOfAnotherItReadsTheSameAndHasOtherBytes) {
  Manifest m = small_manifest();
  ASSERT_GT(m.generation, 0U);
  EXPECT_EQ(encode_manifest_after(m, ""), encode_manifest(m)) << "the first";
  const Buffer one = encode_manifest_after(m, "\"9e107d9d372bb6826bd81d3542a419d6\"");
  EXPECT_NE(one, encode_manifest_after(m, "\"e4d909c290d0fb1ca068ffaddf22cbd0\""));
  const auto back = decode_manifest(one, false);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->manifest, m);
}

TEST(FormatManifest, AQuarterOfAMillionSegments) {
  const Manifest m = big_manifest(250'000);
  const Buffer image = encode_manifest(m);
  EXPECT_LT(image.size(), 250'000U * 50);
  auto back = decode_manifest(image, false);
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(back->manifest, m);
  for (uint64_t block : {0ULL, 255ULL, 256ULL, 31'999'999ULL, 63'999'999ULL}) {
    const SegmentEntry* found = m.find_block(0, block);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->sequence, block / 256);
  }
  EXPECT_EQ(m.find_block(0, 64'000'000), nullptr);
  EXPECT_EQ(m.find_filemark(0, 123'456)->sequence, 123'456U);
  EXPECT_EQ(m.find_filemark(0, 250'000), nullptr);
  EXPECT_EQ(m.find_block(1, 0), nullptr);
}

TEST(FormatManifest, EveryFlippedByteIsNoticed) {
  Buffer image = encode_manifest(small_manifest());
  const ManifestEdit edit = SetProperty{"pool", "glacier"};
  append(image, encode_manifest_commit({&edit, 1}, 42));
  ASSERT_TRUE(decode_manifest(image, false).ok());
  for (size_t i = 0; i < image.size(); ++i) {
    for (int change : {0x01, 0x80, 0xff}) {
      image[i] ^= static_cast<std::byte>(change);
      EXPECT_FALSE(decode_manifest(image, false).ok()) << "byte " << i;
      image[i] ^= static_cast<std::byte>(change);
    }
  }
}

TEST(FormatManifest, TornTailsAreDroppedDamageInTheMiddleIsNot) {
  Buffer image = encode_manifest(small_manifest());
  const size_t snapshot = image.size();
  const ManifestEdit first = SetProperty{"pool", "glacier"};
  append(image, encode_manifest_commit({&first, 1}, 42));
  const size_t one = image.size();
  // Two edits of one commit: both or none.
  const ManifestEdit pair[] = {SetWriteProtected{true}, SetProperty{"status", "ARCHIVED"}};
  append(image, encode_manifest_commit(pair, 44));

  for (size_t size = 0; size <= image.size(); ++size) {
    for (bool zeros : {false, true}) {
      Buffer torn = to_buffer(ByteView(image).first(size));
      if (zeros) torn.resize(image.size() + 50, std::byte{0});
      auto back = decode_manifest(torn, true);
      if (size < snapshot) {
        EXPECT_FALSE(back.ok()) << size;
        continue;
      }
      ASSERT_TRUE(back.ok()) << size << ": " << back.error().message();
      const size_t valid = size < one ? snapshot : size < image.size() ? one : image.size();
      EXPECT_EQ(back->valid_bytes, valid) << size;
      EXPECT_EQ(back->manifest.generation, valid == snapshot ? 41U : valid == one ? 42U : 44U);
      EXPECT_EQ(back->manifest.write_protected, valid == image.size());
      EXPECT_EQ(decode_manifest(torn, false).ok(), valid == torn.size());
    }
  }
  for (size_t i = snapshot; i < one; ++i) {
    Buffer damaged = image;
    damaged[i] ^= std::byte{0x40};
    auto back = decode_manifest(damaged, true);
    ASSERT_FALSE(back.ok()) << i;
    EXPECT_EQ(back.error().code, ErrorCode::corrupt);
  }
}

TEST(FormatManifest, NewerVersionsAndUnknownEditsAreSaidToBeSo) {
  Buffer image = encode_manifest(small_manifest());
  store_le(image.data() + 8, uint16_t{kManifestFormatVersion + 1});
  store_le(image.data() + 12, crc32c(ByteView(image).first(12)));
  auto newer = decode_manifest(image, true);
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, ErrorCode::unsupported_version);
  EXPECT_NE(newer.error().context.find("version 2"), std::string::npos);

  image = encode_manifest(small_manifest());
  const ManifestEdit edit = SetWriteProtected{true};
  Buffer commit = encode_manifest_commit({&edit, 1}, 42);
  commit[kManifestCommitHeaderSize + 1] = std::byte{200};  // the kind, behind the count
  store_le(commit.data() + 16, crc32c(ByteView(commit).subspan(kManifestCommitHeaderSize)));
  store_le(commit.data() + 20, crc32c(ByteView(commit).first(20)));
  append(image, commit);
  auto unknown = decode_manifest(image, true);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::unsupported_version);
  EXPECT_NE(unknown.error().context.find("200"), std::string::npos);
}

TEST(FormatManifest, AMissingCommitIsNoticed) {
  Buffer image = encode_manifest(small_manifest());
  const ManifestEdit edit = SetWriteProtected{true};
  append(image, encode_manifest_commit({&edit, 1}, 43));  // 42 is not there
  EXPECT_FALSE(decode_manifest(image, true).ok());
}

TEST(FormatManifest, CountsAreNeverBelieved) {
  // A huge number laid over every place of a snapshot in turn, checksums right. What is decoded all
  // the same is a manifest that could be; nothing of the claimed size is allocated (the fuzz target
  // runs under AddressSanitizer's limit too).
  for (size_t at = 0; at < 90; ++at) {
    Buffer image = encode_manifest(small_manifest());
    const size_t body = kManifestHeaderSize + kManifestCommitHeaderSize;
    for (size_t k = 0; k < 5 && body + at + k < image.size(); ++k) {
      image[body + at + k] = k < 4 ? std::byte{0xff} : std::byte{0x7f};
    }
    store_le(image.data() + 32, crc32c(ByteView(image).subspan(body)));
    store_le(image.data() + 36, crc32c(ByteView(image).subspan(16, 20)));
    auto back = decode_manifest(image, true);
    if (back.ok()) {
      EXPECT_TRUE(check_manifest(back->manifest).ok()) << at;
    } else {
      EXPECT_EQ(back.error().code, ErrorCode::corrupt) << at;
    }
  }
}

class FormatManifestEdits : public ::testing::Test {
 protected:
  Manifest m = small_manifest();
  std::vector<SegmentEntry> dropped;

  bool apply(const ManifestEdit& edit) { return apply_edit(m, edit, &dropped).ok(); }
  // Refused with corrupt, and nothing changed.
  bool refused(const ManifestEdit& edit) {
    const Manifest before = m;
    auto status = apply_edit(m, edit, &dropped);
    return !status.ok() && status.error().code == ErrorCode::corrupt && m == before &&
           dropped.empty();
  }
};

TEST_F(FormatManifestEdits, AddSegment) {
  EXPECT_TRUE(apply(AddSegment{entry(6, 0, 15, 4, 2, 1, 2)}));
  EXPECT_EQ(m.next_sequence, 7U);
  EXPECT_EQ(m.generation, 42U);
  EXPECT_EQ(m.partitions[0].end_block(), 19U);
  EXPECT_EQ(m.partitions[0].end_filemark(), 3U);
  EXPECT_TRUE(refused(AddSegment{entry(7, 2, 0, 1, 0, 0)}));      // no such partition
  EXPECT_TRUE(refused(AddSegment{entry(7, 0, 20, 1, 3, 0, 2)}));  // a gap
  EXPECT_TRUE(refused(AddSegment{entry(7, 0, 18, 1, 3, 0, 2)}));  // an overlap
  EXPECT_TRUE(refused(AddSegment{entry(7, 0, 19, 1, 2, 0, 2)}));  // filemarks
  EXPECT_TRUE(refused(AddSegment{entry(6, 0, 19, 1, 3, 0, 2)}));  // sequence again
  EXPECT_TRUE(refused(AddSegment{entry(7, 0, 19, 1, 3, 0, 3)}));  // epoch not begun
  EXPECT_TRUE(refused(AddSegment{entry(7, 0, 19, 1, 3, 2, 2)}));  // more marks than objects
  EXPECT_TRUE(refused(AddSegment{entry(1ULL << 32, 0, 19, 1, 3, 0, 2)}));
}

TEST_F(FormatManifestEdits, TruncatePartition) {
  EXPECT_TRUE(refused(TruncatePartition{0, 16, 2, 0}));
  EXPECT_TRUE(refused(TruncatePartition{0, 12, 3, 0}));
  EXPECT_TRUE(refused(TruncatePartition{0, 12, 2, 9000}));
  EXPECT_TRUE(refused(TruncatePartition{0, 10, 1, 0}));
  EXPECT_TRUE(refused(TruncatePartition{7, 0, 0, 0}));
  EXPECT_TRUE(apply(TruncatePartition{0, 15, 2, 0}));  // at the end: nothing goes
  EXPECT_EQ(m.partitions[0].segments.size(), 2U);
  EXPECT_TRUE(apply(TruncatePartition{0, 12, 2, 2000}));
  EXPECT_TRUE(dropped.empty());
  EXPECT_EQ(m.partitions[0].end_block(), 12U);
  EXPECT_EQ(m.partitions[0].segments[1].plain_bytes, 2000U);
  EXPECT_EQ(m.partitions[0].segments[1].stored_bytes, 3500U);
  EXPECT_TRUE(apply(TruncatePartition{0, 3, 1, 2500}));
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].sequence, 1U);
  EXPECT_EQ(m.partitions[0].end_filemark(), 1U);
  EXPECT_TRUE(apply(TruncatePartition{0, 0, 0, 0}));
  EXPECT_EQ(dropped.size(), 2U);
  EXPECT_TRUE(m.partitions[0].segments.empty());
  EXPECT_EQ(m.next_sequence, 6U);  // never reused
  EXPECT_TRUE(check_manifest(m).ok());
}

TEST_F(FormatManifestEdits, EpochsAndSequencesOnlyGrow) {
  EXPECT_TRUE(refused(SetEpoch{1, 6}));
  EXPECT_TRUE(refused(SetEpoch{3, 5}));
  EXPECT_TRUE(refused(SetEpoch{1ULL << 32, 6}));
  EXPECT_TRUE(apply(SetEpoch{3, 9}));
  EXPECT_EQ(m.epoch, 3U);
  EXPECT_EQ(m.next_sequence, 9U);
}

TEST_F(FormatManifestEdits, FormattingDropsEverySegment) {
  EXPECT_TRUE(refused(SetPartitions{{}}));
  EXPECT_TRUE(refused(SetPartitions{{1, 2, 3, 4, 5}}));
  EXPECT_TRUE(apply(SetPartitions{{10, 20, 30}}));
  EXPECT_EQ(dropped.size(), 4U);
  EXPECT_EQ(m.partitions.size(), 3U);
  EXPECT_EQ(m.partitions[2].capacity_bytes, 30U);
  EXPECT_TRUE(apply(SetCapacity{99}));
  ASSERT_EQ(m.partitions.size(), 1U);
  EXPECT_EQ(m.partitions[0].capacity_bytes, 99U);
  EXPECT_EQ(m.capacity_bytes, 12 * TiB);
}

TEST_F(FormatManifestEdits, AttributesPropertiesFlagsKeys) {
  EXPECT_TRUE(apply(SetMam{{0, 0x0806}, {1, to_buffer(as_view("barcode"))}}));
  EXPECT_EQ(m.mam.size(), 3U);
  EXPECT_TRUE(apply(RemoveMam{{0, 0x0806}}));
  EXPECT_TRUE(apply(RemoveMam{{0, 0x0806}}));
  EXPECT_EQ(m.mam.size(), 2U);
  EXPECT_TRUE(apply(SetProperty{"pool", "x"}));
  EXPECT_EQ(m.properties["pool"], "x");
  EXPECT_TRUE(apply(SetProperty{"pool", ""}));
  EXPECT_EQ(m.properties.count("pool"), 0U);
  EXPECT_TRUE(refused(SetProperty{"", "x"}));
  EXPECT_TRUE(refused(SetProperty{"n", std::string(64 * KiB + 1, 'x')}));
  EXPECT_TRUE(refused(SetMam{{9, 1}, {}}));
  EXPECT_TRUE(apply(SetWriteProtected{true}));
  EXPECT_TRUE(m.write_protected);
  EXPECT_TRUE(apply(SetWrappedKey{{"kek-1", to_buffer(as_view("w"))}}));
  EXPECT_EQ(m.key.key_id, "kek-1");
  EXPECT_EQ(m.generation, 48U);
}

TEST_F(FormatManifestEdits, SegmentsOfAnImageLeaveFromTheMiddle) {
  EXPECT_TRUE(refused(DropSegments{0, {m.partitions[0].segments[0].sequence}}));  // a tape's do not
  Manifest image;
  image.kind = CartridgeKind::image;
  image.partitions.resize(2);
  for (uint64_t sequence : {3U, 5U, 9U}) {
    SegmentEntry e;
    e.sequence = sequence;
    image.partitions[0].segments.push_back(e);
  }
  image.next_sequence = 10;
  m = image;
  for (const std::vector<uint64_t>& wrong :
       {std::vector<uint64_t>{4}, {9, 5}, {5, 5}, {3, 5, 9, 10}}) {
    EXPECT_TRUE(refused(DropSegments{0, wrong}));
    EXPECT_EQ(m.partitions[0].segments.size(), 3U);
  }
  EXPECT_TRUE(refused(DropSegments{2, {3}}));
  EXPECT_TRUE(apply(DropSegments{0, {3, 9}}));
  ASSERT_EQ(m.partitions[0].segments.size(), 1U);
  EXPECT_EQ(m.partitions[0].segments[0].sequence, 5U);
  ASSERT_EQ(dropped.size(), 2U);
  EXPECT_EQ(dropped[1].sequence, 9U);
}

TEST_F(FormatManifestEdits, ASnapshotReplacesAndTellsWhatItDrops) {
  Manifest next = m;
  next.partitions[0].segments.pop_back();
  next.generation = 3;
  EXPECT_TRUE(apply(next));
  EXPECT_EQ(m.generation, 42U);
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].sequence, 1U);
  dropped.clear();
  next.uuid = test_uuid(2);
  EXPECT_TRUE(refused(next));
}

// A real directory whose writes, syncs and renames fail from a given one on.
class FaultyFiles final : public FileSystem {
 public:
  uint64_t calls = 0;
  uint64_t fail_at = UINT64_MAX;
  bool fail_only = false;  // that one call, not the ones after it
  ErrorCode fail_code = ErrorCode::io;

  Status step() {
    const uint64_t call = calls++;
    if (call == fail_at || (call > fail_at && !fail_only)) {
      return Error(fail_code, "failed on purpose");
    }
    return {};
  }
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    ASSIGN_OR_RETURN(auto file, real_.open(path, mode));
    return std::unique_ptr<File>(std::make_unique<FaultyFile>(*this, std::move(file)));
  }
  Status rename(const std::string& from, const std::string& to) override {
    TRY(step());
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status remove_directory(const std::string& path) override { return real_.remove_directory(path); }
  Status create_directories(const std::string& path) override {
    return real_.create_directories(path);
  }
  Status sync_directory(const std::string& path) override {
    TRY(step());
    return real_.sync_directory(path);
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return real_.list(path);
  }
  Result<FileInfo> info(const std::string& path) override { return real_.info(path); }
  Result<uint64_t> available_bytes(const std::string& path) override {
    return real_.available_bytes(path);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

 private:
  class FaultyFile final : public File {
   public:
    FaultyFile(FaultyFiles& owner, std::unique_ptr<File> real)
        : owner_(owner), real_(std::move(real)) {}
    Status read_at(uint64_t offset, MutableBytes out) override {
      return real_->read_at(offset, out);
    }
    Status write_at(uint64_t offset, ByteView bytes) override {
      auto may = owner_.step();
      // A failing write leaves its first half.
      if (!may.ok()) {
        TRY(real_->write_at(offset, bytes.first(bytes.size() / 2)));
        return may;
      }
      return real_->write_at(offset, bytes);
    }
    Status sync() override {
      TRY(owner_.step());
      return real_->sync();
    }
    Status truncate(uint64_t size) override {
      TRY(owner_.step());
      return real_->truncate(size);
    }
    Result<uint64_t> size() override { return real_->size(); }
    void start_writeback(uint64_t, uint64_t) override {}
    void drop_cache() override {}

   private:
    FaultyFiles& owner_;
    std::unique_ptr<File> real_;
  };
  PosixFileSystem real_;
};

class FormatManifestLog : public ::testing::Test {
 protected:
  FormatManifestLog() {
    char name[] = "/tmp/coldshelf-manifest-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    directory = name;
    path = directory + "/manifest";
  }
  ~FormatManifestLog() override { std::filesystem::remove_all(directory); }
  std::unique_ptr<ManifestLog> make(Manifest m = small_manifest()) {
    auto log = ManifestLog::create(files, path, std::move(m));
    CHECK(log.ok());
    return std::move(log).value();
  }
  Manifest reopened() {
    auto log = ManifestLog::open(files, path);
    CHECK(log.ok());
    return (*log)->manifest();
  }
  std::string directory;
  std::string path;
  FaultyFiles files;
};

TEST_F(FormatManifestLog, CreateCommitOpen) {
  auto log = make();
  EXPECT_EQ(ManifestLog::create(files, path, small_manifest()).error().code, ErrorCode::exists);
  std::vector<SegmentEntry> dropped;
  const uint64_t before = files.calls;
  ASSERT_TRUE(log->commit({TruncatePartition{0, 10, 2, 0}, SetEpoch{3, 6},
                           AddSegment{entry(6, 0, 10, 3, 2, 1, 3)}, SetProperty{"status", "x"}},
                          &dropped)
                  .ok());
  EXPECT_EQ(files.calls - before, 2U);  // one write, one sync
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].sequence, 1U);
  EXPECT_EQ(log->manifest().generation, 45U);
  EXPECT_EQ(reopened(), log->manifest());
  EXPECT_TRUE(log->commit({}).ok());
  EXPECT_EQ(ManifestLog::open(files, directory + "/none").error().code, ErrorCode::not_found);
  Manifest bad = small_manifest();
  bad.partitions.clear();
  EXPECT_EQ(ManifestLog::create(files, directory + "/bad", bad).error().code,
            ErrorCode::invalid_argument);
}

TEST_F(FormatManifestLog, ATornTailIsCutOffAtOpen) {
  auto log = make();
  ASSERT_TRUE(log->commit({SetProperty{"a", "1"}}).ok());
  const Manifest first = log->manifest();
  const uint64_t keep = std::filesystem::file_size(path);
  ASSERT_TRUE(log->commit({SetProperty{"b", "2"}}).ok());
  log.reset();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  auto again = ManifestLog::open(files, path);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->manifest(), first);
  EXPECT_EQ(std::filesystem::file_size(path), keep);
  ASSERT_TRUE((*again)->commit({SetProperty{"c", "3"}}).ok());
  EXPECT_EQ(reopened().properties.at("c"), "3");
  EXPECT_EQ(reopened().properties.count("b"), 0U);
}

TEST_F(FormatManifestLog, EveryFailureClosesTheLogAndLosesNothing) {
  const std::vector<std::vector<ManifestEdit>> edits = {
      {SetProperty{"a", "1"}, AddSegment{entry(6, 0, 15, 4, 2, 1, 2)}},
      {TruncatePartition{0, 10, 2, 0}},
      {SetCapacity{5}},
  };
  for (const auto& edit : edits) {
    for (uint64_t fail = 0; fail < 2; ++fail) {  // the write, the sync
      std::filesystem::remove(path);
      files.fail_at = UINT64_MAX;
      auto log = make();
      const Manifest before = log->manifest();
      files.fail_at = files.calls + fail;
      std::vector<SegmentEntry> dropped;
      EXPECT_EQ(log->commit(edit, &dropped).error().code, ErrorCode::io);
      EXPECT_TRUE(dropped.empty());
      EXPECT_EQ(log->manifest(), before);
      files.fail_at = UINT64_MAX;
      EXPECT_EQ(log->commit({SetProperty{"b", "2"}}).error().code, ErrorCode::read_only);
      Manifest after = before;
      for (const ManifestEdit& e : edit) ASSERT_TRUE(apply_edit(after, e, nullptr).ok());
      const Manifest now = reopened();
      EXPECT_TRUE(now == before || now == after);
      if (fail == 0) {
        EXPECT_EQ(now, before);
      }
    }
  }
}

TEST_F(FormatManifestLog, AnEditThatDoesNotFitChangesNothing) {
  auto log = make();
  const Manifest before = log->manifest();
  EXPECT_EQ(log->commit({SetProperty{"a", "1"}, AddSegment{entry(6, 0, 99, 4, 2, 1)}}).error().code,
            ErrorCode::corrupt);
  EXPECT_EQ(log->manifest(), before);
  EXPECT_EQ(reopened(), before);
  EXPECT_TRUE(log->commit({SetProperty{"a", "1"}}).ok());
  EXPECT_EQ(reopened().properties.at("a"), "1");
}

TEST_F(FormatManifestLog, AFullDiskPutsCompactionOff) {
  auto log = make();
  const std::string value(60'000, 'v');
  while (std::filesystem::file_size(path) <=
         2 * encode_manifest(small_manifest()).size() + 1 * MiB) {
    ASSERT_TRUE(log->commit({SetProperty{"p", value}}).ok());
  }
  // The new file does not fit any more; the next small edit does.
  const uint64_t size = std::filesystem::file_size(path);
  files.fail_code = ErrorCode::no_space;
  files.fail_at = files.calls;
  files.fail_only = true;
  ASSERT_TRUE(log->commit({SetProperty{"q", "1"}}).ok());
  EXPECT_GT(std::filesystem::file_size(path), size);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  EXPECT_EQ(reopened(), log->manifest());
}

TEST_F(FormatManifestLog, AFullDiskAfterTheRenameClosesTheLog) {
  auto log = make();
  const std::string value(60'000, 'v');
  while (std::filesystem::file_size(path) <=
         2 * encode_manifest(small_manifest()).size() + 1 * MiB) {
    ASSERT_TRUE(log->commit({SetProperty{"p", value}}).ok());
  }
  // The snapshot has the name by now: an edit behind the old log would be lost.
  const Manifest before = log->manifest();
  files.fail_code = ErrorCode::no_space;
  files.fail_at = files.calls + 3;  // write, sync, rename, directory
  files.fail_only = true;
  EXPECT_EQ(log->commit({SetProperty{"q", "1"}}).error().code, ErrorCode::no_space);
  EXPECT_TRUE(log->closed());
  EXPECT_EQ(log->commit({SetProperty{"q", "1"}}).error().code, ErrorCode::read_only);
  EXPECT_EQ(reopened(), before);
}

TEST_F(FormatManifestLog, AnEditThatTheDiskHasNoRoomForChangesNothing) {
  auto log = make();
  ASSERT_TRUE(log->commit({SetProperty{"a", "1"}}).ok());
  const Manifest before = log->manifest();
  files.fail_code = ErrorCode::no_space;
  files.fail_at = files.calls;  // the write
  files.fail_only = true;
  EXPECT_EQ(log->commit({SetProperty{"b", "2"}}).error().code, ErrorCode::no_space);
  EXPECT_FALSE(log->closed());
  EXPECT_EQ(log->manifest(), before);
  EXPECT_EQ(reopened(), before);
  ASSERT_TRUE(log->commit({SetProperty{"c", "3"}}).ok());
  EXPECT_EQ(reopened(), log->manifest());
  // A sync is another matter.
  files.fail_at = files.calls + 1;
  EXPECT_EQ(log->commit({SetProperty{"d", "4"}}).error().code, ErrorCode::no_space);
  EXPECT_TRUE(log->closed());
}

TEST_F(FormatManifestLog, CompactsWhenItOutgrowsItsSnapshot) {
  auto log = make();
  const std::string value(60'000, 'v');
  uint64_t biggest = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(log->commit({SetProperty{"p" + std::to_string(i % 3), value}}).ok());
    biggest = std::max<uint64_t>(biggest, std::filesystem::file_size(path));
  }
  EXPECT_LT(biggest, 2 * 200'000 + 1 * MiB + 100'000);
  EXPECT_EQ(reopened(), log->manifest());
  EXPECT_EQ(log->manifest().generation, 141U);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(FormatManifestLog, AFailedCompactionLosesNothing) {
  const std::string value(60'000, 'v');
  for (uint64_t fail = 0; fail < 4; ++fail) {  // write, sync, rename, directory
    std::filesystem::remove(path);
    files.fail_at = UINT64_MAX;
    auto log = make();
    bool failed = false;
    for (int i = 0; i < 100 && !failed; ++i) {
      files.fail_at = UINT64_MAX;
      const Manifest before = log->manifest();
      const uint64_t size = std::filesystem::file_size(path);
      // Steps of a commit without compaction are two; the first two of a compaction come before.
      const bool compacts = size > 2 * encode_manifest(small_manifest()).size() + 1 * MiB;
      if (compacts) files.fail_at = files.calls + fail;
      auto done = log->commit({SetProperty{"p", value}});
      if (compacts) {
        EXPECT_FALSE(done.ok());
        EXPECT_EQ(log->manifest(), before);
        files.fail_at = UINT64_MAX;
        EXPECT_EQ(reopened(), before);
        EXPECT_EQ(log->commit({SetProperty{"q", "1"}}).error().code, ErrorCode::read_only);
        failed = true;
      } else {
        ASSERT_TRUE(done.ok());
      }
    }
    EXPECT_TRUE(failed);
  }
}

}  // namespace
}  // namespace coldshelf
