// The files of segments in a cartridge's directory, as a recovery finds them: "<stem>.open" while a
// segment is written, "<stem>.seg" when it is sealed (docs/durability.md).
#pragma once

#include <string>
#include <vector>

#include "base/file_system.h"
#include "tape/format/manifest.h"
#include "tape/format/segment.h"

namespace coldshelf {

struct ListedSegment {
  SegmentName name;
  bool open = false;    // there is a .open file
  bool sealed = false;  // there is a .seg file
};

std::string segment_path(const std::string& directory, uint64_t sequence,
                         uint64_t epoch);  // of a sealed one
std::string open_segment_path(const std::string& directory, uint64_t sequence, uint64_t epoch);

// Ascending by sequence and epoch.
Result<std::vector<ListedSegment>> list_segments(FileSystem& files, const std::string& directory);
bool names_segment(const Manifest& manifest, const SegmentName& name);
// Of the manifest's writer, and behind all that it names: opening the cartridge may find objects
// there that belong to it.
bool may_continue(const Manifest& manifest, const SegmentName& name);
// Both files, of those that there are.
Status remove_segment(FileSystem& files, const std::string& directory,
                      const ListedSegment& segment);

}  // namespace coldshelf
