// The map of an image as a segment of its own: docs/format/image.md, "Map".
#pragma once

#include <functional>

#include "tape/format/image_manifest.h"
#include "volume/volume_state.h"

namespace coldshelf {

// Of a manifest, beside those of tape/format/image_manifest.h.
constexpr std::string_view kPropertyAbout = "about.";  // + id of a point: what its maker says
// Whether the engine alone may set it.
bool is_engine_property(std::string_view name);

// The index of a sealed segment, local or not.
Result<SegmentIndex> read_segment_index(SegmentFiles& files, const ImageSegment& segment);

// Writes `map`, whose slots are those of `slots`, as a sealed segment of `state`'s directory that
// the manifest does not name yet: file and name are synced.
struct WrittenMap {
  SegmentEntry entry;
  Sha256Digest file_digest{};
  std::vector<MapSource> sources;
};
Result<WrittenMap> write_map(VolumeState& state, const LogMark& mark, const ExtentMap& map,
                             std::span<const std::shared_ptr<ImageSegment>> slots);

// Reads a map. `slot_for` gives each source a slot of the reader's.
struct LoadedMap {
  LogMark mark;
  ExtentMap map;
};
Result<LoadedMap> load_map(SegmentFiles& files, ImageReader& reader, const ImageSegment& segment,
                           const std::function<Result<uint32_t>(const MapSource&)>& slot_for);
// Of a map only the sources.
Result<std::vector<MapSource>> load_map_sources(SegmentFiles& files, ImageReader& reader,
                                                const ImageSegment& segment);

}  // namespace coldshelf
