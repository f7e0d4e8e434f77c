// Reading, writing, verifying (SBC-4 5.4 - 5.10, 5.19 - 5.33, 5.47 - 5.60).
#include <algorithm>

#include "target/scsi/block_unit.h"
#include "target/scsi/sbc_limits.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

namespace {

constexpr uint64_t kStepBytes = 1 * MiB;     // of work between two looks at `aborted`
constexpr uint64_t kTurnBytes = 16 * MiB;    // of a VERIFY, then others have their turn
constexpr uint64_t kPooledBytes = 64 * KiB;  // smaller buffers are cheaper from the heap

// The first byte that differs; nullopt: none does.
std::optional<size_t> first_difference(ByteView a, ByteView b) {
  if (equal(a, b)) return std::nullopt;
  const auto at = std::mismatch(a.begin(), a.end(), b.begin());
  return static_cast<size_t>(at.first - a.begin());
}

Sense miscompare(std::optional<uint64_t> information) {
  Sense sense;
  sense.key = SenseKey::miscompare;
  sense.code = asc::miscompare_during_verify;
  if (information) sense.information = static_cast<int64_t>(*information);
  return sense;
}

Error cancelled() { return {ErrorCode::cancelled, "the command was aborted"}; }

bool is_aborted(const Command& command) { return command.aborted && command.aborted->load(); }

}  // namespace

// -- READ

Reply BlockUnit::read(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::read, max_transfer_blocks_))
    return check(*sense);
  Reply reply;
  reply.data_in_wanted = bytes_of(extent);
  // What the initiator does not take is not read.
  const uint64_t taken = (command.expected_in + block_ - 1) / block_ * block_;
  const auto bytes = static_cast<size_t>(std::min(reply.data_in_wanted, taken));
  if (bytes == 0) return reply;
  // FUA: what is read is on the medium, so what is cached goes there first (SBC-4 5.16).
  const bool fua = get_byte(command.cdb, 0) != 0x08 && (get_byte(command.cdb, 1) & 0x0A) != 0;
  if (fua && write_cache_)
    if (const Status flushed = device_->flush(); !flushed.ok())
      return failed(flushed.error(), Activity::writing);
  auto buffer = bytes >= kPooledBytes ? buffers_->take(bytes) : std::make_shared<Buffer>(bytes);
  if (const Status done = device_->read(offset_of(extent), *buffer); !done.ok())
    return read_failed({extent.lba, bytes / block_, extent.count_byte}, done.error());
  counters_.reads.fetch_add(1, std::memory_order_relaxed);
  counters_.blocks_read.fetch_add(bytes / block_, std::memory_order_relaxed);
  reply.data.parts.emplace_back(buffer->data(), bytes);
  reply.data.size = bytes;
  reply.data.owners.push_back(std::move(buffer));
  return reply;
}

// INFORMATION is the first block that cannot be read (SBC-4 4.18.1): looked for only when bytes are
// damaged, not when the store does not answer.
Reply BlockUnit::read_failed(const Extent& extent, const Error& error) {
  if (error.code != ErrorCode::corrupt && error.code != ErrorCode::io)
    return failed(error, Activity::reading);
  Buffer block(block_);
  uint64_t lba = extent.lba;
  while (lba + 1 < extent.lba + extent.blocks && device_->read(lba * block_, block).ok()) ++lba;
  Reply reply = failed(error, Activity::reading);
  Sense sense = sense_of(error, Activity::reading);
  sense.information = static_cast<int64_t>(lba);
  reply.sense = check(sense).sense;
  return reply;
}

// -- WRITE

// Less data than the CDB asks for: the blocks that came whole are written, and the residual tells
// the initiator (RFC 7143 11.4.5).
Reply BlockUnit::write(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::write, max_transfer_blocks_))
    return check(*sense);
  const uint64_t bytes =
      std::min<uint64_t>(bytes_of(extent), command.data_out.size() / block_ * block_);
  if (bytes == 0) return good();
  const Status done = device_->write(
      offset_of(extent), command.data_out.first(static_cast<size_t>(bytes)), durable(command.cdb));
  if (!done.ok()) return failed(done.error(), Activity::writing);
  counters_.writes.fetch_add(1, std::memory_order_relaxed);
  counters_.blocks_written.fetch_add(bytes / block_, std::memory_order_relaxed);
  return good();
}

