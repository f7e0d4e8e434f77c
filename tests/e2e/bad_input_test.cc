// Bad input at the front door: a clear message or the right sense, and nothing is lost.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kNotFound = 3;
constexpr int kConflict = 4;
constexpr int kNoDaemon = 5;

// The command must end with `exit_code` and say `words`.
void refused(Gateway& gateway, std::vector<std::string> arguments, int exit_code,
             const std::string& words) {
  const CommandResult result = gateway.cli(arguments);
  EXPECT_EQ(result.exit_code, exit_code)
      << testing::PrintToString(arguments) << ": " << result.output;
  EXPECT_NE(result.output.find(words), std::string::npos)
      << testing::PrintToString(arguments) << " should say '" << words << "': " << result.output;
}

class BadInput : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(gateway_.start().ok()) << gateway_.log(); }
  Gateway gateway_;
};

TEST_F(BadInput, Tapes) {
  gateway_.ok({"tape", "create", "--barcode", "ABC001L8", "--size", "1GiB"});
  refused(gateway_, {"tape", "create", "--barcode", "ABC001L8", "--size", "1GiB"}, kConflict,
          "ABC001L8");
  for (const char* bad : {"abc", "A", "ABC 01L8", "ABCDEFGHIJKLMNOPQ", "ABC_01L8"}) {
    EXPECT_NE(gateway_.cli({"tape", "create", "--barcode", bad, "--size", "1GiB"}).exit_code, 0)
        << bad;
  }
  for (const char* size : {"0", "1KiB", "9999TiB", "many", "-1GiB"}) {
    EXPECT_NE(gateway_.cli({"tape", "create", "--barcode", "SIZE01L8", "--size", size}).exit_code,
              0)
        << size;
  }
  for (const char* verb : {"show", "archive", "retrieve", "delete", "verify"}) {
    refused(gateway_, {"tape", verb, "NOSUCHL8"}, kNotFound, "NOSUCHL8");
  }
  refused(gateway_, {"tape", "retrieve", "ABC001L8"}, kConflict, "AVAILABLE");
  EXPECT_NE(
      gateway_.cli({"tape", "create", "--barcode", "POOL01L8", "--size", "1GiB", "--pool", "NOPE"})
          .exit_code,
      0);
  EXPECT_EQ(gateway_.json({"tape", "list"}).at("Tapes").size(), 1U) << "none of these made a tape";
}

TEST_F(BadInput, ABarcodeIsNeverReused) {
  gateway_.ok({"tape", "create", "--barcode", "GONE01L8", "--size", "1GiB"});
  gateway_.ok({"tape", "delete", "GONE01L8"});
  refused(gateway_, {"tape", "create", "--barcode", "GONE01L8", "--size", "1GiB"}, kConflict,
          "GONE01L8");
}

TEST_F(BadInput, Moves) {
  gateway_.ok({"tape", "create", "--barcode", "MOVE01L8", "--size", "1GiB", "--count", "2"});
  refused(gateway_, {"library", "move", "5", "6"}, kConflict, "empty");
  refused(gateway_, {"library", "move", "1", "2"}, kConflict, "holds MOVE02L8");
  refused(gateway_, {"library", "move", "1", "99"}, kNotFound, "99");
  refused(gateway_, {"library", "load", "MOVE01L8", "9"}, kNotFound, "9");
  refused(gateway_, {"library", "load", "NOSUCHL8", "1"}, kNotFound, "NOSUCHL8");
  refused(gateway_, {"library", "unload", "1"}, kConflict, "empty");
  gateway_.ok({"library", "load", "MOVE01L8", "1"});
  refused(gateway_, {"library", "load", "MOVE02L8", "1"}, kConflict, "holds MOVE01L8");
  refused(gateway_, {"tape", "archive", "MOVE01L8"}, kConflict, "drive 1");
  refused(gateway_, {"tape", "delete", "MOVE01L8"}, kConflict, "drive 1");
}

