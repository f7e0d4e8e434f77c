#include "volume/volume_state.h"

#include <algorithm>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"

namespace coldshelf {

namespace {
constexpr int64_t kRetryNs = 1'000'000'000;
constexpr uint64_t kDiskMargin = 16 * MiB;
// Segments: with less beyond what writes need the disk is short, with twice as much no more.
constexpr uint64_t kShortSegments = 2;
}  // namespace

VolumeState::VolumeState(const VolumeEnv& environment, const VolumeOptions& settings,
                         std::string where, std::unique_ptr<ManifestLog> manifest_log, Secret key,
                         uint32_t block_size)
    : env(environment),
      options(settings),
      directory(std::move(where)),
      uuid(manifest_log->manifest().uuid),
      label(manifest_log->manifest().label),
      data_key(std::move(key)),
      block_bytes(block_size),
      files(environment.cartridge, settings.max_open_files, settings.fetch_timeout_ms),
      reader(files, environment.cartridge.buffers, block_size),
      log_(std::move(manifest_log)) {}

Status VolumeState::failed() {
  const std::lock_guard lock(mutex);
  if (failure) return *failure;
  return {};
}

void VolumeState::fail(const Error& why) {
  {
    const std::lock_guard lock(mutex);
    if (failure) return;
    failure = Error(ErrorCode::read_only,
                    "volume " + label + " is read-only after an error: " + why.message());
  }
  changed.notify_all();
  log_error("volume", "write failed, read-only now", {{"label", label}, {"error", why.message()}});
  if (env.cartridge.observer != nullptr) env.cartridge.observer->write_failed(uuid, why);
}

void VolumeState::stop_writes(const Error& why) {
  {
    const std::lock_guard lock(mutex);
    if (failure) return;
    failure =
        Error(ErrorCode::read_only, "volume " + label + " takes no more writes: " + why.message());
  }
  changed.notify_all();
  log_warning("volume", "no more writes", {{"label", label}, {"why", why.message()}});
}

Status VolumeState::commit(const std::vector<ManifestEdit>& edits, const SegmentEntry* sealed,
                           const std::optional<Sha256Digest>& file_digest,
                           std::vector<SegmentEntry>* dropped) {
  Status done;
  bool closed = false;
  {
    const std::lock_guard lock(commit_mutex_);
    done = log_->commit(edits, dropped);
    closed = log_->closed();
    CartridgeObserver* observer = env.cartridge.observer;
    if (done.ok() && observer != nullptr) {
      const Manifest& now = log_->manifest();
      if (sealed != nullptr) observer->segment_sealed(now, *sealed, file_digest);
      if (dropped != nullptr && !dropped->empty()) observer->segments_dropped(uuid, *dropped);
      if (sealed == nullptr) observer->manifest_changed(now);
    }
  }
  // Else it changed nothing, for want of room or because it was refused, and the log goes on.
  if (!done.ok() && closed) fail(done.error());
  return done;
}

// Sealing and maps wait for room on the disk, or for the store; writers need not.
void VolumeState::put_off(const Error& why, bool sealing) {
  bool news = false;
  {
    const std::lock_guard lock(mutex);
    if (failure) return;
    // What would replace the disk's content does so now or not at all.
    if (replacing) {
      pending_maps.pop_back();
      ++maps_done;
      replacing = false;
      replaced = Status(why);
    }
    if (sealing || !pending_maps.empty()) {
      news = !waits_for;
      waits_for = why;
      waits_since = tries;
      sealing_waits = sealing;
      retry_at_ns = env.cartridge.clock->monotonic_ns() + kRetryNs;
    }
  }
  changed.notify_all();
  if (news) {
    log_warning("volume", "sealing put off", {{"label", label}, {"error", why.message()}});
  }
}

void VolumeState::goes_on(bool sealing) {
  const std::lock_guard lock(mutex);
  if (!waits_for || sealing_waits != sealing) return;
  waits_for.reset();
  sealing_waits = false;
  retry_at_ns = 0;
  log_info("volume", "sealing goes on", {{"label", label}});
}

bool VolumeState::retry_due() const {
  const int64_t at = retry_at_ns;
  return at != 0 && env.cartridge.clock->monotonic_ns() >= at;
}

uint64_t VolumeState::margin_for_moves() const {
  return std::min(kDiskMargin, options.segment_bytes / 4);
}

bool VolumeState::has_room_for_moves() const {
  const auto available = env.cartridge.files->available_bytes(directory);
  return !available.ok() || *available >= margin_for_moves();
}

bool VolumeState::has_room_for_writes() {
  const auto available = env.cartridge.files->available_bytes(directory);
  if (!available.ok()) return true;
  uint64_t margin = margin_for_moves() + options.segment_bytes;
  {
    const std::lock_guard lock(mutex);
    margin += kMapEntryBytes * map.extent_count();
  }
  const uint64_t enough = margin + kShortSegments * options.segment_bytes;
  if (*available < enough && !disk_short.exchange(true)) maintenance_due = true;
  if (*available >= enough + kShortSegments * options.segment_bytes) disk_short = false;
  return *available >= margin;
}

Manifest VolumeState::manifest() {
  const std::lock_guard lock(commit_mutex_);
  return log_->manifest();
}

std::optional<std::string> VolumeState::property(const std::string& name) {
  const std::lock_guard lock(commit_mutex_);
  const auto& all = log_->manifest().properties;
  const auto found = all.find(name);
  if (found == all.end()) return std::nullopt;
  return found->second;
}

std::map<std::string, std::string> VolumeState::properties_with_prefix(const std::string& prefix) {
  const std::lock_guard lock(commit_mutex_);
  const auto& all = log_->manifest().properties;
  std::map<std::string, std::string> out;
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    out[at->first.substr(prefix.size())] = at->second;
  }
  return out;
}

