#include "tape/library/library.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "tape/library/library_state.h"

namespace coldshelf {

namespace {

constexpr unsigned kMaxSlots = 3200;  // with import/export slots
constexpr unsigned kMaxDrives = 255;

void append_elements(std::vector<Element>& to, ElementType type, uint16_t first, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    Element element;
    element.type = type;
    element.address = static_cast<uint16_t>(first + i);
    element.number = i + 1;
    to.push_back(element);
  }
}

Result<std::vector<Element>> make_elements(const LibraryOptions& options) {
  const ChangerProfile& profile = *options.profile;
  const std::array<std::pair<uint32_t, size_t>, 4> ranges = {{
      {profile.transport_address, 1},
      {profile.drive_address, options.drives.size()},
      {profile.import_export_address, options.import_export_slots},
      {profile.slot_address, options.slots},
  }};
  for (const auto& [first, count] : ranges) {
    if (first + count > 0x10000) {
      return Error(ErrorCode::invalid_argument, "element addresses beyond FFFFh");
    }
    for (const auto& [other, other_count] : ranges) {
      if (first < other && first + count > other && other_count > 0) {
        return Error(ErrorCode::invalid_argument,
                     "changer " + std::string(profile.name) + " has room for " +
                         std::to_string(other - first) + " elements from address " +
                         std::to_string(first) + ", not for " + std::to_string(count));
      }
    }
  }
  std::vector<Element> elements;
  append_elements(elements, ElementType::transport, profile.transport_address, 1);
  append_elements(elements, ElementType::data_transfer, profile.drive_address,
                  static_cast<unsigned>(options.drives.size()));
  for (size_t i = 0; i < options.drives.size(); ++i) elements[i + 1].drive = options.drives[i];
  append_elements(elements, ElementType::import_export, profile.import_export_address,
                  options.import_export_slots);
  append_elements(elements, ElementType::storage, profile.slot_address, options.slots);
  std::sort(elements.begin(), elements.end(),
            [](const Element& a, const Element& b) { return a.address < b.address; });
  return elements;
}

Status check_options(const LibraryOptions& options) {
  if (options.profile == nullptr || options.files == nullptr || options.vault == nullptr) {
    return Error(ErrorCode::invalid_argument, "library: options are incomplete");
  }
  if (options.slots == 0 || options.slots > kMaxSlots ||
      options.import_export_slots > kMaxSlots - options.slots) {
    return Error(ErrorCode::out_of_range, "a library has 1 to " + std::to_string(kMaxSlots) +
                                              " slots, import/export slots included");
  }
  if (options.drives.empty() || options.drives.size() > kMaxDrives) {
    return Error(ErrorCode::out_of_range,
                 "a library has 1 to " + std::to_string(kMaxDrives) + " drives");
  }
  return {};
}

}  // namespace

std::optional<size_t> Library::State::index_of(uint16_t address) const {
  const auto found =
      std::lower_bound(elements.begin(), elements.end(), address,
                       [](const Element& e, uint16_t wanted) { return e.address < wanted; });
  if (found == elements.end() || found->address != address) return std::nullopt;
  return static_cast<size_t>(found - elements.begin());
}

std::optional<size_t> Library::State::index_of(ElementId id) const {
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].type == id.type && elements[i].number == id.number) return i;
  }
  return std::nullopt;
}

Result<size_t> Library::State::require(uint16_t address) const {
  const auto index = index_of(address);
  if (!index) {
    return Error(ErrorCode::not_found, "no element has address " + std::to_string(address));
  }
  return *index;
}

TapeDrive* Library::State::drive_at(size_t index) const {
  const Element& element = elements[index];
  if (element.type != ElementType::data_transfer) return nullptr;
  return options.drives[element.number - 1];
}

Element Library::State::snapshot(size_t index) const {
  Element element = elements[index];
  if (element.type == ElementType::data_transfer) {
    element.accessible = !(drive_prevented[element.number - 1] && element.drive->loaded());
  }
  return element;
}

std::optional<size_t> Library::State::first_empty(ElementType type, bool keep_homes) const {
  std::set<uint16_t> homes;
  for (const Element& element : elements) {
    const bool in_drive = element.type == ElementType::data_transfer && element.cartridge;
    if (keep_homes && in_drive && element.source_address) homes.insert(*element.source_address);
  }
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].type != type || elements[i].cartridge) continue;
    if (!homes.contains(elements[i].address)) return i;
  }
  return std::nullopt;
}

