// [aws] and [[account]]: where EBS snapshots are, and in whose name they are pulled.
#pragma once

#include "gateway/config_keys.h"
#include "gateway/config_tables.h"

namespace coldshelf {

std::vector<KeySpec> aws_keys();
TableSpec account_table();
// What does not go together, and of which key.
std::optional<std::pair<std::string, std::string>> aws_complaint(const Config& config);

}  // namespace coldshelf
