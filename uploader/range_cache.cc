#include "uploader/range_cache.h"

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/log.h"

namespace coldshelf {

namespace {
// A record: magic u32, bytes u32, cartridge 16, sequence u64, epoch u64, chunk u32, checksum of the
// bytes u32, 12 unused, checksum of all before it u32.
constexpr size_t kRecordBytes = 64;
constexpr uint32_t kRecordMagic = 0x314b4843;  // "CHK1"
constexpr size_t kMaxSegments = 1U << 20;      // whose numbers are remembered
constexpr size_t kLoadRecords = 4096;          // read at a time

TwoQueue::Key make_key(uint32_t segment, uint32_t chunk) { return uint64_t{segment} << 32 | chunk; }

Buffer encode_record(const RangeId& id, uint32_t bytes, uint32_t crc) {
  Buffer out(kRecordBytes);
  store_le(out.data(), kRecordMagic);
  store_le(out.data() + 4, bytes);
  std::copy(id.cartridge.bytes.begin(), id.cartridge.bytes.end(), out.begin() + 8);
  store_le(out.data() + 24, id.sequence);
  store_le(out.data() + 32, id.epoch);
  store_le(out.data() + 40, id.chunk);
  store_le(out.data() + 44, crc);
  store_le(out.data() + 60, crc32c(ByteView(out).first(60)));
  return out;
}
}  // namespace

RangeCache::RangeCache(FileSystem& files, std::string directory, uint64_t limit_bytes)
    : files_(files),
      directory_(std::move(directory)),
      max_slots_(static_cast<size_t>(limit_bytes / kChunkBytes)),
      queue_(max_slots_) {
  if (max_slots_ == 0) {
    failed_ = true;
    return;
  }
  const auto open = [&]() -> Status {
    TRY(files_.create_directories(directory_));
    for (const auto& [name, file] :
         {std::pair("ranges", &data_), std::pair("ranges.index", &records_)}) {
      const std::string path = join_path(directory_, name);
      auto opened = files_.open(path, OpenMode::read_write);
      if (!opened.ok() && opened.error().code == ErrorCode::not_found) {
        opened = files_.open(path, OpenMode::create);
      }
      ASSIGN_OR_RETURN(*file, std::move(opened));
    }
    return {};
  };
  const Status opened = open();
  if (!opened.ok()) {
    fail(opened.error());
    return;
  }
  load();
}

void RangeCache::fail(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
    failed_ = true;
  }
  log_warning("shelf", "pieces of segments are not cached any more", {{"error", why.message()}});
}

// -- what an earlier run left

void RangeCache::load() {
  const Result<uint64_t> size = records_->size();
  if (!size.ok()) return fail(size.error());
  const size_t count = std::min<size_t>(static_cast<size_t>(*size / kRecordBytes), max_slots_);
  slots_.resize(count);
  Buffer records;
  for (size_t at = 0; at < count; at += kLoadRecords) {
    const size_t n = std::min(kLoadRecords, count - at);
    records.resize(n * kRecordBytes);
    const Status read = records_->read_at(at * kRecordBytes, records);
    if (!read.ok()) return fail(read.error());
    for (size_t i = 0; i < n; ++i) {
      load_record(static_cast<uint32_t>(at + i),
                  ByteView(records).subspan(i * kRecordBytes, kRecordBytes));
    }
  }
  // A limit that has become smaller gives the space back.
  for (File* file : {data_.get(), records_.get()}) {
    const uint64_t each = file == data_.get() ? kChunkBytes : kRecordBytes;
    const Result<uint64_t> now = file->size();
    if (!now.ok() || *now <= each * count) continue;
    const Status cut = file->truncate(each * count);
    if (!cut.ok()) return fail(cut.error());
  }
}

void RangeCache::load_record(uint32_t slot, ByteView record) {
  RangeId id;
  std::copy_n(record.begin() + 8, id.cartridge.bytes.size(), id.cartridge.bytes.begin());
  id.sequence = load_le<uint64_t>(record.data() + 24);
  id.epoch = load_le<uint64_t>(record.data() + 32);
  id.chunk = load_le<uint32_t>(record.data() + 40);
  const auto bytes = load_le<uint32_t>(record.data() + 4);
  const bool whole = load_le<uint32_t>(record.data()) == kRecordMagic && bytes > 0 &&
                     bytes <= kChunkBytes &&
                     load_le<uint32_t>(record.data() + 60) == crc32c(record.first(60));
  std::vector<TwoQueue::Key> gone;
  const TwoQueue::Key key = whole ? key_of(id) : 0;
  if (!whole || queue_.contains(key)) {
    free_.push_back(slot);
    return;
  }
  queue_.insert(key, gone);
  Slot& s = slots_[slot];
  s = Slot();
  s.key = key;
  s.bytes = bytes;
  s.crc = load_le<uint32_t>(record.data() + 44);
  s.used = true;
  slot_of_[key] = slot;
  for (const TwoQueue::Key k : gone) free_slot(k);
}

// -- names and slots; the lock is held

