// Byte ranges and buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coldshelf {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// Leaves new elements uninitialised: a buffer that is about to be filled need not be zeroed first.
template <typename T>
struct DefaultInitAllocator : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = DefaultInitAllocator<U>;
  };
  template <typename U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <typename U, typename... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
};
using Buffer = std::vector<std::byte, DefaultInitAllocator<std::byte>>;

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t GiB = 1024 * MiB;
constexpr uint64_t TiB = 1024 * GiB;

inline ByteView as_view(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string to_text(ByteView bytes) { return std::string(as_text(bytes)); }
inline Buffer to_buffer(ByteView bytes) { return Buffer(bytes.begin(), bytes.end()); }
inline void append(Buffer& to, ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
inline bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}
// How many bytes of zeroes `bytes` begins with.
size_t leading_zeroes(ByteView bytes);
inline bool all_zeroes(ByteView bytes) { return leading_zeroes(bytes) == bytes.size(); }

std::string to_hex(ByteView bytes);                    // lower case
bool from_hex(std::string_view hex, Buffer& out);      // false: odd length or not hex
std::string to_base64(ByteView bytes);                 // RFC 4648, with padding
bool from_base64(std::string_view text, Buffer& out);  // false: not base64

}  // namespace coldshelf
