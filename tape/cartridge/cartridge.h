// An open tape cartridge: append-only objects (records and filemarks) in partitions, on segments.
// docs/ARCHITECTURE.md.
//
// Directory:  <dir>/manifest            the edit log (tape/format/manifest.h)
//             <dir>/<stem>.seg          a sealed segment (absent when evicted)
//             <dir>/<stem>.open         a segment being written, or finished and not yet sealed
//
// Threads: one user at a time calls the methods (the drive that holds it; every public method takes
// the same lock); frames are encoded and segments sealed on `Env::workers`. Errors from there
// surface at the next call.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"
#include "tape/cartridge/segment_hooks.h"
#include "tape/format/frame.h"
#include "tape/format/keys.h"
#include "tape/format/manifest.h"
#include "tape/format/segment.h"

namespace coldshelf {

struct CartridgeEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;
  Executor* workers = nullptr;  // frame encoding and decoding (CPU)
  Executor* sealers =
      nullptr;  // syncing and sealing (blocks on the disk); may equal workers in simulations
  std::shared_ptr<BufferPool> buffers;
  SegmentSource* source = nullptr;        // null: a missing segment is not_found
  CartridgeObserver* observer = nullptr;  // null: nobody is told
  WriteGate* gate = nullptr;              // null: no writer is slowed down
};

struct CartridgeOptions {
  uint64_t segment_bytes = kDefaultSegmentBytes;  // a segment is closed when it reaches this
  CompressionOptions compression;
  const KeyWrapper* key =
      nullptr;  // null: no encryption for new cartridges; encrypted ones cannot be opened
  uint64_t max_pending_bytes =
      24 * MiB;  // plain and encoded bytes in memory on their way to the file
  uint64_t max_unsealed_bytes =
      4 * GiB;  // finished but not yet synced segments (page cache), then the writer waits
  uint64_t read_ahead_bytes = 8 * MiB;  // decoded ahead of a sequential reader
  int64_t fetch_timeout_ms = 60'000;    // how long read() waits for SegmentSource::fetch
};

struct NewCartridge {
  Uuid uuid;
  std::string label;
  std::string medium;
  uint64_t capacity_bytes = 0;
  bool worm = false;
  std::map<std::string, std::string> properties;
};

// A position between objects: before object `block` of `partition`; `filemark` filemarks lie before
// it.
struct Position {
  uint32_t partition = 0;
  uint64_t block = 0;
  uint64_t filemark = 0;
  bool operator==(const Position&) const = default;
};

// A record's bytes without a copy: one or more parts, alive as long as this is.
struct RecordData {
  std::vector<ByteView> parts;
  std::vector<std::shared_ptr<const void>> owners;
  uint64_t size = 0;
  Buffer flatten() const;
};

struct TapeObject {
  enum class Kind { record, filemark, end_of_data };
  Kind kind = Kind::end_of_data;
  RecordData record;
};

class Cartridge {
 public:
  // `directory` is made; exists when it is there already. Durable when this returns.
  static Result<std::unique_ptr<Cartridge>> create(const CartridgeEnv& env,
                                                   const CartridgeOptions& options,
                                                   const std::string& directory,
                                                   const NewCartridge& what);
  // Replays the manifest, recovers what a crash left: every whole frame of unsealed segments is
  // kept in order and sealed, a torn tail and everything after it dropped. key_missing /
  // key_mismatch, corrupt, unsupported_version.
  static Result<std::unique_ptr<Cartridge>> open(const CartridgeEnv& env,
                                                 const CartridgeOptions& options,
                                                 const std::string& directory);
  virtual ~Cartridge() = default;  // does not sync: close() does

  virtual Manifest manifest() const = 0;  // a copy; without what is still open
  virtual const Uuid& uuid() const = 0;
  virtual const std::string& label() const = 0;
  // Not writable: WORM refused by position, write_protected, or an earlier write failure (its error
  // comes back).
  virtual Status check_writable() const = 0;

