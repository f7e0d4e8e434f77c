#include "base/uuid.h"

namespace coldshelf {

Uuid Uuid::generate(Random& random) {
  Uuid id;
  random.fill(id.bytes);
  id.bytes[6] = (id.bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  id.bytes[8] = (id.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return id;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  std::string hex;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return std::nullopt;
    if (!dash) hex.push_back(text[i]);
  }
  Buffer raw;
  if (!from_hex(hex, raw)) return std::nullopt;
  Uuid id;
  std::copy(raw.begin(), raw.end(), id.bytes.begin());
  return id;
}

std::string Uuid::to_string() const {
  std::string hex = to_hex(bytes);
  for (const size_t at : {size_t{8}, size_t{13}, size_t{18}, size_t{23}}) hex.insert(at, 1, '-');
  return hex;
}

}  // namespace coldshelf
