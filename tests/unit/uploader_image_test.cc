// Images on the shelf: order of upload, what is kept here, ranges, back-pressure.
#include <gtest/gtest.h>

#include <set>

#include "base/log.h"
#include "tests/support/image_content.h"
#include "tests/support/image_rig.h"
#include "uploader/bucket_check.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kSize = 16 * MiB;

// As the daemon does it.
void follow(ImageRig& rig, Volume& volume) {
  rig.on_evicted = [&volume](const Uuid& image, uint64_t sequence, uint64_t epoch) {
    volume.segment_evicted(image, sequence, epoch);
  };
}

class UploaderImageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    capture_log([](std::string_view) {});
  }
  static void TearDownTestSuite() { capture_log(nullptr); }
};

TEST_F(UploaderImageTest, WhatIsSealedGoesUpAndIsTheDisk) {
  ImageRig rig(1);
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  fill(*volume, 0, 4 * MiB, 7);
  ASSERT_TRUE(volume->seal().ok());
  const auto before = rig.shelf().image_statistics(id);
  ASSERT_TRUE(before.ok());
  EXPECT_GT(before->not_uploaded_bytes, 4 * MiB);
  rig.clock().advance_ms(2'000);
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
  const auto after = rig.shelf().image_statistics(id);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->not_uploaded_bytes, 0U);
  EXPECT_EQ(after->not_uploaded_age_ms, 0);
  EXPECT_GT(after->stored_bytes, 4 * MiB);
  EXPECT_EQ(after->local_bytes, after->stored_bytes);
  const auto stored = rig.open_stored(id);
  ASSERT_NE(stored, nullptr);
  expect_content(*stored->volume, 0, 4 * MiB, 7);
}

TEST_F(UploaderImageTest, WhatIsOverwrittenLeavesTheStore) {
  ImageRig rig(2);
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  for (uint64_t round = 0; round < 6; ++round) {
    fill(*volume, 0, 2 * MiB, round);
    ASSERT_TRUE(volume->seal().ok());
    ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
  }
  ASSERT_TRUE(volume->collect().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.stored_exactly(id); }));
  EXPECT_LT(rig.shelf().image_statistics(id)->stored_bytes, 4 * MiB);
  const auto stored = rig.open_stored(id);
  ASSERT_NE(stored, nullptr);
  expect_content(*stored->volume, 0, 2 * MiB, 5);
}

TEST_F(UploaderImageTest, ACloneKeepsWhatItStandsOn) {
  ImageRig rig(3);
  const auto source = rig.make_image("source", kSize);
  fill(*source, 0, 2 * MiB, 1);
  const auto point = source->create_point("p");
  ASSERT_TRUE(point.ok());
  auto clone = rig.clone_image(*source, point->id, "clone");
  ASSERT_TRUE(clone.ok());
  const Uuid source_id = source->uuid();
  const Uuid clone_id = (*clone)->uuid();
  fill(*source, 0, 2 * MiB, 2);
  ASSERT_TRUE(source->collect().ok());
  fill(**clone, 1 * MiB, 1 * MiB, 3);
  ASSERT_TRUE((*clone)->seal().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(source_id) && rig.all_stored(clone_id); }));
  {
    const auto stored = rig.open_stored(clone_id);
    ASSERT_NE(stored, nullptr);
    expect_content(*stored->volume, 0, 1 * MiB, 1);
    expect_content(*stored->volume, 1 * MiB, 1 * MiB, 3);
  }
  EXPECT_EQ(rig.shelf().remove(source_id).error().code, ErrorCode::busy);
  // The clone goes, first in the store, then what only it needed.
  clone->reset();
  const auto job = rig.shelf().remove(clone_id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  ASSERT_TRUE(
      rig.run_until([&] { return (*rig.catalog().job(*job))->state == JobState::succeeded; }));
  EXPECT_FALSE(rig.catalog().tape(clone_id)->has_value());
  EXPECT_FALSE(rig.stored_manifest(clone_id).has_value());
  ASSERT_TRUE(source->release_clone(clone_id).ok());
  ASSERT_TRUE(source->delete_point(point->id).ok());
  ASSERT_TRUE(source->collect().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.stored_exactly(source_id); }));
  EXPECT_LT(rig.shelf().image_statistics(source_id)->stored_bytes, 3 * MiB);
}

