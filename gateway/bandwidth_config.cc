#include "gateway/bandwidth_config.h"

#include "base/bytes.h"
#include "gateway/units.h"

namespace coldshelf {

namespace {
// Less than this and a segment takes so long that a store may end the connection.
constexpr uint64_t kLowestRate = 128 * KiB;
constexpr unsigned kEndOfDay = 24 * 60;
}  // namespace

Result<uint64_t> parse_rate(std::string_view text) {
  if (text == "none") return uint64_t{0};
  const Error wrong(
      ErrorCode::invalid_argument,
      "'" + std::string(text) + "' is no rate; write it like " + "\"20MB/s\" or \"none\"");
  if (!text.ends_with("/s")) return wrong;
  const auto size = parse_size(text.substr(0, text.size() - 2));
  if (!size.ok()) return wrong;
  if (*size < kLowestRate) {
    return Error(ErrorCode::out_of_range,
                 "is " + std::string(text) + "; it must be at least " + format_rate(kLowestRate));
  }
  return *size;
}

std::string format_rate(uint64_t bytes_per_s) {
  return bytes_per_s == 0 ? "none" : format_exact_size(bytes_per_s) + "/s";
}

Result<BandwidthRule> bandwidth_rule_of(const std::map<std::string, std::string>& texts) {
  BandwidthRule rule;
  rule.to_minute = kEndOfDay;
  const auto read = [&](const char* key, const auto& parse, auto& into) -> Status {
    const auto at = texts.find(key);
    if (at == texts.end()) return {};
    auto parsed = parse(at->second);
    if (!parsed.ok())
      return Error(parsed.error().code, std::string(key) + ": " + parsed.error().context);
    into = *parsed;
    return {};
  };
  TRY(read("days", parse_days, rule.days));
  TRY(read("from", parse_time_of_day, rule.from_minute));
  TRY(read("to", parse_time_of_day, rule.to_minute));
  TRY(read("upload", parse_rate, rule.limits.upload_bytes_per_s));
  TRY(read("download", parse_rate, rule.limits.download_bytes_per_s));
  if (rule.from_minute == kEndOfDay) {
    return Error(ErrorCode::out_of_range, "from: a day's last minute is \"23:59\"");
  }
  return rule;
}

std::string bandwidth_rule_text(const BandwidthRule& rule) {
  return "[[bandwidth]]\ndays = \"" + format_days(rule.days) + "\"\nfrom = \"" +
         format_time_of_day(rule.from_minute) + "\"\nto = \"" + format_time_of_day(rule.to_minute) +
         "\"\nupload = \"" + format_rate(rule.limits.upload_bytes_per_s) + "\"\ndownload = \"" +
         format_rate(rule.limits.download_bytes_per_s) + "\"\n";
}

}  // namespace coldshelf
