// A medium changer as SMC-3 describes it: CDBs onto a Library.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "tape/library/library.h"
#include "target/scsi/device_server.h"
#include "target/scsi/smc_element_status.h"

namespace coldshelf::scsi {

struct ChangerUnitOptions {
  Library* library = nullptr;  // outlives the unit; its profile and serial are the identity
  Clock* clock = nullptr;
  std::string target_name;  // iqn, for VPD page 83h
  uint16_t relative_target_port = 1;
  uint16_t target_port_group = 1;
};

class ChangerUnit final : public DeviceServer {
 public:
  explicit ChangerUnit(ChangerUnitOptions options);
  ~ChangerUnit() override;

  void nexus_lost(const Nexus& nexus) override;

 protected:
  void before_command(const Command& command) override;
  void finish_inquiry(Buffer& data) override;
  void prevent_changed(uint64_t nexus_id, bool prevent, bool any) override;

 private:
  void add_opcodes();
  void add_mode_pages();
  void add_log_pages();

  // smc_movement.cc
  Reply initialize_element_status(const Command& command);
  Reply initialize_element_status_range(const Command& command);
  Reply move_medium(const Command& command);
  Reply exchange_medium(const Command& command);
  Reply position_to_element(const Command& command);
  bool is_transport(uint64_t address) const;
  // May hold a medium when no move is under way; else INVALID ELEMENT ADDRESS.
  bool is_place(uint64_t address) const;

  // smc_element_status.cc, smc_volume_tags.cc
  Reply read_element_status(const Command& command);
  Reply send_volume_tag(const Command& command);
  Reply request_volume_element_address(const Command& command);
  std::vector<ElementStatus> statuses(const std::vector<Element>& elements) const;

  // What SEND VOLUME TAG asked for, until REQUEST VOLUME ELEMENT ADDRESS fetches it (SMC-3 6.13).
  struct VolumeSearch {
    uint8_t action = 0;
    std::vector<uint16_t> addresses;
  };

  Library& library_;
  uint64_t seen_inventory_ = 0;
  uint64_t seen_import_export_ = 0;
  std::mutex searches_mutex_;
  std::map<uint64_t, VolumeSearch> searches_;  // by nexus: as many as there are sessions
};

// What a library's error means to an initiator (SMC-3 4.5, SPC-5 annex F).
Sense changer_sense(const Error& error);

}  // namespace coldshelf::scsi
