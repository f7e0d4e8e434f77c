// Tables, loading, movement.
#include <algorithm>
#include <set>

#include "tests/unit/drive_fixture.h"

namespace coldshelf {
namespace {

using Stop = SpaceOutcome::Stop;

class DriveTest : public DriveFixture {
 protected:
  // SPACE from `from`, expecting the stop, the residual and the block it ends at.
  void expect_space(uint64_t from, SpaceCode code, int64_t count, Stop stop, uint64_t residual,
                    uint64_t block) {
    SCOPED_TRACE("from " + std::to_string(from) + " count " + std::to_string(count));
    locate(from);
    const auto moved = drive_->space(code, count);
    ASSERT_TRUE(moved.ok());
    EXPECT_EQ(moved->stop, stop);
    EXPECT_EQ(moved->residual, residual);
    EXPECT_EQ(at().block, block);
  }
};

TEST(MediaTable, CodesAndNames) {
  EXPECT_EQ(find_medium("LTO-8")->density_code, 0x5E);
  EXPECT_EQ(find_medium("LTO-8")->medium_type, 0x88);
  EXPECT_EQ(find_medium("LTO-5")->worm_medium_type, 0x5C);
  EXPECT_EQ(find_medium("LTO-9")->native_capacity_bytes, 18'000'000'000'000U);
  EXPECT_EQ(find_medium("DLT"), nullptr);
  EXPECT_EQ(medium_of_barcode("ABC123L6"), find_medium("LTO-6"));
  EXPECT_EQ(medium_of_barcode("ABC123LX"), find_medium("LTO-7"));
  EXPECT_EQ(medium_of_barcode("L8"), nullptr);
  EXPECT_EQ(medium_of_barcode("ABC12399"), nullptr);
  std::set<uint8_t> densities;
  for (const MediumProfile& medium : all_media()) densities.insert(medium.density_code);
  EXPECT_EQ(densities.size(), all_media().size());
}

TEST(DriveTable, EveryDriveIsUsable) {
  for (const DriveProfile& drive : all_drives()) {
    SCOPED_TRACE(std::string(drive.name));
    EXPECT_EQ(find_drive(drive.name), &drive);
    EXPECT_LE(drive.vendor.size(), 8U);
    EXPECT_LE(drive.product.size(), 16U);
    EXPECT_EQ(drive.revision.size(), 4U);
    EXPECT_EQ(drive.reads.front(), drive.medium);
    EXPECT_EQ(drive.writes.front(), drive.medium);
    for (const auto name : drive.reads) EXPECT_NE(find_medium(name), nullptr);
    for (const auto name : drive.writes) {
      EXPECT_NE(std::ranges::find(drive.reads, name), drive.reads.end());
    }
  }
  // What LTFS asks of the firmware, compared as it does.
  EXPECT_GE(find_drive("IBM-ULT3580-TD5")->revision, "B170");
  EXPECT_GE(find_drive("IBM-ULT3580-TD8")->revision, "HB81");
  EXPECT_EQ(find_drive("nothing"), nullptr);
}

TEST_F(DriveTest, NothingWorksWithoutACartridge) {
  EXPECT_FALSE(drive_->inserted());
  EXPECT_FALSE(drive_->loaded());
  EXPECT_EQ(drive_->read().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->write(Buffer(10)).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->write_filemarks(0, false).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->rewind().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->locate_block(0, 0).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->space(SpaceCode::blocks, 1).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->position().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->load().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->unload().error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->mam_attributes(0).error().code, ErrorCode::not_ready);
  EXPECT_EQ(drive_->medium(), nullptr);
  EXPECT_FALSE(drive_->read_is_ready());
  std::unique_ptr<Cartridge> out;
  EXPECT_EQ(drive_->eject(&out).error().code, ErrorCode::not_ready);
}

TEST_F(DriveTest, InsertLoadUnloadEject) {
  unsigned told = 0;
  drive_->set_unload_listener([&told](unsigned drive) { told += drive; });
  const uint64_t before = drive_->medium_generation();
  MemoryCartridge& tape = insert();
  EXPECT_TRUE(drive_->loaded());
  EXPECT_GT(drive_->medium_generation(), before);
  EXPECT_EQ(drive_->label(), "TST001L8");
  EXPECT_EQ(drive_->medium(), find_medium("LTO-8"));
  EXPECT_EQ(drive_->partition_count(), 1U);
  write_layout("rr");
  ASSERT_TRUE(drive_->unload().ok());
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(tape.seals(), 1U);
  EXPECT_TRUE(drive_->inserted());
  EXPECT_FALSE(drive_->loaded());
  EXPECT_EQ(drive_->medium(), nullptr);
  ASSERT_TRUE(drive_->unload().ok()) << "an unloaded cartridge stays unloaded";
  EXPECT_EQ(told, 1U);
  const uint64_t unloaded = drive_->medium_generation();
  ASSERT_TRUE(drive_->load().ok());
  EXPECT_GT(drive_->medium_generation(), unloaded);
  EXPECT_EQ(at(), Position{});
  std::unique_ptr<Cartridge> out;
  ASSERT_TRUE(drive_->eject(&out).ok());
  EXPECT_EQ(out.get(), &tape);
  EXPECT_FALSE(drive_->inserted());
  EXPECT_EQ(drive_->label(), "");
}

TEST_F(DriveTest, LoadOfALoadedMediumRewinds) {
  insert();
  write_layout("rrr");
  ASSERT_TRUE(drive_->load().ok());
  EXPECT_EQ(at(), Position{});
}

TEST_F(DriveTest, RefusesAMediumItCannotRead) {
  std::unique_ptr<Cartridge> old = std::make_unique<MemoryCartridge>(cartridge("LTO-6"));
  EXPECT_EQ(drive_->insert(old).error().code, ErrorCode::invalid_argument);
  ASSERT_NE(old, nullptr);
  EXPECT_FALSE(drive_->inserted());
  insert();
  std::unique_ptr<Cartridge> second = std::make_unique<MemoryCartridge>(cartridge());
  EXPECT_EQ(drive_->insert(second).error().code, ErrorCode::element_full);
  ASSERT_NE(second, nullptr);
}

TEST_F(DriveTest, AFailedFlushStillGivesTheCartridgeBack) {
  MemoryCartridge& tape = insert();
  write_layout("rr");
  tape.fail_next_sync(Error(ErrorCode::io, "broken"));
  std::unique_ptr<Cartridge> out;
  EXPECT_EQ(drive_->eject(&out).error().code, ErrorCode::io);
  EXPECT_EQ(out.get(), &tape);
  EXPECT_FALSE(drive_->inserted());
}

//                          0 1 2 3 4 5 6 7 8 9 10
// the layout below:        r r r f r r f f f r | end of data
TEST_F(DriveTest, SpaceOverBlocks) {
  insert();
  write_layout("rrrfrrfffr");
  using enum SpaceCode;
  expect_space(0, blocks, 2, Stop::done, 0, 2);
  expect_space(0, blocks, 3, Stop::done, 0, 3);
  expect_space(0, blocks, 5, Stop::filemark, 2, 4);
  EXPECT_EQ(at().filemark, 1U);
  expect_space(3, blocks, 1, Stop::filemark, 1, 4);
  expect_space(9, blocks, 1, Stop::done, 0, 10);
  expect_space(9, blocks, 4, Stop::end_of_data, 3, 10);
  expect_space(10, blocks, 1, Stop::end_of_data, 1, 10);
  expect_space(10, blocks, -1, Stop::done, 0, 9);
  expect_space(10, blocks, -3, Stop::filemark, 2, 8);
  EXPECT_EQ(at().filemark, 3U);
  expect_space(6, blocks, -2, Stop::done, 0, 4);
  expect_space(6, blocks, -4, Stop::filemark, 2, 3);
  expect_space(2, blocks, -2, Stop::done, 0, 0);
  expect_space(2, blocks, -7, Stop::beginning_of_partition, 5, 0);
  expect_space(0, blocks, -1, Stop::beginning_of_partition, 1, 0);
  expect_space(5, blocks, 0, Stop::done, 0, 5);
  expect_space(1, blocks, INT64_MIN, Stop::beginning_of_partition, (uint64_t{1} << 63) - 1, 0);
}

TEST_F(DriveTest, SpaceOverFilemarks) {
  insert();
  write_layout("rrrfrrfffr");
  using enum SpaceCode;
  expect_space(0, filemarks, 1, Stop::done, 0, 4);
  expect_space(0, filemarks, 2, Stop::done, 0, 7);
  expect_space(4, filemarks, 3, Stop::done, 0, 9);
  expect_space(4, filemarks, 9, Stop::end_of_data, 6, 10);
  expect_space(10, filemarks, -1, Stop::done, 0, 8);
  EXPECT_EQ(at().filemark, 3U);
  expect_space(9, filemarks, -4, Stop::done, 0, 3);
  EXPECT_EQ(at().filemark, 0U);
  expect_space(9, filemarks, -5, Stop::beginning_of_partition, 1, 0);
  expect_space(3, filemarks, -1, Stop::beginning_of_partition, 1, 0);
}

TEST_F(DriveTest, SpaceOverSequentialFilemarksAndToEndOfData) {
  insert();
  write_layout("rrrfrrfffr");
  using enum SpaceCode;
  expect_space(0, sequential_filemarks, 1, Stop::done, 0, 4);
  expect_space(0, sequential_filemarks, 2, Stop::done, 0, 8);
  expect_space(0, sequential_filemarks, 3, Stop::done, 0, 9);
  expect_space(7, sequential_filemarks, 2, Stop::done, 0, 9);
  expect_space(0, sequential_filemarks, 4, Stop::end_of_data, 4, 10);
  expect_space(10, sequential_filemarks, -2, Stop::done, 0, 7);
  expect_space(10, sequential_filemarks, -3, Stop::done, 0, 6);
  expect_space(8, sequential_filemarks, -2, Stop::done, 0, 6);
  expect_space(8, sequential_filemarks, -3, Stop::beginning_of_partition, 3, 0);
  expect_space(5, sequential_filemarks, -1, Stop::done, 0, 3);
  expect_space(1, end_of_data, -5, Stop::done, 0, 10);
  EXPECT_EQ(at().filemark, 4U);
}

TEST_F(DriveTest, Locate) {
  insert();
  write_layout("rrrfrrfffr");
  EXPECT_EQ(*drive_->locate_block(0, 7), LocateOutcome::done);
  EXPECT_EQ(at(), (Position{0, 7, 2}));
  EXPECT_EQ(*drive_->locate_block(0, 10), LocateOutcome::done);
  EXPECT_EQ(*drive_->locate_block(0, 11), LocateOutcome::end_of_data);
  EXPECT_EQ(at(), (Position{0, 10, 4}));
  EXPECT_EQ(*drive_->locate_filemark(0, 0), LocateOutcome::done);
  EXPECT_EQ(at(), Position{});
  EXPECT_EQ(*drive_->locate_filemark(0, 2), LocateOutcome::done);
  EXPECT_EQ(at(), (Position{0, 7, 2}));
  EXPECT_EQ(*drive_->locate_filemark(0, 4), LocateOutcome::done);
  EXPECT_EQ(at(), (Position{0, 9, 4}));
  EXPECT_EQ(*drive_->locate_filemark(0, 5), LocateOutcome::end_of_data);
  EXPECT_EQ(at(), (Position{0, 10, 4}));
  locate(3);
  EXPECT_EQ(drive_->locate_block(1, 0).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(drive_->locate_filemark(1, 0).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(at().block, 3U);
  EXPECT_EQ(*drive_->locate_end_of_data(0), LocateOutcome::done);
  EXPECT_EQ(at().block, 10U);
}

TEST_F(DriveTest, PartitionsAreApart) {
  insert();
  ASSERT_TRUE(drive_->format_medium({4000, 6000}).ok());
  EXPECT_EQ(drive_->partition_count(), 2U);
  write_layout("rrf");
  ASSERT_TRUE(drive_->locate_block(1, 0).ok());
  write_layout("r");
  EXPECT_EQ(at(), (Position{1, 1, 0}));
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_EQ(at(), (Position{1, 0, 0})) << "REWIND stays in its partition";
  ASSERT_TRUE(drive_->locate_end_of_data(0).ok());
  EXPECT_EQ(at(), (Position{0, 3, 1}));
  EXPECT_EQ(drive_->capacity(1)->used_bytes, 100U);
  EXPECT_EQ(drive_->capacity(1)->remaining_bytes, 5900U);
  EXPECT_EQ(drive_->capacity(0)->used_bytes, 200U);
  EXPECT_EQ(drive_->format_medium({1, 2, 3, 4, 5}).error().code, ErrorCode::out_of_range);
  EXPECT_EQ(drive_->format_medium({}).error().code, ErrorCode::out_of_range);
  ASSERT_TRUE(drive_->set_capacity(5000).ok());
  EXPECT_EQ(drive_->partition_count(), 1U);
  EXPECT_EQ(drive_->capacity(0)->maximum_bytes, 5000U);
  EXPECT_EQ(drive_->capacity(0)->used_bytes, 0U);
}

TEST_F(DriveTest, PositionReportsWhatIsBuffered) {
  insert();
  write_layout("rrf");
  auto position = drive_->position();
  EXPECT_EQ(position->buffered_objects, 3U);
  EXPECT_EQ(position->buffered_bytes, 200U);
  EXPECT_FALSE(position->beginning_of_partition);
  ASSERT_TRUE(drive_->sync().ok());
  EXPECT_EQ(drive_->position()->buffered_objects, 0U);
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_TRUE(drive_->position()->beginning_of_partition);
}

TEST_F(DriveTest, CountersSinceConstructionAndSinceLoad) {
  insert();
  write_layout("rrf");
  locate(0);
  ASSERT_TRUE(drive_->read().ok());
  DriveCounters all = drive_->counters();
  EXPECT_EQ(all.loads, 1U);
  EXPECT_EQ(all.records_written, 2U);
  EXPECT_EQ(all.filemarks_written, 1U);
  EXPECT_EQ(all.bytes_from_initiator, 200U);
  EXPECT_EQ(all.bytes_to_medium, 200U);
  EXPECT_EQ(all.records_read, 1U);
  EXPECT_EQ(all.bytes_to_initiator, 100U);
  EXPECT_EQ(all.bytes_from_medium, 100U);
  ASSERT_TRUE(drive_->unload().ok());
  ASSERT_TRUE(drive_->load().ok());
  ASSERT_TRUE(drive_->read().ok());
  EXPECT_EQ(drive_->counters().loads, 2U);
  EXPECT_EQ(drive_->counters().records_read, 2U);
  EXPECT_EQ(drive_->load_counters().loads, 1U);
  EXPECT_EQ(drive_->load_counters().records_read, 1U);
  EXPECT_EQ(drive_->load_counters().records_written, 0U);
}

}  // namespace
}  // namespace coldshelf
