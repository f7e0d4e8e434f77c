// Volumes: making, opening, offering and removing them.
#include "gateway/volume_service.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "gateway/units.h"
#include "gateway/volume_entry.h"
#include "tape/format/image_frame.h"
#include "uploader/bucket_scan.h"
#include "volume/map_file.h"

namespace coldshelf {

namespace {

constexpr int64_t kDroppedLookMs = 250;
constexpr int64_t kOpenAgainMs = 10'000;
constexpr int64_t kDroppedTimeoutMs = 15 * 60'000;
constexpr size_t kMaxIscsiName = 223;  // RFC 7143 4.2.7.1, bytes

// `larger`: what who has small blocks can do.
Status check_block_count(uint64_t size_bytes, uint32_t block_bytes, const std::string& larger) {
  if (size_bytes / block_bytes <= kMaxImageBlocks) return {};
  return Error(ErrorCode::out_of_range, "a volume with blocks of " + std::to_string(block_bytes) +
                                            " bytes has at most " +
                                            format_size(kMaxImageBlocks * block_bytes) +
                                            (block_bytes == 512 ? "; " + larger : ""));
}

bool is_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= kMaxVolumeName && name.front() != '-' &&
         name.front() != '.' && std::all_of(name.begin(), name.end(), good);
}

}  // namespace

VolumeService::VolumeService(Env env) : env_(std::move(env)) {}

VolumeService::~VolumeService() {
  const Status stopped = stop();
  if (stopped.ok()) return;
  log_error("volumes", "stop", {{"error", stopped.error().message()}});
}

std::string VolumeService::path_of(const Uuid& uuid) const {
  return join_path(env_.directory, uuid.to_string());
}

Result<std::string> VolumeService::stored_directory_of(const Uuid& image) {
  if (env_.shelf != nullptr) return env_.shelf->stored_image_directory(image);
  return ImageDirectory::stored_directory_of(image);
}

Result<std::string> VolumeService::directory_of(const Uuid& image) {
  if (env_.shelf != nullptr) return env_.shelf->image_directory(image);
  const std::string path = path_of(image);
  ASSIGN_OR_RETURN(const bool there, env_.volume.cartridge.files->exists(path));
  if (there) return path;
  return Error(ErrorCode::not_found, "this gateway has no image " + image.to_string());
}

VolumeEnv VolumeService::volume_env() {
  VolumeEnv env = env_.volume;
  env.images = this;
  if (env_.catalog != nullptr) {
    env.wait_dropped = [this](const Uuid& uuid) { return wait_dropped(uuid); };
  }
  return env;
}

// A segment's row goes when the store has deleted the object.
Status VolumeService::wait_dropped(const Uuid& uuid) {
  Clock& clock = *env_.volume.cartridge.clock;
  const int64_t begin_ns = clock.monotonic_ns();
  while (true) {
    ASSIGN_OR_RETURN(const Buffer image,
                     env_.volume.cartridge.files->read_file(join_path(path_of(uuid), "manifest")));
    ASSIGN_OR_RETURN(const ReplayedManifest replayed, decode_manifest(image, true));
    std::set<std::pair<uint64_t, uint64_t>> named;
    for (const Partition& partition : replayed.manifest.partitions) {
      for (const SegmentEntry& e : partition.segments) named.insert({e.sequence, e.epoch});
    }
    ASSIGN_OR_RETURN(const auto rows, env_.catalog->segments(uuid));
    const bool gone = std::all_of(rows.begin(), rows.end(), [&](const SegmentRow& row) {
      return named.contains({row.sequence, row.epoch});
    });
    {
      // The shelf remembers what it has to delete, and goes on at the next start.
      const std::lock_guard lock(mutex_);
      if (gone || stopped_) return {};
    }
    if (clock.monotonic_ns() - begin_ns > kDroppedTimeoutMs * 1'000'000) {
      return Error(ErrorCode::unavailable, "the store has not deleted what was erased");
    }
    clock.sleep_ms(kDroppedLookMs);
  }
}

