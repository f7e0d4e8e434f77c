// What is told to people and their systems: that a run was done, that something failed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace coldshelf {

enum class NotificationSeverity { info, warning, error };
std::string_view to_string(NotificationSeverity severity);  // "warning"
std::optional<NotificationSeverity> parse_notification_severity(std::string_view text);

struct Notification {
  std::string id;     // the same in every attempt and channel; empty: the notifier gives one
  std::string event;  // "policy.run", "alarm.raised"
  NotificationSeverity severity = NotificationSeverity::info;
  std::string subject;  // one line
  std::string gateway;  // who says it; empty: the notifier's own name
  int64_t time_ms = 0;  // unix; 0: the time it is sent
  std::vector<std::pair<std::string, std::string>> fields;  // "policy": "nightly"
  std::vector<std::string> done;
  std::vector<std::string> skipped;
  std::vector<std::string> failed;
  bool to_all = false;  // whatever channels ask for: a test
};

// {"id", "event", "severity", "subject", "gateway", "time", "fields": {...}, "done": [...],
// "skipped": [...], "failed": [...]}. The lists are cut at kMaxNotificationLines each, and say so.
std::string notification_json(const Notification& notification);
// The same for a person: the subject, the fields, then the lists (failed first).
std::string notification_text(const Notification& notification);
constexpr size_t kMaxNotificationLines = 500;

// One way to a receiver. Used by one thread at a time, give_up() by any.
class NotificationChannel {
 public:
  virtual ~NotificationChannel() = default;
  // unavailable, timed_out: another attempt may help. Anything else: it does not.
  virtual Status deliver(const Notification& notification) = 0;
  virtual void give_up() = 0;  // what is under way and later ones end soon, with cancelled
};

// Where notifications are handed in.
class NotificationSink {
 public:
  virtual ~NotificationSink() = default;
  // Never blocks. `settled` (may be empty) is called once from any thread, perhaps at once: true
  // once one channel has delivered it or when none wants it, false when all gave up: whoever
  // repeats it for one broken channel tells all others again. Not called when the program ends
  // before.
  virtual void send(Notification notification, std::function<void(bool delivered)> settled) = 0;
};

}  // namespace coldshelf
