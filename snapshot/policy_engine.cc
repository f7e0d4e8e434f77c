#include "snapshot/policy_engine.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <tuple>

#include "base/bytes.h"
#include "base/log.h"
#include "snapshot/policy_pace.h"

namespace coldshelf {

namespace {

constexpr std::string_view kComponent = "policy";
constexpr size_t kRunsKept = 100;    // of a policy, ended ones
constexpr size_t kMaxOpenRuns = 50;  // of a policy
constexpr size_t kMaxPolicies = 1'000;
constexpr unsigned kPullAttempts = 8;
constexpr unsigned kNotifyAttempts = 24;
constexpr int64_t kNotifyPauseMs = 3'600'000;
constexpr int64_t kMostAheadMs = 24 * 3'600'000;  // a moment handled already; more: a wrong clock

// 20261127T023000Z
std::string compact_time(int64_t unix_ms) {
  std::string out;
  for (const char c : format_utc(unix_ms)) {
    if (c == '.') break;
    if (c != '-' && c != ':') out += c;
  }
  return out + "Z";
}

Error no_policy(const std::string& name) {
  return Error(ErrorCode::not_found, "there is no policy '" + name + "'");
}

std::string volume_key(const PolicyItem& item) { return to_string(item.place) + " " + item.volume; }

}  // namespace

struct PolicyEngine::Shared {
  std::mutex mutex;
  PolicyEngine* engine = nullptr;
};

PolicyEngine::PolicyEngine(Env env)
    : env_(std::move(env)),
      journal_(*env_.files, env_.directory),
      shared_(std::make_shared<Shared>()) {
  shared_->engine = this;
}

PolicyEngine::~PolicyEngine() {
  const std::lock_guard lock(shared_->mutex);
  shared_->engine = nullptr;
}

Status PolicyEngine::open(std::vector<Policy> configured) {
  ASSIGN_OR_RETURN(PolicyJournal::Loaded loaded, journal_.load());
  for (const std::string& problem : loaded.problems) {
    log_error(kComponent, "journal", {{"problem", problem}});
  }
  const std::lock_guard lock(mutex_);
  for (Policy& policy : loaded.definitions) policies_[policy.name] = std::move(policy);
  for (Policy& policy : configured) {
    configured_.insert(policy.name);
    policies_[policy.name] = std::move(policy);
  }
  for (const auto& [name, ms] : loaded.seen) seen_[name] = ms;
  for (PolicyRun& run : loaded.runs) {
    if (!run.by_hand && run.due_ms - now() <= kMostAheadMs) {
      seen_[run.policy] = std::max(seen_[run.policy], run.due_ms);
    }
    const std::string policy = run.policy;
    const std::string id = run.id;
    runs_[policy][id] = std::move(run);
  }
  for (const auto& [name, policy] : policies_) {
    const auto had = loaded.schedules.find(name);
    const bool other = had != loaded.schedules.end() && had->second != policy.schedule;
    if (other || !seen_.contains(name)) {
      TRY(journal_.save_seen(name, now()));
      seen_[name] = now();
    }
    if (other || had == loaded.schedules.end()) TRY(journal_.save_schedule(policy));
  }
  return {};
}

// -- steps

Status PolicyEngine::step() {
  std::vector<Policy> policies;
  std::vector<PolicyRun> orphans;
  std::vector<PolicyRun> untold;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, policy] : policies_) policies.push_back(policy);
    for (const auto& [name, runs] : runs_) {
      for (const auto& [id, run] : runs) {
        if (!run.finished() && !policies_.contains(name)) orphans.push_back(run);
        if (run.finished() && !run.notified) untold.push_back(run);
      }
    }
  }
  for (const PolicyRun& run : orphans) {
    TRY(update(run, [this](PolicyRun& r) {
      r.failed.push_back("the policy was deleted while it ran");
      r.phase = PolicyRun::Phase::done;
      r.finished_ms = now();
    }));
  }
  for (const PolicyRun& run : untold) {
    const auto policy = std::find_if(policies.begin(), policies.end(),
                                     [&run](const Policy& p) { return p.name == run.policy; });
    TRY(tell(run, policy == policies.end() ? PolicyNotify::always : policy->notify));
  }
  for (const Policy& policy : policies) {
    TRY(start_due_runs(policy));
    for (const PolicyRun& run : unfinished(policy.name)) TRY(advance(policy, run));
    TRY(prune(policy.name));
  }
  return {};
}

