// INQUIRY: standard data and vital product data (SPC-5 6.7, 7.7).
#include "base/sha256.h"
#include "target/scsi/device_server.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr size_t kStandardBytes = 96;

// Protocol identifier iSCSI (SPC-5 table 436) and designator header bits.
constexpr uint8_t kIscsi = 0x50;
constexpr uint8_t kPortAssociation = 0x80 | 0x10;
constexpr uint8_t kDeviceAssociation = 0x80 | 0x20;
enum CodeSet : uint8_t { binary = 1, ascii = 2, utf8 = 3 };

void designator(Buffer& out, uint8_t first, uint8_t second, ByteView value) {
  WireWriter(out).u8(first).u8(second).u8(0).u8(value.size()).raw(value);
}

// NUL-terminated, padded to a multiple of four (SPC-5 7.7.6.11).
Buffer name_string(const std::string& name) {
  Buffer out = to_buffer(as_view(name.substr(0, 223)));
  const size_t size = (out.size() + 1 + 3) / 4 * 4;
  out.resize(size, std::byte{0});
  return out;
}

}  // namespace

Buffer DeviceServer::standard_inquiry() {
  Buffer out;
  WireWriter w(out);
  w.u8(identity_.device_type).u8(0x80).u8(identity_.version).u8(0x02);
  w.u8(kStandardBytes - 5);
  w.u8(0x10);  // TPGS: implicit
  w.u8(identity_.medium_changer_attached ? 0x08U : 0x00U);
  w.u8(0x02);  // CMDQUE
  w.ascii(identity_.vendor, 8).ascii(identity_.product, 16).ascii(identity_.revision, 4);
  for (size_t i = 0; i < 20; ++i)
    w.u8(i < identity_.vendor_specific.size() ? identity_.vendor_specific[i] : 0);
  w.zeros(2);
  for (size_t i = 0; i < 8; ++i)
    w.u16(i < identity_.version_descriptors.size() ? identity_.version_descriptors[i] : 0);
  w.zeros(kStandardBytes - out.size());
  finish_inquiry(out);
  return out;
}

Buffer DeviceServer::device_identification() const {
  Buffer out;
  // 1. T10 vendor id based, of the logical unit.
  Buffer t10;
  WireWriter(t10)
      .ascii(identity_.vendor, 8)
      .ascii(identity_.product, 16)
      .raw(as_view(identity_.serial));
  designator(out, ascii, 0x01, t10);
  // 2. NAA locally assigned (3h), from names that are unique already.
  const std::string text = identity_.target_name + "/" + identity_.serial;
  Sha256 hash;
  hash.update(as_view(text));
  const auto digest = hash.finish();
  Buffer naa(digest.begin(), digest.begin() + 8);
  naa[0] = (naa[0] & std::byte{0x0F}) | std::byte{0x30};
  designator(out, binary, 0x03, naa);
  // 3. The target port: relative identifier, port group, SCSI name. 4. The target device: its name.
  Buffer port;
  WireWriter(port).u16(0).u16(identity_.relative_target_port);
  designator(out, kIscsi | binary, kPortAssociation | 0x04, port);
  Buffer group;
  WireWriter(group).u16(0).u16(identity_.target_port_group);
  designator(out, kIscsi | binary, kPortAssociation | 0x05, group);
  Buffer tag;
  WireWriter(tag).u16(identity_.target_port_group);
  designator(out, kIscsi | utf8, kPortAssociation | 0x08,
             name_string(identity_.target_name + ",t,0x" + to_hex(tag)));
  designator(out, kIscsi | utf8, kDeviceAssociation | 0x08, name_string(identity_.target_name));
  return out;
}

Reply DeviceServer::inquiry(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const uint8_t page = get_byte(command.cdb, 2);
  const uint64_t allocation = get_number(command.cdb, 3, 2);
  if ((flags & 0x02) != 0) return check(invalid_cdb_field(1, 1));  // CMDDT is obsolete
  if ((flags & 0x01) == 0) {
    if (page != 0) return check(invalid_cdb_field(2, 7));
    return data(standard_inquiry(), allocation);
  }
  Buffer body;
  if (page == 0x00) {
    WireWriter w(body);
    w.u8(0x00);
    for (const auto& [code, maker] : vpd_) w.u8(code);
  } else if (const auto it = vpd_.find(page); it != vpd_.end()) {
    body = it->second();
  } else {
    return check(invalid_cdb_field(2, 7));
  }
  Buffer out;
  WireWriter(out).u8(identity_.device_type).u8(page).u16(body.size()).raw(body);
  return data(std::move(out), allocation);
}

}  // namespace coldshelf::scsi
