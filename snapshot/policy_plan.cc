#include "snapshot/policy_plan.h"

#include <algorithm>
#include <map>

#include "uploader/cloud/ec2_client.h"

namespace coldshelf {

namespace {

constexpr unsigned kMaxMissed = 1'000;

bool carries(const CloudVolume& volume, const std::string& name, const std::string& value) {
  const auto found = volume.tags.find(name);
  return found != volume.tags.end() && (value == "*" || found->second == value);
}

}  // namespace

std::string to_string(const PolicyPlace& place) {
  return place.account.empty() ? place.region : place.account + "/" + place.region;
}

std::optional<DueRun> due_run(const CalendarExpression& schedule, int64_t last_ms, int64_t now_ms) {
  std::optional<int64_t> next = schedule.next_after(last_ms);
  if (!next || *next > now_ms) return std::nullopt;
  DueRun due{*next, 0};
  // However long we were away, it is one run: the last moment that is over counts.
  while (due.missed < kMaxMissed) {
    next = schedule.next_after(due.due_ms);
    if (!next || *next > now_ms) return due;
    due.due_ms = *next;
    ++due.missed;
  }
  due.due_ms = now_ms;
  return due;
}

PolicyTargets choose_targets(const Policy& policy, const PolicyPlace& place,
                             const std::vector<CloudVolume>& volumes) {
  PolicyTargets out;
  std::map<std::string, std::set<std::string>> by_instance;
  std::set<std::string> single;
  for (const CloudVolume& volume : volumes) {
    const std::string what = to_string(place) + " " + volume.id;
    const auto excluded =
        std::find_if(policy.exclude_tags.begin(), policy.exclude_tags.end(),
                     [&](const auto& tag) { return carries(volume, tag.first, tag.second); });
    if (excluded != policy.exclude_tags.end()) {
      out.skipped.push_back({what, "carries the tag " + excluded->first});
      continue;
    }
    if (volume.state != "available" && volume.state != "in-use") {
      out.skipped.push_back({what, "is " + volume.state});
      continue;
    }
    if (policy.by_instance && !volume.instance.empty()) {
      by_instance[volume.instance].insert(volume.id);
    } else {
      single.insert(volume.id);
    }
  }
  for (const auto& [instance, ids] : by_instance) {
    out.targets.push_back({place, instance, {ids.begin(), ids.end()}});
  }
  for (const std::string& id : single) out.targets.push_back({place, "", {id}});
  return out;
}

std::vector<AwsDeletion> plan_aws_retention(const Policy& policy, const PolicyPlace& place,
                                            const std::vector<CloudSnapshot>& snapshots,
                                            const std::set<std::string>& archived,
                                            const std::set<std::string>& busy, int64_t now_ms,
                                            const ZoneOffset& zone) {
  std::map<std::string, std::vector<RetentionPoint>> by_volume;
  for (const CloudSnapshot& snapshot : snapshots) {
    if (snapshot.tag(kTagPolicy) != policy.name) continue;
    // A copy or a restored one, whoever gave it our tags: of all of them there is no one volume.
    if (snapshot.volume == kNoVolume) continue;
    RetentionPoint point;
    point.id = snapshot.id;
    point.created_ms = snapshot.started_ms;
    point.state = snapshot.state;
    point.held = busy.contains(snapshot.id);
    by_volume[snapshot.volume].push_back(std::move(point));
  }
  std::vector<AwsDeletion> out;
  for (auto& [volume, points] : by_volume) {
    RetentionPoint* base = nullptr;
    for (RetentionPoint& point : points) {
      if (point.state != PointState::good || !archived.contains(point.id)) continue;
      if (base == nullptr || base->created_ms < point.created_ms) base = &point;
    }
    if (base != nullptr) base->held = true;
    for (const RetentionVerdict& verdict :
         apply_retention(policy.keep_in_aws, points, now_ms, zone)) {
      if (!verdict.keep) out.push_back({place, verdict.id, volume, verdict.reason});
    }
  }
  return out;
}

std::vector<ArchiveDeletion> plan_archive_retention(const Policy& policy,
                                                    const std::string& gateway,
                                                    const std::vector<ArchivePoint>& points,
                                                    int64_t now_ms, const ZoneOffset& zone) {
  std::map<std::string, std::vector<const ArchivePoint*>> by_archive;
  std::set<std::string> ours;
  for (const ArchivePoint& point : points) {
    by_archive[point.archive].push_back(&point);
    if (point.tag(kTagPolicy) == policy.name && point.tag(kTagGateway) == gateway) {
      ours.insert(point.archive);
    }
  }
  std::vector<ArchiveDeletion> out;
  for (const std::string& archive : ours) {
    std::vector<RetentionPoint> chain;
    std::map<std::string, const ArchivePoint*> by_id;
    for (const ArchivePoint* point : by_archive[archive]) {
      RetentionPoint entry;
      entry.id = point->point;
      entry.created_ms = point->started_ms;
      entry.state = point->state;
      entry.counts = point->tag(kTagPolicy) == policy.name && point->tag(kTagGateway) == gateway;
      entry.held = point->held || !entry.counts;
      entry.bases = point->bases;
      by_id[point->point] = point;
      chain.push_back(std::move(entry));
    }
    const auto verdicts = apply_retention(policy.keep_in_archive, chain, now_ms, zone);
    for (auto verdict = verdicts.rbegin(); verdict != verdicts.rend(); ++verdict) {
      if (verdict->keep) continue;
      const ArchivePoint& point = *by_id[verdict->id];
      out.push_back({archive, point.point, point.snapshot, verdict->reason, point.bases});
    }
  }
  return out;
}

}  // namespace coldshelf
