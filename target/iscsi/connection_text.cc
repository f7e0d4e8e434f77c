// NOP, Text and Logout (RFC 7143 11.10, 11.11, 11.14, 11.15, 11.18, 11.19; SendTargets: Appendix
// C).
#include <algorithm>

#include "target/iscsi/connection.h"

namespace coldshelf::iscsi {

void Connection::handle_request(const Bhs& bhs, Buffer data) {
  switch (bhs.opcode()) {
    case Opcode::nop_out:
      handle_nop_out(bhs, std::move(data));
      break;
    case Opcode::text_request:
      handle_text(bhs, std::move(data));
      break;
    case Opcode::logout_request:
      handle_logout(bhs);
      break;
    case Opcode::task_management_request:
      handle_task_management(bhs);
      break;
    default:
      send_reject(RejectReason::command_not_supported, bhs);
      break;
  }
}

void Connection::handle_nop_out(const Bhs& bhs, Buffer data) {
  if (bhs.task_tag() == kReservedTag) return;  // the answer to our own ping
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::nop_in);
  pdu.bhs.copy(field::kLun, bhs.lun());
  pdu.bhs.set32(field::kInitiatorTaskTag, bhs.task_tag());
  pdu.bhs.set32(field::kTargetTransferTag, kReservedTag);
  data.resize(std::min<size_t>(data.size(), parameters_.peer_max_recv_data_segment_length));
  pdu.inline_data = std::move(data);
  send(std::move(pdu), StatSn::advanced);
}

void Connection::send_nop_in() {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::nop_in);
  pdu.bhs.set32(field::kInitiatorTaskTag, kReservedTag);
  pdu.bhs.set32(field::kTargetTransferTag, next_transfer_tag_++);
  if (next_transfer_tag_ == kReservedTag) next_transfer_tag_ = 1;
  send(std::move(pdu), StatSn::shown);
}

void Connection::handle_text(const Bhs& bhs, Buffer data) {
  const uint32_t tag = bhs.get32(field::kTargetTransferTag);
  if (tag == kReservedTag) {
    // A new exchange drops whatever was left of another one (RFC 7143 11.10.4).
    end_text();
  } else if (tag != text_tag_) {
    send_reject(RejectReason::protocol_error, bhs);
    return;
  }
  const bool continued = bhs.has(flag::kContinue);
  // What is left of an answer is fetched with empty requests (RFC 7143 11.11.1): more to answer
  // before it is fetched would add up without a bound.
  const bool fetches = !text_out_.empty();
  if ((continued && bhs.has(flag::kFinal)) || (fetches && (continued || !data.empty())) ||
      text_in_.size() + data.size() > kMaxTextLength) {
    reject_text(bhs);
    return;
  }
  text_in_.append(as_text(data));
  if (!continued && !text_in_.empty()) {
    const std::string text = std::move(text_in_);
    text_in_.clear();
    if (!answer_text(text)) {
      reject_text(bhs);
      return;
    }
  }
  send_text_response(bhs);
}

void Connection::end_text() {
  text_in_.clear();
  text_out_.clear();
  text_out_sent_ = 0;
  text_tag_ = kReservedTag;
}

void Connection::reject_text(const Bhs& bhs) {
  end_text();
  send_reject(RejectReason::protocol_error, bhs);
}

void Connection::send_text_response(const Bhs& request) {
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::text_response, 0);
  pdu.bhs.copy(field::kLun, request.lun());
  pdu.bhs.set32(field::kInitiatorTaskTag, request.task_tag());
  const size_t limit = parameters_.peer_max_recv_data_segment_length;
  const size_t length = std::min(text_out_.size() - text_out_sent_, limit);
  pdu.inline_data = to_buffer(as_view(text_out_).subspan(text_out_sent_, length));
  text_out_sent_ += length;
  if (text_out_sent_ == text_out_.size()) {
    text_out_.clear();
    text_out_sent_ = 0;
  }
  const bool request_goes_on = request.has(flag::kContinue) || !request.has(flag::kFinal);
  if (text_out_.empty() && !request_goes_on) {
    text_tag_ = kReservedTag;
    pdu.bhs.set8(field::kFlags, flag::kFinal);
  } else {
    if (text_tag_ == kReservedTag) text_tag_ = next_transfer_tag_++;
    if (!text_out_.empty()) pdu.bhs.set8(field::kFlags, flag::kContinue);
  }
  pdu.bhs.set32(field::kTargetTransferTag, text_tag_);
  send(std::move(pdu), StatSn::advanced);
}

