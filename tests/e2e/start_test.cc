// Starts on what is not as it was left: another store, a lost catalog, a full disk.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "tests/e2e/gateway.h"
#include "tests/e2e/shared_store.h"

namespace coldshelf::test {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kSeed = 11;
constexpr size_t kMaxRecord = 256 * KiB;
constexpr int kNotFound = 3;
constexpr int kConflict = 4;

uint64_t segments_below(const std::string& directory) {
  uint64_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    count += entry.path().string().ends_with(".seg") ? 1 : 0;
  }
  return count;
}

class StartTest : public testing::Test {
 protected:
  std::string store() const { return gateway_.directory() + "/store"; }
  static std::string configuration(const std::string& store, const std::string& cache) {
    return "[cartridge]\nsegment_size = \"1MiB\"\n[store]\npath = \"" + store +
           "\"\nlink = false\n[cache]\nlimit = \"" + cache + "\"\n";
  }
  // A tape of some segments that the store has, and the daemon stopped.
  void write_and_stop() {
    gateway_.set_configuration(configuration(store(), "0B"));
    ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
    gateway_.ok({"tape", "create", "--barcode", "OWN001L8", "--size", "10GiB"});
    gateway_.ok({"library", "load", "OWN001L8", "1"});
    {
      auto client = gateway_.drive(1);
      ASSERT_TRUE(client.ok()) << client.error().message();
      for (unsigned n = 0; n < kRecords; ++n) {
        Buffer record = numbered_record(kSeed, n, kMaxRecord);
        ASSERT_TRUE(client->write(record).ok());
      }
      ASSERT_TRUE(client->write_filemarks(1, false).ok());
    }
    gateway_.ok({"library", "unload", "1"});
    ASSERT_TRUE(uploaded(gateway_));
    ASSERT_EQ(gateway_.stop(), 0) << gateway_.log();
  }
  void check_tape() {
    gateway_.ok({"library", "load", "OWN001L8", "1"});
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok()) << gateway_.log();
    Buffer room(1 * MiB);
    for (unsigned n = 0; n < kRecords; ++n) {
      auto next = client->read_next(room);
      ASSERT_TRUE(next.ok()) << n << ": " << next.error().message() << gateway_.log();
      ASSERT_TRUE(equal(ByteView(room).first(next->size), numbered_record(kSeed, n, kMaxRecord)));
    }
  }
  void lose_catalog() {
    for (const char* end : {"", "-wal", "-shm"}) {
      fs::remove(gateway_.data() + "/catalog.db" + end);
    }
  }
  void refused(int exit_code, std::initializer_list<std::string> parts) {
    CommandResult result;
    ASSERT_TRUE(gateway_.start_expecting_exit(result).ok());
    EXPECT_EQ(result.exit_code, exit_code);
    for (const std::string& part : parts) {
      EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
    }
  }

  static constexpr unsigned kRecords = 40;
  Gateway gateway_;
};

// The disk of the store is not mounted, or its path is mistyped: a cache limit would evict at once
// what only another store has.
TEST_F(StartTest, AnEmptyStoreIsNotTakenForItsOwn) {
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  const std::string empty = gateway_.directory() + "/empty";
  fs::create_directory(empty);
  const uint64_t here = segments_below(gateway_.data());
  ASSERT_GE(here, 3U);
  gateway_.set_configuration(configuration(empty, "1MiB"));
  refused(kNotFound, {"does not know gateway sgw-", "not mounted", "--adopt-store"});
  EXPECT_EQ(segments_below(gateway_.data()), here);
  EXPECT_FALSE(fs::exists(empty + "/gateways"));
  gateway_.set_configuration(configuration(store(), "1MiB"));
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  check_tape();
}

