// A tape drive as SSC-5 describes it: CDBs onto a TapeDrive.
#pragma once

#include <functional>
#include <memory>

#include "tape/drive/tape_drive.h"
#include "target/scsi/device_server.h"

namespace coldshelf::scsi {

inline constexpr uint32_t kMaxBlockBytes = 8U * 1024 * 1024;  // READ BLOCK LIMITS

struct TapeUnitOptions {
  TapeDrive* drive = nullptr;  // outlives the unit
  Clock* clock = nullptr;
  std::string target_name;  // iqn, for VPD page 83h
  uint16_t relative_target_port = 1;
  uint16_t target_port_group = 1;
  // PREVENT ALLOW MEDIUM REMOVAL: whether any initiator prevents now (the changer asks). May be
  // empty.
  std::function<void(bool prevented)> on_prevent_changed;
};

class TapeUnit final : public DeviceServer {
 public:
  explicit TapeUnit(TapeUnitOptions options);
  ~TapeUnit() override;

  bool may_block(const Command& command) const override;
  int64_t hold_ms(const Command& command) const override;
  bool may_overtake(const Command& command) const override;

 protected:
  void before_command(const Command& command) override;
  void attention_told(const Command& command, AdditionalSense attention) override;
  std::optional<Sense> not_ready_reason() override;
  void finish_inquiry(Buffer& data) override;
  void prevent_changed(uint64_t nexus_id, bool prevent, bool any) override;
  void device_reset() override;
  ModeHeader mode_header() override;
  Buffer mode_block_descriptor(PageControl control) override;
  std::optional<Sense> mode_select_header(const ModeHeader& header, ByteView block_descriptor,
                                          bool check_only, size_t header_size) override;

 private:
  void add_data_opcodes();
  void add_position_opcodes();
  void add_medium_opcodes();
  void add_mode_pages();
  void add_log_pages();
  void add_vpd_pages();

  void see_medium(uint64_t generation);

  // ssc_read_write.cc
  Reply read6(const Command& command);
  Reply write6(const Command& command);
  Reply verify6(const Command& command);
  Reply write_filemarks(const Command& command);
  Reply read_block_limits(const Command& command);
  Reply erase(const Command& command);
  Reply read_fixed(uint64_t count, const Command& command);
  Reply read_variable(uint64_t length, bool sili);
  Reply write_error(const Error& error, std::optional<uint64_t> residual);
  static std::optional<Sense> write_warning(const WriteOutcome& outcome, uint64_t residual);
  std::optional<Sense> overwrite_violation();

  // ssc_position.cc
  std::optional<Reply> write_out();
  Reply space(const Command& command);
  Reply locate(const Command& command);
  Reply read_position(const Command& command);
  Reply rewind(const Command& command);
  Reply load_unload(const Command& command);

  // ssc_medium.cc
  Result<bool> at_beginning_of_medium();
  uint64_t usable_capacity();
  Result<std::vector<uint64_t>> planned_partitions(uint64_t total) const;
  Reply format_medium(const Command& command);
  Reply set_capacity(const Command& command);
  Reply allow_overwrite(const Command& command);
  Reply report_density_support(const Command& command);
  Reply security_protocol_in(const Command& command);
  Reply security_protocol_out(const Command& command);

  // ssc_mam.cc
  Reply read_attribute(const Command& command);
  Reply write_attribute(const Command& command);

  // ssc_mode.cc
  void take_over_configuration(ByteView page);
  void end_associated_write_protect();
  void refresh_partition_page(ModePage& page);
  std::optional<Sense> select_partitions(ByteView page);

  // ssc_log.cc
  void add_volume_statistics();
  void add_vendor_log_pages();
  DriveCounters counted() const;
  std::vector<LogParameter> device_status();
  std::vector<LogParameter> device_statistics();
  std::vector<LogParameter> volume_statistics();
  static std::string padded(std::string text, size_t width);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coldshelf::scsi
