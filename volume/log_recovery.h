// What a crash left of an image's log, made whole again: the longest beginning of it that is whole.
#pragma once

#include "tape/cartridge/cartridge.h"
#include "tape/format/image_frame.h"

namespace coldshelf {

struct RecoveredLog {
  std::vector<SegmentEntry> sealed;  // segments that were not in the manifest
  uint64_t next_sequence = 0;        // beyond every name that was in the directory
  LogMark last;                      // where the log ends
};

// Brings the directory and `log` together. Idempotent: a crash in the middle is recovered by the
// next call.
Result<RecoveredLog> recover_log(const CartridgeEnv& env, const std::string& directory,
                                 ManifestLog& log, const Secret& data_key, uint32_t block_bytes);

}  // namespace coldshelf
