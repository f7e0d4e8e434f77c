#include "catalog/catalog.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "catalog/sqlite.h"

namespace coldshelf {
namespace {

Uuid uuid(uint8_t n) {
  Uuid id;
  id.bytes[15] = static_cast<std::byte>(n);
  return id;
}

TapeRow tape(uint8_t n, const std::string& barcode) {
  TapeRow row;
  row.uuid = uuid(n);
  row.barcode = barcode;
  row.medium = "LTO-8";
  row.capacity_bytes = 10 * GiB;
  row.used_bytes = 1;
  row.stored_bytes = 2;
  row.pool = "deep";
  row.status = TapeStatus::available;
  row.worm = true;
  row.created_ms = 1'795'000'000'000;
  row.status_changed_ms = 5;
  row.manifest_generation = 7;
  row.uploaded_manifest_generation = 6;
  row.problem = "it's \"quoted\"";
  return row;
}

SegmentRow segment(uint8_t cartridge, uint64_t sequence, SegmentState state, bool local,
                   uint64_t bytes = 100) {
  SegmentRow row;
  row.cartridge = uuid(cartridge);
  row.sequence = sequence;
  row.epoch = 1;
  row.stored_bytes = bytes;
  row.sha256 = Sha256::of(as_view("segment " + std::to_string(sequence)));
  row.state = state;
  row.local = local;
  row.last_used_ms = static_cast<int64_t>(1000 - sequence);
  return row;
}

JobRow job(uint8_t cartridge, JobKind kind = JobKind::archive) {
  JobRow row;
  row.kind = kind;
  row.cartridge = uuid(cartridge);
  row.barcode = "T0000" + std::to_string(cartridge);
  row.parameters = {{"tier", "Standard"}, {"note", "a\nb\"c"}};
  row.step = "queued";
  row.created_ms = 1;
  return row;
}

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 ("catalog-" + std::to_string(::getpid()) + "-" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    reopen();
  }
  void TearDown() override {
    catalog_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::string path() const { return (directory_ / "catalog.db").string(); }
  void reopen() {
    catalog_.reset();
    auto opened = Catalog::open(path());
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    catalog_ = std::move(opened).value();
  }

  std::filesystem::path directory_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, TapesSurviveReopening) {
  const TapeRow row = tape(1, "T00001");
  ASSERT_TRUE(catalog_->put_tape(row).ok());
  reopen();
  const auto found = catalog_->tape(row.uuid);
  ASSERT_TRUE(found.ok() && found->has_value());
  const TapeRow& got = **found;
  EXPECT_EQ(got.uuid, row.uuid);
  EXPECT_EQ(got.barcode, row.barcode);
  EXPECT_EQ(got.medium, row.medium);
  EXPECT_EQ(got.capacity_bytes, row.capacity_bytes);
  EXPECT_EQ(got.used_bytes, 1U);
  EXPECT_EQ(got.stored_bytes, 2U);
  EXPECT_EQ(got.pool, row.pool);
  EXPECT_EQ(got.status, row.status);
  EXPECT_TRUE(got.worm);
  EXPECT_FALSE(got.write_protected);
  EXPECT_EQ(got.created_ms, row.created_ms);
  EXPECT_EQ(got.status_changed_ms, 5);
  EXPECT_EQ(got.manifest_generation, 7U);
  EXPECT_EQ(got.uploaded_manifest_generation, 6U);
  EXPECT_EQ(got.problem, row.problem);
  EXPECT_FALSE(catalog_->tape(uuid(9))->has_value());
  EXPECT_EQ((*catalog_->tape_by_barcode("T00001"))->uuid, row.uuid);
  EXPECT_FALSE(catalog_->tape_by_barcode("T00002")->has_value());
}

TEST_F(CatalogTest, TapesAreListedByBarcodeInPages) {
  for (const uint8_t n : std::vector<uint8_t>{3, 1, 2, 4}) {
    ASSERT_TRUE(catalog_->put_tape(tape(n, "T0000" + std::to_string(n))).ok());
  }
  ASSERT_TRUE(catalog_->set_tape_deleted(uuid(2), 77).ok());
  const auto all = catalog_->tapes();
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ((*all)[0].barcode, "T00001");
  EXPECT_EQ((*all)[1].barcode, "T00003");
  const auto page = catalog_->tapes(1, "T00001");
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->size(), 1U);
  EXPECT_EQ((*page)[0].barcode, "T00003");
}

TEST_F(CatalogTest, ABarcodeIsNeverReused) {
  ASSERT_TRUE(catalog_->put_tape(tape(1, "T00001")).ok());
  EXPECT_TRUE(catalog_->put_tape(tape(1, "T00001")).ok()) << "the same tape again";
  EXPECT_EQ(catalog_->put_tape(tape(2, "T00001")).error().code, ErrorCode::exists);
  ASSERT_TRUE(catalog_->put_segments({segment(1, 1, SegmentState::sealed, true)}).ok());
  ASSERT_TRUE(catalog_->set_tape_deleted(uuid(1), 77).ok());
  EXPECT_EQ(catalog_->put_tape(tape(2, "T00001")).error().code, ErrorCode::exists);
  EXPECT_TRUE(catalog_->segments(uuid(1))->empty());
  const auto gone = catalog_->tape_by_barcode("T00001");
  ASSERT_TRUE(gone.ok() && gone->has_value());
  EXPECT_EQ((*gone)->status, TapeStatus::deleted);
  EXPECT_EQ((*gone)->status_changed_ms, 77);
}

TEST_F(CatalogTest, TapeFieldsAreSetOneByOne) {
  ASSERT_TRUE(catalog_->put_tape(tape(1, "T00001")).ok());
  ASSERT_TRUE(catalog_->set_tape_status(uuid(1), TapeStatus::archived, 1234).ok());
  ASSERT_TRUE(catalog_->set_tape_problem(uuid(1), "damaged").ok());
  ASSERT_TRUE(catalog_->set_tape_usage(uuid(1), 10, 20, 30, true).ok());
  ASSERT_TRUE(catalog_->set_uploaded_generation(uuid(1), 29).ok());
  const TapeRow row = **catalog_->tape(uuid(1));
  EXPECT_EQ(row.status, TapeStatus::archived);
  EXPECT_EQ(row.status_changed_ms, 1234);
  EXPECT_EQ(row.archived_ms, 1234);
  EXPECT_EQ(row.problem, "damaged");
  EXPECT_EQ(row.used_bytes, 10U);
  EXPECT_EQ(row.stored_bytes, 20U);
  EXPECT_EQ(row.manifest_generation, 30U);
  EXPECT_TRUE(row.write_protected);
  EXPECT_EQ(row.uploaded_manifest_generation, 29U);
  // A cancelled retrieval does not make it archived anew.
  ASSERT_TRUE(catalog_->set_tape_status(uuid(1), TapeStatus::retrieving, 2000).ok());
  ASSERT_TRUE(catalog_->set_tape_status(uuid(1), TapeStatus::archived, 3000).ok());
  EXPECT_EQ((*catalog_->tape(uuid(1)))->archived_ms, 1234);
  EXPECT_EQ(catalog_->set_tape_status(uuid(8), TapeStatus::archived, 1).error().code,
            ErrorCode::not_found);
  EXPECT_EQ(catalog_->set_tape_problem(uuid(8), "").error().code, ErrorCode::not_found);
  EXPECT_EQ(catalog_->set_tape_usage(uuid(8), 0, 0, 0, false).error().code, ErrorCode::not_found);
  EXPECT_EQ(catalog_->set_uploaded_generation(uuid(8), 1).error().code, ErrorCode::not_found);
  EXPECT_EQ(catalog_->set_tape_deleted(uuid(8), 1).error().code, ErrorCode::not_found);
}

TEST_F(CatalogTest, TapesAreCountedByStatusHoweverTheyChange) {
  TapeRow first = tape(1, "AAA001L8"), second = tape(2, "AAA002L8");
  second.status = TapeStatus::archived;
  ASSERT_TRUE(catalog_->put_tape(first).ok());
  ASSERT_TRUE(catalog_->put_tape(second).ok());
  // To a status that is counted already, and back, as a whole row and alone.
  first.status = TapeStatus::archived;
  first.problem = "";
  const Status put = catalog_->put_tape(first);
  ASSERT_TRUE(put.ok()) << put.error().message();
  using Counts = std::map<TapeStatus, uint64_t>;
  EXPECT_EQ(*catalog_->tape_counts(), (Counts{{TapeStatus::archived, 2}}));
  ASSERT_TRUE(catalog_->set_tape_status(uuid(2), TapeStatus::available, 9).ok());
  first.status = TapeStatus::recovered;
  ASSERT_TRUE(catalog_->put_tape(first).ok());
  EXPECT_EQ(*catalog_->tape_counts(),
            (Counts{{TapeStatus::available, 1}, {TapeStatus::recovered, 1}}));
  EXPECT_EQ(catalog_->tape_problems(10)->size(), 1U);
}

TEST_F(CatalogTest, SegmentsAndTheirStates) {
  ASSERT_TRUE(catalog_
                  ->put_segments({segment(1, 3, SegmentState::sealed, true),
                                  segment(1, 1, SegmentState::verified, true),
                                  segment(1, 2, SegmentState::evicted, false),
                                  segment(2, 1, SegmentState::sealed, true)})
                  .ok());
  const auto rows = catalog_->segments(uuid(1));
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ((*rows)[0].sequence, 1U);
  EXPECT_EQ((*rows)[2].sequence, 3U);
  EXPECT_EQ((*rows)[2].sha256, Sha256::of(as_view("segment 3")));
  EXPECT_FALSE((*rows)[2].object_sha256.has_value());
  const auto sealed = catalog_->segments_in_state(SegmentState::sealed, 10);
  ASSERT_TRUE(sealed.ok());
  ASSERT_EQ(sealed->size(), 2U);
  EXPECT_EQ((*sealed)[0].cartridge, uuid(2)) << "oldest sequence first";
  EXPECT_EQ(catalog_->segments_in_state(SegmentState::sealed, 1)->size(), 1U);
  EXPECT_EQ(catalog_->segments_in_state(SegmentState::evicted, 10)->size(), 1U);

  ASSERT_TRUE(catalog_->set_segment_state(uuid(1), 3, 1, SegmentState::uploading, true, "").ok());
  const Sha256Digest digest = Sha256::of(as_view("whole"));
  ASSERT_TRUE(
      catalog_
          ->set_segment_uploaded(uuid(1), 3, 1, SegmentState::verified, true, "STANDARD", digest)
          .ok());
  ASSERT_TRUE(catalog_->set_restored_until(uuid(1), 3, 1, 555).ok());
  ASSERT_TRUE(catalog_->touch_segment(uuid(1), 3, 1, 4444).ok());
  reopen();
  const auto one = catalog_->segment(uuid(1), 3, 1);
  ASSERT_TRUE(one.ok() && one->has_value());
  EXPECT_EQ((*one)->state, SegmentState::verified);
  EXPECT_EQ((*one)->storage_class, "STANDARD");
  EXPECT_EQ((*one)->object_sha256, digest);
  EXPECT_EQ((*one)->restored_until_ms, 555);
  EXPECT_EQ((*one)->last_used_ms, 4444);
  EXPECT_FALSE(catalog_->segment(uuid(1), 3, 2)->has_value());
  EXPECT_EQ(catalog_->set_segment_state(uuid(1), 9, 1, SegmentState::sealed, true, "").error().code,
            ErrorCode::not_found);
  EXPECT_EQ(catalog_->touch_segment(uuid(1), 9, 1, 1).error().code, ErrorCode::not_found);

  ASSERT_TRUE(catalog_->remove_segments(uuid(1), {{3, 1}, {1, 1}, {77, 1}}).ok());
  EXPECT_EQ(catalog_->segments(uuid(1))->size(), 1U);
}

TEST_F(CatalogTest, OnlyVerifiedLocalSegmentsAreEvictionCandidates) {
  uint64_t sequence = 1;
  for (const SegmentState state :
       {SegmentState::sealed, SegmentState::uploading, SegmentState::uploaded,
        SegmentState::verified, SegmentState::evicted, SegmentState::recalling,
        SegmentState::verified}) {
    ASSERT_TRUE(catalog_->put_segments({segment(1, sequence++, state, true)}).ok());
  }
  ASSERT_TRUE(catalog_->put_segments({segment(1, 20, SegmentState::verified, false)}).ok());
  const auto rows = catalog_->eviction_candidates(10);
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].sequence, 7U) << "least recently used first";
  EXPECT_EQ((*rows)[1].sequence, 4U);
  ASSERT_TRUE(catalog_->touch_segment(uuid(1), 7, 1, 5000).ok());
  EXPECT_EQ((*catalog_->eviction_candidates(1))[0].sequence, 4U);
}

