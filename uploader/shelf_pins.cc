// Pinned cartridges, and what interrupted uploads left in the store.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr size_t kPinsAhead = 8;  // waiting for a thread at a time: readers go first
constexpr size_t kPage = 256;
constexpr int64_t kLookAgainMs = 60'000;
constexpr int64_t kRoomRetryMs = 1'000;
constexpr int64_t kLeftoverAgeMs = 24 * 3'600'000;  // nobody uploads one segment for that long
constexpr int64_t kLeftoverRetryMs = 3'600'000;
}  // namespace

void Shelf::State::note_pin(const Manifest& manifest) {
  note_hold(manifest);
  const bool image = manifest.kind == CartridgeKind::image;
  const bool on = says_pinned(manifest) || (image && mode_of(manifest) == ImageMode::stored);
  if (on == pinned.contains(manifest.uuid)) return;
  if (on) {
    pinned.insert(manifest.uuid);
    wake_locked(Work::pins);
  } else {
    pinned.erase(manifest.uuid);
    wake_locked(Work::eviction);
  }
}

bool Shelf::State::pins_step() {
  std::set<Uuid> now_pinned;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::pins) = kNever;
    now_pinned = pinned;
  }
  if (now_pinned.empty()) return false;
  // What is cold, or did not fit, may be another day.
  wake(Work::pins, now_ms() + kLookAgainMs);
  size_t begun = 0;
  for (const Uuid& cartridge : now_pinned) {
    const Result<size_t> fetched = fetch_pinned(cartridge);
    if (!fetched.ok()) {
      // What stands in its way may be about to be confirmed, and can go then.
      if (fetched.error().code == ErrorCode::no_space && buffer.view().bytes > 0) {
        wake(Work::pins, now_ms() + kRoomRetryMs);
        continue;
      }
      log_warning("shelf", "pinned tape not fetched",
                  {{"cartridge", cartridge.to_string()}, {"error", fetched.error().message()}});
      continue;
    }
    begun += *fetched;
  }
  return begun > 0;
}

// Whether one more segment fits beside what may not go.
Result<bool> Shelf::State::has_room_for(uint64_t bytes, const std::set<Uuid>& kept) {
  if (options.cache_limit_bytes == 0) return true;
  ASSIGN_OR_RETURN(const Catalog::Totals totals, env.catalog->totals());
  const uint64_t cached = totals.local_bytes - totals.stored_image_bytes + ranges.view().bytes;
  if (cached + bytes <= options.cache_limit_bytes) return true;
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> others, env.catalog->eviction_candidates(1, kept));
  return !others.empty();
}

Result<size_t> Shelf::State::fetch_pinned(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const std::optional<TapeRow> tape, env.catalog->tape(cartridge));
  if (!tape || tape->status == TapeStatus::deleted) {
    const std::lock_guard lock(mutex);
    pinned.erase(cartridge);
    return size_t{0};
  }
  if (tape->status != TapeStatus::available && tape->status != TapeStatus::retrieved &&
      tape->status != TapeStatus::recovered) {
    return size_t{0};
  }
  size_t begun = 0;
  for (uint64_t after = 0;;) {
    ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows,
                     env.catalog->evicted_segments(cartridge, after, kPage));
    if (rows.empty()) return begun;
    after = rows.back().sequence + 1;
    for (const SegmentRow& row : rows) {
      const auto storage_class = parse_storage_class(row.storage_class);
      const bool cold = storage_class && needs_restore(*storage_class) &&
                        row.restored_until_ms <= env.clock->unix_ms();
      if (cold) continue;
      std::set<Uuid> kept;
      {
        const std::lock_guard lock(mutex);
        kept = pinned;
        // The recalls that end wake this again.
        if (ahead_queue.size() >= kPinsAhead) return begun;
      }
      // Images that keep everything here have no part in the cache.
      const bool stored = tape->kind == RowKind::image && tape->mode == ImageMode::stored;
      ASSIGN_OR_RETURN(const bool fits, has_room_for(row.stored_bytes, kept));
      if (!stored && !fits) {
        return Error(ErrorCode::no_space, "pinned tapes do not fit into cache.limit");
      }
      SegmentEntry entry;
      entry.sequence = row.sequence;
      entry.epoch = row.epoch;
      entry.stored_bytes = row.stored_bytes;
      entry.sha256 = row.sha256;
      const std::lock_guard lock(mutex);
      if (read_ahead(id_of(row), entry)) ++begun;
    }
  }
}

// Multipart uploads that an end of this program interrupted cost money and are never completed.
bool Shelf::State::leftovers_step() {
  {
    const std::lock_guard lock(mutex);
    due_of(Work::leftovers) = kNever;
  }
  const Result<size_t> removed = env.store->abort_unfinished("cartridges/", kLeftoverAgeMs);
  if (removed.ok() && *removed > 0) {
    log_info("shelf", "interrupted uploads removed from the store", {{"count", *removed}});
  }
  if (!removed.ok()) {
    log_warning("shelf", "interrupted uploads not looked for",
                {{"error", removed.error().message()}});
  }
  wake(Work::leftovers, now_ms() + (removed.ok() ? kLeftoverAgeMs : kLeftoverRetryMs));
  return true;
}

}  // namespace coldshelf
