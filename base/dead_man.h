// A command that runs when we no longer can: a small process of its own waits for our end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace coldshelf {

// For commands that undo something which must not outlive us (thaw a frozen file system). The
// helper survives SIGTERM, SIGINT and SIGHUP; what kills it (SIGKILL to the whole control group, a
// power loss) is not covered.
class DeadManCommand {
 public:
  // Runs `words` (no shell; the program is looked for in $PATH now) as soon as this process ends in
  // whatever way, unless disarm() comes first. Also when settled() did not come within `settle_ms`,
  // or disarm() not within `after_ms` from then.
  //
  // Before settled() what has to be undone is still being done, by a process that may outlive us:
  // then the command runs at once, and again `settle_ms` later.
  static Result<std::unique_ptr<DeadManCommand>> arm(const std::vector<std::string>& words,
                                                     int64_t settle_ms, int64_t after_ms);
  ~DeadManCommand();  // disarms
  DeadManCommand(const DeadManCommand&) = delete;
  DeadManCommand& operator=(const DeadManCommand&) = delete;

  void settled();
  struct Outcome {
    bool ran = false;
    int exit_code = -1;  // when it ran: of the command; -1: not known within `wait_ms`
  };
  // It never runs after this, or has run already: then its end is waited for, `wait_ms` at most.
  Outcome disarm(int64_t wait_ms);

 private:
  DeadManCommand(int order, int report) : order_(order), report_(report) {}
  void tell(char order);
  int order_ = -1;   // we write "disarm"
  int report_ = -1;  // it writes what it did
};

}  // namespace coldshelf
