// Partial recall, direct pools, locks, reassign.
#include <gtest/gtest.h>

#include "tests/support/shelf_rig.h"

namespace coldshelf::test {
namespace {

const Error kAway(ErrorCode::unavailable, "away");
constexpr int64_t kDayMs = 86'400'000;

void run_job(ShelfRig& rig, const Result<int64_t>& begun, JobState wanted = JobState::succeeded) {
  ASSERT_TRUE(begun.ok()) << begun.error().message();
  const auto job = rig.shelf().wait(*begun, 24 * 3'600'000);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(job->state, wanted) << job->error;
}

Uuid archived(ShelfRig& rig, const std::string& pool = "glacier", size_t records = 60) {
  const Uuid id = rig.create("T00001", pool);
  rig.write(id, SIZE_MAX, records);
  run_job(rig, rig.shelf().archive(id));
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  return id;
}

std::set<uint64_t> restored(ShelfRig& rig, const Uuid& id) {
  std::set<uint64_t> out;
  const Manifest manifest = rig.manifest(id);
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    const auto head = rig.store().head(segment_key(id, e.sequence, e.epoch));
    EXPECT_TRUE(head.ok());
    if (head->restored_until_ms != 0) out.insert(e.sequence);
  }
  return out;
}

std::set<uint64_t> holding(ShelfRig& rig, const Uuid& id, uint64_t first, uint64_t last) {
  std::set<uint64_t> out;
  const Manifest manifest = rig.manifest(id);
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    if (e.first_block <= last && e.end_block() > first) out.insert(e.sequence);
  }
  return out;
}

Shelf::RetrieveRequest records(uint64_t first, uint64_t last) {
  Shelf::RetrieveRequest request;
  request.parts = {{TapeRange::Kind::records, 0, first, last}};
  return request;
}

TEST(ShelfRetrieve, OnlyTheSegmentsOfAPartAreRestored) {
  ShelfRig rig(1);
  const Uuid id = archived(rig);
  const size_t all = rig.manifest(id).partitions[0].segments.size();
  ASSERT_GT(all, 6U);
  EXPECT_EQ(rig.shelf().retrieve(id, records(0, 60)).error().code, ErrorCode::out_of_range);
  run_job(rig, rig.shelf().retrieve(id, records(20, 24)));
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  EXPECT_EQ(restored(rig, id), holding(rig, id, 20, 24));
  EXPECT_EQ((*rig.catalog().tape(id))->parts, "r20-24");
  EXPECT_EQ(rig.manifest(id).properties.at("parts"), "r20-24");
  ASSERT_TRUE(rig.read_range(id, 20, 24).ok());
  const uint64_t asked = rig.faulty().calls("get");
  EXPECT_EQ(rig.read_range(id, 50, 50).error().code, ErrorCode::cold);
  EXPECT_EQ(rig.read_range(id, 0, 0).error().code, ErrorCode::cold);
  EXPECT_EQ(rig.faulty().calls("get"), asked) << "nothing is downloaded, nothing evicted for it";

  // More of it, while it may be open in a drive: the manifest stays as it is.
  const uint64_t generation = rig.manifest(id).generation;
  run_job(rig, rig.shelf().retrieve(id, records(50, 51)));
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  EXPECT_EQ(rig.manifest(id).generation, generation);
  EXPECT_EQ((*rig.catalog().tape(id))->parts, "r20-24,r50-51");
  ASSERT_TRUE(rig.read_range(id, 50, 51).ok());
  ASSERT_TRUE(rig.read_range(id, 20, 24).ok());

  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1));
  EXPECT_EQ((*rig.catalog().tape(id))->parts, "");
  EXPECT_EQ(restored(rig, id).size(), all);
  ASSERT_TRUE(rig.read_all(id).ok());
  run_job(rig, rig.shelf().archive(id));
  EXPECT_FALSE(rig.manifest(id).properties.contains("parts"));
  rig.expect_stored(id, StorageClass::glacier);
}

