// Jobs: archive, retrieve, delete. A job's row says that it is to be done, the tape's status and
// the segments' rows how far it came: after a restart it begins again and finds its work done.
//
// Every end sets the tape's status first and the job's state after: a crash in between repeats the
// end.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {

constexpr int64_t kSaveIntervalMs = 1'000;
constexpr int64_t kUploadPollMs = 50;
constexpr int64_t kManifestPollMs = 20;

// The edits that are not in effect yet: doing a step again must not grow the log.
std::vector<ManifestEdit> missing_edits(const Manifest& manifest,
                                        const std::vector<ManifestEdit>& edits) {
  std::vector<ManifestEdit> out;
  for (const ManifestEdit& edit : edits) {
    if (const auto* p = std::get_if<SetProperty>(&edit)) {
      const auto at = manifest.properties.find(p->name);
      const std::string now = at == manifest.properties.end() ? "" : at->second;
      if (now == p->value) continue;
      // When it was archived stays what the first attempt noted.
      if (p->name == "archived_at" && !now.empty() && !p->value.empty()) continue;
    } else if (const auto* w = std::get_if<SetWriteProtected>(&edit)) {
      if (manifest.write_protected == w->write_protected) continue;
    }
    out.push_back(edit);
  }
  return out;
}

}  // namespace

// A cancellation notes itself there, on whatever thread it comes.
std::string Shelf::State::parameter_of(const JobRun& run, const char* name) {
  const std::lock_guard lock(mutex);
  const auto at = run.row.parameters.find(name);
  return at == run.row.parameters.end() ? std::string() : at->second;
}

TapeStatus Shelf::State::status_before(const JobRun& run) {
  if (const auto status = parse_tape_status(parameter_of(run, "before"))) return *status;
  return run.row.kind == JobKind::archive ? TapeStatus::available : TapeStatus::archived;
}

Status Shelf::State::cancel_job(const Uuid& cartridge, JobKind kind) {
  const std::lock_guard writing(job_mutex);  // else the job's end could be overwritten
  JobRow row;
  {
    const std::lock_guard lock(mutex);
    const auto at = std::find_if(jobs.begin(), jobs.end(), [&](const auto& entry) {
      return entry.second->row.cartridge == cartridge && entry.second->row.kind == kind;
    });
    if (at == jobs.end()) {
      return Error(ErrorCode::conflict, "no " + std::string(to_string(kind)) + " is under way");
    }
    JobRun& run = *at->second;
    if (run.phase > JobPhase::transfer) {
      return Error(ErrorCode::conflict, std::string(to_string(kind)) + " of " + run.row.barcode +
                                            " can no longer be cancelled: " + run.row.step);
    }
    run.cancel = true;
    run.row.parameters["cancel"] = "yes";
    run.not_before_ms = 0;
    row = run.row;
    wake_locked(Work::jobs);
  }
  return env.catalog->update_job(row);
}

bool Shelf::State::jobs_step() {
  std::shared_ptr<JobRun> run;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::jobs) = kNever;
    const int64_t now = now_ms();
    for (const auto& [id, candidate] : jobs) {
      if (candidate->not_before_ms > now) {
        wake_locked(Work::jobs, candidate->not_before_ms);
      } else if (run == nullptr ||
                 // Whoever was looked at longest ago, so that no job starves another.
                 candidate->not_before_ms < run->not_before_ms) {
        run = candidate;
      }
    }
    if (run == nullptr) return false;
    // One step at a time; what wakes it during the step counts for the next one.
    run->not_before_ms = now;
  }
  const Status done = advance(*run);
  finish_step(*run, done);
  return true;
}

