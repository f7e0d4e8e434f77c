// Who this gateway is: kept in the catalog, and in a small file beside it, so that a lost catalog
// does not make another gateway of this one, fenced off from its own tapes and volumes.
//   <dir>/identity, text:
//     coldshelf identity 1
//     gateway sgw-0A1B2C3D
//     instance <uuid>
//     serial_prefix C3F0A21
//     crc32c 9c0ffee0          of all before this line
#pragma once

#include <string>

#include "base/random.h"
#include "catalog/catalog.h"
#include "gateway/data_directory.h"

namespace coldshelf {

// The catalog's setting that tells a data directory from every other one.
constexpr const char* kInstanceSetting = "instance";

struct Identity {
  std::string gateway;
  std::string instance;
  std::string serial_prefix;  // where the configuration has none
  bool operator==(const Identity&) const = default;
};

std::string encode_identity(const Identity& identity);
Result<Identity> decode_identity(std::string_view text);  // corrupt, unsupported_version

// The catalog's; what it lacks is the file's; made once where neither has it. conflict: neither has
// one, though there are cartridges: they are another identity's. corrupt: the catalog has none, and
// the file is damaged.
Result<Identity> open_identity(FileSystem& files, Random& random, const DataDirectory& data,
                               Catalog& catalog);

}  // namespace coldshelf
