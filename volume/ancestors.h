// The images that a clone shares segments with: their manifests and keys, read once.
#pragma once

#include "volume/map_file.h"

namespace coldshelf {

struct Ancestor {
  std::string directory;
  Secret data_key;
  Manifest manifest;
};

// The key of an image; empty when it is not encrypted. key_missing, key_mismatch, corrupt.
Result<Secret> unwrap_image_key(const KeyWrapper* key, const Manifest& manifest);

// Not thread-safe.
class Ancestors {
 public:
  Ancestors(const VolumeEnv& env, const VolumeOptions& options) : env_(env), options_(options) {}
  Result<const Ancestor*> find(const Uuid& image);
  // A segment of an ancestor, as the manifest there describes it.
  Result<ImageSegment> segment(const SegmentId& id, uint32_t partition);

 private:
  Result<Ancestor> read(const Uuid& image, const std::string& directory) const;
  Result<const Ancestor*> find_stored(const Uuid& image);

  const VolumeEnv& env_;
  const VolumeOptions& options_;
  std::map<Uuid, Ancestor> found_;
};

// The line of the manifest for a segment; null: there is none.
const SegmentEntry* find_segment(const Manifest& manifest, uint32_t partition, uint64_t sequence,
                                 uint64_t epoch);
// A sealed segment with its key.
ImageSegment sealed_segment(const Uuid& image, const std::string& directory, const Secret& key,
                            const SegmentEntry& entry);

}  // namespace coldshelf
