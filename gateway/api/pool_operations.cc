// Pools and jobs.
#include <algorithm>
#include <cstdlib>

#include "gateway/api/service.h"
#include "gateway/pools.h"
#include "gateway/volume_service.h"

namespace coldshelf::api {

Json Service::job_json(const JobRow& job) const {
  Json out = {{"JobId", job.id},
              {"Kind", to_string(job.kind)},
              {"State", to_string(job.state)},
              {"Barcode", job.barcode},
              {"Step", job.step},
              {"DoneBytes", job.done_bytes},
              {"TotalBytes", job.total_bytes},
              {"DoneObjects", job.done_objects},
              {"TotalObjects", job.total_objects},
              {"Created", format_utc(job.created_ms)},
              {"Updated", format_utc(job.updated_ms)}};
  // A volume may have the name of a tape: what it is of decides who can show and cancel it.
  std::string_view type = env_.volumes == nullptr ? "" : env_.volumes->type_of(job.cartridge);
  if (type.empty()) {
    const auto row = catalog().tape(job.cartridge);
    if (row.ok() && *row && (*row)->kind == RowKind::tape) type = "tape";
  }
  if (!type.empty()) out["Type"] = type;
  const auto shown = [&](const char* parameter, const char* name) {
    const auto at = job.parameters.find(parameter);
    if (at != job.parameters.end() && !at->second.empty()) out[name] = at->second;
  };
  shown("tier", "Tier");
  shown("days", "Days");
  shown("pool", "Pool");
  shown("file", "File");  // of volumes' imports and exports
  shown("point", "RecoveryPoint");
  shown("snapshot", "SnapshotId");  // of EBS snapshots, from here on
  shown("pulled_against", "Base");
  shown("result", "Result");
  shown("volume_id", "VolumeId");
  shown("image_id", "ImageId");
  if (const auto at = job.parameters.find("parts"); at != job.parameters.end()) {
    if (const auto parts = decode_parts(at->second); parts.ok()) {
      out["Parts"] = describe_parts(*parts);
    }
  }
  if (const auto at = job.parameters.find("expected_ms"); at != job.parameters.end()) {
    out["ExpectedBy"] = format_utc(std::strtoll(at->second.c_str(), nullptr, 10));
  }
  if (!job.error.empty()) out["Error"] = job.error;
  if (job.not_before_ms != 0) out["NotBefore"] = format_utc(job.not_before_ms);
  return out;
}

namespace {

constexpr uint64_t kMaxPools = 1'000;

std::string pool_arn(const std::string& name) {
  return "arn:aws:storagegateway:local-1:000000000000:tapepool/" + name;
}

Json own_pool(const PoolView& view, const std::string& currency) {
  const PoolRow& pool = view.row;
  Json out = {{"Name", pool.name},
              {"StorageClass", pool.storage_class},
              {"Mode", pool.mode},
              {"Lock", pool.locks() ? pool.lock : "NONE"},
              {"LockDays", pool.lock_days},
              {"Tapes", view.tapes},
              {"UsedInBytes", view.used_bytes},
              {"Stored", groups_json(view.stored)},
              {"MonthlyCost", view.monthly.total()},
              {"Currency", currency}};
  uint64_t objects = 0;
  uint64_t bytes = 0;
  for (const ObjectGroup& g : view.stored) {
    objects += g.objects;
    bytes += g.bytes;
  }
  out["Objects"] = objects;
  out["StoredInBytes"] = bytes;
  return out;
}

Result<Json> aws_list_pools(const std::vector<PoolRow>& pools, const Params& in) {
  ASSIGN_OR_RETURN(const auto arns, in.texts("PoolARNs"));
  ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
  ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, kMaxPools));
  Json out = {{"PoolInfos", Json::array()}};
  for (const PoolRow& pool : pools) {
    if (!arns.empty() && std::none_of(arns.begin(), arns.end(), [&](const std::string& arn) {
          return barcode_of(arn) == pool.name;
        })) {
      continue;
    }
    if (pool.name <= marker) continue;
    if (out["PoolInfos"].size() == limit) {
      out["Marker"] = out["PoolInfos"].back()["PoolName"];
      break;
    }
    out["PoolInfos"].push_back({{"PoolARN", pool_arn(pool.name)},
                                {"PoolName", pool.name},
                                {"StorageClass", pool.storage_class},
                                {"RetentionLockType", pool.locks() ? pool.lock : "NONE"},
                                {"RetentionLockTimeInDays", pool.lock_days},
                                {"PoolStatus", "ACTIVE"}});
  }
  return out;
}

}  // namespace

