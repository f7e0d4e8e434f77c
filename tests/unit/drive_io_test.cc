// Reading, writing, the end of the partition, protection, faults.
#include <atomic>
#include <thread>

#include "tests/unit/drive_fixture.h"

namespace coldshelf {
namespace {

Buffer bytes(size_t n) { return Buffer(n, std::byte{0x5A}); }

// Capacity 10,000 bytes, early warning at 9,000.
class DriveIoTest : public DriveFixture {};

TEST_F(DriveIoTest, ReadsBackRecordsFilemarksAndTheEnd) {
  insert();
  write_layout("rf");
  ASSERT_TRUE(drive_->rewind().ok());
  auto got = drive_->read();
  ASSERT_EQ(got->kind, ReadOutcome::Kind::record);
  EXPECT_TRUE(equal(got->record.flatten(), Buffer(100, std::byte{'r'})));
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::filemark);
  EXPECT_EQ(at(), (Position{0, 2, 1}));
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
  EXPECT_EQ(at(), (Position{0, 2, 1}));
}

TEST_F(DriveIoTest, OverwritingDropsWhatFollows) {
  insert();
  write_layout("rrrfr");
  locate(1);
  write_layout("r");
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
  EXPECT_EQ(at(), (Position{0, 2, 0}));
  EXPECT_EQ(drive_->capacity(0)->used_bytes, 200U);
}

TEST_F(DriveIoTest, AnEmptyRecordIsNoRecord) {
  insert();
  ASSERT_TRUE(drive_->write({}).ok());
  EXPECT_EQ(at().block, 0U);
}

TEST_F(DriveIoTest, EarlyWarningAndOverflow) {
  insert();
  EXPECT_FALSE(drive_->write(bytes(8999))->early_warning);
  EXPECT_FALSE(drive_->position()->end_of_partition);
  const auto warned = drive_->write(bytes(1));
  EXPECT_TRUE(warned->early_warning);
  EXPECT_FALSE(warned->volume_overflow);
  EXPECT_TRUE(drive_->position()->end_of_partition);
  EXPECT_TRUE(drive_->write(bytes(999))->early_warning);
  const auto full = drive_->write(bytes(2));
  EXPECT_TRUE(full->volume_overflow);
  EXPECT_TRUE(full->early_warning);
  EXPECT_EQ(at().block, 3U) << "a record that does not fit is not written";
  EXPECT_FALSE(drive_->write(bytes(1))->volume_overflow);
  const auto marks = drive_->write_filemarks(2, false);
  EXPECT_TRUE(marks->early_warning);
  EXPECT_FALSE(marks->volume_overflow);
  EXPECT_EQ(at(), (Position{0, 6, 2}));
  EXPECT_EQ(drive_->capacity(0)->remaining_bytes, 0U);
}

TEST_F(DriveIoTest, EarlyWarningIsKnownAfterAJump) {
  insert();
  ASSERT_TRUE(drive_->write(bytes(5000)).ok());
  ASSERT_TRUE(drive_->write(bytes(4500)).ok());
  write_layout("f");
  locate(0);
  EXPECT_FALSE(drive_->read()->early_warning);
  EXPECT_TRUE(drive_->read()->early_warning);
  EXPECT_TRUE(drive_->read()->early_warning);
  locate(2);
  EXPECT_TRUE(drive_->position()->end_of_partition);
  const auto full = drive_->write(bytes(501));
  EXPECT_TRUE(full->volume_overflow);
  EXPECT_EQ(*drive_->locate_end_of_data(0), LocateOutcome::done);
  EXPECT_EQ(at().block, 3U) << "a refused write drops nothing";
}

TEST_F(DriveIoTest, ProgrammableEarlyWarningIsToldOnce) {
  insert();
  drive_->set_programmable_early_warning(2000);
  EXPECT_EQ(drive_->programmable_early_warning(), 2000U);
  EXPECT_FALSE(drive_->write(bytes(6999))->programmable_early_warning);
  EXPECT_FALSE(drive_->position()->programmable_early_warning_zone);
  const auto entered = drive_->write(bytes(1));
  EXPECT_TRUE(entered->programmable_early_warning);
  EXPECT_FALSE(entered->early_warning);
  EXPECT_TRUE(drive_->position()->programmable_early_warning_zone);
  EXPECT_FALSE(drive_->write(bytes(1))->programmable_early_warning);
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_TRUE(drive_->write(bytes(9500))->programmable_early_warning);
  ASSERT_TRUE(drive_->rewind().ok());
  drive_->set_programmable_early_warning(0);
  EXPECT_FALSE(drive_->write(bytes(9500))->programmable_early_warning);
}

TEST(DriveEarlyWarning, DefaultIsTwoPercentWithinBounds) {
  TapeDrive::Options options;
  options.profile = find_drive("IBM-ULT3580-TD8");
  const auto warned_after = [&options](uint64_t capacity) {
    TapeDrive drive(options);
    NewCartridge what;
    what.medium = "LTO-8";
    what.capacity_bytes = capacity;
    std::unique_ptr<Cartridge> tape = std::make_unique<MemoryCartridge>(what);
    EXPECT_TRUE(drive.insert(tape).ok());
    uint64_t written = 0;
    while (!drive.write(bytes(64 * KiB))->early_warning) written += 64 * KiB;
    return written + 64 * KiB;
  };
  EXPECT_EQ(warned_after(256 * KiB), 128 * KiB);
  EXPECT_EQ(warned_after(16 * MiB), 15 * MiB);
  EXPECT_EQ(warned_after(100 * MiB), 98 * MiB);
}

TEST_F(DriveIoTest, FilemarksAndMovesPutDataOnDisk) {
  MemoryCartridge& tape = insert();
  write_layout("rr");
  EXPECT_EQ(tape.syncs(), 0U);
  ASSERT_TRUE(drive_->write_filemarks(1, true).ok());
  EXPECT_EQ(tape.syncs(), 0U) << "IMMED=1 does not wait";
  ASSERT_TRUE(drive_->write_filemarks(0, false).ok());
  EXPECT_EQ(tape.syncs(), 1U);
  ASSERT_TRUE(drive_->write_filemarks(0, false).ok());
  EXPECT_EQ(tape.syncs(), 1U) << "nothing new to sync";
  write_layout("r");
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(tape.syncs(), 2U);
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(tape.syncs(), 2U);
  write_layout("r");
  locate(0);
  EXPECT_EQ(tape.syncs(), 3U);
  ASSERT_TRUE(drive_->space(SpaceCode::end_of_data, 0).ok());
  EXPECT_EQ(tape.syncs(), 3U);
}

TEST_F(DriveIoTest, OlderGenerationIsReadOnly) {
  TapeDrive::Options options;
  options.profile = find_drive("IBM-ULT3580-TD7");
  TapeDrive drive(options);
  std::unique_ptr<Cartridge> old = std::make_unique<MemoryCartridge>(cartridge("LTO-5"));
  ASSERT_TRUE(drive.insert(old).ok());
  EXPECT_TRUE(drive.write_protected());
  EXPECT_EQ(drive.check_writable().error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive.write(bytes(1)).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive.write_filemarks(1, true).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive.erase().error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive.format_medium({100}).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive.set_capacity(100).error().code, ErrorCode::write_protected);
  EXPECT_TRUE(drive.write_filemarks(0, false).ok());
  EXPECT_EQ(drive.read()->kind, ReadOutcome::Kind::end_of_data);
}

TEST_F(DriveIoTest, TabAndSoftwareProtect) {
  auto made = std::make_unique<MemoryCartridge>(cartridge());
  ASSERT_TRUE(made->set_write_protected(true).ok());
  std::unique_ptr<Cartridge> tape = std::move(made);
  ASSERT_TRUE(drive_->insert(tape).ok());
  EXPECT_TRUE(drive_->write_protected());
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::write_protected);
  ASSERT_TRUE(drive_->eject(&tape).ok());
  EXPECT_FALSE(drive_->write_protected());

