#include "tape/cartridge/cartridge_state.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"

namespace coldshelf {

CartridgeState::CartridgeState(const CartridgeEnv& environment, const CartridgeOptions& settings,
                               std::string where, std::unique_ptr<ManifestLog> manifest_log,
                               Secret key)
    : env(environment),
      options(settings),
      directory(std::move(where)),
      uuid(manifest_log->manifest().uuid),
      label(manifest_log->manifest().label),
      data_key(std::move(key)),
      manifest(manifest_log->manifest()),
      log_(std::move(manifest_log)) {
  for (size_t p = 0; p < manifest.partitions.size(); ++p) {
    const Partition& part = manifest.partitions[p];
    committed[p] = {part.end_block(), part.end_filemark(), part.plain_bytes()};
  }
  accepted = committed;
}

Status CartridgeState::commit(const std::vector<ManifestEdit>& edits,
                              std::vector<SegmentEntry>* dropped,
                              const std::vector<std::shared_ptr<SegmentFile>>& sealed) {
  Status done;
  {
    const std::lock_guard commit_lock(commit_mutex_);
    done = log_->commit(edits, dropped);
    if (done.ok()) {
      {
        const std::lock_guard lock(mutex);
        for (const ManifestEdit& edit : edits) CHECK(apply_edit(manifest, edit, nullptr).ok());
        for (const auto& segment : sealed) {
          CHECK(!tail.empty() && tail.front() == segment);
          tail.pop_front();
          unsealed_bytes -= segment->guarded.bytes_written;
        }
      }
      // In the order of the edits, with the manifest as it is after them: commit_mutex_ stays
      // held.
      if (env.observer != nullptr) {
        for (size_t i = 0; i < sealed.size(); ++i) {  // edit i adds sealed segment i
          env.observer->segment_sealed(log_->manifest(), std::get<AddSegment>(edits[i]).entry,
                                       sealed[i]->guarded.file_digest);
        }
        if (dropped != nullptr && !dropped->empty()) env.observer->segments_dropped(uuid, *dropped);
        if (sealed.empty()) env.observer->manifest_changed(log_->manifest());
      }
    }
  }
  // An edit that does not apply is the caller's mistake and leaves the log as it was; the rest is
  // the disk's failure.
  if (!done.ok()) fail(done.error());
  changed.notify_all();
  room.notify_all();
  return done;
}

void CartridgeState::record_failure(const Error& why) {
  if (!failure) failure = why;
  accepted = committed;
}

void CartridgeState::fail(const Error& why) {
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    first = !failure.has_value();
    record_failure(why);
  }
  announce_failure(first, why);
}

void CartridgeState::announce_failure(bool first, const Error& why) {
  changed.notify_all();
  room.notify_all();
  if (!first) return;
  log_error("cartridge", "write failed, read-only now",
            {{"label", label}, {"error", why.message()}});
  if (env.observer != nullptr) env.observer->write_failed(uuid, why);
}

Status CartridgeState::failed() const {
  const std::lock_guard lock(mutex);
  if (failure) return *failure;
  return {};
}

Status CartridgeState::sync_segment(const std::shared_ptr<SegmentFile>& segment) {
  const std::lock_guard sync_lock(segment->synced.mutex);
  uint64_t bytes = 0;
  size_t frames = 0;
  PartitionEnd end;
  {
    const std::lock_guard lock(mutex);
    if (failure) return *failure;
    bytes = segment->guarded.bytes_written;
    frames = segment->frame_count();
    end = segment->guarded.end;
  }
  if (bytes == segment->synced.bytes) return {};
  const std::shared_ptr<File> file = segment->file();
  const Status done = file->sync();
  if (!done.ok()) {
    fail_sync(segment, done.error());
    return done;
  }
  const std::lock_guard lock(mutex);
  if (failure) return *failure;  // the end of data may be before these frames by now
  segment->synced.bytes = bytes;
  segment->synced.frames = frames;
  segment->synced.end = end;
  return {};
}

void CartridgeState::fail_sync(const std::shared_ptr<SegmentFile>& segment, const Error& why) {
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    first = !failure.has_value();
    // Every segment from this one on ends where its own last good sync left it. The first that
    // lost something is the last: perhaps this one lost its footer alone, and what follows was
    // synced, too.
    auto at = std::find(tail.begin(), tail.end(), segment);
    bool whole = true;
    while (whole && at != tail.end()) {
      SegmentFile& s = **at;
      whole = s.synced.end.block == s.guarded.end.block;
      s.keep_frames(s.synced.frames);
      s.guarded.end = s.synced.end;
      committed[s.partition()] = s.synced.end;
      ++at;
    }
    for (auto later = at; later != tail.end(); ++later) (*later)->keep_frames(0);
    tail.erase(at, tail.end());
    record_failure(why);
  }
  announce_failure(first, why);
}

Status CartridgeState::sync_directory(const std::vector<std::shared_ptr<SegmentFile>>& entries) {
  const std::lock_guard directory_lock(directory_mutex_);
  TRY(failed());
  const Status done = env.files->sync_directory(directory);
  if (!done.ok()) {
    fail(done.error());
    return done;
  }
  for (const auto& segment : entries) {
    const std::lock_guard sync_lock(segment->synced.mutex);
    segment->synced.directory_entry = true;
  }
  return {};
}

std::string CartridgeState::open_path(uint64_t sequence, uint64_t epoch) const {
  return open_segment_path(directory, sequence, epoch);
}

std::string CartridgeState::sealed_path(uint64_t sequence, uint64_t epoch) const {
  return segment_path(directory, sequence, epoch);
}

void CartridgeState::remove_file(const std::string& path) const {
  const Status done = env.files->remove(path);
  if (done.ok() || done.error().code == ErrorCode::not_found) return;
  log_warning("cartridge", "file not removed", {{"path", path}, {"error", done.error().message()}});
}

}  // namespace coldshelf
