// A drive with a cartridge in memory.
#pragma once

#include <gtest/gtest.h>

#include "tape/drive/tape_drive.h"
#include "tests/support/memory_cartridge.h"

namespace coldshelf {

class DriveFixture : public testing::Test {
 protected:
  explicit DriveFixture(uint64_t early_warning_bytes = 1000) {
    TapeDrive::Options options;
    options.number = 1;
    options.serial = "TEST000001";
    options.profile = find_drive("IBM-ULT3580-TD8");
    options.clock = &clock_;
    options.early_warning_bytes = early_warning_bytes;
    drive_ = std::make_unique<TapeDrive>(options);
  }

  static NewCartridge cartridge(const std::string& medium = "LTO-8", bool worm = false) {
    SeededRandom random(7);
    NewCartridge what;
    what.uuid = Uuid::generate(random);
    what.label = "TST001L8";
    what.medium = medium;
    what.capacity_bytes = 10'000;
    what.worm = worm;
    return what;
  }

  // Puts a new cartridge in; it stays reachable for faults while the drive holds it.
  MemoryCartridge& insert(const NewCartridge& what = cartridge()) {
    auto made = std::make_unique<MemoryCartridge>(what);
    MemoryCartridge& reference = *made;
    std::unique_ptr<Cartridge> in = std::move(made);
    const Status inserted = drive_->insert(in);
    EXPECT_TRUE(inserted.ok());
    return reference;
  }

  // "r" a record of 100 bytes, "f" a filemark.
  void write_layout(std::string_view layout) {
    for (const char c : layout) {
      if (c == 'r') {
        ASSERT_TRUE(drive_->write(Buffer(100, std::byte{'r'})).ok());
      } else {
        ASSERT_TRUE(drive_->write_filemarks(1, true).ok());
      }
    }
  }

  Position at() const {
    const auto position = drive_->position();
    EXPECT_TRUE(position.ok());
    return position.ok() ? position->at : Position{};
  }

  void locate(uint64_t block) { ASSERT_TRUE(drive_->locate_block(0, block).ok()); }

  SystemClock clock_;
  std::unique_ptr<TapeDrive> drive_;
};

}  // namespace coldshelf
