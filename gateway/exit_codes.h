// Exit codes of both programs; docs/cli.md lists them.
#pragma once

#include "base/result.h"

namespace coldshelf {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,    // it was tried and failed: I/O, damage, an internal error
  kExitUsage = 2,     // a malformed command, value or configuration
  kExitNotFound = 3,  // no such tape, job, element, file
  kExitConflict = 4,  // the state of things stands against it: full, empty, in use, exists
  kExitNoDaemon = 5,  // nobody answers on the socket
  kExitTimedOut = 6,  // it goes on, but the time to wait is over
};

// kExitNoDaemon and kExitTimedOut are not said by a code: a store may be out of reach, too. Who
// looked for the daemon, or waited for a job, knows (gateway/cli/command_line.cc).
inline ExitCode exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::out_of_range:
      return kExitUsage;
    case ErrorCode::not_found:
      return kExitNotFound;
    case ErrorCode::exists:
    case ErrorCode::write_protected:
    case ErrorCode::cold:
    case ErrorCode::busy:
    case ErrorCode::not_ready:
    case ErrorCode::prevented:
    case ErrorCode::element_empty:
    case ErrorCode::element_full:
    case ErrorCode::conflict:
    case ErrorCode::precondition_failed:
      return kExitConflict;
    default:
      return kExitFailed;
  }
}

}  // namespace coldshelf
