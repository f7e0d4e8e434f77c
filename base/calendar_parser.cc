#include "base/calendar_parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace coldshelf {

namespace {

constexpr size_t kMaxTextBytes = 256;
constexpr std::array<std::string_view, 7> kDayNames = {
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

Error bad(std::string_view part, const std::string& why) {
  return Error(ErrorCode::invalid_argument, "\"" + std::string(part) + "\": " + why);
}

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (const std::string_view word : split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// What a place of the expression may hold.
struct Place {
  const char* name;
  unsigned lowest;
  unsigned highest;
};

Result<unsigned> number(std::string_view text, const Place& place) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return bad(text, std::string("is not a number for the ") + place.name);
  }
  if (value < place.lowest || value > place.highest) {
    return bad(text, std::string("the ") + place.name + " is from " + std::to_string(place.lowest) +
                         " to " + std::to_string(place.highest));
  }
  return value;
}

// Sets the values that `text` names; value v is bit v - shift.
template <size_t N>
Status set_values(std::string_view text, const Place& place, unsigned shift, std::bitset<N>& out) {
  out.reset();
  for (std::string_view item : split(text, ',')) {
    unsigned step = 1;
    const size_t slash = item.find('/');
    if (slash != std::string_view::npos) {
      const Place steps{"step", 1, place.highest};
      ASSIGN_OR_RETURN(step, number(item.substr(slash + 1), steps));
      item = item.substr(0, slash);
    }
    unsigned from = place.lowest;
    unsigned to = place.highest;
    const size_t dots = item.find("..");
    if (dots != std::string_view::npos) {
      ASSIGN_OR_RETURN(from, number(item.substr(0, dots), place));
      ASSIGN_OR_RETURN(to, number(item.substr(dots + 2), place));
      if (from > to) return bad(item, "goes backwards");
    } else if (item != "*") {
      ASSIGN_OR_RETURN(from, number(item, place));
      if (slash == std::string_view::npos) to = from;
    }
    for (unsigned v = from; v <= to; v += step) out.set(v - shift);
  }
  return {};
}

std::optional<unsigned> day_of(std::string_view name) {
  const std::string wanted = lower(name);
  for (unsigned i = 0; i < kDayNames.size(); ++i) {
    if (wanted == kDayNames[i] || wanted == kDayNames[i].substr(0, 3)) return i;
  }
  return std::nullopt;
}

}  // namespace

CalendarExpression CalendarParser::everything() {
  CalendarExpression all;
  all.weekdays_.set();
  all.years_.set();
  for (unsigned month = 1; month <= 12; ++month) all.months_.set(month);
  for (unsigned day = 1; day <= 31; ++day) all.days_.set(day);
  all.hours_.set();
  all.minutes_.set();
  all.seconds_.set();
  return all;
}

void CalendarParser::at(unsigned hour, unsigned minute) {
  out_.hours_.reset();
  out_.hours_.set(hour);
  out_.minutes_.reset();
  out_.minutes_.set(minute);
  out_.seconds_.reset();
  out_.seconds_.set(0);
}

void CalendarParser::on(unsigned day) {
  out_.days_.reset();
  out_.days_.set(day);
}

Status CalendarParser::weekdays(std::string_view text) {
  out_.weekdays_.reset();
  for (const std::string_view item : split(text, ',')) {
    const size_t dots = item.find("..");
    const auto from = day_of(item.substr(0, dots));
    const auto to = dots == std::string_view::npos ? from : day_of(item.substr(dots + 2));
    if (!from || !to) return bad(item, "is not a day of the week (Mon, Tue, Mon..Fri, Sat,Sun)");
    // Sat..Mon goes over the end of the week.
    for (unsigned i = 0; i <= (*to + 7 - *from) % 7; ++i) out_.weekdays_.set((*from + i) % 7);
  }
  return {};
}

Status CalendarParser::date(std::string_view text) {
  const Place year{"year", CalendarExpression::kFirstYear, CalendarExpression::kLastYear};
  const Place month{"month", 1, 12};
  const Place day{"day of the month", 1, 31};
  std::string_view from_end;
  const size_t tilde = text.find('~');
  if (tilde != std::string_view::npos) {
    from_end = text.substr(tilde + 1);
    TRY(set_values(from_end, day, 0, out_.days_from_end_));
    out_.days_.reset();
    text = text.substr(0, tilde);
  }
  std::vector<std::string_view> parts = split(text, '-');
  if (tilde == std::string_view::npos) {
    if (parts.size() < 2) return bad(text, "is not a date ([YEAR-]MONTH-DAY)");
    TRY(set_values(parts.back(), day, 0, out_.days_));
    parts.pop_back();
  }
  if (parts.size() > 2) return bad(text, "is not a date ([YEAR-]MONTH-DAY)");
  TRY(set_values(parts.back(), month, 0, out_.months_));
  if (parts.size() == 2) {
    TRY(set_values(parts[0], year, CalendarExpression::kFirstYear, out_.years_));
  }
  return {};
}

