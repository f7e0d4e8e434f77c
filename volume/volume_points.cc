// Recovery points of a volume.
#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "volume/maintenance.h"
#include "volume/volume.h"

namespace coldshelf {

namespace {

constexpr size_t kMaxPointName = 1024;
constexpr int kEraseTries = 3;  // the last segment of the log stays: the second time it is empty
constexpr size_t kMaxPointAbout = 16 * KiB;

std::string point_property(const Uuid& id) { return std::string(kPropertyPoint) + id.to_string(); }

std::string about_property(const Uuid& id) { return std::string(kPropertyAbout) + id.to_string(); }

// "<position> <blocks> <time> <name>"
Status parse_point(const Uuid& id, const std::string& text, uint32_t block_bytes,
                   RecoveryPoint& what, uint64_t& position) {
  uint64_t fields[3] = {};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (uint64_t& field : fields) {
    const auto parsed = std::from_chars(at, end, field);
    if (parsed.ec != std::errc() || parsed.ptr == end || *parsed.ptr != ' ') {
      return Error(ErrorCode::corrupt, "recovery point " + id.to_string() + " is malformed");
    }
    at = parsed.ptr + 1;
  }
  position = fields[0];
  what.id = id;
  what.size_bytes = fields[1] * block_bytes;
  what.created_unix_ms = static_cast<int64_t>(fields[2]);
  what.name.assign(at, end);
  return {};
}

// `texts` by id.
Result<std::vector<RecoveryPoint>> decode_points(
    const std::map<std::string, std::string>& texts, uint32_t block_bytes,
    const std::function<std::string(const Uuid&)>& about) {
  std::vector<std::pair<uint64_t, RecoveryPoint>> found;  // position
  for (const auto& [id, text] : texts) {
    const auto uuid = Uuid::parse(id);
    if (!uuid) return Error(ErrorCode::corrupt, "recovery point " + id);
    auto& [position, point] = found.emplace_back();
    TRY(parse_point(*uuid, text, block_bytes, point, position));
    point.about = about(*uuid);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first, a.second.created_unix_ms) <
           std::pair(b.first, b.second.created_unix_ms);
  });
  std::vector<RecoveryPoint> out;
  for (auto& [position, point] : found) out.push_back(std::move(point));
  return out;
}

}  // namespace

Result<Volume::Point> Volume::find_point(const Uuid& id) const {
  const auto text = state_->property(point_property(id));
  if (!text) return Error(ErrorCode::not_found, "recovery point " + id.to_string());
  Point point;
  TRY(parse_point(id, *text, state_->block_bytes, point.what, point.position));
  point.what.about = state_->property(about_property(id)).value_or("");
  return point;
}

Result<RecoveryPoint> Volume::create_point(const std::string& name, const PointProperties& also) {
  Volume* const me = this;
  ASSIGN_OR_RETURN(const auto made, create_points({&me, 1}, {name, {}, {}, also}));
  return made.front();
}

// The segment ends here; the map as it is now waits to be written, and what it will name is kept
// from now on.
Status Volume::mark_point(Point& point) {
  LogOp op;
  op.kind = LogOp::Kind::roll;
  op.at_boundary = [&](const LogMark& mark) {
    point.position = mark.next_sequence;
    point.what.size_bytes = state_->block_count * state_->block_bytes;
    state_->reserved_positions.push_back(point.position);
    const auto& have = state_->map_positions;
    const bool written = std::find(have.begin(), have.end(), point.position) != have.end();
    const bool pending = !state_->pending_maps.empty() &&
                         state_->pending_maps.back().mark.next_sequence == point.position;
    if (!written && !pending) {
      state_->log_bytes_since_map = 0;
      state_->pending_maps.push_back({mark, state_->map});
    }
  };
  TRY(writer_->run(op));
  state_->maintenance_due = true;
  maintenance_->kick();
  return {};
}

Status Volume::keep_point(const Point& point, const PointProperties& also) {
  TRY(maintenance_->wait_sealed(point.position));
  std::vector<ManifestEdit> edits;
  edits.push_back(SetProperty{point_property(point.what.id),
                              std::to_string(point.position) + " " +
                                  std::to_string(point.what.size_bytes / state_->block_bytes) +
                                  " " + std::to_string(point.what.created_unix_ms) + " " +
                                  point.what.name});
  if (!point.what.about.empty()) {
    edits.push_back(SetProperty{about_property(point.what.id), point.what.about});
  }
  if (also) {
    for (const auto& [key, value] : also(point.what.id)) edits.push_back(SetProperty{key, value});
  }
  return state_->commit(edits);
}

void Volume::forget_mark(const Point& point) {
  const std::lock_guard state_lock(state_->mutex);
  auto& reserved = state_->reserved_positions;
  const auto at = std::find(reserved.begin(), reserved.end(), point.position);
  if (at != reserved.end()) reserved.erase(at);
}

