// kill -9 under load, again and again: what the crash tests of tapes and disks share.
#pragma once

#include <functional>

#include "base/random.h"
#include "tests/e2e/gateway.h"

namespace coldshelf::test {

struct CrashLoad {
  std::function<void()> prepare;  // once, when the gateway runs for the first time
  // Connects, and compares what is there with what must be; a fatal failure ends the test.
  std::function<void()> check;
  // Writes on that connection until the daemon dies under it.
  std::function<void()> load;
};

// The seed of this run, printed.
SeededRandom crash_seed();
// `rounds` lives ($COLDSHELF_CRASH_ROUNDS, when it is set) that end by a kill after up to a second
// of load, and a last one that is checked and stopped.
void run_crash_rounds(Gateway& gateway, int rounds, SeededRandom& random, const CrashLoad& what);

}  // namespace coldshelf::test
