#include "target/iscsi/pdu.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

namespace coldshelf::iscsi {

Bhs Bhs::parse(ByteView bytes) {
  CHECK(bytes.size() >= kBhsLength);
  Bhs bhs;
  std::copy_n(bytes.begin(), kBhsLength, bhs.raw_.begin());
  return bhs;
}

void OutPdu::seal(bool with_header_digest, bool with_data_digest) {
  uint64_t length = inline_data.size();
  for (ByteView part : parts) length += part.size();
  CHECK(length < (1U << 24));
  bhs.set_data_length(static_cast<size_t>(length));
  wire_length = kBhsLength + length;
  if (with_header_digest) {
    // RFC 7143 13.1: the CRC goes out least significant byte first.
    store_le(header_digest.data(), crc32c(bhs.bytes()));
    header_digest_length = kDigestLength;
  }
  trailer_length = padding_of(length);
  if (with_data_digest && length > 0) {
    uint32_t crc = crc32c(inline_data);
    for (ByteView part : parts) crc = crc32c(part, crc);
    crc = crc32c(ByteView(trailer).first(trailer_length), crc);
    store_le(trailer.data() + trailer_length, crc);
    trailer_length += kDigestLength;
  }
  wire_length += header_digest_length + trailer_length;
}

bool is_lun_zero(ByteView lun) {
  const auto first = std::to_integer<uint8_t>(lun[0]);
  if (first != 0x00 && first != 0x40) return false;
  return std::all_of(lun.begin() + 1, lun.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace coldshelf::iscsi
