// Volumes that go: deleted, or to another gateway. The order decides what a crash leaves: a volume
// that is marked is removed by the next start.
#include "base/log.h"
#include "gateway/volume_entry.h"
#include "volume/map_file.h"

namespace coldshelf {

namespace {

constexpr int kLetGoTries = 100;
constexpr int64_t kLetGoMs = 20;
constexpr int64_t kRemovalWaitMs = 20'000;  // then it goes on behind the caller's back

// For a volume that is not open.
Status mark_closed(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(const auto log, ManifestLog::open(files, join_path(directory, "manifest")));
  return log->commit({SetProperty{std::string(kVolumeDeleting), "true"}});
}

Status remove_files(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(const bool there, files.exists(directory));
  if (!there) return {};
  ASSIGN_OR_RETURN(const auto names, files.list(directory));
  // The manifest goes last: without it nobody knows what the rest is.
  for (const std::string& name : names) {
    if (name != "manifest") TRY(files.remove(join_path(directory, name)));
  }
  TRY(files.sync_directory(directory));
  for (const std::string& name : names) {
    if (name == "manifest") TRY(files.remove(join_path(directory, name)));
  }
  TRY(files.remove_directory(directory));
  return files.sync_directory(parent_directory(directory));
}

}  // namespace

// Neither clones nor mounts.
Status VolumeService::check_not_stood_on(const EntryPtr& entry, const Manifest& manifest) {
  const auto hold = manifest.properties.lower_bound(std::string(kPropertyHold));
  if (hold != manifest.properties.end() && hold->first.starts_with(kPropertyHold)) {
    return Error(ErrorCode::conflict, "volume " + entry->name + " has clones (" +
                                          hold->first.substr(kPropertyHold.size()) +
                                          ") that share its data; delete them first");
  }
  return check_not_mounted(entry);
}

Status VolumeService::check_not_mounted(const EntryPtr& entry) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, mount] : mounts_) {
    if (mount->volume != entry->uuid) continue;
    return Error(ErrorCode::busy, "a recovery point of volume " + entry->name + " is mounted as " +
                                      mount->name + "; unmount it first");
  }
  return {};
}

Result<std::shared_ptr<Volume>> VolumeService::take_open(const EntryPtr& entry,
                                                         const std::string& status, bool force) {
  TRY(withdraw(entry, force));
  // Those who only look let go soon; exports and mounts do not.
  for (int i = 0; i < kLetGoTries; ++i) {
    {
      const std::lock_guard lock(mutex_);
      if (!entry->volume || entry->volume.use_count() == 1) {
        std::shared_ptr<Volume> taken = std::move(entry->volume);
        entry->volume.reset();
        entry->status = status;
        if (taken) entry->known = taken->manifest();
        return taken;
      }
    }
    env_.volume.cartridge.clock->sleep_ms(kLetGoMs);
  }
  TRY(offer(entry));
  return Error(ErrorCode::busy, "volume " + entry->name + " is being worked on");
}

Status VolumeService::remove(const std::string& volume, bool force) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find(volume));
  release_clones_gone_elsewhere(entry);
  const std::lock_guard life(entry->life);
  settle(entry);
  // Before anything says that it is going: what a job refuses must stay as it is. An import that is
  // given up is forced: the job is its own.
  if (entry->archive || !force) TRY(check_idle(entry));
  TRY(check_deletable(entry));
  if (const Status ours = check_ours(entry); !ours.ok()) {
    return Error(ErrorCode::conflict, entry->name + " is " + ours.error().context +
                                          "; `volume forget` removes what is here");
  }
  Manifest manifest;
  bool closed = false;
  bool shelved = false;  // as it should be
  {
    const std::lock_guard lock(mutex_);
    closed = entry->volume == nullptr;
    shelved = entry->status == to_string(TapeStatus::archived) ||
              entry->status == to_string(TapeStatus::retrieved);
    if (closed && !shelved && entry->status != "FAILED" && entry->status != "DELETING" &&
        entry->status != to_string(TapeStatus::irrecoverable)) {
      return Error(ErrorCode::conflict, "volume " + entry->name + " is " + entry->status);
    }
    manifest = closed ? entry->known : entry->volume->manifest();
  }
  if (closed && !shelved && !force) {
    return Error(ErrorCode::conflict, "volume " + entry->name +
                                          " is not open; with force it is deleted all the same, "
                                          "with what may still be on it");
  }
  TRY(check_not_stood_on(entry, manifest));
  // 1. Nobody writes to it any more.
  ASSIGN_OR_RETURN(auto open, take_open(entry, "DELETING", force));
  // 2. From here on it is going, whatever happens.
  const Status marked = open && open->failure().ok()
                            ? open->set_properties({{std::string(kVolumeDeleting), "true"}})
                            : mark_closed(*env_.volume.cartridge.files, entry->directory);
  const Status sealed = open && env_.shelf != nullptr ? open->close() : Status();
  open.reset();
  if (!marked.ok() && !force) {
    const Status again = reopen(entry);
    if (!again.ok()) log_error("volumes", "reopen", {{"error", again.error().message()}});
    return marked;
  }
  if (!sealed.ok()) {
    log_warning("volumes", "a volume that goes was not closed",
                {{"name", entry->name}, {"error", sealed.error().message()}});
  }
  if (env_.shelf != nullptr) return begin_removal(entry);
  return finish_removal(entry);
}