void Shelf::State::finish_step(JobRun& run, const Status& done) {
  if (!done.ok()) {
    log_warning(
        "shelf", "job step failed",
        {{"job", run.row.id}, {"barcode", run.row.barcode}, {"error", done.error().message()}});
  }
  const std::lock_guard lock(mutex);
  const int64_t now = now_ms();
  if (done.ok()) {
    run.attempts = 0;
  } else if (is_passing(done.error()) || run.phase == JobPhase::fail ||
             run.phase == JobPhase::cancel) {
    run.row.step = "waiting to try again: " + done.error().message();
    run.not_before_ms = now + backoff_ms(++run.attempts);
  } else {
    run.failure = done.error();
    run.phase = JobPhase::fail;
    run.not_before_ms = 0;
  }
  wake_locked(Work::jobs, run.not_before_ms);
  if (run.row.state >= JobState::succeeded) {
    jobs.erase(run.row.id);  // the caller still holds it
    wake_locked(Work::jobs);
  }
  changed.notify_all();
}

Status Shelf::State::advance(JobRun& run) {
  {
    const std::lock_guard lock(mutex);
    if (run.cancel && run.phase <= JobPhase::transfer) run.phase = JobPhase::cancel;
  }
  if (run.phase == JobPhase::fail) return end_failed(run);
  if (run.phase == JobPhase::cancel) return end_cancelled(run);
  const bool leaves = run.row.kind == JobKind::delete_tape || run.row.kind == JobKind::detach;
  // What a start without its catalog began may be another gateway's since long.
  const bool asks_itself = run.phase == JobPhase::begin && !parameter_of(run, "found").empty();
  if (!leaves && !asks_itself) TRY(check_owned(run.row.cartridge));
  switch (run.row.kind) {
    case JobKind::archive:
      return advance_archive(run);
    case JobKind::retrieve:
      return advance_retrieve(run);
    case JobKind::delete_tape:
      return advance_delete(run);
    case JobKind::reassign:
      return advance_reassign(run);
    case JobKind::detach:
      return advance_detach(run);
    case JobKind::hold:
      return advance_hold(run);
    default:
      return Error(ErrorCode::internal, "a job the shelf does not do");
  }
}

Status Shelf::State::advance_archive(JobRun& run) {
  switch (run.phase) {
    case JobPhase::begin:
      return begin_archive(run);
    case JobPhase::transfer:
      return await_uploads(run);
    case JobPhase::settle:
      return settle_objects(run);
    case JobPhase::manifest: {
      ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
      // Before the manifest says so: then an ARCHIVED one that nobody owns was deleted.
      if (env.ownership != nullptr) TRY(ensure_owned(run.row.cartridge));
      ASSIGN_OR_RETURN(std::vector<ManifestEdit> edits, note_lock(run));
      run.edited = true;
      edits.push_back(SetProperty{"pool", tape.pool});
      edits.push_back(SetProperty{"status", std::string(to_string(TapeStatus::archived))});
      edits.push_back(SetProperty{"archived_at", format_utc(env.clock->unix_ms())});
      edits.push_back(SetProperty{"parts", ""});
      return edit_manifest(run, edits);
    }
    case JobPhase::confirm:
      return await_manifest(run);
    default:
      TRY(lock_manifest(run));
      TRY(env.catalog->set_tape_parts(run.row.cartridge, ""));
      // Whatever is to be written of it is: from here on any gateway may take it.
      TRY(give_to_shelf(run.row.cartridge));
      TRY(set_status(run.row.cartridge, TapeStatus::archived));
      TRY(env.catalog->set_tape_problem(run.row.cartridge, ""));
      TRY(evict_all(run));
      return end_job(run, JobState::succeeded, "archived");
  }
}