// WRITE ATOMIC(16) (SBC-4 5.49): wholly or not at all, for readers and after a crash.
Reply BlockUnit::write_atomic(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const uint64_t limit = std::min(device_->max_atomic_bytes() / block_, max_transfer_blocks_);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::write, limit)) return check(*sense);
  // ATOMIC BOUNDARY: the maximum in the Block Limits page is 0.
  if (get_number(command.cdb, 10, 2) != 0) return check(invalid_cdb_field(10, 7));
  if (extent.blocks == 0) return good();
  if (command.data_out.size() < bytes_of(extent))
    return check(illegal_request(asc::information_unit_too_short));
  const Status done = device_->write(offset_of(extent),
                                     command.data_out.first(static_cast<size_t>(bytes_of(extent))),
                                     durable(command.cdb));
  if (!done.ok()) return failed(done.error(), Activity::writing);
  counters_.writes.fetch_add(1, std::memory_order_relaxed);
  counters_.blocks_written.fetch_add(extent.blocks, std::memory_order_relaxed);
  return good();
}

// Written to the medium, then read back from it; BYTCHK 01b compares (SBC-4 5.50).
Reply BlockUnit::write_and_verify(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const auto byte_check = static_cast<uint8_t>((get_byte(command.cdb, 1) >> 1) & 0x03U);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::write, max_transfer_blocks_))
    return check(*sense);
  if (byte_check > 1) return check(invalid_cdb_field(1, 2));
  const uint64_t bytes =
      std::min<uint64_t>(bytes_of(extent), command.data_out.size() / block_ * block_);
  if (bytes == 0) return good();
  const ByteView data = command.data_out.first(static_cast<size_t>(bytes));
  if (const Status done = device_->write(offset_of(extent), data, true); !done.ok())
    return failed(done.error(), Activity::writing);
  counters_.writes.fetch_add(1, std::memory_order_relaxed);
  counters_.blocks_written.fetch_add(bytes / block_, std::memory_order_relaxed);
  const Extent written{extent.lba, bytes / block_, extent.count_byte};
  return byte_check == 0 ? verify_medium(command, written) : compare(command, written, data, false);
}

// -- VERIFY

// BYTCHK 00b: no data; 01b: every block; 11b: one block, for all of them (SBC-4 5.36).
uint64_t BlockUnit::verify_data_length(ByteView cdb) const {
  const auto byte_check = static_cast<uint8_t>((get_byte(cdb, 1) >> 1) & 0x03U);
  const Extent extent = extent_of(cdb);
  if (byte_check == 3) return extent.blocks == 0 ? 0 : block_;
  return byte_check == 1 && extent.blocks <= max_transfer_blocks_ ? bytes_of(extent) : 0;
}

Reply BlockUnit::verify(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const auto byte_check = static_cast<uint8_t>((get_byte(command.cdb, 1) >> 1) & 0x03U);
  const MediumLock medium(medium_, std::try_to_lock);
  const uint64_t limit = byte_check == 1 ? max_transfer_blocks_ : capacity_blocks();
  if (const auto sense = refuse(command, extent, Access::read, limit)) return check(*sense);
  if (byte_check == 2) return check(invalid_cdb_field(1, 2));
  if (extent.blocks == 0) return good();
  if (command.data_out.size() < verify_data_length(command.cdb))
    return check(illegal_request(asc::information_unit_too_short));
  // The whole medium takes hours, and writers would wait as long.
  const bool in_turns = byte_check != 1 && !command.alone;
  const uint64_t turn = in_turns ? std::max<uint64_t>(kTurnBytes / block_, 1) : extent.blocks;
  const uint64_t done = std::min(command.goes_on_at, extent.blocks);
  const Extent part{extent.lba + done, std::min(turn, extent.blocks - done), extent.count_byte};
  Reply reply = byte_check == 0 ? verify_medium(command, part)
                                : compare(command, part, command.data_out, byte_check == 3);
  const bool more = done + part.blocks < extent.blocks;
  if (reply.status == ScsiStatus::good && more) reply.goes_on_at = done + part.blocks;
  return reply;
}

