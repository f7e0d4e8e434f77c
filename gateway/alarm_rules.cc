#include "gateway/alarm_rules.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "gateway/units.h"

namespace coldshelf {

namespace {

constexpr int64_t kSecond = 1'000;
constexpr int64_t kMinute = 60 * kSecond;

using Limits = Config::Alarms;

Condition above(double value, const Limits::Percent& limit) {
  if (value >= static_cast<double>(limit.raise)) return Condition::bad;
  return value < static_cast<double>(limit.clear) ? Condition::good : Condition::unclear;
}

Observation problem(std::string alarm, std::string subject, std::string detail) {
  return {std::move(alarm), std::move(subject), Condition::bad, std::move(detail)};
}

std::string percent_text(double value) {
  return std::to_string(static_cast<int64_t>(std::lround(value))) + " %";
}

uint64_t free_wanted(const StorageLoad& storage, const Limits& limits) {
  return std::min(storage.disk_total_bytes * limits.disk_free_percent / 100,
                  limits.disk_free_bytes);
}

// Over when there is half as much again.
Observation disk_observation(const StorageLoad& storage, const Limits& limits) {
  Observation out{"disk_nearly_full", "", Condition::good, ""};
  if (storage.disk_total_bytes == 0) return out;
  const uint64_t wanted = free_wanted(storage, limits);
  out.detail = format_size(storage.disk_available_bytes) + " of " +
               format_size(storage.disk_total_bytes) + " are free";
  if (storage.disk_available_bytes < wanted) {
    out.condition = Condition::bad;
  } else if (storage.disk_available_bytes < wanted + wanted / 2) {
    out.condition = Condition::unclear;
  }
  return out;
}

void add_jobs(const std::vector<JobRow>& jobs, int64_t now_ms, int64_t remembered_ms,
              std::vector<Observation>& out) {
  // What went well later is no alarm any more; nor is what nobody looked at for long.
  std::set<std::pair<std::string, JobKind>> mended;
  for (const JobRow& job : jobs) {
    if (job.state == JobState::succeeded) mended.insert({job.barcode, job.kind});
    if (job.state != JobState::failed || now_ms - job.updated_ms > remembered_ms) continue;
    if (mended.contains({job.barcode, job.kind})) continue;
    out.push_back(
        problem("job_failed", "job " + std::to_string(job.id),
                std::string(to_string(job.kind)) + " of " + job.barcode + ": " + job.error));
  }
}

Observation store_observation(const StoreMeter::Reach& store, int64_t now_ms,
                              uint64_t most_failures) {
  Observation out{"store_unreachable", "", Condition::good, ""};
  if (store.failing_since_ms == 0) return out;
  out.condition = store.failures >= most_failures ? Condition::bad : Condition::unclear;
  out.detail = std::to_string(store.failures) + " requests failed in " +
               std::to_string((now_ms - store.failing_since_ms) / kSecond) +
               " s, the last one: " + store.problem;
  return out;
}

Observation certificate_observation(int64_t expires_ms, int64_t now_ms, int64_t before_ms) {
  Observation out{"certificate_expiring", "", Condition::good, ""};
  if (expires_ms - now_ms >= before_ms) return out;
  out.condition = Condition::bad;
  out.detail = expires_ms > now_ms
                   ? "the management API's certificate expires on " + format_utc(expires_ms)
                   : "the management API's certificate expired on " + format_utc(expires_ms);
  return out;
}

// A rule of a percentage.
AlarmRule percent_rule(std::string name, AlarmSeverity severity, std::string help,
                       const Limits::Percent& limit, const std::string& of, int64_t clear_after) {
  return {std::move(name),
          severity,
          std::move(help),
          limit.after_ms,
          clear_after,
          std::to_string(limit.raise) + " % " + of,
          "below " + std::to_string(limit.clear) + " %"};
}

}  // namespace

std::vector<AlarmRule> alarm_rules(const Config::Alarms& limits) {
  using enum AlarmSeverity;
  return {
      percent_rule("cache_dirty", warning,
                   "Much of the cache is not in the store yet: the store or the line to it is "
                   "slower than what is written. See docs/runbook.md, \"Slow cloud\".",
                   limits.cache_dirty, "of the cache are not in the store", 5 * kMinute),
      percent_rule("io_wait", warning,
                   "The processors wait for the local disk: give the data directory a faster one.",
                   limits.io_wait, "I/O wait", 5 * kMinute),
      percent_rule(
          "buffer_full", critical,
          "The upload buffer is full, writers are held back. See docs/runbook.md, \"Slow cloud\".",
          limits.buffer_full, "of the upload buffer are used", kMinute),
      {"store_unreachable", critical,
       "The object store does not answer, or refuses: nothing is uploaded or recalled.",
       limits.store_after_ms, 30 * kSecond,
       std::to_string(limits.store_failures) + " requests in a row without an answer",
       "it answers"},
      {"lease_lost", critical,
       "Another gateway has this one's identity, or the lease could not be renewed: nothing is "
       "written. See docs/recovery.md.",
       limits.lease_after_ms, 10 * kSecond, "the store may not be written", "it may be written"},
      {"data_directory", critical, "The data directory has vanished or cannot be used.", 0,
       10 * kSecond, "it cannot be used", "it can be used"},
      {"disk_nearly_full", critical,
       "The data directory's disk is nearly full. See docs/runbook.md, \"Full disk\".",
       limits.disk_after_ms, kMinute,
       "less than " + std::to_string(limits.disk_free_percent) + " % and less than " +
           format_size(limits.disk_free_bytes) + " free",
       "half as much again is free"},
      {"tape_problem", critical,
       "A tape is damaged, or read-only since a write failed. `coldshelf tape show` has it all.", 0,
       0, "a tape has a problem", "`tape show` has none"},
      {"drive_problem", critical, "What is in a drive cannot be opened, read or written.", 0, 0,
       "a drive has a problem", "it has none"},
      {"volume_problem", critical, "A volume is read-only or cannot be opened.", 0, 0,
       "a volume has a problem", "it has none"},
      {"schedule_failed", warning,
       "A schedule of volumes did not make its recovery points. `coldshelf volume schedule list`.",
       0, 0, "the last run of a schedule failed", "a run went well"},
      {"job_failed", warning, "A job ended in failure.", 0, 0, "a job failed",
       "one of its kind went well, or " + format_duration(limits.job_remembered_ms) + " later"},
      {"certificate_expiring", warning,
       "The management API's certificate expires soon, or has. See docs/api.md.", 0, 0,
       "it expires within " + format_duration(limits.certificate_before_ms), "another is in use"},
  };
}

std::vector<Observation> observations(const GatewayState& state, int64_t now_ms,
                                      const Config::Alarms& limits) {
  std::vector<Observation> out;
  const double dirty = state.storage.cache_percent_dirty();
  out.push_back({"cache_dirty", "", above(dirty, limits.cache_dirty),
                 percent_text(dirty) + " of the cache are not in the store"});
  const double buffer = state.storage.buffer_percent_used();
  out.push_back({"buffer_full", "", above(buffer, limits.buffer_full),
                 "the upload buffer is " + percent_text(buffer) + " full"});
  if (state.io_wait_percent) {
    out.push_back({"io_wait", "", above(*state.io_wait_percent, limits.io_wait),
                   percent_text(*state.io_wait_percent) + " I/O wait in the last minute"});
  }
  out.push_back(disk_observation(state.storage, limits));
  if (!state.data_directory.ok()) {
    out.push_back(problem("data_directory", "", state.data_directory.error().context));
  }
  if (state.store) out.push_back(store_observation(*state.store, now_ms, limits.store_failures));
  if (!state.may_write.ok()) {
    out.push_back(problem("lease_lost", "", state.may_write.error().context));
  }
  for (const auto& [barcode, what] : state.tape_problems) {
    out.push_back(problem("tape_problem", "tape " + barcode, what));
  }
  for (const auto& [number, what] : state.drive_problems) {
    out.push_back(problem("drive_problem", "drive " + std::to_string(number), what));
  }
  for (const auto& [name, what] : state.volume_problems) {
    out.push_back(problem("volume_problem", "volume " + name, what));
  }
  for (const auto& [name, what] : state.schedule_problems) {
    out.push_back(problem("schedule_failed", "schedule " + name, what));
  }
  add_jobs(state.jobs, now_ms, limits.job_remembered_ms, out);
  if (state.certificate_expires_ms) {
    out.push_back(certificate_observation(*state.certificate_expires_ms, now_ms,
                                          limits.certificate_before_ms));
  }
  return out;
}

}  // namespace coldshelf
