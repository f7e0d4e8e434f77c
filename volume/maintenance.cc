#include "volume/maintenance.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/log.h"

namespace coldshelf {

namespace {

std::string hex16(uint64_t v) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(v));
  return text;
}

uint64_t leading_number(const std::string& text) {
  uint64_t v = 0;
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

// The disk is told to begin with what is there when it is so much, so often. While it does, a write
// to the same file may wait for its places: who fills a segment sooner has it begin at the end.
constexpr uint64_t kWritebackBytes = 8 * MiB;
constexpr int64_t kWritebackNs = 100'000'000;

// How long compaction keeps a thread before others have their turn.
constexpr int64_t kTurnNs = 50'000'000;

// What may be tried again: it has changed nothing. A failed sync is the volume's failure by then.
bool passes(const Error& error) {
  return error.disposition == Disposition::no_space || error.disposition == Disposition::retry ||
         error.disposition == Disposition::cold || error.disposition == Disposition::cancelled;
}

}  // namespace

void Maintenance::start_step() {
  state_.maintenance_due = true;
  kick();
}

void Maintenance::used() {
  if (compactor_.used()) start_step();
}

void Maintenance::tick() {
  if (compactor_.tick()) start_step();
}

void Maintenance::kick() {
  if (state_.retry_due()) state_.maintenance_due = true;
  if (!state_.maintenance_due) return;
  {
    const std::lock_guard lock(mutex_);
    if (running_) return;  // it looks again before it ends
    running_ = true;
  }
  jobs_.submit(*state_.env.cartridge.sealers, [this] { run(); });
}

uint64_t Maintenance::start() {
  uint64_t tried = 0;
  {
    const std::lock_guard lock(state_.mutex);
    tried = state_.tries;
  }
  start_step();
  return tried;
}

void Maintenance::run() {
  Clock& clock = *state_.env.cartridge.clock;
  const int64_t began_ns = clock.monotonic_ns();
  while (true) {  // ends when nothing is due
    while (state_.maintenance_due.exchange(false)) {
      for (Did did = step(); did != Did::nothing; did = step()) {
        if (did != Did::moved || clock.monotonic_ns() - began_ns < kTurnNs) continue;
        // Compaction may take hours, and the threads are those of all volumes: whoever has to seal
        // comes first.
        state_.maintenance_due = true;
        jobs_.submit(*state_.env.cartridge.sealers, [this] { run(); });
        return;
      }
    }
    const std::lock_guard lock(mutex_);
    if (state_.maintenance_due) continue;
    running_ = false;
    break;
  }
  state_.changed.notify_all();
}

// Does one thing that is due.
Maintenance::Did Maintenance::step() {
  std::shared_ptr<TailSegment> tail;
  std::optional<PendingMap> pending;
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.failure) return Did::nothing;
    if (!state_.tail.empty() && state_.tail.front()->finished) {
      tail = state_.tail.front();
    } else if (!state_.pending_maps.empty() &&
               state_.pending_maps.front().mark.next_sequence <= state_.sealed_position) {
      pending = state_.pending_maps.front();
    }
    if (tail || pending) ++state_.tries;
  }
  Status done;
  if (tail) {
    done = seal(tail);
  } else if (pending) {
    done = write_pending(*pending);
  } else if (ending_) {
    return Did::nothing;
  } else {
    auto moved = compactor_.step([this] {
      const Points now = points();
      return needed_by_points(now.manifest, now.positions);
    });
    state_.changed.notify_all();  // collect() counts
    if (moved.ok()) return *moved ? Did::moved : Did::nothing;
    // Data that cannot be read now stays where it is.
    log_warning("volume", "compaction put off",
                {{"label", state_.label}, {"error", moved.error().message()}});
    return Did::nothing;
  }
  if (done.ok()) {
    state_.goes_on(tail != nullptr);
  } else if (passes(done.error())) {
    state_.put_off(done.error(), tail != nullptr);
  } else {
    state_.fail(done.error());
  }
  state_.changed.notify_all();
  return done.ok() ? Did::something : Did::nothing;
}

// The digest is made here, from memory or the page cache, not on the way of a write, and as soon as
// there is something: of a whole segment at once it would take a processor away from the writers
// for long.
void Maintenance::digest(uint64_t behind_bytes) {
  const uint64_t asked = digest_asked_;  // first: what is appended is never less
  if (state_.appended_bytes - asked < behind_bytes || digesting_.exchange(true)) return;
  digest_asked_ = state_.appended_bytes.load();
  jobs_.submit(*state_.env.cartridge.sealers, [this] { follow_writer(); });
}

