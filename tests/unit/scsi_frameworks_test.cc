// Unit attentions, persistent reservations and the opcode table by themselves.
#include <gtest/gtest.h>

#include "target/scsi/opcode_table.h"
#include "target/scsi/persistent_reservations.h"
#include "target/scsi/unit_attention.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {
namespace {

Nexus port(uint64_t id, const std::string& name) {
  Nexus n;
  n.id = id;
  n.initiator_name = name;
  n.isid[0] = std::byte{0x80};
  n.isid[5] = std::byte{0x07};
  return n;
}

TEST(Nexus, PortName) { EXPECT_EQ(port(1, "iqn.a").port_name(), "iqn.a,i,0x800000000007"); }

TEST(UnitAttentions, QueueInOrderOnce) {
  UnitAttentions ua;
  ua.add_nexus(port(1, "a"));
  ua.add_nexus(port(2, "b"));
  ua.raise(1, asc::medium_may_have_changed);
  ua.raise(1, asc::mode_parameters_changed);
  ua.raise(1, asc::medium_may_have_changed);
  EXPECT_EQ(ua.pending(1), asc::medium_may_have_changed);
  EXPECT_EQ(ua.take(1), asc::medium_may_have_changed);
  EXPECT_EQ(ua.take(1), asc::mode_parameters_changed);
  EXPECT_FALSE(ua.take(1));
  EXPECT_FALSE(ua.take(2));
  EXPECT_FALSE(ua.take(99));
}

TEST(UnitAttentions, AResetSupersedesWhatWasPending) {
  UnitAttentions ua;
  ua.add_nexus(port(1, "a"));
  ua.raise(1, asc::medium_may_have_changed);
  ua.raise_for_all(asc::device_reset);
  EXPECT_EQ(ua.take(1), asc::device_reset);
  EXPECT_FALSE(ua.take(1));
}

TEST(UnitAttentions, TheQueueIsBounded) {
  UnitAttentions ua;
  ua.add_nexus(port(1, "a"));
  for (unsigned i = 0; i < 200; ++i) ua.raise(1, {0x2A, static_cast<uint8_t>(i)});
  size_t taken = 0;
  bool reset = false;
  while (const auto code = ua.take(1)) {
    reset = reset || code->code == 0x29;
    ++taken;
  }
  EXPECT_LE(taken, 16U);
  EXPECT_TRUE(reset) << "what was dropped is told as a reset";
}

TEST(UnitAttentions, ByPortAndForOthers) {
  UnitAttentions ua;
  const Nexus a = port(1, "a");
  const Nexus again = port(3, "a");
  ua.add_nexus(a);
  ua.add_nexus(port(2, "b"));
  ua.add_nexus(again);
  ua.raise_for_port(a.port_name(), asc::registrations_preempted);
  EXPECT_TRUE(ua.take(1) && ua.take(3));
  EXPECT_FALSE(ua.take(2));
  ua.raise_for_others(1, asc::mode_parameters_changed);
  EXPECT_FALSE(ua.take(1));
  EXPECT_TRUE(ua.take(2));
  ua.remove_nexus(2);
  EXPECT_FALSE(ua.knows(2));
}

// -- persistent reservations

class Reservations : public testing::Test {
 protected:
  PersistentReservations::Outcome out(const Nexus& who, uint8_t action, uint64_t key,
                                      uint64_t action_key, uint8_t type = 0) {
    Buffer cdb(16, std::byte{0});
    put_number(cdb, 0, 0x5F, 1);
    put_number(cdb, 1, action, 1);
    put_number(cdb, 2, type, 1);
    put_number(cdb, 5, 24, 4);
    Buffer list(24, std::byte{0});
    put_number(list, 0, key, 8);
    put_number(list, 8, action_key, 8);
    return pr_.out(who, cdb, list);
  }
  bool done(const PersistentReservations::Outcome& o) { return o.status == ScsiStatus::good; }

