// [[notify]]: who is told what was done, skipped and failed.
#pragma once

#include "gateway/config_tables.h"

namespace coldshelf {

TableSpec notify_table();

}  // namespace coldshelf
