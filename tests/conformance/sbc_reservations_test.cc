// Persistent reservations of a disk: two initiators and every type, through power loss, and
// PREEMPT AND ABORT.
#include "tests/conformance/sbc_fixture.h"

namespace coldshelf::test {
namespace {

enum Action : unsigned { kRegister = 0, kReserve, kRelease, kClear, kPreempt, kAbort, kIgnore };

class SbcReservations : public SbcTest {
 protected:
  static ScsiResult out(ScsiClient& who, unsigned action, uint64_t key, uint64_t action_key,
                        unsigned type = 0, bool keep = false) {
    Buffer list;
    scsi::WireWriter(list).u64(key).u64(action_key).u32(0).u8(keep ? 1 : 0).zeros(3);
    return who.write({0x5F, action, type, 0, 0, 0, 0, 0, 24, 0}, list);
  }
  static ScsiResult in(ScsiClient& who, unsigned action) {
    return who.read({0x5E, action, 0, 0, 0, 0, 0, 2, 0, 0}, 512);
  }
  static bool conflict(const ScsiResult& r) { return r.status == ScsiStatus::reservation_conflict; }
  static ScsiResult read_of(ScsiClient& who) { return in10(who, 0x28, 0, 0, 1, kBlock); }
  static ScsiResult write_of(ScsiClient& who) {
    return out10(who, 0x2A, 0, 0, 1, filled(kBlock, 9));
  }
  void restart() {
    host_.reset();
    other_.reset();
    rig_.stop();
    rig_.start();
    host_ = rig_.connect(1);
    host_->clear_unit_attentions();
  }
};
INSTANTIATE_SBC(SbcReservations);

// SBC-4 table 34: what an initiator may do that does not hold the reservation.
TEST_P(SbcReservations, EveryTypeForHolderRegistrantAndStranger) {
  struct Case {
    unsigned type;
    bool registrant_reads, registrant_writes, stranger_reads;
  };
  auto stranger = rig_.connect(3);
  stranger->clear_unit_attentions();
  for (const Case& c :
       {Case{1, true, false, true}, Case{3, false, false, false}, Case{5, true, true, true},
        Case{6, true, true, false}, Case{7, true, true, true}, Case{8, true, true, false}}) {
    SCOPED_TRACE(c.type);
    ASSERT_TRUE(out(host(), kIgnore, 0, 0xA).good());
    ASSERT_TRUE(out(other(), kIgnore, 0, 0xB).good());
    ASSERT_TRUE(out(host(), kReserve, 0xA, 0, c.type).good());
    EXPECT_TRUE(read_of(host()).good());
    EXPECT_TRUE(write_of(host()).good());
    EXPECT_EQ(read_of(other()).good(), c.registrant_reads);
    EXPECT_EQ(write_of(other()).good(), c.registrant_writes);
    EXPECT_EQ(read_of(*stranger).good(), c.stranger_reads);
    EXPECT_TRUE(conflict(write_of(*stranger)));
    EXPECT_TRUE(conflict(out10(*stranger, 0x41, 0x08, 0, 1, filled(kBlock, 0)))) << "WRITE SAME";
    EXPECT_TRUE(conflict(stranger->write({0x42, 0, 0, 0, 0, 0, 0, 0, 8, 0}, filled(8, 0))));
    EXPECT_TRUE(conflict(stranger->run({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0})));
    EXPECT_EQ(stranger->run({0x2F, 0, 0, 0, 0, 0, 0, 0, 1, 0}).good(), c.stranger_reads)
        << "VERIFY";
    EXPECT_TRUE(stranger->read({0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8).good()) << "READ CAPACITY";
    EXPECT_TRUE(ready(*stranger).good());
    ASSERT_TRUE(out(host(), kClear, 0xA, 0).good());
    other().clear_unit_attentions();
  }
}

TEST_P(SbcReservations, KeptThroughPowerLossOnRequest) {
  EXPECT_EQ(in(host(), 2).number(2, 1) & 1U, 1U) << "PTPL_C";
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, true).good());
  ASSERT_TRUE(out(other(), kRegister, 0, 0xB, 0, true).good());
  EXPECT_EQ(in(host(), 2).number(3, 1) & 1U, 1U) << "PTPL_A";
  ASSERT_TRUE(out(host(), kReserve, 0xA, 0, 3).good());
  restart();
  EXPECT_EQ(in(host(), 0).number(4, 4), 16U) << "both registrations";
  EXPECT_EQ(in(host(), 1).number(8, 8), 0xAU) << "and the reservation";
  EXPECT_TRUE(write_of(host()).good()) << "the same port holds it";
  EXPECT_TRUE(conflict(read_of(other())));
  // Changes after that are kept as well, by whichever command.
  ASSERT_TRUE(out(other(), kPreempt, 0xB, 0xA, 1).good());
  restart();
  EXPECT_EQ(in(host(), 1).number(8, 8), 0xBU);
  EXPECT_TRUE(conflict(write_of(host())));
  EXPECT_TRUE(read_of(host()).good()) << "write exclusive now";
}

TEST_P(SbcReservations, NotKeptWithoutRequest) {
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, false).good());
  ASSERT_TRUE(out(host(), kReserve, 0xA, 0, 3).good());
  restart();
  EXPECT_EQ(in(host(), 0).number(4, 4), 0U);
  EXPECT_EQ(in(host(), 1).number(4, 4), 0U);
}

