// Commands beside each other: what waits for the store holds up nobody, what conflicts keeps its
// order, and what ends a command really ends it.
#include <gtest/gtest.h>

#include <future>

#include "tests/conformance/sbc_fixture.h"
#include "tests/support/iscsi_raw_client.h"

namespace coldshelf::test {
namespace {

using coldshelf::testing::IscsiRawClient;
constexpr uint8_t kF = 0x80, kR = 0x40, kW = 0x20;
constexpr uint32_t kBlock = 512;
constexpr uint8_t kConditionMet = 0x00, kTaskAborted = 0x40, kConflict = 0x18;

std::vector<uint8_t> cdb10(uint8_t opcode, uint32_t lba, unsigned blocks) {
  return {opcode,
          0,
          static_cast<uint8_t>(lba >> 24),
          static_cast<uint8_t>(lba >> 16),
          static_cast<uint8_t>(lba >> 8),
          static_cast<uint8_t>(lba),
          0,
          static_cast<uint8_t>(blocks >> 8),
          static_cast<uint8_t>(blocks),
          0};
}

class SbcOverlap : public ::testing::Test {
 protected:
  // A session whose unit attention is taken.
  std::unique_ptr<IscsiRawClient> connect(uint8_t number) {
    auto client = std::make_unique<IscsiRawClient>(rig_.portal());
    client->initiator_name += std::to_string(number);
    client->isid[5] = number;
    EXPECT_TRUE(client->login(BlockRig::kTarget));
    static_cast<void>(client->complete(client->send_command({0, 0, 0, 0, 0, 0}, kF, 0)));
    return client;
  }
  static uint32_t send_read(IscsiRawClient& who, uint32_t lba, unsigned blocks = 8) {
    return who.send_command(cdb10(0x28, lba, blocks), kF | kR, blocks * kBlock);
  }
  static uint32_t send_write(IscsiRawClient& who, uint32_t lba, uint8_t value,
                             unsigned blocks = 8) {
    return who.send_command(cdb10(0x2A, lba, blocks), kF | kW, blocks * kBlock,
                            filled(blocks * kBlock, value));
  }
  static ByteView all(const Buffer& data) { return data; }

