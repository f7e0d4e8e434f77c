// Bandwidth limits: constant, and by day and time. AWS counts bits, days from Sunday, and minutes
// to their end ("until 08:59" lasts until 09:00).
#include <array>

#include "gateway/api/service.h"

namespace coldshelf::api {

namespace {

constexpr unsigned kDayMinutes = 24 * 60;
constexpr uint64_t kMinUploadBits = 51'200;
constexpr uint64_t kMinDownloadBits = 102'400;
constexpr const char* kUpload = "AverageUploadRateLimitInBitsPerSec";
constexpr const char* kDownload = "AverageDownloadRateLimitInBitsPerSec";

// AWS's 0 is Sunday, ours is Monday.
unsigned our_day(uint64_t aws_day) { return static_cast<unsigned>((aws_day + 6) % 7); }
unsigned aws_day(unsigned our_day) { return (our_day + 1) % 7; }

void add_limits(Json& out, const BandwidthLimits& limits) {
  if (limits.upload_bytes_per_s != 0) out[kUpload] = limits.upload_bytes_per_s * 8;
  if (limits.download_bytes_per_s != 0) out[kDownload] = limits.download_bytes_per_s * 8;
}

Result<BandwidthLimits> limits_of(const Params& in, BandwidthLimits before) {
  if (in.has(kUpload)) {
    ASSIGN_OR_RETURN(const uint64_t bits, in.number(kUpload, kMinUploadBits, INT64_MAX));
    before.upload_bytes_per_s = bits / 8;
  }
  if (in.has(kDownload)) {
    ASSIGN_OR_RETURN(const uint64_t bits, in.number(kDownload, kMinDownloadBits, INT64_MAX));
    before.download_bytes_per_s = bits / 8;
  }
  return before;
}

Result<BandwidthRule> interval_of(const Json& given) {
  const Params in(given);
  BandwidthRule rule;
  ASSIGN_OR_RETURN(const uint64_t start_hour, in.number("StartHourOfDay", 0, 23));
  ASSIGN_OR_RETURN(const uint64_t start_minute, in.number("StartMinuteOfHour", 0, 59));
  ASSIGN_OR_RETURN(const uint64_t end_hour, in.number("EndHourOfDay", 0, 23));
  ASSIGN_OR_RETURN(const uint64_t end_minute, in.number("EndMinuteOfHour", 0, 59));
  rule.from_minute = static_cast<unsigned>(start_hour * 60 + start_minute);
  rule.to_minute = static_cast<unsigned>(end_hour * 60 + end_minute) + 1;
  if (rule.to_minute <= rule.from_minute) {
    return Error(ErrorCode::invalid_argument, "an interval must end after it starts");
  }
  rule.days = 0;
  if (!in.has("DaysOfWeek") || !in.raw("DaysOfWeek").is_array()) {
    return Error(ErrorCode::invalid_argument, "DaysOfWeek must be a list");
  }
  for (const Json& day : in.raw("DaysOfWeek")) {
    if (!day.is_number_unsigned() || day.get<uint64_t>() > 6) {
      return Error(ErrorCode::out_of_range, "DaysOfWeek are 0 (Sunday) to 6");
    }
    rule.days |= 1U << our_day(day.get<uint64_t>());
  }
  if (rule.days == 0) return Error(ErrorCode::invalid_argument, "DaysOfWeek is empty");
  ASSIGN_OR_RETURN(rule.limits, limits_of(in, {}));
  if (rule.limits == BandwidthLimits{}) {
    return Error(ErrorCode::invalid_argument, "an interval needs a limit");
  }
  return rule;
}

bool overlap(const BandwidthRule& a, const BandwidthRule& b) {
  return (a.days & b.days) != 0 && a.from_minute < b.to_minute && b.from_minute < a.to_minute;
}

Json interval_json(unsigned days, unsigned from, unsigned to, const BandwidthLimits& limits) {
  Json out = {{"StartHourOfDay", from / 60},
              {"StartMinuteOfHour", from % 60},
              {"EndHourOfDay", (to - 1) / 60},
              {"EndMinuteOfHour", (to - 1) % 60},
              {"DaysOfWeek", Json::array()}};
  std::array<bool, 7> named{};
  for (unsigned day = 0; day < 7; ++day) named[aws_day(day)] = (days >> day & 1U) != 0;
  for (unsigned day = 0; day < 7; ++day) {
    if (named[day]) out["DaysOfWeek"].push_back(day);
  }
  add_limits(out, limits);
  return out;
}

// A rule that goes past midnight (the configuration knows such) is two of AWS's intervals.
void add_intervals(Json& out, const BandwidthRule& rule) {
  if (rule.from_minute < rule.to_minute) {
    out.push_back(interval_json(rule.days, rule.from_minute, rule.to_minute, rule.limits));
    return;
  }
  out.push_back(interval_json(rule.days, rule.from_minute, kDayMinutes, rule.limits));
  if (rule.to_minute == 0) return;
  const unsigned next = ((rule.days << 1U) | (rule.days >> 6U)) & 0x7FU;
  out.push_back(interval_json(next, 0, rule.to_minute, rule.limits));
}

}  // namespace

void Service::add_bandwidth_operations() {
  if (env_.bandwidth == nullptr) return;
  BandwidthControl& bandwidth = *env_.bandwidth;
  aws("DescribeBandwidthRateLimit", [this, &bandwidth](const Params&) -> Result<Json> {
    Json out = {{"GatewayARN", gateway_arn()}};
    add_limits(out, bandwidth.constant());
    return out;
  });
  aws("UpdateBandwidthRateLimit", [this, &bandwidth](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const BandwidthLimits limits, limits_of(in, bandwidth.constant()));
    TRY(bandwidth.set_constant(limits));
    return Json{{"GatewayARN", gateway_arn()}};
  });
  aws("DeleteBandwidthRateLimit", [this, &bandwidth](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string type, in.text("BandwidthType"));
    BandwidthLimits limits = bandwidth.constant();
    if (type != "UPLOAD" && type != "DOWNLOAD" && type != "ALL") {
      return Error(ErrorCode::invalid_argument, "BandwidthType is UPLOAD, DOWNLOAD or ALL");
    }
    if (type != "DOWNLOAD") limits.upload_bytes_per_s = 0;
    if (type != "UPLOAD") limits.download_bytes_per_s = 0;
    TRY(bandwidth.set_constant(limits));
    return Json{{"GatewayARN", gateway_arn()}};
  });
  aws("DescribeBandwidthRateLimitSchedule", [this, &bandwidth](const Params&) -> Result<Json> {
    Json out = {{"GatewayARN", gateway_arn()}, {"BandwidthRateLimitIntervals", Json::array()}};
    for (const BandwidthRule& rule : bandwidth.intervals()) {
      add_intervals(out["BandwidthRateLimitIntervals"], rule);
    }
    return out;
  });
  aws("UpdateBandwidthRateLimitSchedule", [this, &bandwidth](const Params& in) -> Result<Json> {
    std::vector<BandwidthRule> rules;
    for (const Json& given : in.raw("BandwidthRateLimitIntervals")) {
      ASSIGN_OR_RETURN(const BandwidthRule rule, interval_of(given));
      for (const BandwidthRule& other : rules) {
        if (overlap(rule, other)) {
          return Error(ErrorCode::invalid_argument, "two intervals of the schedule overlap");
        }
      }
      rules.push_back(rule);
    }
    TRY(bandwidth.set_intervals(std::move(rules)));
    return Json{{"GatewayARN", gateway_arn()}};
  });
}

}  // namespace coldshelf::api
