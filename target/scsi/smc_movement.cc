// The commands that move cartridges (SMC-3 clause 6), and the errors they can meet.
#include "target/scsi/changer_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

struct CodeSense {
  ErrorCode code;
  SenseKey key;
  AdditionalSense additional;
};

constexpr CodeSense kChangerSense[] = {
    {ErrorCode::element_empty, SenseKey::illegal_request, asc::source_element_empty},
    {ErrorCode::element_full, SenseKey::illegal_request, asc::destination_element_full},
    {ErrorCode::not_found, SenseKey::illegal_request, asc::invalid_element_address},
    {ErrorCode::prevented, SenseKey::illegal_request, asc::medium_removal_prevented},
    // The drive of the destination cannot read the medium.
    {ErrorCode::invalid_argument, SenseKey::illegal_request, asc::incompatible_medium},
    {ErrorCode::busy, SenseKey::not_ready, asc::not_ready_operation_in_progress},
    {ErrorCode::not_ready, SenseKey::not_ready, asc::cause_not_reportable},
    // The cartridge is there and cannot be loaded or unloaded: damaged, of a newer format, without
    // its key, or its last data did not reach the disk.
    {ErrorCode::corrupt, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::unsupported_version, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::key_missing, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::key_mismatch, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::cold, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::conflict, SenseKey::medium_error, asc::media_load_or_eject_failed},
    {ErrorCode::io, SenseKey::hardware_error, asc::media_load_or_eject_failed},
    {ErrorCode::no_space, SenseKey::hardware_error, asc::media_load_or_eject_failed},
    {ErrorCode::read_only, SenseKey::hardware_error, asc::media_load_or_eject_failed},
    {ErrorCode::permission, SenseKey::hardware_error, asc::media_load_or_eject_failed},
};

}  // namespace

Sense changer_sense(const Error& error) {
  Sense sense;
  sense.key = SenseKey::hardware_error;
  sense.code = asc::internal_target_failure;
  for (const CodeSense& row : kChangerSense) {
    if (row.code != error.code) continue;
    sense.key = row.key;
    sense.code = row.additional;
  }
  return sense;
}

// Address 0 stands for the default transport (SMC-3 6.5).
bool ChangerUnit::is_transport(uint64_t address) const {
  return address == 0 || address == library_.options().profile->transport_address;
}

bool ChangerUnit::is_place(uint64_t address) const {
  const auto element = library_.element(static_cast<uint16_t>(address));
  return element.ok() && element->type != ElementType::transport;
}

// SMC-3 6.2: the inventory is always known, there is nothing to scan.
Reply ChangerUnit::initialize_element_status(const Command&) { return good(); }

// SMC-3 6.3 (37h), and E7h as IBM libraries know it, with the same fields.
Reply ChangerUnit::initialize_element_status_range(const Command& command) {
  const ByteView cdb(command.cdb);
  const bool range = (get_byte(cdb, 1) & 0x01) != 0;
  const auto first = static_cast<uint16_t>(get_number(cdb, 2, 2));
  if (range && !library_.element(first).ok()) {
    return check(illegal_request(asc::invalid_element_address));
  }
  return good();
}

Reply ChangerUnit::move_medium(const Command& command) {
  const ByteView cdb(command.cdb);
  const uint64_t source = get_number(cdb, 4, 2);
  const uint64_t destination = get_number(cdb, 6, 2);
  // Nothing here has two sides (page 1Eh: ROTATE is 0).
  if ((get_byte(cdb, 10) & 0x01) != 0) return check(invalid_cdb_field(10, 0));
  if (!is_transport(get_number(cdb, 2, 2)) || !is_place(source) || !is_place(destination)) {
    return check(illegal_request(asc::invalid_element_address));
  }
  const Status moved = library_.move(static_cast<uint16_t>(source),
                                     static_cast<uint16_t>(destination), /*by_initiator=*/true);
  return moved.ok() ? good() : check(changer_sense(moved.error()));
}

Reply ChangerUnit::exchange_medium(const Command& command) {
  const ByteView cdb(command.cdb);
  const uint64_t source = get_number(cdb, 4, 2);
  const uint64_t first = get_number(cdb, 6, 2);
  const uint64_t second = get_number(cdb, 8, 2);
  if ((get_byte(cdb, 10) & 0x03) != 0) return check(invalid_cdb_field(10, 1));
  if (!is_transport(get_number(cdb, 2, 2)) || !is_place(source) || !is_place(first) ||
      !is_place(second)) {
    return check(illegal_request(asc::invalid_element_address));
  }
  if (source == first) return check(invalid_cdb_field(6));
  if (first == second) return check(invalid_cdb_field(8));
  const Status exchanged = library_.exchange(
      static_cast<uint16_t>(source), static_cast<uint16_t>(first), static_cast<uint16_t>(second),
      /*by_initiator=*/true);
  return exchanged.ok() ? good() : check(changer_sense(exchanged.error()));
}

Reply ChangerUnit::position_to_element(const Command& command) {
  const ByteView cdb(command.cdb);
  if ((get_byte(cdb, 8) & 0x01) != 0) return check(invalid_cdb_field(8, 0));
  const auto destination = static_cast<uint16_t>(get_number(cdb, 4, 2));
  if (!is_transport(get_number(cdb, 2, 2)) || !library_.element(destination).ok()) {
    return check(illegal_request(asc::invalid_element_address));
  }
  return good();
}

}  // namespace coldshelf::scsi
