#include "target/scsi/device_server.h"

#include <algorithm>

#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {
constexpr size_t kMaxKnownPorts = 4096;
constexpr char kModePagesRecord[] = "mode-pages";
}  // namespace

DeviceServer::DeviceServer(DeviceIdentity identity, Clock* clock)
    : identity_(std::move(identity)), clock_(clock), mode_pages_(this) {
  add_common_opcodes();
  add_reservation_opcodes();
  add_mode_and_log_opcodes();
  add_vpd_page(0x80, [this] { return to_buffer(as_view(identity_.serial)); });
  add_vpd_page(0x83, [this] { return device_identification(); });
}

DeviceServer::~DeviceServer() = default;

void DeviceServer::add_vpd_page(uint8_t page, std::function<Buffer()> body) {
  vpd_[page] = std::move(body);
}

uint64_t DeviceServer::data_out_length(ByteView cdb) const {
  const OpcodeEntry* entry = opcodes_.find(cdb);
  return entry != nullptr && entry->data_out ? entry->data_out(cdb) : 0;
}

bool DeviceServer::may_block(const Command& command) const {
  const OpcodeEntry* entry = opcodes_.find(command.cdb);
  return entry != nullptr && entry->may_block;
}

// Order of what a command meets (SAM-5 5.3, 5.14, SPC-5 5.13): unit attention, reservation
// conflict, then the command itself.
Reply DeviceServer::execute(const Command& command) {
  if (command.alone) do_pending_reset();
  before_command(command);
  Reply reply = dispatch(command);
  reply.data_out_wanted = data_out_length(command.cdb);
  reply.data_in_wanted = std::max(reply.data_in_wanted, reply.data.size);
  reply.data.truncate(command.expected_in);
  return reply;
}

Reply DeviceServer::dispatch(const Command& command) {
  bool opcode_known = false;
  const OpcodeEntry* entry = opcodes_.find(command.cdb, &opcode_known);
  const bool begun = command.goes_on_at != 0;
  if (!begun && (entry == nullptr || !entry->ignores_unit_attention)) {
    if (const auto attention = attentions_.take(command.nexus->id)) {
      attention_told(command, *attention);
      Sense sense;
      sense.key = SenseKey::unit_attention;
      sense.code = *attention;
      return check(sense);
    }
  }
  if (entry == nullptr) {
    if (opcode_known) return check(invalid_cdb_field(1, 4));
    Sense sense = illegal_request(asc::invalid_opcode);
    sense.field = FieldPointer{true, 0, std::nullopt};
    return check(sense);
  }
  if (conflicts(command, *entry)) return status(ScsiStatus::reservation_conflict);
  // NACA: there is no ACA here (SAM-5 5.2; INQUIRY NORMACA is 0).
  const size_t control = entry->usage.size() - 1;
  if ((get_byte(command.cdb, control) & 0x04) != 0)
    return check(invalid_cdb_field(static_cast<uint16_t>(control), 2));
  if (entry->data_out && !entry->takes_short_data &&
      command.data_out.size() < entry->data_out(command.cdb))
    return check(illegal_request(asc::information_unit_too_short));
  return entry->handler(command);
}

bool DeviceServer::conflicts(const Command& command, const OpcodeEntry& entry) const {
  // To prevent removal conflicts, to allow it again does not: else a nexus that has prevented it
  // before another one reserves could never take that back (SPC-5 table 66, SPC-2 table 10).
  const bool allows_removal = entry.opcode == 0x1E && (get_byte(command.cdb, 4) & 0x03) == 0;
  {
    const std::lock_guard lock(mutex_);
    // SPC-2 5.5.1: the two kinds of reservation exclude each other.
    const bool persistent = entry.opcode == 0x5E || entry.opcode == 0x5F;
    const bool allowed = entry.allowed_under_reserve6 || allows_removal;
    if (reserved_by_ && (persistent || (*reserved_by_ != command.nexus->id && !allowed)))
      return true;
  }
  return !persistent_.allows(*command.nexus,
                             allows_removal ? ReservationRule::allowed : entry.rule);
}

// -- nexuses

void DeviceServer::nexus_established(std::shared_ptr<const Nexus> nexus) {
  attentions_.add_nexus(*nexus);
  bool seen = false;
  {
    const std::lock_guard lock(mutex_);
    nexuses_[nexus->id] = nexus->port_name();
    if (known_ports_.size() >= kMaxKnownPorts) known_ports_.clear();
    seen = !known_ports_.insert(nexus->port_name()).second;
  }
  attentions_.raise(nexus->id, seen ? asc::nexus_loss : asc::power_on_occurred);
}

// A command may still run when its nexus goes: what belongs to the nexus alone it must not take any
// more, for nobody would give it back.
bool DeviceServer::nexus_is_lost(const Nexus& nexus) const { return !nexuses_.contains(nexus.id); }

