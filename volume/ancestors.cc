#include "volume/ancestors.h"

#include <algorithm>

#include "tape/cartridge/segment_listing.h"

namespace coldshelf {

namespace {
constexpr uint64_t kMaxManifestBytes = 1 * GiB;
}

Result<Secret> unwrap_image_key(const KeyWrapper* key, const Manifest& manifest) {
  if (manifest.key.empty()) return Secret();
  if (key == nullptr) {
    return Error(ErrorCode::key_missing, "volume " + manifest.label + " is encrypted with key " +
                                             manifest.key.key_id + ", and no key is configured");
  }
  return key->unwrap(manifest.key, manifest.uuid);
}

const SegmentEntry* find_segment(const Manifest& manifest, uint32_t partition, uint64_t sequence,
                                 uint64_t epoch) {
  if (partition >= manifest.partitions.size()) return nullptr;
  const auto& segments = manifest.partitions[partition].segments;
  const auto at =
      std::lower_bound(segments.begin(), segments.end(), sequence,
                       [](const SegmentEntry& e, uint64_t s) { return e.sequence < s; });
  if (at == segments.end() || at->sequence != sequence || at->epoch != epoch) return nullptr;
  return &*at;
}

ImageSegment sealed_segment(const Uuid& image, const std::string& directory, const Secret& key,
                            const SegmentEntry& entry) {
  ImageSegment segment;
  segment.id = {image, entry.sequence, entry.epoch};
  segment.path = segment_path(directory, entry.sequence, entry.epoch);
  segment.encrypted = !key.empty();
  segment.cipher = {key, static_cast<uint32_t>(entry.epoch), static_cast<uint32_t>(entry.sequence)};
  segment.sealed = true;
  segment.entry = entry;
  segment.readable_bytes = entry.stored_bytes;
  return segment;
}

Result<std::string> ImageDirectory::stored_directory_of(const Uuid& image) {
  return Error(ErrorCode::not_found, "no store has image " + image.to_string());
}

Result<Ancestor> Ancestors::read(const Uuid& image, const std::string& directory) const {
  Ancestor a;
  a.directory = directory;
  ASSIGN_OR_RETURN(const Buffer bytes, env_.cartridge.files->read_file(
                                           join_path(directory, "manifest"), kMaxManifestBytes));
  // It may be written to at this moment.
  ASSIGN_OR_RETURN(ReplayedManifest replayed, decode_manifest(bytes, true));
  a.manifest = std::move(replayed.manifest);
  if (a.manifest.uuid != image || a.manifest.kind != CartridgeKind::image) {
    return Error(ErrorCode::corrupt, directory + " holds another cartridge");
  }
  ASSIGN_OR_RETURN(a.data_key, unwrap_image_key(options_.key, a.manifest));
  return a;
}

Result<const Ancestor*> Ancestors::find(const Uuid& image) {
  const auto found = found_.find(image);
  if (found != found_.end()) return &found->second;
  if (env_.images == nullptr) {
    return Error(ErrorCode::not_found, "image " + image.to_string() + ", which this one needs");
  }
  ASSIGN_OR_RETURN(const std::string directory, env_.images->directory_of(image));
  Result<Ancestor> a = read(image, directory);
  if (!a.ok()) {
    // Its key may have been wrapped anew since.
    const auto stored = find_stored(image);
    return stored.ok() ? stored : Result<const Ancestor*>(std::move(a).error());
  }
  return &(found_[image] = std::move(*a));
}

Result<const Ancestor*> Ancestors::find_stored(const Uuid& image) {
  ASSIGN_OR_RETURN(const std::string directory, env_.images->stored_directory_of(image));
  ASSIGN_OR_RETURN(Ancestor a, read(image, directory));
  return &(found_[image] = std::move(a));
}

Result<ImageSegment> Ancestors::segment(const SegmentId& id, uint32_t partition) {
  ASSIGN_OR_RETURN(const Ancestor* a, find(id.cartridge));
  const SegmentEntry* entry = find_segment(a->manifest, partition, id.sequence, id.epoch);
  if (entry == nullptr) {
    // The image is another gateway's, and what is here of it is older than the recovery point.
    const auto stored = find_stored(id.cartridge);
    if (!stored.ok() && stored.error().code != ErrorCode::not_found) return stored.error();
    if (stored.ok()) {
      a = *stored;
      entry = find_segment(a->manifest, partition, id.sequence, id.epoch);
    }
  }
  if (entry == nullptr) {
    return Error(ErrorCode::corrupt, "image " + id.cartridge.to_string() + " has lost segment " +
                                         segment_file_stem(id.sequence, id.epoch));
  }
  return sealed_segment(id.cartridge, a->directory, a->data_key, *entry);
}

}  // namespace coldshelf