  PersistentReservations pr_;
  Nexus a_ = port(1, "a"), b_ = port(2, "b"), c_ = port(3, "c");
};

TEST_F(Reservations, RulesByType) {
  struct Case {
    uint8_t type;
    bool shared_outsider, shared_registrant, conflict_registrant;
  };
  // Write exclusive, exclusive access, registrants only and all registrants of both.
  const Case cases[] = {{1, true, true, false}, {3, false, false, false}, {5, true, true, true},
                        {6, false, true, true}, {7, true, true, true},    {8, false, true, true}};
  for (const Case& c : cases) {
    SCOPED_TRACE(static_cast<int>(c.type));
    pr_.~PersistentReservations();
    new (&pr_) PersistentReservations();
    ASSERT_TRUE(done(out(a_, 6, 0, 1)));
    ASSERT_TRUE(done(out(b_, 6, 0, 2)));
    ASSERT_TRUE(done(out(a_, 1, 1, 0, c.type)));
    EXPECT_TRUE(pr_.allows(a_, ReservationRule::conflict));
    EXPECT_EQ(pr_.allows(c_, ReservationRule::allowed_if_shared), c.shared_outsider);
    EXPECT_FALSE(pr_.allows(c_, ReservationRule::conflict));
    EXPECT_TRUE(pr_.allows(c_, ReservationRule::allowed));
    EXPECT_EQ(pr_.allows(b_, ReservationRule::allowed_if_shared), c.shared_registrant);
    EXPECT_EQ(pr_.allows(b_, ReservationRule::conflict), c.conflict_registrant);
  }
}

TEST_F(Reservations, PreemptOfAllRegistrantsWithKeyZero) {
  ASSERT_TRUE(done(out(a_, 6, 0, 1)));
  ASSERT_TRUE(done(out(b_, 6, 0, 2)));
  ASSERT_TRUE(done(out(c_, 6, 0, 3)));
  ASSERT_TRUE(done(out(a_, 1, 1, 0, 8)));
  const auto preempted = out(b_, 4, 2, 0, 3);
  ASSERT_TRUE(done(preempted));
  EXPECT_EQ(preempted.attentions.size(), 2U);
  EXPECT_TRUE(pr_.is_holder(b_));
  EXPECT_FALSE(pr_.is_registered(a_));
  EXPECT_FALSE(pr_.is_registered(c_));
}

TEST_F(Reservations, PreemptOfANonHolderLeavesTheReservation) {
  ASSERT_TRUE(done(out(a_, 6, 0, 1)));
  ASSERT_TRUE(done(out(b_, 6, 0, 2)));
  ASSERT_TRUE(done(out(c_, 6, 0, 3)));
  ASSERT_TRUE(done(out(a_, 1, 1, 0, 5)));
  ASSERT_TRUE(done(out(b_, 4, 2, 3, 5)));
  EXPECT_TRUE(pr_.is_holder(a_));
  EXPECT_FALSE(pr_.is_registered(c_));
}

TEST_F(Reservations, GenerationCountsRegistrationsOnly) {
  const auto generation = [&] { return get_number(*pr_.in(0, 1), 0, 4); };
  ASSERT_TRUE(done(out(a_, 6, 0, 1)));
  EXPECT_EQ(generation(), 1U);
  ASSERT_TRUE(done(out(a_, 1, 1, 0, 3)));
  ASSERT_TRUE(done(out(a_, 2, 1, 0, 3)));
  EXPECT_EQ(generation(), 1U);
  ASSERT_TRUE(done(out(a_, 3, 1, 0)));
  EXPECT_EQ(generation(), 2U);
  EXPECT_FALSE(pr_.any_registration());
}

TEST_F(Reservations, AReplacedSessionOfThePortIsTheSameHolder) {
  ASSERT_TRUE(done(out(a_, 6, 0, 1)));
  ASSERT_TRUE(done(out(a_, 1, 1, 0, 3)));
  EXPECT_TRUE(pr_.allows(port(77, "a"), ReservationRule::conflict));
}

TEST_F(Reservations, RegistrationsAreBounded) {
  bool refused = false;
  for (uint64_t i = 0; i < 2000 && !refused; ++i)
    refused = !done(out(port(i, "p" + std::to_string(i)), 6, 0, 1));
  EXPECT_TRUE(refused);
}

// -- opcode table

TEST(OpcodeTable, FindsByOpcodeAndServiceAction) {
  OpcodeTable table;
  table.add({.opcode = 0xA3,
             .service_action = 0x0C,
             .name = "x",
             .usage = {0xA3, 0x0C},
             .handler = {},
             .data_out = {}});
  table.add({.opcode = 0xA3,
             .service_action = 0x0A,
             .name = "y",
             .usage = {0xA3, 0x0A},
             .handler = {},
             .data_out = {}});
  table.add({.opcode = 0x00,
             .service_action = {},
             .name = "z",
             .usage = {0x00},
             .handler = {},
             .data_out = {}});
  Buffer cdb(16, std::byte{0});
  EXPECT_EQ(table.find(cdb)->name, "z");
  put_number(cdb, 0, 0xA3EC, 2);
  EXPECT_EQ(table.find(cdb)->name, "x") << "the upper bits of byte 1 are not the action's";
  put_number(cdb, 0, 0xA301, 2);
  bool known = false;
  EXPECT_EQ(table.find(cdb, &known), nullptr);
  EXPECT_TRUE(known);
  put_number(cdb, 0, 0xFF, 1);
  EXPECT_EQ(table.find(cdb, &known), nullptr);
  EXPECT_FALSE(known);
  table.add({.opcode = 0x00,
             .service_action = {},
             .name = "again",
             .usage = {0x00},
             .handler = {},
             .data_out = {}});
  EXPECT_EQ(table.entries().size(), 3U) << "replaced";
}

TEST(DataIn, TruncateAcrossParts) {
  DataIn in = DataIn::from(Buffer(10, std::byte{1}));
  DataIn more = DataIn::from(Buffer(10, std::byte{2}));
  in.parts.push_back(more.parts[0]);
  in.owners.push_back(more.owners[0]);
  in.size = 20;
  in.truncate(13);
  EXPECT_EQ(in.size, 13U);
  ASSERT_EQ(in.parts.size(), 2U);
  EXPECT_EQ(in.parts[1].size(), 3U);
  in.truncate(10);
  EXPECT_EQ(in.parts.size(), 1U);
  in.truncate(0);
  EXPECT_TRUE(in.parts.empty());
}

}  // namespace
}  // namespace coldshelf::scsi
