// A 128-bit identifier (RFC 4122 version 4).
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"

namespace coldshelf {

struct Uuid {
  std::array<std::byte, 16> bytes{};

  static Uuid generate(Random& random);
  static std::optional<Uuid> parse(std::string_view text);  // 8-4-4-4-12, either case
  std::string to_string() const;                            // 8-4-4-4-12, lower case
  bool is_nil() const { return *this == Uuid{}; }
  ByteView view() const { return bytes; }

  auto operator<=>(const Uuid&) const = default;
};

struct UuidHash {
  size_t operator()(const Uuid& id) const {
    size_t h;
    static_assert(sizeof h <= 16);
    std::memcpy(&h, id.bytes.data(), sizeof h);
    return h;
  }
};

}  // namespace coldshelf
