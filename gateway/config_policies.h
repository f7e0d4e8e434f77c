// [[policy]]: docs/policies.md.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "gateway/config_tables.h"

namespace coldshelf {

TableSpec policy_table();

// Policies of a file as the configuration has them, for the API.
Result<std::vector<nlohmann::json>> read_policy_file(std::string_view text,
                                                     const std::string& source);

}  // namespace coldshelf
