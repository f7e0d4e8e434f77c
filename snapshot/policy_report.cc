#include "snapshot/policy_report.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace coldshelf {

namespace {

constexpr uint64_t kBlockBytes = 512 * 1024;
constexpr uint64_t kBlocksOfAList = 10'000;
constexpr double kGib = 1024.0 * 1024 * 1024;

double cost_of_pull(const PolicyReport::Point& point, uint64_t fetched, const EbsPrices& prices) {
  const uint64_t lists = point.changed_blocks / kBlocksOfAList + 1;
  return static_cast<double>(lists) * prices.list_per_1000_requests / 1000 +
         static_cast<double>(fetched) * prices.get_per_1000_blocks / 1000;
}

void add_up(PolicyReport::Volume& volume, const EbsPrices& prices) {
  std::sort(volume.points.begin(), volume.points.end(), [](const auto& a, const auto& b) {
    return std::tie(a.started_ms, a.snapshot) < std::tie(b.started_ms, b.snapshot);
  });
  bool first = true;
  double billed_bytes = 0;
  for (const PolicyReport::Point& point : volume.points) {
    volume.in_aws += point.in_aws ? 1 : 0;
    volume.in_archive += point.point.empty() ? 0 : 1;
    volume.changed_bytes += point.changed_blocks * kBlockBytes;
    volume.stored_bytes += point.stored_blocks * kBlockBytes;
    volume.pull_cost += point.pull_cost;
    if (!point.in_aws) continue;
    // Of one that was never pulled nothing better is known than the volume's size.
    const bool unknown = point.point.empty() || (first && !point.base.empty());
    billed_bytes += unknown && first ? static_cast<double>(point.gib) * kGib
                                     : static_cast<double>(point.changed_blocks * kBlockBytes);
    first = false;
  }
  volume.aws_cost_month = billed_bytes / kGib * prices.snapshot_gb_month;
}

}  // namespace

Result<PolicyReport> make_policy_report(PolicyEngine& engine, const std::string& name,
                                        const EbsPrices& prices) {
  ASSIGN_OR_RETURN(const PolicyEngine::Info info, engine.policy(name));
  const PolicyEngine::Env& env = engine.env();
  PolicyReport out;
  std::map<std::pair<std::string, std::string>, PolicyReport::Point> points;  // volume, snapshot
  std::map<std::string, std::pair<std::string, std::string>> archives;        // name, status
  const auto archived = env.archive->points();
  if (!archived.ok()) out.failed.push_back("the archive: " + archived.error().context);
  for (const ArchivePoint& point : archived.ok() ? *archived : std::vector<ArchivePoint>()) {
    if (point.tag(kTagPolicy) != name || point.tag(kTagGateway) != env.gateway) continue;
    PolicyReport::Point& entry = points[{point.volume, point.snapshot}];
    entry.snapshot = point.snapshot;
    entry.run = point.tag(kTagRun);
    entry.started_ms = point.started_ms;
    entry.point = point.point;
    entry.base = point.pulled_against;
    entry.gib = point.gib;
    entry.changed_blocks = point.listed_blocks;
    entry.stored_blocks = point.stored_blocks;
    entry.pull_cost = cost_of_pull(entry, point.fetched_blocks, prices);
    archives[point.volume] = {point.archive, point.status};
  }
  const auto places = env.cloud->places(info.policy);
  if (!places.ok()) out.failed.push_back(places.error().context);
  for (const PolicyPlace& place : places.ok() ? *places : std::vector<PolicyPlace>()) {
    const auto snapshots =
        env.cloud->snapshots(place, {{kTagGateway, env.gateway}, {kTagPolicy, name}});
    if (!snapshots.ok()) {
      out.failed.push_back(to_string(place) + ": " + snapshots.error().context);
      continue;
    }
    for (const CloudSnapshot& snapshot : *snapshots) {
      PolicyReport::Point& entry = points[{snapshot.volume, snapshot.id}];
      entry.place = place;
      entry.snapshot = snapshot.id;
      entry.run = snapshot.tag(kTagRun);
      entry.started_ms = snapshot.started_ms;
      entry.in_aws = true;
      entry.state_in_aws = snapshot.state;
      entry.gib = std::max(entry.gib, snapshot.gib);
    }
  }
  for (const PolicyRun& run : engine.runs(name)) {
    for (const PolicyItem& item : run.items) {
      const auto entry = points.find({item.volume, item.snapshot});
      if (entry != points.end()) entry->second.state = to_string(item.state);
    }
  }
  std::map<std::string, PolicyReport::Volume> volumes;
  for (auto& [key, point] : points) {
    PolicyReport::Volume& volume = volumes[key.first];
    volume.volume = key.first;
    volume.points.push_back(std::move(point));
  }
  for (auto& [id, volume] : volumes) {
    std::tie(volume.archive, volume.archive_status) = archives[id];
    add_up(volume, prices);
    std::vector<RetentionPoint> here;
    for (const PolicyReport::Point& point : volume.points) {
      RetentionPoint entry;
      entry.id = point.snapshot;
      entry.created_ms = point.started_ms;
      entry.state = point.point.empty() ? point.state_in_aws : PointState::good;
      here.push_back(std::move(entry));
    }
    const RetentionRule& rule =
        volume.in_archive > 0 ? info.policy.keep_in_archive : info.policy.keep_in_aws;
    const auto verdicts = apply_retention(rule, here, engine.expiry_now(), env.zone);
    for (const RetentionVerdict& verdict : verdicts) {
      for (PolicyReport::Point& point : volume.points) {
        if (point.snapshot == verdict.id) point.kept = verdict.reason;
      }
    }
    out.pull_cost += volume.pull_cost;
    out.aws_cost_month += volume.aws_cost_month;
    out.volumes.push_back(std::move(volume));
  }
  return out;
}

}  // namespace coldshelf
