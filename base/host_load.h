// What the machine and this process do, as Linux tells it in /proc.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace coldshelf {

struct HostLoad {
  // Processor time since the start, of all processors together, in ticks.
  uint64_t user = 0, system = 0, idle = 0, io_wait = 0, all = 0;
  uint64_t memory_total_bytes = 0, memory_available_bytes = 0;
  uint64_t process_resident_bytes = 0;
  double process_cpu_seconds = 0;
  uint64_t process_open_files = 0;

  // Percent of the time between two looks.
  static double percent(uint64_t part_before, uint64_t part_now, const HostLoad& before,
                        const HostLoad& now);
};

// `root` is "/proc" but in tests. An error when /proc/stat is not as expected; what else is missing
// stays 0.
Result<HostLoad> read_host_load(const std::string& root = "/proc");

// Of the file system that `path` is on.
Result<uint64_t> file_system_bytes(const std::string& path);

}  // namespace coldshelf
