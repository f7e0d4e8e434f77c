#include <algorithm>
#include <limits>
#include <utility>

#include "tape/cartridge/tape_cartridge.h"

namespace coldshelf {

namespace {
// Keeps the footer of a segment small when frames are tiny or compress very well.
constexpr uint32_t kMaxFramesPerSegment = 16384;
constexpr uint64_t kMaxNonceField = std::numeric_limits<uint32_t>::max();
}  // namespace

// Everything that must hold before an object may be written at `at`.
Status TapeCartridge::prepare_write(Position& at) {
  if (closed_) return Error(ErrorCode::not_ready, "cartridge " + state_.label + " is closed");
  TRY(check_writable());
  TRY(check_partition(at.partition));
  const Position end = end_of_data(at.partition);
  if (at.block > end.block) {
    return Error(ErrorCode::out_of_range, "write at block " + std::to_string(at.block) +
                                              ", end of data is " + std::to_string(end.block));
  }
  if (at.block < end.block) TRY(drop_from(at));
  at.filemark = end_of_data(at.partition).filemark;
  if (!epoch_begun_) TRY(begin_epoch({}, nullptr));
  if (write_partition_ != at.partition) {
    // One open segment at a time: the manifest then takes segments in the order of their
    // sequences, whatever partition they belong to.
    TRY(seal_locked());
    write_partition_ = at.partition;
    const std::lock_guard lock(state_.mutex);
    submitted_end_ = state_.committed[at.partition];
  }
  return {};
}

// A new writer's epoch is durable before its first frame: the nonce (epoch, sequence, frame) of a
// frame that a crash lost is never used again. Nothing may be in the tail.
Status TapeCartridge::begin_epoch(std::vector<ManifestEdit> edits,
                                  std::vector<SegmentEntry>* dropped) {
  if (epoch_ >= kMaxNonceField || next_sequence_ >= kMaxNonceField) {
    return Error(ErrorCode::read_only,
                 "cartridge " + state_.label + " has used up its epochs or sequences");
  }
  edits.push_back(SetEpoch{epoch_ + 1, next_sequence_});
  TRY(state_.commit(edits, dropped));
  ++epoch_;
  epoch_begun_ = true;
  const std::lock_guard lock(state_.mutex);
  submitted_end_ = state_.committed[write_partition_];
  return {};
}

// What follows the new end may go. Of WORM only filemarks, and not the first of those that the end
// of data follows.
Status TapeCartridge::check_cut(uint32_t partition, const PartitionEnd& cut) {
  {
    const std::lock_guard lock(state_.mutex);
    if (!state_.manifest.worm) return {};
  }
  const Position end = end_of_data(partition);
  if (cut.filemark > 0 && end.block - cut.block == end.filemark - cut.filemark) {
    ASSIGN_OR_RETURN(const FrameLocation last,
                     locator_.locate_filemark(partition, cut.filemark - 1));
    const uint64_t block = last.entry.first_block + (cut.filemark - 1 - last.entry.first_filemark);
    if (block + 1 == cut.block) return {};
  }
  return Error(ErrorCode::write_protected,
               "cartridge " + state_.label + " is WORM: only appending is possible");
}

// Overwriting in the middle. Each step leaves the cartridge consistent when the next is missing.
Status TapeCartridge::drop_from(const Position& at) {
  // 1. All that was accepted is in files.
  close_frame();
  TRY(pipeline_.drain(true));
  // 2. Where the new end is, from the footers while everything is still there.
  PartitionEnd end;
  end.block = at.block;
  ASSIGN_OR_RETURN(end.filemark, filemarks_before(at.partition, at.block));
  ASSIGN_OR_RETURN(end.plain_bytes, plain_bytes_before(at.partition, at.block));
  TRY(check_cut(at.partition, end));
  // 3. An open segment of which something stays visible is sealed like any other.
  const bool discard = open_segment_ && open_segment_->partition() == at.partition &&
                       at.block <= open_segment_->header().first_block;
  if (!discard) finish_segment();
  TRY(pipeline_.drain(true));
  TRY(sealer_.drain());
  // 4. The new end and the new epoch, in one durable edit: from here on recovery takes the open
  //    segment, which has the old epoch, for garbage.
  std::vector<ManifestEdit> edits;
  {
    const std::lock_guard lock(state_.mutex);
    const SegmentEntry* entry = state_.manifest.find_block(at.partition, at.block);
    if (entry != nullptr) {
      TruncatePartition cut;
      cut.partition = at.partition;
      cut.block = end.block;
      cut.filemark = end.filemark;
      uint64_t before = 0;
      for (const SegmentEntry& e : state_.manifest.partitions[at.partition].segments) {
        if (e.sequence < entry->sequence) before += e.plain_bytes;
      }
      cut.plain_bytes = end.plain_bytes - before;
      edits.emplace_back(cut);
    }
  }
  std::vector<SegmentEntry> dropped;
  TRY(begin_epoch(std::move(edits), &dropped));
  // 5. What nothing names any more.
  if (discard) TRY(discard_open_segment());
  {
    const std::lock_guard lock(state_.mutex);
    state_.accepted[at.partition] = end;
    state_.committed[at.partition] = end;
    submitted_end_ = state_.committed[write_partition_];
  }
  remove_dropped(dropped);
  return {};
}

Status TapeCartridge::drop_everything(const ManifestEdit& edit) {
  if (closed_) return Error(ErrorCode::not_ready, "cartridge " + state_.label + " is closed");
  TRY(check_writable());
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.manifest.worm) {
      return Error(ErrorCode::write_protected, "cartridge " + state_.label + " is WORM");
    }
  }
  close_frame();
  TRY(pipeline_.drain(true));
  TRY(sealer_.drain());
  std::vector<SegmentEntry> dropped;
  TRY(begin_epoch({edit}, &dropped));
  TRY(discard_open_segment());
  {
    const std::lock_guard lock(state_.mutex);
    state_.accepted = {};
    state_.committed = {};
    submitted_end_ = {};
    write_partition_ = 0;
  }
  remove_dropped(dropped);
  return {};
}

