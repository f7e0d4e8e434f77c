// The keys of the configuration: how each is read, checked and shown. Every section has a list of
// them in a file of its own.
#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"

namespace coldshelf {

// One key: how it is read and checked, and how it is shown. The table below is the whole syntax.
struct KeySpec {
  std::string_view name;
  std::function<Status(const toml::node&, Config&)> read;
  std::function<std::string(const Config&)> show;
};

// In a message the key's name stands before these.
Error bad_value(std::string text);
Error bad_type(std::string_view wanted);     // "must be ..."
std::string quoted(std::string_view value);  // as TOML

template <typename T>
using Accessor = T& (*)(Config&);

// Showing needs no write access; the accessor is written once, for both.
template <typename T>
const T& peek(Accessor<T> member, const Config& config) {
  return member(const_cast<Config&>(config));  // NOLINT: read only
}

using TextCheck = std::function<Status(const std::string&)>;

KeySpec text_key(std::string_view name, Accessor<std::string> member, TextCheck check = nullptr);
KeySpec choice_key(std::string_view name, Accessor<std::string> member,
                   std::vector<std::string> choices);
KeySpec count_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                  uint64_t highest);
KeySpec level_key(std::string_view name, Accessor<int64_t> member, int64_t lowest, int64_t highest);
KeySpec size_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                 uint64_t highest);
KeySpec duration_key(std::string_view name, Accessor<int64_t> member, int64_t lowest,
                     int64_t highest);
KeySpec bool_key(std::string_view name, Accessor<bool> member);

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

// NOLINTBEGIN(bugprone-macro-parentheses)
#define CONFIG_FIELD(type, path) +[](Config& c) -> type& { return c.path; }
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace coldshelf