Status PolicyEngine::start_due_runs(const Policy& policy) {
  if (policy.schedule.empty()) return {};
  ASSIGN_OR_RETURN(const CalendarExpression schedule,
                   CalendarExpression::parse(policy.schedule, env_.zone));
  int64_t last_ms = 0;
  {
    const std::lock_guard lock(mutex_);
    last_ms = seen_[policy.name];
  }
  // The clock was ahead when that was written down: nothing would be due until then.
  if (last_ms - now() > kMostAheadMs) {
    log_warning(kComponent, "the schedule counts anew: the clock was ahead",
                {{"policy", policy.name}, {"handled", format_utc(last_ms)}});
    return set_seen(policy.name, now());
  }
  const auto due = due_run(schedule, last_ms, now());
  if (!due) return {};
  if (!policy.enabled) return set_seen(policy.name, due->due_ms);
  const std::vector<PolicyRun> open = unfinished(policy.name);
  const bool still_making = std::any_of(open.begin(), open.end(), [](const PolicyRun& run) {
    return run.phase == PolicyRun::Phase::choose || run.phase == PolicyRun::Phase::create;
  });
  // It is caught up when there is room.
  if (still_making || open.size() >= kMaxOpenRuns) return {};
  return begin_run(policy, due->due_ms, due->missed, false, nullptr);
}

Status PolicyEngine::set_seen(const std::string& policy, int64_t ms) {
  TRY(journal_.save_seen(policy, ms));
  const std::lock_guard lock(mutex_);
  seen_[policy] = ms;
  return {};
}

bool PolicyEngine::has_run(const std::string& policy, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto runs = runs_.find(policy);
  return runs != runs_.end() && runs->second.contains(id);
}

Status PolicyEngine::begin_run(const Policy& policy, int64_t due_ms, unsigned missed, bool by_hand,
                               std::string* id) {
  PolicyRun run;
  run.policy = policy.name;
  // Of a run that is due always the same: when writing it down fails half-way, the next try is it.
  // A moment that comes twice, because the clock was wrong, has two.
  run.id = compact_time(due_ms);
  if (by_hand || has_run(policy.name, run.id)) {
    Buffer random(3);
    env_.random->fill(random);
    run.id += "-" + to_hex(random);
  }
  run.by_hand = by_hand;
  run.missed = missed;
  run.due_ms = due_ms;
  run.started_ms = now();
  TRY(journal_.save(run));
  log_info(kComponent, "run begins",
           {{"policy", policy.name}, {"run", run.id}, {"missed", missed}, {"by_hand", by_hand}});
  const std::lock_guard lock(mutex_);
  if (!by_hand) seen_[policy.name] = std::max(seen_[policy.name], due_ms);
  if (id != nullptr) *id = run.id;
  const std::string key = run.id;
  runs_[policy.name][key] = std::move(run);
  return {};
}

Status PolicyEngine::update(const PolicyRun& run, const Change& change) {
  const std::lock_guard lock(mutex_);
  auto& runs = runs_[run.policy];
  const auto found = runs.find(run.id);
  // Only a notification that comes back late asks for a run that was pruned.
  if (found == runs.end()) {
    return Error(ErrorCode::not_found, "there is no run " + run.id + " of " + run.policy);
  }
  PolicyRun changed = found->second;
  change(changed);
  TRY(journal_.save(changed));
  found->second = std::move(changed);
  ++changes_;
  return {};
}

std::vector<PolicyRun> PolicyEngine::unfinished(const std::string& policy) const {
  const std::lock_guard lock(mutex_);
  std::vector<PolicyRun> out;
  const auto runs = runs_.find(policy);
  if (runs == runs_.end()) return out;
  for (const auto& [id, run] : runs->second) {
    if (!run.finished()) out.push_back(run);
  }
  return out;
}

