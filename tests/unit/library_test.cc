// The library: moves, refusals, faults, restarts.
#include "tape/library/library.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/clock.h"
#include "tests/support/fake_cartridge.h"

namespace coldshelf {
namespace {

using test::FakeVault;

// A disk whose replace_file fails while told so.
class FailingFiles final : public FileSystem {
 public:
  bool fail = false;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (fail && mode == OpenMode::create) return Error(ErrorCode::no_space, "disk full");
    return real_.open(path, mode);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status remove_directory(const std::string& path) override { return real_.remove_directory(path); }
  Status create_directories(const std::string& path) override {
    return real_.create_directories(path);
  }
  Status sync_directory(const std::string& path) override { return real_.sync_directory(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  Result<FileInfo> info(const std::string& path) override { return real_.info(path); }
  Result<uint64_t> available_bytes(const std::string& path) override {
    return real_.available_bytes(path);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return real_.lock(path);
  }

 private:
  PosixFileSystem real_;
};

struct Recorder final : LibraryListener {
  std::vector<std::string> moves;
  void cartridge_moved(const LibraryCartridge& what, const Element* from, const Element* to,
                       bool by_initiator) override {
    moves.push_back(what.barcode + " " + (from ? std::to_string(from->address) : "-") + ">" +
                    (to ? std::to_string(to->address) : "-") + (by_initiator ? " i" : " o"));
  }
};

class LibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "library.XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.profile = find_changer("STK-L700");
    options_.serial = "LIB0000001";
    options_.slots = 6;
    options_.import_export_slots = 2;
    options_.inventory_path = directory_ + "/inventory";
    options_.files = &files_;
    options_.vault = &vault_;
    start();
  }
  void TearDown() override {
    library_.reset();
    drives_.clear();
    std::filesystem::remove_all(directory_);
  }

  // New drives and a new library on the same inventory: a restart of the process.
  void start(const char* drive_profile = "IBM-ULT3580-TD8") {
    library_.reset();
    drives_.clear();
    vault_.crash();
    options_.drives.clear();
    for (unsigned i = 1; i <= drive_count_; ++i) {
      TapeDrive::Options drive;
      drive.number = i;
      drive.serial = "DRV000000" + std::to_string(i);
      drive.profile = find_drive(drive_profile);
      ASSERT_NE(drive.profile, nullptr);
      drive.clock = &clock_;
      drives_.push_back(std::make_unique<TapeDrive>(drive));
      options_.drives.push_back(drives_.back().get());
    }
    auto opened = Library::open(options_, &recorder_);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    library_ = std::move(opened).value();
  }

  LibraryCartridge add(const std::string& barcode, std::optional<uint16_t> address = {}) {
    LibraryCartridge cartridge = vault_.make(barcode);
    const auto added = library_->add(cartridge, address);
    EXPECT_TRUE(added.ok()) << added.error().message();
    return cartridge;
  }
  std::string where(const std::string& barcode) {
    const auto found = library_->find(barcode);
    return found ? library_->element_name(found->address) : "nowhere";
  }
  ErrorCode code(const Status& status) {
    EXPECT_FALSE(status.ok());
    return status.ok() ? ErrorCode::internal : status.error().code;
  }
  void write_record(unsigned drive, std::string_view text) {
    const auto written = drives_[drive - 1]->write(as_view(text));
    ASSERT_TRUE(written.ok()) << written.error().message();
  }

  static constexpr uint16_t kSlot = 1000;
  static constexpr uint16_t kDrive = 500;
  static constexpr uint16_t kIe = 10;

