#include "gateway/metrics.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

class MetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    gateway.open();
    config = *default_config(gateway.root() + "/data");
    env.tapes = gateway.tapes.get();
    env.config = &config;
    env.gateway_id = "sgw-0A1B2C3D";
    env.version = "test";
    env.meter = std::make_shared<StoreMeter>(gateway.clock());
    Monitor::Env watch;
    watch.clock = &gateway.clock();
    watch.files = &gateway.files;
    watch.catalog = gateway.catalog.get();
    watch.shelf = gateway.shelf.get();
    watch.library = gateway.library.get();
    watch.config = &config;
    monitor = std::make_unique<Monitor>(std::move(watch));
    env.monitor = monitor.get();
  }
  std::string render() { return Metrics(env).render(); }
  static std::string value(const std::string& text, const std::string& sample) {
    const size_t at = text.find("\n" + sample + " ");
    if (at == std::string::npos) return "missing";
    const size_t begin = at + sample.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }
  TestGateway gateway;
  Config config;
  std::unique_ptr<Monitor> monitor;
  Metrics::Env env;
};

TEST_F(MetricsTest, TapesAreCountedAsTheyChange) {
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"AVAILABLE\"}"), "missing");
  gateway.create("MET001L8");
  gateway.create("MET002L8");
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"AVAILABLE\"}"), "2");
  gateway.archive("MET001L8");
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"AVAILABLE\"}"), "1");
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"ARCHIVED\"}"), "1");
  ASSERT_OK(gateway.tapes->remove("MET002L8"));
  gateway.settle();
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"AVAILABLE\"}"), "missing");
  // A restart counts the rows.
  gateway.close();
  gateway.open();
  const auto counts = gateway.catalog->tape_counts();
  ASSERT_OK(counts);
  EXPECT_EQ(counts->at(TapeStatus::archived), 1U);
  EXPECT_EQ(counts->at(TapeStatus::deleted), 1U);
  env.tapes = gateway.tapes.get();
  env.monitor = nullptr;
  EXPECT_EQ(value(render(), "coldshelf_tapes{status=\"ARCHIVED\"}"), "1");
}

TEST_F(MetricsTest, ProblemsAreKeptWithTheCounts) {
  const Uuid uuid = gateway.create("MET001L8").row.uuid;
  ASSERT_OK(gateway.catalog->set_tape_problem(uuid, "torn"));
  auto problems = gateway.catalog->tape_problems(10);
  ASSERT_OK(problems);
  ASSERT_EQ(problems->size(), 1U);
  EXPECT_EQ(problems->front(), std::pair(std::string("MET001L8"), std::string("torn")));
  ASSERT_OK(gateway.catalog->set_tape_problem(uuid, "worse"));
  EXPECT_EQ(gateway.catalog->tape_problems(10)->front().second, "worse");
  ASSERT_OK(gateway.catalog->set_tape_problem(uuid, ""));
  EXPECT_TRUE(gateway.catalog->tape_problems(10)->empty());
}

TEST_F(MetricsTest, CacheAndBufferInAwsTerms) {
  config.cache.limit_bytes = 100 * MiB;
  config.buffer.limit_bytes = 50 * MiB;
  gateway.create("MET001L8");
  gateway.write_files("MET001L8", 1, 16, 1 << 20);
  const std::string text = render();
  const StorageLoad load = monitor->storage();
  EXPECT_EQ(load.cache_size_bytes, 100 * MiB);
  EXPECT_GT(load.cache_used_bytes, 0U);
  EXPECT_EQ(value(text, "coldshelf_cache_size_bytes"), std::to_string(100 * MiB));
  EXPECT_EQ(value(text, "coldshelf_cache_bytes"), std::to_string(load.cache_used_bytes));
  EXPECT_EQ(value(text, "coldshelf_drive_written_bytes_total{drive=\"1\"}"),
            std::to_string(16 * MiB));
  gateway.settle();
  EXPECT_EQ(value(render(), "coldshelf_cache_percent_dirty"), "0");
  EXPECT_NE(value(render(), "coldshelf_cloud_bytes_uploaded_total"), "0");
}

