// The extent map against an array of blocks.
#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "volume/extent_map.h"

namespace coldshelf {
namespace {

struct Place {
  uint32_t slot = 0;
  uint32_t offset = 0;
  bool operator==(const Place&) const = default;
};
using Model = std::vector<std::optional<Place>>;

void expect_same(const ExtentMap& map, const Model& model) {
  std::vector<ExtentMap::Extent> found;
  map.find({0, model.size()}, found);
  Model seen(model.size());
  uint64_t end = 0;
  for (const auto& e : found) {
    ASSERT_GE(e.range.first, end);
    ASSERT_GT(e.range.count, 0U);
    end = e.range.end();
    for (uint64_t b = e.range.first; b < end; ++b) seen[b] = Place{e.slot, e.offset};
  }
  ASSERT_EQ(seen, model);
  uint64_t mapped = 0;
  for (const auto& p : model) mapped += p.has_value();
  EXPECT_EQ(map.mapped_blocks(), mapped);
}

TEST(ExtentMap, RandomChangesAndSnapshots) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const uint64_t blocks = 3 * kMapGroupBlocks + 17;
    ExtentMap map;
    Model model(blocks);
    std::map<uint32_t, int64_t> live;
    std::vector<std::pair<ExtentMap, Model>> snapshots;
    const auto freed = [&](uint32_t slot, uint64_t n) { live[slot] -= static_cast<int64_t>(n); };
    for (uint32_t i = 0; i < 400; ++i) {
      const uint64_t most = random.one_in(20) ? blocks : random.one_in(3) ? 200 : 8;
      const uint64_t first = random.below(blocks);
      const BlockRange range{first, 1 + random.below(std::min(most, blocks - first))};
      if (random.one_in(4)) {
        map.erase(range, freed);
        for (uint64_t b = range.first; b < range.end(); ++b) model[b].reset();
      } else {
        const auto slot = static_cast<uint32_t>(random.below(5));
        map.insert(range, slot, i, freed);
        live[slot] += static_cast<int64_t>(range.count);
        for (uint64_t b = range.first; b < range.end(); ++b) model[b] = Place{slot, i};
      }
      if (random.one_in(60)) snapshots.emplace_back(map, model);
      if (snapshots.size() > 2) snapshots.erase(snapshots.begin());
      bool mapped = false;
      const uint64_t at = random.below(blocks);
      const uint64_t run = map.run_at(at, blocks - at, mapped);
      uint64_t expected = 1;
      while (at + expected < blocks && model[at + expected].has_value() == model[at].has_value()) {
        ++expected;
      }
      ASSERT_EQ(mapped, model[at].has_value());
      ASSERT_EQ(run, expected);
    }
    expect_same(map, model);
    for (const auto& [old, was] : snapshots) expect_same(old, was);
    for (const auto& [slot, n] : live) {
      int64_t count = 0;
      for (const auto& p : model) count += p && p->slot == slot;
      EXPECT_EQ(n, count);
    }
    // The same map again, by groups.
    ExtentMap copy;
    ASSERT_TRUE(map.for_each_group([&](uint64_t group, std::span<const MapEntry> entries) {
                     copy.set_group(group, entries);
                     return Status();
                   })
                    .ok());
    expect_same(copy, model);
    EXPECT_EQ(copy.extent_count(), map.extent_count());
    if (HasFailure()) return;
  }
}

TEST(ExtentMap, AMillionScatteredBlocksCostSixteenBytesEach) {
  SeededRandom random(5);
  ExtentMap map;
  const uint64_t blocks = 4'000'000;
  for (int i = 0; i < 1'000'000; ++i) {
    map.insert({random.below(blocks), 1}, 0, static_cast<uint32_t>(i), [](uint32_t, uint64_t) {});
  }
  const double each =
      static_cast<double>(map.memory_bytes()) / static_cast<double>(map.extent_count());
  std::printf("%.1f bytes for an extent\n", each);
  EXPECT_LE(each, 16.0);
}

}  // namespace
}  // namespace coldshelf
