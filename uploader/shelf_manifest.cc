// Manifests, dropped segments and documents.
//
// The order that keeps the store whole at every moment:
//   1. a segment's object is confirmed;
//   2. a manifest that names it goes up;
//   3. a manifest that names it no more goes up;
//   4. its object is deleted.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr int64_t kQuietMs = 500;     // no change for so long: the writer pauses
constexpr int64_t kUrgentGapMs = 20;  // between attempts while a job waits

// Each partition ends before its first segment that the store does not have; true: none does.
bool cut_at_missing(Manifest& manifest, const std::vector<SegmentRow>& rows) {
  std::set<std::pair<uint64_t, uint64_t>> confirmed;
  for (const SegmentRow& row : rows) {
    if (in_store(row.state)) confirmed.insert({row.sequence, row.epoch});
  }
  bool complete = true;
  for (Partition& partition : manifest.partitions) {
    const auto missing = std::find_if(partition.segments.begin(), partition.segments.end(),
                                      [&](const SegmentEntry& e) {
                                        return !confirmed.contains({e.sequence, e.epoch});
                                      });
    complete = complete && missing == partition.segments.end();
    partition.segments.erase(missing, partition.segments.end());
  }
  return complete;
}
}  // namespace

int64_t Shelf::State::interval_ms(const ManifestWatch& watch) const {
  return watch.image ? options.image_interval_ms : options.manifest_interval_ms;
}

void Shelf::State::watch_manifest(const Uuid& cartridge, uint64_t generation, bool dirty,
                                  bool urgent) {
  const std::lock_guard lock(mutex);
  if (deleting.contains(cartridge) || fenced.contains(cartridge)) return;
  ManifestWatch& watch = manifests[cartridge];
  const int64_t now = now_ms();
  watch.announced = std::max(watch.announced, generation);
  if (watch.latest == 0) watch.latest = generation;  // at the start, or the first one of all
  if (dirty && !watch.dirty) {
    watch.dirty = true;
    watch.dirty_since_ms = now;
  }
  if (dirty) watch.changed_ms = now;
  if (urgent) {
    watch.urgent = true;
    watch.not_before_ms = std::min(watch.not_before_ms, now);
  }
  if (watch.dirty) wake_locked(Work::manifests);
}

int64_t Shelf::State::manifest_due_ms(const ManifestWatch& watch) const {
  if (!watch.dirty) return kNever;
  if (watch.urgent || watch.attempts > 0) return std::max(watch.not_before_ms, int64_t{0});
  const int64_t since = watch.uploaded_ms == 0 ? watch.dirty_since_ms : watch.uploaded_ms;
  const int64_t at = std::min(watch.changed_ms + kQuietMs,
                              std::max(since, watch.dirty_since_ms) + interval_ms(watch));
  return std::max(at, watch.not_before_ms);
}

bool Shelf::State::manifests_step() {
  const bool rechecked = recheck_step();
  Uuid cartridge;
  ManifestWatch watch;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::manifests) = kNever;
    const int64_t now = now_ms();
    if (!rechecks.empty()) wake_locked(Work::manifests, std::max(now, recheck_due_ms));
    bool found = false;
    for (auto& [uuid, w] : manifests) {
      const int64_t at = manifest_due_ms(w);
      if (at > now || found) {
        if (at != kNever) wake_locked(Work::manifests, at);
        continue;
      }
      found = true;
      cartridge = uuid;
      watch = w;
    }
    if (!found) return rechecked;
    manifest_busy = cartridge;
  }
  const int64_t started = now_ms();
  const int64_t since = watch.uploaded_ms == 0 ? watch.dirty_since_ms : watch.uploaded_ms;
  const bool may_be_partial = !watch.urgent && started - since >= interval_ms(watch);
  uint64_t generation = 0;
  const Result<Sent> sent = send_manifest(cartridge, watch.announced, may_be_partial, generation);
  if (!sent.ok()) {
    log_warning("shelf", "manifest not uploaded",
                {{"cartridge", cartridge.to_string()}, {"error", sent.error().message()}});
  }
  const std::lock_guard lock(mutex);
  manifest_busy.reset();
  changed.notify_all();
  wake_locked(Work::jobs);
  const auto at = manifests.find(cartridge);
  if (at == manifests.end()) return true;
  ManifestWatch& w = at->second;
  const int64_t now = now_ms();
  if (!sent.ok()) {
    ++upload_errors;
    w.error = sent.error();
    w.not_before_ms = now + backoff_ms(++w.attempts);
  } else {
    w.attempts = 0;
    w.error.reset();
    if (*sent != Sent::waiting) w.uploaded_ms = now;
    if (*sent == Sent::complete && w.announced == generation && w.garbage.empty()) {
      w.dirty = false;
      w.urgent = false;
    } else {
      // The longer a look takes, the rarer it is made.
      w.not_before_ms = now + (w.urgent ? kUrgentGapMs : kQuietMs) + 10 * (now - started);
    }
  }
  wake_locked(Work::manifests, manifest_due_ms(w));
  return sent.ok() ? *sent != Sent::waiting : true;
}