  ASSERT_TRUE(tape->set_write_protected(false).ok());
  ASSERT_TRUE(drive_->insert(tape).ok());
  EXPECT_TRUE(drive_->check_writable().ok());
  drive_->set_software_write_protect(true);
  EXPECT_TRUE(drive_->write_protected());
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::write_protected);
  drive_->set_software_write_protect(false);
  EXPECT_TRUE(drive_->write(bytes(1)).ok());
}

TEST_F(DriveIoTest, WormAppendsOnly) {
  insert(cartridge("LTO-8", true));
  EXPECT_TRUE(drive_->worm());
  EXPECT_EQ(drive_->format_medium({5000, 5000}).error().code, ErrorCode::write_protected);
  write_layout("rf");
  locate(1);
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive_->write_filemarks(1, true).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive_->erase().error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive_->format_medium({10'000}).error().code, ErrorCode::write_protected);
  EXPECT_EQ(drive_->set_capacity(10'000).error().code, ErrorCode::write_protected);
  EXPECT_FALSE(drive_->last_medium_error()) << "a refusal is no failure";
  EXPECT_EQ(at(), (Position{0, 1, 0}));
  ASSERT_TRUE(drive_->locate_end_of_data(0).ok());
  EXPECT_TRUE(drive_->write(bytes(1)).ok());
  EXPECT_TRUE(drive_->erase().ok()) << "nothing follows";
}

TEST_F(DriveIoTest, WormLetsTheLastFilemarksGoButForTheFirst) {
  insert(cartridge("LTO-8", true));
  write_layout("fff");
  locate(0);
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::write_protected);
  locate(1);
  EXPECT_TRUE(drive_->write(bytes(1)).ok());
  EXPECT_EQ(at(), (Position{0, 2, 1}));
  write_layout("ff");
  locate(2);
  EXPECT_EQ(drive_->write_filemarks(1, true).error().code, ErrorCode::write_protected)
      << "the first behind a record";
  locate(3);
  EXPECT_EQ(drive_->erase().error().code, ErrorCode::write_protected);
  EXPECT_TRUE(drive_->write_filemarks(1, true).ok());
  EXPECT_EQ(drive_->capacity(0)->used_bytes, 1U);
  EXPECT_EQ(at(), (Position{0, 4, 3}));
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
}

// The changer may put another medium in between two steps of a command.
TEST_F(DriveIoTest, WhatIsMeantForAnotherMediumChangesNothing) {
  insert();
  drive_->expect_medium(drive_->medium_generation());
  write_layout("rr");
  std::unique_ptr<Cartridge> out;
  ASSERT_TRUE(drive_->eject(&out).ok());
  insert();
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->write_filemarks(1, true).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->erase().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->format_medium({10'000}).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->set_capacity(10'000).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->write_mam(0, 0x0801, 1, as_view("LTFS")).error().code, ErrorCode::not_ready);
  EXPECT_FALSE(drive_->last_medium_error()) << "a refusal is no failure";
  drive_->expect_medium(drive_->medium_generation());
  write_layout("r");
  ASSERT_TRUE(drive_->unload().ok());
  ASSERT_TRUE(drive_->load().ok());
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::not_ready) << "loaded anew";
}

TEST_F(DriveIoTest, EraseDropsTheRest) {
  insert();
  write_layout("rrfr");
  locate(1);
  ASSERT_TRUE(drive_->erase().ok());
  EXPECT_EQ(at(), (Position{0, 1, 0}));
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
}

TEST_F(DriveIoTest, ADamagedRecordIsToldOnceAndPassed) {
  MemoryCartridge& tape = insert();
  write_layout("rfrr");
  tape.damage(0, 0, Error(ErrorCode::corrupt, "flipped"));
  tape.damage(0, 1, Error(ErrorCode::corrupt, "flipped"));
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(drive_->read().error().code, ErrorCode::corrupt);
  EXPECT_EQ(at(), (Position{0, 1, 0}));
  EXPECT_EQ(drive_->read().error().code, ErrorCode::corrupt);
  EXPECT_EQ(at(), (Position{0, 2, 1})) << "the index still knows that it was a filemark";
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::record);
  EXPECT_EQ(drive_->counters().read_errors, 2U);
  EXPECT_EQ(drive_->last_medium_error()->code, ErrorCode::corrupt);
  EXPECT_FALSE(drive_->write_protected());
}

TEST_F(DriveIoTest, WithoutAnIndexTheSegmentIsPassed) {
  MemoryCartridge& tape = insert();
  write_layout("rfrr");
  tape.damage(0, 0, Error(ErrorCode::not_found, "lost"));
  tape.lose_index(true);
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(drive_->read().error().code, ErrorCode::not_found);
  EXPECT_EQ(at(), (Position{0, 4, 1}));
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::end_of_data);
}

