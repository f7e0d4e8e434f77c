// The store as a whole, which gateways may share: checking it, cleaning it, and what is on its
// shelf.
#include "gateway/api/service.h"
#include "gateway/store_keeper.h"

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
    ASSIGN_OR_RETURN(const SurveyedTapes surveyed, survey_->tapes());
    Json tapes = Json::array();
    for (const SurveyedTape& tape : *surveyed) {
      if (tape.owner.state != OwnerState::shelved) continue;
      ASSIGN_OR_RETURN(const auto known, catalog().tape(tape.uuid));
      tapes.push_back({{"Barcode", tape.barcode},
                       {"Uuid", tape.uuid.to_string()},
                       {"Gateway", tape.owner.gateway},
                       {"Known", known.has_value()},
                       {"Medium", tape.medium},
                       {"Pool", tape.pool},
                       {"SizeInBytes", tape.capacity_bytes},
                       {"UsedInBytes", tape.plain_bytes},
                       {"StoredInBytes", tape.stored_bytes},
                       {"Archived", tape.archived_at},
                       {"Status", tape.status}});
    }
    return Json{{"Tapes", tapes}};
  });
}

}  // namespace coldshelf::api
