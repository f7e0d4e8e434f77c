#include "gateway/bandwidth_control.h"

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace coldshelf {

using Json = nlohmann::json;

namespace {

constexpr const char* kSetting = "bandwidth";
constexpr unsigned kWholeWeek = 0x7F;
constexpr unsigned kWholeDay = 24 * 60;

// A rule that always holds is no interval.
bool is_constant(const BandwidthRule& rule) {
  return rule.days == kWholeWeek && rule.from_minute % kWholeDay == rule.to_minute % kWholeDay;
}

Json to_json(const BandwidthRule& rule) {
  return {{"days", rule.days},
          {"from", rule.from_minute},
          {"to", rule.to_minute},
          {"up", rule.limits.upload_bytes_per_s},
          {"down", rule.limits.download_bytes_per_s}};
}

Result<std::vector<BandwidthRule>> parse(const std::string& text) {
  const Json all = Json::parse(text, nullptr, false);
  std::vector<BandwidthRule> out;
  try {
    for (const Json& one : all.at("rules")) {
      BandwidthRule rule;
      rule.days = one.at("days").get<unsigned>();
      rule.from_minute = one.at("from").get<unsigned>();
      rule.to_minute = one.at("to").get<unsigned>();
      rule.limits.upload_bytes_per_s = one.at("up").get<uint64_t>();
      rule.limits.download_bytes_per_s = one.at("down").get<uint64_t>();
      out.push_back(rule);
    }
  } catch (const Json::exception& e) {
    return Error(ErrorCode::corrupt, std::string("the catalog's bandwidth schedule: ") + e.what());
  }
  return out;
}

std::vector<BandwidthRule> together(std::vector<BandwidthRule> intervals,
                                    const BandwidthLimits& constant) {
  if (constant == BandwidthLimits{}) return intervals;
  BandwidthRule always;
  always.to_minute = kWholeDay;
  always.limits = constant;
  intervals.push_back(always);
  return intervals;
}

}  // namespace

Result<std::unique_ptr<BandwidthControl>> BandwidthControl::open(
    Catalog& catalog, std::vector<BandwidthRule> configured) {
  ASSIGN_OR_RETURN(const auto kept, catalog.setting(kSetting));
  if (kept) {
    ASSIGN_OR_RETURN(configured, parse(*kept));
    log_info("gateway", "bandwidth limits as set through the API, not the configuration's");
  }
  return std::unique_ptr<BandwidthControl>(new BandwidthControl(catalog, std::move(configured)));
}

// The first rule that holds decides: what stands behind one that always holds never does.
BandwidthControl::BandwidthControl(Catalog& catalog, std::vector<BandwidthRule> rules)
    : catalog_(catalog), live_(std::make_shared<LiveBandwidth>(BandwidthSchedule(rules))) {
  for (const BandwidthRule& rule : rules) {
    if (is_constant(rule)) {
      constant_ = rule.limits;
      break;
    }
    intervals_.push_back(rule);
  }
}

std::vector<BandwidthRule> BandwidthControl::intervals() const {
  const std::lock_guard lock(mutex_);
  return intervals_;
}

BandwidthLimits BandwidthControl::constant() const {
  const std::lock_guard lock(mutex_);
  return constant_;
}

Status BandwidthControl::set_intervals(std::vector<BandwidthRule> intervals) {
  const std::lock_guard lock(mutex_);
  return replace(std::move(intervals), constant_);
}

Status BandwidthControl::set_constant(const BandwidthLimits& limits) {
  const std::lock_guard lock(mutex_);
  return replace(intervals_, limits);
}

Status BandwidthControl::replace(std::vector<BandwidthRule> intervals,
                                 const BandwidthLimits& constant) {
  const auto rules = together(intervals, constant);
  Json kept = {{"rules", Json::array()}};
  for (const BandwidthRule& rule : rules) kept["rules"].push_back(to_json(rule));
  TRY(catalog_.set_setting(kSetting, kept.dump()));
  intervals_ = std::move(intervals);
  constant_ = constant;
  live_->replace(BandwidthSchedule(rules));
  log_info("gateway", "bandwidth limits changed", {{"intervals", intervals_.size()}});
  return {};
}

}  // namespace coldshelf
