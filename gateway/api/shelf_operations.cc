// Retrieving whole tapes and parts, moving tapes to another pool, and what both cost.
#include "gateway/api/service.h"
#include "gateway/volume_service.h"

namespace coldshelf::api {

namespace {

constexpr uint64_t kMaxDays = 36'500;

Result<RestoreTier> tier_of(const Params& in, const char* otherwise) {
  ASSIGN_OR_RETURN(const std::string name, in.text_or("Tier", otherwise));
  if (const auto tier = parse_restore_tier(name)) return *tier;
  return Error(ErrorCode::invalid_argument,
               "there is no tier '" + name + "'; it is Expedited, Standard or Bulk");
}

// "Files" and "Records" as in "3-5,9", of "Partition".
Result<std::vector<TapeRange>> parts_of(const Params& in) {
  std::vector<TapeRange> parts;
  ASSIGN_OR_RETURN(const uint64_t partition, in.number_or("Partition", 0, 0, kMaxPartitions - 1));
  for (const auto& [name, kind] : {std::pair("Files", TapeRange::Kind::files),
                                   std::pair("Records", TapeRange::Kind::records)}) {
    ASSIGN_OR_RETURN(const std::string text, in.text_or(name, ""));
    if (text.empty()) continue;
    const Status parsed = parse_ranges(text, kind, static_cast<uint32_t>(partition), parts);
    if (!parsed.ok()) {
      return Error(parsed.error().code, std::string(name) + ": " + parsed.error().context);
    }
  }
  if (parts.empty() && in.has("Partition")) {
    return Error(ErrorCode::invalid_argument, "Partition needs Files or Records");
  }
  return parts;
}

double hours(int64_t ms) { return static_cast<double>(ms) / 3'600'000.0; }

Json restore_json(const RestoreCost& cost) {
  return {{"Objects", cost.objects},
          {"Bytes", cost.bytes},
          {"Requests", cost.requests},
          {"Retrieval", cost.retrieval},
          {"TemporaryCopy", cost.temporary_copy},
          {"Total", cost.total()}};
}

Json estimate_json(const RetrieveEstimate& estimate, const std::string& currency) {
  Json out = {{"Objects", estimate.objects}, {"Bytes", estimate.bytes}, {"Days", estimate.days},
              {"Reading", estimate.reading}, {"Currency", currency},    {"Tiers", Json::array()}};
  for (const RetrieveEstimate::Tier& tier : estimate.tiers) {
    Json one = {{"Tier", to_string(tier.tier)}, {"Possible", tier.cost.has_value()}};
    if (tier.cost) {
      one.update(restore_json(*tier.cost));
      one["TypicalHours"] = hours(tier.time.typical_ms);
      one["AtMostHours"] = hours(tier.time.at_most_ms);
    }
    out["Tiers"].push_back(std::move(one));
  }
  return out;
}

Json move_json(const MoveCost& cost, const std::string& pool, RestoreTier tier,
               const std::string& currency) {
  return {{"Pool", pool},
          {"Tier", to_string(tier)},
          {"Restore", restore_json(cost.restore)},
          {"Copies", cost.copies},
          {"Retrieval", cost.retrieval},
          {"EarlyDeletion", cost.early_deletion},
          {"Total", cost.total()},
          {"MonthlyBefore", cost.monthly_before},
          {"MonthlyAfter", cost.monthly_after},
          {"Currency", currency}};
}

}  // namespace

Status Service::add_costs(Json& tape, const TapeRow& row) const {
  ASSIGN_OR_RETURN(const TapeCost cost, env_.tapes->cost_of(row));
  tape["Stored"] = groups_json(cost.stored);
  tape["MonthlyCost"] = cost.monthly.total();
  tape["MonthlyOverhead"] = cost.monthly.overhead;
  tape["MinimumStorageDays"] = cost.minimum_days;
  tape["Currency"] = env_.config.prices.currency;
  return {};
}

void Service::add_shelf_operations() {
  TapeService& tapes = *env_.tapes;
  own("RetrieveTape", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    Shelf::RetrieveRequest request;
    ASSIGN_OR_RETURN(request.tier, tier_of(in, "Standard"));
    ASSIGN_OR_RETURN(const uint64_t days, in.number_or("Days", 0, 0, kMaxDays));
    request.days = static_cast<unsigned>(days);
    ASSIGN_OR_RETURN(request.parts, parts_of(in));
    ASSIGN_OR_RETURN(const int64_t job, tapes.retrieve(barcode, request));
    return Json{{"TapeARN", tape_arn(barcode)}, {"JobId", job}};
  });
  own("EstimateRetrieval", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const uint64_t days, in.number_or("Days", 0, 0, kMaxDays));
    ASSIGN_OR_RETURN(const auto parts, parts_of(in));
    ASSIGN_OR_RETURN(const TapeView view, tapes.show(barcode));
    ASSIGN_OR_RETURN(const RetrieveEstimate estimate,
                     tapes.estimate_retrieve(view.row.uuid, parts, static_cast<unsigned>(days)));
    Json out = estimate_json(estimate, env_.config.prices.currency);
    out["Barcode"] = barcode;
    if (!parts.empty()) out["Parts"] = describe_parts(parts);
    return out;
  });
  own("CancelTapeJob", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    TRY(tapes.cancel_job(barcode));
    return Json{{"TapeARN", tape_arn(barcode)}, {"Barcode", barcode}};
  });
  aws("AssignTapePool", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, tape_of(in));
    ASSIGN_OR_RETURN(const std::string pool, in.text("PoolId"));
    TRY(in.flag_or("BypassGovernanceRetention", false));  // nothing here shortens a retention
    TRY(tapes.assign_pool(barcode, barcode_of(pool), RestoreTier::bulk));
    return Json{{"TapeARN", tape_arn(barcode)}};
  });
  own("AssignTapePool", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const std::string pool, in.text("Pool"));
    ASSIGN_OR_RETURN(const RestoreTier tier, tier_of(in, "Bulk"));
    ASSIGN_OR_RETURN(const auto job, tapes.assign_pool(barcode, pool, tier));
    Json out = {{"TapeARN", tape_arn(barcode)}, {"Barcode", barcode}, {"Pool", pool}};
    if (job) out["JobId"] = *job;
    return out;
  });
  own("EstimateAssign", [this, &tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string barcode, in.barcode("Barcode"));
    ASSIGN_OR_RETURN(const std::string pool, in.text("Pool"));
    ASSIGN_OR_RETURN(const RestoreTier tier, tier_of(in, "Bulk"));
    ASSIGN_OR_RETURN(const TapeView view, tapes.show(barcode));
    ASSIGN_OR_RETURN(const MoveCost cost, tapes.estimate_assign(view.row.uuid, pool, tier));
    Json out = move_json(cost, pool, tier, env_.config.prices.currency);
    out["Barcode"] = barcode;
    return out;
  });
}

