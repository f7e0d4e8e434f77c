// Capacity and thin provisioning: READ CAPACITY, GET LBA STATUS, UNMAP, WRITE SAME, PRE-FETCH,
// SYNCHRONIZE CACHE (SBC-4 4.7, 5.6, 5.14, 5.18, 5.19, 5.37, 5.40, 5.61).
#include <algorithm>
#include <bit>

#include "target/scsi/block_unit.h"
#include "target/scsi/sbc_limits.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr uint64_t kStepBytes = 1 * MiB;
constexpr size_t kUnmapHeader = 8;
constexpr size_t kUnmapDescriptor = 16;
constexpr size_t kLbaStatusHeader = 8;
constexpr size_t kLbaStatusDescriptor = 16;
constexpr size_t kMaxLbaStatusDescriptors = 4096;

// UNMAP's list, as far as it is whole: a torn last descriptor is ignored (SBC-4 5.37.2).
size_t unmap_descriptors(ByteView list) {
  if (list.size() < kUnmapHeader) return 0;
  const auto told = static_cast<size_t>(get_number(list, 2, 2));
  return std::min(told, list.size() - kUnmapHeader) / kUnmapDescriptor;
}

Extent unmap_extent(ByteView list, size_t i) {
  const size_t at = kUnmapHeader + i * kUnmapDescriptor;
  return {get_number(list, at, 8), get_number(list, at + 8, 4), 0};
}

}  // namespace

// -- capacity

Reply BlockUnit::read_capacity10(const Command& command) {
  if (const auto sense = refuse_medium(Access::read)) return check(*sense);
  // PMI is obsolete: an LBA means nothing without it (SBC-4 5.18.2).
  if ((get_byte(command.cdb, 8) & 0x01) != 0) return check(invalid_cdb_field(8, 0));
  if (get_number(command.cdb, 2, 4) != 0) return check(invalid_cdb_field(2, 7));
  Buffer out;
  WireWriter(out).u32(std::min<uint64_t>(capacity_blocks() - 1, 0xFFFFFFFF)).u32(block_);
  return data(std::move(out), 8);
}

Reply BlockUnit::read_capacity16(const Command& command) {
  if (const auto sense = refuse_medium(Access::read)) return check(*sense);
  if (get_number(command.cdb, 2, 8) != 0 || (get_byte(command.cdb, 14) & 0x01) != 0)
    return check(invalid_cdb_field(2, 7));
  Buffer out;
  WireWriter w(out);
  w.u64(capacity_blocks() - 1).u32(block_);
  w.u8(0).u8(physical_exponent());  // no protection information
  w.u16(0xC000);                    // LBPME, LBPRZ; lowest aligned LBA 0
  w.zeros(16);
  return data(std::move(out), get_number(command.cdb, 10, 4));
}

// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT. What writes are best aligned to beyond that is in the
// Block Limits page.
unsigned BlockUnit::physical_exponent() const {
  const uint64_t physical = options_.physical_block_bytes;
  return physical > block_ ? static_cast<unsigned>(std::countr_zero(physical / block_)) : 0;
}

// Mapped or deallocated, in runs (SBC-4 5.6.2). REPORT TYPE picks among them.
Reply BlockUnit::get_lba_status(const Command& command) {
  const Extent extent{get_number(command.cdb, 2, 8), 0, 10};
  const uint64_t allocation = get_number(command.cdb, 10, 4);
  const uint8_t type = get_byte(command.cdb, 14);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::read, 0)) return check(*sense);
  if (extent.lba >= capacity_blocks())
    return check(illegal_request(asc::logical_block_address_out_of_range));
  if (type > 4) return check(invalid_cdb_field(14, 7));
  const uint64_t fit =
      allocation < kLbaStatusHeader ? 0 : (allocation - kLbaStatusHeader) / kLbaStatusDescriptor;
  const auto most = static_cast<size_t>(std::clamp<uint64_t>(fit, 1, kMaxLbaStatusDescriptors));
  Buffer out;
  WireWriter w(out);
  w.zeros(kLbaStatusHeader);
  const uint64_t size = device_->size_bytes();
  const uint64_t longest = uint64_t{0xFFFFFFFF} * block_;
  size_t count = 0;
  uint64_t at = offset_of(extent);
  while (at < size && count < most && !(command.aborted && command.aborted->load())) {
    const auto run = device_->run_at(at, std::min(size - at, longest));
    if (!run.ok()) return failed(run.error(), Activity::reading);
    // 1: with an additional status, 4: anchored: there are none here.
    const bool told = type == 0 || (type == 2 && run->mapped) || (type == 3 && !run->mapped);
    if (told) {
      w.u64(at / block_).u32(run->length / block_).u8(run->mapped ? 0 : 1).zeros(3);
      ++count;
    }
    at += run->length;
  }
  put_number(out, 0, out.size() - 4, 4);
  return data(std::move(out), allocation);
}

// -- UNMAP

Footprint BlockUnit::unmap_footprint(const Command& command) const {
  Footprint out = Footprint::nothing();
  const size_t count = unmap_descriptors(command.data_out);
  for (size_t i = 0; i < count; ++i) {
    const Extent extent = unmap_extent(command.data_out, i);
    if (extent.blocks == 0 || extent.lba > capacity_blocks()) continue;
    out.begin = out.writes ? std::min(out.begin, extent.lba) : extent.lba;
    out.end = std::max(out.end, extent.lba + extent.blocks);
    out.writes = true;
  }
  return out;
}

