// A volume on a simulated disk beside a model: an array of blocks and the operations since ever.
// After a crash what is there must be a beginning of them, with everything that was synced in it;
// and so must what reached the store.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "tests/support/cartridge_fixture.h"
#include "tests/support/sim_clock.h"
#include "volume/volume.h"

namespace coldshelf::test {

// What a store would hold: filled by the observer, asked as a source.
class SimStore final : public CartridgeObserver, public SegmentSource {
 public:
  explicit SimStore(FileSystem& files) : files_(files) {}
  std::string directory;  // of the volume being watched; others are not stored
  Uuid watched;

  void segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                      const std::optional<Sha256Digest>& file_sha256) override;
  void segments_dropped(const Uuid& cartridge, std::span<const SegmentEntry> dropped) override;
  void manifest_changed(const Manifest& manifest) override;
  void write_failed(const Uuid&, const Error&) override {}

  Result<std::unique_ptr<File>> fetch(const Uuid&, const SegmentEntry& entry, int64_t) override;
  Status fetch_range(const Uuid&, const SegmentEntry& entry, uint64_t offset, MutableBytes out,
                     int64_t) override;
  void will_need(const Uuid&, std::span<const SegmentEntry>) override {}

  // The image that the store holds, as the directory `where` of `disk`; false: none yet.
  bool restore(FileSystem& disk, const std::string& where) const;
  bool holds(uint64_t sequence, uint64_t epoch) const;
  void put_missing(const Manifest& manifest);

 private:
  void put(const SegmentEntry& entry);
  FileSystem& files_;
  mutable std::mutex mutex_;
  std::map<std::string, Buffer> segments_;
  std::optional<Manifest> manifest_;
};

class VolumeSim final : public ImageDirectory {
 public:
  using Tags = std::vector<uint64_t>;  // of each block; 0: zeroes

  explicit VolumeSim(uint64_t seed, bool threads = false);
  ~VolumeSim() override;

  SeededRandom& random() { return random_; }
  SimFileSystem& files() { return files_; }
  bool failed() const { return failed_; }
  // From now on an operation may fail with no_space, and has then done nothing.
  void disk_may_be_full(bool may) { may_be_full_ = may; }
  void pass_ms(int64_t ms) { clock_.advance_ms(ms); }
  Volume& volume() { return *volume_; }

  void random_operation();
  bool write(uint64_t first, uint64_t count, bool durable);
  bool unmap(uint64_t first, uint64_t count);
  bool flush();
  bool create_point();
  void delete_point();
  bool roll_back();
  void check_point();
  void clone();
  void check_clones(bool write_too);
  bool collect();
  void evict();
  void check_reads();

  void crash();
  void kill();
  void close();
  // Opens and compares with the model, when all is expected to be well.
  bool open(bool must);
  void check_store();

  Result<std::string> directory_of(const Uuid& image) override;

 private:
  struct Op {
    uint64_t first = 0;
    uint64_t count = 0;
    uint64_t tag = 0;           // 0: unmap
    std::optional<Tags> whole;  // roll back: to this
    bool maybe = false;         // failed: only the last of all can have happened
  };
  struct Point {
    Tags tags;
    bool sure = true;   // false: creation failed
    bool gone = false;  // deletion failed
  };
  struct Clone {
    std::string directory;
    Tags tags;
  };
  void apply(Tags& tags, const Op& op) const;
  Tags now() const;
  Tags read_all(BlockDevice& disk);
  void add(Op op, const Status& done);
  bool full(const Status& done) const;  // it failed, and only for that
  std::optional<size_t> find_prefix(const Tags& found, size_t at_least, bool& with_maybe) const;
  void check_points();
  VolumeEnv env(bool with_observer);
  void watch_nonces();
  void fill(MutableBytes out, uint64_t first, uint64_t tag) const;
  uint64_t tag_of(uint64_t tag, uint64_t block) const { return tag * 1'000'003 + block + 1; }

  const uint64_t seed_;
  SeededRandom random_;
  SeededRandom volume_random_;
  SimFileSystem files_;
  SimClock clock_;
  InlineExecutor inline_;
  std::unique_ptr<WorkerPool> pool_;
  std::shared_ptr<BufferPool> buffers_ = BufferPool::create(8 * MiB);
  SimStore store_{files_};
  std::optional<KeyEncryptionKey> key_;
  VolumeOptions options_;
  uint32_t block_bytes_ = 4096;
  uint64_t blocks_ = 0;
  Uuid uuid_;
  const std::string directory_ = "/v";
  std::vector<Op> ops_;
  size_t synced_ = 0;  // operations that must be there
  size_t stored_ = 0;  // and that the store had last time
  uint64_t next_tag_ = 1;
  std::map<Uuid, Point> points_;
  std::optional<Point> half_made_;
  std::map<Uuid, Clone> clones_;
  std::map<std::string, uint32_t> payload_of_nonce_;
  std::mutex nonce_mutex_;
  bool failed_ = false;
  bool may_be_full_ = false;
  std::unique_ptr<Volume> volume_;
};

}  // namespace coldshelf::test
