// SPACE, LOCATE, READ POSITION, REWIND, LOAD UNLOAD.
#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class SscPosition : public SscSuite {};
COLDSHELF_SSC_SUITE(SscPosition);

TEST_P(SscPosition, SpaceOverRecordsStopsAtAFilemark) {
  layout("rrfrr");
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(space(0, 2).good());
  const ScsiResult r = space(0, 3);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::filemark_detected)) << r;
  EXPECT_TRUE(r.sense->filemark);
  EXPECT_EQ(r.sense->information, 3);
  EXPECT_EQ(block_number(), 3U) << "behind the filemark";
}

TEST_P(SscPosition, SpaceBackOverRecordsStopsBeforeTheFilemark) {
  layout("rrfrr");
  const ScsiResult r = space(0, -4);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::filemark_detected)) << r;
  EXPECT_EQ(r.sense->information, 2);
  EXPECT_EQ(block_number(), 2U) << "the side of the filemark nearer to the beginning";
}

TEST_P(SscPosition, SpaceBackOverAFilemark) {  // mt bsfm
  layout("rfrfr");
  ASSERT_TRUE(space(1, -1).good());
  EXPECT_EQ(block_number(), 3U);
  EXPECT_EQ(file_number(), 1U);
  EXPECT_TRUE(read(100).check(SenseKey::no_sense, asc::filemark_detected));
}

TEST_P(SscPosition, SpaceBeyondTheEndIsBlankCheckWithTheResidual) {  // mt eod, mt fsf 99
  layout("rfrf");
  ASSERT_TRUE(rewind().good());
  const ScsiResult marks = space(1, 5);
  ASSERT_TRUE(marks.check(SenseKey::blank_check, asc::end_of_data_detected)) << marks;
  EXPECT_EQ(marks.sense->information, 3);
  EXPECT_NE(marks.raw_sense[0] & std::byte{0x80}, std::byte{0}) << "VALID";
  EXPECT_EQ(file_number(), 2U);
  // st's MTEOM: as many filemarks as 24 bits hold; the file number comes of the residual.
  ASSERT_TRUE(rewind().good());
  const ScsiResult most = space(1, 0x7FFFFF);
  ASSERT_TRUE(most.check(SenseKey::blank_check, asc::end_of_data_detected)) << most;
  EXPECT_EQ(0x7FFFFF - *most.sense->information, 2);
}

TEST_P(SscPosition, SpaceBeyondTheBeginningIsNotEndOfData) {
  layout("rr");
  const ScsiResult r = space(0, -5);
  ASSERT_TRUE(r.check(SenseKey::no_sense, asc::beginning_of_partition_detected)) << r;
  EXPECT_TRUE(r.sense->end_of_medium);
  EXPECT_EQ(r.sense->information, 3);
  EXPECT_EQ(block_number(), 0U);
  layout("rf");
  const ScsiResult marks = space(1, -3);
  ASSERT_TRUE(marks.check(SenseKey::no_sense, asc::beginning_of_partition_detected)) << marks;
  EXPECT_EQ(marks.sense->information, 2);
}

