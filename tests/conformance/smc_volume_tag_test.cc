// SEND VOLUME TAG and REQUEST VOLUME ELEMENT ADDRESS: finding cartridges by barcode.
#include "tests/conformance/smc_fixture.h"

namespace coldshelf::test {
namespace {

class SmcVolumeTags : public SmcTest {
 protected:
  ScsiResult search(const std::string& pattern, uint8_t action = 5, uint8_t type = 0,
                    unsigned first = 0, unsigned length = 40, uint16_t min_sequence = 0) {
    Buffer list;
    scsi::WireWriter(list).ascii(pattern, 32).u16(0).u16(min_sequence).u16(0).u16(0);
    list.resize(length, std::byte{0});
    return send(
        {0xB6, type, high(first), low(first), 0, action, 0, 0, high(length), low(length), 0, 0},
        list);
  }
  ParsedStatus found(unsigned count = 0xFFFF, unsigned allocation = 4096) {
    const ScsiResult result = run(
        {0xB5, 0x10, 0, 0, high(count), low(count), 0, 0, high(allocation), low(allocation), 0, 0},
        allocation);
    EXPECT_TRUE(result.good()) << result;
    return parse_status(result.data);
  }
};

TEST_P(SmcVolumeTags, FindsByTemplate) {
  add("ABC001L8", 1001);
  add("ABC002L8", 1004);
  add("XYZ001L8", 11);
  ASSERT_TRUE(search("ABC001L8").good());
  ParsedStatus result = found();
  ASSERT_EQ(result.elements.size(), 1U);
  EXPECT_EQ(result.action, 5);
  EXPECT_EQ(result.elements[0].address, 1001);
  EXPECT_EQ(result.elements[0].barcode, "ABC001L8");
  ASSERT_TRUE(search("ABC*").good());
  EXPECT_EQ(found().elements.size(), 2U);
  EXPECT_EQ(found(1).elements.size(), 1U);
  ASSERT_TRUE(search("???001L8").good());
  EXPECT_EQ(found().elements.size(), 2U);
  EXPECT_EQ(found().pages, 2U);
  ASSERT_TRUE(search("*", 5, /*type=*/3).good());
  EXPECT_EQ(found().elements.size(), 1U);
  ASSERT_TRUE(search("*", 5, 0, /*first=*/1002).good());
  EXPECT_EQ(found().elements.size(), 1U);
  ASSERT_TRUE(search("NOPE").good());
  EXPECT_EQ(found().count, 0);
}

TEST_P(SmcVolumeTags, FollowsACartridgeOnlyWhereItWasFound) {
  add("ABC001L8");
  ASSERT_TRUE(search("ABC001L8").good());
  ASSERT_TRUE(move(kSlot, kDrive).good());
  const ParsedStatus result = found();  // the element that was found, as it is now
  ASSERT_EQ(result.elements.size(), 1U);
  EXPECT_FALSE(result.elements[0].full());
}

TEST_P(SmcVolumeTags, AlternateTagsAndSequenceNumbersFindNothing) {
  add("ABC001L8");
  ASSERT_TRUE(search("*", 6).good());
  EXPECT_EQ(found().count, 0);
  ASSERT_TRUE(search("*", 1, 0, 0, 40, /*min_sequence=*/1).good());
  EXPECT_EQ(found().count, 0);
  ASSERT_TRUE(search("*", 1).good());
  EXPECT_EQ(found().count, 1);
}

TEST_P(SmcVolumeTags, Refusals) {
  EXPECT_TRUE(run({0xB5, 0x10, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0}, 4096)
                  .check(SenseKey::illegal_request, asc::command_sequence_error));
  // Barcodes are printed on the cartridge: assert, replace, undefine.
  for (const uint8_t action : {uint8_t{0x08}, uint8_t{0x0A}, uint8_t{0x0C}, uint8_t{0x03}}) {
    EXPECT_TRUE(
        search("ABC001L8", action).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  }
  EXPECT_TRUE(search("*", 5, 7).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(
      search("*", 5, 0, 0, 12).check(SenseKey::illegal_request, asc::parameter_list_length_error));
  EXPECT_TRUE(run({0xB6, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0}).good());  // no list is no error
}

TEST_P(SmcVolumeTags, SearchesBelongToTheirInitiator) {
  add("ABC001L8");
  ASSERT_TRUE(search("*").good());
  const ScsiResult theirs = other().read({0xB5, 0x10, 0, 0, 0, 9, 0, 0, 16, 0, 0, 0}, 4096);
  EXPECT_TRUE(theirs.check(SenseKey::illegal_request, asc::command_sequence_error));
}

INSTANTIATE_SMC(SmcVolumeTags);

TEST(VolumeTemplate, Matching) {
  using scsi::matches_volume_template;
  EXPECT_TRUE(matches_volume_template("", ""));
  EXPECT_FALSE(matches_volume_template("", "A"));
  EXPECT_TRUE(matches_volume_template("*", ""));
  EXPECT_TRUE(matches_volume_template("A*", "A"));
  EXPECT_TRUE(matches_volume_template("*L8", "ABC001L8"));
  EXPECT_TRUE(matches_volume_template("A*0*8", "ABC001L8"));
  EXPECT_FALSE(matches_volume_template("A*0*9", "ABC001L8"));
  EXPECT_FALSE(matches_volume_template("????", "ABC"));
  EXPECT_TRUE(matches_volume_template("*???", "ABC"));
  EXPECT_FALSE(matches_volume_template(std::string(16, '*') + "B", std::string(32, 'A')));
}

}  // namespace
}  // namespace coldshelf::test