Result<Shelf::State::Sent> Shelf::State::send_manifest(const Uuid& cartridge, uint64_t announced,
                                                       bool may_be_partial, uint64_t& generation) {
  ASSIGN_OR_RETURN(const Manifest local, read_manifest(cartridge));
  Manifest manifest = local;
  generation = local.generation;
  // An edit that is in the file and was not announced may not be synced: a power loss could take
  // it back here, so the store must not have it yet.
  if (local.generation > announced) return Sent::waiting;
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, env.catalog->segments(cartridge));
  std::set<SegmentId> whole = segments_of(local);  // of what may go up in part
  bool complete = true;
  if (local.kind == CartridgeKind::image) {
    std::optional<Manifest> part = storable(local, rows, complete, whole);
    if (!part) return Sent::waiting;
    ASSIGN_OR_RETURN(const bool stands, base_is_stored(local));
    if (!stands) return Sent::waiting;
    manifest = std::move(*part);
  } else {
    complete = cut_at_missing(manifest, rows);
  }
  uint64_t count = 0;
  for (const Partition& partition : manifest.partitions) count += partition.segments.size();
  bool already = false;
  {
    const std::lock_guard lock(mutex);
    const ManifestWatch& watch = manifests[cartridge];
    already = watch.sent_generation == manifest.generation && watch.sent_segments == count;
  }
  if (!complete) {
    // A tape is a prefix of itself, and so is an image: the store holds the part that is safe
    // there.
    if (!may_be_partial || already) return Sent::waiting;
    ASSIGN_OR_RETURN(const bool back, goes_back(manifest, whole));
    if (back) return Sent::waiting;
    manifest.properties["incomplete"] = "true";
  }
  if (!already) {
    {
      // Until it is confirmed nobody knows which one the store has.
      const std::lock_guard lock(mutex);
      manifests[cartridge].sent_generation = UINT64_MAX;
    }
    TRY(put_manifest(local, manifest));
  }
  if (complete) {
    const Status noted = env.catalog->set_uploaded_generation(cartridge, generation);
    if (!noted.ok() && noted.error().code != ErrorCode::not_found) return noted.error();
  }
  {
    const std::lock_guard lock(mutex);
    ManifestWatch& watch = manifests[cartridge];
    watch.sent_generation = manifest.generation;
    watch.sent_segments = count;
    if (manifest.kind == CartridgeKind::image) note_image_sent(manifest);
  }
  collect_garbage(cartridge, manifest);
  return complete ? Sent::complete : Sent::partly;
}

