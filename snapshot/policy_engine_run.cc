// The phases of a run.
#include <algorithm>
#include <map>

#include "base/log.h"
#include "snapshot/policy_engine.h"
#include "snapshot/policy_making.h"
#include "snapshot/policy_pace.h"

namespace coldshelf {

namespace {

constexpr std::string_view kComponent = "policy";
constexpr int64_t kGoneAfterMs = 30 * 60'000;  // a new snapshot may not be listed at once
constexpr int64_t kPendingAtMostMs = 14LL * 86'400'000;
constexpr unsigned kMostUnanswered = 2;  // deletions in a row: the place does not answer just now
// Of PolicyRun::Place: our archive, which stands in the list of `retain` beside AWS's regions.
const PolicyPlace kArchivePlace{"", ""};

std::string name_of(const PolicyPlace& place) {
  return place == kArchivePlace ? "the archive" : to_string(place);
}

std::string name_of(const PolicyItem& item) { return to_string(item.place) + " " + item.volume; }

// Takes the place off the list of what is left, or says when it is tried again.
void settle_place(PolicyRun& run, const PolicyPlace& place) {
  std::erase_if(run.places, [&](const PolicyRun::Place& p) { return p.place == place; });
}

void retry_place(PolicyRun& run, const PolicyPlace& place, const Error& why, int64_t now_ms) {
  if (policy_is_stop(why)) return;
  for (PolicyRun::Place& p : run.places) {
    if (p.place != place) continue;
    ++p.attempts;
    p.next_try_ms = now_ms + policy_pause_ms(p.attempts);
    if (p.attempts < kPolicyAttempts && !policy_is_final(why)) return;
  }
  run.failed.push_back(name_of(place) + ": " + why.context);
  settle_place(run, place);
}

// What came of deletions. Of another attempt the same is not said again.
struct Outcome {
  std::vector<std::string> done;
  std::vector<std::string> skipped;
  std::vector<std::string> failed;