TEST(ShelfRetrieve, WhatIsNotFoundAndListedIsNotLost) {
  ShelfRig rig(21);
  const Uuid id = archived(rig);
  rig.faulty().fail_next("head", Error(ErrorCode::not_found, "HTTP 404"), 3);
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1));
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfRetrieve, AnIrrecoverableTapeIsLookedAtAgainWhenAskedFor) {
  ShelfRig rig(22);
  const Uuid id = archived(rig, "standard");
  const SegmentEntry first = rig.manifest(id).partitions[0].segments[0];
  const std::string key = segment_key(id, first.sequence, first.epoch);
  const Buffer content = *rig.store().get_all(key);
  ASSERT_TRUE(rig.store().remove(key).ok());
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1), JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::irrecoverable);
  rig.restart(false);
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ(rig.status(id), TapeStatus::irrecoverable);
  EXPECT_FALSE(rig.shelf().archive(id).ok()) << "it is there already";
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1), JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::irrecoverable) << "still";
  PutSource source;
  source.bytes = content;
  source.size = content.size();
  source.sha256 = Sha256::of(content);
  ASSERT_TRUE(rig.store().put(key, source, {}).ok());
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1));
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  EXPECT_EQ((*rig.catalog().tape(id))->problem, "");
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfRetrieve, APartIsRememberedByTheManifestAlone) {
  ShelfRig rig(2);
  const Uuid id = archived(rig);
  run_job(rig, rig.shelf().retrieve(id, records(3, 4)));
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ((*rig.catalog().tape(id))->parts, "r3-4");
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
}

