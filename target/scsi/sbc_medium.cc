// START STOP UNIT, READ DEFECT DATA, FORMAT UNIT, SANITIZE (SBC-4 5.35, 5.20, 5.4, 5.30).
#include "target/scsi/block_unit.h"
#include "target/scsi/sbc_sanitize.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

enum SanitizeAction : uint8_t {
  overwrite = 1,
  block_erase = 2,
  crypto_erase = 3,
  exit_mode = 0x1F
};
constexpr size_t kOverwriteHeader = 4;

// One block of the initialization pattern, repeated from its start (SBC-4 table 95).
Buffer pattern_block(ByteView pattern, uint64_t block, bool invert) {
  Buffer out(static_cast<size_t>(block));
  const std::byte flip = invert ? std::byte{0xFF} : std::byte{0};
  for (size_t i = 0; i < out.size(); ++i) out[i] = pattern[i % pattern.size()] ^ flip;
  return out;
}

}  // namespace

// A disk has no door: LOEJ is refused. Of the power conditions there is only the active one, and
// what START says.
Reply BlockUnit::start_stop(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 4);
  const auto power_condition = static_cast<uint8_t>(flags >> 4);
  if (const auto sense = sanitize_->condition()) return check(*sense);
  // ACTIVE and LU_CONTROL leave things as they are (SBC-4 table 101).
  if (power_condition == 0x1 || power_condition == 0x7) return good();
  if (power_condition != 0) return check(invalid_cdb_field(4, 7));
  if ((flags & 0x02) != 0) return check(invalid_cdb_field(4, 1));
  const bool start = (flags & 0x01) != 0;
  const bool flush = (flags & 0x04) == 0;  // NO_FLUSH
  if (!start && flush)
    if (const Status done = device_->flush(); !done.ok())
      return failed(done.error(), Activity::writing);
  stopped_ = !start;
  return good();
}

// There are no defects to tell of: empty lists, in the format that was asked for.
Reply BlockUnit::read_defect_data(const Command& command) {
  const bool twelve = get_byte(command.cdb, 0) == 0xB7;
  const uint8_t asked = get_byte(command.cdb, twelve ? 1 : 2) & 0x1F;  // PLIST GLIST FORMAT
  if (const auto sense = refuse_medium(Access::read)) return check(*sense);
  Buffer out;
  WireWriter w(out);
  w.u8(0).u8(asked);
  if (twelve)
    w.u16(0).u32(0);
  else
    w.u16(0);
  return data(std::move(out),
              twelve ? get_number(command.cdb, 6, 4) : get_number(command.cdb, 7, 2));
}

// Every block is deallocated: it reads as zeroes afterwards (SBC-4 4.34). Defect lists, protection
// information and another pattern are refused.
Reply BlockUnit::format_unit(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  if ((flags & 0xC0) != 0) return check(invalid_cdb_field(1, 7));  // FMTPINFO
  const bool has_list = (flags & 0x10) != 0;                       // FMTDATA
  if (!has_list && (flags & 0x0F) != 0) return check(invalid_cdb_field(1, 3));
  if (const auto sense = refuse_medium(Access::write)) return check(*sense);
  if (has_list) {
    const bool long_list = (flags & 0x20) != 0;
    const ByteView list = command.data_out;
    if (list.size() < (long_list ? 8U : 4U))
      return check(illegal_request(asc::parameter_list_length_error));
    if ((get_byte(list, 1) & 0x08) != 0) return check(invalid_parameter_field(1, 3));  // IP
    const size_t at = long_list ? 4 : 2;
    if (get_number(list, at, long_list ? 4 : 2) != 0)
      return check(invalid_parameter_field(static_cast<uint16_t>(at), 7));
  }
  Status done = device_->unmap(0, device_->size_bytes());
  if (done.ok()) done = device_->flush();
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

// What the device promises to make irrecoverable, and nothing that merely looks so: the operations
// it does not promise are not in the table.
Reply BlockUnit::sanitize(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const auto action = static_cast<uint8_t>(flags & 0x1FU);
  const bool immediate = (flags & 0x80) != 0;
  const uint64_t length = get_number(command.cdb, 7, 2);
  // Nothing that a later standard may mean by them is done by mistake.
  if ((flags & 0x40) != 0) return check(invalid_cdb_field(1, 6));
  if (get_number(command.cdb, 2, 5) != 0) return check(invalid_cdb_field(2, 7));
  if (action == exit_mode) {
    if (length != 0) return check(invalid_cdb_field(7, 7));
    if (sanitize_->exit_failure()) return good();
    const auto reason = sanitize_->condition();
    return reason ? check(*reason) : good();  // it has ended meanwhile
  }
  const auto under_way = sanitize_->condition();
  if (under_way && under_way->key == SenseKey::not_ready) return check(*under_way);
  if (stopped_ || write_protected_ || device_->read_only())
    if (const auto sense = refuse_medium(Access::write)) return check(*sense);
  SanitizeJob::Request request;
  request.unrestricted_exit = (flags & 0x20) != 0;
  if (action == crypto_erase) request.erasure = BlockDevice::Erasure::key;
  if (action != overwrite && length != 0) return check(invalid_cdb_field(7, 7));
  if (action == overwrite) {
    const ByteView list = command.data_out;
    if (length < kOverwriteHeader + 1 || length > kOverwriteHeader + block_)
      return check(invalid_cdb_field(7, 7));
    const auto count = static_cast<uint8_t>(get_byte(list, 0) & 0x1FU);
    const uint64_t pattern = get_number(list, 2, 2);
    if (count == 0) return check(invalid_parameter_field(0, 4));
    if (pattern == 0 || pattern > block_ || pattern != length - kOverwriteHeader)
      return check(invalid_parameter_field(2, 7));
    // With INVERT every other pass has the complement: the last one decides what is read.
    const bool inverted = (get_byte(list, 0) & 0x80) != 0 && count % 2 == 0;
    request.pattern = pattern_block(list.subspan(kOverwriteHeader), block_, inverted);
  }
  if (const Status started = sanitize_->start(std::move(request)); !started.ok())
    return failed(started.error(), Activity::writing);
  if (immediate) return good();
  sanitize_->wait(command.aborted.get());
  if (const auto sense = sanitize_->condition()) return check(*sense);
  return good();
}

}  // namespace coldshelf::scsi
