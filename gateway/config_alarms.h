// [alarms]: when the gateway's own alarms ring.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/config_keys.h"

namespace coldshelf {

std::vector<KeySpec> alarm_keys();
// What is wrong with them together: the key, and what.
std::optional<std::pair<std::string, std::string>> alarm_complaint(const Config& config);

}  // namespace coldshelf
