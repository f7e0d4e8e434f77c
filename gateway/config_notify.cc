#include "gateway/config_notify.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "uploader/cloud/notification.h"
#include "uploader/cloud/notification_mail.h"

namespace coldshelf {

namespace {

constexpr std::array<std::pair<std::string_view, std::string NotifyConfig::*>, 16> kTexts = {{
    {"name", &NotifyConfig::name},
    {"type", &NotifyConfig::type},
    {"at_least", &NotifyConfig::at_least},
    {"url", &NotifyConfig::url},
    {"ca_file", &NotifyConfig::ca_file},
    {"authorization_file", &NotifyConfig::authorization_file},
    {"authorization_env", &NotifyConfig::authorization_env},
    {"signing_secret_file", &NotifyConfig::signing_secret_file},
    {"signing_secret_env", &NotifyConfig::signing_secret_env},
    {"topic_arn", &NotifyConfig::topic_arn},
    {"endpoint", &NotifyConfig::endpoint},
    {"profile", &NotifyConfig::profile},
    {"tls", &NotifyConfig::tls},
    {"user", &NotifyConfig::user},
    {"password_file", &NotifyConfig::password_file},
    {"password_env", &NotifyConfig::password_env},
}};
constexpr std::array<std::string NotifyConfig::*, 4> kPaths = {
    &NotifyConfig::ca_file, &NotifyConfig::authorization_file, &NotifyConfig::signing_secret_file,
    &NotifyConfig::password_file};

// What belongs to which type, beside what all have.
struct TypeKeys {
  std::string_view type;
  std::vector<std::string_view> needs;
  std::vector<std::string_view> takes;
};
const std::vector<TypeKeys>& type_keys() {
  static const std::vector<TypeKeys> kTypes = {
      {"webhook",
       {"url"},
       {"ca_file", "authorization_file", "authorization_env", "signing_secret_file",
        "signing_secret_env"}},
      {"sns", {"topic_arn"}, {"endpoint", "profile", "ca_file"}},
      {"mail", {"url", "from", "to"}, {"tls", "user", "password_file", "password_env", "ca_file"}}};
  return kTypes;
}

bool among(const std::vector<std::string_view>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// What the senders can speak, so that it is not found out by the first message.
Status check_url(const TableReader& in, const NotifyConfig& notify) {
  if (notify.type == "webhook" && !notify.url.starts_with("https://") &&
      !notify.url.starts_with("http://")) {
    return in.wrong("url", "must begin with https:// or http://");
  }
  if (notify.type == "mail" && !notify.url.starts_with("smtp://") &&
      !notify.url.starts_with("smtps://")) {
    return in.wrong("url", "must begin with smtp:// or smtps://");
  }
  return {};
}

Status check(const TableReader& in, const NotifyConfig& notify, const Config& config) {
  if (notify.name.empty() || notify.name.size() > 100) {
    return in.wrong("a notify needs a name of 1 to 100 characters");
  }
  if (std::any_of(config.notify.begin(), config.notify.end(),
                  [&](const NotifyConfig& other) { return other.name == notify.name; })) {
    return in.wrong("notify '" + notify.name + "' is there twice");
  }
  const auto type = std::find_if(type_keys().begin(), type_keys().end(),
                                 [&](const TypeKeys& t) { return t.type == notify.type; });
  if (type == type_keys().end()) {
    return in.wrong("type", "must be \"webhook\", \"sns\" or \"mail\"");
  }
  for (const std::string_view key : type->needs) {
    if (!in.table().contains(key)) {
      return in.wrong("notify '" + notify.name + "' needs " + std::string(key));
    }
  }
  for (const auto& [key, value] : in.table()) {
    const std::string_view name = key.str();
    const bool common = name == "name" || name == "type" || name == "at_least" || name == "events";
    if (common || among(type->needs, name) || among(type->takes, name)) continue;
    return in.wrong(name, "is not for type \"" + notify.type + "\"");
  }
  if (!parse_notification_severity(notify.at_least)) {
    return in.wrong("at_least", "must be \"info\", \"warning\" or \"error\"");
  }
  if (!parse_mail_tls(notify.tls)) {
    return in.wrong("tls", "must be \"required\", \"offered\" or \"never\"");
  }
  TRY(check_url(in, notify));
  for (const auto& [file, variable, key] :
       {std::tuple{&notify.authorization_file, &notify.authorization_env, "authorization_env"},
        std::tuple{&notify.signing_secret_file, &notify.signing_secret_env, "signing_secret_env"},
        std::tuple{&notify.password_file, &notify.password_env, "password_env"}}) {
    if (!file->empty() && !variable->empty()) {
      return in.wrong(key, "give a file or a variable, not both");
    }
  }
  return {};
}

Status read_notify(const TableReader& in, Config& config) {
  NotifyConfig notify;
  for (const auto& [key, member] : kTexts) TRY(in.text(key, notify.*member));
  TRY(in.text("from", notify.from));
  TRY(in.texts("to", notify.to));
  TRY(in.texts("events", notify.events));
  TRY(check(in, notify, config));
  for (const auto path : kPaths) notify.*path = in.absolute(notify.*path);
  config.notify.push_back(std::move(notify));
  return {};
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quoted(text);
  return out + "]";
}

std::string show_notify(const Config& config) {
  std::string out;
  for (const NotifyConfig& notify : config.notify) {
    out += "\n[[notify]]\n";
    for (const auto& [key, member] : kTexts) {
      if (key == "tls" && notify.type != "mail") continue;
      if (!(notify.*member).empty()) {
        out += std::string(key) + " = " + quoted(notify.*member) + "\n";
      }
    }
    if (!notify.from.empty()) out += "from = " + quoted(notify.from) + "\n";
    if (!notify.to.empty()) out += "to = " + list_of(notify.to) + "\n";
    if (!notify.events.empty()) out += "events = " + list_of(notify.events) + "\n";
  }
  return out;
}

}  // namespace

TableSpec notify_table() {
  std::vector<std::string_view> keys;
  for (const auto& [key, member] : kTexts) keys.push_back(key);
  keys.insert(keys.end(), {"from", "to", "events"});
  return {"notify",    "notifications", 20, keys, [](Config& c) { c.notify.clear(); },
          read_notify, show_notify};
}

}  // namespace coldshelf
