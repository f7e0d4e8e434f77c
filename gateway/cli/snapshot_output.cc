#include "gateway/cli/snapshot_output.h"

#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

std::string text(const Json& object, const char* name) { return object.value(name, ""); }

std::string count(const Json& object, const char* name) {
  return std::to_string(object.value(name, uint64_t{0}));
}

std::string size(const Json& object, const char* name) {
  return format_size(object.value(name, uint64_t{0}));
}

std::string minute(const std::string& time) { return time.substr(0, 16); }

std::string tags_of(const Json& object) {
  std::string out;
  if (!object.contains("Tags")) return out;
  for (const auto& [key, value] : object["Tags"].items()) {
    out += (out.empty() ? "" : " ") + key + "=" + value.get<std::string>();
  }
  return out;
}

}  // namespace

void print_archives(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& a : answer["Archives"]) {
    rows.push_back({text(a, "Name"), text(a, "VolumeId"), text(a, "Region"), count(a, "Snapshots"),
                    minute(text(a, "NewestStarted")), size(a, "SizeInBytes"),
                    size(a, "LocalInBytes"), size(a, "StoredInBytes"), text(a, "Pool"),
                    a.contains("Problem") ? text(a, "Status") + ": " + text(a, "Problem")
                    : a.contains("Pull")  ? "pulling " + text(a["Pull"], "SnapshotId")
                                          : text(a, "Status")});
  }
  if (rows.empty()) {
    out << "no archives of EBS volumes; `coldshelf snapshot pull` makes one\n";
    return;
  }
  print_table(out,
              {"ARCHIVE", "VOLUME", "REGION", "SNAPSHOTS", "NEWEST", "SIZE", "HERE", "STORED",
               "POOL", "STATUS"},
              rows);
}

void print_archive(std::ostream& out, const Json& a) {
  out << text(a, "Name") << ": " << text(a, "VolumeId") << " of account " << text(a, "Account")
      << " in " << text(a, "Region") << ", " << size(a, "SizeInBytes") << ", "
      << size(a, "LocalInBytes") << " here, " << size(a, "StoredInBytes") << " in the store, "
      << size(a, "NotUploadedInBytes") << " here only\n"
      << text(a, "Status") << ", pool " << text(a, "Pool");
  if (a.contains("ReadableUntil")) out << ", readable until " << text(a, "ReadableUntil");
  out << "\n";
  if (a.contains("Problem")) out << "problem: " << text(a, "Problem") << "\n";
  if (a.contains("Pull")) {
    out << "pull under way: " << text(a["Pull"], "SnapshotId") << ", next block "
        << count(a["Pull"], "NextBlock") << "\n";
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& p : a["Points"]) {
    const std::string base = text(p, "Base");
    std::string restored;
    for (const Json& to : p["RestoredTo"]) {
      restored += (restored.empty() ? "" : " ") + to.get<std::string>();
    }
    rows.push_back({text(p, "Name"), minute(text(p, "Started")), base.empty() ? "(in full)" : base,
                    count(p, "FetchedBlocks"), count(p, "StoredBlocks"), count(p, "RemovedBlocks"),
                    restored, tags_of(p)});
  }
  if (rows.empty()) {
    out << "no snapshots yet\n";
    return;
  }
  print_table(
      out, {"SNAPSHOT", "STARTED", "BASE", "FETCHED", "STORED", "REMOVED", "RESTORED TO", "TAGS"},
      rows);
}

void print_ec2_snapshots(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& s : answer["Snapshots"]) {
    rows.push_back({text(s, "SnapshotId"), text(s, "VolumeId"), minute(text(s, "Started")),
                    count(s, "VolumeSizeInGiB") + " GiB", text(s, "State"), tags_of(s)});
  }
  if (rows.empty()) {
    out << "no snapshots\n";
    return;
  }
  print_table(out, {"SNAPSHOT", "VOLUME", "STARTED", "SIZE", "STATE", "TAGS"}, rows);
}

}  // namespace coldshelf::cli
