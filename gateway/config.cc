#include "gateway/config.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "gateway/config_alarms.h"
#include "gateway/config_aws.h"
#include "gateway/config_prices.h"
#include "gateway/config_store.h"
#include "gateway/config_tables.h"
#include "gateway/units.h"
#include "tape/drive/media.h"
#include "tape/library/library.h"
#include "uploader/upload_buffer.h"

namespace coldshelf {

namespace {

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
      text_key("gateway.name", CONFIG_FIELD(string, gateway.name), check_gateway_name),
      text_key("gateway.data_dir", CONFIG_FIELD(string, gateway.data_dir)),
      listen_key(),
      bool_key("iscsi.allow_unauthenticated", CONFIG_FIELD(bool, iscsi.allow_unauthenticated)),
      count_key("iscsi.io_threads", CONFIG_FIELD(uint64_t, iscsi.io_threads), 1, 64),
      duration_key("iscsi.nop_interval", CONFIG_FIELD(int64_t, iscsi.nop_interval_ms), 0, kHourMs),
      count_key("iscsi.max_connections", CONFIG_FIELD(uint64_t, iscsi.max_connections), 1, 65'535),
      text_key("iscsi.chap.user", CONFIG_FIELD(string, iscsi.chap.user)),
      text_key("iscsi.chap.secret_file", CONFIG_FIELD(string, iscsi.chap.secret_file)),
      text_key("iscsi.chap.secret_env", CONFIG_FIELD(string, iscsi.chap.secret_env)),
      text_key("iscsi.chap.mutual_user", CONFIG_FIELD(string, iscsi.chap.mutual_user)),
      text_key("iscsi.chap.mutual_secret_file",
               CONFIG_FIELD(string, iscsi.chap.mutual_secret_file)),
      text_key("iscsi.chap.mutual_secret_env", CONFIG_FIELD(string, iscsi.chap.mutual_secret_env)),
      text_key("library.changer", CONFIG_FIELD(string, library.changer), check_changer),
      text_key("library.drive_model", CONFIG_FIELD(string, library.drive_model), check_drive_model),
      count_key("library.slots", CONFIG_FIELD(uint64_t, library.slots), 1, 3'200),
      count_key("library.import_export_slots", CONFIG_FIELD(uint64_t, library.import_export_slots),
                0, 3'199),
      count_key("library.drives", CONFIG_FIELD(uint64_t, library.drives), 1, 255),
      text_key("library.serial_prefix", CONFIG_FIELD(string, library.serial_prefix),
               check_serial_prefix),
      choice_key("library.on_export", CONFIG_FIELD(string, library.on_export), {"archive", "hold"}),
      duration_key("library.export_delay", CONFIG_FIELD(int64_t, library.export_delay_ms), 0,
                   kDayMs),
      size_key("cartridge.segment_size", CONFIG_FIELD(uint64_t, cartridge.segment_bytes), 1 * MiB,
               1 * GiB),
      choice_key("cartridge.compression", CONFIG_FIELD(string, cartridge.compression),
                 {"zstd", "none"}),
      level_key("cartridge.level", CONFIG_FIELD(int64_t, cartridge.level), -7, 19),
      text_key("encryption.key_file", CONFIG_FIELD(string, encryption.key_file)),
      text_key("encryption.key_env", CONFIG_FIELD(string, encryption.key_env)),
      text_key("encryption.key_command", CONFIG_FIELD(string, encryption.key_command)),
      text_key("encryption.kms_key_id", CONFIG_FIELD(string, encryption.kms_key_id)),
      text_key("encryption.kms_region", CONFIG_FIELD(string, encryption.kms_region)),
      text_key("encryption.kms_endpoint", CONFIG_FIELD(string, encryption.kms_endpoint)),
      text_key("encryption.kms_profile", CONFIG_FIELD(string, encryption.kms_profile)),
      text_key("encryption.kms_ca_file", CONFIG_FIELD(string, encryption.kms_ca_file)),
      choice_key("store.type", CONFIG_FIELD(string, store.type), {"directory", "s3"}),
      text_key("store.url", CONFIG_FIELD(string, store.url)),
      text_key("store.path", CONFIG_FIELD(string, store.path)),
      duration_key("store.restore_expedited", CONFIG_FIELD(int64_t, store.restore_expedited_ms), 0,
                   7 * kDayMs),
      duration_key("store.restore_standard", CONFIG_FIELD(int64_t, store.restore_standard_ms), 0,
                   7 * kDayMs),
      duration_key("store.restore_bulk", CONFIG_FIELD(int64_t, store.restore_bulk_ms), 0,
                   7 * kDayMs),
      duration_key("store.restore_poll", CONFIG_FIELD(int64_t, store.restore_poll_ms), 10, kHourMs),
      count_key("store.restore_days", CONFIG_FIELD(uint64_t, store.restore_days), 1, 365),
      count_key("store.restore_requests_per_second",
                CONFIG_FIELD(uint64_t, store.restore_requests_per_second), 1, 10'000),
      duration_key("store.lease_ttl", CONFIG_FIELD(int64_t, store.lease_ttl_ms), 1'000, kHourMs),
      bool_key("store.link", CONFIG_FIELD(bool, store.link)),
      count_key("store.transfer_threads", CONFIG_FIELD(uint64_t, store.transfer_threads), 1, 64),
      text_key("store.s3.region", CONFIG_FIELD(string, store.s3.region)),
      text_key("store.s3.endpoint", CONFIG_FIELD(string, store.s3.endpoint)),
      choice_key("store.s3.addressing", CONFIG_FIELD(string, store.s3.addressing),
                 {"auto", "path", "virtual"}),
      text_key("store.s3.ca_file", CONFIG_FIELD(string, store.s3.ca_file)),
      text_key("store.s3.profile", CONFIG_FIELD(string, store.s3.profile)),
      text_key("store.s3.access_key_id", CONFIG_FIELD(string, store.s3.access_key_id)),
      text_key("store.s3.secret_key_file", CONFIG_FIELD(string, store.s3.secret_key_file)),
      text_key("store.s3.secret_key_env", CONFIG_FIELD(string, store.s3.secret_key_env)),
      choice_key("store.s3.sse", CONFIG_FIELD(string, store.s3.sse), {"none", "AES256", "aws:kms"}),
      text_key("store.s3.kms_key_id", CONFIG_FIELD(string, store.s3.kms_key_id)),
      choice_key("store.s3.payload_signing", CONFIG_FIELD(string, store.s3.payload_signing),
                 {"signed", "unsigned"}),
      size_key("store.s3.multipart_threshold", CONFIG_FIELD(uint64_t, store.s3.multipart_threshold),
               5 * MiB, 5 * GiB),
      size_key("store.s3.part_size", CONFIG_FIELD(uint64_t, store.s3.part_bytes), 5 * MiB, 5 * GiB),
      count_key("store.s3.connections", CONFIG_FIELD(uint64_t, store.s3.connections), 1, 1'024),
      duration_key("store.s3.connect_timeout", CONFIG_FIELD(int64_t, store.s3.connect_timeout_ms),
                   100, kHourMs),
      duration_key("store.s3.idle_timeout", CONFIG_FIELD(int64_t, store.s3.idle_timeout_ms), 100,
                   kHourMs),
      duration_key("store.s3.copy_timeout", CONFIG_FIELD(int64_t, store.s3.copy_timeout_ms), 100,
                   kHourMs),
      size_key("cache.limit", CONFIG_FIELD(uint64_t, cache.limit_bytes), 0, 1024 * TiB),
      count_key("cache.read_ahead_segments", CONFIG_FIELD(uint64_t, cache.read_ahead_segments), 0,
                64),
      size_key("buffer.limit", CONFIG_FIELD(uint64_t, buffer.limit_bytes), 0, 1024 * TiB),
      text_key("api.socket", CONFIG_FIELD(string, api.socket)),
      text_key("api.listen", CONFIG_FIELD(string, api.listen)),
      text_key("api.certificate_file", CONFIG_FIELD(string, api.certificate_file)),
      text_key("api.key_file", CONFIG_FIELD(string, api.key_file)),
      duration_key("api.session_idle", CONFIG_FIELD(int64_t, api.session_idle_ms), 60'000,
                   12 * kHourMs),
      choice_key("log.level", CONFIG_FIELD(string, log.level),
                 {"debug", "info", "warning", "error"}),
      choice_key("log.format", CONFIG_FIELD(string, log.format),
                 {"auto", "text", "json", "journal"}),
      text_key("prices.currency", CONFIG_FIELD(string, prices.currency), check_currency),
  };
  for (const PriceKey& key : price_keys()) keys.push_back(price_key(key));
  for (KeySpec& key : aws_keys()) keys.push_back(std::move(key));
  for (KeySpec& key : alarm_keys()) keys.push_back(std::move(key));
  return keys;
}

class Parser {
 public:
  Parser(std::string source, std::string base_dir)
      : source_(std::move(source)),
        base_dir_(std::move(base_dir)),
        keys_(make_keys()),
        repeated_(config_tables()) {
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
      const auto several = std::find_if(repeated_.begin(), repeated_.end(),
                                        [&](const TableSpec& spec) { return spec.name == name; });
      if (several != repeated_.end()) {
        TRY(read_several(*several, key.source(), node));
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

  Status read_several(const TableSpec& spec, const toml::source_region& where,
                      const toml::node& node) {
    const std::string name(spec.name);
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_array_of_tables() || list->size() > spec.most) {
      return at(where, std::string(spec.plural) + " are written as [[" + name +
                           "]] tables, at most " + std::to_string(spec.most) + " of them");
    }
    spec.clear(config_);
    for (const toml::node& item : *list) {
      const toml::table& table = *item.as_table();
      for (const auto& [key, value] : table) {
        if (std::find(spec.keys.begin(), spec.keys.end(), key.str()) == spec.keys.end()) {
          return unknown(key.source(), name + "." + std::string(key.str()));
        }
      }
      TRY(spec.read(TableReader(table, source_, base_dir_, spec.name), config_));
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
    for (std::string* path :
         {&config_.encryption.key_file, &config_.encryption.kms_ca_file,
          &config_.iscsi.chap.secret_file, &config_.iscsi.chap.mutual_secret_file,
          &config_.store.s3.ca_file, &config_.aws.ca_file, &config_.aws.secret_key_file,
          &config_.api.certificate_file, &config_.api.key_file,
          &config_.store.s3.secret_key_file}) {
      *path = absolute(*path);
    }
    // sun_path holds 108 bytes with the NUL (unix(7)).
    if (config_.api.socket.size() > 107) {
      return at_key("api.socket", "the path " + config_.api.socket + " is longer than the 107 " +
                                      "bytes a Unix socket may have; set api.socket elsewhere");
    }
    if (!config_.api.listen.empty()) {
      if (const auto where = parse_listen_address(config_.api.listen, 8443); !where.ok()) {
        return at_key("api.listen", where.error().context);
      }
    }
    if (config_.api.certificate_file.empty() != config_.api.key_file.empty()) {
      return at_key("api.certificate_file", "and api.key_file are needed together");
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
    TRY(check_buffer());
    if (const auto wrong = aws_complaint(config_)) return at_key(wrong->first, wrong->second);
    if (const auto wrong = alarm_complaint(config_)) return at_key(wrong->first, wrong->second);
    TRY(check_chap());
    return check_listen();
  }

  // What is in segments that are not sealed yet counts, and no store takes it away: were that alone
  // enough to slow writers down, nothing would ever let them go on.
  Status check_buffer() const {
    const uint64_t limit = config_.buffer.limit_bytes;
    const uint64_t unsealed = (config_.library.drives + 1) * config_.cartridge.segment_bytes;
    const double begins_at = static_cast<double>(limit) * UploadBuffer::kBeginsAt;
    if (limit == 0 || begins_at >= static_cast<double>(unsealed)) return {};
    const double least = static_cast<double>(unsealed) / UploadBuffer::kBeginsAt;
    const uint64_t least_mib = static_cast<uint64_t>(least / static_cast<double>(MiB)) + 1;
    return at_key("buffer.limit",
                  "is too small: with library.drives = " + std::to_string(config_.library.drives) +
                      " and cartridge.segment_size = \"" +
                      format_exact_size(config_.cartridge.segment_bytes) +
                      "\" what is being written would stop writers; at least \"" +
                      format_exact_size(least_mib * MiB) + "\", or \"0B\" for no limit");
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
  const std::vector<TableSpec> repeated_;
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
  for (const TableSpec& table : config_tables()) {
    for (const std::string_view key : table.keys) {
      out.push_back(std::string(table.name) + "." + std::string(key));
    }
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
  for (const TableSpec& table : config_tables()) out += table.show(config);
  return out;
}

}  // namespace coldshelf
