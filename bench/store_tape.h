// The gateway on an S3 server: a tape written while it uploads, and read back from the store alone.
#pragma once

#include "bench/store_server.h"

namespace coldshelf::bench {

struct TapeSettings {
  uint64_t bytes = 4 * GiB;
  std::string directory;
  std::string programs;
  bool write = true;  // what of it is to be told
  bool read = true;
};
Status run_tape(StoreServer& server, const TapeSettings& settings);

}  // namespace coldshelf::bench
