// The shelf through the front door: parts of a tape, what they cost, colder pools, locked pools.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/clock.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kFiles = 9;
constexpr unsigned kRecords = 24;
constexpr size_t kMaxRecord = 256 * KiB;
constexpr uint64_t kSeed = 11;

void write_files(TapeClient& client) {
  for (unsigned f = 0; f < kFiles; ++f) {
    for (unsigned r = 0; r < kRecords; ++r) {
      Buffer record = numbered_record(kSeed, f * kRecords + r, kMaxRecord);
      ASSERT_TRUE(client.write(record).ok());
    }
    ASSERT_TRUE(client.write_filemarks(1, false).ok());
  }
}

// From where the tape stands: a whole file and its filemark.
void expect_file(TapeClient& client, unsigned f) {
  Buffer room(1 * MiB);
  for (unsigned r = 0; r < kRecords; ++r) {
    auto next = client.read_next(room);
    ASSERT_TRUE(next.ok()) << next.error().message() << " file " << f << " record " << r;
    ASSERT_EQ(next->kind, TapeClient::Next::Kind::record);
    ASSERT_TRUE(equal(ByteView(room).first(next->size),
                      numbered_record(kSeed, f * kRecords + r, kMaxRecord)))
        << "file " << f << " record " << r;
  }
  auto mark = client.read_next(room);
  ASSERT_TRUE(mark.ok()) << mark.error().message();
  EXPECT_EQ(mark->kind, TapeClient::Next::Kind::filemark);
}

// NOT READY, MANUAL INTERVENTION REQUIRED.
void expect_not_retrieved(const std::string& message) {
  EXPECT_NE(message.find("sense key 2"), std::string::npos) << message;
  EXPECT_NE(message.find("asc/ascq 1027"), std::string::npos) << message << ", 04h/03h is 1027";
}

std::string tape_status(Gateway& gateway, const std::string& barcode) {
  return gateway.json({"tape", "show", barcode}).at("Status").get<std::string>();
}

// Of the store's segments: the names of those with a restored copy, or on the way to one.
std::set<std::string> restored(Gateway& gateway, const std::string& uuid) {
  std::set<std::string> out;
  for (const auto& entry :
       fs::directory_iterator(gateway.store() + "/cartridges/" + uuid + "/segments")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with("~meta")) continue;
    std::ifstream in(entry.path());
    if (nlohmann::json::parse(in).at("restored_until_ms").get<int64_t>() != 0) out.insert(name);
  }
  return out;
}

size_t segments(Gateway& gateway, const std::string& uuid) {
  size_t count = 0;
  for (const auto& entry :
       fs::directory_iterator(gateway.store() + "/cartridges/" + uuid + "/segments")) {
    if (entry.path().string().ends_with("~meta")) ++count;
  }
  return count;
}

void make_archived(Gateway& gateway, const std::string& barcode, const std::string& pool) {
  gateway.ok({"tape", "create", "--barcode", barcode, "--size", "1GiB", "--pool", pool});
  gateway.ok({"library", "load", barcode, "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    write_files(*client);
  }
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "archive", barcode, "--wait"});
}

const char* kConfiguration =
    "[cartridge]\nsegment_size = \"1MiB\"\n"
    "[store]\nrestore_expedited = \"200ms\"\nrestore_standard = \"300ms\"\n"
    "restore_bulk = \"400ms\"\nrestore_poll = \"50ms\"\n"
    "[[pool]]\nname = \"GLACIER\"\nstorage_class = \"GLACIER\"\n"
    "[[pool]]\nname = \"DEEP\"\nstorage_class = \"DEEP_ARCHIVE\"\n"
    "[[pool]]\nname = \"straight\"\nstorage_class = \"GLACIER\"\nmode = \"direct\"\n"
    "[[pool]]\nname = \"vault\"\nstorage_class = \"GLACIER\"\nlock = \"compliance\"\n"
    "lock_days = 2\n";

