// The whole life of a tape on the shelf, under fault storms, kills and power losses at random
// moments. What must always hold is checked by the rig at every call; what must be reached, here.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "tests/support/shelf_rig.h"
#include "tests/support/sim_seeds.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

class Life {
 public:
  enum class Puts { at_once, late_too };

  Life(uint64_t seed, Puts puts)
      : chance_(seed * 7919),
        rig_(seed, options(chance_),
             {chance_.one_in(4) && puts == Puts::at_once ? "" : "sgw-1", nullptr, nullptr}),
        late_(puts == Puts::late_too) {
    if (!chance_.one_in(4) || late_) {
      StoreFaults faults;
      const uint64_t least = late_ ? 8 : 4;  // worse, and in half a day no manifest gets through
      faults.error_one_in = least + chance_.below(20);
      faults.lost_one_in = least + chance_.below(20);
      faults.corrupt_one_in = 20 + chance_.below(50);
      faults.max_latency_ms = static_cast<int64_t>(chance_.below(50));
      if (late_) faults.late_one_in = 4 + chance_.below(10);
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
        if (loses_catalog_ && chance_.one_in(6)) {
          rig_.lose_catalog();
          put_pools();
          lost_catalog_ = true;
        }
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
  // Whose the tape is, is asked of the store at once: an operator tries again.
  Result<int64_t> begin_patiently(const Uuid& id, const std::function<Result<int64_t>()>& begin) {
    auto begun = begin();
    for (int again = 0; again < 500 && !begun.ok(); ++again) {
      if (begun.error().disposition != Disposition::retry) break;
      rig_.run_once();
      rig_.clock().advance_ms(500);
      if (const auto job = *rig_.catalog().unfinished_job(id)) return job->id;
      begun = begin();
    }
    return begun;
  }
  bool job(const Uuid& id, TapeStatus wanted, const std::function<Result<int64_t>()>& begin) {
    return reach(
        [&] {
          // A job that a killed program began goes on by itself.
          if (rig_.status(id) == wanted || (*rig_.catalog().unfinished_job(id)).has_value()) return;
          const auto begun = begin_patiently(id, begin);
          EXPECT_TRUE(begun.ok()) << begun.error().message();
        },
        [&] {
          if ((*rig_.catalog().unfinished_job(id)).has_value()) return false;
          if (rig_.status(id) == wanted) return true;
          // The job was lost with the catalog, and one that had begun before is at its end now.
          if (loses_catalog_) static_cast<void>(begin().ok());
          return false;
        });
  }

  void put_pools() {
    EXPECT_TRUE(rig_.catalog().put_pool({"direct", "GLACIER", "direct", "", 0}).ok());
    EXPECT_TRUE(rig_.catalog().put_pool({"vault", "GLACIER", "staged", "GOVERNANCE", 1}).ok());
  }

  void run() {
    put_pools();
    const char* pools[] = {"glacier", "direct", "vault"};
    const Uuid id = rig_.create("SIM001", pools[chance_.below(3)]);
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
    // What was overwritten goes in the background; what a lost catalog had forgotten, by gc.
    int looks = 0;
    ASSERT_TRUE(reach([] {},
                      [&] {
                        if ((lost_catalog_ || late_) && ++looks % 50 == 0) collect_garbage();
                        return objects_of(id) == segments_of(id) &&
                               rig_.catalog().segments(id)->size() == segments_of(id) &&
                               rig_.all_in_state(id, SegmentState::evicted);
                      }))
        << objects_of(id) << " objects, " << segments_of(id) << " segments, "
        << rig_.catalog().segments(id)->size() << " rows";
    rig_.expect_stored(id, StorageClass::glacier);
    EXPECT_EQ(rig_.manifest(id).properties.at("status"), "ARCHIVED");

    if (chance_.one_in(2)) retrieve_parts(id);
    if (chance_.one_in(3)) reassign(id);
    const auto archive_class = rig_.catalog().tape(id)->value().pool == "deep"
                                   ? StorageClass::deep_archive
                                   : StorageClass::glacier;
    if (rig_.status(id) == TapeStatus::archived) {
      ASSERT_TRUE(job(id, TapeStatus::retrieved,
                      [&] { return rig_.shelf().retrieve(id, RestoreTier::standard, 3); }));
    } else {
      ASSERT_TRUE(more(id, {}));
    }
    EXPECT_EQ(rig_.catalog().tape(id)->value().parts, "");
    EXPECT_TRUE(rig_.manifest(id).write_protected);
    read_back(id);
    ASSERT_TRUE(job(id, TapeStatus::archived, [&] { return rig_.shelf().archive(id); }));
    rig_.expect_stored(id, archive_class);
    EXPECT_FALSE(rig_.manifest(id).properties.contains("parts"));
    check_lock(id);

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
    options.restore_requests_per_second = static_cast<unsigned>(5 + random.below(500));
    return options;
  }
  void collect_garbage() {
    StoreGcOptions gc;
    gc.threads = 1;
    gc.min_age_ms = 2 * 60 * 60'000;  // longer than any upload takes
    rig_.clock().advance_ms(5 * 60'000);
    EXPECT_TRUE(collect_store_garbage(rig_.store(), rig_.clock(), gc).ok());
  }
  size_t objects_of(const Uuid& id) {
    return rig_.store()
        .list("cartridges/" + id.to_string() + "/segments/", "", 10'000)
        ->objects.size();
  }
  size_t segments_of(const Uuid& id) { return rig_.manifest(id).partitions[0].segments.size(); }
  Shelf::RetrieveRequest part_of(const Uuid& id) {
    const uint64_t count = rig_.record_count(id);
    Shelf::RetrieveRequest request;
    request.days = 3;
    for (uint64_t ranges = 1 + chance_.below(2); ranges > 0; --ranges) {
      const uint64_t first = chance_.below(count);
      const uint64_t last = first + chance_.below(std::min<uint64_t>(count - first, 8));
      request.parts.push_back({TapeRange::Kind::records, 0, first, last});
    }
    return request;
  }
  // Parts of an archived tape, read, perhaps others after them; sometimes archived again.
  void retrieve_parts(const Uuid& id) {
    const Shelf::RetrieveRequest first = part_of(id);
    ASSERT_TRUE(job(id, TapeStatus::retrieved, [&] { return rig_.shelf().retrieve(id, first); }));
    EXPECT_EQ(rig_.catalog().tape(id)->value().parts, encode_parts(first.parts));
    expect_readable(id, first.parts);
    if (chance_.one_in(2)) {
      const Shelf::RetrieveRequest second = part_of(id);
      ASSERT_TRUE(more(id, second.parts));
      expect_readable(id, second.parts);
      expect_readable(id, first.parts);
    }
    if (chance_.one_in(2)) {
      ASSERT_TRUE(job(id, TapeStatus::archived, [&] { return rig_.shelf().archive(id); }));
      EXPECT_EQ(rig_.catalog().tape(id)->value().parts, "");
    }
  }
  // More of a RETRIEVED tape.
  bool more(const Uuid& id, const std::vector<TapeRange>& parts) {
    Shelf::RetrieveRequest request;
    request.days = 3;
    request.parts = parts;
    std::optional<int64_t> begun;
    const bool loses = std::exchange(loses_catalog_, false);  // what was asked for is nowhere else
    const bool reached = reach(
        [&] {
          if (begun || (*rig_.catalog().unfinished_job(id)).has_value()) return;
          const auto started = rig_.shelf().retrieve(id, request);
          EXPECT_TRUE(started.ok()) << started.error().message();
          if (started.ok()) begun = *started;
        },
        [&] { return !(*rig_.catalog().unfinished_job(id)).has_value(); });
    loses_catalog_ = loses;
    return reached;
  }
  void expect_readable(const Uuid& id, const std::vector<TapeRange>& parts) {
    for (const TapeRange& part : parts) {
      Status read = rig_.read_range(id, part.first, part.last);
      for (int again = 0; !read.ok() && again < 100; ++again) {
        rig_.clock().advance_ms(1'000);
        read = rig_.read_range(id, part.first, part.last);
      }
      EXPECT_TRUE(read.ok()) << describe_parts({part}) << ": " << read.error().message();
    }
  }
  void reassign(const Uuid& id) {
    if (rig_.status(id) != TapeStatus::archived) return;
    const auto begin = [&] { return rig_.shelf().reassign(id, "deep", RestoreTier::bulk); };
    ASSERT_TRUE(reach(
        [&] {
          if (rig_.catalog().tape(id)->value().pool == "deep") return;
          if ((*rig_.catalog().unfinished_job(id)).has_value()) return;
          const auto started = begin_patiently(id, begin);
          EXPECT_TRUE(started.ok()) << started.error().message();
        },
        [&] {
          if ((*rig_.catalog().unfinished_job(id)).has_value()) return false;
          if (!loses_catalog_ || rig_.catalog().tape(id)->value().pool == "deep") return true;
          static_cast<void>(begin().ok());
          return false;
        }));
    EXPECT_EQ(rig_.status(id), TapeStatus::archived);
    EXPECT_EQ(rig_.catalog().tape(id)->value().pool, "deep")
        << rig_.catalog().tape(id)->value().problem;
    rig_.expect_stored(id, StorageClass::deep_archive);
    check_lock(id);
  }
  void check_lock(const Uuid& id) {
    const TapeRow row = rig_.catalog().tape(id)->value();
    if (row.locked_until_ms <= rig_.clock().unix_ms()) return;
    EXPECT_EQ(rig_.shelf().remove(id).error().code, ErrorCode::write_protected);
    const Manifest manifest = rig_.manifest(id);
    for (const SegmentEntry& e : manifest.partitions[0].segments) {
      const auto lock = rig_.store().lock_of(segment_key(id, e.sequence, e.epoch));
      ASSERT_TRUE(lock.ok());
      EXPECT_GE(lock->retain_until_ms, row.locked_until_ms);
    }
    EXPECT_TRUE(rig_.store().lock_of(locked_manifest_key(id, manifest.generation)).ok());
  }
  // A reader waits out what passes.
  void read_back(const Uuid& id) {
    const Status read = rig_.read_all(id, 100);
    if (!read.ok()) ADD_FAILURE() << read.error().message();
  }

  SeededRandom chance_;
  ShelfRig rig_;
  const bool late_;  // puts that were given up are carried out all the same, later
  bool loses_catalog_ = chance_.one_in(3);
  bool lost_catalog_ = false;
};

void live(uint64_t usual, uint64_t first, Life::Puts puts) {
  for (const uint64_t seed : sim_seeds(usual, first)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life(seed, puts).run();
    if (testing::Test::HasFailure()) {
      FAIL() << "with seed " << seed << ": COLDSHELF_SIM_SEED=" << seed;
    }
  }
}

// Of the long runs: a reassignment cut short, with the catalog lost, left an AVAILABLE tape that
// could not be archived any more.
TEST(UploaderSim, ALifeThatFoundSomething) { Life(207850001683U, Life::Puts::at_once).run(); }

TEST(UploaderSim, ATapesLifeUnderFaultsAndKills) { live(60, 1, Life::Puts::at_once); }

TEST(UploaderSim, ATapesLifeWithPutsCarriedOutLate) { live(30, 1'000'001, Life::Puts::late_too); }

}  // namespace
}  // namespace coldshelf::test
