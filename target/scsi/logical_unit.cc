#include "target/scsi/logical_unit.h"

namespace coldshelf::scsi {

std::string Nexus::port_name() const {
  return initiator_name + ",i,0x" + to_hex(ByteView(isid.data(), isid.size()));
}

DataIn DataIn::from(Buffer bytes) {
  DataIn out;
  out.size = bytes.size();
  if (bytes.empty()) return out;
  auto owner = std::make_shared<const Buffer>(std::move(bytes));
  out.parts.emplace_back(owner->data(), owner->size());
  out.owners.push_back(std::move(owner));
  return out;
}

void DataIn::truncate(uint64_t limit) {
  if (size <= limit) return;
  uint64_t left = limit;
  size_t kept = 0;
  while (kept < parts.size() && left > 0) {
    ByteView& part = parts[kept];
    if (part.size() > left) part = part.first(static_cast<size_t>(left));
    left -= part.size();
    ++kept;
  }
  parts.resize(kept);
  size = limit;
}

}  // namespace coldshelf::scsi
