#include <algorithm>
#include <utility>

#include "tape/cartridge/tape_cartridge.h"

namespace coldshelf {

// Objects that are still in memory go to the file first; the reader knows files alone.
Status TapeCartridge::make_readable(uint32_t partition, uint64_t block) {
  {
    const std::lock_guard lock(state_.mutex);
    if (block < state_.committed[partition].block || block >= state_.accepted[partition].block) {
      return {};
    }
  }
  close_frame();
  return pipeline_.drain(false);
}

Error TapeCartridge::damaged(const Error& why, uint32_t partition, uint64_t block) const {
  return Error(why.code, why.disposition,
               "cartridge " + state_.label + ", partition " + std::to_string(partition) +
                   ", block " + std::to_string(block) + ": " + why.context);
}

Result<TapeObject> TapeCartridge::read(Position& at) {
  const std::lock_guard user(user_mutex_);
  TRY(check_partition(at.partition));
  // A failed write moves the end of data; what is before it stays readable.
  static_cast<void>(make_readable(at.partition, at.block).ok());
  {
    const std::lock_guard lock(state_.mutex);
    if (at.block >= state_.committed[at.partition].block) return TapeObject{};
  }
  auto slot = window_.frame_of(at.partition, at.block);
  if (!slot.ok()) return damaged(slot.error(), at.partition, at.block);
  const Result<DecodedFrame>& frame = (*slot)->wait();
  auto object = frame.ok() ? object_in(*slot, *frame, at) : Result<TapeObject>(frame.error());
  if (!object.ok()) {
    const FrameLocation& where = (*slot)->location;
    Error why = object.error();
    why.context = "segment " + std::to_string(where.segment->sequence()) + ", frame " +
                  std::to_string(where.frame) + ": " + why.context;
    forget_read_state();  // the next read asks the disk again
    return damaged(why, at.partition, at.block);
  }
  return object;
}

Result<TapeObject> TapeCartridge::object_in(const std::shared_ptr<FrameSlot>& slot,
                                            const DecodedFrame& frame, Position& at) {
  const FrameHeader& header = frame.header;
  TapeObject object;
  if (header.kind == FrameKind::filemarks) {
    object.kind = TapeObject::Kind::filemark;
    at.filemark = header.first_filemark + (at.block - header.first_block) + 1;
    ++at.block;
    return object;
  }
  if (header.kind != FrameKind::records || !frame.plain) {
    return Error(ErrorCode::corrupt, "not a frame of records");
  }
  if (header.continues_next) return split_record(at);
  const auto place = find_in_frame(slot.get(), header, at.block);
  if (!place) return Error(ErrorCode::corrupt, "the frame's runs lack the block");
  const RecordRun& run = header.runs[place->run];
  object.kind = TapeObject::Kind::record;
  object.record.size = run.length;
  object.record.parts.push_back(
      ByteView(*frame.plain).subspan(static_cast<size_t>(place->offset), run.length));
  object.record.owners.push_back(frame.plain);

  cursor_.slot = slot;
  cursor_.block = at.block + 1;
  cursor_.at = {place->run, place->in_run + 1, place->offset + run.length};
  if (cursor_.at.in_run == run.count) {
    ++cursor_.at.run;
    cursor_.at.in_run = 0;
  }
  at.filemark = header.first_filemark;
  ++at.block;
  ++state_.records_read;
  state_.plain_bytes_read += object.record.size;
  return object;
}

std::optional<TapeCartridge::InFrame> TapeCartridge::find_in_frame(const FrameSlot* slot,
                                                                   const FrameHeader& header,
                                                                   uint64_t block) {
  InFrame place;
  if (cursor_.slot.get() == slot && cursor_.block == block) {
    place = cursor_.at;
  } else {
    uint64_t skip = block - header.first_block;
    while (place.run < header.runs.size() && skip >= header.runs[place.run].count) {
      const RecordRun& run = header.runs[place.run];
      place.offset += uint64_t{run.length} * run.count;
      skip -= run.count;
      ++place.run;
    }
    if (place.run < header.runs.size()) {
      place.in_run = static_cast<uint32_t>(skip);
      place.offset += skip * header.runs[place.run].length;
    }
  }
  if (place.run >= header.runs.size()) return std::nullopt;
  if (place.offset + header.runs[place.run].length > header.plain_size) return std::nullopt;
  return place;
}

Result<TapeObject> TapeCartridge::split_record(Position& at) {
  TapeObject object;
  object.kind = TapeObject::Kind::record;
  uint64_t record_size = 0;
  uint64_t first_filemark = 0;
  for (size_t i = 0;; ++i) {
    ASSIGN_OR_RETURN(const auto slot, window_.part(i));
    const Result<DecodedFrame>& part = slot->wait();
    if (!part.ok()) return part.error();
    const FrameHeader& header = part->header;
    if (i == 0) {
      record_size = header.record_size;
      first_filemark = header.first_filemark;
    }
    const bool fits = header.kind == FrameKind::records && part->plain &&
                      header.continues_previous == (i > 0) && header.first_block == at.block &&
                      header.record_size == record_size &&
                      object.record.size + header.plain_size <= record_size;
    if (!fits) return Error(ErrorCode::corrupt, "a part of the record does not fit");
    object.record.parts.push_back(*part->plain);
    object.record.owners.push_back(part->plain);
    object.record.size += header.plain_size;
    if (!header.continues_next) break;
  }
  if (object.record.size != record_size) {
    return Error(ErrorCode::corrupt, "the record's parts are shorter than the record");
  }
  at.filemark = first_filemark;
  ++at.block;
  ++state_.records_read;
  state_.plain_bytes_read += record_size;
  return object;
}

bool TapeCartridge::read_is_ready(const Position& at) const {
  const std::unique_lock user(user_mutex_, std::try_to_lock);
  if (!user.owns_lock() || !check_partition(at.partition).ok()) return false;
  {
    const std::lock_guard lock(state_.mutex);
    if (at.block >= state_.committed[at.partition].block) {
      return at.block >= state_.accepted[at.partition].block;
    }
  }
  return window_.is_ready(at.partition, at.block);
}

uint32_t TapeCartridge::partition_count() const {
  const std::lock_guard lock(state_.mutex);
  return static_cast<uint32_t>(state_.manifest.partitions.size());
}

uint64_t TapeCartridge::partition_capacity(uint32_t partition) const {
  const std::lock_guard lock(state_.mutex);
  if (partition >= state_.manifest.partitions.size()) return 0;
  return state_.manifest.partitions[partition].capacity_bytes;
}

Position TapeCartridge::end_of_data(uint32_t partition) const {
  Position end;
  end.partition = partition;
  if (partition >= kMaxPartitions) return end;
  const std::lock_guard lock(state_.mutex);
  end.block = state_.accepted[partition].block;
  end.filemark = state_.accepted[partition].filemark;
  return end;
}

Result<Position> TapeCartridge::position_of(uint32_t partition, uint64_t block) {
  const std::lock_guard user(user_mutex_);
  TRY(check_partition(partition));
  const Position end = end_of_data(partition);
  if (block >= end.block) return end;
  TRY(make_readable(partition, block));
  Position at;
  at.partition = partition;
  at.block = block;
  ASSIGN_OR_RETURN(at.filemark, filemarks_before(partition, block));
  return at;
}

// The manifest answers at the beginning of a segment; within, one footer does.
Result<uint64_t> TapeCartridge::filemarks_before(uint32_t partition, uint64_t block) {
  {
    const std::lock_guard lock(state_.mutex);
    const SegmentEntry* entry = state_.manifest.find_block(partition, block);
    if (entry != nullptr && entry->first_block == block) return entry->first_filemark;
    if (entry != nullptr && entry->filemark_count == 0) return entry->first_filemark;
    if (block >= state_.committed[partition].block) return state_.committed[partition].filemark;
  }
  auto where = locator_.locate(partition, block);
  if (!where.ok()) return damaged(where.error(), partition, block);
  const FrameIndexEntry& entry = where->entry;
  if (entry.kind != FrameKind::filemarks) return entry.first_filemark;
  return entry.first_filemark + (block - entry.first_block);
}

Result<std::optional<uint64_t>> TapeCartridge::filemark_block(uint32_t partition, uint64_t n) {
  const std::lock_guard user(user_mutex_);
  TRY(check_partition(partition));
  bool in_memory = false;
  {
    const std::lock_guard lock(state_.mutex);
    if (n >= state_.accepted[partition].filemark) return std::optional<uint64_t>();
    in_memory = n >= state_.committed[partition].filemark;
  }
  if (in_memory) TRY(pipeline_.drain(false));
  auto where = locator_.locate_filemark(partition, n);
  if (!where.ok()) {
    return Error(where.error().code, where.error().disposition,
                 "cartridge " + state_.label + ", filemark " + std::to_string(n) + ": " +
                     where.error().context);
  }
  return std::optional<uint64_t>(where->entry.first_block + (n - where->entry.first_filemark));
}

Result<uint64_t> TapeCartridge::bytes_before(const Position& at) {
  const std::lock_guard user(user_mutex_);
  TRY(check_partition(at.partition));
  {
    const std::lock_guard lock(state_.mutex);
    const PartitionEnd& end = state_.accepted[at.partition];
    if (at.block >= end.block) return end.plain_bytes;
  }
  TRY(make_readable(at.partition, at.block));
  return plain_bytes_before(at.partition, at.block);
}

Result<uint64_t> TapeCartridge::plain_bytes_before(uint32_t partition, uint64_t block) {
  std::optional<uint64_t> boundary;  // sequence of the sealed segment that begins with the block
  {
    const std::lock_guard lock(state_.mutex);
    const PartitionEnd& end = state_.committed[partition];
    if (block >= end.block) return end.plain_bytes;
    const SegmentEntry* entry = state_.manifest.find_block(partition, block);
    if (entry != nullptr && entry->first_block == block) boundary = entry->sequence;
  }
  if (boundary) return locator_.plain_bytes_before(partition, *boundary);
  auto where = locator_.locate(partition, block);
  if (!where.ok()) return damaged(where.error(), partition, block);
  // A tail segment follows every sealed one; its start tells what is before it.
  uint64_t sum = 0;
  bool in_tail = false;
  {
    const std::lock_guard lock(state_.mutex);
    for (const auto& segment : state_.tail) {
      if (segment != where->segment) continue;
      sum = segment->guarded.start.plain_bytes;
      in_tail = true;
    }
  }
  if (!in_tail) sum = locator_.plain_bytes_before(partition, where->segment->sequence());
  sum += where->segment->plain_bytes_before(where->frame);
  ASSIGN_OR_RETURN(const uint64_t inside, plain_bytes_in_frame(*where, block));
  return sum + inside;
}

Result<uint64_t> TapeCartridge::plain_bytes_in_frame(const FrameLocation& where, uint64_t block) {
  if (where.entry.kind != FrameKind::records || block == where.entry.first_block)
    return uint64_t{0};
  // Only the frame header is read: it has the record lengths.
  Buffer bytes(where.entry.header_size);
  TRY(where.segment->file()->read_at(where.entry.offset, bytes));
  ASSIGN_OR_RETURN(const FrameHeader header, decode_frame_header(bytes));
  uint64_t left = block - where.entry.first_block;
  uint64_t sum = 0;
  for (const RecordRun& run : header.runs) {
    const uint64_t taken = std::min<uint64_t>(left, run.count);
    sum += taken * run.length;
    left -= taken;
  }
  if (left > 0) return Error(ErrorCode::corrupt, "the frame's runs lack the block");
  return sum;
}

}  // namespace coldshelf
