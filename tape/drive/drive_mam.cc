// Medium auxiliary memory (SPC-5 7.4.2): device and medium attributes are computed, host attributes
// are the cartridge's.
#include <array>
#include <ctime>

#include "base/coding.h"
#include "tape/drive/drive_state.h"

namespace coldshelf {

namespace {

constexpr uint8_t kBinary = 0;
constexpr uint8_t kAscii = 1;
constexpr uint8_t kText = 2;
constexpr uint64_t kMamCapacity = 16 * KiB;  // as LTO-5 and later cartridges have
constexpr size_t kAttributeHeader = 5;       // identifier, format, length (SPC-5 table 432)

using Attribute = TapeDrive::MamAttribute;

// Host attributes with a given format and maximum length (SPC-5 table 444).
struct HostAttribute {
  uint16_t id;
  uint8_t format;
  size_t max_length;
};
constexpr std::array<HostAttribute, 17> kHostAttributes = {{
    {0x0800, kAscii, 8},      // application vendor
    {0x0801, kAscii, 32},     // application name
    {0x0802, kAscii, 8},      // application version
    {0x0803, kText, 160},     // user medium text label
    {0x0804, kAscii, 12},     // date and time last written
    {0x0805, kBinary, 1},     // text localization identifier
    {0x0806, kAscii, 32},     // barcode
    {0x0807, kText, 80},      // owning host textual name
    {0x0808, kText, 160},     // media pool
    {0x0809, kAscii, 16},     // partition user text label
    {0x080A, kBinary, 1},     // load/unload at partition
    {0x080B, kAscii, 16},     // application format version
    {0x080C, kBinary, 1023},  // volume coherency information (LTFS: 70 bytes)
    {0x080D, kBinary, 36},    // medium globally unique identifier
    {0x080E, kBinary, 36},    // media pool globally unique identifier
    {0x0820, kBinary, 36},    // the same two where older applications keep them
    {0x0821, kBinary, 36},
}};
constexpr uint16_t kVendorHostFirst = 0x1400;  // vendor-specific host attributes; LTFS uses 1623h
constexpr uint16_t kVendorHostLast = 0x17FF;
constexpr size_t kVendorHostMaxLength = 1024;

bool host_limits(uint16_t id, uint8_t format, HostAttribute& out) {
  if (id >= kVendorHostFirst && id <= kVendorHostLast) {
    out = {id, std::min(format, kText), kVendorHostMaxLength};
    return true;
  }
  const auto found = std::ranges::find(kHostAttributes, id, &HostAttribute::id);
  if (found == kHostAttributes.end()) return false;
  out = *found;
  return true;
}

std::string hex4(uint16_t id) {
  std::array<std::byte, 2> bytes{};
  store_be(bytes.data(), id);
  return to_hex(bytes) + "h";
}

// Collects the computed attributes; the caller adds them in ascending order.
class Attributes {
 public:
  template <std::unsigned_integral T>
  void number(uint16_t id, T value) {
    Buffer bytes(sizeof value);
    store_be(bytes.data(), value);
    out.push_back({id, true, kBinary, std::move(bytes)});
  }
  void text(uint16_t id, std::string_view value, size_t length) {
    Buffer bytes(length, std::byte{' '});
    std::ranges::copy(as_view(value.substr(0, length)), bytes.begin());
    out.push_back({id, true, kAscii, std::move(bytes)});
  }
  std::vector<Attribute> out;
};

// "vendor|serial" as 8 bytes of vendor and 32 of serial number (SPC-5 7.4.2.2.11).
std::string device_text(const std::string& device) {
  const size_t bar = device.find('|');
  std::string out = device.substr(0, bar);
  out.resize(8, ' ');
  if (bar != std::string::npos) out += device.substr(bar + 1);
  return out;
}

std::string date_text(int64_t unix_ms) {
  const std::string utc = format_utc(unix_ms);  // YYYY-MM-DDT...
  return utc.substr(0, 4) + utc.substr(5, 2) + utc.substr(8, 2);
}

// A serial number for the medium that fits 32 characters: the uuid without its dashes.
std::string medium_serial(const Uuid& uuid) { return to_hex(uuid.view()); }

// TapeAlert flags 1 to 64 from the most significant bit on (SSC-5 table 39).
uint64_t tape_alert_bit(unsigned flag) { return uint64_t{1} << (64 - flag); }

}  // namespace

uint64_t TapeDrive::State::host_mam_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [key, value] : host_mam) bytes += kAttributeHeader + value.value.size();
  return bytes;
}

