#include "tests/e2e/crash_rounds.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "base/clock.h"

namespace coldshelf::test {

SeededRandom crash_seed() {
  const uint64_t seed = static_cast<uint64_t>(SystemClock().unix_ms());
  std::cout << "seed " << seed << "\n";
  return SeededRandom(seed);
}

void run_crash_rounds(Gateway& gateway, int rounds, SeededRandom& random, const CrashLoad& what) {
  if (const char* asked = std::getenv("COLDSHELF_CRASH_ROUNDS")) rounds = std::atoi(asked);
  std::cout << rounds << " rounds\n";
  SystemClock clock;
  for (int round = 0; round <= rounds; ++round) {
    ASSERT_TRUE(gateway.start().ok()) << gateway.log();
    if (round == 0) what.prepare();
    what.check();
    if (testing::Test::HasFatalFailure()) {
      std::cout << gateway.log();
      return;
    }
    if (round == rounds) break;
    const int64_t lifetime_ms = 100 + static_cast<int64_t>(random.below(900));
    std::thread killer([&] {
      clock.sleep_ms(lifetime_ms);
      gateway.kill();
    });
    what.load();
    killer.join();
  }
  EXPECT_EQ(gateway.stop(), 0) << gateway.log();
}

}  // namespace coldshelf::test