Json groups_json(const std::vector<ObjectGroup>& groups) {
  Json out = Json::array();
  for (const ObjectGroup& g : groups) {
    out.push_back(
        {{"StorageClass", to_string(g.storage_class)}, {"Objects", g.objects}, {"Bytes", g.bytes}});
  }
  return out;
}

void Service::add_pool_operations() {
  TapeService& tapes = *env_.tapes;
  aws("ListTapePools", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto pools, catalog().pools());
    return aws_list_pools(pools, in);
  });
  aws("CreateTapePool", [this, &tapes](const Params& in) -> Result<Json> {
    PoolRow pool;
    ASSIGN_OR_RETURN(pool.name, in.text("PoolName"));
    ASSIGN_OR_RETURN(pool.storage_class, in.text("StorageClass"));
    pool.mode = default_pool_mode(pool.storage_class);
    ASSIGN_OR_RETURN(const std::string lock, in.text_or("RetentionLockType", "NONE"));
    if (lock != "NONE") pool.lock = lock;
    ASSIGN_OR_RETURN(pool.lock_days, in.number_or("RetentionLockTimeInDays", 0, 0, kMaxLockDays));
    ASSIGN_OR_RETURN(const TagMap tags, tags_of(in));
    TRY(tapes.add_pool(pool));
    if (!tags.empty() && env_.tags != nullptr) TRY(env_.tags->add("tapepool/" + pool.name, tags));
    return Json{{"PoolARN", pool_arn(pool.name)}};
  });
  aws("DeleteTapePool", [&tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("PoolARN"));
    TRY(tapes.remove_pool(barcode_of(arn)));
    return Json{{"PoolARN", arn}};
  });
  own("ListPools", [this, &tapes](const Params&) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto pools, tapes.list_pools());
    Json out = {{"Pools", Json::array()}};
    for (const PoolView& view : pools) {
      out["Pools"].push_back(own_pool(view, env_.config.prices.currency));
    }
    return out;
  });
  own("CreatePool", [&tapes](const Params& in) -> Result<Json> {
    PoolConfig pool;
    ASSIGN_OR_RETURN(pool.name, in.text("Name"));
    ASSIGN_OR_RETURN(pool.storage_class, in.text("StorageClass"));
    ASSIGN_OR_RETURN(pool.mode, in.text_or("Mode", ""));
    ASSIGN_OR_RETURN(pool.lock, in.text_or("Lock", "none"));
    ASSIGN_OR_RETURN(pool.lock_days, in.number_or("LockDays", 0, 0, kMaxLockDays));
    TRY(tapes.add_pool(row_of(pool)));
    return Json{{"Name", pool.name}};
  });
  own("DeletePool", [&tapes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    TRY(tapes.remove_pool(name));
    return Json{{"Name", name}};
  });
}

void Service::add_job_operations() {
  own("ListJobs", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, 10'000));
    ASSIGN_OR_RETURN(const auto jobs, catalog().jobs(limit));
    Json out = {{"Jobs", Json::array()}};
    for (const JobRow& job : jobs) out["Jobs"].push_back(job_json(job));
    return out;
  });
  own("DescribeJob", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const uint64_t id, in.number("JobId", 1, INT64_MAX));
    ASSIGN_OR_RETURN(const auto job, catalog().job(static_cast<int64_t>(id)));
    if (!job) return Error(ErrorCode::not_found, "there is no job " + std::to_string(id));
    return job_json(*job);
  });
}

}  // namespace coldshelf::api
