// gateways/<id>/inventory: what `recover` needs to know of a gateway beside its cartridges. JSON,
// docs/format/store.md.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "catalog/catalog.h"

namespace coldshelf {

constexpr uint64_t kInventoryFormat = 2;

struct InventoryElement {
  std::string type;  // "slot", "import_export", "drive", "transport"
  unsigned number = 0;
  Uuid cartridge;
  std::string barcode;
  std::string medium;
};

struct InventoryDocument {
  std::string gateway;  // its id
  std::string name;
  std::string serial_prefix;
  std::string changer;
  std::string drive_model;
  unsigned slots = 0;
  unsigned import_export_slots = 0;
  unsigned drives = 0;
  std::vector<InventoryElement> elements;
  std::vector<PoolRow> pools;
};

Buffer encode_inventory_document(const InventoryDocument& document);
Result<InventoryDocument> decode_inventory_document(
    ByteView content);  // corrupt, unsupported_version

// Rows of segments that are in the store and nowhere else.
struct Manifest;
std::vector<SegmentRow> remote_rows(const Manifest& manifest, const std::string& storage_class,
                                    int64_t now_unix_ms);
// The class they are in, as far as the tape's pool and status tell.
std::string class_in_store(const std::optional<PoolRow>& pool, TapeStatus status);

}  // namespace coldshelf
