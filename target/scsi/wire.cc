#include "target/scsi/wire.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf::scsi {

WireWriter& WireWriter::ascii(std::string_view text, size_t width) {
  text = text.substr(0, width);
  append(out_, as_view(text));
  out_.insert(out_.end(), width - text.size(), std::byte{' '});
  return *this;
}

void put_number(Buffer& out, size_t at, uint64_t v, size_t bytes) {
  CHECK(at + bytes <= out.size());
  for (size_t i = 0; i < bytes; ++i)
    out[at + i] = static_cast<std::byte>((v >> (8 * (bytes - 1 - i))) & 0xFF);
}

uint64_t get_number(ByteView in, size_t at, size_t bytes) {
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v = (v << 8) | get_byte(in, at + i);
  return v;
}

}  // namespace coldshelf::scsi
