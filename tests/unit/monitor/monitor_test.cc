#include "gateway/monitor.h"

#include <gtest/gtest.h>

#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

class MonitorTest : public testing::Test {
 protected:
  void SetUp() override {
    gateway.open();
    config = *default_config(gateway.root() + "/data");
    make();
  }
  void make() {
    Monitor::Env env;
    env.clock = &gateway.clock();
    env.files = &gateway.files;
    env.catalog = gateway.catalog.get();
    env.shelf = gateway.shelf.get();
    env.library = gateway.library.get();
    env.config = &config;
    env.meter = meter;
    env.health = [this] { return health; };
    env.host = [this]() -> Result<HostLoad> {
      host.all += 1'000;
      host.io_wait += io_wait;
      return host;
    };
    env.certificate_expires_ms = [this] { return certificate; };
    env.reads = [this] { return reads; };
    env.notify = [this](const Alarm& alarm) { told.push_back(alarm); };
    monitor = std::make_unique<Monitor>(std::move(env));
    ASSERT_OK(monitor->open());
  }
  void ticks(int minutes) {
    for (int i = 0; i < minutes * 12; ++i) {
      gateway.clock().sleep_ms(Monitor::kIntervalMs);
      monitor->tick();
    }
  }
  std::vector<std::string> on() {
    std::vector<std::string> out;
    for (const Alarm& alarm : monitor->alarms().active()) {
      out.push_back(alarm.name + (alarm.subject.empty() ? "" : "/" + alarm.subject));
    }
    return out;
  }
  void read_all(const std::string& barcode) {
    ASSERT_OK(gateway.tapes->load(barcode, 1));
    for (int i = 0; i < 16; ++i) ASSERT_OK(gateway.drives[0]->read());
    ASSERT_OK(gateway.tapes->unload(1));
  }
  using Names = std::vector<std::string>;
  TestGateway gateway;
  Config config;
  Status health;
  HostLoad host;
  uint64_t io_wait = 0, reads = 0;
  std::optional<int64_t> certificate;
  std::shared_ptr<StoreMeter> meter = std::make_shared<StoreMeter>(gateway.clock());
  std::vector<Alarm> told;
  std::unique_ptr<Monitor> monitor;
};

TEST_F(MonitorTest, AQuietGatewayIsQuiet) {
  gateway.create("MON001L8");
  ticks(30);
  EXPECT_EQ(on(), Names{});
  EXPECT_TRUE(told.empty());
}

TEST_F(MonitorTest, IoWaitIsOfTheLastMinute) {
  io_wait = 300;
  ticks(1);
  EXPECT_NEAR(monitor->recent().io_wait_percent, 30, 0.1);
  EXPECT_EQ(on(), Names{});
  ticks(15);
  EXPECT_EQ(on(), Names{"io_wait"});
  io_wait = 0;
  ticks(2);
  EXPECT_NEAR(monitor->recent().io_wait_percent, 0, 0.1);
  ticks(5);
  EXPECT_EQ(on(), Names{});
}

// AWS's CacheHitPercent: of the reads, not of the segments behind them.
TEST_F(MonitorTest, CacheHitsAreReadsThatDidNotWait) {
  gateway.create("MON001L8");
  gateway.write_files("MON001L8", 1, 16, 1 << 20);
  gateway.archive("MON001L8");
  gateway.retrieve("MON001L8");
  ticks(2);
  EXPECT_EQ(monitor->recent().cache_hit_percent, std::nullopt);
  const uint64_t before = gateway.shelf->statistics().reader_waits;
  read_all("MON001L8");
  const uint64_t waited = gateway.shelf->statistics().reader_waits - before;
  EXPECT_GT(waited, 0U);
  reads += 10 * waited;
  ticks(1);
  EXPECT_NEAR(*monitor->recent().cache_hit_percent, 90, 0.01);
  read_all("MON001L8");  // all of it is here now
  EXPECT_EQ(gateway.shelf->statistics().reader_waits - before, waited);
  ticks(2);
  EXPECT_EQ(monitor->recent().cache_hit_percent, std::nullopt);
}

TEST_F(MonitorTest, ThresholdsAreConfigured) {
  config.alarms.io_wait = {60, 50, 60'000};
  make();
  io_wait = 300;
  ticks(20);
  EXPECT_EQ(on(), Names{});
  io_wait = 650;
  ticks(4);
  EXPECT_EQ(on(), Names{"io_wait"});
}

TEST_F(MonitorTest, ADirtyCacheRingsAfterTwentyMinutes) {
  gateway.create("MON001L8");
  gateway.write_files("MON001L8", 1, 16, 1 << 20);  // sealed, and nothing uploads it
  config.cache.limit_bytes = gateway.shelf->statistics().cache_bytes;
  ticks(19);
  EXPECT_EQ(on(), Names{});
  ticks(2);
  EXPECT_EQ(on(), Names{"cache_dirty"});
  gateway.settle();
  ticks(6);
  EXPECT_EQ(on(), Names{});
  EXPECT_EQ(told.size(), 2U);
}

TEST_F(MonitorTest, TapesDrivesAndDirectory) {
  const Uuid uuid = gateway.create("MON001L8").row.uuid;
  ASSERT_OK(gateway.catalog->set_tape_problem(uuid, "writing failed, read-only since: io: disk"));
  health = Error(ErrorCode::io, "the data directory has vanished");
  monitor->tick();
  EXPECT_EQ(on(), (Names{"data_directory", "tape_problem/tape MON001L8"}));
  ASSERT_OK(gateway.catalog->set_tape_problem(uuid, ""));
  health = {};
  ticks(1);
  EXPECT_EQ(on(), Names{});
}

TEST_F(MonitorTest, AStoreThatIsAway) {
  const Error away(ErrorCode::unavailable, "connection refused");
  for (int i = 0; i < 5; ++i) meter->end(StoreCall::head, meter->begin(), 0, &away);
  monitor->tick();
  EXPECT_EQ(on(), Names{});
  ticks(2);
  EXPECT_EQ(on(), Names{"store_unreachable"});
  meter->end(StoreCall::head, meter->begin(), 0, nullptr);
  ticks(1);
  EXPECT_EQ(on(), Names{});
}

TEST_F(MonitorTest, CertificateAndRestart) {
  certificate = gateway.clock().unix_ms() + 1'000;
  monitor->tick();
  EXPECT_EQ(on(), Names{"certificate_expiring"});
  ASSERT_OK(monitor->alarms().acknowledge("certificate_expiring", ""));
  monitor->tick();
  monitor.reset();
  told.clear();
  make();
  monitor->tick();
  EXPECT_EQ(on(), Names{"certificate_expiring"});
  EXPECT_TRUE(monitor->alarms().active().front().acknowledged);
  EXPECT_TRUE(told.empty());
}

TEST_F(MonitorTest, ThreadsStartAndStop) {
  TestGateway real(true);
  real.open();
  Monitor::Env env;
  env.clock = &real.clock();
  env.files = &real.files;
  env.catalog = real.catalog.get();
  env.shelf = real.shelf.get();
  env.config = &config;
  Monitor threaded(std::move(env));
  threaded.start();
  threaded.stop();
}

}  // namespace
}  // namespace coldshelf::test
