// What the web console asks: drives and what they do, where segments are, samples for charts.
#include "gateway/api/service.h"
#include "gateway/history.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

using api::Json;

class ConsoleApi : public testing::Test {
 protected:
  void SetUp() override {
    gateway_.open();
    history_ = std::make_unique<History>(gateway_.clock(), [this] { return measured_; });
    api::ServiceEnv env;
    env.tapes = gateway_.tapes.get();
    env.history = history_.get();
    auto config = default_config(gateway_.root() + "/data");
    ASSERT_OK(config);
    env.config = *config;
    env.gateway_id = "sgw-12A3456B";
    env.version = "test";
    service_ = std::make_unique<api::Service>(env);
  }
  Result<Json> own(const std::string& operation, const Json& input) {
    return service_->run("Coldshelf_20261101." + operation, input);
  }
  void pass(int64_t ms) { gateway_.clock().sleep_ms(ms); }

  TestGateway gateway_;
  HistorySample measured_;
  std::unique_ptr<History> history_;
  std::unique_ptr<api::Service> service_;
};

TEST_F(ConsoleApi, DrivesTellWhatTheyDo) {
  gateway_.create("ABC001L8");
  auto drives = own("ListDrives", Json::object());
  ASSERT_OK(drives);
  Json first = (*drives)["Drives"][0];
  EXPECT_EQ(first["Activity"], "empty");
  EXPECT_FALSE(first.contains("Position"));

  ASSERT_OK(gateway_.tapes->load("ABC001L8", 1));
  TapeDrive& drive = *gateway_.drives[0];
  ASSERT_OK(drive.write(TestGateway::record(0, 0, 1000)));
  ASSERT_OK(drive.write_filemarks(1, false));
  first = (*own("ListDrives", Json::object()))["Drives"][0];
  EXPECT_EQ(first["Barcode"], "ABC001L8");
  EXPECT_EQ(first["Activity"], "idle");
  EXPECT_EQ(first["Position"], (Json{{"Partition", 0}, {"File", 1}, {"Block", 2}}));
  EXPECT_EQ(first["WrittenBytes"], 1000);

  ASSERT_OK(drive.unload());
  first = (*own("ListDrives", Json::object()))["Drives"][0];
  EXPECT_EQ(first["Activity"], "not_ready");
  EXPECT_FALSE(first.contains("Position"));
}