  void add_to(PolicyRun& run) const {
    const auto add = [](const std::vector<std::string>& from, std::vector<std::string>& to) {
      for (const std::string& line : from) {
        if (std::find(to.begin(), to.end(), line) == to.end()) to.push_back(line);
      }
    };
    add(done, run.done);
    add(skipped, run.skipped);
    add(failed, run.failed);
  }
};

void enter(PolicyRun& run, PolicyRun::Phase phase) {
  run.phase = phase;
  run.places.clear();
  run.places_known = false;
  run.attempts = 0;
  run.next_try_ms = 0;
}

}  // namespace

PolicyTags PolicyEngine::tags_of(const Policy& policy, const PolicyRun& run) const {
  PolicyTags tags = policy.add_tags;
  for (const auto& [name, value] : marks_of(run)) tags[name] = value;
  return tags;
}

PolicyTags PolicyEngine::marks_of(const PolicyRun& run) const {
  return {{kTagGateway, env_.gateway}, {kTagPolicy, run.policy}, {kTagRun, run.id}};
}

Status PolicyEngine::advance(const Policy& policy, const PolicyRun& run) {
  if (!policy_is_due(run.next_try_ms, now())) return {};
  switch (run.phase) {
    case PolicyRun::Phase::choose:
      return choose(policy, run);
    case PolicyRun::Phase::create:
      return create(policy, run);
    case PolicyRun::Phase::settle:
      return settle(policy, run);
    case PolicyRun::Phase::retain:
      return retain(policy, run);
    case PolicyRun::Phase::done:
      return {};
  }
  return {};
}

// -- choose

Status PolicyEngine::choose(const Policy& policy, const PolicyRun& run) {
  if (!run.places_known) {
    const auto places = env_.cloud->places(policy);
    if (!places.ok() && policy_is_stop(places.error())) return {};
    return update(run, [&](PolicyRun& r) {
      if (places.ok()) {
        r.places_known = true;
        for (const PolicyPlace& place : *places) r.places.push_back({place, 0, 0});
        return;
      }
      ++r.attempts;
      r.next_try_ms = now() + policy_pause_ms(r.attempts);
      if (r.attempts < kPolicyAttempts && !policy_is_final(places.error())) return;
      r.failed.push_back(places.error().context);
      enter(r, PolicyRun::Phase::retain);
    });
  }
  // Whose volumes are known gets its snapshots before another place is asked: that one may not
  // answer for long.
  for (const PolicyRun::Place& place : run.places) {
    if (!policy_is_due(place.next_try_ms, now())) continue;
    TRY(choose_in(policy, run, place));
    TRY(make_wanted(policy, as_it_is(run)));
  }
  TRY(make_wanted(policy, as_it_is(run)));
  if (!as_it_is(run).places.empty()) return {};
  return update(run, [](PolicyRun& r) { enter(r, PolicyRun::Phase::create); });
}

Status PolicyEngine::choose_in(const Policy& policy, const PolicyRun& run,
                               const PolicyRun::Place& place) {
  const auto volumes = env_.cloud->volumes(place.place, policy.tags);
  return update(run, [&](PolicyRun& r) {
    if (!volumes.ok()) return retry_place(r, place.place, volumes.error(), now());
    const PolicyTargets chosen = choose_targets(policy, place.place, *volumes);
    for (const PolicyNote& note : chosen.skipped) r.skipped.push_back(note.what + ": " + note.why);
    for (const PolicyTarget& target : chosen.targets) {
      for (const std::string& volume : target.volumes) {
        PolicyItem item;
        item.place = target.place;
        item.instance = target.instance;
        item.volume = volume;
        item.since_ms = now();
        r.items.push_back(std::move(item));
      }
    }
    settle_place(r, place.place);
  });
}

// -- create

Result<bool> PolicyEngine::make_wanted(const Policy& policy, const PolicyRun& run) {
  std::map<std::pair<PolicyPlace, std::string>, PolicyTarget> groups;
  bool waiting = false;
  for (const PolicyItem& item : run.items) {
    if (item.state != PolicyItemState::wanted) continue;
    if (!policy_is_due(item.next_try_ms, now())) {
      waiting = true;
      continue;
    }
    // Volumes by themselves are groups of one.
    const std::string key = item.instance.empty() ? item.volume : item.instance;
    PolicyTarget& target = groups[{item.place, key}];
    target.place = item.place;
    target.instance = item.instance;
    target.volumes.push_back(item.volume);
  }
  for (const auto& [key, target] : groups) TRY(Making(*this, policy, run, target).make());
  return !waiting;
}

Status PolicyEngine::create(const Policy& policy, const PolicyRun& run) {
  ASSIGN_OR_RETURN(const bool all_tried, make_wanted(policy, run));
  if (!all_tried) return {};
  return update(run, [](PolicyRun& r) {
    if (std::none_of(r.items.begin(), r.items.end(), [](const PolicyItem& item) {
          return item.state == PolicyItemState::wanted;
        })) {
      enter(r, PolicyRun::Phase::settle);
    }
  });
}

// -- settle

Status PolicyEngine::settle(const Policy& policy, const PolicyRun& run) {
  std::set<PolicyPlace> places;
  for (const PolicyItem& item : run.items) {
    if (item.state == PolicyItemState::created) places.insert(item.place);
  }
  for (const PolicyPlace& place : places) {
    const auto there = env_.cloud->snapshots(place, marks_of(run));
    if (!there.ok()) {
      log_warning(kComponent, "snapshots not listed",
                  {{"place", to_string(place)}, {"error", there.error().message()}});
      continue;
    }
    std::map<std::string, PointState> states;
    for (const CloudSnapshot& snapshot : *there) states[snapshot.id] = snapshot.state;
    const auto next_state = [&](const PolicyItem& item) {
      const auto found = states.find(item.snapshot);
      const int64_t age_ms = now() - item.since_ms;
      const PointState state = found == states.end() ? PointState::pending : found->second;
      if (state == PointState::failed) return PolicyItemState::failed;
      if (state == PointState::good) {
        return policy.pull ? PolicyItemState::ready : PolicyItemState::done;
      }
      const bool over = age_ms > (found == states.end() ? kGoneAfterMs : kPendingAtMostMs);
      return over ? PolicyItemState::failed : PolicyItemState::created;
    };
    const bool changes =
        std::any_of(run.items.begin(), run.items.end(), [&](const PolicyItem& item) {
          return item.state == PolicyItemState::created && item.place == place &&
                 next_state(item) != PolicyItemState::created;
        });
    if (!changes) continue;
    TRY(update(run, [&](PolicyRun& r) {
      for (PolicyItem& item : r.items) {
        if (item.state != PolicyItemState::created || item.place != place) continue;
        const PolicyItemState next = next_state(item);
        if (next == PolicyItemState::created) continue;
        item.state = next;
        item.since_ms = now();
        if (next == PolicyItemState::failed) item.note = item.snapshot + " did not complete";
      }
    }));
  }
  bool settled = true;
  {
    const std::lock_guard lock(mutex_);
    for (const PolicyItem& item : runs_[run.policy].at(run.id).items) settled &= item.settled();
  }
  if (!settled) return {};
  return update(run, [](PolicyRun& r) { enter(r, PolicyRun::Phase::retain); });
}

// -- retain

int64_t PolicyEngine::expiry_now() const {
  return now() - std::max<int64_t>(env_.cloud->clock_ahead_ms(), 0);
}

Status PolicyEngine::retain(const Policy& policy, const PolicyRun& run) {
  const bool in_aws = !policy.keep_in_aws.keeps_everything();
  const bool in_archive = !policy.keep_in_archive.keeps_everything();
  if (!run.places_known) {
    Result<std::vector<PolicyPlace>> places = std::vector<PolicyPlace>();
    if (in_aws) places = env_.cloud->places(policy);
    if (!places.ok() && policy_is_stop(places.error())) return {};
    return update(run, [&](PolicyRun& r) {
      if (!places.ok()) {
        ++r.attempts;
        r.next_try_ms = now() + policy_pause_ms(r.attempts);
        if (r.attempts < kPolicyAttempts && !policy_is_final(places.error())) return;
        r.failed.push_back("nothing expired in AWS: " + places.error().context);
      } else {
        for (const PolicyPlace& place : *places) r.places.push_back({place, 0, 0});
      }
      r.places_known = true;
      r.next_try_ms = 0;
      if (in_archive) r.places.push_back({kArchivePlace, 0, 0});
    });
  }
  if (run.places.empty()) return finish(policy, run);
  const bool due = std::any_of(run.places.begin(), run.places.end(), [this](const auto& place) {
    return policy_is_due(place.next_try_ms, now());
  });
  if (!due) return {};
  // Both sides need it: which snapshots are bases of the next pulls.
  const auto points = env_.archive->points();
  std::set<std::string> archived;
  if (points.ok()) {
    for (const ArchivePoint& point : *points) {
      if (point.state == PointState::good) archived.insert(point.snapshot);
    }
  }
  for (const PolicyRun::Place& place : run.places) {
    if (!policy_is_due(place.next_try_ms, now())) continue;
    if (!points.ok()) {
      TRY(update(run, [&](PolicyRun& r) { retry_place(r, place.place, points.error(), now()); }));
    } else if (place.place == kArchivePlace) {
      TRY(retain_in_archive(policy, run, *points));
    } else {
      TRY(retain_in_aws(policy, run, place, archived));
    }
  }
  return {};
}

Status PolicyEngine::retain_in_aws(const Policy& policy, const PolicyRun& run,
                                   const PolicyRun::Place& place,
                                   const std::set<std::string>& archived) {
  const auto snapshots =
      env_.cloud->snapshots(place.place, {{kTagGateway, env_.gateway}, {kTagPolicy, policy.name}});
  if (!snapshots.ok()) {
    return update(run,
                  [&](PolicyRun& r) { retry_place(r, place.place, snapshots.error(), now()); });
  }
  Outcome outcome;
  std::optional<Error> again;  // what is left is planned anew
  unsigned unanswered = 0;
  for (const AwsDeletion& deletion : plan_aws_retention(
           policy, place.place, *snapshots, archived, busy_snapshots(), expiry_now(), env_.zone)) {
    const std::string what =
        to_string(place.place) + " " + deletion.volume + ": " + deletion.snapshot;
    const Status removed = env_.cloud->remove(place.place, deletion.snapshot);
    const ErrorCode code = removed.ok() ? ErrorCode::internal : removed.error().code;
    if (!removed.ok() && (code == ErrorCode::unavailable || policy_is_stop(removed.error()))) {
      again = Error(code, deletion.snapshot + " not deleted: " + removed.error().context);
      if (code != ErrorCode::unavailable || ++unanswered == kMostUnanswered) break;
      continue;
    }
    unanswered = 0;
    if (removed.ok()) {
      outcome.done.push_back(what + " deleted in AWS (" + deletion.why + ")");
    } else if (code == ErrorCode::busy || code == ErrorCode::conflict) {
      outcome.skipped.push_back(what + " stays in AWS: " + removed.error().context);
    } else {
      outcome.failed.push_back(what + " not deleted in AWS: " + removed.error().context);
    }
  }
  return update(run, [&](PolicyRun& r) {
    outcome.add_to(r);
    if (again) return retry_place(r, place.place, *again, now());
    settle_place(r, place.place);
  });
}

Status PolicyEngine::retain_in_archive(const Policy& policy, const PolicyRun& run,
                                       const std::vector<ArchivePoint>& points) {
  Outcome outcome;
  std::set<std::string> needed;  // by a point that is still there
  for (const ArchiveDeletion& deletion :
       plan_archive_retention(policy, env_.gateway, points, expiry_now(), env_.zone)) {
    const std::string what = deletion.archive + ": the point of " + deletion.snapshot;
    Status removed = Error(ErrorCode::conflict, "a point that stands on it could not go");
    if (!needed.contains(deletion.point)) {
      removed = env_.archive->remove(deletion.archive, deletion.point);
    }
    if (!removed.ok()) needed.insert(deletion.bases.begin(), deletion.bases.end());
    if (removed.ok()) {
      outcome.done.push_back(what + " deleted (" + deletion.why + ")");
    } else if (removed.error().code == ErrorCode::busy ||
               removed.error().code == ErrorCode::conflict ||
               removed.error().code == ErrorCode::cold ||
               removed.error().code == ErrorCode::write_protected) {
      outcome.skipped.push_back(what + " stays: " + removed.error().context);
    } else {
      outcome.failed.push_back(what + " not deleted: " + removed.error().context);
    }
  }
  return update(run, [&](PolicyRun& r) {
    outcome.add_to(r);
    settle_place(r, kArchivePlace);
  });
}

Status PolicyEngine::finish(const Policy& policy, const PolicyRun& run) {
  TRY(update(run, [&](PolicyRun& r) {
    std::vector<std::string> made;
    for (const PolicyItem& item : r.items) {
      if (item.state == PolicyItemState::done) {
        made.push_back(name_of(item) + ": " + item.snapshot +
                       (policy.pull ? " made and pulled" : " made"));
      } else if (item.state == PolicyItemState::failed) {
        r.failed.push_back(name_of(item) + ": " + item.note);
      } else if (item.state == PolicyItemState::archived) {
        r.skipped.push_back(name_of(item) + ": " + item.note);
      }
    }
    r.done.insert(r.done.begin(), made.begin(), made.end());
    if (r.items.empty() && r.failed.empty()) {
      r.skipped.push_back("no volume carries the policy's tags");
    }
    r.phase = PolicyRun::Phase::done;
    r.finished_ms = now();
  }));
  const PolicyRun ended = as_it_is(run);
  log_info(kComponent, "run ended",
           {{"policy", policy.name},
            {"run", run.id},
            {"done", ended.done.size()},
            {"skipped", ended.skipped.size()},
            {"failed", ended.failed.size()}});
  return tell(ended, policy.notify);
}

}  // namespace coldshelf
