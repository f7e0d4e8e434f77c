// Volumes on a simulated disk and clock and without iSCSI.
#pragma once

#include <gtest/gtest.h>

#include <set>

#include "base/log.h"
#include "gateway/volume_scheduler.h"
#include "gateway/volume_service.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {

// Disks that nobody reaches, with as many sessions as a test wants.
class FakeTargets final : public VolumeTargets {
 public:
  std::string iqn_of(const std::string& name) const override { return volume_iqn("gw", name); }
  Status add(const DiskTarget& disk) override {
    if (fail_add) return Error(ErrorCode::io, "no target today");
    if (!disks.emplace(disk.name, disk.device).second) {
      return Error(ErrorCode::exists, disk.name);
    }
    return {};
  }
  Status remove(const std::string& name) override {
    logged_in.erase(name);
    if (disks.erase(name) == 1) return {};
    return Error(ErrorCode::not_found, name);
  }
  std::map<std::string, size_t> sessions() const override {
    std::map<std::string, size_t> out;
    for (const std::string& name : logged_in) out[iqn_of(name)] = 1;
    return out;
  }

  std::map<std::string, std::shared_ptr<BlockDevice>> disks;
  std::set<std::string> logged_in;
  bool fail_add = false;
};

// Remembers when it was frozen and thawed, and fails as told.
class FakeQuiescer final : public Quiescer {
 public:
  Result<std::unique_ptr<Frozen>> freeze(const QuiesceCommands&, const std::string&) override {
    if (!fail_freeze.ok()) return fail_freeze.error();
    ++frozen;
    struct Held final : Frozen {
      explicit Held(FakeQuiescer& who) : owner(who) {}
      ~Held() override { static_cast<void>(thaw().ok()); }
      Status thaw() override {
        if (done) return {};
        done = true;
        ++owner.thawed;
        return owner.fail_thaw;
      }
      FakeQuiescer& owner;
      bool done = false;
    };
    return std::unique_ptr<Frozen>(new Held(*this));
  }
  Status fail_freeze, fail_thaw;
  int frozen = 0, thawed = 0;
};

class VolumeServiceTest : public ::testing::Test {
 protected:
  VolumeServiceTest() {
    capture_log([](std::string_view) {});
    start();
  }
  ~VolumeServiceTest() override {
    stop();
    capture_log(nullptr);
  }
  void start() {
    VolumeService::Env env;
    env.volume.cartridge = {&files,           &clock,           &random,
                            &inline_executor, &inline_executor, BufferPool::create(8 * MiB)};
    env.options.segment_bytes = 1 * MiB;
    env.directory = "/data/cartridges";
    env.units = "/data/units";
    env.gateway_name = "gw";
    env.storage = [this] { return storage; };
    env.forget = [this](const std::string& name) {
      if (forget.ok()) forgotten.push_back(name);
      return forget;
    };
    service = std::make_unique<VolumeService>(env);
    ASSERT_TRUE(service->open_all().ok());
    targets = std::make_unique<FakeTargets>();
    service->attach_targets(targets.get());
    points = std::make_unique<VolumePoints>(
        service.get(), &quiescer,
        std::map<std::string, QuiesceCommands>{{"db", QuiesceCommands{{"pre"}, {"post"}}}});
    VolumeScheduler::Env schedules;
    schedules.clock = &clock;
    schedules.volumes = service.get();
    schedules.points = points.get();
    schedules.zone = utc_zone_offset;
    schedules.on_problem = [this](const VolumeSchedule&, const std::string& problem) {
      problems.push_back(problem);
    };
    scheduler = std::make_unique<VolumeScheduler>(schedules);
    ASSERT_TRUE(scheduler->load().ok());
  }
  void stop() {
    scheduler.reset();
    points.reset();
    targets.reset();
    if (service) {
      EXPECT_TRUE(service->stop().ok());
    }
    service.reset();
  }
  void restart() {
    stop();
    start();
  }
  void create(const std::string& name) {
    VolumeService::CreateRequest request;
    request.name = name;
    request.size_bytes = 16 * MiB;
    request.block_bytes = 4096;
    const auto made = service->create(request);
    ASSERT_TRUE(made.ok()) << made.error().message();
  }
  // One block full of `value`.
  void write(const std::string& name, uint8_t value) {
    const Buffer block(4096, std::byte{value});
    ASSERT_TRUE(targets->disks.at(name)->write(0, block, false).ok());
  }
  int read(const std::string& name) {
    Buffer block(4096);
    EXPECT_TRUE(targets->disks.at(name)->read(0, block).ok());
    return static_cast<int>(block[0]);
  }
  VolumeSchedule schedule(const std::string& name, std::vector<std::string> volumes) {
    VolumeSchedule s;
    s.name = name;
    s.volumes = std::move(volumes);
    s.hours = 4;
    s.utc = true;
    return s;
  }
  size_t count(const std::string& volume) { return service->points(volume)->size(); }

  SimFileSystem files;
  SimClock clock;
  SeededRandom random{5};
  InlineExecutor inline_executor;
  FakeQuiescer quiescer;
  Status storage;
  Status forget;
  std::vector<std::string> forgotten;
  std::vector<std::string> problems;
  std::unique_ptr<VolumeService> service;
  std::unique_ptr<FakeTargets> targets;
  std::unique_ptr<VolumePoints> points;
  std::unique_ptr<VolumeScheduler> scheduler;
};

}  // namespace coldshelf::test