// Every block is read, which checks it.
Reply BlockUnit::verify_medium(const Command& command, const Extent& extent) {
  const uint64_t step = std::max<uint64_t>(kStepBytes / block_, 1);
  const auto buffer = buffers_->take(static_cast<size_t>(std::min(step, extent.blocks) * block_));
  for (uint64_t done = 0; done < extent.blocks; done += step) {
    if (is_aborted(command)) return failed(cancelled(), Activity::reading);
    const Extent part{extent.lba + done, std::min(step, extent.blocks - done), extent.count_byte};
    const Status read = device_->read(
        offset_of(part), MutableBytes(*buffer).first(static_cast<size_t>(bytes_of(part))));
    if (!read.ok()) return read_failed(part, read.error());
  }
  return good();
}

// `repeat`: `expected` is one block, compared with each, be it the whole medium.
Reply BlockUnit::compare(const Command& command, const Extent& extent, ByteView expected,
                         bool repeat) {
  const uint64_t step = std::max<uint64_t>(kStepBytes / block_, 1);
  const auto buffer = buffers_->take(static_cast<size_t>(std::min(step, extent.blocks) * block_));
  for (uint64_t done = 0; done < extent.blocks; done += step) {
    if (is_aborted(command)) return failed(cancelled(), Activity::reading);
    const Extent part{extent.lba + done, std::min(step, extent.blocks - done), extent.count_byte};
    const auto bytes = static_cast<size_t>(bytes_of(part));
    const MutableBytes found = MutableBytes(*buffer).first(bytes);
    if (const Status read = device_->read(offset_of(part), found); !read.ok())
      return read_failed(part, read.error());
    if (!repeat) {
      const ByteView wanted = expected.subspan(static_cast<size_t>(done * block_), bytes);
      if (!equal(found, wanted)) return check(miscompare(std::nullopt));
      continue;
    }
    for (size_t at = 0; at < bytes; at += static_cast<size_t>(block_))
      if (!equal(ByteView(found).subspan(at, static_cast<size_t>(block_)),
                 expected.first(static_cast<size_t>(block_))))
        return check(miscompare(std::nullopt));
  }
  return good();
}

// -- read, modify, write. The footprint keeps every other command off these blocks meanwhile.

// SBC-4 5.3. The data are the blocks to compare with, then those to write.
Reply BlockUnit::compare_and_write(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  const uint64_t limit = std::min(kMaxCompareAndWriteBlocks, max_transfer_blocks_ / 2);
  if (const auto sense = refuse(command, extent, Access::write, limit)) return check(*sense);
  // Data that do not fit the CDB: guessing what was meant could write the wrong blocks.
  if (command.expected_out > 2 * bytes_of(extent))
    return check(invalid_cdb_field(extent.count_byte, 7));
  if (extent.blocks == 0) return good();
  const auto bytes = static_cast<size_t>(bytes_of(extent));
  if (command.data_out.size() < 2 * bytes) return check(invalid_cdb_field(extent.count_byte, 7));
  Buffer found(bytes);
  if (const Status read = device_->read(offset_of(extent), found); !read.ok())
    return read_failed(extent, read.error());
  // INFORMATION: the offset of the first byte that differs.
  if (const auto at = first_difference(command.data_out.first(bytes), found))
    return check(miscompare(*at));
  const Status done = device_->write(offset_of(extent), command.data_out.subspan(bytes, bytes),
                                     durable(command.cdb));
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

// ORWRITE(16), set operation (SBC-4 5.13).
Reply BlockUnit::or_write(const Command& command) {
  const Extent extent = extent_of(command.cdb);
  const MediumLock medium(medium_, std::try_to_lock);
  if (const auto sense = refuse(command, extent, Access::write, max_transfer_blocks_))
    return check(*sense);
  if (extent.blocks == 0) return good();
  const auto bytes = static_cast<size_t>(bytes_of(extent));
  if (command.data_out.size() < bytes)
    return check(illegal_request(asc::information_unit_too_short));
  const auto buffer = buffers_->take(bytes);
  if (const Status read = device_->read(offset_of(extent), *buffer); !read.ok())
    return read_failed(extent, read.error());
  for (size_t i = 0; i < bytes; ++i) (*buffer)[i] |= command.data_out[i];
  const Status done = device_->write(offset_of(extent), *buffer, durable(command.cdb));
  return done.ok() ? good() : failed(done.error(), Activity::writing);
}

}  // namespace coldshelf::scsi
