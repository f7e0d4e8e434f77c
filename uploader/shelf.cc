#include "uploader/shelf.h"

#include <algorithm>

#include "base/deadline.h"
#include "base/log.h"
#include "tape/cartridge/segment_listing.h"
#include "tape/format/image_frame.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr int64_t kWaitSliceMs = 10;
constexpr int64_t kLeaseLookMs = 1'000;
constexpr int64_t kFullDiskPauseMs = 500;
constexpr size_t kMaxNewRows = 4096;
constexpr int64_t kMapStaysMs = 30LL * 24 * 3'600'000;
}  // namespace

std::string segment_key(const Uuid& cartridge, uint64_t sequence, uint64_t epoch) {
  return "cartridges/" + cartridge.to_string() + "/segments/" + segment_file_stem(sequence, epoch) +
         ".seg";
}

std::string manifest_key(const Uuid& cartridge) {
  return "cartridges/" + cartridge.to_string() + "/manifest";
}

std::string locked_manifest_key(const Uuid& cartridge, uint64_t generation) {
  return "cartridges/" + cartridge.to_string() + "/locked/" + std::to_string(generation);
}

std::string describe(const SegmentId& id) {
  return "segment " + std::to_string(id.sequence) + " of cartridge " + id.cartridge.to_string();
}

int64_t backoff_ms(unsigned attempts) {
  return std::min<int64_t>(1'000LL << std::min(attempts > 0 ? attempts - 1 : 0U, 10U), 60'000);
}

std::string Shelf::State::directory_of(const Uuid& cartridge) const {
  return join_path(options.cartridges_directory, cartridge.to_string());
}

std::string Shelf::State::segment_path_of(const SegmentId& id) const {
  return segment_path(directory_of(id.cartridge), id.sequence, id.epoch);
}

std::string Shelf::State::manifest_path_of(const Uuid& cartridge) const {
  return join_path(directory_of(cartridge), "manifest");
}

void Shelf::State::wake_locked(Work work, int64_t at_ms) {
  int64_t& due_ms = due_of(work);
  if (at_ms >= due_ms) return;
  due_ms = at_ms;
  changed.notify_all();
}

void Shelf::State::wake(Work work, int64_t at_ms) {
  const std::lock_guard lock(mutex);
  wake_locked(work, at_ms);
}

bool Shelf::State::step(Work work) {
  {
    const std::lock_guard lock(mutex);
    const bool owners_unsure = work == Work::manifests && env.ownership != nullptr &&
                               env.ownership->lapses() != lapses_seen && recheck_due_ms <= now_ms();
    if (due_of(work) > now_ms() && !owners_unsure) return false;
  }
  switch (work) {
    case Work::rows:
      return rows_step();
    case Work::uploads:
      return uploads_step();
    case Work::manifests:
      return manifests_step();
    case Work::discards:
      return discards_step();
    case Work::documents:
      return documents_step();
    case Work::eviction:
      return eviction_step();
    case Work::jobs:
      return jobs_step();
    case Work::objects:
      return objects_step();
    case Work::recalls:
      return recalls_step();
    case Work::ranges:
      return ranges_step();
    case Work::pins:
      return pins_step();
    case Work::leftovers:
      return leftovers_step();
  }
  return false;
}

void Shelf::State::run_thread(const std::vector<Work>& kinds) {
  while (!stopping) {
    for (const Work kind : kinds) {
      if (stopping) return;
      step(kind);
    }
    std::unique_lock lock(mutex);
    int64_t next = kNever;
    for (const Work kind : kinds) next = std::min(next, due_of(kind));
    const int64_t now = now_ms();
    if (stopping || next <= now) continue;
    // Nobody tells when the lease had run out: that is looked at now and then.
    if (env.ownership != nullptr) next = std::min(next, now + kLeaseLookMs);
    if (next == kNever) {
      changed.wait(lock);
    } else {
      changed.wait_for(lock, std::chrono::milliseconds(next - now));
    }
  }
}