TEST_F(CatalogTest, WhatOnlyARestoreBringsBackStaysWhileTheTapeIsInUse) {
  TapeRow row = tape(1, "B00001");
  row.status = TapeStatus::available;
  ASSERT_TRUE(catalog_->put_tape(row).ok());
  SegmentRow cold = segment(1, 1, SegmentState::verified, true);
  cold.storage_class = "DEEP_ARCHIVE";
  SegmentRow warm = segment(1, 2, SegmentState::verified, true);
  warm.storage_class = "GLACIER_IR";
  ASSERT_TRUE(catalog_->put_segments({cold, warm}).ok());
  const auto count = [&] { return catalog_->eviction_candidates(10)->size(); };
  EXPECT_EQ(count(), 1U);
  for (const TapeStatus status :
       {TapeStatus::in_transit_to_vts, TapeStatus::archiving, TapeStatus::recovered}) {
    ASSERT_TRUE(catalog_->set_tape_status(row.uuid, status, 1).ok());
    EXPECT_EQ(count(), 1U) << to_string(status);
  }
  for (const TapeStatus status : {TapeStatus::archived, TapeStatus::retrieved}) {
    ASSERT_TRUE(catalog_->set_tape_status(row.uuid, status, 1).ok());
    EXPECT_EQ(count(), 2U) << to_string(status);
  }
}

