// What the shelf finds at its start, and the operations that begin jobs.
#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "uploader/bucket_takeover.h"
#include "uploader/detached_document.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {

Error wrong_status(const TapeRow& tape, const char* what) {
  return Error(ErrorCode::conflict, (tape.kind == RowKind::image ? "image " : "tape ") +
                                        tape.barcode + " is " +
                                        std::string(to_string(tape.status)) + ": " + what);
}

SegmentState state_at_start(SegmentState state, bool local) {
  if (in_store(state)) return local ? SegmentState::verified : SegmentState::evicted;
  // Put and not confirmed, or without a file here: the store is asked.
  if (!local || state == SegmentState::uploaded) return SegmentState::uploaded;
  return SegmentState::sealed;
}

TapeStatus status_during(JobKind kind, TapeStatus before) {
  switch (kind) {
    case JobKind::archive:
      return TapeStatus::in_transit_to_vts;
    case JobKind::delete_tape:
      return TapeStatus::deleting;
    case JobKind::detach:
      return TapeStatus::detaching;
    case JobKind::retrieve:
      return before == TapeStatus::archived ? TapeStatus::retrieving : before;
    default:
      return before;  // another pool, a hold: it stays
  }
}

}  // namespace

Status Shelf::State::sync_rows(const Manifest& manifest, bool at_start) {
  // Rows on their way in must not look missing.
  TRY(flush_rows());
  const std::string directory = directory_of(manifest.uuid);
  ASSIGN_OR_RETURN(const std::vector<std::string> list, env.files->list(directory));
  const std::set<std::string> names(list.begin(), list.end());
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> known, env.catalog->segments(manifest.uuid));
  std::map<std::pair<uint64_t, uint64_t>, SegmentRow> rows;
  for (const SegmentRow& row : known) rows[{row.sequence, row.epoch}] = row;
  std::vector<SegmentRow> changes;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      const bool local = names.contains(segment_file_stem(entry.sequence, entry.epoch) + ".seg");
      const auto at = rows.find({entry.sequence, entry.epoch});
      // Another size or digest than the manifest's: the row is wrong, the manifest wins.
      const bool fits = at != rows.end() && at->second.sha256 == entry.sha256 &&
                        at->second.stored_bytes == entry.stored_bytes;
      SegmentRow row;
      if (fits) {
        row = at->second;
        const SegmentState before = row.state;
        if (at_start) row.state = state_at_start(row.state, local);
        const bool same = row.state == before && row.local == local;
        rows.erase(at);
        if (same || !at_start) continue;
        row.local = local;
      } else {
        row.cartridge = manifest.uuid;
        row.sequence = entry.sequence;
        row.epoch = entry.epoch;
        row.stored_bytes = entry.stored_bytes;
        row.sha256 = entry.sha256;
        row.local = local;
        row.state = local ? SegmentState::sealed : SegmentState::uploaded;
        row.last_used_ms = env.clock->unix_ms();
        if (at != rows.end()) rows.erase(at);
      }
      changes.push_back(std::move(row));
    }
  }
  if (!changes.empty()) TRY(env.catalog->put_segments(changes));
  if (!at_start) return {};
  for (const std::string& name : list) {
    if (name.ends_with(".part")) TRY(env.files->remove(join_path(directory, name)));
  }
  // Rows left over are of segments the cartridge has dropped.
  if (rows.empty()) return {};
  const std::lock_guard lock(mutex);
  for (const auto& [key, row] : rows) {
    manifests[manifest.uuid].garbage.insert(id_of(row));
    dropped.insert(id_of(row));
  }
  return {};
}