  std::string directory_;
  unsigned drive_count_ = 2;
  SystemClock clock_;
  FailingFiles files_;
  FakeVault vault_;
  Recorder recorder_;
  LibraryOptions options_;
  std::vector<std::unique_ptr<TapeDrive>> drives_;
  std::unique_ptr<Library> library_;
};

TEST_F(LibraryTest, ElementsFollowTheAddressMap) {
  const auto all = library_->elements();
  ASSERT_EQ(all.size(), 1U + 2 + 2 + 6);
  EXPECT_EQ(all.front().type, ElementType::transport);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](const Element& a, const Element& b) {
    return a.address < b.address;
  }));
  EXPECT_EQ(library_->element_name(1005), "slot 6");
  EXPECT_EQ(library_->element_name(11), "import/export 2");
  EXPECT_EQ(library_->element_name(501), "drive 2");
  EXPECT_EQ(library_->element(1006).error().code, ErrorCode::not_found);
}

TEST_F(LibraryTest, ParsesElements) {
  const std::pair<const char*, uint16_t> good[] = {
      {"3", 1002},     {"slot3", 1002},         {"Slot 3", 1002}, {"ie2", 11},     {"drive1", 500},
      {"DRIVE2", 501}, {"import/export 1", 10}, {"@501", 501},    {"0x3e9", 1001},
  };
  for (const auto& [text, address] : good) {
    const auto parsed = library_->parse_element(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, address) << text;
    EXPECT_EQ(*library_->parse_element(library_->element_name(address)), address);
  }
  for (const char* text : {"", "slot", "slot0x3", "-1", "3x", "@", "0x", "@70000", "drive 1 2"}) {
    EXPECT_EQ(library_->parse_element(text).error().code, ErrorCode::invalid_argument) << text;
  }
  for (const char* text : {"0", "7", "ie3", "drive3", "@77"}) {
    EXPECT_EQ(library_->parse_element(text).error().code, ErrorCode::not_found) << text;
  }
}

TEST_F(LibraryTest, AddFillsSlotsThenImportExport) {
  for (int i = 1; i <= 8; ++i) add("AAA00" + std::to_string(i) + "L8");
  EXPECT_EQ(where("AAA006L8"), "slot 6");
  EXPECT_EQ(where("AAA007L8"), "import/export 1");
  EXPECT_TRUE(library_->find("AAA007L8")->placed_by_operator);
  EXPECT_EQ(library_->add(vault_.make("AAA009L8")).error().code, ErrorCode::element_full);
  EXPECT_EQ(library_->add(vault_.make("AAA001L8")).error().code, ErrorCode::exists);
}

// Initiators bring a tape back to the slot it came from.
TEST_F(LibraryTest, ANewTapeLeavesTheSlotOfOneInADriveEmpty) {
  for (int i = 1; i <= 4; ++i) add("AAA00" + std::to_string(i) + "L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  ASSERT_TRUE(library_->move(kSlot + 2, kDrive + 1, true).ok());
  EXPECT_EQ(library_->empty_slot(), kSlot + 4);
  add("AAA005L8");
  EXPECT_EQ(where("AAA005L8"), "slot 5");
  start();
  add("AAA006L8");
  EXPECT_EQ(where("AAA006L8"), "slot 6");
  ASSERT_TRUE(library_->move(kDrive + 1, kSlot + 2, true).ok());
  add("AAA007L8");
  EXPECT_EQ(where("AAA007L8"), "import/export 1");
  library_->set_prevent(1, true);
  EXPECT_EQ(library_->empty_slot(), kSlot);
  add("AAA008L8");
  EXPECT_EQ(where("AAA008L8"), "slot 1") << "nothing else can be had";
  EXPECT_EQ(library_->empty_slot(), std::nullopt);
  EXPECT_EQ(library_->add(vault_.make("AAA009L8")).error().code, ErrorCode::prevented);
}

TEST_F(LibraryTest, LoadWriteUnloadKeepsSourceAndData) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_TRUE(drives_[0]->loaded());
  EXPECT_EQ(library_->element(kDrive)->source_address, kSlot);
  write_record(1, "hello");
  // A loaded tape: the move itself unloads.
  ASSERT_TRUE(library_->move(kDrive, kSlot + 3, true).ok());
  EXPECT_EQ(where("AAA001L8"), "slot 4");
  EXPECT_EQ(library_->element(kSlot + 3)->source_address, kSlot);
  EXPECT_FALSE(drives_[0]->inserted());
  EXPECT_EQ(vault_.medium(tape.uuid).synced.size(), 1U);
  EXPECT_FALSE(vault_.medium(tape.uuid).open);
  EXPECT_EQ(recorder_.moves, (std::vector<std::string>{"AAA001L8 ->1000 o", "AAA001L8 1000>500 i",
                                                       "AAA001L8 500>1003 i"}));
}

