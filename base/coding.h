// Explicit byte order: little-endian for our formats (le), big-endian for the wire (be).
#pragma once

#include <bit>
#include <concepts>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"

namespace coldshelf {

namespace coding_detail {
template <std::unsigned_integral T>
constexpr T swap_bytes(T v) {
  if constexpr (sizeof(T) == 1) {
    return v;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(v);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(v);
  } else {
    return __builtin_bswap64(v);
  }
}
}  // namespace coding_detail

template <std::unsigned_integral T>
T load_le(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return std::endian::native == std::endian::little ? v : coding_detail::swap_bytes(v);
}
template <std::unsigned_integral T>
T load_be(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return std::endian::native == std::endian::big ? v : coding_detail::swap_bytes(v);
}
template <std::unsigned_integral T>
void store_le(std::byte* p, T v) {
  if constexpr (std::endian::native != std::endian::little) v = coding_detail::swap_bytes(v);
  std::memcpy(p, &v, sizeof v);
}
template <std::unsigned_integral T>
void store_be(std::byte* p, T v) {
  if constexpr (std::endian::native != std::endian::big) v = coding_detail::swap_bytes(v);
  std::memcpy(p, &v, sizeof v);
}
inline uint32_t load_be24(const std::byte* p) {
  return (std::to_integer<uint32_t>(p[0]) << 16) | (std::to_integer<uint32_t>(p[1]) << 8) |
         std::to_integer<uint32_t>(p[2]);
}
inline void store_be24(std::byte* p, uint32_t v) {
  p[0] = static_cast<std::byte>((v >> 16) & 255U);
  p[1] = static_cast<std::byte>((v >> 8) & 255U);
  p[2] = static_cast<std::byte>(v & 255U);
}

// Appends little-endian fields to a buffer.
class Encoder {
 public:
  explicit Encoder(Buffer& out) : out_(out) {}
  void u8(uint8_t v) { out_.push_back(static_cast<std::byte>(v)); }
  void u16(uint16_t v) { fixed(v); }
  void u32(uint32_t v) { fixed(v); }
  void u64(uint64_t v) { fixed(v); }
  void varint(uint64_t v) {  // LEB128, at most 10 bytes
    while (v >= 128) {
      u8(static_cast<uint8_t>(v | 128U));
      v >>= 7;
    }
    u8(static_cast<uint8_t>(v));
  }
  void raw(ByteView bytes) { append(out_, bytes); }
  void string(std::string_view text) {  // varint length, then the bytes
    varint(text.size());
    raw(as_view(text));
  }
  void blob(ByteView bytes) { string(as_text(bytes)); }
  size_t size() const { return out_.size(); }

 private:
  template <std::unsigned_integral T>
  void fixed(T v) {
    const size_t at = out_.size();
    out_.resize(at + sizeof v);
    store_le(out_.data() + at, v);
  }
  Buffer& out_;
};

// Reads little-endian fields. After any overrun `ok()` is false and every read gives zero: check
// once at the end.
class Decoder {
 public:
  explicit Decoder(ByteView in) : in_(in) {}
  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }
  uint64_t varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t b = u8();
      if (!ok_) return 0;
      if (shift == 63 && b > 1) break;
      v |= static_cast<uint64_t>(b & 127U) << shift;
      if (b < 128) return v;
    }
    ok_ = false;
    return 0;
  }
  ByteView raw(size_t n) {
    if (!ok_ || n > in_.size() - at_) {
      ok_ = false;
      return {};
    }
    ByteView out = in_.subspan(at_, n);
    at_ += n;
    return out;
  }
  std::string string() { return to_text(blob()); }
  ByteView blob() {
    const uint64_t n = varint();
    if (n > in_.size()) {
      ok_ = false;
      return {};
    }
    return raw(static_cast<size_t>(n));
  }
  bool ok() const { return ok_; }
  void fail() { ok_ = false; }
  size_t remaining() const { return ok_ ? in_.size() - at_ : 0; }
  size_t position() const { return at_; }

 private:
  template <std::unsigned_integral T>
  T fixed() {
    ByteView b = raw(sizeof(T));
    return ok_ ? load_le<T>(b.data()) : T{0};
  }
  ByteView in_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace coldshelf