Status Shelf::State::enter_tape(const Manifest& manifest, const std::string& pool,
                                TapeStatus status) {
  ASSIGN_OR_RETURN(std::optional<TapeRow> known, env.catalog->tape(manifest.uuid));
  TapeRow row = known.value_or(TapeRow{});
  if (!known) {
    row.uuid = manifest.uuid;
    row.status_changed_ms = env.clock->unix_ms();
  }
  row.barcode = manifest.label;
  row.medium = manifest.medium;
  row.capacity_bytes = manifest.capacity_bytes;
  row.used_bytes = manifest.plain_bytes();
  row.stored_bytes = manifest.stored_bytes();
  row.pool = pool;
  row.status = status;
  row.worm = manifest.worm;
  row.write_protected = manifest.write_protected;
  row.created_ms = manifest.created_unix_ms;
  row.manifest_generation = manifest.generation;
  if (manifest.kind == CartridgeKind::image) {
    row.kind = RowKind::image;
    row.mode = mode_of(manifest);
    row.pinned = says_pinned(manifest);
  }
  if (!known) {
    row.parts = property_of(manifest, "parts");
    row.lock_mode = property_of(manifest, "lock");
    const std::string until = property_of(manifest, "locked_until_ms");
    row.locked_until_ms = std::strtoll(until.c_str(), nullptr, 10);
  }
  return env.catalog->put_tape(row);
}

// The manifest of a tape that is archived says so before the store has all of it; how far the
// archive came the lost catalog knew. What is over is given to the shelf, if that was left to do.
Result<FoundArchive> Shelf::State::find_archive(const Manifest& manifest) {
  bool given = false;
  if (env.ownership != nullptr) {
    ASSIGN_OR_RETURN(const auto owner, env.ownership->owner_of(manifest.uuid));
    const bool ours = !owner || owner->gateway == env.ownership->self().id;
    if (!ours || (owner && owner->state == OwnerState::deleting)) return FoundArchive::over;
    given = owner && owner->state == OwnerState::shelved;
  }
  ASSIGN_OR_RETURN(const auto names, env.files->list(directory_of(manifest.uuid)));
  const bool here = std::any_of(names.begin(), names.end(),
                                [](const std::string& name) { return name.ends_with(".seg"); });
  const Result<Buffer> there = env.store->get_all(manifest_key(manifest.uuid));
  if (!there.ok()) {
    const ErrorCode code = there.error().code;
    if (code != ErrorCode::not_found && code != ErrorCode::corrupt) return there.error();
    const bool alone = env.ownership == nullptr;
    if (here || alone || code == ErrorCode::corrupt) return FoundArchive::open;  // it is put again
    // Its owner was there: whoever took it from the shelf has deleted it.
    const std::string prefix = std::string(kCartridgesPrefix) + manifest.uuid.to_string() + "/";
    ASSIGN_OR_RETURN(const ObjectStore::ListPage left, env.store->list(prefix, "", 1));
    return left.objects.empty() ? FoundArchive::over : FoundArchive::open;
  }
  const Result<ReplayedManifest> stored = decode_manifest(*there, false);
  if (!stored.ok()) return FoundArchive::open;
  // Another gateway had it meanwhile, and this one was taking it: from the shelf, or from there.
  const bool newer =
      stored->manifest.epoch > manifest.epoch || stored->manifest.generation > manifest.generation;
  if (newer && property_of(stored->manifest, "status") != to_string(TapeStatus::archived)) {
    return FoundArchive::replaced;
  }
  if (!newer && (here || stored->manifest != manifest)) return FoundArchive::open;
  if (!newer && !property_of(manifest, "lock").empty()) {
    const Result<ObjectInfo> locked =
        env.store->head(locked_manifest_key(manifest.uuid, manifest.generation));
    if (!locked.ok() && locked.error().code == ErrorCode::not_found) return FoundArchive::open;
    if (!locked.ok()) return locked.error();
  }
  if (!given) TRY(give_to_shelf(manifest.uuid));
  return FoundArchive::over;
}

