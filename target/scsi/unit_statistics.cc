#include "target/scsi/unit_statistics.h"

namespace coldshelf::scsi {

std::string_view to_string(CommandKind kind) {
  switch (kind) {
    case CommandKind::read:
      return "read";
    case CommandKind::write:
      return "write";
    case CommandKind::sync:
      return "sync";
    case CommandKind::other:
      return "other";
  }
  return "other";
}

CommandKind kind_of(std::byte operation_code) {
  switch (std::to_integer<unsigned>(operation_code)) {
    case 0x08:  // READ(6)
    case 0x28:  // READ(10)
    case 0xA8:  // READ(12)
    case 0x88:  // READ(16)
      return CommandKind::read;
    case 0x0A:  // WRITE(6)
    case 0x2A:  // WRITE(10)
    case 0xAA:  // WRITE(12)
    case 0x8A:  // WRITE(16)
    case 0x2E:  // WRITE AND VERIFY(10)
    case 0xAE:  // WRITE AND VERIFY(12)
    case 0x8E:  // WRITE AND VERIFY(16)
    case 0x41:  // WRITE SAME(10)
    case 0x93:  // WRITE SAME(16)
    case 0x89:  // COMPARE AND WRITE
    case 0x9C:  // WRITE ATOMIC(16)
      return CommandKind::write;
    case 0x10:  // WRITE FILEMARKS(6)
    case 0x80:  // WRITE FILEMARKS(16)
    case 0x35:  // SYNCHRONIZE CACHE(10)
    case 0x91:  // SYNCHRONIZE CACHE(16), or SPACE(16) of tapes, which moves no data either
      return CommandKind::sync;
    default:
      return CommandKind::other;
  }
}

void UnitStatistics::record(const Command& command, const Reply& reply, int64_t duration_ns) {
  const CommandKind kind = kind_of(command.cdb[0]);
  Counters& counters = kinds_[static_cast<size_t>(kind)];
  counters.latency.record(duration_ns);
  if (reply.status == ScsiStatus::check_condition) {
    counters.errors.fetch_add(1, std::memory_order_relaxed);
  }
  if (kind == CommandKind::read) {
    counters.bytes.fetch_add(reply.data.size, std::memory_order_relaxed);
  } else if (kind == CommandKind::write && reply.status == ScsiStatus::good) {
    counters.bytes.fetch_add(command.data_out.size(), std::memory_order_relaxed);
  }
}

UnitStatistics::Snapshot UnitStatistics::snapshot() const {
  Snapshot out;
  for (size_t i = 0; i < kCommandKinds; ++i) {
    out[i].latency = kinds_[i].latency.snapshot();
    out[i].bytes = kinds_[i].bytes.load(std::memory_order_relaxed);
    out[i].errors = kinds_[i].errors.load(std::memory_order_relaxed);
  }
  return out;
}

}  // namespace coldshelf::scsi
