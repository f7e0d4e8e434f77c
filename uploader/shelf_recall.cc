// Segments coming back for readers, and going when the cache is full.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr size_t kMaxAhead = 64;
constexpr size_t kMaxTouched = 4096;
constexpr int64_t kAheadRetryMs = 10'000;
constexpr size_t kEvictionBatch = 32;
constexpr int64_t kEvictionRetryMs = 1'000;
constexpr int kDamagedTries = 4;
}  // namespace

// Its use counts against eviction; written down with the next rows, at leisure.
void Shelf::State::touch(const SegmentId& id) {
  if (touched.size() < kMaxTouched) touched[id] = env.clock->unix_ms();
  wake_locked(Work::rows, now_ms() + 1'000);
}

Result<std::unique_ptr<File>> Shelf::State::fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                                  int64_t timeout_ms) {
  const SegmentId id = id_of(cartridge, entry);
  {
    const std::lock_guard lock(mutex);
    ++wanted[id];
  }
  auto file = fetch_wanted(id, entry, now_ms() + timeout_ms, timeout_ms);
  const std::lock_guard lock(mutex);
  const auto at = wanted.find(id);
  if (--at->second == 0) wanted.erase(at);
  return file;
}

// The segment's file, be it kept already or only just come.
Result<std::unique_ptr<File>> Shelf::State::open_local(const SegmentId& id) {
  Result<std::unique_ptr<File>> file = env.files->open(segment_path_of(id), OpenMode::read);
  if (file.ok() || file.error().code != ErrorCode::not_found) return file;
  {
    const std::lock_guard lock(mutex);
    const auto at = recalls.find(id);
    if (at == recalls.end() || !at->second->done || at->second->error) return file;
  }
  file = env.files->open(part_path_of(id), OpenMode::read);
  if (file.ok() || file.error().code != ErrorCode::not_found) return file;
  return env.files->open(segment_path_of(id), OpenMode::read);  // it got its name in between
}

Result<std::unique_ptr<File>> Shelf::State::fetch_wanted(const SegmentId& id,
                                                         const SegmentEntry& entry,
                                                         int64_t deadline, int64_t timeout_ms) {
  // A second time only when a read-ahead's segment was evicted just before it was wanted.
  for (int attempt = 0; attempt < 3; ++attempt) {
    Result<std::unique_ptr<File>> file = open_local(id);
    if (file.ok() || file.error().code != ErrorCode::not_found) {
      const std::lock_guard lock(mutex);
      touch(id);
      return file;
    }
    std::unique_lock lock(mutex);
    if (deleting.contains(id.cartridge)) {
      return Error(ErrorCode::not_found, describe(id) + " is being deleted");
    }
    if (attempt == 0) ++reader_waits;
    auto& slot = recalls[id];
    const bool first = slot == nullptr;
    if (first) {
      slot = std::make_shared<Recall>();
      slot->entry = entry;
    }
    const std::shared_ptr<Recall> mine = slot;
    if (running) {
      // A reader waits: before all read-ahead, this segment's own too.
      if (std::erase(ahead_queue, id) > 0 || first) recall_queue.push_back(id);
      wake_locked(Work::recalls);
      while (!mine->done) {
        const int64_t left = deadline - now_ms();
        if (stopping || !running) {
          return Error(ErrorCode::unavailable, "the shelf is stopping");
        }
        if (left <= 0) {
          return Error(ErrorCode::timed_out, describe(id) + " did not come back within " +
                                                 std::to_string(timeout_ms) + " ms");
        }
        changed.wait_for(lock, std::chrono::milliseconds(left));
      }
    } else if (first || std::erase(ahead_queue, id) > 0) {
      lock.unlock();
      run_recall(id);
      lock.lock();
    }
    if (!mine->done) return Error(ErrorCode::unavailable, describe(id) + " is being recalled");
    if (mine->error) return *mine->error;
  }
  return Error(ErrorCode::unavailable, describe(id) + " is evicted as soon as it is recalled");
}

void Shelf::will_need(const Uuid& cartridge, std::span<const SegmentEntry> next) {
  State& s = *state_;
  const size_t count = std::min<size_t>(next.size(), s.options.read_ahead_segments);
  for (const SegmentEntry& entry : next.first(count)) {
    const SegmentId id = id_of(cartridge, entry);
    const Result<bool> local = s.env.files->exists(s.segment_path_of(id));
    if (!local.ok()) continue;  // a hint: the read itself will tell
    if (!*local) {
      // Nothing is asked for what is not retrieved: a reader in one part comes near the next.
      const auto row = s.env.catalog->segment(cartridge, entry.sequence, entry.epoch);
      if (!row.ok() || (row->has_value() && s.is_cold(**row))) continue;
    }
    const std::lock_guard lock(s.mutex);
    if (*local) {
      s.touch(id);
      continue;
    }
    s.read_ahead(id, entry);
  }
}

