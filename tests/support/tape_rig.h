// A tape drive with a cartridge in memory behind a TapeUnit, reached directly or over iSCSI.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "tape/drive/tape_drive.h"
#include "target/iscsi/server.h"
#include "target/scsi/tape_unit.h"
#include "tests/support/memory_cartridge.h"
#include "tests/support/scsi_client.h"

namespace coldshelf::test {

enum class Transport { direct, iscsi };

struct RigOptions {
  std::string profile = "IBM-ULT3580-TD8";
  std::string medium = "LTO-8";
  uint64_t capacity_bytes = 256 * MiB;
  uint64_t early_warning_bytes = 1 * MiB;
  bool worm = false;
  bool load = true;  // a cartridge is in, unit attentions are taken
};

class TapeRig {
 public:
  explicit TapeRig(Transport transport, RigOptions options = {});
  ~TapeRig();

  ScsiClient& client() { return *client_; }
  // Another initiator port; the number makes its name.
  std::unique_ptr<ScsiClient> connect(unsigned number);
  // A new cartridge; it stays reachable for faults while the drive holds it.
  MemoryCartridge& insert(bool worm = false);
  void eject();
  Status try_eject();  // an error: of the flush; the cartridge is out
  TapeDrive& drive() { return *drive_; }
  scsi::TapeUnit& unit() { return *unit_; }
  MemoryCartridge& cartridge() { return *cartridge_; }
  bool prevented() const { return prevented_; }

 private:
  Transport transport_;
  RigOptions options_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<TapeDrive> drive_;
  std::shared_ptr<scsi::TapeUnit> unit_;
  std::unique_ptr<iscsi::Server> server_;
  std::unique_ptr<ScsiClient> client_;
  MemoryCartridge* cartridge_ = nullptr;
  std::atomic<bool> prevented_{false};
  uint64_t next_nexus_ = 1;
};

}  // namespace coldshelf::test
