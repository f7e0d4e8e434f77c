#include "tests/support/policy_sim.h"

#include <algorithm>
#include <utility>

namespace coldshelf::test {

namespace {

bool matches(const PolicyTags& tags, const PolicyTags& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&tags](const auto& tag) {
    const auto found = tags.find(tag.first);
    return found != tags.end() && (tag.second == "*" || tag.second == found->second);
  });
}

}  // namespace

PolicySim::PolicySim(uint64_t seed, SimClock& clock, std::string gateway)
    : random_(seed), clock_(clock), gateway_(std::move(gateway)) {}

Status PolicySim::trouble(const char* what) {
  if (faults.crash != 0 && random_.one_in(faults.crash)) {
    ++seen.crashes;
    throw PolicySimCrash();
  }
  if (faults.refused != 0 && random_.one_in(faults.refused)) {
    return Error(ErrorCode::unavailable, std::string(what) + ": HTTP 503");
  }
  return {};
}

Status PolicySim::call_aws(const char* what) {
  if (calls_left && *calls_left == 0) {
    return Error(ErrorCode::cancelled, std::string(what) + ": the transport was given up");
  }
  if (calls_left) --*calls_left;
  return trouble(what);
}

Status PolicySim::after(const char* what) {
  if (faults.crash != 0 && random_.one_in(faults.crash)) {
    ++seen.crashes;
    throw PolicySimCrash();
  }
  if (faults.lost != 0 && random_.one_in(faults.lost)) {
    return Error(ErrorCode::unavailable, std::string(what) + ": the answer was lost");
  }
  return {};
}

std::string PolicySim::add_volume(const PolicyPlace& place, const std::string& instance,
                                  const PolicyTags& tags) {
  CloudVolume volume;
  volume.id = id("vol-");
  volume.state = instance.empty() ? "available" : "in-use";
  volume.instance = instance;
  volume.gib = 8;
  volume.tags = tags;
  const std::string key = volume.id;
  volumes_[place][key] = std::move(volume);
  return key;
}

void PolicySim::change_volumes() {
  for (auto& [place, volumes] : volumes_) {
    if (random_.one_in(150)) {
      add_volume(place, random_.one_in(2) ? "i-" + std::to_string(random_.below(3)) : "",
                 {{"Backup", "true"}});
    }
    for (auto it = volumes.begin(); it != volumes.end();) {
      CloudVolume& volume = it->second;
      if (random_.one_in(60)) volume.tags["Backup"] = random_.one_in(3) ? "false" : "true";
      if (random_.one_in(90)) {
        volume.instance = random_.one_in(3) ? "" : "i-" + std::to_string(random_.below(3));
        volume.state = volume.instance.empty() ? "available" : "in-use";
      }
      it = volumes.size() > 2 && random_.one_in(300) ? volumes.erase(it) : std::next(it);
    }
  }
}

std::set<std::string> PolicySim::all_volumes() const {
  std::set<std::string> out;
  for (const auto& [place, volumes] : volumes_) {
    for (const auto& [id, volume] : volumes) out.insert(id);
  }
  return out;
}

void PolicySim::ripen() {
  for (auto& [place, snapshots] : snapshots_) {
    for (auto& [id, snapshot] : snapshots) {
      if (snapshot.state != PointState::pending || completes_ms_[id] > now()) continue;
      const bool bad = faults.bad_snapshots != 0 && random_.one_in(faults.bad_snapshots);
      snapshot.state = bad ? PointState::failed : PointState::good;
      if (bad) seen.bad.insert(id);
    }
  }
}

Result<std::vector<PolicyPlace>> PolicySim::places(const Policy& policy) {
  TRY(call_aws("AssumeRole"));
  std::vector<PolicyPlace> out;
  for (const auto& [place, volumes] : volumes_) {
    const bool wanted = policy.accounts.empty()
                            ? place.account.empty()
                            : std::find(policy.accounts.begin(), policy.accounts.end(),
                                        place.account) != policy.accounts.end();
    if (wanted) out.push_back(place);
  }
  return out;
}

