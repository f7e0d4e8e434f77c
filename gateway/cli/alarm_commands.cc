#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

namespace {

std::vector<std::string> alarm_line(const Json& alarm) {
  return {alarm.value("Severity", ""),
          alarm.value("Alarm", ""),
          alarm.value("Subject", ""),
          alarm.value("Raised", ""),
          alarm.contains("Cleared")            ? alarm.value("Cleared", "")
          : alarm.value("Acknowledged", false) ? "on, known"
                                               : "on",
          alarm.value("Detail", "")};
}

void print_alarms(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const char* list : {"Alarms", "History"}) {
    if (!answer.contains(list)) continue;
    for (const Json& alarm : answer[list]) rows.push_back(alarm_line(alarm));
  }
  if (rows.empty()) {
    out << "No alarm is on.\n";
    return;
  }
  print_table(out, {"SEVERITY", "ALARM", "SUBJECT", "RAISED", "OVER", "DETAIL"}, rows);
}

void print_rules(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& rule : answer["Rules"]) {
    rows.push_back(
        {rule.value("Alarm", ""), rule.value("Severity", ""), rule.value("RaisedWhen", ""),
         std::to_string(rule.value("RaisedAfterSeconds", 0)) + " s", rule.value("OverWhen", ""),
         std::to_string(rule.value("ClearedAfterSeconds", 0)) + " s"});
  }
  print_table(out, {"ALARM", "SEVERITY", "RAISED WHEN", "FOR", "OVER WHEN", "FOR"}, rows);
}

}  // namespace

void define_alarm_commands(CommandLine& line) {
  struct Options {
    bool all = false;
    std::string alarm, subject;
  };
  auto options = std::make_shared<Options>();
  CLI::App* alarm = line.group("alarm", "what somebody should look at");
  CLI::App* list = line.command(
      alarm, "list", "the alarms that are on",
      [&line, options] {
        return line.show("ListAlarms", {{"History", options->all}}, print_alarms);
      },
      "  coldshelf alarm list --all");
  list->add_flag("--all", options->all, "those that are over too");
  line.command(
      alarm, "rules", "which alarms there are, and when they ring",
      [&line] { return line.show("ListAlarmRules", Json::object(), print_rules); },
      "  coldshelf alarm rules");
  CLI::App* ack = line.command(
      alarm, "ack", "somebody knows: it is shown as known until it is over",
      [&line, options] {
        return line.act("AcknowledgeAlarm",
                        {{"Alarm", options->alarm}, {"Subject", options->subject}},
                        [](const Json& a) { return a.value("Alarm", "") + " is known"; });
      },
      "  coldshelf alarm ack tape_problem \"tape ABC001L8\"");
  ack->add_option("alarm", options->alarm, "as `alarm list` names it")->required();
  ack->add_option("subject", options->subject, "what it is about; of the gateway itself: none");
}

}  // namespace coldshelf::cli
