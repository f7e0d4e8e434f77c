// Recovery points, clones and mounts.
#include <algorithm>

#include "base/log.h"
#include "gateway/volume_entry.h"
#include "volume/map_file.h"

namespace coldshelf {

namespace {

constexpr size_t kMaxPointName = 200;
constexpr size_t kMaxVolumesAtOnce = 100;

bool is_point_name(const std::string& name) {
  return name.size() <= kMaxPointName && std::all_of(name.begin(), name.end(), [](char c) {
           return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '@';
         });
}

// "20261127T150300Z"
std::string time_name(int64_t unix_ms) {
  std::string text = format_utc(unix_ms);
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '-' || c == ':'; }),
             text.end());
  return text;
}

// Two mounts of points that were made at once must not look like one disk.
Uuid mount_uuid(const Uuid& volume, const Uuid& point) {
  Uuid out = volume;
  for (size_t i = 0; i < out.bytes.size(); ++i) out.bytes[i] ^= point.bytes[i];
  return out;
}

Result<std::shared_ptr<BlockDevice>> point_as_disk(const std::shared_ptr<Volume>& volume,
                                                   const Uuid& point) {
  struct Held {
    std::shared_ptr<Volume> volume;
    std::unique_ptr<BlockDevice> disk;  // goes first
  };
  auto held = std::make_shared<Held>();
  held->volume = volume;
  ASSIGN_OR_RETURN(held->disk, volume->open_point(point));
  return std::shared_ptr<BlockDevice>(held, held->disk.get());
}

}  // namespace

VolumePoint VolumeService::view_of(const EntryPtr& entry, const RecoveryPoint& point) {
  VolumePoint out{entry->uuid, entry->name, point, ""};
  const std::lock_guard lock(mutex_);
  for (const auto& [name, mount] : mounts_) {
    if (mount->volume == entry->uuid && mount->point.id == point.id) out.mounted = mount->name;
  }
  return out;
}

Result<std::vector<VolumePoint>> VolumeService::create_points(const PointRequest& request) {
  if (request.volumes.empty() || request.volumes.size() > kMaxVolumesAtOnce) {
    return Error(ErrorCode::invalid_argument, "a recovery point is made of 1 to " +
                                                  std::to_string(kMaxVolumesAtOnce) + " volumes");
  }
  if (!is_point_name(request.name) || lower_case(request.name) == "latest") {
    return Error(ErrorCode::invalid_argument,
                 "'" + request.name + "' is no name of a recovery point: at most " +
                     std::to_string(kMaxPointName) + " characters without blanks and '@'");
  }
  if (env_.storage) TRY(env_.storage());
  std::vector<EntryPtr> entries;
  std::vector<std::shared_ptr<Volume>> volumes;
  std::vector<Volume*> bare;
  for (const std::string& name : request.volumes) {
    ASSIGN_OR_RETURN(const EntryPtr entry, find_volume(name));
    if (std::find(entries.begin(), entries.end(), entry) != entries.end()) continue;
    ASSIGN_OR_RETURN(const auto volume, open_volume(name));
    ASSIGN_OR_RETURN(const auto there, volume->points());
    if (there.size() >= kMaxPointsOfVolume) {
      return Error(ErrorCode::conflict, "volume " + entry->name + " has " +
                                            std::to_string(there.size()) +
                                            " recovery points; delete some");
    }
    entries.push_back(entry);
    volumes.push_back(volume);
    bare.push_back(volume.get());
  }
  const std::string name =
      request.name.empty() ? time_name(env_.volume.cartridge.clock->unix_ms()) : request.name;
  ASSIGN_OR_RETURN(const auto made,
                   Volume::create_points(bare, {name, request.about, request.passed}));
  std::vector<VolumePoint> out;
  for (size_t i = 0; i < made.size(); ++i) {
    out.push_back(view_of(entries[i], made[i]));
    log_info("volumes", "recovery point made",
             {{"volume", entries[i]->name}, {"point", name}, {"id", made[i].id.to_string()}});
  }
  return out;
}

Result<std::vector<VolumePoint>> VolumeService::points(const std::string& volume) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(volume));
  ASSIGN_OR_RETURN(const auto open, open_volume(volume));
  ASSIGN_OR_RETURN(const auto list, open->points());
  std::vector<VolumePoint> out;
  for (const RecoveryPoint& point : list) out.push_back(view_of(entry, point));
  return out;
}

