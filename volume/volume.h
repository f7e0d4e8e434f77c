// A block volume as a log-structured image on a cartridge. docs/volumes.md.
//
// Directory:  <dir>/manifest       the edit log (tape/format/manifest.h)
//             <dir>/<stem>.seg     a sealed segment of the log, or a map (absent when evicted)
//             <dir>/<stem>.open    a segment being written, or finished and not yet sealed
//
// Thread-safe. Sealing, maps and compaction run on Env::sealers.
#pragma once

#include <functional>
#include <map>
#include <shared_mutex>
#include <span>

#include "volume/admission.h"
#include "volume/ancestors.h"
#include "volume/block_device.h"
#include "volume/prepared_write.h"
#include "volume/volume_state.h"

namespace coldshelf {

class LogWriter;
class Maintenance;
struct LogMark;

struct NewVolume {
  Uuid uuid;
  std::string name;
  uint64_t size_bytes = 0;                             // a multiple of block_bytes
  uint32_t block_bytes = 4096;                         // or 512
  std::map<std::string, std::string> properties = {};  // of the manifest, for whoever makes volumes
};

struct RecoveryPoint {
  Uuid id;
  std::string name;
  uint64_t size_bytes = 0;
  int64_t created_unix_ms = 0;
  std::string about;  // whatever its maker wanted to keep with it
};

// Of an image that need not be open; by time. corrupt.
Result<std::vector<RecoveryPoint>> recovery_points(const Manifest& manifest);

struct NewClone {
  Uuid uuid;
  std::string name;
  std::map<std::string, std::string> properties = {};
};

class Volume final : public BlockDevice {
 public:
  // `directory` is made; exists when it is there already. Durable when this returns.
  static Result<std::unique_ptr<Volume>> create(const VolumeEnv& env, const VolumeOptions& options,
                                                const std::string& directory,
                                                const NewVolume& what);
  // Replays the manifest, recovers what a crash left, loads the last map and the log after it.
  // key_missing / key_mismatch, corrupt, unsupported_version.
  static Result<std::unique_ptr<Volume>> open(const VolumeEnv& env, const VolumeOptions& options,
                                              const std::string& directory);
  // A writable copy of a recovery point of `source`, which shares its segments. O(1), but that it
  // waits for the point's map. The point stays until `source` is told release_clone(): call that
  // when the clone is deleted, or when this fails and no `directory` is left of it.
  static Result<std::unique_ptr<Volume>> clone(Volume& source, const Uuid& point,
                                               const std::string& directory, const NewClone& what);
  ~Volume() override;  // does not sync: close() does

  uint64_t size_bytes() const override;
  uint32_t block_bytes() const override;
  bool read_only() const override;
  uint64_t max_atomic_bytes() const override { return kMaxAtomicBytes; }
  uint32_t granularity_bytes() const override { return kImagePieceBytes; }
  Status read(uint64_t offset, MutableBytes out) override;
  Status write(uint64_t offset, ByteView bytes, bool durable) override;
  Status unmap(uint64_t offset, uint64_t length) override;
  Status flush() override;
  Result<Run> run_at(uint64_t offset, uint64_t limit) override;
  bool prefetch(uint64_t offset, uint64_t length) override;
  bool read_may_wait(uint64_t offset, uint64_t length) const override;
  bool write_may_wait(uint64_t offset, uint64_t length) const override;
  int64_t write_hold_ms() const override;
  bool can_erase(Erasure kind) const override;
  Status erase(Erasure kind) override;
  Usage usage() const override;

  const Uuid& uuid() const;

