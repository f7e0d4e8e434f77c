// What the parts of an open volume share: map, segments, manifest, failure. docs/volumes.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "tape/cartridge/job_group.h"
#include "volume/extent_map.h"
#include "volume/image_reader.h"

namespace coldshelf {

// What a frame of data holds at most: the unit that is read whole where it must be.
constexpr uint64_t kMaxFrameDataBytes = 64 * KiB;
// What one operation writes at most, and what is there after a crash wholly or not at all.
constexpr uint64_t kMaxAtomicBytes = 1 * MiB;

// Finds the directory of another image: the ancestors of a clone. Thread-safe.
class ImageDirectory {
 public:
  virtual ~ImageDirectory() = default;
  // not_found: this gateway has no such image.
  virtual Result<std::string> directory_of(const Uuid& image) = 0;
  // One with the manifest that the store has now: another gateway's may have grown since.
  virtual Result<std::string> stored_directory_of(const Uuid& image);
};

struct VolumeEnv {
  CartridgeEnv cartridge;
  ImageDirectory* images = nullptr;  // null: clones cannot be opened
  // Returns when the store holds nothing of an image any more that its observer was told is
  // dropped. Empty: there is no store.
  std::function<Status(const Uuid&)> wait_dropped = {};
};

struct VolumeOptions {
  uint64_t segment_bytes = kDefaultSegmentBytes;
  CompressionOptions compression;         // of data that compaction moves, and of maps
  const KeyWrapper* key = nullptr;        // null: new images are not encrypted
  uint64_t max_unsealed_bytes = 4 * GiB;  // then writers wait for the sealer
  // A map is written when the log since the last one is longer than this and than four times the
  // map: what a restart replays.
  uint64_t map_interval_bytes = 1 * GiB;
  // Compaction begins when so much of what no recovery point needs is dead, and takes segments
  // that are at least this dead.
  unsigned compact_percent = 40;
  // What compaction may append a second beside what it may for what users append.
  uint64_t compact_bytes_per_s = 16 * MiB;
  size_t max_open_files = 256;
  int64_t fetch_timeout_ms = 60'000;
};

// Since the volume was opened; what write amplification is made of.
struct VolumeCounters {
  uint64_t written_bytes = 0;  // by the user
  uint64_t log_bytes = 0;      // frames of these writes, and of holes
  uint64_t moved_bytes = 0;    // frames of compaction
  uint64_t map_bytes = 0;      // map segments
  uint64_t dropped_bytes = 0;  // segments given back
  uint64_t segments_sealed = 0;
  uint64_t replayed_frames = 0;  // by the last open
};

// A segment of the log that the manifest does not name yet.
struct TailSegment {
  // A piece of what is written that is still in memory.
  struct Kept {
    uint64_t at = 0;
    std::shared_ptr<const Buffer> bytes;
  };

  SegmentHeader header;
  std::shared_ptr<ImageSegment> segment;
  std::shared_ptr<File> file;
  SegmentIndex index;  // the writer's, then the sealer's
  uint64_t plain_bytes = 0;
  uint64_t room_end = 0;  // the writer's, too: zeros follow what is written, up to here
  // Under the volume's mutex.
  uint64_t written_bytes = 0;
  bool finished = false;
  std::deque<Kept> kept;  // for the digest, ascending; what is not here it reads
  // Under sync_mutex. One sync at a time; who comes meanwhile waits for it, and one of those whom
  // it did not serve makes the next, for all of them.
  std::mutex sync_mutex;
  std::condition_variable sync_over;
  bool syncing = false;
  uint64_t synced_bytes = 0;
  bool entry_synced = false;  // its name is durable
  // Under digest_mutex, following the writer: the digest of the first `digested_bytes`, and how
  // much the disk was given to write.
  std::mutex digest_mutex;
  Sha256 digest;
  uint64_t digested_bytes = 0;
  uint64_t writeback_bytes = 0;
  // The sealer's: how far it came, when the disk was full.
  std::optional<SegmentEntry> entry;
  Sha256Digest file_digest;
  uint64_t end_at = 0;
  Buffer end;  // still to be written
  bool renamed = false;
};

// The state of the map after every segment of the log below `mark.next_sequence`, to be written.
struct PendingMap {
  LogMark mark;
  ExtentMap map;
  bool replaces = false;  // the disk's content is what it says from the moment it is durable
};

struct VolumeState {
  VolumeState(const VolumeEnv& environment, const VolumeOptions& settings, std::string where,
              std::unique_ptr<ManifestLog> manifest_log, Secret key, uint32_t block_size);

