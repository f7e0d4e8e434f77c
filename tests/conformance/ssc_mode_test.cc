// MODE SENSE and MODE SELECT of a tape drive.
#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class SscMode : public SscSuite {
 protected:
  ScsiResult sense6(unsigned page, unsigned subpage = 0, unsigned control = 0, unsigned dbd = 0,
                    unsigned allocation = 255) {
    return host().read({0x1A, dbd, (control << 6) | page, subpage, allocation, 0}, allocation);
  }
  ScsiResult sense10(unsigned page, unsigned subpage = 0, unsigned allocation = 1024) {
    return host().read({0x5A, 0, page, subpage, 0, 0, 0, b(allocation, 8), b(allocation, 0), 0},
                       allocation);
  }
  ScsiResult select6(ByteView list) {
    return host().write({0x15, 0x10, 0, 0, static_cast<unsigned>(list.size()), 0}, list);
  }
  ScsiResult select10(ByteView list) {
    return host().write({0x55, 0x10, 0, 0, 0, 0, 0, b(list.size(), 8), b(list.size(), 0), 0}, list);
  }
  // A page as MODE SENSE(6) gives it without a block descriptor, ready for MODE SELECT(6).
  Buffer page_list(unsigned page, unsigned subpage = 0) {
    ScsiResult r = sense6(page, subpage, 0, 8);
    EXPECT_TRUE(r.good()) << r;
    r.data[0] = std::byte{0};
    return r.data;
  }
};
COLDSHELF_SSC_SUITE(SscMode);

TEST_P(SscMode, HeaderAsStReadsIt) {
  const ScsiResult r = host().read({0x1A, 0, 0, 0, 12, 0}, 12);
  ASSERT_TRUE(r.good()) << r;
  ASSERT_EQ(r.data.size(), 12U);
  EXPECT_EQ(r.number(0, 1), 11U);
  EXPECT_EQ(r.number(1, 1), 0x88U) << "LTO-8 medium";
  EXPECT_EQ(r.number(2, 1), 0x10U) << "buffered, not protected";
  EXPECT_EQ(r.number(3, 1), 8U);
  EXPECT_EQ(r.number(4, 1), 0x5EU) << "density";
  EXPECT_EQ(r.number(9, 3), 0U) << "variable blocks";
}

TEST_P(SscMode, AllPagesInMode10AsLtfsAsks) {
  const ScsiResult r = sense10(0x3F);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_EQ(r.number(0, 2) + 2, r.data.size());
  EXPECT_EQ(r.number(2, 1), 0x88U);
  EXPECT_EQ(r.number(8, 1), 0x5EU);
  std::vector<uint64_t> pages;
  for (size_t at = 16; at < r.data.size(); at += 2 + r.number(at + 1, 1)) {
    EXPECT_EQ(r.number(at, 1) & 0x40U, 0U) << "no subpage unless asked for";
    pages.push_back(r.number(at, 1) & 0x3F);
  }
  EXPECT_EQ(pages, (std::vector<uint64_t>{0x01, 0x02, 0x0A, 0x0F, 0x10, 0x11, 0x1C, 0x1D}));
  EXPECT_TRUE(sense10(0x3F, 0xFF).good());
  EXPECT_GT(sense10(0x3F, 0xFF).data.size(), r.data.size());
}

TEST_P(SscMode, SubpagesCarryTheSpfBit) {
  for (const auto& [page, subpage] : {std::pair{0x0AU, 0xF0U}, std::pair{0x10U, 0x01U}}) {
    const ScsiResult r = sense10(page, subpage);
    ASSERT_TRUE(r.good()) << r;
    EXPECT_EQ(r.number(16, 1), 0x40U | page);
    EXPECT_EQ(r.number(17, 1), subpage);
    EXPECT_EQ(r.number(18, 2), 28U);
    EXPECT_EQ(r.data.size(), 16U + 32U);
  }
  EXPECT_TRUE(sense10(0x0A, 0x17).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_EQ(sense10(0x10, 0xFF).data.size(), 16U + 16U + 32U) << "the page with its subpages";
}

TEST_P(SscMode, PageNotSupported) {
  const ScsiResult r = sense6(0x2A);
  ASSERT_TRUE(r.check(SenseKey::illegal_request, asc::invalid_field_in_cdb)) << r;
  ASSERT_TRUE(r.sense->field);
  EXPECT_EQ(r.sense->field->byte, 2);
  EXPECT_TRUE(
      sense6(0x0F, 0, 3).check(SenseKey::illegal_request, asc::saving_parameters_not_supported));
}

TEST_P(SscMode, AllocationLengthCutsWithoutError) {
  const ScsiResult r = sense6(0x3F, 0, 0, 0, 4);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.data.size(), 4U);
  EXPECT_GT(r.number(0, 1), 4U) << "the length is the whole length";
}

