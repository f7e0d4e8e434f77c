// kill -9 under load, again and again: what was synced is there, what is there is a prefix of what
// was written.
#include <gtest/gtest.h>

#include <optional>

#include "tests/e2e/crash_rounds.h"

namespace coldshelf::test {
namespace {

constexpr size_t kMaxRecordBytes = 300 * 1024;
constexpr uint64_t kFilemark = ~uint64_t{0};

// What the client knows it wrote: record numbers and filemarks in order.
struct Written {
  std::vector<uint64_t> objects;
  size_t synced = 0;  // so many of them were answered by a WRITE FILEMARKS with IMMED=0
  uint64_t next_record = 0;
};

// Reads the tape from its beginning; every object must be the next of `written`. Forgets what the
// crash took.
void check_tape(TapeClient& client, uint64_t seed, Written& written) {
  ASSERT_TRUE(client.rewind().ok());
  Buffer room(1 * MiB);
  size_t at = 0;
  while (true) {
    auto next = client.read_next(room);
    ASSERT_TRUE(next.ok()) << next.error().message() << " at object " << at;
    if (next->kind == TapeClient::Next::Kind::end_of_data) break;
    ASSERT_LT(at, written.objects.size()) << "more on the tape than was written";
    if (next->kind == TapeClient::Next::Kind::filemark) {
      ASSERT_EQ(written.objects[at], kFilemark) << "object " << at;
    } else {
      ASSERT_NE(written.objects[at], kFilemark) << "object " << at;
      const Buffer expected = numbered_record(seed, written.objects[at], kMaxRecordBytes);
      ASSERT_TRUE(equal(expected, ByteView(room).first(next->size))) << "object " << at;
    }
    ++at;
  }
  ASSERT_GE(at, written.synced) << "an acknowledged sync was lost";
  written.objects.resize(at);
  written.synced = at;
}

// Appends until the daemon dies under it.
void write_until_killed(TapeClient& client, uint64_t seed, SeededRandom& random, Written& written) {
  while (true) {
    for (uint64_t n = random.below(30); n > 0; --n) {
      Buffer record = numbered_record(seed, written.next_record, kMaxRecordBytes);
      // Even a write without an answer may have reached the tape.
      written.objects.push_back(written.next_record++);
      if (!client.write(record).ok()) return;
    }
    written.objects.push_back(kFilemark);
    if (!client.write_filemarks(1, false).ok()) return;
    written.synced = written.objects.size();
  }
}

// A tape in drive 1, and records `0` to `count` on it, without a filemark or a sync.
void load_and_write(Gateway& gateway, const std::string& barcode, uint64_t seed, uint64_t count,
                    std::optional<TapeClient>& client, Written& written) {
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"tape", "create", "--barcode", barcode, "--size", "100GiB"});
  gateway.ok({"library", "load", barcode, "1"});
  auto connected = gateway.drive(1);
  ASSERT_TRUE(connected.ok());
  client.emplace(std::move(*connected));
  for (uint64_t n = 0; n < count; ++n) {
    Buffer record = numbered_record(seed, n, kMaxRecordBytes);
    ASSERT_TRUE(client->write(record).ok());
    written.objects.push_back(n);
  }
}

TEST(Crash, KilledDaemonKeepsWhatWasSynced) {
  SeededRandom random = crash_seed();
  const uint64_t seed = random.next();
  Gateway gateway("[cartridge]\nsegment_size = \"8MiB\"\n");
  Written written;
  std::optional<TapeClient> client;
  CrashLoad what;
  what.prepare = [&] {
    gateway.ok({"tape", "create", "--barcode", "CRASH1L8", "--size", "100GiB"});
    gateway.ok({"library", "load", "CRASH1L8", "1"});
  };
  what.check = [&] {
    client.reset();
    auto connected = gateway.drive(1);
    ASSERT_TRUE(connected.ok()) << connected.error().message();
    client.emplace(std::move(*connected));
    check_tape(*client, seed, written);
  };
  what.load = [&] { write_until_killed(*client, seed, random, written); };
  run_crash_rounds(gateway, 6, random, what);
  EXPECT_GT(written.objects.size(), 0U);
}

TEST(Crash, CleanStopLosesNothingThatWasAcknowledged) {
  const uint64_t seed = 11;
  Gateway gateway;
  Written written;
  {
    std::optional<TapeClient> writer;
    ASSERT_NO_FATAL_FAILURE(load_and_write(gateway, "CLEAN1L8", seed, 500, writer, written));
    EXPECT_EQ(gateway.stop(), 0) << gateway.log();
  }
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  written.synced = written.objects.size();
  check_tape(*client, seed, written);
}

// Linux st writes a filemark when the file is closed, and takes the tape to be where it was: at the
// beginning, where a restart leaves it, that would be the end of everything behind it.
TEST(Crash, NothingIsWrittenWhereARestartLeftTheTape) {
  Gateway gateway;
  Written written;
  {
    std::optional<TapeClient> writer;
    ASSERT_NO_FATAL_FAILURE(load_and_write(gateway, "PLACE1L8", 1, 3, writer, written));
    ASSERT_TRUE(writer->write_filemarks(1, false).ok());
    written.objects.push_back(kFilemark);
    written.synced = written.objects.size();
    gateway.kill();
  }
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok());
  EXPECT_FALSE(client->write_filemarks(1, false).ok());
  Buffer record = numbered_record(1, 3, kMaxRecordBytes);
  EXPECT_FALSE(client->write(record).ok());
  check_tape(*client, 1, written);
  EXPECT_EQ(written.objects.size(), 4U);
}

}  // namespace
}  // namespace coldshelf::test
