#include "target/scsi/sense.h"

#include <algorithm>
#include <array>
#include <limits>

#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

// Sense key specific data (SPC-5 4.4.2.4): field pointer or progress indication.
std::optional<std::array<uint8_t, 3>> key_specific(const Sense& s) {
  if (s.field) {
    uint8_t first = 0x80;
    if (s.field->in_cdb) first |= 0x40;
    if (s.field->bit) first = static_cast<uint8_t>(first | 0x08 | (*s.field->bit & 7U));
    return std::array<uint8_t, 3>{first, static_cast<uint8_t>(s.field->byte >> 8),
                                  static_cast<uint8_t>(s.field->byte & 0xFF)};
  }
  if (s.progress)
    return std::array<uint8_t, 3>{0x80, static_cast<uint8_t>(*s.progress >> 8),
                                  static_cast<uint8_t>(*s.progress & 0xFF)};
  return std::nullopt;
}

uint8_t stream_bits(const Sense& s) {
  return static_cast<uint8_t>((s.filemark ? 0x80 : 0) | (s.end_of_medium ? 0x40 : 0) |
                              (s.incorrect_length ? 0x20 : 0));
}

Buffer encode_fixed(const Sense& s) {
  Buffer out(18, std::byte{0});
  const bool fits = s.information && *s.information >= std::numeric_limits<int32_t>::min() &&
                    *s.information <= std::numeric_limits<uint32_t>::max();
  put_number(out, 0, (s.deferred ? 0x71U : 0x70U) | (fits ? 0x80U : 0U), 1);
  put_number(out, 2, static_cast<uint64_t>(stream_bits(s)) | static_cast<uint64_t>(s.key), 1);
  if (fits) put_number(out, 3, static_cast<uint64_t>(*s.information) & 0xFFFFFFFFU, 4);
  put_number(out, 7, 10, 1);
  put_number(out, 12, s.code.code, 1);
  put_number(out, 13, s.code.qualifier, 1);
  if (const auto sks = key_specific(s))
    for (size_t i = 0; i < 3; ++i) put_number(out, 15 + i, (*sks)[i], 1);
  return out;
}

Buffer encode_descriptors(const Sense& s) {
  Buffer out;
  WireWriter w(out);
  w.u8(s.deferred ? 0x73 : 0x72).u8(static_cast<uint8_t>(s.key));
  w.u8(s.code.code).u8(s.code.qualifier).zeros(4);
  if (s.information) w.u8(0x00).u8(0x0A).u8(0x80).u8(0).u64(static_cast<uint64_t>(*s.information));
  if (const auto sks = key_specific(s)) {
    w.u8(0x02).u8(0x06).zeros(2);
    for (uint8_t b : *sks) w.u8(b);
    w.u8(0);
  }
  if (stream_bits(s) != 0) w.u8(0x04).u8(0x02).u8(0).u8(stream_bits(s));
  put_number(out, 7, out.size() - 8, 1);
  return out;
}

struct Verdict {
  SenseKey key;
  AdditionalSense code;
};

struct ErrorRow {
  ErrorCode error;
  Verdict reading, writing, moving, other;
};

