#include "target/scsi/opcode_table.h"

#include <algorithm>

#include "base/check.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kTimeoutsBytes = 12;

bool before(const OpcodeEntry& a, const OpcodeEntry& b) {
  if (a.opcode != b.opcode) return a.opcode < b.opcode;
  return a.service_action.value_or(0) < b.service_action.value_or(0);
}

// Command timeouts descriptor (SPC-5 6.29.4).
void put_timeouts(WireWriter& w, const OpcodeEntry& e) {
  w.u16(kTimeoutsBytes - 2).u8(0).u8(0).u32(e.nominal_timeout_s).u32(e.recommended_timeout_s);
}

Buffer report_all(const std::vector<OpcodeEntry>& entries, bool timeouts) {
  Buffer out;
  WireWriter w(out);
  w.u32(entries.size() * (8 + (timeouts ? kTimeoutsBytes : 0)));
  for (const OpcodeEntry& e : entries) {
    w.u8(e.opcode).u8(0).u16(e.service_action.value_or(0)).u8(0);
    w.u8((timeouts ? 0x02U : 0U) | (e.service_action ? 0x01U : 0U)).u16(e.usage.size());
    if (timeouts) put_timeouts(w, e);
  }
  return out;
}

Buffer report_one(const OpcodeEntry* e, bool timeouts) {
  Buffer out;
  WireWriter w(out);
  if (e == nullptr) {
    w.u8(0).u8(0x01).u16(0);  // SUPPORT 001b: not supported
    return out;
  }
  w.u8(0).u8((timeouts ? 0x80U : 0U) | 0x03U).u16(e->usage.size());
  for (uint8_t b : e->usage) w.u8(b);
  if (timeouts) put_timeouts(w, *e);
  return out;
}

}  // namespace

size_t cdb_length(uint8_t opcode) {
  switch (opcode >> 5) {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 5:
      return 12;
    default:
      return 16;
  }
}

std::function<uint64_t(ByteView)> length_at(size_t byte, size_t bytes) {
  return [byte, bytes](ByteView cdb) -> uint64_t {
    const uint64_t length = get_number(cdb, byte, bytes);
    return length > kMaxParameterList ? 0 : length;
  };
}

void OpcodeTable::add(OpcodeEntry entry) {
  CHECK(!entry.usage.empty() && entry.usage[0] == entry.opcode);
  const auto same = std::find_if(entries_.begin(), entries_.end(), [&](const OpcodeEntry& e) {
    return e.opcode == entry.opcode && e.service_action == entry.service_action;
  });
  if (same != entries_.end()) {
    *same = std::move(entry);
    return;
  }
  entries_.insert(std::upper_bound(entries_.begin(), entries_.end(), entry, before),
                  std::move(entry));
  std::fill(first_of_opcode_.begin(), first_of_opcode_.end(), -1);
  for (size_t i = entries_.size(); i-- > 0;)
    first_of_opcode_[entries_[i].opcode] = static_cast<int32_t>(i);
}

const OpcodeEntry* OpcodeTable::find(uint8_t opcode, std::optional<uint16_t> action) const {
  const int32_t first = first_of_opcode_[opcode];
  if (first < 0) return nullptr;
  for (auto i = static_cast<size_t>(first); i < entries_.size(); ++i) {
    if (entries_[i].opcode != opcode) break;
    if (entries_[i].service_action == action) return &entries_[i];
  }
  return nullptr;
}

const OpcodeEntry* OpcodeTable::find(ByteView cdb, bool* opcode_known) const {
  const uint8_t opcode = get_byte(cdb, 0);
  if (opcode_known != nullptr) *opcode_known = knows(opcode);
  if (!knows(opcode)) return nullptr;
  if (!has_service_actions(opcode)) return find(opcode, std::nullopt);
  return find(opcode, static_cast<uint16_t>(get_byte(cdb, 1) & 0x1FU));
}

void OpcodeTable::adjust(uint8_t opcode, const std::function<void(OpcodeEntry&)>& change) {
  for (OpcodeEntry& entry : entries_)
    if (entry.opcode == opcode) change(entry);
}

bool OpcodeTable::knows(uint8_t opcode) const { return first_of_opcode_[opcode] >= 0; }

bool OpcodeTable::has_service_actions(uint8_t opcode) const {
  const int32_t first = first_of_opcode_[opcode];
  return first >= 0 && entries_[static_cast<size_t>(first)].service_action.has_value();
}

std::optional<Buffer> OpcodeTable::report(ByteView cdb, uint16_t* bad_byte) const {
  const bool timeouts = (get_byte(cdb, 2) & 0x80) != 0;
  const uint8_t options = get_byte(cdb, 2) & 0x07;
  const uint8_t opcode = get_byte(cdb, 3);
  const auto action = static_cast<uint16_t>(get_number(cdb, 4, 2));
  switch (options) {
    case 0:
      return report_all(entries_, timeouts);
    case 1:
      if (has_service_actions(opcode)) {
        *bad_byte = 2;
        return std::nullopt;
      }
      return report_one(find(opcode, std::nullopt), timeouts);
    case 2:
      if (knows(opcode) && !has_service_actions(opcode)) {
        *bad_byte = 2;
        return std::nullopt;
      }
      return report_one(find(opcode, action), timeouts);
    case 3:  // an opcode without service actions is asked for with service action 0
      if (has_service_actions(opcode)) return report_one(find(opcode, action), timeouts);
      return report_one(action == 0 ? find(opcode, std::nullopt) : nullptr, timeouts);
    default:
      *bad_byte = 2;
      return std::nullopt;
  }
}

}  // namespace coldshelf::scsi