TEST_F(BadInput, UnloadUnderPrevention) {
  gateway_.ok({"tape", "create", "--barcode", "HELD01L8", "--size", "1GiB"});
  gateway_.ok({"library", "load", "HELD01L8", "1"});
  {
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok());
    ASSERT_TRUE(client->prevent_removal(true).ok());
    refused(gateway_, {"library", "unload", "1"}, kConflict, "prevent");
    ASSERT_TRUE(client->prevent_removal(false).ok());
  }
  gateway_.ok({"library", "unload", "1"});
}

TEST_F(BadInput, ASecondDaemonIsRefused) {
  CommandResult second;
  ASSERT_TRUE(gateway_.start_expecting_exit(second).ok());
  EXPECT_EQ(second.exit_code, kConflict) << second.output;
  EXPECT_NE(second.output.find("another"), std::string::npos) << second.output;
  EXPECT_EQ(gateway_.cli({"status"}).exit_code, 0) << "the first goes on";
}

TEST(BadStart, NoDaemonIsSaid) {
  Gateway gateway;
  refused(gateway, {"tape", "list"}, kNoDaemon, "coldshelfd");
}

TEST(BadStart, UnknownKeyWithLineAndColumn) {
  Gateway gateway("[cartridge]\nsegmentsize = \"8MiB\"\n");
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.output.find("segmentsize"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("coldshelf.toml:"), std::string::npos) << result.output;
}

TEST(BadStart, NonLoopbackNeedsChap) {
  Gateway gateway;
  std::ofstream(gateway.directory() + "/coldshelf.toml")
      << "[gateway]\ndata_dir = \"" << gateway.data() << "\"\n[iscsi]\nlisten = [\"0.0.0.0:0\"]\n";
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_EQ(result.exit_code, kUsage) << result.output;
  EXPECT_NE(result.output.find("allow_unauthenticated"), std::string::npos) << result.output;
}

TEST(BadStart, DataDirectoryOfANewerFormat) {
  Gateway gateway;
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "NEWER1L8", "--size", "1GiB"});
  ASSERT_EQ(gateway.stop(), 0);
  const std::string version = gateway.data() + "/version";
  ASSERT_TRUE(std::filesystem::exists(version));
  std::string old;
  std::getline(std::ifstream(version), old);
  std::ofstream(version) << "coldshelf data format 999\n";
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_EQ(result.exit_code, kFailed);
  EXPECT_NE(result.output.find("newer"), std::string::npos) << result.output;
  std::ofstream(version) << old << "\n";
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_EQ(gateway.json({"tape", "list"}).at("Tapes").size(), 1U);
}

