// What SPC-5 asks of every device, tried on a tape drive: INQUIRY, sense, operation codes, unit
// attentions, time, diagnostics.
#include <set>

#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class Spc : public SscSuite {
 protected:
  ScsiResult inquiry(unsigned page, unsigned allocation = 255) {
    return host().read({0x12, 1, page, b(allocation, 8), b(allocation, 0), 0}, allocation);
  }
  ScsiResult opcodes(unsigned options, unsigned opcode = 0, unsigned action = 0,
                     unsigned allocation = 8192) {
    return host().read({0xA3, 0x0C, options, opcode, b(action, 8), b(action, 0), b(allocation, 24),
                        b(allocation, 16), b(allocation, 8), b(allocation, 0), 0, 0},
                       allocation);
  }
};
COLDSHELF_SSC_SUITE(Spc);

TEST_P(Spc, StandardInquiry) {
  const ScsiResult r = host().read({0x12, 0, 0, 0, 96, 0}, 96);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(0, 1), 0x01U);
  EXPECT_EQ(r.number(1, 1), 0x80U) << "removable";
  EXPECT_EQ(r.number(3, 1) & 0x0FU, 2U);
  EXPECT_EQ(r.number(4, 1), r.data.size() - 5);
  EXPECT_EQ(r.text(8, 8), "IBM     ");
  EXPECT_EQ(r.text(16, 16), "ULT3580-TD8     ");
  EXPECT_GE(r.text(32, 4), "HB81") << "what LTFS asks for";
  EXPECT_EQ(host().read({0x12, 0, 0, 0, 36, 0}, 36).data.size(), 36U);
  EXPECT_EQ(host().read({0x12, 0, 0, 0, 5, 0}, 5).data.size(), 5U);
  const ScsiResult more = host().read({0x12, 0, 0, 1, 0, 0}, 256);
  EXPECT_EQ(more.residual, 256 - 96);
  EXPECT_TRUE(host()
                  .read({0x12, 0, 0x80, 0, 96, 0}, 96)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "a page without EVPD";
}

TEST_P(Spc, VitalProductData) {
  const ScsiResult list = inquiry(0x00);
  ASSERT_TRUE(list.good());
  std::set<uint64_t> pages;
  for (size_t i = 4; i < list.data.size(); ++i) pages.insert(list.number(i, 1));
  for (unsigned page : {0x00U, 0x80U, 0x83U, 0x86U, 0xB0U, 0xB1U})
    EXPECT_TRUE(pages.contains(page));
  for (uint64_t page : pages) {
    const ScsiResult r = inquiry(static_cast<unsigned>(page));
    ASSERT_TRUE(r.good()) << page;
    EXPECT_EQ(r.number(0, 1), 1U);
    EXPECT_EQ(r.number(1, 1), page);
    EXPECT_EQ(r.number(2, 2) + 4, r.data.size());
  }
  EXPECT_EQ(inquiry(0x80).text(4, 10), "TEST000001");
  EXPECT_EQ(inquiry(0xB0).number(4, 1) & 1U, 1U) << "WORM capable";
  const ScsiResult unknown = inquiry(0xC7);
  EXPECT_TRUE(unknown.check(SenseKey::illegal_request, asc::invalid_field_in_cdb)) << unknown;
  EXPECT_TRUE(unknown.data.empty());
}

TEST_P(Spc, DeviceIdentification) {
  const ScsiResult r = inquiry(0x83);
  std::set<uint64_t> types;
  bool named = false;
  for (size_t at = 4; at < r.data.size(); at += 4 + r.number(at + 3, 1)) {
    types.insert(r.number(at + 1, 1) & 0x3FU);
    if (r.text(at + 4, 3) == "iqn") {
      named = true;
      EXPECT_EQ(r.number(at + 3, 1) % 4, 0U);
    }
  }
  EXPECT_TRUE(named);
  EXPECT_TRUE(types.contains(0x01)) << "T10 vendor id";
  EXPECT_TRUE(types.contains(0x03)) << "NAA";
  EXPECT_TRUE(types.contains(0x14)) << "relative target port";
  EXPECT_TRUE(types.contains(0x28)) << "the target's name";
}

