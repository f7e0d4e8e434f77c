// A catalog for people who help: what it is made of, not what is in it.
#pragma once

#include <string>

#include "base/result.h"

namespace coldshelf {

// Schema, version and rows of each table. A daemon may have it open; only reads. not_found.
Result<std::string> describe_catalog(const std::string& path);

}  // namespace coldshelf
