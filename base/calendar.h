// When something is due: calendar expressions in the spirit of systemd's OnCalendar.
//
//   [WEEKDAYS] [DATE] [TIME] [UTC|local]     what is left out: every day, 00:00:00, local time
//   WEEKDAYS  Mon..Fri    Sat,Sun    Monday
//   DATE      [YEAR-]MONTH-DAY: *-*-1    12-24    2027-*-1,15    *-*-1..7    *-*~1 (the last day)
//   TIME      HOUR:MINUTE[:SECOND]: 08:00    *:00/15    8..18/2:30    *:*:0/10
//   hourly  daily  weekly (Monday)  monthly  quarterly  yearly
//   every 15min   every 4h   every 2d [TIME]   divisors of an hour and a day, counted from their
//                                              start; days are counted from 1970-01-01
// In each place: *, a value, A..B, either with /STEP, and lists of these with commas. "Mon
// *-*-1..7" is the first Monday of a month: weekdays and date must both hold.
//
// Where clocks are changed: a time that the day does not have is due when the gap ends; one that
// it has twice is due the first time. What is due in every hour ("hourly", "*:30", "every 15min")
// is due in every hour that there really is.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coldshelf {

// Seconds east of UTC at a moment (unix seconds). Thread-safe.
using ZoneOffset = std::function<int64_t(int64_t unix_s)>;
int64_t local_zone_offset(int64_t unix_s);  // by the machine's time zone
int64_t utc_zone_offset(int64_t unix_s);

class CalendarExpression {
 public:
  // invalid_argument: says which part cannot be read, or that it never happens (30 February).
  // `local` is what "local time" means.
  static Result<CalendarExpression> parse(std::string_view text,
                                          ZoneOffset local = local_zone_offset);
  // As AWS's snapshot schedules: every 1, 2, 4, 8, 12 or 24 hours, with one of them at
  // `start_hour` (0 to 23) of the day.
  static Result<CalendarExpression> every_hours(unsigned hours, unsigned start_hour, bool utc,
                                                ZoneOffset local = local_zone_offset);

  // The first moment after `unix_ms`. nullopt: never again.
  std::optional<int64_t> next_after(int64_t unix_ms) const;
  const std::string& text() const { return text_; }

 private:
  friend class CalendarParser;
  CalendarExpression() = default;
  bool date_matches(int64_t day) const;                     // days since 1970-01-01
  std::optional<int64_t> time_after(int64_t second) const;  // of a day
  std::optional<int64_t> wall_after(int64_t wall_s) const;  // as a clock on the wall counts
  // The first moment in (from, to] at which the zone's offset is another one than at `from`.
  std::optional<int64_t> offset_change(int64_t from, int64_t to) const;
  std::optional<int64_t> next_after_s(int64_t unix_s) const;

  static constexpr int kFirstYear = 1970;
  static constexpr int kLastYear = 2199;
  std::string text_;
  bool utc_ = false;
  ZoneOffset zone_;
  std::bitset<7> weekdays_;  // 0: Monday
  std::bitset<kLastYear - kFirstYear + 1> years_;
  std::bitset<13> months_;         // 1 to 12
  std::bitset<32> days_;           // 1 to 31
  std::bitset<32> days_from_end_;  // 1: the last day
  int64_t every_days_ = 1;
  std::bitset<24> hours_;
  std::bitset<60> minutes_;
  std::bitset<60> seconds_;
};

}  // namespace coldshelf