PolicyRun PolicyEngine::as_it_is(const PolicyRun& run) const {
  const std::lock_guard lock(mutex_);
  return runs_.at(run.policy).at(run.id);
}

std::set<std::string> PolicyEngine::busy_snapshots() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> out;
  for (const auto& [name, runs] : runs_) {
    for (const auto& [id, run] : runs) {
      for (const PolicyItem& item : run.items) {
        if (!run.finished() && !item.settled() && !item.snapshot.empty()) out.insert(item.snapshot);
      }
    }
  }
  return out;
}

Status PolicyEngine::prune(const std::string& policy) {
  std::vector<PolicyRun> old;
  {
    const std::lock_guard lock(mutex_);
    const auto runs = runs_.find(policy);
    if (runs == runs_.end() || runs->second.size() <= kRunsKept) return {};
    size_t surplus = runs->second.size() - kRunsKept;
    for (const auto& [id, run] : runs->second) {
      if (surplus == 0) break;
      if (!run.finished() || !run.notified) continue;
      old.push_back(run);
      --surplus;
    }
  }
  for (const PolicyRun& run : old) {
    // Together: a change that is saved between the two would bring its file back.
    const std::lock_guard lock(mutex_);
    TRY(journal_.remove(run));
    runs_[policy].erase(run.id);
  }
  return {};
}

// -- pulls

Result<bool> PolicyEngine::pull_next() {
  std::optional<PolicyRun> run;
  PolicyItem item;
  {
    const std::lock_guard lock(mutex_);
    std::vector<const PolicyRun*> open;
    for (const auto& [name, runs] : runs_) {
      for (const auto& [id, r] : runs) {
        if (!r.finished()) open.push_back(&r);
      }
    }
    std::sort(open.begin(), open.end(), [](const PolicyRun* a, const PolicyRun* b) {
      return std::tie(a->started_ms, a->id) < std::tie(b->started_ms, b->id);
    });
    std::set<std::string> earlier;  // volumes of which an older snapshot comes first
    for (const PolicyRun* r : open) {
      for (const PolicyItem& i : r->items) {
        if (i.state != PolicyItemState::created && i.state != PolicyItemState::ready) continue;
        if (!earlier.insert(volume_key(i)).second || pulling_.contains(volume_key(i))) continue;
        if (i.state != PolicyItemState::ready || !policy_is_due(i.next_try_ms, now()) || run) {
          continue;
        }
        run = *r;
        item = i;
      }
    }
    if (!run) return false;
    pulling_.insert(volume_key(item));
  }
  const auto change_item = [&](const std::function<void(PolicyItem&)>& change) {
    return update(*run, [&](PolicyRun& r) {
      for (PolicyItem& i : r.items) {
        if (i.snapshot == item.snapshot && i.place == item.place) change(i);
      }
    });
  };
  CloudSnapshot snapshot;
  snapshot.id = item.snapshot;
  snapshot.volume = item.volume;
  snapshot.state = PointState::good;
  Status counted = change_item([](PolicyItem& i) { ++i.attempts; });
  Status pulled = counted.ok() ? env_.archive->pull(item.place, snapshot) : Status();
  Status saved = counted;
  if (counted.ok()) {
    saved = change_item([&](PolicyItem& i) {
      if (pulled.ok()) {
        i.state = PolicyItemState::done;
        i.note.clear();
      } else if (pulled.error().code == ErrorCode::cancelled) {
        --i.attempts;
      } else if (pulled.error().code == ErrorCode::cold) {
        // Nothing failed: somebody sent the archive away, and no later attempt brings it back.
        i.state = PolicyItemState::archived;
        i.note = i.snapshot + " not pulled: skipped, archived: retrieve first (" +
                 pulled.error().context + ")";
      } else {
        i.note = "pull of " + i.snapshot + ": " + pulled.error().context;
        const bool over = i.attempts >= kPullAttempts || policy_is_final(pulled.error());
        if (over) i.state = PolicyItemState::failed;
        i.next_try_ms = now() + policy_pause_ms(i.attempts);
      }
      if (i.settled()) i.since_ms = now();
    });
  }
  const std::lock_guard lock(mutex_);
  pulling_.erase(volume_key(item));
  if (!saved.ok()) return saved.error();
  return true;
}

