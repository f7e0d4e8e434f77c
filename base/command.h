// Other programs that are asked for something: a credential, a key. Bounded in time and output.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace coldshelf {

struct CommandLimits {
  int64_t timeout_ms = 30'000;
  size_t max_output_bytes = 64 * KiB;
  const std::atomic<bool>* cancelled =
      nullptr;  // looked at now and then: cancelled, when it is set
};

// A command line as a shell would cut it into words: quotes ('...', "...") and backslashes, no
// expansion of any kind. invalid_argument: a quote that is not closed, or no word at all.
Result<std::vector<std::string>> split_command_line(std::string_view text);

// Runs the program (looked for in $PATH) without a shell, its standard input empty, and gives what
// it wrote to standard output. It may ask nothing of anybody: it runs in a session of its own.
// not_found: no such program; permission: it may not be run; timed_out: it and what it started were
// killed; out_of_range: more output than allowed; io: it failed, the message holds its exit code
// and the first line of its standard error.
Result<Secret> run_program(const std::vector<std::string>& words, const CommandLimits& limits);

}  // namespace coldshelf