TEST_P(SscPosition, SpaceToTheEndOfDataAndOverSequentialFilemarks) {
  layout("rfrffr");
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(space(2, 2).good());
  EXPECT_EQ(block_number(), 5U);
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(space(3, 0).good());
  EXPECT_EQ(block_number(), 6U);
  EXPECT_TRUE(space(4, 1).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SscPosition, Space16) {
  layout("rrrfr");
  ASSERT_TRUE(host()
                  .run({0x91, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
                  .good())
      << "-1";
  EXPECT_EQ(block_number(), 4U);
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(host().run({0x91, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}).good());
  EXPECT_EQ(block_number(), 4U);
  const ScsiResult far = host().run({0x91, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_TRUE(far.check(SenseKey::blank_check, asc::end_of_data_detected)) << far;
  EXPECT_EQ(static_cast<uint32_t>(*far.sense->information), 0xFFFFFFFFU) << far;
}

TEST_P(SscPosition, LocateByBlock) {
  layout("rrfrr");
  ASSERT_TRUE(host().run({0x2B, 0, 0, 0, 0, 0, 1, 0, 0, 0}).good());
  EXPECT_EQ(block_number(), 1U);
  ASSERT_TRUE(locate16(0, 4).good());
  EXPECT_EQ(block_number(), 4U);
  EXPECT_EQ(file_number(), 1U);
  ASSERT_TRUE(locate16(0, 5).good()) << "the end of data itself";
  EXPECT_TRUE(locate16(0, 6).check(SenseKey::blank_check, asc::end_of_data_detected));
  EXPECT_EQ(block_number(), 5U);
}

TEST_P(SscPosition, LocateByFilemarkTakesTheTypeFromItsBits) {
  layout("rfrrfr");
  ASSERT_TRUE(locate16(1, 1).good());
  EXPECT_EQ(block_number(), 2U);
  ASSERT_TRUE(locate16(1, 2).good());
  EXPECT_EQ(block_number(), 5U);
  ASSERT_TRUE(locate16(1, 0).good());
  EXPECT_EQ(block_number(), 0U);
  EXPECT_TRUE(locate16(1, 3).check(SenseKey::blank_check, asc::end_of_data_detected));
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(locate16(3, 0).good());
  EXPECT_EQ(block_number(), 6U);
  EXPECT_TRUE(locate16(2, 0).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(locate16(4, 0).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(locate16(0, 0, 1).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "no such partition";
}

TEST_P(SscPosition, ReadPositionForms) {
  layout("rfr");
  const ScsiResult form0 = host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20);
  ASSERT_TRUE(form0.good());
  EXPECT_EQ(form0.data.size(), 20U);
  EXPECT_EQ(form0.number(0, 1), 0U);
  EXPECT_EQ(form0.number(4, 4), 3U);
  EXPECT_LE(form0.number(8, 4), 3U);
  EXPECT_EQ(host().read({0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 20).number(4, 4), 3U);
  const ScsiResult form6 = host().read({0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32);
  EXPECT_EQ(form6.data.size(), 32U);
  EXPECT_EQ(form6.number(4, 4), 0U);
  EXPECT_EQ(form6.number(8, 8), 3U);
  EXPECT_EQ(form6.number(16, 8), 1U);
  const ScsiResult form8 = host().read({0x34, 8, 0, 0, 0, 0, 0, 0, 32, 0}, 32);
  EXPECT_EQ(form8.data.size(), 32U);
  EXPECT_EQ(form8.number(2, 2), 28U);
  EXPECT_EQ(form8.number(8, 8), 3U);
  EXPECT_EQ(host().read({0x34, 8, 0, 0, 0, 0, 0, 0, 8, 0}, 32).data.size(), 8U);
  EXPECT_TRUE(host()
                  .read({0x34, 3, 0, 0, 0, 0, 0, 0, 0, 0}, 32)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  ASSERT_TRUE(rewind().good());
  EXPECT_EQ(host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20).number(0, 1), 0x80U) << "BOP";
}

TEST_P(SscPosition, BufferedObjectsAreCounted) {
  layout("rr");
  const ScsiResult form0 = host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20);
  EXPECT_EQ(form0.number(13, 3), 2U);
  EXPECT_EQ(form0.number(16, 4), 200U);
  EXPECT_EQ(form0.number(8, 4), 0U) << "last: nothing is on the medium";
  ASSERT_TRUE(filemarks(0).good());
  EXPECT_EQ(host().read({0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20).number(13, 3), 0U);
}

TEST_P(SscPosition, RewindSyncsWhatWasWritten) {
  layout("r");
  const unsigned before = rig_.cartridge().syncs();
  ASSERT_TRUE(host().run({0x01, 1, 0, 0, 0, 0}).good()) << "IMMED";
  EXPECT_GT(rig_.cartridge().syncs(), before);
  EXPECT_EQ(block_number(), 0U);
}

TEST_P(SscPosition, AMoveThatFindsWritesLostSaysSo) {
  for (const bool locates : {true, false}) {
    static_cast<void>(rig_.try_eject().ok());
    rig_.insert();
    host().clear_unit_attentions();
    layout("rr");
    rig_.cartridge().fail_next_sync(Error(ErrorCode::io, "no disk"));
    const ScsiResult moved = locates ? locate16(0, 0) : space(1, -1);
    EXPECT_TRUE(moved.check(SenseKey::medium_error, asc::write_error)) << moved;
  }
}

TEST_P(SscPosition, LoadAndUnload) {
  layout("rr");
  ASSERT_TRUE(unload().good());
  EXPECT_TRUE(test_ready().check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(unload().good()) << "again";
  ASSERT_TRUE(load().good());
  EXPECT_TRUE(test_ready().good()) << "whoever loads it knows of the medium";
  EXPECT_EQ(block_number(), 0U);
  EXPECT_TRUE(read(100).good());
  ASSERT_TRUE(load().good());
  EXPECT_EQ(block_number(), 0U) << "LOAD rewinds a loaded medium";
  EXPECT_TRUE(
      host().run({0x1B, 0, 0, 0, 5, 0}).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "EOT with LOAD";
}

TEST_P(SscPosition, UnloadUnderPreventionIsRefused) {
  layout("r");
  ASSERT_TRUE(host().run({0x1E, 0, 0, 0, 1, 0}).good());
  EXPECT_TRUE(rig_.prevented());
  EXPECT_TRUE(unload().check(SenseKey::illegal_request, asc::medium_removal_prevented));
  EXPECT_TRUE(test_ready().good());
  EXPECT_EQ(block_number(), 1U) << "nothing moved";
  ASSERT_TRUE(host().run({0x1E, 0, 0, 0, 0, 0}).good());
  EXPECT_FALSE(rig_.prevented());
  EXPECT_TRUE(unload().good());
  EXPECT_TRUE(host()
                  .run({0x1E, 0, 0, 0, 2, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SscPosition, PreventionEndsWithItsNexus) {
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  ASSERT_TRUE(other->run({0x1E, 0, 0, 0, 1, 0}).good());
  EXPECT_TRUE(unload().check(SenseKey::illegal_request, asc::medium_removal_prevented));
  other.reset();
  EXPECT_TRUE(unload().good());
}

TEST_P(SscPosition, AnInsertedMediumIsAUnitAttentionForEverybody) {
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  rig_.eject();
  rig_.insert();
  EXPECT_TRUE(test_ready().check(SenseKey::unit_attention, asc::medium_may_have_changed));
  EXPECT_TRUE(test_ready().good());
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0})
                  .check(SenseKey::unit_attention, asc::medium_may_have_changed));
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0}).good());
}

TEST_P(SscPosition, ALoadIsAUnitAttentionForTheOthers) {
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  ASSERT_TRUE(unload().good());
  ASSERT_TRUE(load().good());
  EXPECT_TRUE(test_ready().good());
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0})
                  .check(SenseKey::unit_attention, asc::medium_may_have_changed));
}

}  // namespace
}  // namespace coldshelf::test
