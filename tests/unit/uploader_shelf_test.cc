#include <gtest/gtest.h>

#include <thread>

#include "tape/cartridge/segment_listing.h"
#include "tests/support/shelf_rig.h"
#include "uploader/ownership.h"
#include "uploader/segment_file_check.h"

namespace coldshelf::test {
namespace {

const Error kAway(ErrorCode::unavailable, "away");

ShelfOptions small_cache() {
  ShelfOptions options;
  options.cache_limit_bytes = 40 * KiB;
  return options;
}

bool uploaded(ShelfRig& rig, const Uuid& id) {
  return rig.run_until([&] {
    const TapeRow row = **rig.catalog().tape(id);
    return row.manifest_generation > 1 &&
           row.uploaded_manifest_generation == rig.manifest(id).generation;
  });
}

TEST(Shelf, SealedSegmentsGoUpAndTheManifestAfterThem) {
  ShelfRig rig(1);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  ASSERT_TRUE(uploaded(rig, id));
  EXPECT_TRUE(rig.all_in_state(id, SegmentState::verified));
  rig.expect_stored(id, StorageClass::standard);
  EXPECT_GT(rig.local_segments(id), 3U) << "no limit: all stay";
  const Shelf::Statistics statistics = rig.shelf().statistics();
  EXPECT_GE(statistics.uploaded_bytes, rig.manifest(id).stored_bytes());
  EXPECT_EQ(statistics.not_uploaded_bytes, 0U);
  EXPECT_EQ(statistics.cache_bytes, rig.manifest(id).stored_bytes());
  const uint64_t puts = rig.faulty().calls("put");
  rig.clock().advance_ms(3'600'000);
  rig.run_until([] { return false; }, 5'000);
  EXPECT_EQ(rig.faulty().calls("put"), puts) << "idle means idle";
}

TEST(Shelf, WhatTheStoreHasIsNotSentAgainAfterALostCatalog) {
  ShelfRig rig(1);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  ASSERT_TRUE(uploaded(rig, id));
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  ASSERT_TRUE(uploaded(rig, id));
  EXPECT_TRUE(rig.all_in_state(id, SegmentState::verified));
  EXPECT_LE(rig.faulty().calls("put"), 2U) << "its manifest, and no segment";
  EXPECT_EQ(rig.shelf().statistics().not_uploaded_bytes, 0U);
}

TEST(Shelf, TheStoresManifestNamesNoLessAfterALostCatalog) {
  ShelfRig rig(1);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  ASSERT_TRUE(uploaded(rig, id));
  const size_t segments = rig.stored_manifest(id)->partitions[0].segments.size();
  ASSERT_GT(segments, 3U);
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  // What is there cannot be found out, for longer than the store is left without a manifest.
  rig.faulty().refuse_keys("/segments/", kAway);
  rig.run_until([] { return false; }, 10 * 60'000);
  EXPECT_EQ(rig.stored_manifest(id)->partitions[0].segments.size(), segments);
  EXPECT_FALSE(rig.stored_manifest(id)->properties.contains("incomplete"));
  rig.faulty().refuse_keys("", kAway);
  ASSERT_TRUE(uploaded(rig, id));
  rig.expect_stored(id, StorageClass::standard);
}

TEST(Shelf, AnArchiveGoesOnAfterALostCatalog) {
  ShelfRig rig(1);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  ASSERT_TRUE(uploaded(rig, id));
  rig.faulty().refuse_keys("/manifest", kAway);
  ASSERT_TRUE(rig.shelf().archive(id).ok());
  ASSERT_TRUE(rig.run_until(
      [&] { return rig.manifest(id).properties.contains("archived_at"); }));  // here alone
  rig.lose_catalog();
  rig.faulty().refuse_keys("/manifest", kAway);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  rig.run_until([] { return false; }, 60'000);
  EXPECT_NE(rig.status(id), TapeStatus::archived) << "the store does not have it yet";
  rig.faulty().refuse_keys("", kAway);
  ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::archived; }));
  rig.expect_stored(id, StorageClass::glacier);
  EXPECT_EQ(rig.local_segments(id), 0U);
  // One that had come to its end stays as it is.
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_FALSE((*rig.catalog().unfinished_job(id)).has_value());
}

TEST(Shelf, TheCacheLimitIsKeptAndReadersGetSegmentsBack) {
  ShelfRig rig(2, small_cache());
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(uploaded(rig, id));
  ASSERT_TRUE(rig.run_until([&] { return rig.catalog().totals()->local_bytes <= 40 * KiB; }));
  const size_t segments = rig.manifest(id).partitions[0].segments.size();
  EXPECT_LT(rig.local_segments(id), segments);
  ASSERT_TRUE(rig.read_all(id).ok());
  EXPECT_GT(rig.shelf().statistics().downloaded_bytes, 0U);
  ASSERT_TRUE(rig.run_until([&] { return rig.catalog().totals()->local_bytes <= 40 * KiB; }));
  for (const std::string& path : rig.disk().all_files()) EXPECT_FALSE(path.ends_with(".part"));
}

TEST(Shelf, NothingIsEvictedBeforeTheStoreHasIt) {
  ShelfRig rig(3, small_cache());
  rig.faulty().fail_next("", kAway, 1'000'000);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 60);
  rig.run_until([] { return false; }, 120'000);
  EXPECT_EQ(rig.local_segments(id), rig.manifest(id).partitions[0].segments.size());
  EXPECT_GT(rig.shelf().statistics().upload_errors, 0U);
  rig.faulty().fail_next("", kAway, 0);
  EXPECT_TRUE(uploaded(rig, id));
}

TEST(Shelf, ADamagedDownloadIsTriedAgain) {
  ShelfRig rig(4, small_cache());
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(uploaded(rig, id));
  ASSERT_TRUE(rig.run_until([&] { return rig.catalog().totals()->local_bytes <= 40 * KiB; }));
  SegmentEntry evicted;
  const Manifest manifest = rig.manifest(id);
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    if (!*rig.disk().exists(segment_path(rig.directory(id), e.sequence, e.epoch))) evicted = e;
  }
  ASSERT_GT(evicted.stored_bytes, 0U);
  rig.faulty().corrupt_next_gets(5);
  const auto refused = rig.shelf().fetch(id, evicted, 1'000);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  rig.faulty().corrupt_next_gets(4);
  EXPECT_TRUE(rig.shelf().fetch(id, evicted, 1'000).ok());
}

TEST(Shelf, EveryByteOfASegmentIsChecked) {
  Buffer file(300, std::byte{7});
  const Sha256Digest body = Sha256::of(ByteView(file).first(268));
  std::copy(body.begin(), body.end(), file.begin() + 268);
  const auto check = [&](size_t piece) {
    SegmentHasher hasher(file.size());
    for (size_t at = 0; at < file.size(); at += piece) {
      hasher.update(ByteView(file).subspan(at, std::min(piece, file.size() - at)));
    }
    return hasher.finish(body).ok();
  };
  for (const size_t piece : {1U, 16U, 268U, 299U, 300U}) {
    ASSERT_TRUE(check(piece)) << piece;
    for (size_t i = 0; i < file.size(); ++i) {
      file[i] ^= std::byte{1};
      EXPECT_FALSE(check(piece)) << "byte " << i << ", pieces of " << piece;
      file[i] ^= std::byte{1};
    }
  }
}

TEST(Shelf, OverwrittenSegmentsLeaveTheStoreAfterTheManifest) {
  ShelfRig rig(5);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(uploaded(rig, id));
  rig.write(id, 5, 3);
  ASSERT_TRUE(uploaded(rig, id));
  ASSERT_TRUE(rig.run_until([&] {
    return rig.store().list("cartridges/", "", 1000)->objects.size() ==
           rig.manifest(id).partitions[0].segments.size() + 1;
  }));
  rig.expect_stored(id, StorageClass::standard);
  EXPECT_EQ(rig.catalog().segments(id)->size(), rig.manifest(id).partitions[0].segments.size());
}

TEST(Shelf, ArchiveRetrieveExpireDelete) {
  ShelfRig rig(6);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  const auto archive = rig.shelf().archive(id);
  ASSERT_TRUE(archive.ok()) << archive.error().message();
  EXPECT_EQ(rig.status(id), TapeStatus::in_transit_to_vts);
  EXPECT_EQ(rig.shelf().archive(id).error().code, ErrorCode::conflict);
  EXPECT_EQ(rig.shelf().remove(id).error().code, ErrorCode::conflict);
  auto job = rig.shelf().wait(*archive, 600'000);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(job->state, JobState::succeeded);
  EXPECT_EQ(job->done_bytes, rig.manifest(id).stored_bytes());
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ(rig.local_segments(id), 0U);
  rig.expect_stored(id, StorageClass::glacier);
  EXPECT_EQ(rig.stored_manifest(id)->properties.at("status"), "ARCHIVED");
  EXPECT_EQ(rig.stored_manifest(id)->properties.at("pool"), "glacier");
  EXPECT_TRUE(rig.stored_manifest(id)->properties.contains("archived_at"));
  EXPECT_EQ(rig.read_all(id).error().code, ErrorCode::cold);

  const auto retrieve = rig.shelf().retrieve(id, RestoreTier::standard, 2);
  ASSERT_TRUE(retrieve.ok());
  job = rig.shelf().wait(*retrieve, 600'000);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  EXPECT_TRUE(rig.manifest(id).write_protected);
  EXPECT_TRUE((*rig.catalog().tape(id))->write_protected);
  const Status read = rig.read_all(id);
  ASSERT_TRUE(read.ok()) << read.error().message();

  rig.clock().advance_ms(3LL * 24 * 3600 * 1000);
  const auto again = rig.shelf().archive(id);
  ASSERT_TRUE(again.ok());
  ASSERT_TRUE(rig.shelf().wait(*again, 600'000).ok());
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ(rig.read_all(id).error().code, ErrorCode::cold) << "the restored copies are gone";

  const auto remove = rig.shelf().remove(id);
  ASSERT_TRUE(remove.ok());
  ASSERT_TRUE(rig.shelf().wait(*remove, 600'000).ok());
  EXPECT_EQ(rig.status(id), TapeStatus::deleted);
  EXPECT_TRUE(rig.store().list("", "", 10)->objects.empty());
  EXPECT_FALSE(*rig.disk().exists(rig.directory(id)));
  const std::vector<TapeStatus> expected = {
      TapeStatus::in_transit_to_vts, TapeStatus::archiving,
      TapeStatus::archived,          TapeStatus::retrieving,
      TapeStatus::retrieved,         TapeStatus::in_transit_to_vts,
      TapeStatus::archiving,         TapeStatus::archived,
      TapeStatus::deleting,          TapeStatus::deleted};
  EXPECT_EQ(rig.told(), expected);
}

TEST(Shelf, CancelledJobsLeaveTheTapeAsItWas) {
  ShelfRig rig(7);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  EXPECT_EQ(rig.shelf().cancel_archive(id).error().code, ErrorCode::conflict);
  rig.faulty().fail_next("put", kAway, 1'000'000);
  auto job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok());
  rig.run_until([] { return false; }, 10'000);
  EXPECT_EQ(rig.status(id), TapeStatus::in_transit_to_vts);
  ASSERT_TRUE(rig.shelf().cancel_archive(id).ok());
  EXPECT_EQ(rig.shelf().wait(*job, 60'000)->state, JobState::cancelled);
  EXPECT_EQ(rig.status(id), TapeStatus::available);
  rig.faulty().fail_next("", kAway, 0);
  job = rig.shelf().archive(id);
  ASSERT_TRUE(rig.shelf().wait(*job, 600'000).ok());
  job = rig.shelf().retrieve(id, RestoreTier::bulk, 1);
  ASSERT_TRUE(job.ok());
  ASSERT_TRUE(rig.shelf().cancel_retrieve(id).ok());
  EXPECT_EQ(rig.shelf().wait(*job, 60'000)->state, JobState::cancelled);
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_FALSE(rig.manifest(id).write_protected);
}

// A program that stops gives up what is under way. That is nothing a tape suffers from.
TEST(Shelf, WhatIsGivenUpAtAStopGoesOnAtTheNextStart) {
  ShelfRig rig(4);
  const Uuid id = rig.create("TAPE01");
  rig.write(id, 0, 20);
  const Error given_up(ErrorCode::cancelled, "given up");
  rig.faulty().fail_next("", given_up, 1'000);
  ASSERT_TRUE(rig.shelf().archive(id).ok());
  for (int i = 0; i < 40; ++i) {
    if (!rig.shelf().run_once()) rig.clock().advance_ms(100);
  }
  EXPECT_EQ((*rig.catalog().tape(id))->problem, "");
  EXPECT_NE(rig.status(id), TapeStatus::available) << "the job goes on";
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::archived; }));
  EXPECT_EQ((*rig.catalog().tape(id))->problem, "");
  rig.expect_stored(id, StorageClass::glacier);
}

TEST(Shelf, ALostSegmentFailsTheArchiveAndSaysSo) {
  ShelfRig rig(8);
  const Uuid id = rig.create("T00001");
  rig.faulty().fail_next("put", kAway, 1'000'000);
  rig.write(id, SIZE_MAX, 40);
  const SegmentEntry first = rig.manifest(id).partitions[0].segments[0];
  const std::string path = segment_path(rig.directory(id), first.sequence, first.epoch);
  const Buffer content = *rig.disk().content(path);
  ASSERT_TRUE(rig.disk().remove(path).ok());
  rig.faulty().fail_next("", kAway, 0);
  auto job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok());
  const auto row = rig.shelf().wait(*job, 600'000);
  ASSERT_TRUE(row.ok()) << row.error().message();
  EXPECT_EQ(row->state, JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::irrecoverable);
  EXPECT_NE((*rig.catalog().tape(id))->problem.find("segment"), std::string::npos);
  EXPECT_FALSE(rig.shelf().retrieve(id, RestoreTier::bulk, 1).ok()) << "it never got there";
  // The file is found again.
  ASSERT_TRUE(rig.disk().replace_file(path, content).ok());
  job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(rig.shelf().wait(*job, 600'000)->state, JobState::succeeded);
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ((*rig.catalog().tape(id))->problem, "");
  rig.expect_stored(id, StorageClass::glacier);
}

TEST(Shelf, A404ForAPutLosesNothingThatIsHere) {
  ShelfRig rig(8);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 40);
  rig.faulty().fail_next("put", Error(ErrorCode::not_found, "HTTP 404"), 1'000'000);
  auto job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(rig.shelf().wait(*job, 600'000)->state, JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::available);
  rig.faulty().fail_next("", kAway, 0);
  job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(rig.shelf().wait(*job, 600'000)->state, JobState::succeeded);
  rig.expect_stored(id, StorageClass::glacier);
}

TEST(Shelf, ADamagedLocalSegmentNeverReachesTheStore) {
  ShelfRig rig(9);
  const Uuid id = rig.create("T00001");
  rig.faulty().fail_next("put", kAway, 1'000'000);
  rig.write(id, SIZE_MAX, 40);
  const SegmentEntry first = rig.manifest(id).partitions[0].segments[0];
  ASSERT_TRUE(
      rig.disk().flip(segment_path(rig.directory(id), first.sequence, first.epoch), 300, 2).ok());
  rig.faulty().fail_next("", kAway, 0);
  const auto job = rig.shelf().archive(id);
  ASSERT_TRUE(job.ok());
  const auto row = rig.shelf().wait(*job, 600'000);
  ASSERT_TRUE(row.ok()) << row.error().message();
  EXPECT_EQ(row->state, JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::available) << "the rest can be read";
  EXPECT_FALSE(rig.store().head(segment_key(id, first.sequence, first.epoch)).ok());
  const auto report = rig.shelf().verify(id, nullptr, nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->problems.size(), 1U);
}

// The disk filled up while the last segment was sealed: whatever it has come to be by then, no
// manifest names it, and what is in it was synced.
TEST(Shelf, ATapeThatLacksItsLastSegmentIsNotArchived) {
  bool sealed_and_not_named = false;
  for (uint64_t call = 1; call < 20; ++call) {
    SCOPED_TRACE(call);
    ShelfRig rig(1);
    const Uuid id = rig.create("T00001");
    rig.write(id, SIZE_MAX, 3);
    auto tape = Cartridge::open(rig.cartridge_env(), rig.cartridge_options(), rig.directory(id));
    ASSERT_TRUE(tape.ok());
    Position at = (*tape)->end_of_data(0);
    ASSERT_TRUE((*tape)->write_record(at, ShelfRig::record_content(7)).ok());
    ASSERT_TRUE((*tape)->sync().ok());
    const uint64_t blocks = at.block;
    const size_t segments = rig.local_segments(id);
    rig.disk().fail_call(rig.disk().counted_calls() + call, ErrorCode::no_space, true);
    const bool closed = (*tape)->close().ok();
    tape->reset();
    rig.disk().no_faults();
    if (closed) break;
    sealed_and_not_named = sealed_and_not_named || rig.local_segments(id) > segments;
    const auto refused = rig.shelf().archive(id);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    tape = Cartridge::open(rig.cartridge_env(), rig.cartridge_options(), rig.directory(id));
    ASSERT_TRUE(tape.ok());
    EXPECT_EQ((*tape)->end_of_data(0).block, blocks);
    ASSERT_TRUE((*tape)->close().ok());
    tape->reset();
    EXPECT_TRUE(rig.shelf().archive(id).ok());
  }
  EXPECT_TRUE(sealed_and_not_named);
}

TEST(Shelf, ACatalogThatWasLostIsRebuiltFromTheDisk) {
  ShelfRig rig(10, small_cache());
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(uploaded(rig, id));
  ASSERT_TRUE(rig.run_until([&] { return rig.catalog().totals()->local_bytes <= 40 * KiB; }));
  std::vector<std::pair<uint64_t, uint64_t>> rows;
  const std::vector<SegmentRow> known = *rig.catalog().segments(id);
  for (const SegmentRow& row : known) {
    rows.emplace_back(row.sequence, row.epoch);
  }
  rig.restart(false);
  ASSERT_TRUE(rig.catalog().remove_segments(id, rows).ok());
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ(rig.catalog().segments(id)->size(), rows.size());
  ASSERT_TRUE(rig.run_until([&] { return rig.catalog().totals()->not_uploaded_bytes == 0; }));
  ASSERT_TRUE(rig.read_all(id).ok());
  const auto report = rig.shelf().verify(id, nullptr, nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->problems.empty()) << report->problems[0];
  EXPECT_EQ(report->segments, rows.size());
}

void lose_directory(ShelfRig& rig, const Uuid& id) {
  for (const std::string& path : rig.disk().all_files()) {
    if (!path.starts_with(rig.directory(id))) continue;
    ASSERT_TRUE(rig.disk().remove(path).ok());
  }
  ASSERT_TRUE(rig.disk().remove_directory(rig.directory(id)).ok());
}

TEST(Shelf, ALostDirectoryComesBackFromTheStore) {
  ShelfRig rig(11);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 30);
  ASSERT_TRUE(uploaded(rig, id));
  const Manifest stored = *rig.stored_manifest(id);
  const size_t records = rig.record_count(id);
  rig.faulty().fail_next("put", kAway, 1'000'000);
  rig.write(id, SIZE_MAX, 10);  // is lost
  const Manifest lost = rig.manifest(id);
  ASSERT_GT(lost.epoch, stored.epoch);
  rig.run_until([] { return false; }, 5'000);
  rig.faulty().fail_next("", kAway, 0);
  lose_directory(rig, id);
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  rig.knows(id, {rig.records(id).begin(),
                 rig.records(id).begin() + static_cast<std::ptrdiff_t>(records)});
  EXPECT_TRUE(rig.read_all(id).ok());
  EXPECT_GT(rig.manifest(id).epoch, lost.epoch + 1) << "no nonce comes twice";
  rig.run_once();
  EXPECT_NE((*rig.catalog().tape(id))->problem.find("may lack the end"), std::string::npos);
  rig.write(id, SIZE_MAX, 10);
  ASSERT_TRUE(uploaded(rig, id));
  EXPECT_TRUE(rig.read_all(id).ok());
  EXPECT_FALSE(rig.stored_manifest(id)->properties.contains("incomplete"));
}

// The store had lost it too, and was mended: at the next start, or when it is asked for again.
TEST(Shelf, WhatNeitherDiskNorStoreHadComesBackWithTheStore) {
  for (const bool archived : {true, false}) {
    for (const bool at_start : {true, false}) {
      ShelfRig rig(12);
      const Uuid id = rig.create("T00001", "standard");
      rig.write(id, SIZE_MAX, 30);
      ASSERT_TRUE(uploaded(rig, id));
      if (archived) {
        ASSERT_TRUE(rig.shelf().archive(id).ok());
        ASSERT_TRUE(rig.run_until([&] { return rig.status(id) == TapeStatus::archived; }));
        rig.run_until([&] { return !(*rig.catalog().unfinished_job(id)).has_value(); });
      }
      const Buffer manifest = *rig.store().get_all(manifest_key(id));
      ASSERT_TRUE(rig.store().remove(manifest_key(id)).ok());
      lose_directory(rig, id);
      rig.restart(false);
      ASSERT_TRUE(rig.shelf().reconcile().ok());
      EXPECT_EQ(rig.status(id), TapeStatus::irrecoverable);
      EXPECT_FALSE(rig.shelf().retrieve(id, RestoreTier::bulk, 1).ok()) << "still";
      EXPECT_FALSE(rig.shelf().archive(id).ok());
      ASSERT_TRUE(rig.store().put(manifest_key(id), source_of(manifest), PutOptions()).ok());
      const TapeStatus before = archived ? TapeStatus::archived : TapeStatus::available;
      if (at_start) {
        rig.restart(false);
        ASSERT_TRUE(rig.shelf().reconcile().ok());
        EXPECT_EQ(rig.status(id), before);
      }
      const auto job =
          archived ? rig.shelf().retrieve(id, RestoreTier::bulk, 1) : rig.shelf().archive(id);
      ASSERT_TRUE(job.ok()) << job.error().message();
      EXPECT_EQ(rig.shelf().wait(*job, 600'000)->state, JobState::succeeded);
      if (archived) {
        EXPECT_TRUE(rig.read_all(id).ok());
      }
    }
  }
}

// Keys that are being changed, a policy that denies: nothing of a segment's own. It is not asked
// for each of them, and what waits goes up soon after it is mended.
TEST(Shelf, AStoreThatRefusesIsAskedNowAndThen) {
  ShelfRig rig(13);
  const Uuid id = rig.create("T00001");
  rig.faulty().refuse_keys(".seg", Error(ErrorCode::permission, "HTTP 403"));
  rig.write(id, SIZE_MAX, 200);
  const size_t segments = rig.manifest(id).partitions[0].segments.size();
  ASSERT_GT(segments, 15U);
  const uint64_t puts = rig.faulty().calls("put");
  rig.run_until([] { return false; }, 60'000);
  EXPECT_LT(rig.faulty().calls("put") - puts, 10U);
  EXPECT_GT(rig.faulty().calls("put") - puts, 2U);
  EXPECT_NE((*rig.catalog().tape(id))->problem.find("403"), std::string::npos);
  rig.faulty().refuse_keys("", kAway);
  EXPECT_TRUE(rig.run_until([&] { return rig.all_in_state(id, SegmentState::verified); }, 150'000));
  rig.run_once();
  EXPECT_EQ((*rig.catalog().tape(id))->problem, "");
}

TEST(Shelf, DocumentsGoUpAndTheNewestWins) {
  ShelfRig rig(12);
  const std::string key = inventory_key("sgw-1");
  rig.faulty().fail_next("put", kAway, 2);
  rig.shelf().put_document(key, to_buffer(as_view("first")));
  rig.shelf().run_once();
  rig.shelf().put_document(key, to_buffer(as_view("second")));
  rig.run_until([] { return false; }, 30'000);
  EXPECT_EQ(to_text(*rig.store().get_all(key)), "second");
}

TEST(Shelf, ThreadsDoTheSame) {
  ShelfOptions options = small_cache();
  options.restore_poll_ms = 20;
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  const std::string root =
      testing::TempDir() + "/shelf-threads-" + Uuid::generate(random).to_string();
  options.cartridges_directory = root + "/cartridges";
  ASSERT_TRUE(files.create_directories(options.cartridges_directory).ok());
  auto catalog = Catalog::open(":memory:");
  ASSERT_TRUE(catalog.ok());
  ASSERT_TRUE((*catalog)->put_pool({"glacier", "GLACIER"}).ok());
  LocalDirectoryOptions local;
  local.root = root + "/store";
  local.standard_delay_ms = 50;
  auto store = LocalDirectoryStore::open(files, clock, local);
  ASSERT_TRUE(store.ok());
  WorkerPool workers(2);
  const auto buffers = BufferPool::create(16 * MiB);
  Shelf shelf({&files, &clock, catalog->get(), store->get(), buffers}, options, nullptr);
  shelf.start();
  CartridgeEnv env{&files, &clock, &random, &workers, &workers, buffers, &shelf, &shelf};
  CartridgeOptions cartridge_options;
  cartridge_options.segment_bytes = 16 * KiB;
  std::vector<Uuid> ids;
  for (int n = 0; n < 2; ++n) {
    NewCartridge what;
    what.uuid = Uuid::generate(random);
    what.label = "THR00" + std::to_string(n);
    what.medium = "LTO-8";
    what.capacity_bytes = 1 * GiB;
    const std::string directory = options.cartridges_directory + "/" + what.uuid.to_string();
    auto made = Cartridge::create(env, cartridge_options, directory, what);
    ASSERT_TRUE(made.ok()) << made.error().message();
    ASSERT_TRUE(shelf.adopt((*made)->manifest(), "glacier", TapeStatus::available).ok());
    Position at;
    for (uint64_t i = 0; i < 40; ++i) {
      ASSERT_TRUE((*made)->write_record(at, ShelfRig::record_content(i)).ok());
    }
    ASSERT_TRUE((*made)->close().ok());
    ids.push_back(what.uuid);
  }
  for (const Uuid& id : ids) {
    const auto job = shelf.archive(id);
    ASSERT_TRUE(job.ok()) << job.error().message();
    const auto row = shelf.wait(*job, 60'000);
    ASSERT_TRUE(row.ok()) << row.error().message();
    EXPECT_EQ(row->state, JobState::succeeded) << row->error;
    // Taken back on another thread than the job's: its end is what the catalog says last.
    for (int round = 0; round < 20; ++round) {
      const auto ordered = shelf.retrieve(id, RestoreTier::standard, 1);
      ASSERT_TRUE(ordered.ok()) << ordered.error().message();
      const Status taken_back = shelf.cancel_retrieve(id);
      const auto ended = shelf.wait(*ordered, 60'000);
      ASSERT_TRUE(ended.ok()) << ended.error().message();
      EXPECT_EQ(ended->state, taken_back.ok() ? JobState::cancelled : JobState::succeeded);
    }
    const auto back = shelf.retrieve(id, RestoreTier::standard, 1);
    ASSERT_TRUE(back.ok());
    ASSERT_TRUE(shelf.wait(*back, 60'000).ok());
  }
  std::vector<std::thread> readers;
  for (const Uuid& id : ids) {
    readers.emplace_back([&, id] {
      const std::string directory = options.cartridges_directory + "/" + id.to_string();
      auto opened = Cartridge::open(env, cartridge_options, directory);
      ASSERT_TRUE(opened.ok()) << opened.error().message();
      Position at;
      for (uint64_t i = 0; i < 40; ++i) {
        const auto object = (*opened)->read(at);
        ASSERT_TRUE(object.ok()) << object.error().message();
        EXPECT_TRUE(equal(object->record.flatten(), ShelfRig::record_content(i)));
      }
      EXPECT_TRUE((*opened)->close().ok());
    });
  }
  for (std::thread& reader : readers) reader.join();
  shelf.stop();
  shelf.start();
  const auto gone = shelf.remove(ids[0]);
  ASSERT_TRUE(gone.ok());
  EXPECT_TRUE(shelf.wait(*gone, 60'000).ok());
  shelf.stop();
}

}  // namespace
}  // namespace coldshelf::test
