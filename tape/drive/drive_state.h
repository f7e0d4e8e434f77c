// The inside of TapeDrive; private to this folder.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "tape/drive/drive_history.h"
#include "tape/drive/tape_drive.h"

namespace coldshelf {

// Relaxed: written under State::mutex by one thread at a time, read by anybody.
class DriveCounter {
 public:
  void add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct TapeDrive::State {
  // Says what the drive does for as long as it lives; under `mutex`.
  class Doing {
   public:
    Doing(State& state, DriveActivity what) : state_(state) {
      state_.doing.store(what, std::memory_order_relaxed);
    }
    ~Doing() { state_.doing.store(DriveActivity::idle, std::memory_order_relaxed); }
    Doing(const Doing&) = delete;
    Doing& operator=(const Doing&) = delete;

   private:
    State& state_;
  };

  explicit State(Options o) : options(std::move(o)) {}

  const Options options;

  // -- readable without `mutex`
  std::atomic<bool> inserted{false};
  std::atomic<bool> loaded{false};
  std::atomic<bool> worm{false};
  std::atomic<bool> protected_by_medium{false};  // `protection` or `failure` stands
  std::atomic<bool> software_protected{false};
  std::atomic<bool> position_lost{false};
  std::atomic<uint64_t> generation{1};
  std::atomic<uint64_t> expected_generation{0};  // 0: any
  std::atomic<uint32_t> partitions{0};
  std::atomic<const MediumProfile*> medium{nullptr};
  std::atomic<DriveActivity> doing{DriveActivity::idle};
  struct Counters {
    DriveCounter loads, records_written, records_read, filemarks_written, bytes_from_initiator,
        bytes_to_initiator, bytes_to_medium, bytes_from_medium, write_errors, read_errors;
    DriveCounters get() const;
  } counters;

  // Guards the few strings that the operator reads while a long call holds `mutex`. Taken last.
  mutable std::mutex info_mutex;
  std::string label;
  std::optional<Error> last_error;
  DriveCounters counters_at_load;
  UnloadListener unload_listener;

  // -- all below: under `mutex`
  mutable std::mutex mutex;
  std::unique_ptr<Cartridge> cartridge;
  Cartridge::Counters cartridge_seen;  // already added to `counters`
  std::optional<Error> protection;     // older generation, tab
  std::optional<Error> failure;        // a write failed
  Uuid uuid;
  int64_t created_unix_ms = 0;
  std::map<MamKey, MamValue> host_mam;
  DriveHistory history;
  bool change_pending = true;  // the next change of content must commit a new volume_change first

  Position at;
  // Plain bytes before `at`: kept up by reads and writes, looked up again after a jump, when asked
  // for.
  std::optional<uint64_t> bytes_at;
  // With bytes_at unknown: may `at` lie behind a warning at all? Answered once per jump by the
  // bytes of the whole partition, which needs no segment.
  std::optional<bool> zone_possible;
  uint64_t capacity = 0;       // of the partition of `at`
  uint64_t early_warning = 0;  // byte distance from BOP where EW lies
  bool compression = true;
  uint64_t programmable_zone_bytes = 0;

  bool dirty = false;  // written since the last sync
  uint64_t buffered_objects = 0, buffered_bytes = 0;

  // -- helpers; all expect `mutex`
  Status require_loaded() const;
  Status require_expected() const;  // loaded, and with the medium that commands are meant for
  Status require_partition(uint32_t partition) const;
  Status writable() const;
  // writable, and on WORM at the end of data or behind a filemark that only filemarks follow (WORM
  // MODE FILEMARKS RESTRICTIONS 2h of page 1Dh): software that ends a tape with two of them goes on
  // behind the first.
  Status prepare_write();
  // A filemark before `at`, and nothing else behind it.
  Result<bool> between_last_filemarks();
  // Before any change of content, see DriveHistory::volume_change.
  Status begin_change();
  void jump_to(const Position& to);
  void go_to(const Position& to);  // by a load, or an initiator named it: it is known
  void refresh_limits();
  uint64_t early_warning_of(uint64_t partition_capacity) const;
  uint64_t programmable_zone_start() const;
  Status learn_bytes();
  bool behind(uint64_t threshold);  // at or behind it; false when that cannot be told
  void wrote(uint64_t objects, uint64_t bytes);
  Status flush();
  // A change of content failed: counts it when the medium did, and moves the position to what is
  // there. Gives the error back.
  Error write_failed(Error error);
  void remember(const Error& error);
  void fold_cartridge_counters();
  void load_now();
  Status unload_now();
  Status save_history();
  Status skip_damaged();
  Status refuse_worm() const;
  void reset_after_format();

  // -- movement
  Result<SpaceOutcome> space_blocks_forward(uint64_t count);
  Result<SpaceOutcome> space_blocks_backward(uint64_t count);
  Result<SpaceOutcome> space_filemarks_forward(uint64_t count);
  Result<SpaceOutcome> space_filemarks_backward(uint64_t count);
  Result<SpaceOutcome> space_sequential_forward(uint64_t count);
  Result<SpaceOutcome> space_sequential_backward(uint64_t count);
  SpaceOutcome stop_at_end_of_data(uint64_t residual);
  SpaceOutcome stop_at_beginning(uint64_t residual);
  // The block number of filemark `n` of the current partition, which must exist.
  Result<uint64_t> filemark_block(uint64_t n);

  // -- medium auxiliary memory
  uint64_t host_mam_bytes() const;
  uint64_t load_bytes_written() const;
  uint64_t load_bytes_read() const;
  uint64_t load_write_errors() const;
  uint64_t load_read_errors() const;
};

}  // namespace coldshelf