// -- what there is at the start

Status VolumeService::open_all() {
  FileSystem& files = *env_.volume.cartridge.files;
  ASSIGN_OR_RETURN(const bool there, files.exists(env_.directory));
  if (!there) return {};
  ASSIGN_OR_RETURN(const auto names, files.list(env_.directory));
  std::vector<Uuid> found;
  for (const std::string& name : names) {
    if (const auto uuid = Uuid::parse(name)) found.push_back(*uuid);
  }
  return in_parallel(env_.open_at_once, found.size(), [&](size_t i) -> Status {
    open_one(found[i]);  // it says what is wrong
    return {};
  });
}

Result<std::optional<TapeRow>> VolumeService::row_of(const Uuid& uuid) {
  if (env_.catalog == nullptr) return std::optional<TapeRow>();
  return env_.catalog->tape(uuid);
}

// Null: it is no volume.
VolumeService::EntryPtr VolumeService::open_one(const Uuid& uuid) {
  const std::string path = path_of(uuid);
  auto image = env_.volume.cartridge.files->read_file(join_path(path, "manifest"));
  // Without a manifest nothing tells that it is a volume: what a cut short creation or removal
  // left.
  if (!image.ok()) return nullptr;
  auto replayed = decode_manifest(*image, true);
  if (!replayed.ok() || replayed->manifest.kind != CartridgeKind::image) return nullptr;
  const Manifest& manifest = replayed->manifest;
  if (manifest.uuid != uuid) return nullptr;
  auto entry = std::make_shared<Entry>(manifest, path);
  entry->known = manifest;
  const auto row = row_of(uuid);
  const bool going = !property_or(manifest, kVolumeDeleting, "").empty() ||
                     !property_or(manifest, kVolumeImporting, "").empty();
  if (!row.ok()) {
    entry->status = "FAILED";
    entry->problem = row.error().message();
  } else if (going) {
    entry->status = "DELETING";
  } else if (*row && (*row)->status != TapeStatus::available) {
    entry->status = std::string(to_string((*row)->status));
  }
  {
    const std::lock_guard lock(mutex_);
    entries_[uuid] = entry;
  }
  const std::lock_guard life(entry->life);
  const std::string status = entry->status;
  if (status == to_string(TapeStatus::archived)) {
    const bool busy = !check_idle(entry).ok();
    const std::lock_guard lock(mutex_);
    entry->moving = busy;
  }
  if (status == "AVAILABLE" || status == to_string(TapeStatus::retrieved)) {
    static_cast<void>(reopen(entry, status).ok());  // it says what is wrong
  }
  return entry;
}

// entry's life is held.
Status VolumeService::reopen(const EntryPtr& entry, const std::string& status) {
  auto opened = Volume::open(volume_env(), env_.options, entry->directory);
  if (!opened.ok()) {
    log_error("volumes", "volume cannot be opened",
              {{"name", entry->name}, {"error", opened.error().message()}});
    const Disposition why = opened.error().disposition;
    const bool passes = why == Disposition::no_space || why == Disposition::retry;
    const std::lock_guard lock(mutex_);
    // One whose restored copies have expired is whole, and retrieved again.
    entry->status = opened.error().code == ErrorCode::cold ? status : "FAILED";
    entry->problem = opened.error().message();
    entry->open_again_ms =
        passes ? env_.volume.cartridge.clock->unix_ms() + kOpenAgainMs : int64_t{0};
    return opened.error();
  }
  std::shared_ptr<Volume> volume = std::move(*opened);
  {
    const std::lock_guard lock(mutex_);
    entry->volume = volume;
    entry->status = status;
    entry->problem.clear();
  }
  // Asked behind that, so that whoever takes it over in between is not missed.
  if (env_.writable) {
    if (const Status may = env_.writable(entry->uuid); !may.ok()) volume->stop_writes(may.error());
  }
  log_info("volumes", "volume open", {{"name", entry->name}, {"uuid", entry->uuid.to_string()}});
  restore_mounts(entry);
  return offer(entry);
}

