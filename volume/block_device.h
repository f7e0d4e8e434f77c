// A disk as target/scsi sees it: SBC-4's logical blocks without a wire. Volumes implement it.
//
// Offsets and lengths are bytes, multiples of block_bytes(), and inside size_bytes(): anything else
// is invalid_argument. Thread-safe; calls that overlap are ordered in some order, each of them
// whole.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace coldshelf {

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual uint64_t size_bytes() const = 0;   // grows, never shrinks, while the device is in use
  virtual uint32_t block_bytes() const = 0;  // 512 or 4096
  virtual bool read_only() const = 0;        // a mounted recovery point, a damaged or fenced volume
  // Longest write that is there wholly or not at all after a crash (SBC-4 4.28), in bytes.
  virtual uint64_t max_atomic_bytes() const = 0;
  // The size writes are best aligned to, and the unit in which space is given back.
  virtual uint32_t granularity_bytes() const = 0;

  // Zeroes where nothing was written. Errors: corrupt (bytes that fail their checks are never
  // returned), unavailable and timed_out (the store that has them does not answer), io.
  virtual Status read(uint64_t offset, MutableBytes out) = 0;
  // Acknowledged writes are visible to later reads. `durable` (FUA): on stable storage when it
  // returns. Errors: read_only, no_space, io (the device is read-only from then on).
  virtual Status write(uint64_t offset, ByteView bytes, bool durable) = 0;
  // The range reads as zeroes afterwards and holds no space (SBC-4 4.7.4.4: deallocated).
  virtual Status unmap(uint64_t offset, uint64_t length) = 0;
  // Every write and unmap that was acknowledged before is on stable storage when it returns.
  virtual Status flush() = 0;

  // How the space from `offset` on is used: GET LBA STATUS.
  struct Run {
    uint64_t length = 0;  // bytes alike, at least a block; at most `limit`
    bool mapped = false;
  };
  virtual Result<Run> run_at(uint64_t offset, uint64_t limit) = 0;

  // A hint that the range will be read (PRE-FETCH); returns at once. False: nothing to do, it is
  // there already.
  virtual bool prefetch(uint64_t offset, uint64_t length) = 0;
  // Whether reading the range may have to wait for something slower than the local disk.
  virtual bool read_may_wait(uint64_t offset, uint64_t length) const = 0;
  // Whether a write that need not be durable may have to wait: for room in the cache, for a disk.
  // Writes that cannot are done on the transport's own thread, which serves every session.
  virtual bool write_may_wait(uint64_t /*offset*/, uint64_t /*length*/) const { return true; }

  // How long the next write should be kept back, because what is written cannot be put away as
  // fast; 0: not at all. Nobody waits in write() for that.
  virtual int64_t write_hold_ms() const { return 0; }

  // Ways to make what the disk held irrecoverable (SANITIZE, SBC-4 4.11).
  enum class Erasure {
    blocks,  // the bytes are gone from the local disk and from the store
    key,     // the key that they were encrypted with is
  };
  // What the device does not promise is not offered to initiators.
  virtual bool can_erase(Erasure) const { return false; }
  // Every block reads as zeroes afterwards, and nothing that was there before can be had from this
  // device, its files or the store. Durable when it returns; one that fails may be done again.
  virtual Status erase(Erasure) { return Error(ErrorCode::not_supported, "erasing the disk"); }

  struct Usage {
    uint64_t mapped_bytes = 0;  // of the disk's blocks
    uint64_t local_bytes = 0;   // what it takes on the local disk
    uint64_t stored_bytes = 0;  // and in the store
  };
  virtual Usage usage() const = 0;
};

}  // namespace coldshelf
