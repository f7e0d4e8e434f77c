// Quiescing what lies on a volume for the moment in which its point is made: a command before
// (fsfreeze -f, a database's backup mode) and one after (fsfreeze -u).
//
// The system is never left frozen. Once the command before was started, the one after runs,
//   - when the point is made, or when making it failed, or when the command before failed; twice,
//     the second time a little later, when that one took too long;
//   - when `longest_ms` is over (the watchdog): the point is then not consistent, and thaw() says
//     so;
//   - when this process ends in whatever way meanwhile: a helper process (base/dead_man.h) runs it;
//   - when the helper is killed too, or the machine stops: a file in the journal's directory names
//     the command, and the next start runs it (thaw_left_behind).
// It may therefore run twice, and must not mind.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"

namespace coldshelf {

struct QuiesceCommands {
  std::vector<std::string> pre;  // program and arguments; either may be empty: none
  std::vector<std::string> post;
  int64_t pre_timeout_ms = 30'000;
  int64_t post_timeout_ms = 30'000;
  int64_t longest_ms = 60'000;  // frozen at most, from the end of `pre`
  bool empty() const { return pre.empty() && post.empty(); }
  bool operator==(const QuiesceCommands&) const = default;
};

// Replaces {name} in the arguments: {"instance", "i-1"} makes "{instance}" i-1. The program itself
// is left as it is, and nothing passes through a shell.
QuiesceCommands with_arguments(QuiesceCommands commands,
                               const std::vector<std::pair<std::string, std::string>>& values);

// Frozen until thaw(), or until destroyed.
class Frozen {
 public:
  virtual ~Frozen() = default;
  // Errors: timed_out (the watchdog was faster: what was made meanwhile is not consistent), or
  // whatever the command after failed with, each of its attempts. Once; later calls say ok.
  virtual Status thaw() = 0;
};

class Quiescer {
 public:
  virtual ~Quiescer() = default;
  // Fails when the command before fails or takes too long; the one after has run then. `what` is
  // for messages and the journal.
  virtual Result<std::unique_ptr<Frozen>> freeze(const QuiesceCommands& commands,
                                                 const std::string& what) = 0;
};

class CommandQuiescer final : public Quiescer {
 public:
  // `directory` is made when it is missing. `files`, `clock` and `random` outlive it.
  CommandQuiescer(FileSystem& files, Clock& clock, Random& random, std::string directory);
  Result<std::unique_ptr<Frozen>> freeze(const QuiesceCommands& commands,
                                         const std::string& what) override;
  // At start, before anything is frozen: runs the commands that a former process left behind. Says
  // for each what was done; failures are tried again at the next start, three starts at most.
  Result<std::vector<std::string>> thaw_left_behind();

 private:
  FileSystem& files_;
  Clock& clock_;
  Random& random_;
  const std::string directory_;
};

}  // namespace coldshelf
