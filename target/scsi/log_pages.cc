#include "target/scsi/log_pages.h"

#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {
constexpr uint8_t kAllSubpages = 0xFF;
constexpr size_t kMaxLogBytes = 0xFFFF;
}  // namespace

LogParameter log_number(uint16_t code, uint64_t value, size_t bytes, uint8_t control) {
  if (bytes < 8) value = std::min<uint64_t>(value, (uint64_t{1} << (8 * bytes)) - 1);
  LogParameter out{code, control, {}};
  WireWriter(out.value).number(value, bytes);
  return out;
}

LogParameter log_bytes(uint16_t code, ByteView value, uint8_t control) {
  return {code, control, to_buffer(value)};
}

void LogPages::add(LogPage page) {
  const auto key = std::make_pair(page.page, page.subpage);
  pages_[key] = std::move(page);
}

LogPages::Outcome LogPages::log_sense(ByteView cdb) {
  Outcome out;
  const auto wanted = static_cast<uint8_t>(get_byte(cdb, 2) & 0x3FU);
  const uint8_t subpage = get_byte(cdb, 3);
  const auto pointer = static_cast<uint16_t>(get_number(cdb, 5, 2));
  if ((get_byte(cdb, 1) & 0x03) != 0) {  // SP (nothing can be saved), PPC (obsolete)
    out.sense = invalid_cdb_field(1, (get_byte(cdb, 1) & 0x02) != 0 ? 1 : 0);
    return out;
  }
  WireWriter w(out.data);
  if (wanted == 0 && (subpage == 0 || subpage == kAllSubpages)) {
    // Supported log pages, and supported log pages and subpages (SPC-5 7.3.19, 7.3.20).
    const bool with_subpages = subpage != 0;
    w.u8(with_subpages ? 0x40 : 0).u8(subpage).u16(0);
    w.u8(0);
    if (with_subpages) w.u8(0).u8(0).u8(kAllSubpages);
    for (const auto& [key, page] : pages_) {
      if (!with_subpages && key.second != 0) continue;
      w.u8(key.first);
      if (with_subpages) w.u8(key.second);
    }
    put_number(out.data, 2, out.data.size() - 4, 2);
    return out;
  }
  const auto it = pages_.find({wanted, subpage});
  if (it == pages_.end()) {
    out.sense = pages_.contains({wanted, 0}) ? invalid_cdb_field(3, 7) : invalid_cdb_field(2, 5);
    return out;
  }
  const std::vector<LogParameter> parameters = it->second.parameters();
  if (pointer != 0 && (parameters.empty() || pointer > parameters.back().code)) {
    out.sense = invalid_cdb_field(5, 7);
    return out;
  }
  w.u8(wanted | (subpage != 0 ? 0x40U : 0U)).u8(subpage).u16(0);
  for (const LogParameter& p : parameters) {
    if (p.code < pointer) continue;
    if (out.data.size() + 4 + p.value.size() > kMaxLogBytes) break;
    w.u16(p.code).u8(p.control).u8(p.value.size()).raw(p.value);
  }
  put_number(out.data, 2, out.data.size() - 4, 2);
  return out;
}

std::optional<Sense> LogPages::log_select(ByteView cdb, ByteView) {
  const bool reset = (get_byte(cdb, 1) & 0x02) != 0;  // PCR
  const auto wanted = static_cast<uint8_t>(get_byte(cdb, 2) & 0x3FU);
  const uint8_t subpage = get_byte(cdb, 3);
  if ((get_byte(cdb, 1) & 0x01) != 0) return invalid_cdb_field(1, 0);
  // Parameters are counters of what happened: they are reset, never set.
  if (get_number(cdb, 7, 2) != 0) return invalid_cdb_field(7, 7);
  if (wanted == 0 && subpage == 0) {
    if (reset) reset_all();
    return std::nullopt;
  }
  const auto it = pages_.find({wanted, subpage});
  if (it == pages_.end()) return invalid_cdb_field(2, 5);
  if (reset && it->second.reset) it->second.reset();
  return std::nullopt;
}

void LogPages::reset_all() {
  for (auto& [key, page] : pages_)
    if (page.reset) page.reset();
}

}  // namespace coldshelf::scsi
