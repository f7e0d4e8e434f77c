#include "gateway/cli/output.h"

#include <algorithm>

#include "gateway/units.h"

namespace coldshelf::cli {

namespace {

std::string text(const Json& object, const char* name) {
  if (!object.contains(name)) return "";
  const Json& value = object[name];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string size(const Json& object, const char* name) {
  return format_size(object.value(name, uint64_t{0}));
}

std::string or_dash(const std::string& value) { return value.empty() ? "-" : value; }

void print_fields(std::ostream& out,
                  const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, name.size());
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    out << name << ":" << std::string(width - name.size() + 1, ' ') << printable(value) << "\n";
  }
}

std::string job_progress(const Json& job) {
  const auto done = job.value("DoneBytes", uint64_t{0});
  const auto total = job.value("TotalBytes", uint64_t{0});
  if (total == 0) return "-";
  return std::to_string(done * 100 / total) + " %";
}

std::string lock_text(const Json& tape) {
  if (!tape.contains("LockedUntil")) return "";
  return text(tape, "Lock") + " until " + text(tape, "LockedUntil");
}

std::string monthly_text(const Json& tape) {
  if (!tape.contains("MonthlyCost") || tape["Stored"].empty()) return "";
  std::string out = money(tape.value("MonthlyCost", 0.0), text(tape, "Currency")) + " a month (";
  bool first = true;
  for (const Json& g : tape["Stored"]) {
    out += (first ? "" : ", ") + text(g, "Objects") + " objects, " + size(g, "Bytes") + " in " +
           text(g, "StorageClass");
    first = false;
  }
  const auto days = tape.value("MinimumStorageDays", 0U);
  if (days != 0) out += "; billed for " + std::to_string(days) + " days at least";
  return out + ")";
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : '\0');
    const bool second_set = c == 0xc2 && next >= 0x80 && next <= 0x9f;  // U+0080 to U+009F
    if (!second_set && c >= 0x20 && c != 0x7f) {
      out += text[i];
      continue;
    }
    if (second_set) {
      c = next;
      ++i;
    }
    out += {'\\', 'x', kDigits[c >> 4], kDigits[c & 15]};
  }
  return out;
}

Json printable_json(const Json& value) {
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value;
  Json out = value;
  for (Json& part : out) part = printable_json(part);
  return out;
}

void print_table(std::ostream& out, const std::vector<std::string>& header,
                 const std::vector<std::vector<std::string>>& raw_rows) {
  auto rows = raw_rows;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
  std::vector<size_t> widths;
  for (const std::string& cell : header) widths.push_back(cell.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  auto line = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      out << row[i];
      if (i + 1 < row.size()) out << std::string(widths[i] - row[i].size() + 2, ' ');
    }
    out << "\n";
  };
  line(header);
  for (const auto& row : rows) line(row);
}

void print_tapes(std::ostream& out, const Json& tapes) {
  if (tapes.empty()) {
    out << "no tapes\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& t : tapes) {
    rows.push_back({text(t, "Barcode"), text(t, "Status"), size(t, "SizeInBytes"),
                    size(t, "UsedInBytes"), text(t, "Medium"), text(t, "Pool"),
                    or_dash(text(t, "Location"))});
  }
  print_table(out, {"BARCODE", "STATUS", "SIZE", "USED", "MEDIUM", "POOL", "LOCATION"}, rows);
}

