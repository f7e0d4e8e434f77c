// What is configured of an iSCSI server.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/secret.h"
#include "target/iscsi/target_chap.h"
#include "target/scsi/logical_unit.h"

namespace coldshelf::iscsi {

struct ChapCredentials {
  std::string user;
  Secret secret;  // 12 bytes or more (RFC 7143 9.2.1: 96 bits)
};

struct TargetConfig {
  std::string iqn;
  std::string alias;
  std::shared_ptr<scsi::LogicalUnit> lun0;
};

// The target's side of the negotiation (RFC 7143 clause 13); bytes.
struct NegotiationLimits {
  uint32_t max_recv_data_segment_length = 256 * KiB;  // largest data segment we take
  uint32_t max_burst_length = 1 * MiB;
  uint32_t first_burst_length = 256 * KiB;
  uint16_t max_outstanding_r2t = 8;
  bool initial_r2t = false;    // true: unsolicited Data-Out is never allowed
  bool immediate_data = true;  // false: immediate data is never allowed
  bool header_digest = true;   // CRC32C is used when the initiator prefers it
  bool data_digest = true;
  uint16_t default_time2wait_s = 2;
  uint16_t default_time2retain_s = 0;  // ErrorRecoveryLevel 0 keeps no task of a lost connection
};

struct ServerOptions {
  std::vector<std::string> listen = {"127.0.0.1:3260"};  // host:port, [v6]:port; port 0: any
  unsigned io_threads = 1;
  NegotiationLimits limits;
  std::optional<ChapCredentials> chap;    // what an initiator proves
  std::optional<ChapCredentials> mutual;  // what we prove to an initiator that asks
  // Of single targets, instead of `chap` and `mutual` (Server::set_chap).
  std::map<std::string, std::vector<TargetChap>> target_chap;
  bool allow_unauthenticated = false;  // needed to listen beyond loopback without CHAP
  uint16_t target_port_group = 1;

  uint32_t command_window = 128;  // MaxCmdSN - ExpCmdSN + 1 of an idle session
  unsigned max_connections = 1024;
  unsigned max_pending_logins = 256;  // more: the oldest of them is closed
  std::chrono::milliseconds login_timeout{15000};
  std::chrono::milliseconds nop_interval{30000};  // 0: no keepalive
  std::chrono::milliseconds nop_timeout{15000};
  std::chrono::milliseconds data_out_timeout{60000};  // a solicited burst that makes no progress

  uint64_t data_out_budget_bytes = 256 * MiB;  // data-out held at once, by all connections
  uint64_t max_data_out_bytes = 16 * MiB;      // of one command
  // Of one connection. More: it is not read; with what its reads at work may bring: no long one is
  // begun beside them.
  uint64_t max_queued_output_bytes = 8 * MiB;
  uint64_t buffer_pool_bytes = 64 * MiB;  // idle buffers kept
  // For commands that wait, of all units; more when there are more units. What is not enough is
  // shared out.
  unsigned max_lu_threads = 256;
};

}  // namespace coldshelf::iscsi