// 3. What stands in the store and on the disk goes, as a job of the shelf. The point that a clone
// stands on is free when that has ended: its source remembers that it waits for it.
Status VolumeService::begin_removal(const EntryPtr& entry) {
  const auto begin = [&]() -> Status {
    if (!entry->known.parent.is_nil()) {
      const auto parent = open_volume(entry->known.parent.to_string());
      const std::string hold = std::string(kPropertyHold) + entry->uuid.to_string();
      if (parent.ok() && (*parent)->manifest().properties.contains(hold)) {
        TRY((*parent)->set_properties(
            {{std::string(kVolumeReleasing) + entry->uuid.to_string(), "true"}}));
      }
    }
    ASSIGN_OR_RETURN(const auto row, row_of(entry->uuid));
    if (!row) return {};
    if (row->status == TapeStatus::deleting) return {};  // its job is under way
    ASSIGN_OR_RETURN(const int64_t job, env_.shelf->remove(entry->uuid));
    const auto ended = env_.shelf->wait(job, kRemovalWaitMs);
    if (ended.ok() && ended->state == JobState::failed) {
      return Error(ErrorCode::io, "volume " + entry->name + ": " + ended->error);
    }
    return {};
  }();
  if (!begin.ok()) {
    const std::lock_guard lock(mutex_);
    entry->problem = begin.error().message();
    return begin;
  }
  return finish_removal(entry);
}

// entry's life is held, the volume is marked and closed. 4. What the disk remembers.
Status VolumeService::finish_removal(const EntryPtr& entry) {
  const auto done = [&]() -> Status {
    if (env_.shelf != nullptr) {
      ASSIGN_OR_RETURN(const auto row, row_of(entry->uuid));
      if (row) return {};  // tick() looks again
      release_clones();
    } else if (!entry->known.parent.is_nil()) {
      const auto parent = open_volume(entry->known.parent.to_string());
      if (!parent.ok() && parent.error().code != ErrorCode::not_found) return parent.error();
      if (parent.ok()) {
        const Status released = (*parent)->release_clone(entry->uuid);
        if (!released.ok() && released.error().code != ErrorCode::not_found) return released;
      }
    }
    if (env_.forget && !entry->archive) TRY(env_.forget(entry->name));
    FileSystem& files = *env_.volume.cartridge.files;
    TRY(remove_files(files, entry->directory));
    TRY(remove_files(files, join_path(env_.units, entry->uuid.to_string())));
    const std::lock_guard lock(mutex_);
    entries_.erase(entry->uuid);
    log_info("volumes", "volume removed", {{"name", entry->name}});
    return {};
  }();
  if (!done.ok()) {
    const std::lock_guard lock(mutex_);
    entry->problem = done.error().message();
  }
  return done;
}

// Clones that are gone give the points free that they stood on.
void VolumeService::release_clones() {
  for (const auto& volume : open_volumes()) {
    const Manifest manifest = volume->manifest();
    const std::string prefix(kVolumeReleasing);
    for (auto at = manifest.properties.lower_bound(prefix);
         at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
      const auto clone = Uuid::parse(at->first.substr(prefix.size()));
      if (!clone) continue;
      const auto row = row_of(*clone);
      if (!row.ok() || *row) continue;
      Status done = volume->release_clone(*clone);
      if (done.ok() || done.error().code == ErrorCode::not_found) {
        done = volume->set_properties({{at->first, ""}});
      }
      if (done.ok()) continue;
      log_warning("volumes", "a recovery point stays held by a clone that is gone",
                  {{"volume", volume->name()}, {"error", done.error().message()}});
    }
  }
}