constexpr Verdict kReadFailed{SenseKey::medium_error, asc::unrecovered_read_error};
constexpr Verdict kWriteFailed{SenseKey::medium_error, asc::write_error};
constexpr Verdict kTargetFailed{SenseKey::hardware_error, asc::internal_target_failure};
constexpr Verdict kBadField{SenseKey::illegal_request, asc::invalid_field_in_cdb};
constexpr Verdict kProtected{SenseKey::data_protect, asc::write_protected};
constexpr Verdict kBadAddress{SenseKey::illegal_request, asc::invalid_element_address};
constexpr Verdict kWait{SenseKey::not_ready, asc::not_ready_operation_in_progress};
constexpr Verdict kNeedsRecall{SenseKey::not_ready, asc::manual_intervention_required};
constexpr Verdict kUnknownFormat{SenseKey::medium_error, asc::cannot_read_unknown_format};
constexpr Verdict kNoKey{SenseKey::data_protect, asc::unable_to_decrypt};
constexpr Verdict kWrongKey{SenseKey::data_protect, asc::incorrect_encryption_key};
constexpr Verdict kNoMedium{SenseKey::not_ready, asc::medium_not_present};
constexpr Verdict kPrevented{SenseKey::illegal_request, asc::medium_removal_prevented};
constexpr Verdict kEmpty{SenseKey::illegal_request, asc::source_element_empty};
constexpr Verdict kFull{SenseKey::illegal_request, asc::destination_element_full};
constexpr Verdict kSequence{SenseKey::illegal_request, asc::command_sequence_error};
constexpr Verdict kAborted{SenseKey::aborted_command, asc::none};
constexpr Verdict kDamagedFormat{SenseKey::medium_error, asc::medium_format_corrupted};
constexpr Verdict kWrongMedium{SenseKey::illegal_request, asc::incompatible_medium};

// One table turns errors into sense. A cold segment needs somebody to recall it: MANUAL
// INTERVENTION REQUIRED keeps initiators from polling for hours; a fetch that timed out is under
// way and worth a retry.
constexpr ErrorRow kErrors[] = {
    {ErrorCode::invalid_argument, kBadField, kBadField, kWrongMedium, kBadField},
    {ErrorCode::out_of_range, kBadField, kBadField, kBadAddress, kBadField},
    {ErrorCode::not_found, kReadFailed, kWriteFailed, kBadAddress, kBadField},
    {ErrorCode::exists, kBadField, kBadField, kFull, kBadField},
    {ErrorCode::permission, kReadFailed, kWriteFailed, kTargetFailed, kTargetFailed},
    {ErrorCode::io, kReadFailed, kWriteFailed, kTargetFailed, kTargetFailed},
    {ErrorCode::no_space, kWriteFailed, kWriteFailed, kTargetFailed, kWriteFailed},
    {ErrorCode::read_only, kProtected, kProtected, kTargetFailed, kProtected},
    {ErrorCode::write_protected, kProtected, kProtected, kProtected, kProtected},
    {ErrorCode::corrupt, kReadFailed, kReadFailed, kDamagedFormat, kDamagedFormat},
    {ErrorCode::unsupported_version, kUnknownFormat, kUnknownFormat, kUnknownFormat,
     kUnknownFormat},
    {ErrorCode::not_supported, kReadFailed, kWriteFailed, kTargetFailed, kTargetFailed},
    {ErrorCode::key_missing, kNoKey, kNoKey, kNoKey, kNoKey},
    {ErrorCode::key_mismatch, kWrongKey, kWrongKey, kWrongKey, kWrongKey},
    {ErrorCode::cold, kNeedsRecall, kNeedsRecall, kNeedsRecall, kNeedsRecall},
    {ErrorCode::busy, kWait, kWait, kWait, kWait},
    {ErrorCode::not_ready, kNoMedium, kNoMedium, kNoMedium, kNoMedium},
    {ErrorCode::prevented, kPrevented, kPrevented, kPrevented, kPrevented},
    {ErrorCode::element_empty, kEmpty, kEmpty, kEmpty, kEmpty},
    {ErrorCode::element_full, kFull, kFull, kFull, kFull},
    {ErrorCode::conflict, kSequence, kSequence, kSequence, kSequence},
    {ErrorCode::precondition_failed, kAborted, kAborted, kAborted, kAborted},
    {ErrorCode::cancelled, kAborted, kAborted, kAborted, kAborted},
    {ErrorCode::timed_out, kWait, kWait, kWait, kWait},
    {ErrorCode::unavailable, kWait, kWait, kWait, kWait},
    {ErrorCode::internal, kTargetFailed, kTargetFailed, kTargetFailed, kTargetFailed},
};

