// What a transport (target/iscsi) needs of a SCSI device: SAM-5's logical unit, with no wire format
// of the transport.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace coldshelf::scsi {

// SAM-5 5.3.
enum class ScsiStatus : uint8_t {
  good = 0x00,
  check_condition = 0x02,
  condition_met = 0x04,
  busy = 0x08,
  reservation_conflict = 0x18,
  task_set_full = 0x28,
  aca_active = 0x30,
  task_aborted = 0x40,
};

enum class TaskAttribute : uint8_t { untagged, simple, ordered, head_of_queue, aca };

// An initiator port as this target sees it (SAM-5 4.8, SPC-5 7.6.4 TransportID for iSCSI). Shared
// by all sessions of it.
struct Nexus {
  uint64_t id = 0;  // unique for the life of the process; a reinstated session of the same port
                    // gets a new one
  std::string initiator_name;  // iqn...
  std::array<std::byte, 6> isid{};
  uint16_t target_port_group = 1;
  // Stable identity of the initiator port ("name,i,0x<isid>"), what reservations and registrations
  // belong to.
  std::string port_name() const;
};

// Data to the initiator without a copy: parts sent one after the other, kept alive by the owners.
struct DataIn {
  std::vector<ByteView> parts;
  std::vector<std::shared_ptr<const void>> owners;
  uint64_t size = 0;
  static DataIn from(Buffer bytes);
  // Shortens to at most `limit` bytes.
  void truncate(uint64_t limit);
};

struct Command {
  std::shared_ptr<const Nexus> nexus;
  std::array<std::byte, 16> cdb{};
  TaskAttribute attribute = TaskAttribute::simple;
  // All data of the command, gathered by the transport: min(expected transfer length,
  // data_out_length(cdb)) bytes or fewer.
  ByteView data_out;
  // The initiator's Expected Data Transfer Length for reads: a reply is never longer (the transport
  // truncates and reports).
  uint64_t expected_in = 0;
  // The same of writes: more than data_out when the CDB asks for less.
  uint64_t expected_out = 0;
  // No other command of the unit runs meanwhile (LogicalUnit::footprint). Set by the transport.
  bool alone = true;
  // What its reply to the turn before had, when there was one.
  uint64_t goes_on_at = 0;
  // Set by the transport when a task management function or a lost connection ended the task; long
  // work looks at it.
  std::shared_ptr<std::atomic<bool>> aborted;
};

struct Reply {
  ScsiStatus status = ScsiStatus::good;
  Buffer sense;  // fixed or descriptor format sense data, when check_condition
  DataIn data;   // may come together with sense (short tape reads)
  // Bytes of data-out the CDB asked for; differs from what came when the initiator's length is off
  // (residuals, RFC 7143 11.4.5).
  uint64_t data_out_wanted = 0;
  // Bytes of data-in the command had before truncation to expected_in (overflow residual).
  uint64_t data_in_wanted = 0;
  // Port names of the nexuses whose commands end now: PREEMPT AND ABORT (SPC-5 5.13.11.2.6). The
  // transport answers when they have.
  std::vector<std::string> abort_ports;
  // Not 0: this was a turn of a long command, and nothing is answered yet. Those that wait for what
  // it touches come first, then it is executed again. Never of a command that runs alone, only of
  // one that may block.
  uint64_t goes_on_at = 0;
};

// What a command touches, so that the transport knows which others may run beside it.
struct Footprint {
  bool alone = true;    // no other command of the unit runs meanwhile
  bool writes = false;  // to what lies from `begin` up to `end`; else it reads there
  uint64_t begin = 0;
  uint64_t end = 0;

  static Footprint nothing() { return {false, false, 0, 0}; }
  static Footprint reads_from(uint64_t begin, uint64_t end) { return {false, false, begin, end}; }
  static Footprint writes_to(uint64_t begin, uint64_t end) { return {false, true, begin, end}; }
  bool only_reads() const { return !alone && !writes && begin < end; }
  bool conflicts_with(const Footprint& other) const {
    if (alone || other.alone) return true;
    return (writes || other.writes) && begin < other.end && other.begin < end;
  }
};

enum class ResetKind { logical_unit, target_warm, target_cold, power_on };

class LogicalUnit {
 public:
  virtual ~LogicalUnit() = default;

  // Length of data-out this CDB asks for: the transport solicits min(this, expected length). 0:
  // none (or unknown opcode).
  virtual uint64_t data_out_length(ByteView cdb) const = 0;
  // May execute() wait for disk, network or another thread? When false the transport may run it on
  // an I/O thread. Thread-safe for commands whose footprint is not alone.
  virtual bool may_block(const Command& command) const = 0;
  // How long the transport should keep the command back before it executes it, in ms: writers are
  // paced here. Asked again then, and when what ran before has ended. Never waits; thread-safe.
  virtual int64_t hold_ms(const Command& /*command*/) const { return 0; }
  // Whether it may be executed before an earlier command that is kept back.
  virtual bool may_overtake(const Command& /*command*/) const { return false; }
  // Commands that conflict run one after the other, in the order they came; others may overtake one
  // that waits (SAM-5 8.6.2: SIMPLE tasks; the transport lets ORDERED and HEAD OF QUEUE ones run
  // alone). Thread-safe.
  virtual Footprint footprint(const Command&) const { return {}; }
  // How many commands may wait at once, each on a thread of its own.
  virtual unsigned concurrency() const { return 1; }
  // Runs one command to its end. The transport never calls it for two that conflict at a time.
  virtual Reply execute(const Command& command) = 0;

  // Thread-safe against execute().
  virtual void nexus_established(
      std::shared_ptr<const Nexus> nexus) = 0;      // arms POWER ON / nexus unit attentions
  virtual void nexus_lost(const Nexus& nexus) = 0;  // releases RESERVE(6), prevention, ...
  virtual void reset(ResetKind kind) = 0;           // unit attention 29h for every nexus
  // CLEAR TASK SET by `by`: unit attention 2F00 for the others (SAM-5 7.5).
  virtual void task_set_cleared(const Nexus& by) = 0;
};

}  // namespace coldshelf::scsi
