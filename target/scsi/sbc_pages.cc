// Mode pages, vital product data and log pages of a disk (SBC-4 6.4, 6.5, 6.6;
// SPC-5 7.3, 7.5, 7.7).
#include <algorithm>
#include <limits>

#include "target/scsi/block_unit.h"
#include "target/scsi/sbc_limits.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr uint8_t kCachingPage = 0x08;
constexpr uint8_t kControlPage = 0x0A;
constexpr uint8_t kWce = 0x04;     // byte 2 of the caching page
constexpr uint8_t kDSense = 0x04;  // byte 2 of the control page
constexpr uint8_t kSwp = 0x08;     // byte 4
constexpr size_t kVpdBody = 60;    // of the pages that are 64 bytes long
// Space is counted in sets of 2^11 blocks: those of a petabyte fit the 32 bits of a log parameter.
constexpr unsigned kThresholdExponent = 11;

uint64_t limited(uint64_t value, size_t bytes) {
  return std::min<uint64_t>(value, (uint64_t{1} << (8 * bytes)) - 1);
}

}  // namespace

// -- mode pages

void BlockUnit::add_mode_pages() {
  ModePages& pages = mode_pages();
  pages.add(ModePage(0x01, 0, {0xC0, 1, 0, 0, 0, 0, 1, 0, 0, 0}));  // AWRE ARRE
  pages.add(ModePage(0x02, 0, std::vector<uint8_t>(14, 0)));
  std::vector<uint8_t> caching(18, 0);
  caching[0] = options_.write_cache ? kWce : uint8_t{0};
  ModePage& cache = pages.add(ModePage(kCachingPage, 0, std::move(caching), {kWce}));
  cache.apply = [this](ModePage&, ByteView page) -> std::optional<Sense> {
    const bool on = (get_byte(page, 2) & kWce) != 0;
    // What was acknowledged with the cache on is durable before writes go without it.
    if (write_cache_ && !on)
      if (const Status done = device_->flush(); !done.ok())
        return sense_of(done.error(), Activity::writing);
    write_cache_ = on;
    return std::nullopt;
  };
  // One task set, restricted reordering (what conflicts keeps its order), TAS.
  ModePage& control = pages.add(
      ModePage(kControlPage, 0, {0x00, 0x00, 0x00, 0x40, 0, 0, 0, 0, 0, 0}, {kDSense, 0x00, kSwp}));
  control.apply = [this](ModePage&, ByteView page) -> std::optional<Sense> {
    write_protected_ = (get_byte(page, 4) & kSwp) != 0;
    return std::nullopt;
  };
  pages.add(ModePage(kControlPage, 0x01, std::vector<uint8_t>(28, 0)));  // control extension
  pages.add(ModePage(0x1C, 0, {0x08, 0x03, 0, 0, 0, 0, 0, 0, 0, 0},      // DEXCPT, MRIE 3
                     {0x08, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}));
  // Logical block provisioning: no threshold can be armed.
  pages.add(ModePage(0x1C, 0x02, std::vector<uint8_t>(12, 0)));
}

void BlockUnit::take_over_mode_pages() {
  write_cache_ = (mode_pages().find(kCachingPage)->at(2) & kWce) != 0;
  write_protected_ = (mode_pages().find(kControlPage)->at(4) & kSwp) != 0;
}

ModeHeader BlockUnit::mode_header() {
  ModeHeader header;
  header.device_specific = 0x10;  // DPOFUA
  if (write_protected_ || device_->read_only()) header.device_specific |= 0x80;
  return header;
}

Buffer BlockUnit::mode_block_descriptor(PageControl) {
  Buffer out;
  WireWriter(out).u32(limited(capacity_blocks(), 4)).u8(0).u24(block_);
  return out;
}

// The block descriptor may be sent back as it was reported; the disk has the size it has.
std::optional<Sense> BlockUnit::mode_select_header(const ModeHeader& header, ByteView descriptor,
                                                   bool, size_t header_size) {
  if (header.medium_type != 0) return invalid_parameter_field(header_size == 8 ? 2 : 1, 7);
  if (descriptor.empty()) return std::nullopt;
  const uint64_t blocks = get_number(descriptor, 0, 4);
  const auto at = static_cast<uint16_t>(header_size);
  if (blocks != 0 && blocks != 0xFFFFFFFF && blocks != capacity_blocks())
    return invalid_parameter_field(at, 7);
  const uint64_t length = get_number(descriptor, 5, 3);
  if (length != 0 && length != block_)
    return invalid_parameter_field(static_cast<uint16_t>(at + 5), 7);
  return std::nullopt;
}