// False: it is on its way, has failed a moment ago, or the queue is full.
bool Shelf::State::read_ahead(const SegmentId& id, const SegmentEntry& entry) {
  if (ahead_queue.size() >= kMaxAhead || recalls.contains(id)) return false;
  const auto failed = ahead_failed_ms.find(id);
  if (failed != ahead_failed_ms.end()) {
    if (failed->second + kAheadRetryMs > now_ms()) return false;
    ahead_failed_ms.erase(failed);
  }
  auto recall = std::make_shared<Recall>();
  recall->entry = entry;
  recalls.emplace(id, std::move(recall));
  ahead_queue.push_back(id);
  wake_locked(Work::recalls);
  return true;
}

bool Shelf::State::next_recall(std::deque<SegmentId>& queue, SegmentId& id) {
  const std::lock_guard lock(mutex);
  if (queue.empty()) return false;
  id = queue.front();
  queue.pop_front();
  if (!recall_queue.empty() || !ahead_queue.empty()) {
    wake_locked(Work::recalls);
    grow_recalls();
  }
  return true;
}

bool Shelf::State::recalls_step() {
  {
    const std::lock_guard lock(mutex);
    due_of(Work::recalls) = kNever;
  }
  // First what readers wait for: segments, then parts of them; then the same ahead of readers.
  SegmentId id;
  if (next_recall(recall_queue, id)) {
    run_recall(id);
    return true;
  }
  if (help_download(true)) return true;
  if (next_recall(ahead_queue, id)) {
    run_recall(id);
    return true;
  }
  return help_download(false);
}

void Shelf::State::run_recall(const SegmentId& id) {
  std::shared_ptr<Recall> mine;
  {
    std::unique_lock lock(mutex);
    const auto at = recalls.find(id);
    if (at == recalls.end()) return;
    mine = at->second;
    // Being evicted or confirmed right now: these are short.
    while (busy.contains(id) && running && !stopping) {
      changed.wait_for(lock, std::chrono::milliseconds(50));
    }
    busy.insert(id);
  }
  Status done = recall(id, *mine);
  if (!done.ok()) {
    ++download_errors;
    log_warning("shelf", "segment not recalled",
                {{"segment", describe(id)}, {"error", done.error().message()}});
    const bool lost =
        done.error().code == ErrorCode::not_found || done.error().code == ErrorCode::corrupt;
    if (lost) note_problem(id.cartridge, done.error().context);
  }
  const std::lock_guard lock(mutex);
  busy.erase(id);
  recalls.erase(id);
  // A disk that cannot keep what came does not take it from those who have it.
  const bool came = mine->done;
  mine->done = true;
  if (!done.ok()) {
    if (!came) mine->error = done.error();
    if (ahead_failed_ms.size() > 1024) ahead_failed_ms.clear();
    ahead_failed_ms[id] = now_ms();
  }
  wake_locked(Work::eviction);
  if (!pinned.empty() && done.ok()) wake_locked(Work::pins);
  changed.notify_all();
}

void Shelf::State::hand_out(Recall& mine) {
  {
    const std::lock_guard lock(mutex);
    mine.done = true;
  }
  changed.notify_all();
}

Status Shelf::State::recall(const SegmentId& id, Recall& mine) {
  const SegmentEntry& entry = mine.entry;
  ASSIGN_OR_RETURN(const bool there, env.files->exists(segment_path_of(id)));
  if (there) return {};
  ASSIGN_OR_RETURN(std::optional<SegmentRow> row,
                   env.catalog->segment(id.cartridge, id.sequence, id.epoch));
  if (row && is_cold(*row)) {
    // Told at once, and before anything is evicted for it.
    ASSIGN_OR_RETURN(const ObjectInfo head,
                     env.store->head(segment_key(id.cartridge, id.sequence, id.epoch)));
    if (needs_restore(head.storage_class) && head.restored_until_ms <= env.clock->unix_ms()) {
      return Error(ErrorCode::cold, describe(id) + " is in " +
                                        std::string(to_string(head.storage_class)) +
                                        " and this part of the tape is not retrieved");
    }
    row->storage_class = to_string(head.storage_class);
    row->restored_until_ms = head.restored_until_ms;
  }
  if (options.cache_limit_bytes != 0 && may_evict()) {
    const uint64_t room = std::min(entry.stored_bytes, options.cache_limit_bytes);
    ASSIGN_OR_RETURN([[maybe_unused]] const size_t evicted,
                     evict_down_to(options.cache_limit_bytes - room));
  }
  if (row) {
    TRY(env.catalog->set_segment_state(id.cartridge, id.sequence, id.epoch, SegmentState::recalling,
                                       false, row->storage_class));
  }
  Sha256Digest object_sha256{};
  auto came = download(id, entry, object_sha256);
  // What comes damaged in another way each time was damaged on its way.
  for (int again = 0; again < kDamagedTries; ++again) {
    if (came.ok() || came.error().code != ErrorCode::corrupt) break;
    const Sha256Digest before = object_sha256;
    came = download(id, entry, object_sha256);
    if (object_sha256 == before) break;
  }
  Status got;
  if (came.ok()) {
    hand_out(mine);
    got = keep_download(id, **came);
    if (!got.ok()) {
      [[maybe_unused]] const Status gone = discard_part(id);
    }
  } else {
    got = came.error();
  }
  if (row) {
    row->state = got.ok() ? SegmentState::verified : SegmentState::evicted;
    row->local = got.ok();
    if (got.ok()) {
      row->object_sha256 = object_sha256;
      row->last_used_ms = env.clock->unix_ms();
    }
    TRY(env.catalog->put_segments({*row}));
  }
  return got;
}

