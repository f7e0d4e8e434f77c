// Sense data (SPC-5 4.4) and the one table that turns coldshelf's errors into it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf::scsi {

// SPC-5 table 48.
enum class SenseKey : uint8_t {
  no_sense = 0x0,
  recovered_error = 0x1,
  not_ready = 0x2,
  medium_error = 0x3,
  hardware_error = 0x4,
  illegal_request = 0x5,
  unit_attention = 0x6,
  data_protect = 0x7,
  blank_check = 0x8,
  copy_aborted = 0xA,
  aborted_command = 0xB,
  volume_overflow = 0xD,
  miscompare = 0xE,
};

struct AdditionalSense {
  uint8_t code = 0;
  uint8_t qualifier = 0;
  bool operator==(const AdditionalSense&) const = default;
};

// SPC-5 annex F.2, the ones used here.
namespace asc {
inline constexpr AdditionalSense none{0x00, 0x00};
inline constexpr AdditionalSense filemark_detected{0x00, 0x01};
inline constexpr AdditionalSense end_of_partition_detected{0x00, 0x02};
inline constexpr AdditionalSense setmark_detected{0x00, 0x03};
inline constexpr AdditionalSense beginning_of_partition_detected{0x00, 0x04};
inline constexpr AdditionalSense end_of_data_detected{0x00, 0x05};
inline constexpr AdditionalSense programmable_early_warning{0x00, 0x07};
inline constexpr AdditionalSense cause_not_reportable{0x04, 0x00};
inline constexpr AdditionalSense becoming_ready{0x04, 0x01};
inline constexpr AdditionalSense initializing_command_required{0x04, 0x02};
inline constexpr AdditionalSense manual_intervention_required{0x04, 0x03};
inline constexpr AdditionalSense not_ready_operation_in_progress{0x04, 0x07};
inline constexpr AdditionalSense medium_not_accessible{0x04, 0x09};
inline constexpr AdditionalSense sanitize_in_progress{0x04, 0x1B};
inline constexpr AdditionalSense write_error{0x0C, 0x00};
inline constexpr AdditionalSense copy_target_not_reachable{0x0D, 0x02};
inline constexpr AdditionalSense information_unit_too_short{0x0E, 0x01};
inline constexpr AdditionalSense unrecovered_read_error{0x11, 0x00};
inline constexpr AdditionalSense parameter_list_length_error{0x1A, 0x00};
inline constexpr AdditionalSense miscompare_during_verify{0x1D, 0x00};
inline constexpr AdditionalSense invalid_opcode{0x20, 0x00};
inline constexpr AdditionalSense logical_block_address_out_of_range{0x21, 0x00};
inline constexpr AdditionalSense invalid_element_address{0x21, 0x01};
inline constexpr AdditionalSense invalid_field_in_cdb{0x24, 0x00};
inline constexpr AdditionalSense invalid_field_in_parameter_list{0x26, 0x00};
inline constexpr AdditionalSense invalid_release_of_reservation{0x26, 0x04};
inline constexpr AdditionalSense too_many_target_descriptors{0x26, 0x06};
inline constexpr AdditionalSense unsupported_target_descriptor{0x26, 0x07};
inline constexpr AdditionalSense too_many_segment_descriptors{0x26, 0x08};
inline constexpr AdditionalSense unsupported_segment_descriptor{0x26, 0x09};
inline constexpr AdditionalSense inline_data_length_exceeded{0x26, 0x0B};
inline constexpr AdditionalSense write_protected{0x27, 0x00};
inline constexpr AdditionalSense software_write_protected{0x27, 0x02};
inline constexpr AdditionalSense space_allocation_failed{0x27, 0x07};
inline constexpr AdditionalSense medium_may_have_changed{0x28, 0x00};
inline constexpr AdditionalSense import_export_accessed{0x28, 0x01};
inline constexpr AdditionalSense power_on_or_reset{0x29, 0x00};
inline constexpr AdditionalSense power_on_occurred{0x29, 0x01};
inline constexpr AdditionalSense bus_reset{0x29, 0x02};
inline constexpr AdditionalSense device_reset{0x29, 0x03};
inline constexpr AdditionalSense nexus_loss{0x29, 0x07};
inline constexpr AdditionalSense mode_parameters_changed{0x2A, 0x01};
inline constexpr AdditionalSense log_parameters_changed{0x2A, 0x02};
inline constexpr AdditionalSense reservations_preempted{0x2A, 0x03};
inline constexpr AdditionalSense reservations_released{0x2A, 0x04};
inline constexpr AdditionalSense registrations_preempted{0x2A, 0x05};
inline constexpr AdditionalSense capacity_changed{0x2A, 0x09};
inline constexpr AdditionalSense timestamp_changed{0x2A, 0x10};
inline constexpr AdditionalSense command_sequence_error{0x2C, 0x00};
inline constexpr AdditionalSense commands_cleared_by_another_initiator{0x2F, 0x00};
inline constexpr AdditionalSense incompatible_medium{0x30, 0x00};
inline constexpr AdditionalSense cannot_read_unknown_format{0x30, 0x01};
inline constexpr AdditionalSense cannot_write_incompatible{0x30, 0x05};
inline constexpr AdditionalSense worm_overwrite_attempted{0x30, 0x0C};
inline constexpr AdditionalSense medium_format_corrupted{0x31, 0x00};
inline constexpr AdditionalSense sanitize_failed{0x31, 0x03};
inline constexpr AdditionalSense saving_parameters_not_supported{0x39, 0x00};
inline constexpr AdditionalSense medium_not_present{0x3A, 0x00};
inline constexpr AdditionalSense medium_not_present_loadable{0x3A, 0x03};
inline constexpr AdditionalSense sequential_positioning_error{0x3B, 0x00};
inline constexpr AdditionalSense position_past_beginning{0x3B, 0x0C};
inline constexpr AdditionalSense destination_element_full{0x3B, 0x0D};
inline constexpr AdditionalSense source_element_empty{0x3B, 0x0E};
inline constexpr AdditionalSense magazine_not_accessible{0x3B, 0x11};
inline constexpr AdditionalSense internal_target_failure{0x44, 0x00};
inline constexpr AdditionalSense overlapped_commands{0x4E, 0x00};
inline constexpr AdditionalSense media_load_or_eject_failed{0x53, 0x00};
inline constexpr AdditionalSense medium_removal_prevented{0x53, 0x02};
inline constexpr AdditionalSense write_append_position_error{0x50, 0x01};
inline constexpr AdditionalSense insufficient_resources{0x55, 0x03};
inline constexpr AdditionalSense insufficient_registration_resources{0x55, 0x04};
inline constexpr AdditionalSense unable_to_decrypt{0x74, 0x01};
inline constexpr AdditionalSense incorrect_encryption_key{0x74, 0x03};
inline constexpr AdditionalSense security_protocol_error{0x74, 0x00};
}  // namespace asc

