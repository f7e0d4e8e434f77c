// The commands of a device server as data: who handles them, how reservations and unit attentions
// treat them, and what REPORT SUPPORTED OPERATION CODES tells of them (SPC-5 6.29).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "target/scsi/logical_unit.h"

namespace coldshelf::scsi {

// What a command of another nexus meets under a persistent reservation (SPC-5 table 66, SSC-5 table
// 12, SMC-3 table 5). Registrants of a "registrants only" or "all registrants" type are never
// refused.
enum class ReservationRule : uint8_t {
  allowed,            // always
  allowed_if_shared,  // conflicts with exclusive access, not with write exclusive
  conflict,           // conflicts with every type
};

struct OpcodeEntry {
  uint8_t opcode = 0;
  std::optional<uint16_t> service_action;  // in byte 1 bits 4-0 (or bytes 8-9 of variable length)
  std::string_view name;
  // CDB usage data: its length is the CDB's, byte 0 the opcode; set bits are looked at.
  std::vector<uint8_t> usage;
  std::function<Reply(const Command&)> handler;
  ReservationRule rule = ReservationRule::conflict;
  bool allowed_under_reserve6 = false;  // SPC-2 5.5.1
  bool ignores_unit_attention = false;  // INQUIRY, REPORT LUNS, REQUEST SENSE (SAM-5 5.14)
  bool may_block = false;
  uint32_t nominal_timeout_s = 0;  // RCTD descriptor; 0: not indicated
  uint32_t recommended_timeout_s = 60;
  std::function<uint64_t(ByteView cdb)> data_out;  // null: no data-out
  bool takes_short_data = false;  // the handler sees to data-out that is shorter than the CDB's
  std::function<Footprint(const Command&)> footprint = {};  // null: alone
};

class OpcodeTable {
 public:
  // Replaces an entry of the same opcode and service action.
  void add(OpcodeEntry entry);
  // Null when unknown; *opcode_known tells an unknown service action from an unknown opcode.
  const OpcodeEntry* find(ByteView cdb, bool* opcode_known = nullptr) const;
  const OpcodeEntry* find(uint8_t opcode, std::optional<uint16_t> service_action) const;
  // For derived devices: changes entries that are there, of every service action.
  void adjust(uint8_t opcode, const std::function<void(OpcodeEntry&)>& change);
  bool has_service_actions(uint8_t opcode) const;
  bool knows(uint8_t opcode) const;
  const std::vector<OpcodeEntry>& entries() const { return entries_; }  // ascending

  // REPORT SUPPORTED OPERATION CODES parameter data; nullopt: invalid combination, with the CDB
  // byte at fault in *bad_byte.
  std::optional<Buffer> report(ByteView cdb, uint16_t* bad_byte) const;

 private:
  std::vector<OpcodeEntry> entries_;
  std::vector<int32_t> first_of_opcode_ = std::vector<int32_t>(256, -1);
};

// Length of a CDB by its group code (SPC-5 4.2.5.1); 16 for the rest.
size_t cdb_length(uint8_t opcode);

// Parameter lists longer than this are not solicited: their commands refuse them by the length.
inline constexpr uint64_t kMaxParameterList = 0xFFFF;

// Data-out length functions for the table: a big-endian field of the CDB; 0 beyond the bound.
std::function<uint64_t(ByteView)> length_at(size_t byte, size_t bytes);

}  // namespace coldshelf::scsi