Reply BlockUnit::unmap(const Command& command) {
  const uint64_t length = get_number(command.cdb, 7, 2);
  const MediumLock medium(medium_, std::try_to_lock);
  if ((get_byte(command.cdb, 1) & 0x01) != 0) return check(invalid_cdb_field(1, 0));  // ANCHOR
  if (const auto sense = refuse_medium(Access::write)) return check(*sense);
  if (length == 0) return good();
  if (length < kUnmapHeader || command.data_out.size() < length)
    return check(illegal_request(asc::parameter_list_length_error));
  const size_t count = unmap_descriptors(command.data_out);
  if (count > kMaxUnmapDescriptors) return check(invalid_parameter_field(2, 7));
  // 1. Everything is checked, 2. then it is done: a refused list changes nothing.
  const uint64_t capacity = capacity_blocks();
  for (size_t i = 0; i < count; ++i) {
    const Extent extent = unmap_extent(command.data_out, i);
    if (extent.lba > capacity || extent.blocks > capacity - extent.lba)
      return check(illegal_request(asc::logical_block_address_out_of_range));
  }
  for (size_t i = 0; i < count; ++i) {
    const Extent extent = unmap_extent(command.data_out, i);
    if (extent.blocks == 0) continue;
    if (const Status done = device_->unmap(offset_of(extent), bytes_of(extent)); !done.ok())
      return failed(done.error(), Activity::writing);
  }
  const Status settled = settle(!write_cache_);
  return settled.ok() ? good() : failed(settled.error(), Activity::writing);
}

// -- WRITE SAME

// SBC-4 5.61. UNMAP deallocates when the block to write reads the same as a deallocated one does,
// all zeroes (LBPRZ 001b); else, and without UNMAP, the blocks are written.
Reply BlockUnit::write_same(const Command& command) {
  const uint8_t flags = get_byte(command.cdb, 1);
  const bool sixteen = get_byte(command.cdb, 0) == 0x93;
  const bool no_data = sixteen && (flags & 0x01) != 0;  // NDOB
  const bool unmap = (flags & 0x08) != 0;
  const Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  // Blocks are never anchored (ANC_SUP 0); PBDATA and LBDATA are obsolete.
  if ((flags & 0x10) != 0) return check(invalid_cdb_field(1, 4));
  if ((flags & 0x06) != 0) return check(invalid_cdb_field(1, 2));
  if (!sixteen && (flags & 0x01) != 0) return check(invalid_cdb_field(1, 0));
  if (const auto sense = refuse(command, extent, Access::write, kMaxWriteSameBlocks))
    return check(*sense);
  if (extent.blocks == 0) return check(invalid_cdb_field(extent.count_byte, 7));  // WSNZ
  // One block of data, neither less nor more, or none.
  if (!no_data && (command.data_out.size() < block_ || command.expected_out > block_))
    return check(invalid_cdb_field(extent.count_byte, 7));
  const Buffer zeroes(no_data ? static_cast<size_t>(block_) : 0, std::byte{0});
  const ByteView pattern =
      no_data ? ByteView(zeroes) : command.data_out.first(static_cast<size_t>(block_));
  Status done;
  if (unmap && all_zeroes(pattern)) {
    done = device_->unmap(offset_of(extent), bytes_of(extent));
    if (done.ok()) done = settle(!write_cache_);
  } else {
    done = fill(offset_of(extent), bytes_of(extent), pattern, command.aborted.get(), !write_cache_);
  }
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

Status BlockUnit::fill(uint64_t offset, uint64_t length, ByteView pattern,
                       const std::atomic<bool>* aborted, bool durable) {
  const uint64_t step =
      std::min(length, std::max(kStepBytes / pattern.size() * pattern.size(), pattern.size()));
  const auto buffer = buffers_->take(static_cast<size_t>(step));
  for (size_t at = 0; at < buffer->size(); at += pattern.size())
    std::copy(pattern.begin(), pattern.end(), buffer->begin() + static_cast<ptrdiff_t>(at));
  for (uint64_t done = 0; done < length; done += step) {
    if (aborted != nullptr && aborted->load())
      return Error(ErrorCode::cancelled, "the command was aborted");
    const auto now = static_cast<size_t>(std::min(step, length - done));
    TRY(device_->write(offset + done, ByteView(*buffer).first(now), false));
  }
  return settle(durable);
}

// -- the cache

// CONDITION MET: what was asked for is, or will be, in the cache (SBC-4 5.14). 0 blocks: all that
// follow.
Reply BlockUnit::prefetch(const Command& command) {
  Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::read, capacity_blocks()))
    return check(*sense);
  if (extent.blocks == 0) extent.blocks = capacity_blocks() - extent.lba;
  if (extent.blocks > 0) static_cast<void>(device_->prefetch(offset_of(extent), bytes_of(extent)));
  return status(ScsiStatus::condition_met);
}

// IMMED would let the status come first: it never comes before the data are safe.
Reply BlockUnit::synchronize_cache(const Command& command) {
  const MediumLock medium(medium_, std::try_to_lock);
  Extent extent = extent_of(command.cdb);
  if (const auto sense = refuse_medium(Access::read)) return check(*sense);
  const uint64_t capacity = capacity_blocks();
  if (extent.lba > capacity || extent.blocks > capacity - extent.lba)
    return check(illegal_request(asc::logical_block_address_out_of_range));
  const Status done = device_->flush();
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

}  // namespace coldshelf::scsi
