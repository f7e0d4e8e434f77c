// Tapes of a gateway that is gone: AWS's tape recovery points. Which there are is read from the
// store that both share; taking one over fences the old gateway off (docs/recovery.md).
#include <mutex>

#include "gateway/api/service.h"
#include "uploader/bucket_scan.h"
#include "uploader/bucket_takeover.h"

namespace coldshelf::api {

namespace {

double seconds(int64_t ms) { return static_cast<double>(ms) / 1000.0; }

struct Point {
  std::string barcode;
  uint64_t size_bytes = 0;
  int64_t time_ms = 0;
};

}  // namespace

// Tapes that `gateway` holds in its library, as the store has them.
Result<Json> Service::recovery_points(const Params& in) const {
  ASSIGN_OR_RETURN(const std::string arn, in.text("GatewayARN"));
  ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
  ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, INT32_MAX));
  const std::string prefix = gateway_arn().substr(0, gateway_arn().rfind('/') + 1);
  if (!arn.starts_with(prefix)) {
    return Error(ErrorCode::not_found, "there is no gateway " + arn);
  }
  const std::string gateway = arn.substr(prefix.size());
  std::mutex mutex;
  std::map<std::string, Point> points;
  if (gateway != env_.gateway_id) {
    TRY(scan_bucket(*env_.object_store, ScanOptions{}, [&](BucketCartridge& found) -> Status {
      if (!found.manifest || found.manifest->kind != CartridgeKind::tape || !found.owner ||
          found.owner->gateway != gateway || found.owner->state != OwnerState::owned) {
        return {};
      }
      const Manifest& manifest = *found.manifest;
      ASSIGN_OR_RETURN(const ObjectInfo info, env_.object_store->head(manifest_key(manifest.uuid)));
      const std::lock_guard lock(mutex);
      points[manifest.label] = {manifest.label, manifest.capacity_bytes, info.modified_ms};
      return {};
    }));
  }
  Json out = {{"GatewayARN", arn}, {"TapeRecoveryPointInfos", Json::array()}};
  std::string last;
  for (auto at = points.upper_bound(marker); at != points.end(); ++at) {
    if (out["TapeRecoveryPointInfos"].size() == limit) {
      out["Marker"] = last;
      break;
    }
    last = at->first;
    out["TapeRecoveryPointInfos"].push_back({{"TapeARN", tape_arn(at->first)},
                                             {"TapeRecoveryPointTime", seconds(at->second.time_ms)},
                                             {"TapeSizeInBytes", at->second.size_bytes},
                                             {"TapeStatus", "AVAILABLE"}});
  }
  return out;
}

void Service::add_recovery_operations() {
  aws("DescribeTapeRecoveryPoints", [this](const Params& in) { return recovery_points(in); });
  aws("RetrieveTapeRecoveryPoint", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
    ASSIGN_OR_RETURN(const TapeView view, env_.tapes->take_over(barcode, false));
    return Json{{"TapeARN", tape_arn(view.row.barcode)}};
  });
}

}  // namespace coldshelf::api
