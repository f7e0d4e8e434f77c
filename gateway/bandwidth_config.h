// [[bandwidth]] of the configuration.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "uploader/cloud/bandwidth_schedule.h"

namespace coldshelf {

constexpr std::array<std::string_view, 5> kBandwidthKeys = {"days", "from", "to", "upload",
                                                            "download"};

// From the texts of a table's keys; what is missing is "daily", all day, and no limit.
Result<BandwidthRule> bandwidth_rule_of(const std::map<std::string, std::string>& texts);
std::string bandwidth_rule_text(const BandwidthRule& rule);  // as TOML

// "20MB/s", "512KiB/s"; "none": 0.
Result<uint64_t> parse_rate(std::string_view text);
std::string format_rate(uint64_t bytes_per_s);

}  // namespace coldshelf
