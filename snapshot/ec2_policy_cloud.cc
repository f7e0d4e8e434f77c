#include "snapshot/ec2_policy_cloud.h"

#include <algorithm>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr size_t kMaxTags = 50;  // of a snapshot; "aws:" is AWS's own, cannot be set, nor counts

std::vector<Ec2Filter> filters_of(const PolicyTags& tags) {
  std::vector<Ec2Filter> out;
  for (const auto& [name, value] : tags) {
    // EC2 takes '*' and '?' in a value as patterns: then carries() looks at the values.
    if (value.find_first_of("*?\\") != std::string::npos) {
      out.push_back({"tag-key", {name}});
    } else {
      out.push_back({"tag:" + name, {value}});
    }
  }
  return out;
}

// Filters are the server's; whoever does not apply one must not have disks deleted for it.
bool carries(const PolicyTags& tags, const PolicyTags& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&tags](const auto& tag) {
    const auto found = tags.find(tag.first);
    return found != tags.end() && (tag.second == "*" || tag.second == found->second);
  });
}

// `tags` and those of the volume; ours win. `limit`: of them all.
PolicyTags beside(const PolicyTags& tags, const PolicyTags& of_volume, size_t limit) {
  PolicyTags out = tags;
  for (const auto& [name, value] : of_volume) {
    if (out.size() < limit && !name.starts_with("aws:")) out.emplace(name, value);
  }
  return out;
}

CloudVolume volume_of(const Ec2Volume& volume) {
  CloudVolume out;
  out.id = volume.id;
  out.state = volume.state;
  out.gib = volume.gib;
  out.tags = volume.tags;
  // Attached to several instances, it belongs to none of them.
  if (volume.attachments.size() == 1 && volume.attachments[0].state == "attached") {
    out.instance = volume.attachments[0].instance;
  }
  return out;
}

CloudSnapshot snapshot_of(const Ec2Snapshot& snapshot) {
  CloudSnapshot out;
  out.id = snapshot.id;
  out.volume = snapshot.volume;
  out.started_ms = snapshot.started_ms;
  out.gib = snapshot.volume_gib;
  out.tags = snapshot.tags;
  out.state = snapshot.state == "completed" ? PointState::good
              : snapshot.state == "error"   ? PointState::failed
                                            : PointState::pending;
  return out;
}

}  // namespace

Result<std::shared_ptr<Ec2Client>> Ec2PolicyCloud::client(const PolicyPlace& place) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Ec2Client>& held = clients_[place];
  if (held == nullptr) {
    ASSIGN_OR_RETURN(held, env_.client(place));
  }
  return held;
}