// A clone that another gateway had when it was deleted is here no more, and in the store no more:
// then what it held is free. Asked when somebody wants what is held. Under making_, so that no
// clone is half made; and the store must be the one that this volume lies in.
void VolumeService::release_clones_gone_elsewhere(const EntryPtr& entry) {
  std::shared_ptr<Volume> volume;
  {
    const std::lock_guard lock(mutex_);
    volume = entry->volume;
  }
  if (!volume || clones_of(volume->manifest()).empty()) return;
  const std::lock_guard making(making_);
  const auto gone = [&](const Uuid& clone) -> Result<bool> {
    {
      const std::lock_guard lock(mutex_);
      if (entries_.contains(clone)) return false;
    }
    ASSIGN_OR_RETURN(const auto row, row_of(clone));
    ASSIGN_OR_RETURN(const bool here,
                     env_.volume.cartridge.files->exists(join_path(path_of(clone), "manifest")));
    if (row || here) return false;
    if (env_.shelf == nullptr) return true;  // it was never made
    ASSIGN_OR_RETURN(const bool ours, env_.shelf->store_has(entry->uuid));
    if (!ours) return false;
    ASSIGN_OR_RETURN(const bool there, env_.shelf->store_has(clone));
    return !there;
  };
  for (const Uuid& clone : clones_of(volume->manifest())) {
    const Result<bool> is_gone = gone(clone);
    const Status done = !is_gone.ok() ? Status(is_gone.error())
                        : *is_gone    ? volume->release_clone(clone)
                                      : Status();
    if (!done.ok()) {
      log_warning("volumes", "whether a clone is gone cannot be told",
                  {{"volume", entry->name}, {"error", done.error().message()}});
    } else if (*is_gone) {
      log_info("volumes", "a clone that was deleted elsewhere holds nothing any more",
               {{"volume", entry->name}, {"clone", clone.to_string()}});
    }
  }
}

bool VolumeService::tick() {
  std::vector<EntryPtr> going;
  std::vector<EntryPtr> failed;
  for (const auto& volume : open_volumes()) volume->go_on();
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    for (const auto& [uuid, entry] : entries_) {
      if (entry->volume != nullptr) continue;
      if (entry->status == "DELETING" || entry->status == "DETACHING" ||
          is_in_transit(entry->status)) {
        going.push_back(entry);
      } else if (entry->status == "FAILED" && entry->open_again_ms != 0 &&
                 env_.volume.cartridge.clock->unix_ms() >= entry->open_again_ms) {
        failed.push_back(entry);
      }
    }
  }
  // The disk was full, or the store did not answer, when they were to be opened.
  for (const EntryPtr& entry : failed) {
    const std::unique_lock life(entry->life, std::try_to_lock);
    if (!life) continue;
    {
      const std::lock_guard lock(mutex_);
      if (stopped_ || entry->volume || entry->status != "FAILED") continue;
    }
    static_cast<void>(reopen(entry).ok());  // it says what is wrong
  }
  for (const EntryPtr& entry : going) {
    const std::unique_lock life(entry->life, std::try_to_lock);
    if (!life) continue;  // somebody is at it
    std::string status;
    {
      const std::lock_guard lock(mutex_);
      status = entry->status;
    }
    if (status == "DETACHING") {
      settle_detach(entry);
    } else if (is_in_transit(status)) {
      settle(entry);
    } else {
      // It has said what is wrong, in the entry.
      static_cast<void>(
          (env_.shelf != nullptr ? begin_removal(entry) : finish_removal(entry)).ok());
    }
  }
  return !going.empty();
}

Result<uint64_t> VolumeService::set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                                const WrappedKey& after) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find(uuid.to_string()));
  const std::lock_guard life(entry->life);
  std::shared_ptr<Volume> open;
  {
    const std::lock_guard lock(mutex_);
    open = entry->volume;
  }
  if (open) {
    TRY(open->set_wrapped_key(before, after));
    return open->manifest().generation;
  }
  TRY(check_idle(entry));  // jobs write manifests, too
  ASSIGN_OR_RETURN(const auto log, ManifestLog::open(*env_.volume.cartridge.files,
                                                     join_path(entry->directory, "manifest")));
  if (log->manifest().key != before) {
    return Error(ErrorCode::busy, "volume " + entry->name + " has another key by now");
  }
  TRY(log->commit({SetWrappedKey{after}}));
  if (CartridgeObserver* observer = env_.volume.cartridge.observer; observer != nullptr) {
    observer->manifest_changed(log->manifest());
  }
  const std::lock_guard lock(mutex_);
  entry->known = log->manifest();
  return log->manifest().generation;
}

// -- to another gateway

