#include "gateway/config.h"

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <set>

#include "gateway/bandwidth_config.h"
#include "gateway/config_prices.h"
#include "gateway/config_store.h"
#include "gateway/pools.h"
#include "gateway/units.h"
#include "tape/drive/media.h"
#include "tape/library/library.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

namespace {

// One key: how it is read and checked, and how it is shown. The table below is the whole syntax.
struct KeySpec {
  std::string_view name;
  std::function<Status(const toml::node&, Config&)> read;
  std::function<std::string(const Config&)> show;
};

Error bad_value(std::string text) { return {ErrorCode::invalid_argument, std::move(text)}; }
Error bad_type(std::string_view wanted) { return bad_value("must be " + std::string(wanted)); }

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <typename T>
using Accessor = T& (*)(Config&);

// Showing needs no write access; the accessor is written once, for both.
template <typename T>
const T& peek(Accessor<T> member, const Config& config) {
  return member(const_cast<Config&>(config));  // NOLINT: read only
}

using TextCheck = std::function<Status(const std::string&)>;

KeySpec text_key(std::string_view name, Accessor<std::string> member, TextCheck check = nullptr) {
  return {name,
          [member, check](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<std::string>();
            if (!value) return bad_type("a string");
            if (value->find_first_of(std::string("\n\r\0", 3)) != std::string::npos) {
              return bad_value("must not hold line breaks or NUL");
            }
            if (check) TRY(check(*value));
            member(config) = *value;
            return {};
          },
          [member](const Config& config) { return quoted(peek(member, config)); }};
}

KeySpec choice_key(std::string_view name, Accessor<std::string> member,
                   std::vector<std::string> choices) {
  return text_key(name, member, [choices](const std::string& value) -> Status {
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return {};
    std::string list;
    for (const std::string& c : choices) list += (list.empty() ? "" : ", ") + quoted(c);
    return bad_value("is " + quoted(value) + "; it must be one of " + list);
  });
}

KeySpec count_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                  uint64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<int64_t>();
            if (!value) return bad_type("a whole number");
            if (*value < 0 || static_cast<uint64_t>(*value) < lowest ||
                static_cast<uint64_t>(*value) > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + std::to_string(*value) + "; it must be between " +
                               std::to_string(lowest) + " and " + std::to_string(highest));
            }
            member(config) = static_cast<uint64_t>(*value);
            return {};
          },
          [member](const Config& config) { return std::to_string(peek(member, config)); }};
}

KeySpec level_key(std::string_view name, Accessor<int64_t> member, int64_t lowest,
                  int64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<int64_t>();
            if (!value) return bad_type("a whole number");
            if (*value < lowest || *value > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + std::to_string(*value) + "; it must be between " +
                               std::to_string(lowest) + " and " + std::to_string(highest));
            }
            member(config) = *value;
            return {};
          },
          [member](const Config& config) { return std::to_string(peek(member, config)); }};
}

KeySpec size_key(std::string_view name, Accessor<uint64_t> member, uint64_t lowest,
                 uint64_t highest) {
  return {
      name,
      [=](const toml::node& node, Config& config) -> Status {
        uint64_t bytes = 0;
        if (const auto number = node.value_exact<int64_t>(); number && *number >= 0) {
          bytes = static_cast<uint64_t>(*number);
        } else if (const auto text = node.value_exact<std::string>()) {
          ASSIGN_OR_RETURN(bytes, parse_size(*text));
        } else {
          return bad_type("a size such as \"64MiB\"");
        }
        if (bytes < lowest || bytes > highest) {
          return Error(ErrorCode::out_of_range,
                       "is " + format_exact_size(bytes) + "; it must be between " +
                           format_exact_size(lowest) + " and " + format_exact_size(highest));
        }
        member(config) = bytes;
        return {};
      },
      [member](const Config& config) { return quoted(format_exact_size(peek(member, config))); }};
}

KeySpec duration_key(std::string_view name, Accessor<int64_t> member, int64_t lowest,
                     int64_t highest) {
  return {name,
          [=](const toml::node& node, Config& config) -> Status {
            const auto text = node.value_exact<std::string>();
            if (!text) return bad_type("a duration such as \"30s\"");
            ASSIGN_OR_RETURN(const int64_t ms, parse_duration_ms(*text));
            if (ms < lowest || ms > highest) {
              return Error(ErrorCode::out_of_range,
                           "is " + format_duration(ms) + "; it must be between " +
                               format_duration(lowest) + " and " + format_duration(highest));
            }
            member(config) = ms;
            return {};
          },
          [member](const Config& config) { return quoted(format_duration(peek(member, config))); }};
}

