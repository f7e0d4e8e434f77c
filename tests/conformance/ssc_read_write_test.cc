// READ, WRITE, filemarks, VERIFY, ERASE and the end of the medium (SSC-5 clause 5).
#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class SscReadWrite : public SscSuite {};
COLDSHELF_SSC_SUITE(SscReadWrite);

TEST_P(SscReadWrite, BlockLimits) {
  const ScsiResult r = host().read({0x05, 0, 0, 0, 0, 0}, 6);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_EQ(r.number(1, 3), 8U * 1024 * 1024);
  EXPECT_EQ(r.number(4, 2), 1U);
  const ScsiResult mloi = host().read({0x05, 1, 0, 0, 0, 0}, 20);
  EXPECT_EQ(mloi.data.size(), 20U);
}

TEST_P(SscReadWrite, VariableRecordsOfManySizes) {
  const std::vector<size_t> sizes = {1, 3, 511, 512, 1021, 65536, 262144, 1048575, 8388608};
  for (size_t n : sizes) {
    const ScsiResult w = write(pattern(n, static_cast<unsigned>(n)));
    ASSERT_TRUE(w.good()) << n << ": " << w;
    EXPECT_EQ(w.residual, 0);
  }
  ASSERT_TRUE(rewind().good());
  for (size_t n : sizes) {
    const ScsiResult r = read(n);
    ASSERT_TRUE(r.good()) << n << ": " << r;
    EXPECT_EQ(r.residual, 0);
    EXPECT_TRUE(equal(r.data, pattern(n, static_cast<unsigned>(n)))) << n;
  }
}

TEST_P(SscReadWrite, OddSizesKeepTheirLastBytes) {
  for (size_t n : {size_t{1001}, size_t{1002}, size_t{1003}}) {
    ASSERT_TRUE(rewind().good());
    ASSERT_TRUE(write(pattern(n)).good());
    ASSERT_TRUE(rewind().good());
    EXPECT_TRUE(equal(read(n).data, pattern(n)));
  }
}

TEST_P(SscReadWrite, ABlockBeyondTheLimitIsRefused) {
  const size_t n = 8 * 1024 * 1024 + 1;
  const ScsiResult r = host().write({0x0A, 0, b(n, 16), b(n, 8), b(n, 0), 0}, pattern(512));
  EXPECT_TRUE(r.check(SenseKey::illegal_request, asc::invalid_field_in_cdb)) << r;
  EXPECT_EQ(block_number(), 0U);
}

TEST_P(SscReadWrite, ShortBlockGivesDataAndSense) {
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult r = read(4096);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::none)) << r;
  EXPECT_TRUE(r.sense->incorrect_length);
  EXPECT_EQ(r.sense->information, 3096);
  EXPECT_EQ(r.residual, 3096);
  EXPECT_TRUE(equal(r.data, pattern(1000))) << "data comes together with the sense";
  EXPECT_EQ(block_number(), 1U);
}

TEST_P(SscReadWrite, LongBlockIsCutAndItsResidualIsNegative) {
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult r = read(300);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::none)) << r;
  EXPECT_TRUE(r.sense->incorrect_length);
  EXPECT_EQ(r.sense->information, -700);
  EXPECT_TRUE(equal(r.data, ByteView(pattern(1000)).first(300)));
  EXPECT_EQ(block_number(), 1U) << "the rest of the block is passed over";
}

TEST_P(SscReadWrite, SiliSuppressesIncorrectLength) {
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult under = read(4096, 0x02);
  ASSERT_TRUE(under.good()) << under;
  EXPECT_EQ(under.residual, 3096);
  EXPECT_EQ(under.data.size(), 1000U);
  const ScsiResult over = read(300, 0x02);  // BLOCK LENGTH 0: not reported either
  ASSERT_TRUE(over.good()) << over;
  EXPECT_EQ(over.data.size(), 300U);
}

