// Big-endian fields of CDBs and parameter data.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace coldshelf::scsi {

// Big-endian bytes for parameter data.
class WireWriter {
 public:
  explicit WireWriter(Buffer& out) : out_(out) {}
  WireWriter& u8(uint64_t v) { return number(v, 1); }
  WireWriter& u16(uint64_t v) { return number(v, 2); }
  WireWriter& u24(uint64_t v) { return number(v, 3); }
  WireWriter& u32(uint64_t v) { return number(v, 4); }
  WireWriter& u64(uint64_t v) { return number(v, 8); }
  WireWriter& zeros(size_t n) {
    out_.insert(out_.end(), n, std::byte{0});
    return *this;
  }
  WireWriter& raw(ByteView bytes) {
    append(out_, bytes);
    return *this;
  }
  // Left-justified ASCII, padded with blanks, cut at `width` (SPC-5 4.3.1).
  WireWriter& ascii(std::string_view text, size_t width);
  WireWriter& number(uint64_t v, size_t bytes) {
    for (size_t i = bytes; i-- > 0;) out_.push_back(static_cast<std::byte>((v >> (8 * i)) & 0xFF));
    return *this;
  }

 private:
  Buffer& out_;
};
// Overwrites `bytes` bytes at `at`.
void put_number(Buffer& out, size_t at, uint64_t v, size_t bytes);
// Big-endian field of a CDB or parameter list; bytes beyond its end count as 0.
uint64_t get_number(ByteView in, size_t at, size_t bytes);
inline uint8_t get_byte(ByteView in, size_t at) {
  return at < in.size() ? std::to_integer<uint8_t>(in[at]) : uint8_t{0};
}

}  // namespace coldshelf::scsi
