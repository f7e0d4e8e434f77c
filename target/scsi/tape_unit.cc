#include "target/scsi/tape_unit.h"

#include <algorithm>

#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

DeviceIdentity identity_of(const TapeUnitOptions& options) {
  const TapeDrive::Options& drive = options.drive->options();
  DeviceIdentity id;
  id.device_type = 0x01;
  id.vendor = drive.profile->vendor;
  id.product = drive.profile->product;
  id.revision = drive.profile->revision;
  id.serial = drive.serial;
  id.target_name = options.target_name;
  id.relative_target_port = options.relative_target_port;
  id.target_port_group = options.target_port_group;
  id.version_descriptors = {0x00A0, 0x0960, 0x0460, 0x0520};  // SAM-5, iSCSI, SPC-4, SSC-4
  return id;
}

}  // namespace

// A protected WORM medium (each that was retrieved is) refuses an append as well, which is no
// overwrite.
bool TapeUnit::State::is_worm_overwrite(const Error& error) const {
  return error.code == ErrorCode::write_protected && drive->worm() && drive->check_writable().ok();
}

void TapeUnit::State::note(const Error& error, Activity activity) {
  write_errors_seen = drive->counters().write_errors;
  switch (error.code) {
    case ErrorCode::write_protected:
    case ErrorCode::read_only:
      if (activity != Activity::writing) break;
      raise(is_worm_overwrite(error) ? TapeAlert::worm_overwrite : TapeAlert::write_protect);
      break;
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::no_space:
    case ErrorCode::permission:
    case ErrorCode::not_found:
    case ErrorCode::internal:
      raise(TapeAlert::hard_error);
      if (activity == Activity::reading) raise(TapeAlert::read_failure);
      if (activity == Activity::writing) raise(TapeAlert::write_failure);
      if (error.code == ErrorCode::corrupt) raise(TapeAlert::media);
      break;
    default:
      break;
  }
}

void TapeUnit::State::note_medium_errors() {
  const uint64_t errors = drive->counters().write_errors;
  if (errors <= write_errors_seen) return;
  write_errors_seen = errors;
  raise(TapeAlert::hard_error);
  raise(TapeAlert::write_failure);
}

TapeUnit::TapeUnit(TapeUnitOptions options)
    : DeviceServer(identity_of(options), options.clock), state_(std::make_unique<State>()) {
  state_->drive = options.drive;
  state_->options = std::move(options);
  state_->created_ns = clock().monotonic_ns();
  see_medium(state_->drive->medium_generation());
  add_data_opcodes();
  add_position_opcodes();
  add_medium_opcodes();
  add_mode_pages();
  add_log_pages();
  add_vpd_pages();
}

TapeUnit::~TapeUnit() = default;

// -- hooks

// What runs from now on is meant for this medium: should another one come in meanwhile, the drive
// refuses to change it.
void TapeUnit::see_medium(uint64_t generation) {
  state_->generation_seen = generation;
  state_->drive->expect_medium(generation);
}

void TapeUnit::before_command(const Command&) {
  const uint64_t generation = state_->drive->medium_generation();
  if (generation == state_->generation_seen) return;
  see_medium(generation);
  state_->overwrite_allowed.reset();
  state_->format_allowed = false;
  state_->plan.reset();
  end_associated_write_protect();
  if (state_->drive->loaded()) {
    state_->alerts.reset();
    unit_attentions().raise_for_all(asc::medium_may_have_changed);
  }
}

// Whoever is told so by a write was in the middle of writing, to the medium that was in before or
// where he had left this one. Linux st writes a filemark next, when the file is closed (28h does
// not make it doubt its position): that must not empty the medium that is in now.
void TapeUnit::attention_told(const Command& command, AdditionalSense attention) {
  const uint8_t opcode = get_byte(command.cdb, 0);
  const bool writes = opcode == 0x0A || opcode == 0x10 || opcode == 0x19 || opcode == 0x80;
  if (writes && (attention.code == 0x28 || attention.code == 0x29)) state_->drive->lose_position();
}

