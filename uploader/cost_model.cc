#include "uploader/cost_model.h"

#include <algorithm>
#include <cmath>

namespace coldshelf {

namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr double kDaysOfMonth = 30;

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(GiB); }
double thousands(uint64_t count) { return static_cast<double>(count) / 1000.0; }

const RestorePrice& price_of(const ClassPrices& prices, RestoreTier tier) {
  switch (tier) {
    case RestoreTier::expedited:
      return prices.expedited;
    case RestoreTier::bulk:
      return prices.bulk;
    case RestoreTier::standard:
      break;
  }
  return prices.standard;
}

}  // namespace

const ClassPrices& Prices::of(StorageClass c) const {
  switch (c) {
    case StorageClass::standard_ia:
      return standard_ia;
    case StorageClass::onezone_ia:
      return onezone_ia;
    case StorageClass::intelligent_tiering:
      return intelligent_tiering;
    case StorageClass::glacier_ir:
      return glacier_ir;
    case StorageClass::glacier:
      return glacier;
    case StorageClass::deep_archive:
      return deep_archive;
    case StorageClass::standard:
      break;
  }
  return standard;
}

void add_objects(std::vector<ObjectGroup>& groups, StorageClass c, uint64_t objects,
                 uint64_t bytes) {
  auto at = std::find_if(groups.begin(), groups.end(),
                         [&](const ObjectGroup& g) { return g.storage_class == c; });
  if (at == groups.end()) at = groups.insert(groups.end(), {c, 0, 0});
  at->objects += objects;
  at->bytes += bytes;
}

unsigned minimum_days(StorageClass c) {
  switch (c) {
    case StorageClass::standard_ia:
    case StorageClass::onezone_ia:
      return 30;
    case StorageClass::glacier_ir:
    case StorageClass::glacier:
      return 90;
    case StorageClass::deep_archive:
      return 180;
    default:
      return 0;
  }
}

int coldness(StorageClass c) {
  switch (c) {
    case StorageClass::standard:
      return 0;
    case StorageClass::intelligent_tiering:
      return 1;
    case StorageClass::standard_ia:
    case StorageClass::onezone_ia:
      return 2;
    case StorageClass::glacier_ir:
      return 3;
    case StorageClass::glacier:
      return 4;
    case StorageClass::deep_archive:
      return 5;
  }
  return 0;
}

MonthlyCost monthly_cost(const Prices& prices, const std::vector<ObjectGroup>& groups) {
  MonthlyCost cost;
  for (const ObjectGroup& group : groups) {
    const ClassPrices& of = prices.of(group.storage_class);
    cost.storage += gigabytes(group.bytes) * of.gb_month;
    if (needs_restore(group.storage_class)) {
      cost.overhead +=
          gigabytes(group.objects * kArchiveOverheadBytes) * of.gb_month +
          gigabytes(group.objects * kArchiveOverheadStandardBytes) * prices.standard.gb_month;
    }
    if (group.storage_class == StorageClass::intelligent_tiering) {
      cost.overhead += thousands(group.objects) * prices.intelligent_tiering_monitoring_per_1000;
    }
  }
  return cost;
}

// "Understanding archive retrieval options" of the S3 user guide. Expedited holds for objects of up
// to 250 MB.
std::optional<RestoreTime> restore_time(StorageClass c, RestoreTier tier) {
  if (!needs_restore(c)) return RestoreTime{};
  const bool deep = c == StorageClass::deep_archive;
  switch (tier) {
    case RestoreTier::expedited:
      if (deep) return std::nullopt;
      return RestoreTime{1 * kMinuteMs, 5 * kMinuteMs};
    case RestoreTier::standard:
      return deep ? RestoreTime{9 * kHourMs, 12 * kHourMs} : RestoreTime{3 * kHourMs, 5 * kHourMs};
    case RestoreTier::bulk:
      return deep ? RestoreTime{24 * kHourMs, 48 * kHourMs}
                  : RestoreTime{5 * kHourMs, 12 * kHourMs};
  }
  return std::nullopt;
}

bool has_tier(StorageClass c, RestoreTier tier) { return restore_time(c, tier).has_value(); }

std::optional<RestoreTime> restore_time(const std::vector<ObjectGroup>& groups, RestoreTier tier) {
  RestoreTime longest;
  for (const ObjectGroup& group : groups) {
    const std::optional<RestoreTime> one = restore_time(group.storage_class, tier);
    if (!one) return std::nullopt;
    longest.typical_ms = std::max(longest.typical_ms, one->typical_ms);
    longest.at_most_ms = std::max(longest.at_most_ms, one->at_most_ms);
  }
  return longest;
}

std::optional<RestoreCost> restore_cost(const Prices& prices,
                                        const std::vector<ObjectGroup>& groups, RestoreTier tier,
                                        unsigned days) {
  const std::optional<RestoreTime> time = restore_time(groups, tier);
  if (!time) return std::nullopt;
  RestoreCost cost;
  cost.time = *time;
  for (const ObjectGroup& group : groups) {
    if (!needs_restore(group.storage_class)) continue;
    const RestorePrice& price = price_of(prices.of(group.storage_class), tier);
    cost.objects += group.objects;
    cost.bytes += group.bytes;
    cost.requests += thousands(group.objects) * price.per_1000;
    cost.retrieval += gigabytes(group.bytes) * price.per_gb;
    cost.temporary_copy +=
        gigabytes(group.bytes) * prices.standard.gb_month * (days / kDaysOfMonth);
  }
  return cost;
}

double reading_cost(const Prices& prices, const std::vector<ObjectGroup>& groups,
                    uint64_t get_bytes) {
  double cost = 0;
  for (const ObjectGroup& group : groups) {
    const ClassPrices& of = prices.of(group.storage_class);
    const double part = static_cast<double>(std::max<uint64_t>(1, get_bytes));
    const double gets = std::max(static_cast<double>(group.objects),
                                 std::ceil(static_cast<double>(group.bytes) / part));
    cost += gets / 1000.0 * of.get_per_1000 + gigabytes(group.bytes) * of.retrieval_per_gb;
  }
  return cost;
}

std::optional<MoveCost> move_cost(const Prices& prices, const std::vector<ObjectGroup>& groups,
                                  StorageClass target, RestoreTier tier, unsigned days,
                                  int64_t age_ms) {
  std::vector<ObjectGroup> moving;
  std::vector<ObjectGroup> after;
  for (const ObjectGroup& group : groups) {
    if (group.storage_class != target) moving.push_back(group);
    add_objects(after, target, group.objects, group.bytes);
  }
  const std::optional<RestoreCost> restored = restore_cost(prices, moving, tier, days);
  if (!restored) return std::nullopt;
  MoveCost cost;
  cost.restore = *restored;
  for (const ObjectGroup& group : moving) {
    const ClassPrices& from = prices.of(group.storage_class);
    cost.copies += thousands(group.objects) * prices.of(target).put_per_1000;
    // A copy reads its source. Of what was restored first, the restored copy is read.
    if (!needs_restore(group.storage_class)) {
      cost.retrieval += gigabytes(group.bytes) * from.retrieval_per_gb;
    }
    const double left = minimum_days(group.storage_class) -
                        static_cast<double>(age_ms) / static_cast<double>(kDayMs);
    if (left > 0)
      cost.early_deletion += monthly_cost(prices, {group}).storage * left / kDaysOfMonth;
  }
  cost.monthly_before = monthly_cost(prices, groups).total();
  cost.monthly_after = monthly_cost(prices, after).total();
  return cost;
}

}  // namespace coldshelf