void VolumeService::attach_targets(VolumeTargets* targets) {
  std::vector<EntryPtr> entries;
  std::vector<std::shared_ptr<Mount>> mounts;
  {
    const std::lock_guard lock(mutex_);
    targets_ = targets;
    for (const auto& [uuid, entry] : entries_) entries.push_back(entry);
    for (const auto& [name, mount] : mounts_) mounts.push_back(mount);
  }
  for (const EntryPtr& entry : entries) {
    const std::lock_guard life(entry->life);
    const Status offered = offer(entry);
    if (offered.ok()) continue;
    log_error("volumes", "volume has no target",
              {{"name", entry->name}, {"error", offered.error().message()}});
  }
  for (const auto& mount : mounts) {
    const Status offered = offer_mount(mount);
    if (offered.ok()) continue;
    log_error("volumes", "mounted recovery point has no target",
              {{"name", mount->name}, {"error", offered.error().message()}});
  }
}

// -- targets; entry's life is held

Status VolumeService::offer(const EntryPtr& entry) {
  DiskTarget disk;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    targets = targets_;
    if (targets == nullptr || entry->offered || entry->volume == nullptr || entry->archive ||
        entry->status != "AVAILABLE") {
      return {};
    }
    disk = {entry->name, entry->uuid, entry->volume,
            join_path(env_.units, entry->uuid.to_string())};
  }
  const Status added = targets->add(disk);
  const std::lock_guard lock(mutex_);
  entry->offered = added.ok();
  entry->problem = added.ok() ? "" : "its target is not there: " + added.error().message();
  return added;
}

Status VolumeService::withdraw(const EntryPtr& entry, bool force) {
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!entry->offered) return {};
    targets = targets_;
  }
  if (const size_t users = targets->sessions_of(entry->name); users > 0 && !force) {
    return Error(ErrorCode::busy, "volume " + entry->name + " is in use by " +
                                      std::to_string(users) + " initiator session" +
                                      (users == 1 ? "" : "s") + "; log out, or use force");
  }
  const Status removed = targets->remove(entry->name);
  const std::lock_guard lock(mutex_);
  entry->offered = false;  // busy: the target is gone, a command still has the disk
  if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed;
  return {};
}

// -- making them

Status VolumeService::check_name(const std::string& name, bool archive) {
  if (!is_name(name)) {
    return Error(ErrorCode::invalid_argument,
                 "'" + name + "' is no name of a volume: 1 to " + std::to_string(kMaxVolumeName) +
                     " letters, digits, '-' and '.', and a letter or digit in front");
  }
  if (volume_iqn(env_.gateway_name, name).size() > kMaxIscsiName) {
    return Error(ErrorCode::invalid_argument, "the name " + name + " is too long for a target");
  }
  const std::string wanted = lower_case(name);
  const std::lock_guard lock(mutex_);
  if (stopped_) return Error(ErrorCode::not_ready, "the gateway is stopping");
  const auto kept =
      static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [&](const auto& known) {
        return known.second->archive == archive;
      }));
  if (archive ? kept >= kMaxArchives : kept + mounts_.size() >= kMaxVolumes) {
    return Error(ErrorCode::conflict,
                 "a gateway has at most " + (archive ? std::to_string(kMaxArchives) + " archives"
                                                     : std::to_string(kMaxVolumes) + " volumes"));
  }
  for (const auto& [uuid, entry] : entries_) {
    if (lower_case(entry->name) != wanted) continue;
    return Error(ErrorCode::exists, std::string("there is ") +
                                        (entry->archive ? "an archive " : "a volume ") +
                                        entry->name + " already");
  }
  if (!mounts_.contains(wanted)) return {};
  return Error(ErrorCode::exists, "a recovery point is mounted as " + name);
}

