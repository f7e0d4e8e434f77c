// The part of a device server that SPC-5 gives to every device type: dispatch by the opcode table,
// INQUIRY, sense, unit attentions, reservations, mode and log pages. Tape drives (ssc) and the
// medium changer (smc) derive from it and add their commands, pages and hooks in the constructor.
//
// Threads: execute() runs for one command at a time, but for those whose footprint lets others run
// beside them; nexus_*, reset and task_set_cleared come from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "target/scsi/log_pages.h"
#include "target/scsi/logical_unit.h"
#include "target/scsi/mode_pages.h"
#include "target/scsi/opcode_table.h"
#include "target/scsi/persistent_reservations.h"
#include "target/scsi/sense.h"
#include "target/scsi/unit_attention.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

// Who the device is: standard INQUIRY data and VPD pages 80h and 83h.
struct DeviceIdentity {
  uint8_t device_type = 0x01;  // 01h sequential access, 08h medium changer
  std::string vendor;          // up to 8 characters
  std::string product;         // up to 16
  std::string revision;        // up to 4
  std::string serial;
  std::string target_name;  // iqn: VPD 83h target device and port designators
  uint16_t relative_target_port = 1;
  uint16_t target_port_group = 1;
  uint8_t version = 0x06;                     // SPC-4, what LTO drives claim
  std::vector<uint16_t> version_descriptors;  // SPC-5 table 149; at most 8
  std::vector<uint8_t> vendor_specific;       // from byte 36 on (20 bytes used)
  bool medium_changer_attached = false;       // MChngr / BarC neighbours: byte 6 bit 3
};

class DeviceServer : public LogicalUnit, protected ModeHooks {
 public:
  DeviceServer(DeviceIdentity identity, Clock* clock);
  ~DeviceServer() override;
  DeviceServer(const DeviceServer&) = delete;
  DeviceServer& operator=(const DeviceServer&) = delete;

  uint64_t data_out_length(ByteView cdb) const override;
  bool may_block(const Command& command) const override;       // by the table; refine in the device
  Footprint footprint(const Command& command) const override;  // by the table
  Reply execute(const Command& command) override;
  void nexus_established(std::shared_ptr<const Nexus> nexus) override;
  void nexus_lost(const Nexus& nexus) override;
  void reset(ResetKind kind) override;
  void task_set_cleared(const Nexus& by) override;

  const DeviceIdentity& identity() const { return identity_; }
  bool prevented() const;  // by any nexus

 protected:
  // -- for the derived constructor
  OpcodeTable& opcodes() { return opcodes_; }
  const OpcodeTable& opcodes() const { return opcodes_; }
  ModePages& mode_pages() { return mode_pages_; }
  LogPages& log_pages() { return log_pages_; }
  // The maker returns what follows the 4-byte page header.
  void add_vpd_page(uint8_t page, std::function<Buffer()> body);

  // Before the first command: brings back what `store` has, and offers APTPL and saved mode pages
  // from then on. It outlives the unit.
  Status keep_state_in(UnitStore* store);

  // -- hooks
  // Before dispatch (and before unit attentions are looked at): raise medium-changed and the like.
  virtual void before_command(const Command&) {}
  // The command was answered with this unit attention and does nothing else.
  virtual void attention_told(const Command&, AdditionalSense) {}
  // TEST UNIT READY, and commands that need it: nullopt when ready.
  virtual std::optional<Sense> not_ready_reason() { return std::nullopt; }
  // What REQUEST SENSE tells when no unit attention is pending: progress of what is under way.
  virtual std::optional<Sense> condition() { return std::nullopt; }
  // Last word on standard INQUIRY data (at least 74 bytes).
  virtual void finish_inquiry(Buffer&) {}
  // PREVENT ALLOW MEDIUM REMOVAL of a nexus changed; `any` is the new state over all of them.
  virtual void prevent_changed(uint64_t /*nexus_id*/, bool /*prevent*/, bool /*any*/) {}
  // What a reset does beyond the SPC part; runs in the thread of the next command.
  virtual void device_reset() {}
  // SEND DIAGNOSTIC with SELFTEST.
  virtual std::optional<Sense> self_test() { return std::nullopt; }

  // -- replies
  static Reply good() { return {}; }
  Reply check(const Sense& sense) const;  // CHECK CONDITION
  Reply check(const Error& error, Activity activity) const;
  Reply check_with_data(const Sense& sense, DataIn data) const;
  static Reply data(Buffer bytes, uint64_t allocation_length);
  static Reply status(ScsiStatus status);

  Buffer device_identification() const;  // VPD page 83h

  // -- for handlers
  UnitAttentions& unit_attentions() { return attentions_; }
  PersistentReservations& reservations() { return persistent_; }
  Clock& clock() { return *clock_; }
  int64_t timestamp_ms() const;  // SET TIMESTAMP's idea of the time

 private:
  void add_common_opcodes();
  void add_reservation_opcodes();
  void add_mode_and_log_opcodes();
  Reply dispatch(const Command& command);
  bool conflicts(const Command& command, const OpcodeEntry& entry) const;
  void do_pending_reset();
  bool nexus_is_lost(const Nexus& nexus) const;  // mutex_ is held
  void allow_removal_of(const std::string& port_name);

  Reply test_unit_ready(const Command& command);
  Reply request_sense(const Command& command);
  Reply inquiry(const Command& command);
  Buffer standard_inquiry();
  Reply report_luns(const Command& command);
  Reply report_opcodes(const Command& command);
  Reply report_tmf(const Command& command);
  Reply report_target_port_groups(const Command& command);
  Reply report_timestamp(const Command& command);
  Reply set_timestamp(const Command& command);
  Reply mode_sense(const Command& command);
  Reply mode_select(const Command& command);
  Reply log_sense(const Command& command);
  Reply log_select(const Command& command);
  Reply persistent_in(const Command& command);
  Reply persistent_out(const Command& command);
  Reply reserve_release(const Command& command);
  Reply prevent_allow(const Command& command);
  Reply send_diagnostic(const Command& command);
  Reply receive_diagnostic(const Command& command);

  const DeviceIdentity identity_;
  Clock* const clock_;
  OpcodeTable opcodes_;
  ModePages mode_pages_;
  LogPages log_pages_;
  std::map<uint8_t, std::function<Buffer()>> vpd_;
  UnitAttentions attentions_;
  PersistentReservations persistent_;
  std::atomic<bool> reset_pending_{false};

  std::mutex prevention_mutex_;  // around a change of preventers_ and its prevent_changed()

  mutable std::mutex mutex_;                 // what follows
  std::optional<uint64_t> reserved_by_;      // RESERVE(6)/(10), SPC-2: nexus id
  std::map<uint64_t, std::string> nexuses_;  // id -> port name
  std::set<uint64_t> preventers_;
  int64_t timestamp_offset_ms_ = 0;
  bool timestamp_set_ = false;         // by SET TIMESTAMP
  std::set<std::string> known_ports_;  // port names seen, for I_T NEXUS LOSS instead of POWER ON
};

}  // namespace coldshelf::scsi
