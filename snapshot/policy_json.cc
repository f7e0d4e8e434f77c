#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/command.h"
#include "snapshot/policy.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr size_t kMaxTags = 40;  // AWS takes 50 of a resource; ours are among them
constexpr size_t kMaxWords = 100;
constexpr size_t kMaxList = 100;
constexpr int64_t kMaxTimeoutMs = 3'600'000;

Error wrong(const std::string& key, const std::string& what) {
  return Error(ErrorCode::invalid_argument, key + ": " + what);
}

struct TimeUnit {
  std::string_view name;
  int64_t ms;
};
constexpr std::array<TimeUnit, 4> kTimeUnits = {
    {{"ms", 1}, {"s", 1'000}, {"min", 60'000}, {"h", 3'600'000}}};

Status read_text(const Json& value, const std::string& key, std::string& into) {
  if (!value.is_string()) return wrong(key, "must be a string");
  into = value.get<std::string>();
  return {};
}

Status read_flag(const Json& value, const std::string& key, bool& into) {
  if (!value.is_boolean()) return wrong(key, "must be true or false");
  into = value.get<bool>();
  return {};
}

Status read_texts(const Json& value, const std::string& key, std::vector<std::string>& into) {
  if (!value.is_array() || value.size() > kMaxList) return wrong(key, "must be a list of strings");
  into.clear();
  for (const Json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
      return wrong(key, "must be a list of strings");
    }
    into.push_back(item.get<std::string>());
  }
  return {};
}

Status read_tags(const Json& value, const std::string& key, PolicyTags& into) {
  if (!value.is_object() || value.size() > kMaxTags) {
    return wrong(key,
                 "must be tags, at most " + std::to_string(kMaxTags) + ": { Backup = \"true\" }");
  }
  into.clear();
  for (const auto& [name, text] : value.items()) {
    if (!text.is_string()) return wrong(key, "the value of " + name + " must be a string");
    const std::string tag = text.get<std::string>();
    if (name.empty() || name.size() > 128 || tag.size() > 256) {
      return wrong(key, "a tag has 1 to 128 characters, its value at most 256");
    }
    into[name] = tag;
  }
  return {};
}

// A list of words, or one line that is cut as a shell would.
Status read_command(const Json& value, const std::string& key, std::vector<std::string>& into) {
  if (value.is_string()) {
    auto words = split_command_line(value.get<std::string>());
    if (!words.ok()) return wrong(key, words.error().context);
    into = *words;
  } else {
    TRY(read_texts(value, key, into));
  }
  if (into.empty() || into.size() > kMaxWords || into[0].empty()) {
    return wrong(key, "must be a program and its arguments");
  }
  return {};
}

Status read_time(const Json& value, const std::string& key, int64_t& into) {
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    for (const TimeUnit& unit : kTimeUnits) {
      if (digits == 0 || digits > 8 || text.substr(digits) != unit.name) continue;
      into = std::stoll(text.substr(0, digits)) * unit.ms;
      if (into >= 100 && into <= kMaxTimeoutMs) return {};
    }
  }
  return wrong(key, "must be a time from 100ms to 1h, e.g. \"30s\"");
}

struct RuleCount {
  const char* key;
  unsigned RetentionRule::*member;
};
constexpr std::array<RuleCount, 6> kRuleCounts = {{{"last", &RetentionRule::keep_last},
                                                   {"hourly", &RetentionRule::hourly},
                                                   {"daily", &RetentionRule::daily},
                                                   {"weekly", &RetentionRule::weekly},
                                                   {"monthly", &RetentionRule::monthly},
                                                   {"yearly", &RetentionRule::yearly}}};

Status read_rule(const Json& value, const std::string& key, RetentionRule& into) {
  if (!value.is_object()) {
    return wrong(key, "must be a rule: { last = 7, age = \"30d\", daily = 14, monthly = 12 }");
  }
  into = {};
  for (const auto& [name, item] : value.items()) {
    if (name == "age") {
      if (!item.is_string()) return wrong(key + ".age", "must be an age such as \"30d\"");
      auto age = parse_age_ms(item.get<std::string>());
      if (!age.ok()) return wrong(key + ".age", age.error().context);
      into.keep_for_ms = *age;
      continue;
    }
    const auto known =
        std::find_if(kRuleCounts.begin(), kRuleCounts.end(),
                     [&wanted = name](const RuleCount& count) { return wanted == count.key; });
    if (known == kRuleCounts.end()) {
      return wrong(key, "knows no '" + name +
                            "' (last, age, hourly, daily, weekly, monthly, "
                            "yearly)");
    }
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() > 10'000) {
      return wrong(key + "." + name, "must be a number from 0 to 10000");
    }
    into.*known->member = item.get<unsigned>();
  }
  return {};
}

