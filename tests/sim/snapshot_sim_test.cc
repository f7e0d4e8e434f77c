// Pull and restore against AWS's stand-in, compared block by block with the source.
#include <set>

#include "base/log.h"
#include "tests/sim/snapshot_rig.h"
#include "tests/support/sim_seeds.h"

namespace coldshelf::test {
namespace {

EbsStandinOptions fast() {
  EbsStandinOptions options;
  options.limits = {0, 0, 0, 0, 0, 0, 0, 0, 1000, 100, 100'000};
  return options;
}

std::vector<EbsFault> storm_faults() { return passing_ebs_faults(); }

class SnapshotSim : public ::testing::Test {
 protected:
  SnapshotSim() {
    capture_log([](std::string_view) {});
  }
  ~SnapshotSim() override { capture_log(nullptr); }

  // A volume as it lives: content of all kinds, holes, zeros, trims.
  static void change(EbsStandin& aws, const std::string& volume, SeededRandom& random) {
    for (uint64_t i = 1 + random.below(4); i > 0; --i) {
      const uint64_t first = random.below(2040);
      const uint64_t count = 1 + random.below(6);
      switch (random.below(6)) {
        case 0:
          aws.write_zeros(volume, first, count);
          break;
        case 1:
          aws.trim(volume, first, count);
          break;
        case 2:
          aws.touch(volume, first, count);
          break;
        default:
          aws.write_pattern(volume, first, count, random.next(),
                            random.one_in(2) ? EbsPattern::compressible : EbsPattern::mixed);
      }
    }
  }
};

TEST_F(SnapshotSim, PullsAllOfASnapshotZerosAndHolesToo) {
  SnapshotRig rig(fast());
  const std::string volume = rig.aws->make_volume({1, {{"Name", "db"}}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 3, 20, 1);
  rig.aws->write_zeros(volume, 10, 3);
  rig.aws->write_zeros(volume, 2047, 1);
  rig.aws->write_pattern(volume, 1500, 1, 2, EbsPattern::random);
  const std::string snapshot = rig.aws->make_snapshot(volume, {{"Env", "prod"}});
  rig.create_image(1);
  const auto pulled = rig.pull(snapshot);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  EXPECT_EQ(pulled->base, "");
  EXPECT_EQ(pulled->done.listed_blocks, 22U);
  EXPECT_EQ(pulled->done.stored_blocks, 22U);
  EXPECT_EQ(pulled->done.zero_blocks, 4U);
  rig.expect_same(snapshot);
  rig.reopen();
  rig.expect_same(snapshot);
  const auto what = read_ebs_image(rig.image->manifest());
  EXPECT_EQ(what->head, snapshot);
  EXPECT_FALSE(what->pull);
  EXPECT_EQ(what->points.at(0).tags.at("Env"), "prod");
  EXPECT_EQ(what->points.at(0).volume, volume);
  // Once more: it is there.
  const uint64_t asked = rig.aws->requests(EbsOperation::get_snapshot_block);
  const auto again = rig.pull(snapshot);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(rig.aws->requests(EbsOperation::get_snapshot_block), asked);
  EXPECT_EQ(rig.aws->rejections(), std::vector<std::string>());
}

TEST_F(SnapshotSim, AnIncrementFetchesWhatChangedAndStoresWhatIsNew) {
  SnapshotRig rig(fast());
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 0, 40, 1);
  const std::string first = rig.aws->make_snapshot(volume);
  rig.create_image(1);
  ASSERT_TRUE(rig.pull(first).ok());
  rig.aws->write_pattern(volume, 5, 4, 2);
  rig.aws->trim(volume, 20, 3);
  rig.aws->touch(volume, 30, 6);
  const std::string second = rig.aws->make_snapshot(volume);
  const uint64_t gets = rig.aws->requests(EbsOperation::get_snapshot_block);
  const auto pulled = rig.pull(second);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  EXPECT_EQ(pulled->base, first);
  EXPECT_EQ(rig.aws->requests(EbsOperation::get_snapshot_block) - gets, 10U);
  EXPECT_EQ(pulled->done.stored_blocks, 4U);  // the touched ones are the same
  EXPECT_EQ(pulled->done.removed_blocks, 3U);
  rig.expect_same(first);
  rig.expect_same(second);
  // Against an older base: the disk goes back to it first, its blocks stay where they are.
  rig.aws->write_pattern(volume, 100, 2, 3);
  const std::string third = rig.aws->make_snapshot(volume);
  const uint64_t log = rig.image->counters().log_bytes;
  const auto older = rig.pull(third, first);
  ASSERT_TRUE(older.ok()) << older.error().message();
  EXPECT_EQ(older->base, first);
  EXPECT_LE(rig.image->counters().log_bytes - log, 7 * 512 * KiB);
  rig.expect_same(third);
  // In full over what is there: nothing but what differs is stored.
  const std::string fourth = rig.aws->make_snapshot(volume);
  const auto full = rig.pull(fourth, "");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full->done.stored_blocks, 0U);
  EXPECT_EQ(full->done.fetched_blocks, 39U);
  for (const std::string& s : {first, second, third, fourth}) rig.expect_same(s);
  EXPECT_EQ(rig.pull(fourth, "snap-0123").ok(), true);  // held already
  EXPECT_EQ(rig.aws->rejections(), std::vector<std::string>());
}

TEST_F(SnapshotSim, RefusesABaseItDoesNotHold) {
  SnapshotRig rig(fast());
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  const std::string first = rig.aws->make_snapshot(volume);
  rig.create_image(1);
  EXPECT_EQ(rig.pull(first, "snap-0123").error().code, ErrorCode::not_found);
  ASSERT_TRUE(rig.pull(first).ok());  // of an empty volume
  rig.expect_same(first);
}

TEST_F(SnapshotSim, AVolumeThatGrewIsPulledAgainstTheSmallerOne) {
  SnapshotRig rig(fast());
  const std::string small = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(small, 0, 4, 1);
  const std::string first = rig.aws->make_snapshot(small);
  rig.create_image(1);
  ASSERT_TRUE(rig.pull(first).ok());
  const std::string large = rig.aws->make_volume({2, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(large, 4090, 4, 2);
  const std::string second = rig.aws->make_snapshot(large);
  const auto pulled = rig.pull(second);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  EXPECT_EQ(pulled->base, "");  // another volume
  EXPECT_EQ(rig.image->size_bytes(), 2 * GiB);
  rig.expect_same(first);
  rig.expect_same(second);
}

// Chain of 30 increments, then every one of them restored.
TEST_F(SnapshotSim, AChainOfThirtyIsRestoredAtEveryPoint) {
  SnapshotRig rig(fast());
  SeededRandom random(30);
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 0, 8, 1);
  rig.create_image(1);
  std::vector<std::string> chain;
  for (int i = 0; i < 30; ++i) {
    change(*rig.aws, volume, random);
    chain.push_back(rig.aws->make_snapshot(volume));
    const auto pulled = rig.pull(chain.back());
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
    EXPECT_EQ(pulled->base, i == 0 ? "" : chain[static_cast<size_t>(i) - 1]);
    if (i % 10 == 9) rig.reopen();
  }
  const auto what = read_ebs_image(rig.image->manifest());
  ASSERT_EQ(what->points.size(), 30U);
  std::string parent;
  std::unique_ptr<BlockDevice> parent_disk;
  for (const std::string& snapshot : chain) {
    rig.expect_same(snapshot);
    auto disk = rig.image->open_point(what->find(snapshot)->point);
    ASSERT_TRUE(disk.ok());
    const auto ebs = rig.client();
    const auto ec2 = rig.ec2();
    // Every other one as what differs from the one restored before.
    const bool with_parent = parent_disk != nullptr && random.one_in(2);
    RestoreRequest request;
    request.description = "restored";
    if (with_parent) request.parent = parent;
    SnapshotRestore job(**disk, with_parent ? parent_disk.get() : nullptr, *ebs, ec2.get(),
                        *rig.clock, rig.random, rig.restore_options,
                        [](const RestoreState&) { return Status(); });
    const auto made = job.run(request, {});
    ASSERT_TRUE(made.ok()) << made.error().message();
    EXPECT_EQ(made->status, "completed");
    if (with_parent) {
      // What the parent had and this one has not is zeros there.
      std::set<uint64_t> blocks;
      for (const uint64_t b : rig.aws->snapshot_blocks(snapshot)) blocks.insert(b);
      for (const uint64_t b : rig.aws->snapshot_blocks(made->snapshot)) {
        const auto got = rig.aws->snapshot_block(made->snapshot, b);
        if (blocks.contains(b)) {
          ASSERT_TRUE(equal(*got, *rig.aws->snapshot_block(snapshot, b)));
        } else {
          ASSERT_EQ(*got, Buffer(coldshelf::kEbsBlockBytes, std::byte{0}));
        }
        blocks.erase(b);
      }
      ASSERT_TRUE(blocks.empty());
    } else {
      rig.expect_equal_snapshots(snapshot, made->snapshot);
    }
    parent_disk.reset();
    parent = made->snapshot;
    parent_disk = std::move(*disk);
  }
  parent_disk.reset();
  EXPECT_EQ(rig.aws->rejections(), std::vector<std::string>());
}

// Every fault AWS is known for, and the gateway killed or its power lost, at random moments.
TEST_F(SnapshotSim, PullsThroughStormsKillsAndPowerLoss) {
  for (const uint64_t seed : sim_seeds(3)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EbsStandinOptions options = fast();
    options.page_token_ms = 400;
    SnapshotRig rig(options);
    SeededRandom random(seed);
    rig.pull_options.page_size = 100;
    rig.pull_options.checkpoint_bytes = 4 * MiB;
    const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
    for (int i = 0; i < 12; ++i) change(*rig.aws, volume, random);
    rig.create_image(1);
    std::vector<std::string> taken;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 4; ++i) change(*rig.aws, volume, random);
      taken.push_back(rig.aws->make_snapshot(volume));
      std::set<uint32_t> interrupted;
      for (int attempt = 0;; ++attempt) {
        ASSERT_LT(attempt, 60) << "no end";
        rig.aws->set_storm({random.next(), 5 + random.below(20), storm_faults()});
        *rig.stop = false;
        const uint64_t end_at = attempt < 6 ? 1 + random.below(25) : UINT64_MAX;
        uint64_t blocks = 0;
        const auto pulled = rig.pull(taken.back(), "auto", [&](const PullProgress&) {
          if (++blocks == end_at) *rig.stop = true;
        });
        rig.aws->clear_faults();
        *rig.stop = false;
        if (pulled.ok()) break;
        const ErrorCode code = pulled.error().code;
        ASSERT_TRUE(code == ErrorCode::cancelled || code == ErrorCode::unavailable ||
                    code == ErrorCode::corrupt || code == ErrorCode::not_found)
            << pulled.error().message();
        if (random.one_in(2)) {
          rig.image.reset();
          if (random.one_in(2)) {
            rig.files.crash(random);
          } else {
            rig.files.kill();
          }
          rig.reopen();
        }
      }
    }
    for (const std::string& snapshot : taken) rig.expect_same(snapshot);
    rig.reopen();
    for (const std::string& snapshot : taken) rig.expect_same(snapshot);
  }
}

TEST_F(SnapshotSim, AnInterruptedPullFetchesNothingTwice) {
  SnapshotRig rig(fast());
  rig.pull_options.checkpoint_bytes = 1;
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 0, 200, 1, EbsPattern::compressible);
  const std::string snapshot = rig.aws->make_snapshot(volume);
  rig.create_image(1);
  uint64_t seen = 0;
  const auto first = rig.pull(snapshot, "auto", [&](const PullProgress&) {
    if (++seen == 120) *rig.stop = true;
  });
  ASSERT_EQ(first.error().code, ErrorCode::cancelled);
  *rig.stop = false;
  rig.image.reset();
  rig.files.crash(rig.random);
  rig.reopen();
  const uint64_t before = rig.aws->requests(EbsOperation::get_snapshot_block);
  const auto second = rig.pull(snapshot);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->resumed);
  EXPECT_LE(rig.aws->requests(EbsOperation::get_snapshot_block) - before, 80U);
  EXPECT_EQ(second->done.listed_blocks, 200U);
  rig.expect_same(snapshot);
}