std::optional<size_t> Library::State::empty_place() const {
  bool locked = false;
  {
    const std::lock_guard lock(mutex);
    locked = !prevent_holders.empty();
  }
  auto found = first_empty(ElementType::storage, true);
  if (!found && !locked) found = first_empty(ElementType::import_export, true);
  if (!found) found = first_empty(ElementType::storage, false);
  if (!found) found = first_empty(ElementType::import_export, false);
  return found;
}

// -- the inventory file

std::vector<Placement> Library::State::placements(const std::vector<Element>& of) const {
  std::vector<Placement> all;
  for (const Element& element : of) {
    if (!element.cartridge) continue;
    Placement placement;
    placement.cartridge = *element.cartridge;
    placement.where = {element.type, element.number};
    placement.placed_by_operator = element.placed_by_operator;
    if (element.source_address) {
      if (const auto source = index_of(*element.source_address)) {
        placement.source = ElementId{of[*source].type, of[*source].number};
      }
    }
    all.push_back(std::move(placement));
  }
  return all;
}

// An error after the rename inside replace_file leaves it open which inventory a crash finds: both
// hold every cartridge exactly once, and the next change writes a whole new file.
Status Library::State::store(const std::vector<Element>& next) {
  return options.files->replace_file(options.inventory_path, encode_inventory(placements(next)));
}

Status Library::State::load() {
  ASSIGN_OR_RETURN(const bool there, options.files->exists(options.inventory_path));
  if (!there) return {};
  ASSIGN_OR_RETURN(const Buffer image, options.files->read_file(options.inventory_path, 16 * MiB));
  ASSIGN_OR_RETURN(const std::vector<Placement> all, decode_inventory(image));
  bool relocated = false;
  std::vector<Placement> homeless;  // their element is gone: a smaller configuration
  for (const Placement& placement : all) {
    if (index_of(placement.where)) {
      TRY(place(placement, &relocated));
    } else {
      homeless.push_back(placement);
    }
  }
  for (const Placement& placement : homeless) TRY(place(placement, &relocated));
  if (relocated) TRY(store(elements));
  return {};
}

Status Library::State::place(const Placement& placement, bool* relocated) {
  auto index = index_of(placement.where);
  if (!index) {
    if (placement.source) index = index_of(*placement.source);
    if (!index || elements[*index].cartridge) index = empty_place();
    if (!index) {
      return Error(ErrorCode::element_full,
                   "the library has too few slots for the cartridges in it: no element for " +
                       placement.cartridge.barcode);
    }
    *relocated = true;
    log_warning("library", "cartridge moved, its element is no longer configured",
                {{"barcode", placement.cartridge.barcode}, {"to", name_of(elements[*index])}});
  }
  Element& element = elements[*index];
  element.cartridge = placement.cartridge;
  const bool export_slot = element.type == ElementType::import_export;
  if (export_slot && placement.where.type != ElementType::import_export) {
    // Room was found for it there, nobody exported it: as a new tape that found every slot full.
    element.placed_by_operator = true;
    return {};
  }
  element.placed_by_operator = export_slot && placement.placed_by_operator;
  if (placement.source) {
    if (const auto source = index_of(*placement.source)) {
      element.source_address = elements[*source].address;
    }
  }
  return {};
}

void Library::State::restore_drives() {
  for (size_t i = 0; i < elements.size(); ++i) {
    TapeDrive* drive = drive_at(i);
    if (drive == nullptr || !elements[i].cartridge) continue;
    Transfer transfer;
    transfer.what = *elements[i].cartridge;
    transfer.from_drive = drive;
    put_back(transfer);
  }
}

// -- public

Library::Library(std::unique_ptr<State> state) : state_(std::move(state)) {}
Library::~Library() = default;

const LibraryOptions& Library::options() const { return state_->options; }

Result<std::unique_ptr<Library>> Library::open(LibraryOptions options, LibraryListener* listener) {
  TRY(check_options(options));
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->elements, make_elements(options));
  state->drive_prevented.resize(options.drives.size());
  state->drive_errors.resize(options.drives.size());
  state->options = std::move(options);
  state->listener = listener;
  TRY(state->load());
  state->restore_drives();
  return std::unique_ptr<Library>(new Library(std::move(state)));
}

