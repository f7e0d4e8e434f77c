#include "tape/cartridge/frame_locator.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace coldshelf {

uint64_t FrameLocation::end_block() const {
  return std::min(entry.first_block + entry.block_count, visible_end);
}

bool FrameLocation::starts(uint64_t block) const {
  if (block >= visible_end) return false;
  if (entry.continues_previous) return false;
  if (entry.continues_next) return entry.first_block == block;
  return entry.first_block <= block && block < end_block();
}

FrameLocator::Found FrameLocator::find(uint32_t partition, uint64_t block) const {
  Found found;
  const std::lock_guard lock(state_.mutex);
  if (const SegmentEntry* entry = state_.manifest.find_block(partition, block)) {
    found.sealed = *entry;
    return found;
  }
  for (const auto& segment : state_.tail) {
    const SegmentFile::Guarded& g = segment->guarded;
    if (segment->partition() == partition && g.start.block <= block && block < g.end.block) {
      found.tail = segment;
      break;
    }
  }
  return found;
}

Result<std::shared_ptr<SegmentFile>> FrameLocator::open(const Found& found) {
  if (found.tail) return found.tail;
  if (!found.sealed) return Error(ErrorCode::not_found, "no such object on the cartridge");
  return cache_.load(*found.sealed, true);
}

Result<FrameLocation> FrameLocator::at_frame(const Found& found,
                                             std::shared_ptr<SegmentFile> segment,
                                             std::optional<size_t> frame, const std::string& what) {
  std::optional<FrameIndexEntry> entry;
  if (frame) entry = segment->frame(*frame);
  if (!entry) {
    return Error(ErrorCode::corrupt,
                 "segment " + std::to_string(segment->sequence()) + " lacks " + what);
  }
  FrameLocation location;
  location.segment = std::move(segment);
  location.frame = *frame;
  location.entry = *entry;
  // What a tail segment holds is all visible: overwriting seals it first.
  location.visible_end =
      found.sealed ? found.sealed->end_block() : std::numeric_limits<uint64_t>::max();
  return location;
}

Result<FrameLocation> FrameLocator::locate(uint32_t partition, uint64_t block) {
  const Found found = find(partition, block);
  ASSIGN_OR_RETURN(auto segment, open(found));
  const std::optional<size_t> frame = segment->find_block(block);
  return at_frame(found, std::move(segment), frame, "block " + std::to_string(block));
}

Result<FrameLocation> FrameLocator::locate_filemark(uint32_t partition, uint64_t filemark) {
  Found found;
  {
    const std::lock_guard lock(state_.mutex);
    if (const SegmentEntry* entry = state_.manifest.find_filemark(partition, filemark)) {
      found.sealed = *entry;
    } else {
      for (const auto& segment : state_.tail) {
        const SegmentFile::Guarded& g = segment->guarded;
        if (segment->partition() == partition && g.start.filemark <= filemark &&
            filemark < g.end.filemark) {
          found.tail = segment;
          break;
        }
      }
    }
  }
  ASSIGN_OR_RETURN(auto segment, open(found));
  const std::optional<size_t> frame = segment->find_filemark(filemark);
  return at_frame(found, std::move(segment), frame, "filemark " + std::to_string(filemark));
}

std::optional<FrameLocation> FrameLocator::next(const FrameLocation& at) {
  FrameLocation location = at;
  ++location.frame;
  if (auto entry = at.segment->frame(location.frame)) {
    if (entry->first_block >= at.visible_end) return std::nullopt;
    location.entry = *entry;
    return location;
  }
  const uint64_t block = at.end_block();
  const Found found = find(at.segment->partition(), block);
  std::shared_ptr<SegmentFile> segment =
      found.sealed ? cache_.find(found.sealed->sequence) : found.tail;
  if (!segment || segment->sequence() == at.segment->sequence()) return std::nullopt;
  const std::optional<size_t> frame = segment->find_block(block);
  auto following = at_frame(found, std::move(segment), frame, "");
  if (!following.ok()) return std::nullopt;
  return std::move(following).value();
}

std::vector<SegmentEntry> FrameLocator::upcoming(uint32_t partition, uint64_t after_block,
                                                 size_t limit) const {
  std::vector<SegmentEntry> entries;
  const std::lock_guard lock(state_.mutex);
  uint64_t block = after_block;
  while (entries.size() < limit) {
    const SegmentEntry* entry = state_.manifest.find_block(partition, block);
    if (entry == nullptr) break;
    entries.push_back(*entry);
    block = entry->end_block();
  }
  return entries;
}

uint64_t FrameLocator::plain_bytes_before(uint32_t partition, uint64_t sequence) {
  const std::lock_guard lock(state_.mutex);
  const std::vector<SegmentEntry>& segments = state_.manifest.partitions[partition].segments;
  // Sequences ascend within a partition. The last sum is taken up again, so that a sequential
  // reader does not add up the whole tape for each record.
  const auto target = static_cast<size_t>(
      std::lower_bound(segments.begin(), segments.end(), sequence,
                       [](const SegmentEntry& e, uint64_t s) { return e.sequence < s; }) -
      segments.begin());
  if (prefix_.partition != partition || prefix_.segment > target) prefix_ = {partition, 0, 0};
  for (; prefix_.segment < target; ++prefix_.segment) {
    prefix_.plain_bytes += segments[prefix_.segment].plain_bytes;
  }
  return prefix_.plain_bytes;
}

void FrameLocator::forget() {
  const std::lock_guard lock(state_.mutex);
  prefix_ = {};
}

}  // namespace coldshelf