TEST_F(LibraryTest, RefusalsChangeNothing) {
  add("AAA001L8");
  add("AAA002L8");
  EXPECT_EQ(code(library_->move(kSlot + 4, kDrive, true)), ErrorCode::element_empty);
  EXPECT_EQ(code(library_->move(kSlot, kSlot + 1, true)), ErrorCode::element_full);
  EXPECT_EQ(code(library_->move(kSlot, kSlot, true)), ErrorCode::element_full);
  EXPECT_EQ(code(library_->move(kSlot, 99, true)), ErrorCode::not_found);
  EXPECT_EQ(code(library_->move(99, kSlot, true)), ErrorCode::not_found);
  EXPECT_EQ(code(library_->move(kSlot, 0, true)), ErrorCode::invalid_argument);
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  EXPECT_EQ(code(library_->move(kSlot + 1, kDrive, true)), ErrorCode::element_full);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_EQ(where("AAA002L8"), "slot 2");
}

TEST_F(LibraryTest, IncompatibleMediumIsRefused) {
  const LibraryCartridge old = vault_.make("OLD001L5", "LTO-5");
  ASSERT_TRUE(library_->add(old).ok());
  EXPECT_EQ(code(library_->move(kSlot, kDrive, true)), ErrorCode::invalid_argument);
  EXPECT_EQ(where("OLD001L5"), "slot 1");
  EXPECT_FALSE(drives_[0]->inserted());
  EXPECT_FALSE(vault_.medium(old.uuid).open);
}

TEST_F(LibraryTest, CartridgeThatCannotBeOpenedStaysInItsSlot) {
  const LibraryCartridge tape = add("AAA001L8");
  vault_.medium(tape.uuid).fail_open = Error(ErrorCode::key_missing, "no key");
  EXPECT_EQ(code(library_->move(kSlot, kDrive, true)), ErrorCode::key_missing);
  EXPECT_EQ(where("AAA001L8"), "slot 1");
}

TEST_F(LibraryTest, DrivePreventKeepsTheTapeIn) {
  add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  library_->set_drive_prevent(1, true);
  EXPECT_FALSE(library_->element(kDrive)->accessible);
  EXPECT_EQ(code(library_->move(kDrive, kSlot, true)), ErrorCode::prevented);
  EXPECT_EQ(code(library_->move(kDrive, kSlot, false)), ErrorCode::prevented);
  library_->set_drive_prevent(1, false);
  EXPECT_TRUE(library_->move(kDrive, kSlot, true).ok());
}

TEST_F(LibraryTest, PreventKeepsTheOperatorFromImportExport) {
  const LibraryCartridge inside = add("AAA001L8");
  const LibraryCartridge outside = add("AAA002L8", kIe);
  library_->set_prevent(7, true);
  library_->set_prevent(8, true);
  library_->drop_prevent(7);
  EXPECT_TRUE(library_->prevented());
  EXPECT_EQ(code(library_->move(kSlot, kIe + 1, false)), ErrorCode::prevented);
  EXPECT_EQ(code(library_->move(kIe, kSlot + 1, false)), ErrorCode::prevented);
  EXPECT_EQ(code(library_->remove(outside.uuid)), ErrorCode::prevented);
  EXPECT_EQ(library_->add(vault_.make("AAA003L8"), kIe + 1).error().code, ErrorCode::prevented);
  EXPECT_TRUE(library_->move(kSlot, kIe + 1, true).ok());  // initiators go on
  library_->set_prevent(8, false);
  EXPECT_TRUE(library_->move(kIe, kSlot, false).ok());
  EXPECT_TRUE(library_->remove(inside.uuid).ok());
}

