// A volume as a block device. Opening: volume_open.cc; recovery points: volume_points.cc.
#include "volume/volume.h"

#include <algorithm>

#include "volume/maintenance.h"

namespace coldshelf {

namespace {
// A segment that was given back between the look at the map and the read has moved: look again.
constexpr int kReadTries = 4;
}  // namespace

Volume::Volume(std::unique_ptr<VolumeState> state, uint64_t epoch, const LogMark& last)
    : state_(std::move(state)),
      writer_(std::make_unique<LogWriter>(*state_, epoch, last)),
      maintenance_(std::make_unique<Maintenance>(*state_, *writer_)) {}

Volume::~Volume() {
  maintenance_.reset();  // its jobs tell the gate
  if (state_->env.cartridge.gate != nullptr) state_->env.cartridge.gate->closed(state_->uuid);
}

uint64_t Volume::size_bytes() const { return state_->block_count * state_->block_bytes; }
uint32_t Volume::block_bytes() const { return state_->block_bytes; }
bool Volume::read_only() const { return !state_->failed().ok(); }
const Uuid& Volume::uuid() const { return state_->uuid; }
const std::string& Volume::name() const { return state_->label; }
Status Volume::failure() const { return state_->failed(); }
void Volume::stop_writes(const Error& why) { state_->stop_writes(why); }

VolumeCounters Volume::counters() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counters;
}

Volume::MapStatistics Volume::map_statistics() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->map.extent_count(), state_->map.memory_bytes()};
}

Manifest Volume::manifest() const { return state_->manifest(); }

Status Volume::set_properties(const Properties& values) {
  if (values.empty()) return {};
  std::vector<ManifestEdit> edits;
  for (const auto& [name, value] : values) {
    if (name.empty() || is_engine_property(name)) {
      return Error(ErrorCode::invalid_argument,
                   "volume: property " + name + " is the engine's own");
    }
    edits.push_back(SetProperty{name, value});
  }
  TRY(state_->failed());
  return state_->commit(edits);
}

Status Volume::set_wrapped_key(const WrappedKey& before, const WrappedKey& after) {
  const std::lock_guard lock(points_mutex_);
  TRY(state_->failed());
  if (state_->manifest().key != before) {
    return Error(ErrorCode::busy, "volume " + state_->label + " has another key by now");
  }
  return state_->commit({SetWrappedKey{after}});
}

// A write is copied into the page cache: where that is not certain, a thread that may wait does it.
bool Volume::write_may_wait(uint64_t, uint64_t length) const {
  if (length > kMaxFrameDataBytes || admission_.closing()) return true;
  return state_->unsealed_bytes * 2 > state_->options.max_unsealed_bytes;
}

int64_t Volume::write_hold_ms() const {
  WriteGate* gate = state_->env.cartridge.gate;
  return gate == nullptr ? 0 : gate->hold_ms(state_->uuid);
}

Status Volume::check_range(uint64_t offset, uint64_t length) const {
  const uint64_t size = size_bytes();
  if (offset % state_->block_bytes != 0 || length % state_->block_bytes != 0) {
    return Error(ErrorCode::invalid_argument, "volume: a range that is no multiple of the block");
  }
  if (offset > size || length > size - offset) {
    return Error(ErrorCode::invalid_argument, "volume: a range beyond the end");
  }
  return {};
}

void Volume::after_log_op() {
  maintenance_->used();
  maintenance_->digest(kFollowBytes);
  maintenance_->kick();
}

void Volume::go_on() {
  maintenance_->tick();
  maintenance_->digest(kFollowBytes);
  maintenance_->kick();
}

Status Volume::put_off() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->waits_for) return *state_->waits_for;
  return {};
}

Volume::Properties Volume::properties(const std::string& prefix) const {
  return state_->properties_with_prefix(prefix);
}

Status Volume::set_property(const std::string& name, const std::string& value) {
  if (state_->property(name).value_or("") == value) return {};
  return set_properties({{name, value}});
}