// The gateway ends behind the last checkpoint: all blocks are there, the recovery point is not. The
// volume's last block is in use, as where the copy of a partition table lies.
TEST_F(SnapshotSim, APullThatLacksNothingButItsPointGoesOn) {
  SnapshotRig rig(fast());
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 2040, 8, 1);
  rig.create_image(1);
  for (const bool full : {true, false}) {
    rig.aws->write_pattern(volume, 10, 2, full ? 2 : 3);
    const std::string snapshot = rig.aws->make_snapshot(volume);
    const auto pulled = rig.pull(snapshot);
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
    EXPECT_EQ(pulled->base.empty(), full);
    // The disk as it was before the point.
    PullUnderWay state;
    state.snapshot = snapshot;
    state.base = pulled->base;
    state.next_block = 2048;
    Volume::Properties before = without_point(pulled->point);
    before.merge(property_of(state));
    before["ebs.head"] = "";
    ASSERT_TRUE(rig.image->delete_point(pulled->point, before).ok());
    rig.reopen();
    const auto again = rig.pull(snapshot);
    ASSERT_TRUE(again.ok()) << again.error().message();
    EXPECT_TRUE(again->resumed);
    rig.expect_same(snapshot);
  }
  EXPECT_EQ(rig.aws->rejections(), std::vector<std::string>());
}

