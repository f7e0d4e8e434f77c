// Power loss, kills and failing disk calls under a cartridge: docs/durability.md.
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/sim/cartridge_sim.h"
#include "tests/support/sim_seeds.h"

namespace coldshelf::test {
namespace {

class CartridgeCrashTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    capture_log([](std::string_view) {});
  }
  static void TearDownTestSuite() { capture_log(nullptr); }
};

// One cartridge through several lives, each ended by a power loss, a kill or a failing call.
void run_lives(uint64_t seed, bool threads) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  CartridgeSim sim(seed, threads);
  SeededRandom& random = sim.random();
  for (int life = 0; life < 4; ++life) {
    const uint64_t operations = 5 + random.below(40);
    const uint64_t mode = random.below(4);
    if (mode == 1) sim.fail_from_call(1 + random.below(60), ErrorCode::io, true);
    if (mode == 2) sim.fail_from_call(1 + random.below(60), ErrorCode::io, false);
    if (mode == 3) {
      sim.fail_from_call(1 + random.below(60), ErrorCode::no_space, random.one_in(2));
    }
    for (uint64_t i = 0; i < operations && !sim.failed(); ++i) sim.random_operation();
    if (sim.failed() && mode == 0) {
      ADD_FAILURE() << "an operation failed on a good disk";
      return;
    }
    if (sim.failed() && mode != 1) sim.check_failed_state();
    if (random.one_in(4)) {
      sim.kill();
    } else {
      sim.crash();
    }
    // A crash while recovering from the crash.
    if (random.one_in(3)) {
      sim.files().no_faults();
      sim.fail_from_call(1 + random.below(12), ErrorCode::io, true);
      sim.open(false);
      sim.crash();
    }
    if (!sim.open(true) || ::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(sim.frames_seen(), 0U);
}

TEST_F(CartridgeCrashTest, RandomLives) {
  for (const uint64_t seed : sim_seeds(200)) {
    run_lives(seed, false);
    if (HasFailure()) break;
  }
}

TEST_F(CartridgeCrashTest, RandomLivesWithThreads) {
  for (const uint64_t seed : sim_seeds(40, 1'000'001)) {
    run_lives(seed, true);
    if (HasFailure()) break;
  }
}

// A short life with everything in it; false at the first failed operation.
bool short_script(CartridgeSim& sim) {
  return sim.write_records(0, 0, 5, 900) && sim.sync() && sim.write_filemarks(0, 5, 1) &&
         sim.write_records(0, 6, 3, 60'000) && sim.write_filemarks(0, 9, 2) && sim.sync() &&
         sim.write_records(0, 11, 1, MiB + 5) && sim.set_property() &&
         sim.write_records(0, 12, 4, 2'000) && sim.seal() &&
         sim.write_records(0, 8, 2, 1'000) &&  // over the middle of a sealed segment
         sim.sync() && sim.write_records(0, 10, 2, 500) &&
         sim.write_records(0, 11, 2, 700) &&  // over the middle of the open one
         sim.write_filemarks(0, 13, 1) && sim.sync() && sim.erase(0, 12) &&
         sim.write_records(0, 12, 2, 100) && sim.seal() && sim.format(2) &&
         sim.write_records(1, 0, 3, 800) && sim.write_records(0, 0, 2, 50'000) && sim.sync() &&
         sim.seal();
}

TEST_F(CartridgeCrashTest, EveryCallFailsInTurn) {
  uint64_t calls = 0;
  {
    CartridgeSim sim(7, false);
    const uint64_t before = sim.files().counted_calls();
    ASSERT_TRUE(short_script(sim));
    calls = sim.files().counted_calls() - before;
  }
  ASSERT_GT(calls, 60U);
  for (const ErrorCode code : {ErrorCode::io, ErrorCode::no_space}) {
    for (const bool forever : {false, true}) {
      for (uint64_t call = 1; call <= calls && !HasFailure(); ++call) {
        for (const bool power_loss : {false, true}) {
          // A disk that is broken for good: EIO ends with a power loss, ENOSPC with a kill.
          if (forever && power_loss != (code == ErrorCode::io)) continue;
          SCOPED_TRACE("call " + std::to_string(call) + (forever ? " and all after" : "") +
                       (code == ErrorCode::io ? " EIO" : " ENOSPC") +
                       (power_loss ? ", power loss" : ", kill"));
          CartridgeSim sim(7, false);
          sim.fail_from_call(call, code, forever);
          // Only the removal of garbage may fail unnoticed: recovery does it again.
          if (!short_script(sim)) sim.check_failed_state();
          if (power_loss) {
            sim.crash();
          } else {
            sim.kill();
          }
          ASSERT_TRUE(sim.open(true));
          ASSERT_TRUE(sim.write_records(0, sim.length(0), 2, 100));
          ASSERT_TRUE(sim.seal());
          sim.check_content();
        }
      }
    }
  }
  std::printf("%llu calls, each failing in 6 ways\n", static_cast<unsigned long long>(calls));
}

// Recovery itself, cut at each of its calls.
TEST_F(CartridgeCrashTest, EveryCallOfRecoveryFailsInTurn) {
  for (uint64_t call = 1; call <= 40 && !HasFailure(); ++call) {
    SCOPED_TRACE("call " + std::to_string(call));
    CartridgeSim sim(11, false);
    ASSERT_TRUE(sim.write_records(0, 0, 20, 3'000));
    ASSERT_TRUE(sim.sync());
    ASSERT_TRUE(sim.write_records(0, 20, 1, 2 * MiB));
    ASSERT_TRUE(sim.write_filemarks(0, 21, 2));
    sim.kill();
    sim.fail_from_call(call, ErrorCode::io, true);
    const bool opened = sim.open(false);
    sim.crash();
    ASSERT_TRUE(sim.open(true));
    EXPECT_GE(sim.length(0), 20U);
    if (opened && call > 30) break;
  }
}

}  // namespace
}  // namespace coldshelf::test
