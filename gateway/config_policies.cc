#include "gateway/config_policies.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "snapshot/policy.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr unsigned kMaxDepth = 4;

Json json_of(const toml::node& node, unsigned depth) {
  if (depth == 0) return nullptr;
  if (const auto* table = node.as_table()) {
    Json out = Json::object();
    for (const auto& [key, value] : *table) out[std::string(key.str())] = json_of(value, depth - 1);
    return out;
  }
  if (const auto* array = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& item : *array) out.push_back(json_of(item, depth - 1));
    return out;
  }
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto flag = node.value_exact<bool>()) return *flag;
  if (const auto number = node.value_exact<int64_t>()) return *number;
  return nullptr;  // dates and fractions: no key takes them, and its message says what it takes
}

std::string toml_of(const Json& json) {
  if (json.is_string()) return coldshelf::quoted(json.get<std::string>());
  if (!json.is_structured()) return json.dump();
  std::string out;
  for (const auto& [key, value] : json.items()) {
    out += out.empty() ? "" : ", ";
    if (json.is_object()) out += coldshelf::quoted(key) + " = ";
    out += toml_of(value);
  }
  return json.is_array() ? "[" + out + "]" : out.empty() ? "{}" : "{ " + out + " }";
}

Status read_policy(const TableReader& in, Config& config) {
  auto policy = policy_from_json(json_of(in.table(), kMaxDepth));
  if (!policy.ok()) {
    const std::string& what = policy.error().context;
    const std::string key = what.substr(0, what.find_first_of(":."));
    if (in.table().contains(key)) {
      return in.wrong(key, what.substr(std::min(what.size(), key.size() + 2)));
    }
    return in.wrong("policy." + what);
  }
  if (std::any_of(config.policies.begin(), config.policies.end(),
                  [&](const Policy& other) { return other.name == policy->name; })) {
    return in.wrong("policy '" + policy->name + "' is there twice");
  }
  config.policies.push_back(std::move(*policy));
  return {};
}

std::string show_policies(const Config& config) {
  std::string out;
  for (const Policy& policy : config.policies) {
    out += "\n[[policy]]\n";
    const Json json = policy_to_json(policy);
    for (const std::string_view key : policy_keys()) {
      const auto found = json.find(std::string(key));
      if (found != json.end()) out += std::string(key) + " = " + toml_of(*found) + "\n";
    }
  }
  return out;
}

}  // namespace

TableSpec policy_table() {
  return {"policy",    "policies",   1'000, policy_keys(), [](Config& c) { c.policies.clear(); },
          read_policy, show_policies};
}

Result<std::vector<Json>> read_policy_file(std::string_view text, const std::string& source) {
  toml::table root;
  try {
    root = toml::parse(text, source);
  } catch (const toml::parse_error& e) {
    return Error(ErrorCode::invalid_argument, source + ":" + std::to_string(e.source().begin.line) +
                                                  ": " + std::string(e.description()));
  }
  const Json json = json_of(root, kMaxDepth + 2);
  const auto several = json.find("policy");
  if (json.size() == 1 && several != json.end() && several->is_array()) {
    return several->get<std::vector<Json>>();
  }
  return std::vector<Json>{json};
}

}  // namespace coldshelf
