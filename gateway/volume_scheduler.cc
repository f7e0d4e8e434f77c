#include "gateway/volume_scheduler.h"

#include <algorithm>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr int64_t kRetryMs = 5 * 60'000;  // after a failure, or earlier when the next run is due
constexpr auto kLook = std::chrono::seconds(1);

}  // namespace

// -- what there is

// A schedule whose change was cut short stands differently in its volumes: the last change wins.
std::map<std::string, VolumeScheduler::Found> VolumeScheduler::read_manifests(Damaged damaged) {
  std::map<std::string, Found> out;
  for (const auto& [volume, properties] : env_.volumes->properties(kVolumeSchedule)) {
    for (const auto& [name, text] : properties) {
      auto schedule = decode_schedule(name, text);
      if (!schedule.ok()) {
        if (damaged == Damaged::said) {
          log_error("volumes", "schedule not read",
                    {{"volume", volume}, {"error", schedule.error().message()}});
        }
        continue;
      }
      const auto [at, first] = out.try_emplace(name);
      Found& found = at->second;
      found.differs =
          found.differs || (!first && found.schedule.changed_ms != schedule->changed_ms);
      if (first || found.schedule.changed_ms < schedule->changed_ms) {
        schedule->volumes = std::move(found.schedule.volumes);
        found.schedule = std::move(*schedule);
      }
      found.schedule.volumes.push_back(volume);
    }
  }
  return out;
}

Status VolumeScheduler::load() {
  const std::lock_guard changing(changing_);
  for (auto& [name, found] : read_manifests(Damaged::said)) {
    if (found.differs) TRY(store(found.schedule, {}));
    State state;
    state.last_run_ms = last_point(found.schedule);
    state.schedule = std::move(found.schedule);
    const std::lock_guard lock(mutex_);
    schedules_[name] = std::move(state);
  }
  return {};
}

void VolumeScheduler::follow() {
  const std::lock_guard changing(changing_);
  std::map<std::string, Found> all = read_manifests(Damaged::passed_over);
  std::vector<VolumeSchedule> joined;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(schedules_, [&](const auto& held) { return !all.contains(held.first); });
    for (auto& [name, state] : schedules_) {
      const auto node = all.extract(name);
      std::vector<std::string>& had = state.schedule.volumes;
      std::vector<std::string>& now = node.mapped().schedule.volumes;
      const bool more = std::any_of(now.begin(), now.end(), [&](const std::string& volume) {
        return std::find(had.begin(), had.end(), volume) == had.end();
      });
      had = std::move(now);
      if (more) joined.push_back(state.schedule);
    }
  }
  for (const VolumeSchedule& schedule : joined) {
    const Status stored = store(schedule, {});
    if (stored.ok()) continue;
    log_warning("volumes", "a schedule is not in the manifest of a volume that joined it",
                {{"schedule", schedule.name}, {"error", stored.error().message()}});
  }
  for (auto& [name, found] : all) {  // those that were not here
    State state;
    state.last_run_ms = last_point(found.schedule);
    state.schedule = std::move(found.schedule);
    const std::lock_guard lock(mutex_);
    if (schedules_.size() < kMaxSchedules) schedules_[name] = std::move(state);
  }
}

int64_t VolumeScheduler::last_point(const VolumeSchedule& schedule) {
  int64_t last = 0;
  for (const std::string& volume : schedule.volumes) {
    const auto points = env_.volumes->points(volume);
    if (!points.ok()) continue;
    for (const VolumePoint& p : *points) {
      if (schedule_of(p.point) == schedule.name) last = std::max(last, p.point.created_unix_ms);
    }
  }
  return last;
}

// What was missed while the gateway was down is made up for once: the time counts from the last
// run, or from when the schedule was made.
std::optional<int64_t> VolumeScheduler::next_run(const State& state) const {
  const auto when = state.schedule.when(env_.zone);
  if (!when.ok()) return std::nullopt;
  auto due = when->next_after(std::max(state.last_run_ms, state.schedule.changed_ms));
  if (due) due = std::max(*due, state.not_before_ms);
  return due;
}

