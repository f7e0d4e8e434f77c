#include "target/scsi/mode_pages.h"

#include <algorithm>

#include "base/check.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr uint8_t kAllPages = 0x3F;
constexpr uint8_t kAllSubpages = 0xFF;
constexpr size_t kBlockDescriptorBytes = 8;
constexpr std::byte kParametersSaveable{0x80};

Buffer with_header(uint8_t page, uint8_t subpage, const std::vector<uint8_t>& body) {
  Buffer out;
  WireWriter w(out);
  if (subpage == 0)
    w.u8(page).u8(body.size());
  else
    w.u8(page | 0x40U).u8(subpage).u16(body.size());  // SPF (SPC-5 7.5.6)
  for (uint8_t b : body) w.u8(b);
  return out;
}

}  // namespace

ModePage::ModePage(uint8_t page, uint8_t subpage, std::vector<uint8_t> body,
                   std::vector<uint8_t> mask)
    : page_(page), subpage_(subpage) {
  mask.resize(body.size(), 0);
  current = with_header(page, subpage, body);
  defaults = current;
  saved = current;
  changeable = with_header(page, subpage, mask);
}

ModePage& ModePages::add(ModePage page) {
  const auto key = std::make_pair(page.page(), page.subpage());
  return pages_.insert_or_assign(key, std::move(page)).first->second;
}

ModePage* ModePages::find(uint8_t page, uint8_t subpage) {
  const auto it = pages_.find({page, subpage});
  return it == pages_.end() ? nullptr : &it->second;
}

const ModePage* ModePages::find(uint8_t page, uint8_t subpage) const {
  const auto it = pages_.find({page, subpage});
  return it == pages_.end() ? nullptr : &it->second;
}

void ModePages::reset_to_saved() {
  for (auto& [key, page] : pages_) page.current = page.saved;
}

ModePages::SenseOutcome ModePages::mode_sense(ByteView cdb) {
  const bool ten = get_byte(cdb, 0) == 0x5A;
  const auto control = static_cast<PageControl>(get_byte(cdb, 2) >> 6);
  const auto wanted = static_cast<uint8_t>(get_byte(cdb, 2) & 0x3FU);
  const uint8_t subpage = get_byte(cdb, 3);
  const bool no_descriptor = (get_byte(cdb, 1) & 0x08) != 0;
  SenseOutcome out;
  if (control == PageControl::saved && !keep_) {
    out.sense = illegal_request(asc::saving_parameters_not_supported);
    return out;
  }
  Buffer body;
  bool found = false;
  // SPC-5 table 148: 3Fh/00h all page_0 pages, 3Fh/FFh those and all subpages, xxh/FFh a page with
  // all of its subpages. Page 00h (vendor specific) comes last.
  const auto include = [&](uint8_t page, uint8_t sub) {
    if (wanted != kAllPages && page != wanted) return false;
    return subpage == kAllSubpages || sub == subpage;
  };
  if (wanted == kAllPages && subpage != 0 && subpage != kAllSubpages) {
    out.sense = invalid_cdb_field(3, 7);
    return out;
  }
  for (auto& [key, page] : pages_) {
    if (!include(key.first, key.second)) continue;
    found = true;
    if (page.refresh) page.refresh(page);
    const size_t at = body.size();
    append(body, control == PageControl::changeable ? page.changeable
                 : control == PageControl::defaults ? page.defaults
                 : control == PageControl::saved    ? page.saved
                                                    : page.current);
    if (keep_) body[at] |= kParametersSaveable;
  }
  // Page 00h asks for the header and the block descriptor alone: Linux st reads its density, block
  // length and write protection this way.
  if (!found && !(wanted == 0 && subpage == 0)) {
    const bool page_known = std::any_of(pages_.begin(), pages_.end(),
                                        [&](const auto& p) { return p.first.first == wanted; });
    out.sense = page_known ? invalid_cdb_field(3, 7) : invalid_cdb_field(2, 5);
    return out;
  }
  const ModeHeader header = hooks_->mode_header();
  const Buffer descriptor = no_descriptor ? Buffer{} : hooks_->mode_block_descriptor(control);
  WireWriter w(out.data);
  const size_t total = (ten ? 8 : 4) + descriptor.size() + body.size();
  if (ten)
    w.u16(total - 2)
        .u8(header.medium_type)
        .u8(header.device_specific)
        .zeros(2)
        .u16(descriptor.size());
  else
    w.u8(std::min<size_t>(total - 1, 255))
        .u8(header.medium_type)
        .u8(header.device_specific)
        .u8(descriptor.size());
  w.raw(descriptor).raw(body);
  return out;
}

struct ModePages::Parsed {
  struct Item {
    ModePage* page;
    Buffer bytes;
  };
  std::vector<Item> items;
};

