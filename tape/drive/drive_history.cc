#include "tape/drive/drive_history.h"

#include <charconv>

namespace coldshelf {

namespace {

struct NumberField {
  std::string_view name;
  uint64_t DriveHistory::*member;
};
constexpr std::array<NumberField, 7> kNumbers = {{
    {"loads", &DriveHistory::loads},
    {"initializations", &DriveHistory::initializations},
    {"volume_change", &DriveHistory::volume_change},
    {"written", &DriveHistory::written_bytes},
    {"read", &DriveHistory::read_bytes},
    {"last_written", &DriveHistory::last_written_bytes},
    {"last_read", &DriveHistory::last_read_bytes},
}};

void set_field(DriveHistory& history, std::string_view name, std::string_view value) {
  for (const NumberField& field : kNumbers) {
    if (field.name != name) continue;
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc{} && end == value.data() + value.size()) history.*field.member = number;
    return;
  }
  if (name.size() == 7 && name.substr(0, 6) == "device" && name[6] >= '0' && name[6] <= '3') {
    history.devices[static_cast<size_t>(name[6] - '0')] = std::string(value);
  }
}

}  // namespace

std::string DriveHistory::encode() const {
  std::string out;
  for (const NumberField& field : kNumbers) {
    out.append(field.name).append("=").append(std::to_string(this->*field.member)).append(";");
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].empty()) continue;
    out.append("device").append(std::to_string(i)).append("=").append(devices[i]).append(";");
  }
  return out;
}

DriveHistory DriveHistory::decode(std::string_view text) {
  DriveHistory history;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    set_field(history, pair.substr(0, equals), pair.substr(equals + 1));
  }
  return history;
}

}  // namespace coldshelf