TEST_P(Spc, InvalidCommands) {
  const ScsiResult r = host().run({0xC5, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_TRUE(r.check(SenseKey::illegal_request, asc::invalid_opcode)) << r;
  const ScsiResult in = host().read({0xA3, 0x1E, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0}, 16);
  EXPECT_TRUE(in.check(SenseKey::illegal_request, asc::invalid_field_in_cdb)) << in;
  ASSERT_TRUE(in.sense->field);
  EXPECT_EQ(in.sense->field->byte, 1);
  EXPECT_TRUE(host()
                  .run({0xA4, 0x1E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(host()
                  .run({0x00, 0, 0, 0, 0, 0x04})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "NACA";
}

TEST_P(Spc, ReportLuns) {
  const ScsiResult r = host().read({0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(0, 4), 8U);
  EXPECT_EQ(r.number(8, 8), 0U);
  EXPECT_EQ(host().read({0xA0, 0, 1, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64).number(0, 4), 0U);
  EXPECT_TRUE(host()
                  .read({0xA0, 0, 9, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(Spc, AllOperationCodes) {
  const ScsiResult r = opcodes(0);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(0, 4) + 4, r.data.size());
  std::set<uint64_t> seen;
  for (size_t at = 4; at < r.data.size(); at += 8) {
    EXPECT_EQ(r.number(at + 5, 1) & 0x02U, 0U) << "no timeouts unless asked for";
    seen.insert(r.number(at, 1));
  }
  for (uint64_t opcode : std::initializer_list<uint64_t>{
           0x00, 0x01, 0x03, 0x04, 0x05, 0x08, 0x0A, 0x0B, 0x10, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17,
           0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x2B, 0x34, 0x44, 0x4C, 0x4D, 0x55, 0x56, 0x57, 0x5A,
           0x5E, 0x5F, 0x80, 0x82, 0x8C, 0x8D, 0x91, 0x92, 0xA0, 0xA2, 0xA3, 0xA4, 0xB5})
    EXPECT_TRUE(seen.contains(opcode)) << std::hex << opcode;
}

TEST_P(Spc, OperationCodesWithTimeoutsAsLtfsAsks) {
  const ScsiResult r = opcodes(0x80, 0, 0, 4096);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.residual > 0, true) << "fits into 4 KiB";
  EXPECT_EQ(r.number(0, 4) % 20, 0U);
  for (size_t at = 4; at < r.data.size(); at += 20) {
    EXPECT_EQ(r.number(at + 5, 1) & 0x02U, 0x02U) << "CTDP";
    EXPECT_EQ(r.number(at + 8, 2), 10U);
    EXPECT_GT(r.number(at + 16, 4), 0U) << "LTFS takes the recommended timeout";
  }
}

TEST_P(Spc, OneOperationCode) {
  const ScsiResult read6 = opcodes(0x81, 0x08);
  ASSERT_TRUE(read6.good());
  EXPECT_EQ(read6.number(1, 1), 0x83U);
  EXPECT_EQ(read6.number(2, 2), 6U);
  EXPECT_EQ(read6.number(4, 1), 0x08U);
  EXPECT_EQ(read6.data.size(), 4U + 6 + 12);
  const ScsiResult unknown = opcodes(1, 0xC5);
  ASSERT_TRUE(unknown.good());
  EXPECT_EQ(unknown.number(1, 1) & 7U, 1U);
  EXPECT_TRUE(opcodes(1, 0xA3).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(opcodes(2, 0x08).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_EQ(opcodes(2, 0xA3, 0x0C).number(1, 1) & 7U, 3U);
  EXPECT_EQ(opcodes(2, 0xA3, 0x1F).number(1, 1) & 7U, 1U);
  EXPECT_EQ(opcodes(3, 0x08, 0).number(1, 1) & 7U, 3U);
  EXPECT_EQ(opcodes(3, 0x08, 1).number(1, 1) & 7U, 1U);
  EXPECT_EQ(opcodes(3, 0x5F, 6).number(1, 1) & 7U, 3U);
  EXPECT_TRUE(opcodes(5).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(Spc, TaskManagementFunctionsAndPortGroups) {
  const ScsiResult tmf = host().read({0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0}, 16);
  ASSERT_TRUE(tmf.good());
  EXPECT_EQ(tmf.data.size(), 4U);
  EXPECT_EQ(tmf.number(0, 1) & 0xD8U, 0xD8U) << "abort task, abort and clear task set, LU reset";
  const ScsiResult groups = host().read({0xA3, 0x0A, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256);
  ASSERT_TRUE(groups.good());
  EXPECT_EQ(groups.number(0, 4) + 4, groups.data.size());
  EXPECT_EQ(groups.number(4, 1) & 0x0FU, 0U) << "active/optimized";
  EXPECT_EQ(groups.number(6, 2), 1U);
}

TEST_P(Spc, Timestamp) {
  const ScsiResult before = host().read({0xA3, 0x0F, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0}, 12);
  ASSERT_TRUE(before.good());
  EXPECT_EQ(before.data.size(), 12U);
  EXPECT_EQ(before.number(2, 1), 3U);
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  ASSERT_TRUE(host()
                  .write({0xA4, 0x0F, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0},
                         ScsiClient::bytes({0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}))
                  .good());
  const ScsiResult after = host().read({0xA3, 0x0F, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0}, 12);
  EXPECT_EQ(after.number(2, 1), 2U);
  EXPECT_GE(after.number(4, 6), 0x10000U);
  EXPECT_LT(after.number(4, 6), 0x10000U + 60000);
  EXPECT_TRUE(
      other->run({0, 0, 0, 0, 0, 0}).check(SenseKey::unit_attention, asc::timestamp_changed));
}

// Found by fuzzing: a length of gigabytes is neither solicited nor believed.
TEST_P(Spc, ParameterListsBeyondAllBoundsAreRefused) {
  EXPECT_TRUE(host()
                  .write({0xA4, 0x0F, 0, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0}, Buffer(12, std::byte{1}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
  EXPECT_TRUE(host()
                  .write({0x5F, 6, 0, 0, 0, 0x80, 0, 0, 24, 0}, Buffer(24, std::byte{1}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
}

TEST_P(Spc, Diagnostics) {
  EXPECT_TRUE(host().run({0x1D, 0x04, 0, 0, 0, 0}).good()) << "self test";
  const ScsiResult r = host().read({0x1C, 1, 0, 0, 64, 0}, 64);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.data.size(), 5U);
  EXPECT_TRUE(host()
                  .read({0x1C, 1, 0x40, 0, 64, 0}, 64)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(Spc, ANewNexusHearsOfPowerOnOnce) {
  auto other = rig_.connect(7);
  EXPECT_TRUE(other->read({0x12, 0, 0, 0, 96, 0}, 96).good()) << "INQUIRY does not report it";
  EXPECT_TRUE(other->read({0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64).good());
  const ScsiResult r = other->run({0x00, 0, 0, 0, 0, 0});
  EXPECT_TRUE(r.check(SenseKey::unit_attention, asc::power_on_occurred)) << r;
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0}).good());
}

TEST_P(Spc, RequestSenseTakesTheUnitAttention) {
  auto other = rig_.connect(7);
  const ScsiResult r = other->read({0x03, 0, 0, 0, 252, 0}, 252);
  ASSERT_TRUE(r.good()) << r;
  const auto sense = scsi::decode_sense(r.data);
  ASSERT_TRUE(sense);
  EXPECT_EQ(sense->key, SenseKey::unit_attention);
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0}).good());
  const ScsiResult none = other->read({0x03, 1, 0, 0, 252, 0}, 252);
  EXPECT_EQ(none.number(0, 1), 0x72U) << "DESC";
  EXPECT_EQ(none.number(1, 1), 0U);
}

TEST_P(Spc, AResetTellsEverybodyAndSetsTheDefaults) {
  ASSERT_TRUE(set_block_length(512).good());
  ASSERT_TRUE(host().run({0x1E, 0, 0, 0, 1, 0}).good());
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  EXPECT_TRUE(test_ready().check(SenseKey::unit_attention, asc::device_reset));
  EXPECT_EQ(host().read({0x1A, 0, 0, 0, 12, 0}, 12).number(9, 3), 0U);
  EXPECT_FALSE(rig_.prevented());
}

}  // namespace
}  // namespace coldshelf::test
