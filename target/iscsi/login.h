// The login phase (RFC 7143 clause 6) as a state machine without I/O: a request in, a response out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/negotiation.h"
#include "target/iscsi/options.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/target_chap.h"
#include "target/iscsi/text.h"

namespace coldshelf::iscsi {

// What the login phase asks of the server.
class LoginDirectory {
 public:
  virtual ~LoginDirectory() = default;
  struct TargetInfo {
    std::string alias;
  };
  virtual std::optional<TargetInfo> find_target(const std::string& name) const = 0;
  // What this initiator has to prove to this target. Of a target that has credentials of its own,
  // those; `none` when it has, but not for this initiator. Nothing: the server's hold.
  struct ChapRule {
    bool none = false;
    TargetChap chap;
  };
  virtual std::optional<ChapRule> chap_of(const std::string& /*target*/,
                                          const std::string& /*initiator*/) const {
    return std::nullopt;
  }
  // May a login that names an existing session (TSIH not 0) go on?
  virtual LoginStatus check_session(uint16_t tsih, const std::string& initiator,
                                    const std::string& target, const std::array<std::byte, 6>& isid,
                                    uint16_t cid) const = 0;
  virtual bool stopping() const = 0;
};

struct LoginResult {
  std::string initiator_name;
  std::string initiator_alias;
  std::string target_name;  // empty: discovery session
  bool discovery = false;
  std::array<std::byte, 6> isid{};
  uint16_t tsih = 0;  // as the initiator sent it; 0: a new session
  uint16_t cid = 0;
  uint32_t cmd_sn = 0;
  uint32_t stat_sn = 0;  // the next one to use
  SessionParameters parameters;
};

class LoginMachine {
 public:
  LoginMachine(const ServerOptions& options, const LoginDirectory& directory, Random& random);

  struct Response {
    bool send = true;       // false: just close
    bool close = false;     // after sending
    bool complete = false;  // the session can be registered; its TSIH goes into `bhs`
    Bhs bhs;
    std::string text;
  };
  Response on_request(const Bhs& request, ByteView data);
  // Turns a complete response into a refusal, e.g. when the session cannot be registered.
  Response refuse(LoginStatus status);
  const LoginResult& result() const { return result_; }

 private:
  enum class Stage : uint8_t { security = 0, operational = 1, full_feature = 3 };
  using Keys = std::vector<KeyValue>;

  LoginStatus check_header(const Bhs& request);
  LoginStatus check_first(const Keys& keys);
  LoginStatus handle_keys(const Keys& keys, Stage stage, std::string& reply);
  LoginStatus handle_security(const Keys& keys, std::string& reply);
  LoginStatus choose_chap();
  LoginStatus handle_auth_method(const std::string& offered, std::string& reply);
  LoginStatus handle_chap(const Keys& keys, std::string& reply);
  LoginStatus check_duplicates(const Keys& keys);
  LoginStatus advance(const Bhs& request, Response& response);
  Response finish_reply();
  Response base_response() const;

  const ServerOptions& options_;
  const LoginDirectory& directory_;
  Random& random_;
  LoginResult result_;
  OperationalNegotiation negotiation_;
  // What this login has to prove; none: nothing. `ours_`: what we prove to who asks.
  std::optional<ChapCredentials> expected_, ours_;
  std::optional<ChapExchange> chap_;
  Bhs request_;  // the last one
  Stage stage_ = Stage::security;
  bool started_ = false;
  bool first_keys_seen_ = false;
  bool identity_sent_ = false;
  bool authenticated_ = false;
  bool close_hard_ = false;
  std::string collected_;      // text of a request continued with the C bit
  std::string pending_reply_;  // text of ours that did not fit one PDU
  Keys seen_;                  // keys of this login, to notice a second negotiation of one
};

}  // namespace coldshelf::iscsi
