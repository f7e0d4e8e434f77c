#include "target/scsi/persistent_reservations.h"

#include <algorithm>

#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kParameterBytes = 24;

PersistentReservations::Outcome conflict() {
  PersistentReservations::Outcome out;
  out.status = ScsiStatus::reservation_conflict;
  return out;
}

PersistentReservations::Outcome refused(Sense sense) {
  PersistentReservations::Outcome out;
  out.status = ScsiStatus::check_condition;
  out.sense = std::move(sense);
  return out;
}

// TransportID of an iSCSI initiator port, format 01b (SPC-5 7.6.4.6).
Buffer transport_id(const std::string& port_name) {
  Buffer out;
  WireWriter w(out);
  const size_t text = std::max<size_t>((port_name.size() + 1 + 3) / 4 * 4, 20);
  w.u8(0x45).u8(0).u16(text).raw(as_view(port_name)).zeros(text - port_name.size());
  return out;
}

}  // namespace

bool all_registrants(ReservationType t) {
  return t == ReservationType::write_exclusive_all_registrants ||
         t == ReservationType::exclusive_access_all_registrants;
}
bool registrants_only(ReservationType t) {
  return t == ReservationType::write_exclusive_registrants_only ||
         t == ReservationType::exclusive_access_registrants_only;
}
bool write_exclusive(ReservationType t) {
  return t == ReservationType::write_exclusive ||
         t == ReservationType::write_exclusive_registrants_only ||
         t == ReservationType::write_exclusive_all_registrants;
}
std::optional<ReservationType> reservation_type(uint8_t type) {
  if (type == 1 || type == 3 || (type >= 5 && type <= 8)) return static_cast<ReservationType>(type);
  return std::nullopt;
}

bool PersistentReservations::holds(const std::string& port) const {
  if (!reservation_) return false;
  if (all_registrants(reservation_->type)) return registrations_.contains(port);
  return reservation_->holder == port;
}

bool PersistentReservations::allows(const Nexus& nexus, ReservationRule rule) const {
  const std::lock_guard lock(mutex_);
  if (!reservation_ || rule == ReservationRule::allowed) return true;
  const std::string port = nexus.port_name();
  if (holds(port)) return true;
  if ((registrants_only(reservation_->type) || all_registrants(reservation_->type)) &&
      registrations_.contains(port))
    return true;
  return rule == ReservationRule::allowed_if_shared && write_exclusive(reservation_->type);
}

bool PersistentReservations::any_registration() const {
  const std::lock_guard lock(mutex_);
  return !registrations_.empty();
}

bool PersistentReservations::is_registered(const Nexus& nexus) const {
  const std::lock_guard lock(mutex_);
  return registrations_.contains(nexus.port_name());
}

bool PersistentReservations::is_holder(const Nexus& nexus) const {
  const std::lock_guard lock(mutex_);
  return holds(nexus.port_name());
}

// -- PERSISTENT RESERVE IN

Buffer PersistentReservations::read_keys() const {
  Buffer out;
  WireWriter w(out);
  w.u32(generation_).u32(8 * registrations_.size());
  for (const auto& [port, r] : registrations_) w.u64(r.key);
  return out;
}

Buffer PersistentReservations::read_reservation() const {
  Buffer out;
  WireWriter w(out);
  w.u32(generation_).u32(reservation_ ? 16 : 0);
  if (!reservation_) return out;
  const auto holder = registrations_.find(reservation_->holder);
  // SPC-5 6.14.3.2: the all registrants types report key 0.
  const bool keyed = !all_registrants(reservation_->type) && holder != registrations_.end();
  w.u64(keyed ? holder->second.key : 0).zeros(4).u8(0);
  w.u8(static_cast<uint8_t>(reservation_->type)).zeros(2);
  return out;
}

Buffer PersistentReservations::capabilities() const {
  Buffer out;
  WireWriter w(out);
  w.u16(8).u8(0).u8(0x80);       // TMV: the type mask is valid; no APTPL, SIP or ATP
  w.u8(0xEA).u8(0x01).zeros(2);  // all six types
  return out;
}

Buffer PersistentReservations::full_status(uint16_t relative_target_port) const {
  Buffer out;
  WireWriter w(out);
  w.u32(generation_).u32(0);
  for (const auto& [port, r] : registrations_) {
    const bool holder = holds(port);
    const Buffer id = transport_id(port);
    w.u64(r.key).zeros(4).u8(holder ? 1 : 0);
    w.u8(holder ? static_cast<uint8_t>(reservation_->type) : 0).zeros(4);
    w.u16(relative_target_port).u32(id.size()).raw(id);
  }
  put_number(out, 4, out.size() - 8, 4);
  return out;
}

std::optional<Buffer> PersistentReservations::in(uint8_t service_action,
                                                 uint16_t relative_target_port) const {
  const std::lock_guard lock(mutex_);
  switch (service_action) {
    case 0:
      return read_keys();
    case 1:
      return read_reservation();
    case 2:
      return capabilities();
    case 3:
      return full_status(relative_target_port);
    default:
      return std::nullopt;
  }
}

// -- PERSISTENT RESERVE OUT

void PersistentReservations::release_with_attention(const std::string& by, Outcome& outcome) {
  if (!reservation_) return;
  const ReservationType type = reservation_->type;
  reservation_.reset();
  // SPC-5 5.13.11.2.2: the other registrants learn of it for these types.
  if (!registrants_only(type) && !all_registrants(type)) return;
  for (const auto& [port, r] : registrations_)
    if (port != by) outcome.attentions.push_back({port, asc::reservations_released});
}

