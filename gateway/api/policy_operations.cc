// Policies for EBS snapshots. Coldshelf_20261101 only; the keys of a policy are the
// configuration's.
#include "gateway/api/service.h"
#include "gateway/policy_service.h"

namespace coldshelf::api {

namespace {

Json info_json(const PolicyEngine::Info& info) {
  Json out = {{"Name", info.policy.name},
              {"Enabled", info.policy.enabled},
              {"Schedule", info.policy.schedule},
              {"Configured", info.configured},
              {"OpenRuns", info.open_runs},
              {"KeepInAws", describe(info.policy.keep_in_aws)},
              {"KeepInArchive", describe(info.policy.keep_in_archive)}};
  if (info.next_ms != 0) out["NextRun"] = format_utc(info.next_ms);
  if (!info.last_run.empty()) {
    out["LastRun"] = info.last_run;
    out["LastFinished"] = format_utc(info.last_finished_ms);
    out["LastFailures"] = info.last_failed;
  }
  return out;
}

Json run_json(const PolicyRun& run) {
  Json out = {{"RunId", run.id},
              {"Phase", std::string(to_string(run.phase))},
              {"ByHand", run.by_hand},
              {"Missed", run.missed},
              {"Due", format_utc(run.due_ms)},
              {"Started", format_utc(run.started_ms)},
              {"Notified", run.notified},
              {"Done", run.done},
              {"Skipped", run.skipped},
              {"Failed", run.failed},
              {"Items", Json::array()}};
  if (run.finished_ms != 0) out["Finished"] = format_utc(run.finished_ms);
  for (const PolicyItem& item : run.items) {
    out["Items"].push_back({{"Place", to_string(item.place)},
                            {"InstanceId", item.instance},
                            {"VolumeId", item.volume},
                            {"SnapshotId", item.snapshot},
                            {"State", std::string(to_string(item.state))},
                            {"Attempts", item.attempts},
                            {"Note", item.note}});
  }
  return out;
}

Json preview_json(const PolicyEngine::Preview& preview) {
  Json out = {{"Snapshots", Json::array()},
              {"Skipped", Json::array()},
              {"DeleteInAws", Json::array()},
              {"DeleteInArchive", Json::array()},
              {"Failed", preview.failed}};
  for (const PolicyTarget& target : preview.targets) {
    out["Snapshots"].push_back({{"Place", to_string(target.place)},
                                {"InstanceId", target.instance},
                                {"VolumeIds", target.volumes}});
  }
  for (const PolicyNote& note : preview.skipped) {
    out["Skipped"].push_back({{"What", note.what}, {"Why", note.why}});
  }
  for (const AwsDeletion& deletion : preview.aws_deletions) {
    out["DeleteInAws"].push_back({{"Place", to_string(deletion.place)},
                                  {"SnapshotId", deletion.snapshot},
                                  {"VolumeId", deletion.volume},
                                  {"Why", deletion.why}});
  }
  for (const ArchiveDeletion& deletion : preview.archive_deletions) {
    out["DeleteInArchive"].push_back({{"Archive", deletion.archive},
                                      {"Point", deletion.point},
                                      {"SnapshotId", deletion.snapshot},
                                      {"Why", deletion.why}});
  }
  return out;
}

Json report_json(const PolicyReport& report) {
  Json volumes = Json::array();
  for (const PolicyReport::Volume& volume : report.volumes) {
    Json points = Json::array();
    for (const PolicyReport::Point& point : volume.points) {
      points.push_back({{"SnapshotId", point.snapshot},
                        {"Place", point.in_aws ? to_string(point.place) : ""},
                        {"RunId", point.run},
                        {"Started", format_utc(point.started_ms)},
                        {"InAws", point.in_aws},
                        {"State", point.state},
                        {"Point", point.point},
                        {"Base", point.base},
                        {"SizeInGiB", point.gib},
                        {"ChangedBlocks", point.changed_blocks},
                        {"StoredBlocks", point.stored_blocks},
                        {"PullCost", point.pull_cost},
                        {"Kept", point.kept}});
    }
    volumes.push_back({{"VolumeId", volume.volume},
                       {"Archive", volume.archive},
                       {"ArchiveStatus", volume.archive_status},
                       {"InAws", volume.in_aws},
                       {"InArchive", volume.in_archive},
                       {"ChangedInBytes", volume.changed_bytes},
                       {"StoredInBytes", volume.stored_bytes},
                       {"PullCost", volume.pull_cost},
                       {"AwsCostPerMonth", volume.aws_cost_month},
                       {"Points", points}});
  }
  return {{"Volumes", volumes},
          {"Currency", "USD"},
          {"PullCost", report.pull_cost},
          {"AwsCostPerMonth", report.aws_cost_month},
          {"Failed", report.failed}};
}

Json details_json(PolicyEngine& engine, const PolicyEngine::Info& info) {
  Json out = info_json(info);
  out["Policy"] = policy_to_json(info.policy);
  out["Runs"] = Json::array();
  for (const PolicyRun& run : engine.runs(info.policy.name)) out["Runs"].push_back(run_json(run));
  return out;
}

}  // namespace

void Service::add_policy_operations() {
  if (env_.policies == nullptr) return;
  PolicyEngine* engine = &env_.policies->engine();
  own("ListPolicies", [engine](const Params&) -> Result<Json> {
    Json list = Json::array();
    for (const PolicyEngine::Info& info : engine->policies()) list.push_back(info_json(info));
    return Json{{"Policies", list}};
  });
  own("DescribePolicy", [engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const PolicyEngine::Info info, engine->policy(name));
    return details_json(*engine, info);
  });
  own("DescribePolicyRun", [engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const std::string id, in.text("RunId"));
    for (const PolicyRun& run : engine->runs(name)) {
      if (run.id == id) return run_json(run);
    }
    return Error(ErrorCode::not_found, "policy '" + name + "' has no run '" + id + "'");
  });
  own("PutPolicy", [this, engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const Json given, in.object("Policy"));
    ASSIGN_OR_RETURN(const Policy policy, policy_from_json(given));
    TRY(engine->put(policy));
    env_.policies->wake();
    ASSIGN_OR_RETURN(const PolicyEngine::Info info, engine->policy(policy.name));
    return info_json(info);
  });
  own("DeletePolicy", [engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    TRY(engine->remove(name));
    return Json{{"Name", name}};
  });
  own("RunPolicy", [this, engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const bool dry, in.flag_or("DryRun", false));
    if (dry) {
      ASSIGN_OR_RETURN(const PolicyEngine::Preview preview, engine->preview(name));
      return preview_json(preview);
    }
    ASSIGN_OR_RETURN(const std::string id, engine->run_now(name));
    env_.policies->wake();
    return Json{{"Name", name}, {"RunId", id}};
  });
  own("DescribePolicyReport", [engine](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const PolicyReport report, make_policy_report(*engine, name, EbsPrices()));
    return report_json(report);
  });
}

}  // namespace coldshelf::api
