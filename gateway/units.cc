#include "gateway/units.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "base/bytes.h"

namespace coldshelf {

namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array kSizeUnits = {
    Unit{"B", 1},
    Unit{"KiB", KiB},
    Unit{"MiB", MiB},
    Unit{"GiB", GiB},
    Unit{"TiB", TiB},
    Unit{"PiB", 1024 * TiB},
    Unit{"KB", 1'000},
    Unit{"kB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
    Unit{"PB", 1'000'000'000'000'000},
};

constexpr std::array kDurationUnits = {
    Unit{"ms", 1},       Unit{"s", 1'000},     Unit{"m", 60'000},
    Unit{"min", 60'000}, Unit{"h", 3'600'000}, Unit{"d", 86'400'000},
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Error not_a(std::string_view what, std::string_view text, std::string_view example) {
  return {ErrorCode::invalid_argument, "'" + std::string(text) + "' is not " + std::string(what) +
                                           "; write it like " + std::string(example)};
}

// Splits "1.5TiB" into digits, fraction digits and unit.
struct Quantity {
  uint64_t whole = 0;
  uint64_t fraction = 0;
  uint64_t fraction_scale = 1;  // 10^(digits of the fraction)
  std::string_view unit;
};

bool split_quantity(std::string_view text, Quantity& out) {
  text = trimmed(text);
  const char* end = text.data() + text.size();
  auto [after, failed] = std::from_chars(text.data(), end, out.whole);
  if (failed != std::errc{}) return false;
  if (after != end && *after == '.') {
    const char* begin = ++after;
    while (after != end && *after >= '0' && *after <= '9') {
      if (after - begin >= 9) return false;
      out.fraction = out.fraction * 10 + static_cast<uint64_t>(*after - '0');
      out.fraction_scale *= 10;
      ++after;
    }
    if (after == begin) return false;
  }
  out.unit = trimmed({after, static_cast<size_t>(end - after)});
  return true;
}

// whole.fraction * factor; false when it is no whole number or does not fit.
bool scale(const Quantity& q, uint64_t factor, uint64_t& out) {
  using Wide = unsigned __int128;
  const Wide parts = static_cast<Wide>(q.fraction) * factor;
  if (parts % q.fraction_scale != 0) return false;
  const Wide total = static_cast<Wide>(q.whole) * factor + parts / q.fraction_scale;
  if (total > static_cast<Wide>(INT64_MAX)) return false;
  out = static_cast<uint64_t>(total);
  return true;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  Quantity q;
  constexpr std::string_view what = "a size";
  constexpr std::string_view example = "64MiB, 10GiB or 1.5TiB";
  if (!split_quantity(text, q)) return not_a(what, text, example);
  const std::string_view name = q.unit.empty() ? "B" : q.unit;
  for (const Unit& unit : kSizeUnits) {
    uint64_t bytes = 0;
    if (unit.name != name) continue;
    if (!scale(q, unit.factor, bytes)) {
      return Error(ErrorCode::out_of_range,
                   "'" + std::string(text) + "' is no whole number of bytes, or too big");
    }
    return bytes;
  }
  return not_a(what, text, example);
}

std::string format_size(uint64_t bytes) {
  constexpr std::array<std::string_view, 6> names = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < names.size()) {
    value /= 1024;
    ++unit;
  }
  char out[48];
  if (unit == 0 || value == std::floor(value)) {
    std::snprintf(out, sizeof out, "%.0f %s", value, names[unit].data());
  } else {
    std::snprintf(out, sizeof out, "%.1f %s", value, names[unit].data());
  }
  return out;
}

std::string format_exact_size(uint64_t bytes) {
  const Unit* best = &kSizeUnits[0];
  for (const Unit& unit : kSizeUnits) {
    const bool binary = unit.name.size() == 3;
    if (binary && bytes != 0 && bytes % unit.factor == 0 && unit.factor > best->factor) {
      best = &unit;
    }
  }
  return std::to_string(bytes / best->factor) + std::string(best->name);
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  Quantity q;
  constexpr std::string_view what = "a duration";
  constexpr std::string_view example = "250ms, 30s, 5m, 12h or 7d";
  if (!split_quantity(text, q)) return not_a(what, text, example);
  if (q.unit.empty() && q.whole == 0 && q.fraction == 0) return int64_t{0};
  for (const Unit& unit : kDurationUnits) {
    uint64_t ms = 0;
    if (unit.name != q.unit) continue;
    if (!scale(q, unit.factor, ms)) {
      return Error(ErrorCode::out_of_range,
                   "'" + std::string(text) + "' is no whole number of milliseconds, or too long");
    }
    return static_cast<int64_t>(ms);
  }
  return not_a(what, text, example);
}

std::string format_duration(int64_t ms) {
  const Unit* best = &kDurationUnits[0];
  for (const Unit& unit : kDurationUnits) {
    const auto factor = static_cast<int64_t>(unit.factor);
    if (ms != 0 && ms % factor == 0 && unit.factor > best->factor) best = &unit;
  }
  if (ms == 0) return "0s";
  return std::to_string(ms / static_cast<int64_t>(best->factor)) + std::string(best->name);
}

Result<HostPort> parse_listen_address(std::string_view text, uint16_t default_port) {
  HostPort out;
  out.port = default_port;
  std::string_view host = text;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return not_a("an address", text, "[::1]:3260");
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':') return not_a("an address", text, "[::1]:3260");
    if (!port.empty()) port.remove_prefix(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const size_t colon = text.find(':');
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (port.empty()) return not_a("an address", text, "127.0.0.1:3260");
  }
  if (!port.empty()) {
    auto [after, failed] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (failed != std::errc{} || after != port.data() + port.size()) {
      return Error(ErrorCode::out_of_range, "'" + std::string(port) + "' in '" + std::string(text) +
                                                "' is not a port between 0 and 65535");
    }
  }
  out.host = host;
  unsigned char raw[16];
  if (::inet_pton(AF_INET, out.host.c_str(), raw) != 1 &&
      ::inet_pton(AF_INET6, out.host.c_str(), raw) != 1) {
    return not_a("a numeric address", text, "127.0.0.1:3260 or [::1]:3260");
  }
  return out;
}

bool is_loopback(const HostPort& address) {
  unsigned char raw[16];
  if (::inet_pton(AF_INET, address.host.c_str(), raw) == 1) return raw[0] == 127;
  return ::inet_pton(AF_INET6, address.host.c_str(), raw) == 1 &&
         std::all_of(raw, raw + 15, [](unsigned char b) { return b == 0; }) && raw[15] == 1;
}

std::string closest_match(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t k = 1; k <= candidate.size(); ++k) {
        const size_t substitute = diagonal + (word[i - 1] == candidate[k - 1] ? 0 : 1);
        diagonal = row[k];
        row[k] = std::min({row[k] + 1, row[k - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace coldshelf
