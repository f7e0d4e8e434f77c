// FORMAT MEDIUM, SET CAPACITY, ALLOW OVERWRITE, REPORT DENSITY SUPPORT, and SECURITY PROTOCOL IN
// and OUT, which say that the drive itself does not encrypt.
#include <algorithm>

#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

constexpr uint64_t kMegabyte = 1'000'000;

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Bytes of one entry of page 11h (SSC-5 8.5.5 PSUM).
uint64_t partition_bytes(uint16_t size, uint8_t psum, uint8_t units) {
  uint64_t unit = 1;
  if (psum == 1) unit = 1000;
  if (psum == 2) unit = kMegabyte;
  if (psum == 3)
    for (unsigned i = 0; i < units; ++i) unit *= 10;
  return size > UINT64_MAX / unit ? UINT64_MAX : size * unit;
}

}  // namespace

void TapeUnit::add_medium_opcodes() {
  const auto add = [this](OpcodeEntry e) { opcodes().add(std::move(e)); };
  add({.opcode = 0x04,
       .service_action = {},
       .name = "FORMAT MEDIUM",
       .usage = {0x04, 0x03, 0x0F, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return format_medium(c); },
       .may_block = true,
       .recommended_timeout_s = 3600,
       .data_out = length_at(3, 2)});
  add({.opcode = 0x0B,
       .service_action = {},
       .name = "SET CAPACITY",
       .usage = {0x0B, 0x01, 0, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return set_capacity(c); },
       .may_block = true,
       .recommended_timeout_s = 3600,
       .data_out = {}});
  add({.opcode = 0x82,
       .service_action = {},
       .name = "ALLOW OVERWRITE",
       .usage = {0x82, 0, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0,
                 0x04},
       .handler = [this](const Command& c) { return allow_overwrite(c); },
       .data_out = {}});
  add({.opcode = 0x44,
       .service_action = {},
       .name = "REPORT DENSITY SUPPORT",
       .usage = {0x44, 0x03, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04},
       .handler = [this](const Command& c) { return report_density_support(c); },
       .rule = ReservationRule::allowed,
       .data_out = {}});
  add({.opcode = 0xA2,
       .service_action = {},
       .name = "SECURITY PROTOCOL IN",
       .usage = {0xA2, 0xFF, 0xFF, 0xFF, 0x80, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04},
       .handler = [this](const Command& c) { return security_protocol_in(c); },
       .rule = ReservationRule::allowed_if_shared,
       .data_out = {}});
  add({.opcode = 0xB5,
       .service_action = {},
       .name = "SECURITY PROTOCOL OUT",
       .usage = {0xB5, 0xFF, 0xFF, 0xFF, 0x80, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04},
       .handler = [this](const Command& c) { return security_protocol_out(c); },
       .data_out = {}});
  add({.opcode = 0x8C,
       .service_action = {},
       .name = "READ ATTRIBUTE",
       .usage = {0x8C, 0x1F, 0, 0, 0, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
                 0x04},
       .handler = [this](const Command& c) { return read_attribute(c); },
       .rule = ReservationRule::allowed,
       .data_out = {}});
  add({.opcode = 0x8D,
       .service_action = {},
       .name = "WRITE ATTRIBUTE",
       .usage = {0x8D, 0x01, 0, 0, 0, 0xFF, 0, 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x04},
       .handler = [this](const Command& c) { return write_attribute(c); },
       .may_block = true,
       .data_out =
           [](ByteView cdb) {
             const uint64_t length = get_number(cdb, 10, 4);
             return length > kMaxAttributeList ? 0 : length;
           }});
}

Result<bool> TapeUnit::at_beginning_of_medium() {
  ASSIGN_OR_RETURN(const DrivePosition position, state_->drive->position());
  return position.at.partition == 0 && position.at.block == 0;
}

