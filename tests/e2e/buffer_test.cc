// Back-pressure, bandwidth limits and pinned tapes, with the real daemon and a slow store.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "base/clock.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kSegment = 8 * MiB;
constexpr size_t kRecord = 256 * KiB;

double seconds_since(Clock& clock, int64_t began_ns) {
  return static_cast<double>(clock.monotonic_ns() - began_ns) / 1e9;
}

void make_loaded_tape(Gateway& gateway, const std::string& barcode, const std::string& drive) {
  gateway.ok({"tape", "create", "--barcode", barcode, "--size", "10GiB"});
  gateway.ok({"library", "load", barcode, drive});
}

void write_bytes(TapeClient& client, uint64_t bytes) {
  Buffer record(kRecord);
  for (uint64_t n = 0; n < bytes / kRecord; ++n) {
    std::fill(record.begin(), record.end(), static_cast<std::byte>(n));
    const Status written = client.write(record);
    ASSERT_TRUE(written.ok()) << n << ": " << written.error().message();
  }
}

TEST(BackPressure, WritersAreSlowedDownAndNothingFails) {
  SystemClock clock;
  constexpr uint64_t kLimit = 64 * MiB;
  Gateway gateway(
      "[cartridge]\nsegment_size = \"8MiB\"\ncompression = \"none\"\n"
      "[buffer]\nlimit = \"64MiB\"\n[[bandwidth]]\nupload = \"24MB/s\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  make_loaded_tape(gateway, "SLOW01L8", "1");
  make_loaded_tape(gateway, "SLOW02L8", "2");
  auto client = gateway.drive(1);
  ASSERT_TRUE(client.ok()) << client.error().message();

  // What others see meanwhile: the operator, and initiators of this drive and of another one.
  std::atomic<bool> over{false};
  uint64_t most = 0;
  bool seen_slowing = false;
  double longest_ready_s = 0;
  std::thread others([&] {
    auto same = gateway.drive(1, "same-drive");
    auto other = gateway.drive(2, "other-drive");
    ASSERT_TRUE(same.ok() && other.ok());
    while (!over) {
      const auto status = gateway.json({"status"});
      most = std::max(most, status.at("BufferBytes").get<uint64_t>());
      seen_slowing = seen_slowing || status.at("WritersSlowed").get<bool>();
      for (TapeClient* who : {&*same, &*other}) {
        const int64_t asked = clock.monotonic_ns();
        ASSERT_TRUE(who->wait_ready(1).ok());
        longest_ready_s = std::max(longest_ready_s, seconds_since(clock, asked));
      }
      clock.sleep_ms(150);
    }
  });
  double longest_s = 0;
  const int64_t began = clock.monotonic_ns();
  Buffer record(kRecord);
  for (uint64_t n = 0; n < 256 * MiB / kRecord; ++n) {
    std::fill(record.begin(), record.end(), static_cast<std::byte>(n));
    const int64_t sent = clock.monotonic_ns();
    const Status written = client->write(record);
    longest_s = std::max(longest_s, seconds_since(clock, sent));
    EXPECT_TRUE(written.ok()) << n << ": " << written.error().message();
    if (!written.ok()) break;
  }
  const double took_s = seconds_since(clock, began);
  over = true;
  others.join();
  EXPECT_TRUE(client->write_filemarks(1, false).ok());
  EXPECT_LT(longest_s, 4.0);
  EXPECT_LT(longest_ready_s, 1.5) << "TEST UNIT READY goes past a write that is kept back";
  EXPECT_TRUE(seen_slowing);
  EXPECT_LE(most, kLimit + kSegment);
  // At least what does not fit into the buffer went at the store's pace.
  EXPECT_GT(took_s, static_cast<double>(256 * MiB - kLimit - kSegment) / 24e6 * 0.8);
  EXPECT_NE(gateway.log().find("writers are slowed down"), std::string::npos);
  std::printf("256 MiB in %.1f s, longest write %.2f s, most in the buffer %.1f MiB\n", took_s,
              longest_s, static_cast<double>(most) / double{MiB});

  Buffer room(kRecord);
  ASSERT_TRUE(client->rewind().ok());
  for (uint64_t n = 0; n < 256 * MiB / kRecord; n += 97) {
    ASSERT_TRUE(client->locate(n).ok());
    ASSERT_TRUE(client->read(room).ok());
    EXPECT_EQ(room.front(), static_cast<std::byte>(n));
    EXPECT_EQ(room.back(), static_cast<std::byte>(n));
  }
  EXPECT_EQ(gateway.stop(), 0) << gateway.log();
}

TEST(Bandwidth, UploadsKeepTheLimit) {
  SystemClock clock;
  Gateway gateway(
      "[cartridge]\nsegment_size = \"4MiB\"\ncompression = \"none\"\n"
      "[[bandwidth]]\nupload = \"5MB/s\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  make_loaded_tape(gateway, "BAND01L8", "1");
  const int64_t began = clock.monotonic_ns();
  {
    auto client = gateway.drive(1);
    ASSERT_TRUE(client.ok()) << client.error().message();
    write_bytes(*client, 20 * MiB);
    EXPECT_LT(seconds_since(clock, began), 3.0) << "the writer is not concerned";
  }
  gateway.ok({"library", "unload", "1"});
  uint64_t left = 1;
  while (left > 0 && seconds_since(clock, began) < 20) {
    clock.sleep_ms(50);
    left = gateway.json({"status"}).at("NotUploadedBytes").get<uint64_t>();
  }
  const double took_s = seconds_since(clock, began);
  EXPECT_EQ(left, 0U);
  EXPECT_GT(took_s, 20.0 * MiB / 5e6 * 0.9);
  EXPECT_LT(took_s, 20.0 * MiB / 5e6 + 6);
  // A stop does not wait for what is slow.
  EXPECT_EQ(gateway.json({"status"}).at("UploadLimitBytesPerSecond").get<uint64_t>(), 5'000'000U);
}

size_t local_segments(Gateway& gateway, const std::string& barcode) {
  const std::string uuid = gateway.json({"tape", "show", barcode}).at("Uuid").get<std::string>();
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(gateway.data() + "/cartridges/" + uuid)) {
    count += entry.path().extension() == ".seg" ? 1 : 0;
  }
  return count;
}

TEST(Pins, APinnedTapeStaysAndComesBack) {
  SystemClock clock;
  Gateway gateway(
      "[cartridge]\nsegment_size = \"4MiB\"\ncompression = \"none\"\n"
      "[cache]\nlimit = \"40MiB\"\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  const auto fill = [&](const std::string& barcode, uint64_t bytes) {
    make_loaded_tape(gateway, barcode, "1");
    {
      auto client = gateway.drive(1);
      ASSERT_TRUE(client.ok()) << client.error().message();
      write_bytes(*client, bytes);
    }
    gateway.ok({"library", "unload", "1"});
  };
  const auto wait_for = [&](const auto& holds) {
    for (int i = 0; i < 100 && !holds(); ++i) clock.sleep_ms(100);
    return holds();
  };
  fill("PIN001L8", 16 * MiB);
  const size_t all = local_segments(gateway, "PIN001L8");
  EXPECT_GE(all, 4U);
  fill("PIN002L8", 60 * MiB);
  ASSERT_TRUE(wait_for([&] { return local_segments(gateway, "PIN001L8") == 0; }))
      << "used least recently, it goes first";
  gateway.ok({"tape", "pin", "PIN001L8"});
  EXPECT_TRUE(gateway.json({"tape", "show", "PIN001L8"}).at("Pinned").get<bool>());
  EXPECT_TRUE(wait_for([&] { return local_segments(gateway, "PIN001L8") == all; }));
  fill("PIN003L8", 60 * MiB);
  EXPECT_TRUE(wait_for(
      [&] { return gateway.json({"status"}).at("CacheBytes").get<uint64_t>() <= 40 * MiB; }));
  EXPECT_EQ(local_segments(gateway, "PIN001L8"), all) << "others go";
  // In a drive, and over a restart.
  EXPECT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  EXPECT_TRUE(gateway.json({"tape", "show", "PIN001L8"}).at("Pinned").get<bool>());
  gateway.ok({"library", "load", "PIN001L8", "2"});
  gateway.ok({"tape", "unpin", "PIN001L8"});
  EXPECT_FALSE(gateway.json({"tape", "show", "PIN001L8"}).at("Pinned").get<bool>());
  EXPECT_EQ(gateway.cli({"tape", "pin", "NOSUCHL8"}).exit_code, 3);
}

}  // namespace
}  // namespace coldshelf::test