Result<std::vector<RecoveryPoint>> Volume::create_points(std::span<Volume* const> volumes,
                                                         const PointRequest& request) {
  bool told = false;
  const auto pass = [&] {
    if (!told && request.passed) request.passed();
    told = true;
  };
  if (volumes.empty() || request.name.size() > kMaxPointName ||
      request.about.size() > kMaxPointAbout) {
    pass();
    return Error(ErrorCode::invalid_argument, "recovery point: no volume, or a name too long");
  }
  // Always in the same order: two calls must not wait for each other.
  std::vector<Volume*> sorted(volumes.begin(), volumes.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const Volume* a, const Volume* b) { return a->uuid() < b->uuid(); });
  std::vector<std::unique_lock<std::mutex>> locks;
  for (Volume* volume : sorted) locks.emplace_back(volume->points_mutex_);
  const CartridgeEnv& env = volumes.front()->state_->env.cartridge;
  Point first;
  first.what.id = Uuid::generate(*env.random);
  first.what.name = request.name;
  first.what.about = request.about;
  first.what.created_unix_ms = env.clock->unix_ms();
  std::vector<Point> points(volumes.size(), first);
  Status done;
  size_t marked = 0;
  {
    // 1. One moment for all: none of them takes a write while each ends its segment. One alone has
    //    its moment anyway.
    std::vector<std::unique_lock<Admission>> still;
    if (sorted.size() > 1) {
      for (Volume* volume : sorted) still.emplace_back(volume->admission_);
    }
    for (; marked < volumes.size() && done.ok(); marked += done.ok() ? 1 : 0) {
      done = volumes[marked]->mark_point(points[marked]);
    }
  }
  pass();
  // 2. The log up to there is sealed and in the manifest. 3. So is the point; a crash before its
  //    map is written finds it again on the way through the log.
  size_t kept = 0;
  for (; kept < volumes.size() && done.ok(); kept += done.ok() ? 1 : 0) {
    done = volumes[kept]->keep_point(points[kept], request.also);
  }
  for (size_t i = 0; i < marked; ++i) volumes[i]->forget_mark(points[i]);
  if (!done.ok()) {
    for (size_t i = 0; i < kept; ++i) {
      const Status undone = volumes[i]->drop_point(points[i].what.id, {});
      if (undone.ok()) continue;
      log_warning("volume", "a recovery point that others failed to make stays",
                  {{"label", volumes[i]->name()}, {"error", undone.error().message()}});
    }
    return std::move(done).error();
  }
  std::vector<RecoveryPoint> out;
  for (Point& point : points) out.push_back(std::move(point.what));
  return out;
}

Result<std::vector<RecoveryPoint>> Volume::points() const {
  const auto about = [this](const Uuid& id) {
    return state_->property(about_property(id)).value_or("");
  };
  return decode_points(state_->properties_with_prefix(std::string(kPropertyPoint)),
                       state_->block_bytes, about);
}

Result<std::vector<RecoveryPoint>> recovery_points(const Manifest& manifest) {
  const auto property = [&](const std::string& name) {
    const auto at = manifest.properties.find(name);
    return at == manifest.properties.end() ? std::string() : at->second;
  };
  const std::string bytes = property(std::string(kPropertyBlockBytes));
  uint32_t block_bytes = 0;
  std::from_chars(bytes.data(), bytes.data() + bytes.size(), block_bytes);
  std::map<std::string, std::string> texts;
  const std::string prefix(kPropertyPoint);
  for (auto at = manifest.properties.lower_bound(prefix);
       at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
    texts.emplace(at->first.substr(prefix.size()), at->second);
  }
  return decode_points(texts, block_bytes,
                       [&](const Uuid& id) { return property(about_property(id)); });
}

Status Volume::delete_point(const Uuid& id, const Properties& also) {
  const std::lock_guard lock(points_mutex_);
  TRY(find_point(id));
  if (mounted_.contains(id)) return Error(ErrorCode::busy, "the recovery point is mounted");
  for (const auto& [clone, point] : state_->properties_with_prefix(std::string(kPropertyHold))) {
    if (point == id.to_string()) {
      return Error(ErrorCode::busy, "clone " + clone + " stands on the recovery point");
    }
  }
  return drop_point(id, also);
}

Status Volume::drop_point(const Uuid& id, const Properties& also) {
  std::vector<ManifestEdit> edits{SetProperty{point_property(id), ""}};
  for (const auto& [key, value] : also) edits.push_back(SetProperty{key, value});
  if (state_->property(about_property(id))) edits.push_back(SetProperty{about_property(id), ""});
  return state_->commit(edits);
}