Status VolumeService::check_request(const CreateRequest& request) {
  if (request.block_bytes != 512 && request.block_bytes != 4096) {
    return Error(ErrorCode::invalid_argument, "blocks are of 512 or 4096 bytes");
  }
  if (request.size_bytes < kMinVolumeBytes || request.size_bytes > kMaxVolumeBytes ||
      request.size_bytes % request.block_bytes != 0) {
    return Error(ErrorCode::out_of_range,
                 "a volume of " + std::to_string(request.size_bytes) +
                     " bytes cannot be made: sizes are multiples of the block from " +
                     format_size(kMinVolumeBytes) + " to " + format_size(kMaxVolumeBytes));
  }
  TRY(check_block_count(request.size_bytes, request.block_bytes, "make it with --block-size 4096"));
  if (request.mode != "cached" && request.mode != "stored") {
    return Error(ErrorCode::invalid_argument, "the mode is 'cached' or 'stored'");
  }
  return {};
}

VolumeService::EntryPtr VolumeService::enter(std::shared_ptr<Volume> volume) {
  auto entry = std::make_shared<Entry>(volume->manifest(), path_of(volume->uuid()));
  entry->volume = std::move(volume);
  const std::lock_guard lock(mutex_);
  entries_[entry->uuid] = entry;
  return entry;
}

Result<VolumeService::EntryPtr> VolumeService::make(
    const CreateRequest& request, const std::map<std::string, std::string>& more) {
  TRY(check_request(request));
  TRY(check_name(request.name, more.contains(std::string(kPropertyEbsSource))));
  if (env_.storage) TRY(env_.storage());
  NewVolume what;
  what.uuid = Uuid::generate(*env_.volume.cartridge.random);
  what.name = request.name;
  what.size_bytes = request.size_bytes;
  what.block_bytes = request.block_bytes;
  what.properties = more;
  what.properties[std::string(kPropertyMode)] = request.mode;
  auto made = Volume::create(volume_env(), env_.options, path_of(what.uuid), what);
  if (!made.ok()) {
    Error why = std::move(made).error();
    why.context = "making volume " + request.name + ": " + why.context;
    return why;
  }
  // A crash behind this leaves a volume that Shelf::reconcile enters.
  const EntryPtr entry = enter(std::move(*made));
  TRY(adopt(*entry->volume));
  return entry;
}

Status VolumeService::adopt(const Volume& volume) {
  if (env_.shelf == nullptr) return {};
  const Manifest manifest = volume.manifest();
  return env_.shelf->adopt(manifest, property_or(manifest, "pool", ""), TapeStatus::available);
}

Result<VolumeView> VolumeService::create(const CreateRequest& request) {
  const std::lock_guard making(making_);
  ASSIGN_OR_RETURN(const EntryPtr entry, make(request, {}));
  const std::lock_guard life(entry->life);
  TRY(offer(entry));
  log_info("volumes", "volume made",
           {{"name", entry->name}, {"bytes", request.size_bytes}, {"mode", request.mode}});
  return view(entry);
}

// -- importing

Result<std::shared_ptr<Volume>> VolumeService::begin_import(const CreateRequest& request) {
  const std::lock_guard making(making_);
  ASSIGN_OR_RETURN(const EntryPtr entry, make(request, {{std::string(kVolumeImporting), "true"}}));
  const std::lock_guard lock(mutex_);
  entry->status = "IMPORTING";
  return entry->volume;
}

