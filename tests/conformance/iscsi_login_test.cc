// The login phase and text requests, PDU by PDU (RFC 7143 clauses 6, 11.10-11.13, 12, 13).
#include <algorithm>

#include "target/iscsi/chap.h"
#include "target/iscsi/text.h"
#include "tests/conformance/iscsi_fixture.h"

namespace coldshelf::testing {
namespace {

using namespace iscsi;                  // NOLINT
constexpr uint8_t kToFull = 0x87;       // T, operational -> full feature
constexpr uint8_t kSecurity = 0x00;     // security, no transit
constexpr uint8_t kSecToOp = 0x81;      // T, security -> operational
constexpr uint8_t kSecToFull = 0x83;    // T, security -> full feature
constexpr uint8_t kOperational = 0x04;  // operational, no transit

class IscsiLoginTest : public IscsiFixture {
 protected:
  Keys hello(Keys more = {}) const {
    Keys keys = {{"InitiatorName", "iqn.2026-11.io.coldshelf.test:raw"},
                 {"SessionType", "Normal"},
                 {"TargetName", kTarget}};
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
  }
  // A refused login: the status, then the end of the connection.
  void expect_refused(uint8_t flags, const Keys& keys, LoginStatus status) {
    IscsiRawClient client(endpoint());
    const auto response = client.login_step(flags, keys);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->bhs.opcode(), Opcode::login_response);
    EXPECT_EQ(response->login_status(), static_cast<uint16_t>(status));
    EXPECT_TRUE(client.closed_by_peer());
  }
};

TEST_F(IscsiLoginTest, NegotiatesEveryKey) {
  start();
  IscsiRawClient client(endpoint());
  const auto response = client.login_step(kToFull, hello({{"HeaderDigest", "None,CRC32C"},
                                                          {"DataDigest", "CRC32C,None"},
                                                          {"MaxConnections", "4"},
                                                          {"InitialR2T", "No"},
                                                          {"ImmediateData", "Yes"},
                                                          {"MaxRecvDataSegmentLength", "65536"},
                                                          {"MaxBurstLength", "16776192"},
                                                          {"FirstBurstLength", "0x10000"},
                                                          {"DefaultTime2Wait", "1"},
                                                          {"DefaultTime2Retain", "20"},
                                                          {"MaxOutstandingR2T", "4"},
                                                          {"DataPDUInOrder", "No"},
                                                          {"DataSequenceInOrder", "No"},
                                                          {"ErrorRecoveryLevel", "2"},
                                                          {"IFMarker", "Yes"},
                                                          {"OFMarkInt", "2048"},
                                                          {"TaskReporting", "FastAbort,RFC3720"},
                                                          {"iSCSIProtocolLevel", "2"},
                                                          {"X-com.example.key", "1"}}));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->login_status(), 0);
  EXPECT_NE(response->bhs.get16(field::kTsih), 0);
  const auto keys = response->keys();
  const std::map<std::string, std::string> expected = {{"TargetPortalGroupTag", "1"},
                                                       {"TargetAlias", "drive 1"},
                                                       {"HeaderDigest", "None"},
                                                       {"DataDigest", "CRC32C"},
                                                       {"MaxConnections", "1"},
                                                       {"InitialR2T", "No"},
                                                       {"ImmediateData", "Yes"},
                                                       {"MaxRecvDataSegmentLength", "262144"},
                                                       {"MaxBurstLength", "1048576"},
                                                       {"FirstBurstLength", "65536"},
                                                       {"DefaultTime2Wait", "2"},
                                                       {"DefaultTime2Retain", "0"},
                                                       {"MaxOutstandingR2T", "4"},
                                                       {"DataPDUInOrder", "Yes"},
                                                       {"DataSequenceInOrder", "Yes"},
                                                       {"ErrorRecoveryLevel", "0"},
                                                       {"IFMarker", "No"},
                                                       {"OFMarkInt", "Reject"},
                                                       {"TaskReporting", "RFC3720"},
                                                       {"iSCSIProtocolLevel", "1"},
                                                       {"X-com.example.key", "NotUnderstood"}};
  EXPECT_EQ(keys, expected);
}