TEST_F(LibraryTest, GenerationsCountWhatTheOperatorDid) {
  add("AAA001L8");
  const uint64_t inventory = library_->inventory_generation();
  ASSERT_TRUE(library_->move(kSlot, kSlot + 1, true).ok());
  EXPECT_EQ(library_->inventory_generation(), inventory);
  ASSERT_TRUE(library_->move(kSlot + 1, kIe, false).ok());
  EXPECT_GT(library_->inventory_generation(), inventory);
  EXPECT_EQ(library_->import_export_generation(), 1U);
}

TEST_F(LibraryTest, ExchangeSwapsADriveAndASlot) {
  add("AAA001L8");
  add("AAA002L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  // Slot 2's tape into the drive, the drive's tape into slot 1.
  ASSERT_TRUE(library_->exchange(kSlot + 1, kDrive, kSlot, true).ok());
  EXPECT_EQ(where("AAA001L8"), "slot 1");
  EXPECT_EQ(where("AAA002L8"), "drive 1");
  EXPECT_EQ(drives_[0]->label(), "AAA002L8");
  // In place.
  ASSERT_TRUE(library_->exchange(kSlot, kDrive, kSlot, true).ok());
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_EQ(where("AAA002L8"), "slot 1");
  EXPECT_EQ(drives_[0]->label(), "AAA001L8");
  EXPECT_EQ(code(library_->exchange(kSlot + 5, kDrive, kSlot, true)), ErrorCode::element_empty);
  EXPECT_EQ(code(library_->exchange(kSlot, kDrive + 1, kSlot + 1, true)), ErrorCode::element_empty);
}

TEST_F(LibraryTest, ExchangeOfTwoLoadedDrives) {
  add("AAA001L8");
  add("AAA002L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  ASSERT_TRUE(library_->move(kSlot + 1, kDrive + 1, true).ok());
  ASSERT_TRUE(library_->exchange(kDrive, kDrive + 1, kDrive, true).ok());
  EXPECT_EQ(drives_[0]->label(), "AAA002L8");
  EXPECT_EQ(drives_[1]->label(), "AAA001L8");
}

TEST_F(LibraryTest, FailedExchangePutsBothBack) {
  add("AAA001L8");
  const LibraryCartridge bad = add("AAA002L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  vault_.medium(bad.uuid).fail_open = Error(ErrorCode::corrupt, "damaged");
  EXPECT_EQ(code(library_->exchange(kSlot + 1, kDrive, kSlot, true)), ErrorCode::corrupt);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_EQ(drives_[0]->label(), "AAA001L8");
  EXPECT_EQ(where("AAA002L8"), "slot 2");
}

TEST_F(LibraryTest, FailedFlushKeepsTheTapeInTheDrive) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  write_record(1, "synced");
  ASSERT_TRUE(drives_[0]->sync().ok());
  write_record(1, "lost");
  vault_.medium(tape.uuid).fail_sync = Error(ErrorCode::io, "EIO");
  EXPECT_EQ(code(library_->move(kDrive, kSlot, true)), ErrorCode::io);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_TRUE(drives_[0]->loaded());  // what was synced can be read
  EXPECT_TRUE(drives_[0]->position_lost()) << "whoever writes to it knows nothing of this";
  EXPECT_FALSE(library_->drive_problem(1).has_value());
  // There is nothing left to flush: now it comes out.
  EXPECT_TRUE(library_->move(kDrive, kSlot, true).ok());
  EXPECT_EQ(vault_.medium(tape.uuid).synced.size(), 1U);
}

TEST_F(LibraryTest, TapeThatCannotBeReopenedCanStillBeTakenOut) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  write_record(1, "lost");
  vault_.medium(tape.uuid).fail_sync = Error(ErrorCode::io, "EIO");
  vault_.medium(tape.uuid).fail_open = Error(ErrorCode::io, "EIO");
  EXPECT_EQ(code(library_->move(kDrive, kSlot, true)), ErrorCode::io);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_TRUE(library_->drive_problem(1).has_value());
  EXPECT_TRUE(library_->move(kDrive, kSlot, true).ok());
  EXPECT_EQ(where("AAA001L8"), "slot 1");
  EXPECT_FALSE(library_->drive_problem(1).has_value());
}

TEST_F(LibraryTest, InventoryThatCannotBeWrittenUndoesTheMove) {
  add("AAA001L8");
  files_.fail = true;
  EXPECT_EQ(code(library_->move(kSlot, kDrive, true)), ErrorCode::no_space);
  EXPECT_EQ(where("AAA001L8"), "slot 1");
  EXPECT_FALSE(drives_[0]->inserted());
  files_.fail = false;
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  files_.fail = true;
  EXPECT_EQ(code(library_->move(kDrive, kSlot, true)), ErrorCode::no_space);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_TRUE(drives_[0]->loaded());
  EXPECT_EQ(library_->add(vault_.make("AAA002L8")).error().code, ErrorCode::no_space);
  files_.fail = false;
  EXPECT_TRUE(library_->move(kDrive, kSlot, true).ok());
}

TEST_F(LibraryTest, RestartKeepsEveryElementAndReloadsDrives) {
  add("AAA001L8");
  add("AAA002L8");
  add("AAA003L8", kIe + 1);
  ASSERT_TRUE(library_->move(kSlot + 1, kDrive + 1, true).ok());
  start();
  EXPECT_EQ(where("AAA001L8"), "slot 1");
  EXPECT_EQ(where("AAA002L8"), "drive 2");
  EXPECT_EQ(where("AAA003L8"), "import/export 2");
  EXPECT_TRUE(library_->find("AAA003L8")->placed_by_operator);
  EXPECT_EQ(library_->find("AAA002L8")->source_address, kSlot + 1);
  EXPECT_EQ(drives_[1]->label(), "AAA002L8");
  EXPECT_TRUE(drives_[1]->position_lost());
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  EXPECT_FALSE(drives_[0]->position_lost()) << "who loads it knows where it is";
}

TEST_F(LibraryTest, RestartWithADamagedTapeInADriveReportsAndKeepsIt) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  vault_.medium(tape.uuid).fail_open = Error(ErrorCode::corrupt, "damaged");
  start();
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  ASSERT_TRUE(library_->drive_problem(1).has_value());
  EXPECT_EQ(library_->drive_problem(1)->code, ErrorCode::corrupt);
  EXPECT_TRUE(library_->move(kDrive, kSlot, true).ok());
}