Status VolumeService::finish_import(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find(uuid.to_string()));
  const std::lock_guard life(entry->life);
  std::shared_ptr<Volume> volume;
  {
    const std::lock_guard lock(mutex_);
    volume = entry->volume;
  }
  if (!volume) return Error(ErrorCode::not_ready, "volume " + entry->name + " is not open");
  TRY(volume->flush());
  TRY(volume->set_properties({{std::string(kVolumeImporting), ""}}));
  {
    const std::lock_guard lock(mutex_);
    entry->status = "AVAILABLE";
  }
  return offer(entry);
}

Status VolumeService::abandon_import(const Uuid& uuid) { return remove(uuid.to_string(), true); }

// -- changing them

Result<VolumeView> VolumeService::resize(const std::string& volume, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_volume(volume));
  const std::lock_guard life(entry->life);
  ASSIGN_OR_RETURN(const auto open, open_volume(volume));
  if (size_bytes > kMaxVolumeBytes || size_bytes % open->block_bytes() != 0) {
    return Error(ErrorCode::out_of_range, "a volume cannot have " + std::to_string(size_bytes) +
                                              " bytes: a multiple of the block of at most " +
                                              format_size(kMaxVolumeBytes));
  }
  TRY(check_block_count(size_bytes, open->block_bytes(),
                        "one that is made with --block-size 4096 may be larger"));
  if (size_bytes < open->size_bytes()) {
    return Error(ErrorCode::out_of_range, "volume " + entry->name + " has " +
                                              format_size(open->size_bytes()) +
                                              "; a volume grows only");
  }
  TRY(open->resize(size_bytes));
  log_info("volumes", "volume resized", {{"name", entry->name}, {"bytes", size_bytes}});
  return view(entry);
}

Status VolumeService::set_properties(const std::string& volume,
                                     const std::map<std::string, std::string>& values) {
  ASSIGN_OR_RETURN(const auto open, open_volume(volume));
  return open->set_properties(values);
}

Result<VolumeView> VolumeService::set_pinned(const std::string& volume, bool on) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(volume));
  TRY(set_properties(volume, {{std::string(kPinnedProperty), on ? "true" : ""}}));
  return view(entry);
}

Result<VolumeView> VolumeService::compact(const std::string& volume) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(volume));
  ASSIGN_OR_RETURN(const auto open, open_volume(volume));
  TRY(open->collect());
  return view(entry);
}

void VolumeService::stop_writes(const Uuid& uuid, const Error& why) {
  std::shared_ptr<Volume> volume;
  {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(uuid);
    if (at != entries_.end()) volume = at->second->volume;
  }
  if (volume) volume->stop_writes(why);
}

void VolumeService::stop_all_writes(const Error& why) {
  for (const auto& volume : open_volumes()) volume->stop_writes(why);
}

void VolumeService::segment_evicted(const Uuid& image, uint64_t sequence, uint64_t epoch) {
  for (const auto& volume : open_volumes()) volume->segment_evicted(image, sequence, epoch);
}

Status VolumeService::stop() {
  std::vector<EntryPtr> entries;
  std::vector<std::shared_ptr<Mount>> mounts;
  VolumeTargets* targets = nullptr;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    std::swap(targets, targets_);
    for (const auto& [uuid, entry] : entries_) entries.push_back(entry);
    mounts_.clear();
  }
  Status first;
  for (const EntryPtr& entry : entries) {
    const std::lock_guard life(entry->life);
    const Status closed = close(entry);
    if (!closed.ok() && first.ok()) first = closed;
  }
  return first;
}

Status VolumeService::close(const EntryPtr& entry) {
  std::shared_ptr<Volume> volume;
  {
    const std::lock_guard lock(mutex_);
    volume = entry->volume;
  }
  if (!volume) return {};
  const Status closed = volume->close();
  if (!closed.ok()) {
    log_error("volumes", "volume closed with an error",
              {{"name", entry->name}, {"error", closed.error().message()}});
  }
  Manifest known = volume->manifest();
  const std::lock_guard lock(mutex_);
  entry->known = std::move(known);
  entry->volume.reset();
  return closed;
}

}  // namespace coldshelf
