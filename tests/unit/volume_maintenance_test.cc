// What goes on behind the writers: maps, compaction, and what must not come of them.
#include <atomic>
#include <condition_variable>
#include <thread>

#include "tests/support/sim_clock.h"
#include "tests/support/volume_fixture.h"
#include "tests/support/watched_file_system.h"

namespace coldshelf::test {
namespace {

using namespace std::chrono_literals;
constexpr auto kPatience = 60s;

// Holds up whoever opens a file in the background, from block() to go_on().
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    if (!closed_) return;
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }
  bool reached() {
    const std::lock_guard lock(mutex_);
    return reached_;
  }
  bool wait_reached() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this] { return reached_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  bool reached_ = false;
};

class VolumeMaintenance : public VolumeTest {
 protected:
  static size_t maps_of(const Volume& volume) {
    return volume.manifest().partitions[kImageMapPartition].segments.size();
  }
  template <typename Condition>
  static bool wait_until(const Condition& holds) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
};

// The point is marked and its map written; while it becomes durable the next map is made, which
// must not take the point's for one that nobody needs.
TEST_F(VolumeMaintenance, AMapLeavesThatOfAPointThatIsJustBeingKept) {
  const auto writer = std::this_thread::get_id();
  Gate gate;
  WatchedFileSystem watched(files, [&](const char* operation, const std::string& path) {
    const bool background = std::this_thread::get_id() != writer;
    if (background && std::string_view(operation) == "open" && path.ends_with(".open")) gate.pass();
  });
  WorkerPool pool(2);
  env.cartridge.files = &watched;
  env.cartridge.sealers = &pool;
  options.map_interval_bytes = 3 * MiB;
  auto volume = create();
  ASSERT_TRUE(volume->write(0, pattern(1, 1 * MiB), false).ok());
  Volume::PointRequest request;
  request.name = "p";
  request.passed = [&] {
    ASSERT_TRUE(wait_until([&] { return maps_of(*volume) == 1; }));
    gate.close();
    for (uint64_t i = 0; i < 60 && !gate.reached(); ++i) {
      ASSERT_TRUE(volume->write(0, pattern(2 + i, 512 * KiB), false).ok());
    }
    ASSERT_TRUE(gate.wait_reached()) << "no other map was begun";
  };
  Volume* which = volume.get();
  const auto made = Volume::create_points({&which, 1}, request);
  ASSERT_TRUE(made.ok()) << made.error().message();
  gate.open();
  ASSERT_TRUE(wait_until([&] { return maps_of(*volume) >= 2; })) << "the point's map is gone";
  ASSERT_TRUE(volume->seal().ok());
  volume = open();
  ASSERT_NE(volume, nullptr);
  const auto view = volume->open_point(made->front().id);
  ASSERT_TRUE(view.ok()) << view.error().message();
  EXPECT_TRUE(equal(read(**view, 0, 1 * MiB), pattern(1, 1 * MiB)));
}

// One thread for two volumes, one of which nobody uses, so that it compacts all it can.
TEST_F(VolumeMaintenance, CompactionLeavesTheOthersTheirTurn) {
  SystemClock system;
  std::atomic<bool> slow{false};
  WatchedFileSystem watched(files, [&](const char* operation, const std::string& path) {
    if (slow && std::string_view(operation) == "write" && path.starts_with("/a/"))
      std::this_thread::sleep_for(20ms);
  });
  WorkerPool pool(1);
  env.cartridge.clock = &system;
  env.cartridge.files = &watched;
  env.cartridge.sealers = &pool;
  constexpr uint64_t kBytes = 32 * MiB;
  auto a = Volume::create(env, options, "/a", {Uuid::generate(random), "a", kBytes, 4096});
  auto b = Volume::create(env, options, "/b", {Uuid::generate(random), "b", kBytes, 4096});
  ASSERT_TRUE(a.ok() && b.ok());
  for (uint64_t at = 0; at < kBytes; at += 1 * MiB) {
    ASSERT_TRUE((*a)->write(at, pattern(at, 1 * MiB), false).ok());
  }
  ASSERT_TRUE((*a)->seal().ok());
  for (uint64_t at = 0; at < kBytes; at += 8192) ASSERT_TRUE((*a)->unmap(at, 4096).ok());
  ASSERT_TRUE((*a)->flush().ok());
  slow = true;
  (*a)->go_on();
  (*a)->go_on();  // nobody used it in between
  const uint64_t before = (*a)->counters().moved_bytes;
  ASSERT_TRUE(wait_until([&] { return (*a)->counters().moved_bytes > before; }));
  ASSERT_TRUE((*b)->write(0, pattern(3, 64 * KiB), false).ok());
  ASSERT_TRUE((*b)->create_point("p").ok());
  const uint64_t moved = (*a)->counters().moved_bytes;
  slow = false;
  ASSERT_TRUE((*a)->collect().ok());
  EXPECT_LT(moved, (*a)->counters().moved_bytes) << "b waited until a had nothing left to move";
}

