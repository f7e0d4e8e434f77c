// What an image's manifest says beside its segments, and which part of it a store may hold.
// docs/format/image.md, "Properties of the manifest".
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "tape/format/manifest.h"

namespace coldshelf {

constexpr std::string_view kPropertyBlockBytes = "volume.block_bytes";
constexpr std::string_view kPropertyBlocks = "volume.blocks";
constexpr std::string_view kPropertyBase = "volume.base";  // of a clone: uuid, sequence, epoch
constexpr std::string_view kPropertyMap = "map.";          // + sequence: position
constexpr std::string_view kPropertyPoint = "point.";      // + id: position, blocks, time, name
constexpr std::string_view kPropertyHold = "hold.";        // + uuid of a clone: id of the point
// Of an archive of EBS snapshots (docs/snapshots.md): what its disk is at the end of the log, and
// how far a pull has come on the disk of its gateway.
constexpr std::string_view kPropertyEbsHead = "ebs.head";
constexpr std::string_view kPropertyEbsPull = "ebs.pull";
// How the gateway that has it keeps it: "cached" (or missing), "stored".
constexpr std::string_view kPropertyMode = "mode";

// The image that a clone was made from, with the map there.
struct ImageBase {
  Uuid image;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
};
// corrupt: the property is malformed.
Result<std::optional<ImageBase>> image_base(const Manifest& manifest);
// Of the disk as it is at the end of the log; 0: the manifest is of no image.
uint64_t image_size_bytes(const Manifest& manifest);
// The clones that stand on recovery points of this image.
std::vector<Uuid> clones_of(const Manifest& manifest);

// The longest beginning of the image of which every segment is confirmed: all of the manifest, or
// the log up to the first segment that is not, with the recovery points up to there. None: cut off
// there it would be no state the disk ever had, for the newest map is not there yet and what it
// replaces is dropped. `complete` says whether it is all of it. What is said of the recovery points
// that are left out goes with them, and what is said of the log's end where that is cut. A pull's
// progress counts blocks that may not be sealed: it is never stored, and a pull begins again.
using IsConfirmed = std::function<bool(const SegmentEntry&)>;
std::optional<Manifest> storable_image(const Manifest& manifest, const IsConfirmed& confirmed,
                                       bool& complete);

}  // namespace coldshelf