  // -- reading; sees what was written before, synced or not. Sequential use is read ahead.
  // The object at `at`; `at` moves behind it (not at end_of_data). corrupt: this object is damaged,
  // others may not be; `at` is unmoved. cold, timed_out, unavailable: from the SegmentSource.
  virtual Result<TapeObject> read(Position& at) = 0;
  // True when read(at) needs no disk, no decoding and no waiting: the caller may do it on an I/O
  // thread.
  virtual bool read_is_ready(const Position& at) const = 0;

  virtual uint32_t partition_count() const = 0;
  virtual uint64_t partition_capacity(uint32_t partition) const = 0;
  virtual Position end_of_data(uint32_t partition) const = 0;
  // The position before object `block`, with its filemark count; the end of data when `block` is
  // beyond it.
  virtual Result<Position> position_of(uint32_t partition, uint64_t block) = 0;
  // Block number of filemark number `n` (0-based) of the partition; nullopt when there are not that
  // many.
  virtual Result<std::optional<uint64_t>> filemark_block(uint32_t partition, uint64_t n) = 0;
  // Plain bytes of records before the position: what it uses of the capacity.
  virtual Result<uint64_t> bytes_before(const Position& at) = 0;

  // -- writing. `at` anywhere: what follows in its partition is dropped first when `at` is not the
  // end of data (a new epoch; of WORM only filemarks, but one). Moves `at` behind what was written,
  // returns when the bytes are taken over (in memory, on their way to the page cache), waits while
  // max_pending_bytes or max_unsealed_bytes are exceeded. An error of an earlier, already
  // acknowledged write (no_space, io) comes back here or from sync(); then the cartridge takes no
  // more writes until reopened, and end_of_data() is what is really there.
  virtual Status write_record(Position& at, ByteView record) = 0;
  virtual Status write_filemarks(Position& at, uint64_t count) = 0;
  // Whether what is written from now on may be compressed, where CartridgeOptions allows it (mode
  // page 0Fh, DCE). Takes effect with the next frame; reading is not concerned.
  virtual void set_compression(bool on) = 0;
  virtual bool write_would_block(size_t record_bytes) const = 0;
  // How long the writer is asked to wait before the next record (WriteGate); 0: not at all.
  virtual int64_t write_hold_ms() const { return 0; }
  // Everything written so far is on disk (fdatasync) when this returns ok.
  virtual Status sync() = 0;
  // Drops what follows `at` (ERASE, or space made before overwriting); durable.
  virtual Status erase_from(const Position& at) = 0;
  virtual Status format(
      const std::vector<uint64_t>& partition_capacities) = 0;  // FORMAT MEDIUM; durable
  virtual Status set_capacity(uint64_t capacity_bytes) = 0;    // SET CAPACITY; durable

  // -- attributes; durable when they return
  virtual Status set_mam(const MamKey& key, const MamValue& value) = 0;
  virtual Status remove_mam(const MamKey& key) = 0;
  virtual Status set_property(const std::string& name, const std::string& value) = 0;
  virtual Status set_write_protected(bool on) = 0;
  // The same data key, wrapped anew (key rotation). From any thread, beside a writer.
  virtual Status set_wrapped_key(const WrappedKey& key);

  // Ends writing for good, as a failed write does, and check_writable() says why: the cartridge is
  // somebody else's now. From any thread, at any time. Nothing to do where nothing is written.
  virtual void stop_writes(const Error& /*why*/) {}

  // Syncs, seals the open segment, waits for all sealing; then the cartridge can be uploaded whole.
  // Writing may go on after.
  virtual Status seal() = 0;
  // seal(), then no further use. Errors leave everything recoverable by open().
  virtual Status close() = 0;

  // Bytes for the accounting of logs: since open.
  struct Counters {
    uint64_t records_written = 0, records_read = 0, filemarks_written = 0;
    uint64_t plain_bytes_written = 0, stored_bytes_written = 0, plain_bytes_read = 0,
             stored_bytes_read = 0;
  };
  virtual Counters counters() const = 0;
};

}  // namespace coldshelf