Status Shelf::State::begin_archive(JobRun& run) {
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
  if (tape.status == TapeStatus::archived) {
    // Interrupted between the status and the end of the job.
    set_phase(run, JobPhase::finish, "finishing");
    return {};
  }
  if (!parameter_of(run, "found").empty()) {  // begun by a start without its catalog
    ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(run.row.cartridge));
    ASSIGN_OR_RETURN(const FoundArchive found, find_archive(manifest));
    if (found != FoundArchive::open) {
      // Nobody goes on with an ARCHIVED one; but what is replaced is not what the store has.
      if (found == FoundArchive::over) TRY(lift_fence(run.row.cartridge));
      TRY(env.catalog->set_uploaded_generation(run.row.cartridge, manifest.generation));
      TRY(set_status(run.row.cartridge, TapeStatus::archived));
      return end_job(run, JobState::succeeded, "archived");
    }
    TRY(check_owned(run.row.cartridge));
  }
  if (tape.status != TapeStatus::archiving) {
    TRY(set_status(run.row.cartridge, TapeStatus::in_transit_to_vts));
  }
  ASSIGN_OR_RETURN(const PoolRow pool, pool_row(tape.pool));
  choose_lock(run, tape, pool);
  TRY(choose_hold(run, tape));
  {
    // What could not go up before is tried again: somebody may have mended it.
    const std::lock_guard lock(mutex);
    std::erase_if(troubles, [&](const auto& t) { return t.first.cartridge == run.row.cartridge; });
    wake_locked(Work::uploads);
  }
  TRY(load_rows(run));
  set_phase(run, JobPhase::transfer, "uploading");
  return save(run, true);
}

// Every segment is in the store; an error: one cannot get there.
Result<bool> Shelf::State::uploads_done(JobRun& run) {
  TRY(flush_rows());
  TRY(load_rows(run));
  uint64_t done_bytes = 0;
  uint64_t done_objects = 0;
  std::optional<std::pair<SegmentId, Error>> failed;
  {
    const std::lock_guard lock(mutex);
    for (const SegmentRow& row : run.rows) {
      if (in_store(row.state)) {
        done_bytes += row.stored_bytes;
        ++done_objects;
        continue;
      }
      const auto trouble = troubles.find(id_of(row));
      if (trouble == troubles.end()) continue;
      failed.emplace(trouble->first, trouble->second.error);
      break;
    }
    run.row.done_bytes = done_bytes;
    run.row.done_objects = done_objects;
  }
  if (failed) {
    // Whatever the store says: what has its file here is not lost.
    ASSIGN_OR_RETURN(const bool local, env.files->exists(segment_path_of(failed->first)));
    const std::lock_guard lock(mutex);
    run.data_lost = !local;
    return Error(failed->second.code, Disposition::permanent, failed->second.context);
  }
  if (done_objects == run.rows.size()) return true;
  look_again(run, kUploadPollMs + static_cast<int64_t>(run.rows.size() / 50));
  return false;
}

Status Shelf::State::await_uploads(JobRun& run) {
  ASSIGN_OR_RETURN(const bool done, uploads_done(run));
  if (!done) return save(run, false);
  if (!set_phase(run, JobPhase::settle, "moving to the pool's storage class")) return {};
  // Before the first object is locked: should this fail half-way, a deletion is refused all the
  // same.
  ASSIGN_OR_RETURN([[maybe_unused]] const std::vector<ManifestEdit> edits, note_lock(run));
  TRY(set_status(run.row.cartridge, TapeStatus::archiving));
  begin_sweep(run);
  return save(run, true);
}

Status Shelf::State::settle_objects(JobRun& run) {
  ASSIGN_OR_RETURN(const bool swept, sweep(run));
  if (!swept) return save(run, false);
  bool all = false;
  bool upload_again = false;
  {
    const std::lock_guard lock(mutex);
    all = run.ready == run.rows.size();
    upload_again = run.upload_again;
    run.upload_again = false;
  }
  if (all) {
    set_phase(run, JobPhase::manifest, "writing the manifest");
  } else if (upload_again) {
    wake(Work::uploads);
    set_phase(run, JobPhase::transfer, "uploading again what the store lost");
  } else {
    begin_sweep(run);
  }
  return save(run, true);
}