Result<VolumeService::FoundPoint> VolumeService::resolve_point(const std::string& point) {
  const size_t at = point.find('@');
  if (at == std::string::npos || at == 0 || at + 1 == point.size()) {
    return Error(ErrorCode::invalid_argument,
                 "'" + point + "': a recovery point is VOLUME@NAME, VOLUME@ID or VOLUME@latest");
  }
  const std::string volume = point.substr(0, at);
  const std::string wanted = point.substr(at + 1);
  FoundPoint found;
  ASSIGN_OR_RETURN(found.entry, find_open(volume));
  ASSIGN_OR_RETURN(found.volume, open_volume(volume));
  ASSIGN_OR_RETURN(const auto list, found.volume->points());
  const auto id = Uuid::parse(wanted);
  for (auto p = list.rbegin(); p != list.rend(); ++p) {  // the newest of a name
    if (wanted != "latest" && p->name != wanted && !(id && *id == p->id)) continue;
    found.point = *p;
    return found;
  }
  return Error(ErrorCode::not_found, found.entry->name + " has no recovery point " + wanted);
}

Result<VolumePoint> VolumeService::find_point(const std::string& point) {
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  return view_of(found.entry, found.point);
}

Status VolumeService::delete_point(const std::string& point) {
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  TRY(check_deletable(found.entry));  // what is locked keeps its points, too
  release_clones_gone_elsewhere(found.entry);
  const std::lock_guard life(found.entry->life);
  ASSIGN_OR_RETURN(const EbsImage image, read_ebs_image(found.volume->manifest()));
  const EbsPoint* gone = image.find(found.point.id);
  if (image.pull && gone != nullptr && image.pull->base == gone->snapshot) {
    return Error(ErrorCode::busy, "a pull stands on " + gone->snapshot);
  }
  Volume::Properties also = without_point(found.point.id);
  // The disk stays what it is, but nothing can be pulled against what is not held any more.
  if (gone != nullptr && image.head == gone->snapshot) also[std::string(kPropertyEbsHead)] = "";
  TRY(found.volume->delete_point(found.point.id, also));
  log_info("volumes", "recovery point deleted",
           {{"volume", found.entry->name}, {"point", found.point.name}});
  return {};
}

Result<std::shared_ptr<BlockDevice>> VolumeService::open_point(const std::string& point) {
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  return point_as_disk(found.volume, found.point.id);
}

Result<VolumeView> VolumeService::clone(const std::string& point, const std::string& name) {
  const std::lock_guard making(making_);
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  TRY(check_name(name));
  TRY(check_lasting(found.entry));
  if (env_.storage) TRY(env_.storage());
  NewClone what;
  what.uuid = Uuid::generate(*env_.volume.cartridge.random);
  what.name = name;
  what.properties[std::string(kPropertyMode)] =
      property_or(found.volume->manifest(), kPropertyMode, "cached");
  auto made = Volume::clone(*found.volume, found.point.id, path_of(what.uuid), what);
  if (!made.ok()) {
    const auto left =
        env_.volume.cartridge.files->exists(join_path(path_of(what.uuid), "manifest"));
    const Status released =
        !left.ok() ? Status(left.error())
        : *left    ? Status(Error(ErrorCode::exists, path_of(what.uuid) + " is left of it"))
                   : found.volume->release_clone(what.uuid);
    if (!released.ok() && released.error().code != ErrorCode::not_found) {
      log_warning("volumes", "a recovery point stays held by a clone that was not made",
                  {{"volume", found.entry->name}, {"error", released.error().message()}});
    }
    return std::move(made).error();
  }
  const EntryPtr entry = enter(std::move(*made));
  const std::lock_guard life(entry->life);
  TRY(adopt(*entry->volume));
  TRY(offer(entry));
  log_info("volumes", "volume cloned", {{"name", name}, {"from", point}});
  return view(entry);
}

Result<VolumeView> VolumeService::roll_back(const std::string& point, bool force) {
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  TRY(find_volume(found.entry->uuid.to_string()));
  const std::lock_guard life(found.entry->life);
  // Nobody may have the disk in its memory while it changes under him.
  TRY(withdraw(found.entry, force));
  const Status done = found.volume->roll_back(found.point.id);
  const Status offered = offer(found.entry);
  TRY(done);
  TRY(offered);
  log_info("volumes", "volume rolled back",
           {{"name", found.entry->name}, {"point", found.point.name}});
  return view(found.entry);
}

// -- mounts