// SPC-5 5.13.5: the last REGISTER decides for all of them.
TEST_P(SbcReservations, TheLastRegisterDecides) {
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, true).good());
  ASSERT_TRUE(out(other(), kRegister, 0, 0xB, 0, false).good());
  EXPECT_EQ(in(host(), 2).number(3, 1) & 1U, 0U);
  restart();
  EXPECT_EQ(in(host(), 0).number(4, 4), 0U);
}

// SPC-5 5.13.7: who is not registered and registers nothing does nothing, whatever its APTPL says.
TEST_P(SbcReservations, AStrangersEmptyRegisterWithdrawsNothing) {
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, true).good());
  ASSERT_TRUE(out(host(), kReserve, 0xA, 0, 3).good());
  EXPECT_TRUE(out(other(), kRegister, 0, 0).good());
  EXPECT_TRUE(out(other(), kIgnore, 0, 0).good());
  EXPECT_TRUE(out(other(), kIgnore, 0xC, 0).good()) << "its reservation key is ignored";
  EXPECT_TRUE(conflict(out(other(), kRegister, 0xC, 0)));
  EXPECT_EQ(in(host(), 2).number(3, 1) & 1U, 1U) << "PTPL_A";
  EXPECT_EQ(in(host(), 0).number(0, 4), 1U) << "PRGENERATION";
  restart();
  EXPECT_EQ(in(host(), 0).number(4, 4), 8U);
  EXPECT_EQ(in(host(), 1).number(8, 8), 0xAU);
}

TEST_P(SbcReservations, WhatCannotBeKeptIsRefusedAndChangesNothing) {
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, true).good());
  ASSERT_TRUE(out(host(), kReserve, 0xA, 0, 1).good());
  // The record's place is taken by a directory: it cannot be replaced.
  const std::string path = rig_.directory() + "/reservations";
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_FALSE(out(host(), kRelease, 0xA, 0, 1).good());
  EXPECT_TRUE(conflict(write_of(other()))) << "the reservation stands";
  std::filesystem::remove(path);
  ASSERT_TRUE(out(host(), kRelease, 0xA, 0, 1).good());
  EXPECT_TRUE(write_of(other()).good());
}

TEST_P(SbcReservations, DamagedRecordsAreNotForgotten) {
  ASSERT_TRUE(out(host(), kRegister, 0, 0xA, 0, true).good());
  host_.reset();
  PosixFileSystem files;
  scsi::FileUnitStore store(&files, rig_.directory());
  const std::string path = rig_.directory() + "/reservations";
  Buffer bytes = files.read_file(path).value();
  for (size_t i = 0; i < bytes.size(); ++i) {
    Buffer damaged = bytes;
    damaged[i] ^= std::byte{0x10};
    ASSERT_TRUE(files.replace_file(path, damaged).ok());
    scsi::PersistentReservations reservations;
    EXPECT_FALSE(reservations.keep_in(&store).ok()) << "byte " << i;
  }
  // And one that is whole, but not what it should be.
  const Buffer record(bytes.begin() + 8, bytes.end());
  for (size_t size = 1; size < record.size(); ++size) {
    ASSERT_TRUE(store.save("reservations", ByteView(record).first(size)).ok());
    scsi::PersistentReservations reservations;
    EXPECT_FALSE(reservations.keep_in(&store).ok()) << size << " bytes";
  }
}

// Commands that still run when their session is replaced: nobody could release what they take.
TEST_P(SbcReservations, ALostNexusTakesNothingAnyMore) {
  if (GetParam() != Transport::direct) return;
  DirectClient lost(rig_.unit(), 77, "iqn.2026-11.test:lost");
  lost.clear_unit_attentions();
  rig_.unit().nexus_lost(lost.nexus());
  EXPECT_FALSE(lost.run({0x16, 0, 0, 0, 0, 0}).good()) << "RESERVE(6)";
  EXPECT_FALSE(lost.run({0x1E, 0, 0, 0, 1, 0}).good()) << "PREVENT ALLOW MEDIUM REMOVAL";
  EXPECT_FALSE(out(lost, kRegister, 0, 0xA).good());
  EXPECT_FALSE(rig_.unit().prevented());
  EXPECT_EQ(in(host(), 0).number(4, 4), 0U) << "no registration";
  EXPECT_TRUE(write_of(host()).good()) << "not reserved";
}

}  // namespace
}  // namespace coldshelf::test