Result<std::vector<TapeDrive::MamAttribute>> TapeDrive::mam_attributes(uint32_t partition) const {
  State& s = *state_;
  ASSIGN_OR_RETURN(const Capacity space, capacity(partition));
  const std::lock_guard lock(s.mutex);
  TRY(s.require_partition(partition));
  const MediumProfile& medium = *s.medium.load();
  const DriveHistory& past = s.history;
  const uint64_t written = s.load_bytes_written();
  const uint64_t read = s.load_bytes_read();
  const uint64_t host_bytes = s.host_mam_bytes();
  uint64_t alerts = 0;
  if (s.failure) alerts |= tape_alert_bit(6);                 // write failure
  if (s.load_read_errors() > 0) alerts |= tape_alert_bit(5);  // read failure
  if (s.load_write_errors() + s.load_read_errors() > 0) alerts |= tape_alert_bit(4);  // media

  Attributes a;
  a.number<uint64_t>(0x0000, space.remaining_bytes / MiB);
  a.number<uint64_t>(0x0001, space.maximum_bytes / MiB);
  a.number<uint64_t>(0x0002, alerts);
  a.number<uint64_t>(0x0003, past.loads);
  a.number<uint64_t>(0x0004, kMamCapacity - std::min(host_bytes, kMamCapacity));
  a.text(0x0005, medium.organization, 8);
  a.number<uint8_t>(0x0006, medium.density_code);
  a.number<uint16_t>(0x0007,
                     static_cast<uint16_t>(std::min<uint64_t>(past.initializations, 0xFFFF)));
  a.number<uint32_t>(0x0009, static_cast<uint32_t>(past.volume_change));
  for (size_t i = 0; i < past.devices.size(); ++i) {
    a.text(static_cast<uint16_t>(0x020A + i), device_text(past.devices[i]), 40);
  }
  a.number<uint64_t>(0x0220, (past.written_bytes + written) / MiB);
  a.number<uint64_t>(0x0221, (past.read_bytes + read) / MiB);
  a.number<uint64_t>(0x0222, written / MiB);
  a.number<uint64_t>(0x0223, read / MiB);
  a.text(0x0400, "COLDSHLF", 8);
  a.text(0x0401, medium_serial(s.uuid), 32);
  a.number<uint32_t>(0x0402, medium.media_length_m);
  a.number<uint32_t>(0x0403, medium.media_width_tenth_mm);
  a.text(0x0404, medium.organization, 8);
  a.number<uint8_t>(0x0405, medium.density_code);
  a.text(0x0406, date_text(s.created_unix_ms), 8);
  a.number<uint64_t>(0x0407, kMamCapacity);
  a.number<uint8_t>(0x0408, s.worm ? 0x80 : 0x00);  // SPC-5 table 442
  a.number<uint16_t>(0x0409, 0);
  const auto first = s.host_mam.lower_bound(MamKey{partition, 0});
  for (auto it = first; it != s.host_mam.end() && it->first.partition == partition; ++it) {
    a.out.push_back({it->first.id, false, it->second.format, it->second.value});
  }
  s.change_pending = true;  // the value of 0009h is known outside from now on
  return std::move(a.out);
}

Status TapeDrive::write_mam(uint32_t partition, uint16_t id, uint8_t format, ByteView value) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  TRY(s.require_expected());
  TRY(s.require_partition(partition));
  HostAttribute limits{};
  if (!host_limits(id, format, limits)) {
    return Error(ErrorCode::invalid_argument, "attribute " + hex4(id) + " cannot be written");
  }
  const MamKey key{partition, id};
  const auto old = s.host_mam.find(key);
  if (value.empty()) {  // SPC-5 6.49: an attribute length of zero deletes the attribute
    if (old == s.host_mam.end()) return {};
    TRY(s.cartridge->remove_mam(key));
    s.host_mam.erase(old);
    return {};
  }
  if (format != limits.format || value.size() > limits.max_length) {
    return Error(ErrorCode::invalid_argument,
                 "attribute " + hex4(id) + " has the wrong format or length");
  }
  const uint64_t freed = old == s.host_mam.end() ? 0 : kAttributeHeader + old->second.value.size();
  if (s.host_mam_bytes() - freed + kAttributeHeader + value.size() > kMamCapacity) {
    return Error(ErrorCode::no_space, "the medium auxiliary memory is full");
  }
  MamValue stored{format, to_buffer(value)};
  TRY(s.cartridge->set_mam(key, stored));
  s.host_mam[key] = std::move(stored);
  return {};
}

}  // namespace coldshelf