TwoQueue::Key RangeCache::key_of(const RangeId& id) {
  const SegmentName name{id.cartridge, id.sequence, id.epoch};
  const auto [at, fresh] =
      segment_numbers_.try_emplace(name, static_cast<uint32_t>(segments_.size()));
  if (fresh) segments_.push_back(name);
  return make_key(at->second, id.chunk);
}

std::optional<TwoQueue::Key> RangeCache::find_key(const RangeId& id) const {
  const auto at = segment_numbers_.find({id.cartridge, id.sequence, id.epoch});
  if (at == segment_numbers_.end()) return std::nullopt;
  return make_key(at->second, id.chunk);
}

void RangeCache::free_slot(TwoQueue::Key key) {
  const auto at = slot_of_.find(key);
  if (at == slot_of_.end()) return;
  const uint32_t slot = at->second;
  slot_of_.erase(at);
  slots_[slot].used = false;
  if (slots_[slot].readers > 0) {
    slots_[slot].doomed = true;  // whoever reads it last frees it
  } else {
    free_.push_back(slot);
  }
}

void RangeCache::release(uint32_t slot) {
  Slot& s = slots_[slot];
  if (--s.readers > 0 || !s.doomed) return;
  s.doomed = false;
  free_.push_back(slot);
}

std::optional<uint32_t> RangeCache::take_slot() {
  if (!free_.empty()) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (slots_.size() >= max_slots_) return std::nullopt;  // readers hold what went
  slots_.emplace_back();
  return static_cast<uint32_t>(slots_.size() - 1);
}

// -- use

bool RangeCache::check(uint32_t slot, uint32_t bytes, uint32_t crc) {
  Buffer content(bytes);
  return data_->read_at(slot * kChunkBytes, content).ok() && crc32c(content) == crc;
}

bool RangeCache::read(const RangeId& id, uint64_t offset, MutableBytes out) {
  uint32_t slot = 0;
  Slot seen;
  {
    const std::lock_guard lock(mutex_);
    const auto key = find_key(id);
    const auto at = key ? slot_of_.find(*key) : slot_of_.end();
    const bool here = !failed_ && at != slot_of_.end() &&
                      offset + out.size() <= slots_[at->second].bytes && queue_.use(*key);
    ++(here ? hits_ : misses_);
    if (!here) return false;
    slot = at->second;
    ++slots_[slot].readers;
    seen = slots_[slot];
  }
  const bool good = (seen.checked || check(slot, seen.bytes, seen.crc)) &&
                    data_->read_at(slot * kChunkBytes + offset, out).ok();
  const std::lock_guard lock(mutex_);
  Slot& s = slots_[slot];
  const bool still = s.used && s.key == seen.key && !s.doomed;
  if (still && good) s.checked = true;
  if (still && !good) {
    queue_.erase(s.key);
    free_slot(s.key);
  }
  if (!good) {
    --hits_;
    ++misses_;
  }
  release(slot);
  return good;
}

bool RangeCache::contains(const RangeId& id) const {
  const std::lock_guard lock(mutex_);
  const auto key = find_key(id);
  return key && slot_of_.contains(*key);
}

void RangeCache::put(const RangeId& id, ByteView bytes) {
  if (bytes.empty() || bytes.size() > kChunkBytes) return;
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t crc = crc32c(bytes);
  TwoQueue::Key key = 0;
  uint32_t slot = 0;
  {
    const std::lock_guard lock(mutex_);
    if (failed_ || segments_.size() >= kMaxSegments) return;
    key = key_of(id);
    if (queue_.contains(key)) return;
    std::vector<TwoQueue::Key> gone;
    queue_.insert(key, gone);
    for (const TwoQueue::Key k : gone) free_slot(k);
    const std::optional<uint32_t> taken = take_slot();
    if (!taken) {
      queue_.erase(key);
      return;
    }
    slot = *taken;
    slots_[slot] = Slot();
  }
  // 1. The bytes, 2. the record that vouches for them. Until then nobody finds the slot.
  Status done = data_->write_at(slot * kChunkBytes, bytes);
  if (done.ok()) done = records_->write_at(slot * kRecordBytes, encode_record(id, size, crc));
  {
    const std::lock_guard lock(mutex_);
    const bool wanted = done.ok() && queue_.contains(key) && !slot_of_.contains(key);
    if (wanted) {
      Slot& s = slots_[slot];
      s.key = key;
      s.bytes = size;
      s.crc = crc;
      s.used = true;
      s.checked = true;
      slot_of_[key] = slot;
    } else {
      free_.push_back(slot);
    }
    if (!done.ok()) queue_.erase(key);
  }
  // A full disk passes; the rest does not.
  if (!done.ok() && done.error().code != ErrorCode::no_space) fail(done.error());
}

void RangeCache::drop(const RangeId& id) {
  const std::lock_guard lock(mutex_);
  const auto key = find_key(id);
  if (!key || !slot_of_.contains(*key)) return;
  queue_.erase(*key);
  free_slot(*key);
}

RangeCache::View RangeCache::view() const {
  const std::lock_guard lock(mutex_);
  View out;
  out.bytes = slots_.size() * kChunkBytes;
  out.limit_bytes = max_slots_ * kChunkBytes;
  out.hits = hits_;
  out.misses = misses_;
  return out;
}

}  // namespace coldshelf