KeySpec bool_key(std::string_view name, Accessor<bool> member) {
  return {name,
          [member](const toml::node& node, Config& config) -> Status {
            const auto value = node.value_exact<bool>();
            if (!value) return bad_type("true or false");
            member(config) = *value;
            return {};
          },
          [member](const Config& config) {
            return std::string(peek(member, config) ? "true" : "false");
          }};
}

KeySpec listen_key() {
  return {"iscsi.listen",
          [](const toml::node& node, Config& config) -> Status {
            const toml::array* list = node.as_array();
            if (list == nullptr || list->empty() || list->size() > 64) {
              return bad_type("a list of 1 to 64 addresses such as [\"127.0.0.1:3260\"]");
            }
            std::vector<std::string> addresses;
            for (const toml::node& item : *list) {
              const auto text = item.value_exact<std::string>();
              if (!text) return bad_type("a list of strings");
              auto parsed = parse_listen_address(*text, 3260);
              if (!parsed.ok()) return parsed.error();
              addresses.push_back(*text);
            }
            config.iscsi.listen = std::move(addresses);
            return {};
          },
          [](const Config& config) {
            std::string out;
            for (const std::string& a : config.iscsi.listen) {
              out += (out.empty() ? "" : ", ") + quoted(a);
            }
            return "[" + out + "]";
          }};
}

Status check_gateway_name(const std::string& name) {
  // RFC 3722 leaves lower-case letters, digits, '-', '.' and ':' for iSCSI names; ':' separates.
  const bool fits =
      !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
      });
  if (fits) return {};
  return bad_value("is " + quoted(name) +
                   "; it becomes part of iSCSI names: 1 to 64 of a-z, 0-9, '-' and '.'");
}

Status check_changer(const std::string& name) {
  if (find_changer(name) != nullptr) return {};
  std::string list;
  for (const std::string_view n : changer_names()) list += (list.empty() ? "" : ", ") + quoted(n);
  return bad_value("is " + quoted(name) + "; known changers are " + list);
}

Status check_drive_model(const std::string& name) {
  if (find_drive(name) != nullptr) return {};
  std::string list;
  for (const DriveProfile& d : all_drives()) list += (list.empty() ? "" : ", ") + quoted(d.name);
  return bad_value("is " + quoted(name) + "; known drives are " + list);
}

Status check_serial_prefix(const std::string& prefix) {
  const bool fits = prefix.size() <= 7 && std::all_of(prefix.begin(), prefix.end(), [](char c) {
                      return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                    });
  if (fits) return {};
  return bad_value("is " + quoted(prefix) + "; it must be at most 7 of A-Z and 0-9");
}

Status check_currency(const std::string& name) {
  if (!name.empty() && name.size() <= 8) return {};
  return bad_value("is " + quoted(name) + "; it must have 1 to 8 characters, e.g. \"USD\"");
}

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;

// NOLINTBEGIN(bugprone-macro-parentheses)
#define FIELD(type, path) +[](Config& c) -> type& { return c.path; }
// NOLINTEND(bugprone-macro-parentheses)

KeySpec price_key(const PriceKey& key) {
  return {key.name,
          [key](const toml::node& node, Config& config) -> Status {
            const auto number = node.value<double>();
            if (!number || !node.is_number()) return bad_type("a price such as 0.0036");
            if (!(*number >= 0 && *number <= 1e6)) {
              return Error(ErrorCode::out_of_range, "must be between 0 and 1000000");
            }
            key.member(config.prices) = *number;
            return {};
          },
          [key](const Config& config) {
            Prices prices = config.prices;
            char text[32];
            std::snprintf(text, sizeof text, "%.10g", key.member(prices));
            return std::string(text);
          }};
}

