#include "gateway/pools.h"

#include <algorithm>

namespace coldshelf {

std::string default_pool_mode(const std::string& storage_class) {
  const auto known = parse_storage_class(storage_class);
  return known && needs_restore(*known) ? "staged" : "direct";
}

PoolRow row_of(const PoolConfig& pool) {
  PoolRow row;
  row.name = pool.name;
  row.storage_class = pool.storage_class;
  row.mode = pool.mode.empty() ? default_pool_mode(pool.storage_class) : pool.mode;
  if (pool.lock != "none") {
    row.lock = pool.lock;
    std::transform(row.lock.begin(), row.lock.end(), row.lock.begin(),
                   [](char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  }
  row.lock_days = pool.lock_days;
  return row;
}

Status check_pool(const PoolRow& pool) {
  if (pool.name.empty() || pool.name.size() > 100) {
    return Error(ErrorCode::invalid_argument, "a pool needs a name of 1 to 100 characters");
  }
  const std::string what = "pool '" + pool.name + "': ";
  if (!parse_storage_class(pool.storage_class)) {
    return Error(ErrorCode::invalid_argument,
                 what + "there is no storage class '" + pool.storage_class + "'");
  }
  if (pool.mode != "direct" && pool.mode != "staged") {
    return Error(ErrorCode::invalid_argument,
                 what + "mode '" + pool.mode + "' must be direct or staged");
  }
  if (pool.locks() && !parse_lock_mode(pool.lock)) {
    return Error(ErrorCode::invalid_argument,
                 what + "lock '" + pool.lock + "' must be GOVERNANCE or COMPLIANCE");
  }
  if (pool.locks() && (pool.lock_days < 1 || pool.lock_days > kMaxLockDays)) {
    return Error(ErrorCode::out_of_range,
                 what + "a locked pool needs lock_days of 1 to " + std::to_string(kMaxLockDays));
  }
  if (!pool.locks() && pool.lock_days != 0) {
    return Error(ErrorCode::invalid_argument,
                 what + "lock_days needs a lock: governance or compliance");
  }
  return {};
}

Status check_pool_fits(const PoolRow& pool, ObjectStore& store) {
  ASSIGN_OR_RETURN(const StoreCapabilities can, store.capabilities());
  if (!can.storage_classes && pool.storage_class != to_string(StorageClass::standard)) {
    return Error(ErrorCode::not_supported,
                 "pool '" + pool.name + "' is in class " + pool.storage_class + ", and " +
                     store.describe() +
                     " has no storage classes but STANDARD; configure [[pool]] with "
                     "storage_class = \"STANDARD\"");
  }
  if (!can.object_lock && pool.locks()) {
    return Error(ErrorCode::not_supported, "pool '" + pool.name + "' locks its tapes, and " +
                                               store.describe() +
                                               " has no Object Lock; it is enabled for a bucket "
                                               "when that is made");
  }
  return {};
}

}  // namespace coldshelf
