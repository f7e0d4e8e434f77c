// The inventory file: which cartridge is in which element. Written whole with
// FileSystem::replace_file, so that after a crash the old or the new inventory stands, never a mix.
//
//   0   8  magic "CSLIBINV"
//   8   2  format version (1), little-endian as everything here
//  10   2  reserved, 0
//  12   4  length of the payload
//  16   n  payload: varint count, then each placement:
//            uuid 16 | u8 element type | u16 element number | u8 flags | u8 source type
//            | u16 source number | barcode string | medium string     (string: varint length,
//            bytes) flags: bit 0 the source fields are valid, bit 1 placed by the operator
//  16+n 4  CRC32C of everything before
//
// Elements are kept by type and number, not by address: another changer model moves no cartridge.
#pragma once

#include <vector>

#include "tape/library/library.h"

namespace coldshelf {

constexpr uint16_t kInventoryFormatVersion = 1;

struct ElementId {
  ElementType type = ElementType::storage;
  unsigned number = 0;  // from 1
  bool operator==(const ElementId&) const = default;
};

struct Placement {
  LibraryCartridge cartridge;
  ElementId where;
  std::optional<ElementId> source;
  bool placed_by_operator = false;
};

Buffer encode_inventory(const std::vector<Placement>& placements);
// corrupt: damaged, or one cartridge or element named twice; unsupported_version: newer.
Result<std::vector<Placement>> decode_inventory(ByteView image);

}  // namespace coldshelf
