#include "gateway/tape_service.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

class Tapes : public ::testing::Test {
 protected:
  TestGateway gateway;
};

TapeService::CreateRequest request(const std::string& barcode, uint64_t size = 1 * GiB,
                                   unsigned count = 1) {
  TapeService::CreateRequest out;
  out.barcode = barcode;
  out.size_bytes = size;
  out.count = count;
  return out;
}

TEST_F(Tapes, AreMadeInSlots) {
  gateway.open();
  auto made = gateway.tapes->create(request("ABC001L8", 2 * GiB, 3));
  ASSERT_OK(made);
  ASSERT_EQ(made->size(), 3U);
  EXPECT_EQ((*made)[2].row.barcode, "ABC003L8");
  EXPECT_EQ((*made)[2].location, "slot 3");
  EXPECT_EQ((*made)[0].row.medium, "LTO-8");
  EXPECT_EQ((*made)[0].row.pool, "GLACIER");
  EXPECT_EQ((*made)[0].row.status, TapeStatus::available);
  EXPECT_EQ((*made)[0].row.capacity_bytes, 2 * GiB);
  EXPECT_EQ(gateway.create("PLAINNAME").row.medium, "LTO-8");
}

TEST_F(Tapes, BadRequestsMakeNothing) {
  gateway.open();
  gateway.create("TAKEN1L8");
  TapeService& t = *gateway.tapes;
  EXPECT_CODE(t.create(request("TAKEN1L8")), exists);
  EXPECT_CODE(t.create(request("TAKEN0L8", GiB, 2)), exists);
  EXPECT_CODE(t.create(request("abc")), invalid_argument);
  EXPECT_CODE(t.create(request("FRESH1L8", kMinTapeBytes - 1)), out_of_range);
  EXPECT_CODE(t.create(request("FRESH1L8", kMaxTapeBytes + 1)), out_of_range);
  EXPECT_CODE(t.create(request("FRESH1L8", GiB, 0)), out_of_range);
  EXPECT_CODE(t.create(request("FRESH1L5")), invalid_argument);  // LTO-8 drives do not write LTO-5
  EXPECT_CODE(t.create(request("FRESH1L8", GiB, 6)), element_full);  // 5 elements are left
  TapeService::CreateRequest r = request("FRESH1L8");
  r.pool = "nowhere";
  EXPECT_CODE(t.create(r), not_found);
  r = request("FRESH1L8");
  r.medium = "VHS-180";
  EXPECT_CODE(t.create(r), invalid_argument);
  auto all = t.list(0, "");
  ASSERT_OK(all);
  EXPECT_EQ(all->size(), 1U);
}

TEST_F(Tapes, AreNotMadeForSlotsThatAnInitiatorKeeps) {
  gateway.open();
  ASSERT_OK(gateway.tapes->create(request("FULL01L8", GiB, 4)));
  gateway.library->set_prevent(1, true);
  EXPECT_CODE(gateway.tapes->create(request("MORE01L8")), element_full);
  auto all = gateway.tapes->list(0, "");
  ASSERT_OK(all);
  EXPECT_EQ(all->size(), 4U);
  gateway.library->set_prevent(1, false);
  EXPECT_EQ(gateway.create("MORE01L8").location, "import/export 1");
}

// What a full disk does, too: the write of the manifest fails.
TEST_F(Tapes, AFailedCreationLeavesNothingBehind) {
  gateway.open();
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  const auto made = gateway.tapes->create(request("FULL01L8"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().context.find("creating tape FULL01L8"), std::string::npos);
  auto names = gateway.files.list(gateway.root() + "/data/cartridges");
  ASSERT_OK(names);
  EXPECT_TRUE(names->empty());
  EXPECT_EQ(gateway.create("FULL01L8").location, "slot 1");
}

TEST_F(Tapes, NothingIsMadeInAVanishedDataDirectory) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.storage = Error(ErrorCode::io, "the data directory has vanished");
  EXPECT_CODE(gateway.tapes->create(request("ABC002L8")), io);
  EXPECT_CODE(gateway.tapes->load("ABC001L8", 1), io);
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
  gateway.storage = {};
  EXPECT_OK(gateway.tapes->load("ABC001L8", 1));
}

TEST_F(Tapes, WholeLifeKeepsTheBytes) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.write_files("ABC001L8", 3, 20, 200'000);
  EXPECT_CODE(gateway.tapes->retrieve("ABC001L8", RestoreTier::bulk), conflict);
  gateway.archive("ABC001L8");
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::archived);
  EXPECT_EQ(gateway.location("ABC001L8"), "");
  EXPECT_CODE(gateway.tapes->load("ABC001L8", 1), conflict);
  EXPECT_CODE(gateway.tapes->verify("ABC001L8"), conflict);
  EXPECT_CODE(gateway.tapes->archive("ABC001L8"), conflict);
  gateway.retrieve("ABC001L8");
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::retrieved);
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
}