Status Volume::release_clone(const Uuid& clone) {
  const std::lock_guard lock(points_mutex_);
  const std::string name = std::string(kPropertyHold) + clone.to_string();
  if (!state_->property(name)) return Error(ErrorCode::not_found, "clone " + clone.to_string());
  return state_->commit({SetProperty{name, ""}});
}

Result<ImageSegment> Volume::map_of(const Point& point) {
  const Manifest manifest = state_->manifest();
  const std::string prefix(kPropertyMap);
  const auto& maps = manifest.partitions[kImageMapPartition].segments;
  for (auto map = maps.rbegin(); map != maps.rend(); ++map) {
    const SegmentEntry& entry = *map;
    const std::string stem = segment_file_stem(entry.sequence, entry.epoch);
    const auto at = manifest.properties.find(prefix + stem.substr(0, 16));
    if (at == manifest.properties.end() || at->second != std::to_string(point.position)) continue;
    return sealed_segment(state_->uuid, state_->directory, state_->data_key, entry);
  }
  return Error(ErrorCode::corrupt, "the map of a recovery point is gone");
}

// A recovery point as a disk.
class PointView final : public BlockDevice {
 public:
  PointView(Volume& volume, const RecoveryPoint& point) : volume_(volume), point_(point) {}
  ~PointView() override {
    const std::lock_guard lock(volume_.points_mutex_);
    const auto at = volume_.mounted_.find(point_.id);
    if (--at->second == 0) volume_.mounted_.erase(at);
  }

  uint64_t size_bytes() const override { return point_.size_bytes; }
  uint32_t block_bytes() const override { return volume_.block_bytes(); }
  bool read_only() const override { return true; }
  uint64_t max_atomic_bytes() const override { return kMaxAtomicBytes; }
  uint32_t granularity_bytes() const override { return kImagePieceBytes; }
  Status write(uint64_t, ByteView, bool) override { return refused(); }
  Status unmap(uint64_t, uint64_t) override { return refused(); }
  Status flush() override { return {}; }
  bool prefetch(uint64_t, uint64_t) override { return false; }

  Status read(uint64_t offset, MutableBytes out) override {
    TRY(check(offset, out.size()));
    const uint32_t block = block_bytes();
    std::vector<ExtentMap::Extent> extents;
    map_.find({offset / block, out.size() / block}, extents);
    std::vector<PieceToRead> pieces;
    for (const auto& e : extents) {
      pieces.push_back({e, slots_[e.slot], slots_[e.slot]->readable_bytes});
    }
    return read_pieces(volume_.state_->reader, block, offset / block, pieces, out);
  }
  Result<Run> run_at(uint64_t offset, uint64_t limit) override {
    TRY(check(offset, limit));
    if (limit == 0) return Error(ErrorCode::invalid_argument, "recovery point: an empty run");
    Run run;
    run.length = map_.run_at(offset / block_bytes(), limit / block_bytes(), run.mapped);
    run.length *= block_bytes();
    return run;
  }
  bool read_may_wait(uint64_t offset, uint64_t length) const override {
    std::vector<ExtentMap::Extent> extents;
    map_.find({offset / block_bytes(), length / block_bytes()}, extents);
    return std::any_of(extents.begin(), extents.end(), [this](const auto& e) {
      return !volume_.state_->files.is_local(*slots_[e.slot]);
    });
  }
  Usage usage() const override {
    Usage usage;
    usage.mapped_bytes = map_.mapped_blocks() * block_bytes();
    return usage;
  }

 private:
  friend class Volume;
  static Error refused() { return Error(ErrorCode::read_only, "a recovery point does not change"); }
  Status check(uint64_t offset, uint64_t length) const {
    const uint32_t block = block_bytes();
    if (offset % block == 0 && length % block == 0 && offset <= size_bytes() &&
        length <= size_bytes() - offset) {
      return {};
    }
    return Error(ErrorCode::invalid_argument, "recovery point: not a range of it");
  }

  Volume& volume_;
  const RecoveryPoint point_;
  ExtentMap map_;
  std::vector<std::shared_ptr<const ImageSegment>> slots_;
};

// A segment of an ancestor that the map of today does not name has no slot yet.
Result<uint32_t> Volume::slot_of(const MapSource& source, Ancestors& ancestors) {
  const SegmentId id{source.cartridge, source.sequence, source.epoch};
  {
    const std::lock_guard lock(state_->mutex);
    const auto at = state_->slot_of.find(id);
    if (at != state_->slot_of.end()) return at->second;
  }
  if (id.cartridge == state_->uuid) {
    return Error(ErrorCode::corrupt, "a segment of a recovery point is gone");
  }
  ASSIGN_OR_RETURN(const ImageSegment theirs, ancestors.segment(id, kImageLogPartition));
  ASSIGN_OR_RETURN(const Ancestor* ancestor, ancestors.find(id.cartridge));
  const std::lock_guard lock(state_->mutex);
  const auto segment = state_->add_segment(id, ancestor->directory, ancestor->data_key);
  segment->sealed = true;
  segment->entry = theirs.entry;
  segment->readable_bytes = theirs.readable_bytes;
  return segment->slot;
}