// A clean stop leaves the store as complete as a short time allows, so that it can be read without
// this gateway; what does not fit goes up at the next start. On the stopping thread alone.
void Shelf::State::send_what_is_left() {
  const int64_t deadline = now_ms() + options.stop_grace_ms;
  const uint64_t errors_before = upload_errors;
  const auto go_on = [&] { return now_ms() < deadline && upload_errors == errors_before; };
  const auto rows_due_ms = [&] {
    const std::lock_guard lock(mutex);
    return due_of(Work::rows) == kNever ? 0 : due_of(Work::rows);
  };
  // 1. Segments, before the manifests that name them.
  for (bool any = true; any && go_on();) {
    wake(Work::rows);
    wake(Work::uploads);
    any = step(Work::rows);
    any = step(Work::uploads) || any;
    // Not written: the disk is full, and what makes room takes longer than another try.
    if (rows_due_ms() > now_ms()) env.clock->sleep_ms(kFullDiskPauseMs);
  }
  // 2. Every manifest that changed, one a step, and the library's documents.
  size_t changed_manifests = 0;
  {
    const std::lock_guard lock(mutex);
    for (auto& [uuid, watch] : manifests) {
      if (!watch.dirty) continue;
      ++changed_manifests;
      watch.urgent = true;
      watch.not_before_ms = 0;
    }
  }
  for (; changed_manifests > 0 && go_on(); --changed_manifests) {
    wake(Work::manifests);
    step(Work::manifests);
  }
  wake(Work::documents);
  if (go_on()) step(Work::documents);
}

Status Shelf::State::set_status(const Uuid& cartridge, TapeStatus status) {
  ASSIGN_OR_RETURN(TapeRow row, tape_row(cartridge));
  const TapeStatus before = row.status;
  if (before == status) return {};
  TRY(env.catalog->set_tape_status(cartridge, status, env.clock->unix_ms()));
  log_info(
      "shelf", "tape status",
      {{"barcode", row.barcode}, {"before", to_string(before)}, {"status", to_string(status)}});
  wake(Work::pins);
  if (listener) {
    ASSIGN_OR_RETURN(row, tape_row(cartridge));
    listener(row, before);
  }
  return {};
}

void Shelf::State::note_problem(const Uuid& cartridge, const std::string& problem) {
  if (!problem.empty()) {
    log_error("shelf", "problem", {{"cartridge", cartridge.to_string()}, {"problem", problem}});
  }
  const std::lock_guard lock(mutex);
  new_problems[cartridge] = problem;
  wake_locked(Work::rows);
}

Result<TapeRow> Shelf::State::tape_row(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(std::optional<TapeRow> row, env.catalog->tape(cartridge));
  if (!row) return Error(ErrorCode::not_found, "no tape " + cartridge.to_string());
  return std::move(*row);
}

Result<Manifest> Shelf::State::read_manifest(const Uuid& cartridge) {
  ASSIGN_OR_RETURN(const Buffer image, env.files->read_file(manifest_path_of(cartridge)));
  // The cartridge may be appending right now: the part that is whole is a manifest too.
  ASSIGN_OR_RETURN(ReplayedManifest replayed, decode_manifest(image, true));
  if (replayed.manifest.uuid != cartridge) {
    return Error(ErrorCode::corrupt, manifest_path_of(cartridge) + " is of cartridge " +
                                         replayed.manifest.uuid.to_string());
  }
  return std::move(replayed.manifest);
}

Shelf::Shelf(Env env, ShelfOptions options, StatusListener listener)
    : state_(std::make_unique<State>(std::move(env), std::move(options), std::move(listener))) {
  state_->shelf = this;
}

Shelf::~Shelf() { stop(); }

void Shelf::State::spawn(std::vector<Work> kinds, bool nobody_waits) {
  threads.emplace_back([this, nobody_waits, kinds = std::move(kinds)] {
    if (nobody_waits) lower_priority_of_this_thread();
    run_thread(kinds);
  });
}

