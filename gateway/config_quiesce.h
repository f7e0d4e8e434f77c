// [[quiesce]]: commands around a recovery point.
#pragma once

#include <map>
#include <string>

#include "gateway/config_tables.h"
#include "snapshot/quiesce.h"

namespace coldshelf {

TableSpec quiesce_table();
std::map<std::string, QuiesceCommands> quiesce_commands(const Config& config);

}  // namespace coldshelf