void VolumeService::restore_mounts(const EntryPtr& entry) {
  const Manifest manifest = entry->volume->manifest();
  const std::string prefix(kVolumeMount);
  for (auto at = manifest.properties.lower_bound(prefix);
       at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
    const auto id = Uuid::parse(at->first.substr(prefix.size()));
    const auto list = entry->volume->points();
    if (!id || !list.ok()) continue;
    const auto point = std::find_if(list->begin(), list->end(),
                                    [&](const RecoveryPoint& p) { return p.id == *id; });
    if (point == list->end()) {
      log_warning("volumes", "the mounted recovery point is gone",
                  {{"volume", entry->name}, {"mount", at->second}});
      continue;
    }
    auto mount = std::make_shared<Mount>();
    mount->name = at->second;
    mount->volume = entry->uuid;
    mount->volume_name = entry->name;
    mount->point = *point;
    {
      const std::lock_guard lock(mutex_);
      mounts_[lower_case(mount->name)] = mount;
    }
    if (const Status offered = offer_mount(mount); !offered.ok()) {
      log_error("volumes", "mounted recovery point has no target",
                {{"name", mount->name}, {"error", offered.error().message()}});
    }
  }
}

Status VolumeService::offer_mount(const std::shared_ptr<Mount>& mount) {
  const auto add = [&]() -> Status {
    VolumeTargets* targets = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!mount->offered) targets = targets_;
    }
    if (targets == nullptr) return {};
    ASSIGN_OR_RETURN(const auto volume, open_volume(mount->volume.to_string()));
    DiskTarget disk;
    disk.name = mount->name;
    disk.uuid = mount_uuid(mount->volume, mount->point.id);
    ASSIGN_OR_RETURN(disk.device, point_as_disk(volume, mount->point.id));
    TRY(targets->add(disk));
    const std::lock_guard lock(mutex_);
    mount->offered = true;
    return {};
  };
  const Status done = add();
  const std::lock_guard lock(mutex_);
  mount->problem = done.ok() ? "" : done.error().message();
  return done;
}

VolumeMount VolumeService::view_of(const std::shared_ptr<Mount>& mount) {
  VolumeMount out;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (mount->offered) targets = targets_;
    out.problem = mount->problem;
  }
  out.name = mount->name;
  out.point = {mount->volume, mount->volume_name, mount->point, mount->name};
  if (targets != nullptr) {
    out.target = targets->iqn_of(mount->name);
    out.sessions = targets->sessions_of(mount->name);
  }
  return out;
}

Result<VolumeMount> VolumeService::mount(const std::string& point, const std::string& name) {
  const std::lock_guard making(making_);
  ASSIGN_OR_RETURN(const FoundPoint found, resolve_point(point));
  const std::lock_guard life(found.entry->life);
  TRY(check_name(name));
  const VolumePoint now = view_of(found.entry, found.point);
  if (!now.mounted.empty()) {
    return Error(ErrorCode::exists, point + " is mounted as " + now.mounted + " already");
  }
  TRY(found.volume->set_properties(
      {{std::string(kVolumeMount) + found.point.id.to_string(), name}}));
  auto mount = std::make_shared<Mount>();
  mount->name = name;
  mount->volume = found.entry->uuid;
  mount->volume_name = found.entry->name;
  mount->point = found.point;
  {
    const std::lock_guard lock(mutex_);
    mounts_[lower_case(name)] = mount;
  }
  if (const Status offered = offer_mount(mount); !offered.ok()) {
    {
      const std::lock_guard lock(mutex_);
      mounts_.erase(lower_case(name));
    }
    const Status undone = found.volume->set_properties(
        {{std::string(kVolumeMount) + found.point.id.to_string(), ""}});
    if (!undone.ok()) log_warning("volumes", "unmount", {{"error", undone.error().message()}});
    return offered.error();
  }
  log_info("volumes", "recovery point mounted", {{"point", point}, {"name", name}});
  return view_of(mount);
}

Status VolumeService::unmount(const std::string& name, bool force) {
  std::shared_ptr<Mount> mount;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto at = mounts_.find(lower_case(name));
    if (at == mounts_.end()) {
      return Error(ErrorCode::not_found, "no recovery point is mounted as " + name);
    }
    mount = at->second;
    if (mount->offered) targets = targets_;
  }
  ASSIGN_OR_RETURN(const EntryPtr entry, find(mount->volume.to_string()));
  const std::lock_guard life(entry->life);
  if (targets != nullptr) {
    if (!force && targets->sessions_of(mount->name) > 0) {
      return Error(ErrorCode::busy, "initiators are logged in to " + mount->name);
    }
    const Status removed = targets->remove(mount->name);
    if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed;
  }
  {
    const std::lock_guard lock(mutex_);
    mounts_.erase(lower_case(name));
  }
  const std::string property = std::string(kVolumeMount) + mount->point.id.to_string();
  return set_properties(entry->uuid.to_string(), {{property, ""}});
}

std::vector<VolumeMount> VolumeService::mounts() {
  std::vector<std::shared_ptr<Mount>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, mount] : mounts_) all.push_back(mount);
  }
  std::vector<VolumeMount> out;
  for (const auto& mount : all) out.push_back(view_of(mount));
  return out;
}

}  // namespace coldshelf
