// Pools and jobs.
#include "gateway/api/service.h"

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
  if (!job.error.empty()) out["Error"] = job.error;
  if (job.not_before_ms != 0) out["NotBefore"] = format_utc(job.not_before_ms);
  return out;
}

void Service::add_pool_operations() {
  aws("ListTapePools", [this](const Params&) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto pools, catalog().pools());
    Json out = {{"PoolInfos", Json::array()}};
    for (const PoolRow& pool : pools) {
      out["PoolInfos"].push_back(
          {{"PoolARN", "arn:aws:storagegateway:local-1:000000000000:tapepool/" + pool.name},
           {"PoolName", pool.name},
           {"StorageClass", pool.storage_class},
           {"RetentionLockType", "NONE"},
           {"RetentionLockTimeInDays", 0},
           {"PoolStatus", "ACTIVE"}});
    }
    return out;
  });
  aws("CreateTapePool", [this](const Params& in) -> Result<Json> {
    PoolRow pool;
    ASSIGN_OR_RETURN(pool.name, in.text("PoolName"));
    ASSIGN_OR_RETURN(pool.storage_class, in.text("StorageClass"));
    ASSIGN_OR_RETURN(const std::string lock, in.text_or("RetentionLockType", "NONE"));
    if (lock != "NONE") {
      return Error(ErrorCode::invalid_argument,
                   "RetentionLockType " + lock + " is not offered; only NONE is");
    }
    TRY(env_.tapes->add_pool(pool));
    return Json{{"PoolARN", "arn:aws:storagegateway:local-1:000000000000:tapepool/" + pool.name}};
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
