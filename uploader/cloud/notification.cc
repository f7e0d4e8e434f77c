#include "uploader/cloud/notification.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

std::string left_out(size_t count) {
  return "... and " + std::to_string(count - kMaxNotificationLines) + " more";
}

Json json_of(const std::vector<std::string>& lines) {
  Json out = Json::array();
  for (size_t i = 0; i < lines.size() && i < kMaxNotificationLines; ++i) out.push_back(lines[i]);
  if (lines.size() > kMaxNotificationLines) out.push_back(left_out(lines.size()));
  return out;
}

void add_list(std::string& out, const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out += "\n" + std::string(title) + " (" + std::to_string(lines.size()) + "):\n";
  for (size_t i = 0; i < lines.size() && i < kMaxNotificationLines; ++i) {
    out += "  " + lines[i] + "\n";
  }
  if (lines.size() > kMaxNotificationLines) out += "  " + left_out(lines.size()) + "\n";
}

}  // namespace

std::string_view to_string(NotificationSeverity severity) {
  switch (severity) {
    case NotificationSeverity::info:
      return "info";
    case NotificationSeverity::warning:
      return "warning";
    case NotificationSeverity::error:
      return "error";
  }
  return "error";
}

std::optional<NotificationSeverity> parse_notification_severity(std::string_view text) {
  for (const auto severity :
       {NotificationSeverity::info, NotificationSeverity::warning, NotificationSeverity::error}) {
    if (text == to_string(severity)) return severity;
  }
  return std::nullopt;
}

std::string notification_json(const Notification& notification) {
  Json fields = Json::object();
  for (const auto& [name, value] : notification.fields) fields[name] = value;
  const Json out = {{"id", notification.id},
                    {"event", notification.event},
                    {"severity", std::string(to_string(notification.severity))},
                    {"subject", notification.subject},
                    {"gateway", notification.gateway},
                    {"time", format_utc(notification.time_ms)},
                    {"fields", fields},
                    {"done", json_of(notification.done)},
                    {"skipped", json_of(notification.skipped)},
                    {"failed", json_of(notification.failed)}};
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string notification_text(const Notification& notification) {
  std::string out = notification.subject + "\n\n";
  out += "Gateway: " + notification.gateway + "\n";
  out += "Time: " + format_utc(notification.time_ms) + "\n";
  out += "Severity: " + std::string(to_string(notification.severity)) + "\n";
  for (const auto& [name, value] : notification.fields) out += name + ": " + value + "\n";
  add_list(out, "Failed", notification.failed);
  add_list(out, "Skipped", notification.skipped);
  add_list(out, "Done", notification.done);
  return out;
}

}  // namespace coldshelf
