#include "gateway/config_keys.h"

#include <algorithm>

#include "gateway/units.h"

namespace coldshelf {

Error bad_value(std::string text) { return {ErrorCode::invalid_argument, std::move(text)}; }
Error bad_type(std::string_view wanted) { return bad_value("must be " + std::string(wanted)); }

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

KeySpec text_key(std::string_view name, Accessor<std::string> member, TextCheck check) {
  return {name,
          [member, check](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<std::string>();
            if (!value) return bad_type("a string");
            if (value->find_first_of(std::string("\n\r\0", 3)) != std::string::npos) {
              return bad_value("must not hold line breaks or NUL");
            }
            if (check) TRY(check(*value));
            member(config) = *value;
            return {};
          },
          [member](const Config& config) { return quoted(peek(member, config)); }};
}

KeySpec choice_key(std::string_view name, Accessor<std::string> member,
                   std::vector<std::string> choices) {
  return text_key(name, member, [choices](const std::string& value) -> Status {
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return {};
    std::string list;
    for (const std::string& c : choices) list += (list.empty() ? "" : ", ") + quoted(c);
    return bad_value("is " + quoted(value) + "; it must be one of " + list);
  });
}

KeySpec count_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                  uint64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<int64_t>();
            if (!value) return bad_type("a whole number");
            if (*value < 0 || static_cast<uint64_t>(*value) < lowest ||
                static_cast<uint64_t>(*value) > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + std::to_string(*value) + "; it must be between " +
                               std::to_string(lowest) + " and " + std::to_string(highest));
            }
            member(config) = static_cast<uint64_t>(*value);
            return {};
          },
          [member](const Config& config) { return std::to_string(peek(member, config)); }};
}

KeySpec level_key(std::string_view name, Accessor<int64_t> member, int64_t lowest,
                  int64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<int64_t>();
            if (!value) return bad_type("a whole number");
            if (*value < lowest || *value > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + std::to_string(*value) + "; it must be between " +
                               std::to_string(lowest) + " and " + std::to_string(highest));
            }
            member(config) = *value;
            return {};
          },
          [member](const Config& config) { return std::to_string(peek(member, config)); }};
}

KeySpec size_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                 uint64_t highest) {
  return {
      name,
      [=](const toml::node& node, Config& config) -> Status {
        uint64_t bytes = 0;
        if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
          bytes = static_cast<uint64_t>(*number);
        } else if (const auto text = node.value_exact<std::string>()) {
          ASSIGN_OR_RETURN(bytes, parse_size(*text));
        } else {
          return bad_type("a size such as \"64MiB\"");
        }
        if (bytes < lowest || bytes > highest) {
          return Error(ErrorCode::out_of_range,
                       "is " + format_exact_size(bytes) + "; it must be between " +
                           format_exact_size(lowest) + " and " + format_exact_size(highest));
        }
        member(config) = bytes;
        return {};
      },
      [member](const Config& config) { return quoted(format_exact_size(peek(member, config))); }};
}

KeySpec duration_key(std::string_view name, Accessor<int64_t> member, int64_t lowest,
                     int64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto text = node.value_exact<std::string>();
            if (!text) return bad_type("a duration such as \"30s\"");
            ASSIGN_OR_RETURN(const int64_t ms, parse_duration_ms(*text));
            if (ms < lowest || ms > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + format_duration(ms) + "; it must be between " +
                               format_duration(lowest) + " and " + format_duration(highest));
            }
            member(config) = ms;
            return {};
          },
          [member](const Config& config) { return quoted(format_duration(peek(member, config))); }};
}

KeySpec bool_key(std::string_view name, Accessor<bool> member) {
  return {name,
          [member](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<bool>();
            if (!value) return bad_type("true or false");
            member(config) = *value;
            return {};
          },
          [member](const Config& config) {
            return std::string(peek(member, config) ? "true" : "false");
          }};
}

}  // namespace coldshelf
