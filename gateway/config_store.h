// What the keys of [store] and [store.s3] mean together.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "gateway/config.h"

namespace coldshelf {

// The key that is wrong, and what is wrong with it.
std::optional<std::pair<std::string, std::string>> store_complaint(const Config::Store& store);

}  // namespace coldshelf