// A disk of which every other block is dead, that nobody uses, so that all of it is compacted. What
// is moved takes its time: 256 pieces of 20 ms.
class VolumeCompaction : public VolumeMaintenance {
 protected:
  static constexpr uint64_t kBytes = kBlocks * 4096;
  VolumeCompaction() {
    env.cartridge.clock = &system_;
    env.cartridge.files = &watched_;
    env.cartridge.sealers = &pool_;
  }
  std::unique_ptr<Volume> compacting() {
    auto volume = create();
    for (uint64_t at = 0; at < kBytes; at += 1 * MiB) {
      EXPECT_TRUE(volume->write(at, pattern(at, 1 * MiB), false).ok());
    }
    EXPECT_TRUE(volume->create_point("p").ok());
    for (uint64_t at = 0; at < kBytes; at += 1 * MiB) {
      EXPECT_TRUE(volume->write(at, pattern(at + 1, 1 * MiB), false).ok());
    }
    EXPECT_TRUE(volume->seal().ok());
    for (uint64_t at = 0; at < kBytes; at += 8192) EXPECT_TRUE(volume->unmap(at, 4096).ok());
    slow_ = true;
    volume->go_on();
    volume->go_on();  // nobody used it in between
    EXPECT_TRUE(wait_until([&] { return volume->counters().moved_bytes > 0; }));
    return volume;
  }
  SystemClock system_;
  std::atomic<bool> slow_{false};
  std::atomic<unsigned> slow_writes_{0};
  WatchedFileSystem watched_{files, [this](const char* operation, const std::string&) {
                               if (!slow_ || std::string_view(operation) != "write") return;
                               ++slow_writes_;
                               std::this_thread::sleep_for(20ms);
                             }};
  WorkerPool pool_{1};
};

TEST_F(VolumeCompaction, DoesNotHoldUpARollBack) {
  auto volume = compacting();
  const auto points = volume->points();
  ASSERT_TRUE(points.ok());
  ASSERT_TRUE(volume->roll_back(points->front().id).ok());
  EXPECT_LT(volume->counters().moved_bytes, kBytes / 4);
  slow_ = false;
  for (uint64_t at = 0; at < kBytes; at += 1 * MiB) {
    ASSERT_TRUE(equal(read(*volume, at, 1 * MiB), pattern(at, 1 * MiB))) << at;
  }
  ASSERT_TRUE(volume->close().ok());
  volume = open();
  ASSERT_NE(volume, nullptr);
  for (uint64_t at = 0; at < kBytes; at += 1 * MiB) {
    ASSERT_TRUE(equal(read(*volume, at, 1 * MiB), pattern(at, 1 * MiB))) << at;
  }
}

TEST_F(VolumeCompaction, DoesNotHoldUpTheEnd) {
  auto volume = compacting();
  ASSERT_TRUE(volume->close().ok());
  volume.reset();
  EXPECT_LT(slow_writes_, 100U);
  slow_ = false;
  volume = open();
  ASSERT_NE(volume, nullptr);
  for (uint64_t at = 0; at < kBytes; at += 8192) {
    ASSERT_TRUE(equal(read(*volume, at, 4096), Buffer(4096, std::byte{0}))) << at;
  }
}

TEST_F(VolumeCompaction, ThatIsAskedForEndsThoughUsersMakeMoreOfIt) {
  auto volume = create();
  std::atomic<bool> end{false};
  std::thread user([&] {
    for (uint64_t i = 0; !end; ++i) {
      ASSERT_TRUE(volume->write(i * 7 % 64 * 256 * KiB, pattern(i, 256 * KiB), false).ok());
    }
  });
  EXPECT_TRUE(wait_until([&] { return volume->counters().segments_sealed > 20; }));
  EXPECT_TRUE(volume->collect().ok());
  EXPECT_TRUE(volume->collect().ok());
  end = true;
  user.join();
}

