#include "uploader/inventory_document.h"

#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

Error damaged(const std::string& what) {
  return Error(ErrorCode::corrupt, "the gateway's inventory in the store: " + what);
}

// Missing or of the wrong kind: the field's default, for what a rebuild can do without.
std::string text_or_empty(const Json& object, const char* name) {
  return object.contains(name) && object[name].is_string() ? object[name].get<std::string>() : "";
}
unsigned count_or_zero(const Json& object, const char* name) {
  if (!object.contains(name) || !object[name].is_number_unsigned()) return 0;
  return static_cast<unsigned>(std::min<uint64_t>(object[name].get<uint64_t>(), 100'000));
}

}  // namespace

Buffer encode_inventory_document(const InventoryDocument& document) {
  Json json = {{"format", kInventoryFormat},  {"gateway", document.gateway},
               {"name", document.name},       {"serial_prefix", document.serial_prefix},
               {"changer", document.changer}, {"drive_model", document.drive_model},
               {"slots", document.slots},     {"import_export_slots", document.import_export_slots},
               {"drives", document.drives},   {"elements", Json::array()},
               {"pools", Json::array()}};
  for (const InventoryElement& e : document.elements) {
    json["elements"].push_back({{"type", e.type},
                                {"number", e.number},
                                {"cartridge", e.cartridge.to_string()},
                                {"barcode", e.barcode},
                                {"medium", e.medium}});
  }
  for (const PoolRow& pool : document.pools) {
    json["pools"].push_back({{"name", pool.name},
                             {"storage_class", pool.storage_class},
                             {"mode", pool.mode},
                             {"lock", pool.lock},
                             {"lock_days", pool.lock_days}});
  }
  return to_buffer(as_view(json.dump(1) + "\n"));
}

Result<InventoryDocument> decode_inventory_document(ByteView content) {
  const Json json = Json::parse(as_text(content), nullptr, false);
  if (!json.is_object() || !json.contains("format") || !json["format"].is_number_unsigned()) {
    return damaged("not a JSON document with a format");
  }
  if (json["format"].get<uint64_t>() > kInventoryFormat) {
    return Error(ErrorCode::unsupported_version,
                 "the gateway's inventory has format " + json["format"].dump() +
                     ", made by a newer coldshelf; this one knows up to " +
                     std::to_string(kInventoryFormat));
  }
  InventoryDocument out;
  out.gateway = text_or_empty(json, "gateway");
  out.name = text_or_empty(json, "name");
  out.serial_prefix = text_or_empty(json, "serial_prefix");
  out.changer = text_or_empty(json, "changer");
  out.drive_model = text_or_empty(json, "drive_model");
  out.slots = count_or_zero(json, "slots");
  out.import_export_slots = count_or_zero(json, "import_export_slots");
  out.drives = count_or_zero(json, "drives");
  for (const Json& e : json.value("elements", Json::array())) {
    if (!e.is_object()) return damaged("an element is no object");
    const auto uuid = Uuid::parse(text_or_empty(e, "cartridge"));
    if (!uuid) return damaged("an element names no cartridge");
    out.elements.push_back({text_or_empty(e, "type"), count_or_zero(e, "number"), *uuid,
                            text_or_empty(e, "barcode"), text_or_empty(e, "medium")});
  }
  for (const Json& p : json.value("pools", Json::array())) {
    PoolRow pool;
    if (p.is_object()) pool.name = text_or_empty(p, "name");
    if (p.is_object()) pool.storage_class = text_or_empty(p, "storage_class");
    if (const std::string mode = text_or_empty(p, "mode"); !mode.empty()) pool.mode = mode;
    pool.lock = text_or_empty(p, "lock");
    pool.lock_days = count_or_zero(p, "lock_days");
    if (pool.name.empty() || pool.storage_class.empty()) return damaged("a pool has no name");
    out.pools.push_back(std::move(pool));
  }
  return out;
}

}  // namespace coldshelf
