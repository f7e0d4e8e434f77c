#include "target/scsi/persistent_reservations.h"

#include <algorithm>

#include "base/log.h"
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

bool PersistentReservations::State::holds(const std::string& port) const {
  if (!reservation) return false;
  if (all_registrants(reservation->type)) return registrations.contains(port);
  return reservation->holder == port;
}

bool PersistentReservations::allows(const Nexus& nexus, ReservationRule rule) const {
  if (rule == ReservationRule::allowed || !reserved_.load(std::memory_order_acquire)) return true;
  const std::lock_guard lock(mutex_);
  if (!state_.reservation) return true;
  const std::string port = nexus.port_name();
  if (state_.holds(port)) return true;
  if ((registrants_only(state_.reservation->type) || all_registrants(state_.reservation->type)) &&
      state_.registrations.contains(port))
    return true;
  return rule == ReservationRule::allowed_if_shared && write_exclusive(state_.reservation->type);
}

bool PersistentReservations::any_registration() const {
  const std::lock_guard lock(mutex_);
  return !state_.registrations.empty();
}

bool PersistentReservations::is_registered(const Nexus& nexus) const {
  const std::lock_guard lock(mutex_);
  return state_.registrations.contains(nexus.port_name());
}

bool PersistentReservations::is_holder(const Nexus& nexus) const {
  const std::lock_guard lock(mutex_);
  return state_.holds(nexus.port_name());
}

// -- PERSISTENT RESERVE IN

Buffer PersistentReservations::read_keys() const {
  Buffer out;
  WireWriter w(out);
  w.u32(state_.generation).u32(8 * state_.registrations.size());
  for (const auto& [port, r] : state_.registrations) w.u64(r.key);
  return out;
}

Buffer PersistentReservations::read_reservation() const {
  Buffer out;
  WireWriter w(out);
  w.u32(state_.generation).u32(state_.reservation ? 16 : 0);
  if (!state_.reservation) return out;
  const auto holder = state_.registrations.find(state_.reservation->holder);
  // SPC-5 6.14.3.2: the all registrants types report key 0.
  const bool keyed =
      !all_registrants(state_.reservation->type) && holder != state_.registrations.end();
  w.u64(keyed ? holder->second.key : 0).zeros(4).u8(0);
  w.u8(static_cast<uint8_t>(state_.reservation->type)).zeros(2);
  return out;
}

Buffer PersistentReservations::capabilities() const {
  Buffer out;
  WireWriter w(out);
  // PTPL_C where there is a store; no SIP or ATP. TMV: the type mask is valid; PTPL_A.
  w.u16(8).u8(store_ != nullptr ? 0x01 : 0x00).u8(state_.kept ? 0x81 : 0x80);
  w.u8(0xEA).u8(0x01).zeros(2);  // all six types
  return out;
}

