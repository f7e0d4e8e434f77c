// A tape's whole life over iSCSI, the command line and the store.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {
namespace {

namespace fs = std::filesystem;

std::string tape_status(Gateway& gateway, const std::string& barcode) {
  return gateway.json({"tape", "show", barcode}).at("Status").get<std::string>();
}

// Polls until the tape has this status.
bool wait_for_status(Gateway& gateway, const std::string& barcode, const std::string& status) {
  SystemClock clock;
  for (int i = 0; i < 300; ++i) {
    if (tape_status(gateway, barcode) == status) return true;
    clock.sleep_ms(100);
  }
  return false;
}

uint64_t bytes_below(const std::string& directory, const std::string& suffix) {
  uint64_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.path().string().ends_with(suffix)) {
      total += entry.file_size();
    }
  }
  return total;
}

// Writes `files` files of `records` records each, every file ended by a synchronous filemark.
void write_files(TapeClient& client, uint64_t seed, unsigned files, unsigned records,
                 size_t max_bytes) {
  for (unsigned f = 0; f < files; ++f) {
    for (unsigned r = 0; r < records; ++r) {
      Buffer record = numbered_record(seed, f * records + r, max_bytes);
      const Status written = client.write(record);
      ASSERT_TRUE(written.ok()) << written.error().message();
    }
    ASSERT_TRUE(client.write_filemarks(1, false).ok());
  }
}

void check_files(TapeClient& client, uint64_t seed, unsigned files, unsigned records,
                 size_t max_bytes) {
  ASSERT_TRUE(client.rewind().ok());
  Buffer room(8 * MiB);
  for (unsigned f = 0; f < files; ++f) {
    for (unsigned r = 0; r < records; ++r) {
      auto next = client.read_next(room);
      ASSERT_TRUE(next.ok()) << next.error().message() << " file " << f << " record " << r;
      ASSERT_EQ(next->kind, TapeClient::Next::Kind::record) << "file " << f << " record " << r;
      ASSERT_TRUE(equal(ByteView(room).first(next->size),
                        numbered_record(seed, f * records + r, max_bytes)))
          << "file " << f << " record " << r;
    }
    auto mark = client.read_next(room);
    ASSERT_TRUE(mark.ok()) << mark.error().message();
    ASSERT_EQ(mark->kind, TapeClient::Next::Kind::filemark);
  }
  auto end = client.read_next(room);
  ASSERT_TRUE(end.ok()) << end.error().message();
  ASSERT_EQ(end->kind, TapeClient::Next::Kind::end_of_data);
}

struct Case {
  const char* name;
  bool encrypted;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Lifecycle : public testing::TestWithParam<Case> {};

TEST_P(Lifecycle, WriteArchiveRetrieveReadVerifyExport) {
  Gateway gateway;
  const std::string key = gateway.directory() + "/kek";
  std::ofstream(key) << std::string(64, 'c');
  std::filesystem::permissions(key, std::filesystem::perms(0600));
  std::string configuration = "[cartridge]\nsegment_size = \"8MiB\"\n";
  if (GetParam().encrypted) configuration += "[encryption]\nkey_file = \"" + key + "\"\n";
  gateway.set_configuration(configuration);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "LIFE01L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "LIFE01L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    write_files(*client, 3, 4, 60, 512 * KiB);
    write_files(*client, 4, 1, 2, 8 * MiB);  // records over several frames
  }
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "archive", "LIFE01L8", "--wait"});
  EXPECT_EQ(tape_status(gateway, "LIFE01L8"), "ARCHIVED");
  EXPECT_EQ(bytes_below(gateway.data() + "/cartridges", ".seg"), 0U)
      << "an archived tape takes no local space";
  EXPECT_NE(gateway.cli({"library", "load", "LIFE01L8", "1"}).exit_code, 0);

  gateway.ok({"tape", "retrieve", "LIFE01L8", "--tier", "Expedited", "--wait"});
  EXPECT_EQ(tape_status(gateway, "LIFE01L8"), "RETRIEVED");
  gateway.ok({"tape", "verify", "LIFE01L8"});
  gateway.ok({"library", "load", "LIFE01L8", "2"});
  {
    auto client = gateway.drive(2);
    ASSERT_TRUE(client.ok()) << client.error().message();
    Buffer record(1024);
    EXPECT_FALSE(client->write(record).ok()) << "a retrieved tape is write-protected";
    ASSERT_TRUE(client->rewind().ok());
    Buffer room(8 * MiB);
    for (unsigned n = 0; n < 4 * 60 + 4; ++n) ASSERT_TRUE(client->read_next(room).ok()) << n;
    for (unsigned n = 0; n < 2; ++n) {
      auto big = client->read_next(room);
      ASSERT_TRUE(big.ok()) << big.error().message();
      ASSERT_TRUE(equal(ByteView(room).first(big->size), numbered_record(4, n, 8 * MiB)));
    }
  }
  gateway.ok({"library", "unload", "2"});

  // Export needs no daemon.
  ASSERT_EQ(gateway.stop(), 0) << gateway.log();
  const std::string tar = gateway.directory() + "/out.tar";
  std::vector<std::string> arguments = {"export", "LIFE01L8", "--to",
                                        tar,      "--store",  gateway.store()};
  if (GetParam().encrypted) arguments.insert(arguments.end(), {"--key-file", key});
  gateway.ok(arguments);
  const std::string out = gateway.directory() + "/out";
  fs::create_directories(out);
  ASSERT_TRUE(run_command({"tar", "-C", out, "-xf", tar}).ok());
  Buffer expected;
  for (unsigned r = 0; r < 60; ++r) append(expected, numbered_record(3, r, 512 * KiB));
  bool found = false;
  unsigned files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(out)) {
    if (!entry.is_regular_file()) continue;
    ++files;
    if (entry.file_size() != expected.size()) continue;
    PosixFileSystem disk;
    found = found || equal(*disk.read_file(entry.path().string()), expected);
  }
  EXPECT_TRUE(found) << "the first file of the tape is in the tar";
  EXPECT_GE(files, 5U);
}

