// The pace of writers, on a simulated clock with a store that takes so much and no more.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "tests/support/sim_clock.h"
#include "uploader/upload_buffer.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kRecord = 256 * KiB;
constexpr uint64_t kSegment = 8 * MiB;

Uuid writer_id(unsigned n) {
  return *Uuid::parse("00000000-0000-4000-8000-00000000000" + std::to_string(n));
}

// Writers that write whenever they may, and a store that takes whole segments at a rate.
class Flow {
 public:
  Flow(uint64_t limit, unsigned writers) : buffer(clock, limit), open_(writers, 0) {}

  void run(int64_t ms, double store_bytes_per_s, double disk_bytes_per_s = 500e6) {
    for (const int64_t end = clock.elapsed_ms() + ms; clock.elapsed_ms() < end;) {
      clock.advance_ms(1);
      store_may_ += store_bytes_per_s / 1000;
      if (sealed_ == 0) store_may_ = std::min(store_may_, double{kSegment});
      while (sealed_ >= kSegment && store_may_ >= double{kSegment}) {
        store_may_ -= double{kSegment};
        sealed_ -= kSegment;
        buffer.set_sealed_bytes(sealed_);
      }
      for (unsigned n = 0; n < open_.size(); ++n) write(n, disk_bytes_per_s / 1000);
      most = std::max(most, buffer.view().bytes);
    }
  }
  double rate_over(int64_t ms, double store) {
    const uint64_t before = written;
    run(ms, store);
    return static_cast<double>(written - before) * 1000 / static_cast<double>(ms);
  }

  SimClock clock;
  UploadBuffer buffer;
  uint64_t written = 0, most = 0;
  int64_t longest_wait_ms = 0;

 private:
  void write(unsigned n, double may) {
    for (double left = may; left > 0 && buffer.hold_ms(writer_id(n)) == 0; left -= kRecord) {
      open_[n] += kRecord;
      written += kRecord;
      const int64_t now = clock.elapsed_ms();
      if (last_[n] != 0) longest_wait_ms = std::max(longest_wait_ms, now - last_[n]);
      last_[n] = now;
      buffer.wrote(writer_id(n), kRecord, open_[n]);
      if (open_[n] < kSegment) continue;
      open_[n] -= kSegment;
      sealed_ += kSegment;
      buffer.sealed(writer_id(n), kSegment);
    }
  }
  std::vector<uint64_t> open_;
  std::map<unsigned, int64_t> last_;
  uint64_t sealed_ = 0;
  double store_may_ = 0;
};

TEST(UploadBuffer, WithoutALimitNobodyWaits) {
  Flow flow(0, 2);
  flow.run(10'000, 0);
  EXPECT_GT(flow.written, 9'000'000'000U);
  EXPECT_FALSE(flow.buffer.view().slowing);
  EXPECT_EQ(flow.buffer.view().bytes, flow.written);
}

TEST(UploadBuffer, AStoreThatFollowsSlowsNobody) {
  Flow flow(4 * GiB, 1);
  flow.run(20'000, 600e6);
  EXPECT_EQ(flow.buffer.view().slowed_ms, 0U);
}

TEST(UploadBuffer, InflowMeetsWhatTheStoreTakes) {
  for (const unsigned writers : {1U, 4U}) {
    Flow flow(1 * GiB, writers);
    flow.run(60'000, 50e6);
    EXPECT_TRUE(flow.buffer.view().slowing);
    const double rate = flow.rate_over(60'000, 50e6);
    EXPECT_NEAR(rate, 50e6, 4e6) << writers;
    EXPECT_LE(flow.most, 1 * GiB + writers * kSegment);
    // The store gets slower, and faster again.
    flow.run(240'000, 5e6);
    EXPECT_NEAR(flow.rate_over(60'000, 5e6), 5e6, 1e6) << writers;
    EXPECT_LE(flow.most, 1 * GiB + writers * kSegment);
    EXPECT_LE(flow.longest_wait_ms, 2'100) << "smooth: nobody waits long";
    flow.run(60'000, 3e9);
    EXPECT_FALSE(flow.buffer.view().slowing);
  }
}

TEST(UploadBuffer, ASmallBufferIsKeptToo) {
  Flow flow(64 * MiB, 1);
  flow.run(120'000, 2e6);
  EXPECT_LE(flow.most, 64 * MiB + kSegment);
  EXPECT_LE(flow.longest_wait_ms, 2'100);
  EXPECT_NEAR(flow.rate_over(120'000, 2e6), 2e6, 4e5);
}

TEST(UploadBuffer, ADeadStoreStopsNobodyForLong) {
  Flow flow(64 * MiB, 2);
  flow.run(900'000, 0);
  EXPECT_LE(flow.longest_wait_ms, UploadBuffer::kMostHoldMs + 100);
  const double rate = flow.rate_over(600'000, 0);
  EXPECT_GT(rate, 0);
  EXPECT_LT(rate, 2.0 * kRecord / 5) << "a trickle";
}

TEST(UploadBuffer, BeginningAndEndAreToldOnce) {
  std::vector<std::string> lines;
  capture_log([&](std::string_view line) { lines.emplace_back(line); });
  Flow flow(256 * MiB, 1);
  flow.run(30'000, 20e6);
  flow.run(30'000, 900e6);
  capture_log(nullptr);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find("writers are slowed down"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("full speed again"), std::string::npos) << lines[1];
  EXPECT_GT(flow.buffer.view().slowed_ms, 20'000U);
  EXPECT_LT(flow.buffer.view().slowed_ms, 60'000U);
}

TEST(UploadBuffer, AClosedCartridgeLeavesNothingBehind) {
  SimClock clock;
  UploadBuffer buffer(clock, 10 * MiB);
  buffer.wrote(writer_id(1), 9 * MiB, 9 * MiB);
  EXPECT_TRUE(buffer.view().slowing);
  EXPECT_GT(buffer.hold_ms(writer_id(1)), 0);
  EXPECT_EQ(buffer.hold_ms(writer_id(2)), 0) << "a first record does not wait";
  buffer.wrote(writer_id(1), 1, 3 * MiB);  // overwritten from the front
  EXPECT_FALSE(buffer.view().slowing);
  buffer.closed(writer_id(1));
  EXPECT_EQ(buffer.view().bytes, 0U);
  EXPECT_TRUE(buffer.written_within(1'000));
  clock.advance_ms(1'500);
  EXPECT_FALSE(buffer.written_within(1'000));
}

}  // namespace
}  // namespace coldshelf::test
