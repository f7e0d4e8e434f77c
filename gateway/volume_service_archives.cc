// Archives of EBS snapshots: images that have no target, that pulls alone write to, and that go to
// the shelf and come back as tapes do.
#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "gateway/volume_entry.h"

namespace coldshelf {

namespace {

constexpr uint32_t kEbsSectorBytes = 512;  // as EBS volumes have it
constexpr std::chrono::seconds kSettleWait{2};

std::string text_of(TapeStatus status) { return std::string(to_string(status)); }

}  // namespace

bool is_in_transit(const std::string& status) {
  return status == to_string(TapeStatus::in_transit_to_vts) ||
         status == to_string(TapeStatus::archiving) || status == to_string(TapeStatus::retrieving);
}

Result<VolumeService::Archive> VolumeService::create_archive(const CreateRequest& request,
                                                             const std::string& pool,
                                                             const Volume::Properties& properties) {
  const std::lock_guard making(making_);
  CreateRequest wanted = request;
  wanted.block_bytes = kEbsSectorBytes;
  Volume::Properties all = properties;
  all["pool"] = pool.empty() ? env_.default_pool : pool;
  if (env_.catalog != nullptr && !all["pool"].empty()) {
    ASSIGN_OR_RETURN(const auto known, env_.catalog->pool(all["pool"]));
    if (!known) return Error(ErrorCode::not_found, "there is no pool '" + all["pool"] + "'");
  }
  ASSIGN_OR_RETURN(const EntryPtr entry, make(wanted, all));
  log_info("volumes", "archive made",
           {{"name", entry->name}, {"bytes", request.size_bytes}, {"pool", all["pool"]}});
  return view_of_archive(entry);
}

VolumeService::Archive VolumeService::view_of_archive(const EntryPtr& entry) {
  Archive out;
  out.uuid = entry->uuid;
  out.name = entry->name;
  {
    const std::lock_guard lock(mutex_);
    out.image = entry->volume;
    if (!out.image) out.manifest = entry->known;
  }
  if (out.image) out.manifest = out.image->manifest();
  return out;
}

std::vector<VolumeService::Archive> VolumeService::archives() {
  std::vector<EntryPtr> entries;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [uuid, entry] : entries_) {
      if (entry->archive) entries.push_back(entry);
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const EntryPtr& a, const EntryPtr& b) { return a->name < b->name; });
  std::vector<Archive> out;
  for (const EntryPtr& entry : entries) {
    look_again(entry);
    out.push_back(view_of_archive(entry));
  }
  return out;
}

std::vector<VolumeService::ImageView> VolumeService::archive_views() { return look_at_all(true); }

Result<VolumeService::ImageView> VolumeService::archive_view(const std::string& archive) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_archive_entry(archive));
  return look(entry, nullptr);
}

Result<VolumeService::EntryPtr> VolumeService::find_archive_entry(const std::string& archive) {
  const auto entry = find(archive);
  if (entry.ok() && (*entry)->archive) {
    look_again(*entry);
    return entry;
  }
  if (!entry.ok() && entry.error().code != ErrorCode::not_found) return entry.error();
  return Error(ErrorCode::not_found, entry.ok()
                                         ? archive + " is a volume, not an archive of EBS snapshots"
                                         : "there is no archive " + archive);
}

Result<VolumeService::Archive> VolumeService::find_archive(const std::string& archive) {
  ASSIGN_OR_RETURN(const EntryPtr entry, find_archive_entry(archive));
  return view_of_archive(entry);
}

Result<VolumeService::Archive> VolumeService::open_archive(const std::string& archive) {
  TRY(find_archive_entry(archive));
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(archive));
  Archive out = view_of_archive(entry);
  if (out.image) return out;
  const std::lock_guard lock(mutex_);
  return not_open(*entry);
}

// -- the shelf

Status VolumeService::check_idle(const EntryPtr& entry) {
  if (env_.catalog == nullptr) return {};
  return env_.catalog->check_no_job(entry->uuid, ErrorCode::busy);
}

Status VolumeService::check_deletable(const EntryPtr& entry) {
  ASSIGN_OR_RETURN(const auto row, row_of(entry->uuid));
  if (!row || row->locked_until_ms <= env_.volume.cartridge.clock->unix_ms()) return {};
  return Error(ErrorCode::write_protected, entry->name + " is locked (" + row->lock_mode +
                                               ") until " + format_utc(row->locked_until_ms) +
                                               "; it cannot be deleted before");
}

