// Cartridges that another gateway took over: how that is found out, what is done so that nothing
// more is made of what is here of them, and how that goes.
#include <algorithm>
#include <chrono>
#include <set>

#include "base/log.h"
#include "uploader/bucket_scan.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {

// Beside the manifest that must not be gone on with: who loses the catalog still knows it.
constexpr std::string_view kFenceName = "fenced";

}  // namespace

void Shelf::State::fence(const Uuid& cartridge, const Error& why) {
  const Error error(ErrorCode::write_protected, "no longer this gateway's: " + why.context);
  {
    const std::lock_guard lock(mutex);
    if (!fenced.emplace(cartridge, error).second) return;
    manifests.erase(cartridge);
    std::erase_if(upload_queue, [&](const SegmentRow& row) { return row.cartridge == cartridge; });
    std::erase_if(discards, [&](const SegmentId& id) { return id.cartridge == cartridge; });
  }
  const Status recorded = record_fence(cartridge, error.context);
  if (!recorded.ok()) {
    log_warning("shelf", "fence not recorded, it is found again at the next start",
                {{"error", recorded.error().message()}});
  }
  note_problem(cartridge, error.context + "; what the store does not have of it is only here");
  if (env.on_fenced) env.on_fenced(cartridge, error);
}

std::string Shelf::State::fence_path_of(const Uuid& cartridge) const {
  return join_path(directory_of(cartridge), std::string(kFenceName));
}

Status Shelf::State::record_fence(const Uuid& cartridge, const std::string& why) {
  ASSIGN_OR_RETURN(const bool here, env.files->exists(directory_of(cartridge)));
  if (!here) return {};
  return env.files->replace_file(fence_path_of(cartridge), as_view(why));
}

// What is here is of an earlier time, and must not pass for what the store has while it is not
// replaced: not to who is killed on the way either.
Status Shelf::State::fence_while_taken(const TapeRow& row, const std::string& from) {
  fence(row.uuid, Error(ErrorCode::conflict, row.barcode + " belongs to gateway " + from));
  ASSIGN_OR_RETURN(const bool recorded, env.files->exists(fence_path_of(row.uuid)));
  if (recorded) return {};
  return record_fence(row.uuid, check_owned(row.uuid).error().context);
}

Status Shelf::State::check_owned(const Uuid& cartridge) {
  const std::lock_guard lock(mutex);
  const auto at = fenced.find(cartridge);
  if (at == fenced.end()) return {};
  return at->second;
}

Status Shelf::State::load_fenced(const Uuid& cartridge) {
  if (env.ownership == nullptr) return {};
  ASSIGN_OR_RETURN(const bool recorded, env.files->exists(fence_path_of(cartridge)));
  if (!recorded) return {};
  ASSIGN_OR_RETURN(const Buffer why, env.files->read_file(fence_path_of(cartridge)));
  const std::lock_guard lock(mutex);
  fenced.emplace(cartridge, Error(ErrorCode::write_protected, to_text(why)));
  return {};
}

Status Shelf::State::lift_fence(const Uuid& cartridge) {
  {
    const std::lock_guard lock(mutex);
    if (!fenced.contains(cartridge)) return {};
  }
  ASSIGN_OR_RETURN(const bool recorded, env.files->exists(fence_path_of(cartridge)));
  if (recorded) {
    TRY(env.files->remove(fence_path_of(cartridge)));
    TRY(env.files->sync_directory(directory_of(cartridge)));
  }
  {
    const std::lock_guard lock(mutex);
    fenced.erase(cartridge);
    wake_locked(Work::uploads);  // what of it was not looked at meanwhile
    new_problems.erase(cartridge);
  }
  const Status cleared = env.catalog->set_tape_problem(cartridge, "");
  if (!cleared.ok() && cleared.error().code == ErrorCode::not_found) return {};  // forgotten
  return cleared;
}

// Whether no deletion of it has begun here, whatever the store says: nothing here knows of one, and
// the manifest, which goes before anything else, is there.
Result<bool> Shelf::State::never_deleted(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const auto row, env.catalog->tape(cartridge));
  if (!row || row->status == TapeStatus::deleting || row->status == TapeStatus::deleted) {
    return false;
  }
  ASSIGN_OR_RETURN(const auto job, env.catalog->unfinished_job(cartridge));
  if (job && job->kind == JobKind::delete_tape) return false;
  const Result<ObjectInfo> manifest = env.store->head(manifest_key(cartridge));
  if (!manifest.ok() && manifest.error().code == ErrorCode::not_found) return false;
  if (!manifest.ok()) return manifest.error();
  log_warning("shelf", "deletion that never began is taken back", {{"barcode", row->barcode}});
  return true;
}

