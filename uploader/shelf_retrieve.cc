// Jobs that restore: retrieve a tape or parts of it, reassign it to a colder pool.
//
// RestoreObject is asked once for each object, at a bounded rate; afterwards a poll looks at a few
// objects, and at the others when one of them is back. Nothing of that is kept in memory alone: the
// store says which restores go on, and a copy that is kept long enough is not asked for again.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/log.h"
#include "uploader/bucket_takeover.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {

constexpr unsigned kReassignDays = 1;  // a restored copy is only needed until it is copied
constexpr int64_t kLongestPollMs = 5 * 60'000;
constexpr int64_t kPollShare = 20;  // of the time waited so far
// S3 may have no expedited capacity for hours: after this while Standard is the faster one.
constexpr int64_t kExpeditedPatienceMs = 15 * 60'000;

Error wrong_status(const TapeRow& tape, const char* what) {
  return Error(ErrorCode::conflict, (tape.kind == RowKind::image ? "image " : "tape ") +
                                        tape.barcode + " is " +
                                        std::string(to_string(tape.status)) + ": " + what);
}

Status check_tier(const std::vector<ObjectGroup>& groups, RestoreTier tier) {
  for (const ObjectGroup& group : groups) {
    if (has_tier(group.storage_class, tier)) continue;
    return Error(ErrorCode::invalid_argument,
                 std::string(to_string(group.storage_class)) + " has no " +
                     std::string(to_string(tier)) +
                     " retrieval; use Standard (within 12 hours) or Bulk (within 48 hours)");
  }
  return {};
}

}  // namespace

// -- requests

size_t Shelf::State::take_restore_tokens(size_t wanted, int64_t& at_ms) {
  const double rate = std::max(1U, options.restore_requests_per_second);
  const double most = std::max(1.0, rate / 10);
  const int64_t now = now_ms();
  if (restore_tokens_ms < 0) {
    restore_tokens = most;
  } else {
    const auto passed = static_cast<double>(now - restore_tokens_ms);
    restore_tokens = std::min(most, restore_tokens + passed * rate / 1000);
  }
  restore_tokens_ms = now;
  const size_t taken = std::min(wanted, static_cast<size_t>(restore_tokens));
  restore_tokens -= static_cast<double>(taken);
  if (taken == 0) {
    at_ms = now + std::max<int64_t>(
                      1, static_cast<int64_t>(std::ceil((1 - restore_tokens) * 1000 / rate)));
  }
  return taken;
}

RestoreTier Shelf::State::tier_of(const JobRun& run) {
  return parse_restore_tier(parameter_of(run, "tier")).value_or(RestoreTier::standard);
}

void Shelf::State::note_first_sweep(JobRun& run) {
  const bool first = parameter_of(run, "asked").empty();
  {
    const std::lock_guard lock(mutex);
    run.first_sweep = first;
  }
  if (first) expect_ready(run, tier_of(run));
}

Status Shelf::State::ask_restore(JobRun& run, const std::string& key) {
  const RestoreTier tier = tier_of(run);
  unsigned days = kReassignDays;
  const std::string kept = parameter_of(run, "days");
  if (!kept.empty()) days = static_cast<unsigned>(std::strtoul(kept.c_str(), nullptr, 10));
  Status asked = env.store->restore(key, tier, std::max(1U, days));
  if (!asked.ok() && asked.error().code == ErrorCode::busy && tier == RestoreTier::expedited &&
      expedited_is_given_up(run)) {
    asked = env.store->restore(key, RestoreTier::standard, std::max(1U, days));
  }
  // RestoreAlreadyInProgress: somebody was faster, or the answer to this one was lost.
  if (!asked.ok() && asked.error().code != ErrorCode::conflict) return asked;
  return {};
}

// Told that there is no expedited capacity: whether the job goes on with Standard. Objects that
// were asked for before keep their tier.
bool Shelf::State::expedited_is_given_up(JobRun& run) {
  {
    const std::lock_guard lock(mutex);
    std::string& refused = run.row.parameters["refused_ms"];
    const int64_t now = env.clock->unix_ms();
    if (refused.empty()) refused = std::to_string(now);
    if (now - std::strtoll(refused.c_str(), nullptr, 10) < kExpeditedPatienceMs) return false;
    std::string& tier = run.row.parameters["tier"];
    if (tier == to_string(RestoreTier::standard)) return true;  // by another object's thread
    tier = to_string(RestoreTier::standard);
  }
  log_warning("shelf", "no expedited capacity, the rest is restored as Standard",
              {{"job", run.row.id}, {"barcode", run.row.barcode}});
  expect_ready(run, RestoreTier::standard);
  return true;
}