TEST_F(StartTest, AnAdoptedStoreIsGivenWhatItDoesNotHave) {
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  ASSERT_TRUE(gateway_.start().ok());
  gateway_.ok({"tape", "create", "--barcode", "GONE01L8", "--size", "1GiB"});
  gateway_.ok({"tape", "delete", "GONE01L8"});
  ASSERT_EQ(gateway_.stop(), 0);
  fs::rename(store(), gateway_.directory() + "/lost");
  refused(kNotFound, {"does not know gateway"});
  gateway_.set_configuration(configuration(store(), "1MiB"));
  ASSERT_TRUE(gateway_.start({"--adopt-store"}).ok()) << gateway_.log();
  for (const char* barcode : {"OWN001L8", "GONE01L8"}) {
    EXPECT_TRUE(fs::exists(store() + "/barcodes/" + barcode + "~meta")) << barcode;
  }
  check_tape();
  gateway_.ok({"library", "unload", "1"});
  CommandResult verified;
  SystemClock clock;
  for (int i = 0; i < 30; ++i) {
    verified = gateway_.cli({"store", "verify", "--deep"});
    if (verified.exit_code == 0 && segments_below(gateway_.data()) <= 1) break;
    clock.sleep_ms(500);
  }
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  EXPECT_LE(segments_below(gateway_.data()), 1U);
  ASSERT_EQ(gateway_.stop(), 0) << gateway_.log();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  check_tape();
}

// A wrong endpoint, say: what was made meanwhile is no sign that the store has been used.
TEST_F(StartTest, AStoreThatWasAwayAtTheFirstStartIsTheGatewaysStore) {
  const std::string secret = gateway_.directory() + "/secret";
  std::ofstream(secret) << "secret-of-nobody\n";
  fs::permissions(secret, fs::perms::owner_read);
  gateway_.set_configuration(
      "[store]\ntype = \"s3\"\nurl = \"s3://tapes/away\"\n[store.s3]\nregion = \"us-east-1\"\n"
      "endpoint = \"http://127.0.0.1:1\"\naccess_key_id = \"nobody\"\nsecret_key_file = \"" +
      secret + "\"\n");
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  gateway_.ok({"volume", "create", "--name", "early", "--size", "1GiB"});
  ASSERT_EQ(gateway_.stop(), 0) << gateway_.log();
  gateway_.set_configuration(configuration(store(), "0B"));
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  EXPECT_EQ(gateway_.json({"volume", "show", "early"})["Status"], "AVAILABLE");
  ASSERT_EQ(gateway_.stop(), 0) << gateway_.log();
  // From here on it is known.
  fs::rename(store(), gateway_.directory() + "/lost");
  refused(kNotFound, {"does not know gateway"});
}

// A machine's snapshot is gone back to: what the store has beyond it is found before it is served.
TEST_F(StartTest, AnEarlierCopyOfTheDataDirectoryHarmsNothing) {
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  const std::string earlier = gateway_.directory() + "/earlier";
  fs::copy(gateway_.data(), earlier, fs::copy_options::recursive);
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  gateway_.ok({"library", "load", "OWN001L8", "1"});
  {
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok());
    Buffer room(1 * MiB);
    for (unsigned n = 0; n < kRecords; ++n) ASSERT_TRUE(client->read_next(room).ok());
    for (unsigned n = kRecords; n < 2 * kRecords; ++n) {
      Buffer record = numbered_record(kSeed, n, kMaxRecord);
      ASSERT_TRUE(client->write(record).ok());
    }
    ASSERT_TRUE(client->write_filemarks(1, false).ok());
  }
  gateway_.ok({"library", "unload", "1"});
  ASSERT_TRUE(uploaded(gateway_));
  ASSERT_EQ(gateway_.stop(), 0);

  fs::rename(gateway_.data(), gateway_.directory() + "/later");
  fs::rename(earlier, gateway_.data());
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  const std::string problem = gateway_.json({"tape", "show", "OWN001L8"}).value("Problem", "");
  EXPECT_NE(problem.find("earlier copy"), std::string::npos) << problem;
  gateway_.ok({"library", "load", "OWN001L8", "1"});
  {
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok());
    Buffer more(1'000);
    EXPECT_FALSE(client->write(more).ok());
  }
  gateway_.ok({"library", "unload", "1"});
  gateway_.ok({"store", "verify", "--deep"});
  gateway_.ok({"tape", "takeover", "OWN001L8"});
  gateway_.ok({"library", "load", "OWN001L8", "1"});
  {
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok());
    Buffer room(1 * MiB);
    for (unsigned n = 0; n < 2 * kRecords; ++n) {
      auto next = client->read_next(room);
      ASSERT_TRUE(next.ok()) << n << ": " << next.error().message();
      ASSERT_TRUE(equal(ByteView(room).first(next->size), numbered_record(kSeed, n, kMaxRecord)));
    }
  }
  EXPECT_EQ(gateway_.stop(), 0);
}