// Ownership's change of that name. A deletion that never began does not stand against it.
Status Shelf::State::change_owner(const Uuid& cartridge, Status (Ownership::*change)(const Uuid&)) {
  Status done = (env.ownership->*change)(cartridge);
  if (done.ok() || done.error().code != ErrorCode::conflict) return done;
  const Status back = env.ownership->take_back(cartridge, [&] { return never_deleted(cartridge); });
  if (back.ok()) return (env.ownership->*change)(cartridge);
  return is_passing(back.error()) ? back : done;
}

Status Shelf::State::ensure_owned(const Uuid& cartridge) {
  const Status owned = change_owner(cartridge, &Ownership::ensure_owned);
  if (!owned.ok() && owned.error().code == ErrorCode::conflict) fence(cartridge, owned.error());
  return owned;
}

// What another gateway may have taken over while this one had no lease.
Result<std::vector<Uuid>> Shelf::State::to_recheck() {
  std::vector<Uuid> out;
  if (!env.ownership->set_back()) {
    ASSIGN_OR_RETURN(const bool company, env.ownership->has_company());
    if (!company) return out;
  }
  ASSIGN_OR_RETURN(std::vector<TapeRow> rows, env.catalog->tapes());
  ASSIGN_OR_RETURN(const std::vector<TapeRow> image_rows, env.catalog->images());
  rows.insert(rows.end(), image_rows.begin(), image_rows.end());
  for (const TapeRow& row : rows) {
    if (row.status != TapeStatus::archived && row.status != TapeStatus::deleting &&
        row.status != TapeStatus::deleted) {
      out.push_back(row.uuid);
    }
  }
  return out;
}

Status Shelf::State::recheck(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const auto row, env.catalog->tape(cartridge));
  if (row && row->status == TapeStatus::archived) {  // it was not given back
    const std::lock_guard lending(lending_mutex);
    ASSIGN_OR_RETURN(const auto job, env.catalog->unfinished_job(cartridge));
    return job ? Status() : give_to_shelf(cartridge);
  }
  ASSIGN_OR_RETURN(const auto job, env.catalog->unfinished_job(cartridge));
  if (job && job->parameters.contains("found")) return {};  // it asks itself
  TRY(ensure_owned(cartridge));
  if (!row || !env.ownership->set_back()) return {};
  // What the store has may be later than this copy of the data directory.
  const Result<Manifest> local = read_manifest(cartridge);
  if (!local.ok()) return {};  // reconcile() has told of it
  const Result<std::string> looked = look_at_manifest(*local);
  return looked.ok() ? Status() : Status(looked.error());
}

// Before anything is served. What the store does not answer for in time is looked at later.
Status Shelf::State::recheck_at_start() {
  if (env.ownership == nullptr || !env.ownership->conditional()) return {};
  const uint64_t lapses = env.ownership->lapses();
  if (lapses == lapses_seen) return {};
  const Result<std::vector<Uuid>> cartridges = to_recheck();
  if (!cartridges.ok()) return {};
  const int64_t until_ms = now_ms() + options.start_check_ms;
  TRY(in_parallel(options.start_check_threads, cartridges->size(), [&](size_t i) -> Status {
    const Uuid& cartridge = (*cartridges)[i];
    const Status owned = now_ms() < until_ms
                             ? recheck(cartridge)
                             : Status(Error(ErrorCode::unavailable, "there was no time to look"));
    if (owned.ok() || !is_passing(owned.error())) return {};
    const std::lock_guard lock(mutex);
    rechecks.push_back(cartridge);
    return {};
  }));
  lapses_seen = lapses;
  return {};
}

// The lease had run out: cartridges may have been taken over meanwhile. One a step.
bool Shelf::State::recheck_step() {
  if (env.ownership == nullptr) return false;
  const uint64_t lapses = env.ownership->lapses();
  bool begin = false;
  {
    const std::lock_guard lock(mutex);
    begin = lapses != lapses_seen;
    if ((!begin && rechecks.empty()) || recheck_due_ms > now_ms()) return false;
  }
  const auto later = [this] { recheck_due_ms = now_ms() + backoff_ms(++recheck_failures); };
  if (begin) {
    const Result<std::vector<Uuid>> cartridges = to_recheck();
    const std::lock_guard lock(mutex);
    if (!cartridges.ok()) {
      log_warning("shelf", "whose the cartridges are is looked at later",
                  {{"error", cartridges.error().message()}});
      later();
      return true;
    }
    lapses_seen = lapses;
    recheck_failures = 0;
    rechecks.insert(rechecks.end(), cartridges->begin(), cartridges->end());
    for (auto& [cartridge, watch] : manifests) watch.etag.reset();
  }
  Uuid cartridge;
  {
    const std::lock_guard lock(mutex);
    if (rechecks.empty()) return true;
    cartridge = rechecks.front();
    rechecks.pop_front();
  }
  const Status owned = recheck(cartridge);
  const std::lock_guard lock(mutex);
  if (owned.ok() || !is_passing(owned.error())) {
    recheck_failures = 0;
    return true;
  }
  rechecks.push_back(cartridge);
  later();
  return true;
}

