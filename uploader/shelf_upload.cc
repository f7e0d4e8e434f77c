// Sealed segments: into the catalog, to the store, confirmed.
#include <algorithm>

#include "base/log.h"
#include "uploader/segment_file_check.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr size_t kQueueRows = 256;
constexpr int64_t kLeaseWaitMs = 500;
constexpr int64_t kTroubleRetryMs = 3'600'000;  // a segment that cannot go up is tried again then
constexpr int64_t kRefusedRetryMs = 60'000;     // and one that may not
constexpr int64_t kWriterPauseMs = 1'000;       // a drive that wrote so long ago does not stream
}  // namespace

Status Shelf::State::flush_rows() {
  // A second flush of the same row could undo what happened to the segment since the first.
  const std::lock_guard flushing(flush_mutex);
  std::vector<SegmentRow> rows;
  std::map<Uuid, Usage> usage;
  std::map<Uuid, std::string> problems;
  std::map<SegmentId, int64_t> uses;
  std::map<Uuid, std::pair<ImageMode, bool>> keeping;
  {
    const std::lock_guard lock(mutex);
    rows.assign(new_rows.begin(), new_rows.end());
    usage.swap(new_usage);
    problems.swap(new_problems);
    uses.swap(touched);
    keeping.swap(new_keeping);
  }
  const auto ignore_missing = [](Status status) -> Status {
    // The tape or segment is gone meanwhile, or was never entered: nothing to keep up to date.
    if (!status.ok() && status.error().code == ErrorCode::not_found) return {};
    return status;
  };
  if (!rows.empty()) {
    TRY(env.catalog->put_segments(rows));
    const std::lock_guard lock(mutex);
    // Rows that a drop took out of the queue meanwhile are in `dropped` and go with the garbage.
    for (const SegmentRow& row : rows) {
      const auto at = std::find_if(new_rows.begin(), new_rows.end(),
                                   [&](const SegmentRow& r) { return id_of(r) == id_of(row); });
      if (at != new_rows.end()) new_rows.erase(at);
    }
    wake_locked(Work::uploads);
  }
  if (!rows.empty()) count_buffer();
  for (const auto& [cartridge, u] : usage) {
    TRY(ignore_missing(
        env.catalog->set_tape_usage(cartridge, u.used, u.stored, u.generation, u.write_protected)));
  }
  for (const auto& [cartridge, problem] : problems) {
    TRY(ignore_missing(env.catalog->set_tape_problem(cartridge, problem)));
  }
  for (const auto& [cartridge, k] : keeping) {
    TRY(ignore_missing(env.catalog->set_image(cartridge, k.first, k.second)));
  }
  if (!keeping.empty()) wake(Work::eviction);
  for (const auto& [id, at_ms] : uses) {
    TRY(ignore_missing(env.catalog->touch_segment(id.cartridge, id.sequence, id.epoch, at_ms)));
  }
  return {};
}

bool Shelf::State::rows_step() {
  {
    const std::lock_guard lock(mutex);
    due_of(Work::rows) = kNever;
    if (new_rows.empty() && new_usage.empty() && new_problems.empty() && touched.empty() &&
        new_keeping.empty()) {
      return false;
    }
  }
  const Status done = flush_rows();
  if (!done.ok()) {
    log_error("shelf", "catalog not written", {{"error", done.error().message()}});
    wake(Work::rows, now_ms() + backoff_ms(1));
  }
  return true;
}

void Shelf::State::count_buffer() {
  const Result<Catalog::Totals> totals = env.catalog->totals();
  if (!totals.ok()) return;  // the next change counts anew
  const std::lock_guard lock(mutex);
  uint64_t bytes = totals->not_uploaded_bytes;
  for (const SegmentRow& row : new_rows) bytes += row.stored_bytes;
  buffer.set_sealed_bytes(bytes);
}

