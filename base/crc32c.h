// CRC32C (Castagnoli, RFC 7143 clause 13.1), by ISA-L.
#pragma once

#include "base/bytes.h"

namespace coldshelf {

// The finished CRC of `bytes`; `crc32c(b, crc32c(a))` is the CRC of a followed by b.
uint32_t crc32c(ByteView bytes, uint32_t previous = 0);

}  // namespace coldshelf
