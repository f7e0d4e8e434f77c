// Makes recovery points when their schedules say so, and deletes those that need not be kept.
// Thread-safe. Plain code: a test calls tick() on a simulated clock, the daemon start().
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "gateway/volume_points.h"
#include "gateway/volume_schedule.h"

namespace coldshelf {

constexpr size_t kMaxSchedules = 1'000;

class VolumeScheduler {
 public:
  struct Env {
    Clock* clock = nullptr;
    VolumeService* volumes = nullptr;
    VolumePoints* points = nullptr;
    ZoneOffset zone = local_zone_offset;
    // Told when a run failed, or succeeded with a warning. May be empty.
    std::function<void(const VolumeSchedule&, const std::string& problem)> on_problem = {};
  };
  explicit VolumeScheduler(Env env) : env_(std::move(env)) {}
  ~VolumeScheduler() { stop(); }

  // What the manifests say; after VolumeService::open_all().
  Status load();
  // Volumes that came with schedules, and those that went with theirs. Where a schedule of that
  // name is here already, the volume joins it.
  void follow();
  void start();
  void stop();
  // follow(), and then makes what is due. False when nothing was.
  bool tick();

  struct View {
    VolumeSchedule schedule;
    int64_t last_run_ms = 0;  // the last points; 0: never
    std::optional<int64_t> next_run_ms;
    std::string problem;  // of the last run
  };
  // Makes or replaces it, on exactly these volumes. not_found: a volume, or the quiesce commands.
  Result<View> put(VolumeSchedule schedule);
  Status remove(const std::string& name);
  std::vector<View> list();
  // Now, beside its times.
  Result<VolumePoints::Made> run(const std::string& name);

 private:
  struct State {
    VolumeSchedule schedule;
    int64_t last_run_ms = 0;    // of points that were made
    int64_t not_before_ms = 0;  // after a failure
    std::string problem;
  };
  // What the manifests say of one schedule: as it was changed last, with all of its volumes.
  struct Found {
    VolumeSchedule schedule;
    bool differs = false;  // it stands differently in one of them
  };
  enum class Damaged { said, passed_over };
  std::map<std::string, Found> read_manifests(Damaged damaged);
  View view(const State& state) const;
  std::optional<int64_t> next_run(const State& state) const;
  Result<VolumePoints::Made> run_one(const VolumeSchedule& schedule);
  Status expire(const VolumeSchedule& schedule);
  int64_t last_point(const VolumeSchedule& schedule);
  Status store(const VolumeSchedule& schedule, const std::vector<std::string>& off);
  void store_again(const std::optional<VolumeSchedule>& before, const VolumeSchedule& refused);

  const Env env_;
  std::mutex changing_;  // put and remove, one at a time; taken before mutex_
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, State> schedules_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace coldshelf