TEST_F(SnapshotSim, RestoresThroughStormsAndKillsExactlyOnce) {
  for (const uint64_t seed : sim_seeds(3)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EbsStandinOptions options = fast();
    options.early_not_found_puts = 3;
    options.pending_ms = 100;
    SnapshotRig rig(options);
    rig.restore_options.checkpoint_ms = 1;
    SeededRandom random(seed);
    const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
    for (int i = 0; i < 20; ++i) change(*rig.aws, volume, random);
    const std::string snapshot = rig.aws->make_snapshot(volume);
    rig.create_image(1);
    ASSERT_TRUE(rig.pull(snapshot).ok());
    const auto what = read_ebs_image(rig.image->manifest());
    auto disk = rig.image->open_point(what->find(snapshot)->point);
    ASSERT_TRUE(disk.ok());
    RestoreState saved;
    std::string made_id;
    for (int attempt = 0;; ++attempt) {
      ASSERT_LT(attempt, 60) << "no end";
      rig.aws->set_storm({random.next(), 5 + random.below(20), storm_faults()});
      *rig.stop = false;
      const uint64_t end_at = attempt < 6 ? 1 + random.below(30) : UINT64_MAX;
      uint64_t blocks = 0;
      const auto ebs = rig.client();
      const auto ec2 = rig.ec2();
      RestoreRequest request;
      request.encrypted = seed % 2 == 0;
      SnapshotRestore job(
          **disk, nullptr, *ebs, ec2.get(), *rig.clock, rig.random, rig.restore_options,
          [&](const RestoreState& state) {
            saved = state;
            return Status();
          },
          rig.stop,
          [&](const RestoreProgress&) {
            if (++blocks == end_at) *rig.stop = true;
          });
      const auto made = job.run(request, saved);
      rig.aws->clear_faults();
      *rig.stop = false;
      if (made.ok()) {
        made_id = made->snapshot;
        break;
      }
      const ErrorCode code = made.error().code;
      ASSERT_TRUE(code == ErrorCode::cancelled || code == ErrorCode::unavailable ||
                  code == ErrorCode::not_found)
          << made.error().message();
    }
    rig.expect_equal_snapshots(snapshot, made_id);
    EXPECT_EQ(rig.aws->snapshots().size(), 2U);  // whatever was lost: one was made
  }
}