Json rule_json(const RetentionRule& rule) {
  Json out = Json::object();
  for (const RuleCount& count : kRuleCounts) {
    if (rule.*count.member != 0) out[count.key] = rule.*count.member;
  }
  if (rule.keep_for_ms != 0) {
    out["age"] = std::to_string(rule.keep_for_ms / 60'000) + "min";
  }
  return out;
}

std::string time_text(int64_t ms) { return std::to_string(ms) + "ms"; }

Status read_notify(const Json& value, const std::string& key, PolicyNotify& into) {
  std::string text;
  TRY(read_text(value, key, text));
  if (text == "always") {
    into = PolicyNotify::always;
  } else if (text == "failure") {
    into = PolicyNotify::failure;
  } else if (text == "never") {
    into = PolicyNotify::never;
  } else {
    return wrong(key, "must be \"always\", \"failure\" or \"never\"");
  }
  return {};
}

const char* notify_text(PolicyNotify notify) {
  if (notify == PolicyNotify::always) return "always";
  return notify == PolicyNotify::failure ? "failure" : "never";
}

struct KeyReader {
  std::string_view key;
  Status (*read)(const Json&, const std::string&, Policy&);
};
// clang-format off
constexpr std::array<KeyReader, 21> kKeys = {{
    {"name", [](const Json& v, const std::string& k, Policy& p) { return read_text(v, k, p.name); }},
    {"enabled", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.enabled); }},
    {"schedule", [](const Json& v, const std::string& k, Policy& p) { return read_text(v, k, p.schedule); }},
    {"accounts", [](const Json& v, const std::string& k, Policy& p) { return read_texts(v, k, p.accounts); }},
    {"regions", [](const Json& v, const std::string& k, Policy& p) { return read_texts(v, k, p.regions); }},
    {"tags", [](const Json& v, const std::string& k, Policy& p) { return read_tags(v, k, p.tags); }},
    {"exclude_tags", [](const Json& v, const std::string& k, Policy& p) { return read_tags(v, k, p.exclude_tags); }},
    {"boot_volumes", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.boot_volumes); }},
    {"by_instance", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.by_instance); }},
    {"pre_command", [](const Json& v, const std::string& k, Policy& p) { return read_command(v, k, p.commands.pre); }},
    {"post_command", [](const Json& v, const std::string& k, Policy& p) { return read_command(v, k, p.commands.post); }},
    {"pre_timeout", [](const Json& v, const std::string& k, Policy& p) { return read_time(v, k, p.commands.pre_timeout_ms); }},
    {"post_timeout", [](const Json& v, const std::string& k, Policy& p) { return read_time(v, k, p.commands.post_timeout_ms); }},
    {"longest_freeze", [](const Json& v, const std::string& k, Policy& p) { return read_time(v, k, p.commands.longest_ms); }},
    {"quiesce_required", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.quiesce_required); }},
    {"copy_tags", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.copy_tags); }},
    {"add_tags", [](const Json& v, const std::string& k, Policy& p) { return read_tags(v, k, p.add_tags); }},
    {"pull", [](const Json& v, const std::string& k, Policy& p) { return read_flag(v, k, p.pull); }},
    {"keep_in_aws", [](const Json& v, const std::string& k, Policy& p) { return read_rule(v, k, p.keep_in_aws); }},
    {"keep_in_archive", [](const Json& v, const std::string& k, Policy& p) { return read_rule(v, k, p.keep_in_archive); }},
    {"notify", [](const Json& v, const std::string& k, Policy& p) { return read_notify(v, k, p.notify); }},
}};
// clang-format on

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

Status check_together(const Policy& policy) {
  if (!is_name(policy.name)) {
    return wrong("name",
                 "a policy has 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', and does not "
                 "begin with '.'");
  }
  if (!policy.schedule.empty()) {
    auto calendar = CalendarExpression::parse(policy.schedule);
    if (!calendar.ok()) return wrong("schedule", calendar.error().context);
  }
  if (policy.tags.empty()) {
    return wrong("tags", "say which volumes: { Backup = \"true\" }, or { Name = \"*\" }");
  }
  for (const PolicyTags* tags : {&policy.add_tags}) {
    for (const auto& [name, value] : *tags) {
      if (!name.starts_with("aws:") && !name.starts_with("coldshelf:")) continue;
      return wrong("add_tags", name + ": such names are reserved");
    }
  }
  if (!policy.commands.pre.empty() && policy.commands.post.empty()) {
    return wrong("post_command", "is needed with pre_command: what is frozen must be thawed");
  }
  if (policy.quiesce_required && policy.commands.pre.empty()) {
    return wrong("quiesce_required", "needs a pre_command");
  }
  return {};
}

}  // namespace

std::vector<std::string_view> policy_keys() {
  std::vector<std::string_view> out;
  for (const KeyReader& key : kKeys) {
    out.push_back(key.key);
  }
  return out;
}

Result<Policy> policy_from_json(const Json& json) {
  if (!json.is_object()) return Error(ErrorCode::invalid_argument, "a policy is an object");
  Policy policy;
  for (const auto& [name, value] : json.items()) {
    const auto known =
        std::find_if(kKeys.begin(), kKeys.end(),
                     [&wanted = name](const KeyReader& key) { return key.key == wanted; });
    if (known == kKeys.end()) return wrong(name, "a policy has no such key");
    TRY(known->read(value, name, policy));
  }
  TRY(check_together(policy));
  return policy;
}

Json policy_to_json(const Policy& policy) {
  Json out = {{"name", policy.name},
              {"enabled", policy.enabled},
              {"schedule", policy.schedule},
              {"accounts", policy.accounts},
              {"regions", policy.regions},
              {"tags", Json(policy.tags)},
              {"exclude_tags", Json(policy.exclude_tags)},
              {"boot_volumes", policy.boot_volumes},
              {"by_instance", policy.by_instance},
              {"quiesce_required", policy.quiesce_required},
              {"copy_tags", policy.copy_tags},
              {"add_tags", Json(policy.add_tags)},
              {"pull", policy.pull},
              {"keep_in_aws", rule_json(policy.keep_in_aws)},
              {"keep_in_archive", rule_json(policy.keep_in_archive)},
              {"notify", notify_text(policy.notify)}};
  if (!policy.commands.pre.empty()) out["pre_command"] = policy.commands.pre;
  if (!policy.commands.post.empty()) {
    out["post_command"] = policy.commands.post;
    out["pre_timeout"] = time_text(policy.commands.pre_timeout_ms);
    out["post_timeout"] = time_text(policy.commands.post_timeout_ms);
    out["longest_freeze"] = time_text(policy.commands.longest_ms);
  }
  return out;
}

}  // namespace coldshelf
