// The inside of Library: its state, and the steps of a change. Only the sources of this folder
// include it.
#pragma once

#include <mutex>
#include <set>

#include "tape/library/inventory.h"
#include "tape/library/library.h"

namespace coldshelf {

std::string name_of(const Element& element);  // "slot 12", "import/export 2", "drive 1"
std::string_view type_name(ElementType type);

// What SMC-3 calls a storage element for SOURCE STORAGE ELEMENT ADDRESS.
inline bool holds_cartridges(ElementType type) {
  return type == ElementType::storage || type == ElementType::import_export;
}

// One cartridge on its way from one element to another.
struct Transfer {
  size_t from = 0;  // indexes of elements
  size_t to = 0;
  TapeDrive* from_drive = nullptr;
  TapeDrive* to_drive = nullptr;
  LibraryCartridge what;
  std::unique_ptr<Cartridge> handle;  // open, on its way
  bool ejected = false;
  bool inserted = false;
};

// What the listener is told, collected under the lock and delivered without it.
struct Notice {
  LibraryCartridge what;
  std::optional<Element> from;
  std::optional<Element> to;
  bool by_initiator = false;
};

struct Library::State {
  LibraryOptions options;
  LibraryListener* listener = nullptr;

  // Held over a whole change, drive work included; taken before `mutex`. Only its holder changes
  // `elements`, so that it may read them without `mutex`.
  std::mutex move_mutex;
  mutable std::mutex mutex;       // short: for everything below
  std::vector<Element> elements;  // ascending address
  std::set<uint64_t> prevent_holders;
  std::vector<bool> drive_prevented;               // index: drive number - 1
  std::vector<std::optional<Error>> drive_errors;  // likewise
  uint64_t inventory_changes = 0;
  uint64_t import_export_changes = 0;
  bool closed = false;

  std::optional<size_t> index_of(uint16_t address) const;
  std::optional<size_t> index_of(ElementId id) const;
  Result<size_t> require(uint16_t address) const;
  Element snapshot(size_t index) const;  // with `mutex` held
  TapeDrive* drive_at(size_t index) const;
  // `keep_homes`: where the cartridges in drives came from is left to them. Initiators bring a
  // cartridge back there, and are stuck when another one is in its place.
  std::optional<size_t> first_empty(ElementType type, bool keep_homes) const;
  std::optional<size_t> empty_place() const;  // for one that has no place

  Status check_source(size_t index, bool by_initiator) const;
  Status check_operator(size_t index, bool by_initiator) const;
  Result<Transfer> plan(size_t from, size_t to) const;

  std::vector<Placement> placements(const std::vector<Element>& of) const;
  Status store(const std::vector<Element>& next);
  Status load();
  Status place(const Placement& placement, bool* relocated);
  void restore_drives();

  Status put_in(TapeDrive& drive, Transfer& transfer);
  void close_handle(Transfer& transfer);
  void put_back(Transfer& transfer);
  static Status unless_taken(const Status& done, const Transfer& transfer);
  Status take_out(std::vector<Transfer>& transfers);
  Status put_all_in(std::vector<Transfer>& transfers);
  void roll_back(std::vector<Transfer>& transfers);
  Status carry_out(std::vector<Transfer> transfers, bool by_initiator,
                   std::vector<Notice>& notices);
  void set_drive_error(const TapeDrive& drive, std::optional<Error> error);
  void count_change(ElementType type);
  void tell(const std::vector<Notice>& notices) const;
};

}  // namespace coldshelf
