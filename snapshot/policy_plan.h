// What a policy has to do: pure functions of what was seen and the time.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "snapshot/policy_world.h"

namespace coldshelf {

// -- when
struct DueRun {
  int64_t due_ms = 0;   // the last moment that is over
  unsigned missed = 0;  // moments before it that nobody handled; counted up to 1,000
};
// nullopt: nothing is due. `last_ms`: the moment handled last, or when the policy was first seen.
std::optional<DueRun> due_run(const CalendarExpression& schedule, int64_t last_ms, int64_t now_ms);

// -- what gets snapshots
struct PolicyTarget {
  PolicyPlace place;
  std::string instance;              // empty: one volume by itself
  std::vector<std::string> volumes;  // sorted
};
struct PolicyNote {
  std::string what;
  std::string why;
};
struct PolicyTargets {
  std::vector<PolicyTarget> targets;
  std::vector<PolicyNote> skipped;
};
// Of one place. Sorted, each volume once.
PolicyTargets choose_targets(const Policy& policy, const PolicyPlace& place,
                             const std::vector<CloudVolume>& volumes);

// -- what goes
struct AwsDeletion {
  PolicyPlace place;
  std::string snapshot;
  std::string volume;
  std::string why;
};
// Of one place. `snapshots`: this policy's. `archived`: snapshots of which we hold a good point.
// `busy`: snapshots that a run still works on. Beside what retention.h keeps: the newest snapshot
// of each volume that is archived too, because the next pull takes it as its base.
std::vector<AwsDeletion> plan_aws_retention(const Policy& policy, const PolicyPlace& place,
                                            const std::vector<CloudSnapshot>& snapshots,
                                            const std::set<std::string>& archived,
                                            const std::set<std::string>& busy, int64_t now_ms,
                                            const ZoneOffset& zone = local_zone_offset);

struct ArchiveDeletion {
  std::string archive;
  std::string point;
  std::string snapshot;
  std::string why;
  std::vector<std::string> bases;  // of the point
};
// Newest first: what stands on a point goes before it. `points`: all there are. Only those that
// this policy of this gateway made go; others in the same archive are as good as held, and
// take up no place of the rule.
std::vector<ArchiveDeletion> plan_archive_retention(const Policy& policy,
                                                    const std::string& gateway,
                                                    const std::vector<ArchivePoint>& points,
                                                    int64_t now_ms,
                                                    const ZoneOffset& zone = local_zone_offset);

}  // namespace coldshelf
