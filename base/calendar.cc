#include "base/calendar.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/calendar_parser.h"

namespace coldshelf {

namespace {

constexpr int64_t kHourS = 3600;
constexpr int64_t kDayS = 24 * kHourS;
constexpr int64_t kWeekS = 7 * kDayS;
// The longest time that a clock is put back by (an hour today; two in wars).
constexpr int64_t kLongestRepeatS = 3 * kHourS;
// All years there are: an expression may name a single one.
constexpr int64_t kSearchDays = 231 * 366;

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q * b > a ? q - 1 : q;
}

template <size_t N>
std::optional<unsigned> first_from(const std::bitset<N>& bits, unsigned from) {
  for (unsigned i = from; i < N; ++i) {
    if (bits[i]) return i;
  }
  return std::nullopt;
}

}  // namespace

int64_t local_zone_offset(int64_t unix_s) {
  const std::time_t seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  if (::localtime_r(&seconds, &parts) == nullptr) return 0;
  return parts.tm_gmtoff;
}

int64_t utc_zone_offset(int64_t) { return 0; }

Result<CalendarExpression> CalendarExpression::parse(std::string_view text, ZoneOffset local) {
  return CalendarParser::parse(text, std::move(local));
}

Result<CalendarExpression> CalendarExpression::every_hours(unsigned hours, unsigned start_hour,
                                                           bool utc, ZoneOffset local) {
  const bool known =
      hours == 1 || hours == 2 || hours == 4 || hours == 8 || hours == 12 || hours == 24;
  if (!known) {
    return Error(ErrorCode::invalid_argument,
                 "a recurrence is 1, 2, 4, 8, 12 or 24 hours, not " + std::to_string(hours));
  }
  if (start_hour > 23) {
    return Error(ErrorCode::invalid_argument,
                 "the hour to start at is from 0 to 23, not " + std::to_string(start_hour));
  }
  const std::string every = hours == 24 ? "" : "/" + std::to_string(hours);
  const std::string first =
      hours == 24 ? std::to_string(start_hour) : std::to_string(start_hour % hours);
  return parse(first + every + ":00" + (utc ? " UTC" : ""), std::move(local));
}

bool CalendarExpression::date_matches(int64_t day) const {
  if (day % every_days_ != 0) return false;
  const std::chrono::sys_days date{std::chrono::days(day)};
  const std::chrono::year_month_day ymd{date};
  const int year = static_cast<int>(ymd.year());
  if (year < kFirstYear || year > kLastYear) return false;
  if (!years_[static_cast<size_t>(year - kFirstYear)]) return false;
  if (!months_[static_cast<unsigned>(ymd.month())]) return false;
  const unsigned of_month = static_cast<unsigned>(ymd.day());
  const std::chrono::year_month_day_last last{ymd.year() / ymd.month() / std::chrono::last};
  const unsigned from_end = static_cast<unsigned>(last.day()) - of_month + 1;
  if (!days_[of_month] && !days_from_end_[from_end]) return false;
  return weekdays_[std::chrono::weekday{date}.iso_encoding() - 1];
}

std::optional<int64_t> CalendarExpression::time_after(int64_t second) const {
  const auto from = static_cast<unsigned>(second + 1);
  if (from >= kDayS) return std::nullopt;
  const unsigned hour = from / 3600;
  const unsigned minute = from / 60 % 60;
  const auto at = [](unsigned h, unsigned m, unsigned s) {
    return static_cast<int64_t>(h) * kHourS + m * 60 + s;
  };
  const auto first_second = first_from(seconds_, 0);
  const auto first_minute = first_from(minutes_, 0);
  if (!first_second || !first_minute) return std::nullopt;
  if (hours_[hour]) {
    if (minutes_[minute]) {
      if (const auto s = first_from(seconds_, from % 60)) return at(hour, minute, *s);
    }
    if (const auto m = first_from(minutes_, minute + 1)) return at(hour, *m, *first_second);
  }
  if (const auto h = first_from(hours_, hour + 1)) return at(*h, *first_minute, *first_second);
  return std::nullopt;
}

std::optional<int64_t> CalendarExpression::wall_after(int64_t wall_s) const {
  const int64_t first_day = floor_div(wall_s, kDayS);
  for (int64_t day = first_day; day < first_day + kSearchDays; ++day) {
    if (!date_matches(day)) continue;
    const int64_t after = day == first_day ? wall_s - day * kDayS : -1;
    if (const auto second = time_after(after)) return day * kDayS + *second;
  }
  return std::nullopt;
}

std::optional<int64_t> CalendarExpression::offset_change(int64_t from, int64_t to) const {
  if (utc_) return std::nullopt;
  const int64_t offset = zone_(from);
  int64_t same = from;
  while (same < to) {
    int64_t changed = std::min(same + kWeekS, to);
    if (zone_(changed) == offset) {
      same = changed;
      continue;
    }
    while (changed - same > 1) {
      const int64_t middle = same + (changed - same) / 2;
      (zone_(middle) == offset ? same : changed) = middle;
    }
    return changed;
  }
  return std::nullopt;
}

// Walks along the clock on the wall, from change to change of its offset. It begins a little early,
// so that it knows when `unix_s` lies in an hour that the day has twice.
std::optional<int64_t> CalendarExpression::next_after_s(int64_t unix_s) const {
  const bool every_hour = hours_.all();
  int64_t from = unix_s - kLongestRepeatS;
  int64_t offset = zone_(from);
  int64_t wall = from + offset;
  for (int64_t step = 0; step < kSearchDays; ++step) {
    const auto next = wall_after(wall);
    if (!next) return std::nullopt;
    const int64_t moment = *next - offset;
    const auto change = offset_change(from, moment);
    if (!change) {
      if (moment > unix_s) return moment;
      from = moment;
      wall = *next;
      continue;
    }
    const int64_t before = offset;
    from = *change;
    offset = zone_(from);
    if (offset > before) {
      // From `change + before` to `change + offset` the wall's clock shows nothing.
      wall = from + offset - 1;
      if (!every_hour && *next <= wall && from > unix_s) return from;
    } else {
      wall = from + (every_hour ? offset : before) - 1;
    }
  }
  return std::nullopt;
}

std::optional<int64_t> CalendarExpression::next_after(int64_t unix_ms) const {
  const auto next = next_after_s(floor_div(unix_ms, 1000));
  if (!next) return std::nullopt;
  return *next * 1000;
}

}  // namespace coldshelf