Status Shelf::check_owned(const Uuid& cartridge) { return state_->check_owned(cartridge); }

Status Shelf::look_at_owner(const Uuid& cartridge) {
  State& s = *state_;
  if (s.env.ownership == nullptr) return {};
  s.env.ownership->forget(cartridge);
  const Status owned = s.recheck(cartridge);
  if (!owned.ok() && owned.error().code != ErrorCode::conflict) return owned;
  return s.check_owned(cartridge);
}

// What the local manifest names and the store's does not, and what no manifest names yet: only
// here, in bytes.
Result<uint64_t> Shelf::State::only_here(const Uuid& cartridge) {
  const Result<Manifest> local = read_manifest(cartridge);
  if (!local.ok() && local.error().code == ErrorCode::not_found) return uint64_t{0};
  if (!local.ok()) return local.error();
  std::set<SegmentId> stored;
  const Result<Versioned> found = read_versioned(*env.store, manifest_key(cartridge));
  if (!found.ok() && found.error().code != ErrorCode::not_found) return found.error();
  if (found.ok()) {
    ASSIGN_OR_RETURN(const ReplayedManifest theirs, decode_manifest(found->content, false));
    stored = segments_of(theirs.manifest);
  }
  uint64_t bytes = 0;
  for (const Partition& partition : local->partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      if (!stored.contains(id_of(cartridge, entry))) bytes += entry.stored_bytes;
    }
  }
  ASSIGN_OR_RETURN(const auto names, env.files->list(directory_of(cartridge)));
  for (const std::string& name : names) {
    if (!name.ends_with(".open")) continue;
    ASSIGN_OR_RETURN(const auto file,
                     env.files->open(join_path(directory_of(cartridge), name), OpenMode::read));
    ASSIGN_OR_RETURN(const uint64_t size, file->size());
    bytes += size;
  }
  return bytes;
}

Status Shelf::forget(const Uuid& cartridge, bool force) {
  State& s = *state_;
  ASSIGN_OR_RETURN(TapeRow tape, s.tape_row(cartridge));
  const bool image = tape.kind == RowKind::image;
  const std::string name = (image ? "volume " : "tape ") + tape.barcode;
  if (s.check_owned(cartridge).ok()) {
    return Error(ErrorCode::conflict, name + " is this gateway's; it is " +
                                          (image ? "detached" : "archived") + " or deleted");
  }
  TRY(s.env.catalog->check_no_job(cartridge));
  if (image) TRY(s.check_clones_stand(tape));
  if (!force) {
    ASSIGN_OR_RETURN(const uint64_t bytes, s.only_here(cartridge));
    if (bytes > 0) {
      return Error(ErrorCode::conflict, std::to_string(bytes) + " bytes of " + name +
                                            " are only here, its new owner does not have them; "
                                            "--force gives them up");
    }
  }
  {
    std::unique_lock lock(s.mutex);
    s.deleting.insert(cartridge);
    const auto in_use = [&] {
      return std::any_of(s.busy.begin(), s.busy.end(),
                         [&](const SegmentId& id) { return id.cartridge == cartridge; });
    };
    while (in_use() && s.running && !s.stopping) {
      s.changed.wait_for(lock, std::chrono::milliseconds(50));
    }
    if (in_use()) {
      s.deleting.erase(cartridge);
      return Error(ErrorCode::unavailable, "the shelf is stopping");
    }
  }
  // The rows first: what is left of the files is known by its fence.
  Status done = s.forget_rows(cartridge);
  if (done.ok()) done = s.remove_local(cartridge);
  if (done.ok()) done = s.lift_fence(cartridge);
  {
    const std::lock_guard lock(s.mutex);
    s.deleting.erase(cartridge);
  }
  TRY(std::move(done));
  log_info("shelf", "cartridge forgotten, it is another gateway's", {{"barcode", tape.barcode}});
  if (s.listener && !image) {
    const TapeStatus before = tape.status;
    tape.status = TapeStatus::deleted;
    s.listener(tape, before);
  }
  return {};
}

}  // namespace coldshelf
