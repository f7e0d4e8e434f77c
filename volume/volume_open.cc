// Making and opening volumes.
#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "volume/log_recovery.h"
#include "volume/maintenance.h"
#include "volume/volume.h"

namespace coldshelf {

namespace {

std::string manifest_path(const std::string& directory) { return join_path(directory, "manifest"); }

Result<uint64_t> number_property(const Manifest& manifest, std::string_view name) {
  const auto found = manifest.properties.find(std::string(name));
  uint64_t value = 0;
  if (found != manifest.properties.end()) {
    const std::string& text = found->second;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return value;
  }
  return Error(ErrorCode::corrupt,
               "volume " + manifest.label + ": property " + std::string(name) + " is no number");
}

uint64_t leading_number(const std::string& text) {
  uint64_t v = 0;
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

// Nothing half-made stays behind, as far as the disk lets us: durably, for what it stood on may go.
void discard_directory(FileSystem& files, const std::string& directory) {
  const auto discard = [&]() -> Status {
    for (const char* name : {"manifest", "manifest.new"}) {
      const Status removed = files.remove(join_path(directory, name));
      if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed;
    }
    TRY(files.remove_directory(directory));
    return files.sync_directory(parent_directory(directory));
  };
  if (const Status done = discard(); !done.ok()) {
    log_warning("volume", "what could not be made is left behind",
                {{"directory", directory}, {"error", done.error().message()}});
  }
}

Status make_directory(const VolumeEnv& env, const VolumeOptions& options,
                      const std::string& directory, Manifest manifest) {
  const CartridgeEnv& c = env.cartridge;
  ASSIGN_OR_RETURN(const bool there, c.files->exists(directory));
  if (there) return Error(ErrorCode::exists, directory + " is there already");
  manifest.kind = CartridgeKind::image;
  manifest.medium = "image";
  manifest.created_unix_ms = c.clock->unix_ms();
  manifest.partitions.resize(kImagePartitions);
  if (options.key != nullptr) {
    ASSIGN_OR_RETURN(NewDataKey made, options.key->make_data_key(manifest.uuid, *c.random));
    manifest.key = std::move(made.wrapped);
  }
  TRY(c.files->create_directories(directory));
  auto log = ManifestLog::create(*c.files, manifest_path(directory), std::move(manifest));
  if (log.ok()) return {};
  discard_directory(*c.files, directory);
  return std::move(log).error();
}

}  // namespace

// Opens one volume, step by step.
class VolumeOpener {
 public:
  VolumeOpener(const VolumeEnv& env, const VolumeOptions& options, const std::string& directory)
      : env_(env), options_(options), directory_(directory), ancestors_(env_, options_) {}

  Result<std::unique_ptr<Volume>> run();

 private:
  Status load();
  Result<uint64_t> load_last_map(const Manifest& manifest);
  Status load_base(const std::string& base);
  Result<uint32_t> slot_for(const MapSource& source);
  Status replay(const Manifest& manifest, uint64_t position);
  Status replay_segment(ImageSegment& segment);
  void pend_map(const Manifest& manifest, uint64_t position, const std::vector<uint64_t>& points);