void Shelf::State::note_sweep(JobRun& run) {
  const std::lock_guard lock(mutex);
  run.first_sweep = false;
  run.row.parameters["asked"] = "yes";
}

int64_t Shelf::State::restore_poll_ms(const JobRun& run) const {
  const int64_t waited = env.clock->unix_ms() - run.row.created_ms;
  return std::clamp(waited / kPollShare, options.restore_poll_ms,
                    std::max(options.restore_poll_ms, kLongestPollMs));
}

// When the last object should be back: the tier's time, and that of asking for so many.
void Shelf::State::expect_ready(JobRun& run, RestoreTier tier) {
  std::vector<ObjectGroup> groups;
  const std::lock_guard lock(mutex);
  for (const SegmentRow& row : run.rows) {
    if (!is_cold(row)) continue;
    add_objects(groups, *parse_storage_class(row.storage_class), 1, row.stored_bytes);
  }
  std::optional<RestoreTime> time = restore_time(groups, tier);
  if (groups.empty() || !time) return;
  if (const auto here = options.restore_times.find(tier); here != options.restore_times.end()) {
    time = here->second;
  }
  const auto asking = static_cast<int64_t>(1000 * run.rows.size() /
                                           std::max(1U, options.restore_requests_per_second));
  const int64_t at_ms = env.clock->unix_ms() + time->at_most_ms + asking;
  run.row.parameters["expected_ms"] = std::to_string(at_ms);
}

// -- retrieve

std::vector<TapeRange> Shelf::State::parts_of(const JobRun& run) {
  // It was encoded by this program; should it be damaged, all of the tape comes.
  auto parts = decode_parts(parameter_of(run, "parts"));
  return parts.ok() ? std::move(parts).value() : std::vector<TapeRange>();
}

Status Shelf::State::advance_retrieve(JobRun& run) {
  // More of a RETRIEVED tape: it may be open in a drive, so its manifest is left alone.
  const bool in_place = status_before(run) == TapeStatus::retrieved;
  switch (run.phase) {
    case JobPhase::begin:
      return begin_retrieve(run);
    case JobPhase::transfer:
      return await_restores(run);
    case JobPhase::settle:
    case JobPhase::manifest: {
      if (in_place) {
        set_phase(run, JobPhase::finish, "finishing");
        return {};
      }
      run.edited = true;
      std::vector<ManifestEdit> edits = {
          SetProperty{"status", std::string(to_string(TapeStatus::retrieved))},
          SetProperty{"parts", encode_parts(parts_of(run))}};
      ASSIGN_OR_RETURN(const TapeRow row, tape_row(run.row.cartridge));
      // An image is written to a log of its own behind what was archived.
      if (row.kind == RowKind::tape) edits.insert(edits.begin(), SetWriteProtected{true});
      return edit_manifest(run, edits);
    }
    case JobPhase::confirm:
      return await_manifest(run);
    default:
      TRY(note_parts(run));
      TRY(set_status(run.row.cartridge, TapeStatus::retrieved));
      TRY(env.catalog->set_tape_problem(run.row.cartridge, ""));
      return end_job(run, JobState::succeeded, "retrieved");
  }
}

// Into the tape's row: with what was there, when this came in addition.
Status Shelf::State::note_parts(const JobRun& run) {
  std::vector<TapeRange> parts = parts_of(run);
  if (!parts.empty() && status_before(run) == TapeStatus::retrieved) {
    ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
    if (tape.parts.empty()) return {};  // all of it was retrieved before
    ASSIGN_OR_RETURN(std::vector<TapeRange> had, decode_parts(tape.parts));
    for (const TapeRange& part : parts) {
      if (std::find(had.begin(), had.end(), part) == had.end()) had.push_back(part);
    }
    parts = std::move(had);
  }
  return env.catalog->set_tape_parts(run.row.cartridge, encode_parts(parts));
}

