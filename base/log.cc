#include "base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "base/clock.h"
#include "base/journal_log.h"

namespace coldshelf {

namespace {

struct Settings {
  std::atomic<LogLevel> lowest{LogLevel::info};
  std::atomic<bool> json{false};
  std::mutex mutex;
  std::function<void(std::string_view)> capture;
  JournalSocket journal;  // opened before threads start
  std::atomic<bool> to_journal{false};
};

// The logger is the one process-wide object: a crash handler and every layer must reach it.
Settings& settings() {
  static Settings instance;
  return instance;
}

spdlog::logger& logger() {
  static auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("coldshelf",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "info";
}

// Quotes and escapes, for JSON always, for text where a value has a blank, a quote or a control
// character.
std::string quoted(std::string_view value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

bool plain(std::string_view value) {
  if (value.empty()) return false;
  for (const char c : value) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\') return false;
  }
  return true;
}

std::string render(bool json, LogLevel level, std::string_view component, std::string_view event,
                   std::initializer_list<LogField> fields) {
  SystemClock clock;
  const std::string now = format_utc(clock.unix_ms());
  std::string line;
  if (json) {
    line = "{\"time\":" + quoted(now) + ",\"level\":" + quoted(name_of(level)) +
           ",\"component\":" + quoted(component) + ",\"event\":" + quoted(event);
    for (const LogField& f : fields) line += "," + quoted(f.key) + ":" + quoted(f.value);
    return line + "}";
  }
  line = now + " " + std::string(name_of(level)) + " " + std::string(component) + ": " +
         std::string(event);
  for (const LogField& f : fields) {
    line += " " + std::string(f.key) + "=" + (plain(f.value) ? f.value : quoted(f.value));
  }
  return line;
}

// syslog(3)'s levels.
const char* priority_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "7";
    case LogLevel::info:
      return "6";
    case LogLevel::warning:
      return "4";
    case LogLevel::error:
      return "3";
  }
  return "6";
}

bool send_to_journal(const JournalSocket& journal, LogLevel level, std::string_view component,
                     std::string_view event, std::initializer_list<LogField> fields) {
  std::string message = std::string(component) + ": " + std::string(event);
  JournalFields entry;
  for (const LogField& f : fields) {
    message += " " + std::string(f.key) + "=" + (plain(f.value) ? f.value : quoted(f.value));
    entry.emplace_back("COLDSHELF_" + journal_field_name(f.key), f.value);
  }
  entry.emplace_back("MESSAGE", std::move(message));
  entry.emplace_back("PRIORITY", priority_of(level));
  entry.emplace_back("SYSLOG_IDENTIFIER", "coldshelfd");
  entry.emplace_back("COLDSHELF_COMPONENT", component);
  entry.emplace_back("COLDSHELF_EVENT", event);
  return journal.send(entry);
}

}  // namespace

void log_line(LogLevel level, std::string_view component, std::string_view event,
              std::initializer_list<LogField> fields) {
  Settings& s = settings();
  if (level < s.lowest.load(std::memory_order_relaxed)) return;
  const std::string line = render(s.json.load(), level, component, event, fields);
  {
    const std::lock_guard lock(s.mutex);
    if (s.capture) {
      s.capture(line);
      return;
    }
  }
  if (s.to_journal.load(std::memory_order_acquire) &&
      send_to_journal(s.journal, level, component, event, fields)) {
    return;
  }
  logger().info(line);
}

Status log_to_journal(const std::string& socket) {
  Settings& s = settings();
  TRY(s.journal.open(socket));
  s.to_journal.store(true, std::memory_order_release);
  return {};
}

bool standard_error_is_the_journal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return std::string(stream) == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

void configure_log(LogLevel lowest, bool json) {
  settings().lowest = lowest;
  settings().json = json;
}

void capture_log(std::function<void(std::string_view)> sink) {
  Settings& s = settings();
  const std::lock_guard lock(s.mutex);
  s.capture = std::move(sink);
}

}  // namespace coldshelf
