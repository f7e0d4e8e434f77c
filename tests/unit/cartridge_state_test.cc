// What a failed sync takes away, and what not.
#include "tape/cartridge/cartridge_state.h"

#include <gtest/gtest.h>

#include "tests/support/cartridge_fixture.h"

namespace coldshelf {
namespace {

class CartridgeStateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    env_.files = &files_;
    env_.observer = &observer_;
    ASSERT_TRUE(files_.create_directories("/c").ok());
    Manifest manifest;
    manifest.uuid = Uuid::generate(random_);
    manifest.label = "STATE1L8";
    manifest.partitions.resize(1);
    auto log = ManifestLog::create(files_, "/c/manifest", manifest);
    ASSERT_TRUE(log.ok());
    state_ = std::make_unique<CartridgeState>(env_, CartridgeOptions{}, "/c",
                                              std::move(log).value(), Secret());
  }
  // A segment of the tail that holds the blocks [first, end), one frame each.
  std::shared_ptr<SegmentFile> add_segment(uint64_t sequence, uint64_t first, uint64_t end) {
    SegmentHeader header;
    header.sequence = sequence;
    header.first_block = first;
    auto segment = std::make_shared<SegmentFile>(header, Secret(), PartitionEnd{first, 0, 0});
    auto file = files_.open(state_->open_path(sequence, 0), OpenMode::create);
    EXPECT_TRUE(file.ok());
    segment->set_file(std::move(file).value());
    const std::lock_guard lock(state_->mutex);
    state_->tail.push_back(segment);
    for (uint64_t block = first; block < end; ++block) append(*segment, block);
    return segment;
  }
  void append(SegmentFile& segment, uint64_t block) {
    FrameIndexEntry entry;
    entry.first_block = block;
    entry.block_count = 1;
    segment.append_frame(entry);
    more_bytes(segment);
    segment.guarded.end.block = block + 1;
    state_->committed[0].block = block + 1;
    state_->accepted[0].block = block + 1;
  }
  void more_bytes(SegmentFile& segment) {
    EXPECT_TRUE(segment.file()->write_at(segment.guarded.bytes_written, as_view("12345678")).ok());
    segment.guarded.bytes_written += 8;
  }

  test::SimFileSystem files_;
  test::RecordingObserver observer_;
  SeededRandom random_{5};
  CartridgeEnv env_;
  std::unique_ptr<CartridgeState> state_;
};

// Found by the simulation: only the footer was lost, and with it went a segment synced before.
TEST_F(CartridgeStateTest, LostFooterTakesNothingThatWasSynced) {
  auto first = add_segment(0, 0, 3);
  auto second = add_segment(1, 3, 5);
  ASSERT_TRUE(state_->sync_segment(first).ok());
  ASSERT_TRUE(state_->sync_segment(second).ok());
  more_bytes(*first);  // the footer
  append(*second, 5);
  files_.fail_call(files_.counted_calls() + 1, ErrorCode::io);
  EXPECT_EQ(state_->sync_segment(first).error().code, ErrorCode::io);
  EXPECT_EQ(state_->committed[0].block, 5U);
  EXPECT_EQ(state_->accepted[0].block, 5U);
  EXPECT_EQ(second->frame_count(), 2U);
  EXPECT_EQ(observer_.failures().size(), 1U);
  // Never again, though the disk would answer.
  EXPECT_FALSE(state_->sync_segment(first).ok());
  EXPECT_FALSE(state_->sync_segment(second).ok());
}

TEST_F(CartridgeStateTest, LostFramesTakeWhatFollowsThem) {
  auto first = add_segment(0, 0, 3);
  ASSERT_TRUE(state_->sync_segment(first).ok());
  append(*first, 3);
  auto second = add_segment(1, 4, 6);
  ASSERT_TRUE(state_->sync_segment(second).ok());
  files_.fail_call(files_.counted_calls() + 1, ErrorCode::io);
  EXPECT_FALSE(state_->sync_segment(first).ok());
  EXPECT_EQ(state_->committed[0].block, 3U);
  EXPECT_EQ(first->frame_count(), 3U);
  EXPECT_EQ(state_->tail.size(), 1U);
}

// A killed daemon leaves an edit in the page cache that was written and not synced. Whoever opens
// the log sees it and acts on it, so that a power loss after that must not take it back.
TEST(ManifestLogDurability, WhatOpenReplaysIsOnTheDisk) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    test::SimFileSystem files;
    SeededRandom random(seed);
    Manifest manifest;
    manifest.uuid = Uuid::generate(random);
    manifest.partitions.resize(1);
    ASSERT_TRUE(files.create_directories("/c").ok());
    Buffer edited;
    {
      auto log = ManifestLog::create(files, "/c/manifest", manifest);
      ASSERT_TRUE(log.ok());
      ASSERT_TRUE((*log)->commit({SetProperty{"status", "ARCHIVED"}}).ok());
      edited = *files.read_file("/c/manifest");
    }
    ASSERT_TRUE(files.remove("/c/manifest").ok());
    ASSERT_TRUE(ManifestLog::create(files, "/c/manifest", manifest).ok());
    {
      auto file = files.open("/c/manifest", OpenMode::read_write);
      ASSERT_TRUE(file.ok());
      ASSERT_TRUE((*file)->write_at(0, edited).ok());  // not synced
    }
    files.kill();
    auto log = ManifestLog::open(files, "/c/manifest");
    ASSERT_TRUE(log.ok());
    const uint64_t generation = (*log)->manifest().generation;
    EXPECT_EQ(generation, manifest.generation + 1);
    files.crash(random);
    auto again = ManifestLog::open(files, "/c/manifest");
    ASSERT_TRUE(again.ok());
    EXPECT_EQ((*again)->manifest().generation, generation);
  }
}

}  // namespace
}  // namespace coldshelf