  BlockRig rig_{Transport::iscsi};
};

TEST_F(SbcOverlap, ASlowReadHoldsUpNobody) {
  const auto one = connect(1), two = connect(2);
  rig_.device().freeze(0, 1 * MiB);
  const uint32_t slow = send_read(*one, 0);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  // The same session and another go on: reads, writes, flushes, inquiries.
  for (IscsiRawClient* client : {one.get(), two.get()}) {
    EXPECT_EQ(client->complete(send_write(*client, 4096, 3)).status, 0);
    const auto read = client->complete(send_read(*client, 4096));
    EXPECT_EQ(read.status, 0);
    EXPECT_EQ(read.data, filled(8 * kBlock, 3));
    EXPECT_EQ(client->complete(client->send_command(cdb10(0x35, 0, 0), kF, 0)).status, 0);
    EXPECT_EQ(client->complete(client->send_command({0, 0, 0, 0, 0, 0}, kF, 0)).status, 0);
    EXPECT_EQ(client->complete(client->send_command({0x12, 0, 0, 0, 96, 0}, kF | kR, 96)).status,
              0);
    EXPECT_EQ(client->complete(client->send_command(cdb10(0x34, 0, 8), kF, 0)).status, 4)
        << "PRE-FETCH: CONDITION MET";
  }
  rig_.device().thaw();
  const auto read = one->complete(slow);
  EXPECT_EQ(read.status, 0);
  EXPECT_EQ(read.data.size(), 8 * kBlock);
}

// A write to blocks that an earlier read is about comes after it, and a read after that write sees
// it: restricted reordering (SPC-5 7.5.8).
TEST_F(SbcOverlap, ConflictsKeepTheirOrder) {
  const auto one = connect(1);
  ASSERT_EQ(one->complete(send_write(*one, 0, 1)).status, 0);
  rig_.device().freeze(0, 4096);
  const uint32_t first = send_read(*one, 0);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  const uint32_t write = send_write(*one, 4, 2);  // half of them
  const uint32_t second = send_read(*one, 4);
  const uint32_t beside = send_read(*one, 100);
  EXPECT_EQ(one->complete(beside).status, 0) << "what does not conflict overtakes";
  rig_.device().thaw();
  const auto before = one->complete(first);
  EXPECT_EQ(before.data, filled(8 * kBlock, 1)) << "the write came later";
  EXPECT_EQ(one->complete(write).status, 0);
  EXPECT_EQ(one->complete(second).data, filled(8 * kBlock, 2));
}

TEST_F(SbcOverlap, ManySlowReadsAreBoundedAndAllAnswered) {
  const auto one = connect(1);
  rig_.device().freeze(0, 1 * MiB);
  std::vector<uint32_t> slow;
  for (uint32_t i = 0; i < 64; ++i) slow.push_back(send_read(*one, i * 8));
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(14));
  EXPECT_EQ(one->complete(send_read(*one, 4096)).status, 0) << "what need not wait does not";
  EXPECT_EQ(one->complete(one->send_command(cdb10(0x35, 0, 0), kF, 0)).status, 0)
      << "nor do flushes, though they take a thread";
  rig_.device().thaw();
  for (const uint32_t tag : slow) EXPECT_EQ(one->complete(tag).status, 0);
}

// More of them than the connection's output may hold: the rest is not begun, and what comes behind
// goes on, but for what is about the same blocks.
TEST_F(SbcOverlap, LongReadsThatAreNotBegunHoldUpNobody) {
  constexpr unsigned kLong = 2048;
  const auto one = connect(1);
  rig_.device().freeze(0, 32 * MiB);
  std::vector<uint32_t> slow;
  for (uint32_t i = 0; i < 12; ++i) slow.push_back(send_read(*one, i * kLong, kLong));
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(9));
  const uint32_t same = send_write(*one, 11 * kLong, 5);
  EXPECT_EQ(one->complete(send_write(*one, 100'000, 3)).status, 0);
  EXPECT_EQ(one->complete(send_read(*one, 100'000)).data, filled(8 * kBlock, 3));
  EXPECT_EQ(one->complete(one->send_command(cdb10(0x35, 0, 0), kF, 0)).status, 0);
  EXPECT_EQ(one->complete(same, {}, 200).status, 0xFF);
  rig_.device().thaw();
  for (const uint32_t tag : slow)
    EXPECT_EQ(one->complete(tag).data, filled(kLong * kBlock, 0)) << "the write came later";
  EXPECT_EQ(one->complete(same).status, 0);
  EXPECT_EQ(one->complete(send_read(*one, 11 * kLong)).data, filled(8 * kBlock, 5));
}

// So does a write whose data come late, or that waits for memory for them.
TEST_F(SbcOverlap, AWriteThatWaitsForItsDataHoldsUpNobody) {
  const auto one = connect(1);
  const uint32_t write = one->send_command(cdb10(0x2A, 0, 8), kF | kW, 8 * kBlock);
  EXPECT_EQ(one->complete(send_write(*one, 4096, 3)).status, 0);
  EXPECT_EQ(one->complete(send_read(*one, 4096)).data, filled(8 * kBlock, 3));
  const uint32_t same = send_read(*one, 4);
  const uint32_t alone = one->send_command({0x1B, 0, 0, 0, 1, 0}, kF, 0);  // START STOP UNIT
  EXPECT_EQ(one->complete(same, {}, 200).status, 0xFF);
  EXPECT_EQ(one->complete(write, filled(8 * kBlock, 5)).status, 0);
  EXPECT_EQ(one->complete(same).data, [] {
    Buffer half = filled(4 * kBlock, 5);
    append(half, filled(4 * kBlock, 0));
    return half;
  }());
  EXPECT_EQ(one->complete(alone).status, 0);
  // What it touches is in the data that are to come: all that follow wait.
  const uint32_t unmap = one->send_command({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, kF | kW, 24);
  const uint32_t read = send_read(*one, 4096);
  EXPECT_EQ(one->complete(read, {}, 200).status, 0xFF);
  Buffer list;
  scsi::WireWriter(list).u16(22).u16(16).u32(0).u64(4096).u32(8).u32(0);
  EXPECT_EQ(one->complete(unmap, list).status, 0);
  EXPECT_EQ(one->complete(read).data, filled(8 * kBlock, 0));
}

// An initiator whose ABORT TASK is not answered resets the unit, and with it everybody's commands.
TEST_F(SbcOverlap, AReadThatIsAbortedIsNotWaitedFor) {
  constexpr uint8_t kAbortTask = 1, kLogicalUnitReset = 5;
  const auto one = connect(1), two = connect(2);
  const auto answered = [&](uint8_t function, uint32_t task) {
    const uint32_t tag = one->send_task_management(function, task);
    const auto answer = one->receive(2000);
    return answer && answer->bhs.opcode() == iscsi::Opcode::task_management_response &&
           answer->bhs.task_tag() == tag && answer->bhs.get8(iscsi::field::kResponse) == 0;
  };
  rig_.device().freeze(0, 1 * MiB);
  const uint32_t slow = send_read(*one, 0);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  EXPECT_TRUE(answered(kAbortTask, slow));
  EXPECT_EQ(one->complete(send_write(*one, 4096, 3)).status, 0);
  const uint32_t write = send_write(*one, 0, 4);
  EXPECT_EQ(one->complete(write, {}, 200).status, 0xFF) << "it comes after the read all the same";
  rig_.device().thaw();
  EXPECT_EQ(one->complete(write).status, 0);
  EXPECT_EQ(one->complete(send_read(*one, 0)).data, filled(8 * kBlock, 4));
  rig_.device().freeze(0, 1 * MiB);
  const uint32_t others = send_read(*two, 8);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  EXPECT_TRUE(answered(kLogicalUnitReset, iscsi::kReservedTag));
  EXPECT_EQ(two->complete(others).status, kTaskAborted);
  rig_.device().thaw();
  EXPECT_EQ(one->complete(one->send_command({0, 0, 0, 0, 0, 0}, kF, 0)).sense_key(), 6);
  EXPECT_EQ(one->complete(send_read(*one, 0)).data, filled(8 * kBlock, 4));
}

// It takes hours where the disk is large.
TEST_F(SbcOverlap, AVerifyOfTheWholeMediumLetsWritersGoFirst) {
  const auto one = connect(1);
  for (const uint8_t byte_check : {uint8_t{0}, uint8_t{6}}) {
    SCOPED_TRACE(int{byte_check});
    rig_.device().freeze(20 * MiB, 4096);
    // VERIFY(16) of all 64 MiB, by itself or against a block of zeroes.
    const std::vector<uint8_t> cdb = {0x8F, byte_check, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0};
    const uint32_t verify = byte_check == 0
                                ? one->send_command(cdb, kF, 0)
                                : one->send_command(cdb, kF | kW, kBlock, filled(kBlock, 0));
    ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
    const uint32_t write = send_write(*one, 131'000, 0);
    EXPECT_EQ(one->complete(write, {}, 200).status, 0xFF);
    rig_.device().thaw();
    for (const uint32_t tag : {write, verify}) {
      const auto answer = one->receive();
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->bhs.task_tag(), tag);
      EXPECT_EQ(answer->bhs.get8(iscsi::field::kStatus), 0);
    }
  }
}

// MODE SELECT changes what the others go by: it runs alone, and later commands see its work.
TEST_F(SbcOverlap, WhatRunsAloneWaitsAndIsWaitedFor) {
  const auto one = connect(1);
  rig_.device().freeze(0, 4096);
  const uint32_t slow = send_read(*one, 0);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  Buffer list(16, std::byte{0});
  list[4] = std::byte{0x0A};
  list[5] = std::byte{10};
  list[8] = std::byte{0x08};  // SWP
  list[9] = std::byte{0x40};
  const uint32_t select = one->send_command({0x15, 0x10, 0, 0, 16, 0}, kF | kW, 16, list);
  const uint32_t write = send_write(*one, 4096, 1);
  rig_.device().thaw();
  EXPECT_EQ(one->complete(slow).status, 0);
  EXPECT_EQ(one->complete(select).status, 0);
  const auto refused = one->complete(write);
  EXPECT_EQ(refused.sense_key(), 7);
  EXPECT_EQ(refused.asc(), 0x2702);
}

// Compare and write from two sessions at once: no increment is lost.
TEST_F(SbcOverlap, CompareAndWriteIsAtomic) {
  constexpr unsigned kRounds = 60;
  const auto count = [&](uint8_t number) {
    const auto client = connect(number);
    for (unsigned done = 0; done < kRounds;) {
      const auto read = client->complete(send_read(*client, 7, 1));
      if (read.data.size() != kBlock) return false;
      Buffer next = read.data;
      store_be(next.data(), load_be<uint64_t>(next.data()) + 1);
      Buffer both = read.data;
      append(both, next);
      std::vector<uint8_t> cdb(16, 0);
      cdb[0] = 0x89;
      cdb[9] = 7;
      cdb[13] = 1;
      const auto swap = client->complete(client->send_command(cdb, kF | kW, 2 * kBlock, both));
      if (swap.status == 0) ++done;
    }
    return true;
  };
  auto other = std::async(std::launch::async, count, uint8_t{2});
  EXPECT_TRUE(count(1));
  EXPECT_TRUE(other.get());
  const auto client = connect(3);
  EXPECT_EQ(load_be<uint64_t>(client->complete(send_read(*client, 7, 1)).data.data()), 2 * kRounds);
}

class SbcPreempt : public SbcOverlap {
 protected:
  static uint32_t send_out(IscsiRawClient& who, uint8_t action, uint64_t key, uint64_t other_key,
                           uint8_t type) {
    Buffer list;
    scsi::WireWriter(list).u64(key).u64(other_key).zeros(8);
    return who.send_command({0x5F, action, type, 0, 0, 0, 0, 0, 24, 0}, kF | kW, 24, list);
  }
};

// The commands of the one that lost its place end with TASK ABORTED, before the status of the one
// that took it.
TEST_F(SbcPreempt, PreemptAndAbortEndsCommands) {
  const auto victim = connect(1), winner = connect(2), bystander = connect(3);
  ASSERT_EQ(victim->complete(send_out(*victim, 6, 0, 0xA, 0)).status, 0);
  ASSERT_EQ(winner->complete(send_out(*winner, 6, 0, 0xB, 0)).status, 0);
  ASSERT_EQ(victim->complete(send_out(*victim, 1, 0xA, 0, 5)).status, 0);
  rig_.device().freeze(0, 1 * MiB);
  // COMPARE AND WRITE, of a block that it does not find.
  const uint32_t running = victim->send_command({0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0},
                                                kF | kW, 2 * kBlock, filled(2 * kBlock, 9));
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  const uint32_t waiting = send_write(*victim, 0, 0xEE);  // behind it
  const uint32_t others = send_read(*bystander, 8);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(2));
  const uint32_t preempt = send_out(*winner, 5, 0xB, 0xA, 5);
  // The one that waits ends at once, the other when the device lets it go; only then the status.
  EXPECT_EQ(victim->complete(waiting).status, kTaskAborted);
  EXPECT_EQ(winner->complete(preempt, {}, 200).status, 0xFF) << "not before they have ended";
  rig_.device().thaw();
  EXPECT_EQ(victim->complete(running).status, kTaskAborted);
  EXPECT_EQ(winner->complete(preempt).status, kConditionMet);
  EXPECT_EQ(bystander->complete(others).status, 0) << "an initiator that was not preempted";
  // The victim learns of it, and cannot write.
  EXPECT_EQ(victim->complete(victim->send_command({0, 0, 0, 0, 0, 0}, kF, 0)).asc(), 0x2A05);
  EXPECT_EQ(victim->complete(send_write(*victim, 0, 0xEE)).status, kConflict);
  EXPECT_EQ(winner->complete(send_read(*winner, 0)).data, filled(8 * kBlock, 0));
}

// A cluster registers while the store is slow; a reservation comes after what was sent before it.
TEST_F(SbcPreempt, RegistrationsDoNotWait) {
  const auto one = connect(1), two = connect(2);
  rig_.device().freeze(0, 1 * MiB);
  const uint32_t slow = send_read(*one, 0);
  ASSERT_TRUE(rig_.device().wait_for_waiting_reads(1));
  EXPECT_EQ(two->complete(send_out(*two, 0, 0, 0xB, 0)).status, 0);
  const uint32_t reserve = send_out(*two, 1, 0xB, 0, 3);
  EXPECT_EQ(two->complete(reserve, {}, 200).status, 0xFF);
  rig_.device().thaw();
  EXPECT_EQ(one->complete(slow).status, 0);
  EXPECT_EQ(two->complete(reserve).status, 0);
  EXPECT_EQ(one->complete(send_read(*one, 0)).status, kConflict);
}

// -- targets that come and go

TEST_F(SbcOverlap, ATargetGoesWhenItsLastCommandHasEnded) {
  static constexpr const char* kSecond = "iqn.2026-11.io.coldshelf:test-volume-two";
  FileBlockDevice::Options disk;
  disk.path = rig_.directory() + "/second";
  auto device = std::make_shared<FileBlockDevice>(disk);
  std::weak_ptr<FileBlockDevice> alive = device;
  SystemClock clock;
  scsi::BlockUnitOptions options;
  options.device = device;
  options.clock = &clock;
  options.serial = "VOL2";
  options.target_name = kSecond;
  auto unit = scsi::BlockUnit::open(std::move(options));
  ASSERT_TRUE(unit.ok());
  ASSERT_TRUE(
      rig_.server()
          .add_target({kSecond, "two", std::shared_ptr<scsi::BlockUnit>(std::move(unit).value())})
          .ok());
  const auto first = connect(1);
  IscsiRawClient second(rig_.portal());
  ASSERT_TRUE(second.login(kSecond));
  static_cast<void>(second.complete(second.send_command({0, 0, 0, 0, 0, 0}, kF, 0)));
  device->freeze(0, 4096);
  static_cast<void>(send_read(second, 0));
  ASSERT_TRUE(device->wait_for_waiting_reads(1));
  auto removed = std::async(std::launch::async, [&] {
    return rig_.server().remove_target(kSecond, std::chrono::milliseconds(50)).ok();
  });
  EXPECT_TRUE(second.closed_by_peer(10000)) << "its session is closed after the grace";
  EXPECT_EQ(removed.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout)
      << "while its command has the device";
  device->thaw();
  EXPECT_TRUE(removed.get());
  device.reset();
  EXPECT_TRUE(alive.expired()) << "nothing of the server holds the device any more";
  EXPECT_EQ(first->complete(send_read(*first, 0)).status, 0) << "the other target goes on";
  IscsiRawClient late(rig_.portal());
  EXPECT_FALSE(late.login(kSecond));
}

TEST_F(SbcOverlap, TargetsComeAndGoUnderLoad) {
  std::atomic<bool> stop{false};
  auto load = std::async(std::launch::async, [&] {
    const auto client = connect(1);
    uint64_t done = 0;
    for (; !stop; ++done)
      if (client->complete(send_read(*client, 64)).status != 0) return uint64_t{0};
    return done;
  });
  SystemClock clock;
  for (int round = 0; round < 25; ++round) {
    const std::string name =
        "iqn.2026-11.io.coldshelf:test-volume-" + std::to_string(round % 2 + 10);
    FileBlockDevice::Options disk;
    disk.path = rig_.directory() + "/come-and-go";
    scsi::BlockUnitOptions options;
    options.device = std::make_shared<FileBlockDevice>(disk);
    options.clock = &clock;
    options.serial = "VOL3";
    options.target_name = name;
    const std::weak_ptr<BlockDevice> alive = options.device;
    auto unit = scsi::BlockUnit::open(std::move(options));
    ASSERT_TRUE(unit.ok());
    ASSERT_TRUE(
        rig_.server()
            .add_target({name, "", std::shared_ptr<scsi::BlockUnit>(std::move(unit).value())})
            .ok());
    IscsiRawClient client(rig_.portal());
    ASSERT_TRUE(client.login(name));
    static_cast<void>(client.complete(client.send_command({0, 0, 0, 0, 0, 0}, kF, 0)));
    for (uint32_t i = 0; i < 8; ++i) static_cast<void>(send_write(client, i * 8, 1));
    if (round % 3 == 0) client.disconnect();
    ASSERT_TRUE(rig_.server().remove_target(name, std::chrono::milliseconds(0)).ok());
    EXPECT_TRUE(alive.expired());
  }
  stop = true;
  EXPECT_GT(load.get(), 0U);
}

}  // namespace
}  // namespace coldshelf::test