void Shelf::State::grow_uploads(unsigned wanted_threads) {
  if (!running || stopping || upload_threads >= wanted_threads) return;
  ++upload_threads;
  spawn({Work::objects, Work::uploads}, true);
}

void Shelf::State::grow_recalls() {
  if (!running || stopping || recall_threads >= download_governor.limit()) return;
  ++recall_threads;
  spawn({Work::recalls, Work::ranges}, false);
}

void Shelf::start() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (s.running) return;
  s.running = true;
  s.stopping = false;
  s.grow_uploads(1);
  s.grow_recalls();
  s.spawn({Work::rows, Work::manifests, Work::discards, Work::documents}, false);
  s.spawn({Work::eviction, Work::pins}, false);
  s.spawn({Work::jobs}, false);
  s.spawn({Work::leftovers}, true);
}

void Shelf::stop() {
  State& s = *state_;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(s.mutex);
    s.stopping = true;
    threads.swap(s.threads);
    s.upload_threads = 0;
    s.recall_threads = 0;
  }
  s.changed.notify_all();
  if (!threads.empty()) {
    // A store that does not answer must not keep the program from ending: what is left is taken up
    // at the next start.
    Deadline deadline(s.options.stop_grace_ms, [&s] {
      log_warning("shelf", "transfers given up: the time to stop is over");
      s.env.store->give_up();
    });
    for (std::thread& thread : threads) thread.join();
    if (!deadline.passed()) s.send_what_is_left();
  }
  // What cartridges told last is in the catalog, so that a restart need not find it on the disk.
  const Status flushed = s.flush_rows();
  if (!flushed.ok()) {
    log_warning("shelf", "catalog not written at the end", {{"error", flushed.error().message()}});
  }
  const std::lock_guard lock(s.mutex);
  s.running = false;
  s.stopping = false;
}

bool Shelf::run_once() {
  bool any = false;
  for (size_t i = 0; i < kWorkKinds; ++i) any = state_->step(static_cast<Work>(i)) || any;
  return any;
}

Result<JobRow> Shelf::wait(int64_t job, int64_t timeout_ms) {
  State& s = *state_;
  const int64_t deadline = s.now_ms() + timeout_ms;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<JobRow> row, s.env.catalog->job(job));
    if (!row) return Error(ErrorCode::not_found, "no job " + std::to_string(job));
    if (row->state >= JobState::succeeded) return std::move(*row);
    const int64_t left = deadline - s.now_ms();
    if (left <= 0) {
      return Error(ErrorCode::timed_out, "job " + std::to_string(job) + " is at: " + row->step);
    }
    bool threaded = false;
    {
      std::unique_lock lock(s.mutex);
      threaded = s.running;
      if (threaded && s.jobs.contains(job)) {
        s.changed.wait_for(lock, std::chrono::milliseconds(std::min<int64_t>(left, 1'000)));
      }
    }
    if (!threaded && !run_once()) s.env.clock->sleep_ms(std::min(left, kWaitSliceMs));
  }
}

void Shelf::put_document(const std::string& key, Buffer content) {
  const std::lock_guard lock(state_->mutex);
  state_->documents[key] = std::move(content);
  state_->wake_locked(Work::documents);
}

Shelf::Statistics Shelf::statistics() const {
  State& s = *state_;
  Statistics out;
  out.uploaded_bytes = s.uploaded_bytes;
  out.downloaded_bytes = s.downloaded_bytes;
  out.upload_errors = s.upload_errors;
  out.download_errors = s.download_errors;
  out.reader_waits = s.reader_waits;
  const Result<Catalog::Totals> totals = s.env.catalog->totals();
  if (totals.ok()) {
    out.cache_bytes = totals->local_bytes;
    out.not_uploaded_bytes = totals->not_uploaded_bytes;
  }
  const std::lock_guard lock(s.mutex);
  for (const SegmentRow& row : s.new_rows) {
    out.cache_bytes += row.stored_bytes;
    out.not_uploaded_bytes += row.stored_bytes;
  }
  out.queued_segments = s.new_rows.size() + s.upload_queue.size();
  out.buffer = s.buffer.view();
  out.ranges = s.ranges.view();
  out.cache_bytes += out.ranges.bytes;
  out.uploads_at_once = s.upload_governor.limit();
  out.downloads_at_once = s.download_governor.limit();
  return out;
}

void Shelf::store_overloaded() {
  State& s = *state_;
  if (s.upload_governor.active() > 0) s.upload_governor.overloaded();
  if (s.download_governor.active() > 0) s.download_governor.overloaded();
}

bool Shelf::is_pinned(const Uuid& cartridge) const {
  const std::lock_guard lock(state_->mutex);
  return state_->pinned.contains(cartridge);
}

void Shelf::used(const Uuid& cartridge, const SegmentEntry& entry) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.touch(id_of(cartridge, entry));
}

