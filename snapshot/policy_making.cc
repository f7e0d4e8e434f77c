#include "snapshot/policy_making.h"

#include <algorithm>

#include "snapshot/policy_pace.h"

namespace coldshelf {

namespace {

std::string name_of(const PolicyItem& item) { return to_string(item.place) + " " + item.volume; }

bool holds(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

std::string PolicyEngine::Making::name() const {
  return to_string(target_.place) + " " +
         (target_.instance.empty() ? target_.volumes.front() : target_.instance);
}

// 1. The attempt is durable before anything is asked for. 2. An earlier attempt may have worked and
// its answer been lost. 3. All of an instance's at once; what EC2 has made is not listed at once,
// so that the pause before the next attempt counts from there.
Status PolicyEngine::Making::make() {
  ASSIGN_OR_RETURN(const unsigned attempt, count());
  bool made_earlier = false;
  if (attempt > 1) {
    const Result<bool> earlier = find_earlier();
    if (!earlier.ok()) return fail(earlier.error());
    if (*earlier && attempt < 3) return {};
    made_earlier = *earlier;
    if (!made_earlier && attempt > kPolicyAttempts) return give_up();
  }
  const Result<CloudSnapshotOrder> what = order();
  if (!what.ok()) return fail(what.error());
  // Nothing is left when only the boot volume was chosen, and boot volumes are not to be.
  if (made_earlier || what->volumes.empty()) return leave_out();
  return freeze_and_create(*what);
}

Status PolicyEngine::Making::change(const Each& each) {
  return engine_.update(run_, [&](PolicyRun& run) {
    for (PolicyItem& item : run.items) {
      if (item.state == PolicyItemState::wanted && item.place == target_.place &&
          item.instance == target_.instance && holds(target_.volumes, item.volume)) {
        each(run, item);
      }
    }
  });
}

Result<unsigned> PolicyEngine::Making::count() {
  unsigned attempt = 0;
  TRY(change([&](PolicyRun&, PolicyItem& item) {
    attempt = std::max(attempt, ++item.attempts);
    item.next_try_ms = engine_.now() + policy_pause_ms(item.attempts);
  }));
  return attempt;
}

Status PolicyEngine::Making::put_off() {
  return change([&](PolicyRun&, PolicyItem& item) {
    item.next_try_ms = engine_.now() + policy_pause_ms(item.attempts);
  });
}

// True: there are snapshots of this target. An instance's are made together: what is not listed
// soon beside the others was not among them.
Result<bool> PolicyEngine::Making::find_earlier() {
  const bool others = !target_.instance.empty() &&
                      std::any_of(run_.items.begin(), run_.items.end(), [this](const auto& item) {
                        return item.place == target_.place && item.instance == target_.instance &&
                               !item.snapshot.empty();
                      });
  ASSIGN_OR_RETURN(const std::vector<CloudSnapshot> there,
                   engine_.env_.cloud->snapshots(target_.place, engine_.marks_of(run_)));
  TRY(take(there));
  return others || std::any_of(there.begin(), there.end(), [this](const CloudSnapshot& snapshot) {
           return holds(target_.volumes, snapshot.volume);
         });
}

Result<CloudSnapshotOrder> PolicyEngine::Making::order() {
  CloudSnapshotOrder out;
  out.instance = target_.instance;
  out.volumes = target_.volumes;
  out.boot_volume = policy_.boot_volumes;
  out.copy_tags = policy_.copy_tags;
  out.tags = engine_.tags_of(policy_, run_);
  out.description = "coldshelf policy " + policy_.name;
  if (target_.instance.empty()) return out;
  ASSIGN_OR_RETURN(const std::vector<CloudVolume> attached,
                   engine_.env_.cloud->volumes_of(target_.place, target_.instance));
  out.volumes.clear();
  for (const CloudVolume& volume : attached) {
    const bool chosen = holds(target_.volumes, volume.id);
    if (volume.root) {
      root_ = volume.id;
      out.boot_volume = chosen && policy_.boot_volumes;
      if (!out.boot_volume) continue;  // EC2 refuses it among the others left out
    }
    (chosen ? out.volumes : out.left_out).push_back(volume.id);
    if (chosen) out.volume_tags[volume.id] = volume.tags;
  }
  if (out.volumes.empty() || out.left_out.size() <= kMaxLeftOut) return out;
  return Error(ErrorCode::not_supported,
               std::to_string(out.left_out.size()) + " volumes of " + target_.instance +
                   " are not chosen, and EC2 leaves out at most " + std::to_string(kMaxLeftOut) +
                   ": choose more of them, or say by_instance = false");
}

Status PolicyEngine::Making::freeze_and_create(const CloudSnapshotOrder& what) {
  std::vector<std::string> notes;
  std::unique_ptr<Frozen> frozen;
  if (!policy_.commands.empty()) {
    auto freezing = engine_.env_.quiescer->freeze(
        with_arguments(policy_.commands, {{"instance", target_.instance},
                                          {"volume", target_.volumes.front()},
                                          {"region", target_.place.region},
                                          {"account", target_.place.account},
                                          {"policy", policy_.name}}),
        "policy " + policy_.name + ", " + name());
    if (!freezing.ok() && policy_.quiesce_required) return fail(freezing.error());
    if (freezing.ok()) {
      frozen = std::move(*freezing);
    } else {
      notes.push_back(name() +
                      ": not quiesced, crash-consistent only: " + freezing.error().context);
    }
    TRY(put_off());  // the command may have taken longer than the pause
  }
  const auto made = engine_.env_.cloud->create(target_.place, what);
  if (frozen) {
    const Status thawed = frozen->thaw();
    if (!thawed.ok()) notes.push_back(name() + ": " + thawed.error().context);
  }
  if (!notes.empty()) {
    TRY(engine_.update(run_, [&](PolicyRun& run) {
      run.failed.insert(run.failed.end(), notes.begin(), notes.end());
    }));
  }
  if (!made.ok()) return fail(made.error());
  TRY(take(*made));
  return leave_out();
}

Status PolicyEngine::Making::fail(const Error& why) {
  if (policy_is_stop(why)) return {};  // the attempt is counted, as that of a crash
  return change([&](PolicyRun&, PolicyItem& item) {
    item.note = why.context;
    item.next_try_ms = engine_.now() + policy_pause_ms(item.attempts);
    if (policy_is_final(why)) item.state = PolicyItemState::failed;
    if (item.attempts > kPolicyAttempts) item.state = PolicyItemState::failed;
  });
}

Status PolicyEngine::Making::give_up() {
  return change([](PolicyRun&, PolicyItem& item) {
    item.note += " (given up after " + std::to_string(kPolicyAttempts) + " attempts)";
    item.state = PolicyItemState::failed;
  });
}

Status PolicyEngine::Making::take(const std::vector<CloudSnapshot>& made) {
  return change([&](PolicyRun&, PolicyItem& item) {
    for (const CloudSnapshot& snapshot : made) {
      if (snapshot.volume != item.volume) continue;
      item.snapshot = snapshot.id;
      item.state = PolicyItemState::created;
      item.attempts = 0;
      item.next_try_ms = 0;
      item.since_ms = engine_.now();
      item.note.clear();
    }
  });
}

// What an answer does not name has no snapshot.
Status PolicyEngine::Making::leave_out() {
  return change([this](PolicyRun& run, PolicyItem& item) {
    if (!policy_.boot_volumes && item.volume == root_) {
      item.state = PolicyItemState::skipped;
      run.skipped.push_back(name_of(item) + ": a boot volume");
    } else {
      item.state = PolicyItemState::failed;
      item.note =
          "no snapshot was made of it: it is not attached to " + target_.instance + " any more";
    }
  });
}

}  // namespace coldshelf