Status Shelf::State::begin_retrieve(JobRun& run) {
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
  if (status_before(run) != TapeStatus::retrieved) {
    if (tape.status == TapeStatus::retrieved) {
      set_phase(run, JobPhase::finish, "finishing");
      return {};
    }
    TRY(set_status(run.row.cartridge, TapeStatus::retrieving));
  }
  TRY(load_rows(run));
  note_first_sweep(run);
  begin_sweep(run);
  set_phase(run, JobPhase::transfer, "asking for the segments to be restored");
  return save(run, true);
}

Status Shelf::State::await_restores(JobRun& run) {
  ASSIGN_OR_RETURN(const bool swept, sweep(run));
  if (!swept) return save(run, false);
  note_sweep(run);
  {
    const std::lock_guard lock(mutex);
    // The copies restored first may have expired before the last one came.
    const int64_t now = env.clock->unix_ms();
    for (size_t i = 0; i < run.rows.size(); ++i) {
      if (run.is_ready[i] && run.rows[i].restored_until_ms <= now) {
        run.is_ready[i] = false;
        --run.ready;
      }
    }
  }
  return restores_swept(run, "are back");
}

// The manifest when all are ready, else another look at what is left.
Status Shelf::State::restores_swept(JobRun& run, const char* what) {
  bool all = false;
  {
    const std::lock_guard lock(mutex);
    all = run.ready == run.rows.size();
    if (!all) {
      run.row.step = "waiting for restores: " + std::to_string(run.ready) + " of " +
                     std::to_string(run.rows.size()) + " segments " + what;
    }
  }
  if (all) {
    set_phase(run, JobPhase::manifest, "writing the manifest");
  } else {
    begin_sweep(run);
    look_again(run, restore_poll_ms(run));
  }
  return save(run, true);
}

// Readable now; else a restore is under way.
Result<bool> Shelf::State::restore_object(JobRun& run, size_t index) {
  SegmentRow row;
  bool extended = false;
  const std::string days = parameter_of(run, "days");
  int64_t enough_ms = 0;  // a copy that is kept until then need not be asked for
  {
    const std::lock_guard lock(mutex);
    row = run.rows[index];
    extended = run.extended[index];
    enough_ms = run.row.created_ms + std::strtoll(days.c_str(), nullptr, 10) * options.day_ms;
  }
  const SegmentId id = id_of(row);
  const std::string key = segment_key(id.cartridge, id.sequence, id.epoch);
  Result<ObjectInfo> head = env.store->head(key);
  if (!head.ok() && head.error().code == ErrorCode::not_found) TRY(confirm_missing(key));
  if (!head.ok() &&
      (head.error().code == ErrorCode::not_found || head.error().code == ErrorCode::corrupt)) {
    return object_lost(run, row, head.error().context);
  }
  if (!head.ok()) return std::move(head).error();
  const int64_t now = env.clock->unix_ms();
  int64_t until_ms = kNever;
  if (needs_restore(head->storage_class)) {
    until_ms = head->restored_until_ms > now ? head->restored_until_ms : 0;
    if (head->restore_ongoing) {
      until_ms = 0;
    } else if (until_ms == 0) {
      TRY(ask_restore(run, key));
    } else if (!extended && until_ms < enough_ms) {
      // Of a job before this one, which wanted it for fewer days, whenever it came to be there. It
      // is kept for longer; what the store makes of that is taken as it is.
      TRY(ask_restore(run, key));
      {
        const std::lock_guard lock(mutex);
        run.extended[index] = true;
      }
      ASSIGN_OR_RETURN(const ObjectInfo after, env.store->head(key));
      until_ms = after.restored_until_ms;
    }
  }
  if (until_ms == 0) return false;
  if (until_ms != kNever) {
    TRY(env.catalog->set_restored_until(id.cartridge, id.sequence, id.epoch, until_ms));
  }
  const std::lock_guard lock(mutex);
  run.rows[index].restored_until_ms = until_ms;
  return true;
}

// -- reassign

Status Shelf::State::advance_reassign(JobRun& run) {
  switch (run.phase) {
    case JobPhase::begin:
      return begin_reassign(run);
    case JobPhase::transfer:
    case JobPhase::settle:
      return await_moves(run);
    case JobPhase::manifest: {
      ASSIGN_OR_RETURN(std::vector<ManifestEdit> edits, note_lock(run));
      edits.push_back(SetProperty{"pool", parameter_of(run, "pool")});
      return edit_manifest(run, edits);
    }
    case JobPhase::confirm:
      return await_manifest(run);
    default:
      TRY(lock_manifest(run));
      TRY(give_to_shelf(run.row.cartridge));
      TRY(env.catalog->set_tape_pool(run.row.cartridge, parameter_of(run, "pool")));
      TRY(env.catalog->set_tape_problem(run.row.cartridge, ""));
      return end_job(run, JobState::succeeded, "reassigned");
  }
}

