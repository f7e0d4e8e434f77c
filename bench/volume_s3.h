// A volume of the gateway beside other disks that lie on S3: s3backer, and nbdkit's S3 plugin with
// and without its cache, all on the same S3 server (the strict one of the tests, in this program).
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf::bench {

struct S3DiskSettings {
  std::string programs;  // where coldshelfd and coldshelf are
  std::string scratch;
  std::string only;  // loads whose name has this
  uint64_t size_bytes = 10 * GiB;
  uint64_t cache_bytes = 1 * GiB;
  double seconds = 5;       // of each load
  double patience_s = 20;   // until the store has everything; then the store's own count decides
  int64_t latency_ms = 10;  // before every answer of the server
};

// Prints a row for each disk; gives how many goals were missed. A tool that is not installed, or
// cannot run here, is named.
Result<int> against_s3_disks(const S3DiskSettings& settings);

}  // namespace coldshelf::bench
