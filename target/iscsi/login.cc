#include "target/iscsi/login.h"

#include <algorithm>

namespace coldshelf::iscsi {

namespace {

std::optional<std::string> find_key(const std::vector<KeyValue>& keys, std::string_view name) {
  for (const KeyValue& pair : keys)
    if (pair.key == name) return pair.value;
  return std::nullopt;
}

uint8_t current_stage(const Bhs& request) { return (request.flags() >> 2) & 3; }
uint8_t next_stage(const Bhs& request) { return request.flags() & 3; }

bool is_declaration(std::string_view key) {
  return key == "InitiatorName" || key == "InitiatorAlias" || key == "TargetName" ||
         key == "SessionType";
}
bool is_security_key(std::string_view key) {
  return key == "AuthMethod" || key.substr(0, 5) == "CHAP_" || key.substr(0, 4) == "KRB_" ||
         key.substr(0, 5) == "SPKM_" || key.substr(0, 4) == "SRP_";
}
// Only a target may state these.
bool is_target_key(std::string_view key) {
  return key == "TargetAlias" || key == "TargetAddress" || key == "TargetPortalGroupTag";
}

}  // namespace

LoginMachine::LoginMachine(const ServerOptions& options, const LoginDirectory& directory,
                           Random& random)
    : options_(options),
      directory_(directory),
      random_(random),
      negotiation_(options.limits, false),
      expected_(options.chap),
      ours_(options.mutual) {}

LoginMachine::Response LoginMachine::base_response() const {
  Response response;
  response.bhs = Bhs(Opcode::login_response, 0);
  response.bhs.set8(field::kFlags, static_cast<uint8_t>(static_cast<unsigned>(stage_) << 2));
  // RFC 7143 11.13.2-3: version 0 is the only one there is.
  response.bhs.copy(field::kIsid, ByteView(result_.isid));
  response.bhs.set16(field::kTsih, result_.tsih);
  response.bhs.set32(field::kInitiatorTaskTag, request_.task_tag());
  response.bhs.set32(field::kStatSn, result_.stat_sn);
  response.bhs.set32(field::kExpCmdSn, result_.cmd_sn);
  response.bhs.set32(field::kMaxCmdSn, result_.cmd_sn + options_.command_window - 1);
  return response;
}

LoginMachine::Response LoginMachine::refuse(LoginStatus status) {
  Response response = base_response();
  response.bhs.set8(field::kFlags, static_cast<uint8_t>(request_.flags() & 0x0c));
  response.bhs.set16(field::kLoginStatus, static_cast<uint16_t>(status));
  response.close = true;
  response.send = !close_hard_;
  return response;
}

LoginStatus LoginMachine::check_header(const Bhs& request) {
  const uint8_t csg = current_stage(request);
  const uint8_t nsg = next_stage(request);
  const bool transit = request.has(flag::kFinal);
  if (csg > 1) return LoginStatus::initiator_error;
  if (transit && (nsg == 2 || nsg <= csg || request.has(flag::kContinue)))
    return LoginStatus::initiator_error;
  if (!started_) {
    started_ = true;
    result_.cmd_sn = request.get32(field::kCmdSn);
    // The first StatSN is ours to choose; what the initiator expects saves it a surprise.
    result_.stat_sn = request.get32(field::kExpStatSn);
    result_.cid = request.get16(field::kCid);
    result_.tsih = request.get16(field::kTsih);
    const ByteView isid = request.bytes(field::kIsid, 6);
    std::copy(isid.begin(), isid.end(), result_.isid.begin());
    stage_ = static_cast<Stage>(csg);
    if (request.get8(field::kVersionMin) > 0) return LoginStatus::unsupported_version;
    return LoginStatus::success;
  }
  // ISID, TSIH, CID and the task tag stay the same through one login (RFC 7143 6.3, 11.12).
  if (!equal(request.bytes(field::kIsid, 6), ByteView(result_.isid)) ||
      request.get16(field::kCid) != result_.cid || request.get16(field::kTsih) != result_.tsih ||
      request.task_tag() != request_.task_tag())
    return LoginStatus::initiator_error;
  if (csg != static_cast<uint8_t>(stage_)) return LoginStatus::invalid_during_login;
  return LoginStatus::success;
}

LoginMachine::Response LoginMachine::on_request(const Bhs& request, ByteView data) {
  if (request.opcode() != Opcode::login_request) {
    // RFC 7143 6.3: nothing but login requests before the full feature phase; a peer that does not
    // even begin with one is not answered.
    close_hard_ = !started_;
    return refuse(LoginStatus::invalid_during_login);
  }
  const LoginStatus header = check_header(request);
  request_ = request;
  if (header != LoginStatus::success) return refuse(header);
  if (directory_.stopping()) return refuse(LoginStatus::service_unavailable);
  if (collected_.size() + data.size() > kMaxTextLength) return refuse(LoginStatus::initiator_error);
  collected_.append(as_text(data));
  if (request.has(flag::kContinue)) {
    // RFC 7143 6.2: a request cut in the middle is answered by an empty response.
    Response response = base_response();
    ++result_.stat_sn;
    return response;
  }
  if (!pending_reply_.empty())
    return collected_.empty() ? finish_reply() : refuse(LoginStatus::initiator_error);

  auto parsed = parse_text(as_view(collected_));
  collected_.clear();
  if (!parsed.ok()) return refuse(LoginStatus::initiator_error);
  const Keys keys = std::move(parsed).value();
  if (!first_keys_seen_) {
    first_keys_seen_ = true;
    const LoginStatus first = check_first(keys);
    if (first != LoginStatus::success) return refuse(first);
  }
  const LoginStatus status = handle_keys(keys, stage_, pending_reply_);
  if (status != LoginStatus::success) return refuse(status);
  if (stage_ == Stage::operational) negotiation_.declare(pending_reply_);
  return finish_reply();
}

// Sends what there is to say; the stage is left only with the last of it.
LoginMachine::Response LoginMachine::finish_reply() {
  Response response = base_response();
  // The initiator takes 8,192 bytes until it has said otherwise (RFC 7143 13.12).
  const size_t length = std::min<size_t>(pending_reply_.size(), kDefaultMaxRecvDataSegmentLength);
  response.text = pending_reply_.substr(0, length);
  pending_reply_.erase(0, length);
  if (!pending_reply_.empty()) {
    response.bhs.set8(field::kFlags,
                      static_cast<uint8_t>(flag::kContinue | (request_.flags() & 0x0c)));
  } else {
    const LoginStatus status = advance(request_, response);
    if (status != LoginStatus::success) return refuse(status);
  }
  ++result_.stat_sn;
  return response;
}

LoginStatus LoginMachine::check_first(const Keys& keys) {
  const auto initiator = find_key(keys, "InitiatorName");
  if (!initiator || initiator->empty()) return LoginStatus::missing_parameter;
  result_.initiator_name = normalize_name(*initiator);
  if (result_.initiator_name.size() > 223) return LoginStatus::initiator_error;
  result_.initiator_alias = find_key(keys, "InitiatorAlias").value_or("").substr(0, 255);
  const std::string type = find_key(keys, "SessionType").value_or("Normal");
  if (type != "Normal" && type != "Discovery") return LoginStatus::session_type_not_supported;
  result_.discovery = type == "Discovery";
  negotiation_.set_discovery(result_.discovery);
  if (!result_.discovery) {
    const auto target = find_key(keys, "TargetName");
    if (!target || target->empty()) return LoginStatus::missing_parameter;
    result_.target_name = normalize_name(*target);
    if (!directory_.find_target(result_.target_name)) return LoginStatus::not_found;
    const LoginStatus chosen = choose_chap();
    if (chosen != LoginStatus::success) return chosen;
  }
  if (result_.tsih != 0)
    return directory_.check_session(result_.tsih, result_.initiator_name, result_.target_name,
                                    result_.isid, result_.cid);
  return LoginStatus::success;
}

LoginStatus LoginMachine::choose_chap() {
  const auto rule = directory_.chap_of(result_.target_name, result_.initiator_name);
  if (!rule) return LoginStatus::success;
  if (rule->none) return LoginStatus::authentication_failure;
  expected_ = ChapCredentials{rule->chap.initiator, rule->chap.initiator_secret};
  ours_.reset();
  if (!rule->chap.target_secret.empty()) {
    ours_ = ChapCredentials{result_.target_name, rule->chap.target_secret};
  }
  return LoginStatus::success;
}

LoginStatus LoginMachine::check_duplicates(const Keys& keys) {
  // RFC 7143 6.3: a key is negotiated once in a login; CHAP keys have their own order.
  for (const KeyValue& pair : keys) {
    if (pair.key == "InitiatorName" || pair.key == "SessionType" || pair.key == "TargetName" ||
        pair.key == "InitiatorAlias" || is_answer_word(pair.value))
      continue;
    if (find_key(seen_, pair.key)) return LoginStatus::initiator_error;
    if (seen_.size() == kMaxKeysPerExchange) return LoginStatus::initiator_error;
    seen_.push_back({pair.key, {}});
  }
  return LoginStatus::success;
}

LoginStatus LoginMachine::handle_keys(const Keys& keys, Stage stage, std::string& reply) {
  const LoginStatus duplicates = check_duplicates(keys);
  if (duplicates != LoginStatus::success) return duplicates;
  if (!identity_sent_ && !result_.discovery) {
    // RFC 7143 13.9: with the first response of a normal session.
    identity_sent_ = true;
    append_key(reply, "TargetPortalGroupTag", std::to_string(options_.target_port_group));
    const auto target = directory_.find_target(result_.target_name);
    if (target && !target->alias.empty()) append_key(reply, "TargetAlias", target->alias);
  }
  if (stage == Stage::security) {
    const LoginStatus status = handle_security(keys, reply);
    if (status != LoginStatus::success) return status;
  }
  for (const KeyValue& pair : keys) {
    if (is_declaration(pair.key)) continue;
    if (is_security_key(pair.key)) {
      if (stage != Stage::security) return LoginStatus::initiator_error;
      continue;
    }
    if (is_target_key(pair.key)) {
      append_key(reply, pair.key, "Reject");
    } else if (!negotiation_.handle(pair.key, pair.value, reply) && !is_answer_word(pair.value)) {
      append_key(reply, pair.key, "NotUnderstood");  // RFC 7143 6.2
    }
  }
  return LoginStatus::success;
}

LoginStatus LoginMachine::handle_security(const Keys& keys, std::string& reply) {
  if (const auto offered = find_key(keys, "AuthMethod")) {
    const LoginStatus status = handle_auth_method(*offered, reply);
    if (status != LoginStatus::success) return status;
  }
  const bool chap_keys = std::any_of(keys.begin(), keys.end(), [](const KeyValue& pair) {
    return pair.key.substr(0, 5) == "CHAP_";
  });
  return chap_keys ? handle_chap(keys, reply) : LoginStatus::success;
}

LoginStatus LoginMachine::handle_auth_method(const std::string& offered, std::string& reply) {
  const std::string_view wanted = expected_ ? "CHAP" : "None";
  const auto list = split_list(offered);
  if (std::find(list.begin(), list.end(), wanted) == list.end())
    return LoginStatus::authentication_failure;
  append_key(reply, "AuthMethod", wanted);
  if (expected_) chap_.emplace(*expected_, ours_ ? &*ours_ : nullptr, random_);
  return LoginStatus::success;
}

LoginStatus LoginMachine::handle_chap(const Keys& keys, std::string& reply) {
  if (!chap_ || authenticated_) return LoginStatus::initiator_error;
  ChapExchange::Outcome outcome = ChapExchange::Outcome::failed;
  if (const auto algorithms = find_key(keys, "CHAP_A")) {
    if (chap_->begun()) return LoginStatus::initiator_error;
    outcome = chap_->begin(*algorithms, reply);
  } else if (chap_->begun()) {
    const ChapExchange::Proof proof{find_key(keys, "CHAP_N"), find_key(keys, "CHAP_R"),
                                    find_key(keys, "CHAP_I"), find_key(keys, "CHAP_C")};
    outcome = chap_->finish(proof, reply);
    authenticated_ = outcome == ChapExchange::Outcome::ok;
  }
  close_hard_ = outcome == ChapExchange::Outcome::close;
  return outcome == ChapExchange::Outcome::ok ? LoginStatus::success
                                              : LoginStatus::authentication_failure;
}

LoginStatus LoginMachine::advance(const Bhs& request, Response& response) {
  const bool proven = !expected_ || authenticated_;
  // Leaving, or skipping, the security stage without the proof we ask for.
  if (stage_ == Stage::operational && !proven) return LoginStatus::authentication_failure;
  if (!request.has(flag::kFinal)) return LoginStatus::success;
  // An exchange under way: we stay in the stage, the initiator goes on with its next step.
  if (stage_ == Stage::security && !proven)
    return chap_ ? LoginStatus::success : LoginStatus::authentication_failure;
  const uint8_t nsg = next_stage(request);
  response.bhs.set8(field::kFlags, static_cast<uint8_t>(
                                       flag::kFinal | (static_cast<unsigned>(stage_) << 2) | nsg));
  stage_ = static_cast<Stage>(nsg);
  if (stage_ == Stage::full_feature) {
    result_.parameters = negotiation_.parameters();
    response.complete = true;
  }
  return LoginStatus::success;
}

}  // namespace coldshelf::iscsi