std::optional<Sense> TapeUnit::not_ready_reason() {
  if (state_->drive->loaded()) return std::nullopt;
  Sense sense;
  sense.key = SenseKey::not_ready;
  sense.code = asc::medium_not_present;
  return sense;
}

void TapeUnit::finish_inquiry(Buffer&) {}

void TapeUnit::prevent_changed(uint64_t, bool, bool any) {
  if (state_->options.on_prevent_changed) state_->options.on_prevent_changed(any);
}

void TapeUnit::device_reset() {
  state_->block_length = 0;
  state_->buffered = true;
  state_->append_only = false;
  state_->overwrite_allowed.reset();
  state_->format_allowed = false;
  state_->plan.reset();
  state_->drive->set_programmable_early_warning(0);
  take_over_configuration(mode_pages().find(0x10)->current);
}

// What runs without waiting may run on the transport's thread: hits of the read-ahead and writes
// the cartridge has room for, which is nearly every command while streaming.
bool TapeUnit::may_block(const Command& command) const {
  const uint8_t opcode = get_byte(command.cdb, 0);
  if (opcode == 0x08) {
    const bool fixed = (get_byte(command.cdb, 1) & 0x01) != 0;
    if (fixed && get_number(command.cdb, 2, 3) > 1) return true;
    return !state_->drive->read_is_ready();
  }
  if (opcode == 0x0A)
    return !state_->buffered || state_->drive->write_would_block(command.data_out.size());
  // The position and the capacity may have to be looked up in a segment's index, and mode and log
  // pages report them.
  static constexpr uint8_t asks_the_drive[] = {0x15, 0x1A, 0x34, 0x44, 0x4D,
                                               0x55, 0x5A, 0x82, 0x8C};
  if (std::ranges::find(asks_the_drive, opcode) != std::end(asks_the_drive)) return true;
  return DeviceServer::may_block(command);
}

int64_t TapeUnit::hold_ms(const Command& command) const {
  const bool writes_data = get_byte(command.cdb, 0) == 0x0A && !command.data_out.empty();
  return writes_data ? state_->drive->write_hold_ms() : 0;
}

// TEST UNIT READY, INQUIRY and REPORT LUNS neither see nor change what a write does, unless the
// medium has changed: the write that was meant for the one before has to be told. SAM-5 8.6: no
// command overtakes an ordered one, or is ordered and overtakes.
bool TapeUnit::may_overtake(const Command& command) const {
  if (state_->drive->medium_generation() != state_->generation_seen) return false;
  const uint8_t opcode = get_byte(command.cdb, 0);
  return command.attribute == TaskAttribute::simple &&
         (opcode == 0x00 || opcode == 0x12 || opcode == 0xA0);
}

void TapeUnit::add_vpd_pages() {
  add_vpd_page(0x86, [] {  // extended INQUIRY data: SIMPSUP ORDSUP HEADSUP
    Buffer out(60, std::byte{0});
    put_number(out, 1, 0x07, 1);
    return out;
  });
  add_vpd_page(0xB0, [] {  // sequential-access device capabilities: WORM
    Buffer out;
    WireWriter(out).u8(0x01).u8(0);
    return out;
  });
  add_vpd_page(0xB1, [this] {  // manufacturer-assigned serial number
    Buffer out;
    WireWriter(out).ascii(identity().serial, 12);
    return out;
  });
  add_vpd_page(0xB2, [] {  // TapeAlert supported flags
    Buffer out(8, std::byte{0});
    for (const TapeAlert flag : kTapeAlertsRaised) {
      const auto bit = static_cast<size_t>(flag) - 1;
      out[bit / 8] |= static_cast<std::byte>(0x80U >> (bit % 8));
    }
    return out;
  });
}

}  // namespace coldshelf::scsi