// -- vital product data

// Block Limits (SBC-4 6.6.4).
Buffer BlockUnit::block_limits() const {
  const uint64_t granularity = std::max<uint64_t>(device_->granularity_bytes() / block_, 1);
  const uint64_t atomic = std::min(device_->max_atomic_bytes() / block_, max_transfer_blocks_);
  Buffer out;
  WireWriter w(out);
  w.u8(0x01);  // WSNZ: WRITE SAME of 0 blocks is refused
  w.u8(std::min(kMaxCompareAndWriteBlocks, max_transfer_blocks_ / 2));
  w.u16(limited(granularity, 2));
  w.u32(limited(max_transfer_blocks_, 4));
  w.u32(limited(std::min(std::max<uint64_t>(MiB / block_, granularity), max_transfer_blocks_), 4));
  w.u32(0);           // PRE-FETCH has no limit
  w.u32(0xFFFFFFFF);  // LBAs of an UNMAP
  w.u32(kMaxUnmapDescriptors);
  w.u32(limited(granularity, 4));
  w.u32(0x80000000);  // UGAVALID: aligned to LBA 0
  w.u64(kMaxWriteSameBlocks);
  w.u32(limited(atomic, 4)).u32(0).u32(0);  // any alignment, any granularity
  w.u32(0).u32(0);                          // no atomic boundaries
  return out;
}

// Logical Block Provisioning (SBC-4 6.6.5): thin; LBPU LBPWS LBPWS10, LBPRZ 001b (zeroes).
Buffer BlockUnit::provisioning_page() const {
  Buffer out;
  WireWriter(out).u8(kThresholdExponent).u8(0xE4).u8(0x02).u8(0);
  return out;
}

void BlockUnit::add_vpd_pages() {
  add_vpd_page(0x86, [] {
    Buffer out(kVpdBody, std::byte{0});
    put_number(out, 1, 0x07, 1);  // SIMPSUP ORDSUP HEADSUP
    put_number(out, 2, 0x01, 1);  // V_SUP: a volatile cache
    put_number(out, 3, 0x01, 1);  // LUICLR
    return out;
  });
  add_vpd_page(0x8F, [this] { return third_party_copy_page(); });
  add_vpd_page(0xB0, [this] { return block_limits(); });
  add_vpd_page(0xB1, [] {
    Buffer out(kVpdBody, std::byte{0});
    put_number(out, 0, 0x0001, 2);  // it does not rotate
    put_number(out, 3, 0x40, 1);    // WABEREQ 01b: blocks can be read after a block erase
    return out;
  });
  add_vpd_page(0xB2, [this] { return provisioning_page(); });
}

// -- log pages

void BlockUnit::add_log_pages() {
  // Logical block provisioning (SBC-4 6.4.4): used resources, of this disk alone.
  log_pages().add({0x0C,
                   0,
                   [this] {
                     const uint64_t set = block_ << kThresholdExponent;
                     const uint64_t used = (device_->usage().mapped_bytes + set - 1) / set;
                     Buffer value;
                     WireWriter(value).u32(limited(used, 4)).u8(0x01).zeros(3);
                     return std::vector{log_bytes(0x0002, value)};
                   },
                   {}});
  // General statistics and performance (SPC-5 7.3.10): counts, no times.
  log_pages().add({0x19,
                   0,
                   [this] {
                     Buffer value;
                     WireWriter(value)
                         .u64(counters_.reads.load(std::memory_order_relaxed))
                         .u64(counters_.writes.load(std::memory_order_relaxed))
                         .u64(counters_.blocks_written.load(std::memory_order_relaxed))
                         .u64(counters_.blocks_read.load(std::memory_order_relaxed))
                         .zeros(32);
                     return std::vector{log_bytes(0x0001, value)};
                   },
                   {}});
}

}  // namespace coldshelf::scsi