TEST_F(DriveIoTest, ColdDataCanBeReadLater) {
  MemoryCartridge& tape = insert();
  write_layout("rr");
  ASSERT_TRUE(drive_->rewind().ok());
  for (const ErrorCode code : {ErrorCode::cold, ErrorCode::timed_out, ErrorCode::unavailable}) {
    tape.damage(0, 0, Error(code, "not here"));
    EXPECT_EQ(drive_->read().error().code, code);
    EXPECT_EQ(at().block, 0U);
  }
  tape.repair();
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::record);
  EXPECT_EQ(drive_->counters().read_errors, 0U);
}

TEST_F(DriveIoTest, AFailedWriteProtectsTheMedium) {
  MemoryCartridge& tape = insert();
  write_layout("rr");
  tape.fail_next_write(Error(ErrorCode::no_space, "disk full"));
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::no_space);
  EXPECT_TRUE(drive_->write_protected());
  EXPECT_EQ(drive_->write(bytes(1)).error().code, ErrorCode::no_space);
  EXPECT_EQ(drive_->check_writable().error().code, ErrorCode::no_space);
  EXPECT_EQ(drive_->last_medium_error()->code, ErrorCode::no_space);
  EXPECT_EQ(drive_->counters().write_errors, 1U);
  ASSERT_TRUE(drive_->rewind().ok()) << "reading goes on";
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::record);
}

