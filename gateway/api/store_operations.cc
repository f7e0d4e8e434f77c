// The store as a whole, which gateways may share: checking it, cleaning it, and what is on its
// shelf.
#include <mutex>

#include "gateway/api/service.h"
#include "gateway/store_keeper.h"
#include "uploader/bucket_scan.h"
#include "uploader/bucket_takeover.h"

namespace coldshelf::api {

namespace {
constexpr uint64_t kDayMs = 24ULL * 3'600'000;
}

void Service::add_store_operations() {
  if (env_.keeper == nullptr) return;
  StoreKeeper& keeper = *env_.keeper;
  own("StartStoreVerify", [&keeper](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const bool deep, in.flag_or("Deep", false));
    TRY(keeper.start_check(deep));
    return keeper.describe();
  });
  own("StartStoreGc", [&keeper](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const bool dry_run, in.flag_or("DryRun", false));
    ASSIGN_OR_RETURN(const uint64_t age, in.number_or("MinAgeMs", 7 * kDayMs, 0, 3'650 * kDayMs));
    TRY(keeper.start_gc(dry_run, static_cast<int64_t>(age)));
    return keeper.describe();
  });
  own("DescribeStoreTask", [&keeper](const Params&) -> Result<Json> { return keeper.describe(); });
  own("ListShelf", [this](const Params&) -> Result<Json> {
    std::mutex mutex;
    Json tapes = Json::array();
    TRY(scan_bucket(*env_.object_store, ScanOptions{}, [&](BucketCartridge& found) -> Status {
      const bool shelved = found.manifest && found.manifest->kind == CartridgeKind::tape &&
                           found.owner && found.owner->state == OwnerState::shelved;
      if (!shelved) return {};
      const Manifest& manifest = *found.manifest;
      ASSIGN_OR_RETURN(const auto known, catalog().tape(manifest.uuid));
      const std::lock_guard lock(mutex);
      tapes.push_back({{"Barcode", manifest.label},
                       {"Uuid", manifest.uuid.to_string()},
                       {"Gateway", found.owner->gateway},
                       {"Known", known.has_value()},
                       {"Medium", manifest.medium},
                       {"Pool", property_of(manifest, "pool")},
                       {"SizeInBytes", manifest.capacity_bytes},
                       {"UsedInBytes", manifest.plain_bytes()},
                       {"StoredInBytes", manifest.stored_bytes()},
                       {"Archived", property_of(manifest, "archived_at")},
                       {"Status", property_of(manifest, "status")}});
      return {};
    }));
    std::sort(tapes.begin(), tapes.end(),
              [](const Json& a, const Json& b) { return a["Barcode"] < b["Barcode"]; });
    return Json{{"Tapes", tapes}};
  });
}

}  // namespace coldshelf::api
