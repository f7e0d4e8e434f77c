#include "target/iscsi/negotiation.h"

#include <algorithm>

#include "target/iscsi/text.h"

namespace coldshelf::iscsi {

namespace {
constexpr std::string_view kReject = "Reject";
constexpr std::string_view kIrrelevant = "Irrelevant";
constexpr uint32_t kMaxDataLength = (1U << 24) - 1;
enum class Kind {
  digest,
  boolean_or,
  boolean_and,
  minimum,
  maximum,
  declared,
  marker,
  task_reporting
};
}  // namespace

struct OperationalNegotiation::Rule {
  std::string_view key;
  Kind kind;
  bool irrelevant_in_discovery;
  uint32_t low, high;             // numbers: the legal range
  bool SessionParameters::*flag;  // where the result goes, if anywhere
  uint32_t SessionParameters::*number;
};

using P = SessionParameters;
const OperationalNegotiation::Rule OperationalNegotiation::kRules[] = {
    {"HeaderDigest", Kind::digest, false, 0, 0, &P::header_digest, nullptr},
    {"DataDigest", Kind::digest, false, 0, 0, &P::data_digest, nullptr},
    {"InitialR2T", Kind::boolean_or, true, 0, 0, &P::initial_r2t, nullptr},
    {"ImmediateData", Kind::boolean_and, true, 0, 0, &P::immediate_data, nullptr},
    {"DataPDUInOrder", Kind::boolean_or, true, 0, 0, nullptr, nullptr},
    {"DataSequenceInOrder", Kind::boolean_or, true, 0, 0, nullptr, nullptr},
    {"MaxConnections", Kind::minimum, true, 1, 65535, nullptr, nullptr},
    {"MaxRecvDataSegmentLength", Kind::declared, false, 512, kMaxDataLength, nullptr,
     &P::peer_max_recv_data_segment_length},
    {"MaxBurstLength", Kind::minimum, true, 512, kMaxDataLength, nullptr, &P::max_burst_length},
    {"FirstBurstLength", Kind::minimum, true, 512, kMaxDataLength, nullptr, &P::first_burst_length},
    {"MaxOutstandingR2T", Kind::minimum, true, 1, 65535, nullptr, &P::max_outstanding_r2t},
    {"DefaultTime2Wait", Kind::maximum, false, 0, 3600, nullptr, &P::default_time2wait_s},
    {"DefaultTime2Retain", Kind::minimum, false, 0, 3600, nullptr, &P::default_time2retain_s},
    {"ErrorRecoveryLevel", Kind::minimum, false, 0, 2, nullptr, nullptr},
    {"iSCSIProtocolLevel", Kind::minimum, false, 0, 31, nullptr, nullptr},
    {"TaskReporting", Kind::task_reporting, true, 0, 0, nullptr, nullptr},
    // Markers are gone since RFC 7143 (13.25): refused in the way older initiators understand.
    {"IFMarker", Kind::boolean_and, false, 0, 0, nullptr, nullptr},
    {"OFMarker", Kind::boolean_and, false, 0, 0, nullptr, nullptr},
    {"IFMarkInt", Kind::marker, false, 0, 0, nullptr, nullptr},
    {"OFMarkInt", Kind::marker, false, 0, 0, nullptr, nullptr},
};

bool is_answer_word(std::string_view value) {
  return value == kReject || value == kIrrelevant || value == "NotUnderstood";
}

bool OperationalNegotiation::handle(std::string_view key, std::string_view value,
                                    std::string& reply) {
  const auto* rule = std::find_if(std::begin(kRules), std::end(kRules),
                                  [key](const Rule& r) { return r.key == key; });
  if (rule == std::end(kRules)) return false;
  if (is_answer_word(value)) return true;
  if (discovery_ && rule->irrelevant_in_discovery) {
    append_key(reply, key, kIrrelevant);
    return true;
  }
  const std::string ours = answer(*rule, value);
  if (!ours.empty()) append_key(reply, key, ours);
  return true;
}

std::string OperationalNegotiation::answer(const Rule& rule, std::string_view value) {
  switch (rule.kind) {
    case Kind::digest:
      return answer_digest(rule, value);
    case Kind::boolean_or:
    case Kind::boolean_and:
      return answer_boolean(rule, value);
    case Kind::minimum:
    case Kind::maximum:
    case Kind::declared:
      return answer_number(rule, value);
    case Kind::marker:
      return std::string(kReject);
    case Kind::task_reporting:
      for (std::string_view item : split_list(value))
        if (item == "RFC3720") return "RFC3720";
      return std::string(kReject);
  }
  return std::string(kReject);
}

std::string OperationalNegotiation::answer_digest(const Rule& rule, std::string_view value) {
  const bool crc_allowed = rule.key == "HeaderDigest" ? limits_.header_digest : limits_.data_digest;
  for (std::string_view item : split_list(value)) {
    if (item != "None" && !(item == "CRC32C" && crc_allowed)) continue;
    parameters_.*rule.flag = item == "CRC32C";
    return std::string(item);
  }
  return std::string(kReject);
}

std::string OperationalNegotiation::answer_boolean(const Rule& rule, std::string_view value) {
  if (value != "Yes" && value != "No") return std::string(kReject);
  const bool theirs = value == "Yes";
  bool result = false;
  if (rule.key == "InitialR2T")
    result = theirs || limits_.initial_r2t;
  else if (rule.key == "ImmediateData")
    result = theirs && limits_.immediate_data;
  else
    result = rule.kind == Kind::boolean_or;  // in-order always; markers never
  if (rule.flag != nullptr) parameters_.*rule.flag = result;
  return result ? "Yes" : "No";
}

uint32_t OperationalNegotiation::our_number(std::string_view key) const {
  if (key == "MaxBurstLength") return limits_.max_burst_length;
  if (key == "FirstBurstLength")
    return std::min(limits_.first_burst_length, limits_.max_burst_length);
  if (key == "MaxOutstandingR2T") return limits_.max_outstanding_r2t;
  if (key == "DefaultTime2Wait") return limits_.default_time2wait_s;
  if (key == "DefaultTime2Retain") return limits_.default_time2retain_s;
  if (key == "MaxConnections" || key == "iSCSIProtocolLevel") return 1;
  return 0;  // ErrorRecoveryLevel
}

std::string OperationalNegotiation::answer_number(const Rule& rule, std::string_view value) {
  const auto theirs = parse_number(value);
  if (!theirs || *theirs < rule.low || *theirs > rule.high) return std::string(kReject);
  auto result = static_cast<uint32_t>(*theirs);
  if (rule.kind == Kind::minimum) result = std::min(result, our_number(rule.key));
  if (rule.kind == Kind::maximum) result = std::max(result, our_number(rule.key));
  if (rule.number != nullptr) parameters_.*rule.number = result;
  // FirstBurstLength may not exceed MaxBurstLength (RFC 7143 13.14), whichever comes first.
  if (parameters_.first_burst_length > parameters_.max_burst_length) {
    parameters_.first_burst_length = parameters_.max_burst_length;
    if (rule.key == "FirstBurstLength") result = parameters_.first_burst_length;
  }
  return rule.kind == Kind::declared ? std::string() : std::to_string(result);
}

void OperationalNegotiation::declare(std::string& reply) {
  if (declared_) return;
  declared_ = true;
  parameters_.our_max_recv_data_segment_length = limits_.max_recv_data_segment_length;
  append_key(reply, "MaxRecvDataSegmentLength",
             std::to_string(limits_.max_recv_data_segment_length));
}

}  // namespace coldshelf::iscsi
