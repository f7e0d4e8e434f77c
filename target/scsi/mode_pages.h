// MODE SENSE and MODE SELECT (SPC-5 6.11 - 6.14): a table of pages with current, default and
// changeable values. Used by one command at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "target/scsi/sense.h"

namespace coldshelf::scsi {

// One page, whole: page_0 format (2-byte header) when subpage is 0, else sub_page format (SPF set,
// 4-byte header; SPC-5 7.5.6). The constructor writes the header.
class ModePage {
 public:
  // `body`: what follows the header, default values; `changeable`: a mask of the same size.
  ModePage(uint8_t page, uint8_t subpage, std::vector<uint8_t> body,
           std::vector<uint8_t> changeable = {});
  uint8_t page() const { return page_; }
  uint8_t subpage() const { return subpage_; }
  size_t header_size() const { return subpage_ == 0 ? 2 : 4; }

  Buffer current;     // header and body
  Buffer defaults;    // the same
  Buffer saved;       // the same: what MODE SELECT with SP kept, else the defaults
  Buffer changeable;  // mask; header as in current

  // Byte `offset` of the page as SPC counts (header included).
  uint8_t at(size_t offset) const { return std::to_integer<uint8_t>(current[offset]); }
  void set(size_t offset, uint8_t value) { current[offset] = static_cast<std::byte>(value); }

  // MODE SELECT may send it shorter or longer than it is reported (medium partition page).
  bool variable_length = false;
  // Brings live fields of `current` up to date before they are reported. May be empty.
  std::function<void(ModePage&)> refresh;
  // Acts on new values (already checked against the mask); a Sense refuses them. May be empty.
  std::function<std::optional<Sense>(ModePage& page, ByteView new_page)> apply;

 private:
  uint8_t page_;
  uint8_t subpage_;
};

struct ModeHeader {
  uint8_t medium_type = 0;
  uint8_t device_specific = 0;
};

enum class PageControl : uint8_t { current = 0, changeable = 1, defaults = 2, saved = 3 };

// The part of the parameter data that is the device type's: header bytes and block descriptor.
class ModeHooks {
 public:
  virtual ~ModeHooks() = default;
  virtual ModeHeader mode_header() { return {}; }
  // 8-byte block descriptor, or empty when the device has none.
  virtual Buffer mode_block_descriptor(PageControl) { return {}; }
  // MODE SELECT: header and block descriptor (empty: none sent). Check first (check_only), then
  // apply. Offsets of faults count from the start of the parameter list.
  virtual std::optional<Sense> mode_select_header(const ModeHeader&, ByteView /*block_descriptor*/,
                                                  bool /*check_only*/, size_t /*header_size*/) {
    return std::nullopt;
  }
};

class ModePages {
 public:
  explicit ModePages(ModeHooks* hooks) : hooks_(hooks) {}
  ModePage& add(ModePage page);  // replaces one of the same number
  ModePage* find(uint8_t page, uint8_t subpage = 0);
  const ModePage* find(uint8_t page, uint8_t subpage = 0) const;
  void reset_to_saved();  // those that were never saved: to their defaults

  // Offers to save pages (SPC-5 5.11): `keep` makes a record of them durable. Without it, SP and
  // the saved values are refused.
  void enable_saving(std::function<Status(ByteView record)> keep) { keep_ = std::move(keep); }
  // A record as keep() had it; pages and bytes that are no longer changeable stay as they are.
  Status restore(ByteView record);

  struct SenseOutcome {
    std::optional<Sense> sense;
    Buffer data;  // before the allocation length
  };
  SenseOutcome mode_sense(ByteView cdb);  // MODE SENSE(6) and (10)
  struct SelectOutcome {
    std::optional<Sense> sense;
    bool changed = false;  // MODE PARAMETERS CHANGED is due for the other nexuses
  };
  SelectOutcome mode_select(ByteView cdb, ByteView parameters);

 private:
  struct Parsed;
  std::optional<Sense> parse_list(ByteView parameters, size_t at, Parsed& parsed);
  std::optional<Sense> save_pages(const Parsed& parsed);
  std::function<Status(ByteView)> keep_;
  ModeHooks* hooks_;
  std::map<std::pair<uint8_t, uint8_t>, ModePage> pages_;
};

}  // namespace coldshelf::scsi