// Hashing a segment again for a store that is this machine's own disk takes from the drives what
// they write with. While they stream, uploads that nobody waits for stand back: not for long, not
// for much, and never so that the buffer or the cache fills for it.
int64_t Shelf::State::yield_ms() {
  if (!options.uploads_yield || stopping) return 0;
  const uint64_t waiting = buffer.view().bytes;
  uint64_t most = options.most_yield_bytes;
  if (options.buffer_limit_bytes != 0) most = std::min(most, options.buffer_limit_bytes / 2);
  if (options.cache_limit_bytes != 0) most = std::min(most, options.cache_limit_bytes / 2);
  const int64_t now = now_ms();
  if (!buffer.written_within(kWriterPauseMs)) {
    yielding_since_ms = 0;
    yielded_enough = false;
    return 0;
  }
  if (yielding_since_ms == 0) yielding_since_ms = now;
  if (waiting >= most || now - yielding_since_ms >= options.longest_yield_ms) yielded_enough = true;
  return yielded_enough || !jobs.empty() ? 0 : kWriterPauseMs;
}

bool Shelf::State::fill_upload_queue() {
  size_t limit = kQueueRows;
  {
    const std::lock_guard lock(mutex);
    limit += busy.size() + troubles.size() + dropped.size();
    limit += fenced.empty() ? 0 : 16 * kQueueRows;  // theirs stand in the way of ours
  }
  std::vector<SegmentRow> rows;
  for (const SegmentState state :
       {SegmentState::sealed, SegmentState::uploaded, SegmentState::uploading}) {
    Result<std::vector<SegmentRow>> found = env.catalog->segments_in_state(state, limit);
    if (!found.ok()) {
      log_error("shelf", "catalog not read", {{"error", found.error().message()}});
      wake(Work::uploads, now_ms() + backoff_ms(1));
      continue;
    }
    rows.insert(rows.end(), found->begin(), found->end());
  }
  const std::lock_guard lock(mutex);
  const int64_t now = now_ms();
  for (SegmentRow& row : rows) {
    const SegmentId id = id_of(row);
    if (busy.contains(id) || dropped.contains(id) || deleting.contains(id.cartridge) ||
        fenced.contains(id.cartridge)) {
      continue;
    }
    const auto trouble = troubles.find(id);
    if (trouble != troubles.end() && trouble->second.not_before_ms > now) {
      wake_locked(Work::uploads, trouble->second.not_before_ms);
      continue;
    }
    upload_queue.push_back(std::move(row));
  }
  filling = false;
  if (!upload_queue.empty()) wake_locked(Work::uploads);
  return !upload_queue.empty();
}

std::optional<SegmentRow> Shelf::State::claim_upload() {
  if (const Status may = may_write(); !may.ok()) {
    // Nothing of the segments' fault: no backoff beyond looking at the lease again.
    const std::lock_guard lock(mutex);
    due_of(Work::uploads) = kNever;
    wake_locked(Work::uploads, now_ms() + (is_passing(may.error()) ? kLeaseWaitMs : 60'000));
    return std::nullopt;
  }
  bool fill = false;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::uploads) = kNever;
    if (upload_pause_until_ms > now_ms()) {
      wake_locked(Work::uploads, upload_pause_until_ms);
      return std::nullopt;
    }
    if (const int64_t wait = yield_ms(); wait > 0) {
      wake_locked(Work::uploads, now_ms() + wait);
      return std::nullopt;
    }
    // Whoever comes back with a place wakes the next.
    if (!upload_governor.try_begin()) return std::nullopt;
    if (upload_queue.empty()) {
      if (filling) {  // whoever fills it wakes the others
        upload_governor.abandon();
        return std::nullopt;
      }
      filling = true;
      fill = true;
    }
  }
  const bool filled = !fill || fill_upload_queue();
  const std::lock_guard lock(mutex);
  while (filled && !upload_queue.empty()) {
    SegmentRow row = std::move(upload_queue.front());
    upload_queue.pop_front();
    wake_locked(Work::uploads);
    const SegmentId id = id_of(row);
    if (busy.contains(id) || dropped.contains(id) || deleting.contains(id.cartridge) ||
        fenced.contains(id.cartridge)) {
      continue;
    }
    busy.insert(id);
    if (!upload_queue.empty()) grow_uploads(upload_governor.limit());
    return row;
  }
  upload_governor.abandon();
  return std::nullopt;
}