// It is said, and the others are compacted; and it, too, when it can be read.
TEST_F(VolumeMaintenance, ADamagedSegmentDoesNotStopCompaction) {
  unsigned said = 0;
  capture_log([&](std::string_view line) {
    said += line.find("a segment cannot be compacted") != std::string_view::npos ? 1 : 0;
  });
  SimClock later;
  env.cartridge.clock = &later;
  auto volume = create();
  for (uint64_t at = 0; at < 8 * MiB; at += 64 * KiB) {
    ASSERT_TRUE(volume->write(at, pattern(at, 64 * KiB), false).ok());
  }
  ASSERT_TRUE(volume->seal().ok());
  const SegmentEntry damaged = volume->manifest().partitions[kImageLogPartition].segments.at(2);
  for (uint64_t at = 0; at < 8 * MiB; at += 256 * KiB) {
    ASSERT_TRUE(volume->unmap(at, 192 * KiB).ok());
  }
  const std::string path = segment_path("/v", damaged.sequence, damaged.epoch);
  for (uint64_t at = 0; at < damaged.stored_bytes; at += 8 * KiB) {
    ASSERT_TRUE(files.flip(path, at, 3).ok());
  }
  const auto segments = [&] {
    std::set<uint64_t> out;
    const Manifest now = volume->manifest();
    for (const auto& s : now.partitions[kImageLogPartition].segments) out.insert(s.sequence);
    return out;
  };
  const std::set<uint64_t> before = segments();
  ASSERT_TRUE(volume->collect().ok());
  EXPECT_EQ(said, 1U);
  const std::set<uint64_t> after = segments();
  const auto stays = [&](uint64_t sequence) { return after.contains(sequence); };
  EXPECT_LE(std::count_if(before.begin(), before.end(), stays), 3);
  EXPECT_TRUE(stays(damaged.sequence));
  ASSERT_TRUE(volume->collect().ok());
  EXPECT_EQ(said, 1U);  // not so soon again
  for (uint64_t at = 0; at < damaged.stored_bytes; at += 8 * KiB) {
    ASSERT_TRUE(files.flip(path, at, 3).ok());
  }
  later.advance_ms(61'000);
  ASSERT_TRUE(volume->collect().ok());
  EXPECT_EQ(said, 1U);
  EXPECT_FALSE(segments().contains(damaged.sequence));
  for (uint64_t at = 192 * KiB; at < 8 * MiB; at += 256 * KiB) {
    ASSERT_TRUE(equal(read(*volume, at, 64 * KiB), pattern(at, 64 * KiB))) << at;
  }
}

TEST_F(VolumeMaintenance, ADamagedMapOfAnOldPointIsNotTheDisksEnd) {
  auto volume = create();
  ASSERT_TRUE(volume->write(0, pattern(1, 512 * KiB), true).ok());
  ASSERT_TRUE(volume->create_point("old").ok());
  ASSERT_TRUE(volume->write(0, pattern(2, 512 * KiB), true).ok());
  ASSERT_TRUE(volume->collect().ok());
  const SegmentEntry old = volume->manifest().partitions[kImageMapPartition].segments.front();
  ASSERT_EQ(maps_of(*volume), 2U);
  ASSERT_TRUE(volume->close().ok());
  ASSERT_TRUE(files.flip(segment_path("/v", old.sequence, old.epoch), 200, 3).ok());
  volume = open();
  ASSERT_NE(volume, nullptr);
  const size_t segments = volume->manifest().partitions[kImageLogPartition].segments.size();
  ASSERT_TRUE(volume->write(0, pattern(3, 512 * KiB), true).ok());
  EXPECT_TRUE(volume->create_point("new").ok());
  EXPECT_TRUE(volume->write(0, pattern(4, 512 * KiB), true).ok());
  EXPECT_FALSE(volume->read_only());
  EXPECT_GT(volume->manifest().partitions[kImageLogPartition].segments.size(), segments)
      << "what the old point needs is not known: nothing goes";
  volume = open();
  ASSERT_NE(volume, nullptr);
  EXPECT_TRUE(equal(read(*volume, 0, 512 * KiB), pattern(4, 512 * KiB)));
}

TEST_F(VolumeMaintenance, AnEditThatIsRefusedChangesNothing) {
  auto volume = create();
  EXPECT_FALSE(volume->set_property("note", std::string(70'000, 'x')).ok());
  EXPECT_FALSE(volume->read_only());
  EXPECT_TRUE(volume->write(0, pattern(1, 4096), true).ok());
  EXPECT_TRUE(volume->set_property("note", "short").ok());
}

}  // namespace
}  // namespace coldshelf::test