TEST(BadStart, AKeyThatDoesNotFit) {
  Gateway gateway;
  const std::string key = gateway.directory() + "/kek";
  std::ofstream(key) << std::string(64, 'a');
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  gateway.set_configuration("[encryption]\nkey_file = \"" + key + "\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "CRYPT1L8", "--size", "1GiB"});
  gateway.ok({"library", "load", "CRYPT1L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    Buffer record = numbered_record(1, 1, 64 * KiB);
    ASSERT_TRUE(client->write(record).ok());
    ASSERT_TRUE(client->write_filemarks(1, false).ok());
  }
  gateway.ok({"library", "unload", "1"});
  ASSERT_EQ(gateway.stop(), 0);

  std::ofstream(key) << std::string(64, 'b');
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  const CommandResult result = gateway.cli({"library", "load", "CRYPT1L8", "1"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.output.find("key"), std::string::npos) << result.output;
  EXPECT_EQ(result.output.find("bbbb"), std::string::npos) << "the key itself is never shown";
  EXPECT_EQ(gateway.log().find("bbbbbbbb"), std::string::npos);
  ASSERT_EQ(gateway.stop(), 0);

  std::ofstream(key) << std::string(64, 'a');
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"library", "load", "CRYPT1L8", "1"});
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  Buffer room(1 * MiB);
  auto next = client->read_next(room);
  ASSERT_TRUE(next.ok()) << next.error().message();
  EXPECT_TRUE(equal(ByteView(room).first(next->size), numbered_record(1, 1, 64 * KiB)));
}

// A small file system of its own for the data directory, gone with the object.
class SmallDisk {
 public:
  SmallDisk(std::string path, const std::string& size) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    mounted_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  bool remount(const std::string& options, unsigned long flags = 0) {
    return ::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | flags, options.c_str()) == 0;
  }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST(BadDisk, FullDiskFailsTheWriteAndKeepsWhatWasSynced) {
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n");
  SmallDisk disk(gateway.data(), "96m");
  if (!disk.mounted()) GTEST_SKIP() << "mounting a small file system needs root";
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "FULL01L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "FULL01L8", "1"});
  uint64_t synced = 0;
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    bool failed = false;
    for (uint64_t n = 0; n < 2'000 && !failed; ++n) {
      Buffer record = numbered_record(5, 3 * n + 1, 256 * KiB);  // incompressible ones
      failed = !client->write(record).ok();
      if (!failed && n % 10 == 9) {
        failed = !client->write_filemarks(1, false).ok();
        if (!failed) synced = n + 1;
      }
    }
    EXPECT_TRUE(failed) << "96 MiB took all of it";
    EXPECT_GT(synced, 0U);
    EXPECT_TRUE(gateway.running());
  }
  ASSERT_EQ(gateway.cli({"status"}).exit_code, 0) << "the daemon still answers";
  gateway.kill();
  ASSERT_TRUE(disk.remount("size=400m"));
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok()) << gateway.log();
  ASSERT_TRUE(client->rewind().ok());
  Buffer room(1 * MiB);
  for (uint64_t n = 0; n < synced; ++n) {
    auto next = client->read_next(room);
    ASSERT_TRUE(next.ok()) << next.error().message();
    ASSERT_EQ(next->kind, TapeClient::Next::Kind::record) << n;
    ASSERT_TRUE(equal(ByteView(room).first(next->size), numbered_record(5, 3 * n + 1, 256 * KiB)));
    if (n % 10 == 9) {
      auto mark = client->read_next(room);
      ASSERT_TRUE(mark.ok());
      ASSERT_EQ(mark->kind, TapeClient::Next::Kind::filemark);
    }
  }
}

TEST(BadDisk, ReadOnlyAndVanishedDataDirectory) {
  Gateway gateway;
  SmallDisk disk(gateway.data(), "64m");
  if (!disk.mounted()) GTEST_SKIP() << "mounting a small file system needs root";
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "RODIR1L8", "--size", "1GiB"});
  ASSERT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(disk.remount("ro", MS_RDONLY));
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_EQ(result.exit_code, kFailed);
  EXPECT_NE(result.output.find("Read-only"), std::string::npos) << result.output;
  ASSERT_TRUE(disk.remount("rw"));
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_EQ(gateway.json({"tape", "list"}).at("Tapes").size(), 1U);

  // Vanished under a running gateway: commands fail with a message, the daemon stays.
  std::filesystem::rename(gateway.data() + "/cartridges", gateway.data() + "/elsewhere");
  EXPECT_NE(gateway.cli({"library", "load", "RODIR1L8", "1"}).exit_code, 0);
  EXPECT_TRUE(gateway.running());
  std::filesystem::rename(gateway.data() + "/elsewhere", gateway.data() + "/cartridges");
  gateway.ok({"library", "load", "RODIR1L8", "1"});
}

TEST(BadStart, DataDirectoryThatCannotBeMade) {
  Gateway gateway;
  std::ofstream(gateway.data()) << "a file is in the way";
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_EQ(result.exit_code, kConflict);
  EXPECT_NE(result.output.find("not a directory"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace coldshelf::test
