#include "uploader/cloud/bandwidth_schedule.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <optional>

namespace coldshelf {

namespace {

constexpr unsigned kDays = 7;
constexpr unsigned kMinutesPerDay = 24 * 60;
constexpr unsigned kAllDays = 0x7F;
constexpr std::array<std::string_view, kDays> kDayNames = {"Mon", "Tue", "Wed", "Thu",
                                                           "Fri", "Sat", "Sun"};

std::optional<unsigned> day_of(std::string_view name) {
  for (unsigned day = 0; day < kDays; ++day) {
    if (kDayNames[day] == name) return day;
  }
  return std::nullopt;
}

bool on(unsigned days, unsigned day) { return (days >> (day % kDays) & 1U) != 0; }

bool holds(const BandwidthRule& rule, const LocalTime& now) {
  if (rule.from_minute < rule.to_minute) {
    return on(rule.days, now.day) && rule.from_minute <= now.minute && now.minute < rule.to_minute;
  }
  // Over midnight: it began today, or yesterday.
  return (on(rule.days, now.day) && now.minute >= rule.from_minute) ||
         (on(rule.days, now.day + kDays - 1) && now.minute < rule.to_minute);
}

}  // namespace

LocalTime local_time_of(int64_t unix_ms) {
  const time_t seconds = static_cast<time_t>(unix_ms / 1000);
  struct tm local {};
  if (::localtime_r(&seconds, &local) == nullptr) return {};
  return {static_cast<unsigned>((local.tm_wday + 6) % 7),
          static_cast<unsigned>(local.tm_hour * 60 + local.tm_min)};
}

BandwidthLimits BandwidthSchedule::at(int64_t unix_ms) const {
  if (rules_.empty()) return {};
  const LocalTime now = calendar_(unix_ms);
  for (const BandwidthRule& rule : rules_) {
    if (holds(rule, now)) return rule.limits;
  }
  return {};
}

Result<unsigned> parse_days(std::string_view text) {
  const Error wrong(ErrorCode::invalid_argument,
                    "'" + std::string(text) + "' are no days; write them like \"Mon-Fri\", " +
                        "\"Sat,Sun\" or \"daily\"");
  if (text == "daily") return kAllDays;
  unsigned days = 0;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    std::string_view part = text.substr(at, comma - at);
    at = comma + 1;
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    const size_t dash = part.find('-');
    const auto first = day_of(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : day_of(part.substr(dash + 1));
    if (!first || !last) return wrong;
    for (unsigned day = *first;; day = (day + 1) % kDays) {
      days |= 1U << day;
      if (day == *last) break;
    }
  }
  return days;
}

std::string format_days(unsigned days) {
  if ((days & kAllDays) == kAllDays) return "daily";
  std::string out;
  for (unsigned day = 0; day < kDays; ++day) {
    if (!on(days, day)) continue;
    unsigned last = day;
    while (last + 1 < kDays && on(days, last + 1)) ++last;
    out += (out.empty() ? "" : ",") + std::string(kDayNames[day]);
    if (last > day) out += "-" + std::string(kDayNames[last]);
    day = last;
  }
  return out;
}

Result<unsigned> parse_time_of_day(std::string_view text) {
  const auto digit = [&](size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  const Error wrong(ErrorCode::invalid_argument, "'" + std::string(text) +
                                                     "' is no time of day; write it like " +
                                                     "\"08:00\", at most \"24:00\"");
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) {
    return wrong;
  }
  const auto number = [&](size_t at) {
    return static_cast<unsigned>((text[at] - '0') * 10 + (text[at + 1] - '0'));
  };
  const unsigned minute = number(0) * 60 + number(3);
  if (number(3) > 59 || minute > kMinutesPerDay) return wrong;
  return minute;
}

std::string format_time_of_day(unsigned minute) {
  char out[16];
  std::snprintf(out, sizeof out, "%02u:%02u", minute / 60, minute % 60);
  return out;
}

}  // namespace coldshelf
