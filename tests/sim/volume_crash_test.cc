// Power loss, kills and failing disk calls under a volume: docs/volumes.md, docs/durability.md.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/sim/volume_sim.h"
#include "tests/support/sim_seeds.h"

namespace coldshelf::test {
namespace {

class VolumeCrashTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    capture_log([](std::string_view) {});
  }
  static void TearDownTestSuite() { capture_log(nullptr); }
};

// One volume through several lives, each ended by a power loss, a kill, a failing call, or well.
void run_lives(uint64_t seed, bool threads) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  VolumeSim sim(seed, threads);
  SeededRandom& random = sim.random();
  for (int life = 0; life < 4; ++life) {
    const uint64_t operations = 5 + random.below(60);
    const uint64_t mode = random.below(6);
    const uint64_t call = sim.files().counted_calls() + 1 + random.below(120);
    if (mode == 1) sim.files().fail_call(call, ErrorCode::io, true);
    if (mode == 2) sim.files().fail_call(call, ErrorCode::io, false);
    if (mode == 3) sim.files().fail_call(call, ErrorCode::no_space, random.one_in(2));
    for (uint64_t i = 0; i < operations && !sim.failed(); ++i) {
      sim.random_operation();
      if (::testing::Test::HasFailure()) return;
    }
    if (sim.failed() && (mode == 0 || mode > 3)) {
      ADD_FAILURE() << "an operation failed on a good disk";
      return;
    }
    if (random.one_in(4)) sim.check_store();
    if (!sim.failed() && mode == 4) {
      sim.close();
    } else if (random.one_in(4)) {
      sim.kill();
    } else {
      sim.crash();
    }
    // A crash while recovering from the crash.
    if (random.one_in(3)) {
      sim.files().no_faults();
      sim.files().fail_call(sim.files().counted_calls() + 1 + random.below(16), ErrorCode::io,
                            true);
      sim.open(false);
      sim.crash();
    }
    if (!sim.open(true) || ::testing::Test::HasFailure()) return;
    sim.check_store();
    sim.check_clones(random.one_in(2));
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_F(VolumeCrashTest, RandomLives) {
  for (const uint64_t seed : sim_seeds(150)) {
    run_lives(seed, false);
    if (HasFailure()) break;
  }
}

TEST_F(VolumeCrashTest, RandomLivesWithThreads) {
  for (const uint64_t seed : sim_seeds(40, 1'000'001)) {
    run_lives(seed, true);
    if (HasFailure()) break;
  }
}

// The disk fills at each of its calls in turn, and has room again some operations later: nothing
// acknowledged is lost, in memory or over a power loss, and the volume goes on by itself.
void run_full(uint64_t seed, uint64_t call, bool threads) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", call " + std::to_string(call));
  VolumeSim sim(seed, threads);
  SeededRandom& random = sim.random();
  sim.disk_may_be_full(true);
  sim.files().full_from(call);
  uint64_t full = 0;
  for (int i = 0; i < 60 && full < 4 + seed % 12; ++i) {
    sim.random_operation();
    if (sim.files().counted_calls() >= call) ++full;
    if (random.one_in(5)) sim.pass_ms(700);
    ASSERT_FALSE(sim.failed());
    ASSERT_FALSE(sim.volume().read_only()) << sim.volume().failure().error().message();
    if (::testing::Test::HasFailure()) return;
  }
  if (random.one_in(3)) {
    sim.crash();
    ASSERT_TRUE(sim.open(true));
  }
  sim.files().no_faults();
  sim.disk_may_be_full(false);
  sim.pass_ms(2'000);
  sim.volume().go_on();
  const uint64_t more = 1 + random.below(20);
  for (uint64_t i = 0; i < more; ++i) {
    sim.random_operation();
    ASSERT_FALSE(sim.failed()) << "with room again";
    if (::testing::Test::HasFailure()) return;
  }
  sim.check_reads();
  ASSERT_TRUE(sim.volume().seal().ok());
  ASSERT_TRUE(sim.volume().put_off().ok());
  sim.check_store();
  sim.crash();
  if (!sim.open(true)) return;
  sim.check_clones(true);
}

TEST_F(VolumeCrashTest, TheDiskIsFullAtEveryCall) {
  for (const uint64_t seed : sim_seeds(8, 2'000'001)) {
    for (uint64_t call = 8; call < 90; ++call) {
      run_full(seed, call, call % 5 == 0);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace coldshelf::test
