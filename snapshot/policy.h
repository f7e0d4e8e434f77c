// A policy: which EBS volumes get snapshots, when, and how long they are kept, in AWS and here.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/calendar.h"
#include "snapshot/quiesce.h"
#include "snapshot/retention.h"

namespace coldshelf {

using PolicyTags = std::map<std::string, std::string>;

enum class PolicyNotify { always, failure, never };

struct Policy {
  std::string name;  // 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'; no '.' at its beginning
  bool enabled = true;
  std::string schedule;  // a calendar expression; empty: only by hand
  // Which volumes. Accounts are names of [[account]]; empty: the gateway's own.
  std::vector<std::string> accounts;
  std::vector<std::string> regions;  // empty: as the account says
  PolicyTags tags;                   // of the volume, all of them; "*": any value
  PolicyTags exclude_tags;           // none of them
  bool boot_volumes = true;
  // All volumes of an instance at once (crash-consistent); false: each for itself.
  bool by_instance = true;
  // Around each instance's (or single volume's) snapshots; {instance}, {volume}, {region},
  // {account}, {policy} in the arguments.
  QuiesceCommands commands;
  bool quiesce_required = false;  // no snapshot when the command before fails
  bool copy_tags = true;
  PolicyTags add_tags;
  bool pull = true;
  RetentionRule keep_in_aws;
  RetentionRule keep_in_archive;
  PolicyNotify notify = PolicyNotify::always;

  bool operator==(const Policy&) const = default;
};

// As TOML and the API have it; docs/policies.md. Errors name the key.
Result<Policy> policy_from_json(const nlohmann::json& json);
nlohmann::json policy_to_json(const Policy& policy);
std::vector<std::string_view> policy_keys();  // that policy_from_json knows

// What our snapshots carry in AWS, beside the volume's tags.
constexpr const char* kTagGateway = "coldshelf:gateway";
constexpr const char* kTagPolicy = "coldshelf:policy";
constexpr const char* kTagRun = "coldshelf:run";

}  // namespace coldshelf
