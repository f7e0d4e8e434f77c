// What `coldshelf key status` prints.
#include "gateway/cli/output.h"

namespace coldshelf::cli {

std::string key_text(const Json& tape) {
  const std::string id = tape.value("KeyId", "");
  if (id.empty()) return {};
  const std::string state = tape.value("KeyState", "");
  if (state == "missing") return id + " (key missing: the tape cannot be loaded)";
  return state == "old" ? id + " (an old key)" : id;
}

void print_keys(std::ostream& out, const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  uint64_t left = 0;
  for (const Json& key : answer["Keys"]) {
    const auto tapes = key.value("Tapes", uint64_t{0});
    const std::string state = key.value("State", "");
    if (state == "old") left += tapes;
    rows.push_back({key.value("KeyId", ""), state, std::to_string(tapes)});
  }
  if (rows.empty()) out << "no key is configured\n";
  if (!rows.empty()) print_table(out, {"KEY", "STATE", "CARTRIDGES"}, rows);
  const auto plain = answer.value("NotEncrypted", uint64_t{0});
  if (plain != 0) out << plain << " cartridges are not encrypted\n";
  const auto unreadable = answer.value("Unreadable", uint64_t{0});
  if (unreadable != 0) out << unreadable << " cartridges' manifests cannot be read\n";
  const auto behind = answer.value("NotUploaded", uint64_t{0});
  if (behind != 0) out << behind << " cartridges' manifests are on their way to the store\n";
  const Json& rotation = answer["Rotation"];
  const std::string state = rotation.value("State", "");
  if (state != "none") {
    out << "rotation " << state << ": " << rotation.value("Done", uint64_t{0}) << " of "
        << rotation.value("Total", uint64_t{0}) << " cartridges";
    const auto waiting = rotation.value("Waiting", uint64_t{0});
    if (waiting != 0) out << ", " << waiting << " wait for other jobs";
    out << "\n";
  }
  for (const Json& failure : rotation["Failures"]) {
    out << "  " << failure.value("Barcode", "") << ": " << failure.value("Error", "") << "\n";
  }
  if (left == 0 && behind == 0 && unreadable == 0 && rows.size() > 1 && state != "running") {
    out << "no tape needs an old key any more\n";
  }
}

}  // namespace coldshelf::cli
