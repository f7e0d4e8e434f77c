#include "tape/format/image_manifest.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "tape/format/image_frame.h"

namespace coldshelf {

namespace {

// The number that `text` begins with, up to its end or a space.
std::optional<uint64_t> number_at(std::string_view& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || (parsed.ptr != end && *parsed.ptr != ' ')) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()));
  if (!text.empty()) text.remove_prefix(1);
  return value;
}

std::optional<uint64_t> position_of_map(const Manifest& manifest, uint64_t sequence) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%016llx", std::string(kPropertyMap).c_str(),
                static_cast<unsigned long long>(sequence));
  const auto at = manifest.properties.find(name);
  if (at == manifest.properties.end()) return std::nullopt;
  std::string_view text = at->second;
  return number_at(text);
}

}  // namespace

Result<std::optional<ImageBase>> image_base(const Manifest& manifest) {
  const auto at = manifest.properties.find(std::string(kPropertyBase));
  if (at == manifest.properties.end()) return std::optional<ImageBase>();
  std::string_view text = at->second;
  const size_t space = std::min(text.find(' '), text.size());
  const auto uuid = Uuid::parse(text.substr(0, space));
  text.remove_prefix(std::min(space + 1, text.size()));
  const auto sequence = number_at(text);
  const auto epoch = number_at(text);
  if (uuid && sequence && epoch) {
    return std::optional<ImageBase>(ImageBase{*uuid, *sequence, *epoch});
  }
  return Error(ErrorCode::corrupt, "image " + manifest.label + ": its base is malformed");
}

uint64_t image_size_bytes(const Manifest& manifest) {
  uint64_t size = 1;
  for (const std::string_view name : {kPropertyBlocks, kPropertyBlockBytes}) {
    const auto at = manifest.properties.find(std::string(name));
    std::string_view text = at == manifest.properties.end() ? std::string_view() : at->second;
    size *= text.empty() ? 0 : number_at(text).value_or(0);
  }
  return size;
}

std::vector<Uuid> clones_of(const Manifest& manifest) {
  std::vector<Uuid> out;
  const std::string prefix(kPropertyHold);
  for (auto at = manifest.properties.lower_bound(prefix);
       at != manifest.properties.end() && at->first.starts_with(prefix); ++at) {
    if (const auto uuid = Uuid::parse(at->first.substr(prefix.size()))) out.push_back(*uuid);
  }
  return out;
}

std::optional<Manifest> storable_image(const Manifest& manifest, const IsConfirmed& confirmed,
                                       bool& complete) {
  complete = false;
  if (manifest.partitions.size() != kImagePartitions) return std::nullopt;
  const auto& maps = manifest.partitions[kImageMapPartition].segments;
  // Whatever a map replaced may be dropped with it, so all of them must be there.
  if (!std::all_of(maps.begin(), maps.end(), confirmed)) return std::nullopt;
  const auto& log = manifest.partitions[kImageLogPartition].segments;
  const auto missing = std::find_if_not(log.begin(), log.end(), confirmed);
  if (missing == log.end()) {
    complete = true;
    Manifest out = manifest;
    out.properties.erase(std::string(kPropertyEbsPull));
    return out;
  }
  // From the newest map's position on nothing is dropped: the log must reach up to there.
  const uint64_t end = missing->sequence;
  for (const SegmentEntry& map : maps) {
    const auto position = position_of_map(manifest, map.sequence);
    if (!position || *position > end) return std::nullopt;
  }
  Manifest out = manifest;
  auto& cut = out.partitions[kImageLogPartition].segments;
  cut.resize(static_cast<size_t>(missing - log.begin()));
  out.properties.erase(std::string(kPropertyEbsPull));
  out.properties.erase(std::string(kPropertyEbsHead));
  const std::string prefix(kPropertyPoint);
  std::vector<std::string> gone;  // ids
  for (auto at = out.properties.lower_bound(prefix);
       at != out.properties.end() && at->first.starts_with(prefix); ++at) {
    std::string_view text = at->second;
    const auto position = number_at(text);
    if (!position || *position > end) gone.push_back(at->first.substr(prefix.size()));
  }
  for (const std::string& id : gone) {
    std::erase_if(out.properties, [&](const auto& p) { return p.first.ends_with("." + id); });
  }
  return out;
}

}  // namespace coldshelf
