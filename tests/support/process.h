// Child processes and scratch directories for end-to-end tests and benchmarks.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace coldshelf::test {

class Process {
 public:
  // Output goes to `log_path`. Ends the child with `stop_signal` when destroyed.
  static Result<std::unique_ptr<Process>> start(const std::vector<std::string>& arguments,
                                                const std::string& log_path, int stop_signal);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  bool running();
  bool kill_now();  // SIGKILL, and waits; false: it had ended by itself
  void pause();     // SIGSTOP
  void go_on();     // SIGCONT
  void send(int signal);
  int stop_and_wait();  // the stop signal; the exit code, or 128 + the signal that ended it
  uint64_t resident_bytes() const;       // VmRSS
  uint64_t peak_resident_bytes() const;  // VmHWM
  double cpu_seconds() const;            // user and system

 private:
  Process(pid_t pid, int stop_signal) : pid_(pid), stop_signal_(stop_signal) {}
  pid_t pid_;
  int stop_signal_;
};

// Runs a command to its end. `output` is what it printed, standard error included unless told
// otherwise.
struct CommandResult {
  int exit_code = 0;
  std::string output;
};
Result<CommandResult> run_to_end(const std::vector<std::string>& arguments,
                                 bool with_standard_error = true);
// The same; any exit code but 0 is an error that carries the output.
Result<std::string> run_command(const std::vector<std::string>& arguments);

// A TCP port on loopback that nothing listens on at the moment.
int free_port();

// A scratch directory, removed with everything in it when destroyed.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& under);
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace coldshelf::test