// The open segment's epoch has ended: its file is garbage.
Status TapeCartridge::discard_open_segment() {
  if (!open_segment_) return {};
  {
    const std::lock_guard lock(state_.mutex);
    CHECK(state_.tail.size() == 1 && state_.tail.front() == open_segment_);
    state_.tail.pop_front();
  }
  state_.remove_file(state_.open_path(open_segment_->sequence(), open_segment_->epoch()));
  open_segment_.reset();
  return {};
}

void TapeCartridge::remove_dropped(const std::vector<SegmentEntry>& dropped) {
  forget_read_state();
  cache_.clear();
  locator_.forget();
  for (const SegmentEntry& entry : dropped) {
    state_.remove_file(state_.sealed_path(entry.sequence, entry.epoch));
  }
}

Status TapeCartridge::write_record(Position& at, ByteView record) {
  const std::lock_guard user(user_mutex_);
  if (record.empty() || record.size() > kMaxRecordBytes) {
    return Error(ErrorCode::invalid_argument, "a record has 1 to " +
                                                  std::to_string(kMaxRecordBytes) + " bytes, not " +
                                                  std::to_string(record.size()));
  }
  TRY(prepare_write(at));
  PartitionEnd after;
  {
    const std::lock_guard lock(state_.mutex);
    after = state_.accepted[at.partition];
  }
  ++after.block;
  after.plain_bytes += record.size();
  if (record.size() > kMaxFramePlainBytes) {
    TRY(append_split(record, after));
  } else {
    TRY(append_small(record));
    frame_.end = after;
  }
  accept(at.partition, after);
  ++state_.records_written;
  state_.plain_bytes_written += record.size();
  // A full frame waits for nothing.
  if (frame_.used == kMaxFramePlainBytes) close_frame();
  at.block = after.block;
  if (state_.env.gate != nullptr) {
    state_.env.gate->wrote(state_.uuid, record.size(), pipeline_.unsealed_bytes() + frame_.used);
  }
  return {};
}