Status Shelf::State::edit_manifest(JobRun& run, const std::vector<ManifestEdit>& edits) {
  const Uuid& cartridge = run.row.cartridge;
  ASSIGN_OR_RETURN(const auto log, ManifestLog::open(*env.files, manifest_path_of(cartridge)));
  const std::vector<ManifestEdit> missing = missing_edits(log->manifest(), edits);
  if (!missing.empty()) TRY(log->commit(missing));
  const Manifest& manifest = log->manifest();
  TRY(env.catalog->set_tape_usage(cartridge, manifest.plain_bytes(), manifest.stored_bytes(),
                                  manifest.generation, manifest.write_protected));
  watch_manifest(cartridge, manifest.generation, true, true);
  {
    const std::lock_guard lock(mutex);
    run.generation = manifest.generation;
    if (run.phase < JobPhase::fail) run.phase = JobPhase::confirm;
  }
  return {};
}

Status Shelf::State::await_manifest(JobRun& run) {
  bool confirmed = false;
  {
    const std::lock_guard lock(mutex);
    const auto watch = manifests.find(run.row.cartridge);
    if (watch != manifests.end()) {
      if (watch->second.error && !is_passing(*watch->second.error)) return *watch->second.error;
      confirmed = !watch->second.dirty;
    }
  }
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
  // Both: confirmed since this program started, and noted.
  if (!confirmed || tape.uploaded_manifest_generation < run.generation) {
    look_again(run, kManifestPollMs);
    return {};
  }
  set_phase(run, JobPhase::finish, "finishing");
  return {};
}

Status Shelf::State::evict_all(JobRun& run) {
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, env.catalog->segments(run.row.cartridge));
  for (const SegmentRow& row : rows) {
    if (!row.local || row.state != SegmentState::verified) continue;
    const SegmentId id = id_of(row);
    {
      const std::lock_guard lock(mutex);
      if (!busy.insert(id).second) {
        return Error(ErrorCode::busy, describe(id) + " is in use");
      }
    }
    const Status done = evict(row);
    {
      const std::lock_guard lock(mutex);
      busy.erase(id);
    }
    TRY(done);
  }
  // A power loss must not bring the files of an archived tape back.
  return env.files->sync_directory(directory_of(run.row.cartridge));
}

Status Shelf::State::advance_delete(JobRun& run) {
  switch (run.phase) {
    case JobPhase::begin:
      return begin_delete(run);
    case JobPhase::transfer:
    case JobPhase::settle:
      return delete_objects(run);
    default: {
      TRY(remove_local(run.row.cartridge));
      ASSIGN_OR_RETURN(TapeRow tape, tape_row(run.row.cartridge));
      if (tape.kind == RowKind::image) {
        TRY(forget_rows(run.row.cartridge));
      } else {
        TRY(env.catalog->set_tape_deleted(run.row.cartridge, env.clock->unix_ms()));
      }
      if (listener && tape.status != TapeStatus::deleted) {
        const TapeStatus before = tape.status;
        tape.status = TapeStatus::deleted;
        listener(tape, before);
      }
      {
        const std::lock_guard lock(mutex);
        deleting.erase(run.row.cartridge);
      }
      return end_job(run, JobState::succeeded, "deleted");
    }
  }
}