int64_t Shelf::hold_ms(const Uuid& cartridge) { return state_->buffer.hold_ms(cartridge); }

void Shelf::wrote(const Uuid& cartridge, uint64_t bytes, uint64_t unsealed_bytes) {
  state_->buffer.wrote(cartridge, bytes, unsealed_bytes);
}

void Shelf::closed(const Uuid& cartridge) { state_->buffer.closed(cartridge); }

Result<std::unique_ptr<File>> Shelf::fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                           int64_t timeout_ms) {
  return state_->fetch(cartridge, entry, timeout_ms);
}

void Shelf::segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                           const std::optional<Sha256Digest>& file_sha256) {
  State& s = *state_;
  SegmentRow row;
  row.cartridge = manifest.uuid;
  row.sequence = entry.sequence;
  row.epoch = entry.epoch;
  row.stored_bytes = entry.stored_bytes;
  row.sha256 = entry.sha256;
  row.object_sha256 = file_sha256;
  row.last_used_ms = s.env.clock->unix_ms();
  const bool map = manifest.kind == CartridgeKind::image && entry.partition == kImageMapPartition;
  // A restart begins with the newest map: it goes after everything else.
  if (map) row.last_used_ms += kMapStaysMs;
  s.buffer.sealed(manifest.uuid, entry.stored_bytes);
  bool full = false;
  {
    const std::lock_guard lock(s.mutex);
    s.new_rows.push_back(std::move(row));
    s.wake_locked(Work::rows);
    full = s.new_rows.size() > kMaxNewRows;
  }
  if (full) {
    // The keeper cannot follow: the writer waits for the catalog itself.
    const Status flushed = s.flush_rows();
    if (!flushed.ok()) {
      log_error("shelf", "catalog not written", {{"error", flushed.error().message()}});
    }
  }
  s.manifest_changed(manifest, map);
}

void Shelf::segments_dropped(const Uuid& cartridge, std::span<const SegmentEntry> dropped) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  for (const SegmentEntry& entry : dropped) {
    const SegmentId id = id_of(cartridge, entry);
    std::erase_if(s.new_rows, [&](const SegmentRow& row) { return id_of(row) == id; });
    s.manifests[cartridge].garbage.insert(id);
    s.dropped.insert(id);
  }
}

void Shelf::manifest_changed(const Manifest& manifest) {
  state_->manifest_changed(manifest, false);
}

void Shelf::State::manifest_changed(const Manifest& manifest, bool map_entered) {
  const Usage usage{manifest.plain_bytes(), manifest.stored_bytes(), manifest.generation,
                    manifest.write_protected};
  const bool image = manifest.kind == CartridgeKind::image;
  {
    const std::lock_guard lock(mutex);
    new_usage[manifest.uuid] = usage;
    wake_locked(Work::rows);
    note_pin(manifest);
    if (image) {
      note_image(manifest, map_entered);
      manifests[manifest.uuid].image = true;
    }
  }
  watch_manifest(manifest.uuid, manifest.generation, true, false);
}

void Shelf::write_failed(const Uuid& cartridge, const Error& why) {
  state_->note_problem(cartridge, "writing failed, read-only since: " + why.message());
}

}  // namespace coldshelf
