// The operational keys of RFC 7143 clause 13: one table says how each is answered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "target/iscsi/options.h"
#include "target/iscsi/pdu.h"

namespace coldshelf::iscsi {

// What holds for a session after negotiation; the initial values are the defaults of clause 13.
struct SessionParameters {
  bool header_digest = false;
  bool data_digest = false;
  bool initial_r2t = true;
  bool immediate_data = true;
  uint32_t peer_max_recv_data_segment_length = kDefaultMaxRecvDataSegmentLength;
  uint32_t our_max_recv_data_segment_length = kDefaultMaxRecvDataSegmentLength;
  uint32_t max_burst_length = 262144;
  uint32_t first_burst_length = 65536;
  uint32_t max_outstanding_r2t = 1;
  uint32_t default_time2wait_s = 2;
  uint32_t default_time2retain_s = 20;
};

class OperationalNegotiation {
 public:
  OperationalNegotiation(const NegotiationLimits& limits, bool discovery)
      : limits_(limits), discovery_(discovery) {}
  void set_discovery(bool discovery) { discovery_ = discovery; }

  // Handles one operational key, appending our answer. False: the key is none of ours.
  bool handle(std::string_view key, std::string_view value, std::string& reply);
  // What we state by ourselves, once, in the operational stage.
  void declare(std::string& reply);
  const SessionParameters& parameters() const { return parameters_; }

 private:
  struct Rule;
  static const Rule kRules[];
  std::string answer(const Rule& rule, std::string_view value);
  std::string answer_boolean(const Rule& rule, std::string_view value);
  std::string answer_number(const Rule& rule, std::string_view value);
  std::string answer_digest(const Rule& rule, std::string_view value);
  uint32_t our_number(std::string_view key) const;

  const NegotiationLimits& limits_;
  bool discovery_;
  bool declared_ = false;
  SessionParameters parameters_;
};

// Does this value answer an offer of ours rather than make one (RFC 7143 6.2)?
bool is_answer_word(std::string_view value);

}  // namespace coldshelf::iscsi
