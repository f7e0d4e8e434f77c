// A job's work on its objects, several at a time.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr size_t kMaxOutstanding = 64;  // objects of one job handed out at a time
constexpr size_t kRefillBelow = 16;
constexpr size_t kProbe = 16;  // restores seen still going on before the rest is left for later
}  // namespace

Status Shelf::State::load_rows(JobRun& run) {
  ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(run.row.cartridge));
  TRY(sync_rows(manifest, false));
  ASSIGN_OR_RETURN(std::vector<SegmentRow> rows, env.catalog->segments(run.row.cartridge));
  ASSIGN_OR_RETURN(const std::vector<SegmentEntry> wanted,
                   select_segments(manifest, parts_of(run)));
  std::set<std::pair<uint64_t, uint64_t>> named;
  for (const SegmentEntry& e : wanted) named.insert({e.sequence, e.epoch});
  std::erase_if(rows, [&](const SegmentRow& row) {
    return !named.contains({row.sequence, row.epoch});
  });
  const std::lock_guard lock(mutex);
  run.rows = std::move(rows);
  run.is_ready.assign(run.rows.size(), false);
  run.extended.assign(run.rows.size(), false);
  run.ready = 0;
  run.row.total_objects = run.rows.size();
  run.row.total_bytes = 0;
  for (const SegmentRow& row : run.rows) run.row.total_bytes += row.stored_bytes;
  return {};
}

Result<PoolRow> Shelf::State::pool_row(const std::string& pool) {
  ASSIGN_OR_RETURN(std::optional<PoolRow> row, env.catalog->pool(pool));
  if (!row) return Error(ErrorCode::invalid_argument, "no pool " + pool);
  if (parse_storage_class(row->storage_class)) return std::move(*row);
  return Error(ErrorCode::invalid_argument,
               "pool " + pool + " has an unknown storage class " + row->storage_class);
}

Result<StorageClass> Shelf::State::class_of_pool(const std::string& pool) {
  ASSIGN_OR_RETURN(const PoolRow row, pool_row(pool));
  return *parse_storage_class(row.storage_class);
}

Result<StorageClass> Shelf::State::class_for_upload(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const std::optional<TapeRow> tape, env.catalog->tape(cartridge));
  if (!tape) return StorageClass::standard;
  ASSIGN_OR_RETURN(const std::optional<PoolRow> pool, env.catalog->pool(tape->pool));
  if (!pool || pool->mode != "direct") return StorageClass::standard;
  return parse_storage_class(pool->storage_class).value_or(StorageClass::standard);
}

bool Shelf::State::is_cold(const SegmentRow& row) const {
  const auto storage_class = parse_storage_class(row.storage_class);
  return storage_class && needs_restore(*storage_class) &&
         row.restored_until_ms <= env.clock->unix_ms();
}

void Shelf::State::begin_sweep(JobRun& run) {
  const std::lock_guard lock(mutex);
  run.turn.clear();
  run.next = 0;
  run.still_waiting = 0;
  run.error.reset();
  run.ready_before = run.ready;
  for (size_t i = 0; i < run.is_ready.size(); ++i) {
    if (!run.is_ready[i]) run.turn.push_back(i);
  }
}

Result<bool> Shelf::State::sweep(JobRun& run) {
  std::optional<Error> error;
  {
    const std::lock_guard lock(mutex);
    const bool restores = run.row.kind == JobKind::retrieve || run.row.kind == JobKind::reassign;
    const bool polling = restores && !run.first_sweep;
    if (run.error || run.cancel || (polling && run.still_waiting >= kProbe)) {
      run.turn.resize(run.next);
    }
    // A poll looks at a few first; only when one of them is back, at the others.
    const size_t window = polling && run.ready == run.ready_before ? kProbe : kMaxOutstanding;
    size_t room = window - std::min(window, run.outstanding);
    room = std::min(room, run.turn.size() - run.next);
    int64_t at_ms = 0;
    if (restores && room > 0) room = take_restore_tokens(room, at_ms);
    for (; room > 0; --room) {
      object_queue.push_back({run.row.id, run.turn[run.next++]});
      ++run.outstanding;
    }
    if (run.outstanding > 0) {
      run.not_before_ms = kNever;  // the objects wake it
      wake_locked(Work::objects);
      return false;
    }
    if (run.next < run.turn.size()) {
      run.not_before_ms = at_ms;  // no request is left for now
      return false;
    }
    error = run.error;
  }
  if (error) {
    begin_sweep(run);  // the next attempt takes what is left
    return *error;
  }
  return true;
}

