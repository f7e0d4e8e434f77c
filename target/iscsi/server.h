// The iSCSI server: portals, targets and their sessions. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "target/iscsi/options.h"
#include "target/iscsi/target_chap.h"
#include "target/scsi/unit_statistics.h"

namespace coldshelf::iscsi {

struct SessionInfo {
  uint16_t tsih = 0;
  std::string initiator_name;
  std::string isid;         // 12 hexadecimal digits
  std::string target_name;  // empty: discovery
  std::string peer;         // address:port
  bool header_digest = false;
  bool data_digest = false;
  uint64_t commands = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
};

// A device and what its commands took.
struct UnitInfo {
  std::string target_name;
  scsi::UnitStatistics::Snapshot statistics;
};

// What initiators did since the start, on all devices; on those that are gone, too.
struct Traffic {
  uint64_t reads = 0;  // commands
  uint64_t read_bytes = 0, read_ns = 0;
  uint64_t write_bytes = 0, write_ns = 0;
  void add(const scsi::UnitStatistics::Snapshot& unit);
};

class Server {
 public:
  // Binds every portal or none. `random` must outlive the server and be thread-safe.
  static Result<std::unique_ptr<Server>> start(ServerOptions options,
                                               std::vector<TargetConfig> targets, Random& random);
  ~Server();  // stop() with no deadline to speak of, if nobody did
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::vector<std::string> endpoints() const;  // as bound: "127.0.0.1:40123"
  Status add_target(TargetConfig target);
  // Asks its sessions to log out, closes those that have not after `grace`, and waits for the last
  // command: the device may go then. busy: one is still running long after; the target is gone, the
  // device must stay. Not from a thread of the server.
  Status remove_target(const std::string& iqn, std::chrono::milliseconds grace);
  // What initiators of this target prove, instead of the server's own CHAP credentials; others are
  // refused. Empty: the server's hold again. For logins from now on; `iqn` need not be there yet.
  void set_chap(const std::string& iqn, std::vector<TargetChap> chap);
  std::vector<SessionInfo> sessions() const;
  std::vector<UnitInfo> units() const;  // by name
  Traffic traffic() const;
  size_t connection_count() const;
  uint64_t data_out_bytes_held() const;
  // No new connections or logins; an Async Message asks the initiators to log out (RFC 7143
  // 11.9.1); what is still open after `deadline` is closed. Waits for running commands.
  void stop(std::chrono::milliseconds deadline);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldshelf::iscsi
