#include "gateway/monitor.h"

#include <algorithm>

#include "base/log.h"

namespace coldshelf {

namespace {
constexpr const char* kAlarmsSetting = "alarms";
constexpr size_t kMostTapeProblems = 200;
constexpr size_t kJobsLookedAt = 200;
}  // namespace

Monitor::Monitor(Env env)
    : env_(std::move(env)),
      alarms_(alarm_rules(env_.config->alarms), [this](const Alarm& alarm) { tell(alarm); }) {}

Monitor::~Monitor() { stop(); }

Status Monitor::open() {
  ASSIGN_OR_RETURN(const auto saved, env_.catalog->setting(kAlarmsSetting));
  if (!saved) return {};
  const Status loaded = alarms_.load(*saved);
  // Alarms are found again; a gateway does not stay down for their sake.
  if (!loaded.ok()) {
    log_warning("monitor", "alarms not taken up", {{"error", loaded.error().message()}});
  }
  saved_ = *saved;
  return {};
}

void Monitor::start() {
  thread_ = std::thread([this] {
    while (true) {
      tick();
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::milliseconds(kIntervalMs), [this] { return stopping_; });
      if (stopping_) return;
    }
  });
}

void Monitor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Monitor::tick() {
  sample();
  const int64_t now_ms = env_.clock->unix_ms();
  alarms_.observe(observations(look(), now_ms, env_.config->alarms), now_ms);
  save();
}

void Monitor::sample() {
  Sample now;
  now.at_ms = env_.clock->monotonic_ns() / 1'000'000;
  const auto host = env_.host ? env_.host() : read_host_load();
  if (host.ok()) now.host = *host;
  now.reads = env_.reads ? env_.reads() : 0;
  now.waited = env_.shelf->statistics().reader_waits;
  const std::lock_guard lock(mutex_);
  while (samples_.size() > 1 && now.at_ms - samples_[1].at_ms >= kWindowMs) samples_.pop_front();
  samples_.push_back(now);
}

StorageLoad Monitor::storage() const {
  return storage_load(env_.shelf->statistics(), *env_.config, *env_.files);
}

Monitor::Recent Monitor::recent() const {
  Recent out;
  const std::lock_guard lock(mutex_);
  if (samples_.empty()) return out;
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  out.host = last.host;
  out.io_wait_percent =
      HostLoad::percent(first.host.io_wait, last.host.io_wait, first.host, last.host);
  out.user_cpu_percent = HostLoad::percent(first.host.user, last.host.user, first.host, last.host);
  const uint64_t reads = last.reads - first.reads;
  // A read of several parts waits for each of them.
  const uint64_t waited = std::min(last.waited - first.waited, reads);
  if (reads > 0) {
    out.cache_hit_percent =
        100.0 * static_cast<double>(reads - waited) / static_cast<double>(reads);
  }
  return out;
}

GatewayState Monitor::look() {
  GatewayState out;
  out.storage = storage();
  const Recent now = recent();
  if (now.host.all != 0) out.io_wait_percent = now.io_wait_percent;
  if (env_.health) out.data_directory = env_.health();
  if (env_.meter) out.store = env_.meter->reach();
  if (env_.ownership != nullptr) out.may_write = env_.ownership->may_write();
  if (auto problems = env_.catalog->tape_problems(kMostTapeProblems); problems.ok()) {
    out.tape_problems = std::move(*problems);
  }
  if (auto jobs = env_.catalog->jobs(kJobsLookedAt); jobs.ok()) out.jobs = std::move(*jobs);
  if (env_.volume_problems) out.volume_problems = env_.volume_problems();
  if (env_.schedule_problems) out.schedule_problems = env_.schedule_problems();
  if (env_.certificate_expires_ms) out.certificate_expires_ms = env_.certificate_expires_ms();
  if (env_.library == nullptr) return out;
  for (const Element& e : env_.library->elements(ElementType::data_transfer)) {
    const auto cannot_open = env_.library->drive_problem(e.number);
    const auto failed = e.drive->loaded() ? e.drive->last_medium_error() : std::nullopt;
    if (cannot_open) {
      out.drive_problems.emplace_back(e.number, cannot_open->message());
    } else if (failed) {
      out.drive_problems.emplace_back(e.number, failed->message());
    }
  }
  return out;
}

void Monitor::save() {
  std::string now = alarms_.save();
  if (now == saved_) return;
  const Status saved = env_.catalog->set_setting(kAlarmsSetting, now);
  if (!saved.ok()) {
    log_debug("monitor", "alarms not saved", {{"error", saved.error().message()}});
    return;
  }
  saved_ = std::move(now);
}

void Monitor::tell(const Alarm& alarm) {
  const bool on = alarm.active();
  const LogLevel level = !on                                         ? LogLevel::info
                         : alarm.severity == AlarmSeverity::critical ? LogLevel::error
                                                                     : LogLevel::warning;
  log_line(level, "alarm", on ? "alarm raised" : "alarm over",
           {{"alarm", alarm.name},
            {"subject", alarm.subject},
            {"severity", to_string(alarm.severity)},
            {"detail", alarm.detail}});
  if (env_.notify) env_.notify(alarm);
}

}  // namespace coldshelf
