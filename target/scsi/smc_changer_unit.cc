// The changer's tables: opcodes, mode pages, log pages; unit attentions and identity.
#include <array>

#include "target/scsi/changer_unit.h"

namespace coldshelf::scsi {

namespace {

constexpr uint8_t kMediumChanger = 0x08;
constexpr size_t kBarcodeByte = 55;  // of the standard INQUIRY data: BarC

DeviceIdentity identity_of(const ChangerUnitOptions& options) {
  const LibraryOptions& library = options.library->options();
  DeviceIdentity identity;
  identity.device_type = kMediumChanger;
  identity.vendor = library.profile->vendor;
  identity.product = library.profile->product;
  identity.revision = library.profile->revision;
  identity.serial = library.serial;
  identity.target_name = options.target_name;
  identity.relative_target_port = options.relative_target_port;
  identity.target_port_group = options.target_port_group;
  // SPC-5 table 149: SAM-4, SPC-4, SMC-3, iSCSI (no version claimed).
  identity.version_descriptors = {0x0080, 0x0460, 0x0480, 0x0960};
  return identity;
}

unsigned count_of(const Library& library, ElementType type) {
  const LibraryOptions& options = library.options();
  switch (type) {
    case ElementType::transport:
      return 1;
    case ElementType::storage:
      return options.slots;
    case ElementType::import_export:
      return options.import_export_slots;
    case ElementType::data_transfer:
      return static_cast<unsigned>(options.drives.size());
  }
  return 0;
}

void append_range(std::vector<uint8_t>& body, unsigned first, unsigned count) {
  for (const unsigned value : {first, count}) {
    body.push_back(static_cast<uint8_t>(value >> 8));
    body.push_back(static_cast<uint8_t>(value & 0xFF));
  }
}

}  // namespace

ChangerUnit::ChangerUnit(ChangerUnitOptions options)
    : DeviceServer(identity_of(options), options.clock),
      library_(*options.library),
      seen_inventory_(library_.inventory_generation()),
      seen_import_export_(library_.import_export_generation()) {
  add_opcodes();
  add_mode_pages();
  add_log_pages();
}

ChangerUnit::~ChangerUnit() = default;

// Reservations: SMC-3 table 5. Timeouts follow mtx and the IBM library drivers: a move may have to
// write a whole buffer to the disk first.
void ChangerUnit::add_opcodes() {
  struct Row {
    uint8_t opcode;
    std::string_view name;
    std::vector<uint8_t> usage;
    Reply (ChangerUnit::*handler)(const Command&);
    ReservationRule rule;
    bool moves;
  };
  const std::array<Row, 9> rows = {{
      {0x07,
       "INITIALIZE ELEMENT STATUS",
       {0x07, 0, 0, 0, 0, 0x04},
       &ChangerUnit::initialize_element_status,
       ReservationRule::conflict,
       false},
      {0x2B,
       "POSITION TO ELEMENT",
       {0x2B, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0x01, 0x04},
       &ChangerUnit::position_to_element,
       ReservationRule::conflict,
       false},
      {0x37,
       "INITIALIZE ELEMENT STATUS WITH RANGE",
       {0x37, 0x03, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0x04},
       &ChangerUnit::initialize_element_status_range,
       ReservationRule::conflict,
       false},
      {0xA5,
       "MOVE MEDIUM",
       {0xA5, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0x01, 0x04},
       &ChangerUnit::move_medium,
       ReservationRule::conflict,
       true},
      {0xA6,
       "EXCHANGE MEDIUM",
       {0xA6, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0x04},
       &ChangerUnit::exchange_medium,
       ReservationRule::conflict,
       true},
      {0xB5,
       "REQUEST VOLUME ELEMENT ADDRESS",
       {0xB5, 0x1F, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0, 0x04},
       &ChangerUnit::request_volume_element_address,
       ReservationRule::allowed_if_shared,
       false},
      {0xB6,
       "SEND VOLUME TAG",
       {0xB6, 0x0F, 0xFF, 0xFF, 0, 0x1F, 0, 0, 0xFF, 0xFF, 0, 0x04},
       &ChangerUnit::send_volume_tag,
       ReservationRule::conflict,
       false},
      {0xB8,
       "READ ELEMENT STATUS",
       {0xB8, 0x1F, 0xFF, 0xFF, 0xFF, 0xFF, 0x03, 0xFF, 0xFF, 0xFF, 0, 0x04},
       &ChangerUnit::read_element_status,
       ReservationRule::allowed_if_shared,
       false},
      {0xE7,
       "INITIALIZE ELEMENT STATUS WITH RANGE (IBM)",
       {0xE7, 0x01, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0x04},
       &ChangerUnit::initialize_element_status_range,
       ReservationRule::conflict,
       false},
  }};
  for (const Row& row : rows) {
    OpcodeEntry entry;
    entry.opcode = row.opcode;
    entry.name = row.name;
    entry.usage = row.usage;
    const auto handler = row.handler;
    entry.handler = [this, handler](const Command& command) { return (this->*handler)(command); };
    entry.rule = row.rule;
    // Reading which cartridge is where disturbs nobody (SMC-3 table 6, CURDATA).
    entry.allowed_under_reserve6 = row.rule == ReservationRule::allowed_if_shared;
    entry.may_block = row.moves;
    entry.nominal_timeout_s = row.moves ? 10 : 1;
    entry.recommended_timeout_s = row.moves ? 600 : 60;
    if (row.opcode == 0xB6) entry.data_out = length_at(8, 2);
    opcodes().add(std::move(entry));
  }
}

void ChangerUnit::add_mode_pages() {
  const ChangerProfile& profile = *library_.options().profile;
  // SMC-3 7.3.4: Element Address Assignment. Nothing is changeable.
  std::vector<uint8_t> addresses;
  append_range(addresses, profile.transport_address, count_of(library_, ElementType::transport));
  append_range(addresses, profile.slot_address, count_of(library_, ElementType::storage));
  append_range(addresses, profile.import_export_address,
               count_of(library_, ElementType::import_export));
  append_range(addresses, profile.drive_address, count_of(library_, ElementType::data_transfer));
  addresses.insert(addresses.end(), {0, 0});
  mode_pages().add(ModePage(0x1D, 0, addresses));
  // SMC-3 7.3.5: Transport Geometry, one descriptor: does not rotate, member 0 of its set.
  mode_pages().add(ModePage(0x1E, 0, {0, 0}));
  // SMC-3 7.3.3: Device Capabilities. Bits DT, I/E, ST (MT never holds a cartridge between moves):
  // what stores, moves from MT ST I/E DT, reserved, exchanges likewise.
  constexpr uint8_t kPlaces = 0x0E;
  mode_pages().add(ModePage(
      0x1F, 0,
      {kPlaces, 0, 0, kPlaces, kPlaces, kPlaces, 0, 0, 0, 0, 0, kPlaces, kPlaces, kPlaces}));
}

void ChangerUnit::add_log_pages() {
  // TapeAlert (SSC-5 8.2.3, flags of SMC-3 annex A): 64 parameters of one byte.
  constexpr uint16_t kFlags = 64;
  constexpr uint16_t kDriveOffline = 22;
  LogPage alerts;
  alerts.page = 0x2E;
  alerts.parameters = [this] {
    bool drive_offline = false;
    for (const TapeDrive* drive : library_.options().drives) {
      if (library_.drive_problem(drive->options().number)) drive_offline = true;
    }
    std::vector<LogParameter> parameters;
    for (uint16_t flag = 1; flag <= kFlags; ++flag) {
      parameters.push_back(log_number(flag, flag == kDriveOffline && drive_offline ? 1 : 0, 1));
    }
    return parameters;
  };
  log_pages().add(std::move(alerts));
}

void ChangerUnit::finish_inquiry(Buffer& data) {
  if (data.size() > kBarcodeByte) data[kBarcodeByte] |= std::byte{0x01};
}

// Changes that no initiator made (SMC-3 4.6): the operator reached into the library.
void ChangerUnit::before_command(const Command&) {
  const uint64_t import_export = library_.import_export_generation();
  const uint64_t inventory = library_.inventory_generation();
  if (import_export != seen_import_export_) {
    seen_import_export_ = import_export;
    unit_attentions().raise_for_all(asc::import_export_accessed);
  }
  if (inventory != seen_inventory_) {
    seen_inventory_ = inventory;
    unit_attentions().raise_for_all(asc::medium_may_have_changed);
  }
}

void ChangerUnit::prevent_changed(uint64_t nexus_id, bool prevent, bool /*any*/) {
  library_.set_prevent(nexus_id, prevent);
}

void ChangerUnit::nexus_lost(const Nexus& nexus) {
  DeviceServer::nexus_lost(nexus);
  library_.drop_prevent(nexus.id);
  const std::lock_guard lock(searches_mutex_);
  searches_.erase(nexus.id);
}

}  // namespace coldshelf::scsi
