// Page and block tokens: opaque, signed, with an end. base64 of 46 bytes, so that they hold '+',
// '/' and '=': what a client does not encode, or cuts, is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coldshelf::test::ebs {

struct Token {
  uint64_t second = 0;  // snapshot numbers; second: the one that is listed or read
  uint64_t first = 0;   // 0: none
  uint64_t index = 0;   // of the block, or where the next page begins
  int64_t expires_ms = 0;
};

class TokenMaker {
 public:
  explicit TokenMaker(uint64_t secret) : secret_(secret) {}
  enum class Kind : uint8_t { page = 1, block = 2 };
  void append(std::string& out, Kind kind, const Token& token) const;
  std::string make(Kind kind, const Token& token) const;
  // Nothing: not one of ours. Whether it has ended is the caller's to see.
  std::optional<Token> parse(Kind kind, std::string_view text) const;

 private:
  uint64_t secret_;
};

}  // namespace coldshelf::test::ebs
