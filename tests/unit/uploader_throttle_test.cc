// Bandwidth limits on a simulated clock.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"
#include "uploader/cloud/local_directory_store.h"
#include "uploader/cloud/throttled_store.h"

namespace coldshelf::test {
namespace {

TEST(BandwidthSchedule, ReadsDaysAndTimes) {
  EXPECT_EQ(*parse_days("Mon-Fri"), 0x1FU);
  EXPECT_EQ(*parse_days("Sat,Sun"), 0x60U);
  EXPECT_EQ(*parse_days("Sat, Mon"), 0x21U);
  EXPECT_EQ(*parse_days("Fri-Mon"), 0x71U);
  EXPECT_EQ(*parse_days("daily"), 0x7FU);
  for (const char* bad : {"", "mon", "Mon-", "-Fri", "Mon-Fri,", "Mon Fri", "Monday"}) {
    EXPECT_FALSE(parse_days(bad).ok()) << bad;
  }
  EXPECT_EQ(*parse_time_of_day("00:00"), 0U);
  EXPECT_EQ(*parse_time_of_day("24:00"), 1440U);
  EXPECT_EQ(*parse_time_of_day("08:30"), 510U);
  for (const char* bad : {"", "8:00", "24:01", "12:60", "12.00", "ab:cd", "12:000"}) {
    EXPECT_FALSE(parse_time_of_day(bad).ok()) << bad;
  }
  EXPECT_EQ(format_days(0x1F), "Mon-Fri");
  EXPECT_EQ(format_days(0x71), "Mon,Fri-Sun");
  EXPECT_EQ(format_time_of_day(510), "08:30");
}

// Minutes since a Monday's midnight.
LocalTime minutes_calendar(int64_t minutes) {
  return {static_cast<unsigned>(minutes / 1440 % 7), static_cast<unsigned>(minutes % 1440)};
}
constexpr int64_t at(int64_t day, int64_t hour, int64_t minute = 0) {
  return day * 1440 + hour * 60 + minute;
}

TEST(BandwidthSchedule, TheFirstRuleThatHoldsWins) {
  const BandwidthSchedule schedule({{0x1F, 8 * 60, 18 * 60, {10, 20}},   // working hours
                                    {0x10, 22 * 60, 6 * 60, {30, 0}},    // Friday night
                                    {0x40, 0, 0, {40, 40}},              // all Sunday
                                    {0x7F, 17 * 60, 19 * 60, {50, 0}}},  // daily
                                   minutes_calendar);
  EXPECT_EQ(schedule.at(at(0, 7, 59)), (BandwidthLimits{}));
  EXPECT_EQ(schedule.at(at(0, 8)), (BandwidthLimits{10, 20}));
  EXPECT_EQ(schedule.at(at(0, 17, 59)), (BandwidthLimits{10, 20})) << "not the fourth";
  EXPECT_EQ(schedule.at(at(0, 18)), (BandwidthLimits{50, 0}));
  EXPECT_EQ(schedule.at(at(4, 23)), (BandwidthLimits{30, 0}));
  EXPECT_EQ(schedule.at(at(5, 5, 59)), (BandwidthLimits{30, 0})) << "Saturday, began on Friday";
  EXPECT_EQ(schedule.at(at(5, 6)), (BandwidthLimits{}));
  EXPECT_EQ(schedule.at(at(4, 1)), (BandwidthLimits{})) << "Thursday night is another one";
  EXPECT_EQ(schedule.at(at(6, 12)), (BandwidthLimits{40, 40}));
  EXPECT_EQ(schedule.at(at(6, 23, 59)), (BandwidthLimits{40, 40}));
  EXPECT_EQ(schedule.at(at(7, 0)), (BandwidthLimits{}));
}

TEST(BandwidthSchedule, LocalTimeIsTheMachines) {
  // 2026-11-21 is a Saturday; no zone is further than 14 hours away.
  const LocalTime noon = local_time_of(1'795'262'400'000);
  EXPECT_GE(noon.day, 4U);
  EXPECT_LT(noon.minute, 1440U);
}

class ThrottledStoreTest : public testing::Test {
 protected:
  // `limits` hold until `until_ms`, then `later` do.
  void open(BandwidthLimits limits, int64_t until_ms = INT64_MAX / 2, BandwidthLimits later = {}) {
    const int64_t start = clock_.unix_ms();
    const auto calendar = [start, until_ms](int64_t unix_ms) {
      return LocalTime{0, unix_ms - start < until_ms ? 0U : 60U};
    };
    LocalDirectoryOptions options;
    options.root = "/store";
    auto inner = LocalDirectoryStore::open(disk_, clock_, options);
    ASSERT_TRUE(inner.ok());
    store_ = std::make_unique<ThrottledStore>(
        std::move(inner).value(), clock_,
        BandwidthSchedule({{0x7F, 0, 30, limits}, {0x7F, 30, 1440, later}}, calendar));
  }
  // Puts a file of so many bytes; gives the seconds it took.
  double put_seconds(uint64_t bytes) {
    SeededRandom random(++seed_);
    Buffer content(bytes);
    random.fill(content);
    const std::string path = "/file" + std::to_string(seed_);
    EXPECT_TRUE(disk_.replace_file(path, content).ok());
    auto file = disk_.open(path, OpenMode::read);
    EXPECT_TRUE(file.ok());
    PutSource source;
    source.file = file->get();
    source.size = bytes;
    source.sha256 = Sha256::of(content);
    const int64_t began = clock_.elapsed_ms();
    const auto put = store_->put("object", source, {});
    EXPECT_TRUE(put.ok()) << put.error().message();
    const double seconds = static_cast<double>(clock_.elapsed_ms() - began) / 1000;
    EXPECT_TRUE(equal(*store_->get_all("object"), content));
    return seconds;
  }
  double get_seconds(uint64_t bytes) {
    Buffer out(bytes);
    const int64_t began = clock_.elapsed_ms();
    const Status got = store_->get("object", 0, out);
    EXPECT_TRUE(got.ok()) << got.error().message();
    return static_cast<double>(clock_.elapsed_ms() - began) / 1000;
  }

