// PERSISTENT RESERVE IN and OUT (SPC-5 5.13, 6.14, 6.15). Registrations belong to initiator ports
// and outlive sessions. Where the unit has a UnitStore, they outlive the process too when an
// initiator asks for it (APTPL). Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "target/scsi/logical_unit.h"
#include "target/scsi/opcode_table.h"
#include "target/scsi/sense.h"
#include "target/scsi/unit_store.h"

namespace coldshelf::scsi {

enum class ReservationType : uint8_t {  // SPC-5 table 69
  write_exclusive = 1,
  exclusive_access = 3,
  write_exclusive_registrants_only = 5,
  exclusive_access_registrants_only = 6,
  write_exclusive_all_registrants = 7,
  exclusive_access_all_registrants = 8,
};

class PersistentReservations {
 public:
  // A unit attention to raise for a port after a command.
  struct Attention {
    std::string port_name;
    AdditionalSense code;
  };
  struct Outcome {
    ScsiStatus status = ScsiStatus::good;
    std::optional<Sense> sense;
    std::vector<Attention> attentions;
    std::vector<std::string> aborted_ports;  // PREEMPT AND ABORT: whose commands end
  };

  // Before the first command: offers APTPL, and brings back what was registered with it. `store`
  // outlives this.
  Status keep_in(UnitStore* store);

  // May the nexus run a command of this rule?
  bool allows(const Nexus& nexus, ReservationRule rule) const;
  bool any_registration() const;
  bool is_registered(const Nexus& nexus) const;
  bool is_holder(const Nexus& nexus) const;

  // PERSISTENT RESERVE IN; nullopt: unknown service action.
  std::optional<Buffer> in(uint8_t service_action, uint16_t relative_target_port) const;
  Outcome out(const Nexus& nexus, ByteView cdb, ByteView parameters);

 private:
  struct Registration {
    uint64_t key = 0;
    std::string port_name;
    std::string initiator_name;
    std::array<std::byte, 6> isid{};
  };
  struct Reservation {
    ReservationType type = ReservationType::write_exclusive;
    std::string holder;  // port name; any registrant for the all-registrants types
  };
  static constexpr size_t kMaxRegistrations = 1024;
  struct State {
    uint32_t generation = 0;
    std::map<std::string, Registration> registrations;  // by port name
    std::optional<Reservation> reservation;
    bool kept = false;  // APTPL: activate persist through power loss
    bool holds(const std::string& port) const;
  };
  static Buffer encode(const State& state);
  static Result<State> decode(ByteView record);
  Status save(const State& state);

  Outcome apply(State& state, const Nexus& nexus, ByteView cdb, ByteView parameters) const;
  static Outcome do_register(State& state, const Nexus& nexus, uint64_t key, uint64_t new_key,
                             bool ignore_existing);
  static Outcome reserve(State& state, const Nexus& nexus, ReservationType type);
  static Outcome release(State& state, const Nexus& nexus, ReservationType type);
  static Outcome clear(State& state, const Nexus& nexus);
  static Outcome preempt(State& state, const Nexus& nexus, uint64_t victim_key,
                         ReservationType type);
  static void unregister(State& state, const std::string& port, Outcome& outcome);
  static void release_with_attention(State& state, const std::string& by, Outcome& outcome);
  Buffer read_keys() const;
  Buffer read_reservation() const;
  Buffer capabilities() const;
  Buffer full_status(uint16_t relative_target_port) const;

  UnitStore* store_ = nullptr;
  std::mutex changing_;       // one PERSISTENT RESERVE OUT at a time; taken before mutex_
  mutable std::mutex mutex_;  // what follows
  State state_;
  std::atomic<bool> reserved_{false};  // state_.reservation, for those who only ask that
};

bool all_registrants(ReservationType type);
bool registrants_only(ReservationType type);
bool write_exclusive(ReservationType type);
std::optional<ReservationType> reservation_type(uint8_t type);

}  // namespace coldshelf::scsi