// Whether the manifest in the store is newer than `part`, or names some segments of `whole` that
// `part`, cut from it, does not. What the store has must be found out when the catalog was lost,
// and when the answer to a put was: nobody who looks there, for what is garbage or to rebuild this
// gateway, may find less than before.
Result<bool> Shelf::State::goes_back(const Manifest& part, const std::set<SegmentId>& whole) {
  {
    const std::lock_guard lock(mutex);
    if (manifests[part.uuid].sent_generation != UINT64_MAX) return false;  // it is known
  }
  const Result<Buffer> there = env.store->get_all(manifest_key(part.uuid));
  if (!there.ok()) {
    if (there.error().code == ErrorCode::not_found) return false;
    return there.error();
  }
  const Result<ReplayedManifest> stored = decode_manifest(*there, false);
  if (!stored.ok() && stored.error().code == ErrorCode::corrupt) return false;  // it is replaced
  if (!stored.ok()) return stored.error();
  if (stored->manifest.generation > part.generation) return true;
  const std::set<SegmentId> named = segments_of(part);
  const std::set<SegmentId> before = segments_of(stored->manifest);
  return std::any_of(before.begin(), before.end(), [&](const SegmentId& id) {
    return whole.contains(id) && !named.contains(id);
  });
}

void Shelf::State::collect_garbage(const Uuid& cartridge, const Manifest& in_the_store) {
  const std::lock_guard lock(mutex);
  ManifestWatch& watch = manifests[cartridge];
  if (watch.garbage.empty()) return;
  const std::set<SegmentId> named = segments_of(in_the_store);
  for (auto at = watch.garbage.begin(); at != watch.garbage.end();) {
    if (named.contains(*at)) {
      ++at;
      continue;
    }
    discards.push_back(*at);
    at = watch.garbage.erase(at);
  }
  wake_locked(Work::discards);
}

bool Shelf::State::discards_step() {
  SegmentId id;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::discards) = kNever;
    const auto at = std::find_if(discards.begin(), discards.end(),
                                 [&](const SegmentId& d) { return !busy.contains(d); });
    if (at == discards.end()) {
      // One that is still being uploaded goes when that is done.
      if (!discards.empty()) wake_locked(Work::discards, now_ms() + kQuietMs);
      return false;
    }
    id = *at;
    discards.erase(at);
    busy.insert(id);
  }
  const auto discard = [&]() -> Status {
    TRY(env.store->remove(segment_key(id.cartridge, id.sequence, id.epoch)));
    const Status removed = env.files->remove(segment_path_of(id));
    if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed.error();
    // The row last: while it is there, a restart finds the garbage again.
    return env.catalog->remove_segments(id.cartridge, {{id.sequence, id.epoch}});
  };
  const Status done = discard();
  if (!done.ok()) {
    log_warning("shelf", "dropped segment not deleted",
                {{"segment", describe(id)}, {"error", done.error().message()}});
  }
  if (done.ok()) count_buffer();  // it may have been waiting for the store
  const std::lock_guard lock(mutex);
  busy.erase(id);
  if (done.ok()) {
    discard_failures = 0;
    dropped.erase(id);
    troubles.erase(id);
    if (!discards.empty()) wake_locked(Work::discards);
  } else {
    discards.push_back(id);
    wake_locked(Work::discards, now_ms() + backoff_ms(++discard_failures));
  }
  changed.notify_all();
  return true;
}

bool Shelf::State::documents_step() {
  std::string key;
  Buffer content;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::documents) = kNever;
    if (documents.empty()) return false;
    auto first = documents.extract(documents.begin());
    key = std::move(first.key());
    content = std::move(first.mapped());
  }
  const Status may = may_write();
  const Result<ObjectInfo> put =
      may.ok() ? env.store->put(key, source_of(content), StorageClass::standard)
               : Result<ObjectInfo>(may.error());
  if (!put.ok()) {
    log_warning("shelf", "document not uploaded", {{"key", key}, {"error", put.error().message()}});
  }
  const std::lock_guard lock(mutex);
  if (put.ok()) {
    document_failures = 0;
    if (!documents.empty()) wake_locked(Work::documents);
  } else {
    documents.try_emplace(key, std::move(content));  // unless newer content came meanwhile
    wake_locked(Work::documents, now_ms() + backoff_ms(++document_failures));
  }
  return true;
}

}  // namespace coldshelf
