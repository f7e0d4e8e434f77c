// Which lives a simulation goes through.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/clock.h"

namespace coldshelf::test {

// `usual` seeds from `first` on.
// COLDSHELF_SIM_SEEDS=N: so many instead.
// COLDSHELF_SIM_FROM=today: others every day, so that long runs see what no run before them saw.
// COLDSHELF_SIM_SEED=N: that one alone, as a failure names it.
inline std::vector<uint64_t> sim_seeds(uint64_t usual, uint64_t first = 1) {
  constexpr int64_t kDayMs = 86'400'000;
  constexpr uint64_t kSeedsADay = 10'000'000;
  const auto number = [](const char* text) { return std::strtoull(text, nullptr, 10); };
  if (const char* one = std::getenv("COLDSHELF_SIM_SEED")) return {number(one)};
  const char* asked = std::getenv("COLDSHELF_SIM_SEEDS");
  const uint64_t count = asked == nullptr ? usual : number(asked);
  if (std::getenv("COLDSHELF_SIM_FROM") != nullptr) {
    SystemClock clock;
    first += static_cast<uint64_t>(clock.unix_ms() / kDayMs) * kSeedsADay;
  }
  std::printf("%llu seeds from %llu\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(first));
  std::vector<uint64_t> seeds(count);
  for (uint64_t i = 0; i < count; ++i) seeds[i] = first + i;
  return seeds;
}

}  // namespace coldshelf::test
