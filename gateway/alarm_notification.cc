#include "gateway/alarm_notification.h"

#include "base/clock.h"

namespace coldshelf {

Notification notification_of(const Alarm& alarm) {
  Notification out;
  const bool on = alarm.active();
  out.event = on ? "alarm.raised" : "alarm.over";
  out.severity = !on                                         ? NotificationSeverity::info
                 : alarm.severity == AlarmSeverity::critical ? NotificationSeverity::error
                                                             : NotificationSeverity::warning;
  out.subject = (on ? "alarm: " : "over: ") + alarm.name;
  if (!alarm.subject.empty()) out.subject += ", " + alarm.subject;
  if (on && !alarm.detail.empty()) out.subject += ": " + alarm.detail;
  out.time_ms = on ? alarm.raised_ms : alarm.cleared_ms;
  out.fields = {{"alarm", alarm.name},
                {"subject", alarm.subject},
                {"severity", std::string(to_string(alarm.severity))},
                {"raised", format_utc(alarm.raised_ms)}};
  if (!on) out.fields.emplace_back("over", format_utc(alarm.cleared_ms));
  if (!alarm.detail.empty()) out.fields.emplace_back("detail", alarm.detail);
  if (on) out.fields.emplace_back("help", alarm.help);
  return out;
}

}  // namespace coldshelf
