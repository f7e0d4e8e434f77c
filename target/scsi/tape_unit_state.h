// What a TapeUnit keeps between commands. Internal to the ssc_*.cc files.
#pragma once

#include <atomic>
#include <bitset>
#include <optional>
#include <vector>

#include "target/scsi/tape_unit.h"
#include "target/scsi/wire.h"

namespace coldshelf::scsi {

// TapeAlert flags raised here (SSC-5 annex A).
enum class TapeAlert : uint8_t {
  hard_error = 3,
  media = 4,
  read_failure = 5,
  write_failure = 6,
  write_protect = 9,
  no_removal = 10,
  load_failure = 55,
  unload_failure = 56,
  worm_overwrite = 60,
};
inline constexpr TapeAlert kTapeAlertsRaised[] = {
    TapeAlert::hard_error,    TapeAlert::media,          TapeAlert::read_failure,
    TapeAlert::write_failure, TapeAlert::write_protect,  TapeAlert::no_removal,
    TapeAlert::load_failure,  TapeAlert::unload_failure, TapeAlert::worm_overwrite};
inline constexpr size_t kTapeAlerts = 64;

// Commands that move more than this in one go are refused: it bounds the memory of a command.
inline constexpr uint64_t kMaxTransferBytes = 16U * 1024 * 1024;

// WRITE ATTRIBUTE lists longer than any medium auxiliary memory are refused unread.
inline constexpr uint64_t kMaxAttributeList = 128 * KiB;

struct TapeUnit::State {
  TapeUnitOptions options;
  TapeDrive* drive = nullptr;
  int64_t created_ns = 0;

  // Read by the transport's thread (data_out_length, may_block) as well.
  std::atomic<uint32_t> block_length{0};
  std::atomic<bool> buffered{true};  // BUFFERED MODE 1h

  std::atomic<uint64_t> generation_seen{0};   // of the medium; read by the transport's thread, too
  bool append_only = false;                   // WRITE MODE of page 10h/01h
  std::optional<Position> overwrite_allowed;  // ALLOW OVERWRITE at this position
  bool format_allowed = false;                // ALLOW OVERWRITE for FORMAT MEDIUM

  // FORMAT MEDIUM's plan, from MODE SELECT of page 11h.
  struct PartitionPlan {
    bool fixed = false;  // FDP or SDP: two, sized by the drive
    uint8_t additional = 0;
    uint8_t psum = 3;
    uint8_t units = 9;
    std::vector<uint16_t> sizes;
  };
  std::optional<PartitionPlan> plan;

  std::bitset<kTapeAlerts + 1> alerts;
  DriveCounters counters_base;  // LOG SELECT with PCR takes these as zero

  bool hpe() const { return options.drive->options().profile->vendor.starts_with("HP"); }
  void raise(TapeAlert flag) { alerts.set(static_cast<size_t>(flag)); }
  bool is_worm_overwrite(const Error& error) const;
  // TapeAlert flags an error stands for.
  void note(const Error& error, Activity activity);
  // Writes that failed and that no command of this unit was told of: the changer took the tape out.
  void note_medium_errors();
  uint64_t write_errors_seen = 0;
};

}  // namespace coldshelf::scsi
