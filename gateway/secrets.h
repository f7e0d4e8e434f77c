// Secrets from files and the environment. Messages name the place, never the content.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file_system.h"
#include "base/secret.h"
#include "gateway/config.h"
#include "tape/format/keys.h"
#include "target/iscsi/options.h"

namespace coldshelf {

// Of a file (white space at its end is not part of it) or an environment variable. One of the two
// is not empty.
Result<Secret> load_secret(FileSystem& files, const std::string& file, const std::string& variable);

struct LoadedSecrets {
  std::unique_ptr<const KeyRing> key;  // null: none is configured
  std::optional<iscsi::ChapCredentials> chap;
  std::optional<iscsi::ChapCredentials> mutual_chap;
};
// RFC 7143 9.2.1: CHAP secrets below 96 bits are refused, and the two directions must differ.
Result<LoadedSecrets> load_secrets(FileSystem& files, const Config& config);

// The key in use and the old ones; null when none is configured. `files` outlives it (AWS
// credentials of KMS keys).
Result<std::unique_ptr<const KeyRing>> load_keys(FileSystem& files,
                                                 const Config::Encryption& encryption);

}  // namespace coldshelf
