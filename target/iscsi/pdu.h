// Wire layouts of RFC 7143 clause 11: nothing but opcodes, field offsets and their accessors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/coding.h"

namespace coldshelf::iscsi {

constexpr size_t kBhsLength = 48;
constexpr size_t kDigestLength = 4;
constexpr size_t kMaxAhsLength = 255 * 4;  // TotalAHSLength is one byte, in words
constexpr uint32_t kReservedTag = 0xffffffffU;
constexpr uint32_t kDefaultMaxRecvDataSegmentLength = 8192;  // RFC 7143 13.12

// RFC 7143 11.2.1.2.
enum class Opcode : uint8_t {
  nop_out = 0x00,
  scsi_command = 0x01,
  task_management_request = 0x02,
  login_request = 0x03,
  text_request = 0x04,
  data_out = 0x05,
  logout_request = 0x06,
  snack = 0x10,
  nop_in = 0x20,
  scsi_response = 0x21,
  task_management_response = 0x22,
  login_response = 0x23,
  text_response = 0x24,
  data_in = 0x25,
  logout_response = 0x26,
  r2t = 0x31,
  async_message = 0x32,
  reject = 0x3f,
};

// RFC 7143 11.17.1.
enum class RejectReason : uint8_t {
  data_digest_error = 0x02,
  snack_reject = 0x03,
  protocol_error = 0x04,
  command_not_supported = 0x05,
  immediate_command_reject = 0x06,
  task_in_progress = 0x07,
  invalid_pdu_field = 0x09,
  long_operation_reject = 0x0a,
};

// RFC 7143 11.5.1 and 11.6.1.
enum class TaskFunction : uint8_t {
  abort_task = 1,
  abort_task_set = 2,
  clear_aca = 3,
  clear_task_set = 4,
  logical_unit_reset = 5,
  target_warm_reset = 6,
  target_cold_reset = 7,
  task_reassign = 8,
};
enum class TaskResponse : uint8_t {
  complete = 0,
  no_such_task = 1,
  no_such_lun = 2,
  reassign_not_supported = 4,
  not_supported = 5,
  rejected = 255,
};

// RFC 7143 11.13.5: class in the high byte, detail in the low one.
enum class LoginStatus : uint16_t {
  success = 0x0000,
  initiator_error = 0x0200,
  authentication_failure = 0x0201,
  not_found = 0x0203,
  unsupported_version = 0x0205,
  too_many_connections = 0x0206,
  missing_parameter = 0x0207,
  session_type_not_supported = 0x0209,
  session_does_not_exist = 0x020a,
  invalid_during_login = 0x020b,
  target_error = 0x0300,
  service_unavailable = 0x0301,
  out_of_resources = 0x0302,
};

// Byte offsets in the basic header segment, by PDU where they differ.
namespace field {
constexpr size_t kFlags = 1;
constexpr size_t kLun = 8;
constexpr size_t kInitiatorTaskTag = 16;
constexpr size_t kTargetTransferTag = 20;  // Data-Out, Data-In, R2T, NOP, Text
constexpr size_t kExpectedLength = 20;     // SCSI Command
constexpr size_t kReferencedTaskTag = 20;  // Task Management Request
constexpr size_t kCid = 20;                // Login, Logout Request (two bytes)
constexpr size_t kCmdSn = 24;              // every request that carries one
constexpr size_t kExpStatSn = 28;
constexpr size_t kRefCmdSn = 32;  // Task Management Request
constexpr size_t kCdb = 32;
constexpr size_t kStatSn = 24;  // every response
constexpr size_t kExpCmdSn = 28;
constexpr size_t kMaxCmdSn = 32;
constexpr size_t kDataSn = 36;  // Data-Out, Data-In, ExpDataSN of a SCSI Response, R2TSN of an R2T
constexpr size_t kBufferOffset = 40;   // Data-Out, Data-In, R2T
constexpr size_t kResidual = 44;       // SCSI Response, Data-In
constexpr size_t kDesiredLength = 44;  // R2T
constexpr size_t kResponse = 2;        // SCSI, Task Management, Logout Response; Reject reason
constexpr size_t kStatus = 3;          // SCSI Response, Data-In
constexpr size_t kVersionMax = 2;      // Login
constexpr size_t kVersionMin = 3;      // Login Request; the active version in a response
constexpr size_t kIsid = 8;
constexpr size_t kTsih = 14;
constexpr size_t kLoginStatus = 36;
constexpr size_t kAsyncEvent = 36;
constexpr size_t kAsyncParameter3 = 42;
constexpr size_t kTime2Wait = 40;    // Logout Response
constexpr size_t kTime2Retain = 42;  // Logout Response
}  // namespace field

namespace flag {
constexpr uint8_t kFinal = 0x80;  // also Transit of Login
constexpr uint8_t kContinue = 0x40;
constexpr uint8_t kRead = 0x40;
constexpr uint8_t kWrite = 0x20;
constexpr uint8_t kAttributeMask = 0x07;
constexpr uint8_t kOverflow = 0x04;
constexpr uint8_t kUnderflow = 0x02;
constexpr uint8_t kStatusPresent = 0x01;
constexpr uint8_t kImmediate = 0x40;  // in byte 0
constexpr uint8_t kOpcodeMask = 0x3f;
}  // namespace flag

// The basic header segment.
class Bhs {
 public:
  Bhs() : raw_{} {}
  explicit Bhs(Opcode opcode, uint8_t flags = flag::kFinal) : raw_{} {
    set8(0, static_cast<uint8_t>(opcode));
    set8(field::kFlags, flags);
  }
  static Bhs parse(ByteView bytes);  // at least kBhsLength bytes