Buffer PersistentReservations::full_status(uint16_t relative_target_port) const {
  Buffer out;
  WireWriter w(out);
  w.u32(state_.generation).u32(0);
  for (const auto& [port, r] : state_.registrations) {
    const bool holder = state_.holds(port);
    const Buffer id = transport_id(port);
    w.u64(r.key).zeros(4).u8(holder ? 1 : 0);
    w.u8(holder ? static_cast<uint8_t>(state_.reservation->type) : 0).zeros(4);
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

void PersistentReservations::release_with_attention(State& state, const std::string& by,
                                                    Outcome& outcome) {
  if (!state.reservation) return;
  const ReservationType type = state.reservation->type;
  state.reservation.reset();
  // SPC-5 5.13.11.2.2: the other registrants learn of it for these types.
  if (!registrants_only(type) && !all_registrants(type)) return;
  for (const auto& [port, r] : state.registrations)
    if (port != by) outcome.attentions.push_back({port, asc::reservations_released});
}

void PersistentReservations::unregister(State& state, const std::string& port, Outcome& outcome) {
  const bool was_holder = state.holds(port);
  state.registrations.erase(port);
  if (!was_holder) return;
  if (all_registrants(state.reservation->type) && !state.registrations.empty()) return;
  release_with_attention(state, port, outcome);
}

PersistentReservations::Outcome PersistentReservations::do_register(State& state,
                                                                    const Nexus& nexus,
                                                                    uint64_t key, uint64_t new_key,
                                                                    bool ignore_existing) {
  Outcome out;
  const std::string port = nexus.port_name();
  const auto it = state.registrations.find(port);
  if (it == state.registrations.end()) {
    if (!ignore_existing && key != 0) return conflict();
    if (state.registrations.size() >= kMaxRegistrations)
      return refused(illegal_request(asc::insufficient_registration_resources));
    state.registrations[port] = {new_key, port, nexus.initiator_name, nexus.isid};
  } else {
    if (!ignore_existing && key != it->second.key) return conflict();
    if (new_key == 0)
      unregister(state, port, out);
    else
      it->second.key = new_key;
  }
  ++state.generation;
  return out;
}

PersistentReservations::Outcome PersistentReservations::reserve(State& state, const Nexus& nexus,
                                                                ReservationType type) {
  const std::string port = nexus.port_name();
  if (state.reservation) {
    // Reserving again what one holds is fine, changing its type is not (SPC-5 5.13.9).
    return state.holds(port) && state.reservation->type == type ? Outcome{} : conflict();
  }
  state.reservation = Reservation{type, port};
  return {};
}

PersistentReservations::Outcome PersistentReservations::release(State& state, const Nexus& nexus,
                                                                ReservationType type) {
  Outcome out;
  const std::string port = nexus.port_name();
  if (!state.reservation || !state.holds(port))
    return out;  // SPC-5 5.13.11.2.2: GOOD, nothing released
  if (state.reservation->type != type)
    return refused(illegal_request(asc::invalid_release_of_reservation));
  release_with_attention(state, port, out);
  return out;
}

PersistentReservations::Outcome PersistentReservations::clear(State& state, const Nexus& nexus) {
  Outcome out;
  const std::string port = nexus.port_name();
  for (const auto& [other, r] : state.registrations)
    if (other != port) out.attentions.push_back({other, asc::reservations_preempted});
  state.registrations.clear();
  state.reservation.reset();
  ++state.generation;
  return out;
}

// SPC-5 5.13.11.2.4 - 6.
PersistentReservations::Outcome PersistentReservations::preempt(State& state, const Nexus& nexus,
                                                                uint64_t victim_key,
                                                                ReservationType type) {
  Outcome out;
  const std::string port = nexus.port_name();
  const bool everyone =
      state.reservation && all_registrants(state.reservation->type) && victim_key == 0;
  if (victim_key == 0 && !everyone) return refused(invalid_parameter_field(8));
  const auto holder = state.reservation ? state.registrations.find(state.reservation->holder)
                                        : state.registrations.end();
  const bool takes_over =
      everyone || (state.reservation && !all_registrants(state.reservation->type) &&
                   holder != state.registrations.end() && holder->second.key == victim_key);
  bool found = false;
  for (auto it = state.registrations.begin(); it != state.registrations.end();) {
    const bool victim = everyone || it->second.key == victim_key;
    found = found || victim;
    if (victim && it->first != port) {
      out.attentions.push_back({it->first, asc::registrations_preempted});
      out.aborted_ports.push_back(it->first);
      it = state.registrations.erase(it);
    } else {
      ++it;
    }
  }
  if (!found) return conflict();
  ++state.generation;
  if (!takes_over) return out;
  if (state.reservation->type != type) {
    for (const auto& [other, r] : state.registrations)
      if (other != port) out.attentions.push_back({other, asc::reservations_released});
  }
  state.reservation = Reservation{type, port};
  return out;
}

PersistentReservations::Outcome PersistentReservations::apply(State& state, const Nexus& nexus,
                                                              ByteView cdb,
                                                              ByteView parameters) const {
  const auto action = static_cast<uint8_t>(get_byte(cdb, 1) & 0x1FU);
  if (action > 6) return refused(invalid_cdb_field(1, 4));
  if (get_number(cdb, 5, 4) != kParameterBytes || parameters.size() < kParameterBytes)
    return refused(illegal_request(asc::parameter_list_length_error));
  const uint64_t key = get_number(parameters, 0, 8);
  const uint64_t service_key = get_number(parameters, 8, 8);
  const bool registers = action == 0 || action == 6;
  if (registers) {
    if ((get_byte(parameters, 20) & 0x08) != 0) return refused(invalid_parameter_field(20, 3));
    const bool keep = (get_byte(parameters, 20) & 0x01) != 0;  // APTPL
    if (keep && store_ == nullptr) return refused(invalid_parameter_field(20, 0));
    // SPC-5 5.13.7, tables 67 and 68: an unregistered nexus with nothing to register does nothing.
    const bool stranger = !state.registrations.contains(nexus.port_name());
    if (stranger && service_key == 0 && (key == 0 || action == 6)) return {};
    Outcome outcome = do_register(state, nexus, key, service_key, action == 6);
    // The last REGISTER that succeeds decides (SPC-5 5.13.5).
    if (outcome.status == ScsiStatus::good) state.kept = keep;
    return outcome;
  }
  const auto registration = state.registrations.find(nexus.port_name());
  if (registration == state.registrations.end() || registration->second.key != key)
    return conflict();
  if (action == 3) return clear(state, nexus);
  if ((get_byte(cdb, 2) >> 4) != 0) return refused(invalid_cdb_field(2, 7));  // LU_SCOPE only
  const auto type = reservation_type(static_cast<uint8_t>(get_byte(cdb, 2) & 0x0FU));
  if (!type) return refused(invalid_cdb_field(2, 3));
  switch (action) {
    case 1:
      return reserve(state, nexus, *type);
    case 2:
      return release(state, nexus, *type);
    default: {  // 4 PREEMPT, 5 PREEMPT AND ABORT
      Outcome outcome = preempt(state, nexus, service_key, *type);
      if (action != 5) outcome.aborted_ports.clear();
      return outcome;
    }
  }
}

// Everything is done on a copy, and becomes valid when it is durable: a command that is refused, or
// cannot be kept, changes nothing.
PersistentReservations::Outcome PersistentReservations::out(const Nexus& nexus, ByteView cdb,
                                                            ByteView parameters) {
  const std::lock_guard one_at_a_time(changing_);
  State state;
  {
    const std::lock_guard lock(mutex_);
    state = state_;
  }
  const bool was_kept = state.kept;
  Outcome outcome = apply(state, nexus, cdb, parameters);
  if (outcome.status != ScsiStatus::good) return outcome;
  if (was_kept || state.kept) {
    if (const Status saved = save(state); !saved.ok()) {
      log_error("scsi", "reservations were not saved", {{"error", saved.error().message()}});
      return refused(sense_of(saved.error(), Activity::other));
    }
  }
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
  reserved_.store(state_.reservation.has_value(), std::memory_order_release);
  return outcome;
}

// -- through power loss

namespace {

constexpr char kRecord[] = "reservations";
constexpr uint8_t kRecordVersion = 1;
constexpr size_t kMaxNameBytes = 1024;  // an iSCSI name has 223 at most

}  // namespace

// Version, kept, the reservation's type (0: none) and its holder, then key, ISID and initiator of
// each registration. Big-endian, as WireWriter has it; text with its length before it.
Buffer PersistentReservations::encode(const State& state) {
  Buffer out;
  WireWriter w(out);
  const auto text = [&w](const std::string& s) { w.u16(s.size()).raw(as_view(s)); };
  w.u8(kRecordVersion).u8(state.kept ? 1 : 0);
  w.u8(state.reservation ? static_cast<uint8_t>(state.reservation->type) : 0);
  text(state.reservation ? state.reservation->holder : std::string());
  w.u32(state.registrations.size());
  for (const auto& [port, r] : state.registrations) {
    w.u64(r.key).raw(r.isid);
    text(r.initiator_name);
  }
  return out;
}

Result<PersistentReservations::State> PersistentReservations::decode(ByteView record) {
  size_t at = 0;
  bool whole = true;
  const auto number = [&](size_t bytes) {
    whole = whole && record.size() - at >= bytes;
    if (!whole) return uint64_t{0};
    at += bytes;
    return get_number(record, at - bytes, bytes);
  };
  const auto text = [&] {
    const auto length = static_cast<size_t>(number(2));
    whole = whole && length <= kMaxNameBytes && record.size() - at >= length;
    if (!whole) return std::string();
    at += length;
    return to_text(record.subspan(at - length, length));
  };
  State state;
  if (number(1) != kRecordVersion)
    return Error(ErrorCode::unsupported_version, "reservations of a later version");
  state.kept = number(1) != 0;
  const auto type = static_cast<uint8_t>(number(1));
  const std::string holder = text();
  if (const auto known = reservation_type(type)) state.reservation = Reservation{*known, holder};
  const uint64_t count = number(4);
  for (uint64_t i = 0; i < count && whole && i <= kMaxRegistrations; ++i) {
    Nexus nexus;
    Registration r;
    r.key = number(8);
    for (std::byte& b : r.isid) b = static_cast<std::byte>(number(1));
    r.initiator_name = nexus.initiator_name = text();
    nexus.isid = r.isid;
    r.port_name = nexus.port_name();
    state.registrations[r.port_name] = r;
  }
  if (!whole || at != record.size() || state.registrations.size() != count ||
      (type != 0 && !state.reservation))
    return Error(ErrorCode::corrupt, "the reservations that were kept are damaged");
  return state;
}

// APTPL withdrawn: nothing is kept, but that it is not.
Status PersistentReservations::save(const State& state) {
  return store_->save(kRecord, encode(state.kept ? state : State{}));
}

Status PersistentReservations::keep_in(UnitStore* store) {
  ASSIGN_OR_RETURN(const Buffer record, store->load(kRecord));
  State state;
  if (!record.empty()) {
    ASSIGN_OR_RETURN(state, decode(record));
  }
  const std::lock_guard lock(mutex_);
  store_ = store;
  state_ = std::move(state);
  reserved_.store(state_.reservation.has_value(), std::memory_order_release);
  return {};
}

}  // namespace coldshelf::scsi