TEST_F(MetricsTest, DevicesHaveHistograms) {
  scsi::UnitStatistics statistics;
  scsi::Command read;
  read.cdb[0] = std::byte{0x08};
  scsi::Reply reply;
  reply.data = scsi::DataIn::from(Buffer(4096));
  statistics.record(read, reply, 2'000'000);
  env.units = [&] {
    return std::vector<iscsi::UnitInfo>{
        {"iqn.2026-11.io.coldshelf:coldshelf-tapedrive-01", statistics.snapshot()}};
  };
  env.traffic = [&] {
    iscsi::Traffic all;
    all.add(statistics.snapshot());
    all.reads += 3;  // of a volume that is gone
    return all;
  };
  const std::string text = render();
  EXPECT_EQ(value(text, "coldshelf_cache_reads_total{result=\"hit\"}"), "4");
  EXPECT_EQ(value(text, "coldshelf_cache_reads_total{result=\"miss\"}"), "0");
  const std::string device = "device=\"tapedrive-01\",kind=\"read\"";
  EXPECT_EQ(value(text, "coldshelf_device_latency_seconds_bucket{" + device + ",le=\"0.001\"}"),
            "0");
  EXPECT_EQ(value(text, "coldshelf_device_latency_seconds_bucket{" + device + ",le=\"0.0025\"}"),
            "1");
  EXPECT_EQ(value(text, "coldshelf_device_latency_seconds_bucket{" + device + ",le=\"+Inf\"}"),
            "1");
  EXPECT_EQ(value(text, "coldshelf_device_latency_seconds_sum{" + device + "}"), "0.002");
  EXPECT_EQ(value(text, "coldshelf_read_bytes_total"), "4096");
  EXPECT_EQ(value(text, "coldshelf_read_time_seconds_total"), "0.002");
}

TEST_F(MetricsTest, VolumesTellTheirLastRecoveryPoint) {
  env.volumes = [this] {
    return std::vector<Metrics::Volume>{
        {"db", GiB, MiB, 512, 7'000, gateway.clock().unix_ms() - 90'000}, {"new", GiB, 0, 0, 0, 0}};
  };
  const std::string text = render();
  // AWS's: up to when the store has all of it. Ours: the newest one that was made.
  EXPECT_EQ(value(text, "coldshelf_time_since_last_recovery_point_seconds{volume=\"db\"}"), "7");
  EXPECT_EQ(value(text, "coldshelf_time_since_last_recovery_point_seconds{volume=\"new\"}"), "0");
  EXPECT_EQ(value(text, "coldshelf_volume_newest_point_age_seconds{volume=\"db\"}"), "90");
  EXPECT_EQ(value(text, "coldshelf_volume_newest_point_age_seconds{volume=\"new\"}"), "missing");
  EXPECT_EQ(value(text, "coldshelf_volumes"), "2");
}

TEST_F(MetricsTest, LabelsAreEscaped) {
  config.gateway.name = "a\"b\\c\nd";
  EXPECT_NE(render().find("gateway=\"a\\\"b\\\\c\\nd\""), std::string::npos);
}

TEST_F(MetricsTest, EveryFamilyHasItsHelpAndStandsOnce) {
  const std::string text = render();
  std::set<std::string> families;
  size_t at = 0;
  while ((at = text.find("# TYPE ", at)) != std::string::npos) {
    at += 7;
    const std::string name = text.substr(at, text.find(' ', at) - at);
    EXPECT_TRUE(families.insert(name).second) << name;
    EXPECT_NE(text.find("# HELP " + name + " "), std::string::npos) << name;
    EXPECT_TRUE(name.starts_with("coldshelf_")) << name;
  }
  EXPECT_GT(families.size(), 40U);
}

}  // namespace
}  // namespace coldshelf::test
