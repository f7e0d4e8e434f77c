// A BlockDevice on a sparse file, with the faults and delays that tests want.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "volume/block_device.h"

namespace coldshelf::test {

class FileBlockDevice final : public BlockDevice {
 public:
  struct Options {
    std::string path;  // made when missing, else taken as it is
    uint64_t size_bytes = 64 * MiB;
    uint32_t block_bytes = 512;
    bool can_erase = true;
    bool writes_wait = false;  // every write goes to a thread that may block
  };
  explicit FileBlockDevice(Options options);
  ~FileBlockDevice() override;

  uint64_t size_bytes() const override { return size_; }
  uint32_t block_bytes() const override { return options_.block_bytes; }
  bool read_only() const override { return read_only_; }
  uint64_t max_atomic_bytes() const override { return 1 * MiB; }
  uint32_t granularity_bytes() const override { return 4096; }
  Status read(uint64_t offset, MutableBytes out) override;
  Status write(uint64_t offset, ByteView bytes, bool durable) override;
  Status unmap(uint64_t offset, uint64_t length) override;
  Status flush() override;
  Result<Run> run_at(uint64_t offset, uint64_t limit) override;
  bool prefetch(uint64_t offset, uint64_t length) override;
  bool read_may_wait(uint64_t offset, uint64_t length) const override;
  bool write_may_wait(uint64_t, uint64_t) const override { return options_.writes_wait; }
  int64_t write_hold_ms() const override { return hold_ms_; }
  bool can_erase(Erasure kind) const override {
    return options_.can_erase && kind == Erasure::blocks;
  }
  Status erase(Erasure kind) override;
  Usage usage() const override;

  // -- for tests
  void grow(uint64_t size_bytes);
  void set_read_only(bool on) { read_only_ = on; }
  // Reads of this range wait until thaw(), as if the store had the bytes.
  void freeze(uint64_t offset, uint64_t length);
  void thaw();
  bool wait_for_waiting_reads(size_t count);           // false: not within a few seconds
  void damage(uint64_t offset) { damaged_ = offset; }  // reads of this byte: corrupt
  void hold_writes(int64_t ms) { hold_ms_ = ms; }      // as a full buffer does
  void fill_up(bool full) { full_ = full; }            // writes: no_space
  void hold_erase(bool hold);                          // erase() waits while held
  uint64_t flushes() const { return flushes_; }
  uint64_t durable_writes() const { return durable_writes_; }
  uint64_t unmapped_bytes() const { return unmapped_; }

 private:
  bool is_frozen(uint64_t offset, uint64_t length) const;
  void check_range(uint64_t offset, uint64_t length) const;
  void mark(uint64_t offset, uint64_t length, bool mapped);

  const Options options_;
  int fd_ = -1;
  std::atomic<uint64_t> size_;
  std::atomic<bool> read_only_{false};
  std::atomic<bool> full_{false};
  std::atomic<int64_t> hold_ms_{0};
  std::atomic<uint64_t> damaged_{UINT64_MAX};
  std::atomic<uint64_t> flushes_{0}, durable_writes_{0}, unmapped_{0};

  mutable std::shared_mutex whole_;  // calls that overlap are each of them whole
  std::vector<bool> mapped_;         // by block, under whole_
  uint64_t mapped_blocks_ = 0;

  mutable std::mutex frozen_mutex_;
  std::condition_variable thawed_;
  uint64_t frozen_offset_ = 0, frozen_length_ = 0;
  std::atomic<bool> frozen_{false};
  size_t waiting_ = 0;
  bool erase_held_ = false;
};

}  // namespace coldshelf::test
