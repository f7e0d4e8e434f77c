// Automatic tape creation.
#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

Result<std::vector<TapeCreationRule>> rules_of(const Params& in) {
  std::vector<TapeCreationRule> out;
  for (const Json& given : in.raw("AutomaticTapeCreationRules")) {
    const Params one(given);
    TapeCreationRule rule;
    ASSIGN_OR_RETURN(rule.prefix, one.text("TapeBarcodePrefix"));
    ASSIGN_OR_RETURN(const std::string pool, one.text("PoolId"));
    rule.pool = barcode_of(pool);
    ASSIGN_OR_RETURN(rule.size_bytes, one.number("TapeSizeInBytes", 0, INT64_MAX));
    ASSIGN_OR_RETURN(const uint64_t minimum,
                     one.number("MinimumNumTapes", 1, AutomaticTapes::kMaxMinimum));
    rule.minimum = static_cast<unsigned>(minimum);
    ASSIGN_OR_RETURN(rule.worm, one.flag_or("Worm", false));
    out.push_back(std::move(rule));
  }
  return out;
}

Json rule_json(const TapeCreationRule& rule) {
  return {{"TapeBarcodePrefix", rule.prefix},
          {"PoolId", rule.pool},
          {"TapeSizeInBytes", rule.size_bytes},
          {"MinimumNumTapes", rule.minimum},
          {"Worm", rule.worm}};
}

}  // namespace

void Service::add_creation_operations() {
  if (env_.automatic_tapes == nullptr) return;
  AutomaticTapes& automatic = *env_.automatic_tapes;
  aws("UpdateAutomaticTapeCreationPolicy", [this, &automatic](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto rules, rules_of(in));
    for (const TapeCreationRule& rule : rules) TRY(check_tape_size(rule.size_bytes));
    TRY(automatic.set_rules(rules));
    return Json{{"GatewayARN", gateway_arn()}};
  });
  aws("DeleteAutomaticTapeCreationPolicy", [this, &automatic](const Params&) -> Result<Json> {
    TRY(automatic.set_rules({}));
    return Json{{"GatewayARN", gateway_arn()}};
  });
  aws("ListAutomaticTapeCreationPolicies", [this, &automatic](const Params&) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto rules, automatic.rules());
    Json out = {{"AutomaticTapeCreationPolicyInfos", Json::array()}};
    if (rules.empty()) return out;
    Json policy = {{"GatewayARN", gateway_arn()}, {"AutomaticTapeCreationRules", Json::array()}};
    for (const TapeCreationRule& rule : rules) {
      policy["AutomaticTapeCreationRules"].push_back(rule_json(rule));
    }
    out["AutomaticTapeCreationPolicyInfos"].push_back(std::move(policy));
    return out;
  });
}

}  // namespace coldshelf::api