void print_tape(std::ostream& out, const Json& tape) {
  print_fields(out, {{"Barcode", text(tape, "Barcode")},
                     {"Status", text(tape, "Status")},
                     {"Location", or_dash(text(tape, "Location"))},
                     {"Medium", text(tape, "Medium")},
                     {"Size", size(tape, "SizeInBytes")},
                     {"Used", size(tape, "UsedInBytes")},
                     {"Stored", size(tape, "StoredInBytes")},
                     {"Pool", text(tape, "Pool")},
                     {"Retrieved parts", text(tape, "Parts")},
                     {"Locked", lock_text(tape)},
                     {"Legal hold", tape.value("LegalHold", false) ? "on" : ""},
                     {"Costs", monthly_text(tape)},
                     {"Write-protected", tape.value("WriteProtected", false) ? "yes" : "no"},
                     {"WORM", tape.value("Worm", false) ? "yes" : "no"},
                     {"Key", key_text(tape)},
                     {"Pinned", tape.value("Pinned", false) ? "yes" : "no"},
                     {"Created", text(tape, "Created")},
                     {"Archived", text(tape, "Archived")},
                     {"Uuid", text(tape, "Uuid")},
                     {"Problem", text(tape, "Problem")}});
  if (!tape.contains("Job")) return;
  const Json& job = tape["Job"];
  out << "Job " << text(job, "JobId") << ": " << text(job, "Kind") << ", " << text(job, "State")
      << ", " << job_progress(job) << " " << text(job, "Step") << "\n";
  if (job.contains("Parts")) out << "  of it: " << text(job, "Parts") << "\n";
  out << "  " << text(job, "DoneObjects") << " of " << text(job, "TotalObjects") << " objects, "
      << size(job, "DoneBytes") << " of " << size(job, "TotalBytes") << "\n";
  if (job.contains("ExpectedBy")) {
    out << "  expected by " << text(job, "ExpectedBy") << " (" << text(job, "Tier") << ")\n";
  }
}

void print_library(std::ostream& out, const Json& library) {
  out << "Changer " << text(library, "Changer") << ", serial " << text(library, "Serial") << ", "
      << text(library, "Target") << "\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const Json& d : library["Drives"]) {
    std::string state = d.value("Loaded", false) ? "loaded" : "empty";
    if (!d.value("Loaded", false) && d.contains("Barcode")) state = "unloaded";
    if (d.value("Prevented", false)) state += ", locked";
    if (d.value("WriteProtected", false)) state += ", write-protected";
    rows.push_back({text(d, "Number"), or_dash(text(d, "Barcode")), state, text(d, "Model"),
                    text(d, "Serial"), text(d, "Target")});
  }
  print_table(out, {"DRIVE", "TAPE", "STATE", "MODEL", "SERIAL", "TARGET"}, rows);
  for (const Json& d : library["Drives"]) {
    if (d.contains("Problem")) {
      out << "drive " << text(d, "Number") << ": " << text(d, "Problem") << "\n";
    }
  }
  rows.clear();
  size_t empty = 0;
  for (const char* list : {"Slots", "ImportExportSlots"}) {
    for (const Json& e : library[list]) {
      if (e.contains("Barcode")) {
        rows.push_back({text(e, "Element"), text(e, "Address"), text(e, "Barcode")});
      } else {
        ++empty;
      }
    }
  }
  out << "\n";
  if (!rows.empty()) print_table(out, {"ELEMENT", "ADDRESS", "TAPE"}, rows);
  out << library["Slots"].size() << " slots and " << library["ImportExportSlots"].size()
      << " import/export slots, " << empty << " of them empty\n";
}

void print_jobs(std::ostream& out, const Json& jobs) {
  if (jobs.empty()) {
    out << "no jobs\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& j : jobs) {
    const std::string error = text(j, "Error");
    rows.push_back({text(j, "JobId"), text(j, "Kind"), text(j, "Barcode"), text(j, "State"),
                    job_progress(j), text(j, "Created"), error.empty() ? text(j, "Step") : error});
  }
  print_table(out, {"JOB", "KIND", "TAPE", "STATE", "DONE", "CREATED", "STEP"}, rows);
}