TEST(ShelfRetrieve, AnImpossibleTierIsRefusedAtOnce) {
  ShelfRig rig(3);
  const Uuid id = archived(rig, "deep");
  const auto refused = rig.shelf().retrieve(id, RestoreTier::expedited, 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message().find("DEEP_ARCHIVE"), std::string::npos);
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ(rig.faulty().calls("restore"), 0U);
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::bulk, 1));
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfRetrieve, RequestsAreBoundedAndPollsLookAtAFew) {
  ShelfOptions options;
  options.restore_requests_per_second = 10;
  options.restore_poll_ms = 10'000;
  ShelfRig rig(4, options);
  rig.restore_takes_ms(120'000);
  const Uuid id = archived(rig, "glacier", 600);
  const size_t all = rig.manifest(id).partitions[0].segments.size();
  ASSERT_GT(all, 60U);
  const auto job = rig.shelf().retrieve(id, RestoreTier::standard, 1);
  ASSERT_TRUE(job.ok());
  const int64_t began = rig.clock().elapsed_ms();
  const uint64_t heads_before = rig.faulty().calls("head");
  bool within = true;
  ASSERT_TRUE(rig.run_until([&] {
    const int64_t passed = rig.clock().elapsed_ms() - began;
    within = within && rig.faulty().calls("restore") <= 2 + static_cast<uint64_t>(passed) / 100;
    return rig.faulty().calls("restore") == all;
  }));
  EXPECT_TRUE(within) << "more than 10 requests in a second";
  EXPECT_GE(rig.clock().elapsed_ms() - began, static_cast<int64_t>(all - 2) * 100);
  const uint64_t heads_asked = rig.faulty().calls("head");
  EXPECT_EQ(heads_asked - heads_before, all) << "one look at each";
  // Until the first is back, a poll is 16 looks.
  rig.run_until([&] { return rig.clock().elapsed_ms() - began > 110'000; });
  EXPECT_LE(rig.faulty().calls("head") - heads_asked, 16U * 12);
  EXPECT_NE((*rig.catalog().job(*job))->parameters["expected_ms"], "");
  run_job(rig, job);
  EXPECT_EQ(rig.faulty().calls("restore"), all);
}

TEST(ShelfRetrieve, ARestartAsksNothingTwice) {
  ShelfOptions options;
  options.restore_poll_ms = 1'000;
  options.restore_requests_per_second = 20;
  ShelfRig rig(5, options);
  rig.restore_takes_ms(60'000);
  const Uuid id = archived(rig, "glacier", 200);
  const size_t all = rig.manifest(id).partitions[0].segments.size();
  const auto job = rig.shelf().retrieve(id, RestoreTier::standard, 2);
  ASSERT_TRUE(job.ok());
  uint64_t asked = 0;
  // In the middle of asking, while waiting, and when some are back.
  for (const int64_t after_ms : {700, 30'000, 30'500}) {
    const int64_t began = rig.clock().elapsed_ms();
    rig.run_until([&] { return rig.clock().elapsed_ms() - began >= after_ms; });
    asked += rig.faulty().calls("restore");
    rig.restart(after_ms == 30'000);
    ASSERT_TRUE(rig.shelf().reconcile().ok());
  }
  run_job(rig, job);
  EXPECT_EQ(asked + rig.faulty().calls("restore"), all);
  EXPECT_TRUE(rig.read_all(id).ok());
}

// S3 goes on with what a cancelled retrieval asked for, and keeps the copy for that one's days.
TEST(ShelfRetrieve, ACopyThatAnotherRetrievalAskedForIsKeptForThisOnesDays) {
  ShelfOptions options;
  options.restore_poll_ms = 1'000;
  ShelfRig rig(23, options);
  rig.restore_takes_ms(60'000);
  const Uuid id = archived(rig);
  const Manifest manifest = rig.manifest(id);
  const size_t all = manifest.partitions[0].segments.size();
  const auto cancelled = rig.shelf().retrieve(id, RestoreTier::standard, 1);
  ASSERT_TRUE(cancelled.ok());
  ASSERT_TRUE(rig.run_until([&] { return rig.faulty().calls("restore") == all; }));
  ASSERT_TRUE(rig.shelf().cancel_retrieve(id).ok());
  run_job(rig, cancelled, JobState::cancelled);
  const int64_t now = rig.clock().unix_ms();
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 30));
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    const std::string key = segment_key(id, e.sequence, e.epoch);
    EXPECT_GE(rig.store().head(key)->restored_until_ms, now + 30 * kDayMs);
  }
  EXPECT_EQ(rig.faulty().calls("restore"), 2 * all) << "once for each copy that ended too early";
}

Error no_expedited_capacity() {
  return Error(ErrorCode::busy, Disposition::retry, "GlacierExpeditedRetrievalNotAvailable");
}

TEST(ShelfRetrieve, NoExpeditedCapacityAndRacesAreWaitedOut) {
  ShelfRig rig(6);
  const Uuid id = archived(rig);
  // 503 GlacierExpeditedRetrievalNotAvailable comes as busy, 409 as conflict.
  rig.faulty().fail_next("restore", no_expedited_capacity(), 5);
  const auto job = rig.shelf().retrieve(id, RestoreTier::expedited, 1);
  ASSERT_TRUE(job.ok());
  bool told = false;
  ASSERT_TRUE(rig.run_until([&] {
    const JobRow row = **rig.catalog().job(*job);
    told = told || row.step.find("GlacierExpeditedRetrievalNotAvailable") != std::string::npos;
    return row.state >= JobState::succeeded;
  }));
  EXPECT_EQ(rig.status(id), TapeStatus::retrieved);
  run_job(rig, rig.shelf().archive(id));
  rig.clock().advance_ms(30 * kDayMs);
  rig.faulty().fail_next("restore", Error(ErrorCode::conflict, "RestoreAlreadyInProgress"), 2,
                         true);
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 1));
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfRetrieve, WhereExpeditedStaysRefusedTheRestComesAsStandard) {
  ShelfRig rig(8);
  const Uuid id = archived(rig);
  const size_t all = rig.manifest(id).partitions[0].segments.size();
  ASSERT_GT(all, 3U);
  rig.restore_takes_ms(60'000);
  const auto job = rig.shelf().retrieve(id, RestoreTier::expedited, 1);
  ASSERT_TRUE(job.ok());
  rig.run_until([&] { return rig.faulty().calls("restore") >= 2; });
  // What was asked for is under way; of the others none is taken as Expedited any more.
  rig.faulty().refuse_tier(RestoreTier::expedited, no_expedited_capacity());
  const int64_t from = rig.clock().unix_ms();
  ASSERT_TRUE(
      rig.run_until([&] { return (**rig.catalog().job(*job)).state >= JobState::succeeded; }));
  const JobRow row = **rig.catalog().job(*job);
  EXPECT_EQ(row.state, JobState::succeeded) << row.step;
  EXPECT_EQ(row.parameters.at("tier"), "Standard") << "what the operator sees is what was asked";
  EXPECT_GE(rig.clock().unix_ms() - from, 15 * 60'000) << "capacity may come back soon";
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfPools, DirectPutsIntoTheClassAndKeepsWhatCouldNotBeRead) {
  ShelfOptions options;
  options.cache_limit_bytes = 40 * KiB;
  ShelfRig rig(7, options);
  ASSERT_TRUE(rig.catalog().put_pool({"direct", "DEEP_ARCHIVE", "direct", "", 0}).ok());
  ASSERT_TRUE(rig.catalog().put_pool({"instant", "GLACIER_IR", "direct", "", 0}).ok());
  const Uuid id = rig.create("T00001", "direct");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(rig.run_until([&] { return rig.all_in_state(id, SegmentState::verified); }));
  rig.run_until([] { return false; }, 60'000);
  EXPECT_EQ(rig.local_segments(id), rig.manifest(id).partitions[0].segments.size())
      << "far over the limit, and all here: the store could not give them back";
  EXPECT_TRUE(rig.read_all(id).ok());
  rig.expect_stored(id, StorageClass::deep_archive);
  EXPECT_EQ(rig.store().head(manifest_key(id))->storage_class, StorageClass::standard);
  run_job(rig, rig.shelf().archive(id));
  EXPECT_EQ(rig.faulty().calls("change_class"), 0U);
  EXPECT_EQ(rig.local_segments(id), 0U);
  rig.expect_stored(id, StorageClass::deep_archive);

  const Uuid warm = rig.create("T00002", "instant");
  rig.write(warm, SIZE_MAX, 60);
  ASSERT_TRUE(rig.run_until([&] {
    return rig.catalog().totals()->local_bytes <= 40 * KiB && rig.stored_manifest(warm);
  }));
  EXPECT_TRUE(rig.read_all(warm).ok()) << "an immediate class is evicted and read back";
  rig.expect_stored(warm, StorageClass::glacier_ir);
}

TEST(ShelfPools, ALockedTapeStaysUntilItsTime) {
  ShelfRig rig(8);
  ASSERT_TRUE(rig.catalog().put_pool({"vault", "GLACIER", "staged", "COMPLIANCE", 30}).ok());
  const Uuid id = archived(rig, "vault");
  const TapeRow row = **rig.catalog().tape(id);
  EXPECT_EQ(row.lock_mode, "COMPLIANCE");
  const int64_t now = rig.clock().unix_ms();
  EXPECT_GT(row.locked_until_ms, now + 29 * kDayMs);
  EXPECT_LE(row.locked_until_ms, now + 30 * kDayMs);
  const Manifest manifest = rig.manifest(id);
  EXPECT_EQ(manifest.properties.at("lock"), "COMPLIANCE");
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    const auto lock = rig.store().lock_of(segment_key(id, e.sequence, e.epoch));
    ASSERT_TRUE(lock.ok());
    EXPECT_EQ(lock->mode, LockMode::compliance);
    EXPECT_EQ(lock->retain_until_ms, row.locked_until_ms);
  }
  const std::string copy = locked_manifest_key(id, manifest.generation);
  ASSERT_TRUE(rig.store().lock_of(copy).ok());
  EXPECT_EQ(rig.store().lock_of(copy)->mode, LockMode::compliance);
  EXPECT_EQ(rig.store().remove(copy).error().code, ErrorCode::write_protected);
  EXPECT_EQ(decode_manifest(*rig.store().get_all(copy), false)->manifest, manifest);
  const auto refused = rig.shelf().remove(id);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::write_protected);
  EXPECT_NE(refused.error().message().find("COMPLIANCE"), std::string::npos);

  // Retrieved and archived again: the lock gets longer, never shorter.
  rig.clock().advance_ms(5 * kDayMs);
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 1));
  EXPECT_EQ(rig.shelf().remove(id).error().code, ErrorCode::write_protected);
  run_job(rig, rig.shelf().archive(id));
  EXPECT_GT((*rig.catalog().tape(id))->locked_until_ms, row.locked_until_ms);
  // A catalog that was lost knows it again.
  const int64_t until = (*rig.catalog().tape(id))->locked_until_ms;
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ((*rig.catalog().tape(id))->locked_until_ms, until);
  EXPECT_EQ(rig.shelf().remove(id).error().code, ErrorCode::write_protected);
  rig.clock().advance_ms(31 * kDayMs);
  run_job(rig, rig.shelf().remove(id));
  EXPECT_EQ(rig.status(id), TapeStatus::deleted);
  EXPECT_TRUE(rig.store().list("cartridges/", "", 10)->objects.empty());
}

