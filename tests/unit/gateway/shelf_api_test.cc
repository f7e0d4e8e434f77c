// Pools, parts, costs and reassignment through the management API.
#include "gateway/api/service.h"
#include "gateway/pools.h"
#include "tests/support/faulty_store.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

using api::Json;

class ShelfApi : public testing::Test {
 protected:
  void SetUp() override {
    gateway_.open();
    api::ServiceEnv env;
    env.tapes = gateway_.tapes.get();
    auto config = default_config(gateway_.root() + "/data");
    ASSERT_OK(config);
    env.config = *config;
    env.gateway_id = "sgw-12A3456B";
    env.version = "test";
    service_ = std::make_unique<api::Service>(env);
  }
  Result<Json> aws(const std::string& operation, const Json& input) {
    return service_->run("StorageGateway_20130630." + operation, input);
  }
  Result<Json> own(const std::string& operation, const Json& input) {
    return service_->run("Coldshelf_20261101." + operation, input);
  }

  TestGateway gateway_;
  std::unique_ptr<api::Service> service_;
};

TEST_F(ShelfApi, AwsPoolOperationsHonourTheirFields) {
  ASSERT_OK(aws("CreateTapePool", {{"PoolName", "legal"},
                                   {"StorageClass", "DEEP_ARCHIVE"},
                                   {"RetentionLockType", "COMPLIANCE"},
                                   {"RetentionLockTimeInDays", 3650}}));
  auto pools = aws("ListTapePools", Json::object());
  ASSERT_OK(pools);
  ASSERT_EQ((*pools)["PoolInfos"].size(), 3U);
  const Json legal = (*pools)["PoolInfos"][2];
  EXPECT_EQ(legal["PoolName"], "legal");
  EXPECT_EQ(legal["RetentionLockType"], "COMPLIANCE");
  EXPECT_EQ(legal["RetentionLockTimeInDays"], 3650);
  EXPECT_EQ(legal["PoolStatus"], "ACTIVE");
  pools = aws("ListTapePools", {{"PoolARNs", {legal["PoolARN"]}}});
  EXPECT_EQ((*pools)["PoolInfos"].size(), 1U);
  pools = aws("ListTapePools", {{"Limit", 1}});
  ASSERT_EQ((*pools)["PoolInfos"].size(), 1U);
  pools = aws("ListTapePools", {{"Limit", 5}, {"Marker", (*pools)["Marker"]}});
  EXPECT_EQ((*pools)["PoolInfos"].size(), 2U);
  EXPECT_EQ(aws("CreateTapePool", {{"PoolName", "x"},
                                   {"StorageClass", "GLACIER"},
                                   {"RetentionLockType", "FOREVER"},
                                   {"RetentionLockTimeInDays", 1}})
                .error()
                .code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(
      aws("CreateTapePool",
          {{"PoolName", "x"}, {"StorageClass", "GLACIER"}, {"RetentionLockType", "GOVERNANCE"}})
          .error()
          .code,
      ErrorCode::out_of_range);
  ASSERT_OK(
      own("CreateTapes", {{"Barcode", "IN0001L8"}, {"SizeInBytes", 1 * GiB}, {"Pool", "legal"}}));
  EXPECT_EQ(aws("DeleteTapePool", {{"PoolARN", legal["PoolARN"]}}).error().code,
            ErrorCode::conflict);
  ASSERT_OK(aws("AssignTapePool",
                {{"TapeARN", "arn:aws:storagegateway:local-1:000000000000:tape/IN0001L8"},
                 {"PoolId", "GLACIER"}}));
  EXPECT_EQ(gateway_.tapes->show("IN0001L8")->row.pool, "GLACIER");
  EXPECT_FALSE(gateway_.tapes->show("IN0001L8")->location.empty()) << "still in its slot";
  ASSERT_OK(aws("DeleteTapePool", {{"PoolARN", legal["PoolARN"]}}));
  EXPECT_EQ(aws("DeleteTapePool", {{"PoolARN", legal["PoolARN"]}}).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(own("DeletePool", {{"Name", "GLACIER"}}).error().code, ErrorCode::conflict);
}

TEST_F(ShelfApi, EstimatesAndPartsOfATape) {
  gateway_.create("EST001L8");
  gateway_.write_files("EST001L8", 6, 20, 100'000);
  gateway_.archive("EST001L8");
  auto all = own("EstimateRetrieval", {{"Barcode", "EST001L8"}});
  ASSERT_OK(all);
  auto part = own("EstimateRetrieval", {{"Barcode", "EST001L8"}, {"Files", "2-3"}, {"Days", 30}});
  ASSERT_OK(part);
  EXPECT_EQ((*part)["Parts"], "files 2-3");
  EXPECT_LT((*part)["Objects"], (*all)["Objects"]);
  for (const Json& tier : (*part)["Tiers"]) {
    const double gib = tier["Bytes"].get<double>() / static_cast<double>(GiB);
    EXPECT_NEAR(tier["TemporaryCopy"].get<double>(), gib * 0.023, 1e-9);
    EXPECT_NEAR(tier["Total"].get<double>(),
                tier["Requests"].get<double>() + tier["Retrieval"].get<double>() +
                    tier["TemporaryCopy"].get<double>(),
                1e-12);
  }
  EXPECT_EQ(own("EstimateRetrieval", {{"Barcode", "EST001L8"}, {"Files", "99"}}).error().code,
            ErrorCode::out_of_range);
  EXPECT_EQ(own("EstimateRetrieval", {{"Barcode", "EST001L8"}, {"Partition", 0}}).error().code,
            ErrorCode::invalid_argument);
  const auto job =
      own("RetrieveTape", {{"Barcode", "EST001L8"}, {"Files", "2-3"}, {"Tier", "Bulk"}});
  ASSERT_OK(job);
  gateway_.wait_for_job((*job)["JobId"]);
  auto tape = own("DescribeTape", {{"Barcode", "EST001L8"}});
  ASSERT_OK(tape);
  EXPECT_EQ((*tape)["Status"], "RETRIEVED");
  EXPECT_EQ((*tape)["Parts"], "files 2-3");
  EXPECT_EQ((*tape)["MinimumStorageDays"], 90);
  EXPECT_EQ((*tape)["Stored"][0]["StorageClass"], "GLACIER");
  EXPECT_EQ(own("VerifyTape", {{"Barcode", "EST001L8"}}).error().code, ErrorCode::conflict);
  const auto pools = own("ListPools", Json::object());
  ASSERT_OK(pools);
  EXPECT_EQ((*pools)["Pools"][1]["Tapes"], 1);
  EXPECT_NEAR((*pools)["Pools"][1]["MonthlyCost"].get<double>(),
              (*tape)["MonthlyCost"].get<double>(), 1e-12);
}

TEST_F(ShelfApi, AnArchivedTapeGoesToAColderPool) {
  gateway_.create("COL001L8");
  gateway_.write_files("COL001L8", 2, 10, 100'000);
  gateway_.archive("COL001L8");
  const auto cost = own("EstimateAssign", {{"Barcode", "COL001L8"}, {"Pool", "DEEP_ARCHIVE"}});
  ASSERT_OK(cost);
  EXPECT_GT((*cost)["EarlyDeletion"].get<double>(), 0) << "it was archived a moment ago";
  ASSERT_OK(aws("AssignTapePool",
                {{"TapeARN", "arn:aws:storagegateway:local-1:000000000000:tape/COL001L8"},
                 {"PoolId", "DEEP_ARCHIVE"}}));
  gateway_.settle();
  EXPECT_EQ(gateway_.tapes->show("COL001L8")->row.pool, "DEEP_ARCHIVE");
  const auto archives = aws("DescribeTapeArchives", Json::object());
  ASSERT_OK(archives);
  EXPECT_EQ((*archives)["TapeArchives"][0]["PoolId"], "DEEP_ARCHIVE");
  EXPECT_EQ(aws("AssignTapePool",
                {{"TapeARN", "arn:aws:storagegateway:local-1:000000000000:tape/COL001L8"},
                 {"PoolId", "GLACIER"}})
                .error()
                .code,
            ErrorCode::conflict);
  EXPECT_EQ(own("CancelTapeJob", {{"Barcode", "COL001L8"}}).error().code, ErrorCode::conflict);
}

TEST_F(ShelfApi, APoolTheStoreCannotKeepIsRefused) {
  FaultyStore plain(*gateway_.store, gateway_.clock(), gateway_.random);
  const PoolRow cold{"cold", "GLACIER", "staged", "", 0};
  const PoolRow locked{"locked", "STANDARD", "direct", "COMPLIANCE", 10};
  EXPECT_OK(check_pool_fits(cold, plain));
  EXPECT_OK(check_pool_fits(locked, plain));
  plain.set_capabilities({true, false, false, true});
  const Status refused = check_pool_fits(cold, plain);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
  EXPECT_NE(refused.error().context.find("storage_class"), std::string::npos);
  EXPECT_EQ(check_pool_fits(locked, plain).error().code, ErrorCode::not_supported);
  EXPECT_OK(check_pool_fits({"warm", "STANDARD", "direct", "", 0}, plain));
}

TEST(PoolConfigs, ModesAndLocksAreChecked) {
  const auto parse = [](const std::string& pool) {
    return parse_config("[[pool]]\nname = \"p\"\n" + pool, "test", "/", "/data");
  };
  const auto fine = parse("storage_class = \"GLACIER_IR\"\nlock = \"governance\"\nlock_days = 9\n");
  ASSERT_OK(fine);
  EXPECT_EQ(row_of(fine->pools[0]), (PoolRow{"p", "GLACIER_IR", "direct", "GOVERNANCE", 9}));
  EXPECT_EQ(row_of(parse("storage_class = \"DEEP_ARCHIVE\"\n")->pools[0]).mode, "staged");
  for (const char* bad : {"storage_class = \"ICE\"\n", "mode = \"later\"\n", "lock = \"maybe\"\n",
                          "lock = \"compliance\"\n", "lock_days = 3\n", "lock_days = -1\n",
                          "lock = \"compliance\"\nlock_days = 40000\n", "locked = true\n"}) {
    EXPECT_FALSE(parse(bad).ok()) << bad;
  }
  for (const char* bad : {"[prices]\ncurrency = \"\"\n", "[prices.glacier]\nbulk_per_gb = -1.0\n",
                          "[prices.glacier]\nbulk_per_gb = \"0.1\"\n",
                          "[prices.deep_archive]\nexpedited_per_gb = 1.0\n"}) {
    EXPECT_FALSE(parse_config(bad, "test", "/", "/data").ok()) << bad;
  }
  const auto prices = parse_config("[prices.glacier]\nbulk_per_gb = 1\n", "test", "/", "/data");
  ASSERT_OK(prices);
  EXPECT_EQ(prices->prices.glacier.bulk.per_gb, 1.0);
}

}  // namespace
}  // namespace coldshelf::test