TEST_F(IscsiLoginTest, RefusesWithTheRightStatus) {
  start();
  expect_refused(kToFull, {{"SessionType", "Normal"}, {"TargetName", kTarget}},
                 LoginStatus::missing_parameter);
  expect_refused(kToFull, {{"InitiatorName", "iqn.a:b"}}, LoginStatus::missing_parameter);
  expect_refused(kToFull, {{"InitiatorName", "iqn.a:b"}, {"TargetName", "iqn.no:such"}},
                 LoginStatus::not_found);
  expect_refused(kToFull, {{"InitiatorName", "iqn.a:b"}, {"SessionType", "Other"}},
                 LoginStatus::session_type_not_supported);
  expect_refused(kSecurity, hello({{"AuthMethod", "CHAP"}}), LoginStatus::authentication_failure);
  expect_refused(0x86, hello(), LoginStatus::initiator_error);  // NSG 2 is reserved
  expect_refused(0x8b, hello(), LoginStatus::initiator_error);  // CSG 2 is reserved
  expect_refused(0x84, hello(), LoginStatus::initiator_error);  // NSG below CSG
  expect_refused(0xc7, hello(), LoginStatus::initiator_error);  // Transit and Continue
  // A key negotiated twice (RFC 7143 6.3).
  expect_refused(kToFull, hello({{"InitialR2T", "Yes"}, {"InitialR2T", "No"}}),
                 LoginStatus::initiator_error);
}

TEST_F(IscsiLoginTest, RefusesVersionsAndUnknownSessions) {
  start();
  {
    IscsiRawClient client(endpoint());
    Bhs bhs(Opcode::login_request, kToFull);
    bhs.set8(0, 0x43);
    bhs.set8(field::kVersionMax, 3);
    bhs.set8(field::kVersionMin, 1);
    client.send_pdu(bhs, as_view("InitiatorName=iqn.a:b"));
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->login_status(), static_cast<uint16_t>(LoginStatus::unsupported_version));
  }
  IscsiRawClient client(endpoint());
  client.tsih = 77;
  const auto response = client.login_step(kToFull, hello());
  ASSERT_TRUE(response);
  EXPECT_EQ(response->login_status(), static_cast<uint16_t>(LoginStatus::session_does_not_exist));
}

TEST_F(IscsiLoginTest, ASecondConnectionIsTooMany) {
  start();
  IscsiRawClient first(endpoint());
  ASSERT_TRUE(first.login(kTarget));
  IscsiRawClient second(endpoint());
  second.tsih = first.tsih;
  second.cid = 2;
  const auto response = second.login_step(kToFull, hello());
  ASSERT_TRUE(response);
  EXPECT_EQ(response->login_status(), static_cast<uint16_t>(LoginStatus::too_many_connections));
  EXPECT_EQ(first.complete(first.send_command({0}, kF, 0)).status, 0);
}

TEST_F(IscsiLoginTest, TheSameConnectionIsReinstated) {
  start();
  IscsiRawClient first(endpoint());
  ASSERT_TRUE(first.login(kTarget));
  IscsiRawClient second(endpoint());
  second.tsih = first.tsih;
  ASSERT_TRUE(second.login(kTarget));
  EXPECT_EQ(second.tsih, first.tsih);
  EXPECT_TRUE(first.closed_by_peer());
  EXPECT_EQ(second.complete(second.send_command({0}, kF, 0)).status, 0);
}

TEST_F(IscsiLoginTest, TheSameNexusReinstatesTheSession) {
  start();
  IscsiRawClient first(endpoint());
  ASSERT_TRUE(first.login(kTarget));
  first.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  IscsiRawClient other(endpoint());
  other.isid[5] = 99;  // another port: left alone
  ASSERT_TRUE(other.login(kTarget));
  IscsiRawClient second(endpoint());
  ASSERT_TRUE(second.login(kTarget));
  EXPECT_NE(second.tsih, first.tsih);
  EXPECT_TRUE(first.closed_by_peer());
  EXPECT_EQ(second.complete(second.send_command({0}, kF, 0)).status, 0);
  EXPECT_EQ(other.complete(other.send_command({0}, kF, 0)).status, 0);
  EXPECT_EQ(server->sessions().size(), 2U);
  const auto events = unit->events();
  ASSERT_EQ(events.size(), 4U);  // two established, then the first lost before the third
  EXPECT_EQ(events[2].substr(0, 4), "lost");
  EXPECT_EQ(events[3].substr(0, 11), "established");
}