// Archives of EBS snapshots.
void Service::add_archive_shelf_operations() {
  if (env_.volumes == nullptr) return;
  VolumeService& volumes = *env_.volumes;
  own("ArchiveSnapshots", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    ASSIGN_OR_RETURN(const std::string pool, in.text_or("Pool", ""));
    ASSIGN_OR_RETURN(const int64_t job, volumes.shelve(name, pool));
    return Json{{"JobId", job}, {"Archive", name}};
  });
  own("RetrieveSnapshots", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    Shelf::RetrieveRequest request;
    ASSIGN_OR_RETURN(request.tier, tier_of(in, "Standard"));
    ASSIGN_OR_RETURN(const uint64_t days, in.number_or("Days", 0, 0, kMaxDays));
    request.days = static_cast<unsigned>(days);
    ASSIGN_OR_RETURN(const int64_t job, volumes.retrieve(name, request));
    return Json{{"JobId", job}, {"Archive", name}};
  });
  own("EstimateSnapshotRetrieval", [this, &volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    ASSIGN_OR_RETURN(const uint64_t days, in.number_or("Days", 0, 0, kMaxDays));
    ASSIGN_OR_RETURN(const auto archive, volumes.find_archive(name));
    ASSIGN_OR_RETURN(const RetrieveEstimate estimate,
                     env_.tapes->estimate_retrieve(archive.uuid, {}, static_cast<unsigned>(days)));
    Json out = estimate_json(estimate, env_.config.prices.currency);
    out["Archive"] = archive.name;
    return out;
  });
  own("AssignSnapshotPool", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    ASSIGN_OR_RETURN(const std::string pool, in.text("Pool"));
    ASSIGN_OR_RETURN(const RestoreTier tier, tier_of(in, "Bulk"));
    ASSIGN_OR_RETURN(const auto job, volumes.reassign(name, pool, tier));
    Json out = {{"Archive", name}, {"Pool", pool}};
    if (job) out["JobId"] = *job;
    return out;
  });
  own("EstimateSnapshotAssign", [this, &volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    ASSIGN_OR_RETURN(const std::string pool, in.text("Pool"));
    ASSIGN_OR_RETURN(const RestoreTier tier, tier_of(in, "Bulk"));
    ASSIGN_OR_RETURN(const auto archive, volumes.find_archive(name));
    ASSIGN_OR_RETURN(const MoveCost cost, env_.tapes->estimate_assign(archive.uuid, pool, tier));
    Json out = move_json(cost, pool, tier, env_.config.prices.currency);
    out["Archive"] = archive.name;
    return out;
  });
}

}  // namespace coldshelf::api