std::vector<Element> Library::elements(std::optional<ElementType> type) const {
  const std::lock_guard lock(state_->mutex);
  std::vector<Element> found;
  for (size_t i = 0; i < state_->elements.size(); ++i) {
    if (!type || state_->elements[i].type == *type) found.push_back(state_->snapshot(i));
  }
  return found;
}

Result<Element> Library::element(uint16_t address) const {
  const std::lock_guard lock(state_->mutex);
  ASSIGN_OR_RETURN(const size_t index, state_->require(address));
  return state_->snapshot(index);
}

std::optional<Element> Library::find(std::string_view barcode) const {
  const std::lock_guard lock(state_->mutex);
  for (size_t i = 0; i < state_->elements.size(); ++i) {
    const auto& cartridge = state_->elements[i].cartridge;
    if (cartridge && cartridge->barcode == barcode) return state_->snapshot(i);
  }
  return std::nullopt;
}

std::optional<uint16_t> Library::empty_slot() const {
  const std::lock_guard lock(state_->mutex);
  auto index = state_->first_empty(ElementType::storage, true);
  if (!index) index = state_->first_empty(ElementType::storage, false);
  if (!index) return std::nullopt;
  return state_->elements[*index].address;
}

Status Library::move(uint16_t source, uint16_t destination, bool by_initiator) {
  std::vector<Notice> notices;
  {
    const std::lock_guard moving(state_->move_mutex);
    if (state_->closed) return Error(ErrorCode::not_ready, "the library is stopping");
    ASSIGN_OR_RETURN(const size_t from, state_->require(source));
    ASSIGN_OR_RETURN(const size_t to, state_->require(destination));
    TRY(state_->check_source(from, by_initiator));
    // SMC-3 6.5: a destination equal to the source is a full destination.
    if (state_->elements[to].cartridge) {
      return Error(ErrorCode::element_full, name_of(state_->elements[to]) + " holds " +
                                                state_->elements[to].cartridge->barcode);
    }
    TRY(state_->check_operator(to, by_initiator));
    std::vector<Transfer> transfers;
    ASSIGN_OR_RETURN(auto transfer, state_->plan(from, to));
    transfers.push_back(std::move(transfer));
    TRY(state_->carry_out(std::move(transfers), by_initiator, notices));
  }
  state_->tell(notices);
  return {};
}

Status Library::exchange(uint16_t source, uint16_t first_destination, uint16_t second_destination,
                         bool by_initiator) {
  std::vector<Notice> notices;
  {
    const std::lock_guard moving(state_->move_mutex);
    if (state_->closed) return Error(ErrorCode::not_ready, "the library is stopping");
    ASSIGN_OR_RETURN(const size_t from, state_->require(source));
    ASSIGN_OR_RETURN(const size_t first, state_->require(first_destination));
    ASSIGN_OR_RETURN(const size_t second, state_->require(second_destination));
    if (from == first || first == second) {
      return Error(ErrorCode::invalid_argument, "an exchange needs different elements");
    }
    TRY(state_->check_source(from, by_initiator));
    TRY(state_->check_source(first, by_initiator));
    if (second != from && state_->elements[second].cartridge) {
      return Error(ErrorCode::element_full, name_of(state_->elements[second]) + " is full");
    }
    TRY(state_->check_operator(second, by_initiator));
    std::vector<Transfer> transfers;
    // What makes room goes first, so that its drive is empty when the other one comes.
    ASSIGN_OR_RETURN(auto out, state_->plan(first, second));
    ASSIGN_OR_RETURN(auto in, state_->plan(from, first));
    transfers.push_back(std::move(out));
    transfers.push_back(std::move(in));
    TRY(state_->carry_out(std::move(transfers), by_initiator, notices));
  }
  state_->tell(notices);
  return {};
}

