// Damaged bytes are found, named, and harm no other frame.
#include <gtest/gtest.h>

#include <set>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"
#include "tests/support/cartridge_fixture.h"

namespace coldshelf {
namespace {

using test::make_record;

constexpr uint64_t kRecords = 24;
constexpr size_t kRecordBytes = 300'000;

class CartridgeDamageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    capture_log([](std::string_view) {});
  }
  static void TearDownTestSuite() { capture_log(nullptr); }
  void SetUp() override {
    env_.files = &files_;
    env_.clock = &clock_;
    env_.random = &random_;
    env_.buffers = BufferPool::create(16 * MiB);
    env_.workers = &inline_;
    env_.sealers = &inline_;
    options_.segment_bytes = 3 * MiB;
    NewCartridge what;
    what.uuid = Uuid::generate(random_);
    what.label = "DMG001L8";
    what.capacity_bytes = 1 * GiB;
    auto made = Cartridge::create(env_, options_, "/c", what);
    ASSERT_TRUE(made.ok());
    auto c = std::move(made).value();
    Position at;
    for (uint64_t i = 0; i < kRecords; ++i) {
      ASSERT_TRUE(c->write_record(at, make_record(2 * i, kRecordBytes)).ok());
    }
    ASSERT_TRUE(c->close().ok());
    segments_ = c->manifest().partitions[0].segments;
    ASSERT_GE(segments_.size(), 2U);
  }
  std::string path(size_t segment) const {
    return segment_path("/c", segments_[segment].sequence, segments_[segment].epoch);
  }
  // Reads every record by itself; the damaged ones come back.
  std::set<uint64_t> damaged() {
    auto opened = Cartridge::open(env_, options_, "/c");
    EXPECT_TRUE(opened.ok());
    auto c = std::move(opened).value();
    EXPECT_EQ(c->end_of_data(0).block, kRecords);
    std::set<uint64_t> bad;
    for (uint64_t i = 0; i < kRecords; ++i) {
      Position at{0, i, 0};
      auto object = c->read(at);
      if (!object.ok()) {
        EXPECT_EQ(object.error().code, ErrorCode::corrupt) << object.error().message();
        EXPECT_NE(object.error().context.find("block " + std::to_string(i)), std::string::npos);
        EXPECT_NE(object.error().context.find("segment "), std::string::npos);
        EXPECT_EQ(at.block, i);
        bad.insert(i);
        continue;
      }
      EXPECT_TRUE(equal(object->record.flatten(), make_record(2 * i, kRecordBytes))) << i;
    }
    return bad;
  }

  test::SimFileSystem files_;
  test::StillClock clock_;
  SeededRandom random_{7};
  InlineExecutor inline_;
  CartridgeEnv env_;
  CartridgeOptions options_;
  std::vector<SegmentEntry> segments_;
};

TEST_F(CartridgeDamageTest, IntactAtFirst) { EXPECT_TRUE(damaged().empty()); }

TEST_F(CartridgeDamageTest, FlippedByteHitsItsFrameAlone) {
  // Three records of 300,000 bytes make a frame; the second frame of the first segment.
  ASSERT_TRUE(files_.flip(path(0), 1'200'000, 3).ok());
  EXPECT_EQ(damaged(), (std::set<uint64_t>{3, 4, 5}));
}

TEST_F(CartridgeDamageTest, DamagedFooterIsRebuiltFromTheFrames) {
  ASSERT_TRUE(files_.flip(path(0), segments_[0].stored_bytes - 100, 0).ok());
  EXPECT_TRUE(damaged().empty());
  ASSERT_TRUE(files_.flip(path(1), segments_[1].stored_bytes - 5, 0).ok());
  EXPECT_TRUE(damaged().empty());
}

TEST_F(CartridgeDamageTest, DamagedHeaderIsNotNeeded) {
  ASSERT_TRUE(files_.flip(path(0), 20, 0).ok());
  EXPECT_TRUE(damaged().empty());
}

TEST_F(CartridgeDamageTest, FooterAndFrameDamaged) {
  ASSERT_TRUE(files_.flip(path(0), segments_[0].stored_bytes - 100, 0).ok());
  ASSERT_TRUE(files_.flip(path(0), 1'200'000, 3).ok());
  const auto bad = damaged();
  EXPECT_EQ(bad.count(0), 0U);
  EXPECT_EQ(bad.count(4), 1U);
  EXPECT_EQ(bad.count(segments_[1].first_block), 0U);
}

TEST_F(CartridgeDamageTest, TruncatedFile) {
  auto file = files_.open(path(0), OpenMode::read_write);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->truncate(1'000'000).ok());
  const auto bad = damaged();
  EXPECT_EQ(bad.count(0), 0U);
  EXPECT_EQ(bad.count(segments_[0].end_block() - 1), 1U);
  EXPECT_EQ(bad.count(segments_[1].first_block), 0U);
}

TEST_F(CartridgeDamageTest, AnotherSegmentsFileIsRefused) {
  const Buffer second = *files_.content(path(1));
  ASSERT_TRUE(files_.replace_file(path(0), second).ok());
  const auto bad = damaged();
  EXPECT_EQ(bad.size(), segments_[0].block_count);
  EXPECT_EQ(*bad.rbegin(), segments_[0].end_block() - 1);
}

// Every byte of a small segment in turn: never wrong data, and the damage is always noticed by
// whoever reads that byte.
TEST_F(CartridgeDamageTest, EveryByteOfASmallSegment) {
  NewCartridge what;
  what.uuid = Uuid::generate(random_);
  what.label = "SMALL1L8";
  what.capacity_bytes = 1 * GiB;
  auto made = Cartridge::create(env_, options_, "/small", what);
  ASSERT_TRUE(made.ok());
  auto c = std::move(made).value();
  Position at;
  for (uint64_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(c->write_record(at, make_record(i, 60 + 40 * i)).ok());
    ASSERT_TRUE(c->write_filemarks(at, i % 2 == 0 ? 1 : 0).ok());
  }
  const uint64_t end = at.block;
  ASSERT_TRUE(c->close().ok());
  const SegmentEntry entry = c->manifest().partitions[0].segments.at(0);
  const std::string file = segment_path("/small", entry.sequence, entry.epoch);
  const std::vector<uint64_t> seeds = {0, 0, 1, 2, 0, 3, 4, 0};
  for (uint64_t offset = 0; offset < entry.stored_bytes; ++offset) {
    ASSERT_TRUE(files_.flip(file, offset, static_cast<unsigned>(offset % 8)).ok());
    auto opened = Cartridge::open(env_, options_, "/small");
    ASSERT_TRUE(opened.ok());
    for (uint64_t b = 0; b < end; ++b) {
      Position r{0, b, 0};
      auto object = (*opened)->read(r);
      if (!object.ok()) {
        EXPECT_EQ(object.error().code, ErrorCode::corrupt);
        continue;
      }
      const bool filemark = b == 1 || b == 4 || b == 7;
      ASSERT_EQ(object->kind == TapeObject::Kind::filemark, filemark) << offset;
      if (filemark) continue;
      const uint64_t seed = seeds[b];
      EXPECT_TRUE(equal(object->record.flatten(), make_record(seed, 60 + 40 * seed))) << offset;
    }
    ASSERT_TRUE(files_.flip(file, offset, static_cast<unsigned>(offset % 8)).ok());
  }
}

}  // namespace
}  // namespace coldshelf