std::vector<KeySpec> make_keys() {
  using std::string;
  std::vector<KeySpec> keys = {
      text_key("gateway.name", FIELD(string, gateway.name), check_gateway_name),
      text_key("gateway.data_dir", FIELD(string, gateway.data_dir)),
      listen_key(),
      bool_key("iscsi.allow_unauthenticated", FIELD(bool, iscsi.allow_unauthenticated)),
      count_key("iscsi.io_threads", FIELD(uint64_t, iscsi.io_threads), 1, 64),
      duration_key("iscsi.nop_interval", FIELD(int64_t, iscsi.nop_interval_ms), 0, kHourMs),
      count_key("iscsi.max_connections", FIELD(uint64_t, iscsi.max_connections), 1, 65'535),
      text_key("iscsi.chap.user", FIELD(string, iscsi.chap.user)),
      text_key("iscsi.chap.secret_file", FIELD(string, iscsi.chap.secret_file)),
      text_key("iscsi.chap.secret_env", FIELD(string, iscsi.chap.secret_env)),
      text_key("iscsi.chap.mutual_user", FIELD(string, iscsi.chap.mutual_user)),
      text_key("iscsi.chap.mutual_secret_file", FIELD(string, iscsi.chap.mutual_secret_file)),
      text_key("iscsi.chap.mutual_secret_env", FIELD(string, iscsi.chap.mutual_secret_env)),
      text_key("library.changer", FIELD(string, library.changer), check_changer),
      text_key("library.drive_model", FIELD(string, library.drive_model), check_drive_model),
      count_key("library.slots", FIELD(uint64_t, library.slots), 1, 3'200),
      count_key("library.import_export_slots", FIELD(uint64_t, library.import_export_slots), 0,
                3'199),
      count_key("library.drives", FIELD(uint64_t, library.drives), 1, 255),
      text_key("library.serial_prefix", FIELD(string, library.serial_prefix), check_serial_prefix),
      choice_key("library.on_export", FIELD(string, library.on_export), {"archive", "hold"}),
      duration_key("library.export_delay", FIELD(int64_t, library.export_delay_ms), 0, kDayMs),
      size_key("cartridge.segment_size", FIELD(uint64_t, cartridge.segment_bytes), 1 * MiB,
               1 * GiB),
      choice_key("cartridge.compression", FIELD(string, cartridge.compression), {"zstd", "none"}),
      level_key("cartridge.level", FIELD(int64_t, cartridge.level), -7, 19),
      text_key("encryption.key_file", FIELD(string, encryption.key_file)),
      text_key("encryption.key_env", FIELD(string, encryption.key_env)),
      text_key("encryption.key_command", FIELD(string, encryption.key_command)),
      text_key("encryption.kms_key_id", FIELD(string, encryption.kms_key_id)),
      text_key("encryption.kms_region", FIELD(string, encryption.kms_region)),
      text_key("encryption.kms_endpoint", FIELD(string, encryption.kms_endpoint)),
      text_key("encryption.kms_profile", FIELD(string, encryption.kms_profile)),
      choice_key("store.type", FIELD(string, store.type), {"directory", "s3"}),
      text_key("store.url", FIELD(string, store.url)),
      text_key("store.path", FIELD(string, store.path)),
      duration_key("store.restore_expedited", FIELD(int64_t, store.restore_expedited_ms), 0,
                   7 * kDayMs),
      duration_key("store.restore_standard", FIELD(int64_t, store.restore_standard_ms), 0,
                   7 * kDayMs),
      duration_key("store.restore_bulk", FIELD(int64_t, store.restore_bulk_ms), 0, 7 * kDayMs),
      duration_key("store.restore_poll", FIELD(int64_t, store.restore_poll_ms), 10, kHourMs),
      count_key("store.restore_days", FIELD(uint64_t, store.restore_days), 1, 365),
      count_key("store.restore_requests_per_second",
                FIELD(uint64_t, store.restore_requests_per_second), 1, 10'000),
      duration_key("store.lease_ttl", FIELD(int64_t, store.lease_ttl_ms), 1'000, kHourMs),
      bool_key("store.link", FIELD(bool, store.link)),
      count_key("store.transfer_threads", FIELD(uint64_t, store.transfer_threads), 1, 64),
      text_key("store.s3.region", FIELD(string, store.s3.region)),
      text_key("store.s3.endpoint", FIELD(string, store.s3.endpoint)),
      choice_key("store.s3.addressing", FIELD(string, store.s3.addressing),
                 {"auto", "path", "virtual"}),
      text_key("store.s3.ca_file", FIELD(string, store.s3.ca_file)),
      text_key("store.s3.profile", FIELD(string, store.s3.profile)),
      text_key("store.s3.access_key_id", FIELD(string, store.s3.access_key_id)),
      text_key("store.s3.secret_key_file", FIELD(string, store.s3.secret_key_file)),
      text_key("store.s3.secret_key_env", FIELD(string, store.s3.secret_key_env)),
      choice_key("store.s3.sse", FIELD(string, store.s3.sse), {"none", "AES256", "aws:kms"}),
      text_key("store.s3.kms_key_id", FIELD(string, store.s3.kms_key_id)),
      choice_key("store.s3.payload_signing", FIELD(string, store.s3.payload_signing),
                 {"signed", "unsigned"}),
      size_key("store.s3.multipart_threshold", FIELD(uint64_t, store.s3.multipart_threshold),
               5 * MiB, 5 * GiB),
      size_key("store.s3.part_size", FIELD(uint64_t, store.s3.part_bytes), 5 * MiB, 5 * GiB),
      count_key("store.s3.connections", FIELD(uint64_t, store.s3.connections), 1, 1'024),
      duration_key("store.s3.connect_timeout", FIELD(int64_t, store.s3.connect_timeout_ms), 100,
                   kHourMs),
      duration_key("store.s3.idle_timeout", FIELD(int64_t, store.s3.idle_timeout_ms), 100, kHourMs),
      duration_key("store.s3.copy_timeout", FIELD(int64_t, store.s3.copy_timeout_ms), 100, kHourMs),
      size_key("cache.limit", FIELD(uint64_t, cache.limit_bytes), 0, 1024 * TiB),
      count_key("cache.read_ahead_segments", FIELD(uint64_t, cache.read_ahead_segments), 0, 64),
      size_key("buffer.limit", FIELD(uint64_t, buffer.limit_bytes), 0, 1024 * TiB),
      text_key("api.socket", FIELD(string, api.socket)),
      choice_key("log.level", FIELD(string, log.level), {"debug", "info", "warning", "error"}),
      choice_key("log.format", FIELD(string, log.format), {"text", "json"}),
      text_key("prices.currency", FIELD(string, prices.currency), check_currency),
  };
  for (const PriceKey& key : price_keys()) keys.push_back(price_key(key));
  return keys;
}
#undef FIELD

// Of [[encryption.old_key]]; the same as in [encryption].
using KeySource = Config::KeySource;
constexpr std::array<std::pair<std::string_view, std::string KeySource::*>, 7> kOldKeyKeys = {{
    {"key_file", &KeySource::key_file},
    {"key_env", &KeySource::key_env},
    {"key_command", &KeySource::key_command},
    {"kms_key_id", &KeySource::kms_key_id},
    {"kms_region", &KeySource::kms_region},
    {"kms_endpoint", &KeySource::kms_endpoint},
    {"kms_profile", &KeySource::kms_profile},
}};

// Empty: nothing is wrong.
std::string problem_of(const KeySource& key) {
  const int given = int{!key.key_file.empty()} + int{!key.key_env.empty()} +
                    int{!key.key_command.empty()} + int{!key.kms_key_id.empty()};
  if (given > 1) return "give one of key_file, key_env, key_command and kms_key_id, not several";
  const bool kms = !key.kms_region.empty() || !key.kms_endpoint.empty() || !key.kms_profile.empty();
  if (kms && key.kms_key_id.empty()) return "kms_... settings need kms_key_id";
  return {};
}

constexpr std::array<std::string_view, 5> kPoolKeys = {"name", "storage_class", "mode", "lock",
                                                       "lock_days"};

class Parser {
 public:
  Parser(std::string source, std::string base_dir)
      : source_(std::move(source)), base_dir_(std::move(base_dir)), keys_(make_keys()) {
    for (const KeySpec& key : keys_) {
      by_name_[key.name] = &key;
      // "iscsi.chap.user" makes the tables "iscsi" and "iscsi.chap".
      for (size_t dot = key.name.find('.'); dot != std::string_view::npos;
           dot = key.name.find('.', dot + 1)) {
        tables_.insert(std::string(key.name.substr(0, dot)));
      }
    }
  }

  Result<Config> parse(std::string_view text, const std::string& data_dir) {
    toml::table root;
    try {
      root = toml::parse(text, source_);
    } catch (const toml::parse_error& e) {
      return at(e.source(), std::string(e.description()));
    }
    TRY(read_table(root, ""));
    if (!data_dir.empty()) config_.gateway.data_dir = data_dir;
    TRY(check_together());
    return std::move(config_);
  }

 private:
  Error at(const toml::source_region& where, const std::string& what) const {
    return {ErrorCode::invalid_argument, source_ + ":" + std::to_string(where.begin.line) + ":" +
                                             std::to_string(where.begin.column) + ": " + what};
  }
  // At the key when the file has it, else at the file as a whole.
  Error at_key(const std::string& key, const std::string& what) const {
    const auto found = positions_.find(key);
    if (found == positions_.end()) {
      return {ErrorCode::invalid_argument, source_ + ": " + key + ": " + what};
    }
    return at(found->second, key + ": " + what);
  }

  Status read_table(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      if (name == "pool") {
        TRY(read_pools(key.source(), node));
        continue;
      }
      if (name == "encryption.old_key") {
        TRY(read_old_keys(key.source(), node));
        continue;
      }
      if (name == "bandwidth") {
        TRY(read_bandwidth(key.source(), node));
        continue;
      }
      if (tables_.contains(name)) {
        const toml::table* inner = node.as_table();
        if (inner == nullptr) return at(key.source(), name + " must be a table: [" + name + "]");
        TRY(read_table(*inner, name + "."));
        continue;
      }
      const auto spec = by_name_.find(name);
      if (spec == by_name_.end()) return unknown(key.source(), name);
      positions_[name] = key.source();
      Status read = spec->second->read(node, config_);
      if (!read.ok()) return at(node.source(), name + ": " + read.error().context);
    }
    return {};
  }

  Error unknown(const toml::source_region& where, const std::string& name) const {
    const std::string close = closest_match(name, config_keys());
    return at(where, "unknown key '" + name + "'" +
                         (close.empty() ? "" : "; did you mean '" + close + "'?"));
  }

  Status read_pools(const toml::source_region& where, const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_array_of_tables() || list->size() > 100) {
      return at(where, "pools are written as [[pool]] tables, at most 100 of them");
    }
    config_.pools.clear();
    std::set<std::string> names;
    for (const toml::node& item : *list) {
      PoolConfig pool;
      for (const auto& [key, value] : *item.as_table()) {
        const std::string_view name = key.str();
        if (std::find(kPoolKeys.begin(), kPoolKeys.end(), name) == kPoolKeys.end()) {
          return unknown(key.source(), "pool." + std::string(name));
        }
        TRY(read_pool_key(name, value, pool));
      }
      if (pool.name.empty() || pool.name.size() > 100) {
        return at(item.source(), "a pool needs a name of 1 to 100 characters");
      }
      if (!names.insert(pool.name).second) {
        return at(item.source(), "pool '" + pool.name + "' is there twice");
      }
      if (pool.mode.empty()) pool.mode = default_pool_mode(pool.storage_class);
      const Status fits = check_pool(row_of(pool));
      if (!fits.ok()) return at(item.source(), fits.error().context);
      config_.pools.push_back(std::move(pool));
    }
    return {};
  }

  Status read_pool_key(std::string_view name, const toml::node& value, PoolConfig& pool) const {
    const std::string key = "pool." + std::string(name);
    if (name == "lock_days") {
      const auto days = value.value_exact<int64_t>();
      if (!days || *days < 0) return at(value.source(), key + ": must be a whole number");
      pool.lock_days = static_cast<uint64_t>(*days);
      return {};
    }
    const auto text = value.value_exact<std::string>();
    if (!text) return at(value.source(), key + ": must be a string");
    if (name == "name") pool.name = *text;
    if (name == "storage_class") pool.storage_class = *text;
    if (name == "mode") pool.mode = *text;
    if (name == "lock") pool.lock = *text;
    if (name == "storage_class" && !parse_storage_class(*text)) {
      return at(value.source(), key + ": '" + *text +
                                    "' is not one of S3's classes, e.g. STANDARD, "
                                    "GLACIER_IR, GLACIER, DEEP_ARCHIVE");
    }
    if (name == "mode" && *text != "direct" && *text != "staged") {
      return at(value.source(), key + ": '" + *text + "' must be \"direct\" or \"staged\"");
    }
    if (name == "lock" && *text != "none" && *text != "governance" && *text != "compliance") {
      return at(value.source(),
                key + ": '" + *text + "' must be \"none\", \"governance\" or \"compliance\"");
    }
    return {};
  }

  Status read_old_keys(const toml::source_region& where, const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_array_of_tables() || list->size() > 20) {
      return at(where, "old keys are written as [[encryption.old_key]] tables, at most 20 of them");
    }
    for (const toml::node& item : *list) {
      KeySource source;
      for (const auto& [key, value] : *item.as_table()) {
        const auto found =
            std::find_if(kOldKeyKeys.begin(), kOldKeyKeys.end(),
                         [&, name = key.str()](const auto& k) { return k.first == name; });
        const std::string name = "encryption.old_key." + std::string(key.str());
        if (found == kOldKeyKeys.end()) return unknown(key.source(), name);
        const auto text = value.value_exact<std::string>();
        if (!text) return at(value.source(), name + ": must be a string");
        source.*(found->second) = *text;
      }
      std::string problem = problem_of(source);
      if (!source.set()) problem = "needs key_file, key_env, key_command or kms_key_id";
      if (!problem.empty()) return at(item.source(), "encryption.old_key: " + problem);
      source.key_file = absolute(source.key_file);
      config_.encryption.old_keys.push_back(std::move(source));
    }
    return {};
  }

  Status read_bandwidth(const toml::source_region& where, const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_array_of_tables() || list->size() > 100) {
      return at(where, "bandwidth limits are written as [[bandwidth]] tables, at most 100 of them");
    }
    config_.bandwidth.clear();
    for (const toml::node& item : *list) {
      std::map<std::string, std::string> texts;
      for (const auto& [key, value] : *item.as_table()) {
        const std::string name(key.str());
        if (std::find(kBandwidthKeys.begin(), kBandwidthKeys.end(), name) == kBandwidthKeys.end()) {
          return unknown(key.source(), "bandwidth." + name);
        }
        const auto text = value.value_exact<std::string>();
        if (!text) return at(value.source(), "bandwidth." + name + ": must be a string");
        texts[name] = *text;
      }
      const auto rule = bandwidth_rule_of(texts);
      if (!rule.ok()) return at(item.source(), "bandwidth." + rule.error().context);
      config_.bandwidth.push_back(*rule);
    }
    return {};
  }

  std::string absolute(const std::string& path) const {
    return path.empty() || path.front() == '/' ? path : join_path(base_dir_, path);
  }

  Status check_together() {
    if (config_.gateway.data_dir.empty()) {
      return at_key("gateway.data_dir", "is needed: here, or on the command line as --data DIR");
    }
    config_.gateway.data_dir = absolute(config_.gateway.data_dir);
    auto in_data = [&](const std::string& value, const char* name) {
      return value.empty() ? join_path(config_.gateway.data_dir, name) : absolute(value);
    };
    config_.store.path = in_data(config_.store.path, "store");
    config_.api.socket = config_.api.socket.empty() ? default_socket(config_.gateway.data_dir)
                                                    : absolute(config_.api.socket);
    for (std::string* path : {&config_.encryption.key_file, &config_.iscsi.chap.secret_file,
                              &config_.iscsi.chap.mutual_secret_file, &config_.store.s3.ca_file,
                              &config_.store.s3.secret_key_file}) {
      *path = absolute(*path);
    }
    // sun_path holds 108 bytes with the NUL (unix(7)).
    if (config_.api.socket.size() > 107) {
      return at_key("api.socket", "the path " + config_.api.socket + " is longer than the 107 " +
                                      "bytes a Unix socket may have; set api.socket elsewhere");
    }
    if (config_.library.slots + config_.library.import_export_slots > 3'200) {
      return at_key("library.slots", "slots and import/export slots together are more than 3200");
    }
    if (const std::string problem = problem_of(config_.encryption); !problem.empty()) {
      return at_key("encryption.key_env", problem);
    }
    if (!config_.encryption.old_keys.empty() && !config_.encryption.set()) {
      return at_key("encryption.old_key",
                    "needs a key that is in use: set encryption.key_file, "
                    "key_env, key_command or kms_key_id");
    }
    if (const auto wrong = store_complaint(config_.store)) {
      return at_key(wrong->first, wrong->second);
    }
    TRY(check_chap());
    return check_listen();
  }

  Status check_chap() const {
    const Config::Chap& chap = config_.iscsi.chap;
    auto check = [&](const std::string& prefix, const std::string& user, const std::string& file,
                     const std::string& env) -> Status {
      const std::string base = "iscsi.chap." + prefix;
      if (!file.empty() && !env.empty()) {
        return at_key(base + "secret_env", "give a secret file or a variable, not both");
      }
      const bool secret = !file.empty() || !env.empty();
      if (!user.empty() && !secret) {
        return at_key(base + "user", "needs " + base + "secret_file or " + base + "secret_env");
      }
      if (user.empty() && secret) {
        return at_key(base + (file.empty() ? "secret_env" : "secret_file"),
                      "needs " + base + "user");
      }
      return {};
    };
    TRY(check("", chap.user, chap.secret_file, chap.secret_env));
    TRY(check("mutual_", chap.mutual_user, chap.mutual_secret_file, chap.mutual_secret_env));
    if (chap.user.empty() && !chap.mutual_user.empty()) {
      return at_key("iscsi.chap.mutual_user", "needs one-way CHAP too: set iscsi.chap.user");
    }
    return {};
  }

  // Tapes must not be readable by the whole network because somebody changed an address.
  Status check_listen() const {
    if (!config_.iscsi.chap.user.empty() || config_.iscsi.allow_unauthenticated) return {};
    for (const std::string& text : config_.iscsi.listen) {
      auto address = parse_listen_address(text, 3260);
      if (!address.ok()) return address.error();
      if (!is_loopback(*address)) {
        return at_key("iscsi.listen", text +
                                          " is reachable from other machines: set iscsi.chap, or "
                                          "iscsi.allow_unauthenticated = true if that is meant");
      }
    }
    return {};
  }

  const std::string source_;
  const std::string base_dir_;
  const std::vector<KeySpec> keys_;
  std::map<std::string_view, const KeySpec*> by_name_;
  std::set<std::string> tables_;
  std::map<std::string, toml::source_region> positions_;
  Config config_;
};

}  // namespace

LogLevel Config::log_level() const {
  if (log.level == "debug") return LogLevel::debug;
  if (log.level == "warning") return LogLevel::warning;
  if (log.level == "error") return LogLevel::error;
  return LogLevel::info;
}

std::string default_socket(const std::string& data_dir) {
  return join_path(data_dir, "coldshelf.sock");
}

Result<Config> parse_config(std::string_view text, const std::string& source,
                            const std::string& base_dir, const std::string& data_dir) {
  return Parser(source, base_dir).parse(text, data_dir);
}

Result<Config> load_config(FileSystem& files, const std::string& path,
                           const std::string& data_dir) {
  ASSIGN_OR_RETURN(const Buffer text, files.read_file(path, 4 * MiB));
  return parse_config(as_text(text), path, parent_directory(path), data_dir);
}

Result<Config> default_config(const std::string& data_dir) {
  return parse_config("", "command line", ".", data_dir);
}

std::vector<std::string> config_keys() {
  std::vector<std::string> out;
  for (const KeySpec& key : make_keys()) out.emplace_back(key.name);
  for (const auto& [key, member] : kOldKeyKeys) {
    out.push_back("encryption.old_key." + std::string(key));
  }
  for (const std::string_view key : kPoolKeys) out.push_back("pool." + std::string(key));
  for (const std::string_view key : kBandwidthKeys) {
    out.push_back("bandwidth." + std::string(key));
  }
  return out;
}

std::string effective_config(const Config& config) {
  std::string out;
  std::string table;
  for (const KeySpec& key : make_keys()) {
    const size_t dot = key.name.rfind('.');
    const std::string in(key.name.substr(0, dot));
    if (in != table) {
      out += (out.empty() ? "[" : "\n[") + in + "]\n";
      table = in;
    }
    out += std::string(key.name.substr(dot + 1)) + " = " + key.show(config) + "\n";
  }
  for (const KeySource& old : config.encryption.old_keys) {
    out += "\n[[encryption.old_key]]\n";
    for (const auto& [key, member] : kOldKeyKeys) {
      if (!(old.*member).empty()) out += std::string(key) + " = " + quoted(old.*member) + "\n";
    }
  }
  for (const PoolConfig& pool : config.pools) {
    out += "\n[[pool]]\nname = " + quoted(pool.name) +
           "\nstorage_class = " + quoted(pool.storage_class) + "\nmode = " + quoted(pool.mode) +
           "\nlock = " + quoted(pool.lock) + "\nlock_days = " + std::to_string(pool.lock_days) +
           "\n";
  }
  for (const BandwidthRule& rule : config.bandwidth) out += "\n" + bandwidth_rule_text(rule);
  return out;
}

}  // namespace coldshelf