Result<int64_t> VolumeService::detach(const std::string& volume, bool force) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(volume));
  release_clones_gone_elsewhere(entry);
  const std::lock_guard life(entry->life);
  if (entry->archive) TRY(check_idle(entry));
  Manifest manifest;
  {
    ASSIGN_OR_RETURN(const auto open, open_volume(volume));
    manifest = open->manifest();
  }
  TRY(check_not_stood_on(entry, manifest));
  // Closed first: what is not sealed would not go into the store.
  ASSIGN_OR_RETURN(auto open, take_open(entry, "DETACHING", force));
  const Status closed = open->close();
  if (!closed.ok() && open->failure().ok()) {  // the disk is full: it stays as it is
    {
      const std::lock_guard lock(mutex_);
      entry->volume = std::move(open);
      entry->status = "AVAILABLE";
    }
    TRY(offer(entry));
    return closed.error();
  }
  open.reset();
  const auto begin = [&]() -> Result<int64_t> {
    TRY(closed);
    return env_.shelf->detach(entry->uuid);
  };
  auto job = begin();
  if (!job.ok()) {
    const Status again = reopen(entry);
    if (!again.ok()) log_error("volumes", "reopen", {{"error", again.error().message()}});
    return job;
  }
  log_info("volumes", "volume detaching", {{"name", entry->name}, {"job", *job}});
  return job;
}

// entry's life is held.
void VolumeService::settle_detach(const EntryPtr& entry) {
  const auto row = row_of(entry->uuid);
  if (!row.ok() || (*row && (*row)->status == TapeStatus::detaching)) return;
  if (*row && !check_idle(entry).ok()) return;  // its job is just ending
  if (*row) {                                   // cancelled, or failed
    static_cast<void>(reopen(entry).ok());
    return;
  }
  const Status gone =
      remove_files(*env_.volume.cartridge.files, join_path(env_.units, entry->uuid.to_string()));
  if (!gone.ok()) log_warning("volumes", "detach", {{"error", gone.error().message()}});
  log_info("volumes", "volume detached", {{"name", entry->name}});
  const std::lock_guard lock(mutex_);
  entries_.erase(entry->uuid);
}

Status VolumeService::check_ours(const EntryPtr& entry) {
  return env_.shelf != nullptr ? env_.shelf->check_owned(entry->uuid) : Status();
}

// One that another gateway took over is served, read-only, until something else comes of it: `work`
// makes that of it while nobody has it. After a failure it is as it was.
Status VolumeService::replace_stale(const EntryPtr& entry, bool force,
                                    const std::function<Status()>& work) {
  const std::lock_guard life(entry->life);
  TRY(check_not_mounted(entry));
  std::string status;
  {
    const std::lock_guard lock(mutex_);
    status = entry->status;
  }
  bool was_open = false;
  {
    ASSIGN_OR_RETURN(const auto taken, take_open(entry, status, force));
    was_open = taken != nullptr;
  }
  Status done = work();
  if (!done.ok()) {
    if (was_open) static_cast<void>(reopen(entry, status).ok());  // it says what is wrong
    return done;
  }
  const std::lock_guard lock(mutex_);
  entries_.erase(entry->uuid);
  return {};
}

Result<VolumeView> VolumeService::attach(const Shelf::AttachRequest& request) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  const std::lock_guard making(making_);
  if (env_.storage) TRY(env_.storage());
  std::optional<TapeRow> row;
  const auto attach = [&]() -> Status {
    ASSIGN_OR_RETURN(row, env_.shelf->attach(request));
    return {};
  };
  if (const Result<EntryPtr> stale = find(request.image); stale.ok()) {
    const Status ours = env_.shelf->look_at_owner((*stale)->uuid);
    if (ours.ok()) {
      return Error(ErrorCode::exists, "volume " + (*stale)->name + " is attached here");
    }
    if (ours.error().code != ErrorCode::write_protected) return ours.error();
    TRY(replace_stale(*stale, request.force, attach));
  } else {
    if (!Uuid::parse(request.image)) TRY(check_name(request.image));
    TRY(attach());
  }
  const EntryPtr entry = open_one(row->uuid);
  if (entry == nullptr) {
    return Error(ErrorCode::internal, "volume " + row->barcode + " came without a manifest");
  }
  log_info("volumes", "volume attached", {{"name", entry->name}});
  return view(entry);
}

Status VolumeService::forget(const std::string& volume, bool force) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const EntryPtr entry, find(volume));
  return replace_stale(entry, force, [&]() -> Status {
    TRY(env_.shelf->forget(entry->uuid, force));
    if (env_.forget && !entry->archive) TRY(env_.forget(entry->name));
    return remove_files(*env_.volume.cartridge.files,
                        join_path(env_.units, entry->uuid.to_string()));
  });
}

Result<std::vector<DetachedImage>> VolumeService::detached() {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  return env_.shelf->detached_images();
}

}  // namespace coldshelf