bool Shelf::State::objects_step() {
  ObjectTask task;
  std::optional<SegmentId> id;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::objects) = kNever;
    bool found = false;
    for (size_t tries = object_queue.size(); tries > 0 && !found; --tries) {
      task = object_queue.front();
      object_queue.pop_front();
      id = segment_of(task);
      if (id && !busy.insert(*id).second) {
        object_queue.push_back(task);  // an eviction or a recall is at it
        continue;
      }
      found = true;
    }
    if (!object_queue.empty()) {
      wake_locked(Work::objects, found ? 0 : now_ms() + 20);
      grow_uploads(options.transfer_threads);
    }
    if (!found) return false;
  }
  std::shared_ptr<JobRun> run;
  {
    const std::lock_guard lock(mutex);
    const auto at = jobs.find(task.job);
    if (at != jobs.end()) run = at->second;
  }
  Result<bool> result = run == nullptr ? Result<bool>(false) : do_object(*run, task.index);
  {
    const std::lock_guard lock(mutex);
    if (id) busy.erase(*id);
  }
  object_finished(task, result);
  return true;
}

// Called with the lock held.
std::optional<SegmentId> Shelf::State::segment_of(const ObjectTask& task) {
  const auto at = jobs.find(task.job);
  if (at == jobs.end() || task.index >= at->second->rows.size()) return std::nullopt;
  return id_of(at->second->rows[task.index]);
}

void Shelf::State::object_finished(const ObjectTask& task, const Result<bool>& result) {
  const std::lock_guard lock(mutex);
  changed.notify_all();
  const auto at = jobs.find(task.job);
  if (at == jobs.end()) return;
  JobRun& run = *at->second;
  --run.outstanding;
  if (!result.ok()) {
    // A lasting failure counts more than a passing one.
    if (!run.error || is_passing(*run.error)) run.error = result.error();
  } else if (*result) {
    run.is_ready[task.index] = true;
    ++run.ready;
  } else {
    ++run.still_waiting;
  }
  if (run.row.kind != JobKind::delete_tape) {
    run.row.done_objects = run.ready;
    run.row.done_bytes = run.row.total_objects == 0
                             ? 0
                             : static_cast<uint64_t>(static_cast<double>(run.row.total_bytes) *
                                                     static_cast<double>(run.ready) /
                                                     static_cast<double>(run.row.total_objects));
  } else if (result.ok() && *result) {
    ++run.row.done_objects;
    run.row.total_objects = std::max(run.row.total_objects, run.row.done_objects);
  }
  const bool more = run.next < run.turn.size() && !run.error;
  if (run.outstanding == 0 || (more && run.outstanding < kRefillBelow)) {
    run.not_before_ms = 0;
    wake_locked(Work::jobs);
  }
}

Result<bool> Shelf::State::do_object(JobRun& run, size_t index) {
  switch (run.row.kind) {
    case JobKind::archive:
    case JobKind::reassign:
      return settle_object(run, index);
    case JobKind::retrieve:
      return restore_object(run, index);
    case JobKind::hold:
      return hold_object(run, index);
    default: {
      std::string key;
      {
        const std::lock_guard lock(mutex);
        key = run.keys[index];
      }
      TRY(env.store->remove(key));
      return true;
    }
  }
}

// A second look, of another kind than the one that did not find it: a loss is final.
Status Shelf::State::confirm_missing(const std::string& key) {
  ASSIGN_OR_RETURN(const ObjectStore::ListPage page, env.store->list(key, "", 1));
  if (page.objects.empty() || page.objects.front().key != key) return {};
  return Error(ErrorCode::unavailable, key + ": the store lists it and does not find it");
}

