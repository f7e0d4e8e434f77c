// A small logical unit in memory, for tests of the transport: blocks, and a few opcodes that make
// it do what a test wants to see.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "target/scsi/logical_unit.h"

namespace coldshelf::testing {

class MemoryUnit final : public scsi::LogicalUnit {
 public:
  static constexpr size_t kBlock = 512;
  // Vendor opcodes.
  static constexpr uint8_t kShortRead = 0xc1;  // cdb[2..5]: length; half of it and sense
  static constexpr uint8_t kHang = 0xc2;       // until release() or an abort
  static constexpr uint8_t kThrow = 0xc3;
  static constexpr uint8_t kBusy = 0xc4;  // until release(), on the caller's thread

  MemoryUnit(size_t blocks, bool blocking) : data_(blocks * kBlock), blocking_(blocking) {}

  uint64_t data_out_length(ByteView cdb) const override;
  bool may_block(const scsi::Command& command) const override;
  scsi::Reply execute(const scsi::Command& command) override;
  void nexus_established(std::shared_ptr<const scsi::Nexus> nexus) override;
  void nexus_lost(const scsi::Nexus& nexus) override;
  void reset(scsi::ResetKind kind) override;
  void task_set_cleared(const scsi::Nexus& by) override;

  void release();  // ends kHang
  bool wait_hanging();
  std::vector<std::string> events() const;
  std::vector<std::byte> contents() const;
  std::vector<uint8_t> opcodes() const;  // in the order of execution

 private:
  scsi::Reply read(uint64_t lba, uint64_t blocks, uint64_t expected);
  scsi::Reply write(uint64_t lba, uint64_t blocks, ByteView bytes);
  void note(std::string event);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::byte> data_;
  const bool blocking_;
  bool hanging_ = false;
  bool released_ = false;
  std::vector<std::string> events_;
  std::vector<uint8_t> opcodes_;
};

}  // namespace coldshelf::testing
