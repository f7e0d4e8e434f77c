#include "gateway/identity.h"

#include <cstdio>
#include <map>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/uuid.h"

namespace coldshelf {

namespace {

constexpr std::string_view kTitle = "coldshelf identity ";
constexpr std::string_view kFormat = "1";
constexpr std::string_view kChecksum = "crc32c ";
constexpr uint64_t kLimit = 4 * KiB;

struct Setting {
  const char* name;
  std::string Identity::*member;
};
constexpr Setting kSettings[] = {{"gateway_id", &Identity::gateway},
                                 {kInstanceSetting, &Identity::instance},
                                 {"serial_prefix", &Identity::serial_prefix}};

std::string checksum_line(std::string_view before) {
  char line[32];
  std::snprintf(line, sizeof line, "crc32c %08x\n", crc32c(as_view(before)));
  return line;
}

std::string upper_hex(Random& random, size_t bytes) {
  Buffer raw(bytes);
  random.fill(raw);
  std::string text = to_hex(raw);
  for (char& c : text) c = static_cast<char>(c >= 'a' ? c - 'a' + 'A' : c);
  return text;
}

Identity fresh_identity(Random& random) {
  // Two gateways that one host sees must not show the same serial numbers.
  return {"sgw-" + upper_hex(random, 4), Uuid::generate(random).to_string(),
          "C" + upper_hex(random, 3)};
}

Result<Identity> read_identity(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const Buffer content, files.read_file(path, kLimit));
  Result<Identity> identity = decode_identity(as_text(content));
  if (identity.ok()) return identity;
  Error why = std::move(identity).error();
  why.context = path + " " + why.context;
  return why;
}

Error nobody(const DataDirectory& data) {
  return Error(ErrorCode::conflict,
               data.path() + " has cartridges, but neither " + data.catalog_path() + " nor " +
                   data.identity_path() + " tells which gateway they belong to. Put one of them " +
                   "back from a backup, or move the directory away and make it anew from the " +
                   "store with `coldshelf recover` (docs/recovery.md)");
}

// What the catalog lacks.
Result<Identity> identity_without_catalog(FileSystem& files, Random& random,
                                          const DataDirectory& data) {
  Result<Identity> kept = read_identity(files, data.identity_path());
  if (kept.ok()) {
    log_warning("gateway", "the catalog is new; identity from its file",
                {{"gateway", kept->gateway}});
    return kept;
  }
  if (kept.error().code != ErrorCode::not_found) return kept;
  ASSIGN_OR_RETURN(const bool in_use, data.has_cartridges());
  if (in_use) return nobody(data);
  return fresh_identity(random);
}

}  // namespace

std::string encode_identity(const Identity& identity) {
  std::string text = std::string(kTitle) + std::string(kFormat) + "\ngateway " + identity.gateway +
                     "\ninstance " + identity.instance + "\nserial_prefix " +
                     identity.serial_prefix + "\n";
  return text + checksum_line(text);
}

Result<Identity> decode_identity(std::string_view text) {
  if (!text.starts_with(kTitle)) return Error(ErrorCode::corrupt, "is not an identity file");
  const std::string_view version = text.substr(kTitle.size(), text.find('\n') - kTitle.size());
  if (version != kFormat) {
    return Error(ErrorCode::unsupported_version,
                 "has format " + std::string(version) + ", made by a newer coldshelf");
  }
  const size_t end = text.rfind(kChecksum);
  if (end == std::string_view::npos || text.substr(end) != checksum_line(text.substr(0, end))) {
    return Error(ErrorCode::corrupt, "is damaged: its checksum does not match");
  }
  std::map<std::string_view, std::string> values;
  for (std::string_view rest = text.substr(0, end); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + 1);
    const size_t blank = line.find(' ');
    if (blank != std::string_view::npos) values[line.substr(0, blank)] = line.substr(blank + 1);
  }
  Identity identity{values["gateway"], values["instance"], values["serial_prefix"]};
  if (!identity.gateway.empty() && !identity.instance.empty()) return identity;
  return Error(ErrorCode::corrupt, "names no gateway or no instance");
}

Result<Identity> open_identity(FileSystem& files, Random& random, const DataDirectory& data,
                               Catalog& catalog) {
  ASSIGN_OR_RETURN(const auto known, catalog.setting(kSettings[0].name));
  Identity identity = fresh_identity(random);
  if (!known) {
    ASSIGN_OR_RETURN(identity, identity_without_catalog(files, random, data));
  }
  for (const Setting& setting : kSettings) {
    ASSIGN_OR_RETURN(const auto found, catalog.setting(setting.name));
    if (found) identity.*setting.member = *found;
    if (!found) TRY(catalog.set_setting(setting.name, identity.*setting.member));
  }
  const Result<Identity> kept = read_identity(files, data.identity_path());
  if (kept.ok() && *kept == identity) return identity;
  const std::string text = encode_identity(identity);
  const Status written = files.replace_file(data.identity_path(), as_view(text));
  // The catalog has it; a full disk must not stand against a start that makes room.
  if (!written.ok()) {
    log_warning("gateway", "identity not written beside the catalog",
                {{"error", written.error().message()}});
  }
  return identity;
}

}  // namespace coldshelf
