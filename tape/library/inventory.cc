#include "tape/library/inventory.h"

#include <set>
#include <string_view>

#include "base/coding.h"
#include "base/crc32c.h"

namespace coldshelf {

namespace {

constexpr std::string_view kMagic = "CSLIBINV";
constexpr size_t kHeaderBytes = 16;
constexpr uint8_t kFlagSource = 1;
constexpr uint8_t kFlagOperator = 2;
constexpr size_t kMinPlacementBytes = 16 + 1 + 2 + 1 + 1 + 2 + 1 + 1;

Error damaged(const std::string& what) {
  return Error(ErrorCode::corrupt, "library inventory: " + what);
}

bool valid_type(uint8_t type) { return type >= 1 && type <= 4; }

Result<Placement> decode_placement(Decoder& in) {
  Placement placement;
  const ByteView uuid = in.raw(placement.cartridge.uuid.bytes.size());
  const uint8_t type = in.u8();
  const uint16_t number = in.u16();
  const uint8_t flags = in.u8();
  const uint8_t source_type = in.u8();
  const uint16_t source_number = in.u16();
  placement.cartridge.barcode = in.string();
  placement.cartridge.medium = in.string();
  if (!in.ok()) return damaged("ends inside a placement");
  if (!valid_type(type) || number == 0) return damaged("unknown element type");
  std::memcpy(placement.cartridge.uuid.bytes.data(), uuid.data(), uuid.size());
  placement.where = {static_cast<ElementType>(type), number};
  if ((flags & kFlagSource) != 0) {
    if (!valid_type(source_type)) return damaged("unknown source element type");
    placement.source = ElementId{static_cast<ElementType>(source_type), source_number};
  }
  placement.placed_by_operator = (flags & kFlagOperator) != 0;
  return placement;
}

}  // namespace

Buffer encode_inventory(const std::vector<Placement>& placements) {
  Buffer payload;
  Encoder out(payload);
  out.varint(placements.size());
  for (const Placement& placement : placements) {
    out.raw(placement.cartridge.uuid.view());
    out.u8(static_cast<uint8_t>(placement.where.type));
    out.u16(static_cast<uint16_t>(placement.where.number));
    out.u8(static_cast<uint8_t>((placement.source ? kFlagSource : 0) |
                                (placement.placed_by_operator ? kFlagOperator : 0)));
    const ElementId source = placement.source.value_or(ElementId{});
    out.u8(static_cast<uint8_t>(source.type));
    out.u16(static_cast<uint16_t>(source.number));
    out.string(placement.cartridge.barcode);
    out.string(placement.cartridge.medium);
  }
  Buffer image;
  Encoder file(image);
  file.raw(as_view(kMagic));
  file.u16(kInventoryFormatVersion);
  file.u16(0);
  file.u32(static_cast<uint32_t>(payload.size()));
  file.raw(payload);
  file.u32(crc32c(image));
  return image;
}

Result<std::vector<Placement>> decode_inventory(ByteView image) {
  if (image.size() < kHeaderBytes + 4) return damaged("too short");
  Decoder header(image);
  if (as_text(header.raw(kMagic.size())) != kMagic) return damaged("not an inventory file");
  const uint16_t version = header.u16();
  // The version is looked at before the checksum: a newer format may place that elsewhere.
  if (version > kInventoryFormatVersion) {
    return Error(ErrorCode::unsupported_version,
                 "library inventory has format version " + std::to_string(version) +
                     "; this program reads up to " + std::to_string(kInventoryFormatVersion));
  }
  const uint16_t reserved = header.u16();
  const uint32_t length = header.u32();
  if (version == 0 || reserved != 0) return damaged("bad header");
  if (length != image.size() - kHeaderBytes - 4) return damaged("wrong length");
  const ByteView body = image.first(kHeaderBytes + length);
  if (load_le<uint32_t>(image.data() + body.size()) != crc32c(body)) {
    return damaged("checksum does not match");
  }
  Decoder in(body.subspan(kHeaderBytes));
  const uint64_t count = in.varint();
  if (count > in.remaining() / kMinPlacementBytes) return damaged("impossible count");
  std::vector<Placement> placements;
  std::set<Uuid> seen;
  std::set<std::pair<ElementType, unsigned>> occupied;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(Placement placement, decode_placement(in));
    if (!seen.insert(placement.cartridge.uuid).second ||
        !occupied.insert({placement.where.type, placement.where.number}).second) {
      return damaged("a cartridge or an element is named twice");
    }
    placements.push_back(std::move(placement));
  }
  if (!in.ok() || in.remaining() != 0) return damaged("bytes after the last placement");
  return placements;
}

}  // namespace coldshelf
