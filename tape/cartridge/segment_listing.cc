#include "tape/cartridge/segment_listing.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace coldshelf {

namespace {

constexpr std::string_view kOpenSuffix = ".open";
constexpr std::string_view kSealedSuffix = ".seg";

std::optional<SegmentName> name_of(std::string_view file, std::string_view suffix) {
  if (!file.ends_with(suffix)) return std::nullopt;
  return parse_segment_file_stem(file.substr(0, file.size() - suffix.size()));
}

}  // namespace

std::string segment_path(const std::string& directory, uint64_t sequence, uint64_t epoch) {
  return join_path(directory, segment_file_stem(sequence, epoch) + std::string(kSealedSuffix));
}

std::string open_segment_path(const std::string& directory, uint64_t sequence, uint64_t epoch) {
  return join_path(directory, segment_file_stem(sequence, epoch) + std::string(kOpenSuffix));
}

Result<std::vector<ListedSegment>> list_segments(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(const auto names, files.list(directory));
  std::map<std::pair<uint64_t, uint64_t>, ListedSegment> found;
  for (const std::string& file : names) {
    const auto open = name_of(file, kOpenSuffix);
    const auto sealed = name_of(file, kSealedSuffix);
    if (!open && !sealed) continue;
    const SegmentName name = open ? *open : *sealed;
    ListedSegment& segment = found[{name.sequence, name.epoch}];
    segment.name = name;
    segment.open = segment.open || open.has_value();
    segment.sealed = segment.sealed || sealed.has_value();
  }
  std::vector<ListedSegment> out;
  for (auto& [key, segment] : found) out.push_back(segment);
  return out;
}

bool names_segment(const Manifest& manifest, const SegmentName& name) {
  for (const Partition& partition : manifest.partitions) {
    const auto at = std::lower_bound(
        partition.segments.begin(), partition.segments.end(), name.sequence,
        [](const SegmentEntry& e, uint64_t sequence) { return e.sequence < sequence; });
    if (at != partition.segments.end() && at->sequence == name.sequence &&
        at->epoch == name.epoch) {
      return true;
    }
  }
  return false;
}

bool may_continue(const Manifest& manifest, const SegmentName& name) {
  return name.epoch == manifest.epoch && name.sequence >= manifest.next_sequence;
}

Status remove_segment(FileSystem& files, const std::string& directory,
                      const ListedSegment& segment) {
  const auto [sequence, epoch] = segment.name;
  if (segment.open) TRY(files.remove(open_segment_path(directory, sequence, epoch)));
  if (segment.sealed) TRY(files.remove(segment_path(directory, sequence, epoch)));
  return {};
}

}  // namespace coldshelf