// CompleteSnapshot is done, its answer lost, and the next one refused; EC2 says "pending" for a
// while.
TEST_F(SnapshotSim, WhatIsUploadedIsNotLostToALostAnswer) {
  EbsStandinOptions options = fast();
  options.pending_ms = 400;
  options.complete_once = true;
  SnapshotRig rig(options);
  const std::string volume = rig.aws->make_volume({1, {}, false, "", 0, 0, {}});
  rig.aws->write_pattern(volume, 3, 5, 1);
  const std::string snapshot = rig.aws->make_snapshot(volume);
  rig.create_image(1);
  ASSERT_TRUE(rig.pull(snapshot).ok());
  const auto what = read_ebs_image(rig.image->manifest());
  auto disk = rig.image->open_point(what->find(snapshot)->point);
  ASSERT_TRUE(disk.ok());
  const auto ebs = rig.client();
  const auto restore = [&](Ec2Client& ec2) {
    SnapshotRestore job(**disk, nullptr, *ebs, &ec2, *rig.clock, rig.random, rig.restore_options,
                        [](const RestoreState&) { return Status(); });
    const auto made = job.run({}, {});
    ASSERT_TRUE(made.ok()) << made.error().message();
    EXPECT_EQ(made->status, "completed");
    rig.expect_equal_snapshots(snapshot, made->snapshot);
  };
  rig.aws->fail_next(EbsOperation::complete_snapshot, EbsFault::lost_answer);
  ASSERT_NO_FATAL_FAILURE(restore(*rig.ec2()));
  EXPECT_EQ(rig.aws->requests(EbsOperation::complete_snapshot), 2U);
  // EC2 is away for longer than a request is tried again.
  Ec2Client::Options impatient = rig.ec2()->options();
  impatient.patience_ms = 0;
  Ec2Client ec2(impatient, rig.clock, rig.transport, rig.credentials);
  rig.aws->fail_next(EbsOperation::describe_snapshots, EbsFault::internal_error, 3);
  ASSERT_NO_FATAL_FAILURE(restore(ec2));
  EXPECT_EQ(rig.aws->faults_done(EbsFault::internal_error), 3U);
}

