#include "gateway/config_tables.h"

#include <algorithm>
#include <array>
#include <map>

#include "gateway/bandwidth_config.h"
#include "gateway/config_aws.h"
#include "gateway/config_notify.h"
#include "gateway/config_policies.h"
#include "gateway/config_quiesce.h"
#include "gateway/pools.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

namespace {

Error error_at(const std::string& source, const toml::source_region& where,
               const std::string& what) {
  return {ErrorCode::invalid_argument, source + ":" + std::to_string(where.begin.line) + ":" +
                                           std::to_string(where.begin.column) + ": " + what};
}

Status read_pool(const TableReader& in, Config& config) {
  PoolConfig pool;
  TRY(in.text("name", pool.name));
  TRY(in.text("storage_class", pool.storage_class));
  TRY(in.text("mode", pool.mode));
  TRY(in.text("lock", pool.lock));
  TRY(in.count("lock_days", pool.lock_days));
  if (!parse_storage_class(pool.storage_class)) {
    return in.wrong("storage_class", "'" + pool.storage_class +
                                         "' is not one of S3's classes, e.g. STANDARD, "
                                         "GLACIER_IR, GLACIER, DEEP_ARCHIVE");
  }
  if (!pool.mode.empty() && pool.mode != "direct" && pool.mode != "staged") {
    return in.wrong("mode", "'" + pool.mode + "' must be \"direct\" or \"staged\"");
  }
  if (pool.lock != "none" && pool.lock != "governance" && pool.lock != "compliance") {
    return in.wrong("lock",
                    "'" + pool.lock + "' must be \"none\", \"governance\" or \"compliance\"");
  }
  if (pool.name.empty() || pool.name.size() > 100) {
    return in.wrong("a pool needs a name of 1 to 100 characters");
  }
  if (std::any_of(config.pools.begin(), config.pools.end(),
                  [&](const PoolConfig& other) { return other.name == pool.name; })) {
    return in.wrong("pool '" + pool.name + "' is there twice");
  }
  if (pool.mode.empty()) pool.mode = default_pool_mode(pool.storage_class);
  const Status fits = check_pool(row_of(pool));
  if (!fits.ok()) return in.wrong(fits.error().context);
  config.pools.push_back(std::move(pool));
  return {};
}

std::string show_pools(const Config& config) {
  std::string out;
  for (const PoolConfig& pool : config.pools) {
    out += "\n[[pool]]\nname = " + quoted(pool.name) +
           "\nstorage_class = " + quoted(pool.storage_class) + "\nmode = " + quoted(pool.mode) +
           "\nlock = " + quoted(pool.lock) + "\nlock_days = " + std::to_string(pool.lock_days) +
           "\n";
  }
  return out;
}

// Of [[encryption.old_key]]; the same as in [encryption].
using KeySource = Config::KeySource;
constexpr std::array<std::pair<std::string_view, std::string KeySource::*>, 8> kOldKeyKeys = {{
    {"key_file", &KeySource::key_file},
    {"key_env", &KeySource::key_env},
    {"key_command", &KeySource::key_command},
    {"kms_key_id", &KeySource::kms_key_id},
    {"kms_region", &KeySource::kms_region},
    {"kms_endpoint", &KeySource::kms_endpoint},
    {"kms_profile", &KeySource::kms_profile},
    {"kms_ca_file", &KeySource::kms_ca_file},
}};

Status read_old_key(const TableReader& in, Config& config) {
  KeySource source;
  for (const auto& [key, member] : kOldKeyKeys) TRY(in.text(key, source.*member));
  std::string problem = problem_of(source);
  if (!source.set()) problem = "needs key_file, key_env, key_command or kms_key_id";
  if (!problem.empty()) return in.wrong("encryption.old_key: " + problem);
  source.key_file = in.absolute(source.key_file);
  source.kms_ca_file = in.absolute(source.kms_ca_file);
  config.encryption.old_keys.push_back(std::move(source));
  return {};
}

std::string show_old_keys(const Config& config) {
  std::string out;
  for (const KeySource& old : config.encryption.old_keys) {
    out += "\n[[encryption.old_key]]\n";
    for (const auto& [key, member] : kOldKeyKeys) {
      if (!(old.*member).empty()) out += std::string(key) + " = " + quoted(old.*member) + "\n";
    }
  }
  return out;
}

Status read_bandwidth(const TableReader& in, Config& config) {
  std::map<std::string, std::string> texts;
  for (const std::string_view key : kBandwidthKeys) {
    if (!in.table().contains(key)) continue;
    TRY(in.text(key, texts[std::string(key)]));
  }
  const auto rule = bandwidth_rule_of(texts);
  if (!rule.ok()) return in.wrong("bandwidth." + rule.error().context);
  config.bandwidth.push_back(*rule);
  return {};
}

std::string show_bandwidth(const Config& config) {
  std::string out;
  for (const BandwidthRule& rule : config.bandwidth) out += "\n" + bandwidth_rule_text(rule);
  return out;
}

template <typename Pairs>
std::vector<std::string_view> names_of(const Pairs& pairs) {
  std::vector<std::string_view> out;
  for (const auto& [name, member] : pairs) out.push_back(name);
  return out;
}

}  // namespace

