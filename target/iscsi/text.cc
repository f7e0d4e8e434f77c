#include "target/iscsi/text.h"

#include <algorithm>
#include <charconv>

namespace coldshelf::iscsi {

namespace {

bool is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '+' || c == '@' || c == '_' || c == '#' || c == '/';
}

bool has_prefix(std::string_view value, char letter) {
  return value.size() > 2 && value[0] == '0' && (value[1] | 0x20) == letter;
}

}  // namespace

Result<std::vector<KeyValue>> parse_text(ByteView text) {
  std::vector<KeyValue> out;
  std::string_view rest = as_text(text);
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos)
      return Error(ErrorCode::invalid_argument, "a text pair is not ended by a NUL");
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (pair.empty()) continue;  // padding that some initiators count in
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals > kMaxKeyLength)
      return Error(ErrorCode::invalid_argument, "a text pair has no proper key");
    const std::string_view key = pair.substr(0, equals);
    const std::string_view value = pair.substr(equals + 1);
    if (!std::all_of(key.begin(), key.end(), is_key_char))
      return Error(ErrorCode::invalid_argument, "a text key has characters it must not have");
    if (value.size() > kMaxValueLength)
      return Error(ErrorCode::out_of_range, "a text value is too long");
    if (out.size() == kMaxKeysPerExchange)
      return Error(ErrorCode::out_of_range, "too many text keys");
    out.push_back({std::string(key), std::string(value)});
  }
  return out;
}

void append_key(std::string& text, std::string_view key, std::string_view value) {
  text.append(key);
  text.push_back('=');
  text.append(value);
  text.push_back('\0');
}

std::optional<uint64_t> parse_number(std::string_view value) {
  int base = 10;
  if (has_prefix(value, 'x')) {
    base = 16;
    value.remove_prefix(2);
  }
  uint64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [at, error] = std::from_chars(value.data(), end, number, base);
  if (error != std::errc() || at != end || value.empty()) return std::nullopt;
  return number;
}

std::optional<Buffer> parse_binary(std::string_view value) {
  Buffer out;
  if (has_prefix(value, 'x')) {
    std::string hex(value.substr(2));
    if (hex.size() > 2 * kMaxBinaryLength) return std::nullopt;
    if (hex.size() % 2 != 0) hex.insert(0, 1, '0');
    if (!from_hex(hex, out)) return std::nullopt;
  } else if (has_prefix(value, 'b')) {
    const std::string_view digits = value.substr(2);
    if (digits.size() > 2 * kMaxBinaryLength || !from_base64(digits, out)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (out.empty() || out.size() > kMaxBinaryLength) return std::nullopt;
  return out;
}

std::string encode_hex(ByteView bytes) { return "0x" + to_hex(bytes); }

std::vector<std::string_view> split_list(std::string_view value) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t comma = value.find(',');
    out.push_back(value.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    value.remove_prefix(comma + 1);
  }
}

std::string normalize_name(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_valid_name(std::string_view name) {
  if (name.size() < 5 || name.size() > 223) return false;
  const std::string_view type = name.substr(0, 4);
  if (type != "iqn." && type != "eui." && type != "naa.") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':' ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

}  // namespace coldshelf::iscsi