// A recovery point of a volume of our own, of a size that is no whole GiB, half-mapped blocks.
TEST_F(SnapshotSim, AVolumeOfOurOwnBecomesASnapshot) {
  SnapshotRig rig(fast());
  auto made = Volume::create(rig.env, rig.volume_options, "/own",
                             {Uuid::generate(rig.random), "own", 700 * MiB + 4096, 4096});
  ASSERT_TRUE(made.ok());
  Volume& own = **made;
  Buffer data(4096, std::byte{5});
  ASSERT_TRUE(own.write(0, data, false).ok());
  ASSERT_TRUE(own.write(3 * MiB + 4096, data, false).ok());
  ASSERT_TRUE(own.write(700 * MiB, data, false).ok());  // the last block, in part beyond the end
  const auto point = own.create_point("p");
  auto disk = own.open_point(point->id);
  ASSERT_TRUE(disk.ok());
  const auto ebs = rig.client();
  const auto ec2 = rig.ec2();
  SnapshotRestore job(**disk, nullptr, *ebs, ec2.get(), *rig.clock, rig.random, rig.restore_options,
                      [](const RestoreState&) { return Status(); });
  const auto restored = job.run({}, {});
  ASSERT_TRUE(restored.ok()) << restored.error().message();
  EXPECT_EQ(restored->volume_gib, 1U);
  EXPECT_EQ(rig.aws->snapshot_blocks(restored->snapshot), (std::vector<uint64_t>{0, 6, 1400}));
  Buffer last(coldshelf::kEbsBlockBytes, std::byte{0});
  std::fill(last.begin(), last.begin() + 4096, std::byte{5});
  EXPECT_TRUE(equal(*rig.aws->snapshot_block(restored->snapshot, 1400), last));
  // And comes back by a pull.
  rig.create_image(1);
  ASSERT_TRUE(rig.pull(restored->snapshot).ok());
  rig.expect_same(restored->snapshot);
}

TEST_F(SnapshotSim, EncryptionAndAParentDoNotGoTogether) {
  SnapshotRig rig(fast());
  rig.create_image(1);
  const auto ebs = rig.client();
  SnapshotRestore job(*rig.image, rig.image.get(), *ebs, nullptr, *rig.clock, rig.random,
                      rig.restore_options, [](const RestoreState&) { return Status(); });
  RestoreRequest request;
  request.parent = "snap-1";
  request.encrypted = true;
  EXPECT_EQ(job.run(request, {}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(rig.aws->requests(), 0U);
}

}  // namespace
}  // namespace coldshelf::test