  const VolumeEnv& env_;
  const VolumeOptions& options_;
  const std::string& directory_;
  Ancestors ancestors_;
  std::unique_ptr<VolumeState> state_;
};

Result<std::unique_ptr<Volume>> VolumeOpener::run() {
  if (options_.segment_bytes < 8 * kMaxFrameDataBytes || options_.segment_bytes > 1 * GiB) {
    return Error(ErrorCode::invalid_argument, "volume: segments are of 512 KiB to 1 GiB");
  }
  const CartridgeEnv& c = env_.cartridge;
  // 1. The manifest.
  ASSIGN_OR_RETURN(auto log, ManifestLog::open(*c.files, manifest_path(directory_)));
  const Manifest& manifest = log->manifest();
  if (manifest.kind != CartridgeKind::image || manifest.partitions.size() != kImagePartitions) {
    return Error(ErrorCode::invalid_argument, directory_ + " holds no volume");
  }
  ASSIGN_OR_RETURN(const Secret key, unwrap_image_key(options_.key, manifest));
  ASSIGN_OR_RETURN(const uint64_t block_bytes, number_property(manifest, kPropertyBlockBytes));
  ASSIGN_OR_RETURN(const uint64_t blocks, number_property(manifest, kPropertyBlocks));
  if ((block_bytes != 512 && block_bytes != 4096) || blocks > kMaxImageBlocks) {
    return Error(ErrorCode::corrupt, directory_ + ": geometry");
  }
  // 2. The log is made whole.
  ASSIGN_OR_RETURN(const RecoveredLog recovered,
                   recover_log(c, directory_, *log, key, static_cast<uint32_t>(block_bytes)));
  if (c.observer != nullptr) {
    for (const SegmentEntry& entry : recovered.sealed) {
      c.observer->segment_sealed(manifest, entry, std::nullopt);
    }
  }
  // 3. A new writer begins a new epoch before its first frame: no nonce comes twice.
  const uint64_t epoch = manifest.epoch + 1;
  TRY(log->commit({SetEpoch{epoch, recovered.next_sequence}}));
  if (c.observer != nullptr) c.observer->manifest_changed(log->manifest());
  // 4. The map: the last one written, and the log since then.
  state_ = std::make_unique<VolumeState>(env_, options_, directory_, std::move(log), key,
                                         static_cast<uint32_t>(block_bytes));
  state_->block_count = blocks;
  state_->next_sequence = recovered.next_sequence;
  state_->sealed_position = recovered.last.next_sequence;
  TRY(load());
  auto volume = std::unique_ptr<Volume>(new Volume(std::move(state_), epoch, recovered.last));
  volume->state_->maintenance_due = true;
  volume->maintenance_->kick();
  return volume;
}

Status VolumeOpener::load() {
  const Manifest manifest = state_->manifest();
  for (const SegmentEntry& entry : manifest.partitions[kImageLogPartition].segments) {
    auto segment = state_->add_segment({state_->uuid, entry.sequence, entry.epoch}, directory_,
                                       state_->data_key);
    segment->sealed = true;
    segment->entry = entry;
    segment->readable_bytes = entry.stored_bytes;
    segment->total_blocks = entry.plain_bytes / state_->block_bytes;
  }
  ASSIGN_OR_RETURN(const uint64_t position, load_last_map(manifest));
  TRY(replay(manifest, position));
  state_->recount_live();
  for (const auto& segment : state_->slots) {
    segment->total_blocks = std::max(segment->total_blocks, segment->live_blocks);
  }
  return {};
}

Result<uint32_t> VolumeOpener::slot_for(const MapSource& source) {
  const SegmentId id{source.cartridge, source.sequence, source.epoch};
  const auto found = state_->slot_of.find(id);
  if (found != state_->slot_of.end()) return found->second;
  if (id.cartridge == state_->uuid) {
    return Error(ErrorCode::corrupt, "volume " + state_->label + ": the map names segment " +
                                         segment_file_stem(id.sequence, id.epoch) +
                                         ", which the manifest does not");
  }
  ASSIGN_OR_RETURN(const ImageSegment theirs, ancestors_.segment(id, kImageLogPartition));
  ASSIGN_OR_RETURN(const Ancestor* ancestor, ancestors_.find(id.cartridge));
  auto segment = state_->add_segment(id, ancestor->directory, ancestor->data_key);
  segment->sealed = true;
  segment->entry = theirs.entry;
  segment->readable_bytes = theirs.readable_bytes;
  return segment->slot;
}

// Returns where the log goes on.
Result<uint64_t> VolumeOpener::load_last_map(const Manifest& manifest) {
  const auto by_slot = [this](const MapSource& source) { return slot_for(source); };
  const auto& maps = manifest.partitions[kImageMapPartition].segments;
  const std::string prefix(kPropertyMap);
  for (auto at = manifest.properties.lower_bound(prefix);
       at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
    state_->map_positions.push_back(leading_number(at->second));
  }
  if (!maps.empty()) {
    const ImageSegment segment =
        sealed_segment(state_->uuid, directory_, state_->data_key, maps.back());
    ASSIGN_OR_RETURN(LoadedMap loaded, load_map(state_->files, state_->reader, segment, by_slot));
    state_->map = std::move(loaded.map);
    return loaded.mark.next_sequence;
  }
  const auto base = manifest.properties.find(std::string(kPropertyBase));
  if (base != manifest.properties.end()) TRY(load_base(base->second));
  return 0U;
}

// "<uuid> <sequence> <epoch>": the map of the recovery point that this is a clone of.
Status VolumeOpener::load_base(const std::string& base) {
  const auto uuid = Uuid::parse(std::string_view(base).substr(0, 36));
  const size_t space = base.find(' ', 37);
  if (!uuid || base.size() < 38 || space == std::string::npos) {
    return Error(ErrorCode::corrupt, "volume " + state_->label + ": malformed base");
  }
  const SegmentId id{*uuid, leading_number(base.substr(37)),
                     leading_number(base.substr(space + 1))};
  ASSIGN_OR_RETURN(const ImageSegment segment, ancestors_.segment(id, kImageMapPartition));
  const auto by_slot = [this](const MapSource& source) { return slot_for(source); };
  ASSIGN_OR_RETURN(LoadedMap loaded, load_map(state_->files, state_->reader, segment, by_slot));
  state_->map = std::move(loaded.map);
  return {};
}

Status VolumeOpener::replay(const Manifest& manifest, uint64_t position) {
  std::vector<uint64_t> points;
  for (const auto& [id, text] : state_->properties_with_prefix(std::string(kPropertyPoint))) {
    points.push_back(leading_number(text));
  }
  std::sort(points.begin(), points.end());
  pend_map(manifest, position, points);
  for (const SegmentEntry& entry : manifest.partitions[kImageLogPartition].segments) {
    if (entry.sequence < position) continue;
    const auto slot = state_->slot_of.find({state_->uuid, entry.sequence, entry.epoch});
    TRY(replay_segment(*state_->slots[slot->second]));
    state_->log_bytes_since_map += entry.stored_bytes;
    pend_map(manifest, entry.sequence + 1, points);
  }
  return {};
}

// A recovery point whose map was not written before the crash gets it now.
void VolumeOpener::pend_map(const Manifest&, uint64_t position,
                            const std::vector<uint64_t>& points) {
  const auto& have = state_->map_positions;
  if (!std::binary_search(points.begin(), points.end(), position) ||
      std::find(have.begin(), have.end(), position) != have.end()) {
    return;
  }
  state_->pending_maps.push_back(
      {{state_->block_bytes, state_->block_count, position, position == 0 ? 0U : 1U}, state_->map});
}

Status VolumeOpener::replay_segment(ImageSegment& segment) {
  ASSIGN_OR_RETURN(const SegmentIndex index, read_segment_index(state_->files, segment));
  const auto nobody = [](uint32_t, uint64_t) {};
  for (const FrameIndexEntry& frame : index.frames) {
    ++state_->counters.replayed_frames;
    if (frame.kind == FrameKind::truncate) continue;
    if (frame.kind != FrameKind::extents && frame.kind != FrameKind::holes) {
      return Error(ErrorCode::corrupt, segment.path + ": a frame that is not of a log");
    }
    ASSIGN_OR_RETURN(const ImageReader::FrameInfo info,
                     state_->reader.read_info(segment, frame.offset, segment.entry.stored_bytes));
    for (const BlockRange& range : info.table.ranges) {
      if (info.header.kind == FrameKind::extents) {
        state_->map.insert(range, segment.slot, static_cast<uint32_t>(frame.offset), nobody);
      } else {
        state_->map.erase(range, nobody);
      }
    }
  }
  return {};
}

Result<std::unique_ptr<Volume>> Volume::create(const VolumeEnv& env, const VolumeOptions& options,
                                               const std::string& directory,
                                               const NewVolume& what) {
  if ((what.block_bytes != 512 && what.block_bytes != 4096) ||
      what.size_bytes % what.block_bytes != 0 || what.size_bytes == 0 ||
      what.size_bytes / what.block_bytes > kMaxImageBlocks) {
    return Error(ErrorCode::invalid_argument, "volume: not a geometry it can have");
  }
  Manifest manifest;
  manifest.properties = what.properties;
  manifest.uuid = what.uuid;
  manifest.label = what.name;
  manifest.capacity_bytes = what.size_bytes;
  manifest.properties[std::string(kPropertyBlockBytes)] = std::to_string(what.block_bytes);
  manifest.properties[std::string(kPropertyBlocks)] =
      std::to_string(what.size_bytes / what.block_bytes);
  TRY(make_directory(env, options, directory, std::move(manifest)));
  auto made = open(env, options, directory);
  if (!made.ok()) discard_directory(*env.cartridge.files, directory);
  return made;
}

Result<std::unique_ptr<Volume>> Volume::open(const VolumeEnv& env, const VolumeOptions& options,
                                             const std::string& directory) {
  return VolumeOpener(env, options, directory).run();
}

Result<std::unique_ptr<Volume>> Volume::clone(Volume& source, const Uuid& point,
                                              const std::string& directory, const NewClone& what) {
  const VolumeState& from = *source.state_;
  Manifest manifest;
  {
    const std::lock_guard lock(source.points_mutex_);
    ASSIGN_OR_RETURN(const Point found, source.find_point(point));
    TRY(source.maintenance_->wait_for_map(found.position));
    ASSIGN_OR_RETURN(const ImageSegment map, source.map_of(found));
    // 1. The point stays, from now on, whatever becomes of the clone.
    TRY(source.state_->commit(
        {SetProperty{std::string(kPropertyHold) + what.uuid.to_string(), point.to_string()}}));
    manifest.properties = what.properties;
    manifest.uuid = what.uuid;
    manifest.label = what.name;
    manifest.parent = from.uuid;
    manifest.capacity_bytes = found.what.size_bytes;
    manifest.properties[std::string(kPropertyBlockBytes)] = std::to_string(from.block_bytes);
    manifest.properties[std::string(kPropertyBlocks)] =
        std::to_string(found.what.size_bytes / from.block_bytes);
    manifest.properties[std::string(kPropertyBase)] = from.uuid.to_string() + " " +
                                                      std::to_string(map.id.sequence) + " " +
                                                      std::to_string(map.id.epoch);
  }
  // 2. The clone: a manifest that names the point's map, with a key of its own.
  TRY(make_directory(from.env, from.options, directory, std::move(manifest)));
  auto made = open(from.env, from.options, directory);
  if (!made.ok()) discard_directory(*from.env.cartridge.files, directory);
  return made;
}

}  // namespace coldshelf
