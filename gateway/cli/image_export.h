// `coldshelf export` of an image: the disk, or one of its recovery points, as a sparse raw file,
// straight from the store.
#pragma once

#include "gateway/cli/cartridge_export.h"
#include "tape/format/manifest.h"

namespace coldshelf::cli {

// `point`: a recovery point's name or id; empty: the image as the store has it. Errors as
// export_cartridge().
Result<ExportReport> export_image(const ExportEnv& env, const ExportRequest& request,
                                  const Manifest& manifest, const std::string& point);

}  // namespace coldshelf::cli