TEST(TapesInRealTime, AreReadBackAfterRetrieval) {
  TestGateway gateway(true);
  gateway.open();
  gateway.create("ABC001L8");
  gateway.write_files("ABC001L8", 3, 20, 200'000);
  gateway.archive("ABC001L8");
  gateway.retrieve("ABC001L8");
  ASSERT_OK(gateway.tapes->load("ABC001L8", 2));
  TapeDrive& drive = *gateway.drives[1];
  EXPECT_TRUE(drive.write_protected());
  for (int f = 0; f < 3; ++f) {
    for (int r = 0; r < 20; ++r) {
      auto got = drive.read();
      ASSERT_OK(got);
      ASSERT_EQ(got->kind, ReadOutcome::Kind::record);
      EXPECT_EQ(got->record.flatten(), TestGateway::record(f, r, 200'000));
    }
    auto mark = drive.read();
    ASSERT_OK(mark);
    EXPECT_EQ(mark->kind, ReadOutcome::Kind::filemark);
  }
  ASSERT_OK(gateway.tapes->unload(2));
  auto job = gateway.tapes->verify("ABC001L8");
  ASSERT_OK(job);
  gateway.wait_for_job(*job);
}

TEST(TapesInRealTime, VerifyFindsADamagedByte) {
  TestGateway gateway(true);
  gateway.open();
  const TapeView tape = gateway.create("ABC001L8");
  gateway.write_files("ABC001L8", 1, 10, 50'000);
  const std::string directory = gateway.vault->directory_of(tape.row.uuid);
  auto names = gateway.files.list(directory);
  ASSERT_OK(names);
  for (const std::string& name : *names) {
    if (!name.ends_with(".seg")) continue;
    auto file = gateway.files.open(directory + "/" + name, OpenMode::read_write);
    ASSERT_OK(file);
    Buffer one(1);
    ASSERT_OK((*file)->read_at(100'000, one));
    one[0] ^= std::byte{4};
    ASSERT_OK((*file)->write_at(100'000, one));
  }
  auto job = gateway.tapes->verify("ABC001L8");
  ASSERT_OK(job);
  auto done = gateway.shelf->wait(*job, 20'000);
  ASSERT_OK(done);
  EXPECT_EQ(to_string(done->state), to_string(JobState::failed));
  EXPECT_FALSE(done->error.empty());
}

TEST_F(Tapes, InADriveAreNotArchivedOrDeleted) {
  gateway.open();
  gateway.create("ABC001L8");
  ASSERT_OK(gateway.tapes->load("ABC001L8", 1));
  auto archived = gateway.tapes->archive("ABC001L8");
  EXPECT_CODE(archived, busy);
  EXPECT_NE(archived.error().context.find("unload it first"), std::string::npos);
  EXPECT_CODE(gateway.tapes->remove("ABC001L8"), busy);
  EXPECT_CODE(gateway.tapes->verify("ABC001L8"), busy);
  EXPECT_EQ(gateway.location("ABC001L8"), "drive 1");
}

TEST_F(Tapes, MovesThatCannotBeAreRefused) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.create("ABC002L8");
  TapeService& t = *gateway.tapes;
  EXPECT_CODE(t.move("slot4", "drive1"), element_empty);
  EXPECT_CODE(t.move("slot1", "slot2"), element_full);
  EXPECT_CODE(t.move("slot1", "slot99"), not_found);
  EXPECT_FALSE(t.move("nonsense", "slot1").ok());
  EXPECT_CODE(t.load("NOTHERE1", 1), not_found);
  EXPECT_FALSE(t.load("ABC001L8", 9).ok());
  EXPECT_CODE(t.unload(1), element_empty);
  ASSERT_OK(t.move("ABC001L8", "drive1"));
  EXPECT_CODE(t.load("ABC002L8", 1), element_full);
  gateway.library->set_drive_prevent(1, true);
  EXPECT_CODE(t.unload(1), prevented);
  gateway.library->set_drive_prevent(1, false);
  auto home = t.unload(1);
  ASSERT_OK(home);
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
}

TEST_F(Tapes, ExportByAnInitiatorArchivesAfterTheDelay) {
  gateway.options.export_delay_ms = 60'000;
  gateway.open();
  gateway.create("ABC001L8");
  gateway.create("ABC002L8");
  const uint16_t slot1 = *gateway.library->parse_element("slot1");
  const uint16_t slot2 = *gateway.library->parse_element("slot2");
  const uint16_t ie1 = *gateway.library->parse_element("ie1");
  const uint16_t ie2 = *gateway.library->parse_element("ie2");
  ASSERT_OK(gateway.library->move(slot1, ie1, true));
  ASSERT_OK(gateway.library->move(slot2, ie2, true));
  ASSERT_OK(gateway.library->move(ie2, slot2, true));  // thought better of it
  gateway.tapes->tick();
  EXPECT_EQ(gateway.location("ABC001L8"), "import/export 1");
  gateway.clock().sleep_ms(59'000);
  gateway.tapes->tick();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::available);
  gateway.clock().sleep_ms(2'000);
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::archived);
  EXPECT_EQ(gateway.status("ABC002L8"), TapeStatus::available);
}

TEST_F(Tapes, HoldKeepsExportedTapesUntilTold) {
  gateway.options.archive_on_export = false;
  gateway.open();
  gateway.create("ABC001L8");
  const uint16_t slot1 = *gateway.library->parse_element("slot1");
  const uint16_t ie1 = *gateway.library->parse_element("ie1");
  ASSERT_OK(gateway.library->move(slot1, ie1, true));
  gateway.clock().sleep_ms(600'000);
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::available);
  EXPECT_CODE(gateway.tapes->export_tapes("slot1"), invalid_argument);
  EXPECT_CODE(gateway.tapes->export_tapes("ie2"), element_empty);
  auto jobs = gateway.tapes->export_tapes("");
  ASSERT_OK(jobs);
  EXPECT_EQ(jobs->size(), 1U);
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::archived);
}

TEST_F(Tapes, NewTapesThatOverflowIntoImportExportAreNotExported) {
  gateway.open();
  ASSERT_OK(gateway.tapes->create(request("ABC001L8", GiB, 5)));
  EXPECT_EQ(gateway.location("ABC005L8"), "import/export 1");
  gateway.clock().sleep_ms(600'000);
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC005L8"), TapeStatus::available);
  auto jobs = gateway.tapes->export_tapes("");
  ASSERT_OK(jobs);
  EXPECT_TRUE(jobs->empty());
}

TEST_F(Tapes, ARetrievedTapeWaitsForASlot) {
  gateway.slots = 1;
  gateway.import_export_slots = 0;
  gateway.open();
  gateway.create("ABC001L8");
  gateway.archive("ABC001L8");
  gateway.create("ABC002L8");
  gateway.retrieve("ABC001L8");
  EXPECT_EQ(gateway.location("ABC001L8"), "");
  auto view = gateway.tapes->show("ABC001L8");
  ASSERT_OK(view);
  EXPECT_NE(view->row.problem.find("waits for an empty slot"), std::string::npos);
  gateway.archive("ABC002L8");
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
  EXPECT_EQ(gateway.tapes->show("ABC001L8")->row.problem, "");
}

TEST_F(Tapes, ADeletedBarcodeIsNeverUsedAgain) {
  gateway.open();
  gateway.create("ABC001L8");
  auto job = gateway.tapes->remove("ABC001L8");
  ASSERT_OK(job);
  gateway.wait_for_job(*job);
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::deleted);
  auto again = gateway.tapes->create(request("ABC001L8"));
  EXPECT_CODE(again, exists);
  EXPECT_NE(again.error().context.find("never used again"), std::string::npos);
  EXPECT_CODE(gateway.tapes->archive("ABC001L8"), not_found);
  EXPECT_FALSE(gateway.library->find("ABC001L8"));
}

TEST_F(Tapes, WormTapesWithDataAreNotDeleted) {
  gateway.open();
  TapeService::CreateRequest r = request("WORM01L8");
  r.worm = true;
  ASSERT_OK(gateway.tapes->create(r));
  gateway.write_files("WORM01L8", 1, 1, 1'000);
  EXPECT_CODE(gateway.tapes->remove("WORM01L8"), write_protected);
}

TEST_F(Tapes, CancelledArchivingComesBack) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.write_files("ABC001L8", 1, 5, 100'000);
  ASSERT_OK(gateway.tapes->archive("ABC001L8"));
  EXPECT_EQ(gateway.location("ABC001L8"), "");
  ASSERT_OK(gateway.tapes->cancel_archive("ABC001L8"));
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::available);
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
}

TEST_F(Tapes, PoolsAreImmutable) {
  gateway.open();
  EXPECT_OK(gateway.tapes->add_pool({"NEAR", "GLACIER_IR"}));
  EXPECT_OK(gateway.tapes->add_pool({"NEAR", "GLACIER_IR"}));
  EXPECT_CODE(gateway.tapes->add_pool({"NEAR", "DEEP_ARCHIVE"}), exists);
  EXPECT_CODE(gateway.tapes->add_pool({"FAR", "LUNAR"}), invalid_argument);
}

// -- restarts

TEST_F(Tapes, AreWhereTheyWereAfterARestart) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.create("ABC002L8");
  gateway.write_files("ABC001L8", 1, 3, 1'000);
  ASSERT_OK(gateway.tapes->load("ABC002L8", 2));
  gateway.close();
  gateway.open();
  EXPECT_EQ(gateway.location("ABC001L8"), "slot 1");
  EXPECT_EQ(gateway.location("ABC002L8"), "drive 2");
  EXPECT_TRUE(gateway.drives[1]->loaded());
}

TEST_F(Tapes, ArchivingGoesOnAfterARestart) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.write_files("ABC001L8", 2, 5, 100'000);
  ASSERT_OK(gateway.tapes->archive("ABC001L8"));
  gateway.crash();
  gateway.open();
  EXPECT_EQ(gateway.location("ABC001L8"), "");
  gateway.settle();
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::archived);
}

// The crash between the inventory and the catalog, both ways.
TEST_F(Tapes, InventoryFollowsTheStatusAfterACrash) {
  gateway.open();
  const TapeView away = gateway.create("ABC001L8");
  const TapeView lost = gateway.create("ABC002L8");
  // 1. Archived, but the inventory of before came back with a drive that has it.
  ASSERT_OK(gateway.tapes->load("ABC001L8", 1));
  const std::string inventory = gateway.root() + "/data/library";
  auto old_inventory = gateway.files.read_file(inventory);
  ASSERT_OK(old_inventory);
  ASSERT_OK(gateway.tapes->unload(1));
  gateway.archive("ABC001L8");
  gateway.close();
  ASSERT_OK(gateway.files.replace_file(inventory, *old_inventory));
  gateway.open();
  EXPECT_EQ(gateway.location("ABC001L8"), "");
  EXPECT_EQ(gateway.status("ABC001L8"), TapeStatus::archived);
  EXPECT_EQ(gateway.location("ABC002L8"), "slot 2");
  // 2. Taken out for archiving, which never began.
  ASSERT_OK(gateway.library->remove(lost.row.uuid));
  gateway.crash();
  gateway.open();
  EXPECT_EQ(gateway.location("ABC002L8"), "slot 1");
}

TEST_F(Tapes, AHalfMadeTapeIsEnteredAtTheNextStart) {
  gateway.open();
  NewCartridge what;
  what.uuid = Uuid::generate(gateway.random);
  what.label = "HALF01L8";
  what.medium = "LTO-8";
  what.capacity_bytes = GiB;
  what.properties["pool"] = "GLACIER";
  ASSERT_OK(gateway.vault->create(what));  // and then the power went
  gateway.crash();
  gateway.open();
  EXPECT_EQ(gateway.status("HALF01L8"), TapeStatus::available);
  EXPECT_EQ(gateway.location("HALF01L8"), "slot 1");
}

TEST_F(Tapes, ACartridgeIsOpenOnce) {
  gateway.open();
  const TapeView tape = gateway.create("ABC001L8");
  auto first = gateway.vault->open(tape.row.uuid);
  ASSERT_OK(first);
  EXPECT_CODE(gateway.vault->open(tape.row.uuid), busy);
  EXPECT_CODE(gateway.tapes->verify("ABC001L8"), busy);
  ASSERT_OK(gateway.vault->close(std::move(*first)));
  auto again = gateway.vault->open(tape.row.uuid);
  ASSERT_OK(again);
  ASSERT_OK(gateway.vault->close(std::move(*again)));
}

TEST_F(Tapes, LayoutAndPoolsAreInTheStore) {
  gateway.open();
  gateway.create("ABC001L8");
  gateway.settle();
  auto document = gateway.store->get_all(inventory_key(gateway.options.gateway_id));
  ASSERT_OK(document);
  const auto json = nlohmann::json::parse(as_text(*document), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["elements"][0]["barcode"], "ABC001L8");
  EXPECT_EQ(json["elements"][0]["type"], "slot");
  EXPECT_EQ(json["elements"][0]["number"], 1);
  EXPECT_EQ(json["pools"].size(), 2U);
}

}  // namespace
}  // namespace coldshelf::test