  // -- writing what is prepared on many threads: begin, fill data(), finish, write. The range lies
  // in the disk and is of at most kMaxPreparedBytes; it is there after a crash wholly or not at
  // all.
  Result<std::shared_ptr<PreparedWrite>> begin_write(uint64_t offset, uint64_t length);
  void finish_write(PreparedWrite& prepared) const;
  Status write(const PreparedWrite& prepared);
  using Properties = std::map<std::string, std::string>;
  const std::string& name() const;
  Status resize(uint64_t size_bytes);  // grows; durable when it returns
  // Flushes, seals the open segment, waits for everything that is pending: then the image can be
  // stored whole. Writing may go on.
  Status seal();
  // seal(), then no further use. Errors leave everything recoverable by open().
  Status close() { return seal(); }
  // Of the manifest, for whoever keeps the image (mode, pin, pool): durable when it returns. An
  // empty value removes it. invalid_argument: one of the engine's own.
  Status set_property(const std::string& name, const std::string& value);
  // From now on nothing is written: the image belongs to somebody else. Reading goes on.
  void stop_writes(const Error& why);
  // The file of a segment, of this image or of one it was cloned from, went away and the store has
  // it: an open one is closed, so that its space is free.
  void segment_evicted(const Uuid& image, uint64_t sequence, uint64_t epoch);
  // Compaction as far as it pays, a fresh map, and every segment given back that nothing needs.
  Status collect();
  VolumeCounters counters() const;
  struct MapStatistics {
    uint64_t extents = 0;
    uint64_t memory_bytes = 0;
  };
  MapStatistics map_statistics() const;
  Manifest manifest() const;
  // Why it is read-only; ok: it is not.
  Status failure() const;
  // What sealing or the map waits for: room on the disk, the store. ok: nothing. Writing goes on,
  // and each write looks whether it can go on, a second after the last try at the earliest; so does
  // go_on(), for a disk that nobody writes to.
  Status put_off() const;
  void go_on();
  // Properties of the manifest that are not the engine's own; an empty value removes one. Durable.
  Status set_properties(const Properties& values);
  // Those whose names begin so, by the rest of the name.
  Properties properties(const std::string& prefix) const;
  // Key rotation: the same data key, wrapped by another one; durable. busy: it is not `before` now.
  Status set_wrapped_key(const WrappedKey& before, const WrappedKey& after);

  // -- recovery points: what was acknowledged when create_point() was called, for good. Making one
  // does not depend on the size of the volume; durable when it returns.
  // `also`: set in the same step, told the point's id.
  using PointProperties = std::function<Properties(const Uuid&)>;
  Result<RecoveryPoint> create_point(const std::string& name, const PointProperties& also = {});
  // The same of several volumes, at one moment: what was acknowledged by any of them before what
  // another one took later is in it. They get one id. `passed` is called when the moment is over
  // and writers go on, before anything is durable; also when it failed. All get theirs, or none.
  struct PointRequest {
    std::string name;
    std::string about;
    std::function<void()> passed;
    PointProperties also = {};  // of each of them
  };
  static Result<std::vector<RecoveryPoint>> create_points(std::span<Volume* const> volumes,
                                                          const PointRequest& request);
  Result<std::vector<RecoveryPoint>> points() const;  // by time
  // busy: mounted, or a clone stands on it. Its space comes back with the next map.
  Status delete_point(const Uuid& id, const Properties& also = {});
  // Read-only; must not outlive this volume. Waits for the point's map.
  Result<std::unique_ptr<BlockDevice>> open_point(const Uuid& id);
  // The disk is what it was at the point (its size stays); durable. Writers wait meanwhile.
  Status roll_back(const Uuid& id);
  Status release_clone(const Uuid& clone);

 private:
  friend class PointView;
  friend class VolumeOpener;
  struct Point {
    RecoveryPoint what;
    uint64_t position = 0;
  };
  Volume(std::unique_ptr<VolumeState> state, uint64_t epoch, const LogMark& last);
  Status check_range(uint64_t offset, uint64_t length) const;
  Result<Point> find_point(const Uuid& id) const;
  Status mark_point(Point& point);
  Status keep_point(const Point& point, const PointProperties& also);
  void forget_mark(const Point& point);
  Status drop_point(const Uuid& id, const Properties& also);  // points_mutex_ held
  Result<ImageSegment> map_of(const Point& point);
  Result<uint64_t> replace_content(const ExtentMap& map);
  Result<uint32_t> slot_of(const MapSource& source, Ancestors& ancestors);
  void after_log_op();

  std::unique_ptr<VolumeState> state_;
  std::unique_ptr<LogWriter> writer_;
  Admission admission_;      // writers share it; a roll back has it alone
  std::mutex points_mutex_;  // one change of recovery points at a time
  std::map<Uuid, unsigned> mounted_;
  std::unique_ptr<Maintenance> maintenance_;
};

// Reads `range` of `map` into `out`, zeroes where nothing is mapped. `slots` are the map's.
struct PieceToRead {
  ExtentMap::Extent extent;
  std::shared_ptr<const ImageSegment> segment;
  uint64_t readable_bytes = 0;
};
Status read_pieces(ImageReader& reader, uint32_t block_bytes, uint64_t first_block,
                   std::span<const PieceToRead> pieces, MutableBytes out);

}  // namespace coldshelf
