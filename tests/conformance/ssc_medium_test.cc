// FORMAT MEDIUM, partitions, SET CAPACITY, density support, medium auxiliary memory, security
// protocols.
#include <map>

#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class SscMedium : public SscSuite {
 protected:
  SscMedium() : SscSuite({.capacity_bytes = 10'000'000'000}) {}
  ScsiResult attributes(unsigned action, unsigned first, unsigned partition = 0,
                        unsigned allocation = 8192) {
    return host().read({0x8C, action, 0, 0, 0, 0, 0, partition, b(first, 8), b(first, 0), 0, 0,
                        b(allocation, 8), b(allocation, 0), 0, 0},
                       allocation);
  }
  ScsiResult write_attribute(ByteView list, unsigned partition = 0) {
    return host().write(
        {0x8D, 1, 0, 0, 0, 0, 0, partition, 0, 0, 0, 0, b(list.size(), 8), b(list.size(), 0), 0, 0},
        list);
  }
  static Buffer attribute(unsigned id, unsigned format, std::string_view value) {
    Buffer out = ScsiClient::bytes(
        {0, 0, 0, 0, b(id, 8), b(id, 0), format, b(value.size(), 8), b(value.size(), 0)});
    append(out, as_view(value));
    out[3] = static_cast<std::byte>(out.size() - 4);
    return out;
  }
  // Page 11h the way LTFS fills it: initiator-defined, 10^9 units.
  ScsiResult plan(unsigned additional, unsigned size0, unsigned size1) {
    ScsiResult r = host().read({0x5A, 0, 0x11, 0, 0, 0, 0, 0, 28, 0}, 28);
    EXPECT_EQ(r.data.size(), 28U);
    Buffer list = r.data;
    list.resize(28);
    list[0] = list[1] = std::byte{0};
    list[19] = static_cast<std::byte>(additional);
    list[20] = (list[20] & std::byte{0x1F}) | std::byte{0x20};
    list[22] = std::byte{9};
    for (size_t i = 0; i < 2; ++i) {
      const unsigned size = i == 0 ? size0 : size1;
      list[24 + 2 * i] = static_cast<std::byte>(b(size, 8));
      list[25 + 2 * i] = static_cast<std::byte>(b(size, 0));
    }
    return host().write({0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0}, list);
  }
  ScsiResult format(unsigned how) { return host().run({0x04, 0, how, 0, 0, 0}); }
};
COLDSHELF_SSC_SUITE(SscMedium);

TEST_P(SscMedium, TwoPartitionsAsLtfsMakesThem) {
  layout("rr");
  ASSERT_TRUE(plan(1, 1, 0xFFFF).good());
  EXPECT_TRUE(format(1).check(SenseKey::illegal_request, asc::position_past_beginning));
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(format(1).good());
  const ScsiResult page = host().read({0x5A, 0, 0x11, 0, 0, 0, 0, 0, 28, 0}, 28);
  EXPECT_EQ(page.number(19, 1), 1U);
  EXPECT_EQ(page.number(24, 2), 1U);
  EXPECT_EQ(page.number(26, 2), 9U);
  // Each partition has its own records.
  layout("rr");
  ASSERT_TRUE(locate16(0, 0, 1).good());
  ASSERT_TRUE(write(pattern(333, 3)).good());
  const ScsiResult position = host().read({0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32);
  EXPECT_EQ(position.number(4, 4), 1U);
  EXPECT_EQ(position.number(8, 8), 1U);
  ASSERT_TRUE(locate16(3, 0, 0).good());
  EXPECT_EQ(block_number(), 2U);
  // Log page 17h: records of 8 bytes, 16 in all.
  const ScsiResult log = host().read({0x4D, 0, 0x57, 0, 0, 0x02, 0x02, 0x10, 0, 0}, 4096);
  ASSERT_TRUE(log.good());
  EXPECT_EQ(log.number(4, 2), 0x0202U);
  EXPECT_EQ(log.number(7, 1), 16U);
  EXPECT_EQ(log.number(8, 1), 7U);
  EXPECT_EQ(log.number(12, 4), 1000U);
  EXPECT_EQ(log.number(18, 2), 1U) << "partition 1";
  EXPECT_EQ(log.number(20, 4), 9000U);
  EXPECT_EQ(log.number(24, 2), 0x0203U);
  EXPECT_EQ(log.number(27, 1), 16U);
  ASSERT_TRUE(locate16(0, 0, 0).good());
  ASSERT_TRUE(format(0).good());
  EXPECT_TRUE(locate16(0, 0, 1).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SscMedium, PlansThatDoNotFitAreRefused) {
  EXPECT_TRUE(plan(3, 1, 1).check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  ASSERT_TRUE(plan(1, 11, 0xFFFF).good());
  EXPECT_TRUE(format(1).check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  ASSERT_TRUE(plan(1, 0xFFFF, 0xFFFF).good());
  EXPECT_TRUE(format(1).check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  EXPECT_TRUE(format(3).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  layout("r");
  ASSERT_TRUE(rewind().good());
  EXPECT_TRUE(read(100).good()) << "nothing was formatted";
}

// LTFS finds the beginning of the medium by a LOAD of what is loaded, before it formats.
TEST_P(SscMedium, ALoadGoesToTheFirstPartition) {
  ASSERT_TRUE(plan(1, 1, 0xFFFF).good());
  ASSERT_TRUE(format(1).good());
  ASSERT_TRUE(locate16(0, 0, 1).good());
  ASSERT_TRUE(write(pattern(100)).good());
  ASSERT_TRUE(load().good());
  const ScsiResult position = host().read({0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32);
  EXPECT_EQ(position.number(4, 4), 0U);
  EXPECT_TRUE(format(0).good());
}

// Linux st (mt mkpartition) sends FORMAT MEDIUM only where the page says that it is needed.
TEST_P(SscMedium, ThePageSaysThatFormatMediumPartitions) {
  const auto pofm = [&] { return host().read({0x5A, 0, 0x11, 0, 0, 0, 0, 0, 28, 0}, 28); };
  EXPECT_EQ(pofm().number(20, 1) & 0x04U, 0x04U);
  ASSERT_TRUE(plan(1, 1, 0xFFFF).good());
  EXPECT_EQ(pofm().number(20, 1) & 0x04U, 0x04U);
  ASSERT_TRUE(format(1).good());
  EXPECT_EQ(pofm().number(20, 1) & 0x04U, 0x04U);
}

TEST_P(SscMedium, APlanOfSizesAloneLeavesNothingOut) {
  ASSERT_TRUE(plan(1, 1, 2).good());
  ASSERT_TRUE(format(1).good());
  const ScsiResult page = host().read({0x5A, 0, 0x11, 0, 0, 0, 0, 0, 28, 0}, 28);
  EXPECT_EQ(page.number(24, 2), 1U);
  EXPECT_EQ(page.number(26, 2), 9U) << "the last one takes the rest";
  ASSERT_TRUE(plan(1, 4, 6).good());
  EXPECT_TRUE(format(1).good()) << "they fit exactly";
  ASSERT_TRUE(format(0).good());
  EXPECT_EQ(host().read({0x5A, 0, 0x11, 0, 0, 0, 0, 0, 28, 0}, 28).number(24, 2), 10U);
}

TEST_P(SscMedium, SetCapacityGivesBackWhatItTook) {
  const auto set = [&](unsigned v) { return host().run({0x0B, 0, 0, b(v, 8), b(v, 0), 0}); };
  const auto megabytes = [&] {
    return host().read({0x44, 1, 0, 0, 0, 0, 0, 0, 200, 0}, 200).number(4 + 12, 4);
  };
  ASSERT_TRUE(set(0x4000).good());
  const uint64_t quarter = megabytes();
  EXPECT_LT(quarter, 2600U);
  ASSERT_TRUE(set(0x4000).good());
  EXPECT_EQ(megabytes(), quarter) << "of the whole, not of what is left";
  ASSERT_TRUE(format(0).good());
  EXPECT_EQ(megabytes(), quarter);
  ASSERT_TRUE(set(0xFFFF).good());
  EXPECT_EQ(megabytes(), 10'000U);
}

TEST_P(SscMedium, SetCapacity) {
  ASSERT_TRUE(host().run({0x0B, 0, 0, 0x80, 0, 0}).good());
  const ScsiResult density = host().read({0x44, 1, 0, 0, 0, 0, 0, 0, 200, 0}, 200);
  EXPECT_NEAR(static_cast<double>(density.number(4 + 12, 4)), 5000, 2);
}

TEST_P(SscMedium, DensitySupport) {
  const ScsiResult r = host().read({0x44, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 256);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_EQ(r.number(0, 2) + 2, r.data.size());
  EXPECT_EQ(r.data.size(), 4U + 2 * 52) << "LTO-8 reads LTO-7";
  std::map<uint64_t, uint64_t> flags;
  for (size_t at = 4; at < r.data.size(); at += 52) flags[r.number(at, 1)] = r.number(at + 2, 1);
  EXPECT_EQ(flags[0x5E] & 0xA0U, 0xA0U) << "WRTOK DEFLT";
  EXPECT_EQ(flags[0x5C] & 0xA0U, 0x80U);
  const ScsiResult medium = host().read({0x44, 1, 0, 0, 0, 0, 0, 1, 0, 0}, 256);
  ASSERT_EQ(medium.data.size(), 4U + 52);
  EXPECT_EQ(medium.number(4, 1), 0x5EU);
  EXPECT_EQ(medium.number(4 + 12, 4), 10000U);
  EXPECT_EQ(medium.text(4 + 16, 8), "LTO-CVE ");
  EXPECT_EQ(medium.text(4 + 24, 8), "U-832   ");
  const ScsiResult types = host().read({0x44, 2, 0, 0, 0, 0, 0, 1, 0, 0}, 256);
  EXPECT_EQ(types.data.size(), 4U + 2 * 56);
  EXPECT_EQ(host().read({0x44, 0, 0, 0, 0, 0, 0, 0, 8, 0}, 8).data.size(), 8U);
  rig_.eject();
  host().clear_unit_attentions();
  EXPECT_TRUE(host()
                  .read({0x44, 1, 0, 0, 0, 0, 0, 1, 0, 0}, 256)
                  .check(SenseKey::not_ready, asc::medium_not_present));
  EXPECT_TRUE(host().read({0x44, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 256).good());
}

TEST_P(SscMedium, ReadAttributeIsClampedToTheAllocationLength) {
  const ScsiResult all = attributes(0, 0);
  ASSERT_TRUE(all.good()) << all;
  EXPECT_EQ(all.number(0, 4) + 4, all.data.size());
  for (unsigned allocation : {4U, 9U, 17U, 100U}) {
    const ScsiResult cut = attributes(0, 0, 0, allocation);
    ASSERT_TRUE(cut.good());
    EXPECT_EQ(cut.data.size(), allocation);
    EXPECT_EQ(cut.number(0, 4), all.number(0, 4)) << "available data is the whole";
  }
}

TEST_P(SscMedium, AttributeLists) {
  const ScsiResult list = attributes(1, 0);
  ASSERT_TRUE(list.good());
  EXPECT_EQ(list.number(0, 4) + 4, list.data.size());
  EXPECT_EQ(list.number(4, 2), 0x0000U);
  const ScsiResult volumes = attributes(2, 0);
  EXPECT_EQ(volumes.data.size(), 4U);
  EXPECT_EQ(volumes.number(3, 1), 1U);
  const ScsiResult partitions = attributes(3, 0);
  EXPECT_EQ(partitions.number(3, 1), 1U);
  EXPECT_TRUE(attributes(7, 0).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(attributes(0, 0, 1).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "no such partition";
}

TEST_P(SscMedium, HostAttributes) {
  EXPECT_TRUE(attributes(0, 0x0801).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "not there yet";
  std::string name = "coldshelf test";
  name.resize(32, ' ');
  ASSERT_TRUE(write_attribute(attribute(0x0801, 1, name)).good());
  const ScsiResult r = attributes(0, 0x0801);
  ASSERT_TRUE(r.good()) << r;
  EXPECT_EQ(r.number(4, 2), 0x0801U);
  EXPECT_EQ(r.number(6, 1), 0x01U);
  EXPECT_EQ(r.number(7, 2), 32U);
  EXPECT_EQ(r.text(9, 32), name);
  ASSERT_TRUE(write_attribute(attribute(0x0801, 1, "")).good()) << "an empty value removes";
  EXPECT_FALSE(attributes(0, 0x0801).good());
}

TEST_P(SscMedium, LtfsCoherencyOfSeventyBytesAndItsLengthField) {
  const std::string value(70, 'c');
  Buffer list = attribute(0x080C, 0, value);
  list[3] = static_cast<std::byte>(list.size());  // LTFS counts the header too
  ASSERT_TRUE(write_attribute(list).good());
  const ScsiResult r = attributes(0, 0x080C, 0, 4 + 5 + 70);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(7, 2), 70U);
  EXPECT_EQ(r.text(9, 70), value);
  EXPECT_TRUE(write_attribute(attribute(0x1623, 0, "\x01")).good());
}

TEST_P(SscMedium, AttributesThatCannotBeWritten) {
  EXPECT_TRUE(write_attribute(attribute(0x0000, 0, "12345678"))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "the device's";
  EXPECT_TRUE(write_attribute(attribute(0x0400, 1, "12345678"))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "the medium's";
  EXPECT_TRUE(write_attribute(attribute(0x0801, 0, std::string(32, 'x')))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "wrong format";
  EXPECT_TRUE(write_attribute(attribute(0x0800, 1, std::string(9, 'x')))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "too long";
  Buffer truncated = attribute(0x0801, 1, std::string(32, 'x'));
  truncated.resize(20);
  EXPECT_TRUE(write_attribute(truncated).check(SenseKey::illegal_request,
                                               asc::parameter_list_length_error));
  EXPECT_TRUE(write_attribute(ScsiClient::bytes({0, 0, 0}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
  Buffer unordered = attribute(0x0802, 1, "1.0     ");
  append(unordered, ByteView(attribute(0x0800, 1, "VENDOR  ")).subspan(4));
  EXPECT_TRUE(write_attribute(unordered).check(SenseKey::illegal_request,
                                               asc::invalid_field_in_parameter_list));
}

TEST_P(SscMedium, AttributesSurviveAnUnload) {
  ASSERT_TRUE(write_attribute(attribute(0x0803, 2, "backup of Monday")).good());
  ASSERT_TRUE(unload().good());
  ASSERT_TRUE(load().good());
  EXPECT_TRUE(attributes(0, 0x0803).good());
}

TEST_P(SscMedium, VolumeChangeReference) {
  const ScsiResult before = attributes(0, 0x0009);
  ASSERT_TRUE(before.good());
  EXPECT_EQ(before.number(7, 2), 4U);
  layout("r");
  EXPECT_NE(attributes(0, 0x0009).number(9, 4), before.number(9, 4));
}

TEST_P(SscMedium, SecurityProtocols) {
  const ScsiResult list = host().read({0xA2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256);
  ASSERT_TRUE(list.good()) << list;
  EXPECT_EQ(list.data.size(), 9U);
  EXPECT_EQ(list.number(6, 2), 1U);
  EXPECT_EQ(list.number(8, 1), 0U);
  EXPECT_TRUE(host().read({0xA2, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0}, 256).good());
  EXPECT_TRUE(host()
                  .read({0xA2, 0x20, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0}, 256)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "tape data encryption";
  EXPECT_TRUE(host()
                  .run({0xB5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

}  // namespace
}  // namespace coldshelf::test
