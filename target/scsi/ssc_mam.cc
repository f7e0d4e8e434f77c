// READ ATTRIBUTE and WRITE ATTRIBUTE: medium auxiliary memory (SPC-5 6.20, 6.45, 7.4).
#include <algorithm>

#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kHeaderBytes = 4;
constexpr size_t kAttributeHeaderBytes = 5;

struct Attribute {
  uint16_t id = 0;
  uint8_t format = 0;
  ByteView value;
  uint16_t offset = 0;  // in the parameter list
};

}  // namespace

Reply TapeUnit::read_attribute(const Command& command) {
  const auto action = static_cast<uint8_t>(get_byte(command.cdb, 1) & 0x1FU);
  const uint64_t allocation = get_number(command.cdb, 10, 4);
  if (action > 3) return check(invalid_cdb_field(1, 4));
  if (get_byte(command.cdb, 5) != 0) return check(invalid_cdb_field(5, 7));  // logical volume 0
  if (const auto sense = not_ready_reason()) return check(*sense);
  TapeDrive& drive = *state_->drive;
  Buffer out;
  WireWriter w(out);
  if (action >= 2) {  // logical volumes: one; partitions
    w.u16(2).u8(0).u8(action == 2 ? 1 : drive.partition_count());
    return data(std::move(out), allocation);
  }
  const uint8_t partition = get_byte(command.cdb, 7);
  if (partition >= drive.partition_count()) return check(invalid_cdb_field(7, 7));
  const auto attributes = drive.mam_attributes(partition);
  if (!attributes.ok()) return check(attributes.error(), Activity::other);
  const auto first = static_cast<uint16_t>(get_number(command.cdb, 8, 2));
  w.u32(0);
  if (action == 1) {
    for (const auto& a : *attributes) w.u16(a.id);
  } else {
    // SPC-5 6.20.2: the first attribute asked for has to exist.
    const bool exists = std::any_of(attributes->begin(), attributes->end(),
                                    [&](const auto& a) { return a.id == first; });
    if (!exists && first != 0) return check(invalid_cdb_field(8, 7));
    for (const auto& a : *attributes) {
      if (a.id < first) continue;
      w.u16(a.id).u8((a.read_only ? 0x80U : 0U) | (a.format & 0x03U)).u16(a.value.size());
      w.raw(a.value);
    }
  }
  put_number(out, 0, out.size() - kHeaderBytes, 4);
  return data(std::move(out), allocation);
}

Reply TapeUnit::write_attribute(const Command& command) {
  const uint64_t length = get_number(command.cdb, 10, 4);
  const uint8_t partition = get_byte(command.cdb, 7);
  if (get_byte(command.cdb, 5) != 0) return check(invalid_cdb_field(5, 7));
  if (length > kMaxAttributeList) return check(invalid_cdb_field(10, 7));
  if (const auto sense = not_ready_reason()) return check(*sense);
  TapeDrive& drive = *state_->drive;
  if (partition >= drive.partition_count()) return check(invalid_cdb_field(7, 7));
  if (length == 0) return good();
  if (length < kHeaderBytes) return check(illegal_request(asc::parameter_list_length_error));
  // The list ends where the CDB says: LTFS counts the header in its own length field.
  const ByteView list = command.data_out.first(length);
  std::vector<Attribute> attributes;
  for (size_t at = kHeaderBytes; at < list.size();) {
    if (list.size() - at < kAttributeHeaderBytes)
      return check(illegal_request(asc::parameter_list_length_error));
    Attribute a;
    a.id = static_cast<uint16_t>(get_number(list, at, 2));
    a.format = static_cast<uint8_t>(get_byte(list, at + 2) & 0x03U);
    a.offset = static_cast<uint16_t>(at);
    const auto size = static_cast<size_t>(get_number(list, at + 3, 2));
    if (list.size() - at - kAttributeHeaderBytes < size)
      return check(illegal_request(asc::parameter_list_length_error));
    a.value = list.subspan(at + kAttributeHeaderBytes, size);
    if (!attributes.empty() && a.id <= attributes.back().id)
      return check(invalid_parameter_field(a.offset));  // ascending (SPC-5 6.45)
    attributes.push_back(a);
    at += kAttributeHeaderBytes + size;
  }
  for (const Attribute& a : attributes) {
    const Status done = drive.write_mam(partition, a.id, a.format, a.value);
    if (done.ok()) continue;
    const ErrorCode code = done.error().code;
    if (code == ErrorCode::invalid_argument || code == ErrorCode::out_of_range ||
        code == ErrorCode::not_found || code == ErrorCode::permission)
      return check(invalid_parameter_field(a.offset));
    return write_error(done.error(), std::nullopt);
  }
  return good();
}

}  // namespace coldshelf::scsi
