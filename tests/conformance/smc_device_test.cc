// What every device has, as the changer does it: identity, mode and log pages, opcodes,
// reservations, unit attentions.
#include "tests/conformance/smc_fixture.h"

namespace coldshelf::test {
namespace {

class SmcDevice : public SmcTest {};

TEST_P(SmcDevice, Inquiry) {
  const ScsiResult inquiry = client_->read({0x12, 0, 0, 0, 255, 0}, 255);
  ASSERT_TRUE(inquiry.good());
  EXPECT_EQ(inquiry.number(0, 1), 0x08U);  // medium changer
  EXPECT_EQ(inquiry.number(1, 1), 0x80U);  // removable
  EXPECT_EQ(inquiry.text(8, 8), "STK     ");
  EXPECT_EQ(inquiry.text(16, 16), "L700            ");
  EXPECT_EQ(inquiry.number(4, 1) + 5, inquiry.data.size());
  EXPECT_EQ(inquiry.number(55, 1) & 1, 1U);  // reads barcodes
  const ScsiResult pages = client_->read({0x12, 1, 0, 0, 255, 0}, 255);
  ASSERT_TRUE(pages.good());
  EXPECT_EQ(pages.text(4, 3), std::string("\x00\x80\x83", 3));
  const ScsiResult serial = client_->read({0x12, 1, 0x80, 0, 255, 0}, 255);
  EXPECT_EQ(serial.text(4, 99), "COLD00000001");
  const ScsiResult id = client_->read({0x12, 1, 0x83, 1, 0, 0}, 256);
  ASSERT_TRUE(id.good());
  EXPECT_NE(as_text(id.data).find("STK     L700            COLD00000001"), std::string_view::npos);
  EXPECT_TRUE(client_->read({0x12, 1, 0xB0, 0, 255, 0}, 255)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SmcDevice, EachModelHasItsIdentityAndAddresses) {
  const std::tuple<const char*, const char*, const char*> models[] = {
      {"STK-L700", "STK     L700            ", "0310"},
      {"IBM-03584L32-0402", "IBM     03584L32        ", "0402"},
      {"coldshelf", "COLDSHLFVIRTUAL LIBRARY ", "0100"},
  };
  for (const auto& [name, identity, revision] : models) {
    build({.profile = name});
    const ScsiResult inquiry = client_->read({0x12, 0, 0, 0, 255, 0}, 255);
    EXPECT_EQ(inquiry.text(8, 24), identity);
    EXPECT_EQ(inquiry.text(32, 4), revision);
    const ScsiResult page = client_->read({0x1A, 8, 0x1D, 0, 255, 0}, 255);
    ASSERT_TRUE(page.good());
    const ChangerProfile& profile = *find_changer(name);
    const std::pair<unsigned, unsigned> ranges[] = {{profile.transport_address, 1},
                                                    {profile.slot_address, 6},
                                                    {profile.import_export_address, 2},
                                                    {profile.drive_address, 2}};
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(page.number(6 + 4 * i, 2), ranges[i].first);
      EXPECT_EQ(page.number(8 + 4 * i, 2), ranges[i].second);
    }
  }
}

TEST_P(SmcDevice, ElementAddressPageIsAsLongAsProxmoxDemands) {
  const ScsiResult six = client_->read({0x1A, 0x08, 0x1D, 0, 0xFF, 0}, 255);
  ASSERT_TRUE(six.good());
  EXPECT_EQ(six.number(0, 1), 23U);
  EXPECT_EQ(six.data.size(), 24U);
  EXPECT_EQ(six.number(3, 1), 0U);  // no block descriptor
  EXPECT_EQ(six.number(4, 1), 0x1DU);
  EXPECT_EQ(six.number(5, 1), 18U);
  // The kernel asks without DBD, some ask by MODE SENSE(10).
  EXPECT_TRUE(equal(client_->read({0x1A, 0, 0x1D, 0, 0xFF, 0}, 255).data, six.data));
  const ScsiResult ten = client_->read({0x5A, 0x08, 0x1D, 0, 0, 0, 0, 0, 0xFF, 0}, 255);
  ASSERT_EQ(ten.data.size(), 28U);
  EXPECT_TRUE(equal(ByteView(ten.data).subspan(8), ByteView(six.data).subspan(4)));
}

TEST_P(SmcDevice, OtherModePages) {
  const ScsiResult geometry = client_->read({0x1A, 8, 0x1E, 0, 255, 0}, 255);
  ASSERT_TRUE(geometry.good());
  EXPECT_EQ(geometry.number(4, 4), 0x1E020000U);  // does not rotate
  const ScsiResult capabilities = client_->read({0x1A, 8, 0x1F, 0, 255, 0}, 255);
  ASSERT_TRUE(capabilities.good());
  EXPECT_EQ(capabilities.number(4, 2), 0x1F0EU);
  EXPECT_EQ(capabilities.number(6, 1), 0x0EU);  // DT, I/E and ST store
  for (const size_t row : {9U, 10U, 11U, 17U, 18U, 19U}) {
    EXPECT_EQ(capabilities.number(row, 1), 0x0EU) << row;
  }
  const ScsiResult all = client_->read({0x1A, 8, 0x3F, 0, 255, 0}, 255);
  ASSERT_TRUE(all.good());
  EXPECT_EQ(all.number(0, 1) + 1, all.data.size());
  EXPECT_TRUE(client_->read({0x1A, 8, 0x11, 0, 255, 0}, 255)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  // Nothing of the address map is changeable.
  ScsiResult page = client_->read({0x1A, 8, 0x1D, 0, 255, 0}, 255);
  Buffer list = page.data;
  list[0] = std::byte{0};
  EXPECT_TRUE(client_->write({0x15, 0x10, 0, 0, 24, 0}, list).good());
  list[7] = std::byte{0x55};
  EXPECT_TRUE(client_->write({0x15, 0x10, 0, 0, 24, 0}, list)
                  .check(SenseKey::illegal_request, asc::invalid_field_in_parameter_list));
}

TEST_P(SmcDevice, LogPages) {
  const ScsiResult pages = client_->read({0x4D, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 256);
  ASSERT_TRUE(pages.good());
  EXPECT_EQ(pages.text(4, 9), std::string("\x00\x2E", 2));
  const ScsiResult alerts = client_->read({0x4D, 0, 0x2E, 0, 0, 0, 0, 4, 0, 0}, 1024);
  ASSERT_TRUE(alerts.good());
  EXPECT_EQ(alerts.data.size(), 4U + 64 * 5);
  for (size_t flag = 0; flag < 64; ++flag) {
    EXPECT_EQ(alerts.number(4 + 5 * flag, 2), flag + 1);
    EXPECT_EQ(alerts.number(4 + 5 * flag + 4, 1), 0U);
  }
}

TEST_P(SmcDevice, EveryListedOpcodeIsThereAndOthersAreRefused) {
  const ScsiResult list = client_->read({0xA3, 0x0C, 0x80, 0, 0, 0, 0, 0, 0x20, 0, 0, 0}, 8192);
  ASSERT_TRUE(list.good());
  std::set<unsigned> opcodes;
  for (size_t at = 4; at + 20 <= list.data.size(); at += 20) {
    opcodes.insert(static_cast<unsigned>(list.number(at, 1)));
    EXPECT_EQ(list.number(at + 5, 1) & 2, 2U);  // CTDP
    EXPECT_GT(list.number(at + 8 + 8, 4), 0U);  // recommended time-out
  }
  for (const unsigned opcode : {0x00U, 0x03U, 0x07U, 0x12U, 0x15U, 0x16U, 0x17U, 0x1AU, 0x1DU,
                                0x1EU, 0x2BU, 0x37U, 0x4DU, 0x55U, 0x56U, 0x57U, 0x5AU, 0x5EU,
                                0x5FU, 0xA0U, 0xA3U, 0xA5U, 0xA6U, 0xB5U, 0xB6U, 0xB8U, 0xE7U}) {
    EXPECT_TRUE(opcodes.contains(opcode)) << std::hex << opcode;
  }
  for (const unsigned opcode : {0x08U, 0x0AU, 0x10U, 0x19U, 0x28U, 0xA7U, 0xC1U}) {
    EXPECT_FALSE(opcodes.contains(opcode));
    EXPECT_TRUE(client_->run({opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
                    .check(SenseKey::illegal_request, asc::invalid_opcode))
        << std::hex << opcode;
  }
  const ScsiResult one = client_->read({0xA3, 0x0C, 0x01, 0xA5, 0, 0, 0, 0, 0, 64, 0, 0}, 64);
  ASSERT_TRUE(one.good());
  EXPECT_EQ(one.number(1, 1) & 7, 3U);
  EXPECT_EQ(one.number(2, 2), 12U);
  EXPECT_EQ(one.number(4, 4), 0xA500FFFFU);
}

TEST_P(SmcDevice, ReportLuns) {
  const ScsiResult luns = client_->read({0xA0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256);
  ASSERT_TRUE(luns.good());
  EXPECT_EQ(luns.number(0, 4), 8U);
  EXPECT_EQ(luns.number(8, 8), 0U);
}

TEST_P(SmcDevice, ReserveKeepsOthersFromMoving) {
  add("ABC001L8");
  ASSERT_TRUE(client_->run({0x16, 0, 0, 0, 0, 0}).good());
  const Cdb cdb = move_cdb(kSlot, kDrive);
  EXPECT_EQ(other().run(view(cdb), {}, 0).status, scsi::ScsiStatus::reservation_conflict);
  EXPECT_TRUE(other().run(view(status_cdb({})), {}, 4096).good());  // looking is allowed
  EXPECT_TRUE(move(kSlot, kSlot + 1).good());
  ASSERT_TRUE(client_->run({0x17, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(other().run(view(move_cdb(kSlot + 1, kSlot)), {}, 0).good());
}

TEST_P(SmcDevice, PersistentReservation) {
  add("ABC001L8");
  Buffer key;
  scsi::WireWriter(key).u64(0).u64(0xC01D).zeros(8);
  ASSERT_TRUE(client_->write({0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0}, key).good());
  Buffer reserve;
  scsi::WireWriter(reserve).u64(0xC01D).zeros(16);
  // Exclusive access: others neither move nor read.
  ASSERT_TRUE(client_->write({0x5F, 1, 3, 0, 0, 0, 0, 0, 24, 0}, reserve).good());
  EXPECT_EQ(other().run(view(move_cdb(kSlot, kDrive)), {}, 0).status,
            scsi::ScsiStatus::reservation_conflict);
  EXPECT_EQ(other().run(view(status_cdb({})), {}, 4096).status,
            scsi::ScsiStatus::reservation_conflict);
  EXPECT_TRUE(move(kSlot, kSlot + 1).good());
  ASSERT_TRUE(client_->write({0x5F, 2, 3, 0, 0, 0, 0, 0, 24, 0}, reserve).good());
  // Write exclusive: others may look.
  ASSERT_TRUE(client_->write({0x5F, 1, 1, 0, 0, 0, 0, 0, 24, 0}, reserve).good());
  EXPECT_TRUE(other().run(view(status_cdb({})), {}, 4096).good());
  EXPECT_EQ(other().run(view(move_cdb(kSlot + 1, kSlot)), {}, 0).status,
            scsi::ScsiStatus::reservation_conflict);
}

TEST_P(SmcDevice, NewSessionMeetsAUnitAttentionOnce) {
  auto fresh = world_->connect(3);
  EXPECT_TRUE(fresh->read({0x12, 0, 0, 0, 36, 0}, 36).good());  // INQUIRY does not take it
  EXPECT_TRUE(
      fresh->run({0x00, 0, 0, 0, 0, 0}).check(SenseKey::unit_attention, asc::power_on_occurred));
  EXPECT_TRUE(fresh->run({0x00, 0, 0, 0, 0, 0}).good());
}

TEST_P(SmcDevice, OperatorsChangesAreToldToEveryInitiator) {
  other();
  world_->add("ABC001L8");
  for (ScsiClient* client : {client_.get(), other_.get()}) {
    EXPECT_TRUE(client->run({0x00, 0, 0, 0, 0, 0})
                    .check(SenseKey::unit_attention, asc::medium_may_have_changed));
    EXPECT_TRUE(client->run({0x00, 0, 0, 0, 0, 0}).good());
  }
  world_->add("ABC002L8", kIe);
  for (ScsiClient* client : {client_.get(), other_.get()}) {
    EXPECT_TRUE(client->run({0x00, 0, 0, 0, 0, 0})
                    .check(SenseKey::unit_attention, asc::import_export_accessed));
    EXPECT_TRUE(client->run({0x00, 0, 0, 0, 0, 0}).good());
  }
}

TEST_P(SmcDevice, InitiatorsMovesAreNoUnitAttention) {
  add("ABC001L8");
  other();
  ASSERT_TRUE(move(kSlot, kIe).good());
  EXPECT_TRUE(client_->run({0x00, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(other().run({0x00, 0, 0, 0, 0, 0}).good());
}

TEST_P(SmcDevice, ResetRaisesUnitAttentionAndReleases) {
  ASSERT_TRUE(client_->run({0x16, 0, 0, 0, 0, 0}).good());
  ASSERT_TRUE(client_->run({0x1E, 0, 0, 0, 1, 0}).good());
  world_->unit().reset(scsi::ResetKind::logical_unit);
  EXPECT_TRUE(
      client_->run({0x00, 0, 0, 0, 0, 0}).check(SenseKey::unit_attention, asc::device_reset));
  EXPECT_FALSE(world_->library().prevented());
  EXPECT_TRUE(other().run({0x16, 0, 0, 0, 0, 0}).good());
}

TEST_P(SmcDevice, RequestSenseAndTestUnitReady) {
  EXPECT_TRUE(client_->run({0x00, 0, 0, 0, 0, 0}).good());
  const ScsiResult sense = client_->read({0x03, 0, 0, 0, 252, 0}, 252);
  ASSERT_TRUE(sense.good());
  EXPECT_EQ(sense.number(2, 1) & 0x0F, 0U);
}

INSTANTIATE_SMC(SmcDevice);

}  // namespace
}  // namespace coldshelf::test
