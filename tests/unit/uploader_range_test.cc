// The cache of ranges and what it keeps.
#include "uploader/range_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <list>

#include "base/log.h"
#include "base/random.h"
#include "tests/support/sim_file_system.h"

namespace coldshelf::test {
namespace {

// Plain LRU, to compare with.
class Lru {
 public:
  explicit Lru(size_t capacity) : capacity_(capacity) {}
  bool use(uint64_t key) {
    const auto at = where_.find(key);
    if (at == where_.end()) {
      order_.push_front(key);
      where_[key] = order_.begin();
      if (order_.size() > capacity_) {
        where_.erase(order_.back());
        order_.pop_back();
      }
      return false;
    }
    order_.splice(order_.begin(), order_, at->second);
    return true;
  }

 private:
  const size_t capacity_;
  std::list<uint64_t> order_;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> where_;
};

bool use(TwoQueue& queue, uint64_t key) {
  if (queue.use(key)) return true;
  std::vector<TwoQueue::Key> gone;
  queue.insert(key, gone);
  return false;
}

// A skewed choice among `keys`: a few are asked for most of the time.
uint64_t skewed(SeededRandom& random, uint64_t keys) {
  const double u = (static_cast<double>(random.below(1'000'000)) + 1) / 1'000'001;
  return static_cast<uint64_t>(std::pow(static_cast<double>(keys), u)) - 1;
}

TEST(TwoQueueTest, IsBoundedAndForgets) {
  TwoQueue queue(8);
  SeededRandom random(1);
  std::set<uint64_t> here;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t key = random.below(40);
    if (random.one_in(20)) {
      queue.erase(key);
      here.erase(key);
    } else if (queue.use(key)) {
      EXPECT_TRUE(here.contains(key));
    } else {
      std::vector<TwoQueue::Key> gone;
      queue.insert(key, gone);
      here.insert(key);
      for (const uint64_t k : gone) EXPECT_EQ(here.erase(k), 1U);
    }
    ASSERT_EQ(queue.size(), here.size());
    ASSERT_LE(queue.size(), 8U);
    for (const uint64_t k : here) ASSERT_TRUE(queue.contains(k));
  }
}

TEST(TwoQueueTest, OneScanLeavesTheWorkingSet) {
  constexpr size_t kCapacity = 1'000;
  TwoQueue queue(kCapacity);
  Lru lru(kCapacity);
  SeededRandom random(2);
  const auto working_set = [&](int count) {
    int hits[2] = {0, 0};
    for (int i = 0; i < count; ++i) {
      const uint64_t key = skewed(random, 3'000);
      hits[0] += use(queue, key) ? 1 : 0;
      hits[1] += lru.use(key) ? 1 : 0;
    }
    return std::pair(100.0 * hits[0] / count, 100.0 * hits[1] / count);
  };
  working_set(30'000);
  const auto warm = working_set(10'000);
  // A backup reads ten times the cache from end to end.
  for (uint64_t key = 0; key < 10 * kCapacity; ++key) {
    use(queue, 1'000'000 + key);
    lru.use(1'000'000 + key);
  }
  const auto after = working_set(1'000);
  std::printf(
      "hits before the scan: 2Q %.1f %%, LRU %.1f %%; just after it: 2Q %.1f %%, LRU %.1f %%\n",
      warm.first, warm.second, after.first, after.second);
  EXPECT_GE(warm.first, warm.second - 3) << "as good as LRU without scans";
  EXPECT_GE(after.first, warm.first - 8) << "the scan flushed little";
  EXPECT_GE(after.first, after.second + 10);
}

TEST(TwoQueueTest, AWorkingSetBesideAnEndlessScan) {
  constexpr size_t kCapacity = 1'000;
  TwoQueue queue(kCapacity);
  Lru lru(kCapacity);
  SeededRandom random(3);
  int hits[2] = {0, 0};
  int count = 0;
  uint64_t scan = 1'000'000;
  for (int i = 0; i < 200'000; ++i) {
    if (i % 4 != 0) {  // three of four reads are the scan's
      use(queue, scan);
      lru.use(scan++);
      continue;
    }
    const uint64_t key = random.below(700);
    const bool hit = use(queue, key);
    const bool lru_hit = lru.use(key);
    if (i < 50'000) continue;
    ++count;
    hits[0] += hit ? 1 : 0;
    hits[1] += lru_hit ? 1 : 0;
  }
  const double mine = 100.0 * hits[0] / count;
  const double plain = 100.0 * hits[1] / count;
  std::printf("working set beside a scan: 2Q %.1f %%, LRU %.1f %% hits\n", mine, plain);
  EXPECT_GE(mine, 90);
  EXPECT_GE(mine, plain + 30);
}

constexpr uint64_t kChunk = RangeCache::kChunkBytes;

RangeId range(uint64_t sequence, uint32_t chunk) {
  RangeId id;
  id.cartridge.bytes[3] = std::byte{7};
  id.sequence = sequence;
  id.epoch = 2;
  id.chunk = chunk;
  return id;
}

Buffer content(uint64_t seed, size_t bytes = kChunk) {
  SeededRandom random(seed);
  Buffer out(bytes);
  random.fill(out);
  return out;
}

bool holds(RangeCache& cache, const RangeId& id, uint64_t seed, size_t bytes = kChunk) {
  Buffer out(bytes);
  if (!cache.read(id, 0, out)) return false;
  EXPECT_TRUE(equal(out, content(seed, bytes)));
  return true;
}

TEST(RangeCacheTest, GivesBackWhatWasPut) {
  SimFileSystem disk;
  RangeCache cache(disk, "/cache", 4 * kChunk);
  EXPECT_FALSE(holds(cache, range(1, 0), 1));
  cache.put(range(1, 0), content(1));
  cache.put(range(1, 1), content(2, 1000));
  EXPECT_TRUE(holds(cache, range(1, 0), 1));
  EXPECT_TRUE(holds(cache, range(1, 1), 2, 1000));
  Buffer part(10);
  ASSERT_TRUE(cache.read(range(1, 0), 77, part));
  EXPECT_TRUE(equal(part, ByteView(content(1)).subspan(77, 10)));
  Buffer beyond(1001);
  EXPECT_FALSE(cache.read(range(1, 1), 0, beyond));
  cache.drop(range(1, 0));
  EXPECT_FALSE(cache.contains(range(1, 0)));
  EXPECT_EQ(cache.view().hits, 3U);
}

TEST(RangeCacheTest, StaysWithinItsLimit) {
  SimFileSystem disk;
  RangeCache cache(disk, "/cache", 4 * kChunk);
  for (uint32_t i = 0; i < 50; ++i) cache.put(range(1, i), content(i));
  EXPECT_EQ(cache.view().bytes, 4 * kChunk);
  EXPECT_TRUE(holds(cache, range(1, 49), 49));
  EXPECT_EQ(disk.content("/cache/ranges")->size(), 4 * kChunk);
  RangeCache none(disk, "/none", 0);
  none.put(range(1, 0), content(1));
  EXPECT_FALSE(none.contains(range(1, 0)));
}

TEST(RangeCacheTest, SurvivesARestartAndAPowerLoss) {
  for (const bool power : {false, true}) {
    SimFileSystem disk;
    SeededRandom random(5);
    {
      RangeCache cache(disk, "/cache", 8 * kChunk);
      for (uint32_t i = 0; i < 20; ++i) cache.put(range(i / 3, i), content(i));
    }
    power ? disk.crash(random) : disk.kill();
    RangeCache cache(disk, "/cache", 8 * kChunk);
    size_t found = 0;
    for (uint32_t i = 0; i < 20; ++i) found += holds(cache, range(i / 3, i), i) ? 1 : 0;
    if (!power) {
      EXPECT_GE(found, 7U);
    }
    for (uint32_t i = 100; i < 120; ++i) cache.put(range(50, i), content(i));
    EXPECT_TRUE(holds(cache, range(50, 119), 119));
    EXPECT_LE(cache.view().bytes, 8 * kChunk);
  }
}

TEST(RangeCacheTest, ASmallerLimitGivesTheSpaceBack) {
  SimFileSystem disk;
  {
    RangeCache cache(disk, "/cache", 8 * kChunk);
    for (uint32_t i = 0; i < 8; ++i) cache.put(range(1, i), content(i));
  }
  RangeCache cache(disk, "/cache", 2 * kChunk);
  EXPECT_EQ(disk.content("/cache/ranges")->size(), 2 * kChunk);
  size_t found = 0;
  for (uint32_t i = 0; i < 8; ++i) found += holds(cache, range(1, i), i) ? 1 : 0;
  EXPECT_LE(found, 2U);
}

TEST(RangeCacheTest, DamagedBytesAreNotGivenAfterARestart) {
  SimFileSystem disk;
  {
    RangeCache cache(disk, "/cache", 2 * kChunk);
    cache.put(range(1, 0), content(1));
  }
  {
    auto file = disk.open("/cache/ranges", OpenMode::read_write);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write_at(100, content(9, 1)).ok());
  }
  RangeCache cache(disk, "/cache", 2 * kChunk);
  EXPECT_FALSE(holds(cache, range(1, 0), 1));
  EXPECT_FALSE(cache.contains(range(1, 0)));
  cache.put(range(1, 0), content(1));
  EXPECT_TRUE(holds(cache, range(1, 0), 1));
}

TEST(RangeCacheTest, ADiskThatFailsMeansNoCache) {
  capture_log([](std::string_view) {});
  SimFileSystem disk;
  RangeCache cache(disk, "/cache", 4 * kChunk);
  cache.put(range(1, 0), content(1));
  disk.fail_call(disk.counted_calls() + 1, ErrorCode::io, true);
  cache.put(range(1, 1), content(2));
  disk.no_faults();
  EXPECT_FALSE(holds(cache, range(1, 1), 2));
  EXPECT_FALSE(holds(cache, range(1, 0), 1));
  capture_log(nullptr);
}

}  // namespace
}  // namespace coldshelf::test
