// Archives of EBS snapshots of a data directory from before they lay with all other cartridges.
#pragma once

#include <string>

#include "base/file_system.h"
#include "catalog/catalog.h"

namespace coldshelf {

// Moves what lies in `<data_dir>/archives` to `cartridges`, where Shelf::reconcile() enters it and
// sends it to the store. One that cannot be read, or whose name an image here has, stays where it
// is, which the log tells. Done again after a crash it goes on.
Status take_over_old_archives(FileSystem& files, Catalog& catalog, const std::string& data_dir,
                              const std::string& cartridges);

}  // namespace coldshelf
