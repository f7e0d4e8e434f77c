#include "volume/log_writer.h"

#include <algorithm>

namespace coldshelf {

namespace {
constexpr size_t kMaxBatchOps = 128;
constexpr uint64_t kMaxBatchBytes = 1 * MiB;
// Where syncs come that often, room is made before it is needed: a sync that need not make a file
// longer waits for the disk once less on ext4 and XFS, whose journals have nothing to say of it.
constexpr uint64_t kBytesPerSync = 128 * KiB;
constexpr uint64_t kSyncsCounted = 8;
constexpr uint64_t kRoomBytes = 1 * MiB;
constexpr uint64_t kRoomsPerSegment = 16;  // at least, where segments are small
// The map is written when the log is this many times as long: what maps add to what is written.
constexpr uint64_t kLogPerMap = 4;
// More than any operation needs besides its data.
constexpr uint64_t kFrameRoom = 4 * KiB;
// How often the log looks at what the disk has free, while it writes as much as makes room needs.
constexpr uint64_t kLooksPerMargin = 16;

// What of a volume stays in memory until its digest is made, of what can.
constexpr uint64_t kMaxKeptBytes = 8 * MiB;

// Less than this is copied rather than a piece of its own to the system call.
constexpr size_t kMinLentBytes = 16 * KiB;

// Of the user's.
uint64_t op_bytes(const LogOp& op) {
  return op.prepared != nullptr ? op.prepared->data_bytes() : op.data.size();
}
}  // namespace

MovedFrame make_moved_frame(std::span<const MovedPiece> pieces, const VolumeState& state) {
  MovedFrame frame;
  uint64_t bytes = 0;
  for (const MovedPiece& piece : pieces) {
    frame.ranges.push_back(piece.range);
    bytes += piece.data.size();
  }
  const size_t table = extent_table_size(frame.ranges, FrameKind::extents, state.block_bytes);
  auto plain = std::make_shared<Buffer>(table);
  plain->reserve(table + static_cast<size_t>(bytes));
  for (const MovedPiece& piece : pieces) append(*plain, piece.data);
  encode_extent_table(frame.ranges, FrameKind::extents, false, state.block_bytes,
                      ByteView(*plain).subspan(table), MutableBytes(*plain).first(table));
  frame.plain_size = static_cast<uint32_t>(plain->size());
  frame.payload =
      compress_frame_payload(*plain, state.options.compression, *state.env.cartridge.buffers);
  frame.codec = frame.payload != nullptr ? FrameCodec::zstd : FrameCodec::none;
  if (frame.payload == nullptr) frame.payload = std::move(plain);
  return frame;
}

LogWriter::LogWriter(VolumeState& state, uint64_t epoch, const LogMark& last)
    : state_(state), epoch_(epoch), last_(last) {}

Status LogWriter::run(LogOp& op) {
  std::unique_lock lock(mutex_);
  queue_.push_back(&op);
  op.answered.wait(lock, [&] { return op.done || !leading_; });
  if (!op.done) lead(lock, op);
  return op.status;
}

void LogWriter::lead(std::unique_lock<std::mutex>& lock, const LogOp& own) {
  leading_ = true;
  std::vector<LogOp*> batch;
  while (!own.done) {  // own is in the queue, and each turn takes from its front
    batch.clear();
    uint64_t bytes = 0;
    while (!queue_.empty() && batch.size() < kMaxBatchOps && bytes < kMaxBatchBytes) {
      batch.push_back(queue_.front());
      bytes += op_bytes(*queue_.front());
      queue_.pop_front();
    }
    lock.unlock();
    process(batch);
    lock.lock();
    for (LogOp* op : batch) {
      op->done = true;
      op->answered.notify_one();  // under the lock: the waiter owns what we touch
    }
  }
  leading_ = false;
  if (!queue_.empty()) queue_.front()->answered.notify_one();
}

void LogWriter::process(std::vector<LogOp*>& batch) {
  std::vector<LogOp*> small;
  uint64_t small_bytes = 0;
  for (LogOp* op : batch) {
    if (op->kind != LogOp::Kind::write || op->data.size() > kMaxFrameDataBytes) {
      frame_small(small);
      frame_op(*op);
      continue;
    }
    // Writes share a frame while they do not touch: its table is in the order of blocks, not of
    // time.
    const bool touches = std::any_of(small.begin(), small.end(), [&](const LogOp* other) {
      return op->range.first < other->range.end() && other->range.first < op->range.end();
    });
    if (touches || (!small.empty() && small_bytes + op->data.size() > kMaxFrameDataBytes)) {
      frame_small(small);
    }
    if (small.empty()) small_bytes = 0;
    small.push_back(op);
    small_bytes += op->data.size();
  }
  frame_small(small);
  static_cast<void>(write_out().ok());  // each operation has its answer
  CHECK(buffered_.empty());             // for its caller owns it, and now goes on
}

void LogWriter::frame_small(std::vector<LogOp*>& ops) {
  if (ops.empty()) return;
  std::sort(ops.begin(), ops.end(),
            [](const LogOp* a, const LogOp* b) { return a->range.first < b->range.first; });
  std::vector<BlockRange> ranges;
  std::vector<ByteView> data;
  for (const LogOp* op : ops) {
    if (!ranges.empty() && ranges.back().end() == op->range.first) {
      ranges.back().count += op->range.count;
    } else {
      ranges.push_back(op->range);
    }
    data.push_back(op->data);
  }
  Status done = check_disk(false);
  if (done.ok()) done = make_room(kMaxFrameDataBytes + kFrameRoom);
  if (done.ok()) {
    buffered_.insert(buffered_.end(), ops.begin(), ops.end());
    done = framed(add_frame(FrameKind::extents, ranges, false, data));
  }
  if (!done.ok()) {
    for (LogOp* op : ops) op->status = done;
  }
  ops.clear();
}

void LogWriter::frame_op(LogOp& op) {
  Status done;
  // What frees blocks, or ends a segment, is small: that is what is left free for.
  if (op.kind != LogOp::Kind::unmap && op.kind != LogOp::Kind::roll) {
    done = check_disk(op.kind == LogOp::Kind::move);
  }
  if (!done.ok()) {
    op.status = done;
    return;
  }
  switch (op.kind) {
    case LogOp::Kind::write:
      done = make_room(op.data.size() + (op.data.size() / kMaxFrameDataBytes + 1) * kFrameRoom);
      if (!done.ok()) break;
      buffered_.push_back(&op);
      done = framed(frame_write(op));
      break;
    case LogOp::Kind::prepared:
      done = make_room(op.prepared->payload()->size() + kFrameRoom);
      if (!done.ok()) break;
      buffered_.push_back(&op);
      done = framed(frame_prepared(op));
      break;
    case LogOp::Kind::unmap:
      done = make_room(kFrameRoom);
      if (!done.ok()) break;
      buffered_.push_back(&op);
      done = framed(add_frame(FrameKind::holes, {&op.range, 1}, false, {}));
      if (state_.disk_short) state_.maintenance_due = true;  // there may be something to give back
      break;
    case LogOp::Kind::move:
      done = make_room(std::max(kMaxFrameDataBytes, kMaxPreparedBytes) + 16 * kFrameRoom);
      if (!done.ok()) break;
      done = write_out();  // the map is what the log says, for the comparison
      if (!done.ok()) break;
      done = framed(frame_move(op));
      break;
    case LogOp::Kind::roll:
      done = roll(op);
      break;
  }
  if (!done.ok()) op.status = done;
}

// One write is one group of frames: each but the last says that it goes on.
Status LogWriter::frame_write(const LogOp& op) {
  const uint64_t step = kMaxFrameDataBytes / state_.block_bytes;
  for (uint64_t at = 0; at < op.range.count; at += step) {
    const BlockRange part{op.range.first + at, std::min(step, op.range.count - at)};
    const ByteView data = op.data.subspan(static_cast<size_t>(at) * state_.block_bytes,
                                          static_cast<size_t>(part.count) * state_.block_bytes);
    TRY(add_frame(FrameKind::extents, {&part, 1}, at + part.count < op.range.count, {&data, 1}));
  }
  return {};
}

Status LogWriter::frame_prepared(const LogOp& op) {
  return add_packed({&op.range, 1}, op.prepared->codec(), op.prepared->plain_size(),
                    op.prepared->payload(), gained_.log_bytes);
}

// What was overwritten since it was read stays behind. Nobody but this thread changes the map, so
// what is compared here is still true when the frame is written.
Status LogWriter::frame_move(LogOp& op) {
  std::vector<MovedPiece> live;
  std::vector<ExtentMap::Extent> now;
  uint64_t dead_blocks = 0;
  for (const MovedPiece& moved : op.moved) {
    now.clear();
    {
      const std::lock_guard lock(state_.mutex);
      if (state_.replacing) return {};  // what this map says goes, and nothing may follow it
      state_.map.find(moved.range, now);
    }
    dead_blocks += moved.range.count;
    for (const ExtentMap::Extent& e : now) {
      if (e.slot != moved.slot || e.offset != moved.offset) continue;
      const auto skip = static_cast<size_t>(e.range.first - moved.range.first);
      live.push_back({e.range, e.slot, e.offset,
                      moved.data.subspan(skip * state_.block_bytes,
                                         static_cast<size_t>(e.range.count) * state_.block_bytes)});
      dead_blocks -= e.range.count;
    }
  }
  if (live.empty()) return {};  // and no write would take it out of buffered_
  if (dead_blocks > 0) op.moved_frame = make_moved_frame(live, state_);
  buffered_.push_back(&op);
  const MovedFrame& frame = op.moved_frame;
  return add_packed(frame.ranges, frame.codec, frame.plain_size, frame.payload,
                    gained_.moved_bytes);
}

MutableBytes LogWriter::grow(size_t bytes) {
  const size_t needed = buffer_used_ + bytes;
  if (buffer_.size() < needed) buffer_.resize(std::max(needed, 2 * buffer_.size()));
  used_ += bytes;
  buffer_used_ = needed;
  return MutableBytes(buffer_).subspan(needed - bytes, bytes);
}

// Without a copy: whose they are waits until they are written.
void LogWriter::lend(ByteView bytes) {
  lent_.push_back({buffer_used_, bytes});
  used_ += bytes.size();
}

void LogWriter::clear_buffer() {
  used_ = 0;
  buffer_used_ = 0;
  lent_.clear();
  kept_.clear();
}

void LogWriter::index_frame(const FrameHeader& header, size_t at, uint32_t header_size) {
  open_->index.frames.push_back(index_entry_of(header, offset_ + at, header_size));
  open_->plain_bytes += header.plain_size;
}

// A frame whose payload is stored as it is: a table, which `fill` makes of the data, and the data,
// in its place in the buffer or lent to it.
template <typename Fill>
Status LogWriter::add_stored(FrameHeader header, size_t table, std::span<const ByteView> data,
                             const Fill& fill) {
  size_t data_bytes = 0;
  for (const ByteView part : data) data_bytes += part.size();
  const FrameCipher* cipher = open_->segment->cipher_or_null();
  const bool lends = cipher == nullptr && data.size() == 1 && data_bytes >= kMinLentBytes;
  const size_t at = used_;
  const MutableBytes frame = grow(kFrameHeaderFixedSize + table + (lends ? 0 : data_bytes) +
                                  (cipher != nullptr ? kFrameTagSize : 0));
  const MutableBytes payload = frame.subspan(kFrameHeaderFixedSize);
  const ByteView lent = lends ? data.front() : ByteView();
  if (!lends) {
    size_t to = table;
    for (const ByteView part : data) {
      std::memcpy(payload.data() + to, part.data(), part.size());
      to += part.size();
    }
  }
  fill(payload.first(table), lends ? lent : ByteView(payload).subspan(table, data_bytes));
  header.frame_index = static_cast<uint32_t>(open_->index.frames.size());
  TRY(encode_frame_in_place(header, cipher, frame, lent));
  if (lends) lend(lent);
  index_frame(header, at, kFrameHeaderFixedSize);
  return {};
}

Status LogWriter::add_frame(FrameKind kind, std::span<const BlockRange> ranges, bool continues,
                            std::span<const ByteView> data) {
  FrameHeader header;
  header.kind = kind;
  const size_t at = used_;
  TRY(add_stored(header, extent_table_size(ranges, kind, state_.block_bytes), data,
                 [&](MutableBytes table, ByteView joined) {
                   encode_extent_table(ranges, kind, continues, state_.block_bytes, joined, table);
                 }));
  framed_.push_back({{ranges.begin(), ranges.end()},
                     static_cast<uint32_t>(offset_ + at),
                     kind == FrameKind::extents});
  gained_.log_bytes += used_ - at;
  return {};
}

// A frame of data whose payload was made elsewhere, table and all.
Status LogWriter::add_packed(std::span<const BlockRange> ranges, FrameCodec codec,
                             uint32_t plain_size, const std::shared_ptr<const Buffer>& payload,
                             uint64_t& counter) {
  FrameHeader header;
  header.kind = FrameKind::extents;
  header.codec = codec;
  header.plain_size = plain_size;
  const size_t at = used_, lent = lent_.size();
  const ByteView bytes = *payload;
  TRY(add_stored(header, 0, {&bytes, 1}, [](MutableBytes, ByteView) {}));
  if (lent_.size() > lent) kept_.push_back({offset_ + used_ - bytes.size(), payload});
  framed_.push_back({{ranges.begin(), ranges.end()}, static_cast<uint32_t>(offset_ + at), true});
  counter += used_ - at;
  return {};
}

// A file system that finds places for data only when it writes them out may find the disk full in
// fdatasync, and that cannot be made good. So the log stops before: a write that finds the disk
// nearly full fails by itself, and the next one may find room.
Status LogWriter::check_disk(bool makes_room) {
  if (unchecked_ < state_.margin_for_moves() / kLooksPerMargin) return {};
  if (!(makes_room ? state_.has_room_for_moves() : state_.has_room_for_writes())) {
    return Error(ErrorCode::no_space, "the disk of " + state_.directory + " is full");
  }
  unchecked_ = 0;
  return {};
}

// Room for an operation's frames, all in one segment and one write.
Status LogWriter::make_room(uint64_t bytes) {
  TRY(state_.failed());
  if (used_ + bytes > 2 * kMaxBatchBytes) TRY(write_out());
  if (open_ && offset_ + used_ + bytes > state_.options.segment_bytes &&
      open_->index.frames.size() > 1) {
    TRY(write_out());
    finish_segment();
  }
  if (!open_) TRY(open_segment());
  return {};
}

Status LogWriter::open_segment() {
  TRY(wait_for_sealer());
  CHECK(used_ == 0);
  auto tail = std::make_shared<TailSegment>();
  SegmentHeader& header = tail->header;
  {
    const std::lock_guard lock(state_.mutex);
    header.sequence = state_.take_sequence();
  }
  header.cartridge = state_.uuid;
  header.partition = kImageLogPartition;
  header.epoch = epoch_;
  header.created_unix_ms = state_.env.cartridge.clock->unix_ms();
  header.encrypted = !state_.data_key.empty();
  auto file =
      state_.env.cartridge.files->open(state_.open_path(header.sequence, epoch_), OpenMode::create);
  if (!file.ok()) {
    if (file.error().code != ErrorCode::no_space) state_.fail(file.error());
    return std::move(file).error();
  }
  tail->file = std::move(file).value();
  {
    const std::lock_guard lock(state_.mutex);
    tail->segment = state_.add_segment({state_.uuid, header.sequence, epoch_}, state_.directory,
                                       state_.data_key);
    state_.tail.push_back(tail);
  }
  state_.files.pin(*tail->segment, tail->file);
  open_ = std::move(tail);
  offset_ = 0;
  indexed_ = 0;
  counted_at_ = 0;
  const Buffer head = encode_segment_header(header);
  const MutableBytes room = grow(head.size());
  std::memcpy(room.data(), head.data(), head.size());
  return framed(add_mark());
}

Status LogWriter::add_mark() {
  LogMark mark = last_;
  mark.block_bytes = state_.block_bytes;
  mark.block_count = state_.block_count;
  FrameHeader header;
  header.kind = FrameKind::truncate;
  const Buffer encoded = encode_log_mark(mark);  // too small to be lent
  const ByteView payload = encoded;
  return add_stored(header, 0, {&payload, 1}, [](MutableBytes, ByteView) {});
}

// Nothing may be in the buffer.
void LogWriter::finish_segment() {
  last_ = {state_.block_bytes, state_.block_count, open_->header.sequence + 1,
           open_->index.frames.size()};
  {
    const std::lock_guard lock(state_.mutex);
    open_->finished = true;
    want_map();
  }
  open_.reset();
  state_.maintenance_due = true;
}

Result<uint64_t> LogWriter::end_with_map() {
  uint64_t done_then = 0;
  LogOp op;
  op.kind = LogOp::Kind::roll;
  op.at_boundary = [&](const LogMark& mark) {
    if (!state_.replacing) {
      state_.log_bytes_since_map = 0;
      state_.pending_maps.push_back({mark, state_.map});
    }
    done_then = state_.maps_done + state_.pending_maps.size();
  };
  TRY(run(op));
  state_.maintenance_due = true;
  return done_then;
}

void LogWriter::want_map() {
  const uint64_t interval = std::max(state_.options.map_interval_bytes,
                                     kLogPerMap * kMapEntryBytes * state_.map.extent_count());
  const bool due = state_.log_bytes_since_map >= interval || state_.map_wanted;
  if (!due || !state_.pending_maps.empty()) return;
  state_.map_wanted = false;
  state_.log_bytes_since_map = 0;
  state_.pending_maps.push_back({last_, state_.map});
}

Status LogWriter::roll(const LogOp& op) {
  TRY(write_out());
  TRY(state_.failed());
  if (op.force && !open_) {
    TRY(open_segment());
    TRY(write_out());
  }
  if (open_ && (op.force || open_->index.frames.size() > 1)) finish_segment();
  if (op.at_boundary) {
    const std::lock_guard lock(state_.mutex);
    LogMark mark = last_;
    if (open_)
      mark = {state_.block_bytes, state_.block_count, last_.next_sequence, last_.frame_count};
    op.at_boundary(mark);
  }
  return {};
}

Status LogWriter::write_out() {
  if (used_ == 0) return {};
  pieces_.clear();
  size_t from = 0;
  for (const Lent& lent : lent_) {
    pieces_.push_back(ByteView(buffer_).subspan(from, lent.buffered - from));
    pieces_.push_back(lent.bytes);
    from = lent.buffered;
  }
  pieces_.push_back(ByteView(buffer_).subspan(from, buffer_used_ - from));
  const Status done = open_->file->write_pieces_at(offset_, pieces_);
  if (!done.ok()) return discard(done.error());
  const uint64_t unsealed = enter_in_map();
  if (WriteGate* gate = state_.env.cartridge.gate; gate != nullptr) {
    gate->wrote(state_.uuid, used_, unsealed);
  }
  offset_ += used_;
  unchecked_ += used_;
  clear_buffer();
  indexed_ = open_->index.frames.size();
  framed_.clear();
  buffered_.clear();
  prepare_room();
  return {};
}

// Zeros, which are no frame. That they cannot be written is for the next write to find out.
void LogWriter::prepare_room() {
  if (offset_ < open_->room_end) return;
  const uint64_t syncs = state_.data_syncs - counted_syncs_, bytes = offset_ - counted_at_;
  if (syncs < kSyncsCounted && bytes < kSyncsCounted * kBytesPerSync) return;
  counted_syncs_ += syncs;
  counted_at_ = offset_;
  if (bytes > syncs * kBytesPerSync) return;
  const uint64_t room = std::min(kRoomBytes, state_.options.segment_bytes / kRoomsPerSegment);
  const uint64_t end = std::min(offset_ + room, state_.options.segment_bytes);
  if (end <= offset_) return;
  static const Buffer zeros(64 * KiB, std::byte{0});
  pieces_.clear();
  for (uint64_t at = offset_; at < end; at += pieces_.back().size()) {
    pieces_.push_back(ByteView(zeros).first(std::min<uint64_t>(zeros.size(), end - at)));
  }
  open_->room_end = end;
  unchecked_ += end - offset_;
  static_cast<void>(open_->file->write_pieces_at(offset_, pieces_).ok());
}

// Gives what is not sealed now.
uint64_t LogWriter::enter_in_map() {
  const std::lock_guard lock(state_.mutex);
  ImageSegment& segment = *open_->segment;
  open_->written_bytes = offset_ + used_;
  segment.readable_bytes = offset_ + used_;
  state_.unsealed_bytes += used_;
  state_.log_bytes_since_map += used_;
  state_.appended_bytes += used_;
  for (TailSegment::Kept& kept : kept_) {
    if (state_.kept_bytes + kept.bytes->size() > kMaxKeptBytes) break;
    state_.kept_bytes += kept.bytes->size();
    open_->kept.push_back(std::move(kept));
  }
  for (const Framed& frame : framed_) {
    for (const BlockRange& range : frame.ranges) {
      if (frame.mapped) {
        segment.total_blocks += range.count;
        state_.insert_extent(range, segment.slot, frame.offset);
      } else {
        state_.erase_extent(range);
      }
    }
  }
  for (const LogOp* op : buffered_) state_.counters.written_bytes += op_bytes(*op);
  state_.counters.log_bytes += gained_.log_bytes;
  state_.counters.moved_bytes += gained_.moved_bytes;
  gained_ = {};
  return state_.unsealed_bytes;
}

// What could not be framed leaves half a frame in the buffer, which nothing may follow.
Status LogWriter::framed(Status done) { return done.ok() ? done : discard(done.error()); }

// Nothing of what is in the buffer happens.
Status LogWriter::discard(const Error& why) {
  for (LogOp* op : buffered_) op->status = why;
  buffered_.clear();
  abandon(why);
  return why;
}

// A write failed; what it left in the file counts for nothing, and not after a power loss either:
// its end is durable before anybody is told. On a full disk the volume goes on, in another segment:
// frame numbers of this one may have been used already, and a nonce must not come twice.
void LogWriter::abandon(const Error& why) {
  clear_buffer();
  framed_.clear();
  gained_ = {};
  open_->index.frames.resize(indexed_);
  open_->plain_bytes = 0;
  for (const FrameIndexEntry& frame : open_->index.frames) open_->plain_bytes += frame.plain_size;
  if (why.code != ErrorCode::no_space || !open_->file->truncate(offset_).ok() ||
      !open_->file->sync().ok()) {
    state_.fail(why);
    return;
  }
  if (indexed_ > 0) {
    finish_segment();
    return;
  }
  {
    const std::lock_guard lock(state_.mutex);
    CHECK(!state_.tail.empty() && state_.tail.back() == open_);
    state_.tail.pop_back();
    state_.slot_of.erase(open_->segment->id);
    state_.slots[open_->segment->slot] = nullptr;
  }
  state_.files.forget(open_->segment->id);
  state_.remove_file(state_.open_path(open_->header.sequence, epoch_));
  open_.reset();
}

Status LogWriter::wait_for_sealer() {
  std::unique_lock lock(state_.mutex);
  const auto enough = [&] { return state_.unsealed_bytes <= state_.options.max_unsealed_bytes; };
  state_.changed.wait(
      lock, [&] { return enough() || state_.failure || state_.sealing_waits || state_.moving; });
  if (state_.failure) return *state_.failure;
  if (!enough() && state_.sealing_waits) return *state_.waits_for;
  return {};
}

}  // namespace coldshelf