INSTANTIATE_TEST_SUITE_P(Keys, Lifecycle, testing::Values(Case{"plain", false}, Case{"aes", true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(LifecycleMore, EvictedSegmentsComeBackOnDemand) {
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n[cache]\nlimit = \"40MiB\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "EVICT1L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "EVICT1L8", "1"});
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  write_files(*client, 9, 3, 300, 512 * KiB);
  SystemClock clock;
  uint64_t local = 0;
  for (int i = 0; i < 300; ++i) {
    local = bytes_below(gateway.data() + "/cartridges", ".seg");
    if (local <= 48 * MiB) break;
    clock.sleep_ms(100);
  }
  EXPECT_LE(local, 48 * MiB) << "uploaded segments leave the cache";
  check_files(*client, 9, 3, 300, 512 * KiB);
}

TEST(LifecycleMore, AfterACleanStopTheStoreIsReadableAlone) {
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "ALONE1L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "ALONE1L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    write_files(*client, 12, 2, 50, 512 * KiB);
  }
  ASSERT_EQ(gateway.stop(), 0) << gateway.log();  // at once, the tape still in its drive
  const std::string tar = gateway.directory() + "/out.tar";
  gateway.ok({"export", "ALONE1L8", "--to", tar});
  auto second = run_to_end({"tar", "-xOf", tar, "file-0002.bin"}, false);
  ASSERT_TRUE(second.ok());
  Buffer expected;
  for (unsigned r = 50; r < 100; ++r) append(expected, numbered_record(12, r, 512 * KiB));
  EXPECT_TRUE(second->output == as_text(expected));
}

TEST(LifecycleMore, AnInterruptedArchiveGoesOn) {
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "BREAK1L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "BREAK1L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    write_files(*client, 6, 2, 200, 512 * KiB);
  }
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "archive", "BREAK1L8"});
  gateway.kill();
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_TRUE(wait_for_status(gateway, "BREAK1L8", "ARCHIVED")) << gateway.log();
  gateway.ok({"tape", "retrieve", "BREAK1L8", "--tier", "Expedited"});
  gateway.kill();
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_TRUE(wait_for_status(gateway, "BREAK1L8", "RETRIEVED")) << gateway.log();
  gateway.ok({"library", "load", "BREAK1L8", "1"});
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  check_files(*client, 6, 2, 200, 512 * KiB);
}

TEST(LifecycleMore, ADamagedStoreIsNoticedAndTheRestStaysReadable) {
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", "HURT01L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "HURT01L8", "1"});
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok());
    write_files(*client, 8, 1, 200, 512 * KiB);
  }
  gateway.ok({"library", "unload", "1"});
  ASSERT_EQ(gateway.stop(), 0);
  // One byte in the middle of the second local segment.
  std::vector<std::string> segments;
  for (const auto& entry : fs::recursive_directory_iterator(gateway.data() + "/cartridges")) {
    if (entry.path().string().ends_with(".seg")) segments.push_back(entry.path().string());
  }
  std::sort(segments.begin(), segments.end());
  ASSERT_GE(segments.size(), 3U);
  {
    std::fstream file(segments[1], std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(fs::file_size(segments[1]) / 2));
    const char byte = static_cast<char>(file.peek() ^ 1);
    file.seekp(static_cast<std::streamoff>(fs::file_size(segments[1]) / 2));
    file.put(byte);
  }
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_NE(gateway.cli({"tape", "verify", "HURT01L8"}).exit_code, 0);
  gateway.ok({"library", "load", "HURT01L8", "1"});
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  Buffer room(1 * MiB);
  unsigned bad = 0;
  for (uint64_t n = 0; n < 200; ++n) {
    ASSERT_TRUE(client->locate(n).ok());
    auto next = client->read_next(room);
    if (!next.ok()) {
      ++bad;
    } else {
      EXPECT_TRUE(equal(ByteView(room).first(next->size), numbered_record(8, n, 512 * KiB))) << n;
    }
  }
  EXPECT_GT(bad, 0U) << "the damage is noticed";
  EXPECT_LT(bad, 20U) << "only the records of the damaged frame are lost";
}

}  // namespace
}  // namespace coldshelf::test