TEST(Shelf, OneFileOfATapeAndThenTheRest) {
  Gateway gateway;
  gateway.set_configuration(kConfiguration);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  make_archived(gateway, "PART01L8", "GLACIER");
  const std::string uuid = gateway.json({"tape", "show", "PART01L8"}).at("Uuid");
  ASSERT_TRUE(restored(gateway, uuid).empty());

  const auto estimate =
      gateway.json({"tape", "retrieve", "PART01L8", "--files", "3", "--estimate"});
  const auto wanted = estimate.at("Objects").get<size_t>();
  EXPECT_GE(wanted, 2U);
  EXPECT_LE(wanted, segments(gateway, uuid) / 3) << "a file of nine";
  ASSERT_EQ(estimate.at("Tiers").size(), 3U);
  EXPECT_GT(estimate.at("Tiers")[0].at("Total").get<double>(), 0);
  EXPECT_TRUE(restored(gateway, uuid).empty()) << "an estimate asks for nothing";
  EXPECT_NE(gateway.cli({"tape", "retrieve", "PART01L8", "--files", "33"}).exit_code, 0);
  EXPECT_NE(gateway.cli({"tape", "retrieve", "PART01L8", "--files", "5-3"}).exit_code, 0);
  EXPECT_EQ(tape_status(gateway, "PART01L8"), "ARCHIVED");

  gateway.ok({"tape", "retrieve", "PART01L8", "--files", "3", "--tier", "Expedited", "--wait"});
  const auto shown = gateway.json({"tape", "show", "PART01L8"});
  EXPECT_EQ(shown.at("Status"), "RETRIEVED");
  EXPECT_EQ(shown.at("Parts"), "file 3");
  const std::set<std::string> back = restored(gateway, uuid);
  EXPECT_EQ(back.size(), wanted) << "exactly what the file needs";

  gateway.ok({"library", "load", "PART01L8", "1"});
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok()) << client.error().message();
  ASSERT_TRUE(client->rewind().ok());
  ASSERT_TRUE(client->space_filemarks(3).ok()) << "over what is not here";
  expect_file(*client, 3);
  ASSERT_TRUE(client->locate(3 * (kRecords + 1)).ok());
  expect_file(*client, 3);

  Buffer room(1 * MiB);
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(client->rewind().ok());
  const Status spaced = client->space_filemarks(7);
  ASSERT_FALSE(spaced.ok());
  expect_not_retrieved(spaced.error().message());
  const auto first = client->read_next(room);
  ASSERT_FALSE(first.ok()) << "file 0 is not here";
  expect_not_retrieved(first.error().message());
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5)) << "at once";
  ASSERT_TRUE(client->wait_ready(1).ok()) << "the drive is as ready as before";
  EXPECT_EQ(restored(gateway, uuid), back);

  // One more while the tape is in the drive, then everything.
  gateway.ok({"tape", "retrieve", "PART01L8", "--files", "7", "--tier", "Expedited", "--wait"});
  EXPECT_EQ(gateway.json({"tape", "show", "PART01L8"}).at("Parts"), "files 3, 7");
  ASSERT_TRUE(client->space_filemarks(7).ok());
  expect_file(*client, 7);
  EXPECT_LT(restored(gateway, uuid).size(), segments(gateway, uuid));
  EXPECT_NE(gateway.cli({"tape", "verify", "PART01L8"}).exit_code, 0);
  gateway.ok({"tape", "retrieve", "PART01L8", "--tier", "Expedited", "--wait"});
  EXPECT_FALSE(gateway.json({"tape", "show", "PART01L8"}).contains("Parts"));
  ASSERT_TRUE(client->rewind().ok());
  for (unsigned f = 0; f < kFiles; ++f) ASSERT_NO_FATAL_FAILURE(expect_file(*client, f));
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "verify", "PART01L8"});
  gateway.ok({"tape", "archive", "PART01L8", "--wait"});
  EXPECT_EQ(gateway.stop(), 0);
}

