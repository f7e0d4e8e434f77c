// What a volume makes of its disk: syncs that fail, a disk that is full, room for what comes.
#include <set>

#include "tests/support/volume_fixture.h"

namespace coldshelf::test {
namespace {

class VolumeDiskTest : public VolumeTest {
 protected:
  // 64 KiB pieces from the beginning, until the disk is full. Gives how many there are.
  uint64_t fill(Volume& v) {
    uint64_t pieces = 0;
    while (v.write(pieces * kPiece, pattern(pieces, kPiece), false).ok()) ++pieces;
    EXPECT_LT(pieces, kBlocks * 4096 / kPiece) << "the disk does not fill";
    return pieces;
  }
  static constexpr uint64_t kPiece = 64 * KiB;
};

TEST_F(VolumeDiskTest, AFailedSyncMakesItReadOnly) {
  auto v = create();
  const Buffer a = pattern(6, 4096);
  ASSERT_TRUE(v->write(0, a, true).ok());
  ASSERT_TRUE(v->write(4096, a, false).ok());
  files.fail_call(files.counted_calls() + 1, ErrorCode::io);
  EXPECT_FALSE(v->flush().ok());
  files.no_faults();
  EXPECT_TRUE(v->read_only());
  EXPECT_EQ(v->flush().error().code, ErrorCode::read_only);
  EXPECT_EQ(v->write(0, a, false).error().code, ErrorCode::read_only);
  EXPECT_EQ(observer.failures().size(), 1U);
  EXPECT_EQ(read(*v, 0, 4096), a);
  v = open();
  EXPECT_FALSE(v->read_only());
  EXPECT_EQ(read(*v, 0, 4096), a);
}

TEST_F(VolumeDiskTest, AFullDiskIsNotTheEnd) {
  auto v = create();
  const Buffer a = pattern(7, 64 * 1024);
  ASSERT_TRUE(v->write(0, a, true).ok());
  files.set_capacity(100'000);
  EXPECT_EQ(v->write(65536, a, false).error().code, ErrorCode::no_space);
  EXPECT_FALSE(v->read_only());
  EXPECT_EQ(read(*v, 65536, 65536), Buffer(65536, std::byte{0}));
  files.no_faults();
  ASSERT_TRUE(v->write(131072, a, true).ok());
  v.reset();
  SeededRandom r(2);
  files.crash(r);
  v = open();
  EXPECT_EQ(read(*v, 0, 65536), a);
  EXPECT_EQ(read(*v, 131072, 65536), a);
}

// Whoever was told that a write failed on a full disk may count on the bytes of before, also when
// the power fails right after: what the write left in the file is not for recovery to find.
TEST_F(VolumeDiskTest, AWriteThatFoundTheDiskFullIsNotThereAfterAPowerLoss) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SimFileSystem disk;
    env.cartridge.files = &disk;
    auto v = create();
    const Buffer a = pattern(seed, 16 * 1024);
    if (seed % 2 == 0) {  // else it is the first of its segment
      ASSERT_TRUE(v->write(0, a, true).ok());
    }
    disk.full_from(disk.counted_calls() + 1 + seed % 3);
    ASSERT_EQ(v->write(65536, a, false).error().code, ErrorCode::no_space);
    v.reset();
    SeededRandom r(seed);
    disk.crash(r);
    disk.no_faults();
    v = open();
    ASSERT_EQ(read(*v, 65536, a.size()), Buffer(a.size(), std::byte{0})) << "seed " << seed;
  }
}

// Where the file system finds places only when it writes out, a full disk must not show in a flush,
// which would end the volume: writes fail before that.
TEST_F(VolumeDiskTest, ADiskThatFillsDoesNotFailAFlush) {
  auto v = create();
  files.set_capacity(4 * MiB);
  files.set_sync_needs(100'000);
  uint64_t written = 0;
  Status done;
  for (; done.ok(); written += done.ok() ? 4096U : 0U) {
    done = v->write(written, pattern(written, 4096), false);
    ASSERT_TRUE(v->flush().ok()) << written;
    ASSERT_LT(written, 4 * MiB);
  }
  EXPECT_EQ(done.error().code, ErrorCode::no_space);
  EXPECT_GT(written, 2 * MiB);
  EXPECT_EQ(v->write(written, pattern(1, 4096), true).error().code, ErrorCode::no_space);
  ASSERT_TRUE(v->flush().ok());
  EXPECT_TRUE(v->unmap(0, 4096).ok());  // what frees blocks has its place
  ASSERT_TRUE(v->flush().ok());
  EXPECT_FALSE(v->read_only());
  files.no_faults();
  ASSERT_TRUE(v->write(written, pattern(2, 4096), true).ok());
  v.reset();
  SeededRandom r(3);
  files.crash(r);
  v = open();
  EXPECT_EQ(read(*v, 0, 4096), Buffer(4096, std::byte{0}));
  for (uint64_t at = 4096; at < written; at += 4096) {
    ASSERT_EQ(read(*v, at, 4096), pattern(at, 4096));
  }
  EXPECT_EQ(read(*v, written, 4096), pattern(2, 4096));
}

TEST_F(VolumeDiskTest, WhatIsUnmappedOnAFullDiskMakesRoom) {
  auto v = create();
  files.set_capacity(8 * MiB);
  const uint64_t pieces = fill(*v);
  ASSERT_GT(pieces, 80U);
  EXPECT_TRUE(v->unmap(0, pieces * kPiece).ok());
  v->go_on();
  for (uint64_t i = 0; i < pieces - 16; ++i) {
    const Status done = v->write(i * kPiece, pattern(i, kPiece), false);
    ASSERT_TRUE(done.ok()) << i << ": " << done.error().message();
  }
  ASSERT_TRUE(v->flush().ok());
  v = open();
  for (uint64_t i = 0; i < pieces - 16; ++i) {
    ASSERT_TRUE(read(*v, i * kPiece, kPiece) == pattern(i, kPiece)) << i;
  }
}

TEST_F(VolumeDiskTest, AFullDiskIsCompactedWhereLittleIsDead) {
  for (const uint64_t one_of : {2U, 5U, 8U}) {
    SimFileSystem disk;
    env.cartridge.files = &disk;
    auto v = create();
    disk.set_capacity(8 * MiB);
    const uint64_t pieces = fill(*v);
    const auto dead = [&](uint64_t i) { return one_of == 2 ? i % 8 != 0 : i % one_of == 0; };
    uint64_t unmapped = 0;
    for (uint64_t i = 0; i < pieces; ++i) {
      if (!dead(i)) continue;
      ASSERT_TRUE(v->unmap(i * kPiece, kPiece).ok());
      ++unmapped;
    }
    v->go_on();
    uint64_t written = 0;
    const uint64_t beyond = pieces * kPiece;
    while (v->write(beyond + written * kPiece, pattern(1000 + written, kPiece), false).ok()) {
      ++written;
    }
    EXPECT_GT(written, unmapped / 2) << "of " << unmapped << ", one of " << one_of;
    EXPECT_LT(written, unmapped + 16);
    ASSERT_TRUE(v->flush().ok());
    v.reset();
    SeededRandom r(one_of);
    disk.crash(r);
    v = open();
    ASSERT_NE(v, nullptr);
    for (uint64_t i = 0; i < pieces; ++i) {
      const Buffer expected = dead(i) ? Buffer(kPiece, std::byte{0}) : pattern(i, kPiece);
      ASSERT_TRUE(read(*v, i * kPiece, kPiece) == expected) << i;
    }
    for (uint64_t i = 0; i < written; ++i) {
      ASSERT_TRUE(read(*v, beyond + i * kPiece, kPiece) == pattern(1000 + i, kPiece)) << i;
    }
  }
}

// Where every write is synced, the file is made longer before it must be, and is as long as it
// should be when it is sealed.
TEST_F(VolumeDiskTest, RoomIsMadeForSyncsThatComeOften) {
  std::string said;
  capture_log([&](std::string_view line) { said += line; });
  auto v = create();
  const auto open_size = [&] {
    for (const std::string& path : files.all_files()) {
      if (path.ends_with(".open")) return files.content(path)->size();
    }
    return size_t{0};
  };
  uint64_t at = 0;
  std::set<size_t> sizes;
  for (; at < 100 * 4096; at += 4096) {
    ASSERT_TRUE(v->write(at, pattern(at, 4096), true).ok());
    sizes.insert(open_size());
  }
  EXPECT_LT(sizes.size(), 20U);  // eight until it is known, and then one for 64 KiB
  EXPECT_GT(*sizes.rbegin(), at);
  v.reset();
  SeededRandom r(4);
  files.crash(r);
  v = open();
  EXPECT_EQ(said.find("end of a segment dropped"), std::string::npos) << said;
  for (uint64_t i = 0; i < at; i += 4096) ASSERT_EQ(read(*v, i, 4096), pattern(i, 4096));
  for (uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(v->write(i * 4096, pattern(i, 4096), true).ok());
  ASSERT_TRUE(v->close().ok());
  unsigned verified = 0;
  for (const std::string& path : files.all_files()) {
    if (!path.ends_with(".seg")) continue;
    auto file = files.open(path, OpenMode::read);
    ASSERT_TRUE(file.ok());
    const Status intact = verify_segment(**file, v->uuid(), nullptr, *env.cartridge.buffers);
    EXPECT_TRUE(intact.ok()) << path << ": " << (intact.ok() ? "" : intact.error().message());
    ++verified;
  }
  EXPECT_GE(verified, 2U);
}

TEST_F(VolumeDiskTest, NoRoomIsMadeForFewSyncs) {
  auto v = create();
  for (uint64_t at = 0; at < 512 * 1024; at += 4096) {
    ASSERT_TRUE(v->write(at, pattern(at, 4096), at % (256 * 1024) == 0).ok());
  }
  unsigned open_files = 0;
  for (const std::string& path : files.all_files()) {
    if (!path.ends_with(".open")) continue;
    ++open_files;
    EXPECT_LT(files.content(path)->size(), 512U * 1024 + 128 * 100 + 4096);
    EXPECT_NE(files.content(path)->back(), std::byte{0});
  }
  EXPECT_EQ(open_files, 1U);
}

}  // namespace
}  // namespace coldshelf::test
