// The text format of login and text requests (RFC 7143 clause 6.1): key=value pairs, each ended by
// a NUL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf::iscsi {

constexpr size_t kMaxKeyLength = 63;         // RFC 7143 6.1
constexpr size_t kMaxValueLength = 8192;     // enough for the longest binary value we take
constexpr size_t kMaxKeysPerExchange = 256;  // our bound
constexpr size_t kMaxTextLength = 64 * KiB;  // our bound on one continued request
constexpr size_t kMaxBinaryLength = 1024;    // RFC 7143 12.1.3

struct KeyValue {
  std::string key;
  std::string value;
};

Result<std::vector<KeyValue>> parse_text(ByteView text);
void append_key(std::string& text, std::string_view key, std::string_view value);

// numerical-value: decimal or hexadecimal constant that fits 64 bits.
std::optional<uint64_t> parse_number(std::string_view value);
// large-binary-value: "0x" hexadecimal or "0b" base64, at most kMaxBinaryLength bytes.
std::optional<Buffer> parse_binary(std::string_view value);
std::string encode_hex(ByteView bytes);  // "0x..."
std::vector<std::string_view> split_list(std::string_view value);

// RFC 3722 profile as far as ASCII goes: iSCSI names compare in lower case.
std::string normalize_name(std::string_view name);
bool is_valid_name(std::string_view name);  // iqn., eui. or naa., at most 223 bytes

}  // namespace coldshelf::iscsi
