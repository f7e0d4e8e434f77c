// A disk as SBC-4 describes it: CDBs onto a BlockDevice.
//
// Commands on blocks run beside each other where their blocks allow it; what changes the unit's own
// state runs alone (footprint).
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "base/buffer_pool.h"
#include "target/scsi/device_server.h"
#include "volume/block_device.h"

namespace coldshelf::scsi {

struct BlockUnitOptions {
  std::shared_ptr<BlockDevice> device;
  Clock* clock = nullptr;
  UnitStore* store = nullptr;  // outlives the unit; null: no APTPL, no saved mode pages
  std::string vendor = "COLDSHLF";
  std::string product = "VOLUME";
  std::string revision = "0001";
  std::string serial;
  std::string target_name;  // iqn, for VPD page 83h
  uint16_t relative_target_port = 1;
  uint16_t target_port_group = 1;
  bool write_cache = true;            // WCE by default
  uint32_t physical_block_bytes = 0;  // a power of two; 0: physical blocks are the logical ones
  uint64_t max_transfer_bytes = 16 * MiB;  // of one command
  unsigned concurrency = 16;               // commands that wait at once
};

// LBAs and how many, as the CDB's format has them.
struct Extent {
  uint64_t lba = 0;
  uint64_t blocks = 0;
  uint16_t count_byte = 0;  // where the length stands in the CDB
};
Extent extent_of(ByteView cdb);

class SanitizeJob;

class BlockUnit final : public DeviceServer {
 public:
  // Brings back what the store has of it.
  static Result<std::unique_ptr<BlockUnit>> open(BlockUnitOptions options);
  ~BlockUnit() override;

  bool may_block(const Command& command) const override;
  int64_t hold_ms(const Command& command) const override;
  unsigned concurrency() const override { return options_.concurrency; }
  void reset(ResetKind kind) override;

 protected:
  void before_command(const Command& command) override;
  std::optional<Sense> not_ready_reason() override;
  std::optional<Sense> condition() override;
  void finish_inquiry(Buffer& data) override;
  void device_reset() override;
  ModeHeader mode_header() override;
  Buffer mode_block_descriptor(PageControl control) override;
  std::optional<Sense> mode_select_header(const ModeHeader& header, ByteView block_descriptor,
                                          bool check_only, size_t header_size) override;

 private:
  enum class Access { read, write };
  // Held while a command uses the medium; empty: it must not (a sanitize operation is under way).
  using MediumLock = std::shared_lock<std::shared_mutex>;

  explicit BlockUnit(BlockUnitOptions options);

  // sbc_opcodes.cc
  void add_read_opcodes();
  void add_write_opcodes();
  void add_provisioning_opcodes();
  void add_medium_opcodes();
  void let_common_opcodes_overlap();
  Footprint range(const Command& command, bool writes) const;
  std::function<uint64_t(ByteView)> blocks_of_data() const;

  // block_unit.cc
  uint64_t capacity_blocks() const { return device_->size_bytes() / block_; }
  // Access to the medium at all, and to these blocks of it, at most `max_blocks`.
  std::optional<Sense> refuse(const Command& command, const Extent& extent, Access access,
                              uint64_t max_blocks);
  std::optional<Sense> refuse_medium(Access access);
  Reply failed(const Error& error, Activity activity) const;
  bool durable(ByteView cdb) const;
  Status settle(bool durable);  // after a change that is not a plain write
  uint64_t offset_of(const Extent& extent) const { return extent.lba * block_; }
  uint64_t bytes_of(const Extent& extent) const { return extent.blocks * block_; }

  // sbc_read_write.cc
  Reply read(const Command& command);
  Reply read_failed(const Extent& extent, const Error& error);
  Reply write(const Command& command);
  Reply write_and_verify(const Command& command);
  Reply verify(const Command& command);
  Reply verify_medium(const Command& command, const Extent& extent);
  Reply compare(const Command& command, const Extent& extent, ByteView expected, bool repeat);
  Reply compare_and_write(const Command& command);
  Reply or_write(const Command& command);
  Reply write_atomic(const Command& command);
  uint64_t verify_data_length(ByteView cdb) const;

  // sbc_provisioning.cc
  Reply read_capacity10(const Command& command);
  Reply read_capacity16(const Command& command);
  unsigned physical_exponent() const;
  Reply get_lba_status(const Command& command);
  Reply unmap(const Command& command);
  Footprint unmap_footprint(const Command& command) const;
  Reply write_same(const Command& command);
  Status fill(uint64_t offset, uint64_t length, ByteView pattern, const std::atomic<bool>* aborted,
              bool durable);
  Reply prefetch(const Command& command);
  Reply synchronize_cache(const Command& command);

  // sbc_medium.cc
  Reply start_stop(const Command& command);
  Reply read_defect_data(const Command& command);
  Reply format_unit(const Command& command);
  Reply sanitize(const Command& command);
  Status resume_sanitize();

  // sbc_copy.cc
  struct CopyPlan;
  Reply extended_copy(const Command& command);
  Footprint copy_footprint(const Command& command) const;
  Reply receive_copy_results(const Command& command);
  Reply copy_operating_parameters(uint64_t allocation) const;
  std::optional<Sense> check_copy_target(ByteView descriptor, uint16_t at) const;
  Reply copy_segments(const Command& command, ByteView segments, size_t first_at);
  Status copy_range(uint64_t from, uint64_t to, uint64_t length, const std::atomic<bool>* aborted);
  Buffer third_party_copy_page() const;

  // sbc_pages.cc
  void add_mode_pages();
  void add_vpd_pages();
  void add_log_pages();
  void take_over_mode_pages();
  Buffer block_limits() const;
  Buffer provisioning_page() const;

  const BlockUnitOptions options_;
  const std::shared_ptr<BlockDevice> device_;
  const uint64_t block_;  // bytes
  const uint64_t max_transfer_blocks_;
  const std::shared_ptr<BufferPool> buffers_;

  std::atomic<bool> write_cache_;             // WCE
  std::atomic<bool> write_protected_{false};  // SWP
  std::atomic<bool> stopped_{false};          // START STOP UNIT
  std::atomic<uint64_t> seen_size_;           // what initiators have been told

  mutable std::atomic<int64_t> last_complaint_ns_{INT64_MIN / 2};

  mutable std::shared_mutex medium_;
  std::unique_ptr<SanitizeJob> sanitize_;

  // What RECEIVE COPY RESULTS tells, the last first.
  struct CopyResult {
    uint64_t nexus_id = 0;
    uint8_t list_id = 0;
    bool failed = false;
    uint16_t segments = 0;
    uint64_t bytes = 0;
  };
  static constexpr size_t kCopyResults = 64;
  std::mutex copies_mutex_;
  std::deque<CopyResult> copies_;

  struct Counters {
    std::atomic<uint64_t> reads{0}, writes{0}, blocks_read{0}, blocks_written{0};
  };
  Counters counters_;
};

}  // namespace coldshelf::scsi