// The store does not have the object, or has another one in its place.
Result<bool> Shelf::State::object_lost(JobRun& run, const SegmentRow& row, const std::string& why) {
  ASSIGN_OR_RETURN(const bool local, env.files->exists(segment_path_of(id_of(row))));
  if (local && run.row.kind == JobKind::archive) {
    SegmentRow again = row;
    again.state = SegmentState::sealed;
    again.local = true;
    again.object_sha256.reset();
    TRY(env.catalog->put_segments({again}));
    const std::lock_guard lock(mutex);
    run.upload_again = true;
    return false;
  }
  {
    const std::lock_guard lock(mutex);
    run.data_lost = run.data_lost || !local;
  }
  return Error(ErrorCode::corrupt, describe(id_of(row)) + ": " + why);
}

Result<bool> Shelf::State::enter_settled(JobRun& run, SegmentRow row, const ObjectInfo& object) {
  TRY(lock_object(run, segment_key(row.cartridge, row.sequence, row.epoch)));
  row.storage_class = to_string(object.storage_class);
  row.restored_until_ms = object.restored_until_ms;
  if (!row.object_sha256) row.object_sha256 = object.sha256;
  TRY(env.catalog->put_segments({row}));
  return true;
}

// Archive and reassign: the object is in the pool's class, with the right size and digest, and
// locked where the pool says so. What an archive finds in one that wants a restore stays there. A
// reassigned one is restored first when it must be.
Result<bool> Shelf::State::settle_object(JobRun& run, size_t index) {
  SegmentRow row;
  std::string pool;
  {
    const std::lock_guard lock(mutex);
    row = run.rows[index];
    const auto to = run.row.parameters.find("pool");
    if (to != run.row.parameters.end()) pool = to->second;
  }
  const bool may_restore = run.row.kind == JobKind::reassign;
  const SegmentId id = id_of(row);
  const std::string key = segment_key(id.cartridge, id.sequence, id.epoch);
  if (pool.empty()) {
    ASSIGN_OR_RETURN(const TapeRow tape, tape_row(id.cartridge));
    pool = tape.pool;
  }
  ASSIGN_OR_RETURN(const StorageClass target, class_of_pool(pool));
  // The row as it is now: eviction may have been at it.
  ASSIGN_OR_RETURN(const auto fresh, env.catalog->segment(id.cartridge, id.sequence, id.epoch));
  if (fresh) row = *fresh;
  for (int looked = 0; looked < 2; ++looked) {
    Result<ObjectInfo> head = env.store->head(key);
    if (!head.ok() && head.error().code == ErrorCode::not_found) {
      TRY(confirm_missing(key));
      return object_lost(run, row, "the store does not have it any more: " + head.error().context);
    }
    if (!head.ok() && head.error().code == ErrorCode::corrupt) {
      return object_lost(run, row, head.error().context);
    }
    if (!head.ok()) return std::move(head).error();
    if (head->size != row.stored_bytes ||
        (row.object_sha256 && head->sha256 && *head->sha256 != *row.object_sha256)) {
      return object_lost(run, row, "the store holds something else in its place");
    }
    if (head->storage_class == target) {
      return enter_settled(run, row, *head);
    }
    if (may_restore && needs_restore(head->storage_class) &&
        head->restored_until_ms <= env.clock->unix_ms()) {
      if (!head->restore_ongoing) TRY(ask_restore(run, key));
      return false;
    }
    const Result<ObjectInfo> moved = env.store->change_class(key, target);
    if (may_restore && !moved.ok() && moved.error().code == ErrorCode::cold) return false;
    if (!moved.ok() && moved.error().code == ErrorCode::cold) {
      // Where a reassignment was cut short, for one: nothing restores it, and on the shelf it is.
      log_info("shelf", "segment stays in its archive class",
               {{"segment", describe(id)}, {"class", to_string(head->storage_class)}});
      return enter_settled(run, row, *head);
    }
    if (!moved.ok()) return moved.error();
  }
  return Error(ErrorCode::unavailable,
               key + ": the store does not confirm class " + std::string(to_string(target)));
}

}  // namespace coldshelf