void DeviceServer::nexus_lost(const Nexus& nexus) {
  const std::lock_guard in_order(prevention_mutex_);
  bool prevention_dropped = false;
  bool any = false;
  {
    const std::lock_guard lock(mutex_);
    nexuses_.erase(nexus.id);
    if (reserved_by_ == nexus.id) reserved_by_.reset();
    prevention_dropped = preventers_.erase(nexus.id) != 0;
    any = !preventers_.empty();
  }
  attentions_.remove_nexus(nexus.id);
  if (prevention_dropped) prevent_changed(nexus.id, false, any);
}

void DeviceServer::reset(ResetKind kind) {
  const std::lock_guard in_order(prevention_mutex_);
  std::set<uint64_t> dropped;
  {
    const std::lock_guard lock(mutex_);
    reserved_by_.reset();
    dropped.swap(preventers_);
  }
  for (uint64_t id : dropped) prevent_changed(id, false, false);
  switch (kind) {
    case ResetKind::power_on:
      attentions_.raise_for_all(asc::power_on_occurred);
      break;
    case ResetKind::logical_unit:
      attentions_.raise_for_all(asc::device_reset);
      break;
    case ResetKind::target_warm:
    case ResetKind::target_cold:
      attentions_.raise_for_all(asc::bus_reset);
      break;
  }
  reset_pending_ = true;
}

void DeviceServer::do_pending_reset() {
  if (!reset_pending_.exchange(false)) return;
  mode_pages_.reset_to_saved();
  device_reset();
}

void DeviceServer::task_set_cleared(const Nexus& by) {
  attentions_.raise_for_others(by.id, asc::commands_cleared_by_another_initiator);
}

bool DeviceServer::prevented() const {
  const std::lock_guard lock(mutex_);
  return !preventers_.empty();
}

int64_t DeviceServer::timestamp_ms() const {
  const std::lock_guard lock(mutex_);
  return clock_->unix_ms() + timestamp_offset_ms_;
}

// -- replies

Reply DeviceServer::check(const Sense& sense) const {
  Reply reply;
  reply.status = ScsiStatus::check_condition;
  // D_SENSE of the control mode page (SPC-5 7.5.8).
  const ModePage* control = mode_pages_.find(0x0A);
  reply.sense = sense.encode(control != nullptr && (control->at(2) & 0x04) != 0);
  return reply;
}

Reply DeviceServer::check(const Error& error, Activity activity) const {
  return check(sense_of(error, activity));
}

Reply DeviceServer::check_with_data(const Sense& sense, DataIn data) const {
  Reply reply = check(sense);
  reply.data = std::move(data);
  return reply;
}

Reply DeviceServer::data(Buffer bytes, uint64_t allocation_length) {
  Reply reply;
  reply.data = DataIn::from(std::move(bytes));
  reply.data.truncate(allocation_length);
  return reply;
}

Reply DeviceServer::status(ScsiStatus status) {
  Reply reply;
  reply.status = status;
  return reply;
}

// -- PREVENT ALLOW MEDIUM REMOVAL, RESERVE and RELEASE, PERSISTENT RESERVE

Reply DeviceServer::prevent_allow(const Command& command) {
  const auto prevent = static_cast<uint8_t>(get_byte(command.cdb, 4) & 0x03U);
  if (prevent > 1) return check(invalid_cdb_field(4, 1));
  const std::lock_guard in_order(prevention_mutex_);
  bool any = false;
  {
    const std::lock_guard lock(mutex_);
    if (nexus_is_lost(*command.nexus)) return status(ScsiStatus::task_aborted);
    if (prevent == 1)
      preventers_.insert(command.nexus->id);
    else
      preventers_.erase(command.nexus->id);
    any = !preventers_.empty();
  }
  prevent_changed(command.nexus->id, prevent == 1, any);
  return good();
}

Reply DeviceServer::reserve_release(const Command& command) {
  const uint8_t opcode = get_byte(command.cdb, 0);
  // Extents, third parties and long identifiers are obsolete: LU scope only (SPC-2 7.21, 7.22).
  if ((get_byte(command.cdb, 1) & 0x1F) != 0) return check(invalid_cdb_field(1, 4));
  if (persistent_.any_registration()) return status(ScsiStatus::reservation_conflict);
  const std::lock_guard lock(mutex_);
  if (nexus_is_lost(*command.nexus)) return status(ScsiStatus::task_aborted);
  const bool reserve = opcode == 0x16 || opcode == 0x56;
  if (reserve)
    reserved_by_ = command.nexus->id;  // a holder other than us was refused by conflicts()
  else if (reserved_by_ == command.nexus->id)
    reserved_by_.reset();
  return good();
}

Reply DeviceServer::persistent_in(const Command& command) {
  const auto action = static_cast<uint8_t>(get_byte(command.cdb, 1) & 0x1FU);
  auto bytes = persistent_.in(action, identity_.relative_target_port);
  if (!bytes) return check(invalid_cdb_field(1, 4));
  return data(std::move(*bytes), get_number(command.cdb, 7, 2));
}

