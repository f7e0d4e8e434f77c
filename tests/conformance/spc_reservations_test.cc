// RESERVE and RELEASE (SPC-2), PERSISTENT RESERVE IN and OUT (SPC-5).
#include "tests/conformance/ssc_fixture.h"

namespace coldshelf::test {
namespace {

constexpr unsigned kWriteExclusive = 1, kExclusive = 3, kExclusiveRegistrants = 6,
                   kExclusiveAll = 8;

class SpcReservations : public SscSuite {
 protected:
  SpcReservations() : other_(rig_.connect(2)) { other_->clear_unit_attentions(); }

  static ScsiResult out(ScsiClient& who, unsigned action, uint64_t key, uint64_t action_key,
                        unsigned type = 0, unsigned flags = 0) {
    Buffer list(24, std::byte{0});
    for (unsigned i = 0; i < 8; ++i) {
      list[i] = static_cast<std::byte>(b(key, 56 - 8 * i));
      list[8 + i] = static_cast<std::byte>(b(action_key, 56 - 8 * i));
    }
    list[20] = static_cast<std::byte>(flags);
    return who.write({0x5F, action, type, 0, 0, 0, 0, 0, 24, 0}, list);
  }
  static ScsiResult in(ScsiClient& who, unsigned action, unsigned allocation = 512) {
    return who.read({0x5E, action, 0, 0, 0, 0, 0, b(allocation, 8), b(allocation, 0), 0},
                    allocation);
  }
  static bool conflict(const ScsiResult& r) { return r.status == ScsiStatus::reservation_conflict; }
  static ScsiResult prevent(ScsiClient& who, bool on) {
    return who.run({0x1E, 0, 0, 0, on ? 1U : 0U, 0});
  }
  ScsiResult rewind_of(ScsiClient& who) { return who.run({0x01, 0, 0, 0, 0, 0}); }

