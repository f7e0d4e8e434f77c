#include "tests/support/ebs/tokens.h"

#include <array>
#include <cstring>

#include "base/bytes.h"

namespace coldshelf::test::ebs {

namespace {

constexpr size_t kWords = 4;
constexpr size_t kBytes = 46;  // kind, a filler to the end, five words

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

using Raw = std::array<unsigned char, kBytes>;

void append_base64(std::string& out, const Raw& raw) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char text[(kBytes + 2) / 3 * 4];
  size_t to = 0;
  size_t at = 0;
  for (; at + 3 <= kBytes; at += 3) {
    const uint32_t group = static_cast<uint32_t>(raw[at]) << 16U |
                           static_cast<uint32_t>(raw[at + 1]) << 8U | raw[at + 2];
    text[to++] = kDigits[group >> 18U];
    text[to++] = kDigits[(group >> 12U) & 63U];
    text[to++] = kDigits[(group >> 6U) & 63U];
    text[to++] = kDigits[group & 63U];
  }
  static_assert(kBytes % 3 == 1);
  text[to++] = kDigits[raw[at] >> 2U];
  text[to++] = kDigits[(raw[at] & 3U) << 4U];
  text[to++] = '=';
  text[to++] = '=';
  out.append(text, to);
}

}  // namespace

void TokenMaker::append(std::string& out, Kind kind, const Token& token) const {
  const uint64_t words[kWords] = {token.second, token.first, token.index,
                                  static_cast<uint64_t>(token.expires_ms)};
  uint64_t mac = secret_ + static_cast<uint64_t>(kind);
  for (const uint64_t word : words) mac = mix(mac ^ word) + word;
  Raw raw{};
  raw[0] = static_cast<unsigned char>(kind);
  raw[1] = 1;  // version
  std::memcpy(raw.data() + 2, &mac, 8);
  for (size_t i = 0; i < kWords; ++i) {
    const uint64_t hidden = words[i] ^ mix(mac + i);
    std::memcpy(raw.data() + 10 + i * 8, &hidden, 8);
  }
  const auto filler = static_cast<uint32_t>(mix(mac));
  std::memcpy(raw.data() + 42, &filler, 4);
  append_base64(out, raw);
}

std::string TokenMaker::make(Kind kind, const Token& token) const {
  std::string out;
  append(out, kind, token);
  return out;
}

std::optional<Token> TokenMaker::parse(Kind kind, std::string_view text) const {
  Buffer raw;
  if (!from_base64(text, raw) || raw.size() != kBytes) return std::nullopt;
  if (std::to_integer<uint8_t>(raw[0]) != static_cast<uint8_t>(kind)) return std::nullopt;
  uint64_t mac = 0;
  std::memcpy(&mac, raw.data() + 2, 8);
  uint64_t words[kWords];
  for (size_t i = 0; i < kWords; ++i) {
    std::memcpy(&words[i], raw.data() + 10 + i * 8, 8);
    words[i] ^= mix(mac + i);
  }
  Token token{words[0], words[1], words[2], static_cast<int64_t>(words[3])};
  if (make(kind, token) != text) return std::nullopt;
  return token;
}

}  // namespace coldshelf::test::ebs