void Maintenance::follow_writer() {
  std::shared_ptr<TailSegment> tail;
  uint64_t end = 0;
  {
    const std::lock_guard lock(state_.mutex);
    if (!state_.tail.empty() && !state_.tail.back()->finished) {
      tail = state_.tail.back();
      end = tail->written_bytes;
    }
  }
  if (tail) {
    const int64_t now = state_.env.cartridge.clock->monotonic_ns();
    const bool due = now - writeback_ns_ >= kWritebackNs;
    if (due) writeback_ns_ = now;
    const Status done = follow_to(*tail, end, due ? kWritebackBytes : UINT64_MAX);
    static_cast<void>(done.ok());  // the sealer tries again
  }
  digesting_ = false;
  digest(kFollowBytes);  // behind those who wait for a thread by now
}

// Handing 8 MiB to the disk takes milliseconds: they are not the writers'.
Status Maintenance::follow_to(TailSegment& t, uint64_t end, uint64_t writeback_from) {
  const std::lock_guard lock(t.digest_mutex);
  if (const uint64_t dirty = end - t.writeback_bytes; dirty >= writeback_from) {
    t.file->start_writeback(t.writeback_bytes, dirty);
    t.writeback_bytes = end;
  }
  std::deque<TailSegment::Kept> kept;
  {
    const std::lock_guard state_lock(state_.mutex);
    while (!t.kept.empty() && t.kept.front().at < end) {
      kept.push_back(std::move(t.kept.front()));
      t.kept.pop_front();
      state_.kept_bytes -= kept.back().bytes->size();
    }
  }
  for (; !kept.empty(); kept.pop_front()) {
    TRY(hash_file(*t.file, t.digested_bytes, kept.front().at, t.digest));
    t.digest.update(*kept.front().bytes);
    t.digested_bytes += kept.front().bytes->size();
  }
  return hash_file(*t.file, t.digested_bytes, end, t.digest);
}

Status Maintenance::make_end(TailSegment& t) {
  {
    const std::lock_guard lock(state_.mutex);
    t.end_at = t.written_bytes;
  }
  TRY(follow_to(t, t.end_at, 1));
  SegmentEntry entry;
  entry.sequence = t.header.sequence;
  entry.epoch = t.header.epoch;
  entry.partition = kImageLogPartition;
  entry.plain_bytes = t.plain_bytes;
  t.end = encode_segment_end(t.index, t.end_at, t.digest, entry.sha256);
  entry.stored_bytes = t.end_at + t.end.size();
  t.file_digest = t.digest.finish();
  t.entry = entry;
  return {};
}

// The order decides what a crash leaves; each step is harmless when the next one is missing. Where
// the disk is full it goes on later with the step that did not fit.
Status Maintenance::seal(const std::shared_ptr<TailSegment>& tail) {
  TailSegment& t = *tail;
  // 1. The end of the segment.
  if (!t.entry) TRY(make_end(t));
  const SegmentEntry& entry = *t.entry;
  if (!t.end.empty()) {
    TRY(t.file->write_at(t.end_at, t.end));
    if (t.room_end > entry.stored_bytes) TRY(t.file->truncate(entry.stored_bytes));
    t.end = {};
  }
  // 2. The bytes. 3. The name of a sealed segment. 4. The directory.
  TRY(state_.sync_tail(t, entry.stored_bytes));
  if (!t.renamed) {
    TRY(state_.env.cartridge.files->rename(state_.open_path(entry.sequence, entry.epoch),
                                           state_.sealed_path(entry.sequence, entry.epoch)));
    t.renamed = true;
  }
  TRY(state_.sync_directory());
  {
    const std::lock_guard lock(state_.mutex);
    t.segment->entry = entry;
    t.segment->sealed = true;
  }
  // 5. The manifest, and then the observer.
  TRY(state_.commit({AddSegment{entry}}, &entry, t.file_digest));
  state_.files.unpin(*t.segment);
  const std::lock_guard lock(state_.mutex);
  CHECK(!state_.tail.empty() && state_.tail.front() == tail);
  state_.tail.pop_front();
  state_.unsealed_bytes -= t.end_at;
  state_.sealed_position = entry.sequence + 1;
  ++state_.counters.segments_sealed;
  return {};
}

// -- maps