std::string problem_of(const Config::KeySource& key) {
  const int given = int{!key.key_file.empty()} + int{!key.key_env.empty()} +
                    int{!key.key_command.empty()} + int{!key.kms_key_id.empty()};
  if (given > 1) return "give one of key_file, key_env, key_command and kms_key_id, not several";
  const bool kms = !key.kms_region.empty() || !key.kms_endpoint.empty() ||
                   !key.kms_profile.empty() || !key.kms_ca_file.empty();
  if (kms && key.kms_key_id.empty()) return "kms_... settings need kms_key_id";
  return {};
}

std::vector<TableSpec> config_tables() {
  return {
      {"encryption.old_key", "old keys", 20, names_of(kOldKeyKeys),
       [](Config& c) { c.encryption.old_keys.clear(); }, read_old_key, show_old_keys},
      {"pool",
       "pools",
       100,
       {"name", "storage_class", "mode", "lock", "lock_days"},
       [](Config& c) { c.pools.clear(); },
       read_pool,
       show_pools},
      {"bandwidth",
       "bandwidth limits",
       100,
       {kBandwidthKeys.begin(), kBandwidthKeys.end()},
       [](Config& c) { c.bandwidth.clear(); },
       read_bandwidth,
       show_bandwidth},
      account_table(),
      quiesce_table(),
      notify_table(),
      policy_table(),
  };
}

Error TableReader::wrong(const std::string& what) const {
  return error_at(source_, table_.source(), what);
}

Error TableReader::wrong(std::string_view key, const std::string& what) const {
  const toml::node* node = table_.get(key);
  return error_at(source_, node == nullptr ? table_.source() : node->source(),
                  std::string(name_) + "." + std::string(key) + ": " + what);
}

Status TableReader::text(std::string_view key, std::string& into) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto value = node->value_exact<std::string>();
  if (!value) return wrong(key, "must be a string");
  into = *value;
  return {};
}

Status TableReader::texts(std::string_view key, std::vector<std::string>& into) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const toml::array* list = node->as_array();
  if (list == nullptr) return wrong(key, "must be a list of strings");
  into.clear();
  for (const toml::node& item : *list) {
    const auto value = item.value_exact<std::string>();
    if (!value) return wrong(key, "must be a list of strings");
    into.push_back(*value);
  }
  return {};
}

Status TableReader::count(std::string_view key, uint64_t& into) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto value = node->value_exact<int64_t>();
  if (!value || *value < 0) return wrong(key, "must be a whole number");
  into = static_cast<uint64_t>(*value);
  return {};
}

Status TableReader::flag(std::string_view key, bool& into) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return {};
  const auto value = node->value_exact<bool>();
  if (!value) return wrong(key, "must be true or false");
  into = *value;
  return {};
}

std::string TableReader::absolute(const std::string& path) const {
  return path.empty() || path.front() == '/' ? path : join_path(base_dir_, path);
}

}  // namespace coldshelf
