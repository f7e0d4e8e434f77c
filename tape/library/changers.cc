// The changer models. Address maps are those the real devices ship with, because backup software
// keeps element addresses in its own configuration.
#include <array>

#include "tape/library/library.h"

namespace coldshelf {

namespace {

// name, vendor (8), product (16), revision (4), transport, drives, import/export, slots
constexpr std::array<ChangerProfile, 4> kChangers = {{
    // StorageTek L700 Interface Reference Manual: hand 0, CAP 10, drives 500, cells 1000.
    {"STK-L700", "STK", "L700", "0310", 0, 500, 10, 1000},
    // IBM 3584 SCSI Reference: accessor 1, drives 101h, I/O station 301h, storage 401h.
    {"IBM-03584L32-0402", "IBM", "03584L32", "0402", 1, 0x101, 0x301, 0x401},
    // The identity of AWS Tape Gateway's own changer, for software configured by that name.
    {"AWS-Gateway-VTL", "AWS", "Gateway-VTL", "0100", 0, 1, 0x301, 0x401},
    {"coldshelf", "COLDSHLF", "VIRTUAL LIBRARY", "0100", 1, 0x100, 0x10, 0x400},
}};

}  // namespace

const ChangerProfile* find_changer(std::string_view name) {
  for (const ChangerProfile& changer : kChangers) {
    if (changer.name == name) return &changer;
  }
  return nullptr;
}

std::vector<std::string_view> changer_names() {
  std::vector<std::string_view> names;
  for (const ChangerProfile& changer : kChangers) names.push_back(changer.name);
  return names;
}

}  // namespace coldshelf
