// Reading parts of segments that are not here: through the cache of ranges, and ahead of whoever
// reads on and on.
#include <algorithm>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {
constexpr uint64_t kChunk = RangeCache::kChunkBytes;
constexpr uint32_t kMaxTogether = 16;  // chunks of one request: 4 MiB
constexpr size_t kMaxStreams = 64;
constexpr size_t kMaxRangeQueue = 64;
constexpr uint64_t kUnlimitedCacheRanges = 4 * GiB;
constexpr unsigned kRunBeforeAhead = 2;  // chunks read in a row

uint32_t chunks_of(const SegmentEntry& entry) {
  return static_cast<uint32_t>((entry.stored_bytes + kChunk - 1) / kChunk);
}
uint64_t size_of(const SegmentEntry& entry, uint32_t chunk) {
  return std::min(kChunk, entry.stored_bytes - chunk * kChunk);
}
RangeId range_of(const SegmentId& id, uint32_t chunk) {
  return {id.cartridge, id.sequence, id.epoch, chunk};
}
}  // namespace

// The cache of ranges has at most half of what is cached here. Without a limit of the cache nothing
// is evicted, but what was never here has to be somewhere.
uint64_t Shelf::State::range_limit(const ShelfOptions& options) {
  if (options.range_cache_directory.empty()) return 0;
  return options.cache_limit_bytes == 0 ? kUnlimitedCacheRanges : options.cache_limit_bytes / 2;
}

// Readable as it is; else why not.
Status Shelf::State::check_readable(const SegmentId& id) {
  {
    const std::lock_guard lock(mutex);
    // What is forgotten here is there, and clones read it.
    if (deleting.contains(id.cartridge) && !fenced.contains(id.cartridge)) {
      return Error(ErrorCode::not_found, describe(id) + " is being deleted");
    }
  }
  ASSIGN_OR_RETURN(const std::optional<SegmentRow> row,
                   env.catalog->segment(id.cartridge, id.sequence, id.epoch));
  if (!row || !is_cold(*row)) return {};
  ASSIGN_OR_RETURN(const ObjectInfo head,
                   env.store->head(segment_key(id.cartridge, id.sequence, id.epoch)));
  if (!needs_restore(head.storage_class)) return {};
  if (head.restored_until_ms > env.clock->unix_ms()) {
    return env.catalog->set_restored_until(id.cartridge, id.sequence, id.epoch,
                                           head.restored_until_ms);
  }
  return Error(ErrorCode::cold, describe(id) + " is in " +
                                    std::string(to_string(head.storage_class)) +
                                    " and is not retrieved");
}

// Chunks [first, first + count) by one request, into the cache.
Result<std::shared_ptr<const Buffer>> Shelf::State::get_chunks(const SegmentId& id,
                                                               const SegmentEntry& entry,
                                                               uint32_t first, uint32_t count) {
  TRY(check_readable(id));
  const uint64_t begin = first * kChunk;
  const uint64_t end = std::min(entry.stored_bytes, begin + count * kChunk);
  auto bytes = std::make_shared<Buffer>(static_cast<size_t>(end - begin));
  Status got = env.store->get(segment_key(id.cartridge, id.sequence, id.epoch), begin, *bytes);
  if (!got.ok()) {
    ++download_errors;
    if (is_overload(got.error())) download_governor.overloaded();
    if (got.error().code == ErrorCode::out_of_range) {
      return Error(ErrorCode::corrupt, describe(id) + ": the object in the store is too short");
    }
    return std::move(got).error();
  }
  downloaded_bytes += bytes->size();
  for (uint32_t i = 0; i < count; ++i) {
    ranges.put(range_of(id, first + i),
               ByteView(*bytes).subspan(i * kChunk, size_of(entry, first + i)));
  }
  if (options.cache_limit_bytes != 0) wake(Work::eviction);
  return std::shared_ptr<const Buffer>(std::move(bytes));
}

