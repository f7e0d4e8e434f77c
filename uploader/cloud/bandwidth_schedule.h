// Limits of the bandwidth by day of the week and time of day, in local time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coldshelf {

struct BandwidthLimits {
  uint64_t upload_bytes_per_s = 0;  // 0: no limit
  uint64_t download_bytes_per_s = 0;
  bool operator==(const BandwidthLimits&) const = default;
};

// From `from_minute` on the days given until `to_minute`: of the same day, or of the next one when
// it is not later. The same minute twice is a whole day.
struct BandwidthRule {
  unsigned days = 0x7F;      // bit 0: Monday ... bit 6: Sunday
  unsigned from_minute = 0;  // of the day, 0 to 1439
  unsigned to_minute = 0;    // 0 to 1440
  BandwidthLimits limits;
};

struct LocalTime {
  unsigned day = 0;  // 0: Monday
  unsigned minute = 0;
};
LocalTime local_time_of(int64_t unix_ms);  // by the machine's time zone

class BandwidthSchedule {
 public:
  using Calendar = std::function<LocalTime(int64_t unix_ms)>;
  explicit BandwidthSchedule(std::vector<BandwidthRule> rules = {},
                             Calendar calendar = local_time_of)
      : rules_(std::move(rules)), calendar_(std::move(calendar)) {}

  bool empty() const { return rules_.empty(); }
  // Of the first rule that holds then; none: no limit.
  BandwidthLimits at(int64_t unix_ms) const;

 private:
  std::vector<BandwidthRule> rules_;
  Calendar calendar_;
};

// "Mon-Fri", "Sat,Sun", "Fri-Mon", "daily". The bits of BandwidthRule::days.
Result<unsigned> parse_days(std::string_view text);
std::string format_days(unsigned days);
// "08:00", "24:00" (the end of the day). Minutes.
Result<unsigned> parse_time_of_day(std::string_view text);
std::string format_time_of_day(unsigned minute);

}  // namespace coldshelf
