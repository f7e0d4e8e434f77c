#include "gateway/config_quiesce.h"

#include <algorithm>

#include "base/command.h"
#include "gateway/units.h"

namespace coldshelf {

namespace {

constexpr int64_t kMostMs = 3'600'000;
constexpr std::pair<std::string_view, int64_t QuiesceConfig::*> kTimes[] = {
    {"pre_timeout", &QuiesceConfig::pre_timeout_ms},
    {"post_timeout", &QuiesceConfig::post_timeout_ms},
    {"longest", &QuiesceConfig::longest_ms}};

Status read_quiesce(const TableReader& in, Config& config) {
  QuiesceConfig entry;
  TRY(in.text("name", entry.name));
  TRY(in.text("pre", entry.pre));
  TRY(in.text("post", entry.post));
  for (const auto& [key, member] : kTimes) {
    std::string text;
    TRY(in.text(key, text));
    if (text.empty()) continue;
    const auto ms = parse_duration_ms(text);
    if (!ms.ok() || *ms < 1 || *ms > kMostMs) {
      return in.wrong(key, "'" + text + "' must be a time of 1ms to 1h, e.g. \"30s\"");
    }
    entry.*member = *ms;
  }
  if (entry.name.empty() || entry.name.size() > 100) {
    return in.wrong("quiesce: needs a name of 1 to 100 characters");
  }
  const auto same = [&](const QuiesceConfig& other) { return other.name == entry.name; };
  if (std::any_of(config.quiesce.begin(), config.quiesce.end(), same)) {
    return in.wrong("quiesce '" + entry.name + "' is there twice");
  }
  if (entry.pre.empty() && entry.post.empty()) {
    return in.wrong("quiesce '" + entry.name + "' needs pre, post, or both");
  }
  for (const auto& [key, text] :
       {std::pair<std::string_view, const std::string&>("pre", entry.pre), {"post", entry.post}}) {
    if (text.empty()) continue;
    if (const auto words = split_command_line(text); !words.ok()) {
      return in.wrong(key, words.error().context);
    }
  }
  config.quiesce.push_back(std::move(entry));
  return {};
}

std::string show_quiesce(const Config& config) {
  std::string out;
  for (const QuiesceConfig& entry : config.quiesce) {
    out += "\n[[quiesce]]\nname = " + quoted(entry.name) + "\n";
    if (!entry.pre.empty()) out += "pre = " + quoted(entry.pre) + "\n";
    if (!entry.post.empty()) out += "post = " + quoted(entry.post) + "\n";
    for (const auto& [key, member] : kTimes) {
      out += std::string(key) + " = " + quoted(format_duration(entry.*member)) + "\n";
    }
  }
  return out;
}

}  // namespace

TableSpec quiesce_table() {
  return {"quiesce",
          "quiesce commands",
          100,
          {"name", "pre", "post", "pre_timeout", "post_timeout", "longest"},
          [](Config& c) { c.quiesce.clear(); },
          read_quiesce,
          show_quiesce};
}

std::map<std::string, QuiesceCommands> quiesce_commands(const Config& config) {
  std::map<std::string, QuiesceCommands> out;
  for (const QuiesceConfig& entry : config.quiesce) {
    QuiesceCommands& commands = out[entry.name];
    // Both were read when the configuration was.
    if (auto pre = split_command_line(entry.pre); pre.ok()) commands.pre = std::move(*pre);
    if (auto post = split_command_line(entry.post); post.ok()) commands.post = std::move(*post);
    commands.pre_timeout_ms = entry.pre_timeout_ms;
    commands.post_timeout_ms = entry.post_timeout_ms;
    commands.longest_ms = entry.longest_ms;
  }
  return out;
}

}  // namespace coldshelf
