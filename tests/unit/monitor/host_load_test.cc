#include "base/host_load.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/latency.h"
#include "target/scsi/unit_statistics.h"

namespace coldshelf {
namespace {

TEST(HostLoad, OfThisMachine) {
  const auto load = read_host_load();
  ASSERT_TRUE(load.ok()) << load.error().message();
  EXPECT_GT(load->all, 0U);
  EXPECT_GE(load->all, load->user + load->system + load->idle + load->io_wait);
  EXPECT_GT(load->memory_total_bytes, load->memory_available_bytes);
  EXPECT_GT(load->process_resident_bytes, 0U);
  EXPECT_GT(load->process_open_files, 0U);
}

TEST(HostLoad, ReadsWhatProcSays) {
  const std::filesystem::path root = testing::TempDir() + "/host_load_proc";
  std::filesystem::create_directories(root / "self" / "fd");
  std::ofstream(root / "stat") << "cpu  10 2 30 400 50 6 7 8 9 10\ncpu0 1 2 3\n";
  std::ofstream(root / "meminfo") << "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable: 1024 kB\n";
  std::ofstream(root / "self" / "status") << "Name: x\nVmRSS:\t 12 kB\n";
  std::ofstream(root / "self" / "stat") << "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0\n";
  const auto load = read_host_load(root);
  ASSERT_TRUE(load.ok());
  EXPECT_EQ(load->user, 12U);
  EXPECT_EQ(load->system, 30U);
  EXPECT_EQ(load->idle, 400U);
  EXPECT_EQ(load->io_wait, 50U);
  EXPECT_EQ(load->all, 513U);  // guest time is in user time already
  EXPECT_EQ(load->memory_total_bytes, 2048U * 1024);
  EXPECT_EQ(load->memory_available_bytes, 1024U * 1024);
  EXPECT_EQ(load->process_resident_bytes, 12U * 1024);
  EXPECT_GT(load->process_cpu_seconds, 0);
  std::ofstream(root / "stat") << "something else\n";
  EXPECT_FALSE(read_host_load(root).ok());
}

TEST(HostLoad, PercentsAreOfTheTimeBetween) {
  HostLoad before, now;
  before.all = 1000;
  now.all = 1200;
  EXPECT_DOUBLE_EQ(HostLoad::percent(10, 60, before, now), 25);
  EXPECT_DOUBLE_EQ(HostLoad::percent(60, 10, before, now), 0);
  EXPECT_DOUBLE_EQ(HostLoad::percent(0, 50, now, now), 0);
}

TEST(Latency, BucketsHaveTheirBounds) {
  LatencyHistogram histogram;
  histogram.record(-5);
  histogram.record(50'000);          // exactly the first bound
  histogram.record(50'001);          // the second bucket
  histogram.record(61'000'000'000);  // longer than all
  const auto seen = histogram.snapshot();
  EXPECT_EQ(seen.counts[0], 2U);
  EXPECT_EQ(seen.counts[1], 1U);
  EXPECT_EQ(seen.counts[LatencyHistogram::kBuckets - 1], 1U);
  EXPECT_EQ(seen.count(), 4U);
  EXPECT_EQ(seen.total_ns, 61'000'100'001U);
}

TEST(UnitStatistics, CountsByKind) {
  scsi::UnitStatistics statistics;
  Buffer data(512);
  scsi::Command write;
  write.cdb[0] = std::byte{0x0A};
  write.data_out = data;
  statistics.record(write, {}, 100);
  scsi::Command read;
  read.cdb[0] = std::byte{0x88};
  scsi::Reply reply;
  reply.data = scsi::DataIn::from(Buffer(100));
  statistics.record(read, reply, 200);
  reply.status = scsi::ScsiStatus::check_condition;
  reply.data = {};
  statistics.record(read, reply, 300);
  const auto seen = statistics.snapshot();
  const auto& reads = seen[static_cast<size_t>(scsi::CommandKind::read)];
  EXPECT_EQ(reads.latency.count(), 2U);
  EXPECT_EQ(reads.bytes, 100U);
  EXPECT_EQ(reads.errors, 1U);
  EXPECT_EQ(seen[static_cast<size_t>(scsi::CommandKind::write)].bytes, 512U);
  EXPECT_EQ(scsi::kind_of(std::byte{0x10}), scsi::CommandKind::sync);
  EXPECT_EQ(scsi::kind_of(std::byte{0x12}), scsi::CommandKind::other);
}

}  // namespace
}  // namespace coldshelf