void decode_stream_bits(uint8_t bits, Sense& s) {
  s.filemark = (bits & 0x80) != 0;
  s.end_of_medium = (bits & 0x40) != 0;
  s.incorrect_length = (bits & 0x20) != 0;
}

void decode_key_specific(ByteView b, Sense& s) {
  const uint8_t first = get_byte(b, 0);
  if ((first & 0x80) == 0) return;
  const auto value = static_cast<uint16_t>(get_number(b, 1, 2));
  if (s.key != SenseKey::illegal_request) {
    s.progress = value;
    return;
  }
  FieldPointer f{(first & 0x40) != 0, value, std::nullopt};
  if ((first & 0x08) != 0) f.bit = static_cast<uint8_t>(first & 7U);
  s.field = f;
}

}  // namespace

Buffer Sense::encode(bool descriptor) const {
  return descriptor ? encode_descriptors(*this) : encode_fixed(*this);
}

Sense illegal_request(AdditionalSense code) {
  Sense s;
  s.key = SenseKey::illegal_request;
  s.code = code;
  return s;
}

Sense invalid_cdb_field(uint16_t byte, std::optional<uint8_t> bit) {
  Sense s = illegal_request(asc::invalid_field_in_cdb);
  s.field = FieldPointer{true, byte, bit};
  return s;
}

Sense invalid_parameter_field(uint16_t byte, std::optional<uint8_t> bit) {
  Sense s = illegal_request(asc::invalid_field_in_parameter_list);
  s.field = FieldPointer{false, byte, bit};
  return s;
}

Sense sense_of(const Error& error, Activity activity) {
  Verdict verdict = kTargetFailed;
  for (const ErrorRow& row : kErrors) {
    if (row.error != error.code) continue;
    switch (activity) {
      case Activity::reading:
        verdict = row.reading;
        break;
      case Activity::writing:
        verdict = row.writing;
        break;
      case Activity::moving:
        verdict = row.moving;
        break;
      case Activity::other:
        verdict = row.other;
        break;
    }
  }
  Sense s;
  s.key = verdict.key;
  s.code = verdict.code;
  return s;
}

std::optional<Sense> decode_sense(ByteView b) {
  if (b.size() < 8) return std::nullopt;
  const auto response = static_cast<uint8_t>(get_byte(b, 0) & 0x7FU);
  Sense s;
  s.deferred = response == 0x71 || response == 0x73;
  if (response == 0x70 || response == 0x71) {
    s.key = static_cast<SenseKey>(get_byte(b, 2) & 0x0FU);
    decode_stream_bits(get_byte(b, 2), s);
    s.code = {get_byte(b, 12), get_byte(b, 13)};
    if ((get_byte(b, 0) & 0x80) != 0)
      s.information = static_cast<int32_t>(static_cast<uint32_t>(get_number(b, 3, 4)));
    if (b.size() >= 18) decode_key_specific(b.subspan(15), s);
    return s;
  }
  if (response != 0x72 && response != 0x73) return std::nullopt;
  s.key = static_cast<SenseKey>(get_byte(b, 1) & 0x0FU);
  s.code = {get_byte(b, 2), get_byte(b, 3)};
  b = b.first(std::min<size_t>(b.size(), 8U + get_byte(b, 7)));  // transports may pad
  for (size_t at = 8; at + 2 <= b.size(); at += 2U + get_byte(b, at + 1)) {
    const ByteView d = b.subspan(at);
    if (get_byte(d, 0) == 0x00 && (get_byte(d, 2) & 0x80) != 0)
      s.information = static_cast<int64_t>(get_number(d, 4, 8));
    if (get_byte(d, 0) == 0x02 && d.size() >= 7) decode_key_specific(d.subspan(4), s);
    if (get_byte(d, 0) == 0x04) decode_stream_bits(get_byte(d, 3), s);
  }
  return s;
}

}  // namespace coldshelf::scsi