Status Maintenance::write_pending(const PendingMap& pending) {
  std::vector<std::shared_ptr<ImageSegment>> slots;
  {
    const std::lock_guard lock(state_.mutex);
    slots = state_.slots;
  }
  const uint64_t position = pending.mark.next_sequence;
  const Points now = points();
  const Manifest& manifest = now.manifest;
  auto pinned = needed_by_points(manifest, now.positions);
  if (!pinned.ok() && passes(pinned.error())) return std::move(pinned).error();
  ASSIGN_OR_RETURN(WrittenMap written, write_map(state_, pending.mark, pending.map, slots));
  std::vector<ManifestEdit> edits = edits_for(written, position, manifest, now.positions);
  std::set<SegmentId> needed;
  if (pinned.ok()) needed = std::move(*pinned);
  for (const MapSource& s : written.sources) needed.insert({s.cartridge, s.sequence, s.epoch});
  DropSegments drop;
  const auto& log = manifest.partitions[kImageLogPartition].segments;
  if (!pinned.ok()) {
    // An old point whose map is damaged or gone is that point's misfortune, not the disk's. What it
    // needs is not known, so all stays.
    log_warning("volume", "the map of a recovery point cannot be read, nothing is given back",
                {{"label", state_.label}, {"error", pinned.error().message()}});
  }
  // The last one stays: what follows is tied to it.
  const size_t looked_at = pinned.ok() && !log.empty() ? log.size() - 1 : 0;
  for (size_t i = 0; i < looked_at; ++i) {
    if (log[i].sequence >= position) break;
    if (needed.contains({state_.uuid, log[i].sequence, log[i].epoch})) continue;
    drop.sequences.push_back(log[i].sequence);
  }
  if (!drop.sequences.empty()) edits.push_back(drop);
  std::vector<SegmentEntry> dropped;
  if (Status done = state_.commit(edits, &written.entry, written.file_digest, &dropped);
      !done.ok()) {
    // It is written anew, under another number.
    if (state_.failed().ok()) {
      state_.remove_file(state_.sealed_path(written.entry.sequence, written.entry.epoch));
    }
    return done;
  }
  map_sources_[written.entry.sequence] = written.sources;
  {
    const std::lock_guard lock(state_.mutex);
    CHECK(!state_.pending_maps.empty());
    state_.pending_maps.pop_front();
    ++state_.maps_done;
    state_.counters.map_bytes += written.entry.stored_bytes;
    if (pending.replaces) {
      state_.map = pending.map;
      state_.recount_live();
      state_.replacing = false;
      state_.replaced = Status();
    }
  }
  give_back(dropped);
  // Which maps there are, after what left.
  std::vector<uint64_t> positions;
  for (const auto& [name, text] : state_.properties_with_prefix(std::string(kPropertyMap))) {
    positions.push_back(leading_number(text));
  }
  const std::lock_guard lock(state_.mutex);
  state_.map_positions = std::move(positions);
  return {};
}

// Those that are being made first: one that becomes durable meanwhile is in the manifest then, and
// is in neither at no time.
Maintenance::Points Maintenance::points() {
  Points out;
  {
    const std::lock_guard lock(state_.mutex);
    out.positions.insert(state_.reserved_positions.begin(), state_.reserved_positions.end());
  }
  out.manifest = state_.manifest();
  const auto& properties = out.manifest.properties;
  const std::string prefix(kPropertyPoint);
  for (auto at = properties.lower_bound(prefix);
       at != properties.end() && at->first.starts_with(prefix); ++at) {
    out.positions.insert(leading_number(at->second));
  }
  return out;
}

// The new map enters, those that no recovery point stands on leave, all at once.
std::vector<ManifestEdit> Maintenance::edits_for(const WrittenMap& written, uint64_t position,
                                                 const Manifest& manifest,
                                                 const std::set<uint64_t>& points) {
  const std::string prefix(kPropertyMap);
  std::vector<ManifestEdit> edits;
  edits.push_back(AddSegment{written.entry});
  edits.push_back(SetProperty{prefix + hex16(written.entry.sequence), std::to_string(position)});
  DropSegments old;
  old.partition = kImageMapPartition;
  for (const SegmentEntry& map : manifest.partitions[kImageMapPartition].segments) {
    const std::string name = prefix + hex16(map.sequence);
    const auto at = manifest.properties.find(name);
    if (at != manifest.properties.end() && points.contains(leading_number(at->second))) continue;
    old.sequences.push_back(map.sequence);
    edits.push_back(SetProperty{name, ""});
  }
  if (!old.sequences.empty()) edits.push_back(old);
  return edits;
}

void Maintenance::give_back(const std::vector<SegmentEntry>& dropped) {
  for (const SegmentEntry& entry : dropped) {
    const SegmentId id{state_.uuid, entry.sequence, entry.epoch};
    {
      const std::lock_guard lock(state_.mutex);
      const auto found = state_.slot_of.find(id);
      if (found != state_.slot_of.end()) {
        CHECK(state_.slots[found->second]->live_blocks == 0);
        state_.slots[found->second] = nullptr;
        state_.slot_of.erase(found);
      }
      state_.counters.dropped_bytes += entry.stored_bytes;
    }
    if (entry.partition == kImageMapPartition) map_sources_.erase(entry.sequence);
    state_.files.forget(id);
    state_.remove_file(state_.sealed_path(entry.sequence, entry.epoch));
  }
}