TEST_F(ConsoleApi, SegmentsAreRunsByPlace) {
  gateway_.create("ABC001L8");
  auto segments = own("ListSegments", {{"Barcode", "ABC001L8"}});
  ASSERT_OK(segments);
  EXPECT_TRUE((*segments)["Runs"].empty());
  gateway_.write_files("ABC001L8", 2, 4, 100'000);
  gateway_.settle();
  segments = own("ListSegments", {{"Barcode", "ABC001L8"}});
  ASSERT_EQ((*segments)["Runs"].size(), 1U);
  EXPECT_EQ((*segments)["Runs"][0]["Where"], "both");
  EXPECT_EQ((*segments)["Runs"][0]["StorageClass"], "STANDARD");
  const TapeRow row = gateway_.tapes->show("ABC001L8")->row;
  EXPECT_EQ((*segments)["Runs"][0]["Bytes"], row.stored_bytes);
  gateway_.archive("ABC001L8");
  segments = own("ListSegments", {{"Barcode", "ABC001L8"}});
  ASSERT_EQ((*segments)["Runs"].size(), 1U);
  EXPECT_EQ((*segments)["Runs"][0]["StorageClass"], "GLACIER");

  // Not here any more: cold, and readable once it is restored.
  for (const SegmentRow& s : *gateway_.catalog->segments(row.uuid)) {
    ASSERT_OK(gateway_.catalog->set_segment_state(s.cartridge, s.sequence, s.epoch,
                                                  SegmentState::evicted, false, "GLACIER"));
  }
  EXPECT_EQ((*own("ListSegments", {{"Barcode", "ABC001L8"}}))["Runs"][0]["Where"], "cold");
  for (const SegmentRow& s : *gateway_.catalog->segments(row.uuid)) {
    ASSERT_OK(gateway_.catalog->set_restored_until(s.cartridge, s.sequence, s.epoch,
                                                   gateway_.clock().unix_ms() + 1'000));
  }
  EXPECT_EQ((*own("ListSegments", {{"Barcode", "ABC001L8"}}))["Runs"][0]["Where"], "restored");
  pass(2'000);
  EXPECT_EQ((*own("ListSegments", {{"Barcode", "ABC001L8"}}))["Runs"][0]["Where"], "cold");
  EXPECT_EQ(own("ListSegments", {{"Barcode", "NONE01L8"}}).error().code, ErrorCode::not_found);
}

TEST_F(ConsoleApi, TapesListWithTheirCost) {
  gateway_.create("ABC001L8");
  gateway_.write_files("ABC001L8", 1, 4, 100'000);
  gateway_.settle();
  const Json tape = (*own("ListTapes", {{"Costs", true}}))["Tapes"][0];
  EXPECT_EQ(tape["MonthlyCost"], (*own("DescribeTape", {{"Barcode", "ABC001L8"}}))["MonthlyCost"]);
  EXPECT_GT(tape["MonthlyCost"].get<double>(), 0.0);
  EXPECT_FALSE((*own("ListTapes", Json::object()))["Tapes"][0].contains("MonthlyCost"));
}

TEST_F(ConsoleApi, HistoryGivesWhatIsNew) {
  const int64_t begin = gateway_.clock().unix_ms();
  for (uint64_t i = 0; i < 100; ++i) {
    measured_.uploaded_bytes = i * 1000;
    measured_.cache_bytes = 7;
    history_->sample();
    pass(History::kFineMs);
  }
  auto all = own("DescribeHistory", Json::object());
  ASSERT_OK(all);
  ASSERT_EQ((*all)["Samples"].size(), 100U);
  EXPECT_EQ((*all)["IntervalMs"], History::kFineMs);
  const Json last = (*all)["Samples"][99];
  ASSERT_EQ(last.size(), (*all)["Fields"].size());
  EXPECT_EQ((*all)["Fields"][3], "UploadedBytes");
  EXPECT_EQ(last[3], 99'000);
  EXPECT_EQ((*all)["Fields"][5], "CacheBytes");
  EXPECT_EQ(last[5], 7);
  const auto later = own("DescribeHistory", {{"After", (*all)["Samples"][97][0]}});
  EXPECT_EQ((*later)["Samples"].size(), 2U);
  // 200 s, one a minute: at 0, 60, 120 and 180.
  const auto coarse = own("DescribeHistory", {{"Resolution", "coarse"}});
  ASSERT_EQ((*coarse)["Samples"].size(), 4U);
  EXPECT_EQ((*coarse)["Samples"][1][0], begin + History::kCoarseMs);
  EXPECT_EQ(own("DescribeHistory", {{"Resolution", "finest"}}).error().code,
            ErrorCode::invalid_argument);
}

TEST_F(ConsoleApi, HistoryIsBoundedAndSurvivesAClockSetBack) {
  for (size_t i = 0; i < History::kFineSamples + 50; ++i) {
    history_->sample();
    pass(History::kFineMs);
  }
  EXPECT_EQ(history_->since(0, false).size(), History::kFineSamples);
  pass(-600'000);
  history_->sample();
  const auto fine = history_->since(0, false);
  EXPECT_EQ(fine.back().unix_ms, gateway_.clock().unix_ms());
  for (size_t i = 1; i < fine.size(); ++i) EXPECT_LT(fine[i - 1].unix_ms, fine[i].unix_ms);
}

}  // namespace
}  // namespace coldshelf::test
