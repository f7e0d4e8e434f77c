#include "uploader/cloud/object_store.h"

#include <array>
#include <utility>

namespace coldshelf {

namespace {

constexpr std::array<std::pair<StorageClass, std::string_view>, 7> kClasses = {{
    {StorageClass::standard, "STANDARD"},
    {StorageClass::standard_ia, "STANDARD_IA"},
    {StorageClass::onezone_ia, "ONEZONE_IA"},
    {StorageClass::intelligent_tiering, "INTELLIGENT_TIERING"},
    {StorageClass::glacier_ir, "GLACIER_IR"},
    {StorageClass::glacier, "GLACIER"},
    {StorageClass::deep_archive, "DEEP_ARCHIVE"},
}};

constexpr std::array<std::pair<RestoreTier, std::string_view>, 3> kTiers = {{
    {RestoreTier::expedited, "Expedited"},
    {RestoreTier::standard, "Standard"},
    {RestoreTier::bulk, "Bulk"},
}};

constexpr std::array<std::pair<LockMode, std::string_view>, 2> kLockModes = {{
    {LockMode::governance, "GOVERNANCE"},
    {LockMode::compliance, "COMPLIANCE"},
}};

template <typename Table>
std::string_view name_of(const Table& table, decltype(table[0].first) value) {
  for (const auto& [v, name] : table) {
    if (v == value) return name;
  }
  return "unknown";
}

template <typename Table>
auto value_of(const Table& table, std::string_view text)
    -> std::optional<std::decay_t<decltype(table[0].first)>> {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(StorageClass c) { return name_of(kClasses, c); }
std::string_view to_string(RestoreTier tier) { return name_of(kTiers, tier); }

std::string_view to_string(LockMode mode) { return name_of(kLockModes, mode); }

std::optional<StorageClass> parse_storage_class(std::string_view text) {
  return value_of(kClasses, text);
}
std::optional<RestoreTier> parse_restore_tier(std::string_view text) {
  return value_of(kTiers, text);
}
std::optional<LockMode> parse_lock_mode(std::string_view text) {
  return value_of(kLockModes, text);
}

bool needs_restore(StorageClass c) {
  return c == StorageClass::glacier || c == StorageClass::deep_archive;
}

Status ObjectStore::remove_all(const std::vector<std::string>& keys) {
  Status first;
  for (const std::string& key : keys) {
    Status removed = remove(key);
    if (!removed.ok() && first.ok()) first = std::move(removed);
  }
  return first;
}

Result<Buffer> ObjectStore::get_all(const std::string& key, uint64_t limit) {
  ASSIGN_OR_RETURN(const ObjectInfo info, head(key));
  if (info.size > limit) {
    return Error(ErrorCode::out_of_range, key + ": " + std::to_string(info.size) +
                                              " bytes, expected at most " + std::to_string(limit));
  }
  Buffer content(static_cast<size_t>(info.size));
  TRY(get(key, 0, content));
  if (info.sha256 && Sha256::of(content) != *info.sha256) {
    return Error(ErrorCode::corrupt, key + ": what the store gave does not match its digest");
  }
  return content;
}

}  // namespace coldshelf
