// The simulated disk itself: what it must forget, and what it must not.
#include "tests/support/sim_file_system.h"

#include <gtest/gtest.h>

namespace coldshelf {
namespace {

using test::SimFileSystem;

class SimFileSystemTest : public ::testing::Test {
 protected:
  std::unique_ptr<File> create(const std::string& path) {
    auto file = files_.open(path, OpenMode::create);
    EXPECT_TRUE(file.ok());
    return std::move(file).value();
  }
  SimFileSystem files_;
  SeededRandom random_{3};
};

TEST_F(SimFileSystemTest, SyncedStaysAndUnsyncedMayGo) {
  bool lost = false;
  bool kept = false;
  for (int round = 0; round < 50; ++round) {
    const std::string path = "/f" + std::to_string(round);
    auto file = create(path);
    ASSERT_TRUE(file->write_at(0, as_view("synced")).ok());
    ASSERT_TRUE(file->sync().ok());
    ASSERT_TRUE(files_.sync_directory("/").ok());
    ASSERT_TRUE(file->write_at(6, as_view(std::string(2000, 'x'))).ok());
    files_.crash(random_);
    EXPECT_FALSE(file->write_at(0, as_view("dead handle")).ok());
    const Buffer content = *files_.content(path);
    EXPECT_TRUE(as_text(content).starts_with("synced"));
    (content.size() == 2006 ? kept : lost) = true;
    EXPECT_TRUE(content.size() == 2006 || content.size() == 6 || content.size() % 512 == 0);
  }
  EXPECT_TRUE(lost);
  EXPECT_TRUE(kept);
}

TEST_F(SimFileSystemTest, EntriesNeedADirectorySync) {
  bool lost = false;
  for (int round = 0; round < 20; ++round) {
    const std::string path = "/e" + std::to_string(round);
    auto file = create(path);
    ASSERT_TRUE(file->sync().ok());
    files_.crash(random_);
    lost = lost || !*files_.exists(path);
  }
  EXPECT_TRUE(lost);
}

TEST_F(SimFileSystemTest, RenameIsAllOrNothing) {
  auto file = create("/a");
  ASSERT_TRUE(files_.sync_directory("/").ok());
  ASSERT_TRUE(files_.rename("/a", "/b").ok());
  files_.crash(random_);
  EXPECT_NE(*files_.exists("/a"), *files_.exists("/b"));
}

TEST_F(SimFileSystemTest, FailedSyncDropsDirtyPagesAndThenSucceeds) {
  auto file = create("/a");
  ASSERT_TRUE(file->write_at(0, as_view("old")).ok());
  ASSERT_TRUE(file->sync().ok());
  ASSERT_TRUE(file->write_at(0, as_view("new")).ok());
  files_.fail_call(files_.counted_calls() + 1, ErrorCode::io);
  EXPECT_EQ(file->sync().error().code, ErrorCode::io);
  EXPECT_TRUE(file->sync().ok());
  EXPECT_EQ(to_text(*files_.content("/a")), "old");
}

TEST_F(SimFileSystemTest, CapacityTearsTheWrite) {
  files_.set_capacity(10);
  auto file = create("/a");
  EXPECT_EQ(file->write_at(0, as_view("0123456789ab")).error().code, ErrorCode::no_space);
  EXPECT_EQ(to_text(*files_.content("/a")), "0123456789");
}

}  // namespace
}  // namespace coldshelf