TEST(ShelfPools, AnArchivalThatFailsHalfWayLeavesALockThatIsKnown) {
  ShelfRig rig(13);
  ASSERT_TRUE(rig.catalog().put_pool({"vault", "GLACIER", "staged", "COMPLIANCE", 30}).ok());
  const Uuid id = rig.create("T00001", "vault");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(rig.run_until([&] { return rig.stored_manifest(id).has_value(); }));
  rig.faulty().fail_next("change_class", Error(ErrorCode::permission, "AccessDenied"));
  run_job(rig, rig.shelf().archive(id), JobState::failed);
  EXPECT_EQ(rig.status(id), TapeStatus::available);
  EXPECT_EQ(rig.shelf().remove(id).error().code, ErrorCode::write_protected);
  EXPECT_TRUE(rig.stored_manifest(id).has_value());
  EXPECT_TRUE(rig.read_all(id).ok());
  rig.clock().advance_ms(kDayMs);
  run_job(rig, rig.shelf().archive(id));
  rig.expect_stored(id, StorageClass::glacier);
  EXPECT_GT((*rig.catalog().tape(id))->locked_until_ms, rig.clock().unix_ms() + 29 * kDayMs);
}

TEST(ShelfPools, ALockedTapeMovesWithItsLock) {
  ShelfRig rig(14);
  ASSERT_TRUE(rig.catalog().put_pool({"vault", "GLACIER", "staged", "GOVERNANCE", 30}).ok());
  const Uuid id = archived(rig, "vault");
  const int64_t until = (*rig.catalog().tape(id))->locked_until_ms;
  run_job(rig, rig.shelf().reassign(id, "deep", RestoreTier::bulk));
  rig.expect_stored(id, StorageClass::deep_archive);
  const Manifest manifest = rig.manifest(id);
  for (const SegmentEntry& e : manifest.partitions[0].segments) {
    EXPECT_GE(rig.store().lock_of(segment_key(id, e.sequence, e.epoch))->retain_until_ms, until);
  }
  EXPECT_EQ(rig.shelf().remove(id).error().code, ErrorCode::write_protected)
      << "the new pool has no lock, the tape has";
}

