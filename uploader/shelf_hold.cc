// Legal holds: a tape's objects stay in the store, whatever somebody tries, until the hold is taken
// away. S3's legal hold has no end of its own. WORM cartridges get one when they are archived.
#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr int64_t kUploadPollMs = 50;

bool says_held(const Manifest& manifest) {
  const auto at = manifest.properties.find(std::string(kLegalHoldProperty));
  return at != manifest.properties.end() && at->second == "on";
}
}  // namespace

// Called with the lock held.
void Shelf::State::note_hold(const Manifest& manifest) {
  if (says_held(manifest)) {
    held.insert(manifest.uuid);
  } else {
    held.erase(manifest.uuid);
  }
}

bool Shelf::is_held(const Uuid& cartridge) const {
  const std::lock_guard lock(state_->mutex);
  return state_->held.contains(cartridge);
}

// For jobs that lock what they move: the tape's own hold, and a WORM cartridge's.
Status Shelf::State::choose_hold(JobRun& run, const TapeRow& tape) {
  bool wanted = tape.worm;
  {
    const std::lock_guard lock(mutex);
    wanted = wanted || held.contains(tape.uuid);
  }
  if (!wanted) return {};
  ASSIGN_OR_RETURN(const StoreCapabilities can, env.store->capabilities());
  if (!can.object_lock) {
    log_warning("shelf", "the store has no Object Lock: held by this gateway alone",
                {{"barcode", tape.barcode}});
    return {};
  }
  const std::lock_guard lock(mutex);
  run.row.parameters["hold"] = "on";
  return {};
}

Result<int64_t> Shelf::hold(const Uuid& cartridge, bool on) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow tape, s.tape_row(cartridge));
  return s.with_shelved(tape, [&] {
    return s.begin_job(
        JobKind::hold, tape,
        {{"before", std::string(to_string(tape.status))}, {"hold", on ? "on" : "off"}});
  });
}

Status Shelf::State::advance_hold(JobRun& run) {
  switch (run.phase) {
    case JobPhase::begin:
      TRY(load_rows(run));
      set_phase(run, JobPhase::transfer, "waiting for uploads");
      return save(run, true);
    case JobPhase::transfer:
      return begin_holding(run);
    case JobPhase::settle: {
      ASSIGN_OR_RETURN(const bool swept, sweep(run));
      if (!swept) return save(run, false);
      bool all = false;
      {
        const std::lock_guard lock(mutex);
        all = run.ready == run.rows.size();
      }
      if (all) {
        set_phase(run, JobPhase::manifest, "writing the manifest");
      } else {
        begin_sweep(run);
      }
      return save(run, true);
    }
    case JobPhase::manifest: {
      // One in the library was edited when the hold was ordered: a drive may have it open now.
      if (status_before(run) != TapeStatus::archived) {
        set_phase(run, JobPhase::finish, "finishing");
        return {};
      }
      const bool on = parameter_of(run, "hold") == "on";
      TRY(edit_manifest(run, {SetProperty{std::string(kLegalHoldProperty), on ? "on" : ""}}));
      ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(run.row.cartridge));
      const std::lock_guard lock(mutex);
      note_hold(manifest);
      return {};
    }
    case JobPhase::confirm:
      return await_manifest(run);
    default: {
      TRY(hold_manifests(run));
      if (status_before(run) == TapeStatus::archived) TRY(give_to_shelf(run.row.cartridge));
      const bool on = parameter_of(run, "hold") == "on";
      return end_job(run, JobState::succeeded, on ? "held" : "released");
    }
  }
}

// Nothing is held that the store does not have.
Status Shelf::State::begin_holding(JobRun& run) {
  TRY(flush_rows());
  TRY(load_rows(run));
  size_t there = 0;
  {
    const std::lock_guard lock(mutex);
    for (const SegmentRow& row : run.rows) there += in_store(row.state) ? 1 : 0;
  }
  if (there < run.rows.size()) {
    look_again(run, kUploadPollMs + static_cast<int64_t>(run.rows.size() / 50));
    return save(run, false);
  }
  ASSIGN_OR_RETURN(const StoreCapabilities can, env.store->capabilities());
  if (!can.object_lock) {
    log_warning("shelf", "the store has no Object Lock: held by this gateway alone",
                {{"barcode", run.row.barcode}});
    set_phase(run, JobPhase::manifest, "writing the manifest");
    return save(run, true);
  }
  if (!set_phase(run, JobPhase::settle, "marking objects")) return {};
  begin_sweep(run);
  return save(run, true);
}

Result<bool> Shelf::State::hold_object(JobRun& run, size_t index) {
  const bool on = parameter_of(run, "hold") == "on";
  SegmentId id;
  {
    const std::lock_guard lock(mutex);
    id = id_of(run.rows[index]);
  }
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(id.cartridge));
  TRY(hold_key(segment_key(id.cartridge, id.sequence, id.epoch), on || tape.worm));
  return true;
}

Status Shelf::State::hold_key(const std::string& key, bool on) {
  ASSIGN_OR_RETURN(ObjectLock lock, env.store->lock_of(key));
  if (lock.legal_hold == on) return {};
  lock.legal_hold = on;
  return env.store->set_lock(key, lock);
}

// The manifest itself has to change when the tape is retrieved. A copy of it is held, as with
// locked pools, so that whoever has the objects can read them; and let go with them.
Status Shelf::State::hold_manifests(JobRun& run) {
  ASSIGN_OR_RETURN(const StoreCapabilities can, env.store->capabilities());
  if (!can.object_lock) return {};
  if (parameter_of(run, "hold") == "on") return lock_manifest(run);
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
  if (tape.worm) return {};
  const std::string prefix = "cartridges/" + run.row.cartridge.to_string() + "/locked/";
  constexpr size_t kPage = 1000;
  std::string from;
  do {
    ASSIGN_OR_RETURN(const ObjectStore::ListPage page, env.store->list(prefix, from, kPage));
    for (const ObjectInfo& object : page.objects) TRY(hold_key(object.key, false));
    from = page.next;
  } while (!from.empty());
  return {};
}

}  // namespace coldshelf
