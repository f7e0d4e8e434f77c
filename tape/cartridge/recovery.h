// What a crash left in a cartridge's directory, made whole again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"

namespace coldshelf {

struct RecoveredCartridge {
  std::vector<SegmentEntry> sealed;  // segments that were not in the manifest
  uint64_t next_sequence = 0;        // beyond every name that was in the directory
};

// Brings the directory and `log` together. Idempotent: a crash in the middle is recovered by the
// next call.
Result<RecoveredCartridge> recover_cartridge(const CartridgeEnv& env, const std::string& directory,
                                             ManifestLog& log, const Secret& data_key);

}  // namespace coldshelf
