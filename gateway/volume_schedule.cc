#include "gateway/volume_schedule.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxName = 100;
constexpr size_t kMaxText = 1'000;
constexpr unsigned kMostKept = 10'000;

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

constexpr std::pair<const char*, unsigned RetentionRule::*> kCounts[] = {
    {"last", &RetentionRule::keep_last},  {"hourly", &RetentionRule::hourly},
    {"daily", &RetentionRule::daily},     {"weekly", &RetentionRule::weekly},
    {"monthly", &RetentionRule::monthly}, {"yearly", &RetentionRule::yearly}};

}  // namespace

Result<CalendarExpression> VolumeSchedule::when(ZoneOffset local) const {
  if (!calendar.empty()) return CalendarExpression::parse(calendar, std::move(local));
  return CalendarExpression::every_hours(hours, start_hour, utc, std::move(local));
}

std::string VolumeSchedule::describe_when() const {
  if (!calendar.empty()) return calendar;
  return "every " + std::to_string(hours) + " h, from " + std::to_string(start_hour) + ":00" +
         (utc ? " UTC" : "");
}

std::string encode_schedule(const VolumeSchedule& s) {
  Json out = {{"changed_ms", s.changed_ms}};
  if (s.calendar.empty()) {
    out["hours"] = s.hours;
    out["start_hour"] = s.start_hour;
    out["utc"] = s.utc;
  } else {
    out["calendar"] = s.calendar;
  }
  for (const auto& [name, member] : kCounts) {
    if (s.keep.*member != 0) out["keep"][name] = s.keep.*member;
  }
  if (s.keep.keep_for_ms != 0) out["keep"]["for_ms"] = s.keep.keep_for_ms;
  if (!s.quiesce.empty()) out["quiesce"] = s.quiesce;
  if (!s.description.empty()) out["description"] = s.description;
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<VolumeSchedule> decode_schedule(const std::string& name, const std::string& text) {
  const Json in = Json::parse(text, nullptr, false);
  const Error bad(ErrorCode::corrupt, "schedule " + name + " in a manifest is malformed");
  if (!in.is_object()) return bad;
  const auto number = [](const Json& object, const char* key) -> int64_t {
    const auto at = object.find(key);
    return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
  };
  const auto string = [&in](const char* key) {
    const auto at = in.find(key);
    return at != in.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  VolumeSchedule s;
  s.name = name;
  s.calendar = string("calendar");
  s.hours = static_cast<unsigned>(number(in, "hours"));
  s.start_hour = static_cast<unsigned>(number(in, "start_hour"));
  const auto utc = in.find("utc");
  s.utc = utc != in.end() && utc->is_boolean() && utc->get<bool>();
  const auto keep = in.find("keep");
  if (keep != in.end() && keep->is_object()) {
    for (const auto& [key, member] : kCounts) {
      s.keep.*member = static_cast<unsigned>(number(*keep, key));
    }
    s.keep.keep_for_ms = number(*keep, "for_ms");
  }
  s.quiesce = string("quiesce");
  s.description = string("description");
  s.changed_ms = number(in, "changed_ms");
  if (!check_schedule(s).ok()) return bad;
  return s;
}

Status check_schedule(const VolumeSchedule& s) {
  if (!is_name(s.name)) {
    return Error(ErrorCode::invalid_argument, "'" + s.name + "' is no name of a schedule");
  }
  if (s.description.size() > kMaxText || s.calendar.size() > kMaxText) {
    return Error(ErrorCode::invalid_argument, "schedule " + s.name + ": a text is too long");
  }
  if (!s.calendar.empty() && s.hours != 0) {
    return Error(ErrorCode::invalid_argument, "give hours or a calendar expression, not both");
  }
  const auto when = s.when();
  if (!when.ok()) return when.error();
  for (const auto& [key, member] : kCounts) {
    if (s.keep.*member > kMostKept) {
      return Error(ErrorCode::out_of_range, "schedule " + s.name + " keeps at most " +
                                                std::to_string(kMostKept) + " points of a kind");
    }
  }
  if (s.keep.keep_for_ms < 0) {
    return Error(ErrorCode::out_of_range, "schedule " + s.name + ": an age below zero");
  }
  return {};
}

}  // namespace coldshelf
