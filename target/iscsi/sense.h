// Sense data for conditions that the transport itself finds (SPC-5 4.5.3 fixed format).
#pragma once

#include <cstdint>

#include "base/coding.h"
#include "target/scsi/logical_unit.h"

namespace coldshelf::iscsi {

struct SenseCode {
  uint8_t key, asc, ascq;
};

namespace sense {
constexpr SenseCode kInvalidFieldInCdb{0x05, 0x24, 0x00};
constexpr SenseCode kLogicalUnitNotSupported{0x05, 0x25, 0x00};
constexpr SenseCode kInvalidFieldInInformationUnit{0x05, 0x0e, 0x03};
constexpr SenseCode kInternalTargetFailure{0x0b, 0x44, 0x00};
// RFC 7143 11.4.7.2.
constexpr SenseCode kUnexpectedUnsolicitedData{0x0b, 0x0c, 0x0c};
constexpr SenseCode kProtocolServiceCrcError{0x0b, 0x47, 0x05};
}  // namespace sense

Buffer fixed_sense(SenseCode code);
scsi::Reply sense_reply(SenseCode code);
scsi::Reply status_reply(scsi::ScsiStatus status);

// What a command to a logical unit that does not exist is answered (SPC-5 5.3, SAM-5 4.8).
scsi::Reply wrong_lun_reply(const scsi::Command& command);

}  // namespace coldshelf::iscsi