// One of several readers that want the same chunks fetches them, the others wait for it.
Result<std::shared_ptr<const Buffer>> Shelf::State::fetch_chunks(const SegmentId& id,
                                                                 const SegmentEntry& entry,
                                                                 uint32_t first, uint32_t count,
                                                                 int64_t deadline_ms) {
  const std::pair<SegmentId, uint32_t> name{id, first};
  std::shared_ptr<RangeFetch> mine;
  {
    std::unique_lock lock(mutex);
    // What is being fetched, whoever asked for it, is not asked for again.
    const auto covers = [&](const auto& one) {
      return one.first.first == id && first >= one.first.second &&
             first < one.first.second + one.second->count;
    };
    const auto other = std::find_if(range_fetches.begin(), range_fetches.end(), covers);
    if (other != range_fetches.end()) {
      const std::shared_ptr<RangeFetch> theirs = other->second;
      const uint32_t skip = first - other->first.second;
      while (!theirs->done) {
        if (stopping) return Error(ErrorCode::unavailable, "the shelf is stopping");
        const int64_t left = deadline_ms - now_ms();
        if (left <= 0) return Error(ErrorCode::timed_out, describe(id) + " does not come");
        changed.wait_for(lock, std::chrono::milliseconds(left));
      }
      if (theirs->error) return *theirs->error;
      if (skip == 0) return theirs->bytes;
      const ByteView rest = ByteView(*theirs->bytes).subspan(skip * kChunk);
      return std::shared_ptr<const Buffer>(std::make_shared<Buffer>(
          rest.begin(),
          rest.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(kChunk, rest.size()))));
    }
    mine = std::make_shared<RangeFetch>();
    mine->count = count;
    range_fetches[name] = mine;
  }
  Result<std::shared_ptr<const Buffer>> got = get_chunks(id, entry, first, count);
  {
    const std::lock_guard lock(mutex);
    range_fetches.erase(name);
    mine->done = true;
    if (got.ok()) {
      mine->bytes = *got;
    } else {
      mine->error = got.error();
    }
  }
  changed.notify_all();
  return got;
}

Status Shelf::State::fetch_range(const SegmentId& id, const SegmentEntry& entry, uint64_t offset,
                                 MutableBytes out, int64_t timeout_ms) {
  if (offset > entry.stored_bytes || out.size() > entry.stored_bytes - offset) {
    return Error(ErrorCode::corrupt, describe(id) + ": a read beyond the end");
  }
  const int64_t deadline_ms = now_ms() + timeout_ms;
  bool waited = false;
  for (size_t done = 0; done < out.size();) {
    const uint64_t at = offset + done;
    const auto chunk = static_cast<uint32_t>(at / kChunk);
    const uint64_t within = at % kChunk;
    const size_t n =
        static_cast<size_t>(std::min<uint64_t>(size_of(entry, chunk) - within, out.size() - done));
    const MutableBytes part = out.subspan(done, n);
    if (ranges.read(range_of(id, chunk), within, part)) {
      done += n;
      continue;
    }
    // What a reader wants beyond this chunk comes with it.
    uint32_t count = 1;
    const auto last = static_cast<uint32_t>((offset + out.size() - 1) / kChunk);
    while (chunk + count <= last && count < kMaxTogether &&
           !ranges.contains(range_of(id, chunk + count))) {
      ++count;
    }
    if (!waited) ++reader_waits;
    waited = true;
    ASSIGN_OR_RETURN(const auto bytes, fetch_chunks(id, entry, chunk, count, deadline_ms));
    const size_t have = std::min<size_t>(bytes->size() - within, out.size() - done);
    std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(within), have,
                out.begin() + static_cast<std::ptrdiff_t>(done));
    done += have;
  }
  if (!out.empty()) {
    const auto first = static_cast<uint32_t>(offset / kChunk);
    note_read(id, entry, first, static_cast<uint32_t>((offset + out.size() - 1) / kChunk));
  }
  return {};
}