TEST_F(CatalogTest, TotalsFollowEveryChange) {
  const auto totals = [&] { return *catalog_->totals(); };
  EXPECT_EQ(totals().segments, 0U);
  ASSERT_TRUE(catalog_
                  ->put_segments({segment(1, 1, SegmentState::sealed, true, 10),
                                  segment(1, 2, SegmentState::verified, true, 100),
                                  segment(1, 3, SegmentState::evicted, false, 1000)})
                  .ok());
  EXPECT_EQ(totals().segments, 3U);
  EXPECT_EQ(totals().local_bytes, 110U);
  EXPECT_EQ(totals().not_uploaded_bytes, 10U);
  ASSERT_TRUE(catalog_->put_segments({segment(1, 1, SegmentState::verified, true, 10)}).ok());
  EXPECT_EQ(totals().not_uploaded_bytes, 0U);
  EXPECT_EQ(totals().segments, 3U);
  ASSERT_TRUE(
      catalog_->set_segment_state(uuid(1), 2, 1, SegmentState::evicted, false, "GLACIER").ok());
  EXPECT_EQ(totals().local_bytes, 10U);
  ASSERT_TRUE(catalog_->remove_segments(uuid(1), {{1, 1}}).ok());
  EXPECT_EQ(totals().local_bytes, 0U);
  reopen();
  EXPECT_EQ(totals().segments, 2U);
}

