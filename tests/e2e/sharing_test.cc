// Real gateways on one store: a lost one rebuilt from it, a stopped one that comes back.
#include <gtest/gtest.h>

#include <iostream>

#include "base/random.h"
#include "tests/e2e/shared_store.h"

namespace coldshelf::test {
namespace {

constexpr size_t kMaxRecord = 200 * 1024;
constexpr unsigned kRecords = 60;

void write_tape(Gateway& gateway, const std::string& barcode, uint64_t seed, unsigned first,
                unsigned count) {
  gateway.ok({"library", "load", barcode, "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    for (unsigned n = first; n < first + count; ++n) {
      Buffer record = numbered_record(seed, n, kMaxRecord);
      ASSERT_TRUE(client->write(record).ok());
    }
    ASSERT_TRUE(client->write_filemarks(1, false).ok());
  }
  gateway.ok({"library", "unload", "1"});
}

void check_tape(Gateway& gateway, const std::string& barcode, uint64_t seed, unsigned count) {
  gateway.ok({"library", "load", barcode, "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    Buffer room(1 * MiB);
    for (unsigned n = 0; n < count; ++n) {
      auto next = client->read_next(room);
      ASSERT_TRUE(next.ok()) << next.error().message() << " record " << n << "\n" << gateway.log();
      ASSERT_EQ(next->kind, TapeClient::Next::Kind::record) << "record " << n;
      ASSERT_TRUE(equal(ByteView(room).first(next->size), numbered_record(seed, n, kMaxRecord)));
    }
    auto mark = client->read_next(room);
    ASSERT_TRUE(mark.ok());
    ASSERT_EQ(mark->kind, TapeClient::Next::Kind::filemark);
    auto end = client->read_next(room);
    ASSERT_TRUE(end.ok());
    ASSERT_EQ(end->kind, TapeClient::Next::Kind::end_of_data);
    // It came back read-only.
    Buffer more(1'000);
    EXPECT_FALSE(client->write(more).ok());
  }
  gateway.ok({"library", "unload", "1"});
}

CommandResult command(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {program("coldshelf")};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto result = run_to_end(all);
  EXPECT_TRUE(result.ok());
  return result.ok() ? *result : CommandResult{-1, ""};
}

TEST(Sharing, ALostGatewayIsRebuiltFromTheStore) {
  SharedStore store;
  const uint64_t seed = static_cast<uint64_t>(SystemClock().unix_ms());
  std::cout << "seed " << seed << "\n";
  std::string serial, id;
  {
    Gateway lost(store.configuration());
    ASSERT_TRUE(lost.start().ok()) << lost.log();
    lost.ok({"tape", "create", "--barcode", "REC001L8", "--size", "10GiB", "--count", "3"});
    for (int i = 1; i <= 3; ++i) {
      write_tape(lost, "REC00" + std::to_string(i) + "L8", seed + static_cast<uint64_t>(i), 0,
                 kRecords);
      if (testing::Test::HasFatalFailure()) return;
    }
    lost.ok({"library", "move", "REC003L8", "slot7"});
    lost.ok({"tape", "archive", "REC001L8", "--wait"});
    ASSERT_TRUE(uploaded(lost));
    id = lost.json({"status"})["GatewayId"];
    serial = lost.json({"library", "status"})["Serial"];
    const CommandResult alive =
        command({"recover", "--store", store.path(), "--data", store.directory() + "/too-early"});
    EXPECT_EQ(alive.exit_code, 4) << alive.output;
    EXPECT_NE(alive.output.find("alive"), std::string::npos) << alive.output;
    lost.kill();
  }  // its directory is gone
  const CommandResult verified =
      command({"store", "verify", "--deep", "--store", store.path(), "--key-file", store.key()});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;

  Gateway rebuilt(store.configuration());
  const CommandResult done = command({"recover", "--force", "--store", store.path(), "--config",
                                      rebuilt.directory() + "/coldshelf.toml"});
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("REC001L8"), std::string::npos) << done.output;
  ASSERT_TRUE(rebuilt.start().ok()) << rebuilt.log();
  EXPECT_EQ(rebuilt.json({"status"})["GatewayId"], id);
  EXPECT_EQ(rebuilt.json({"library", "status"})["Serial"], serial);
  EXPECT_EQ(rebuilt.json({"tape", "show", "REC001L8"})["Status"], "ARCHIVED");
  EXPECT_EQ(rebuilt.json({"tape", "show", "REC002L8"})["Status"], "RECOVERED");
  EXPECT_EQ(rebuilt.json({"tape", "show", "REC003L8"})["Location"], "slot 7");
  rebuilt.ok({"tape", "retrieve", "REC001L8", "--wait"});
  for (int i = 1; i <= 3; ++i) {
    check_tape(rebuilt, "REC00" + std::to_string(i) + "L8", seed + static_cast<uint64_t>(i),
               kRecords);
    if (testing::Test::HasFatalFailure()) return;
  }
  rebuilt.ok({"store", "verify", "--deep"});
  rebuilt.ok({"store", "gc", "--dry-run"});
  // To the shelf, and back.
  rebuilt.ok({"tape", "archive", "REC002L8", "--wait"});
  EXPECT_EQ(rebuilt.json({"tape", "show", "REC002L8"})["Status"], "ARCHIVED");
  rebuilt.ok({"tape", "retrieve", "REC002L8", "--wait"});
  check_tape(rebuilt, "REC002L8", seed + 2, kRecords);
  EXPECT_EQ(rebuilt.stop(), 0) << rebuilt.log();
}

TEST(Sharing, AStoppedOwnerFindsItsTapeTaken) {
  SharedStore store;
  const uint64_t seed = static_cast<uint64_t>(SystemClock().unix_ms());
  std::cout << "seed " << seed << "\n";
  Gateway a(store.configuration());
  Gateway b(store.configuration());
  ASSERT_TRUE(a.start().ok()) << a.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  a.ok({"tape", "create", "--barcode", "SHR001L8", "--size", "10GiB"});
  EXPECT_EQ(b.cli({"tape", "create", "--barcode", "SHR001L8", "--size", "10GiB"}).exit_code, 4);
  write_tape(a, "SHR001L8", seed, 0, kRecords);
  ASSERT_TRUE(uploaded(a));
  a.ok({"library", "load", "SHR001L8", "1"});
  auto client = a.drive(1);
  ASSERT_TRUE(client.ok()) << client.error().message();
  EXPECT_EQ(b.cli({"tape", "takeover", "SHR001L8"}).exit_code, 4) << "its owner is alive";
  store.pause(a);
  b.ok({"tape", "takeover", "SHR001L8", "--force"});
  EXPECT_EQ(b.json({"tape", "show", "SHR001L8"})["Status"], "RECOVERED");
  SystemClock clock;
  clock.sleep_ms(3'000);  // the lease runs out
  a.process().go_on();
  // The drive refuses as soon as the gateway has looked.
  bool refused = false;
  for (unsigned n = 0; n < 200 && !refused; ++n) {
    Buffer record = numbered_record(seed + 1, n, kMaxRecord);
    refused = !client->write(record).ok();
    clock.sleep_ms(50);
  }
  EXPECT_TRUE(refused) << a.log();
  const std::string problem = a.json({"tape", "show", "SHR001L8"})["Problem"];
  EXPECT_NE(problem.find("no longer this gateway's"), std::string::npos) << problem;
  clock.sleep_ms(1'500);
  check_tape(b, "SHR001L8", seed, kRecords);
  b.ok({"store", "verify", "--deep"});
  EXPECT_EQ(b.cli({"tape", "forget", "SHR001L8", "--force"}).exit_code, 4) << "it is its own";
  EXPECT_EQ(a.cli({"tape", "forget", "SHR001L8", "--force"}).exit_code, 4) << "it is in a drive";
  a.ok({"library", "unload", "1"});
  a.ok({"tape", "forget", "SHR001L8", "--force"});
  EXPECT_EQ(a.cli({"tape", "show", "SHR001L8"}).exit_code, 3);
  check_tape(b, "SHR001L8", seed, kRecords);
  b.ok({"store", "verify", "--deep"});
}

TEST(Sharing, OneArchivesAndTheOtherRetrieves) {
  SharedStore store;
  const uint64_t seed = 5;
  Gateway a(store.configuration());
  Gateway b(store.configuration());
  ASSERT_TRUE(a.start().ok()) << a.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  a.ok({"tape", "create", "--barcode", "SHR002L8", "--size", "10GiB"});
  write_tape(a, "SHR002L8", seed, 0, kRecords);
  EXPECT_NE(b.cli({"tape", "retrieve", "SHR002L8"}).exit_code, 0);
  a.ok({"tape", "archive", "SHR002L8", "--wait"});
  const auto shelf = b.json({"tape", "list", "--shelf"})["Tapes"];
  ASSERT_EQ(shelf.size(), 1U);
  EXPECT_EQ(shelf[0]["Barcode"], "SHR002L8");
  EXPECT_EQ(shelf[0]["Known"], false);
  b.ok({"tape", "retrieve", "SHR002L8", "--wait"});
  check_tape(b, "SHR002L8", seed, kRecords);
  EXPECT_EQ(a.cli({"tape", "retrieve", "SHR002L8"}).exit_code, 4);
}

}  // namespace
}  // namespace coldshelf::test