// Whoever reads one chunk after the other gets the next ones ahead, more the longer it goes on.
void Shelf::State::note_read(const SegmentId& id, const SegmentEntry& entry, uint32_t first,
                             uint32_t last) {
  RangeAhead ahead;
  {
    const std::lock_guard lock(mutex);
    const auto at = std::find_if(streams.begin(), streams.end(), [&](const RangeStream& s) {
      return s.id == id && (s.next == first || s.next == first + 1);
    });
    if (at == streams.end()) {
      streams.push_front({id, last + 1, 1, last + 1});
      if (streams.size() > kMaxStreams) streams.pop_back();
      return;
    }
    streams.splice(streams.begin(), streams, at);
    RangeStream& stream = streams.front();
    if (last + 1 == stream.next) return;  // more of the same chunk
    stream.run += last + 1 - stream.next;
    stream.next = last + 1;
    stream.ahead = std::max(stream.ahead, stream.next);
    if (stream.run < kRunBeforeAhead) return;
    const uint32_t window = std::min(kMaxTogether, stream.run);
    const uint32_t chunks = chunks_of(entry);
    // Asked for again when half of it is used up.
    if (stream.ahead < chunks && stream.ahead - stream.next > window / 2) return;
    ahead.id = id;
    ahead.entry = entry;
    ahead.first = stream.ahead;
    ahead.count = std::min(window, chunks - std::min(chunks, stream.ahead));
    stream.ahead += ahead.count;
    ahead.run = stream.run;
    if (ahead.count == 0 && stream.next + window / 2 < chunks) return;
    if (ahead.count == 0 && stream.crossed) return;
    stream.crossed = stream.crossed || ahead.count == 0;
    if (range_queue.size() >= kMaxRangeQueue) return;
    range_queue.push_back(ahead);
    wake_locked(Work::ranges);
    grow_recalls();
  }
}

bool Shelf::State::ranges_step() {
  RangeAhead ahead;
  {
    const std::lock_guard lock(mutex);
    due_of(Work::ranges) = kNever;
    if (range_queue.empty()) return false;
    ahead = range_queue.front();
    range_queue.pop_front();
    if (!range_queue.empty()) wake_locked(Work::ranges);
  }
  if (ahead.count == 0 && !begin_next_segment(ahead)) return true;
  const Result<bool> here = env.files->exists(segment_path_of(ahead.id));
  if (!here.ok() || *here) return true;
  while (ahead.count > 0 && ranges.contains(range_of(ahead.id, ahead.first))) {
    ++ahead.first;
    --ahead.count;
  }
  if (ahead.count == 0) return true;
  const auto got =
      fetch_chunks(ahead.id, ahead.entry, ahead.first, ahead.count, now_ms() + kRangeAheadMs);
  if (!got.ok()) {
    // A hint: whoever reads it asks again, and is told.
    log_debug("shelf", "range not read ahead",
              {{"segment", describe(ahead.id)}, {"error", got.error().message()}});
  }
  return true;
}

// A log that was written from one end to the other goes on in its next segment.
bool Shelf::State::begin_next_segment(RangeAhead& ahead) {
  const Result<std::vector<SegmentRow>> rows =
      env.catalog->evicted_segments(ahead.id.cartridge, ahead.id.sequence + 1, 1);
  if (!rows.ok() || rows->empty() || is_cold(rows->front())) return false;
  const SegmentRow& row = rows->front();
  ahead.id = id_of(row);
  ahead.entry = SegmentEntry();
  ahead.entry.sequence = row.sequence;
  ahead.entry.epoch = row.epoch;
  ahead.entry.stored_bytes = row.stored_bytes;
  ahead.entry.sha256 = row.sha256;
  ahead.first = 0;
  ahead.count = std::min({kMaxTogether, ahead.run, chunks_of(ahead.entry)});
  const std::lock_guard lock(mutex);
  const bool known = std::any_of(streams.begin(), streams.end(),
                                 [&](const RangeStream& s) { return s.id == ahead.id; });
  if (known) return false;
  streams.push_front({ahead.id, 0, ahead.run, ahead.count});
  if (streams.size() > kMaxStreams) streams.pop_back();
  return true;
}

Status Shelf::fetch_range(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                          MutableBytes out, int64_t timeout_ms) {
  return state_->fetch_range(id_of(cartridge, entry), entry, offset, out, timeout_ms);
}

void Shelf::distrust(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                     uint64_t length) {
  const SegmentId id = id_of(cartridge, entry);
  for (uint64_t chunk = offset / kChunk; chunk * kChunk < offset + length; ++chunk) {
    state_->ranges.drop(range_of(id, static_cast<uint32_t>(chunk)));
  }
}

}  // namespace coldshelf