VolumeScheduler::View VolumeScheduler::view(const State& state) const {
  return {state.schedule, state.last_run_ms, next_run(state), state.problem};
}

std::vector<VolumeScheduler::View> VolumeScheduler::list() {
  const std::lock_guard lock(mutex_);
  std::vector<View> out;
  for (const auto& [name, state] : schedules_) out.push_back(view(state));
  return out;
}

// -- changing them

// Into the manifests of its volumes, and out of those of `off`.
Status VolumeScheduler::store(const VolumeSchedule& schedule, const std::vector<std::string>& off) {
  const std::string property = std::string(kVolumeSchedule) + schedule.name;
  for (const std::string& volume : schedule.volumes) {
    TRY(env_.volumes->set_properties(volume, {{property, encode_schedule(schedule)}}));
  }
  for (const std::string& volume : off) {
    const Status done = env_.volumes->set_properties(volume, {{property, ""}});
    if (!done.ok() && done.error().code != ErrorCode::not_found) return done;
  }
  return {};
}

// What was refused must not hold after all from the next start on: some volumes may have it.
void VolumeScheduler::store_again(const std::optional<VolumeSchedule>& before,
                                  const VolumeSchedule& refused) {
  const std::string property = std::string(kVolumeSchedule) + refused.name;
  const std::string old = before ? encode_schedule(*before) : "";
  std::map<std::string, std::string> texts;
  for (const std::string& volume : refused.volumes) texts[volume] = "";
  if (before) {
    for (const std::string& volume : before->volumes) texts[volume] = old;
  }
  for (const auto& [volume, text] : texts) {
    const Status undone = env_.volumes->set_properties(volume, {{property, text}});
    if (undone.ok()) continue;
    log_warning(
        "volumes", "a change of a schedule that was refused may stay in a volume",
        {{"schedule", refused.name}, {"volume", volume}, {"error", undone.error().message()}});
  }
}

Result<VolumeScheduler::View> VolumeScheduler::put(VolumeSchedule schedule) {
  const std::lock_guard changing(changing_);
  TRY(check_schedule(schedule));
  TRY(env_.points->check_quiesce(schedule.quiesce));
  if (schedule.volumes.empty()) {
    return Error(ErrorCode::invalid_argument, "a schedule needs a volume");
  }
  std::vector<std::string> names;
  for (const std::string& volume : schedule.volumes) {
    ASSIGN_OR_RETURN(const VolumeView v, env_.volumes->show(volume));
    if (v.archive) {
      return Error(ErrorCode::conflict, v.name + " is an archive of EBS snapshots, not a volume");
    }
    if (std::find(names.begin(), names.end(), v.name) == names.end()) names.push_back(v.name);
  }
  schedule.volumes = names;
  schedule.changed_ms = env_.clock->unix_ms();
  std::vector<std::string> off;
  std::optional<VolumeSchedule> before;
  {
    const std::lock_guard lock(mutex_);
    const auto at = schedules_.find(schedule.name);
    if (at != schedules_.end()) before = at->second.schedule;
    if (at == schedules_.end() && schedules_.size() >= kMaxSchedules) {
      return Error(ErrorCode::conflict,
                   "there are " + std::to_string(kMaxSchedules) + " schedules already");
    }
    if (at != schedules_.end()) {
      for (const std::string& volume : at->second.schedule.volumes) {
        if (std::find(names.begin(), names.end(), volume) == names.end()) off.push_back(volume);
      }
    }
  }
  if (const Status stored = store(schedule, off); !stored.ok()) {
    store_again(before, schedule);
    return stored.error();
  }
  State state;
  state.last_run_ms = last_point(schedule);
  state.schedule = std::move(schedule);
  const std::lock_guard lock(mutex_);
  wake_.notify_all();
  return view(schedules_[state.schedule.name] = state);
}