  SimClock clock_;
  SimFileSystem disk_;
  std::unique_ptr<ThrottledStore> store_;
  uint64_t seed_ = 0;
};

TEST_F(ThrottledStoreTest, UploadsKeepTheirLimit) {
  open({2'000'000, 0});
  EXPECT_NEAR(put_seconds(8'000'000), 4.0, 0.3);
  EXPECT_NEAR(put_seconds(20'000'000), 10.0, 0.5);
}

TEST_F(ThrottledStoreTest, DownloadsKeepTheirs) {
  open({0, 1'000'000});
  EXPECT_LT(put_seconds(3'000'000), 0.1) << "the other way has no limit";
  clock_.advance_ms(10'000);  // pays the debt of reading it back
  const double seconds = get_seconds(3'000'000);
  EXPECT_GE(seconds, 2.4);  // the last slice is paid by whoever comes next
  EXPECT_LE(seconds, 3.2);
  EXPECT_NEAR(get_seconds(3'000'000), 3.0, 0.6);
}

TEST_F(ThrottledStoreTest, SmallObjectsDoNotWaitAndAreCounted) {
  open({1'000'000, 1'000'000});
  PutSource source;
  const Buffer content(100'000);
  source.bytes = content;
  source.size = content.size();
  source.sha256 = Sha256::of(content);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(store_->put("small", source, {}).ok());
  EXPECT_EQ(clock_.elapsed_ms(), 0);
  EXPECT_GE(put_seconds(1'000'000), 2.5) << "the two million bytes before it count";
}

TEST_F(ThrottledStoreTest, AChangedLimitReachesWhatIsUnderWay) {
  open({1'000'000, 0}, 4'000, {});
  const double seconds = put_seconds(64'000'000);
  EXPECT_GE(seconds, 3.9) << "limited at first";
  EXPECT_LE(seconds, 4.5) << "and free when the rule ended";
}

TEST_F(ThrottledStoreTest, GivingUpEndsTheWait) {
  open({1'000, 0});
  Buffer content(1 * MiB);
  ASSERT_TRUE(disk_.replace_file("/slow", content).ok());
  auto file = disk_.open("/slow", OpenMode::read);
  ASSERT_TRUE(file.ok());
  PutSource source;
  source.file = file->get();
  source.size = content.size();
  source.sha256 = Sha256::of(content);
  store_->give_up();
  const auto put = store_->put("object", source, {});
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace coldshelf::test
