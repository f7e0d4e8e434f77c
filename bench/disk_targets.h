// Disks over iSCSI that a benchmark compares, each a server of its own on loopback.
#pragma once

#include <memory>
#include <string>

#include "bench/processes.h"

namespace coldshelf::bench {

struct DiskTarget {
  std::string portal, iqn;
  int lun = 0;
  std::string data_directory;  // of a gateway
  std::unique_ptr<Process> process;
};

struct DiskTargetOptions {
  std::string directory;
  std::string programs;  // where coldshelfd and coldshelf are
  uint64_t size_bytes = 0;
  std::string extra_configuration;  // of a gateway
};

// A gateway with one volume, "disk", by its own front door.
Result<DiskTarget> start_coldshelf_disk(const DiskTargetOptions& options);
// Debian's tgt with a sparse file.
Result<DiskTarget> start_tgt_disk(const DiskTargetOptions& options);

}  // namespace coldshelf::bench
