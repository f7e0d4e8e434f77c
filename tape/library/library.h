// The library: elements (picker, slots, import/export slots, drives), which cartridge is where, and
// moving them. SMC-3 without a wire. The inventory is a file that is durable before a move is
// answered. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/uuid.h"
#include "tape/drive/tape_drive.h"

namespace coldshelf {

enum class ElementType : uint8_t {
  transport = 1,
  storage = 2,
  import_export = 3,
  data_transfer = 4
};  // SMC-3 table 10

// A changer model: a row of a data table (changers.cc): INQUIRY identity and the element address
// map.
struct ChangerProfile {
  std::string_view name;  // configuration: "STK-L700", "IBM-03584L32-0402", "coldshelf"
  std::string_view vendor;
  std::string_view product;
  std::string_view revision;
  uint16_t transport_address = 0;
  uint16_t drive_address = 0;
  uint16_t import_export_address = 0;
  uint16_t slot_address = 0;
};
const ChangerProfile* find_changer(std::string_view name);
std::vector<std::string_view> changer_names();

struct LibraryCartridge {
  Uuid uuid;
  std::string barcode;
  std::string medium;
};

struct Element {
  ElementType type = ElementType::storage;
  uint16_t address = 0;
  unsigned number = 0;  // from 1 within its type: slot 1, import/export slot 1, drive 1
  std::optional<LibraryCartridge> cartridge;
  std::optional<uint16_t> source_address;  // SValid: where it was before the last move
  bool placed_by_operator = false;         // ImpExp bit of import/export elements
  bool accessible = true;                  // Access: a drive with a loaded, locked medium is not
  const TapeDrive* drive = nullptr;        // data transfer elements: identifiers for DVCID
};

// Opens and closes cartridges for the drives: the gateway knows where they live.
class CartridgeVault {
 public:
  virtual ~CartridgeVault() = default;
  virtual Result<std::unique_ptr<Cartridge>> open(
      const Uuid& uuid) = 0;  // for a drive; busy when used elsewhere
  virtual Status close(std::unique_ptr<Cartridge> cartridge) = 0;
};

struct LibraryOptions {
  const ChangerProfile* profile = nullptr;
  std::string serial;
  unsigned slots = 20;  // up to 3,200 with import/export
  unsigned import_export_slots = 4;
  std::vector<TapeDrive*> drives;  // up to 255; owned by the composition
  std::string inventory_path;      // the durable file
  FileSystem* files = nullptr;
  CartridgeVault* vault = nullptr;
};

// Told after a change is durable; called without the library's lock.
class LibraryListener {
 public:
  virtual ~LibraryListener() = default;
  // from or to null: it came into or left the library.
  virtual void cartridge_moved(const LibraryCartridge& what, const Element* from, const Element* to,
                               bool by_initiator) = 0;
};

class Library {
 public:
  // Reads the inventory (none: empty library) and puts cartridges that were in drives back into
  // them: what cannot be opened stays in the element, reported by drive_problem(). corrupt /
  // unsupported_version on a damaged or newer inventory.
  static Result<std::unique_ptr<Library>> open(LibraryOptions options, LibraryListener* listener);
  ~Library();
  const LibraryOptions& options() const;

  std::vector<Element> elements(
      std::optional<ElementType> type = std::nullopt) const;  // ascending address
  Result<Element> element(uint16_t address) const;            // not_found
  std::optional<Element> find(std::string_view barcode) const;
  // A slot for a cartridge, if one is empty; rather none that one in a drive came from.
  std::optional<uint16_t> empty_slot() const;
  // "12", "slot12", "ie2", "drive1" (numbers from 1; a bare number is a slot) or "0x3e9"/"@1001"
  // (an element address).
  Result<uint16_t> parse_element(std::string_view text) const;
  std::string element_name(uint16_t address) const;  // "slot 12", "import/export 2", "drive 1"

  // MOVE MEDIUM. element_empty, element_full, not_found (address), prevented (drive's or library's
  // PREVENT), busy; into a drive: invalid_argument when it cannot read the medium. Durable when ok.
  // `by_initiator`: over SCSI rather than by the operator.
  Status move(uint16_t source, uint16_t destination, bool by_initiator);
  // EXCHANGE MEDIUM: source -> first destination, what was there -> second destination.
  Status exchange(uint16_t source, uint16_t first_destination, uint16_t second_destination,
                  bool by_initiator);

  // New or returned cartridges: into the given element, else the first empty slot, else an
  // import/export slot; where one in a drive came from only when nothing else is empty. exists when
  // the barcode is in the library, no_space (ErrorCode::element_full) when nothing is empty.
  Result<uint16_t> add(const LibraryCartridge& what,
                       std::optional<uint16_t> address = std::nullopt);
  // Takes it out of its slot (archived, deleted). busy when it is in a drive.
  Status remove(const Uuid& uuid);

  // PREVENT ALLOW MEDIUM REMOVAL on the changer: import/export moves by the operator are refused
  // while any holder stands.
  void set_prevent(uint64_t holder, bool prevent);
  void drop_prevent(uint64_t holder);
  bool prevented() const;
  // A drive asks whether its medium may be taken (its own PREVENT). Set by the drive's device
  // server.
  void set_drive_prevent(unsigned drive_number, bool prevent);

  // Count changes made by others than an initiator (the operator): unit attention 28/00 and 28/01
  // are raised from them. The second one counts those of import/export elements.
  uint64_t inventory_generation() const;
  uint64_t import_export_generation() const;
  std::optional<Error> drive_problem(unsigned drive_number) const;
  // Of the cartridge in a drive (TapeDrive::set_property).
  Status set_property_in_drive(unsigned drive_number, const std::string& label,
                               const std::string& name, const std::string& value);

  // Unloads every drive cleanly; cartridges stay in their elements. For a clean stop: moves are
  // refused from here on.
  Status close_drives();

 private:
  struct State;
  explicit Library(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coldshelf
