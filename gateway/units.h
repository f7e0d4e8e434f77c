// Sizes, durations and addresses as people write them: "64MiB", "1.5TiB", "30s", "127.0.0.1:3260".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coldshelf {

// "1048576", "64MiB", "1.5TiB", "10GB" (powers of ten), with or without a blank. Fractions must
// come to a whole number of bytes.
Result<uint64_t> parse_size(std::string_view text);
std::string format_size(uint64_t bytes);        // "1.5 GiB", for people
std::string format_exact_size(uint64_t bytes);  // "64MiB", reads back as the same number

// "250ms", "30s", "5m", "12h", "7d", "0"; a bare number other than 0 is refused.
Result<int64_t> parse_duration_ms(std::string_view text);
std::string format_duration(int64_t ms);  // reads back as the same number

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
// "127.0.0.1:3260", "[::1]:3260", "0.0.0.0" (then `default_port`). Numeric addresses only: a name
// that resolves differently tomorrow must not decide who can reach the daemon.
Result<HostPort> parse_listen_address(std::string_view text, uint16_t default_port);
bool is_loopback(const HostPort& address);

// The candidate closest to `word`, or "" when nothing is close.
std::string closest_match(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace coldshelf
