#include "tests/support/memory_cartridge.h"

#include <algorithm>

namespace coldshelf {

MemoryCartridge::MemoryCartridge(const NewCartridge& what) {
  manifest_.uuid = what.uuid;
  manifest_.label = what.label;
  manifest_.medium = what.medium;
  manifest_.capacity_bytes = what.capacity_bytes;
  manifest_.worm = what.worm;
  manifest_.properties = what.properties;
  manifest_.partitions.resize(1);
  manifest_.partitions[0].capacity_bytes = what.capacity_bytes;
  content_.resize(1);
}

void MemoryCartridge::damage(uint32_t partition, uint64_t block, Error error) {
  damaged_[{partition, block}] = std::move(error);
}

// The manifest lists one segment for each partition with content, as a cartridge does that has just
// been sealed.
Manifest MemoryCartridge::manifest() const {
  Manifest out = manifest_;
  for (uint32_t p = 0; p < content_.size(); ++p) {
    const Content& content = content_[p];
    if (content.objects.empty()) continue;
    SegmentEntry entry;
    entry.sequence = p;
    entry.partition = p;
    entry.block_count = content.objects.size();
    entry.filemark_count = content.filemarks.size();
    entry.plain_bytes = entry.stored_bytes = content.bytes;
    out.partitions[p].segments.push_back(entry);
  }
  return out;
}

Status MemoryCartridge::check_writable() const {
  if (failure_) return *failure_;
  if (manifest_.write_protected) return Error(ErrorCode::write_protected, "the tab");
  return {};
}

Result<TapeObject> MemoryCartridge::read(Position& at) {
  const Content& content = content_[at.partition];
  const auto bad = damaged_.find({at.partition, at.block});
  if (bad != damaged_.end()) return bad->second;
  TapeObject out;
  if (at.block >= content.objects.size()) return out;
  const Object& object = content.objects[at.block];
  ++at.block;
  if (!object.data) {
    out.kind = TapeObject::Kind::filemark;
    ++at.filemark;
    return out;
  }
  out.kind = TapeObject::Kind::record;
  out.record.parts.emplace_back(*object.data);
  out.record.owners.push_back(object.data);
  out.record.size = object.data->size();
  ++counters_.records_read;
  counters_.plain_bytes_read += out.record.size;
  counters_.stored_bytes_read += out.record.size;
  return out;
}

bool MemoryCartridge::read_is_ready(const Position&) const { return ready_; }

uint32_t MemoryCartridge::partition_count() const { return static_cast<uint32_t>(content_.size()); }

uint64_t MemoryCartridge::partition_capacity(uint32_t partition) const {
  return manifest_.partitions[partition].capacity_bytes;
}

Position MemoryCartridge::end_of_data(uint32_t partition) const {
  const Content& content = content_[partition];
  return {partition, content.objects.size(), content.filemarks.size()};
}

Result<Position> MemoryCartridge::position_of(uint32_t partition, uint64_t block) {
  if (index_lost_) return Error(ErrorCode::corrupt, "the index is damaged");
  const Content& content = content_[partition];
  if (block >= content.objects.size()) return end_of_data(partition);
  const auto mark = std::ranges::lower_bound(content.filemarks, block);
  return Position{partition, block, static_cast<uint64_t>(mark - content.filemarks.begin())};
}

Result<std::optional<uint64_t>> MemoryCartridge::filemark_block(uint32_t partition, uint64_t n) {
  const Content& content = content_[partition];
  if (n >= content.filemarks.size()) return std::optional<uint64_t>{};
  return std::optional<uint64_t>{content.filemarks[n]};
}

Result<uint64_t> MemoryCartridge::bytes_before(const Position& at) {
  const Content& content = content_[at.partition];
  return at.block < content.objects.size() ? content.objects[at.block].bytes_before : content.bytes;
}

void MemoryCartridge::cut(Content& content, uint64_t block) {
  if (block >= content.objects.size()) return;
  content.bytes = content.objects[block].bytes_before;
  content.objects.resize(block);
  content.filemarks.erase(std::ranges::lower_bound(content.filemarks, block),
                          content.filemarks.end());
  content.synced = std::min(content.synced, content.objects.size());
}

Status MemoryCartridge::prepare_write(const Position& at) {
  TRY(check_writable());
  if (next_write_error_) {
    failure_ = std::exchange(next_write_error_, std::nullopt);
    return *failure_;
  }
  Content& content = content_[at.partition];
  // Filemarks at the end may go, but for the first of them.
  const size_t kept = at.block > 0 ? static_cast<size_t>(at.block) - 1 : 0;
  const bool filemarks =
      at.block > 0 && std::all_of(content.objects.begin() + std::min(kept, content.objects.size()),
                                  content.objects.end(),
                                  [](const Object& object) { return object.data == nullptr; });
  if (manifest_.worm && at.block < content.objects.size() && !filemarks) {
    return Error(ErrorCode::write_protected, "WORM");
  }
  cut(content, at.block);
  return {};
}

Status MemoryCartridge::write_record(Position& at, ByteView record) {
  TRY(prepare_write(at));
  Content& content = content_[at.partition];
  content.objects.push_back({std::make_shared<const Buffer>(to_buffer(record)), content.bytes});
  content.bytes += record.size();
  ++at.block;
  ++counters_.records_written;
  counters_.plain_bytes_written += record.size();
  counters_.stored_bytes_written += record.size();
  return {};
}

Status MemoryCartridge::write_filemarks(Position& at, uint64_t count) {
  TRY(prepare_write(at));
  Content& content = content_[at.partition];
  for (uint64_t i = 0; i < count; ++i) {
    content.filemarks.push_back(content.objects.size());
    content.objects.push_back({nullptr, content.bytes});
  }
  at.block += count;
  at.filemark += count;
  counters_.filemarks_written += count;
  return {};
}

bool MemoryCartridge::write_would_block(size_t) const { return !ready_; }

Status MemoryCartridge::sync() {
  ++syncs_;
  if (failure_) return *failure_;
  if (next_sync_error_) {
    failure_ = std::exchange(next_sync_error_, std::nullopt);
    for (Content& content : content_) cut(content, content.synced);
    return *failure_;
  }
  for (Content& content : content_) content.synced = content.objects.size();
  return {};
}

Status MemoryCartridge::erase_from(const Position& at) {
  TRY(prepare_write(at));
  return sync();
}

Status MemoryCartridge::format(const std::vector<uint64_t>& partition_capacities) {
  TRY(check_writable());
  content_.assign(partition_capacities.size(), Content{});
  manifest_.partitions.assign(partition_capacities.size(), Partition{});
  for (size_t i = 0; i < partition_capacities.size(); ++i) {
    manifest_.partitions[i].capacity_bytes = partition_capacities[i];
  }
  return {};
}

Status MemoryCartridge::set_capacity(uint64_t capacity_bytes) { return format({capacity_bytes}); }

Status MemoryCartridge::begin_attribute() {
  if (next_attribute_error_) {
    failure_ = std::exchange(next_attribute_error_, std::nullopt);
    return *failure_;
  }
  ++attribute_commits_;
  return {};
}

Status MemoryCartridge::set_mam(const MamKey& key, const MamValue& value) {
  TRY(begin_attribute());
  manifest_.mam[key] = value;
  return {};
}

Status MemoryCartridge::remove_mam(const MamKey& key) {
  TRY(begin_attribute());
  manifest_.mam.erase(key);
  return {};
}

Status MemoryCartridge::set_property(const std::string& name, const std::string& value) {
  TRY(begin_attribute());
  manifest_.properties[name] = value;
  return {};
}

Status MemoryCartridge::set_write_protected(bool on) {
  TRY(begin_attribute());
  manifest_.write_protected = on;
  return {};
}

Status MemoryCartridge::seal() {
  ++seals_;
  return sync();
}

}  // namespace coldshelf
