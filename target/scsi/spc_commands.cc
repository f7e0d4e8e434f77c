// The commands every device type has (SPC-5 clause 6), but for INQUIRY (spc_inquiry.cc) and
// reservations (device_server.cc).
#include "target/scsi/device_server.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

Reply DeviceServer::test_unit_ready(const Command&) {
  if (const auto sense = not_ready_reason()) return check(*sense);
  return good();
}

// SPC-5 6.39: pending unit attentions are reported here, with GOOD status, and are cleared by it.
Reply DeviceServer::request_sense(const Command& command) {
  Sense sense;
  if (const auto attention = attentions_.take(command.nexus->id)) {
    sense.key = SenseKey::unit_attention;
    sense.code = *attention;
  } else if (const auto now = condition()) {
    sense = *now;
  }
  const bool descriptor = (get_byte(command.cdb, 1) & 0x01) != 0;
  return data(sense.encode(descriptor), get_byte(command.cdb, 4));
}

Reply DeviceServer::report_luns(const Command& command) {
  const uint8_t select = get_byte(command.cdb, 2);
  if (select > 2) return check(invalid_cdb_field(2, 7));
  const bool has_lun = select != 1;  // 01h: well known logical units only, there are none
  Buffer out;
  WireWriter w(out);
  w.u32(has_lun ? 8 : 0).zeros(4);
  if (has_lun) w.u64(0);
  return data(std::move(out), get_number(command.cdb, 6, 4));
}

Reply DeviceServer::report_opcodes(const Command& command) {
  uint16_t bad_byte = 0;
  auto bytes = opcodes_.report(command.cdb, &bad_byte);
  if (!bytes) return check(invalid_cdb_field(bad_byte, 2));
  return data(std::move(*bytes), get_number(command.cdb, 6, 4));
}

// SPC-5 6.30: ATS ATSS CTSS LURS TRS.
Reply DeviceServer::report_tmf(const Command& command) {
  Buffer out;
  WireWriter w(out);
  const bool extended = (get_byte(command.cdb, 2) & 0x80) != 0;  // REPD
  const uint64_t allocation = get_number(command.cdb, 6, 4);
  if (allocation < 4) return check(invalid_cdb_field(6, 7));
  w.u8(0xDA).u8(0).u8(0).u8(extended ? 12 : 0);
  if (extended) w.zeros(12);
  return data(std::move(out), allocation);
}

Reply DeviceServer::report_target_port_groups(const Command& command) {
  const auto format = static_cast<uint8_t>(get_byte(command.cdb, 1) >> 5);
  if (format > 1) return check(invalid_cdb_field(1, 7));
  Buffer out;
  WireWriter w(out);
  w.u32(0);
  if (format == 1) w.u8(0x10).u8(0).zeros(2);
  // One group, active/optimized, and nothing else supported (SPC-5 6.36).
  w.u8(0x00).u8(0x01).u16(identity_.target_port_group).u8(0).u8(0).u8(0).u8(1);
  w.u16(0).u16(identity_.relative_target_port);
  put_number(out, 0, out.size() - 4, 4);
  return data(std::move(out), get_number(command.cdb, 6, 4));
}

Reply DeviceServer::report_timestamp(const Command& command) {
  Buffer out;
  WireWriter w(out);
  const auto now = static_cast<uint64_t>(timestamp_ms());
  const std::lock_guard lock(mutex_);
  // Origin 011b: set by a method outside of SCSI, the gateway's clock; 010b: by SET TIMESTAMP.
  w.u16(10).u8(timestamp_set_ ? 2 : 3).u8(0).number(now, 6).u16(0);
  return data(std::move(out), get_number(command.cdb, 6, 4));
}