Status VolumeService::check_lasting(const EntryPtr& entry) {
  {
    const std::lock_guard lock(mutex_);
    if (entry->status != text_of(TapeStatus::retrieved)) return {};
  }
  ASSIGN_OR_RETURN(const Shelf::Holdings held, env_.shelf->holdings(entry->uuid, {}));
  if (held.to_restore.empty() && held.readable_until_ms == 0) return {};
  return Error(ErrorCode::conflict,
               entry->name +
                   " was retrieved for some days only, and a clone, which shares its data, would "
                   "need it for longer; copy the point (`coldshelf volume copy`) to have a volume "
                   "of its own");
}

Result<int64_t> VolumeService::shelve(const std::string& archive, const std::string& pool) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const EntryPtr known, find_archive_entry(archive));
  if (cannot_be_opened(known)) return shelve_again(known, pool);
  TRY(open_archive(archive));
  ASSIGN_OR_RETURN(const EntryPtr entry, find_open(archive));
  const std::lock_guard life(entry->life);
  TRY(check_idle(entry));
  Manifest manifest;
  std::string before;
  {
    ASSIGN_OR_RETURN(const auto open, open_volume(archive));
    manifest = open->manifest();
    const std::lock_guard lock(mutex_);
    before = entry->status;
  }
  TRY(check_not_stood_on(entry, manifest));
  const std::string had = property_or(manifest, "pool", "");
  const std::string wanted = !pool.empty() ? pool : !had.empty() ? had : env_.default_pool;
  // Closed first: what is not sealed would not go into the store.
  ASSIGN_OR_RETURN(auto open, take_open(entry, text_of(TapeStatus::in_transit_to_vts), false));
  const Status closed = open->close();
  open.reset();
  const auto begin = [&]() -> Result<int64_t> {
    TRY(closed);
    if (wanted != had) TRY(env_.shelf->assign_pool(entry->uuid, wanted));
    return env_.shelf->archive(entry->uuid);
  };
  auto job = begin();
  if (!job.ok()) {
    static_cast<void>(reopen(entry, before).ok());  // it says what is wrong
    return job;
  }
  log_info("volumes", "archive goes to the shelf",
           {{"name", entry->name}, {"pool", wanted}, {"job", *job}});
  return job;
}

// A segment is lost; or an archival ended half-way, and it is in an archive class; or the restored
// copies have expired.
bool VolumeService::cannot_be_opened(const EntryPtr& entry) {
  const std::lock_guard lock(mutex_);
  if (entry->volume != nullptr) return false;
  if (entry->status == text_of(TapeStatus::irrecoverable)) return true;
  return !entry->problem.empty() && (entry->status == text_of(TapeStatus::available) ||
                                     entry->status == text_of(TapeStatus::retrieved));
}

// One that is closed and was written to its end: the archival begins, or goes on where it ended.
Result<int64_t> VolumeService::shelve_again(const EntryPtr& entry, const std::string& pool) {
  const std::lock_guard life(entry->life);
  TRY(check_idle(entry));
  if (!cannot_be_opened(entry)) {
    return Error(ErrorCode::busy, entry->name + " is being worked on");
  }
  const std::string had = property_or(entry->known, "pool", "");
  if (!pool.empty() && pool != had) {
    return Error(ErrorCode::conflict,
                 entry->name + " is not open; it goes to its own pool, " + had);
  }
  ASSIGN_OR_RETURN(const int64_t job, env_.shelf->archive(entry->uuid));
  const std::lock_guard lock(mutex_);
  entry->status = text_of(TapeStatus::in_transit_to_vts);
  entry->problem.clear();
  log_info("volumes", "archive goes to the shelf again", {{"name", entry->name}, {"job", job}});
  return job;
}

Result<int64_t> VolumeService::retrieve(const std::string& archive,
                                        const Shelf::RetrieveRequest& request) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const EntryPtr entry, find_archive_entry(archive));
  const std::lock_guard life(entry->life);
  settle(entry);
  TRY(check_idle(entry));
  ASSIGN_OR_RETURN(const int64_t job, env_.shelf->retrieve(entry->uuid, request));
  const std::lock_guard lock(mutex_);
  // One that is open stays open while more of it, or the same for longer, is retrieved.
  if (!entry->volume) {
    entry->status = text_of(TapeStatus::retrieving);
    entry->problem.clear();
  }
  return job;
}