TEST_F(CatalogTest, ImagesStandBesideTapes) {
  ASSERT_TRUE(catalog_->put_tape(tape(1, "T00001")).ok());
  TapeRow image = tape(2, "T00001");  // names and barcodes are apart
  image.kind = RowKind::image;
  image.mode = ImageMode::stored;
  ASSERT_TRUE(catalog_->put_tape(image).ok());
  TapeRow other = tape(3, "T00001");
  other.kind = RowKind::image;
  EXPECT_EQ(catalog_->put_tape(other).error().code, ErrorCode::exists);
  reopen();
  EXPECT_EQ(catalog_->tapes()->size(), 1U);
  EXPECT_EQ((*catalog_->tape_by_barcode("T00001"))->uuid, uuid(1));
  EXPECT_EQ((*catalog_->image_by_name("T00001"))->uuid, uuid(2));
  ASSERT_EQ(catalog_->images()->size(), 1U);
  EXPECT_EQ((*catalog_->images())[0].mode, ImageMode::stored);
  ASSERT_TRUE(catalog_->set_image(uuid(2), ImageMode::cached, true).ok());
  EXPECT_TRUE((*catalog_->tape(uuid(2)))->pinned);
  EXPECT_EQ(catalog_->set_image(uuid(1), ImageMode::cached, true).error().code,
            ErrorCode::not_found);
  // A name is free again when its image is gone.
  ASSERT_TRUE(catalog_->put_segments({segment(2, 1, SegmentState::sealed, true)}).ok());
  ASSERT_TRUE(catalog_->forget_cartridge(uuid(2)).ok());
  EXPECT_EQ(catalog_->cartridge_usage(uuid(2))->segments, 0U);
  EXPECT_TRUE(catalog_->put_tape(other).ok());
}