Status Shelf::State::reconcile_cartridge(const Uuid& cartridge, bool& store_answers) {
  ASSIGN_OR_RETURN(std::optional<TapeRow> row, env.catalog->tape(cartridge));
  if (row && row->status == TapeStatus::deleted) return remove_local(cartridge);
  if (row && row->status == TapeStatus::deleting) return {};  // its job does the rest
  ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(cartridge));
  const bool image = manifest.kind == CartridgeKind::image;
  TRY(load_fenced(cartridge));
  if (!row) {
    TapeStatus status =
        parse_tape_status(property_of(manifest, "status")).value_or(TapeStatus::available);
    if (status == TapeStatus::archived) {
      const Result<FoundArchive> found =
          store_answers
              ? find_archive(manifest)
              : Result<FoundArchive>(Error(ErrorCode::unavailable, "the store does not answer"));
      store_answers = found.ok();
      // Not known: the job asks again.
      if (!found.ok() || *found == FoundArchive::open) status = TapeStatus::archiving;
    }
    if (image && property_of(manifest, "status") == kDetachedStatus) status = TapeStatus::detaching;
    TRY(enter_tape(manifest, property_of(manifest, "pool"), status));
    // The store has it, or a later one of whoever took it from the shelf: it is not put again.
    if (status == TapeStatus::archived) {
      TRY(env.catalog->set_uploaded_generation(cartridge, manifest.generation));
    }
    log_info("shelf", "cartridge entered from its manifest", {{"barcode", manifest.label}});
    ASSIGN_OR_RETURN(row, env.catalog->tape(cartridge));
  } else {
    if (image) TRY(env.catalog->set_image(cartridge, mode_of(manifest), says_pinned(manifest)));
    TRY(env.catalog->set_tape_usage(cartridge, manifest.plain_bytes(), manifest.stored_bytes(),
                                    manifest.generation, manifest.write_protected));
  }
  TRY(sync_rows(manifest, true));
  bool garbage = false;
  {
    const std::lock_guard lock(mutex);
    note_pin(manifest);
    if (image) {
      note_image(manifest, false);
      manifests[cartridge].image = true;
    }
    garbage = !manifests[cartridge].garbage.empty();
  }
  ASSIGN_OR_RETURN(const auto job, env.catalog->unfinished_job(cartridge));
  // Only so, and by a start that was killed before it came here, it has no job.
  const bool archiving = row->status == TapeStatus::archiving;
  const bool lost = !job && (archiving || row->status == TapeStatus::detaching);
  // A job that a start found first asks what has become of the cartridge: it may be somebody else's
  // and even gone, and nothing is put of it before that is known.
  const bool asks = lost || (job && job->parameters.contains("found"));
  const bool dirty = !asks && (garbage || row->uploaded_manifest_generation == 0 ||
                               row->uploaded_manifest_generation != manifest.generation);
  if (dirty || asks) {
    // Its last edit may be in the page cache only, left there by a killed program; the store must
    // not have what a power loss can still take back here.
    ASSIGN_OR_RETURN(const auto file,
                     env.files->open(manifest_path_of(cartridge), OpenMode::read_write));
    TRY(file->sync());
  }
  watch_manifest(cartridge, manifest.generation, dirty, false);
  if (!lost) return {};
  TRY(begin_job(archiving ? JobKind::archive : JobKind::detach, *row,
                {{"before", std::string(to_string(TapeStatus::available))}, {"found", "yes"}}));
  return {};
}

// A removal or a takeover that was cut short: nothing tells what it was, and nothing of it is left.
Result<bool> Shelf::State::is_left_over(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const bool known, env.files->exists(manifest_path_of(cartridge)));
  if (known) return false;
  ASSIGN_OR_RETURN(const auto names, env.files->list(directory_of(cartridge)));
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.ends_with(".seg") || name.ends_with(".open");
  });
}

// The row's directory is gone: the store may have the manifest.
Status Shelf::State::reconcile_missing(const TapeRow& row) {
  Result<Buffer> image = env.store->get_all(manifest_key(row.uuid));
  if (!image.ok()) {
    if (image.error().code != ErrorCode::not_found) return std::move(image).error();
    TRY(set_status(row.uuid, TapeStatus::irrecoverable));
    return Error(ErrorCode::not_found, "its directory is gone and the store has no manifest of it");
  }
  ASSIGN_OR_RETURN(const ReplayedManifest replayed, decode_manifest(*image, false));
  Manifest manifest = replayed.manifest;
  const bool behind = manifest.properties.contains(kIncompleteProperty) ||
                      row.manifest_generation > manifest.generation;
  const std::string text = property_of(manifest, "status");
  const TapeStatus said = parse_tape_status(text).value_or(TapeStatus::available);
  const bool shelved = said == TapeStatus::archived || row.status == TapeStatus::archived;
  if (!shelved && text != kDetachedStatus) {
    // What is lost may have taken later epochs than the store knows of: no nonce comes twice.
    manifest.epoch = epoch_after_takeover(manifest.epoch);
    ++manifest.generation;
    if (manifest.properties.erase(kIncompleteProperty) > 0 && row.kind == RowKind::tape) {
      manifest.properties[kIncompleteProperty] = "recovered";
    }
    TRY(check_manifest(manifest));
  }
  TRY(env.files->create_directories(directory_of(row.uuid)));
  TRY(env.files->replace_file(manifest_path_of(row.uuid), encode_manifest(manifest)));
  bool store_answers = true;
  TRY(reconcile_cartridge(row.uuid, store_answers));
  // One that neither the disk nor the store had.
  if (row.status == TapeStatus::irrecoverable) TRY(set_status(row.uuid, said));
  if (behind) {
    note_problem(row.uuid, "its directory was gone; what the store had of it may lack the end");
  }
  return {};
}