  const VolumeEnv env;
  const VolumeOptions options;
  const std::string directory;
  const Uuid uuid;
  const std::string label;
  const Secret data_key;
  const uint32_t block_bytes;
  std::atomic<uint64_t> block_count{0};  // of the disk
  SegmentFiles files;
  ImageReader reader;

  std::mutex mutex;
  std::condition_variable changed;  // sealed, maps written, failed
  // -- under mutex
  ExtentMap map;
  std::vector<std::shared_ptr<ImageSegment>> slots;  // null: dropped
  std::map<SegmentId, uint32_t> slot_of;
  std::deque<std::shared_ptr<TailSegment>> tail;
  std::deque<PendingMap> pending_maps;
  std::vector<uint64_t> map_positions;       // of maps in the manifest
  std::vector<uint64_t> reserved_positions;  // of points about to be entered in the manifest
  std::atomic<uint64_t> unsealed_bytes{0};   // changed under mutex
  uint64_t kept_bytes = 0;                   // of all of tail
  uint64_t log_bytes_since_map = 0;
  uint64_t next_sequence = 0;
  uint64_t sealed_position = 0;  // every segment of the log below it is in the manifest
  std::optional<Error> failure;
  std::optional<Error> waits_for;       // why sealing or a map is put off
  uint64_t tries = 0;                   // begun, of sealing and maps
  uint64_t waits_since = 0;             // the try that put it off
  bool sealing_waits = false;           // that is sealing
  bool replacing = false;               // the last of pending_maps does
  uint64_t maps_done = 0;               // of pending_maps: written, or given up
  std::optional<Status> replaced;       // what became of it
  std::atomic<int64_t> retry_at_ns{0};  // monotonic; 0: nothing is put off
  VolumeCounters counters;
  std::atomic<bool> maintenance_due{false};
  // Since the volume was opened.
  std::atomic<uint64_t> appended_bytes{0};  // to the log
  std::atomic<uint64_t> data_syncs{0};      // of the log
  std::atomic<bool> map_wanted{false};      // at the next end of a segment
  std::atomic<bool> moving{false};  // compaction waits for the log: the log must not wait for it
  std::atomic<bool> disk_short{false};  // nearly full: compaction makes room

  // All below: mutex not held, unless it says so.
  Status failed();
  void fail(const Error& why);         // the first one counts; the volume is read-only from then on
  void stop_writes(const Error& why);  // the same, but nothing is broken
  void put_off(const Error& why, bool sealing);
  void goes_on(bool sealing);
  bool retry_due() const;
  // Durable when it returns. no_space: nothing has changed; any other failure is the volume's.
  // `sealed`: edits[0] adds it.
  Status commit(const std::vector<ManifestEdit>& edits, const SegmentEntry* sealed = nullptr,
                const std::optional<Sha256Digest>& file_digest = std::nullopt,
                std::vector<SegmentEntry>* dropped = nullptr);
  Manifest manifest();
  std::optional<std::string> property(const std::string& name);
  std::map<std::string, std::string> properties_with_prefix(const std::string& prefix);

  uint64_t take_sequence();  // mutex held
  // A segment of this image, or of an ancestor; its slot is given out. mutex held.
  std::shared_ptr<ImageSegment> add_segment(const SegmentId& id, const std::string& where,
                                            const Secret& key);
  void insert_extent(const BlockRange& range, uint32_t slot, uint32_t offset);  // mutex held
  void erase_extent(const BlockRange& range);                                   // mutex held
  void recount_live();                                                          // mutex held
  std::string open_path(uint64_t sequence, uint64_t epoch) const;
  std::string sealed_path(uint64_t sequence, uint64_t epoch) const;
  void remove_file(const std::string& path) const;
  // The first `bytes` of it, and its name, are durable. Its failure is the volume's, whatever it
  // is.
  Status sync_tail(TailSegment& segment, uint64_t bytes);
  Status sync_directory();  // so is this one's
  // What the disk must have free for what gives segments back.
  uint64_t margin_for_moves() const;
  // Whether it has. Where the disk does not say, it has.
  bool has_room_for_moves() const;
  // For writes of users, which leave room for that: a segment to be emptied, and a map, without
  // which nothing is given back. Sets disk_short.
  bool has_room_for_writes();

 private:
  Status sync_now(TailSegment& segment, uint64_t& bytes, bool entry);

  std::mutex commit_mutex_;
  std::unique_ptr<ManifestLog> log_;
};

}  // namespace coldshelf