Reply DeviceServer::set_timestamp(const Command& command) {
  const uint64_t length = get_number(command.cdb, 6, 4);
  if (length == 0) return good();
  if (length < 12 || command.data_out.size() < 12)
    return check(illegal_request(asc::parameter_list_length_error));
  const auto wanted = static_cast<int64_t>(get_number(command.data_out, 4, 6));
  {
    const std::lock_guard lock(mutex_);
    timestamp_offset_ms_ = wanted - clock_->unix_ms();
    timestamp_set_ = true;
  }
  attentions_.raise_for_others(command.nexus->id, asc::timestamp_changed);
  return good();
}

Reply DeviceServer::mode_sense(const Command& command) {
  const bool ten = get_byte(command.cdb, 0) == 0x5A;
  auto outcome = mode_pages_.mode_sense(command.cdb);
  if (outcome.sense) return check(*outcome.sense);
  return data(std::move(outcome.data),
              ten ? get_number(command.cdb, 7, 2) : get_byte(command.cdb, 4));
}

Reply DeviceServer::mode_select(const Command& command) {
  const auto outcome = mode_pages_.mode_select(command.cdb, command.data_out);
  if (outcome.changed)
    attentions_.raise_for_others(command.nexus->id, asc::mode_parameters_changed);
  if (outcome.sense) return check(*outcome.sense);
  return good();
}

Reply DeviceServer::log_sense(const Command& command) {
  auto outcome = log_pages_.log_sense(command.cdb);
  if (outcome.sense) return check(*outcome.sense);
  return data(std::move(outcome.data), get_number(command.cdb, 7, 2));
}

Reply DeviceServer::log_select(const Command& command) {
  const auto sense = log_pages_.log_select(command.cdb, command.data_out);
  if (sense) return check(*sense);
  if ((get_byte(command.cdb, 1) & 0x02) != 0)
    attentions_.raise_for_others(command.nexus->id, asc::log_parameters_changed);
  return good();
}

Reply DeviceServer::send_diagnostic(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  if (get_number(command.cdb, 3, 2) != 0) return check(invalid_cdb_field(3, 7));
  const auto code = static_cast<uint8_t>(flags >> 5);
  if (code == 3 || code == 7) return check(invalid_cdb_field(1, 7));
  const bool foreground = (flags & 0x04) != 0 || code == 5 || code == 6;
  if (foreground)
    if (const auto sense = self_test()) return check(*sense);
  return good();
}

Reply DeviceServer::receive_diagnostic(const Command& command) {
  const bool page_valid = (get_byte(command.cdb, 1) & 0x01) != 0;
  if (page_valid && get_byte(command.cdb, 2) != 0) return check(invalid_cdb_field(2, 7));
  Buffer out;
  WireWriter(out).u8(0).u8(0).u16(1).u8(0);  // supported pages: this one
  return data(std::move(out), get_number(command.cdb, 3, 2));
}