// Of a job that a restart found: ended between its row and the tape's status, at its beginning or
// at its end. Whoever opens cartridges goes by the status, and the job goes on.
Status Shelf::State::set_status_of_job(const JobRun& run) {
  if (run.cancel) return {};  // nothing more is done to the tape
  ASSIGN_OR_RETURN(const std::optional<TapeRow> tape, env.catalog->tape(run.row.cartridge));
  const auto before = run.row.parameters.find("before");
  if (!tape || before == run.row.parameters.end()) return {};
  if (to_string(tape->status) != before->second) return {};
  return set_status(tape->uuid, status_during(run.row.kind, tape->status));
}

Result<int64_t> Shelf::State::begin_job(JobKind kind, const TapeRow& tape,
                                        std::map<std::string, std::string> parameters) {
  auto run = std::make_shared<JobRun>();
  run->row = make_job(kind, tape.uuid, tape.barcode, env.clock->unix_ms(), std::move(parameters));
  ASSIGN_OR_RETURN(run->row.id, env.catalog->add_job(run->row));
  const Status set = set_status(tape.uuid, status_during(kind, tape.status));
  const int64_t id = run->row.id;
  const std::lock_guard lock(mutex);
  if (!set.ok()) {
    run->failure = set.error();
    run->phase = JobPhase::fail;
  }
  jobs.emplace(id, std::move(run));
  wake_locked(Work::jobs);
  return id;
}

Status Shelf::reconcile() {
  State& s = *state_;
  TRY(s.env.files->create_directories(s.options.cartridges_directory));
  ASSIGN_OR_RETURN(const std::vector<JobRow> unfinished, s.env.catalog->unfinished_jobs());
  for (const JobRow& row : unfinished) {
    // Those of EBS snapshots are gone on with by who does them.
    if (row.kind == JobKind::snapshot_pull || row.kind == JobKind::snapshot_restore) continue;
    if (row.kind == JobKind::verify || row.kind == JobKind::export_tape ||
        row.kind == JobKind::import_volume || row.kind == JobKind::export_volume) {
      JobRow ended = row;
      ended.state = JobState::failed;
      ended.error = "interrupted by a restart";
      ended.updated_ms = s.env.clock->unix_ms();
      TRY(s.env.catalog->update_job(ended));
      continue;
    }
    auto run = std::make_shared<JobRun>();
    run->row = row;
    run->cancel = row.parameters.contains("cancel");
    TRY(s.set_status_of_job(*run));
    const std::lock_guard lock(s.mutex);
    if (row.kind == JobKind::delete_tape) s.deleting.insert(row.cartridge);
    s.jobs.emplace(row.id, std::move(run));
    s.wake_locked(Work::jobs);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   s.env.files->list(s.options.cartridges_directory));
  std::set<Uuid> found;
  bool store_answers = true;
  for (const std::string& name : names) {
    const std::optional<Uuid> uuid = Uuid::parse(name);
    if (!uuid) continue;
    if (const Result<bool> left_over = s.is_left_over(*uuid); left_over.ok() && *left_over) {
      const Status removed = s.remove_local(*uuid);
      if (!removed.ok()) s.note_problem(*uuid, removed.error().message());
      continue;
    }
    found.insert(*uuid);
    const Status done = s.reconcile_cartridge(*uuid, store_answers);
    // One damaged cartridge must not keep the others from being served.
    if (!done.ok()) s.note_problem(*uuid, done.error().message());
  }
  ASSIGN_OR_RETURN(std::vector<TapeRow> rows, s.env.catalog->tapes());
  ASSIGN_OR_RETURN(const std::vector<TapeRow> images, s.env.catalog->images());
  rows.insert(rows.end(), images.begin(), images.end());
  for (const TapeRow& row : rows) {
    if (found.contains(row.uuid) || row.status == TapeStatus::deleting ||
        row.status == TapeStatus::creating) {
      continue;
    }
    const Status done = s.reconcile_missing(row);
    if (!done.ok()) s.note_problem(row.uuid, done.error().message());
  }
  TRY(s.recheck_at_start());
  s.wake(Work::uploads);
  s.wake(Work::eviction);
  TRY(s.flush_rows());
  s.count_buffer();
  return {};
}