  std::unique_ptr<ScsiClient> other_;
};
COLDSHELF_SSC_SUITE(SpcReservations);

TEST_P(SpcReservations, Reserve6) {
  ASSERT_TRUE(host().run({0x16, 0, 0, 0, 0, 0}).good());
  ASSERT_TRUE(host().run({0x16, 0, 0, 0, 0, 0}).good()) << "again";
  EXPECT_TRUE(conflict(rewind_of(*other_)));
  EXPECT_TRUE(conflict(other_->run({0x16, 0, 0, 0, 0, 0})));
  EXPECT_TRUE(conflict(other_->run({0x00, 0, 0, 0, 0, 0})));
  EXPECT_TRUE(other_->read({0x12, 0, 0, 0, 96, 0}, 96).good());
  EXPECT_TRUE(other_->read({0x03, 0, 0, 0, 18, 0}, 18).good());
  EXPECT_TRUE(other_->run({0x17, 0, 0, 0, 0, 0}).good()) << "no effect";
  EXPECT_TRUE(conflict(rewind_of(*other_)));
  EXPECT_TRUE(rewind().good());
  ASSERT_TRUE(host().run({0x17, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(rewind_of(*other_).good());
}

TEST_P(SpcReservations, Reserve10AndTheEndOfItsNexus) {
  ASSERT_TRUE(other_->run({0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(conflict(rewind()));
  EXPECT_TRUE(conflict(out(host(), 6, 0, 1))) << "the two kinds exclude each other";
  other_.reset();
  EXPECT_TRUE(rewind().good());
}

TEST_P(SpcReservations, AResetReleasesReserve6) {
  ASSERT_TRUE(other_->run({0x16, 0, 0, 0, 0, 0}).good());
  rig_.unit().reset(scsi::ResetKind::logical_unit);
  host().clear_unit_attentions();
  EXPECT_TRUE(rewind().good());
}

TEST_P(SpcReservations, RegisterAndKeys) {
  EXPECT_TRUE(conflict(out(host(), 0, 5, 1))) << "an unregistered nexus has key 0";
  ASSERT_TRUE(out(host(), 0, 0, 0x1111).good());
  ASSERT_TRUE(out(*other_, 6, 0x9999, 0x2222).good());
  const ScsiResult keys = in(host(), 0);
  ASSERT_TRUE(keys.good());
  EXPECT_EQ(keys.number(0, 4), 2U) << "generation";
  EXPECT_EQ(keys.number(4, 4), 16U);
  EXPECT_EQ(keys.number(8, 8) + keys.number(16, 8), 0x3333U);
  EXPECT_EQ(in(host(), 0, 8).number(4, 4), 16U) << "the length is the whole length";
  EXPECT_TRUE(conflict(out(host(), 0, 0x7777, 0x1)));
  ASSERT_TRUE(out(host(), 0, 0x1111, 0).good()) << "unregister";
  EXPECT_EQ(in(host(), 0).number(4, 4), 8U);
  EXPECT_TRUE(conflict(host().run({0x16, 0, 0, 0, 0, 0}))) << "RESERVE(6) with registrations";
}

TEST_P(SpcReservations, ExclusiveAccessAsLtfsTakesIt) {
  ASSERT_TRUE(out(host(), 6, 0, 0xAB).good());
  ASSERT_TRUE(out(host(), 1, 0xAB, 0, kExclusive).good());
  ASSERT_TRUE(out(host(), 1, 0xAB, 0, kExclusive).good()) << "again";
  EXPECT_TRUE(conflict(out(host(), 1, 0xAB, 0, kWriteExclusive))) << "another type";
  const ScsiResult reservation = in(*other_, 1);
  ASSERT_TRUE(reservation.good());
  EXPECT_EQ(reservation.number(4, 4), 16U);
  EXPECT_EQ(reservation.number(8, 8), 0xABU);
  EXPECT_EQ(reservation.number(21, 1), kExclusive);
  EXPECT_TRUE(conflict(rewind_of(*other_)));
  EXPECT_TRUE(conflict(other_->read({0x08, 0, 0, 0, 10, 0}, 10)));
  EXPECT_TRUE(other_->run({0x00, 0, 0, 0, 0, 0}).good()) << "TEST UNIT READY is allowed";
  ASSERT_TRUE(out(*other_, 6, 0, 0xCD).good());
  EXPECT_TRUE(conflict(rewind_of(*other_))) << "registered is not enough for this type";
  EXPECT_TRUE(conflict(out(*other_, 1, 0xCD, 0, kExclusive)));
  EXPECT_TRUE(out(*other_, 2, 0xCD, 0, kExclusive).good()) << "releasing what one does not hold";
  EXPECT_TRUE(conflict(rewind_of(*other_)));
  EXPECT_TRUE(out(host(), 2, 0xAB, 0, kWriteExclusive)
                  .check(SenseKey::illegal_request, asc::invalid_release_of_reservation));
  ASSERT_TRUE(out(host(), 2, 0xAB, 0, kExclusive).good());
  EXPECT_TRUE(rewind_of(*other_).good());
}

TEST_P(SpcReservations, RegistrantsOnly) {
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  auto third = rig_.connect(3);
  third->clear_unit_attentions();
  ASSERT_TRUE(out(host(), 1, 1, 0, kExclusiveRegistrants).good());
  EXPECT_TRUE(rewind_of(*other_).good());
  EXPECT_TRUE(conflict(rewind_of(*third)));
  ASSERT_TRUE(out(host(), 2, 1, 0, kExclusiveRegistrants).good());
  EXPECT_TRUE(
      other_->run({0, 0, 0, 0, 0, 0}).check(SenseKey::unit_attention, asc::reservations_released));
  EXPECT_TRUE(third->run({0, 0, 0, 0, 0, 0}).good());
}

TEST_P(SpcReservations, AllRegistrantsHoldItTogether) {
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  ASSERT_TRUE(out(host(), 1, 1, 0, kExclusiveAll).good());
  EXPECT_EQ(in(host(), 1).number(8, 8), 0U) << "no single key";
  ASSERT_TRUE(out(host(), 0, 1, 0).good()) << "the one that made it leaves";
  EXPECT_TRUE(rewind_of(*other_).good());
  EXPECT_TRUE(conflict(rewind()));
  ASSERT_TRUE(out(*other_, 0, 2, 0).good());
  EXPECT_TRUE(rewind().good()) << "the last one takes the reservation along";
}

TEST_P(SpcReservations, Preempt) {
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  ASSERT_TRUE(out(host(), 1, 1, 0, kExclusive).good());
  EXPECT_TRUE(conflict(out(*other_, 4, 2, 77, kExclusive))) << "nobody has that key";
  EXPECT_TRUE(out(*other_, 4, 2, 0, kExclusive)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
  ASSERT_TRUE(out(*other_, 5, 2, 1, kExclusive).good()) << "PREEMPT AND ABORT";
  EXPECT_TRUE(test_ready().check(SenseKey::unit_attention, asc::registrations_preempted));
  EXPECT_TRUE(conflict(rewind()));
  EXPECT_TRUE(rewind_of(*other_).good());
  EXPECT_EQ(in(*other_, 0).number(4, 4), 8U);
}

TEST_P(SpcReservations, PreemptAndAbortAllowsRemoval) {
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  auto third = rig_.connect(3);
  third->clear_unit_attentions();
  ASSERT_TRUE(out(*third, 6, 0, 3).good());
  ASSERT_TRUE(prevent(*other_, true).good());
  ASSERT_TRUE(prevent(*third, true).good());
  ASSERT_TRUE(out(host(), 4, 1, 3, kExclusive).good()) << "PREEMPT";
  EXPECT_TRUE(rig_.prevented());
  ASSERT_TRUE(out(host(), 5, 1, 2, kExclusive).good());
  EXPECT_TRUE(rig_.prevented()) << "the third one's is left";
  ASSERT_TRUE(prevent(*third, false).check(SenseKey::unit_attention, asc::registrations_preempted));
  ASSERT_TRUE(prevent(*third, false).good());
  EXPECT_FALSE(rig_.prevented());
  EXPECT_TRUE(unload().good());
}

TEST_P(SpcReservations, RemovalIsAllowedUnderAReservationOfAnother) {
  ASSERT_TRUE(prevent(*other_, true).good());
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(host(), 1, 1, 0, kExclusive).good());
  EXPECT_TRUE(conflict(prevent(*other_, true)));
  EXPECT_TRUE(rig_.prevented());
  EXPECT_TRUE(prevent(*other_, false).good());
  EXPECT_FALSE(rig_.prevented());
  ASSERT_TRUE(out(host(), 0, 1, 0).good());
  ASSERT_TRUE(prevent(*other_, true).good());
  ASSERT_TRUE(host().run({0x16, 0, 0, 0, 0, 0}).good()) << "RESERVE(6)";
  EXPECT_TRUE(conflict(prevent(*other_, true)));
  EXPECT_TRUE(prevent(*other_, false).good());
  EXPECT_FALSE(rig_.prevented());
}

TEST_P(SpcReservations, Clear) {
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  ASSERT_TRUE(out(host(), 1, 1, 0, kExclusive).good());
  ASSERT_TRUE(out(*other_, 3, 2, 0).good());
  EXPECT_TRUE(test_ready().check(SenseKey::unit_attention, asc::reservations_preempted));
  EXPECT_EQ(in(host(), 0).number(4, 4), 0U);
  EXPECT_EQ(in(host(), 1).number(4, 4), 0U);
}

TEST_P(SpcReservations, CapabilitiesAndFullStatus) {
  const ScsiResult capabilities = in(host(), 2);
  ASSERT_TRUE(capabilities.good());
  EXPECT_EQ(capabilities.data.size(), 8U);
  EXPECT_EQ(capabilities.number(0, 2), 8U);
  EXPECT_EQ(capabilities.number(2, 1) & 1U, 0U) << "APTPL is not offered";
  EXPECT_EQ(capabilities.number(3, 1) & 0x80U, 0x80U);
  EXPECT_EQ(capabilities.number(4, 2), 0xEA01U);
  ASSERT_TRUE(out(host(), 6, 0, 0x42).good());
  ASSERT_TRUE(out(host(), 1, 0x42, 0, kWriteExclusive).good());
  const ScsiResult status = in(host(), 3);
  ASSERT_TRUE(status.good());
  EXPECT_EQ(status.number(4, 4) + 8, status.data.size());
  EXPECT_EQ(status.number(8, 8), 0x42U);
  EXPECT_EQ(status.number(20, 1) & 1U, 1U) << "R_HOLDER";
  EXPECT_EQ(status.number(21, 1), kWriteExclusive);
  EXPECT_EQ(status.number(28, 4) % 4, 0U);
  EXPECT_EQ(status.number(32, 1), 0x45U);
  EXPECT_EQ(status.text(36, 26), "iqn.2026-11.test:initiator");
}

TEST_P(SpcReservations, BadParameters) {
  EXPECT_TRUE(host()
                  .write({0x5F, 6, 0, 0, 0, 0, 0, 0, 20, 0}, Buffer(20, std::byte{0}))
                  .check(SenseKey::illegal_request, asc::parameter_list_length_error));
  EXPECT_TRUE(out(host(), 6, 0, 1, 0, 0x01)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "APTPL";
  EXPECT_TRUE(out(host(), 6, 0, 1, 0, 0x08)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list))
      << "SPEC_I_PT";
  ASSERT_TRUE(out(host(), 6, 0, 1).good());
  EXPECT_TRUE(out(host(), 1, 1, 0, 2).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(
      out(host(), 1, 1, 0, 0x13).check(SenseKey::illegal_request, asc::invalid_field_in_cdb))
      << "scope";
  EXPECT_TRUE(out(host(), 9, 1, 0).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(in(host(), 9).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SpcReservations, ARegistrationOutlivesItsSession) {
  ASSERT_TRUE(out(*other_, 6, 0, 2).good());
  ASSERT_TRUE(out(*other_, 1, 2, 0, kExclusive).good());
  other_.reset();
  EXPECT_TRUE(conflict(rewind()));
  if (GetParam() == Transport::direct) {  // libiscsi makes a new ISID, another port, each time
    other_ = rig_.connect(2);
    const ScsiResult r = other_->run({0, 0, 0, 0, 0, 0});
    EXPECT_TRUE(r.check(SenseKey::unit_attention, asc::nexus_loss)) << r;
    EXPECT_TRUE(rewind_of(*other_).good());
  }
}

}  // namespace
}  // namespace coldshelf::test