// SKSV field pointer (SPC-5 4.4.2.4.2).
struct FieldPointer {
  bool in_cdb = true;
  uint16_t byte = 0;
  std::optional<uint8_t> bit;
};

// What a CHECK CONDITION says.
struct Sense {
  SenseKey key = SenseKey::no_sense;
  AdditionalSense code;
  bool deferred = false;
  bool filemark = false;
  bool end_of_medium = false;
  bool incorrect_length = false;
  std::optional<int64_t> information;  // sets VALID; two's complement, as ILI's negative residual
  std::optional<FieldPointer> field;
  std::optional<uint16_t> progress;  // of 65,536; NOT READY and NO SENSE

  // Fixed format (70h, 71h deferred; 18 bytes), or descriptor format (72h, 73h) when D_SENSE is
  // set. A value that fixed format cannot hold leaves VALID clear (SPC-5 4.4.3).
  Buffer encode(bool descriptor) const;
  bool operator==(const Sense& o) const { return encode(true) == o.encode(true); }
};

Sense illegal_request(AdditionalSense code);
// INVALID FIELD IN CDB, pointing at the byte (and the field's most significant bit).
Sense invalid_cdb_field(uint16_t byte, std::optional<uint8_t> bit = std::nullopt);
Sense invalid_parameter_field(uint16_t byte, std::optional<uint8_t> bit = std::nullopt);

// What the failed command was doing: an I/O error means something else to a reader than to a
// writer.
enum class Activity { reading, writing, moving, other };
Sense sense_of(const Error& error, Activity activity);

// Reads either format back (tests, REQUEST SENSE).
std::optional<Sense> decode_sense(ByteView sense);

}  // namespace coldshelf::scsi