// -- telling

Status PolicyEngine::tell(const PolicyRun& run, PolicyNotify when) {
  // What a policy wants pulled and was not is worth a word, though nothing failed.
  const size_t not_pulled = run.not_pulled();
  const bool trouble = !run.failed.empty() || not_pulled > 0;
  const bool wanted = when == PolicyNotify::always || (when == PolicyNotify::failure && trouble);
  if (!wanted || run.notify_attempts >= kNotifyAttempts || env_.notify == nullptr) {
    if (wanted && env_.notify != nullptr) {
      log_error(kComponent, "nobody could be told", {{"policy", run.policy}, {"run", run.id}});
    }
    return update(run, [](PolicyRun& r) { r.notified = true; });
  }
  if (!policy_is_due(run.notify_next_ms, now())) return {};
  TRY(update(run, [this](PolicyRun& r) {
    ++r.notify_attempts;
    r.notify_next_ms = now() + kNotifyPauseMs;
  }));
  Notification out;
  // In every attempt the same, so that whoever has it already knows it again.
  out.id = env_.gateway + "-" + run.policy + "-" + run.id;
  out.event = !run.failed.empty() ? "policy.failed"
              : not_pulled > 0    ? "policy.archived"
                                  : "policy.run";
  out.severity = !run.failed.empty() ? NotificationSeverity::error
                 : not_pulled > 0    ? NotificationSeverity::warning
                                     : NotificationSeverity::info;
  out.subject = "policy " + run.policy + ": " + std::to_string(run.done.size()) + " done, " +
                std::to_string(run.skipped.size()) + " skipped, " +
                std::to_string(run.failed.size()) + " failed";
  if (not_pulled > 0) {
    out.subject += "; " + std::to_string(not_pulled) + " not pulled, their archives are ARCHIVED";
  }
  out.time_ms = run.finished_ms;
  out.fields = {{"policy", run.policy},
                {"run", run.id},
                {"due", format_utc(run.due_ms)},
                {"started", format_utc(run.started_ms)},
                {"missed", std::to_string(run.missed)},
                {"skipped_archived", std::to_string(not_pulled)}};
  out.done = run.done;
  out.skipped = run.skipped;
  out.failed = run.failed;
  env_.notify->send(std::move(out), [shared = shared_, run](bool delivered) {
    if (!delivered) return;  // another step tries again
    const std::lock_guard lock(shared->mutex);
    if (shared->engine == nullptr) return;
    Status told = shared->engine->update(run, [](PolicyRun& r) { r.notified = true; });
    if (!told.ok() && told.error().code != ErrorCode::not_found) {
      log_error(kComponent, "not written down that a run was told about",
                {{"run", run.id}, {"error", told.error().message()}});
    }
  });
  return {};
}

// -- operations

std::vector<PolicyEngine::Info> PolicyEngine::policies() const {
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, policy] : policies_) names.push_back(name);
  }
  std::vector<Info> out;
  for (const std::string& name : names) {
    Result<Info> info = policy(name);
    if (info.ok()) out.push_back(std::move(*info));
  }
  return out;
}

Result<PolicyEngine::Info> PolicyEngine::policy(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = policies_.find(name);
  if (found == policies_.end()) return no_policy(name);
  Info info;
  info.policy = found->second;
  info.configured = configured_.contains(name);
  const auto seen = seen_.find(name);
  if (info.policy.enabled && !info.policy.schedule.empty() && seen != seen_.end()) {
    auto schedule = CalendarExpression::parse(info.policy.schedule, env_.zone);
    if (schedule.ok()) info.next_ms = schedule->next_after(seen->second).value_or(0);
  }
  const auto runs = runs_.find(name);
  if (runs == runs_.end()) return info;
  for (const auto& [id, run] : runs->second) {
    if (!run.finished()) {
      ++info.open_runs;
    } else if (run.finished_ms >= info.last_finished_ms) {
      info.last_finished_ms = run.finished_ms;
      info.last_run = id;
      info.last_failed = run.failed.size();
    }
  }
  return info;
}