TEST_P(SscReadWrite, SiliReportsOverlengthWhenABlockLengthIsSet) {
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(set_block_length(512).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult over = read(300, 0x02);
  ASSERT_TRUE(over.check(SenseKey::no_sense, asc::none)) << over;
  EXPECT_EQ(over.sense->information, -700);
}

TEST_P(SscReadWrite, FilemarkAndEndOfDataCarryTheResidual) {
  ASSERT_TRUE(write(pattern(100)).good());
  ASSERT_TRUE(filemarks(1).good());
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(read(100).good());
  const ScsiResult mark = read(512);
  ASSERT_TRUE(mark.check(SenseKey::no_sense, asc::filemark_detected)) << mark;
  EXPECT_TRUE(mark.sense->filemark);
  EXPECT_EQ(mark.sense->information, 512);
  EXPECT_EQ(mark.residual, 512);
  const ScsiResult end = read(512);
  ASSERT_TRUE(end.check(SenseKey::blank_check, asc::end_of_data_detected)) << end;
  EXPECT_EQ(end.sense->information, 512);
  EXPECT_EQ(end.residual, 512);
  EXPECT_EQ(block_number(), 2U);
}

TEST_P(SscReadWrite, ZeroLengthTransfersDoNothing) {
  EXPECT_TRUE(host().run({0x0A, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(host().run({0x08, 0, 0, 0, 0, 0}).good());
  EXPECT_EQ(block_number(), 0U);
}

TEST_P(SscReadWrite, FixedBlocks) {
  EXPECT_TRUE(
      write_fixed(1, pattern(512)).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "no block length yet";
  ASSERT_TRUE(set_block_length(512).good());
  const ScsiResult w = write_fixed(8, pattern(4096));
  ASSERT_TRUE(w.good()) << w;
  EXPECT_EQ(block_number(), 8U);
  ASSERT_TRUE(rewind().good());
  const ScsiResult r = read_fixed(8, 512);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_TRUE(equal(r.data, pattern(4096)));
  EXPECT_TRUE(host()
                  .read({0x08, 3, 0, 0, 1, 0}, 512)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "SILI with FIXED";
}

TEST_P(SscReadWrite, FixedReadStopsAtAFilemarkWithTheBlocksBeforeIt) {
  ASSERT_TRUE(set_block_length(512).good());
  ASSERT_TRUE(write_fixed(3, pattern(1536)).good());
  ASSERT_TRUE(filemarks(1).good());
  ASSERT_TRUE(write_fixed(1, pattern(512, 9)).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult r = read_fixed(8, 512);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::filemark_detected)) << r;
  EXPECT_EQ(r.sense->information, 5);
  EXPECT_EQ(r.residual, 5 * 512);
  EXPECT_TRUE(equal(r.data, pattern(1536)));
  const ScsiResult rest = read_fixed(8, 512);
  ASSERT_TRUE(rest.check(SenseKey::blank_check, asc::end_of_data_detected)) << rest;
  EXPECT_EQ(rest.sense->information, 7);
  EXPECT_TRUE(equal(rest.data, pattern(512, 9)));
}

TEST_P(SscReadWrite, FixedReadReportsABlockOfAnotherLength) {
  ASSERT_TRUE(set_block_length(512).good());
  ASSERT_TRUE(write_fixed(2, pattern(1024)).good());
  ASSERT_TRUE(write(pattern(700)).good());
  ASSERT_TRUE(write_fixed(1, pattern(512, 5)).good());
  ASSERT_TRUE(rewind().good());
  const ScsiResult r = read_fixed(4, 512);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::none)) << r;
  EXPECT_TRUE(r.sense->incorrect_length);
  EXPECT_EQ(r.sense->information, 2);
  EXPECT_TRUE(equal(r.data, pattern(1024)));
  EXPECT_EQ(block_number(), 3U) << "behind the block of another length";
}

TEST_P(SscReadWrite, FilemarksOfBothForms) {
  ASSERT_TRUE(filemarks(3).good());
  ASSERT_TRUE(host().run({0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0}).good());
  EXPECT_EQ(block_number(), 5U);
  EXPECT_EQ(file_number(), 5U);
  EXPECT_TRUE(
      host().run({0x10, 2, 0, 0, 1, 0}).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "setmarks";
}

TEST_P(SscReadWrite, FilemarksWithoutImmedSync) {
  ASSERT_TRUE(write(pattern(100)).good());
  const unsigned before = rig_.cartridge().syncs();
  ASSERT_TRUE(filemarks(1, true).good());
  EXPECT_EQ(rig_.cartridge().syncs(), before) << "IMMED";
  ASSERT_TRUE(filemarks(0).good());
  EXPECT_GT(rig_.cartridge().syncs(), before) << "a count of 0 writes the buffer out";
}

TEST_P(SscReadWrite, UnbufferedModeSyncsEachWrite) {
  ASSERT_TRUE(host().write({0x15, 0x10, 0, 0, 4, 0}, ScsiClient::bytes({0, 0, 0x00, 0})).good());
  const unsigned before = rig_.cartridge().syncs();
  ASSERT_TRUE(write(pattern(100)).good());
  EXPECT_GT(rig_.cartridge().syncs(), before);
}

TEST_P(SscReadWrite, OverwritingInTheMiddleDropsTheRest) {
  layout("rrrfrr");
  ASSERT_TRUE(locate16(0, 1).good());
  ASSERT_TRUE(write(pattern(50, 4)).good());
  EXPECT_TRUE(read(100).check(SenseKey::blank_check, asc::end_of_data_detected));
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(equal(read(100).data, pattern(100)));
  EXPECT_TRUE(equal(read(50).data, pattern(50, 4)));
}

TEST_P(SscReadWrite, EraseDropsWhatFollows) {
  layout("rrr");
  ASSERT_TRUE(locate16(0, 1).good());
  ASSERT_TRUE(host().run({0x19, 1, 0, 0, 0, 0}).good());
  EXPECT_TRUE(read(100).check(SenseKey::blank_check, asc::end_of_data_detected));
}

TEST_P(SscReadWrite, Verify) {
  layout("rrfr");
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(host().run({0x13, 0, 0, 0, 100, 0}).good());
  EXPECT_EQ(block_number(), 1U);
  const ScsiResult wrong = host().run({0x13, 0, 0, 0, 120, 0});
  EXPECT_TRUE(wrong.check(SenseKey::no_sense, asc::none)) << wrong;
  EXPECT_EQ(wrong.sense->information, 20);
  EXPECT_TRUE(host().run({0x13, 0x10, 0, 0, 1, 0}).good()) << "over a filemark";
  EXPECT_EQ(block_number(), 3U);
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(host().run({0x13, 0x20, 0, 0, 0, 0}).good()) << "to the end of data";
  EXPECT_EQ(block_number(), 4U);
  EXPECT_TRUE(host()
                  .run({0x13, 0x02, 0, 0, 1, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SscReadWrite, ADamagedRecordIsAMediumErrorAndTheOthersAreReadable) {
  layout("rrr");
  ASSERT_TRUE(rewind().good());
  rig_.cartridge().damage(0, 1, Error(ErrorCode::corrupt, "checksum"));
  ASSERT_TRUE(read(100).good());
  const ScsiResult bad = read(100);
  ASSERT_TRUE(bad.check(SenseKey::medium_error, asc::unrecovered_read_error)) << bad;
  EXPECT_EQ(bad.sense->information, 100);
  EXPECT_TRUE(bad.data.empty()) << "damaged bytes are never data";
  ASSERT_TRUE(locate16(0, 2).good());
  EXPECT_TRUE(read(100).good());
  // TapeAlert tells of it once.
  const ScsiResult alerts = host().read({0x4D, 0, 0x6E, 0, 0, 0, 0, 0x02, 0, 0}, 512);
  ASSERT_TRUE(alerts.good());
  EXPECT_EQ(alerts.number(4 + 4 * 5 + 4, 1), 1U) << "flag 5: read failure";
  const ScsiResult again = host().read({0x4D, 0, 0x6E, 0, 0, 0, 0, 0x02, 0, 0}, 512);
  EXPECT_EQ(again.number(4 + 4 * 5 + 4, 1), 0U);
}

TEST_P(SscReadWrite, AColdRecordIsNotReadyRatherThanAnError) {
  layout("r");
  ASSERT_TRUE(rewind().good());
  rig_.cartridge().damage(0, 0, Error(ErrorCode::cold, "archived"));
  EXPECT_TRUE(read(100).check(SenseKey::not_ready, asc::manual_intervention_required));
}

TEST_P(SscReadWrite, WriteErrorsAreReported) {
  rig_.cartridge().fail_next_write(Error(ErrorCode::no_space, "full"));
  const ScsiResult r = write(pattern(100));
  EXPECT_TRUE(r.check(SenseKey::medium_error, asc::write_error)) << r;
}

TEST_P(SscReadWrite, AnErrorOfAnAcknowledgedWriteComesBackAtTheFilemark) {
  ASSERT_TRUE(write(pattern(100)).good());
  rig_.cartridge().fail_next_sync(Error(ErrorCode::io, "disk"));
  const ScsiResult r = filemarks(1);
  EXPECT_TRUE(r.check(SenseKey::medium_error, asc::write_error)) << r;
}

TEST_P(SscReadWrite, AWriteWithLessDataThanItsCdbSaysWritesNothing) {
  const ScsiResult r = host().write({0x0A, 0, 0, 4, 0, 0}, pattern(512));
  EXPECT_FALSE(r.good()) << r;
  EXPECT_EQ(block_number(), 0U);
}

TEST_P(SscReadWrite, NothingInTheDrive) {
  rig_.eject();
  host().clear_unit_attentions();
  EXPECT_TRUE(test_ready().check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(read(100).check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(filemarks(1).check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(rewind().check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(space(0, 1).check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(locate16(0, 0).check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(load().check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(host()
                  .read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20)
                  .check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(host().read({0x05, 0, 0, 0, 0, 0}, 6).good()) << "needs no medium";
}

// -- the end of the medium

class SscEndOfMedium : public SscSuite {
 protected:
  SscEndOfMedium() : SscSuite({.capacity_bytes = 10'000, .early_warning_bytes = 1'000}) {}
};
COLDSHELF_SSC_SUITE(SscEndOfMedium);

TEST_P(SscEndOfMedium, EarlyWarningCompletesTheWrite) {
  ASSERT_TRUE(write(pattern(8999)).good());
  const ScsiResult warned = write(pattern(100));
  ASSERT_TRUE(warned.check(SenseKey::no_sense, asc::end_of_partition_detected)) << warned;
  EXPECT_TRUE(warned.sense->end_of_medium);
  EXPECT_EQ(warned.sense->information, 0);
  EXPECT_EQ(warned.residual, 0);
  EXPECT_EQ(block_number(), 2U) << "it is written";
  const ScsiResult marks = filemarks(1);
  EXPECT_TRUE(marks.check(SenseKey::no_sense, asc::end_of_partition_detected)) << marks;
  EXPECT_EQ(file_number(), 1U);
  const ScsiResult position = host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20);
  EXPECT_EQ(position.number(0, 1) & 0x40U, 0x40U) << "EOP";
}

TEST_P(SscEndOfMedium, OverflowWritesNothing) {
  ASSERT_TRUE(write(pattern(8900)).good());
  const ScsiResult full = write(pattern(2000));
  ASSERT_TRUE(full.check(SenseKey::volume_overflow, asc::end_of_partition_detected)) << full;
  EXPECT_TRUE(full.sense->end_of_medium);
  EXPECT_EQ(full.sense->information, 2000);
  EXPECT_EQ(block_number(), 1U);
}

TEST_P(SscEndOfMedium, FixedOverflowTellsHowManyBlocksAreLeft) {
  ASSERT_TRUE(set_block_length(1000).good());
  ASSERT_TRUE(write_fixed(8, pattern(8000)).good());
  const ScsiResult full = write_fixed(4, pattern(4000));
  ASSERT_TRUE(full.check(SenseKey::volume_overflow, asc::end_of_partition_detected)) << full;
  EXPECT_EQ(full.sense->information, 2);
  EXPECT_EQ(block_number(), 10U);
}

// PEWS counts in megabytes: a medium of 4 of them, early warning 1 before its end.
class SscProgrammableEarlyWarning : public SscSuite {
 protected:
  SscProgrammableEarlyWarning()
      : SscSuite({.capacity_bytes = 4'000'000, .early_warning_bytes = 1'000'000}) {}
};
COLDSHELF_SSC_SUITE(SscProgrammableEarlyWarning);

TEST_P(SscProgrammableEarlyWarning, IsToldOnceOnEnteringTheZone) {
  Buffer list = ScsiClient::bytes({0, 0, 0x10, 0, 0x50, 0x01, 0, 28, 0, 0, 0, 1});
  list.resize(4 + 32, std::byte{0});
  const ScsiResult set = host().write({0x15, 0x10, 0, 0, 36, 0}, list);
  ASSERT_TRUE(set.good()) << set;
  ASSERT_TRUE(write(pattern(1'900'000)).good());
  const ScsiResult warned = write(pattern(200'000));
  ASSERT_TRUE(warned.check(SenseKey::no_sense, asc::programmable_early_warning)) << warned;
  EXPECT_EQ(warned.sense->information, 0);
  EXPECT_EQ(block_number(), 2U) << "it is written";
  const ScsiResult position = host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20);
  EXPECT_EQ(position.number(0, 1) & 0x01U, 0x01U) << "BPEW";
  EXPECT_TRUE(write(pattern(10)).good()) << "only on entering the zone";
}

// -- write protection

TEST_P(SscReadWrite, WriteProtectionRefusesEveryChange) {
  layout("rr");
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(rig_.cartridge().set_write_protected(true).ok());
  ASSERT_TRUE(unload().good());
  ASSERT_TRUE(load().good());
  host().clear_unit_attentions();
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::data_protect, asc::write_protected));
  EXPECT_TRUE(filemarks(1).check(SenseKey::data_protect, asc::write_protected));
  EXPECT_TRUE(
      host().run({0x19, 0, 0, 0, 0, 0}).check(SenseKey::data_protect, asc::write_protected));
  EXPECT_TRUE(
      host().run({0x04, 0, 0, 0, 0, 0}).check(SenseKey::data_protect, asc::write_protected));
  const ScsiResult mode = host().read({0x1A, 0, 0, 0, 12, 0}, 12);
  EXPECT_EQ(mode.number(2, 1) & 0x80U, 0x80U) << "WP";
  EXPECT_TRUE(read(100).good());
}

// After a restart the medium stands at its beginning, where nobody has sent it.
class SscRestart : public SscSuite {
 protected:
  void SetUp() override {
    layout("rfr");
    ASSERT_TRUE(filemarks(1).good());
    lose_position();
  }
  void lose_position() {
    ASSERT_TRUE(rewind().good());
    rig_.drive().lose_position();
  }
  bool refused(const ScsiResult& result) const {
    return result.check(SenseKey::medium_error, asc::sequential_positioning_error);
  }
};
COLDSHELF_SSC_SUITE(SscRestart);

TEST_P(SscRestart, NothingIsOverwrittenBeforeSomebodySaysWhere) {
  EXPECT_TRUE(refused(filemarks(1))) << "as st does when tar's file is closed";
  EXPECT_TRUE(refused(write(pattern(10))));
  EXPECT_TRUE(refused(host().run({0x19, 0, 0, 0, 0, 0}))) << "ERASE";
  EXPECT_TRUE(filemarks(0).good()) << "a sync";
  EXPECT_TRUE(read(100).good());
  EXPECT_TRUE(refused(write(pattern(10)))) << "reading says nothing";
  EXPECT_FALSE(space(1, -1).good()) << "no filemark before it";
  EXPECT_TRUE(refused(filemarks(1))) << "nor does a move from a place nobody knows";
  ASSERT_TRUE(space(3, 0).good());
  EXPECT_EQ(block_number(), 4U) << "all of it is there";
  EXPECT_TRUE(write(pattern(10)).good());
}

TEST_P(SscRestart, WhoPositionsFirstMayOverwrite) {
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(write(pattern(10)).good());
  lose_position();
  ASSERT_TRUE(locate16(0, 0).good());
  EXPECT_TRUE(write(pattern(10)).good());
  lose_position();
  ASSERT_TRUE(load().good());
  EXPECT_TRUE(filemarks(1).good());
  lose_position();
  rig_.eject();
  rig_.insert();
  host().clear_unit_attentions();
  EXPECT_TRUE(write(pattern(10)).good()) << "another medium";
}

TEST_P(SscRestart, AnEmptyMediumIsWrittenAsItIs) {
  rig_.eject();
  rig_.insert();
  host().clear_unit_attentions();
  rig_.drive().lose_position();
  EXPECT_TRUE(write(pattern(10)).good());
  EXPECT_TRUE(write(pattern(10)).good());
  EXPECT_TRUE(filemarks(1).good());
}

TEST_P(SscRestart, TheEndFoundByFilemarksIsAKnownPlace) {
  // mt eod, as Linux st does it by default; then what was closed with two filemarks goes on.
  EXPECT_TRUE(space(1, 0x7FFFFF).check(SenseKey::blank_check, asc::end_of_data_detected));
  ASSERT_TRUE(space(1, -1).good());
  EXPECT_TRUE(filemarks(1).good());
  EXPECT_EQ(block_number(), 4U);
}

// The operator, or another host, puts another medium in between two writes, or loads the same one
// anew. Linux st still writes its filemark when the file is closed.
class SscSwap : public SscSuite {
 protected:
  SscSwap() : other_(rig_.connect(2)) { other_->clear_unit_attentions(); }
  void SetUp() override { layout("rr"); }
  void swap() {
    rig_.eject();
    rig_.insert();
    other_->clear_unit_attentions();
    ASSERT_TRUE(other_->write({0x0A, 0, 0, 0, 100, 0}, pattern(100)).good());
    ASSERT_TRUE(other_->run({0x10, 0, 0, 0, 1, 0}).good());
    ASSERT_TRUE(other_->run({0x01, 0, 0, 0, 0, 0}).good());
  }
  void expect_kept(const ScsiResult& told, uint64_t blocks) {
    EXPECT_TRUE(told.check(SenseKey::unit_attention, asc::medium_may_have_changed)) << told;
    const ScsiResult closing = filemarks(1);
    EXPECT_TRUE(closing.check(SenseKey::medium_error, asc::sequential_positioning_error))
        << closing;
    ASSERT_TRUE(space(3, 0).good());
    EXPECT_EQ(block_number(), blocks) << "all of it is there";
    EXPECT_TRUE(filemarks(1).good()) << "whoever says where may write";
  }
  std::unique_ptr<ScsiClient> other_;
};
COLDSHELF_SSC_SUITE(SscSwap);

TEST_P(SscSwap, AWriteThatIsToldOfAnotherMediumLeavesItAsItIs) {
  swap();
  expect_kept(write(pattern(10)), 2);
}

TEST_P(SscSwap, SoDoesAFilemark) {
  swap();
  expect_kept(filemarks(1), 2);
}

TEST_P(SscSwap, AMediumThatAnotherHostLoadsKeepsWhatWasWritten) {
  ASSERT_TRUE(other_->run({0x1B, 0, 0, 0, 0, 0}).good());
  ASSERT_TRUE(other_->run({0x1B, 0, 0, 0, 1, 0}).good());
  expect_kept(write(pattern(10)), 2);
}

TEST_P(SscSwap, WhoLooksFirstMayOverwrite) {
  swap();
  EXPECT_TRUE(test_ready().check(SenseKey::unit_attention, asc::medium_may_have_changed));
  EXPECT_TRUE(write(pattern(10)).good()) << "tar on a medium that was just loaded";
}

TEST_P(SscSwap, AWriteOfAnotherSessionIsForTheEndOfItsOwnMedium) {
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::unit_attention, asc::device_reset));
  EXPECT_TRUE(filemarks(1).good()) << "it stands where it stood";
  EXPECT_EQ(block_number(), 3U);
}

class SscWorm : public SscSuite {
 protected:
  SscWorm() : SscSuite({.worm = true}) {}
};
COLDSHELF_SSC_SUITE(SscWorm);

TEST_P(SscWorm, AppendsAndRefusesToOverwrite) {
  layout("rr");
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::data_protect, asc::worm_overwrite_attempted));
  // Flags 57 to 64 are the last byte of the response: 60 is WORM medium, overwrite attempted.
  const ScsiResult alerts = host().read({0x4D, 0, 0x40 | 0x12, 0, 0, 0, 0, 0, 16, 0}, 16);
  ASSERT_TRUE(alerts.good());
  EXPECT_EQ(alerts.number(15, 1), 0x10U);
  EXPECT_EQ(alerts.number(9, 1), 0U) << "not write protect: no tab can be moved";
  ASSERT_TRUE(space(3, 0).good());
  EXPECT_TRUE(write(pattern(10)).good());
  EXPECT_EQ(host().read({0x1A, 0, 0, 0, 12, 0}, 12).number(1, 1), 0x8CU) << "medium type";
  const ScsiResult page = host().read({0x1A, 8, 0x1D, 0, 0xFF, 0}, 255);
  EXPECT_EQ(page.number(4 + 2, 1) & 1U, 1U) << "WORMM";
}

TEST_P(SscWorm, TheLastFilemarksAreOverwrittenButForTheFirst) {
  layout("rfff");
  ASSERT_TRUE(space(1, -2).good());
  EXPECT_EQ(block_number(), 2U);
  EXPECT_TRUE(host()
                  .run({0x19, 0, 0, 0, 0, 0})
                  .check(SenseKey::data_protect, asc::worm_overwrite_attempted))
      << "ERASE";
  layout("rff");
  ASSERT_TRUE(space(1, -1).good());
  EXPECT_TRUE(filemarks(1).good());
  ASSERT_TRUE(space(1, -2).good());
  const ScsiResult first = write(pattern(10));
  EXPECT_TRUE(first.check(SenseKey::data_protect, asc::worm_overwrite_attempted)) << first;
  ASSERT_TRUE(rewind().good());
  EXPECT_EQ(read(100).data.size(), 100U);
  EXPECT_TRUE(read(100).check(SenseKey::no_sense, asc::filemark_detected));
  EXPECT_EQ(read(100).data.size(), 100U);
  ASSERT_TRUE(space(3, 0).good());
  EXPECT_EQ(block_number(), 5U);
  EXPECT_EQ(file_number(), 3U);
}

// -- which commands may wait, and so must not run on a transport's I/O thread

TEST(SscMayBlock, WhatWaitsForNothingDoesNotBlock) {
  TapeRig rig(Transport::direct);
  const auto blocks = [&](std::initializer_list<unsigned> cdb, ByteView out = {}) {
    scsi::Command command;
    const Buffer bytes = ScsiClient::bytes(cdb);
    std::copy(bytes.begin(), bytes.end(), command.cdb.begin());
    command.data_out = out;
    return rig.unit().may_block(command);
  };
  const Buffer record(512, std::byte{1});
  EXPECT_TRUE(blocks({0x0A, 0, 0, 2, 0}, record)) << "the first change is made known durably";
  ASSERT_TRUE(rig.drive().write(record).ok());
  EXPECT_FALSE(blocks({0x00}));
  EXPECT_FALSE(blocks({0x12}));
  EXPECT_FALSE(blocks({0x08, 0, 0, 2, 0})) << "read ahead has it";
  EXPECT_FALSE(blocks({0x0A, 0, 0, 2, 0}, record)) << "there is room";
  EXPECT_TRUE(blocks({0x08, 1, 0, 0, 9})) << "only the first of several is known to be there";
  rig.cartridge().set_ready(false);
  EXPECT_TRUE(blocks({0x08, 0, 0, 2, 0}));
  EXPECT_TRUE(blocks({0x0A, 0, 0, 2, 0}, record));
  for (unsigned opcode : {0x01U, 0x10U, 0x11U, 0x19U, 0x1BU, 0x2BU, 0x34U, 0x4DU, 0x92U})
    EXPECT_TRUE(blocks({opcode})) << opcode;
}

// A write that is kept back must hear of another medium before anything else does.
TEST(SscMayBlock, NothingOvertakesWhenTheMediumHasChanged) {
  TapeRig rig(Transport::direct);
  scsi::Command test_ready;
  EXPECT_TRUE(rig.unit().may_overtake(test_ready));
  rig.eject();
  EXPECT_FALSE(rig.unit().may_overtake(test_ready));
  rig.insert();
  EXPECT_FALSE(rig.unit().may_overtake(test_ready));
  rig.client().clear_unit_attentions();
  EXPECT_TRUE(rig.unit().may_overtake(test_ready));
}

// -- append-only mode and ALLOW OVERWRITE

TEST_P(SscReadWrite, AppendOnlyMode) {
  layout("rrr");
  Buffer list = ScsiClient::bytes({0, 0, 0x10, 0, 0x50, 0x01, 0, 28, 0, 0x10});
  list.resize(4 + 32, std::byte{0});
  ASSERT_TRUE(host().write({0x15, 0x10, 0, 0, 36, 0}, list).good());
  EXPECT_TRUE(write(pattern(100)).good());
  ASSERT_TRUE(locate16(0, 1).good());
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::data_protect, asc::write_append_position_error));
  EXPECT_TRUE(host()
                  .run({0x82, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::sequential_positioning_error));
  ASSERT_TRUE(host().run({0x82, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}).good());
  EXPECT_TRUE(write(pattern(10)).good());
}

}  // namespace
}  // namespace coldshelf::test