Result<std::optional<int64_t>> VolumeService::reassign(const std::string& archive,
                                                       const std::string& pool, RestoreTier tier) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const EntryPtr entry, find_archive_entry(archive));
  ASSIGN_OR_RETURN(const auto known, env_.catalog->pool(pool));
  if (!known) return Error(ErrorCode::not_found, "there is no pool '" + pool + "'");
  const std::lock_guard life(entry->life);
  settle(entry);
  TRY(check_idle(entry));
  std::string before;
  {
    const std::lock_guard lock(mutex_);
    before = entry->status;
    if (!entry->volume && before != text_of(TapeStatus::archived)) return not_open(*entry);
  }
  if (before == text_of(TapeStatus::archived)) {
    ASSIGN_OR_RETURN(const int64_t job, env_.shelf->reassign(entry->uuid, pool, tier));
    const std::lock_guard lock(mutex_);
    entry->moving = true;
    return std::optional<int64_t>(job);
  }
  // Closed while its manifest is written, as a tape is out of the library meanwhile.
  ASSIGN_OR_RETURN(auto open, take_open(entry, before, false));
  Status assigned = open->close();
  open.reset();
  if (assigned.ok()) assigned = env_.shelf->assign_pool(entry->uuid, pool);
  const Status again = reopen(entry, before);
  TRY(assigned);
  TRY(again);
  log_info("volumes", "archive has another pool", {{"name", entry->name}, {"pool", pool}});
  return std::optional<int64_t>();
}

Status VolumeService::cancel_shelf_job(const Uuid& uuid) {
  if (env_.shelf == nullptr) return Error(ErrorCode::not_supported, "there is no store");
  ASSIGN_OR_RETURN(const auto job, env_.catalog->unfinished_job(uuid));
  if (job && job->kind == JobKind::archive) return env_.shelf->cancel_archive(uuid);
  if (job && job->kind == JobKind::retrieve) return env_.shelf->cancel_retrieve(uuid);
  if (job && job->kind == JobKind::reassign) return env_.shelf->cancel_reassign(uuid);
  return Error(ErrorCode::conflict,
               "it neither goes to the shelf nor comes back from there, nor to another pool");
}

// Its job may have ended just now, or it is closed for a moment while another pool is written down.
// The caller does not hold entry's life.
void VolumeService::look_again(const EntryPtr& entry) {
  {
    const std::lock_guard lock(mutex_);
    const bool closed_for_now = !entry->volume && entry->problem.empty() &&
                                (entry->status == text_of(TapeStatus::available) ||
                                 entry->status == text_of(TapeStatus::retrieved));
    if (!is_in_transit(entry->status) && !entry->moving && !closed_for_now) return;
  }
  // Whoever has it may be just settling it: "still in transit" would be an answer of the past.
  const std::unique_lock life(entry->life, kSettleWait);
  if (life) settle(entry);
}

// entry's life is held.
void VolumeService::settle(const EntryPtr& entry) {
  bool moving = false;
  {
    const std::lock_guard lock(mutex_);
    moving = entry->moving;
    if (entry->volume || (!is_in_transit(entry->status) && !moving)) return;
  }
  if (moving && !check_idle(entry).ok()) return;
  const auto row = row_of(entry->uuid);
  if (!row.ok() || !*row) return;
  const TapeStatus now = (*row)->status;
  if (now == TapeStatus::available || now == TapeStatus::retrieved) {
    // More of a RETRIEVED one: its status does not change on the way.
    if (!check_idle(entry).ok()) return;
    static_cast<void>(reopen(entry, text_of(now)).ok());  // it says what is wrong
    return;
  }
  auto file = env_.volume.cartridge.files->read_file(join_path(entry->directory, "manifest"));
  std::optional<Manifest> manifest;
  if (file.ok()) {
    auto replayed = decode_manifest(*file, true);
    if (replayed.ok()) manifest = std::move(replayed->manifest);
  }
  const std::lock_guard lock(mutex_);
  entry->status = text_of(now);
  entry->problem = (*row)->problem;
  entry->moving = false;
  if (manifest) entry->known = std::move(*manifest);
}

}  // namespace coldshelf