Result<uint16_t> Library::add(const LibraryCartridge& what, std::optional<uint16_t> address) {
  std::vector<Notice> notices;
  {
    const std::lock_guard moving(state_->move_mutex);
    if (state_->closed) return Error(ErrorCode::not_ready, "the library is stopping");
    State& state = *state_;
    for (const Element& element : state.elements) {
      if (!element.cartridge) continue;
      if (element.cartridge->uuid == what.uuid || element.cartridge->barcode == what.barcode) {
        return Error(ErrorCode::exists, what.barcode + " is already in " + name_of(element));
      }
    }
    size_t index = 0;
    if (address) {
      ASSIGN_OR_RETURN(index, state.require(*address));
      if (!holds_cartridges(state.elements[index].type)) {
        return Error(ErrorCode::invalid_argument,
                     "a cartridge comes into a slot, not into " + name_of(state.elements[index]));
      }
      if (state.elements[index].cartridge) {
        return Error(ErrorCode::element_full, name_of(state.elements[index]) + " is full");
      }
    } else {
      const auto empty = state.empty_place();
      if (!empty) return Error(ErrorCode::element_full, "no slot of the library is empty");
      index = *empty;
    }
    TRY(state.check_operator(index, false));
    std::vector<Element> next = state.elements;
    next[index].cartridge = what;
    next[index].placed_by_operator = next[index].type == ElementType::import_export;
    TRY(state.store(next));
    const std::lock_guard lock(state.mutex);
    state.elements = std::move(next);
    state.count_change(state.elements[index].type);
    notices.push_back({what, std::nullopt, state.snapshot(index), false});
  }
  state_->tell(notices);
  return notices.front().to->address;
}

Status Library::remove(const Uuid& uuid) {
  std::vector<Notice> notices;
  {
    const std::lock_guard moving(state_->move_mutex);
    State& state = *state_;
    std::optional<size_t> index;
    for (size_t i = 0; i < state.elements.size(); ++i) {
      if (state.elements[i].cartridge && state.elements[i].cartridge->uuid == uuid) index = i;
    }
    if (!index) {
      return Error(ErrorCode::not_found, "cartridge " + uuid.to_string() + " is in no element");
    }
    const Element before = state.elements[*index];
    if (before.type == ElementType::data_transfer) {
      return Error(ErrorCode::busy, before.cartridge->barcode + " is in " + name_of(before));
    }
    TRY(state.check_operator(*index, false));
    std::vector<Element> next = state.elements;
    next[*index].cartridge.reset();
    next[*index].source_address.reset();
    next[*index].placed_by_operator = false;
    TRY(state.store(next));
    const std::lock_guard lock(state.mutex);
    state.elements = std::move(next);
    state.count_change(before.type);
    notices.push_back({*before.cartridge, before, std::nullopt, false});
  }
  state_->tell(notices);
  return {};
}

void Library::set_prevent(uint64_t holder, bool prevent) {
  const std::lock_guard lock(state_->mutex);
  if (prevent) {
    state_->prevent_holders.insert(holder);
  } else {
    state_->prevent_holders.erase(holder);
  }
}

void Library::drop_prevent(uint64_t holder) { set_prevent(holder, false); }

bool Library::prevented() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->prevent_holders.empty();
}

void Library::set_drive_prevent(unsigned drive_number, bool prevent) {
  const std::lock_guard lock(state_->mutex);
  if (drive_number == 0 || drive_number > state_->drive_prevented.size()) return;
  state_->drive_prevented[drive_number - 1] = prevent;
}

uint64_t Library::inventory_generation() const {
  const std::lock_guard lock(state_->mutex);
  return state_->inventory_changes;
}

uint64_t Library::import_export_generation() const {
  const std::lock_guard lock(state_->mutex);
  return state_->import_export_changes;
}

std::optional<Error> Library::drive_problem(unsigned drive_number) const {
  const std::lock_guard lock(state_->mutex);
  if (drive_number == 0 || drive_number > state_->drive_errors.size()) return std::nullopt;
  return state_->drive_errors[drive_number - 1];
}

Status Library::set_property_in_drive(unsigned drive_number, const std::string& label,
                                      const std::string& name, const std::string& value) {
  const std::vector<TapeDrive*>& drives = state_->options.drives;
  if (drive_number == 0 || drive_number > drives.size()) {
    return Error(ErrorCode::not_found, "no drive " + std::to_string(drive_number));
  }
  return drives[drive_number - 1]->set_property(label, name, value);
}

Status Library::close_drives() {
  const std::lock_guard moving(state_->move_mutex);
  state_->closed = true;
  Status first_error;
  for (TapeDrive* drive : state_->options.drives) {
    std::unique_ptr<Cartridge> cartridge;
    Status done = drive->eject(&cartridge);
    if (cartridge == nullptr) continue;
    Status closed = state_->options.vault->close(std::move(cartridge));
    if (done.ok()) done = std::move(closed);
    if (!done.ok() && first_error.ok()) first_error = std::move(done);
  }
  return first_error;
}

}  // namespace coldshelf