bool Shelf::State::may_evict() const {
  return env.ownership == nullptr || env.ownership->store_known();
}

Status Shelf::State::evict(const SegmentRow& row) {
  // What the catalog says the store has was said of another store, as long as this one has not
  // shown this gateway's lease.
  if (!may_evict()) {
    return Error(ErrorCode::unavailable,
                 describe(id_of(row)) + " is not evicted before the gateway has its lease");
  }
  const Status removed = env.files->remove(segment_path_of(id_of(row)));
  if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed.error();
  if (env.on_evicted) env.on_evicted(row.cartridge, row.sequence, row.epoch);
  return env.catalog->set_segment_state(row.cartridge, row.sequence, row.epoch,
                                        SegmentState::evicted, false, row.storage_class);
}

Result<size_t> Shelf::State::evict_down_to(uint64_t limit_bytes) {
  ASSIGN_OR_RETURN(const Catalog::Totals totals, env.catalog->totals());
  const uint64_t cached = totals.local_bytes - totals.stored_image_bytes + ranges.view().bytes;
  if (cached <= limit_bytes) return size_t{0};
  uint64_t excess = cached - limit_bytes;
  std::set<Uuid> kept;
  {
    const std::lock_guard lock(mutex);
    kept = pinned;
    // Whoever has these now may have dropped what is here of them.
    for (const auto& [cartridge, why] : fenced) kept.insert(cartridge);
  }
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows,
                   env.catalog->eviction_candidates(kEvictionBatch, kept));
  size_t count = 0;
  for (const SegmentRow& row : rows) {
    if (excess == 0) break;
    const SegmentId id = id_of(row);
    {
      const std::lock_guard lock(mutex);
      if (wanted.contains(id) || !busy.insert(id).second) continue;
    }
    // The row as it is now that nobody else works on the segment: only what the store has confirmed
    // may go.
    const Result<std::optional<SegmentRow>> now =
        env.catalog->segment(id.cartridge, id.sequence, id.epoch);
    Status done;
    bool evicted = false;
    if (!now.ok()) {
      done = now.error();
    } else if (now->has_value() && (*now)->state == SegmentState::verified && (*now)->local) {
      done = evict(**now);
      evicted = done.ok();
    }
    {
      const std::lock_guard lock(mutex);
      busy.erase(id);
    }
    changed.notify_all();
    TRY(std::move(done));
    if (!evicted) continue;
    ++count;
    excess -= std::min(excess, row.stored_bytes);
  }
  return count;
}

bool Shelf::State::eviction_step() {
  {
    const std::lock_guard lock(mutex);
    due_of(Work::eviction) = kNever;
  }
  if (options.cache_limit_bytes == 0) return false;
  if (!may_evict()) {
    wake(Work::eviction, now_ms() + kEvictionRetryMs);
    return false;
  }
  const Result<size_t> evicted = evict_down_to(options.cache_limit_bytes);
  if (!evicted.ok()) {
    log_warning("shelf", "eviction failed", {{"error", evicted.error().message()}});
    wake(Work::eviction, now_ms() + backoff_ms(1));
    return true;
  }
  if (*evicted == kEvictionBatch) wake(Work::eviction);
  // Over the limit with nothing to evict: uploads that finish wake this again; the timer is for
  // segments that were busy.
  if (*evicted != 0) wake(Work::eviction, now_ms() + kEvictionRetryMs);
  return *evicted != 0;
}

}  // namespace coldshelf