Status Shelf::State::begin_reassign(JobRun& run) {
  ASSIGN_OR_RETURN(const TapeRow tape, tape_row(run.row.cartridge));
  ASSIGN_OR_RETURN(const PoolRow pool, pool_row(parameter_of(run, "pool")));
  choose_lock(run, tape, pool);
  TRY(choose_hold(run, tape));
  ASSIGN_OR_RETURN([[maybe_unused]] const std::vector<ManifestEdit> edits, note_lock(run));
  TRY(load_rows(run));
  note_first_sweep(run);
  begin_sweep(run);
  set_phase(run, JobPhase::transfer, "restoring and copying into " + pool.storage_class);
  return save(run, true);
}

Status Shelf::State::await_moves(JobRun& run) {
  ASSIGN_OR_RETURN(const bool swept, sweep(run));
  if (!swept) return save(run, false);
  note_sweep(run);
  return restores_swept(run, "are moved");
}

// -- what begins them

// An IRRECOVERABLE one that was on the shelf when that was found: its manifest says ARCHIVED still.
Result<bool> Shelf::State::is_lost_on_shelf(const TapeRow& tape) {
  if (tape.status != TapeStatus::irrecoverable) return false;
  ASSIGN_OR_RETURN(const bool here, env.files->exists(manifest_path_of(tape.uuid)));
  if (!here) TRY(reconcile_missing(tape));
  ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(tape.uuid));
  return property_of(manifest, "status") == to_string(TapeStatus::archived);
}

Result<int64_t> Shelf::retrieve(const Uuid& cartridge, const RetrieveRequest& request) {
  State& s = *state_;
  ASSIGN_OR_RETURN(TapeRow tape, s.tape_row(cartridge));
  // The operator knows better, or the store is mended: it is an archived one that is looked at
  // anew.
  ASSIGN_OR_RETURN(const bool lost, s.is_lost_on_shelf(tape));
  if (lost) tape.status = TapeStatus::archived;
  if (tape.status != TapeStatus::archived && tape.status != TapeStatus::retrieved) {
    return wrong_status(tape, "only an ARCHIVED tape is retrieved, or more of a RETRIEVED one");
  }
  return s.with_shelved(tape, [&]() -> Result<int64_t> {
    const unsigned days =
        request.days != 0 ? request.days : std::max(1U, s.options.default_restore_days);
    ASSIGN_OR_RETURN(const Holdings held, holdings(cartridge, request.parts));
    TRY(check_tier(held.stored, request.tier));
    std::map<std::string, std::string> parameters = {
        {"before", std::string(to_string(tape.status))},
        {"tier", std::string(to_string(request.tier))},
        {"days", std::to_string(days)}};
    if (!request.parts.empty()) parameters["parts"] = encode_parts(request.parts);
    return s.begin_job(JobKind::retrieve, tape, std::move(parameters));
  });
}

Result<int64_t> Shelf::reassign(const Uuid& cartridge, const std::string& pool, RestoreTier tier) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow tape, s.tape_row(cartridge));
  if (tape.status != TapeStatus::archived) return wrong_status(tape, "only ARCHIVED is reassigned");
  ASSIGN_OR_RETURN(const StorageClass from, s.class_of_pool(tape.pool));
  ASSIGN_OR_RETURN(const StorageClass to, s.class_of_pool(pool));
  if (coldness(to) <= coldness(from)) {
    return Error(ErrorCode::conflict, "pool " + pool + " (" + std::string(to_string(to)) +
                                          ") is not colder than the tape's pool " + tape.pool +
                                          " (" + std::string(to_string(from)) +
                                          "); an archived tape only moves to a colder one");
  }
  return s.with_shelved(tape, [&]() -> Result<int64_t> {
    ASSIGN_OR_RETURN(Holdings held, holdings(cartridge, {}));
    std::erase_if(held.stored, [&](const ObjectGroup& g) { return g.storage_class == to; });
    TRY(check_tier(held.stored, tier));
    return s.begin_job(JobKind::reassign, tape,
                       {{"before", std::string(to_string(tape.status))},
                        {"pool", pool},
                        {"tier", std::string(to_string(tier))},
                        {"days", std::to_string(kReassignDays)}});
  });
}

