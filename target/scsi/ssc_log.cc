// Log pages of a tape drive (SPC-5 7.3, SSC-5 8.2). The vendor pages are the ones IBM documents.
#include <algorithm>

#include "target/scsi/tape_unit.h"
#include "target/scsi/tape_unit_state.h"

namespace coldshelf::scsi {

namespace {

constexpr uint8_t kBinaryList = 0x03;
constexpr uint8_t kAsciiList = 0x01;
constexpr uint64_t kMegabyte = 1'000'000;
constexpr int64_t kNsPerHour = 3'600'000'000'000;

// Error counter pages 02h and 03h (SPC-5 7.3.7): nothing is ever corrected here, it is right or
// wrong.
std::vector<LogParameter> error_counters(uint64_t bytes, uint64_t uncorrected) {
  std::vector<LogParameter> out;
  for (uint16_t code = 0; code <= 4; ++code) out.push_back(log_number(code, 0, 4, 0));
  out.push_back(log_number(5, bytes, 8, 0));
  out.push_back(log_number(6, uncorrected, 4, 0));
  return out;
}

}  // namespace

DriveCounters TapeUnit::counted() const {
  DriveCounters c = state_->drive->counters();
  const DriveCounters& base = state_->counters_base;
  c.bytes_from_initiator -= base.bytes_from_initiator;
  c.bytes_to_initiator -= base.bytes_to_initiator;
  c.bytes_to_medium -= base.bytes_to_medium;
  c.bytes_from_medium -= base.bytes_from_medium;
  c.write_errors -= base.write_errors;
  c.read_errors -= base.read_errors;
  return c;
}

void TapeUnit::add_log_pages() {
  LogPages& pages = log_pages();
  State& s = *state_;
  pages.add({0x02, 0,
             [this] {
               const DriveCounters c = counted();
               return error_counters(c.bytes_from_initiator, c.write_errors);
             },
             [&s] {
               const DriveCounters now = s.drive->counters();
               s.counters_base.bytes_from_initiator = now.bytes_from_initiator;
               s.counters_base.write_errors = now.write_errors;
             }});
  pages.add({0x03, 0,
             [this] {
               const DriveCounters c = counted();
               return error_counters(c.bytes_to_initiator, c.read_errors);
             },
             [&s] {
               const DriveCounters now = s.drive->counters();
               s.counters_base.bytes_to_initiator = now.bytes_to_initiator;
               s.counters_base.read_errors = now.read_errors;
             }});
  pages.add({0x0C, 0,
             [this] {
               const DriveCounters c = counted();
               return std::vector<LogParameter>{
                   log_number(0, c.bytes_from_initiator, 8), log_number(1, c.bytes_to_medium, 8),
                   log_number(2, c.bytes_from_medium, 8), log_number(3, c.bytes_to_initiator, 8),
                   log_number(0x0100, 0, 8)};  // no cleaning required
             },
             [&s] { s.counters_base = s.drive->counters(); }});
  pages.add({0x11, 0, [this] { return device_status(); }, {}});
  pages.add({0x12,
             0,
             [&s] {  // TapeAlert response: flag 1 is the first bit
               s.note_medium_errors();
               Buffer flags(8, std::byte{0});
               for (size_t flag = 1; flag <= kTapeAlerts; ++flag)
                 if (s.alerts.test(flag))
                   flags[(flag - 1) / 8] |= static_cast<std::byte>(0x80U >> ((flag - 1) % 8));
               return std::vector<LogParameter>{log_bytes(0, flags)};
             },
             {}});
  pages.add({0x14, 0, [this] { return device_statistics(); }, {}});
  pages.add({0x2E, 0,
             [&s] {  // reading the page clears the flags (SSC-5 8.2.3)
               s.note_medium_errors();
               std::vector<LogParameter> out;
               for (size_t flag = 1; flag <= kTapeAlerts; ++flag)
                 out.push_back(
                     log_number(static_cast<uint16_t>(flag), s.alerts.test(flag) ? 1 : 0, 1));
               s.alerts.reset();
               return out;
             },
             [&s] { s.alerts.reset(); }});
  add_volume_statistics();
  add_vendor_log_pages();
}

// DT device status (ADC-3 6.1.2): very high frequency data, which automation and Proxmox poll.
std::vector<LogParameter> TapeUnit::device_status() {
  const TapeDrive& drive = *state_->drive;
  const bool loaded = drive.loaded();
  const bool inserted = drive.inserted();
  uint8_t first = 0x20;  // MACC: the medium's auxiliary memory is accessible when loaded
  if (!loaded) first = 0;
  if (prevented()) first |= 0x80;  // PAMR
  if (const ModePage* page = mode_pages().find(0x0F); page != nullptr && (page->at(2) & 0x80) != 0)
    first |= 0x10;                                       // CMPR
  if (loaded && drive.write_protected()) first |= 0x08;  // WRTP
  first |= 0x01;                                         // DINIT
  uint8_t second = 0;
  if (!prevented()) second |= 0x20;  // RAA: robotic access allowed
  if (inserted) second |= 0x10;      // MPRSNT
  if (inserted) second |= 0x04;      // MSTD: seated
  if (loaded) second |= 0x03;        // MTHRD, MOUNTED
  const std::byte status[4] = {std::byte{first}, std::byte{second}, std::byte{0},
                               state_->alerts.any() ? std::byte{0x01} : std::byte{0}};
  return {log_bytes(0x0000, status), log_number(0x0001, 1000, 2)};  // polling delay in ms
}

std::vector<LogParameter> TapeUnit::device_statistics() {
  const DriveCounters c = state_->drive->counters();
  const auto hours = static_cast<uint64_t>(
      std::max<int64_t>(clock().monotonic_ns() - state_->created_ns, 0) / kNsPerHour);
  return {log_number(0x0000, c.loads, 8),  // lifetime media loads
          log_number(0x0001, 0, 8),        // cleaning operations
          log_number(0x0002, hours, 8),    // power on hours
          log_number(0x0003, 0, 8),        // medium motion hours
          log_number(0x0004, 0, 8),        // metres of tape
          log_number(0x000C, 1, 8),        // power cycles
          log_number(0x000D, c.loads, 8),  // volume loads since the last reset of parameters
          log_number(0x000E, c.write_errors, 8),
          log_number(0x000F, c.read_errors, 8),
          log_bytes(0x0040, as_view(identity().serial), kAsciiList),
          log_bytes(0x0041, as_view(identity().serial), kAsciiList),
          log_number(0x0080, prevented() ? 1 : 0, 1)};
}

// -- volume statistics (SSC-5 8.2.11)

namespace {

// Volume statistics partition record: length, reserved, partition, value in megabytes.
Buffer partition_records(const std::vector<uint64_t>& bytes) {
  Buffer out;
  WireWriter w(out);
  for (size_t p = 0; p < bytes.size(); ++p)
    w.u8(7).u8(0).u16(p).u32(std::min<uint64_t>(bytes[p] / kMegabyte, 0xFFFFFFFE));
  return out;
}

struct MamLookup {
  const std::vector<TapeDrive::MamAttribute>& all;
  uint64_t number(uint16_t id) const {
    for (const auto& a : all)
      if (a.id == id) return get_number(a.value, 0, std::min<size_t>(a.value.size(), 8));
    return 0;
  }
  std::string text(uint16_t id, size_t width) const {
    std::string out;
    for (const auto& a : all)
      if (a.id == id) out = to_text(a.value);
    out.resize(width, ' ');
    return out;
  }
};

uint64_t ratio(uint64_t plain, uint64_t stored) {
  if (plain == 0 || stored == 0) return 0;
  return std::min<uint64_t>(plain * 100 / stored, 0xFFFF);
}

}  // namespace

void TapeUnit::add_volume_statistics() {
  log_pages().add({0x17,
                   0,
                   [this] {
                     if (!state_->drive->loaded())
                       return std::vector<LogParameter>{log_number(0x0000, 0, 1)};
                     return volume_statistics();
                   },
                   {}});
}

std::vector<LogParameter> TapeUnit::volume_statistics() {
  TapeDrive& drive = *state_->drive;
  std::vector<uint64_t> maximum, used, remaining;
  uint64_t total = 0;
  uint64_t total_used = 0;
  for (uint32_t p = 0; p < drive.partition_count(); ++p) {
    const auto c = drive.capacity(p);
    const TapeDrive::Capacity capacity = c.ok() ? *c : TapeDrive::Capacity{};
    maximum.push_back(capacity.maximum_bytes);
    used.push_back(capacity.used_bytes);
    remaining.push_back(capacity.remaining_bytes);
    total += capacity.maximum_bytes;
    total_used += capacity.used_bytes;
  }
  const auto attributes = drive.mam_attributes(0);
  const std::vector<TapeDrive::MamAttribute> none;
  const MamLookup mam{attributes.ok() ? *attributes : none};
  const DriveCounters load = drive.load_counters();
  // MAM counts in MiB (0220h, 0221h), this page in 10^6 bytes.
  const uint64_t written = mam.number(0x0220) * MiB;
  const uint64_t read = mam.number(0x0221) * MiB;
  const MediumProfile* medium = drive.medium();
  const std::string density(medium != nullptr ? medium->description : std::string_view());
  return {log_number(0x0000, 1, 1),                      // page valid
          log_number(0x0001, mam.number(0x0003), 4),     // thread count
          log_number(0x0002, written / (512 * KiB), 8),  // data sets, nominally of 512 KiB
          log_number(0x0003, 0, 4),                      // write retries
          log_number(0x0004, load.write_errors, 2),
          log_number(0x0005, 0, 2),
          log_number(0x0006, 0, 2),
          log_number(0x0007, read / (512 * KiB), 8),
          log_number(0x0008, 0, 4),
          log_number(0x0009, load.read_errors, 2),
          log_number(0x000A, 0, 2),
          log_number(0x000B, 0, 2),
          log_number(0x000C, load.write_errors, 2),  // last mount
          log_number(0x000D, load.read_errors, 2),
          log_number(0x000E, load.bytes_from_initiator / kMegabyte, 4),
          log_number(0x000F, load.bytes_to_initiator / kMegabyte, 4),
          log_number(0x0010, written / kMegabyte, 8),  // lifetime
          log_number(0x0011, read / kMegabyte, 8),
          log_number(0x0012, ratio(load.bytes_from_initiator, load.bytes_to_medium), 2),
          log_number(0x0013, ratio(load.bytes_to_initiator, load.bytes_from_medium), 2),
          log_number(0x0014, 0, 6),
          log_number(0x0015, 0, 6),
          log_number(0x0016, total / kMegabyte, 4),
          log_number(0x0017, total_used / kMegabyte, 4),
          log_bytes(0x0040, as_view(mam.text(0x0401, 32)), kAsciiList),
          log_bytes(0x0041, as_view(std::string(8, ' ')), kAsciiList),
          log_bytes(0x0042, as_view(padded(drive.label(), 32)), kAsciiList),
          log_bytes(0x0043, as_view(mam.text(0x0400, 8)), kAsciiList),
          log_bytes(0x0044, as_view(std::string(4, ' ')), kAsciiList),
          log_bytes(0x0045, as_view(padded(density, 9)), kAsciiList),
          log_number(0x0080, drive.write_protected() ? 1 : 0, 1),
          log_number(0x0081, drive.worm() ? 1 : 0, 1),
          log_number(0x0082, 0, 1),
          log_number(0x0101, mam.number(0x0003), 4),  // passes over the beginning and the middle
          log_number(0x0102, mam.number(0x0003), 4),
          log_bytes(0x0202, partition_records(maximum), kBinaryList),
          log_bytes(0x0203, partition_records(used), kBinaryList),
          log_bytes(0x0204, partition_records(remaining), kBinaryList)};
}

std::string TapeUnit::padded(std::string text, size_t width) {
  text.resize(width, ' ');
  return text;
}

// -- vendor pages 30h 31h 32h, and 37h where IBM has it (LTFS)

void TapeUnit::add_vendor_log_pages() {
  LogPages& pages = log_pages();
  pages.add({0x30,
             0,
             [this] {  // tape usage
               static constexpr size_t widths[] = {4, 8, 4, 2, 2, 2, 8, 4, 2, 2, 2};
               const DriveCounters load = state_->drive->load_counters();
               std::vector<LogParameter> out;
               for (uint16_t code = 1; code <= std::size(widths); ++code) {
                 const uint64_t value = code == 1   ? state_->drive->counters().loads
                                        : code == 2 ? load.bytes_to_medium / (512 * KiB)
                                        : code == 4 ? load.write_errors
                                        : code == 7 ? load.bytes_from_medium / (512 * KiB)
                                        : code == 9 ? load.read_errors
                                                    : 0;
                 out.push_back(log_number(code, value, widths[code - 1]));
               }
               return out;
             },
             {}});
  pages.add({0x31,
             0,
             [this] {  // tape capacity, MiB: remaining of both partitions, maximum of both
               TapeDrive::Capacity c[2];
               for (uint32_t p = 0; p < 2 && p < state_->drive->partition_count(); ++p)
                 if (const auto capacity = state_->drive->capacity(p); capacity.ok())
                   c[p] = *capacity;
               return std::vector<LogParameter>{log_number(1, c[0].remaining_bytes / MiB, 4),
                                                log_number(2, c[1].remaining_bytes / MiB, 4),
                                                log_number(3, c[0].maximum_bytes / MiB, 4),
                                                log_number(4, c[1].maximum_bytes / MiB, 4)};
             },
             {}});
  pages.add({0x32,
             0,
             [this] {  // data compression: ratios of 100, then megabytes and bytes of each
               const DriveCounters c = state_->drive->load_counters();
               std::vector<LogParameter> out{
                   log_number(0, ratio(c.bytes_to_initiator, c.bytes_from_medium), 2),
                   log_number(1, ratio(c.bytes_from_initiator, c.bytes_to_medium), 2)};
               uint16_t code = 2;
               for (uint64_t bytes : {c.bytes_to_initiator, c.bytes_from_medium,
                                      c.bytes_from_initiator, c.bytes_to_medium}) {
                 out.push_back(log_number(code++, bytes / kMegabyte, 4));
                 out.push_back(log_number(code++, bytes % kMegabyte, 4));
               }
               return out;
             },
             {}});
  if (state_->hpe()) return;
  pages.add({0x37, 0, [] { return std::vector<LogParameter>{log_number(1, 0, 1)}; }, {}});
}

}  // namespace coldshelf::scsi