std::optional<Sense> ModePages::parse_list(ByteView list, size_t at, Parsed& parsed) {
  while (at < list.size()) {
    const uint8_t first = get_byte(list, at);
    const bool sub = (first & 0x40) != 0;
    const size_t header = sub ? 4 : 2;
    if (list.size() - at < header) return illegal_request(asc::parameter_list_length_error);
    const auto body =
        static_cast<size_t>(sub ? get_number(list, at + 2, 2) : get_byte(list, at + 1));
    ModePage* page = find(static_cast<uint8_t>(first & 0x3FU), sub ? get_byte(list, at + 1) : 0);
    const auto offset = static_cast<uint16_t>(at);
    if (page == nullptr || page->header_size() != header) return invalid_parameter_field(offset, 5);
    if (page->refresh) page->refresh(*page);
    if (list.size() - at < header + body) return illegal_request(asc::parameter_list_length_error);
    const ByteView bytes = list.subspan(at, header + body);
    if (bytes.size() != page->current.size() && !page->variable_length)
      return invalid_parameter_field(static_cast<uint16_t>(offset + (sub ? 2 : 1)), 7);
    const size_t common = std::min(bytes.size(), page->current.size());
    for (size_t i = header; i < common; ++i) {
      const uint8_t fixed = static_cast<uint8_t>(~get_byte(page->changeable, i));
      const auto differs = static_cast<uint8_t>(get_byte(bytes, i) ^ page->at(i));
      if ((differs & fixed) != 0) return invalid_parameter_field(static_cast<uint16_t>(at + i));
    }
    parsed.items.push_back({page, to_buffer(bytes)});
    at += header + body;
  }
  return std::nullopt;
}

ModePages::SelectOutcome ModePages::mode_select(ByteView cdb, ByteView list) {
  SelectOutcome out;
  const bool ten = get_byte(cdb, 0) == 0x55;
  const auto length = static_cast<size_t>(ten ? get_number(cdb, 7, 2) : get_byte(cdb, 4));
  const bool save = (get_byte(cdb, 1) & 0x01) != 0;  // SP
  if (save && !keep_) {
    out.sense = invalid_cdb_field(1, 0);
    return out;
  }
  if (length == 0) return out;
  const size_t header_size = ten ? 8 : 4;
  const auto too_short = [&] {
    out.sense = illegal_request(asc::parameter_list_length_error);
    return out;
  };
  list = list.first(std::min(list.size(), length));
  if (list.size() < length || length < header_size) return too_short();
  ModeHeader header{get_byte(list, ten ? 2 : 1), get_byte(list, ten ? 3 : 2)};
  const auto descriptor_bytes =
      static_cast<size_t>(ten ? get_number(list, 6, 2) : get_byte(list, 3));
  if (descriptor_bytes != 0 && descriptor_bytes != kBlockDescriptorBytes) {
    out.sense = invalid_parameter_field(static_cast<uint16_t>(ten ? 6 : 3), 7);
    return out;
  }
  if (list.size() < header_size + descriptor_bytes) return too_short();
  const ByteView descriptor = list.subspan(header_size, descriptor_bytes);
  // 1. Everything is checked, 2. then everything is applied: a refused list changes nothing.
  out.sense = hooks_->mode_select_header(header, descriptor, true, header_size);
  Parsed parsed;
  if (!out.sense) out.sense = parse_list(list, header_size + descriptor_bytes, parsed);
  if (out.sense) return out;
  for (Parsed::Item& item : parsed.items) {
    if (item.page->apply) out.sense = item.page->apply(*item.page, item.bytes);
    if (out.sense) return out;
    if (item.page->variable_length) continue;  // apply() keeps what it took
    const size_t header_bytes = item.page->header_size();
    std::copy(item.bytes.begin() + static_cast<ptrdiff_t>(header_bytes), item.bytes.end(),
              item.page->current.begin() + static_cast<ptrdiff_t>(header_bytes));
    out.changed = true;
  }
  out.sense = hooks_->mode_select_header(header, descriptor, false, header_size);
  out.changed = true;
  if (save && !out.sense) out.sense = save_pages(parsed);
  return out;
}

// Those of the list become the saved values; the record has every page that can change.
std::optional<Sense> ModePages::save_pages(const Parsed& parsed) {
  std::map<std::pair<uint8_t, uint8_t>, Buffer> saved;
  for (const auto& [key, page] : pages_) saved[key] = page.saved;
  for (const Parsed::Item& item : parsed.items)
    saved[{item.page->page(), item.page->subpage()}] = item.page->current;
  Buffer record;
  WireWriter w(record);
  for (const auto& [key, bytes] : saved)
    w.u8(key.first).u8(key.second).u16(bytes.size()).raw(bytes);
  if (const Status kept = keep_(record); !kept.ok()) return sense_of(kept.error(), Activity::other);
  for (auto& [key, page] : pages_) page.saved = saved.at(key);
  return std::nullopt;
}

Status ModePages::restore(ByteView record) {
  for (size_t at = 0; at < record.size();) {
    const auto length = static_cast<size_t>(get_number(record, at + 2, 2));
    if (record.size() - at < 4 || record.size() - at - 4 < length)
      return Error(ErrorCode::corrupt, "the mode pages that were saved are damaged");
    const ByteView bytes = record.subspan(at + 4, length);
    ModePage* page = find(get_byte(record, at), get_byte(record, at + 1));
    at += 4 + length;
    if (page == nullptr || bytes.size() != page->saved.size()) continue;
    for (size_t i = page->header_size(); i < bytes.size(); ++i) {
      const std::byte mask = page->changeable[i];
      page->saved[i] = (page->saved[i] & ~mask) | (bytes[i] & mask);
    }
    page->current = page->saved;
  }
  return {};
}

}  // namespace coldshelf::scsi
