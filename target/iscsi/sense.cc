#include "target/iscsi/sense.h"

namespace coldshelf::iscsi {

namespace {
constexpr std::byte kInquiry{0x12};
constexpr std::byte kRequestSense{0x03};

scsi::Reply data_reply(Buffer bytes, uint64_t allocation_length, uint64_t expected) {
  if (bytes.size() > allocation_length) bytes.resize(static_cast<size_t>(allocation_length));
  scsi::Reply reply;
  reply.data_in_wanted = bytes.size();
  reply.data = scsi::DataIn::from(std::move(bytes));
  reply.data.truncate(expected);
  return reply;
}

Buffer absent_unit_inquiry(const scsi::Command& command) {
  // Peripheral qualifier 3, device type 1Fh: no device can be here (SPC-5 6.6.2).
  if ((command.cdb[1] & std::byte{1}) != std::byte{0}) {
    Buffer page(4, std::byte{0});
    page[0] = std::byte{0x7f};
    page[1] = command.cdb[2];
    return page;
  }
  Buffer standard(36, std::byte{0});
  standard[0] = std::byte{0x7f};
  standard[2] = std::byte{0x06};  // SPC-4
  standard[3] = std::byte{0x02};
  standard[4] = std::byte{31};
  for (size_t i = 8; i < 36; ++i) standard[i] = std::byte{' '};
  return standard;
}
}  // namespace

Buffer fixed_sense(SenseCode code) {
  Buffer bytes(18, std::byte{0});
  bytes[0] = std::byte{0x70};
  bytes[2] = static_cast<std::byte>(code.key);
  bytes[7] = std::byte{10};
  bytes[12] = static_cast<std::byte>(code.asc);
  bytes[13] = static_cast<std::byte>(code.ascq);
  return bytes;
}

scsi::Reply sense_reply(SenseCode code) {
  scsi::Reply reply;
  reply.status = scsi::ScsiStatus::check_condition;
  reply.sense = fixed_sense(code);
  return reply;
}

scsi::Reply status_reply(scsi::ScsiStatus status) {
  scsi::Reply reply;
  reply.status = status;
  return reply;
}

scsi::Reply wrong_lun_reply(const scsi::Command& command) {
  if (command.cdb[0] == kInquiry)
    return data_reply(absent_unit_inquiry(command), load_be<uint16_t>(&command.cdb[3]),
                      command.expected_in);
  if (command.cdb[0] == kRequestSense)
    return data_reply(fixed_sense(sense::kLogicalUnitNotSupported),
                      std::to_integer<uint8_t>(command.cdb[4]), command.expected_in);
  return sense_reply(sense::kLogicalUnitNotSupported);
}

}  // namespace coldshelf::iscsi