TEST(Shelf, ReassignLockAndPools) {
  Gateway gateway;
  gateway.set_configuration(kConfiguration);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  make_archived(gateway, "MOVE01L8", "straight");
  // DEEP_ARCHIVE is colder than GLACIER; the way back is none.
  EXPECT_NE(gateway.cli({"tape", "reassign", "MOVE01L8", "--pool", "DEEP"}).exit_code, 0)
      << "the cost is shown, --yes was not given";
  EXPECT_EQ(tape_status(gateway, "MOVE01L8"), "ARCHIVED");
  gateway.ok({"tape", "reassign", "MOVE01L8", "--pool", "DEEP", "--estimate"});
  gateway.ok({"tape", "reassign", "MOVE01L8", "--pool", "DEEP", "--yes", "--wait"});
  const auto moved = gateway.json({"tape", "show", "MOVE01L8"});
  EXPECT_EQ(moved.at("Pool"), "DEEP");
  ASSERT_EQ(moved.at("Stored").size(), 1U);
  EXPECT_EQ(moved.at("Stored")[0].at("StorageClass"), "DEEP_ARCHIVE");
  EXPECT_GT(moved.at("MonthlyCost").get<double>(), 0);
  const auto back = gateway.cli({"tape", "reassign", "MOVE01L8", "--pool", "GLACIER", "--yes"});
  EXPECT_EQ(back.exit_code, 4) << back.output;
  const auto tier = gateway.cli({"tape", "retrieve", "MOVE01L8", "--tier", "Expedited"});
  EXPECT_NE(tier.exit_code, 0);
  EXPECT_NE(tier.output.find("DEEP_ARCHIVE"), std::string::npos) << tier.output;
  gateway.ok({"tape", "retrieve", "MOVE01L8", "--tier", "Bulk", "--days", "1", "--wait"});
  gateway.ok({"library", "load", "MOVE01L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    for (unsigned f = 0; f < kFiles; ++f) ASSERT_NO_FATAL_FAILURE(expect_file(*client, f));
  }
  gateway.ok({"library", "unload", "1"});

  make_archived(gateway, "LOCK01L8", "vault");
  const auto refused = gateway.cli({"tape", "delete", "LOCK01L8"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.output.find("locked (COMPLIANCE)"), std::string::npos) << refused.output;
  EXPECT_EQ(tape_status(gateway, "LOCK01L8"), "ARCHIVED");

  gateway.ok({"pool", "create", "spare", "--class", "ONEZONE_IA"});
  EXPECT_NE(gateway.cli({"pool", "create", "spare", "--class", "STANDARD"}).exit_code, 0);
  EXPECT_NE(gateway.cli({"pool", "create", "odd", "--class", "COLDEST"}).exit_code, 0);
  EXPECT_NE(gateway.cli({"pool", "create", "odd", "--class", "GLACIER", "--lock", "compliance"})
                .exit_code,
            0)
      << "a lock needs days";
  const auto pools = gateway.json({"pool", "list"}).at("Pools");
  ASSERT_EQ(pools.size(), 5U);
  EXPECT_EQ(gateway.cli({"pool", "delete", "vault"}).exit_code, 4) << "a tape is in it";
  gateway.ok({"pool", "delete", "spare"});
  EXPECT_EQ(gateway.json({"pool", "list"}).at("Pools").size(), 4U);
  EXPECT_EQ(gateway.stop(), 0);
}

TEST(Shelf, ARetrievalIsCancelled) {
  Gateway gateway;
  std::string configuration = kConfiguration;
  configuration.replace(configuration.find("400ms"), 5, "30s");
  gateway.set_configuration(configuration);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  make_archived(gateway, "CANC01L8", "GLACIER");
  EXPECT_EQ(gateway.cli({"tape", "cancel", "CANC01L8"}).exit_code, 4) << "nothing is under way";
  gateway.ok({"tape", "retrieve", "CANC01L8", "--tier", "Bulk"});
  const auto shown = gateway.json({"tape", "show", "CANC01L8"});
  EXPECT_EQ(shown.at("Status"), "RETRIEVING");
  EXPECT_FALSE(shown.at("Job").at("ExpectedBy").get<std::string>().empty());
  // A restart in between, too.
  EXPECT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(gateway.start().ok());
  gateway.ok({"tape", "cancel", "CANC01L8"});
  for (int i = 0; i < 100 && tape_status(gateway, "CANC01L8") != "ARCHIVED"; ++i) {
    SystemClock().sleep_ms(50);
  }
  EXPECT_EQ(tape_status(gateway, "CANC01L8"), "ARCHIVED");
  EXPECT_EQ(gateway.stop(), 0);
}

}  // namespace
}  // namespace coldshelf::test
