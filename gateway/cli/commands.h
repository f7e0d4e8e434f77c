// The command line: parsing, calling the daemon, printing.
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"

namespace coldshelf::cli {

struct CommandEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  std::istream* in = nullptr;  // where people answer; null: nobody does
};

// Arguments without the program's name; gives the exit code (gateway/exit_codes.h).
int run_command_line(const std::vector<std::string>& arguments, const CommandEnv& env);

}  // namespace coldshelf::cli