TEST_F(LibraryTest, SmallerConfigurationLosesNoCartridge) {
  for (int i = 1; i <= 3; ++i) add("AAA00" + std::to_string(i) + "L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive + 1, true).ok());
  ASSERT_TRUE(library_->move(kSlot + 1, kSlot + 5, true).ok());
  drive_count_ = 1;
  options_.slots = 3;
  start();
  EXPECT_EQ(where("AAA001L8"), "slot 1");  // back where it came from
  EXPECT_EQ(where("AAA002L8"), "slot 2");
  EXPECT_EQ(where("AAA003L8"), "slot 3");
  options_.slots = 1;
  options_.import_export_slots = 1;
  library_.reset();
  EXPECT_EQ(Library::open(options_, nullptr).error().code, ErrorCode::element_full);
}

// What a smaller configuration moves into import/export is nobody's export, and what an initiator
// put there stays one.
TEST_F(LibraryTest, FewerSlotsExportNothing) {
  add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kIe + 1, true).ok());
  for (int i = 2; i <= 4; ++i) add("AAA00" + std::to_string(i) + "L8");
  ASSERT_TRUE(library_->move(kSlot + 2, kSlot + 5, true).ok());  // it has a source now
  options_.slots = 2;
  for (int round = 0; round < 2; ++round) {
    start();
    EXPECT_EQ(where("AAA004L8"), "import/export 1");
    EXPECT_TRUE(library_->find("AAA004L8")->placed_by_operator);
    EXPECT_FALSE(library_->find("AAA004L8")->source_address.has_value()) << "it was never moved";
    EXPECT_EQ(where("AAA001L8"), "import/export 2");
    EXPECT_FALSE(library_->find("AAA001L8")->placed_by_operator);
  }
}

