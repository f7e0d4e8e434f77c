// Pools: what a configuration or a request says, checked, and whether the store can do it.
#pragma once

#include <string>

#include "catalog/catalog.h"
#include "gateway/config.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

constexpr uint64_t kMaxLockDays = 36'500;  // AWS's limit, too

// "staged" for classes that cannot be read without a restore, else "direct".
std::string default_pool_mode(const std::string& storage_class);
PoolRow row_of(const PoolConfig& pool);

// Name, class, mode and lock on their own.
Status check_pool(const PoolRow& pool);
// not_supported: the store has no such classes, or no Object Lock. An error of the store's own when
// it could not be asked.
Status check_pool_fits(const PoolRow& pool, ObjectStore& store);

}  // namespace coldshelf
