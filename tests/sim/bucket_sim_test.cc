// Two gateways and a collector of garbage on one store: tapes are written, overwritten, archived,
// fetched by the other one, taken over while their owner is stopped. After every deletion each
// manifest in the store still names only what is there.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/support/shelf_rig.h"
#include "tests/support/sim_seeds.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

constexpr int64_t kDayMs = 24LL * 3'600'000;

class Shared {
 public:
  Shared(uint64_t seed, bool storm)
      : chance_(seed * 104'729),
        storm_(storm),
        a_(seed, options(), {"sgw-A", &store_disk_, &clock_, &late_puts_}),
        b_(seed + 1'000'000, options(), {"sgw-B", &store_disk_, &clock_, &late_puts_}),
        gc_random_(seed + 3),
        store_(open_store(store_disk_, clock_)),
        gc_store_(*store_, clock_, gc_random_) {
    a_.run_once();
    b_.run_once();
    for (ShelfRig* rig : {&a_, &b_}) {
      if (storm_) rig->set_faults(draw_storm(chance_));
    }
    // The collector's own calls: between any two of them the gateways go on.
    gc_store_.watch([this](const char* op, const std::string&, bool after) {
      if (std::string_view(op) == "remove" && after) check_manifests("the collector's deletion");
      if (!after && chance_.one_in(3)) go_on(1 + chance_.below(6));
    });
  }

  void run() {
    ShelfRig* owner = &a_;
    ShelfRig* other = &b_;
    const Uuid id = a_.create("SIM001L8");
    a_.patiently([&] { return a_.ownership().claim_barcode("SIM001L8", id); });
    const uint64_t rounds = 3 + chance_.below(storm_ ? 8 : 4);
    for (uint64_t round = 0; round < rounds; ++round) {
      const size_t had = owner->record_count(id);
      const size_t keep = had > 0 && chance_.one_in(2) ? chance_.below(had) : had;
      if (owner->status(id) == TapeStatus::available) {
        owner->write(id, keep, 3 + chance_.below(25));
      }
      go_on(chance_.below(40));
      if (storm_ && chance_.one_in(2)) die(chance_.one_in(2) ? a_ : b_);
      if (chance_.one_in(2)) collect();
      if (testing::Test::HasFatalFailure()) return;
      // Retrieved, it is read, goes back to the shelf, and the other one has it next.
      if (storm_ && chance_.one_in(2) && owner->status(id) == TapeStatus::retrieved) {
        const Status read = owner->read_all(id, 200);
        if (!read.ok()) ADD_FAILURE() << read.error().message();
        if (chance_.one_in(2)) {
          hand_over(*owner, *other, id);
        } else {
          seize_retrieved(*owner, *other, id);
        }
        std::swap(owner, other);
      }
      if (testing::Test::HasFailure()) return;
      if (owner->status(id) != TapeStatus::available) continue;
      switch (chance_.below(3)) {
        case 0:
          hand_over(*owner, *other, id);
          std::swap(owner, other);
          break;
        case 1:
          seize(*owner, *other, id);
          std::swap(owner, other);
          break;
        default:
          break;
      }
      if (testing::Test::HasFailure()) return;
    }
    settle(*owner, id);
    collect();
    if (owner->status(id) == TapeStatus::archived)
      retrieve(*owner, id);  // forgotten with a catalog
    const Status read = owner->read_all(id, 100);
    if (!read.ok()) ADD_FAILURE() << read.error().message();
    const auto buffers = BufferPool::create(1 * MiB);
    StoreCheckOptions deep;
    deep.threads = 1;
    deep.deep = true;
    const auto report = check_store(*store_, clock_, *buffers, deep);
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_EQ(report->problems_total, 0U);
  }

 private:
  static std::unique_ptr<LocalDirectoryStore> open_store(FileSystem& disk, Clock& clock) {
    LocalDirectoryOptions local;
    local.root = "/store";
    return std::move(LocalDirectoryStore::open(disk, clock, local)).value();
  }
  static ShelfOptions options() {
    ShelfOptions options;
    options.restore_poll_ms = 500;
    options.manifest_interval_ms = 2'000;
    return options;
  }

  // Killed somewhere in its next steps, and started anew, perhaps without its catalog.
  void die(ShelfRig& rig) {
    rig.kill_after(1 + chance_.below(30));
    try {
      for (int i = 0; i < 50; ++i) {
        if (!rig.run_once()) clock_.advance_ms(100);
      }
    } catch (const Killed&) {
    }
    rig.restart(chance_.one_in(2));
    if (chance_.one_in(3)) rig.lose_catalog();
    static_cast<void>(rig.ownership().open().ok());
    rig.patiently([&] { return rig.shelf().reconcile(); });
  }

  void go_on(uint64_t steps) {
    for (uint64_t i = 0; i < steps; ++i) {
      ShelfRig& rig = chance_.one_in(2) ? a_ : b_;
      if (!paused_ || &rig != paused_) rig.run_once();
      if (chance_.one_in(3)) clock_.advance_ms(static_cast<int64_t>(chance_.below(900)));
    }
  }

  void settle(ShelfRig& rig, const Uuid& id) {
    EXPECT_TRUE(rig.run_until([&] {
      const auto stored = rig.stored_manifest(id);  // the catalog may lag behind both
      return stored && *stored == rig.manifest(id);
    }));
  }

  void retrieve(ShelfRig& rig, const Uuid& id) {
    rig.patiently([&]() -> Status {
      if ((*rig.catalog().unfinished_job(id)).has_value()) return {};
      return ShelfRig::status_of(rig.shelf().retrieve(id, RestoreTier::standard, 365));
    });
    ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::retrieved; }));
  }

  // Archived by one, retrieved by the other.
  void hand_over(ShelfRig& from, ShelfRig& to, const Uuid& id) {
    from.patiently([&]() -> Status {
      if ((*from.catalog().unfinished_job(id)).has_value()) return {};
      return ShelfRig::status_of(from.shelf().archive(id));
    });
    ASSERT_TRUE(from.run_until([&] { return from.status(id) == TapeStatus::archived; }));
    // What is left of what was taken from it.
    ASSERT_TRUE(to.run_until([&] { return !(*to.catalog().unfinished_job(id)).has_value(); }));
    const auto known = *to.catalog().tape(id);
    if (known && known->status != TapeStatus::archived) {
      EXPECT_FALSE(to.shelf().look_at_owner(id).ok());
      to.patiently([&] { return to.shelf().forget(id, true); });
    }
    to.knows(id, from.records(id));
    if (!(*to.catalog().tape(id)).has_value()) {
      to.patiently([&] { return to.shelf().import_from_shelf("SIM001L8"); });
    }
    to.run_until([] { return false; }, 1'000);  // its lease, should that have run out
    retrieve(to, id);
  }

  // The owner is stopped in the middle of whatever it does; it wakes up when all is over.
  void seize(ShelfRig& from, ShelfRig& to, const Uuid& id) {
    settle(from, id);
    const std::vector<uint64_t> uploaded = from.records(id);
    from.write(id, SIZE_MAX, chance_.below(12));
    const auto steps = chance_.below(4);
    for (uint64_t i = 0; i < steps; ++i) from.run_once();
    paused_ = &from;
    clock_.advance_ms(5 * 60'000);
    to.run_until([] { return false; }, 1'000);
    to.patiently([&] { return to.shelf().take_over("SIM001L8", false); });
    const Manifest theirs = *to.stored_manifest(id);
    ASSERT_GE(theirs.partitions[0].end_block(), uploaded.size());
    std::vector<uint64_t> now = from.records(id);
    now.resize(theirs.partitions[0].end_block());
    to.knows(id, now);
    paused_ = nullptr;
    ASSERT_TRUE(from.run_until([&] { return !from.shelf().check_owned(id).ok(); }));
    from.run_until([] { return false; }, 10'000);
    EXPECT_EQ(*to.stored_manifest(id), theirs);
  }

  // It goes back to where it was: onto the shelf.
  void seize_retrieved(ShelfRig& from, ShelfRig& to, const Uuid& id) {
    // What a start without its catalog began.
    ASSERT_TRUE(to.run_until([&] { return !(*to.catalog().unfinished_job(id)).has_value(); }));
    clock_.advance_ms(5 * 60'000);
    to.run_until([] { return false; }, 1'000);
    to.patiently([&] { return to.shelf().take_over("SIM001L8", true); });
    ASSERT_EQ(to.status(id), TapeStatus::archived);
    to.knows(id, from.records(id));
    retrieve(to, id);
    ASSERT_TRUE(from.run_until([&] { return !from.shelf().check_owned(id).ok(); }));
  }

  void collect() {
    // Everything is old enough, as after a week without a change.
    if (chance_.one_in(2)) clock_.advance_ms(8 * kDayMs);
    StoreGcOptions options;
    options.threads = 1;
    options.min_age_ms = chance_.one_in(2) ? 0 : 7 * kDayMs;
    const auto report = collect_store_garbage(gc_store_, clock_, options);
    EXPECT_TRUE(report.ok()) << report.error().message();
    check_manifests("the collection");
  }

  void check_manifests(const char* after_what) {
    for (const Uuid& id : *list_cartridges(*store_)) {
      const auto manifest = a_.stored_manifest(id);
      if (!manifest) continue;
      for (const SegmentEntry& e : manifest->partitions[0].segments) {
        EXPECT_TRUE(store_->head(segment_key(id, e.sequence, e.epoch)).ok())
            << "after " << after_what << " segment " << e.sequence << " is not there";
      }
    }
  }

  SeededRandom chance_;
  const bool storm_;
  LatePuts late_puts_;
  SimClock clock_;
  SimFileSystem store_disk_;
  ShelfRig a_;
  ShelfRig b_;
  SeededRandom gc_random_;
  std::unique_ptr<LocalDirectoryStore> store_;
  FaultyStore gc_store_;
  ShelfRig* paused_ = nullptr;
};

void share(uint64_t usual, uint64_t first, bool storm) {
  for (const uint64_t seed : sim_seeds(usual, first)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Shared(seed, storm).run();
    if (testing::Test::HasFailure()) {
      FAIL() << "with seed " << seed << ": COLDSHELF_SIM_SEED=" << seed;
    }
  }
}

TEST(BucketSim, TwoGatewaysAndACollectorShareAStore) { share(40, 1, false); }

// Calls fail, answers are lost, puts that were given up are carried out late; gateways are killed,
// lose power and catalogs.
TEST(BucketSim, TwoGatewaysShareAStoreInAStorm) { share(30, 1'000'001, true); }

}  // namespace
}  // namespace coldshelf::test