void PersistentReservations::unregister(const std::string& port, Outcome& outcome) {
  const bool was_holder = holds(port);
  registrations_.erase(port);
  if (!was_holder) return;
  if (all_registrants(reservation_->type) && !registrations_.empty()) return;
  release_with_attention(port, outcome);
}

PersistentReservations::Outcome PersistentReservations::do_register(const Nexus& nexus,
                                                                    uint64_t key, uint64_t new_key,
                                                                    bool ignore_existing) {
  Outcome out;
  const std::string port = nexus.port_name();
  const auto it = registrations_.find(port);
  if (it == registrations_.end()) {
    if (!ignore_existing && key != 0) return conflict();
    if (new_key == 0) return out;
    if (registrations_.size() >= kMaxRegistrations)
      return refused(illegal_request(asc::insufficient_registration_resources));
    registrations_[port] = {new_key, port, nexus.initiator_name, nexus.isid};
  } else {
    if (!ignore_existing && key != it->second.key) return conflict();
    if (new_key == 0)
      unregister(port, out);
    else
      it->second.key = new_key;
  }
  ++generation_;
  return out;
}

PersistentReservations::Outcome PersistentReservations::reserve(const Nexus& nexus,
                                                                ReservationType type) {
  const std::string port = nexus.port_name();
  if (reservation_) {
    // Reserving again what one holds is fine, changing its type is not (SPC-5 5.13.9).
    return holds(port) && reservation_->type == type ? Outcome{} : conflict();
  }
  reservation_ = Reservation{type, port};
  return {};
}

PersistentReservations::Outcome PersistentReservations::release(const Nexus& nexus,
                                                                ReservationType type) {
  Outcome out;
  const std::string port = nexus.port_name();
  if (!reservation_ || !holds(port)) return out;  // SPC-5 5.13.11.2.2: GOOD, nothing released
  if (reservation_->type != type)
    return refused(illegal_request(asc::invalid_release_of_reservation));
  release_with_attention(port, out);
  return out;
}

PersistentReservations::Outcome PersistentReservations::clear(const Nexus& nexus) {
  Outcome out;
  const std::string port = nexus.port_name();
  for (const auto& [other, r] : registrations_)
    if (other != port) out.attentions.push_back({other, asc::reservations_preempted});
  registrations_.clear();
  reservation_.reset();
  ++generation_;
  return out;
}

// SPC-5 5.13.11.2.4 - 6.
PersistentReservations::Outcome PersistentReservations::preempt(const Nexus& nexus,
                                                                uint64_t victim_key,
                                                                ReservationType type) {
  Outcome out;
  const std::string port = nexus.port_name();
  const bool everyone = reservation_ && all_registrants(reservation_->type) && victim_key == 0;
  if (victim_key == 0 && !everyone) return refused(invalid_parameter_field(8));
  const auto holder =
      reservation_ ? registrations_.find(reservation_->holder) : registrations_.end();
  const bool takes_over =
      everyone || (reservation_ && !all_registrants(reservation_->type) &&
                   holder != registrations_.end() && holder->second.key == victim_key);
  bool found = false;
  for (auto it = registrations_.begin(); it != registrations_.end();) {
    const bool victim = everyone || it->second.key == victim_key;
    found = found || victim;
    if (victim && it->first != port) {
      out.attentions.push_back({it->first, asc::registrations_preempted});
      it = registrations_.erase(it);
    } else {
      ++it;
    }
  }
  if (!found) return conflict();
  ++generation_;
  if (!takes_over) return out;
  if (reservation_->type != type) {
    for (const auto& [other, r] : registrations_)
      if (other != port) out.attentions.push_back({other, asc::reservations_released});
  }
  reservation_ = Reservation{type, port};
  return out;
}

PersistentReservations::Outcome PersistentReservations::out(const Nexus& nexus, ByteView cdb,
                                                            ByteView parameters) {
  const auto action = static_cast<uint8_t>(get_byte(cdb, 1) & 0x1FU);
  if (action > 6) return refused(invalid_cdb_field(1, 4));
  if (get_number(cdb, 5, 4) != kParameterBytes || parameters.size() < kParameterBytes)
    return refused(illegal_request(asc::parameter_list_length_error));
  const uint64_t key = get_number(parameters, 0, 8);
  const uint64_t service_key = get_number(parameters, 8, 8);
  const bool registers = action == 0 || action == 6;
  const std::lock_guard lock(mutex_);
  if (registers) {
    if ((get_byte(parameters, 20) & 0x08) != 0) return refused(invalid_parameter_field(20, 3));
    if ((get_byte(parameters, 20) & 0x01) != 0) return refused(invalid_parameter_field(20, 0));
    return do_register(nexus, key, service_key, action == 6);
  }
  const auto registration = registrations_.find(nexus.port_name());
  if (registration == registrations_.end() || registration->second.key != key) return conflict();
  if (action == 3) return clear(nexus);
  if ((get_byte(cdb, 2) >> 4) != 0) return refused(invalid_cdb_field(2, 7));  // LU_SCOPE only
  const auto type = reservation_type(static_cast<uint8_t>(get_byte(cdb, 2) & 0x0FU));
  if (!type) return refused(invalid_cdb_field(2, 3));
  switch (action) {
    case 1:
      return reserve(nexus, *type);
    case 2:
      return release(nexus, *type);
    default:  // 4 PREEMPT, 5 PREEMPT AND ABORT
      return preempt(nexus, service_key, *type);
  }
}

}  // namespace coldshelf::scsi