// What SET CAPACITY left of the medium's own.
uint64_t TapeUnit::usable_capacity() {
  uint64_t total = 0;
  for (uint32_t p = 0; p < state_->drive->partition_count(); ++p)
    if (const auto capacity = state_->drive->capacity(p); capacity.ok())
      total += capacity->maximum_bytes;
  return total;
}

// SSC-5 FORMAT MEDIUM: only at the beginning of partition 0.
Reply TapeUnit::format_medium(const Command& command) {
  const auto format = static_cast<uint8_t>(get_byte(command.cdb, 2) & 0x0FU);
  if (format > 2) return check(invalid_cdb_field(2, 3));
  if (get_number(command.cdb, 3, 2) != 0) return check(invalid_cdb_field(3, 7));
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (const Status writable = state_->drive->check_writable(); !writable.ok())
    return write_error(writable.error(), std::nullopt);
  const auto beginning = at_beginning_of_medium();
  if (!beginning.ok()) return check(beginning.error(), Activity::other);
  if (!*beginning) return check(illegal_request(asc::position_past_beginning));
  if (state_->append_only && !state_->format_allowed && !state_->drive->at_end_of_data()) {
    Sense sense;
    sense.key = SenseKey::data_protect;
    sense.code = asc::write_append_position_error;
    return check(sense);
  }
  const uint64_t total = usable_capacity();
  std::vector<uint64_t> sizes{total};
  if (format != 0 && state_->plan && state_->plan->additional > 0) {
    auto planned = planned_partitions(total);
    if (!planned.ok()) return check(illegal_request(asc::invalid_field_in_parameter_list));
    sizes = std::move(*planned);
  }
  const Status done = state_->drive->format_medium(sizes);
  if (!done.ok()) return write_error(done.error(), std::nullopt);
  state_->plan.reset();
  state_->format_allowed = false;
  state_->overwrite_allowed.reset();
  return good();
}

// FFFFh takes what the others leave (SSC-5 8.5.5). Without one the last partition does, so that the
// partitions together are always what SET CAPACITY left.
Result<std::vector<uint64_t>> TapeUnit::planned_partitions(uint64_t total) const {
  const State::PartitionPlan& plan = *state_->plan;
  if (plan.fixed) {  // two wraps of many, as the drives do: a small one and the rest
    const uint64_t small = std::max<uint64_t>(total / 40, 1);
    return std::vector<uint64_t>{total - small, small};
  }
  std::vector<uint64_t> sizes;
  std::optional<size_t> rest;
  uint64_t used = 0;
  for (size_t i = 0; i < plan.sizes.size(); ++i) {
    sizes.push_back(0);
    if (plan.sizes[i] == 0xFFFF) {
      if (rest) return Error(ErrorCode::invalid_argument, "two partitions take the rest");
      rest = i;
      continue;
    }
    sizes[i] = partition_bytes(plan.sizes[i], plan.psum, plan.units);
    if (sizes[i] == 0 || sizes[i] > total - used)
      return Error(ErrorCode::invalid_argument, "the partitions do not fit");
    used += sizes[i];
  }
  if (rest && used == total)
    return Error(ErrorCode::invalid_argument, "nothing is left for a partition");
  sizes[rest.value_or(sizes.size() - 1)] += total - used;
  return sizes;
}

Reply TapeUnit::set_capacity(const Command& command) {
  const uint64_t proportion = get_number(command.cdb, 3, 2);
  if (const auto sense = not_ready_reason()) return check(*sense);
  if (const Status writable = state_->drive->check_writable(); !writable.ok())
    return write_error(writable.error(), std::nullopt);
  const auto beginning = at_beginning_of_medium();
  if (!beginning.ok()) return check(beginning.error(), Activity::other);
  if (!*beginning) return check(illegal_request(asc::position_past_beginning));
  if (const auto sense = overwrite_violation()) return check(*sense);
  // 0 and FFFFh mean the whole capacity; each is a part of that, not of what the last one left.
  const uint64_t total = state_->drive->medium_capacity();
  const uint64_t wanted = proportion == 0 || proportion == 0xFFFF
                              ? total
                              : std::max<uint64_t>(total / 0xFFFF * proportion, 1);
  const Status done = state_->drive->set_capacity(wanted);
  if (!done.ok()) return write_error(done.error(), std::nullopt);
  return good();
}