TEST_P(SscMode, BlockLength) {
  ASSERT_TRUE(set_block_length(65536).good());
  EXPECT_EQ(host().read({0x1A, 0, 0, 0, 12, 0}, 12).number(9, 3), 65536U);
  EXPECT_EQ(sense6(0, 0, 1).number(9, 3), 0xFFFFFFU) << "changeable";
  EXPECT_EQ(sense6(0, 0, 2).number(9, 3), 0U) << "default";
  EXPECT_TRUE(set_block_length(8 * 1024 * 1024 + 1)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  EXPECT_EQ(host().read({0x1A, 0, 0, 0, 12, 0}, 12).number(9, 3), 65536U) << "unchanged";
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0x10, 8, 0x42, 0, 0, 0, 0, 0, 2, 0}))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "unknown density";
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0x10, 8, 0x5E, 0, 0, 0, 0, 0, 2, 0})).good());
}

TEST_P(SscMode, Compression) {
  Buffer list = page_list(0x0F);
  EXPECT_EQ(list[4 + 2], std::byte{0xC0}) << "DCE DCC";
  list[4 + 2] = std::byte{0x40};
  ASSERT_TRUE(select6(list).good());
  EXPECT_EQ(page_list(0x0F)[4 + 2], std::byte{0x40});
  EXPECT_FALSE(rig_.cartridge().compression()) << "the drive heeds it";
  EXPECT_EQ(page_list(0x10)[4 + 14], std::byte{0}) << "SELECT DATA COMPRESSION ALGORITHM follows";
  EXPECT_EQ(sense6(0x0F, 0, 1, 8).number(4 + 2, 1), 0x80U);
  EXPECT_EQ(sense6(0x0F, 0, 2, 8).number(4 + 2, 1), 0xC0U);
}

TEST_P(SscMode, LtfsWritesLogicalBlockProtectionOff) {
  ScsiResult r = sense10(0x0A, 0xF0, 48);
  ASSERT_EQ(r.data.size(), 48U);
  r.data[0] = r.data[1] = std::byte{0};
  EXPECT_TRUE(select10(r.data).good());
  r.data[16 + 4] = std::byte{0x02};
  EXPECT_TRUE(
      select10(r.data).check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
}

TEST_P(SscMode, WhatCannotChangeIsRefusedAndNothingIsApplied) {
  Buffer list = page_list(0x0F);
  list[4 + 2] = std::byte{0x40};
  Buffer second = page_list(0x1D);
  second[4 + 2] ^= std::byte{0x01};
  append(list, ByteView(second).subspan(4));
  const ScsiResult r = select6(list);
  ASSERT_TRUE(r.check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list)) << r;
  ASSERT_TRUE(r.sense->field);
  EXPECT_FALSE(r.sense->field->in_cdb);
  EXPECT_EQ(r.sense->field->byte, 4 + 16 + 2);
  EXPECT_EQ(page_list(0x0F)[4 + 2], std::byte{0xC0}) << "the first page was not applied";
}

TEST_P(SscMode, MalformedLists) {
  EXPECT_TRUE(select6({}).good()) << "an empty list changes nothing";
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0x10, 4, 0, 0, 0, 0}))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "block descriptor length";
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0x10, 8, 0, 0}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
  Buffer list = page_list(0x0F);
  list.resize(list.size() - 3);
  EXPECT_TRUE(select6(list).check(SenseKey::illegal_request, asc::parameter_list_length_error));
  EXPECT_TRUE(select6(ScsiClient::bytes({0, 0, 0x10, 0, 0x2A, 2, 0, 0}))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  EXPECT_TRUE(host()
                  .write({0x15, 0x11, 0, 0, 4, 0}, ScsiClient::bytes({0, 0, 0x10, 0}))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "SP";
}

TEST_P(SscMode, TheOthersAreToldOfChangedParameters) {
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  ASSERT_TRUE(set_block_length(512).good());
  EXPECT_TRUE(test_ready().good());
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0})
                  .check(SenseKey::unit_attention, asc::mode_parameters_changed));
}

