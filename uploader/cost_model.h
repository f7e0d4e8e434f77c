// What the store costs: prices, and the arithmetic of storing, restoring and moving objects.
// Figures are estimates for a person who decides, not an invoice: data transfer out of the region
// is not in them.
//
// Source of the default prices: Amazon S3's public price list for US East (N. Virginia) as known in
// 2026-11; GB are 2^30 bytes there, and so here. Configured as [prices].
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "uploader/cloud/object_store.h"

namespace coldshelf {

// One tier of RestoreObject.
struct RestorePrice {
  double per_gb = 0;
  double per_1000 = 0;  // requests
};

struct ClassPrices {
  double gb_month = 0;
  double put_per_1000 = 0;  // PUT, COPY and lifecycle transitions into the class
  double get_per_1000 = 0;
  double retrieval_per_gb = 0;  // classes that are read without a restore
  RestorePrice expedited{}, standard{}, bulk{};
};

struct Prices {
  std::string currency = "USD";
  ClassPrices standard{0.023, 0.005, 0.0004, 0, {}, {}, {}};
  ClassPrices standard_ia{0.0125, 0.01, 0.001, 0.01, {}, {}, {}};
  ClassPrices onezone_ia{0.01, 0.01, 0.001, 0.01, {}, {}, {}};
  // At its frequent-access rate: what is not read for 30 days costs less.
  ClassPrices intelligent_tiering{0.023, 0.005, 0.0004, 0, {}, {}, {}};
  double intelligent_tiering_monitoring_per_1000 = 0.0025;  // objects, a month
  ClassPrices glacier_ir{0.004, 0.02, 0.01, 0.03, {}, {}, {}};
  ClassPrices glacier{0.0036, 0.03, 0.0004, 0, {0.03, 10.0}, {0.01, 0.05}, {0, 0}};
  ClassPrices deep_archive{0.00099, 0.05, 0.0004, 0, {}, {0.02, 0.10}, {0.0025, 0.025}};
  const ClassPrices& of(StorageClass c) const;
};

// Objects of one class.
struct ObjectGroup {
  StorageClass storage_class = StorageClass::standard;
  uint64_t objects = 0;
  uint64_t bytes = 0;
  bool operator==(const ObjectGroup&) const = default;
};
// Adds to the class's group, which is made when there is none.
void add_objects(std::vector<ObjectGroup>& groups, StorageClass c, uint64_t objects,
                 uint64_t bytes);

// Archive classes bill 32 KiB for each object at their own rate and 8 KiB at STANDARD's, for the
// index and the name.
constexpr uint64_t kArchiveOverheadBytes = 32 * KiB;
constexpr uint64_t kArchiveOverheadStandardBytes = 8 * KiB;
// Objects that go earlier are billed for the rest; 0: none.
unsigned minimum_days(StorageClass c);
// Position on the way from STANDARD to DEEP_ARCHIVE: bigger is colder.
int coldness(StorageClass c);

struct MonthlyCost {
  double storage = 0;
  double overhead = 0;  // of archive classes, and INTELLIGENT_TIERING's monitoring
  double total() const { return storage + overhead; }
};
MonthlyCost monthly_cost(const Prices& prices, const std::vector<ObjectGroup>& groups);

// How long S3 takes, by its own documentation; false when the class has no such tier. For classes
// that are read as they are: at once.
struct RestoreTime {
  int64_t typical_ms = 0;
  int64_t at_most_ms = 0;
};
std::optional<RestoreTime> restore_time(StorageClass c, RestoreTier tier);
bool has_tier(StorageClass c, RestoreTier tier);
// "3 to 5 hours"; the same span for all objects of `groups`, the longest.
std::optional<RestoreTime> restore_time(const std::vector<ObjectGroup>& groups, RestoreTier tier);

struct RestoreCost {
  uint64_t objects = 0;  // to be restored
  uint64_t bytes = 0;
  double requests = 0;
  double retrieval = 0;
  double temporary_copy = 0;  // in STANDARD, for the days; besides the archive's own price
  RestoreTime time;
  double total() const { return requests + retrieval + temporary_copy; }
};
// What it costs to make the objects readable; what is readable as it is counts nothing here. None:
// a class among them has no such tier.
std::optional<RestoreCost> restore_cost(const Prices& prices,
                                        const std::vector<ObjectGroup>& groups, RestoreTier tier,
                                        unsigned days);
// What reading them once costs, restored or not: GET requests of `get_bytes` each and the retrieval
// fee of classes that are read as they are.
double reading_cost(const Prices& prices, const std::vector<ObjectGroup>& groups,
                    uint64_t get_bytes);

// Moving archived objects into a colder class: restored first where that is needed, read and
// copied, and the rest of the old class's minimum duration when they are younger.
struct MoveCost {
  RestoreCost restore;
  double copies = 0;
  double retrieval = 0;  // of classes that are read as they are and bill for it
  double early_deletion = 0;
  double monthly_before = 0;
  double monthly_after = 0;
  double total() const { return restore.total() + copies + retrieval + early_deletion; }
};
std::optional<MoveCost> move_cost(const Prices& prices, const std::vector<ObjectGroup>& groups,
                                  StorageClass target, RestoreTier tier, unsigned days,
                                  int64_t age_ms);

}  // namespace coldshelf
