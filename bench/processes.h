// The servers a benchmark compares, on loopback, each in a directory of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/support/process.h"

namespace coldshelf::bench {

using test::Process;
using test::run_command;
using test::ScratchDirectory;

// Runs a command until it succeeds, 100 ms apart: its server may be starting.
Status retry_command(const std::vector<std::string>& arguments, int attempts);

// What a benchmark talks to.
struct TapeTarget {
  std::string name;
  std::string portal;
  std::vector<std::string> targets;  // one per drive
  std::vector<int> luns;
  std::unique_ptr<Process> process;
};

struct TapeTargetOptions {
  std::string directory;
  unsigned drives = 1;
  uint64_t tape_bytes = 0;
  int port = 0;
  std::string programs;  // where coldshelfd and coldshelf are
  std::string extra_configuration;
  bool existing = false;  // the directory and its tapes are there from an earlier run
};

// A gateway with one loaded tape in every drive, by its own front door: configuration file and
// command line.
Result<TapeTarget> start_coldshelf(const TapeTargetOptions& options);
// Debian's tgt with the same: tgtd, tgtadm, tgtimg.
Result<TapeTarget> start_tgt(const TapeTargetOptions& options);

// Touches as much memory as a run will fill with page cache, and gives it back: on a virtual
// machine the first touch of a page is a fault in the host, and whoever ran first, or takes fresh
// memory, would pay for it.
void warm_memory(uint64_t bytes);

// What all processors of the machine do, whoever it is for.
class MachineLoad {
 public:
  MachineLoad() : began_(now()) {}
  // Since the construction, of all processors' time, 0 to 1. Where it is near 1, what is measured
  // is how processes share the machine.
  double busy() const;

 private:
  struct Ticks {
    double busy = 0;
    double all = 0;
  };
  static Ticks now();
  Ticks began_;
};

}  // namespace coldshelf::bench