void TapeCartridge::accept(uint32_t partition, const PartitionEnd& end) {
  const std::lock_guard lock(state_.mutex);
  if (!state_.failure) state_.accepted[partition] = end;
}

Status TapeCartridge::append_small(ByteView record) {
  const auto length = static_cast<uint32_t>(record.size());
  const bool new_run = frame_.runs.empty() || frame_.runs.back().length != length;
  if (frame_.used + record.size() > kMaxFramePlainBytes ||
      (new_run && frame_.runs.size() == kMaxFrameRuns)) {
    close_frame();
  }
  if (!frame_.plain) {
    TRY(pipeline_.wait_for_room(kMaxFramePlainBytes));
    frame_.plain = state_.env.buffers->take(kMaxFramePlainBytes);
    frame_.used = 0;
  }
  std::memcpy(frame_.plain->data() + frame_.used, record.data(), record.size());
  frame_.used += record.size();
  if (frame_.runs.empty() || frame_.runs.back().length != length) {
    frame_.runs.push_back({length, 0});
  }
  ++frame_.runs.back().count;
  return {};
}

Status TapeCartridge::append_split(ByteView record, const PartitionEnd& after) {
  close_frame();
  for (size_t at = 0; at < record.size();) {
    const size_t size = std::min<size_t>(kMaxFramePlainBytes, record.size() - at);
    TRY(pipeline_.wait_for_room(size));
    auto plain = state_.env.buffers->take(size);
    std::memcpy(plain->data(), record.data() + at, size);
    FrameHeader header;
    header.continues_previous = at > 0;
    header.continues_next = at + size < record.size();
    header.record_size = static_cast<uint32_t>(record.size());
    header.runs = {{static_cast<uint32_t>(size), 1}};
    at += size;
    submit_frame(std::move(header), std::move(plain), at < record.size() ? submitted_end_ : after);
  }
  return {};
}

Status TapeCartridge::write_filemarks(Position& at, uint64_t count) {
  const std::lock_guard user(user_mutex_);
  if (count > std::numeric_limits<uint32_t>::max()) {
    return Error(ErrorCode::invalid_argument, "too many filemarks: " + std::to_string(count));
  }
  TRY(prepare_write(at));
  if (count == 0) return {};
  close_frame();
  TRY(pipeline_.wait_for_room(0));
  PartitionEnd after;
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.failure) return *state_.failure;
    after = state_.accepted[at.partition];
  }
  after.block += count;
  after.filemark += count;
  FrameHeader header;
  header.kind = FrameKind::filemarks;
  header.filemark_count = static_cast<uint32_t>(count);
  submit_frame(std::move(header), nullptr, after);
  accept(at.partition, after);
  state_.filemarks_written += count;
  at.block = after.block;
  at.filemark = after.filemark;
  return {};
}

void TapeCartridge::close_frame() {
  if (frame_.used > 0) {
    FrameHeader header;
    header.runs = std::move(frame_.runs);
    frame_.plain->resize(frame_.used);
    std::shared_ptr<const Buffer> plain = std::move(frame_.plain);
    submit_frame(std::move(header), std::move(plain), frame_.end);
  }
  frame_.plain.reset();
  frame_.used = 0;
  frame_.runs.clear();
}