Reply DeviceServer::persistent_out(const Command& command) {
  {
    const std::lock_guard lock(mutex_);
    if (nexus_is_lost(*command.nexus)) return status(ScsiStatus::task_aborted);
  }
  const auto outcome = persistent_.out(*command.nexus, command.cdb, command.data_out);
  for (const auto& attention : outcome.attentions)
    attentions_.raise_for_port(attention.port_name, attention.code);
  if (outcome.sense) return check(*outcome.sense);
  for (const std::string& port : outcome.aborted_ports) allow_removal_of(port);
  Reply reply = status(outcome.status);
  reply.abort_ports = outcome.aborted_ports;
  return reply;
}

// PREEMPT AND ABORT ends what the preempted nexuses prevented, as if they had allowed it (SPC-5
// 5.13.11.2.6): a host that hangs must not keep the medium from the one that takes over.
void DeviceServer::allow_removal_of(const std::string& port_name) {
  const std::lock_guard in_order(prevention_mutex_);
  std::vector<uint64_t> dropped;
  bool any = false;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, port] : nexuses_)
      if (port == port_name && preventers_.erase(id) != 0) dropped.push_back(id);
    any = !preventers_.empty();
  }
  for (uint64_t id : dropped) prevent_changed(id, false, any);
}

Status DeviceServer::keep_state_in(UnitStore* store) {
  TRY(persistent_.keep_in(store));
  ASSIGN_OR_RETURN(const Buffer pages, store->load(kModePagesRecord));
  TRY(mode_pages_.restore(pages));
  mode_pages_.enable_saving(
      [store](ByteView record) { return store->save(kModePagesRecord, record); });
  return {};
}

// A reset that is due is done by a command that runs alone: the next one.
Footprint DeviceServer::footprint(const Command& command) const {
  if (reset_pending_) return {};
  const OpcodeEntry* entry = opcodes_.find(command.cdb);
  return entry != nullptr && entry->footprint ? entry->footprint(command) : Footprint{};
}

void DeviceServer::add_reservation_opcodes() {
  const auto conflict_free = ReservationRule::allowed;  // they judge by themselves
  const auto reserve = [this](const Command& c) { return reserve_release(c); };
  const auto in = [this](const Command& c) { return persistent_in(c); };
  const auto out = [this](const Command& c) { return persistent_out(c); };
  const auto add = [this](OpcodeEntry e) { opcodes_.add(std::move(e)); };
  add({.opcode = 0x16,
       .service_action = {},
       .name = "RESERVE(6)",
       .usage = {0x16, 0x1F, 0, 0, 0, 0x04},
       .handler = reserve,
       .data_out = {}});
  add({.opcode = 0x17,
       .service_action = {},
       .name = "RELEASE(6)",
       .usage = {0x17, 0x1F, 0, 0, 0, 0x04},
       .handler = reserve,
       .rule = conflict_free,
       .allowed_under_reserve6 = true,
       .data_out = {}});
  add({.opcode = 0x56,
       .service_action = {},
       .name = "RESERVE(10)",
       .usage = {0x56, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0x04},
       .handler = reserve,
       .data_out = {}});
  add({.opcode = 0x57,
       .service_action = {},
       .name = "RELEASE(10)",
       .usage = {0x57, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0x04},
       .handler = reserve,
       .rule = conflict_free,
       .allowed_under_reserve6 = true,
       .data_out = {}});
  static constexpr std::string_view in_names[] = {"READ KEYS", "READ RESERVATION",
                                                  "REPORT CAPABILITIES", "READ FULL STATUS"};
  for (uint8_t a = 0; a < 4; ++a)
    add({.opcode = 0x5E,
         .service_action = a,
         .name = in_names[a],
         .usage = {0x5E, static_cast<uint8_t>(0xE0 | a), 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x04},
         .handler = in,
         .rule = conflict_free,
         .data_out = {}});
  static constexpr std::string_view out_names[] = {"REGISTER",
                                                   "RESERVE",
                                                   "RELEASE",
                                                   "CLEAR",
                                                   "PREEMPT",
                                                   "PREEMPT AND ABORT",
                                                   "REGISTER AND IGNORE EXISTING KEY"};
  for (uint8_t a = 0; a < 7; ++a)
    add({.opcode = 0x5F,
         .service_action = a,
         .name = out_names[a],
         .usage = {0x5F, static_cast<uint8_t>(0xE0 | a), 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x04},
         .handler = out,
         .rule = conflict_free,
         .data_out = length_at(5, 4)});
  add({.opcode = 0x1E,
       .service_action = {},
       .name = "PREVENT ALLOW MEDIUM REMOVAL",
       .usage = {0x1E, 0, 0, 0, 0x03, 0x04},
       .handler = [this](const Command& c) { return prevent_allow(c); },
       .data_out = {}});
}

}  // namespace coldshelf::scsi