TEST(ShelfPools, ReassignGoesToAColderPoolOnly) {
  ShelfRig rig(9);
  const Uuid id = archived(rig);
  EXPECT_EQ(rig.shelf().reassign(id, "standard", RestoreTier::bulk).error().code,
            ErrorCode::conflict);
  EXPECT_EQ(rig.shelf().reassign(id, "glacier", RestoreTier::bulk).error().code,
            ErrorCode::conflict);
  EXPECT_EQ(rig.shelf().reassign(id, "nowhere", RestoreTier::bulk).error().code,
            ErrorCode::invalid_argument);
  const auto job = rig.shelf().reassign(id, "deep", RestoreTier::bulk);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(rig.status(id), TapeStatus::archived) << "the status stays";
  EXPECT_EQ(rig.shelf().retrieve(id, RestoreTier::bulk, 1).error().code, ErrorCode::conflict);
  run_job(rig, job);
  EXPECT_EQ((*rig.catalog().tape(id))->pool, "deep");
  EXPECT_EQ(rig.manifest(id).properties.at("pool"), "deep");
  rig.expect_stored(id, StorageClass::deep_archive);
  EXPECT_EQ(rig.shelf().retrieve(id, RestoreTier::expedited, 1).error().code,
            ErrorCode::invalid_argument);
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 1));
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfPools, AnArchiveLeavesWhatIsInAColderClassAlready) {
  ShelfRig rig(1);
  const Uuid id = rig.create("T00001", "glacier");
  rig.write(id, SIZE_MAX, 60);
  ASSERT_TRUE(rig.run_until([&] {
    return rig.stored_manifest(id).has_value() && rig.all_in_state(id, SegmentState::verified);
  }));
  // As a reassignment does that is cut short.
  const SegmentEntry cold = rig.manifest(id).partitions[0].segments[1];
  const std::string key = segment_key(id, cold.sequence, cold.epoch);
  ASSERT_TRUE(rig.store().change_class(key, StorageClass::deep_archive).ok());
  run_job(rig, rig.shelf().archive(id));
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ(rig.store().head(key)->storage_class, StorageClass::deep_archive);
  const auto row = rig.catalog().segment(id, cold.sequence, cold.epoch);
  EXPECT_EQ((*row)->storage_class, "DEEP_ARCHIVE");
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 3));
  EXPECT_TRUE(rig.read_all(id, 20).ok());
  rig.clock().advance_ms(5 * kDayMs);
  run_job(rig, rig.shelf().archive(id));
  EXPECT_EQ(rig.status(id), TapeStatus::archived) << "what was restored is so no more";
}