bool Shelf::State::uploads_step() {
  std::optional<SegmentRow> row = claim_upload();
  if (!row) return false;
  const SegmentId id = id_of(*row);
  // The queue is a hint: the row may have moved on since it was read.
  Status done;
  bool sent = false;
  const int64_t began = env.clock->monotonic_ns();
  Result<std::optional<SegmentRow>> fresh =
      env.catalog->segment(id.cartridge, id.sequence, id.epoch);
  if (!fresh.ok()) {
    done = std::move(fresh).error();
  } else if (fresh->has_value() && !in_store((*fresh)->state)) {
    row = std::move(*fresh);
    const Result<bool> uploaded = upload_segment(*row);
    if (uploaded.ok()) {
      sent = *uploaded;
    } else {
      done = uploaded.error();
    }
  }
  // A segment the store already had teaches nothing; its bytes count as little.
  upload_governor.finish(sent ? row->stored_bytes : 0, env.clock->monotonic_ns() - began);
  if (!done.ok() && is_overload(done.error())) upload_governor.overloaded();
  upload_finished(*row, done);
  return true;
}

Result<bool> Shelf::State::upload_segment(const SegmentRow& row) {
  const SegmentId id = id_of(row);
  Result<std::unique_ptr<File>> file = env.files->open(segment_path_of(id), OpenMode::read);
  if (!file.ok()) {
    if (file.error().code != ErrorCode::not_found) return std::move(file).error();
    TRY(confirm_remote(row));
    return false;
  }
  if (row.state == SegmentState::uploaded && row.object_sha256) {
    // Put before, and not confirmed yet.
    const Status confirmed = confirm_remote(row);
    if (confirmed.ok()) return false;
    if (is_passing(confirmed.error())) return confirmed.error();
  }
  return send_segment(row, **file);
}

Result<bool> Shelf::State::send_segment(const SegmentRow& row, File& file) {
  const SegmentId id = id_of(row);
  const std::string key = segment_key(id.cartridge, id.sequence, id.epoch);
  const auto check_local = [&] {
    Result<Sha256Digest> found =
        check_segment_file(file, row.stored_bytes, row.sha256, *env.buffers);
    if (found.ok()) return found;
    Error error = std::move(found).error();
    error.context = describe(id) + " is damaged on the local disk: " + error.context;
    return Result<Sha256Digest>(std::move(error));
  };
  // Usually known since the segment was sealed: then the bytes are read once, by the store's put.
  const Result<Sha256Digest> digest =
      row.object_sha256 ? Result<Sha256Digest>(*row.object_sha256) : check_local();
  if (!digest.ok()) return digest.error();
  if (!row.object_sha256) {
    // Its row was made from the manifest, the catalog was lost: the store may have it long since,
    // in a class from which taking it back has a price.
    const Result<ObjectInfo> there = env.store->head(key);
    if (there.ok() && there->size == row.stored_bytes && there->sha256 == *digest) {
      TRY(note_confirmed(row, *there));
      return false;
    }
    if (!there.ok() && is_passing(there.error())) return there.error();
  }
  TRY(env.catalog->set_segment_state(id.cartridge, id.sequence, id.epoch, SegmentState::uploading,
                                     true, row.storage_class));
  TRY(claim_image(id.cartridge));
  PutSource source;
  source.file = &file;
  source.size = row.stored_bytes;
  source.sha256 = *digest;
  source.immutable_path = segment_path_of(id);
  ASSIGN_OR_RETURN(const StorageClass into, class_for_upload(id.cartridge));
  Result<ObjectInfo> done = put_segment(row, source, into);
  if (!done.ok()) {
    // Bytes that do not fit their digest: is it this disk, or the way to the store?
    if (done.error().code == ErrorCode::corrupt) TRY(check_local());
    return std::move(done).error();
  }
  const ObjectInfo put = std::move(done).value();
  uploaded_bytes += row.stored_bytes;
  // 1. It is there; 2. the store, asked on its own, says the same size and digest.
  Result<ObjectInfo> head = env.store->head(key);
  const bool same =
      head.ok() && head->size == row.stored_bytes && (!head->sha256 || *head->sha256 == *digest);
  TRY(env.catalog->set_segment_uploaded(
      id.cartridge, id.sequence, id.epoch, same ? SegmentState::verified : SegmentState::uploaded,
      true, to_string(head.ok() ? head->storage_class : put.storage_class), *digest));
  if (same) return true;
  if (!head.ok() && is_passing(head.error())) return std::move(head).error();
  return Error(ErrorCode::unavailable, key + ": the store does not confirm what was put" +
                                           (head.ok() ? "" : ": " + head.error().message()));
}