bool Connection::answer_text(std::string_view text) {
  auto parsed = parse_text(as_view(text));
  if (!parsed.ok()) return false;
  // A request has it once (RFC 7143 Appendix C): its answer is much longer than the question.
  const auto send_targets = [](const KeyValue& pair) { return pair.key == "SendTargets"; };
  if (std::count_if(parsed->begin(), parsed->end(), send_targets) > 1) return false;
  for (const KeyValue& pair : *parsed) {
    if (pair.key == "SendTargets") {
      if (!answer_send_targets(pair.value)) append_key(text_out_, pair.key, "Reject");
      continue;
    }
    if (pair.key == "MaxRecvDataSegmentLength") {
      // The one parameter an initiator may still change (RFC 7143 13.12).
      const auto length = parse_number(pair.value);
      if (length && *length >= 512 && *length < (1U << 24))
        parameters_.peer_max_recv_data_segment_length = static_cast<uint32_t>(*length);
      continue;
    }
    std::string unused;
    OperationalNegotiation login_only(options_.limits, false);
    const bool known = login_only.handle(pair.key, pair.value, unused);
    if (!is_answer_word(pair.value))
      append_key(text_out_, pair.key, known ? "Reject" : "NotUnderstood");
  }
  return true;
}

// RFC 7143 Appendix C: All in a discovery session only; in a normal one, its own target.
bool Connection::answer_send_targets(const std::string& value) {
  std::vector<std::string> names;
  if (value == "All") {
    if (!session_->login.discovery) return false;
    names = core_.registry.target_names();
  } else if (value.empty()) {
    if (session_->login.discovery) return false;
    names.push_back(session_->login.target_name);
  } else {
    const std::string name = normalize_name(value);
    const bool visible = session_->login.discovery || name == session_->login.target_name;
    if (visible && core_.registry.has_target(name)) names.push_back(name);
  }
  const std::string group = "," + std::to_string(options_.target_port_group);
  for (const std::string& name : names) {
    append_key(text_out_, "TargetName", name);
    // The address the initiator has reached us by comes first; it surely works.
    append_key(text_out_, "TargetAddress", local_address_ + group);
    for (const std::string& portal : core_.portals)
      if (portal != local_address_) append_key(text_out_, "TargetAddress", portal + group);
  }
  return true;
}

void Connection::handle_logout(const Bhs& bhs) {
  // RFC 7143 11.14.1: close the session, close the connection, remove it for recovery.
  constexpr uint8_t kCloseConnection = 1, kRecovery = 2;
  constexpr uint8_t kDone = 0, kNoSuchCid = 1, kRecoveryNotSupported = 2;
  const uint8_t reason = bhs.flags() & 0x7f;
  if (reason > kRecovery) {
    send_reject(RejectReason::invalid_pdu_field, bhs);
    return;
  }
  uint8_t response = kDone;
  if (reason == kRecovery) response = kRecoveryNotSupported;
  if (reason == kCloseConnection && bhs.get16(field::kCid) != session_->login.cid)
    response = kNoSuchCid;
  // The tasks end before the answer does (RFC 7143 11.14).
  if (response == kDone) abort_all(nullptr, false);
  OutPdu pdu;
  pdu.bhs = Bhs(Opcode::logout_response);
  pdu.bhs.set8(field::kResponse, response);
  pdu.bhs.set32(field::kInitiatorTaskTag, bhs.task_tag());
  pdu.bhs.set16(field::kTime2Wait, static_cast<uint16_t>(parameters_.default_time2wait_s));
  pdu.bhs.set16(field::kTime2Retain, static_cast<uint16_t>(parameters_.default_time2retain_s));
  send(std::move(pdu), StatSn::advanced);
  if (response == kDone) close_after_flush(Goodbye::now);
}

}  // namespace coldshelf::iscsi
