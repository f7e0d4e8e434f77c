// The keys of [prices]: one for each figure of uploader/cost_model.h.
#pragma once

#include <string_view>
#include <vector>

#include "uploader/cost_model.h"

namespace coldshelf {

struct PriceKey {
  std::string_view name;  // "prices.glacier.bulk_per_gb"
  double& (*member)(Prices&);
};
std::vector<PriceKey> price_keys();

}  // namespace coldshelf