void Volume::segment_evicted(const Uuid& image, uint64_t sequence, uint64_t epoch) {
  state_->files.close_file({image, sequence, epoch});
}

Status read_pieces(ImageReader& reader, uint32_t block_bytes, uint64_t first_block,
                   std::span<const PieceToRead> pieces, MutableBytes out) {
  size_t done = 0;
  for (const PieceToRead& piece : pieces) {
    const BlockRange& range = piece.extent.range;
    const size_t at = static_cast<size_t>(range.first - first_block) * block_bytes;
    const size_t size = static_cast<size_t>(range.count) * block_bytes;
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(done),
              out.begin() + static_cast<std::ptrdiff_t>(at), std::byte{0});
    TRY(reader.read(*piece.segment, piece.extent.offset, piece.readable_bytes, range,
                    out.subspan(at, size)));
    done = at + size;
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(done), out.end(), std::byte{0});
  return {};
}

Status Volume::read(uint64_t offset, MutableBytes out) {
  TRY(check_range(offset, out.size()));
  maintenance_->used();
  const BlockRange range{offset / state_->block_bytes, out.size() / state_->block_bytes};
  thread_local std::vector<ExtentMap::Extent> extents;
  thread_local std::vector<PieceToRead> pieces;
  Status done;
  std::vector<ExtentMap::Extent> before;
  for (int i = 0; i < kReadTries; ++i) {
    extents.clear();
    pieces.clear();
    {
      const std::lock_guard lock(state_->mutex);
      state_->map.find(range, extents);
      for (const ExtentMap::Extent& e : extents) {
        const auto& segment = state_->slots[e.slot];
        pieces.push_back({e, segment, segment->readable_bytes});
      }
    }
    if (i > 0 && extents == before) break;
    done = read_pieces(state_->reader, state_->block_bytes, range.first, pieces, out);
    if (done.ok()) break;
    before = extents;
  }
  pieces.clear();
  return done;
}

Status Volume::write(uint64_t offset, ByteView bytes, bool durable) {
  TRY(check_range(offset, bytes.size()));
  {
    const std::shared_lock admitted(admission_);
    for (size_t at = 0; at < bytes.size(); at += kMaxAtomicBytes) {
      LogOp op;
      op.kind = LogOp::Kind::write;
      op.data = bytes.subspan(at, std::min<size_t>(kMaxAtomicBytes, bytes.size() - at));
      op.range = {(offset + at) / state_->block_bytes, op.data.size() / state_->block_bytes};
      const Status done = writer_->run(op);
      after_log_op();
      TRY(done);
    }
  }
  if (durable) TRY(flush());
  return {};
}

Result<std::shared_ptr<PreparedWrite>> Volume::begin_write(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length));
  if (length == 0 || length > kMaxPreparedBytes) {
    return Error(ErrorCode::invalid_argument, "volume: not a length that can be prepared");
  }
  return std::make_shared<PreparedWrite>(
      BlockRange{offset / state_->block_bytes, length / state_->block_bytes}, state_->block_bytes,
      *state_->env.cartridge.buffers);
}

void Volume::finish_write(PreparedWrite& prepared) const {
  prepared.finish(state_->options.compression, *state_->env.cartridge.buffers);
}

Status Volume::write(const PreparedWrite& prepared) {
  CHECK(prepared.finished());
  TRY(check_range(prepared.range().first * state_->block_bytes, prepared.data_bytes()));
  const std::shared_lock admitted(admission_);
  LogOp op;
  op.kind = LogOp::Kind::prepared;
  op.range = prepared.range();
  op.prepared = &prepared;
  const Status done = writer_->run(op);
  after_log_op();
  return done;
}

Status Volume::unmap(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length));
  if (length == 0) return {};
  const std::shared_lock admitted(admission_);
  LogOp op;
  op.kind = LogOp::Kind::unmap;
  op.range = {offset / state_->block_bytes, length / state_->block_bytes};
  const Status done = writer_->run(op);
  after_log_op();
  return done;
}