Result<std::vector<CloudVolume>> PolicySim::volumes(const PolicyPlace& place,
                                                    const PolicyTags& tags) {
  TRY(call_aws("DescribeVolumes"));
  if (silent.contains(place.region)) {
    clock_.advance_ms(5 * 60'000);
    return Error(ErrorCode::unavailable, "DescribeVolumes: no answer");
  }
  std::vector<CloudVolume> out;
  for (const auto& [id, volume] : volumes_[place]) {
    if (matches(volume.tags, tags)) out.push_back(volume);
  }
  TRY(after("DescribeVolumes"));
  return out;
}

Result<std::vector<CloudVolume>> PolicySim::volumes_of(const PolicyPlace& place,
                                                       const std::string& instance) {
  TRY(call_aws("DescribeVolumes"));
  std::vector<CloudVolume> out;
  for (const auto& [id, volume] : volumes_[place]) {
    if (volume.instance != instance) continue;
    out.push_back(volume);
    out.back().root = out.size() == 1;  // the first one, as create() takes it too
  }
  return out;
}

Result<std::vector<CloudSnapshot>> PolicySim::snapshots(const PolicyPlace& place,
                                                        const PolicyTags& tags) {
  TRY(call_aws("DescribeSnapshots"));
  ripen();
  std::vector<CloudSnapshot> out;
  for (const auto& [id, snapshot] : snapshots_[place]) {
    if (now() - snapshot.started_ms < listed_after_ms) continue;
    if (matches(snapshot.tags, tags)) out.push_back(snapshot);
  }
  TRY(after("DescribeSnapshots"));
  return out;
}

Result<std::vector<CloudSnapshot>> PolicySim::create(const PolicyPlace& place,
                                                     const CloudSnapshotOrder& order) {
  TRY(call_aws("CreateSnapshots"));
  std::vector<std::string> chosen;
  bool root = true;
  for (const auto& [id, volume] : volumes_[place]) {
    if (order.instance.empty()) {
      if (id == order.volumes.at(0)) chosen.push_back(id);
      continue;
    }
    if (volume.instance != order.instance) continue;
    const bool left_out = std::count(order.left_out.begin(), order.left_out.end(), id) > 0;
    if (root && left_out) return Error(ErrorCode::invalid_argument, id + " is no data volume");
    if (root ? order.boot_volume : !left_out) chosen.push_back(id);
    root = false;
  }
  if (chosen.empty()) return Error(ErrorCode::not_found, "InvalidVolume.NotFound");
  std::vector<CloudSnapshot> out;
  for (const std::string& volume : chosen) {
    if (std::find(order.volumes.begin(), order.volumes.end(), volume) == order.volumes.end()) {
      broken("a snapshot of " + volume + ", which was not chosen");
    }
    for (const auto& [id, other] : snapshots_[place]) {
      if (other.volume == volume && other.tag(kTagRun) == order.tags.at(kTagRun)) {
        broken("a second snapshot of " + volume + " in run " + other.tag(kTagRun));
      }
    }
    CloudSnapshot snapshot;
    snapshot.id = id("snap-");
    snapshot.volume = volume;
    snapshot.started_ms = now();
    snapshot.gib = 8;
    snapshot.tags = order.copy_tags ? volumes_[place][volume].tags : PolicyTags();
    for (const auto& [name, value] : order.tags) snapshot.tags[name] = value;
    completes_ms_[snapshot.id] = now() + static_cast<int64_t>(random_.below(3'600'000));
    out.push_back(snapshot);
    ++seen.snapshots_made;
  }
  for (const CloudSnapshot& snapshot : out) snapshots_[place][snapshot.id] = snapshot;
  if (std::exchange(crash_after_create, false)) throw PolicySimCrash();
  if (lost_creations > 0) {
    --lost_creations;
    return Error(ErrorCode::unavailable, "CreateSnapshots: the answer was lost");
  }
  TRY(after("CreateSnapshots"));
  return out;
}

Status PolicySim::remove(const PolicyPlace& place, const std::string& snapshot) {
  TRY(call_aws("DeleteSnapshot"));
  if (unanswered_deletions > 0) {
    --unanswered_deletions;
    return Error(ErrorCode::unavailable, "DeleteSnapshot: no answer");
  }
  auto& here = snapshots_[place];
  const auto found = here.find(snapshot);
  if (found == here.end()) return {};
  const CloudSnapshot& goes = found->second;
  if (goes.tag(kTagGateway) != gateway_ || goes.tag(kTagPolicy).empty()) {
    broken(snapshot + " is not ours");
  }
  if (goes.state == PointState::pending) broken(snapshot + " is pending");
  const CloudSnapshot* newest = nullptr;
  const CloudSnapshot* base = nullptr;
  for (const auto& [id, other] : here) {
    if (other.volume != goes.volume || other.tag(kTagPolicy) != goes.tag(kTagPolicy)) continue;
    if (other.state != PointState::good) continue;
    if (newest == nullptr || newest->started_ms < other.started_ms) newest = &other;
    const bool archived =
        std::any_of(points_.begin(), points_.end(),
                    [&id = id](const ArchivePoint& p) { return p.snapshot == id; });
    if (archived && (base == nullptr || base->started_ms < other.started_ms)) base = &other;
  }
  if (newest == &goes) broken(snapshot + " is the newest good one in AWS");
  if (base == &goes) broken(snapshot + " is the base of the next pull");
  here.erase(found);
  ++seen.snapshots_deleted;
  return after("DeleteSnapshot");
}

Result<std::vector<ArchivePoint>> PolicySim::points() {
  TRY(trouble("the archive"));
  std::vector<ArchivePoint> out = points_;
  for (ArchivePoint& p : out) p.status = on_shelf.contains(p.volume) ? "ARCHIVED" : "AVAILABLE";
  return out;
}

Status PolicySim::pull(const PolicyPlace& place, const CloudSnapshot& snapshot) {
  TRY(trouble("ListChangedBlocks"));
  if (std::any_of(points_.begin(), points_.end(),
                  [&](const ArchivePoint& p) { return p.snapshot == snapshot.id; })) {
    return {};
  }
  if (on_shelf.contains(snapshot.volume)) {
    return Error(ErrorCode::cold, "archive " + snapshot.volume + " is ARCHIVED");
  }
  ripen();
  const auto found = snapshots_[place].find(snapshot.id);
  if (found == snapshots_[place].end()) return Error(ErrorCode::not_found, "no such snapshot");
  if (found->second.state != PointState::good) broken("pull of " + snapshot.id + ", not complete");
  const ArchivePoint* base = nullptr;
  for (const ArchivePoint& point : points_) {
    if (point.volume != snapshot.volume || !snapshots_[place].contains(point.snapshot)) continue;
    if (base == nullptr || base->started_ms < point.started_ms) base = &point;
  }
  ++seen.pulls;
  if (base == nullptr) {
    ++seen.pulls_in_full;
    if (was_pulled_.contains(snapshot.volume)) {
      broken("pull of " + snapshot.id + " in full: its base has gone from AWS");
    }
  }
  was_pulled_.insert(snapshot.volume);
  ArchivePoint point;
  point.archive = snapshot.volume;
  point.point = id("point-");
  point.snapshot = snapshot.id;
  point.volume = snapshot.volume;
  point.started_ms = found->second.started_ms;
  point.held = random_.one_in(500);
  // As if it stood on the one before: now and then a point of its own.
  if (base != nullptr && !random_.one_in(10)) point.bases = {base->point};
  if (base != nullptr) point.pulled_against = base->snapshot;
  point.tags = found->second.tags;
  points_.push_back(std::move(point));
  return after("pull");
}

Status PolicySim::remove(const std::string& archive, const std::string& point) {
  TRY(trouble("the archive"));
  const auto found = std::find_if(points_.begin(), points_.end(), [&](const ArchivePoint& p) {
    return p.archive == archive && p.point == point;
  });
  if (found == points_.end()) return {};
  if (on_shelf.contains(archive)) return Error(ErrorCode::cold, archive + " is ARCHIVED");
  if (found->held) broken(point + " is held");
  if (found->tag(kTagPolicy).empty()) broken(point + " was made by hand");
  bool newer = false;
  for (const ArchivePoint& other : points_) {
    if (std::find(other.bases.begin(), other.bases.end(), point) != other.bases.end()) {
      // Its bases go before it only together with it; one at a time is what a crash leaves.
      broken(point + " is a base of " + other.point);
    }
    newer |= other.archive == archive && other.state == PointState::good &&
             other.started_ms > found->started_ms;
  }
  if (!newer) broken(point + " is the newest good one of " + archive);
  points_.erase(found);
  ++seen.points_deleted;
  return after("the archive");
}

Result<std::unique_ptr<Frozen>> PolicySim::freeze(const QuiesceCommands&, const std::string&) {
  struct Thaw final : Frozen {
    explicit Thaw(PolicySim& s, bool f) : sim(s), fails(f) { ++sim.frozen; }
    ~Thaw() override { thaw().ok() ? void() : void(); }
    Status thaw() override {
      if (!frozen_) return {};
      frozen_ = false;
      --sim.frozen;
      if (fails) return Error(ErrorCode::timed_out, "thawed by the watchdog");
      return {};
    }
    PolicySim& sim;
    const bool fails;
    bool frozen_ = true;
  };
  ++seen.freezes;
  clock_.advance_ms(freeze_ms);
  if (faults.quiesce != 0 && random_.one_in(faults.quiesce)) {
    return Error(ErrorCode::io, "fsfreeze: exit code 1");
  }
  return std::unique_ptr<Frozen>(
      std::make_unique<Thaw>(*this, faults.quiesce != 0 && random_.one_in(faults.quiesce)));
}

void PolicySim::send(Notification notification, std::function<void(bool)> settled) {
  if (faults.receiver != 0 && random_.one_in(faults.receiver)) {
    callbacks_.push_back([settled](bool) { settled(false); });
    return;
  }
  std::string run;
  for (const auto& [name, value] : notification.fields) {
    if (name == "run") run = value;
  }
  ++seen.told[run];
  seen.notifications.push_back(notification);
  for (const std::string& line : notification.failed) seen.text += line + "\n";
  callbacks_.push_back(std::move(settled));
}

void PolicySim::deliver() {
  std::vector<std::function<void(bool)>> now;
  now.swap(callbacks_);
  for (const auto& callback : now) callback(true);
}

}  // namespace coldshelf::test
