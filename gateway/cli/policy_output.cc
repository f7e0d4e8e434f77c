#include "gateway/cli/policy_output.h"

#include <cstdio>

#include "gateway/cli/output.h"
#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

void print_lines(std::ostream& out, const char* title, const Json& lines) {
  if (lines.empty()) return;
  out << title << " (" << lines.size() << "):\n";
  for (const Json& line : lines) out << "  " << line.get<std::string>() << "\n";
}

std::string dollars(double amount, const std::string& currency) {
  char text[48];
  std::snprintf(text, sizeof text, amount < 0.01 ? "%.5f" : "%.2f", amount);
  return std::string(text) + " " + currency;
}

}  // namespace

void print_policies(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& p : answer["Policies"]) {
    const bool enabled = p.value("Enabled", true);
    const std::string schedule = p.value("Schedule", "");
    rows.push_back({p.value("Name", ""),
                    !enabled           ? "off"
                    : schedule.empty() ? "by hand"
                                       : schedule,
                    p.value("NextRun", "-"), p["OpenRuns"].dump(), p.value("LastFinished", "-"),
                    p.contains("LastFailures") ? p["LastFailures"].dump() : "-"});
  }
  if (rows.empty()) {
    out << "there are no policies\n";
    return;
  }
  print_table(out, {"NAME", "SCHEDULE", "NEXT", "OPEN", "LAST ENDED", "FAILURES"}, rows);
}

void print_policy_run(std::ostream& out, const Json& run) {
  out << "run " << run.value("RunId", "") << ": " << run.value("Phase", "") << ", due "
      << run.value("Due", "");
  if (run.value("Missed", 0) > 0) out << ", makes up for " << run["Missed"].dump() << " missed";
  out << "\n";
  for (const Json& item : run["Items"]) {
    out << "  " << item.value("Place", "") << " " << item.value("VolumeId", "") << " "
        << item.value("SnapshotId", "") << " " << item.value("State", "");
    if (!item.value("Note", "").empty()) out << ": " << item.value("Note", "");
    out << "\n";
  }
  print_lines(out, "failed", run["Failed"]);
  print_lines(out, "skipped", run["Skipped"]);
  print_lines(out, "done", run["Done"]);
}

void print_policy(std::ostream& out, const Json& answer) {
  for (const auto& [key, value] : answer["Policy"].items()) {
    if (value.empty() && value.is_structured()) continue;
    out << key << " = " << value.dump() << "\n";
  }
  out << "in AWS it keeps " << answer.value("KeepInAws", "") << ", in the archive "
      << answer.value("KeepInArchive", "") << "\n";
  if (answer.contains("NextRun")) out << "next at " << answer.value("NextRun", "") << "\n";
  constexpr size_t kRunsShown = 5;
  const Json& runs = answer["Runs"];
  for (size_t i = runs.size() > kRunsShown ? runs.size() - kRunsShown : 0; i < runs.size(); ++i) {
    out << "\n";
    print_policy_run(out, runs[i]);
  }
}

void print_policy_preview(std::ostream& out, const Json& answer) {
  for (const Json& s : answer["Snapshots"]) {
    out << "snapshot  " << s.value("Place", "") << " " << s.value("InstanceId", "");
    for (const Json& id : s["VolumeIds"]) out << " " << id.get<std::string>();
    out << "\n";
  }
  for (const Json& s : answer["Skipped"]) {
    out << "skip      " << s.value("What", "") << ": " << s.value("Why", "") << "\n";
  }
  for (const Json& d : answer["DeleteInAws"]) {
    out << "delete    " << d.value("Place", "") << " " << d.value("VolumeId", "") << " "
        << d.value("SnapshotId", "") << " in AWS (" << d.value("Why", "") << ")\n";
  }
  for (const Json& d : answer["DeleteInArchive"]) {
    out << "delete    " << d.value("Archive", "") << ": the point of " << d.value("SnapshotId", "")
        << " (" << d.value("Why", "") << ")\n";
  }
  print_lines(out, "failed", answer["Failed"]);
  out << "Nothing was done.\n";
}

void print_policy_report(std::ostream& out, const Json& answer) {
  const std::string currency = answer.value("Currency", "USD");
  for (const Json& v : answer["Volumes"]) {
    out << v.value("VolumeId", "") << ": " << v["InAws"].dump() << " in AWS, "
        << v["InArchive"].dump() << " in the archive"
        << (v.value("Archive", "").empty() ? "" : " " + v.value("Archive", ""))
        << (v.value("ArchiveStatus", "") == "ARCHIVED"
                ? " (ARCHIVED: nothing is pulled until it is retrieved)"
                : "")
        << "; changed " << format_size(v["ChangedInBytes"].get<uint64_t>()) << ", new to us "
        << format_size(v["StoredInBytes"].get<uint64_t>()) << "; pulls cost "
        << dollars(v.value("PullCost", 0.0), currency) << ", in AWS "
        << dollars(v.value("AwsCostPerMonth", 0.0), currency) << " a month\n";
    std::vector<std::vector<std::string>> rows;
    for (const Json& p : v["Points"]) {
      rows.push_back({p.value("SnapshotId", ""), p.value("Started", "").substr(0, 19),
                      p.value("Base", "").empty() ? "-" : p.value("Base", ""),
                      p["SizeInGiB"].dump() + " GiB", p["ChangedBlocks"].dump(),
                      p["StoredBlocks"].dump(), p.value("InAws", false) ? "yes" : "no",
                      !p.value("Point", "").empty()                ? "yes"
                      : p.value("State", "") == "skipped-archived" ? "skipped"
                                                                   : "no",
                      p.value("Kept", "")});
    }
    print_table(out,
                {"SNAPSHOT", "STARTED", "BASE", "SIZE", "CHANGED", "STORED", "AWS", "HERE", "KEPT"},
                rows);
    out << "\n";
  }
  out << "pulls cost " << dollars(answer.value("PullCost", 0.0), currency) << ", in AWS "
      << dollars(answer.value("AwsCostPerMonth", 0.0), currency)
      << " a month (public prices of US East)\n";
  print_lines(out, "failed", answer["Failed"]);
}

}  // namespace coldshelf::cli