Status CalendarParser::time(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3)
    return bad(text, "is not a time (HOUR:MINUTE[:SECOND])");
  TRY(set_values(parts[0], Place{"hour", 0, 23}, 0, out_.hours_));
  TRY(set_values(parts[1], Place{"minute", 0, 59}, 0, out_.minutes_));
  return set_values(parts.size() == 3 ? parts[2] : "0", Place{"second", 0, 59}, 0, out_.seconds_);
}

Status CalendarParser::every(const std::vector<std::string_view>& words) {
  if (words.size() < 2) return bad(words[0], "how often? (every 4h, every 15min, every 2d)");
  const std::string_view text = words[1];
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string unit = lower(text.substr(digits));
  const bool minutes = unit == "min" || unit == "m";
  const bool hours = unit == "h";
  if (!minutes && !hours && unit != "d") return bad(text, "the unit is min, h or d");
  ASSIGN_OR_RETURN(const unsigned count, number(text.substr(0, digits), Place{"interval", 1, 366}));
  at(0, 0);
  if (unit == "d") {
    out_.every_days_ = count;
    if (words.size() == 3) return time(words[2]);
  } else if (hours) {
    if (24 % count != 0)
      return bad(text, "a day must be a multiple of it (1h, 2h, 3h, 4h, 6h ...)");
    for (unsigned h = 0; h < 24; h += count) out_.hours_.set(h);
  } else {
    if (60 % count != 0) return bad(text, "an hour must be a multiple of it (5min, 15min, 30min)");
    out_.hours_.set();
    for (unsigned m = 0; m < 60; m += count) out_.minutes_.set(m);
  }
  if (words.size() > 2) return bad(words[2], "is too much here");
  return {};
}

bool CalendarParser::shorthand(std::string_view word) {
  const std::string name = lower(word);
  if (name == "minutely" || name == "hourly") {
    const std::bitset<60> all_minutes = out_.minutes_;
    at(0, 0);
    out_.hours_.set();
    if (name == "minutely") out_.minutes_ = all_minutes;
    return true;
  }
  static constexpr std::array<std::string_view, 6> kNames = {"daily",     "weekly", "monthly",
                                                             "quarterly", "yearly", "annually"};
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return false;
  at(0, 0);
  if (name == "daily") return true;
  if (name == "weekly") {
    out_.weekdays_.reset();
    out_.weekdays_.set(0);
    return true;
  }
  on(1);
  if (name == "monthly") return true;
  out_.months_.reset();
  const unsigned step = name == "quarterly" ? 3 : 12;
  for (unsigned month = 1; month <= 12; month += step) out_.months_.set(month);
  return true;
}

Status CalendarParser::words(std::vector<std::string_view> words) {
  if (!words.empty()) {
    const std::string zone = lower(words.back());
    out_.utc_ = zone == "utc";
    if (zone == "utc" || zone == "local") words.pop_back();
  }
  if (words.empty()) return Error(ErrorCode::invalid_argument, "the schedule is empty");
  if (lower(words[0]) == "every") return every(words);
  if (words.size() == 1 && shorthand(words[0])) return {};
  at(0, 0);
  size_t i = 0;
  if (std::isalpha(static_cast<unsigned char>(words[0][0])) != 0) {
    if (lower(words[0]).find("day") == std::string::npos && !day_of(words[0].substr(0, 3))) {
      return bad(words[0], "is neither a day of the week nor hourly, daily, weekly, monthly ...");
    }
    TRY(weekdays(words[i++]));
  }
  if (i < words.size() && words[i].find(':') == std::string_view::npos) TRY(date(words[i++]));
  if (i < words.size()) TRY(time(words[i++]));
  if (i < words.size()) return bad(words[i], "is too much here");
  return {};
}

Result<CalendarExpression> CalendarParser::parse(std::string_view text, ZoneOffset local) {
  if (text.size() > kMaxTextBytes) {
    return Error(ErrorCode::invalid_argument, "the schedule is too long");
  }
  for (const char c : text) {
    if (c < ' ' || c > '~') {
      return Error(ErrorCode::invalid_argument, "the schedule holds a character it cannot");
    }
  }
  CalendarExpression out = everything();
  Status parsed = CalendarParser(out).words(words_of(text));
  if (!parsed.ok()) {
    return Error(ErrorCode::invalid_argument,
                 "schedule \"" + std::string(text) + "\": " + parsed.error().context);
  }
  std::string normal;
  for (const std::string_view word : words_of(text)) {
    normal += normal.empty() ? "" : " ";
    normal += word;
  }
  out.text_ = normal;
  out.zone_ = out.utc_ ? ZoneOffset(utc_zone_offset) : std::move(local);
  if (!out.wall_after(-1)) {
    return Error(ErrorCode::invalid_argument,
                 "schedule \"" + std::string(text) + "\" never happens");
  }
  return out;
}

}  // namespace coldshelf
