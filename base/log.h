// Structured log lines: level, component, event, key=value fields. Secrets are never passed here.
//   log_info("uploader", "segment uploaded", {{"cartridge", id.to_string()}, {"bytes", n}});
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace coldshelf {

enum class LogLevel { debug, info, warning, error };

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  template <typename T>
  requires(std::integral<T> || std::floating_point<T>) LogField(std::string_view k, T v)
      : key(k), value(format(v)) {}

 private:
  template <typename T>
  static std::string format(T v) {
    if constexpr (std::same_as<T, bool>)
      return v ? "true" : "false";
    else
      return std::to_string(v);
  }
};

void log_line(LogLevel level, std::string_view component, std::string_view event,
              std::initializer_list<LogField> fields = {});

inline void log_debug(std::string_view c, std::string_view e,
                      std::initializer_list<LogField> f = {}) {
  log_line(LogLevel::debug, c, e, f);
}
inline void log_info(std::string_view c, std::string_view e,
                     std::initializer_list<LogField> f = {}) {
  log_line(LogLevel::info, c, e, f);
}
inline void log_warning(std::string_view c, std::string_view e,
                        std::initializer_list<LogField> f = {}) {
  log_line(LogLevel::warning, c, e, f);
}
inline void log_error(std::string_view c, std::string_view e,
                      std::initializer_list<LogField> f = {}) {
  log_line(LogLevel::error, c, e, f);
}

// Process-wide settings, set once by gateway/ before threads start: the lowest level written, and
// text or JSON lines.
void configure_log(LogLevel lowest, bool json);
// For tests: hands every finished line to `sink` instead of standard error (nullptr: back to
// standard error).
void capture_log(std::function<void(std::string_view)> sink);

}  // namespace coldshelf
