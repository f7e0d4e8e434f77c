#include "gateway/cli/volume_output.h"

#include <cstdio>

#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

std::string size(const Json& object, const char* name) {
  return format_size(object.value(name, uint64_t{0}));
}

std::string count(const Json& object, const char* name) {
  return std::to_string(object.value(name, uint64_t{0}));
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

}  // namespace

void print_volumes(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& v : answer["Volumes"]) {
    rows.push_back({v.value("Name", ""), v.value("Status", ""), v.value("Mode", ""),
                    size(v, "SizeInBytes"), size(v, "MappedInBytes"), count(v, "RecoveryPoints"),
                    count(v, "Sessions"), yes_no(v.value("Pinned", false)),
                    v.contains("Problem") ? v.value("Problem", "") : v.value("Target", "")});
  }
  for (const Json& m : answer["Mounts"]) {
    const Json& point = m["RecoveryPoint"];
    rows.push_back({m.value("Name", ""), "MOUNTED",
                    point.value("Volume", "") + "@" + point.value("Name", ""),
                    size(point, "SizeInBytes"), "-", "-", count(m, "Sessions"), "no",
                    m.contains("Problem") ? m.value("Problem", "") : m.value("Target", "")});
  }
  if (rows.empty()) {
    out << "no volumes; coldshelf volume create --name NAME --size SIZE\n";
    return;
  }
  print_table(out,
              {"NAME", "STATUS", "MODE", "SIZE", "USED", "POINTS", "SESSIONS", "PINNED", "TARGET"},
              rows);
}

void print_volume(std::ostream& out, const Json& v) {
  std::vector<std::pair<std::string, std::string>> fields = {
      {"Name", v.value("Name", "")},
      {"Id", v.value("VolumeId", "") + " (" + v.value("Uuid", "") + ")"},
      {"Status", v.value("Status", "")},
      {"Problem", v.value("Problem", "")},
      {"Mode", v.value("Mode", "") + (v.value("Pinned", false) ? ", pinned" : "")},
      {"Size", size(v, "SizeInBytes") + ", blocks of " + count(v, "BlockBytes") + " bytes"},
      {"Used", size(v, "MappedInBytes")},
      {"Here", size(v, "LocalInBytes")},
      {"Stored", size(v, "StoredInBytes")},
      {"Not uploaded", size(v, "NotUploadedInBytes")},
      {"Encrypted", yes_no(v.value("Encrypted", false))},
      {"Recovery points", count(v, "RecoveryPoints")},
      {"Clone of", v.value("CloneOf", "")},
      {"Created", v.value("Created", "")},
      {"Target", v.value("Target", "")},
      {"Sessions", count(v, "Sessions")}};
  if (v.contains("Writing")) {
    const Json& w = v["Writing"];
    fields.emplace_back("Written", size(w, "WrittenBytes") + " since it was opened");
    if (w.contains("WriteAmplification")) {
      char text[32];
      std::snprintf(text, sizeof text, "%.2f", w.value("WriteAmplification", 0.0));
      fields.emplace_back("Write amplification", std::string(text) + " (" + size(w, "LogBytes") +
                                                     " log, " + size(w, "MovedBytes") + " moved, " +
                                                     size(w, "MapBytes") + " maps)");
    }
    fields.emplace_back("Map", count(w, "Extents") + " extents, " + size(w, "MapMemoryBytes"));
  }
  for (const auto& [name, value] : fields) {
    if (!value.empty()) out << name << ":" << std::string(21 - name.size(), ' ') << value << "\n";
  }
}

void print_detached_volumes(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& v : answer["Volumes"]) {
    rows.push_back({v.value("Name", ""), size(v, "SizeInBytes"), v.value("Gateway", ""),
                    v.value("Detached", ""), v.value("Uuid", "")});
  }
  if (rows.empty()) {
    out << "no detached volumes\n";
    return;
  }
  print_table(out, {"NAME", "SIZE", "LAST GATEWAY", "DETACHED", "UUID"}, rows);
}

void print_volume_schedules(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& s : answer["Schedules"]) {
    std::string volumes;
    for (const Json& v : s["Volumes"])
      volumes += (volumes.empty() ? "" : ",") + v.get<std::string>();
    rows.push_back({s.value("Name", ""), volumes, s.value("When", ""), s.value("Keep", ""),
                    s.value("Quiesce", "-"), s.value("LastRun", "-"), s.value("NextRun", "-"),
                    s.value("Problem", "")});
  }
  if (rows.empty()) {
    out << "no schedules; coldshelf volume schedule set NAME VOLUME --at WHEN\n";
    return;
  }
  print_table(
      out, {"NAME", "VOLUMES", "WHEN", "KEEP", "QUIESCE", "LAST RUN", "NEXT RUN", "PROBLEM"}, rows);
}

void print_points(std::ostream& out, const Json& points) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& p : points) {
    rows.push_back({p.value("Volume", ""), p.value("Name", ""), p.value("Created", ""),
                    size(p, "SizeInBytes"), p.value("MountedAs", "-"), p.value("Id", "")});
  }
  if (rows.empty()) {
    out << "no recovery points\n";
    return;
  }
  print_table(out, {"VOLUME", "NAME", "CREATED", "SIZE", "MOUNTED AS", "ID"}, rows);
}

}  // namespace coldshelf::cli