TEST_F(CatalogTest, UsageOfACartridgeFollowsEveryChange) {
  SegmentRow sealed = segment(1, 1, SegmentState::sealed, true, 100);
  sealed.last_used_ms = 77;
  ASSERT_TRUE(catalog_
                  ->put_segments({sealed, segment(1, 2, SegmentState::verified, true, 10),
                                  segment(1, 3, SegmentState::evicted, false, 7),
                                  segment(2, 1, SegmentState::sealed, true, 1000)})
                  .ok());
  Catalog::CartridgeUsage usage = *catalog_->cartridge_usage(uuid(1));
  EXPECT_EQ(usage.segments, 3U);
  EXPECT_EQ(usage.bytes, 117U);
  EXPECT_EQ(usage.local_bytes, 110U);
  EXPECT_EQ(usage.stored_bytes, 17U);
  EXPECT_EQ(usage.not_uploaded_bytes, 100U);
  EXPECT_EQ(usage.oldest_unsent_ms, 77);
  ASSERT_TRUE(catalog_->set_segment_state(uuid(1), 1, 1, SegmentState::verified, true, "").ok());
  ASSERT_TRUE(catalog_->set_segment_state(uuid(1), 2, 1, SegmentState::evicted, false, "").ok());
  ASSERT_TRUE(catalog_->remove_segments(uuid(1), {{3, 1}}).ok());
  usage = *catalog_->cartridge_usage(uuid(1));
  EXPECT_EQ(usage.segments, 2U);
  EXPECT_EQ(usage.local_bytes, 100U);
  EXPECT_EQ(usage.not_uploaded_bytes, 0U);
  EXPECT_EQ(usage.oldest_unsent_ms, 0);
}

