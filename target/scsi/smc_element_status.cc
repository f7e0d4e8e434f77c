#include "target/scsi/smc_element_status.h"

#include <algorithm>
#include <array>

#include "target/scsi/changer_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kPageHeaderBytes = 8;
constexpr size_t kFixedBytes = 12;
constexpr size_t kVolumeTagBytes = 36;        // SMC-3 5.3: 32 characters, 2 reserved, sequence 2
constexpr size_t kIdentifierHeaderBytes = 4;  // CODE SET, IDENTIFIER TYPE, reserved, length
constexpr size_t kIdentifierBytes = 34;       // vendor 8, product 16, serial 10

constexpr uint8_t kFull = 0x01;
constexpr uint8_t kImpExp = 0x02;
constexpr uint8_t kExcept = 0x04;
constexpr uint8_t kAccess = 0x08;
constexpr uint8_t kExportEnabled = 0x10;
constexpr uint8_t kImportEnabled = 0x20;
constexpr uint8_t kSourceValid = 0x80;
constexpr uint8_t kDataMedium = 0x01;  // MEDIUM TYPE
constexpr uint8_t kPrimaryVolumeTag = 0x80;

bool has_identifier(ElementType type, const ElementStatusRequest& request) {
  return request.device_identifiers && type == ElementType::data_transfer;
}

// One length for all descriptors of a page.
size_t descriptor_bytes(ElementType type, const ElementStatusRequest& request) {
  return kFixedBytes + (request.volume_tags ? kVolumeTagBytes : 0) + kIdentifierHeaderBytes +
         (has_identifier(type, request) ? kIdentifierBytes : 0);
}

uint8_t flags_of(const ElementStatus& status) {
  const Element& element = status.element;
  unsigned flags = element.cartridge ? kFull : 0U;
  if (status.exception) flags |= kExcept;
  if (element.type == ElementType::transport) return static_cast<uint8_t>(flags);
  if (element.accessible) flags |= kAccess;
  if (element.type == ElementType::import_export) {
    flags |= kExportEnabled | kImportEnabled;
    if (element.cartridge && element.placed_by_operator) flags |= kImpExp;
  }
  return static_cast<uint8_t>(flags);
}

void encode_volume_tag(WireWriter& out, const Element& element) {
  if (!element.cartridge) {
    out.zeros(kVolumeTagBytes);
    return;
  }
  out.ascii(element.cartridge->barcode, 32).zeros(2).u16(0);
}

void encode_descriptor(Buffer& to, const ElementStatus& status,
                       const ElementStatusRequest& request) {
  const Element& element = status.element;
  WireWriter out(to);
  const AdditionalSense exception = status.exception.value_or(asc::none);
  const bool source_valid = element.cartridge && element.source_address;
  out.u16(element.address).u8(flags_of(status)).u8(0);
  out.u8(exception.code).u8(exception.qualifier).zeros(3);
  out.u8((source_valid ? kSourceValid : 0U) | (element.cartridge ? kDataMedium : 0U));
  out.u16(source_valid ? *element.source_address : 0U);
  if (request.volume_tags) encode_volume_tag(out, element);
  if (has_identifier(element.type, request) && element.drive != nullptr) {
    const TapeDrive::Options& drive = element.drive->options();
    // Code set ASCII, T10 vendor identification: vendor, product, serial, as drives report
    // themselves in VPD page 83h.
    out.u8(2).u8(1).u8(0).u8(kIdentifierBytes);
    out.ascii(drive.profile->vendor, 8).ascii(drive.profile->product, 16).ascii(drive.serial, 10);
  } else {
    out.zeros(kIdentifierHeaderBytes);
  }
}

}  // namespace

std::vector<ElementStatus> select_elements(const std::vector<ElementStatus>& all,
                                           const ElementStatusRequest& request) {
  std::vector<ElementStatus> selected;
  for (const ElementStatus& status : all) {
    if (request.type != 0 && static_cast<uint8_t>(status.element.type) != request.type) continue;
    if (status.element.address < request.first_address) continue;
    if (selected.size() == request.max_elements) break;
    selected.push_back(status);
  }
  return selected;
}

Buffer encode_element_status(const std::vector<ElementStatus>& selected,
                             const ElementStatusRequest& request, size_t allocation_length,
                             uint8_t header_byte_4) {
  // One page for each type that has elements: initiators (mtx among them) give up on a page
  // without descriptors. Elements are in ascending address order, so each type is one run.
  std::vector<std::pair<ElementType, std::vector<const ElementStatus*>>> pages;
  for (const ElementStatus& status : selected) {
    if (pages.empty() || pages.back().first != status.element.type) {
      pages.emplace_back(status.element.type, std::vector<const ElementStatus*>());
    }
    pages.back().second.push_back(&status);
  }
  size_t report_bytes = 0;
  for (const auto& [type, members] : pages) {
    report_bytes += kPageHeaderBytes + members.size() * descriptor_bytes(type, request);
  }
  Buffer report;
  WireWriter out(report);
  out.u16(selected.empty() ? 0U : selected.front().element.address);
  out.u16(selected.size()).u8(header_byte_4).u24(report_bytes);
  // SMC-3 6.11: what does not fit whole is left out; the counts stay those of the whole report.
  for (const auto& [type, members] : pages) {
    const size_t each = descriptor_bytes(type, request);
    if (report.size() + kPageHeaderBytes > allocation_length) break;
    out.u8(static_cast<uint8_t>(type)).u8(request.volume_tags ? kPrimaryVolumeTag : 0U);
    out.u16(each).u8(0).u24(members.size() * each);
    for (const ElementStatus* status : members) {
      if (report.size() + each > allocation_length) return report;
      encode_descriptor(report, *status, request);
    }
  }
  return report;
}

std::vector<ElementStatus> ChangerUnit::statuses(const std::vector<Element>& elements) const {
  std::vector<ElementStatus> all;
  all.reserve(elements.size());
  for (const Element& element : elements) {
    ElementStatus status{element, std::nullopt};
    if (element.type == ElementType::data_transfer && library_.drive_problem(element.number)) {
      status.exception = asc::media_load_or_eject_failed;
    }
    all.push_back(std::move(status));
  }
  return all;
}

// SMC-3 6.11. CURDATA asks for the data without moving the mechanism: there is none to move.
Reply ChangerUnit::read_element_status(const Command& command) {
  const ByteView cdb(command.cdb);
  ElementStatusRequest request;
  request.type = get_byte(cdb, 1) & 0x0F;
  request.volume_tags = (get_byte(cdb, 1) & 0x10) != 0;
  request.device_identifiers = (get_byte(cdb, 6) & 0x01) != 0;
  request.first_address = static_cast<uint16_t>(get_number(cdb, 2, 2));
  request.max_elements = static_cast<uint16_t>(get_number(cdb, 4, 2));
  const uint64_t allocation_length = get_number(cdb, 7, 3);
  if (request.type > 4) return check(invalid_cdb_field(1, 3));
  const auto selected = select_elements(statuses(library_.elements()), request);
  return data(encode_element_status(selected, request, static_cast<size_t>(allocation_length)),
              allocation_length);
}

}  // namespace coldshelf::scsi
