#include "gateway/config_alarms.h"

namespace coldshelf {

std::vector<KeySpec> alarm_keys() {
#define PERCENT(name, member)                                                                  \
  count_key("alarms." name ".raise", CONFIG_FIELD(uint64_t, alarms.member.raise), 1, 100),     \
      count_key("alarms." name ".clear", CONFIG_FIELD(uint64_t, alarms.member.clear), 1, 100), \
      duration_key("alarms." name ".after", CONFIG_FIELD(int64_t, alarms.member.after_ms), 0,  \
                   7 * kDayMs)
  return {
      PERCENT("cache_dirty", cache_dirty),
      PERCENT("io_wait", io_wait),
      PERCENT("buffer_full", buffer_full),
      count_key("alarms.store_unreachable.failures", CONFIG_FIELD(uint64_t, alarms.store_failures),
                1, 1'000),
      duration_key("alarms.store_unreachable.after", CONFIG_FIELD(int64_t, alarms.store_after_ms),
                   0, 7 * kDayMs),
      duration_key("alarms.lease_lost.after", CONFIG_FIELD(int64_t, alarms.lease_after_ms), 0,
                   kDayMs),
      count_key("alarms.disk_nearly_full.free_percent",
                CONFIG_FIELD(uint64_t, alarms.disk_free_percent), 1, 90),
      size_key("alarms.disk_nearly_full.free", CONFIG_FIELD(uint64_t, alarms.disk_free_bytes),
               1 * MiB, 1024 * TiB),
      duration_key("alarms.disk_nearly_full.after", CONFIG_FIELD(int64_t, alarms.disk_after_ms), 0,
                   kDayMs),
      duration_key("alarms.job_failed.remembered", CONFIG_FIELD(int64_t, alarms.job_remembered_ms),
                   60'000, 365 * kDayMs),
      duration_key("alarms.certificate_expiring.before",
                   CONFIG_FIELD(int64_t, alarms.certificate_before_ms), kHourMs, 365 * kDayMs),
  };
#undef PERCENT
}

std::optional<std::pair<std::string, std::string>> alarm_complaint(const Config& config) {
  using Percent = Config::Alarms::Percent;
  const Config::Alarms& alarms = config.alarms;
  const std::pair<const char*, Percent> all[] = {{"cache_dirty", alarms.cache_dirty},
                                                 {"io_wait", alarms.io_wait},
                                                 {"buffer_full", alarms.buffer_full}};
  for (const auto& [name, percent] : all) {
    if (percent.clear < percent.raise) continue;
    return std::pair("alarms." + std::string(name) + ".clear",
                     "must be below raise, which is " + std::to_string(percent.raise));
  }
  return std::nullopt;
}

}  // namespace coldshelf