TEST_F(LibraryTest, AnotherModelKeepsTheElements) {
  add("AAA001L8", kIe);
  options_.profile = find_changer("IBM-03584L32-0402");
  start();
  EXPECT_EQ(where("AAA001L8"), "import/export 1");
  EXPECT_EQ(library_->find("AAA001L8")->address, 0x301);
}

TEST_F(LibraryTest, DamagedInventoryIsRefused) {
  add("AAA001L8");
  ASSERT_TRUE(files_.replace_file(options_.inventory_path, as_view("rubbish")).ok());
  EXPECT_EQ(Library::open(options_, nullptr).error().code, ErrorCode::corrupt);
}

TEST_F(LibraryTest, LimitsOfTheConfiguration) {
  auto with = [&](unsigned slots, unsigned ie) {
    LibraryOptions options = options_;
    options.slots = slots;
    options.import_export_slots = ie;
    options.inventory_path = directory_ + "/other";
    const auto opened = Library::open(options, nullptr);
    return opened.ok() ? std::string("ok") : std::string(to_string(opened.error().code));
  };
  EXPECT_EQ(with(3150, 50), "ok");
  EXPECT_EQ(with(3200, 0), "ok");
  EXPECT_EQ(with(0, 1), "out_of_range");
  EXPECT_EQ(with(3200, 1), "out_of_range");
  EXPECT_EQ(with(20, 491), "invalid_argument");  // would reach the drives' addresses
  for (const auto name : changer_names()) {
    LibraryOptions options = options_;
    options.profile = find_changer(name);
    options.slots = 3000;
    options.import_export_slots = 200;
    options.inventory_path = directory_ + "/other";
    EXPECT_TRUE(Library::open(options, nullptr).ok()) << name;
  }
}

TEST_F(LibraryTest, CloseDrivesUnloadsAndRefusesMoves) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  write_record(1, "kept");
  ASSERT_TRUE(library_->close_drives().ok());
  EXPECT_EQ(vault_.medium(tape.uuid).synced.size(), 1U);
  EXPECT_FALSE(vault_.medium(tape.uuid).open);
  EXPECT_EQ(where("AAA001L8"), "drive 1");
  EXPECT_EQ(code(library_->move(kDrive, kSlot, true)), ErrorCode::not_ready);
  start();
  EXPECT_EQ(drives_[0]->label(), "AAA001L8");
}

TEST_F(LibraryTest, RemoveFromSlotsOnly) {
  const LibraryCartridge tape = add("AAA001L8");
  ASSERT_TRUE(library_->move(kSlot, kDrive, true).ok());
  EXPECT_EQ(code(library_->remove(tape.uuid)), ErrorCode::busy);
  ASSERT_TRUE(library_->move(kDrive, kSlot, true).ok());
  EXPECT_TRUE(library_->remove(tape.uuid).ok());
  EXPECT_EQ(code(library_->remove(tape.uuid)), ErrorCode::not_found);
  EXPECT_EQ(where("AAA001L8"), "nowhere");
}

}  // namespace
}  // namespace coldshelf
