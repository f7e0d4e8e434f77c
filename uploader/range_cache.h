// Pieces of segments that are not on the local disk, cached there: what cached volumes read again.
// Bounded; TwoQueue says what goes. Thread-safe; no lock is held during a call to the disk.
//
// Directory:  ranges        slots of kChunkBytes
//             ranges.index  a record for each: what is in it, and its checksum
//
// Nothing here is ever synced: after a restart a slot counts only when its bytes fit the checksum
// of its record, which is found out when it is first used. A cache that cannot be written is none.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/uuid.h"
#include "uploader/two_queue.h"

namespace coldshelf {

struct RangeId {
  Uuid cartridge;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint32_t chunk = 0;  // bytes of the segment from chunk * kChunkBytes on
};

class RangeCache {
 public:
  static constexpr uint64_t kChunkBytes = 256 * KiB;

  // Takes over what an earlier run left in `directory`, which is made. limit 0: nothing is cached.
  RangeCache(FileSystem& files, std::string directory, uint64_t limit_bytes);

  // The bytes of the chunk from `offset` on; false: they are not here.
  bool read(const RangeId& id, uint64_t offset, MutableBytes out);
  bool contains(const RangeId& id) const;
  // All of the chunk: kChunkBytes, or less at the end of its segment.
  void put(const RangeId& id, ByteView bytes);
  // Its bytes turned out not to be the segment's.
  void drop(const RangeId& id);

  struct View {
    uint64_t bytes = 0;  // on the disk
    uint64_t limit_bytes = 0;
    uint64_t hits = 0, misses = 0;  // reads
  };
  View view() const;

 private:
  struct SegmentName {
    Uuid cartridge;
    uint64_t sequence = 0;
    uint64_t epoch = 0;
    auto operator<=>(const SegmentName&) const = default;
  };
  struct Slot {
    TwoQueue::Key key = 0;
    uint32_t bytes = 0;
    uint32_t crc = 0;
    uint32_t readers = 0;
    bool used = false;
    bool doomed = false;   // its content went while somebody read it
    bool checked = false;  // the bytes fit the checksum
  };
  void load();
  void load_record(uint32_t slot, ByteView record);
  TwoQueue::Key key_of(const RangeId& id);  // the lock is held, as below
  std::optional<TwoQueue::Key> find_key(const RangeId& id) const;
  void free_slot(TwoQueue::Key key);
  void release(uint32_t slot);
  std::optional<uint32_t> take_slot();
  bool check(uint32_t slot, uint32_t bytes, uint32_t crc);  // reads all of it; without the lock
  void fail(const Error& why);

  FileSystem& files_;
  const std::string directory_;
  const size_t max_slots_;
  std::unique_ptr<File> data_, records_;

  mutable std::mutex mutex_;
  TwoQueue queue_;
  std::map<SegmentName, uint32_t> segment_numbers_;
  std::vector<SegmentName> segments_;
  std::unordered_map<TwoQueue::Key, uint32_t> slot_of_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  bool failed_ = false;
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace coldshelf