std::vector<PolicyRun> PolicyEngine::runs(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  std::vector<PolicyRun> out;
  const auto runs = runs_.find(name);
  if (runs == runs_.end()) return out;
  for (const auto& [id, run] : runs->second) out.push_back(run);
  std::sort(out.begin(), out.end(), [](const PolicyRun& a, const PolicyRun& b) {
    return std::tie(a.started_ms, a.id) < std::tie(b.started_ms, b.id);
  });
  return out;
}

Status PolicyEngine::put(const Policy& policy) {
  const std::lock_guard lock(mutex_);
  if (configured_.contains(policy.name)) {
    return Error(ErrorCode::conflict,
                 "policy '" + policy.name + "' is in the configuration's file; change it there");
  }
  if (!policies_.contains(policy.name) && policies_.size() >= kMaxPolicies) {
    return Error(ErrorCode::no_space,
                 "there are " + std::to_string(kMaxPolicies) + " policies already");
  }
  const auto had = policies_.find(policy.name);
  const bool same = had != policies_.end() && had->second.schedule == policy.schedule;
  if (!same || !seen_.contains(policy.name)) {
    TRY(journal_.save_seen(policy.name, now()));
    seen_[policy.name] = now();
  }
  TRY(journal_.save_schedule(policy));
  TRY(journal_.save_definition(policy));
  policies_[policy.name] = policy;
  return {};
}

Status PolicyEngine::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (configured_.contains(name)) {
    return Error(ErrorCode::conflict,
                 "policy '" + name + "' is in the configuration's file; remove it there");
  }
  if (!policies_.contains(name)) return no_policy(name);
  TRY(journal_.remove_definition(name));
  policies_.erase(name);
  return {};
}

Result<std::string> PolicyEngine::run_now(const std::string& name) {
  ASSIGN_OR_RETURN(const Info info, policy(name));
  if (info.open_runs >= kMaxOpenRuns) {
    return Error(ErrorCode::busy,
                 "policy '" + name + "' has " + std::to_string(info.open_runs) + " runs under way");
  }
  std::string id;
  TRY(begin_run(info.policy, now(), 0, true, &id));
  return id;
}

Result<PolicyEngine::Preview> PolicyEngine::preview(const std::string& name) {
  ASSIGN_OR_RETURN(const Info info, policy(name));
  const Policy& policy = info.policy;
  ASSIGN_OR_RETURN(const std::vector<PolicyPlace> places, env_.cloud->places(policy));
  Preview out;
  std::set<std::string> archived;
  Result<std::vector<ArchivePoint>> points = env_.archive->points();
  if (points.ok()) {
    for (const ArchivePoint& point : *points) {
      if (point.state == PointState::good) archived.insert(point.snapshot);
    }
  } else {
    out.failed.push_back("the archive: " + points.error().context);
  }
  const std::set<std::string> busy = busy_snapshots();
  for (const PolicyPlace& place : places) {
    auto volumes = env_.cloud->volumes(place, policy.tags);
    auto snapshots =
        env_.cloud->snapshots(place, {{kTagGateway, env_.gateway}, {kTagPolicy, policy.name}});
    if (!volumes.ok() || !snapshots.ok()) {
      out.failed.push_back(to_string(place) + ": " +
                           (volumes.ok() ? snapshots.error() : volumes.error()).context);
      continue;
    }
    PolicyTargets chosen = choose_targets(policy, place, *volumes);
    for (PolicyNote& note : chosen.skipped) out.skipped.push_back(std::move(note));
    for (PolicyTarget& target : chosen.targets) out.targets.push_back(std::move(target));
    if (!points.ok()) continue;
    for (AwsDeletion& deletion :
         plan_aws_retention(policy, place, *snapshots, archived, busy, expiry_now(), env_.zone)) {
      out.aws_deletions.push_back(std::move(deletion));
    }
  }
  if (points.ok()) {  // now AWS has said what time it is
    out.archive_deletions =
        plan_archive_retention(policy, env_.gateway, *points, expiry_now(), env_.zone);
  }
  return out;
}

}  // namespace coldshelf