TEST_F(CatalogTest, ImagesThatKeepEverythingAreNotEvicted) {
  for (const uint8_t n : std::vector<uint8_t>{1, 2, 3}) {
    TapeRow row = tape(n, "volume" + std::to_string(n));
    row.kind = RowKind::image;
    row.mode = n == 1 ? ImageMode::stored : ImageMode::cached;
    row.pinned = n == 2;
    ASSERT_TRUE(catalog_->put_tape(row).ok());
    ASSERT_TRUE(catalog_->put_segments({segment(n, 1, SegmentState::verified, true, 10)}).ok());
  }
  const auto candidates = catalog_->eviction_candidates(10);
  ASSERT_TRUE(candidates.ok());
  ASSERT_EQ(candidates->size(), 1U);
  EXPECT_EQ((*candidates)[0].cartridge, uuid(3));
  EXPECT_EQ(catalog_->totals()->local_bytes, 30U);
  EXPECT_EQ(catalog_->totals()->stored_image_bytes, 10U);
}

TEST_F(CatalogTest, OneUnfinishedJobPerCartridge) {
  const auto first = catalog_->add_job(job(1));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(catalog_->add_job(job(1, JobKind::delete_tape)).error().code, ErrorCode::conflict);
  const auto other = catalog_->add_job(job(2));
  ASSERT_TRUE(other.ok());
  EXPECT_GT(*other, *first);
  reopen();
  auto row = catalog_->job(*first);
  ASSERT_TRUE(row.ok() && row->has_value());
  EXPECT_EQ((*row)->parameters, job(1).parameters);
  EXPECT_EQ((*row)->barcode, "T00001");
  EXPECT_EQ(catalog_->unfinished_jobs()->size(), 2U);
  EXPECT_EQ((*catalog_->unfinished_job(uuid(2)))->id, *other);
  const Status busy = catalog_->check_no_job(uuid(2));
  EXPECT_EQ(busy.error().code, ErrorCode::conflict);
  EXPECT_NE(busy.error().context.find(" job " + std::to_string(*other) + " of "), std::string::npos)
      << busy.error().context;
  EXPECT_EQ(catalog_->check_no_job(uuid(2), ErrorCode::busy).error().code, ErrorCode::busy);
  EXPECT_TRUE(catalog_->check_no_job(uuid(9)).ok());
  JobRow done = **row;
  done.state = JobState::failed;
  done.error = "no";
  done.done_bytes = 5;
  done.total_bytes = 6;
  done.done_objects = 7;
  done.total_objects = 8;
  done.not_before_ms = 9;
  ASSERT_TRUE(catalog_->update_job(done).ok());
  EXPECT_FALSE(catalog_->unfinished_job(uuid(1))->has_value());
  const auto again = catalog_->add_job(job(1, JobKind::retrieve));
  EXPECT_TRUE(again.ok()) << "a finished one does not stand against it";
  const auto jobs = catalog_->jobs(2);
  ASSERT_TRUE(jobs.ok());
  ASSERT_EQ(jobs->size(), 2U);
  EXPECT_EQ((*jobs)[0].id, *again) << "newest first";
  const JobRow failed = **catalog_->job(*first);
  EXPECT_EQ(failed.state, JobState::failed);
  EXPECT_EQ(failed.error, "no");
  EXPECT_EQ(failed.done_bytes, 5U);
  EXPECT_EQ(failed.total_objects, 8U);
  EXPECT_EQ(failed.not_before_ms, 9);
  done.id = 999;
  EXPECT_EQ(catalog_->update_job(done).error().code, ErrorCode::not_found);
}

