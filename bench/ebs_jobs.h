// What `./dev bench ebs` measures of coldshelf, and the stand-in it measures against.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/processes.h"
#include "snapshot/pull.h"
#include "snapshot/restore.h"

namespace coldshelf::bench {

// coldshelf_ebs_standin as a process of its own, with one volume of random blocks and a snapshot of
// it.
struct StandinSettings {
  std::string programs;
  std::string log_path;
  uint64_t gib = 1;
  unsigned latency_ms = 0;
  bool quota = false;
};
class Standin {
 public:
  static Result<std::unique_ptr<Standin>> start(const StandinSettings& settings);
  const std::string& endpoint() const { return endpoint_; }
  const std::string& snapshot() const { return snapshot_; }
  double cpu_seconds() const { return process_->cpu_seconds(); }
  // For other programs.
  static std::vector<std::string> environment();

 private:
  std::string endpoint_;
  std::string snapshot_;
  std::unique_ptr<Process> process_;
};

// One measurement.
struct Measured {
  std::string name;
  uint64_t blocks = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of the client
  double blocks_per_s() const { return static_cast<double>(blocks) / seconds; }
  double mb_per_s() const { return blocks_per_s() * 0.524288; }
  double cores() const { return cpu_seconds / seconds; }
  double cpu_per_gib() const { return cpu_seconds / (static_cast<double>(blocks) / 2048.0); }
};

struct JobSettings {
  std::string directory;
  bool quota = false;  // paced as AWS wants it
  bool encrypt = false;
  unsigned requests = 192;  // under way, at most
};
struct JobResults {
  Measured pull;
  std::optional<Measured> restore;
  uint64_t throttled = 0;
  uint64_t failed = 0;
};
// Pulls the stand-in's snapshot into an image and, if asked, makes a snapshot of that again.
Result<JobResults> run_jobs(Standin& standin, const JobSettings& settings, uint64_t gib,
                            bool restore);

struct ListResult {
  uint64_t blocks = 0;
  size_t peak_entries = 0;  // in memory at once
  double seconds = 0;
  double cpu_seconds = 0;
  uint64_t resident_bytes = 0;  // of the process at its most, more than before
};
Result<ListResult> run_list(Standin& standin);

double cpu_seconds_of_self();
double cpu_seconds_of_children();

}  // namespace coldshelf::bench