TEST_F(IscsiLoginTest, TextGoesOverSeveralPdus) {
  start();
  IscsiRawClient client(endpoint());
  std::string text;
  append_key(text, "InitiatorName", client.initiator_name);
  append_key(text, "TargetName", kTarget);
  append_key(text, "MaxBurstLength", "65536");
  // Cut in the middle of a key, twice.
  for (const size_t cut : {size_t{7}, size_t{50}}) {
    const auto partial = client.login_text(0x44, text.substr(0, cut));
    ASSERT_TRUE(partial);
    EXPECT_EQ(partial->login_status(), 0);
    EXPECT_EQ(partial->bhs.flags() & 0x80, 0);
    EXPECT_TRUE(partial->data.empty());
    text.erase(0, cut);
  }
  const auto last = client.login_text(kToFull, text);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->login_status(), 0);
  EXPECT_EQ(last->bhs.flags(), kToFull);
  EXPECT_EQ(last->keys()["MaxBurstLength"], "65536");
}

TEST_F(IscsiLoginTest, ContinuedTextIsBounded) {
  start();
  IscsiRawClient client(endpoint());
  const std::string part(8192, 'a');
  std::optional<InPdu> response;
  for (int i = 0; i < 9; ++i) {
    response = client.login_text(0x44, part);
    ASSERT_TRUE(response);
    if (response->login_status() != 0) break;
  }
  EXPECT_EQ(response->login_status(), static_cast<uint16_t>(LoginStatus::initiator_error));
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(IscsiLoginTest, AnswersLongerThanAPduAreContinued) {
  start();
  IscsiRawClient client(endpoint());
  Keys keys = hello();
  for (int i = 0; i < 240; ++i)
    keys.emplace_back("X-" + std::string(20, 'k') + std::to_string(i), "1");
  auto response = client.login_step(kToFull, keys);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.flags(), 0x44);  // Continue, no Transit
  std::string text = response->text();
  while (response && (response->bhs.flags() & 0x40) != 0) {
    EXPECT_LE(response->data.size(), 8192U);
    response = client.login_step(kToFull, {});
    ASSERT_TRUE(response);
    text += response->text();
  }
  EXPECT_EQ(response->bhs.flags(), kToFull);
  EXPECT_EQ(static_cast<int>(std::count(text.begin(), text.end(), '\0')), 240 + 3);
  EXPECT_EQ(client.complete(client.send_command({0}, kF, 0)).status, 0);
}

TEST_F(IscsiLoginTest, WhatIsNoLoginIsNotAnswered) {
  start();
  IscsiRawClient client(endpoint());
  client.send_nop({});
  EXPECT_FALSE(client.receive());
  EXPECT_TRUE(client.closed_by_peer());
  // A login that turns into something else gets its status.
  IscsiRawClient second(endpoint());
  ASSERT_TRUE(second.login_step(kOperational, hello()));
  second.send_nop({});
  const auto response = second.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->login_status(), static_cast<uint16_t>(LoginStatus::invalid_during_login));
}

TEST_F(IscsiLoginTest, OversizeLoginEndsTheConnection) {
  start();
  IscsiRawClient client(endpoint());
  Bhs bhs(Opcode::login_request, kToFull);
  bhs.set8(0, 0x43);
  bhs.set_data_length((1U << 24) - 1);
  client.send_bytes(bhs.bytes());
  EXPECT_TRUE(client.closed_by_peer());
}

class IscsiChapTest : public IscsiLoginTest {
 protected:
  void SetUp() override {
    options.chap = ChapCredentials{"backup", Secret(std::string_view("initiator-secret"))};
    options.mutual = ChapCredentials{"shelf", Secret(std::string_view("the-target-secret"))};
    start();
  }
  std::string respond(const std::map<std::string, std::string>& challenge, bool base64,
                      std::string_view secret = "initiator-secret") {
    const auto bytes = parse_binary(challenge.at("CHAP_C"));
    const auto algorithm = static_cast<ChapAlgorithm>(std::stoi(challenge.at("CHAP_A")));
    const Buffer answer = chap_response(
        algorithm, static_cast<uint8_t>(std::stoi(challenge.at("CHAP_I"))), Secret(secret), *bytes);
    return base64 ? "0b" + to_base64(answer) : encode_hex(answer);
  }
};

