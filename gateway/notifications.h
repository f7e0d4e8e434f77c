// From the configuration to a notifier.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/file_system.h"
#include "gateway/config.h"
#include "uploader/cloud/notifier.h"

namespace coldshelf {

// Secrets are read, nobody is asked anything. Errors name the notify.
Result<std::unique_ptr<Notifier>> make_notifier(const Config& config, FileSystem& files,
                                                std::shared_ptr<Clock> clock);

}  // namespace coldshelf
