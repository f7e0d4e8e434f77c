// What a logical unit's commands took and moved. Counted where they are queued, read by whoever
// shows it; thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/latency.h"
#include "target/scsi/logical_unit.h"

namespace coldshelf::scsi {

enum class CommandKind { read, write, sync, other };
constexpr size_t kCommandKinds = 4;
std::string_view to_string(CommandKind kind);  // "read"
// By the operation code: READs, WRITEs (with VERIFY, SAME and ATOMIC), what makes data durable
// (SYNCHRONIZE CACHE, WRITE FILEMARKS), and the rest.
CommandKind kind_of(std::byte operation_code);

class UnitStatistics {
 public:
  struct Kind {
    LatencyHistogram::Snapshot latency;
    uint64_t bytes = 0;
    uint64_t errors = 0;  // CHECK CONDITION
  };
  using Snapshot = std::array<Kind, kCommandKinds>;

  // From the moment the command and its data were here until its reply was.
  void record(const Command& command, const Reply& reply, int64_t duration_ns);
  Snapshot snapshot() const;

 private:
  struct Counters {
    LatencyHistogram latency;
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> errors{0};
  };
  std::array<Counters, kCommandKinds> kinds_;
};

}  // namespace coldshelf::scsi
