// A gateway lost with all its tapes: how long `coldshelf recover` takes over a line with latency.
#pragma once

#include "bench/store_server.h"

namespace coldshelf::bench {

struct RecoverSettings {
  unsigned tapes = 1'500;
  unsigned segments = 10;  // of each tape
  std::string directory;
  std::string programs;
};
Status run_recover(const RecoverSettings& settings);

}  // namespace coldshelf::bench
