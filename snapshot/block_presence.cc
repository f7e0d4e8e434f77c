#include "snapshot/block_presence.h"

#include <algorithm>

namespace coldshelf {

Result<std::optional<uint64_t>> BlockPresence::next(uint64_t from) {
  const uint64_t size = disk_.size_bytes();
  uint64_t at = from * kEbsBlockBytes;
  while (at < size) {  // each turn moves to the end of a run
    const uint64_t block = std::min<uint64_t>(kEbsBlockBytes, size - at);
    ASSIGN_OR_RETURN(BlockDevice::Run run, disk_.run_at(at, block));
    if (run.mapped) return std::optional<uint64_t>(at / kEbsBlockBytes);
    if (run.length == block && block < size - at) {  // long holes in one step
      ASSIGN_OR_RETURN(run, disk_.run_at(at, size - at));
      if (run.mapped) return std::optional<uint64_t>(at / kEbsBlockBytes);
    }
    at += run.length;
  }
  return std::optional<uint64_t>();
}

Status BlockPresence::read(uint64_t block, MutableBytes out) {
  const uint64_t offset = block * kEbsBlockBytes;
  const uint64_t size = disk_.size_bytes();
  const uint64_t there = offset >= size ? 0 : std::min<uint64_t>(out.size(), size - offset);
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(there), out.end(), std::byte{0});
  if (there == 0) return {};
  return disk_.read(offset, out.first(static_cast<size_t>(there)));
}

}  // namespace coldshelf
