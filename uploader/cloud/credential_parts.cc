// What several sources of credentials need.
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "uploader/cloud/credential_sources.h"

namespace coldshelf {

std::string CredentialContext::env(const char* name) const {
  const char* value = options.environment ? options.environment(name) : std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string CredentialContext::home() const {
  return options.home.empty() ? env("HOME") : options.home;
}

std::string CredentialContext::profile_name() const {
  if (!options.profile.empty()) return options.profile;
  const std::string named = env("AWS_PROFILE");
  return named.empty() ? "default" : named;
}

Result<AwsProfiles> CredentialContext::profiles() const {
  return load_aws_profiles(
      files, [this](const char* name) { return env(name); }, home());
}

namespace {

// `digits` digits at the front of `text`, taken off it.
std::optional<int> take_number(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take_character(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// Minutes east of Greenwich.
std::optional<int> take_zone(std::string_view& text) {
  if (take_character(text, 'Z')) return 0;
  if (text == "UTC") {  // older versions of the AWS CLI, in the SSO cache
    text = {};
    return 0;
  }
  const bool west = !text.empty() && text.front() == '-';
  if (!west && (text.empty() || text.front() != '+')) return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take_number(text, 2);
  take_character(text, ':');
  const auto minutes = take_number(text, 2);
  if (!hours || !minutes) return std::nullopt;
  return (west ? -1 : 1) * (*hours * 60 + *minutes);
}

}  // namespace

std::optional<int64_t> parse_iso8601_ms(std::string_view text) {
  const auto year = take_number(text, 4);
  if (!year || !take_character(text, '-')) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take_character(text, '-')) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day || !(take_character(text, 'T') || take_character(text, ' '))) return std::nullopt;
  const auto hour = take_number(text, 2);
  if (!hour || !take_character(text, ':')) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || !take_character(text, ':')) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second) return std::nullopt;
  int64_t ms = 0;
  if (take_character(text, '.')) {
    int64_t unit = 100;
    while (!text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0) {
      ms += unit * (text.front() - '0');
      unit /= 10;
      text.remove_prefix(1);
    }
  }
  const auto zone = take_zone(text);
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!zone || !text.empty() || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t minutes = (int64_t{days} * 24 + *hour) * 60 + *minute - *zone;
  return (minutes * 60 + *second) * 1000 + ms;
}

Result<Credentials> parse_credentials_json(std::string_view text, const char* token_name,
                                           const std::string& where) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(ErrorCode::permission, where + ": not a JSON object");
  const auto value = [&json](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Credentials out;
  out.access_key_id = value("AccessKeyId");
  out.secret_access_key = Secret(std::string_view(value("SecretAccessKey")));
  out.session_token = value(token_name);
  if (out.access_key_id.empty() || out.secret_access_key.empty()) {
    return Error(ErrorCode::permission, where + ": no AccessKeyId and SecretAccessKey in it");
  }
  const std::string expires = value("Expiration");
  if (!expires.empty()) {
    const auto at = parse_iso8601_ms(expires);
    if (!at) return Error(ErrorCode::permission, where + ": its Expiration is not a time");
    out.expires_ms = *at;
  }
  return out;
}

Result<int64_t> credentials_json_version(std::string_view text, const std::string& where) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(ErrorCode::permission, where + ": not a JSON object");
  const auto found = json.find("Version");
  if (found == json.end() || !found->is_number_integer()) {
    return Error(ErrorCode::permission, where + ": no Version in its JSON");
  }
  return found->get<int64_t>();
}

std::string aws_endpoint(std::string_view service, const std::string& region) {
  const char* domain = "amazonaws.com";
  if (region.starts_with("cn-")) domain = "amazonaws.com.cn";
  if (region.starts_with("us-iso-")) domain = "c2s.ic.gov";
  if (region.starts_with("us-isob-")) domain = "sc2s.sgov.gov";
  if (region.starts_with("eusc-")) domain = "amazonaws.eu";
  return "https://" + std::string(service) + "." + region + "." + domain;
}

Error error_of_answer(const std::string& service, int status, const std::string& said) {
  const bool later = status >= 500 || status == 429 || said.starts_with("Throttling");
  return Error(later ? ErrorCode::unavailable : ErrorCode::permission,
               service + ": HTTP " + std::to_string(status) + (said.empty() ? "" : ", " + said));
}

Error error_of_transport(const std::string& service, const Error& error) {
  Error out = error;
  if (error.code == ErrorCode::timed_out) out = Error(ErrorCode::unavailable, error.context);
  out.context = service + ": " + error.context;
  return out;
}

}  // namespace coldshelf
