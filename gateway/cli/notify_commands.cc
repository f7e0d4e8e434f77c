#include "gateway/cli/command_line.h"
#include "gateway/cli/output.h"

namespace coldshelf::cli {

namespace {

void print_notifications(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& n : answer["Notifications"]) {
    rows.push_back({n.value("Name", ""), n["Delivered"].dump(), n["Failed"].dump(),
                    n["Dropped"].dump(), n["Waiting"].dump(), n.value("LastDelivered", ""),
                    n.value("LastError", "")});
  }
  if (rows.empty()) {
    out << "nobody is told: there is no [[notify]] in the configuration\n";
    return;
  }
  print_table(out, {"NAME", "DELIVERED", "FAILED", "DROPPED", "WAITING", "LAST", "LAST ERROR"},
              rows);
}

}  // namespace

void define_notify_commands(CommandLine& line) {
  CLI::App* notify = line.group("notify", "who is told what was done and failed");
  line.command(
      notify, "list", "the channels, and what became of notifications",
      [&line] { return line.show("ListNotifications", Json::object(), print_notifications); },
      "  coldshelf notify list");
  line.command(
      notify, "test", "send a test to every channel",
      [&line] {
        return line.act("SendTestNotification", Json::object(), [](const Json&) {
          return std::string("sent; 'coldshelf notify list' says what became of it");
        });
      },
      "  coldshelf notify test && sleep 5 && coldshelf notify list");
}

}  // namespace coldshelf::cli