// In the order of the log, so that what a crash in the middle leaves is a beginning of it.
Status Volume::flush() {
  std::vector<std::pair<std::shared_ptr<TailSegment>, uint64_t>> tail;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->failure) return *state_->failure;
    for (const auto& segment : state_->tail) tail.emplace_back(segment, segment->written_bytes);
  }
  maintenance_->digest(kFollowInSyncBytes);
  for (const auto& [segment, bytes] : tail) TRY(state_->sync_tail(*segment, bytes));
  after_log_op();
  return {};
}

Result<BlockDevice::Run> Volume::run_at(uint64_t offset, uint64_t limit) {
  TRY(check_range(offset, limit));
  if (limit == 0) return Error(ErrorCode::invalid_argument, "volume: an empty run");
  Run run;
  const std::lock_guard lock(state_->mutex);
  run.length =
      state_->map.run_at(offset / state_->block_bytes, limit / state_->block_bytes, run.mapped) *
      state_->block_bytes;
  return run;
}

bool Volume::prefetch(uint64_t offset, uint64_t length) {
  if (!read_may_wait(offset, length) || state_->env.cartridge.source == nullptr) return false;
  std::vector<ExtentMap::Extent> extents;
  std::vector<SegmentEntry> wanted;
  {
    const std::lock_guard lock(state_->mutex);
    state_->map.find({offset / state_->block_bytes, length / state_->block_bytes}, extents);
    for (const ExtentMap::Extent& e : extents) {
      const ImageSegment& s = *state_->slots[e.slot];
      const bool again = !wanted.empty() && wanted.back() == s.entry;
      if (s.own && s.sealed && !again) wanted.push_back(s.entry);
    }
  }
  state_->env.cartridge.source->will_need(state_->uuid, wanted);
  return true;
}

bool Volume::read_may_wait(uint64_t offset, uint64_t length) const {
  if (!check_range(offset, length).ok()) return false;
  std::vector<ExtentMap::Extent> extents;
  std::vector<std::shared_ptr<ImageSegment>> segments;
  {
    const std::lock_guard lock(state_->mutex);
    state_->map.find({offset / state_->block_bytes, length / state_->block_bytes}, extents);
    for (const ExtentMap::Extent& e : extents) {
      if (segments.empty() || segments.back() != state_->slots[e.slot]) {
        segments.push_back(state_->slots[e.slot]);
      }
    }
  }
  return std::any_of(segments.begin(), segments.end(),
                     [this](const auto& s) { return !state_->files.is_local(*s); });
}

BlockDevice::Usage Volume::usage() const {
  Usage usage;
  usage.stored_bytes = state_->manifest().stored_bytes();
  const std::lock_guard lock(state_->mutex);
  usage.mapped_bytes = state_->map.mapped_blocks() * state_->block_bytes;
  usage.local_bytes = usage.stored_bytes + state_->unsealed_bytes;
  return usage;
}

Status Volume::resize(uint64_t size_bytes) {
  const uint64_t blocks = size_bytes / state_->block_bytes;
  if (size_bytes % state_->block_bytes != 0 || blocks > kMaxImageBlocks) {
    return Error(ErrorCode::invalid_argument, "volume: not a size it can have");
  }
  const std::lock_guard lock(points_mutex_);
  if (blocks < state_->block_count) {
    return Error(ErrorCode::invalid_argument, "volume: it grows only");
  }
  TRY(state_->failed());
  TRY(state_->commit({SetProperty{std::string(kPropertyBlocks), std::to_string(blocks)}}));
  state_->block_count = blocks;
  return {};
}

Status Volume::seal() {
  TRY(flush());
  LogOp op;
  op.kind = LogOp::Kind::roll;
  TRY(writer_->run(op));
  return maintenance_->drain();
}

Status Volume::collect() { return maintenance_->collect(); }

}  // namespace coldshelf
