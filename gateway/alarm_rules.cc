#include "gateway/alarm_rules.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "gateway/units.h"

namespace coldshelf {

namespace {

constexpr int64_t kSecond = 1'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kDay = 24 * 60 * kMinute;

// Raised above the first, over below the second: AWS recommends 80 % for 20 minutes, and 20 % of
// I/O wait for 15.
struct Threshold {
  double raise, clear;
};
constexpr Threshold kCacheDirty{80, 70};
constexpr Threshold kIoWait{20, 15};
constexpr Threshold kBuffer{95, 85};
constexpr uint64_t kStoreFailures = 3;  // in a row, before the store counts as away
constexpr int64_t kJobRemembered = kDay;
constexpr int64_t kCertificateEarly = 21 * kDay;
constexpr uint64_t kMostFreeWanted = 50 * GiB;

Condition above(double value, const Threshold& limit) {
  if (value >= limit.raise) return Condition::bad;
  return value < limit.clear ? Condition::good : Condition::unclear;
}

Observation problem(std::string alarm, std::string subject, std::string detail) {
  return {std::move(alarm), std::move(subject), Condition::bad, std::move(detail)};
}

std::string percent_text(double value) {
  return std::to_string(static_cast<int64_t>(std::lround(value))) + " %";
}

// A twentieth of the disk, at most 50 GiB; over when there is half as much again.
Observation disk_observation(const StorageLoad& storage) {
  Observation out{"disk_nearly_full", "", Condition::good, ""};
  if (storage.disk_total_bytes == 0) return out;
  const uint64_t wanted = std::min(storage.disk_total_bytes / 20, kMostFreeWanted);
  out.detail = format_size(storage.disk_available_bytes) + " of " +
               format_size(storage.disk_total_bytes) + " are free";
  if (storage.disk_available_bytes < wanted) {
    out.condition = Condition::bad;
  } else if (storage.disk_available_bytes < wanted + wanted / 2) {
    out.condition = Condition::unclear;
  }
  return out;
}

void add_jobs(const std::vector<JobRow>& jobs, int64_t now_ms, std::vector<Observation>& out) {
  // What went well later is no alarm any more; nor is what nobody looked at for a day.
  std::set<std::pair<std::string, JobKind>> mended;
  for (const JobRow& job : jobs) {
    if (job.state == JobState::succeeded) mended.insert({job.barcode, job.kind});
    if (job.state != JobState::failed || now_ms - job.updated_ms > kJobRemembered) continue;
    if (mended.contains({job.barcode, job.kind})) continue;
    out.push_back(
        problem("job_failed", "job " + std::to_string(job.id),
                std::string(to_string(job.kind)) + " of " + job.barcode + ": " + job.error));
  }
}

Observation store_observation(const StoreMeter::Reach& store, int64_t now_ms) {
  Observation out{"store_unreachable", "", Condition::good, ""};
  if (store.failing_since_ms == 0) return out;
  out.condition = store.failures >= kStoreFailures ? Condition::bad : Condition::unclear;
  out.detail = std::to_string(store.failures) + " requests failed in " +
               std::to_string((now_ms - store.failing_since_ms) / kSecond) +
               " s, the last one: " + store.problem;
  return out;
}

Observation certificate_observation(int64_t expires_ms, int64_t now_ms) {
  Observation out{"certificate_expiring", "", Condition::good, ""};
  if (expires_ms - now_ms >= kCertificateEarly) return out;
  out.condition = Condition::bad;
  out.detail = expires_ms > now_ms
                   ? "the management API's certificate expires on " + format_utc(expires_ms)
                   : "the management API's certificate expired on " + format_utc(expires_ms);
  return out;
}

}  // namespace

std::vector<AlarmRule> alarm_rules() {
  using enum AlarmSeverity;
  return {
      {"cache_dirty", warning,
       "More than 80 % of the cache are not in the store yet: the store or the line to it is "
       "slower than what is written. See docs/runbook.md, \"Slow cloud\".",
       20 * kMinute, 5 * kMinute},
      {"io_wait", warning,
       "The processors wait for the local disk: give the data directory a faster one.",
       15 * kMinute, 5 * kMinute},
      {"buffer_full", critical,
       "The upload buffer is full, writers are held back. See docs/runbook.md, \"Slow cloud\".",
       kMinute, kMinute},
      {"store_unreachable", critical,
       "The object store does not answer, or refuses: nothing is uploaded or recalled.", kMinute,
       30 * kSecond},
      {"lease_lost", critical,
       "Another gateway has this one's identity, or the lease could not be renewed: nothing is "
       "written. See docs/recovery.md.",
       10 * kSecond, 10 * kSecond},
      {"data_directory", critical, "The data directory has vanished or cannot be used.", 0,
       10 * kSecond},
      {"disk_nearly_full", critical,
       "The data directory's disk is nearly full. See docs/runbook.md, \"Full disk\".", kMinute,
       kMinute},
      {"tape_problem", critical,
       "A tape is damaged, or read-only since a write failed. `coldshelf tape show` has it all.", 0,
       0},
      {"drive_problem", critical, "What is in a drive cannot be opened, read or written.", 0, 0},
      {"volume_problem", critical, "A volume is read-only or cannot be opened.", 0, 0},
      {"job_failed", warning,
       "A job ended in failure. It is over when one of its kind went well, or after a day.", 0, 0},
      {"certificate_expiring", warning,
       "The management API's certificate expires within three weeks, or has.", 0, 0},
  };
}

std::vector<Observation> observations(const GatewayState& state, int64_t now_ms) {
  std::vector<Observation> out;
  const double dirty = state.storage.cache_percent_dirty();
  out.push_back({"cache_dirty", "", above(dirty, kCacheDirty),
                 percent_text(dirty) + " of the cache are not in the store"});
  const double buffer = state.storage.buffer_percent_used();
  out.push_back({"buffer_full", "", above(buffer, kBuffer),
                 "the upload buffer is " + percent_text(buffer) + " full"});
  if (state.io_wait_percent) {
    out.push_back({"io_wait", "", above(*state.io_wait_percent, kIoWait),
                   percent_text(*state.io_wait_percent) + " I/O wait in the last minute"});
  }
  out.push_back(disk_observation(state.storage));
  if (!state.data_directory.ok()) {
    out.push_back(problem("data_directory", "", state.data_directory.error().context));
  }
  if (state.store) out.push_back(store_observation(*state.store, now_ms));
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
  add_jobs(state.jobs, now_ms, out);
  if (state.certificate_expires_ms) {
    out.push_back(certificate_observation(*state.certificate_expires_ms, now_ms));
  }
  return out;
}

}  // namespace coldshelf
