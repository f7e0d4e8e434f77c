// What the parts of an open cartridge (pipeline, sealer, reader) share.
//
// Lock order: the user's lock of TapeCartridge, commit_mutex, SegmentFile::Synced::mutex and
// directory_mutex, mutex, the inner locks of SegmentFile and SegmentCache. No file is read, written
// or synced under `mutex`.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tape/cartridge/cartridge.h"
#include "tape/cartridge/job_group.h"
#include "tape/cartridge/segment_file.h"

namespace coldshelf {

class CartridgeState {
 public:
  CartridgeState(const CartridgeEnv& environment, const CartridgeOptions& settings,
                 std::string where, std::unique_ptr<ManifestLog> manifest_log, Secret key);

  const CartridgeEnv env;
  const CartridgeOptions options;
  const std::string directory;
  const Uuid uuid;
  const std::string label;
  const Secret data_key;  // empty: not encrypted

  // Makes `edits` durable, then visible here, then tells the observer. A failure turns the
  // cartridge read-only. `dropped` may be null. `sealed`: these tail segments become the entries
  // that the edits add, in the same instant.
  Status commit(const std::vector<ManifestEdit>& edits, std::vector<SegmentEntry>* dropped,
                const std::vector<std::shared_ptr<SegmentFile>>& sealed = {});

  // The first write error stays: nothing is written any more, and what was accepted but not
  // written is forgotten.
  void fail(const Error& why);
  Status failed() const;

  // fdatasync of what the segment holds so far. On failure the partition ends where the last good
  // sync left it: the kernel may have dropped the pages (fsync errors are never retried).
  Status sync_segment(const std::shared_ptr<SegmentFile>& segment);
  // Makes the directory entries of these segments durable.
  Status sync_directory(const std::vector<std::shared_ptr<SegmentFile>>& entries);

  std::string open_path(uint64_t sequence, uint64_t epoch) const;
  std::string sealed_path(uint64_t sequence, uint64_t epoch) const;
  // Best effort: recovery removes what stays.
  void remove_file(const std::string& path) const;

  mutable std::mutex mutex;
  std::condition_variable changed;  // something was written, sealed, or failed
  std::condition_variable room;     // the writer that waits for memory or sealing may go on
  // Under `mutex`:
  Manifest manifest;                              // as of the last commit
  std::deque<std::shared_ptr<SegmentFile>> tail;  // not in the manifest yet, in sequence order
  std::array<PartitionEnd, kMaxPartitions> accepted{};   // what callers have written
  std::array<PartitionEnd, kMaxPartitions> committed{};  // what is in files
  uint64_t unsealed_bytes = 0;                           // finished segments of the tail
  std::optional<Error> failure;

  std::atomic<bool> compress{true};  // by the drive's setting
  std::atomic<uint64_t> records_written{0}, records_read{0}, filemarks_written{0};
  std::atomic<uint64_t> plain_bytes_written{0}, stored_bytes_written{0};
  std::atomic<uint64_t> plain_bytes_read{0}, stored_bytes_read{0};

  JobGroup jobs;

 private:
  void fail_sync(const std::shared_ptr<SegmentFile>& segment, const Error& why);
  void record_failure(const Error& why);  // under `mutex`
  void announce_failure(bool first, const Error& why);

  std::mutex commit_mutex_;
  const std::unique_ptr<ManifestLog> log_;  // under commit_mutex_
  std::mutex directory_mutex_;
};

}  // namespace coldshelf