TEST(ShelfPools, ACancelledReassignLeavesAWholeTape) {
  ShelfRig rig(10);
  rig.restore_takes_ms(5'000);
  const Uuid id = archived(rig);
  const auto job = rig.shelf().reassign(id, "deep", RestoreTier::bulk);
  ASSERT_TRUE(job.ok());
  rig.run_until([&] { return rig.faulty().calls("restore") >= 3; });
  ASSERT_TRUE(rig.shelf().cancel_reassign(id).ok());
  run_job(rig, job, JobState::cancelled);
  EXPECT_EQ(rig.status(id), TapeStatus::archived);
  EXPECT_EQ((*rig.catalog().tape(id))->pool, "glacier");
  run_job(rig, rig.shelf().retrieve(id, RestoreTier::standard, 1));
  EXPECT_TRUE(rig.read_all(id).ok());
}

TEST(ShelfPools, ATapeInTheLibraryChangesItsPoolAtOnce) {
  ShelfRig rig(11);
  const Uuid id = rig.create("T00001");
  rig.write(id, SIZE_MAX, 30);
  ASSERT_TRUE(rig.shelf().assign_pool(id, "deep").ok());
  EXPECT_EQ((*rig.catalog().tape(id))->pool, "deep");
  EXPECT_EQ(rig.manifest(id).properties.at("pool"), "deep");
  rig.write(id, SIZE_MAX, 10);
  run_job(rig, rig.shelf().archive(id));
  rig.expect_stored(id, StorageClass::deep_archive);
  EXPECT_EQ(rig.shelf().assign_pool(id, "glacier").error().code, ErrorCode::conflict);
}

TEST(ShelfPools, HoldingsTellWhatIsWhere) {
  ShelfRig rig(12);
  const Uuid id = archived(rig);
  const auto before = rig.shelf().holdings(id, {});
  ASSERT_TRUE(before.ok());
  const auto segments = rig.manifest(id).partitions[0].segments;
  ASSERT_EQ(before->stored.size(), 1U);
  EXPECT_EQ(before->stored[0],
            (ObjectGroup{StorageClass::glacier, segments.size(), rig.manifest(id).stored_bytes()}));
  EXPECT_EQ(before->to_restore, before->stored);
  // A catalog that was just rebuilt says the same, before the store was asked for each object.
  rig.lose_catalog();
  ASSERT_TRUE(rig.shelf().reconcile().ok());
  EXPECT_EQ((*rig.catalog().segments(id))[0].storage_class, "");
  const auto rebuilt = rig.shelf().holdings(id, {});
  ASSERT_TRUE(rebuilt.ok());
  EXPECT_EQ(rebuilt->stored, before->stored);
  EXPECT_EQ(rebuilt->to_restore, before->to_restore);
  run_job(rig, rig.shelf().retrieve(id, records(0, 0)));
  const auto after = rig.shelf().holdings(id, {});
  EXPECT_EQ(after->to_restore[0].objects, segments.size() - 1);
  EXPECT_GT(after->readable_until_ms, rig.clock().unix_ms());
  const auto part = rig.shelf().holdings(id, records(0, 0).parts);
  EXPECT_TRUE(part->to_restore.empty());
  EXPECT_EQ(part->stored[0].objects, 1U);
}

}  // namespace
}  // namespace coldshelf::test
