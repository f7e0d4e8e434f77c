// The command line's main.
#include <signal.h>
#include <unistd.h>

#include <iostream>

#include "gateway/cli/commands.h"

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  coldshelf::PosixFileSystem files;
  coldshelf::SystemClock clock;
  coldshelf::SystemRandom random;
  std::istream* const people = isatty(STDIN_FILENO) != 0 ? &std::cin : nullptr;
  const coldshelf::cli::CommandEnv env{&files, &clock, &random, &std::cout, &std::cerr, people};
  return coldshelf::cli::run_command_line({argv + 1, argv + argc}, env);
}