TEST_F(CatalogTest, PoolsAndSettings) {
  ASSERT_TRUE(catalog_->put_pool({"glacier", "GLACIER"}).ok());
  ASSERT_TRUE(catalog_->put_pool({"deep", "DEEP_ARCHIVE"}).ok());
  ASSERT_TRUE(catalog_->put_pool({"glacier", "GLACIER_IR"}).ok());
  const auto pools = catalog_->pools();
  ASSERT_TRUE(pools.ok());
  ASSERT_EQ(pools->size(), 2U);
  EXPECT_EQ((*pools)[0].name, "deep");
  EXPECT_EQ((*pools)[1].storage_class, "GLACIER_IR");
  EXPECT_FALSE(catalog_->setting("x")->has_value());
  ASSERT_TRUE(catalog_->set_setting("x", "1").ok());
  ASSERT_TRUE(catalog_->set_setting("x", "").ok());
  EXPECT_EQ(*catalog_->setting("x"), "");
}

TEST_F(CatalogTest, PoolsKeepModeAndLockAndGoWhenEmpty) {
  const PoolRow vault{"vault", "DEEP_ARCHIVE", "direct", "COMPLIANCE", 3650};
  ASSERT_TRUE(catalog_->put_pool(vault).ok());
  reopen();
  ASSERT_TRUE(catalog_->pool("vault")->has_value());
  EXPECT_EQ(**catalog_->pool("vault"), vault);
  EXPECT_FALSE(catalog_->pool("other")->has_value());
  TapeRow row = tape(1, "B00001");
  row.pool = "vault";
  ASSERT_TRUE(catalog_->put_tape(row).ok());
  EXPECT_EQ(catalog_->remove_pool("vault").error().code, ErrorCode::conflict);
  ASSERT_TRUE(catalog_->set_tape_pool(row.uuid, "elsewhere").ok());
  ASSERT_TRUE(catalog_->set_tape_parts(row.uuid, "f3-5").ok());
  ASSERT_TRUE(catalog_->set_tape_lock(row.uuid, "GOVERNANCE", 77).ok());
  EXPECT_TRUE(catalog_->remove_pool("vault").ok());
  EXPECT_EQ(catalog_->remove_pool("vault").error().code, ErrorCode::not_found);
  const TapeRow found = **catalog_->tape(row.uuid);
  EXPECT_EQ(found.pool, "elsewhere");
  EXPECT_EQ(found.parts, "f3-5");
  EXPECT_EQ(found.lock_mode, "GOVERNANCE");
  EXPECT_EQ(found.locked_until_ms, 77);
  EXPECT_EQ(catalog_->set_tape_parts(uuid(9), "").error().code, ErrorCode::not_found);
}

// As the first release made it: kept as it was, so that the way up from there stays tested.
constexpr const char* kSchema1 = R"sql(
CREATE TABLE tapes (
  uuid BLOB PRIMARY KEY, barcode TEXT NOT NULL UNIQUE, medium TEXT NOT NULL,
  capacity_bytes INTEGER NOT NULL, used_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,
  pool TEXT NOT NULL, status TEXT NOT NULL, worm INTEGER NOT NULL, write_protected INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, status_changed_ms INTEGER NOT NULL, archived_ms INTEGER NOT NULL,
  manifest_generation INTEGER NOT NULL, uploaded_manifest_generation INTEGER NOT NULL,
  problem TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
  cartridge BLOB NOT NULL, sequence INTEGER NOT NULL, epoch INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, object_sha256 BLOB, state INTEGER NOT NULL,
  local INTEGER NOT NULL, storage_class TEXT NOT NULL, last_used_ms INTEGER NOT NULL,
  restored_until_ms INTEGER NOT NULL, PRIMARY KEY (cartridge, sequence, epoch)) WITHOUT ROWID;
CREATE TABLE totals (
  id INTEGER PRIMARY KEY CHECK (id = 1), local_bytes INTEGER NOT NULL,
  not_uploaded_bytes INTEGER NOT NULL, segments INTEGER NOT NULL);
INSERT INTO totals VALUES (1, 0, 0, 0);
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, state INTEGER NOT NULL,
  cartridge BLOB NOT NULL, barcode TEXT NOT NULL, parameters TEXT NOT NULL, step TEXT NOT NULL,
  done_bytes INTEGER NOT NULL, total_bytes INTEGER NOT NULL, done_objects INTEGER NOT NULL,
  total_objects INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
  not_before_ms INTEGER NOT NULL, error TEXT NOT NULL);