Status VolumeScheduler::remove(const std::string& name) {
  const std::lock_guard changing(changing_);
  VolumeSchedule schedule;
  {
    const std::lock_guard lock(mutex_);
    const auto at = schedules_.find(name);
    if (at == schedules_.end()) {
      return Error(ErrorCode::not_found, "there is no schedule " + name);
    }
    schedule = at->second.schedule;
  }
  const std::vector<std::string> off = std::move(schedule.volumes);
  schedule.volumes.clear();
  TRY(store(schedule, off));
  const std::lock_guard lock(mutex_);
  schedules_.erase(name);
  return {};
}

// -- runs

Result<VolumePoints::Made> VolumeScheduler::run_one(const VolumeSchedule& schedule) {
  // Volumes that were deleted meanwhile took their schedules with them.
  VolumePoints::Request request;
  for (const auto& [volume, properties] : env_.volumes->properties(kVolumeSchedule)) {
    if (properties.contains(schedule.name)) request.volumes.push_back(volume);
  }
  if (request.volumes.empty()) {
    return Error(ErrorCode::not_found, "schedule " + schedule.name + " has no volume any more");
  }
  request.quiesce = schedule.quiesce;
  request.schedule = schedule.name;
  request.description = schedule.description;
  auto made = env_.points->create(request);
  std::string problem = made.ok() ? made->warning : made.error().context;
  if (made.ok()) {
    if (const Status expired = expire(schedule); !expired.ok()) {
      problem += (problem.empty() ? "" : "; ") + expired.error().context;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    const auto at = schedules_.find(schedule.name);
    if (at != schedules_.end()) {
      const int64_t now = env_.clock->unix_ms();
      at->second.problem = problem;
      at->second.not_before_ms = made.ok() ? 0 : now + kRetryMs;
      if (made.ok()) at->second.last_run_ms = now;
    }
  }
  if (!problem.empty()) {
    log_error("volumes", "schedule", {{"name", schedule.name}, {"problem", problem}});
    if (env_.on_problem) env_.on_problem(schedule, problem);
  }
  return made;
}

Status VolumeScheduler::expire(const VolumeSchedule& schedule) {
  if (schedule.keep.keeps_everything()) return {};
  Status first;
  for (const std::string& volume : schedule.volumes) {
    const auto points = env_.volumes->points(volume);
    if (!points.ok()) continue;
    std::vector<RetentionPoint> chain;
    for (const VolumePoint& p : *points) {
      if (schedule_of(p.point) != schedule.name) continue;
      RetentionPoint point;
      point.id = p.point.id.to_string();
      point.created_ms = p.point.created_unix_ms;
      point.held = !p.mounted.empty();
      chain.push_back(std::move(point));
    }
    for (const RetentionVerdict& verdict :
         apply_retention(schedule.keep, std::move(chain), env_.clock->unix_ms(), env_.zone)) {
      if (verdict.keep) continue;
      const Status gone = env_.volumes->delete_point(volume + "@" + verdict.id);
      // A clone stands on it, or a mount: it goes when they have gone.
      if (!gone.ok() && gone.error().code != ErrorCode::busy && first.ok()) first = gone;
    }
  }
  return first;
}

Result<VolumePoints::Made> VolumeScheduler::run(const std::string& name) {
  VolumeSchedule schedule;
  {
    const std::lock_guard lock(mutex_);
    const auto at = schedules_.find(name);
    if (at == schedules_.end()) {
      return Error(ErrorCode::not_found, "there is no schedule " + name);
    }
    schedule = at->second.schedule;
  }
  return run_one(schedule);
}

bool VolumeScheduler::tick() {
  follow();
  std::vector<VolumeSchedule> due;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now = env_.clock->unix_ms();
    for (const auto& [name, state] : schedules_) {
      const auto next = next_run(state);
      if (next && *next <= now) due.push_back(state.schedule);
    }
  }
  for (const VolumeSchedule& schedule : due) {
    static_cast<void>(run_one(schedule).ok());  // it has said what is wrong
  }
  return !due.empty();
}

void VolumeScheduler::start() {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      env_.volumes->tick();
      tick();
      lock.lock();
      wake_.wait_for(lock, kLook, [this] { return stopping_; });
    }
  });
}

void VolumeScheduler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace coldshelf
