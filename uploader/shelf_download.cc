// Segments coming down from the store: each in parts, by as many threads as the governor allows.
// What a reader waits for goes before what is read ahead, down to the single part.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr int64_t kPlaceWaitMs = 200;
}  // namespace

bool Shelf::State::is_urgent(const SegmentId& id) const { return wanted.contains(id); }

// Called with the lock held.
bool Shelf::State::may_begin_part(bool urgent) {
  if (!urgent) {
    const bool others = std::any_of(downloads.begin(), downloads.end(), [&](const Download& d) {
      return is_urgent(d.id) && !d.parts->all_taken();
    });
    if (others) return false;
  }
  return download_governor.try_begin();
}

// One part that may_begin_part() has a place for.
bool Shelf::State::run_part(SegmentDownload& parts) {
  const std::optional<size_t> part = parts.take();
  if (!part) {
    download_governor.abandon();
    return false;
  }
  const int64_t began = env.clock->monotonic_ns();
  const uint64_t bytes = parts.run(*part);
  download_governor.finish(bytes, env.clock->monotonic_ns() - began);
  downloaded_bytes += bytes;
  return true;
}

void Shelf::State::part_done() {
  {
    const std::lock_guard lock(mutex);
    const bool more = std::any_of(downloads.begin(), downloads.end(),
                                  [](const Download& d) { return !d.parts->all_taken(); });
    if (more) wake_locked(Work::recalls);
  }
  changed.notify_all();
}

// A part of what another thread has begun; false when there is none, or no place for it.
bool Shelf::State::help_download(bool urgent) {
  std::shared_ptr<SegmentDownload> parts;
  {
    const std::lock_guard lock(mutex);
    const auto at = std::find_if(downloads.begin(), downloads.end(), [&](const Download& d) {
      return is_urgent(d.id) == urgent && !d.parts->all_taken();
    });
    if (at == downloads.end() || !may_begin_part(urgent)) return false;
    parts = at->parts;
    wake_locked(Work::recalls);  // whoever comes to help calls the next, as far as there are places
    grow_recalls();
  }
  const bool did = run_part(*parts);
  part_done();
  return did;
}

// The thread that begins a download stays with it to its end.
Status Shelf::State::run_download(const SegmentId& id,
                                  const std::shared_ptr<SegmentDownload>& parts,
                                  Sha256Digest& object_sha256) {
  std::unique_lock lock(mutex);
  downloads.push_back({id, parts});
  wake_locked(Work::recalls);
  grow_recalls();
  while (!parts->settled()) {
    if (stopping) parts->abandon(Error(ErrorCode::unavailable, "the shelf is stopping"));
    if (parts->all_taken() || !may_begin_part(is_urgent(id))) {
      if (!parts->settled()) changed.wait_for(lock, std::chrono::milliseconds(kPlaceWaitMs));
      continue;
    }
    lock.unlock();
    run_part(*parts);
    part_done();
    lock.lock();
  }
  std::erase_if(downloads, [&](const Download& d) { return d.parts == parts; });
  lock.unlock();
  changed.notify_all();
  Status done = parts->finish(object_sha256);
  if (!done.ok() && is_overload(done.error())) download_governor.overloaded();
  return done;
}

std::string Shelf::State::part_path_of(const SegmentId& id) const {
  return segment_path_of(id) + ".part";
}

Status Shelf::State::discard_part(const SegmentId& id) {
  Status removed = env.files->remove(part_path_of(id));
  if (!removed.ok() && removed.error().code == ErrorCode::not_found) return {};
  return removed;
}

// The segment's bytes, checked, under its part name.
Result<std::shared_ptr<SegmentDownload>> Shelf::State::download(const SegmentId& id,
                                                                const SegmentEntry& entry,
                                                                Sha256Digest& object_sha256) {
  const std::string key = segment_key(id.cartridge, id.sequence, id.epoch);
  TRY(discard_part(id));
  ASSIGN_OR_RETURN(auto file, env.files->open(part_path_of(id), OpenMode::create));
  const auto parts = std::make_shared<SegmentDownload>(*env.store, key, describe(id), entry,
                                                       std::move(file), env.buffers);
  Status done = run_download(id, parts, object_sha256);
  if (done.ok()) return parts;
  [[maybe_unused]] const Status gone = discard_part(id);
  return std::move(done).error();
}

// Readers have the segment already; this makes it part of the cache, in an order that a crash may
// cut short anywhere.
Status Shelf::State::keep_download(const SegmentId& id, SegmentDownload& parts) {
  TRY(parts.sync());
  TRY(env.files->rename(part_path_of(id), segment_path_of(id)));
  return env.files->sync_directory(directory_of(id.cartridge));
}

}  // namespace coldshelf