void TapeCartridge::submit_frame(FrameHeader header, std::shared_ptr<const Buffer> plain,
                                 const PartitionEnd& after) {
  if (!state_.failed().ok()) return;
  if (!open_segment_) {
    SegmentHeader segment;
    segment.cartridge = state_.uuid;
    segment.partition = write_partition_;
    segment.epoch = epoch_;
    segment.sequence = next_sequence_++;
    segment.first_block = submitted_end_.block;
    segment.first_filemark = submitted_end_.filemark;
    segment.created_unix_ms = state_.env.clock->unix_ms();
    segment.encrypted = !state_.data_key.empty();
    open_segment_ = std::make_shared<SegmentFile>(segment, state_.data_key, submitted_end_);
    const std::lock_guard lock(state_.mutex);
    state_.tail.push_back(open_segment_);
  }
  const bool whole = !header.continues_next;
  header.first_block = submitted_end_.block;
  header.first_filemark = submitted_end_.filemark;
  submitted_end_ = after;
  pipeline_.submit(open_segment_, std::move(header), std::move(plain), after);
  // A record's parts stay in one segment.
  if (!whole) return;
  uint32_t frames = 0;
  {
    const std::lock_guard lock(state_.mutex);
    frames = open_segment_->guarded.frames_submitted;
  }
  if (frames >= kMaxFramesPerSegment ||
      pipeline_.expected_bytes(*open_segment_) >= state_.options.segment_bytes) {
    finish_segment();
  }
}

void TapeCartridge::finish_segment() {
  if (!open_segment_) return;
  pipeline_.finish(open_segment_);
  open_segment_.reset();
}

bool TapeCartridge::write_would_block(size_t record_bytes) const {
  {
    // A writer's first record waits for its epoch to be durable.
    const std::unique_lock user(user_mutex_, std::try_to_lock);
    if (!user.owns_lock() || !epoch_begun_) return true;
  }
  return pipeline_.would_block(std::max<uint64_t>(record_bytes, kMaxFramePlainBytes));
}

int64_t TapeCartridge::write_hold_ms() const {
  return state_.env.gate == nullptr ? 0 : state_.env.gate->hold_ms(state_.uuid);
}

Status TapeCartridge::sync() {
  const std::lock_guard user(user_mutex_);
  close_frame();
  TRY(pipeline_.drain(false));
  std::vector<std::shared_ptr<SegmentFile>> unsealed;
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.failure) return *state_.failure;
    unsealed.assign(state_.tail.begin(), state_.tail.end());
  }
  // In order: what a crash leaves of an interrupted sync is a prefix.
  bool new_entries = false;
  for (const auto& segment : unsealed) {
    TRY(state_.sync_segment(segment));
    const std::lock_guard lock(segment->synced.mutex);
    new_entries = new_entries || !segment->synced.directory_entry;
  }
  if (new_entries) TRY(state_.sync_directory(unsealed));
  return state_.failed();
}

Status TapeCartridge::erase_from(const Position& at) {
  const std::lock_guard user(user_mutex_);
  if (closed_) return Error(ErrorCode::not_ready, "cartridge " + state_.label + " is closed");
  TRY(check_writable());
  TRY(check_partition(at.partition));
  {
    const std::lock_guard lock(state_.mutex);
    if (state_.manifest.worm) {
      return Error(ErrorCode::write_protected, "cartridge " + state_.label + " is WORM");
    }
  }
  if (at.block >= end_of_data(at.partition).block) return {};
  return drop_from(at);
}

Status TapeCartridge::format(const std::vector<uint64_t>& partition_capacities) {
  const std::lock_guard user(user_mutex_);
  if (partition_capacities.empty() || partition_capacities.size() > kMaxPartitions) {
    return Error(ErrorCode::invalid_argument,
                 "1 to " + std::to_string(kMaxPartitions) + " partitions");
  }
  const ManifestEdit edit = SetPartitions{partition_capacities};
  TRY(check_edit(edit));
  return drop_everything(edit);
}

Status TapeCartridge::set_capacity(uint64_t capacity_bytes) {
  const std::lock_guard user(user_mutex_);
  const ManifestEdit edit = SetCapacity{capacity_bytes};
  TRY(check_edit(edit));
  return drop_everything(edit);
}

}  // namespace coldshelf
