// Alarms: which are on, which were, which there are. And the metrics, for those who have no HTTP.
#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

Json alarm_json(const Alarm& alarm) {
  Json out = {{"Alarm", alarm.name},
              {"Severity", to_string(alarm.severity)},
              {"Subject", alarm.subject},
              {"Detail", alarm.detail},
              {"Help", alarm.help},
              {"Raised", format_utc(alarm.raised_ms)},
              {"Acknowledged", alarm.acknowledged}};
  if (!alarm.active()) out["Cleared"] = format_utc(alarm.cleared_ms);
  return out;
}

}  // namespace

Json Service::alarms_on() const {
  Json out = Json::array();
  if (env_.monitor == nullptr) return out;
  for (const Alarm& alarm : env_.monitor->alarms().active()) out.push_back(alarm_json(alarm));
  return out;
}

void Service::add_alarm_operations() {
  own("GetMetrics", [this](const Params&) -> Result<Json> {
    if (env_.metrics == nullptr) return Error(ErrorCode::unavailable, "there are no metrics here");
    return Json{{"Text", env_.metrics->render()}};
  });
  if (env_.monitor == nullptr) return;
  Alarms& alarms = env_.monitor->alarms();
  own("ListAlarms", [this, &alarms](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const bool all, in.flag_or("History", false));
    Json out = {{"Alarms", alarms_on()}};
    if (!all) return out;
    out["History"] = Json::array();
    for (const Alarm& alarm : alarms.history()) out["History"].push_back(alarm_json(alarm));
    return out;
  });
  own("ListAlarmRules", [&alarms](const Params&) -> Result<Json> {
    Json out = {{"Rules", Json::array()}};
    for (const AlarmRule& rule : alarms.rules()) {
      out["Rules"].push_back({{"Alarm", rule.name},
                              {"Severity", to_string(rule.severity)},
                              {"RaisedWhen", rule.raised_when},
                              {"OverWhen", rule.over_when},
                              {"RaisedAfterSeconds", rule.raise_after_ms / 1'000},
                              {"ClearedAfterSeconds", rule.clear_after_ms / 1'000},
                              {"Help", rule.help}});
    }
    return out;
  });
  own("AcknowledgeAlarm", [&alarms](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Alarm"));
    ASSIGN_OR_RETURN(const std::string subject, in.text_or("Subject", ""));
    TRY(alarms.acknowledge(name, subject));
    return Json{{"Alarm", name}, {"Subject", subject}};
  });
}

}  // namespace coldshelf::api
