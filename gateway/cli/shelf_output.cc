// Pools, and what things cost, for people.
#include <cstdio>

#include "gateway/cli/output.h"
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

std::string span(double hours) {
  char out[32];
  if (hours <= 0) return "at once";
  if (hours < 1.0 / 60) {
    std::snprintf(out, sizeof out, "%.0f s", hours * 3600);
  } else if (hours < 1) {
    std::snprintf(out, sizeof out, "%.0f min", hours * 60);
  } else {
    std::snprintf(out, sizeof out, "%.0f h", hours);
  }
  return out;
}

std::string takes(const Json& tier) {
  const std::string typical = span(tier.value("TypicalHours", 0.0));
  const std::string most = span(tier.value("AtMostHours", 0.0));
  return typical == most ? most : typical + " to " + most;
}

}  // namespace

// Small sums keep their digits: a tape's month may cost less than a cent.
std::string money(double amount, const std::string& currency) {
  char out[48];
  std::snprintf(out, sizeof out, amount != 0 && amount < 0.1 ? "%.4f" : "%.2f", amount);
  return std::string(out) + " " + currency;
}

void print_pools(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& p : answer["Pools"]) {
    std::string lock = "-";
    if (text(p, "Lock") != "NONE") lock = text(p, "Lock") + " " + text(p, "LockDays") + " d";
    rows.push_back({text(p, "Name"), text(p, "StorageClass"), text(p, "Mode"), lock,
                    text(p, "Tapes"), size(p, "UsedInBytes"), text(p, "Objects"),
                    size(p, "StoredInBytes"),
                    money(p.value("MonthlyCost", 0.0), text(p, "Currency"))});
  }
  print_table(out,
              {"POOL", "CLASS", "MODE", "LOCK", "TAPES", "USED", "OBJECTS", "STORED", "A MONTH"},
              rows);
}

void print_estimate(std::ostream& out, const Json& answer) {
  const std::string currency = text(answer, "Currency");
  out << text(answer, answer.contains("Archive") ? "Archive" : "Barcode");
  if (answer.contains("Parts")) out << ", " << text(answer, "Parts");
  out << ": " << text(answer, "Objects") << " objects, " << size(answer, "Bytes")
      << " in the store, readable for " << text(answer, "Days") << " days\n";
  std::vector<std::vector<std::string>> rows;
  for (const Json& t : answer["Tiers"]) {
    if (!t.value("Possible", false)) {
      rows.push_back({text(t, "Tier"), "-", "-", "-", "-", "-", "not offered", ""});
      continue;
    }
    rows.push_back({text(t, "Tier"), text(t, "Objects"), size(t, "Bytes"),
                    money(t.value("Requests", 0.0), currency),
                    money(t.value("Retrieval", 0.0), currency),
                    money(t.value("TemporaryCopy", 0.0), currency),
                    money(t.value("Total", 0.0), currency), takes(t)});
  }
  print_table(out, {"TIER", "RESTORES", "BYTES", "REQUESTS", "RETRIEVAL", "COPY", "TOTAL", "TAKES"},
              rows);
  out << "Reading it once: " << money(answer.value("Reading", 0.0), currency)
      << ". Transfer out of the region comes on top.\n";
}

void print_move(std::ostream& out, const Json& answer) {
  const std::string currency = text(answer, "Currency");
  const Json& restore = answer["Restore"];
  out << text(answer, answer.contains("Archive") ? "Archive" : "Barcode") << " to pool "
      << text(answer, "Pool") << ": " << text(restore, "Objects") << " objects, "
      << size(restore, "Bytes") << " are restored first (" << text(answer, "Tier") << ")\n";
  print_table(
      out, {"RESTORE", "COPIES", "RETRIEVAL", "EARLY DELETION", "TOTAL", "A MONTH NOW", "THEN"},
      {{money(restore.value("Total", 0.0), currency), money(answer.value("Copies", 0.0), currency),
        money(answer.value("Retrieval", 0.0), currency),
        money(answer.value("EarlyDeletion", 0.0), currency),
        money(answer.value("Total", 0.0), currency),
        money(answer.value("MonthlyBefore", 0.0), currency),
        money(answer.value("MonthlyAfter", 0.0), currency)}});
}

}  // namespace coldshelf::cli