TEST_F(IscsiChapTest, EveryAlgorithmAndEncodingBothWays) {
  for (const char* algorithm : {"5", "6", "7"}) {
    for (const bool base64 : {false, true}) {
      IscsiRawClient client(endpoint());
      auto response = client.login_step(kSecurity, hello({{"AuthMethod", "CHAP,None"}}));
      ASSERT_TRUE(response);
      EXPECT_EQ(response->keys()["AuthMethod"], "CHAP");
      response = client.login_step(kSecurity, {{"CHAP_A", algorithm}});
      ASSERT_TRUE(response);
      const auto challenge = response->keys();
      EXPECT_EQ(challenge.at("CHAP_A"), algorithm);
      const Buffer ours = pattern(16, 3);
      const std::string ours_text = base64 ? "0b" + to_base64(ours) : encode_hex(ours);
      response = client.login_step(kSecToOp, {{"CHAP_N", "backup"},
                                              {"CHAP_R", respond(challenge, base64)},
                                              {"CHAP_I", "7"},
                                              {"CHAP_C", ours_text}});
      ASSERT_TRUE(response);
      ASSERT_EQ(response->login_status(), 0);
      EXPECT_EQ(response->bhs.flags(), kSecToOp);
      auto proof = response->keys();
      EXPECT_EQ(proof["CHAP_N"], "shelf");
      const Buffer wanted = chap_response(static_cast<ChapAlgorithm>(std::stoi(algorithm)), 7,
                                          Secret(std::string_view("the-target-secret")), ours);
      EXPECT_EQ(proof["CHAP_R"], encode_hex(wanted));
      response = client.login_step(kToFull, {});
      ASSERT_TRUE(response);
      EXPECT_EQ(response->login_status(), 0);
      EXPECT_EQ(client.complete(client.send_command({0}, kF, 0)).status, 0);
    }
  }
}

TEST_F(IscsiChapTest, AReflectedChallengeClosesTheConnection) {
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login_step(kSecurity, hello({{"AuthMethod", "CHAP"}})));
  const auto response = client.login_step(kSecurity, {{"CHAP_A", "5"}});
  ASSERT_TRUE(response);
  const auto challenge = response->keys();
  const auto answer = client.login_step(kSecToOp, {{"CHAP_N", "backup"},
                                                   {"CHAP_R", respond(challenge, false)},
                                                   {"CHAP_I", challenge.at("CHAP_I")},
                                                   {"CHAP_C", challenge.at("CHAP_C")}});
  EXPECT_FALSE(answer);
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(IscsiChapTest, NothingButTheProofOpensTheDoor) {
  expect_refused(kToFull, hello(), LoginStatus::authentication_failure);
  expect_refused(kSecToFull, hello(), LoginStatus::authentication_failure);
  expect_refused(kSecurity, hello({{"AuthMethod", "None"}}), LoginStatus::authentication_failure);
  expect_refused(kSecurity, hello({{"AuthMethod", "CHAP"}, {"CHAP_A", "99"}}),
                 LoginStatus::authentication_failure);
  expect_refused(kSecurity, hello({{"CHAP_A", "5"}}), LoginStatus::initiator_error);
  expect_refused(kSecToFull,
                 hello({{"AuthMethod", "CHAP"}, {"CHAP_N", "backup"}, {"CHAP_R", "0x00"}}),
                 LoginStatus::authentication_failure);
  // Leaving while the exchange is open: we stay in the security stage.
  IscsiRawClient client(endpoint());
  auto response = client.login_step(kSecToFull, hello({{"AuthMethod", "CHAP"}}));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.flags() & 0x80, 0);
  response = client.login_step(kSecToFull, {});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.flags() & 0x80, 0);
  EXPECT_TRUE(server->sessions().empty());
}

TEST_F(IscsiChapTest, DiscoveryNeedsTheProofToo) {
  IscsiRawClient client(endpoint());
  EXPECT_FALSE(client.login_discovery());
}

TEST_F(IscsiLoginTest, SendTargets) {
  start();
  IscsiRawClient discovery(endpoint());
  ASSERT_TRUE(discovery.login_discovery());
  discovery.send_text({{"SendTargets", "All"}});
  auto response = discovery.receive();
  ASSERT_TRUE(response);
  EXPECT_NE(response->text().find(std::string("TargetName=") + kTarget), std::string::npos);
  EXPECT_NE(response->text().find(std::string("TargetName=") + kSecondTarget), std::string::npos);
  EXPECT_NE(response->text().find("TargetAddress=" + endpoint() + ",1"), std::string::npos);
  discovery.send_text({{"SendTargets", kSecondTarget}});
  response = discovery.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->text().find(kTarget), std::string::npos);
  EXPECT_NE(response->text().find(kSecondTarget), std::string::npos);
  discovery.send_text({{"SendTargets", "iqn.no:such"}});
  response = discovery.receive();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->data.empty());
  // No SCSI in a discovery session.
  discovery.send_command({0}, kF, 0);
  response = discovery.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::reject);

  IscsiRawClient normal(endpoint());
  ASSERT_TRUE(normal.login(kTarget));
  normal.send_text({{"SendTargets", ""}});
  response = normal.receive();
  ASSERT_TRUE(response);
  EXPECT_NE(response->text().find(kTarget), std::string::npos);
  normal.send_text({{"SendTargets", "All"}, {"Unheard", "of"}});
  response = normal.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->keys()["SendTargets"], "Reject");
  EXPECT_EQ(response->keys()["Unheard"], "NotUnderstood");
}

