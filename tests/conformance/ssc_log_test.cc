// LOG SENSE and LOG SELECT of a tape drive.
#include <map>

#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

class SscLog : public SscSuite {
 protected:
  explicit SscLog(RigOptions options = {}) : SscSuite(std::move(options)) {}
  ScsiResult sense(unsigned page, unsigned pointer = 0, unsigned allocation = 8192) {
    return host().read({0x4D, 0, 0x40 | page, 0, 0, b(pointer, 8), b(pointer, 0), b(allocation, 8),
                        b(allocation, 0), 0},
                       allocation);
  }
  // Parameters by code.
  std::map<uint64_t, Buffer> parameters(unsigned page) {
    const ScsiResult r = sense(page);
    EXPECT_TRUE(r.good()) << page << ": " << r;
    EXPECT_EQ(r.number(0, 1), page);
    EXPECT_EQ(r.number(2, 2) + 4, r.data.size());
    std::map<uint64_t, Buffer> out;
    uint64_t last = 0;
    for (size_t at = 4; at + 4 <= r.data.size(); at += 4 + r.number(at + 3, 1)) {
      const uint64_t code = r.number(at, 2);
      EXPECT_TRUE(out.empty() || code > last) << page << " ascending";
      last = code;
      out[code] = to_buffer(ByteView(r.data).subspan(at + 4, r.number(at + 3, 1)));
    }
    return out;
  }
  static uint64_t number(const Buffer& value) {
    uint64_t v = 0;
    for (std::byte x : value) v = (v << 8) | std::to_integer<uint64_t>(x);
    return v;
  }
};
COLDSHELF_SSC_SUITE(SscLog);