Reply TapeUnit::allow_overwrite(const Command& command) {
  const auto mode = static_cast<uint8_t>(get_byte(command.cdb, 2) & 0x0FU);
  if (mode > 2) return check(invalid_cdb_field(2, 3));
  if (const auto sense = not_ready_reason()) return check(*sense);
  state_->overwrite_allowed.reset();
  state_->format_allowed = mode == 2;
  if (mode != 1) return good();
  const auto position = state_->drive->position();
  if (!position.ok()) return check(position.error(), Activity::other);
  if (position->at.partition != get_byte(command.cdb, 3) ||
      position->at.block != get_number(command.cdb, 4, 8))
    return check(illegal_request(asc::sequential_positioning_error));
  state_->overwrite_allowed = position->at;
  return good();
}

// -- REPORT DENSITY SUPPORT

Reply TapeUnit::report_density_support(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const bool of_medium = (flags & 0x01) != 0;
  const bool medium_types = (flags & 0x02) != 0;
  const TapeDrive& drive = *state_->drive;
  const DriveProfile& profile = *drive.options().profile;
  std::vector<const MediumProfile*> media;
  if (of_medium) {
    if (const auto sense = not_ready_reason()) return check(*sense);
    if (const MediumProfile* medium = drive.medium()) media.push_back(medium);
  } else {
    for (const MediumProfile& medium : all_media())
      if (contains(profile.reads, medium.name)) media.push_back(&medium);
  }
  Buffer out;
  WireWriter w(out);
  w.u32(0);
  for (const MediumProfile* m : media) {
    if (medium_types) {
      w.u8(m->medium_type).u8(0).u16(52).u8(1).u8(m->density_code).zeros(8);
      w.u16(m->media_width_tenth_mm).u16(m->media_length_m).u16(0);
      w.ascii(m->organization, 8).ascii(m->density_name, 8).ascii(m->description, 20);
      continue;
    }
    const uint64_t capacity = of_medium ? usable_capacity() : m->native_capacity_bytes;
    const bool writes = contains(profile.writes, m->name);
    w.u8(m->density_code).u8(m->density_code);
    w.u8((writes ? 0x80U : 0U) | (m->name == profile.medium ? 0x20U : 0U)).u16(0);
    w.u24(m->bits_per_mm).u16(m->media_width_tenth_mm).u16(m->tracks);
    w.u32(std::min<uint64_t>(capacity / kMegabyte, UINT32_MAX));
    w.ascii(m->organization, 8).ascii(m->density_name, 8).ascii(m->description, 20);
  }
  put_number(out, 0, out.size() - 2, 2);
  return data(std::move(out), get_number(command.cdb, 7, 2));
}

// -- SECURITY PROTOCOL: only protocol 00h, which lists what there is

Reply TapeUnit::security_protocol_in(const Command& command) {
  if (get_byte(command.cdb, 1) != 0x00) return check(invalid_cdb_field(1, 7));
  const uint64_t page = get_number(command.cdb, 2, 2);
  const bool in_512 = (get_byte(command.cdb, 4) & 0x80) != 0;
  const uint64_t allocation = get_number(command.cdb, 6, 4) * (in_512 ? 512 : 1);
  if (page > 1) return check(invalid_cdb_field(2, 7));
  Buffer out;
  WireWriter w(out);
  if (page == 0)
    w.zeros(6).u16(1).u8(0x00);
  else
    w.u32(0);  // no certificates
  return data(std::move(out), allocation);
}

Reply TapeUnit::security_protocol_out(const Command&) { return check(invalid_cdb_field(1, 7)); }

}  // namespace coldshelf::scsi