Status Shelf::State::begin_delete(JobRun& run) {
  const Uuid cartridge = run.row.cartridge;
  ASSIGN_OR_RETURN(const std::optional<TapeRow> known, env.catalog->tape(cartridge));
  // An image whose row went just before a restart.
  if (!known) return end_job(run, JobState::succeeded, "deleted");
  const TapeRow& tape = *known;
  if (tape.status == TapeStatus::deleted) {
    set_phase(run, JobPhase::finish, "finishing");
    return {};
  }
  TRY(set_status(cartridge, TapeStatus::deleting));
  bool in_use = false;
  {
    const std::lock_guard lock(mutex);
    const auto ours = [&](const SegmentId& id) { return id.cartridge == cartridge; };
    deleting.insert(cartridge);
    manifests.erase(cartridge);
    std::erase_if(new_rows, [&](const SegmentRow& row) { return row.cartridge == cartridge; });
    std::erase_if(upload_queue, [&](const SegmentRow& row) { return row.cartridge == cartridge; });
    std::erase_if(discards, ours);
    std::erase_if(dropped, ours);
    std::erase_if(troubles, [&](const auto& t) { return ours(t.first); });
    in_use = std::any_of(busy.begin(), busy.end(), ours) || manifest_busy == cartridge;
  }
  if (in_use) {
    look_again(run, kUploadPollMs);
    return {};
  }
  // Nobody takes it over from here on, so that nothing of anybody else is deleted. The manifest
  // first: the store never holds one that names what is not there.
  if (env.ownership != nullptr) {
    const Status ours = env.ownership->begin_delete(cartridge);
    if (!ours.ok() && ours.error().code == ErrorCode::conflict) {
      return refuse_delete(run, ours.error());
    }
    TRY(ours);
  }
  TRY(env.store->remove(manifest_key(cartridge)));
  set_phase(run, JobPhase::transfer, "deleting objects");
  return save(run, true);
}

// Another gateway took it after it was asked for: nothing of it is deleted, and it is as it was.
Status Shelf::State::refuse_delete(JobRun& run, const Error& why) {
  const Uuid cartridge = run.row.cartridge;
  const TapeStatus before = status_before(run);
  {
    const std::lock_guard lock(mutex);
    deleting.erase(cartridge);
  }
  if (before != TapeStatus::archived) fence(cartridge, why);  // from the shelf anybody takes
  TRY(set_status(cartridge, before));
  return why;
}

Status Shelf::State::delete_objects(JobRun& run) {
  bool sweeping = false;
  {
    const std::lock_guard lock(mutex);
    sweeping = run.phase == JobPhase::settle;
  }
  if (sweeping) {
    ASSIGN_OR_RETURN(const bool swept, sweep(run));
    if (!swept) return save(run, false);
  }
  constexpr size_t kPage = 1000;
  const std::string prefix = "cartridges/" + run.row.cartridge.to_string() + "/";
  ASSIGN_OR_RETURN(const ObjectStore::ListPage page, env.store->list(prefix, "", kPage));
  if (page.objects.empty()) {
    set_phase(run, JobPhase::finish, "deleting local files");
    return {};
  }
  {
    const std::lock_guard lock(mutex);
    run.keys.clear();
    // The owner last: while it is there, everybody sees that this is being deleted.
    const std::string owner = owner_key(run.row.cartridge);
    for (const ObjectInfo& object : page.objects) {
      if (object.key != owner || page.objects.size() == 1) run.keys.push_back(object.key);
    }
    run.is_ready.assign(run.keys.size(), false);
    run.ready = 0;
  }
  begin_sweep(run);
  set_phase(run, JobPhase::settle, "deleting objects");
  return save(run, false);
}

// All but the manifest, and a fence that keeps it from being gone on with.
Status Shelf::State::remove_segment_files(const Uuid& cartridge) {
  const std::string directory = directory_of(cartridge);
  const Result<std::vector<std::string>> names = env.files->list(directory);
  if (!names.ok() && names.error().code == ErrorCode::not_found) return {};
  if (!names.ok()) return names.error();
  for (const std::string& name : *names) {
    const std::string path = join_path(directory, name);
    if (path == manifest_path_of(cartridge) || path == fence_path_of(cartridge)) continue;
    TRY(env.files->remove(path));
  }
  return env.files->sync_directory(directory);
}

Status Shelf::State::remove_local(const Uuid& cartridge) {
  const std::string directory = directory_of(cartridge);
  TRY(remove_segment_files(cartridge));
  // As long as the manifest is there it says whose the directory is, and its fence goes after it.
  for (const std::string& path : {manifest_path_of(cartridge), fence_path_of(cartridge)}) {
    ASSIGN_OR_RETURN(const bool there, env.files->exists(path));
    if (!there) continue;
    TRY(env.files->remove(path));
    TRY(env.files->sync_directory(directory));
  }
  ASSIGN_OR_RETURN(const bool there, env.files->exists(directory));
  if (!there) return {};
  TRY(env.files->remove_directory(directory));
  return env.files->sync_directory(options.cartridges_directory);
}