TEST_F(IscsiLoginTest, LongTextResponsesAreContinued) {
  start();
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(
        server->add_target({"iqn.2026-11.io.coldshelf:more-" + std::to_string(i), "", unit}).ok());
  IscsiRawClient client(endpoint());
  const auto login = client.login_step(kToFull, {{"InitiatorName", client.initiator_name},
                                                 {"SessionType", "Discovery"},
                                                 {"MaxRecvDataSegmentLength", "512"},
                                                 {"MaxBurstLength", "8192"}});
  ASSERT_TRUE(login);
  EXPECT_EQ(login->keys()["MaxBurstLength"], "Irrelevant");
  client.send_text({{"SendTargets", "All"}});
  std::string text;
  for (int pdus = 0; pdus < 100; ++pdus) {
    const auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_LE(response->data.size(), 512U);
    text += response->text();
    if (response->bhs.has(flag::kFinal)) break;
    EXPECT_TRUE(response->bhs.has(flag::kContinue));
    client.send_text({}, response->bhs.get32(field::kTargetTransferTag));
  }
  size_t names = 0;
  for (size_t at = 0; (at = text.find("TargetName=", at)) != std::string::npos; ++at) ++names;
  EXPECT_EQ(names, 102U);
}

TEST_F(IscsiLoginTest, TextIsAnsweredBeforeMoreIsAsked) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login_step(kToFull, {{"InitiatorName", client.initiator_name},
                                          {"SessionType", "Discovery"},
                                          {"MaxRecvDataSegmentLength", "512"}}));
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(
        server->add_target({"iqn.2026-11.io.coldshelf:more-" + std::to_string(i), "", unit}).ok());
  const Keys all = {{"SendTargets", "All"}};
  client.send_text(all);
  auto response = client.receive();
  ASSERT_TRUE(response);
  ASSERT_TRUE(response->bhs.has(flag::kContinue));
  const uint32_t transfer_tag = response->bhs.get32(field::kTargetTransferTag);
  client.send_text(all, transfer_tag);
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::reject) << "the rest of the first answer comes first";
  client.send_text({}, transfer_tag);
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::reject) << "the exchange has ended";
  client.send_text({{"SendTargets", "All"}, {"SendTargets", "All"}});
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::reject) << "one for each request";
  client.send_text({{"SendTargets", kTarget}});
  response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::text_response);
  EXPECT_NE(response->text().find(kTarget), std::string::npos);
}

TEST_F(IscsiLoginTest, RefusesToListenUnprotected) {
  options.listen = {"0.0.0.0:0"};
  const auto refused = Server::start(options, {}, random);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::permission);
  EXPECT_NE(refused.error().message().find("allow_unauthenticated"), std::string::npos);
  options.chap = ChapCredentials{"backup", Secret(std::string_view("short"))};
  EXPECT_FALSE(Server::start(options, {}, random).ok());
  options.chap = ChapCredentials{"backup", Secret(std::string_view("long-enough-secret"))};
  options.mutual = options.chap;  // the same secret both ways
  EXPECT_FALSE(Server::start(options, {}, random).ok());
}

TEST_F(IscsiLoginTest, TargetsComeAndGo) {
  start();
  EXPECT_FALSE(server->add_target({kTarget, "", unit}).ok());
  EXPECT_FALSE(server->add_target({"not a name", "", unit}).ok());
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  ASSERT_TRUE(server->remove_target(kTarget, std::chrono::milliseconds(100)).ok());
  const auto asked = client.receive();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->bhs.opcode(), Opcode::async_message);
  EXPECT_TRUE(client.closed_by_peer());  // did not log out: closed after the grace
  IscsiRawClient late(endpoint());
  EXPECT_FALSE(late.login(kTarget));
  EXPECT_FALSE(server->remove_target(kTarget, std::chrono::milliseconds(0)).ok());
}

}  // namespace
}  // namespace coldshelf::testing