Result<std::unique_ptr<BlockDevice>> Volume::open_point(const Uuid& id) {
  std::unique_lock lock(points_mutex_);
  ASSIGN_OR_RETURN(const Point point, find_point(id));
  TRY(maintenance_->wait_for_map(point.position));
  ASSIGN_OR_RETURN(const ImageSegment segment, map_of(point));
  ++mounted_[id];
  auto view = std::make_unique<PointView>(*this, point.what);
  // While the point stands, so do the segments of its map.
  Ancestors ancestors(state_->env, state_->options);
  const auto slot_for = [&](const MapSource& source) -> Result<uint32_t> {
    ASSIGN_OR_RETURN(const uint32_t slot, slot_of(source, ancestors));
    const std::lock_guard state_lock(state_->mutex);
    view->slots_.push_back(state_->slots[slot]);
    return static_cast<uint32_t>(view->slots_.size() - 1);
  };
  auto loaded = load_map(state_->files, state_->reader, segment, slot_for);
  lock.unlock();  // on an error the view, going, takes it
  if (!loaded.ok()) return std::move(loaded).error();
  view->map_ = std::move(loaded->map);
  return std::unique_ptr<BlockDevice>(std::move(view));
}

// The state of the point becomes a map after everything the log holds so far: what a restart loads
// from then on.
Status Volume::roll_back(const Uuid& id) {
  const std::lock_guard lock(points_mutex_);
  const std::unique_lock alone(admission_);
  ASSIGN_OR_RETURN(const Point point, find_point(id));
  // 1. Points that still wait for a map get it from the log as it was.
  TRY(maintenance_->drain());
  TRY(maintenance_->wait_for_map(point.position));
  ASSIGN_OR_RETURN(const ImageSegment segment, map_of(point));
  Ancestors ancestors(state_->env, state_->options);
  const auto slot_for = [&](const MapSource& source) { return slot_of(source, ancestors); };
  ASSIGN_OR_RETURN(LoadedMap loaded, load_map(state_->files, state_->reader, segment, slot_for));
  // 2. A position of the log of its own, and the map of the point there.
  TRY(replace_content(loaded.map));
  return {};
}

// `map` at the end of the log: when it is in the manifest the disk is that, and before then nothing
// has changed. Nobody writes meanwhile, and compaction moves nothing: a restart would find what it
// moved after the new map. Gives the position.
Result<uint64_t> Volume::replace_content(const ExtentMap& map) {
  uint64_t position = 0;
  LogOp op;
  op.kind = LogOp::Kind::roll;
  op.force = true;
  op.at_boundary = [&](const LogMark& mark) {
    position = mark.next_sequence;
    state_->pending_maps.push_back({mark, map, true});
    state_->replacing = true;
    state_->replaced.reset();
    state_->log_bytes_since_map = 0;
  };
  TRY(writer_->run(op));
  TRY(maintenance_->wait_replaced());
  return position;
}

// -- erasing

// What recovery points hold is not the disk's to erase, nor what an ancestor has.
bool Volume::can_erase(Erasure kind) const {
  if (kind != Erasure::blocks) return false;
  const Manifest now = state_->manifest();
  const auto has = [&](std::string_view prefix) {
    const auto at = now.properties.lower_bound(std::string(prefix));
    return at != now.properties.end() && at->first.starts_with(prefix);
  };
  return now.parent.is_nil() && !has(kPropertyPoint) && !has(kPropertyHold);
}

// An empty map at the end of the log, so that every segment before it is given back: the files go,
// and the observer takes the objects out of the store.
Status Volume::erase(Erasure kind) {
  const std::lock_guard lock(points_mutex_);
  if (!can_erase(kind)) {
    return Error(ErrorCode::not_supported,
                 "volume " + name() + ": recovery points or clones hold what is on it");
  }
  const std::unique_lock alone(admission_);
  uint64_t begin = 0;
  for (int i = 0; i < kEraseTries; ++i) {
    TRY(maintenance_->drain());
    ASSIGN_OR_RETURN(const uint64_t position, replace_content(ExtentMap()));
    if (i == 0) begin = position;  // from here on nothing is written but marks
    const Manifest now = state_->manifest();
    const auto& log = now.partitions[kImageLogPartition].segments;
    if (log.empty() || log.front().sequence >= begin) {
      return state_->env.wait_dropped ? state_->env.wait_dropped(state_->uuid) : Status();
    }
  }
  return Error(ErrorCode::io, "volume " + name() + ": segments that should be gone are there");
}

}  // namespace coldshelf