Status Shelf::State::end_failed(JobRun& run) {
  const std::string why =
      std::string(to_string(run.row.kind)) + " failed: " + run.failure.message();
  if (run.row.kind != JobKind::delete_tape) {
    TapeStatus back = status_before(run);
    {
      const std::lock_guard lock(mutex);
      // A disk that was to be detached goes on as it was, with what can be read.
      const bool detach = run.row.kind == JobKind::detach;
      if (run.data_lost && !detach) back = TapeStatus::irrecoverable;
    }
    // Of one that a start found the manifest was not put yet.
    if (run.edited || !parameter_of(run, "found").empty()) {
      // Best effort: the tape's row decides here, the property is for a rebuild from the store.
      const Status undone =
          edit_manifest(run, {SetProperty{"status", std::string(to_string(back))}});
      if (!undone.ok()) {
        log_warning("shelf", "manifest not set back", {{"error", undone.error().message()}});
      }
    }
    end_shelved(run);
    TRY(set_status(run.row.cartridge, back));
  }
  TRY(env.catalog->set_tape_problem(run.row.cartridge, why));
  {
    const std::lock_guard lock(mutex);
    run.row.error = run.failure.message();
  }
  return end_job(run, JobState::failed, "failed");
}

Status Shelf::State::end_cancelled(JobRun& run) {
  end_shelved(run);
  TRY(set_status(run.row.cartridge, status_before(run)));
  return end_job(run, JobState::cancelled, "cancelled");
}

Status Shelf::State::end_job(JobRun& run, JobState state, const std::string& step) {
  const std::lock_guard writing(job_mutex);
  JobRow row;
  {
    const std::lock_guard lock(mutex);
    row = run.row;
  }
  row.state = state;
  row.step = step;
  row.updated_ms = env.clock->unix_ms();
  if (state == JobState::succeeded) {
    row.done_bytes = row.total_bytes;
    row.done_objects = row.total_objects;
  }
  TRY(env.catalog->update_job(row));
  const std::lock_guard lock(mutex);
  run.row.state = row.state;
  run.row.step = std::move(row.step);
  run.row.updated_ms = row.updated_ms;
  run.row.done_bytes = row.done_bytes;
  run.row.done_objects = row.done_objects;
  return {};
}

Status Shelf::State::save(JobRun& run, bool at_once) {
  const std::lock_guard writing(job_mutex);
  JobRow row;
  {
    const std::lock_guard lock(mutex);
    const int64_t now = now_ms();
    if (!at_once && now - run.saved_ms < kSaveIntervalMs) return {};
    run.saved_ms = now;
    run.row.state =
        run.not_before_ms > now && run.outstanding == 0 ? JobState::waiting : JobState::running;
    run.row.not_before_ms = run.row.state == JobState::waiting && run.not_before_ms != kNever
                                ? env.clock->unix_ms() + (run.not_before_ms - now)
                                : 0;
    run.row.updated_ms = env.clock->unix_ms();
    row = run.row;
  }
  return env.catalog->update_job(row);
}

bool Shelf::State::set_phase(JobRun& run, JobPhase phase, const std::string& step) {
  const std::lock_guard lock(mutex);
  if (run.cancel && run.phase <= JobPhase::transfer && phase > JobPhase::transfer) {
    run.phase = JobPhase::cancel;
    return false;
  }
  run.phase = phase;
  run.row.step = step;
  return true;
}

void Shelf::State::look_again(JobRun& run, int64_t after_ms) {
  const std::lock_guard lock(mutex);
  if (run.cancel) return;
  run.not_before_ms = now_ms() + after_ms;
}

}  // namespace coldshelf
