// Medium auxiliary memory.
#include <algorithm>

#include "base/coding.h"
#include "tape/drive/drive_history.h"
#include "tests/unit/drive_fixture.h"

namespace coldshelf {
namespace {

class DriveMamTest : public DriveFixture {
 protected:
  std::optional<TapeDrive::MamAttribute> attribute(uint16_t id, uint32_t partition = 0) {
    const auto all = drive_->mam_attributes(partition);
    EXPECT_TRUE(all.ok());
    if (!all.ok()) return std::nullopt;
    EXPECT_TRUE(std::ranges::is_sorted(*all, {}, &TapeDrive::MamAttribute::id));
    const auto found = std::ranges::find(*all, id, &TapeDrive::MamAttribute::id);
    if (found == all->end()) return std::nullopt;
    return *found;
  }
  uint64_t number(uint16_t id, uint32_t partition = 0) {
    const auto found = attribute(id, partition);
    EXPECT_TRUE(found && found->format == 0 && found->read_only);
    uint64_t out = 0;
    if (found) {
      for (const std::byte b : found->value) out = (out << 8) | std::to_integer<uint64_t>(b);
    }
    return out;
  }
  std::string text(uint16_t id) {
    const auto found = attribute(id);
    return found ? to_text(found->value) : "";
  }
  static NewCartridge big() {
    NewCartridge what = cartridge();
    what.capacity_bytes = 64 * MiB;
    return what;
  }
};

TEST(DriveHistory, RoundTripAndDamage) {
  DriveHistory history;
  history.loads = 7;
  history.volume_change = 99;
  history.written_bytes = 1'000'000'000'000;
  history.devices[0] = "IBM|TEST000001";
  history.devices[3] = "HPE|X";
  const DriveHistory back = DriveHistory::decode(history.encode());
  EXPECT_EQ(back.encode(), history.encode());
  EXPECT_EQ(back.devices[3], "HPE|X");
  const DriveHistory odd = DriveHistory::decode("loads=x;=;;device9=q;volume_change=5;zzz");
  EXPECT_EQ(odd.loads, 0U);
  EXPECT_EQ(odd.volume_change, 5U);
}

TEST_F(DriveMamTest, MediumAndDeviceAttributes) {
  insert(big());
  ASSERT_TRUE(drive_->write(Buffer(3 * MiB)).ok());
  EXPECT_EQ(number(0x0000), 61U);
  EXPECT_EQ(number(0x0001), 64U);
  EXPECT_EQ(number(0x0002), 0U);
  EXPECT_EQ(number(0x0003), 1U);
  EXPECT_EQ(text(0x0005), "LTO-CVE ");
  EXPECT_EQ(number(0x0006), 0x5EU);
  EXPECT_EQ(text(0x020A).substr(0, 18), "IBM     TEST000001");
  EXPECT_EQ(text(0x020A).size(), 40U);
  EXPECT_EQ(number(0x0220), 3U);
  EXPECT_EQ(number(0x0222), 3U);
  EXPECT_EQ(attribute(0x0401)->value.size(), 32U);
  EXPECT_EQ(number(0x0402), 960U);
  EXPECT_EQ(number(0x0403), 127U);
  EXPECT_EQ(number(0x0405), 0x5EU);
  EXPECT_EQ(text(0x0406), "19700101") << "the cartridge in memory was made at 0";
  EXPECT_EQ(number(0x0408), 0U);
  EXPECT_EQ(attribute(0x0009)->value.size(), 4U) << "LTFS reads exactly four bytes";
}

TEST_F(DriveMamTest, DeviceCountsOutliveTheLoad) {
  MemoryCartridge& tape = insert(big());
  ASSERT_TRUE(drive_->write(Buffer(2 * MiB)).ok());
  ASSERT_TRUE(drive_->rewind().ok());
  ASSERT_TRUE(drive_->read().ok());
  const unsigned before = tape.attribute_commits();
  std::unique_ptr<Cartridge> out;
  ASSERT_TRUE(drive_->eject(&out).ok());
  EXPECT_EQ(tape.attribute_commits(), before + 1) << "one manifest commit";

  TapeDrive::Options options;
  options.profile = find_drive("HPE-Ultrium-8");
  options.serial = "OTHER00002";
  drive_ = std::make_unique<TapeDrive>(options);
  ASSERT_TRUE(drive_->insert(out).ok());
  EXPECT_EQ(number(0x0003), 2U);
  EXPECT_EQ(number(0x0220), 2U);
  EXPECT_EQ(number(0x0221), 2U);
  EXPECT_EQ(number(0x0222), 0U);
  EXPECT_EQ(text(0x020A).substr(0, 18), "HPE     OTHER00002");
  EXPECT_EQ(text(0x020B).substr(0, 18), "IBM     TEST000001");
  ASSERT_TRUE(drive_->write(Buffer(1 * MiB)).ok());
  EXPECT_EQ(number(0x0220), 3U);
  EXPECT_EQ(number(0x0222), 1U);
}

TEST_F(DriveMamTest, VolumeChangeReferenceGrowsWithContentOnly) {
  MemoryCartridge& tape = insert();
  const uint64_t first = number(0x0009);
  EXPECT_EQ(number(0x0009), first) << "reading changes nothing";
  write_layout("rrr");
  const uint64_t second = number(0x0009);
  EXPECT_GT(second, first);
  ASSERT_TRUE(drive_->write_mam(0, 0x080C, 0, Buffer(70)).ok());
  ASSERT_TRUE(drive_->unload().ok());
  ASSERT_TRUE(drive_->load().ok());
  EXPECT_EQ(number(0x0009), second) << "neither attributes nor loads change the content";
  // Durable before the content changes: a crash right after the write must not bring the old value
  // back with new content.
  write_layout("r");
  const std::string stored = tape.manifest().properties.at(std::string(DriveHistory::kProperty));
  EXPECT_GT(DriveHistory::decode(stored).volume_change, second);
  EXPECT_GT(number(0x0009), second);
  const uint64_t third = number(0x0009);
  ASSERT_TRUE(drive_->format_medium({10'000}).ok());
  EXPECT_GT(number(0x0009), third);
  EXPECT_EQ(number(0x0007), 2U);
}

TEST_F(DriveMamTest, ContentDoesNotChangeWhenTheReferenceCannotBeCommitted) {
  MemoryCartridge& tape = insert();
  tape.fail_next_attribute(Error(ErrorCode::io, "manifest"));
  EXPECT_EQ(drive_->write(Buffer(10)).error().code, ErrorCode::io);
  EXPECT_EQ(at().block, 0U);
  EXPECT_TRUE(drive_->write_protected());
}

TEST_F(DriveMamTest, HostAttributes) {
  MemoryCartridge& tape = insert();
  ASSERT_TRUE(drive_->format_medium({5000, 5000}).ok());
  ASSERT_TRUE(drive_->write_mam(0, 0x0800, 1, as_view("LTFS    ")).ok());
  ASSERT_TRUE(drive_->write_mam(1, 0x080C, 0, Buffer(70, std::byte{1})).ok());
  ASSERT_TRUE(drive_->write_mam(0, 0x1623, 0, Buffer(1, std::byte{2})).ok());
  EXPECT_EQ(text(0x0800), "LTFS    ");
  EXPECT_FALSE(attribute(0x0800)->read_only);
  EXPECT_FALSE(attribute(0x080C, 0)) << "each partition has its own";
  EXPECT_EQ(attribute(0x080C, 1)->value.size(), 70U);
  EXPECT_EQ(tape.manifest().mam.size(), 3U);

  ASSERT_TRUE(drive_->unload().ok());
  ASSERT_TRUE(drive_->load().ok());
  EXPECT_TRUE(attribute(0x1623));
  ASSERT_TRUE(drive_->write_mam(0, 0x1623, 0, {}).ok());
  EXPECT_FALSE(attribute(0x1623));
  EXPECT_EQ(tape.manifest().mam.size(), 2U);
  EXPECT_TRUE(drive_->write_mam(0, 0x1623, 0, {}).ok()) << "removing nothing";
}

TEST_F(DriveMamTest, BadHostAttributesAreRefused) {
  insert();
  const auto code = [this](uint16_t id, uint8_t format, size_t size) {
    return drive_->write_mam(0, id, format, Buffer(size)).error().code;
  };
  EXPECT_EQ(code(0x0003, 0, 8), ErrorCode::invalid_argument) << "a device attribute";
  EXPECT_EQ(code(0x0401, 1, 32), ErrorCode::invalid_argument) << "a medium attribute";
  EXPECT_EQ(code(0x0700, 0, 1), ErrorCode::invalid_argument) << "unknown";
  EXPECT_EQ(code(0x0800, 1, 9), ErrorCode::invalid_argument) << "too long";
  EXPECT_EQ(code(0x0800, 0, 8), ErrorCode::invalid_argument) << "wrong format";
  EXPECT_EQ(code(0x1400, 3, 8), ErrorCode::invalid_argument) << "reserved format";
  EXPECT_EQ(code(0x1400, 0, 1025), ErrorCode::invalid_argument);
  EXPECT_EQ(drive_->write_mam(1, 0x0800, 1, Buffer(8)).error().code, ErrorCode::invalid_argument);
}

TEST_F(DriveMamTest, TheMemoryIsBounded) {
  insert();
  uint16_t id = 0x1400;
  Status written;
  while ((written = drive_->write_mam(0, id, 0, Buffer(1000))).ok()) ++id;
  EXPECT_EQ(written.error().code, ErrorCode::no_space);
  EXPECT_EQ(id - 0x1400, 16);
  EXPECT_LT(number(0x0004), 1005U);
  EXPECT_TRUE(drive_->write_mam(0, 0x1400, 0, Buffer(1000)).ok()) << "replacing takes no more";
}

TEST_F(DriveMamTest, TapeAlertFlagsTellOfFailures) {
  MemoryCartridge& tape = insert();
  write_layout("r");
  tape.damage(0, 0, Error(ErrorCode::corrupt, "flipped"));
  ASSERT_TRUE(drive_->rewind().ok());
  EXPECT_FALSE(drive_->read().ok());
  EXPECT_EQ(number(0x0002), (uint64_t{1} << 60) | (uint64_t{1} << 59));  // flags 4 and 5
}

}  // namespace
}  // namespace coldshelf