Status Shelf::adopt(const Manifest& manifest, const std::string& pool, TapeStatus status) {
  State& s = *state_;
  TRY(s.enter_tape(manifest, pool, status));
  TRY(s.sync_rows(manifest, false));
  {
    const std::lock_guard lock(s.mutex);
    s.note_pin(manifest);
    if (manifest.kind == CartridgeKind::image) {
      s.note_image(manifest, false);
      s.manifests[manifest.uuid].image = true;
    }
  }
  s.watch_manifest(manifest.uuid, manifest.generation, true, false);
  s.wake(Work::uploads);
  return {};
}

Result<int64_t> Shelf::archive(const Uuid& cartridge) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow tape, s.tape_row(cartridge));
  ASSIGN_OR_RETURN(const bool on_shelf, s.is_lost_on_shelf(tape));
  if (on_shelf) return wrong_status(tape, "it was archived; retrieve it");
  // One that was lost may be tried again: it goes on where it failed.
  if (tape.status != TapeStatus::available && tape.status != TapeStatus::retrieved &&
      tape.status != TapeStatus::recovered && tape.status != TapeStatus::irrecoverable) {
    return wrong_status(tape, "it cannot be archived now");
  }
  TRY(s.check_owned(cartridge));
  TRY(s.class_of_pool(tape.pool));
  if (tape.kind == RowKind::image) TRY(s.check_no_clones(tape));
  TRY(s.check_closed(tape));
  return s.begin_job(JobKind::archive, tape, {{"before", std::string(to_string(tape.status))}});
}

Result<int64_t> Shelf::remove(const Uuid& cartridge) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow tape, s.tape_row(cartridge));
  if (tape.locked_until_ms > s.env.clock->unix_ms()) {
    return Error(ErrorCode::write_protected,
                 "tape " + tape.barcode + " is locked (" + tape.lock_mode + ") until " +
                     format_utc(tape.locked_until_ms) + "; it cannot be deleted before");
  }
  if (tape.kind == RowKind::image) TRY(s.check_no_clones(tape));
  switch (tape.status) {
    case TapeStatus::creating:
    case TapeStatus::available:
    case TapeStatus::archived:
    case TapeStatus::retrieved:
    case TapeStatus::recovered:
    case TapeStatus::irrecoverable:
    case TapeStatus::deleting:  // a deletion that failed is asked for again
      TRY(s.env.catalog->check_no_job(cartridge));
      if (s.env.ownership != nullptr) {
        // Whose it is, is said at once; the job asks again when the store does not answer now. Only
        // the job says in the store that it is being deleted: a request that is refused, or ends
        // here, must leave nothing there that a rebuild would go on with.
        const Status ours = s.env.ownership->may_delete(cartridge);
        if (!ours.ok() && !is_passing(ours.error())) return ours.error();
      }
      return s.begin_job(JobKind::delete_tape, tape,
                         {{"before", std::string(to_string(tape.status))}});
    default:
      return wrong_status(tape, "it cannot be deleted now");
  }
}

Status Shelf::cancel_archive(const Uuid& cartridge) {
  return state_->cancel_job(cartridge, JobKind::archive);
}

Status Shelf::cancel_retrieve(const Uuid& cartridge) {
  return state_->cancel_job(cartridge, JobKind::retrieve);
}

Status Shelf::cancel_reassign(const Uuid& cartridge) {
  return state_->cancel_job(cartridge, JobKind::reassign);
}

}  // namespace coldshelf