Result<std::vector<PolicyPlace>> Ec2PolicyCloud::places(const Policy& policy) {
  std::vector<std::string> accounts = policy.accounts;
  if (accounts.empty()) accounts.push_back("");
  std::vector<PolicyPlace> out;
  for (const std::string& account : accounts) {
    ASSIGN_OR_RETURN(std::vector<std::string> regions, env_.regions(account));
    if (!policy.regions.empty()) regions = policy.regions;
    for (const std::string& region : regions) out.push_back({account, region});
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<std::vector<CloudVolume>> Ec2PolicyCloud::volumes(const PolicyPlace& place,
                                                         const PolicyTags& tags) {
  ASSIGN_OR_RETURN(const auto ec2, client(place));
  ASSIGN_OR_RETURN(const auto found, ec2->describe_volumes({}, filters_of(tags)));
  std::vector<CloudVolume> out;
  for (const Ec2Volume& volume : found) {
    if (carries(volume.tags, tags)) out.push_back(volume_of(volume));
  }
  return out;
}

Result<std::vector<CloudVolume>> Ec2PolicyCloud::volumes_of(const PolicyPlace& place,
                                                            const std::string& instance) {
  ASSIGN_OR_RETURN(const auto ec2, client(place));
  ASSIGN_OR_RETURN(const auto found,
                   ec2->describe_volumes({}, {{"attachment.instance-id", {instance}}}));
  std::vector<CloudVolume> out;
  if (found.empty()) return out;
  const Result<std::string> root = ec2->root_volume(instance);
  if (!root.ok()) {
    // It has volumes, so it is there: EC2 does not list yet what was started just now.
    const bool later = root.error().code == ErrorCode::not_found;
    return later ? Error(ErrorCode::unavailable, root.error().context) : root.error();
  }
  for (const Ec2Volume& volume : found) {
    out.push_back(volume_of(volume));
    out.back().root = volume.id == *root;
  }
  return out;
}

Result<std::vector<CloudSnapshot>> Ec2PolicyCloud::snapshots(const PolicyPlace& place,
                                                             const PolicyTags& tags) {
  ASSIGN_OR_RETURN(const auto ec2, client(place));
  ASSIGN_OR_RETURN(const auto found, ec2->describe_snapshots({}, filters_of(tags)));
  std::vector<CloudSnapshot> out;
  for (const Ec2Snapshot& snapshot : found) {
    if (carries(snapshot.tags, tags)) out.push_back(snapshot_of(snapshot));
  }
  return out;
}

Result<std::vector<CloudSnapshot>> Ec2PolicyCloud::create(const PolicyPlace& place,
                                                          const CloudSnapshotOrder& order) {
  ASSIGN_OR_RETURN(const auto ec2, client(place));
  std::vector<CloudSnapshot> out;
  if (!order.instance.empty()) {
    Ec2CreateSnapshots all;
    all.instance = order.instance;
    all.description = order.description;
    all.without_boot_volume = !order.boot_volume;
    all.without_volumes = order.left_out;
    // EC2 refuses all of them when it has to copy more to one than that takes.
    const bool fit = std::all_of(
        order.volume_tags.begin(), order.volume_tags.end(), [&order](const auto& volume) {
          return beside(order.tags, volume.second, SIZE_MAX).size() <= kMaxTags;
        });
    all.copy_tags_from_volumes = order.copy_tags && fit;
    all.tags = order.tags;
    ASSIGN_OR_RETURN(const auto made, ec2->create_snapshots(all));
    for (const Ec2Snapshot& snapshot : made) {
      out.push_back(snapshot_of(snapshot));
      const auto tags = order.volume_tags.find(snapshot.volume);
      if (!order.copy_tags || fit || tags == order.volume_tags.end()) continue;
      const Status tagged =
          ec2->create_tags(snapshot.id, beside(order.tags, tags->second, kMaxTags));
      if (tagged.ok()) continue;
      log_warning("policy", "tags not copied",
                  {{"snapshot", snapshot.id}, {"error", tagged.error().message()}});
    }
    return out;
  }
  const std::string& volume = order.volumes.at(0);
  Ec2Tags tags = order.tags;
  if (order.copy_tags) {
    ASSIGN_OR_RETURN(const auto found, ec2->describe_volumes({volume}));
    for (const Ec2Volume& v : found) tags = beside(tags, v.tags, kMaxTags);
  }
  ASSIGN_OR_RETURN(const auto made, ec2->create_snapshot(volume, order.description, tags));
  out.push_back(snapshot_of(made));
  return out;
}

Status Ec2PolicyCloud::remove(const PolicyPlace& place, const std::string& snapshot) {
  ASSIGN_OR_RETURN(const auto ec2, client(place));
  return ec2->delete_snapshot(snapshot);
}

int64_t Ec2PolicyCloud::clock_ahead_ms() {
  const std::lock_guard lock(mutex_);
  int64_t most = INT64_MIN;
  for (const auto& [place, ec2] : clients_) {
    if (ec2 != nullptr) most = std::max(most, ec2->clock_ahead_ms());
  }
  return most == INT64_MIN ? 0 : most;
}

}  // namespace coldshelf
