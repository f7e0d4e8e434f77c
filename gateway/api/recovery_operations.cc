// Tapes of a gateway that is gone: AWS's tape recovery points. Which there are is read from the
// store that both share; taking one over fences the old gateway off (docs/recovery.md).
#include "gateway/api/service.h"
#include "uploader/bucket_scan.h"
#include "uploader/bucket_takeover.h"

namespace coldshelf::api {

namespace {

double seconds(int64_t ms) { return static_cast<double>(ms) / 1000.0; }

// The pages of a list that are asked for within this time are of one look at the store.
constexpr int64_t kPagesOfOneLookMs = 60'000;
constexpr unsigned kHeads = 24;

struct Point {
  const SurveyedTape* tape;
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
  SurveyedTapes surveyed;
  std::vector<Point> page;  // of them
  Json out = {{"GatewayARN", arn}, {"TapeRecoveryPointInfos", Json::array()}};
  if (gateway != env_.gateway_id) {
    ASSIGN_OR_RETURN(surveyed, survey_->tapes(marker.empty() ? 0 : kPagesOfOneLookMs));
    for (const SurveyedTape& tape : *surveyed) {
      if (tape.barcode <= marker || tape.owner.gateway != gateway ||
          tape.owner.state != OwnerState::owned) {
        continue;
      }
      if (page.size() == limit) {
        out["Marker"] = page.back().tape->barcode;
        break;
      }
      page.push_back({&tape});
    }
  }
  TRY(in_parallel(kHeads, page.size(), [&](size_t i) -> Status {
    ASSIGN_OR_RETURN(const ObjectInfo info,
                     env_.object_store->head(manifest_key(page[i].tape->uuid)));
    page[i].time_ms = info.modified_ms;
    return {};
  }));
  for (const Point& point : page) {
    out["TapeRecoveryPointInfos"].push_back({{"TapeARN", tape_arn(point.tape->barcode)},
                                             {"TapeRecoveryPointTime", seconds(point.time_ms)},
                                             {"TapeSizeInBytes", point.tape->capacity_bytes},
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
