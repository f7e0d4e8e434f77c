// Pending unit attention conditions, one bounded queue for each I_T nexus (SAM-5 5.14).
// Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "target/scsi/logical_unit.h"
#include "target/scsi/sense.h"

namespace coldshelf::scsi {

class UnitAttentions {
 public:
  void add_nexus(const Nexus& nexus);  // no condition yet
  void remove_nexus(uint64_t nexus_id);
  bool knows(uint64_t nexus_id) const;

  // A condition already pending is not queued twice; a reset (29h) drops everything before it
  // (SAM-5 5.14: conditions it supersedes).
  void raise(uint64_t nexus_id, AdditionalSense code);
  void raise_for_port(const std::string& port_name, AdditionalSense code);
  void raise_for_all(AdditionalSense code);
  void raise_for_others(uint64_t nexus_id, AdditionalSense code);

  std::optional<AdditionalSense> pending(uint64_t nexus_id) const;
  std::optional<AdditionalSense> take(uint64_t nexus_id);

 private:
  static constexpr size_t kMaxPending = 16;
  struct Queue {
    std::string port_name;
    std::deque<AdditionalSense> codes;
  };
  static void push(Queue& queue, AdditionalSense code);
  mutable std::mutex mutex_;
  std::map<uint64_t, Queue> queues_;
};

}  // namespace coldshelf::scsi