TEST_F(DriveIoTest, AFailedSyncIsToldOnceAndThePositionIsWhatIsThere) {
  MemoryCartridge& tape = insert();
  write_layout("rr");
  ASSERT_TRUE(drive_->sync().ok());
  write_layout("rrr");
  tape.fail_next_sync(Error(ErrorCode::io, "broken"));
  EXPECT_EQ(drive_->rewind().error().code, ErrorCode::io);
  EXPECT_EQ(at().block, 2U) << "what was never on disk is not there";
  EXPECT_TRUE(drive_->write_protected());
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(drive_->read()->kind, ReadOutcome::Kind::record);
  EXPECT_EQ(drive_->position()->buffered_objects, 0U);
}

TEST_F(DriveIoTest, ReadinessFollowsTheCartridgeAndTheFirstCommit) {
  MemoryCartridge& tape = insert();
  EXPECT_TRUE(drive_->write_would_block(100)) << "the first write commits the change reference";
  write_layout("r");
  EXPECT_FALSE(drive_->write_would_block(100));
  EXPECT_TRUE(drive_->read_is_ready());
  tape.set_ready(false);
  EXPECT_TRUE(drive_->write_would_block(100));
  EXPECT_FALSE(drive_->read_is_ready());
}

TEST_F(DriveIoTest, StateIsReadableWhileAnotherThreadWorks) {
  insert();
  std::atomic<bool> done{false};
  std::atomic<int> looks{0};
  std::thread watcher([&] {
    while (!done) {
      const DriveCounters all = drive_->counters();
      EXPECT_GE(all.loads, 1U);
      // In this order: the counts of the load grow no faster than those of the device read after
      // them.
      const DriveCounters load = drive_->load_counters();
      EXPECT_LE(load.filemarks_written, drive_->counters().filemarks_written);
      EXPECT_EQ(drive_->label(), "TST001L8");
      EXPECT_FALSE(drive_->write_protected());
      EXPECT_FALSE(drive_->last_medium_error());
      (void)drive_->read_is_ready();
      (void)drive_->write_would_block(10);
      ++looks;
    }
  });
  for (int round = 0; round < 200 || looks < 200; ++round) {
    EXPECT_TRUE(drive_->rewind().ok());
    write_layout("rrf");
    if (round % 50 == 0) {
      EXPECT_TRUE(drive_->unload().ok());
      EXPECT_TRUE(drive_->load().ok());
    }
  }
  done = true;
  watcher.join();
}

}  // namespace
}  // namespace coldshelf