namespace {

std::string buffer_text(const Json& status) {
  const auto limit = status.value("BufferLimitBytes", uint64_t{0});
  const auto slowed_ms = status.value("WritersSlowedMs", int64_t{0});
  std::string out =
      size(status, "BufferBytes") + (limit == 0 ? ", no limit" : " of " + format_size(limit));
  if (status.value("WritersSlowed", false)) out += ", writers are slowed down";
  if (slowed_ms > 0) out += ", slowed for " + format_duration(slowed_ms / 1000 * 1000) + " in all";
  return out;
}

std::string rate_text(const Json& status, const char* what, const char* field) {
  const auto rate = status.value(field, uint64_t{0});
  return rate == 0 ? "" : what + format_size(rate) + "/s";
}

std::string sharing_of(const Json& status) {
  if (!status.contains("Sharing") || status["Sharing"].empty()) return "";
  const Json& sharing = status["Sharing"];
  if (sharing.contains("Problem")) return text(sharing, "Problem");
  if (!sharing.value("ConditionalWrites", false)) {
    return "no: the store has no conditional writes, this gateway must stay alone";
  }
  return "possible, lease until " + text(sharing, "LeaseUntil");
}
}  // namespace

void print_status(std::ostream& out, const Json& status) {
  std::string endpoints;
  for (const Json& e : status["Endpoints"]) {
    endpoints += (endpoints.empty() ? "" : ", ") + e.get<std::string>();
  }
  std::string tapes;
  for (const auto& [name, count] : status["Tapes"].items()) {
    tapes += (tapes.empty() ? "" : ", ") + count.dump() + " " + name;
  }
  const auto limit = status.value("CacheLimitBytes", uint64_t{0});
  print_fields(
      out,
      {{"Gateway", text(status, "Gateway") + " (" + text(status, "GatewayId") + "), version " +
                       text(status, "Version")},
       {"Health", text(status, "Health")},
       {"Running since", text(status, "Started")},
       {"Data", text(status, "DataDirectory")},
       {"Store", text(status, "Store")},
       {"Sharing", sharing_of(status)},
       {"Encryption", status.value("Encrypted", false) ? "on" : "off"},
       {"iSCSI", endpoints + ", " + text(status, "Sessions") + " sessions"},
       {"Drives", text(status, "DrivesLoaded") + " of " + text(status, "Drives") + " loaded"},
       {"Tapes", tapes.empty() ? "none" : tapes},
       {"Cache",
        size(status, "CacheBytes") + (limit == 0 ? ", no limit" : " of " + format_size(limit))},
       {"To upload",
        size(status, "NotUploadedBytes") + " in " + text(status, "QueuedSegments") + " segments"},
       {"Buffer", buffer_text(status)},
       {"Transfers", text(status, "UploadsAtOnce") + " up and " + text(status, "DownloadsAtOnce") +
                         " down at once" +
                         rate_text(status, ", upload limit ", "UploadLimitBytesPerSecond") +
                         rate_text(status, ", download limit ", "DownloadLimitBytesPerSecond")},
       {"Uploaded", size(status, "UploadedBytes")},
       {"Downloaded", size(status, "DownloadedBytes")}});
  for (const Json& alarm : status.value("Alarms", Json::array())) {
    out << text(alarm, "Severity") << ": " << text(alarm, "Alarm") << " " << text(alarm, "Subject")
        << ": " << text(alarm, "Detail") << "\n";
  }
  for (const Json& p : status["Problems"]) {
    out << "problem with " << text(p, "Barcode") << ": " << text(p, "Problem") << "\n";
  }
}

void print_sessions(std::ostream& out, const Json& sessions) {
  if (sessions.empty()) {
    out << "no sessions\n";
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& s : sessions) {
    rows.push_back({text(s, "Initiator"), or_dash(text(s, "Target")), text(s, "Peer"),
                    text(s, "Commands"), size(s, "BytesReceived"), size(s, "BytesSent")});
  }
  print_table(out, {"INITIATOR", "TARGET", "PEER", "COMMANDS", "RECEIVED", "SENT"}, rows);
}

}  // namespace coldshelf::cli