  uint8_t get8(size_t at) const { return std::to_integer<uint8_t>(raw_[at]); }
  uint16_t get16(size_t at) const { return load_be<uint16_t>(&raw_[at]); }
  uint32_t get32(size_t at) const { return load_be<uint32_t>(&raw_[at]); }
  void set8(size_t at, uint8_t v) { raw_[at] = static_cast<std::byte>(v); }
  void set16(size_t at, uint16_t v) { store_be(&raw_[at], v); }
  void set32(size_t at, uint32_t v) { store_be(&raw_[at], v); }
  void copy(size_t at, ByteView bytes) { std::memcpy(&raw_[at], bytes.data(), bytes.size()); }

  Opcode opcode() const { return static_cast<Opcode>(get8(0) & flag::kOpcodeMask); }
  bool immediate() const { return (get8(0) & flag::kImmediate) != 0; }
  uint8_t flags() const { return get8(field::kFlags); }
  bool has(uint8_t mask) const { return (flags() & mask) != 0; }
  size_t ahs_length() const { return size_t{get8(4)} * 4; }
  uint32_t data_length() const { return load_be24(&raw_[5]); }
  void set_data_length(size_t n) { store_be24(&raw_[5], static_cast<uint32_t>(n)); }
  uint32_t task_tag() const { return get32(field::kInitiatorTaskTag); }
  ByteView lun() const { return bytes(field::kLun, 8); }
  ByteView bytes(size_t at, size_t n) const { return ByteView(raw_).subspan(at, n); }
  ByteView bytes() const { return raw_; }

 private:
  std::array<std::byte, kBhsLength> raw_;
};

constexpr size_t padding_of(uint64_t length) { return static_cast<size_t>((4 - (length & 3)) & 3); }

// RFC 1982 serial number arithmetic on 32 bits, as RFC 7143 4.2.2.1 asks for.
constexpr bool serial_less(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }
constexpr bool serial_less_equal(uint32_t a, uint32_t b) { return a == b || serial_less(a, b); }

// A PDU on its way out. The payload is `inline_data` or `parts`, never both; `owner` keeps the
// parts.
struct OutPdu {
  Bhs bhs;
  Buffer inline_data;
  std::vector<ByteView> parts;
  std::shared_ptr<const void> owner;
  std::array<std::byte, kDigestLength> header_digest{};
  std::array<std::byte, 3 + kDigestLength> trailer{};  // padding, then the data digest
  size_t header_digest_length = 0;
  size_t trailer_length = 0;
  uint64_t wire_length = 0;

  // Fills in lengths, padding and digests: called once, when nothing else changes any more.
  void seal(bool with_header_digest, bool with_data_digest);
};

// The LUN field names logical unit 0 (SAM-5 4.7: peripheral device or flat space addressing).
bool is_lun_zero(ByteView lun);

}  // namespace coldshelf::iscsi