TEST_F(StartTest, ALostCatalogLeavesTheGatewayItsTapes) {
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  ASSERT_TRUE(gateway_.start().ok());
  const std::string id = gateway_.json({"status"})["GatewayId"];
  const std::string serial = gateway_.json({"library", "status"})["Serial"];
  ASSERT_EQ(gateway_.stop(), 0);
  lose_catalog();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  EXPECT_EQ(gateway_.json({"status"})["GatewayId"], id);
  EXPECT_EQ(gateway_.json({"library", "status"})["Serial"], serial);
  check_tape();
  {
    auto client = gateway_.drive(1);
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(client->rewind().ok());
    Buffer record = numbered_record(kSeed, 0, kMaxRecord);
    EXPECT_TRUE(client->write(record).ok()) << gateway_.log();
    EXPECT_TRUE(client->write_filemarks(1, false).ok());
  }
  ASSERT_EQ(gateway_.stop(), 0);
  lose_catalog();
  fs::remove(gateway_.data() + "/identity");
  refused(kConflict, {gateway_.data() + "/identity", "coldshelf recover"});
}

TEST_F(StartTest, ADamagedCatalogIsNamedWithTheWayOut) {
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  lose_catalog();
  std::ofstream(gateway_.data() + "/catalog.db") << std::string(8'192, 'x');
  refused(1, {"file is not a database", gateway_.data() + "/catalog.db", "start again"});
  lose_catalog();
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  check_tape();
}

TEST_F(StartTest, SighupIsNotTheEnd) {
  ASSERT_TRUE(gateway_.start().ok()) << gateway_.log();
  gateway_.process().send(SIGHUP);
  SystemClock clock;
  for (int i = 0; i < 50 && gateway_.log().find("SIGHUP") == std::string::npos; ++i) {
    clock.sleep_ms(100);
  }
  EXPECT_NE(gateway_.log().find("SIGHUP ignored"), std::string::npos);
  gateway_.ok({"status"});
}

// As the runbook says: with a lower limit the start itself makes the room it needs.
TEST_F(StartTest, AFullDiskIsLeftByALowerLimit) {
  fs::create_directories(gateway_.data());
  if (::mount("tmpfs", gateway_.data().c_str(), "tmpfs", 0, "size=48m") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  const std::shared_ptr<void> mounted(
      nullptr, [this](void*) { ::umount2(gateway_.data().c_str(), MNT_DETACH); });
  ASSERT_NO_FATAL_FAILURE(write_and_stop());
  {
    std::ofstream filler(gateway_.data() + "/filler");
    const std::string block(4'096, 'f');
    while (filler.write(block.data(), 4'096).flush()) {
    }
  }
  gateway_.set_configuration(configuration(store(), "1MiB"));
  EXPECT_TRUE(gateway_.start().ok()) << gateway_.log();
  SystemClock clock;
  for (int i = 0; i < 100 && segments_below(gateway_.data()) > 1; ++i) clock.sleep_ms(100);
  EXPECT_LE(segments_below(gateway_.data()), 1U) << gateway_.log();
  check_tape();
  EXPECT_EQ(gateway_.stop(), 0) << gateway_.log();
}

}  // namespace
}  // namespace coldshelf::test
