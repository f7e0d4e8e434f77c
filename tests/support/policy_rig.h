// Policies with all that they need around them, in memory: what carries them out is real.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/policy_sim.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {

struct PolicyRig {
  explicit PolicyRig(uint64_t seed, uint64_t random_seed)
      : random(random_seed), sim(seed, clock, kGateway) {}

  // A start of the program; again: a restart.
  Status start(std::vector<Policy> policies, const ZoneOffset& zone = utc_zone_offset) {
    engine.reset();
    PolicyEngine::Env env;
    env.files = &files;
    env.clock = &clock;
    env.random = &random;
    env.cloud = &sim;
    env.archive = &sim;
    env.quiescer = &sim;
    env.notify = &sim;
    env.directory = "/data/policies";
    env.gateway = kGateway;
    env.zone = zone;
    engine = std::make_unique<PolicyEngine>(env);
    return engine->open(std::move(policies));
  }
  // What is due now, and up to `pulls` pulls; what was told has arrived.
  Status step(int pulls) {
    Status stepped = engine->step();
    for (; stepped.ok() && pulls > 0; --pulls) {
      const Result<bool> pulled = engine->pull_next();
      if (!pulled.ok()) stepped = pulled.error();
      if (!pulled.ok() || !*pulled) break;
    }
    if (!stepped.ok()) files.no_faults();  // a disk that failed works again
    sim.deliver();
    return stepped;
  }

  static constexpr const char* kGateway = "sgw-1";
  SimClock clock;
  SimFileSystem files;
  SeededRandom random;
  PolicySim sim;
  std::unique_ptr<PolicyEngine> engine;
};

}  // namespace coldshelf::test