void DeviceServer::add_mode_and_log_opcodes() {
  const auto shared = ReservationRule::conflict;
  const auto add = [this](OpcodeEntry e) { opcodes_.add(std::move(e)); };
  const auto sense = [this](const Command& c) { return mode_sense(c); };
  const auto select = [this](const Command& c) { return mode_select(c); };
  add({.opcode = 0x1A,
       .service_action = {},
       .name = "MODE SENSE(6)",
       .usage = {0x1A, 0x08, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = sense,
       .rule = shared,
       .data_out = {}});
  add({.opcode = 0x5A,
       .service_action = {},
       .name = "MODE SENSE(10)",
       .usage = {0x5A, 0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0x04},
       .handler = sense,
       .rule = shared,
       .data_out = {}});
  add({.opcode = 0x15,
       .service_action = {},
       .name = "MODE SELECT(6)",
       .usage = {0x15, 0x11, 0, 0, 0xFF, 0x04},
       .handler = select,
       .data_out = length_at(4, 1)});
  add({.opcode = 0x55,
       .service_action = {},
       .name = "MODE SELECT(10)",
       .usage = {0x55, 0x11, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04},
       .handler = select,
       .data_out = length_at(7, 2)});
  add({.opcode = 0x4D,
       .service_action = {},
       .name = "LOG SENSE",
       .usage = {0x4D, 0x01, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return log_sense(c); },
       .rule = ReservationRule::allowed_if_shared,
       .allowed_under_reserve6 = true,
       .data_out = {}});
  add({.opcode = 0x4C,
       .service_action = {},
       .name = "LOG SELECT",
       .usage = {0x4C, 0x03, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return log_select(c); },
       .data_out = length_at(7, 2)});
}

void DeviceServer::add_common_opcodes() {
  const auto free = ReservationRule::allowed;
  const auto add = [this](OpcodeEntry e) { opcodes_.add(std::move(e)); };
  const auto maintenance = [&](uint8_t opcode, uint8_t action, std::string_view name, uint8_t b1,
                               uint8_t b2, uint8_t b35, ReservationRule rule,
                               Reply (DeviceServer::*handler)(const Command&), bool data_out) {
    add({.opcode = opcode,
         .service_action = action,
         .name = name,
         .usage = {opcode, static_cast<uint8_t>(b1 | action), b2, b35, b35, b35, 0xFF, 0xFF, 0xFF,
                   0xFF, 0, 0x04},
         .handler = [this, handler](const Command& c) { return (this->*handler)(c); },
         .rule = rule,
         .data_out = data_out ? length_at(6, 4) : nullptr});
  };
  add({.opcode = 0x00,
       .service_action = {},
       .name = "TEST UNIT READY",
       .usage = {0x00, 0, 0, 0, 0, 0x04},
       .handler = [this](const Command& c) { return test_unit_ready(c); },
       .rule = free,
       .data_out = {}});
  add({.opcode = 0x03,
       .service_action = {},
       .name = "REQUEST SENSE",
       .usage = {0x03, 0x01, 0, 0, 0xFF, 0x04},
       .handler = [this](const Command& c) { return request_sense(c); },
       .rule = free,
       .allowed_under_reserve6 = true,
       .ignores_unit_attention = true,
       .data_out = {}});
  add({.opcode = 0x12,
       .service_action = {},
       .name = "INQUIRY",
       .usage = {0x12, 0x01, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return inquiry(c); },
       .rule = free,
       .allowed_under_reserve6 = true,
       .ignores_unit_attention = true,
       .data_out = {}});
  add({.opcode = 0xA0,
       .service_action = {},
       .name = "REPORT LUNS",
       .usage = {0xA0, 0, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04},
       .handler = [this](const Command& c) { return report_luns(c); },
       .rule = free,
       .allowed_under_reserve6 = true,
       .ignores_unit_attention = true,
       .data_out = {}});
  add({.opcode = 0x1D,
       .service_action = {},
       .name = "SEND DIAGNOSTIC",
       .usage = {0x1D, 0xF7, 0, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return send_diagnostic(c); },
       .recommended_timeout_s = 600,
       .data_out = length_at(3, 2)});
  add({.opcode = 0x1C,
       .service_action = {},
       .name = "RECEIVE DIAGNOSTIC RESULTS",
       .usage = {0x1C, 0x01, 0xFF, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return receive_diagnostic(c); },
       .data_out = {}});
  using D = DeviceServer;
  maintenance(0xA3, 0x0A, "REPORT TARGET PORT GROUPS", 0xE0, 0, 0, free,
              &D::report_target_port_groups, false);
  maintenance(0xA3, 0x0C, "REPORT SUPPORTED OPERATION CODES", 0, 0x87, 0xFF, free,
              &D::report_opcodes, false);
  maintenance(0xA3, 0x0D, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", 0, 0x80, 0, free,
              &D::report_tmf, false);
  maintenance(0xA3, 0x0F, "REPORT TIMESTAMP", 0, 0, 0, free, &D::report_timestamp, false);
  maintenance(0xA4, 0x0F, "SET TIMESTAMP", 0, 0, 0, ReservationRule::conflict, &D::set_timestamp,
              true);
}

}  // namespace coldshelf::scsi