TEST_F(UploaderImageTest, TheStoreFollowsWhileItIsBehind) {
  // One transfer at a time, and writing goes on: the store's image is always a beginning.
  ImageRig rig(4);
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  uint64_t last = 0;
  for (uint64_t n = 0; n < 40; ++n) {
    // Overwrites, so that maps drop segments the store has not seen the end of.
    fill(*volume, (n % 4) * MiB, 1 * MiB, n);
    rig.clock().advance_ms(16'000);
    for (int steps = 0; steps < 2; ++steps) rig.run_once();
    const auto stored = rig.stored_manifest(id);
    if (!stored) continue;
    EXPECT_GE(stored->generation, last);
    last = stored->generation;
    const auto opened = rig.open_stored(id);
    ASSERT_NE(opened, nullptr);
  }
  EXPECT_GT(last, 0U);
}

// The log's segment took its number first, and the map behind it is named first: what the store has
// of the segment is no garbage before a manifest names it.
TEST_F(UploaderImageTest, WhatIsSealedAfterAMapIsNoGarbage) {
  ImageRig rig(12);
  rig.volume_options.map_interval_bytes = 600 * KiB;
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  const auto log_end = [&](const Manifest& m) {
    return m.partitions[kImageLogPartition].segments.back().sequence;
  };
  fill(*volume, 0, 1280 * KiB, 7);
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
  const Manifest before = *rig.stored_manifest(id);
  ASSERT_EQ(before.partitions[kImageMapPartition].segments.size(), 1U);
  const uint64_t open = log_end(before) + 1;
  ASSERT_GT(before.partitions[kImageMapPartition].segments[0].sequence, open);
  ASSERT_TRUE(volume->seal().ok());
  const std::string key = segment_key(id, open, before.epoch);
  ASSERT_TRUE(rig.run_until([&] { return rig.store().head(key).ok(); }));
  ASSERT_EQ(log_end(*rig.stored_manifest(id)), open - 1) << "the manifest comes later";
  StoreGcOptions gc;
  gc.threads = 1;
  gc.min_age_ms = 0;
  rig.clock().advance_ms(1'000);
  const auto collected = collect_store_garbage(rig.store(), rig.clock(), gc);
  ASSERT_TRUE(collected.ok()) << collected.error().message();
  EXPECT_EQ(collected->deleted, 0U);
  EXPECT_EQ(collected->kept_living, 1U);
  EXPECT_TRUE(rig.store().head(key).ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
  const auto stored = rig.open_stored(id);
  ASSERT_NE(stored, nullptr);
  expect_content(*stored->volume, 0, 1280 * KiB, 7);
}

// Of both partitions: dropped, and its deletion lost.
TEST_F(UploaderImageTest, WhatTheLogHasPassedIsGarbage) {
  ImageRig rig(13);
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  for (uint64_t round = 0; round < 6; ++round) {
    fill(*volume, 0, 2 * MiB, round);
    ASSERT_TRUE(volume->seal().ok());
  }
  ASSERT_TRUE(rig.run_until([&] { return rig.stored_exactly(id); }));
  const Manifest manifest = rig.manifest(id);
  std::set<uint64_t> unnamed;
  const uint64_t end = manifest.partitions[kImageLogPartition].segments.back().sequence;
  for (uint64_t n = 0; n < end; ++n) unnamed.insert(n);
  for (const Partition& p : manifest.partitions) {
    for (const SegmentEntry& e : p.segments) unnamed.erase(e.sequence);
  }
  ASSERT_GT(unnamed.size(), 4U);
  const Buffer junk(1'000);
  for (const uint64_t n : unnamed) {
    const std::string key = segment_key(id, n, manifest.epoch);
    ASSERT_TRUE(rig.store().put(key, source_of(junk), PutOptions()).ok());
  }
  StoreGcOptions gc;
  gc.threads = 1;
  gc.min_age_ms = 0;
  rig.clock().advance_ms(1'000);
  const auto collected = collect_store_garbage(rig.store(), rig.clock(), gc);
  ASSERT_TRUE(collected.ok()) << collected.error().message();
  EXPECT_EQ(collected->deleted, unnamed.size());
  EXPECT_TRUE(rig.stored_exactly(id));
}

TEST_F(UploaderImageTest, CachedImagesAreReadByRange) {
  ShelfOptions options;
  options.cache_limit_bytes = 4 * MiB;
  ImageRig rig(5, options);
  const auto volume = rig.make_image("v", kSize);
  const Uuid id = volume->uuid();
  follow(rig, *volume);
  fill(*volume, 0, 8 * MiB, 9);
  ASSERT_TRUE(volume->seal().ok());
  ASSERT_TRUE(rig.run_until(
      [&] { return rig.all_stored(id) && rig.shelf().statistics().cache_bytes <= 4 * MiB; }));
  expect_content(*volume, 0, 8 * MiB, 9);
  const Shelf::Statistics read = rig.shelf().statistics();
  EXPECT_GT(read.ranges.bytes, 0U);
  EXPECT_LE(read.ranges.bytes, 2 * MiB);
  // Bounded together, as soon as the shelf has had time for it.
  ASSERT_TRUE(rig.run_until([&] { return rig.shelf().statistics().cache_bytes <= 4 * MiB; }));
  // Nothing of it but ranges came down.
  EXPECT_EQ(rig.catalog().cartridge_usage(id)->local_bytes + rig.shelf().statistics().ranges.bytes,
            rig.shelf().statistics().cache_bytes);
}

TEST_F(UploaderImageTest, StoredImagesAreAllHere) {
  ShelfOptions options;
  options.cache_limit_bytes = 1 * MiB;
  ImageRig rig(6, options);
  auto volume = rig.make_image("v", kSize, "stored");
  const Uuid id = volume->uuid();
  follow(rig, *volume);
  fill(*volume, 0, 4 * MiB, 9);
  ASSERT_TRUE(volume->seal().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
  for (int i = 0; i < 50; ++i) rig.run_once();
  EXPECT_EQ(rig.local_segments(id), rig.catalog().segments(id)->size());
  // Cached from now on: it goes; stored again: it comes back, whatever the limit is.
  ASSERT_TRUE(volume->set_property(std::string(kPropertyMode), "cached").ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.local_segments(id) <= 4; }));
  ASSERT_TRUE(volume->set_property(std::string(kPropertyMode), "stored").ok());
  EXPECT_TRUE(
      rig.run_until([&] { return rig.local_segments(id) == rig.catalog().segments(id)->size(); }));
  expect_content(*volume, 0, 4 * MiB, 9);
}

TEST_F(UploaderImageTest, WritersAreSlowedDownAndNotRefused) {
  ShelfOptions options;
  options.buffer_limit_bytes = 4 * MiB;
  ImageRig rig(7, options);
  const auto volume = rig.make_image("v", kSize);
  EXPECT_EQ(volume->write_hold_ms(), 0);
  fill(*volume, 0, 4 * MiB, 1);  // nobody uploads
  EXPECT_GT(volume->write_hold_ms(), 0);
  EXPECT_TRUE(rig.shelf().statistics().buffer.slowing);
  ASSERT_TRUE(volume->seal().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.all_stored(volume->uuid()); }));
  EXPECT_FALSE(rig.shelf().statistics().buffer.slowing);
  EXPECT_EQ(volume->write_hold_ms(), 0);
}

TEST_F(UploaderImageTest, ALostCatalogIsMadeAgainFromManifests) {
  ImageRig rig(8);
  auto volume = rig.make_image("v", kSize, "stored");
  const Uuid id = volume->uuid();
  fill(*volume, 0, 2 * MiB, 1);
  ASSERT_TRUE(volume->close().ok());
  volume.reset();
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  const auto row = rig.catalog().image_by_name("v");
  ASSERT_TRUE(row.ok() && row->has_value());
  EXPECT_EQ((*row)->uuid, id);
  EXPECT_EQ((*row)->mode, ImageMode::stored);
  EXPECT_TRUE(rig.run_until([&] { return rig.all_stored(id); }));
}

}  // namespace
}  // namespace coldshelf::test