uint64_t VolumeState::take_sequence() { return next_sequence++; }

std::shared_ptr<ImageSegment> VolumeState::add_segment(const SegmentId& id,
                                                       const std::string& where,
                                                       const Secret& key) {
  const auto found = slot_of.find(id);
  if (found != slot_of.end()) return slots[found->second];
  auto segment = std::make_shared<ImageSegment>();
  segment->id = id;
  segment->path = segment_path(where, id.sequence, id.epoch);
  segment->own = id.cartridge == uuid;
  segment->encrypted = !key.empty();
  segment->cipher = {key, static_cast<uint32_t>(id.epoch), static_cast<uint32_t>(id.sequence)};
  CHECK(slots.size() < UINT32_MAX);
  segment->slot = static_cast<uint32_t>(slots.size());
  slot_of[id] = segment->slot;
  slots.push_back(segment);
  return segment;
}

void VolumeState::insert_extent(const BlockRange& range, uint32_t slot, uint32_t offset) {
  map.insert(range, slot, offset,
             [this](uint32_t old, uint64_t blocks) { slots[old]->live_blocks -= blocks; });
  slots[slot]->live_blocks += range.count;
}

void VolumeState::erase_extent(const BlockRange& range) {
  map.erase(range, [this](uint32_t old, uint64_t blocks) { slots[old]->live_blocks -= blocks; });
}

void VolumeState::recount_live() {
  for (const auto& segment : slots) {
    if (segment) segment->live_blocks = 0;
  }
  const Status counted = map.for_each_group([&](uint64_t, std::span<const MapEntry> entries) {
    for (const MapEntry& e : entries) slots[e.source]->live_blocks += e.count;
    return Status();
  });
  CHECK(counted.ok());
}

std::string VolumeState::open_path(uint64_t sequence, uint64_t epoch) const {
  return open_segment_path(directory, sequence, epoch);
}

std::string VolumeState::sealed_path(uint64_t sequence, uint64_t epoch) const {
  return segment_path(directory, sequence, epoch);
}

void VolumeState::remove_file(const std::string& path) const {
  const Status done = env.cartridge.files->remove(path);
  if (done.ok() || done.error().code == ErrorCode::not_found) return;
  log_warning("volume", "file not removed", {{"path", path}, {"error", done.error().message()}});
}

// Many flushes at once cost few syncs: a sync serves everybody whose bytes were written when it
// began, and whom it does not serve, the next one does.
Status VolumeState::sync_tail(TailSegment& segment, uint64_t bytes) {
  std::unique_lock lock(segment.sync_mutex);
  const auto durable = [&] { return segment.synced_bytes >= bytes && segment.entry_synced; };
  segment.sync_over.wait(lock, [&] { return !segment.syncing || durable(); });
  if (durable()) return {};
  segment.syncing = true;
  const bool entry = !segment.entry_synced;
  const bool data = segment.synced_bytes < bytes;
  lock.unlock();
  uint64_t covered = data ? bytes : 0;
  const Status done = sync_now(segment, covered, entry);
  lock.lock();
  segment.syncing = false;
  if (done.ok()) {
    segment.synced_bytes = std::max(segment.synced_bytes, covered);
    segment.entry_synced = true;
  }
  segment.sync_over.notify_all();
  return done;
}

// `bytes`: that must be durable, 0: they are; then those that are now, which may be more. An error
// is never retried: after it the kernel may call pages clean that are not on the disk.
Status VolumeState::sync_now(TailSegment& segment, uint64_t& bytes, bool entry) {
  {
    const std::lock_guard lock(mutex);
    if (failure) return *failure;
    if (bytes > 0) bytes = std::max(bytes, segment.written_bytes);
  }
  if (bytes > 0) {
    ++data_syncs;
    const Status done = segment.file->sync();
    if (!done.ok()) {
      fail(done.error());
      return done;
    }
  }
  return entry ? sync_directory() : Status();
}

Status VolumeState::sync_directory() {
  const Status done = env.cartridge.files->sync_directory(directory);
  if (!done.ok()) fail(done.error());
  return done;
}

}  // namespace coldshelf