Status Shelf::assign_pool(const Uuid& cartridge, const std::string& pool) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow tape, s.tape_row(cartridge));
  if (tape.status != TapeStatus::available && tape.status != TapeStatus::retrieved &&
      tape.status != TapeStatus::recovered) {
    return wrong_status(tape, "its pool cannot be changed now");
  }
  TRY(s.env.catalog->check_no_job(cartridge));
  ASSIGN_OR_RETURN(const StorageClass to, s.class_of_pool(pool));
  ASSIGN_OR_RETURN(const Holdings held, holdings(cartridge, {}));
  for (const ObjectGroup& group : held.stored) {
    if (!needs_restore(group.storage_class) || coldness(to) >= coldness(group.storage_class)) {
      continue;
    }
    return Error(ErrorCode::conflict, "tape " + tape.barcode + " has segments in " +
                                          std::string(to_string(group.storage_class)) +
                                          ", colder than pool " + pool + " (" +
                                          std::string(to_string(to)) + ")");
  }
  // The manifest first: the catalog lags it.
  ASSIGN_OR_RETURN(const auto log, ManifestLog::open(*s.env.files, s.manifest_path_of(cartridge)));
  TRY(log->commit({SetProperty{"pool", pool}}));
  const Manifest& manifest = log->manifest();
  TRY(s.env.catalog->set_tape_pool(cartridge, pool));
  TRY(s.env.catalog->set_tape_usage(cartridge, manifest.plain_bytes(), manifest.stored_bytes(),
                                    manifest.generation, manifest.write_protected));
  s.watch_manifest(cartridge, manifest.generation, true, false);
  return {};
}

std::optional<RestoreTime> Shelf::time_to_restore(const std::vector<ObjectGroup>& groups,
                                                  RestoreTier tier) const {
  const std::optional<RestoreTime> time = restore_time(groups, tier);
  const auto here = state_->options.restore_times.find(tier);
  if (!time || time->at_most_ms == 0 || here == state_->options.restore_times.end()) return time;
  return here->second;
}

Result<Shelf::Holdings> Shelf::holdings(const Uuid& cartridge,
                                        const std::vector<TapeRange>& parts) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const Manifest manifest, s.read_manifest(cartridge));
  ASSIGN_OR_RETURN(const std::vector<SegmentEntry> wanted, select_segments(manifest, parts));
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, s.env.catalog->segments(cartridge));
  std::map<std::pair<uint64_t, uint64_t>, const SegmentRow*> by_name;
  for (const SegmentRow& row : rows) by_name[{row.sequence, row.epoch}] = &row;
  // A catalog that was rebuilt does not know each object's class yet; an archived tape's is its
  // pool's.
  ASSIGN_OR_RETURN(const std::optional<TapeRow> tape, s.env.catalog->tape(cartridge));
  std::optional<StorageClass> likely;
  if (tape && (tape->status == TapeStatus::archived || tape->status == TapeStatus::retrieving ||
               tape->status == TapeStatus::retrieved)) {
    if (const auto pool = s.class_of_pool(tape->pool); pool.ok()) likely = *pool;
  }
  Holdings out;
  for (const SegmentEntry& entry : wanted) {
    const auto at = by_name.find({entry.sequence, entry.epoch});
    auto storage_class =
        at == by_name.end() ? std::nullopt : parse_storage_class(at->second->storage_class);
    if (!storage_class && at != by_name.end() && !at->second->local) storage_class = likely;
    if (!storage_class || at->second->state < SegmentState::uploaded) {
      ++out.not_stored_objects;
      out.not_stored_bytes += entry.stored_bytes;
      continue;
    }
    add_objects(out.stored, *storage_class, 1, entry.stored_bytes);
    const SegmentRow& row = *at->second;
    if (needs_restore(*storage_class) && row.restored_until_ms <= s.env.clock->unix_ms()) {
      add_objects(out.to_restore, *storage_class, 1, entry.stored_bytes);
    } else if (needs_restore(*storage_class)) {
      out.readable_until_ms = out.readable_until_ms == 0
                                  ? row.restored_until_ms
                                  : std::min(out.readable_until_ms, row.restored_until_ms);
    }
  }
  return out;
}

}  // namespace coldshelf