TEST_P(SscLog, SupportedPages) {
  const ScsiResult r = sense(0);
  ASSERT_TRUE(r.good());
  std::vector<unsigned> pages;
  for (std::byte p : ByteView(r.data).subspan(4)) pages.push_back(std::to_integer<unsigned>(p));
  EXPECT_EQ(pages, (std::vector<unsigned>{0x00, 0x02, 0x03, 0x0C, 0x11, 0x12, 0x14, 0x17, 0x2E,
                                          0x30, 0x31, 0x32, 0x37}));
  for (unsigned page : pages) EXPECT_TRUE(page == 0 || !parameters(page).empty()) << page;
  EXPECT_TRUE(sense(0x3E).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(host().read({0x4D, 0, 0x40, 0xFF, 0, 0, 0, 1, 0, 0}, 256).good());
}

TEST_P(SscLog, CountersFollowTheTraffic) {
  ASSERT_TRUE(write(pattern(1000)).good());
  ASSERT_TRUE(write(pattern(500)).good());
  ASSERT_TRUE(rewind().good());
  ASSERT_TRUE(read(1000).good());
  EXPECT_EQ(number(parameters(0x02)[5]), 1500U);
  EXPECT_EQ(number(parameters(0x03)[5]), 1000U);
  auto device = parameters(0x0C);
  EXPECT_EQ(number(device[0]), 1500U);
  EXPECT_EQ(number(device[3]), 1000U);
  // LOG SELECT with PCR starts the counters again, and tells the others.
  auto other = rig_.connect(2);
  other->clear_unit_attentions();
  ASSERT_TRUE(host().run({0x4C, 2, 0x40, 0, 0, 0, 0, 0, 0, 0}).good());
  EXPECT_EQ(number(parameters(0x02)[5]), 0U);
  EXPECT_TRUE(other->run({0x00, 0, 0, 0, 0, 0})
                  .check(SenseKey::unit_attention, asc::log_parameters_changed));
}

TEST_P(SscLog, ParameterPointerAndAllocationLength) {
  const ScsiResult r = sense(0x2E, 60);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(4, 2), 60U);
  EXPECT_EQ(r.data.size(), 4U + 5 * 5);
  EXPECT_TRUE(sense(0x2E, 65).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  const ScsiResult cut = sense(0x2E, 0, 10);
  ASSERT_TRUE(cut.good());
  EXPECT_EQ(cut.data.size(), 10U);
  EXPECT_EQ(cut.number(2, 2), 320U) << "PAGE LENGTH is the whole length";
  EXPECT_TRUE(host()
                  .read({0x4D, 1, 0x6E, 0, 0, 0, 0, 1, 0, 0}, 256)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "SP";
}

TEST_P(SscLog, TapeAlertHasAllFlagsOneByteEach) {
  auto flags = parameters(0x2E);
  ASSERT_EQ(flags.size(), 64U);
  for (uint64_t flag = 1; flag <= 64; ++flag) {
    ASSERT_EQ(flags[flag].size(), 1U);
    EXPECT_EQ(number(flags[flag]), 0U);
  }
  EXPECT_EQ(parameters(0x12)[0].size(), 8U);
}

TEST_P(SscLog, TapeAlertFollowsConditions) {
  ASSERT_TRUE(host().run({0x1E, 0, 0, 0, 1, 0}).good());
  ASSERT_FALSE(unload().good());
  EXPECT_EQ(parameters(0x12)[0][1] & std::byte{0x40}, std::byte{0x40}) << "flag 10, no removal";
  EXPECT_EQ(number(parameters(0x2E)[10]), 1U);
  EXPECT_EQ(number(parameters(0x2E)[10]), 0U) << "read once";
}

TEST_P(SscLog, TapeAlertTellsOfFailedWrites) {
  ASSERT_TRUE(write(pattern(100)).good());
  rig_.cartridge().fail_next_sync(Error(ErrorCode::io, "the disk failed"));
  EXPECT_FALSE(filemarks(1).good());
  auto flags = parameters(0x2E);
  EXPECT_EQ(number(flags[3]), 1U) << "hard error";
  EXPECT_EQ(number(flags[6]), 1U) << "write failure";
  flags = parameters(0x2E);
  EXPECT_EQ(number(flags[3]) + number(flags[6]), 0U) << "read once";
}

TEST_P(SscLog, TapeAlertTellsOfWhatFailedAsTheChangerTookTheTape) {
  ASSERT_TRUE(write(pattern(100)).good());
  rig_.cartridge().fail_next_sync(Error(ErrorCode::io, "the disk failed"));
  EXPECT_FALSE(rig_.try_eject().ok());
  host().clear_unit_attentions();
  EXPECT_EQ(number(parameters(0x2E)[6]), 1U);
  EXPECT_EQ(number(parameters(0x2E)[6]), 0U);
}

TEST_P(SscLog, DeviceStatus) {
  auto status = parameters(0x11)[0];
  ASSERT_EQ(status.size(), 4U);
  EXPECT_EQ(status[1] & std::byte{0x17}, std::byte{0x17}) << "present, seated, threaded, mounted";
  rig_.eject();
  host().clear_unit_attentions();
  status = parameters(0x11)[0];
  EXPECT_EQ(status[1] & std::byte{0x17}, std::byte{0});
}

TEST_P(SscLog, VolumeStatisticsAsLtfsReadsThem) {
  ASSERT_TRUE(host().run({0x04, 0, 0, 0, 0, 0}).good());
  auto page = parameters(0x17);
  EXPECT_EQ(number(page[0x0000]), 1U);
  ASSERT_EQ(page[0x0202].size(), 8U) << "one partition, one record";
  EXPECT_EQ(number(page[0x0202]) & 0xFFFFFFFF, 256U * 1024 * 1024 / 1000000);
  EXPECT_EQ(page[0x0042].size(), 32U);
  EXPECT_EQ(as_text(page[0x0042]).substr(0, 8), "TST001L8");
  rig_.eject();
  host().clear_unit_attentions();
  EXPECT_EQ(number(parameters(0x17)[0x0000]), 0U) << "page not valid";
}

TEST_P(SscLog, TapeCapacityHasFourNumbersOfFourBytes) {
  auto page = parameters(0x31);
  for (uint64_t code = 1; code <= 4; ++code) ASSERT_EQ(page[code].size(), 4U);
  EXPECT_EQ(number(page[3]), 256U);
  EXPECT_EQ(number(page[4]), 0U);
}

TEST_P(SscLog, CompressionRatios) {
  ASSERT_TRUE(write(pattern(100000)).good());
  ASSERT_TRUE(filemarks(0).good());
  auto page = parameters(0x32);
  EXPECT_EQ(number(page[1]), 100U) << "this cartridge stores as it is";
  EXPECT_EQ(number(page[7]), 100000U);
}

class SscLogHpe : public SscLog {
 protected:
  SscLogHpe() : SscLog({.profile = "HPE-Ultrium-8"}) {}
};
COLDSHELF_SSC_SUITE(SscLogHpe);

TEST_P(SscLogHpe, Page37IsIbms) {
  EXPECT_TRUE(sense(0x37).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

}  // namespace
}  // namespace coldshelf::test