CREATE UNIQUE INDEX one_unfinished_job ON jobs (cartridge) WHERE state < 3;
CREATE TABLE pools (name TEXT PRIMARY KEY, storage_class TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO pools VALUES ('glacier', 'GLACIER');
INSERT INTO tapes VALUES (x'00112233445566778899aabbccddeeff', 'OLD001', 'LTO-8', 1000, 10, 9,
  'glacier', 'ARCHIVED', 0, 1, 1, 2, 3, 4, 4, '');
PRAGMA user_version = 1;
)sql";

TEST_F(CatalogTest, ASchemaOfTheFirstReleaseIsBroughtUp) {
  catalog_.reset();
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_);
  {
    auto database = sqlite::Database::open(path());
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->execute(kSchema1).ok());
  }
  for (int round = 0; round < 2; ++round) {
    const auto opened = Catalog::open(path());
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    const auto pools = (*opened)->pools();
    ASSERT_TRUE(pools.ok());
    ASSERT_EQ(pools->size(), 1U);
    EXPECT_EQ((*pools)[0], (PoolRow{"glacier", "GLACIER", "staged", "", 0}))
        << "an old pool goes on as it was";
    const auto tape = (*opened)->tape_by_barcode("OLD001");
    ASSERT_TRUE(tape.ok() && tape->has_value());
    EXPECT_EQ((*tape)->status, TapeStatus::archived);
    EXPECT_EQ((*tape)->archived_ms, 3);
    EXPECT_EQ((*tape)->parts, "");
    EXPECT_EQ((*tape)->locked_until_ms, 0);
    EXPECT_EQ((*tape)->kind, RowKind::tape);
    EXPECT_EQ((*opened)->images()->size(), 0U);
  }
}

TEST_F(CatalogTest, ANewerSchemaIsRefused) {
  catalog_.reset();
  {
    auto database = sqlite::Database::open(path());
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->execute("PRAGMA user_version = 1000").ok());
  }
  const auto opened = Catalog::open(path());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::unsupported_version);
}

TEST_F(CatalogTest, WhatIsNoDatabaseIsRefused) {
  catalog_.reset();
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directories(directory_);
  {
    std::FILE* file = std::fopen(path().c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fputs("this is certainly not a database file, but long enough to look at", file);
    std::fclose(file);
  }
  EXPECT_EQ(Catalog::open(path()).error().code, ErrorCode::corrupt);
  EXPECT_FALSE(Catalog::open((directory_ / "no" / "such" / "place").string()).ok());
}

TEST_F(CatalogTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (uint8_t t = 1; t <= 4; ++t) {
    threads.emplace_back([this, t] {
      for (uint64_t i = 0; i < 25; ++i) {
        EXPECT_TRUE(catalog_->put_segments({segment(t, i, SegmentState::sealed, true)}).ok());
        EXPECT_TRUE(
            catalog_->set_segment_state(uuid(t), i, 1, SegmentState::verified, true, "").ok());
        EXPECT_TRUE(catalog_->segments(uuid(t)).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(catalog_->totals()->segments, 100U);
  EXPECT_EQ(catalog_->totals()->local_bytes, 100U * 100U);
}

TEST(CatalogNames, EveryStatusIsSpelledAsAwsDoes) {
  for (int i = 0; i <= static_cast<int>(TapeStatus::deleted); ++i) {
    const auto status = static_cast<TapeStatus>(i);
    EXPECT_EQ(parse_tape_status(to_string(status)), status);
  }
  EXPECT_EQ(to_string(TapeStatus::in_transit_to_vts), "IN TRANSIT TO VTS");
  EXPECT_FALSE(parse_tape_status("available").has_value());
}

}  // namespace
}  // namespace coldshelf
