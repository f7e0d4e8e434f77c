// LOCATE on a full 1 TiB cartridge whose segments are sparse files with real headers, footers and
// trailers.
#pragma once

#include <string>

#include "base/result.h"

namespace coldshelf::bench {

Status run_locate(const std::string& scratch_parent);

}  // namespace coldshelf::bench
