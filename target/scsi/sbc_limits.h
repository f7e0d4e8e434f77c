// What the Block Limits page promises and the commands keep to.
#pragma once

#include <cstdint>

namespace coldshelf::scsi {

// Bounds how long one command writes; UNMAP is the way to give much space back.
inline constexpr uint64_t kMaxWriteSameBlocks = 0xFFFF;
inline constexpr uint64_t kMaxUnmapDescriptors = 256;
inline constexpr uint64_t kMaxCompareAndWriteBlocks = 255;

}  // namespace coldshelf::scsi
