// The whole life of a tape on the shelf, under fault storms, kills and power losses at random
// moments. What must always hold is checked by the rig at every call; what must be reached, here.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/shelf_rig.h"

namespace coldshelf::test {
namespace {

class Life {
 public:
  explicit Life(uint64_t seed) : chance_(seed * 7919), rig_(seed, options(chance_)) {
    if (!chance_.one_in(4)) {
      StoreFaults faults;
      faults.error_one_in = 3 + chance_.below(20);
      faults.lost_one_in = 3 + chance_.below(20);
      faults.corrupt_one_in = 20 + chance_.below(50);
      faults.max_latency_ms = static_cast<int64_t>(chance_.below(50));
      rig_.set_faults(faults);
    }
  }

  // Makes `action` succeed and `done` true, however often the program is killed on the way.
  template <typename Action, typename Done>
  bool reach(const Action& action, const Done& done) {
    for (int attempt = 0; attempt < 60; ++attempt) {
      rig_.kill_after(attempt < 40 && !chance_.one_in(4) ? 1 + chance_.below(120) : 0);
      try {
        action();
        if (rig_.run_until(done)) {
          rig_.kill_after(0);
          return true;
        }
        return false;
      } catch (const Killed&) {
        rig_.restart(chance_.one_in(2));
        rig_.kill_after(chance_.one_in(3) ? 1 + chance_.below(20) : 0);
        try {
          EXPECT_TRUE(rig_.shelf().reconcile().ok());
        } catch (const Killed&) {
          rig_.restart(chance_.one_in(2));
          EXPECT_TRUE(rig_.shelf().reconcile().ok());
        }
      }
    }
    return false;
  }
  bool job(const Uuid& id, TapeStatus wanted, const std::function<Result<int64_t>()>& begin) {
    return reach(
        [&] {
          // A job that a killed program began goes on by itself.
          if (rig_.status(id) == wanted || (*rig_.catalog().unfinished_job(id)).has_value()) return;
          const auto begun = begin();
          EXPECT_TRUE(begun.ok()) << begun.error().message();
        },
        [&] {
          return rig_.status(id) == wanted && !(*rig_.catalog().unfinished_job(id)).has_value();
        });
  }

  void run() {
    const Uuid id = rig_.create("SIM001");
    const Uuid other = rig_.create("SIM002", "standard");
    const size_t writes = 1 + chance_.below(4);
    for (size_t i = 0; i < writes; ++i) {
      const size_t had = rig_.record_count(id);
      const size_t keep = had > 0 && chance_.one_in(2) ? chance_.below(had) : had;
      rig_.write(id, keep, 5 + chance_.below(40));
      rig_.write(other, SIZE_MAX, 3);
      const size_t steps = chance_.below(60);
      size_t done = 0;
      ASSERT_TRUE(reach([] {}, [&] { return done++ >= steps; }));
    }
    ASSERT_TRUE(job(id, TapeStatus::archived, [&] { return rig_.shelf().archive(id); }))
        << (*rig_.catalog().tape(id))->problem;
    EXPECT_EQ(rig_.local_segments(id), 0U);
    // What was overwritten goes in the background.
    ASSERT_TRUE(reach([] {},
                      [&] {
                        return objects_of(id) == segments_of(id) &&
                               rig_.catalog().segments(id)->size() == segments_of(id);
                      }));
    EXPECT_TRUE(rig_.all_in_state(id, SegmentState::evicted));
    rig_.expect_stored(id, StorageClass::glacier);
    EXPECT_EQ(rig_.manifest(id).properties.at("status"), "ARCHIVED");

    ASSERT_TRUE(job(id, TapeStatus::retrieved,
                    [&] { return rig_.shelf().retrieve(id, RestoreTier::standard, 3); }));
    EXPECT_TRUE(rig_.manifest(id).write_protected);
    read_back(id);
    ASSERT_TRUE(job(id, TapeStatus::archived, [&] { return rig_.shelf().archive(id); }));
    rig_.expect_stored(id, StorageClass::glacier);

    ASSERT_TRUE(job(other, TapeStatus::archived, [&] { return rig_.shelf().archive(other); }));
    rig_.expect_stored(other, StorageClass::standard);
    ASSERT_TRUE(job(other, TapeStatus::deleted, [&] { return rig_.shelf().remove(other); }));
    EXPECT_EQ(objects_of(other), 0U);
    EXPECT_FALSE(rig_.stored_manifest(other).has_value());
    EXPECT_FALSE(*rig_.disk().exists(rig_.directory(other)));
  }

 private:
  static ShelfOptions options(Random& random) {
    ShelfOptions options;
    options.cache_limit_bytes = random.one_in(2) ? 40 * KiB : 0;
    options.restore_poll_ms = 500;
    options.manifest_interval_ms = 2'000;
    return options;
  }
  size_t objects_of(const Uuid& id) {
    return rig_.store()
        .list("cartridges/" + id.to_string() + "/segments/", "", 10'000)
        ->objects.size();
  }
  size_t segments_of(const Uuid& id) { return rig_.manifest(id).partitions[0].segments.size(); }
  // A reader waits out what passes.
  void read_back(const Uuid& id) {
    const Status read = rig_.read_all(id, 100);
    if (!read.ok()) ADD_FAILURE() << read.error().message();
  }

  SeededRandom chance_;
  ShelfRig rig_;
};

TEST(UploaderSim, ATapesLifeUnderFaultsAndKills) {
  const char* wanted = std::getenv("COLDSHELF_SIM_SEEDS");
  const uint64_t seeds = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 60;
  const char* one = std::getenv("COLDSHELF_SIM_SEED");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + (one != nullptr ? 1 : seeds); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life(seed).run();
    if (testing::Test::HasFailure()) {
      FAIL() << "with seed " << seed << ": COLDSHELF_SIM_SEED=" << seed;
    }
  }
}

}  // namespace
}  // namespace coldshelf::test
