// What libiscsi's suite does not ask of a disk.
#include <algorithm>

#include "base/random.h"
#include "tests/conformance/sbc_fixture.h"

namespace coldshelf::test {
namespace {

INSTANTIATE_SBC(SbcTest);

TEST_P(SbcTest, CompareAndWriteTellsWhereItDiffers) {
  Buffer data = filled(2 * kBlock, 0x11);
  ASSERT_TRUE(write(8, data).good());
  Buffer list = data;
  append(list, filled(2 * kBlock, 0x22));
  list[700] = std::byte{0x99};
  ScsiResult r = out16(host(), 0x89, 0, 8, 2, list);
  EXPECT_TRUE(r.check(SenseKey::miscompare, asc::miscompare_during_verify)) << r;
  ASSERT_TRUE(r.sense && r.sense->information);
  EXPECT_EQ(*r.sense->information, 700);
  EXPECT_EQ(read(8, 2).data, data) << "nothing was written";
  list[700] = std::byte{0x11};
  ASSERT_TRUE(out16(host(), 0x89, 0, 8, 2, list).good());
  EXPECT_EQ(read(8, 2).data, filled(2 * kBlock, 0x22));
}

TEST_P(SbcTest, ReadsAreCutToWhatTheInitiatorTakes) {
  ASSERT_TRUE(write(0, filled(4 * kBlock, 0x5A)).good());
  const ScsiResult shorter = in10(host(), 0x28, 0, 0, 4, 1000);
  EXPECT_TRUE(shorter.good());
  EXPECT_EQ(shorter.data, filled(1000, 0x5A));
  EXPECT_EQ(shorter.residual, 1000 - static_cast<int64_t>(4 * kBlock));
  const ScsiResult longer = in10(host(), 0x28, 0, 0, 1, 2 * kBlock);
  EXPECT_TRUE(longer.good());
  EXPECT_EQ(longer.data.size(), kBlock);
  EXPECT_EQ(longer.residual, static_cast<int64_t>(kBlock));
}

TEST_P(SbcTest, TransfersBeyondTheLimitAreRefused) {
  const unsigned limit = 16 * MiB / kBlock;
  const ScsiResult limits = vpd(0xB0);
  EXPECT_EQ(limits.number(8, 4), limit);
  const ScsiResult r = in10(host(), 0x28, 0, 0, limit + 1, 512);
  EXPECT_TRUE(r.check(SenseKey::illegal_request, asc::invalid_field_in_cdb)) << r;
  EXPECT_TRUE(r.sense->field && r.sense->field->byte == 7);
  EXPECT_TRUE(out16(host(), 0x8A, 0, 0, limit + 1, filled(kBlock, 1))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(in10(host(), 0x28, 0, kBlocks, 1, kBlock)
                  .check(SenseKey::illegal_request, asc::logical_block_address_out_of_range));
  EXPECT_TRUE(out16(host(), 0x8A, 0, UINT64_MAX, 1, filled(kBlock, 1))
                  .check(SenseKey::illegal_request, asc::logical_block_address_out_of_range));
}

// With a write cache only FUA and SYNCHRONIZE CACHE are durable; without, every write is.
TEST_P(SbcTest, TheWriteCacheIsHonoured) {
  ASSERT_TRUE(write(0, filled(kBlock, 1)).good());
  EXPECT_EQ(device().durable_writes() + device().flushes(), 0U);
  ASSERT_TRUE(write(0, filled(kBlock, 2), 0x08).good()) << "FUA";
  EXPECT_EQ(device().durable_writes(), 1U);
  ASSERT_TRUE(host().run({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}).good());
  EXPECT_EQ(device().flushes(), 1U);
  ASSERT_TRUE(read(0, 1, 0x08).good()) << "FUA";
  EXPECT_EQ(device().flushes(), 2U) << "what is read is on the medium";
  ASSERT_TRUE(set_write_cache(false).good());
  EXPECT_EQ(device().flushes(), 3U) << "what was cached goes to the medium first";
  ASSERT_TRUE(write(0, filled(kBlock, 3)).good());
  EXPECT_EQ(device().durable_writes(), 2U);
  Buffer list(24, std::byte{0});
  list[1] = std::byte{22};
  list[3] = std::byte{16};
  list[19] = std::byte{8};
  ASSERT_TRUE(host().write({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, list).good());
  EXPECT_EQ(device().flushes(), 4U) << "UNMAP without a cache";
}

TEST_P(SbcTest, SavedModePagesOutliveAResetAndTheProcess) {
  const ScsiResult saved = host().read({0x1A, 0x08, 0xC8, 0, 64, 0}, 64);
  ASSERT_TRUE(saved.good()) << saved;
  EXPECT_EQ(saved.number(4, 1), 0x88U) << "PS";
  EXPECT_EQ(saved.number(6, 1) & 4U, 4U);
  ASSERT_TRUE(set_write_cache(false).good());
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  host().clear_unit_attentions();
  EXPECT_EQ(host().read({0x1A, 0x08, 0x08, 0, 64, 0}, 64).number(6, 1) & 4U, 4U) << "not saved";
  ASSERT_TRUE(set_write_cache(false, true).good());
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  host().clear_unit_attentions();
  EXPECT_EQ(host().read({0x1A, 0x08, 0x08, 0, 64, 0}, 64).number(6, 1) & 4U, 0U);
  host_.reset();
  rig_.stop();
  rig_.start();
  host_ = rig_.connect(1);
  host_->clear_unit_attentions();
  EXPECT_EQ(host().read({0x1A, 0x08, 0x08, 0, 64, 0}, 64).number(6, 1) & 4U, 0U);
  ASSERT_TRUE(write(0, filled(kBlock, 3)).good());
  EXPECT_EQ(device().durable_writes(), 1U) << "and it is what writes go by";
  EXPECT_EQ(host().read({0x1A, 0x08, 0x88, 0, 64, 0}, 64).number(6, 1) & 4U, 4U) << "the default";
}

TEST_P(SbcTest, WriteProtection) {
  ASSERT_TRUE(set_control(false, true).good());
  EXPECT_TRUE(
      write(0, filled(kBlock, 1)).check(SenseKey::data_protect, asc::software_write_protected));
  EXPECT_EQ(host().read({0x1A, 0x08, 0x08, 0, 64, 0}, 64).number(2, 1) & 0x80U, 0x80U);
  EXPECT_TRUE(read(0, 1).good());
  ASSERT_TRUE(set_control(true, false).good());
  device().set_read_only(true);
  const ScsiResult r = write(0, filled(kBlock, 1));
  EXPECT_TRUE(r.check(SenseKey::data_protect, asc::write_protected)) << r;
  EXPECT_EQ(r.raw_sense.at(0), std::byte{0x72}) << "D_SENSE";
}

TEST_P(SbcTest, AFullDiskIsNotABrokenOne) {
  device().fill_up(true);
  EXPECT_TRUE(
      write(0, filled(kBlock, 1)).check(SenseKey::data_protect, asc::space_allocation_failed));
}

TEST_P(SbcTest, ADamagedBlockIsNamed) {
  ASSERT_TRUE(write(0, filled(16 * kBlock, 1)).good());
  device().damage(11 * kBlock + 3);
  const ScsiResult r = read(4, 12);
  EXPECT_TRUE(r.check(SenseKey::medium_error, asc::unrecovered_read_error)) << r;
  ASSERT_TRUE(r.sense->information);
  EXPECT_EQ(*r.sense->information, 11);
  EXPECT_TRUE(r.data.empty());
  EXPECT_TRUE(read(4, 7).good());
  EXPECT_TRUE(host()
                  .run({0x2F, 0, 0, 0, 0, 0, 0, 0, 16, 0})
                  .check(SenseKey::medium_error, asc::unrecovered_read_error));
}

// The whole medium against nothing, or one block: it takes its time, and ends when nobody waits.
TEST_P(SbcTest, AnAbortedVerifyEnds) {
  if (GetParam() != Transport::direct) return;
  const DirectClient who(rig_.unit(), 77, "iqn.2026-11.test:verifies");
  const Buffer block = filled(kBlock, 0);
  for (const unsigned byte_check : {0U, 3U}) {
    SCOPED_TRACE(byte_check);
    scsi::Command command;
    command.nexus = who.nexus_pointer();
    const Buffer cdb = ScsiClient::bytes({0x2F, byte_check << 1U, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0});
    std::copy(cdb.begin(), cdb.end(), command.cdb.begin());
    if (byte_check != 0) command.data_out = block;
    command.aborted = std::make_shared<std::atomic<bool>>(false);
    static_cast<void>(rig_.unit().execute(command));  // a unit attention
    EXPECT_EQ(rig_.unit().execute(command).status, ScsiStatus::good);
    command.aborted->store(true);
    EXPECT_NE(rig_.unit().execute(command).status, ScsiStatus::good);
  }
}

TEST_P(SbcTest, ADiskThatGrewTellsEverybody) {
  ScsiClient& second = other();
  device().grow(128 * MiB);
  EXPECT_TRUE(ready(host()).check(SenseKey::unit_attention, asc::capacity_changed));
  EXPECT_TRUE(ready(second).check(SenseKey::unit_attention, asc::capacity_changed));
  EXPECT_TRUE(ready(host()).good());
  EXPECT_EQ(host().read({0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8).number(0, 4), 2 * kBlocks - 1);
  EXPECT_TRUE(read(kBlocks, 8).good());
}

TEST_P(SbcTest, AStoppedDiskIsNotReady) {
  ASSERT_TRUE(host().run({0x1B, 0, 0, 0, 0, 0}).good());
  EXPECT_GE(device().flushes(), 1U);
  EXPECT_TRUE(ready(host()).check(SenseKey::not_ready, asc::initializing_command_required));
  EXPECT_TRUE(read(0, 1).check(SenseKey::not_ready, asc::initializing_command_required));
  EXPECT_TRUE(host()
                  .run({0x1B, 0, 0, 0, 2, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  ASSERT_TRUE(host().run({0x1B, 0, 0, 0, 1, 0}).good());
  EXPECT_TRUE(read(0, 1).good());
}

TEST_P(SbcTest, ThinProvisioningFollowsWritesAndUnmaps) {
  ASSERT_TRUE(write(16, filled(16 * kBlock, 7)).good());
  const auto status = [&](uint64_t lba) {
    return host().read({0x9E, 0x12, 0, 0, 0, 0, 0, 0, 0, octet(lba, 0), 0, 0, 0, 56, 0, 0}, 56);
  };
  ScsiResult r = status(0);
  ASSERT_TRUE(r.good());
  EXPECT_EQ(r.number(0, 4), 4U + 3 * 16U);
  EXPECT_EQ(r.number(8, 8), 0U);
  EXPECT_EQ(r.number(16, 4), 16U);
  EXPECT_EQ(r.number(20, 1), 1U) << "deallocated";
  EXPECT_EQ(r.number(24, 8), 16U);
  EXPECT_EQ(r.number(36, 1), 0U) << "mapped";
  EXPECT_EQ(r.number(40, 8), 32U);
  // WRITE SAME(16) with UNMAP and NDOB; and with a block that is not all zeroes, which is written.
  ASSERT_TRUE(out16(host(), 0x93, 0x09, 16, 8, {}).good());
  EXPECT_EQ(device().unmapped_bytes(), 8 * kBlock);
  EXPECT_EQ(read(16, 8).data, filled(8 * kBlock, 0));
  ASSERT_TRUE(out16(host(), 0x93, 0x08, 16, 8, filled(kBlock, 3)).good());
  EXPECT_EQ(device().unmapped_bytes(), 8 * kBlock) << "nothing more";
  EXPECT_EQ(read(16, 9).data.size(), 9 * kBlock);
  EXPECT_EQ(read(16, 8).data, filled(8 * kBlock, 3));
  EXPECT_TRUE(out16(host(), 0x93, 0x18, 16, 8, filled(kBlock, 0))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "ANCHOR";
  const ScsiResult used = host().read({0x4D, 0, 0x4C, 0, 0, 0, 0, 0, 64, 0}, 64);
  EXPECT_TRUE(used.good());
  EXPECT_EQ(used.number(4, 2), 2U);
  EXPECT_EQ(used.number(8, 4), 1U) << "one set of blocks";
  const ScsiResult page = vpd(0xB2);
  EXPECT_EQ(page.number(5, 1), 0xE4U);
  EXPECT_EQ(page.number(6, 1) & 7U, 2U) << "thin";
}

TEST_P(SbcTest, UnmapRefusesAListAsAWhole) {
  ASSERT_TRUE(write(0, filled(8 * kBlock, 7)).good());
  Buffer list(8 + 32, std::byte{0});
  list[1] = std::byte{38};
  list[3] = std::byte{32};
  list[8 + 11] = std::byte{4};  // blocks 0 to 3
  scsi::put_number(list, 24, kBlocks - 1, 8);
  list[24 + 11] = std::byte{4};  // beyond the end
  EXPECT_TRUE(host()
                  .write({0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0}, list)
                  .check(SenseKey::illegal_request, asc::logical_block_address_out_of_range));
  EXPECT_EQ(read(0, 8).data, filled(8 * kBlock, 7));
}

// -- EXTENDED COPY

class SbcCopy : public SbcTest {
 protected:
  // One target descriptor, this disk by its NAA name; segments of (from, blocks, to).
  struct Segment {
    uint64_t from, blocks, to;
  };
  Buffer copy_list(const std::vector<Segment>& segments, uint8_t list_id = 7) {
    const ScsiResult page = vpd(0x83);
    Buffer naa;
    for (size_t at = 4; at + 4 <= page.data.size(); at += 4 + page.number(at + 3, 1))
      if ((page.number(at + 1, 1) & 0x3F) == 3)
        naa = Buffer(page.data.begin() + static_cast<ptrdiff_t>(at),
                     page.data.begin() + static_cast<ptrdiff_t>(at + 12));
    EXPECT_EQ(naa.size(), 12U);
    Buffer out;
    scsi::WireWriter w(out);
    w.u8(list_id).u8(0).u16(32).zeros(4).u32(28 * segments.size()).u32(0);
    w.u8(0xE4).u8(0).u16(0).raw(naa).zeros(12).u8(0).u24(kBlock);
    for (const Segment& s : segments)
      w.u8(2).u8(0).u16(24).u16(0).u16(0).u16(0).u16(s.blocks).u64(s.from).u64(s.to);
    return out;
  }
  ScsiResult copy(const Buffer& list) {
    return host().write(
        {0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, octet(list.size(), 8), octet(list.size(), 0), 0, 0},
        list);
  }
};
INSTANTIATE_SBC(SbcCopy);

TEST_P(SbcCopy, BlocksAreCopiedWhereRangesOverlapToo) {
  Buffer data(4096 * kBlock);
  SeededRandom random(1);
  random.fill(data);
  ASSERT_TRUE(write(0, data).good());
  ASSERT_TRUE(copy(copy_list({{0, 4096, 8192}, {8192, 4096, 8193}, {1, 4095, 0}})).good());
  const auto part = [&](size_t block, size_t count) {
    return Buffer(data.begin() + static_cast<ptrdiff_t>(block * kBlock),
                  data.begin() + static_cast<ptrdiff_t>((block + count) * kBlock));
  };
  EXPECT_EQ(read(8192, 1).data, part(0, 1));
  EXPECT_EQ(read(8193, 4096).data, data);
  EXPECT_EQ(read(0, 4095).data, part(1, 4095));
  const ScsiResult status = host().read({0x84, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32);
  ASSERT_TRUE(status.good()) << status;
  EXPECT_EQ(status.number(4, 1), 1U) << "completed without errors";
  EXPECT_EQ(status.number(5, 2), 3U);
  EXPECT_EQ(status.number(8, 4), (4096U + 4096U + 4095U) / 2) << "KiB";
  EXPECT_TRUE(other()
                  .read({0x84, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "another initiator's list";
}

TEST_P(SbcCopy, RefusedCopiesChangeNothing) {
  ASSERT_TRUE(write(0, filled(8 * kBlock, 5)).good());
  EXPECT_FALSE(copy(copy_list({{0, 8, 64}, {0, 8, kBlocks - 4}})).good());
  EXPECT_EQ(read(64, 8).data, filled(8 * kBlock, 0));
  Buffer stranger = copy_list({{0, 8, 64}});
  stranger[16 + 15] ^= std::byte{1};
  const ScsiResult r = copy(stranger);
  EXPECT_TRUE(r.check(SenseKey::copy_aborted, asc::copy_target_not_reachable)) << r;
  EXPECT_EQ(read(64, 8).data, filled(8 * kBlock, 0));
}

// It fills the buffer for uploads as writes do.
TEST_P(SbcCopy, ACopyIsKeptBackAsAWriteIs) {
  device().hold_writes(700);
  scsi::Command command;
  const Buffer list = copy_list({{0, 8, 64}});
  for (const uint8_t opcode : {uint8_t{0x2A}, uint8_t{0x83}, uint8_t{0x42}}) {
    command.cdb[0] = static_cast<std::byte>(opcode);
    command.data_out = list;
    EXPECT_EQ(rig_.unit().hold_ms(command), opcode == 0x42 ? 0 : 700) << int{opcode};
  }
  device().hold_writes(0);
}

// -- SANITIZE

TEST_P(SbcTest, SanitizeGoesOnThroughAResetAndARestart) {
  ASSERT_TRUE(write(100, filled(8 * kBlock, 0x77)).good());
  ASSERT_TRUE(other().run({0, 0, 0, 0, 0, 0}).good());
  device().hold_erase(true);
  ASSERT_TRUE(host().run({0x48, 0x82, 0, 0, 0, 0, 0, 0, 0, 0}).good()) << "IMMED";
  EXPECT_TRUE(read(100, 1).check(SenseKey::not_ready, asc::sanitize_in_progress));
  EXPECT_TRUE(ready(other()).check(SenseKey::not_ready, asc::sanitize_in_progress));
  EXPECT_TRUE(write(0, filled(kBlock, 1)).check(SenseKey::not_ready, asc::sanitize_in_progress));
  EXPECT_TRUE(host().read({0x12, 0, 0, 0, 96, 0}, 96).good()) << "INQUIRY";
  const ScsiResult sense = host().read({0x03, 0, 0, 0, 18, 0}, 18);
  EXPECT_EQ(sense.number(12, 2), 0x041BU);
  EXPECT_EQ(sense.number(15, 1) & 0x80U, 0x80U) << "progress";
  EXPECT_TRUE(host()
                  .run({0x48, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0})
                  .check(SenseKey::not_ready, asc::sanitize_in_progress))
      << "EXIT FAILURE MODE";
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  host().clear_unit_attentions();
  EXPECT_TRUE(ready(host()).check(SenseKey::not_ready, asc::sanitize_in_progress));
  device().hold_erase(false);
  ScsiResult now = ready(host());
  for (int i = 0; i < 1000 && !now.good(); ++i) {
    SystemClock().sleep_ms(5);
    now = ready(host());
  }
  ASSERT_TRUE(now.good()) << now;
  EXPECT_EQ(read(100, 8).data, filled(8 * kBlock, 0));
}

// Noted before it began: a process that ended in the middle does it again when it comes back.
TEST_P(SbcTest, SanitizeIsTakenUpAfterPowerLoss) {
  ASSERT_TRUE(write(100, filled(8 * kBlock, 0x77)).good());
  PosixFileSystem files;
  scsi::FileUnitStore store(&files, rig_.directory());
  Buffer record;  // as sbc_sanitize.cc notes an operation: version, running, blocks, no AUSE
  scsi::WireWriter(record).u8(1).u8(1).u8(0).u8(0);
  host_.reset();
  rig_.stop();
  ASSERT_TRUE(store.save("sanitize", record).ok());
  rig_.start();
  host_ = rig_.connect(1);
  for (int i = 0; i < 1000 && !ready(host()).good(); ++i) SystemClock().sleep_ms(5);
  EXPECT_EQ(read(100, 8).data, filled(8 * kBlock, 0));
  EXPECT_EQ(store.load("sanitize")->at(1), std::byte{0}) << "and it is over";
}

TEST_P(SbcTest, WhatTheDeviceDoesNotPromiseIsNotOffered) {
  EXPECT_TRUE(host()
                  .run({0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "no key to destroy";
  const ScsiResult report = host().read({0xA3, 0x0C, 0x82, 0x48, 0, 3, 0, 0, 0, 32, 0, 0}, 32);
  EXPECT_EQ(report.number(1, 1) & 7U, 1U) << "not supported";
}

TEST_P(SbcTest, FormatUnitGivesEverythingBack) {
  ASSERT_TRUE(write(0, filled(8 * kBlock, 5)).good());
  ASSERT_TRUE(host().run({0x04, 0, 0, 0, 0, 0}).good());
  EXPECT_EQ(read(0, 8).data, filled(8 * kBlock, 0));
  EXPECT_EQ(device().usage().mapped_bytes, 0U);
}

}  // namespace
}  // namespace coldshelf::test