// The segment has no local file, or was put before: what the store says of it decides.
Status Shelf::State::confirm_remote(const SegmentRow& row) {
  const SegmentId id = id_of(row);
  const std::string key = segment_key(id.cartridge, id.sequence, id.epoch);
  Result<ObjectInfo> head = env.store->head(key);
  if (!head.ok()) {
    if (head.error().code != ErrorCode::not_found) return std::move(head).error();
    return Error(ErrorCode::not_found,
                 describe(id) + " is neither on the local disk nor in the store");
  }
  if (head->size != row.stored_bytes ||
      (row.object_sha256 && head->sha256 && *row.object_sha256 != *head->sha256)) {
    return Error(ErrorCode::corrupt, describe(id) + ": the object in the store is another one");
  }
  return note_confirmed(row, *head);
}

Status Shelf::State::note_confirmed(const SegmentRow& row, const ObjectInfo& object) {
  const SegmentId id = id_of(row);
  ASSIGN_OR_RETURN(const bool local, env.files->exists(segment_path_of(id)));
  SegmentRow now = row;
  now.state = local ? SegmentState::verified : SegmentState::evicted;
  now.local = local;
  now.storage_class = to_string(object.storage_class);
  now.restored_until_ms = object.restored_until_ms;
  if (!now.object_sha256) now.object_sha256 = object.sha256;
  return env.catalog->put_segments({now});
}

void Shelf::State::upload_finished(const SegmentRow& row, const Status& result) {
  const SegmentId id = id_of(row);
  bool clear_problem = false;
  bool tell_problem = false;
  {
    const std::lock_guard lock(mutex);
    busy.erase(id);
    const int64_t now = now_ms();
    if (result.ok()) {
      upload_failures = 0;
      upload_pause_until_ms = 0;
      clear_problem = troubles.erase(id) > 0;
    } else if (dropped.contains(id) || deleting.contains(id.cartridge)) {
      // Overwritten or deleted meanwhile: its failure is nobody's concern.
    } else if (is_passing(result.error())) {
      ++upload_errors;
      upload_pause_until_ms = now + backoff_ms(++upload_failures);
      wake_locked(Work::uploads, upload_pause_until_ms);
    } else {
      ++upload_errors;
      tell_problem = !troubles.contains(id);
      // Most likely nothing of this segment's: keys or a policy, which somebody is mending.
      const bool refused = result.error().code == ErrorCode::permission;
      if (refused) upload_pause_until_ms = now + backoff_ms(++upload_failures);
      const int64_t again = now + (refused ? kRefusedRetryMs : kTroubleRetryMs);
      troubles[id] = {result.error(), again};
      wake_locked(Work::uploads, again);
    }
    const auto watch = manifests.find(id.cartridge);
    if (watch != manifests.end() && watch->second.dirty) wake_locked(Work::manifests);
    wake_locked(Work::eviction);
    wake_locked(Work::jobs);
    wake_locked(Work::uploads);  // a place is free
  }
  changed.notify_all();
  count_buffer();
  if (!result.ok()) {
    log_warning("shelf", "segment not uploaded",
                {{"segment", describe(id)}, {"error", result.error().message()}});
  }
  if (tell_problem) note_problem(id.cartridge, result.error().context);
  if (clear_problem) note_problem(id.cartridge, "");
}

}  // namespace coldshelf