Result<const std::vector<MapSource>*> Maintenance::sources_of(const SegmentEntry& map) {
  const auto found = map_sources_.find(map.sequence);
  if (found != map_sources_.end()) return &found->second;
  ImageSegment segment;
  segment.id = {state_.uuid, map.sequence, map.epoch};
  segment.path = state_.sealed_path(map.sequence, map.epoch);
  segment.encrypted = !state_.data_key.empty();
  segment.cipher = {state_.data_key, static_cast<uint32_t>(map.epoch),
                    static_cast<uint32_t>(map.sequence)};
  segment.sealed = true;
  segment.entry = map;
  ASSIGN_OR_RETURN(auto sources, load_map_sources(state_.files, state_.reader, segment));
  return &(map_sources_[map.sequence] = std::move(sources));
}

Result<std::set<SegmentId>> Maintenance::needed_by_points(const Manifest& manifest,
                                                          const std::set<uint64_t>& points) {
  std::set<SegmentId> needed;
  if (points.empty()) return needed;
  for (const SegmentEntry& map : manifest.partitions[kImageMapPartition].segments) {
    const auto at = manifest.properties.find(std::string(kPropertyMap) + hex16(map.sequence));
    if (at == manifest.properties.end() || !points.contains(leading_number(at->second))) continue;
    ASSIGN_OR_RETURN(const auto* sources, sources_of(map));
    for (const MapSource& s : *sources) needed.insert({s.cartridge, s.sequence, s.epoch});
  }
  return needed;
}

Status Maintenance::collect() {
  TRY(compact());
  ASSIGN_OR_RETURN(const uint64_t done, writer_.end_with_map());
  return wait_maps(start(), done, 0);
}

// With users who make more of it all the time it need not come to an end: whoever waits has waited
// enough when as much was moved as there was.
Status Maintenance::compact() {
  const Compactor::Hurry hurry(compactor_);
  const uint64_t stored = state_.manifest().stored_bytes();
  uint64_t rests = 0, moved = 0;
  {
    const std::lock_guard lock(state_.mutex);
    rests = compactor_.rests();
    moved = state_.counters.moved_bytes + stored;
  }
  const uint64_t tried = start();
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] {
    return state_.failure || put_off_since(tried) || compactor_.rests() > rests ||
           state_.counters.moved_bytes > moved;
  });
  if (state_.failure) return *state_.failure;
  if (put_off_since(tried)) return *state_.waits_for;
  return {};
}

Status Maintenance::drain() {
  uint64_t done = 0, sealed = 0;
  {
    const std::lock_guard lock(state_.mutex);
    done = state_.maps_done + state_.pending_maps.size();
    for (const auto& tail : state_.tail) {
      if (tail->finished) sealed = tail->header.sequence + 1;
    }
  }
  return wait_maps(start(), done, sealed);
}

Status Maintenance::wait_maps(uint64_t tried, uint64_t done, uint64_t sealed) {
  std::unique_lock lock(state_.mutex);
  const auto there = [&] { return state_.maps_done >= done && state_.sealed_position >= sealed; };
  state_.changed.wait(lock, [&] { return state_.failure || put_off_since(tried) || there(); });
  if (state_.failure) return *state_.failure;
  if (!there()) return *state_.waits_for;
  return {};
}

Status Maintenance::wait_for_map(uint64_t position) {
  const auto there = [&] {
    const auto& have = state_.map_positions;
    return std::find(have.begin(), have.end(), position) != have.end();
  };
  const uint64_t tried = start();
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] { return state_.failure || put_off_since(tried) || there(); });
  if (there()) return {};
  return state_.failure ? *state_.failure : *state_.waits_for;
}

Status Maintenance::wait_replaced() {
  start();
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] { return state_.failure || state_.replaced; });
  if (state_.replaced) return *std::exchange(state_.replaced, std::nullopt);
  return *state_.failure;
}

Status Maintenance::wait_sealed(uint64_t position) {
  const uint64_t tried = start();
  std::unique_lock lock(state_.mutex);
  state_.changed.wait(lock, [&] {
    return state_.failure || (state_.sealing_waits && put_off_since(tried)) ||
           state_.sealed_position >= position;
  });
  if (state_.failure) return *state_.failure;
  if (state_.sealed_position < position) return *state_.waits_for;
  return {};
}

}  // namespace coldshelf