TEST_P(SscMode, SoftwareWriteProtection) {
  Buffer list = page_list(0x10);
  list[4 + 10] |= std::byte{0x04};  // SWP
  ASSERT_TRUE(select6(list).good());
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::data_protect, asc::write_protected));
  EXPECT_EQ(host().read({0x1A, 0, 0, 0, 12, 0}, 12).number(2, 1) & 0x80U, 0x80U);
  list[4 + 10] &= ~std::byte{0x04};
  ASSERT_TRUE(select6(list).good());
  EXPECT_TRUE(write(pattern(10)).good());
}

TEST_P(SscMode, AssociatedWriteProtectionEndsWithTheMedium) {
  Buffer list = page_list(0x10);
  list[4 + 15] = std::byte{0x04};  // ASOCWP
  ASSERT_TRUE(select6(list).good());
  EXPECT_TRUE(write(pattern(10)).check(SenseKey::data_protect, asc::write_protected));
  rig_.eject();
  rig_.insert();
  host().clear_unit_attentions();
  EXPECT_TRUE(write(pattern(10)).good());
  EXPECT_EQ(page_list(0x10)[4 + 15], std::byte{0});
  // What would go with the volume is not offered, so it is not accepted either.
  for (const auto bit : {std::byte{0x01}, std::byte{0x02}}) {
    list[4 + 15] = bit;
    EXPECT_TRUE(
        select6(list).check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  }
}

TEST_P(SscMode, AResetDoesWhatThePagesSayAfterIt) {
  Buffer list = page_list(0x10);
  list[4 + 10] |= std::byte{0x04};  // SWP
  list[4 + 14] = std::byte{0};      // no compression
  ASSERT_TRUE(select6(list).good());
  EXPECT_FALSE(rig_.cartridge().compression());
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  host().clear_unit_attentions();
  EXPECT_TRUE(write(pattern(10)).good());
  EXPECT_TRUE(rig_.cartridge().compression());
  EXPECT_EQ(page_list(0x10)[4 + 14], std::byte{1});
}

TEST_P(SscMode, DescriptorSense) {
  Buffer list = page_list(0x0A);
  list[4 + 2] |= std::byte{0x04};  // D_SENSE
  ASSERT_TRUE(select6(list).good());
  const ScsiResult r = read(512);
  ASSERT_EQ(std::to_integer<int>(r.raw_sense[0]), 0x72);
  ASSERT_TRUE(r.check(SenseKey::blank_check, asc::end_of_data_detected)) << r;
  EXPECT_EQ(r.sense->information, 512) << to_hex(r.raw_sense);
}

TEST_P(SscMode, NoMediumHasNoDensity) {
  rig_.eject();
  host().clear_unit_attentions();
  const ScsiResult r = host().read({0x1A, 0, 0, 0, 12, 0}, 12);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_EQ(r.number(1, 1), 0U);
  EXPECT_EQ(r.number(4, 1), 0U);
}

class SscHpe : public SscSuite {
 protected:
  SscHpe() : SscSuite({.profile = "HPE-Ultrium-8"}) {}
};
COLDSHELF_SSC_SUITE(SscHpe);

TEST_P(SscHpe, MediumTypeTellsWormOnly) {
  const ScsiResult r = host().read({0x1A, 0, 0, 0, 12, 0}, 12);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(1, 1), 0U);
  EXPECT_EQ(r.number(4, 1), 0x5EU);
  const ScsiResult id = host().read({0x12, 0, 0, 0, 96, 0}, 96);
  EXPECT_EQ(id.text(8, 8), "HPE     ");
  EXPECT_EQ(id.text(16, 14), "Ultrium 8-SCSI");
}

}  // namespace
}  // namespace coldshelf::test
