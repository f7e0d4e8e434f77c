// MOVE MEDIUM, EXCHANGE MEDIUM, POSITION TO ELEMENT, INITIALIZE ELEMENT STATUS, prevention: what
// they do and each way they are refused.
#include "tests/conformance/smc_fixture.h"

namespace coldshelf::test {
namespace {

class SmcMovement : public SmcTest {};

TEST_P(SmcMovement, LoadAndUnload) {
  add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  EXPECT_EQ(where("ABC001L8"), "drive 1");
  EXPECT_TRUE(world_->drive(1).loaded());
  // Out of a drive whose tape is still loaded: the move unloads it.
  world_->write_in_drive();
  ASSERT_TRUE(move(kDrive, kSlot + 2).good());
  EXPECT_EQ(where("ABC001L8"), "slot 3");
  EXPECT_FALSE(world_->drive(1).inserted());
}

TEST_P(SmcMovement, AfterUnloadByTheDrive) {
  add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  ASSERT_TRUE(world_->drive(1).unload().ok());
  EXPECT_TRUE(move(kDrive, kSlot).good());
}

TEST_P(SmcMovement, BetweenAllKindsOfElements) {
  add("ABC001L8");
  const unsigned path[] = {kSlot, kSlot + 1, kIe, kIe + 1, kDrive, kDrive + 1, kIe, kDrive, kSlot};
  for (size_t i = 0; i + 1 < std::size(path); ++i) {
    EXPECT_TRUE(move(path[i], path[i + 1]).good()) << path[i] << " to " << path[i + 1];
  }
  EXPECT_EQ(where("ABC001L8"), "slot 1");
}

TEST_P(SmcMovement, TransportAddress) {
  build({.profile = "IBM-03584L32-0402"});
  add("ABC001L8");
  EXPECT_TRUE(run(move_cdb(0x401, 0x402, 0)).good());  // 0: the default
  EXPECT_TRUE(run(move_cdb(0x402, 0x401, 1)).good());
  EXPECT_TRUE(run(move_cdb(0x401, 0x402, 2))
                  .check(SenseKey::illegal_request, asc::invalid_element_address));
  EXPECT_EQ(where("ABC001L8"), "slot 1");
}

TEST_P(SmcMovement, Refusals) {
  add("ABC001L8");
  add("ABC002L8");
  EXPECT_TRUE(move(kSlot + 5, kDrive).check(SenseKey::illegal_request, asc::source_element_empty));
  EXPECT_TRUE(move(kDrive, kSlot + 5).check(SenseKey::illegal_request, asc::source_element_empty));
  EXPECT_TRUE(
      move(kSlot, kSlot + 1).check(SenseKey::illegal_request, asc::destination_element_full));
  EXPECT_TRUE(move(kSlot, kSlot).check(SenseKey::illegal_request, asc::destination_element_full));
  for (const unsigned bad : {kTransport, kSlot + 6, 9U, 499U, 502U, 0xFFFFU}) {
    EXPECT_TRUE(move(kSlot, bad).check(SenseKey::illegal_request, asc::invalid_element_address))
        << bad;
    EXPECT_TRUE(move(bad, kSlot + 2).check(SenseKey::illegal_request, asc::invalid_element_address))
        << bad;
  }
  EXPECT_TRUE(run(move_cdb(kSlot, kSlot + 2, 0, /*invert=*/1))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  ASSERT_TRUE(move(kSlot, kDrive).good());
  EXPECT_TRUE(
      move(kSlot + 1, kDrive).check(SenseKey::illegal_request, asc::destination_element_full));
  EXPECT_EQ(where("ABC001L8"), "drive 1");
  EXPECT_EQ(where("ABC002L8"), "slot 2");
}

TEST_P(SmcMovement, IncompatibleMedium) {
  add("OLD001L5", std::nullopt, "LTO-5");
  EXPECT_TRUE(move(kSlot, kDrive).check(SenseKey::illegal_request, asc::incompatible_medium));
  EXPECT_EQ(where("OLD001L5"), "slot 1");
}

TEST_P(SmcMovement, DamagedCartridge) {
  const auto cartridge = add("BAD001L8");
  world_->vault().medium(cartridge.uuid).fail_open = Error(ErrorCode::corrupt, "damaged");
  EXPECT_TRUE(move(kSlot, kDrive).check(SenseKey::medium_error, asc::media_load_or_eject_failed));
  world_->vault().medium(cartridge.uuid).fail_open = Error(ErrorCode::busy, "exporting");
  EXPECT_TRUE(move(kSlot, kDrive).check(SenseKey::not_ready, asc::not_ready_operation_in_progress));
  EXPECT_EQ(where("BAD001L8"), "slot 1");
}

TEST_P(SmcMovement, FailedFlushKeepsTheTapeInTheDrive) {
  const auto cartridge = add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  world_->write_in_drive();
  world_->vault().medium(cartridge.uuid).fail_sync = Error(ErrorCode::io, "EIO");
  EXPECT_TRUE(move(kDrive, kSlot).check(SenseKey::hardware_error, asc::media_load_or_eject_failed));
  EXPECT_EQ(where("ABC001L8"), "drive 1");
  EXPECT_TRUE(move(kDrive, kSlot).good());
}

TEST_P(SmcMovement, PreventOfTheDrive) {
  add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  auto tape = world_->connect_to_drive();
  ASSERT_TRUE(tape->run({0x1E, 0, 0, 0, 1, 0}).good());
  EXPECT_TRUE(move(kDrive, kSlot).check(SenseKey::illegal_request, asc::medium_removal_prevented));
  EXPECT_EQ(where("ABC001L8"), "drive 1");
  const ParsedStatus drives = status({.type = 4, .count = 1});
  EXPECT_FALSE(drives.elements[0].access());
  ASSERT_TRUE(tape->run({0x1E, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(move(kDrive, kSlot).good());
}

TEST_P(SmcMovement, PreventOfTheDriveEndsWithItsSession) {
  add("ABC001L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  auto tape = world_->connect_to_drive();
  ASSERT_TRUE(tape->run({0x1E, 0, 0, 0, 1, 0}).good());
  tape.reset();
  EXPECT_TRUE(move(kDrive, kSlot).good());
}

TEST_P(SmcMovement, PreventOfTheChanger) {
  add("ABC001L8");
  ASSERT_TRUE(run({0x1E, 0, 0, 0, 1, 0}).good());
  EXPECT_TRUE(world_->library().prevented());
  // Initiators go on moving; the operator keeps out of the import/export elements.
  EXPECT_TRUE(move(kSlot, kIe).good());
  EXPECT_FALSE(world_->library().move(kIe, kSlot, /*by_initiator=*/false).ok());
  ASSERT_TRUE(other().run({0x1E, 0, 0, 0, 1, 0}).good());
  ASSERT_TRUE(run({0x1E, 0, 0, 0, 0, 0}).good());
  EXPECT_TRUE(world_->library().prevented());  // by the other one
  other_.reset();
  for (int i = 0; i < 100 && world_->library().prevented(); ++i) world_->clock().sleep_ms(10);
  EXPECT_FALSE(world_->library().prevented());
  EXPECT_TRUE(
      run({0x1E, 0, 0, 0, 2, 0}).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SmcMovement, Exchange) {
  add("ABC001L8");
  add("ABC002L8");
  ASSERT_TRUE(move(kSlot, kDrive).good());
  ASSERT_TRUE(run(exchange_cdb(kSlot + 1, kDrive, kSlot)).good());
  EXPECT_EQ(where("ABC002L8"), "drive 1");
  EXPECT_EQ(where("ABC001L8"), "slot 1");
  ASSERT_TRUE(run(exchange_cdb(kSlot, kDrive, kSlot)).good());  // in place
  EXPECT_EQ(where("ABC001L8"), "drive 1");
  EXPECT_EQ(where("ABC002L8"), "slot 1");
}

TEST_P(SmcMovement, ExchangeRefusals) {
  add("ABC001L8");
  add("ABC002L8");
  add("ABC003L8");
  EXPECT_TRUE(run(exchange_cdb(kSlot + 5, kSlot, kSlot + 4))
                  .check(SenseKey::illegal_request, asc::source_element_empty));
  EXPECT_TRUE(run(exchange_cdb(kSlot, kDrive, kSlot + 4))
                  .check(SenseKey::illegal_request, asc::source_element_empty));
  EXPECT_TRUE(run(exchange_cdb(kSlot, kSlot + 1, kSlot + 2))
                  .check(SenseKey::illegal_request, asc::destination_element_full));
  EXPECT_TRUE(run(exchange_cdb(kSlot, kSlot + 1, 7))
                  .check(SenseKey::illegal_request, asc::invalid_element_address));
  EXPECT_TRUE(run(exchange_cdb(kSlot, kSlot, kSlot + 4))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_TRUE(run(exchange_cdb(kSlot, kSlot + 1, kSlot + 1))
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  Cdb inverted = exchange_cdb(kSlot, kSlot + 1, kSlot + 4);
  inverted[10] = 2;
  EXPECT_TRUE(run(inverted).check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
  EXPECT_EQ(where("ABC001L8"), "slot 1");
  EXPECT_EQ(where("ABC002L8"), "slot 2");
}

TEST_P(SmcMovement, PositionToElement) {
  for (const unsigned good : {kSlot, kDrive, kIe, kTransport}) {
    EXPECT_TRUE(run({0x2B, 0, 0, 0, high(good), low(good), 0, 0, 0, 0}).good()) << good;
  }
  EXPECT_TRUE(run({0x2B, 0, 0, 0, 0, 99, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::invalid_element_address));
  EXPECT_TRUE(run({0x2B, 0, 0, 7, 0x03, 0xE8, 0, 0, 0, 0})
                  .check(SenseKey::illegal_request, asc::invalid_element_address));
  EXPECT_TRUE(run({0x2B, 0, 0, 0, 0x03, 0xE8, 0, 0, 1, 0})
                  .check(SenseKey::illegal_request, asc::invalid_field_in_cdb));
}

TEST_P(SmcMovement, InitializeElementStatus) {
  EXPECT_TRUE(run({0x07, 0, 0, 0, 0, 0}).good());
  for (const uint8_t opcode : {uint8_t{0x37}, uint8_t{0xE7}}) {
    EXPECT_TRUE(run({opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0}).good());
    EXPECT_TRUE(run({opcode, 1, 0x03, 0xE8, 0, 0, 0, 6, 0, 0}).good());
    EXPECT_TRUE(run({opcode, 1, 0x00, 0x63, 0, 0, 0, 6, 0, 0})
                    .check(SenseKey::illegal_request, asc::invalid_element_address));
  }
}

INSTANTIATE_SMC(SmcMovement);

}  // namespace
}  // namespace coldshelf::test
