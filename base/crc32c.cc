#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace coldshelf {

uint32_t crc32c(ByteView bytes, uint32_t previous) {
  uint32_t state = ~previous;
  while (!bytes.empty()) {
    // ISA-L takes an int length and a non-const pointer it does not write through.
    const size_t n = std::min<size_t>(bytes.size(), size_t{1} << 30);
    state = crc32_iscsi(
        reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data())),  // NOLINT
        static_cast<int>(n), state);
    bytes = bytes.subspan(n);
  }
  return ~state;
}

}  // namespace coldshelf
