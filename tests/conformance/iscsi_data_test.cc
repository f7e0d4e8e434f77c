// Commands and data, PDU by PDU (RFC 7143 4.2.2, 4.2.5, 11.3-11.8).
#include <algorithm>

#include "tests/conformance/iscsi_fixture.h"

namespace coldshelf::testing {
namespace {

using namespace iscsi;  // NOLINT
constexpr uint16_t kUnexpectedData = 0x0c0c;

class IscsiDataTest : public IscsiFixture {
 protected:
  void expect_reject(IscsiRawClient& client, RejectReason reason, const Bhs* header = nullptr) {
    const auto pdu = client.receive();
    ASSERT_TRUE(pdu);
    ASSERT_EQ(pdu->bhs.opcode(), Opcode::reject);
    EXPECT_EQ(pdu->bhs.get8(field::kResponse), static_cast<uint8_t>(reason));
    ASSERT_EQ(pdu->data.size(), kBhsLength);
    if (header != nullptr) {
      EXPECT_TRUE(equal(pdu->data, header->bytes()));
    }
  }
  // A session beside the one under test still works.
  void expect_others_work() {
    IscsiRawClient other(endpoint());
    other.isid[5] = 77;
    ASSERT_TRUE(other.login(kTarget));
    expect_alive(other);
  }
};

struct DataRules {
  const char* initial_r2t;
  const char* immediate_data;
};
class IscsiUnsolicitedTest : public IscsiDataTest,
                             public ::testing::WithParamInterface<DataRules> {};

// All four combinations: what is allowed works, what is not is answered 0C/0C and writes nothing.
TEST_P(IscsiUnsolicitedTest, FollowsTheRules) {
  start();
  const bool initial_r2t = std::string(GetParam().initial_r2t) == "Yes";
  const bool immediate_data = std::string(GetParam().immediate_data) == "Yes";
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget, {{"InitialR2T", GetParam().initial_r2t},
                                     {"ImmediateData", GetParam().immediate_data},
                                     {"FirstBurstLength", "8192"},
                                     {"MaxBurstLength", "16384"}}));
  const Buffer data = pattern(32768, 11);
  const ByteView view(data);
  // Solicited only: always allowed, in bursts of MaxBurstLength.
  auto outcome = client.complete(client.send_command(write10(0, 64), kF | kW, 32768), data);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(std::count_if(outcome.pdus.begin(), outcome.pdus.end(),
                          [](const Bhs& bhs) { return bhs.opcode() == Opcode::r2t; }),
            2);
  EXPECT_TRUE(equal(stored(0, 32768), data));

  // Immediate data, the rest solicited.
  const uint32_t immediate =
      client.send_command(write10(100, 64), kF | kW, 32768, view.first(4096));
  outcome = client.complete(immediate, data);
  if (immediate_data) {
    EXPECT_EQ(outcome.status, 0);
    EXPECT_TRUE(equal(stored(100, 32768), data));
  } else {
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.sense_key(), 0x0b);
    EXPECT_EQ(outcome.asc(), kUnexpectedData);
  }

  // Unsolicited Data-Out up to FirstBurstLength, the rest solicited.
  const uint32_t unsolicited = client.send_command(write10(200, 64), kW, 32768);
  client.send_data_out(unsolicited, kReservedTag, 0, 0, view.first(4096), false);
  client.send_data_out(unsolicited, kReservedTag, 1, 4096, view.subspan(4096, 4096), true);
  outcome = client.complete(unsolicited, data);
  if (!initial_r2t) {
    EXPECT_EQ(outcome.status, 0);
    EXPECT_TRUE(equal(stored(200, 32768), data));
  } else {
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.asc(), kUnexpectedData);
  }

  // Both kinds.
  const uint32_t both = client.send_command(write10(300, 16), kW, 8192, view.first(4096));
  client.send_data_out(both, kReservedTag, 0, 4096, view.subspan(4096, 4096), true);
  outcome = client.complete(both, data);
  EXPECT_EQ(outcome.status, immediate_data && !initial_r2t ? 0 : 2);
  if (outcome.status == 0) {
    EXPECT_TRUE(equal(stored(300, 8192), view.first(8192)));
  }

  // More immediate data than FirstBurstLength is never right.
  outcome = client.complete(client.send_command(write10(400, 64), kF | kW, 32768, view.first(8704)),
                            data);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.asc(), kUnexpectedData);
  expect_alive(client);
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Iscsi, IscsiUnsolicitedTest,
                         ::testing::Values(DataRules{"Yes", "Yes"}, DataRules{"Yes", "No"},
                                           DataRules{"No", "Yes"}, DataRules{"No", "No"}));

TEST_F(IscsiDataTest, DataInRespectsSegmentAndBurst) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(
      client.login(kTarget, {{"MaxRecvDataSegmentLength", "1024"}, {"MaxBurstLength", "2560"}}));
  const auto outcome = client.complete(client.send_command(read10(0, 16), kF | kR, 8192));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.data.size(), 8192U);
  uint32_t offset = 0, burst = 0, data_sn = 0;
  for (const Bhs& bhs : outcome.pdus) {
    EXPECT_EQ(bhs.opcode(), Opcode::data_in);
    EXPECT_EQ(bhs.get32(field::kDataSn), data_sn++);
    EXPECT_EQ(bhs.get32(field::kBufferOffset), offset);
    EXPECT_LE(bhs.data_length(), 1024U);
    offset += bhs.data_length();
    burst += bhs.data_length();
    EXPECT_LE(burst, 2560U);
    const bool last = offset == 8192;
    EXPECT_EQ(bhs.has(flag::kFinal), burst == 2560 || last);
    EXPECT_EQ(bhs.has(flag::kStatusPresent), last);
    if (bhs.has(flag::kFinal)) burst = 0;
  }
}

TEST_F(IscsiDataTest, DataAndSenseComeSeparately) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const auto outcome = client.complete(
      client.send_command({MemoryUnit::kShortRead, 0, 0, 0, 0x10, 0x02}, kF | kR, 4098));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.data.size(), 2049U);
  ASSERT_EQ(outcome.sense.size(), 18U);
  EXPECT_EQ(outcome.sense[2], std::byte{0x20});
  EXPECT_EQ(outcome.residual, 2049U);
  EXPECT_TRUE(outcome.flags & flag::kUnderflow);
  ASSERT_EQ(outcome.pdus.size(), 2U);
  EXPECT_EQ(outcome.pdus[0].opcode(), Opcode::data_in);
  EXPECT_FALSE(outcome.pdus[0].has(flag::kStatusPresent));
  EXPECT_EQ(outcome.pdus[1].opcode(), Opcode::scsi_response);
  EXPECT_EQ(outcome.pdus[1].get32(field::kDataSn), 1U);  // ExpDataSN
}

TEST_F(IscsiDataTest, DigestsBothWays) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget, {{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}}));
  ASSERT_TRUE(client.header_digest && client.data_digest);
  const Buffer data = pattern(20480, 4);
  auto outcome = client.complete(
      client.send_command(write10(0, 40), kF | kW, 20480, ByteView(data).first(1024)), data);
  EXPECT_EQ(outcome.status, 0);
  outcome = client.complete(client.send_command(read10(0, 40), kF | kR, 20480));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(equal(outcome.data, data));
  // Immediate data that is cut off: the digest covers what is dropped too, odd length and all.
  outcome = client.complete(
      client.send_command(write10(0, 1), kF | kW, 1001, ByteView(data).first(1001)));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.residual, 1001U - 512U);
}

TEST_F(IscsiDataTest, ADamagedHeaderDropsTheConnection) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget, {{"HeaderDigest", "CRC32C"}}));
  expect_alive(client);
  client.damage_header_digest = true;
  client.send_command({0}, kF, 0);
  EXPECT_FALSE(client.receive());
  EXPECT_TRUE(client.closed_by_peer());
  expect_others_work();
}

TEST_F(IscsiDataTest, DamagedDataIsRejectedAndNeverWritten) {
  start();
  const Buffer data = pattern(4096, 5);
  for (const bool immediate : {true, false}) {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget, {{"DataDigest", "CRC32C"}}));
    expect_alive(client);
    client.damage_data_digest = true;
    if (immediate)
      client.send_command(write10(50, 8), kF | kW, 4096, data);
    else
      client.complete(client.send_command(write10(50, 8), kF | kW, 4096), data, 200);
    if (immediate) expect_reject(client, RejectReason::data_digest_error);
    EXPECT_TRUE(client.closed_by_peer());
  }
  const auto opcodes = unit->opcodes();
  EXPECT_EQ(std::count(opcodes.begin(), opcodes.end(), uint8_t{0x2a}), 0);
  expect_others_work();
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
}

TEST_F(IscsiDataTest, CommandsOutsideTheWindowAreIgnored) {
  options.command_window = 8;
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  expect_alive(client);
  const uint32_t good = client.cmd_sn;
  for (const uint32_t bad : {good - 1, good - 50, good + 8, good + 5000, good + 0x80000000U}) {
    client.cmd_sn = bad;
    client.send_command({0}, kF, 0);
  }
  client.cmd_sn = good;
  expect_alive(client);
  EXPECT_EQ(unit->opcodes().size(), 2U);  // the ignored ones never ran
  EXPECT_EQ(client.max_cmd_sn, client.cmd_sn + 7);
}

TEST_F(IscsiDataTest, CommandsRunInCmdSnOrder) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t first = client.cmd_sn;
  const Buffer data = pattern(512, 8);
  client.cmd_sn = first + 2;
  const uint32_t third = client.send_command({0x35}, kF, 0);
  client.cmd_sn = first + 1;
  client.send_command(write10(0, 1), kF | kW, 512, data);
  client.cmd_sn = first + 2;
  client.send_command({0x35}, kF, 0);  // a duplicate of one that is held: dropped
  client.cmd_sn = first;
  client.send_command({0x00}, kF, 0);
  EXPECT_EQ(client.complete(third).status, 0);
  EXPECT_EQ(unit->opcodes(), (std::vector<uint8_t>{0x00, 0x2a, 0x35}));
  client.cmd_sn = first + 3;
  expect_alive(client);
}

TEST_F(IscsiDataTest, ImmediateCommandsDoNotWait) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  Bhs nop(Opcode::nop_out);
  nop.set8(0, 0x40);
  nop.set32(field::kInitiatorTaskTag, 900);
  nop.set32(field::kTargetTransferTag, kReservedTag);
  nop.set32(field::kCmdSn, client.cmd_sn);
  client.send_pdu(nop, as_view("ping"));
  const auto pong = client.receive();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->bhs.opcode(), Opcode::nop_in);
  EXPECT_EQ(pong->text(), "ping");
  EXPECT_EQ(pong->bhs.get32(field::kExpCmdSn), client.cmd_sn);  // not used up
  unit->release();
  expect_alive(client);
}

TEST_F(IscsiDataTest, TheWindowClosesAndOpens) {
  options.command_window = 4;
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t first = client.cmd_sn;
  client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  for (int i = 0; i < 3; ++i) client.send_command({0}, kF, 0);
  client.send_command({0x35}, kF, 0);  // one too many: ignored
  client.cmd_sn = first + 4;
  // All of it has been read when an immediate ping is answered.
  Bhs ping(Opcode::nop_out);
  ping.set8(0, 0x40);
  ping.set32(field::kInitiatorTaskTag, 900);
  ping.set32(field::kTargetTransferTag, kReservedTag);
  client.send_pdu(ping);
  ASSERT_EQ(client.receive()->bhs.task_tag(), 900U);
  unit->release();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(client.receive());
  EXPECT_EQ(client.max_cmd_sn, first + 7);
  expect_alive(client);
  const auto opcodes = unit->opcodes();
  EXPECT_EQ(std::count(opcodes.begin(), opcodes.end(), uint8_t{0x35}), 0);
}

TEST_F(IscsiDataTest, BadDataOutEndsTheConnection) {
  start();
  const Buffer data = pattern(8192, 6);
  struct Case {
    const char* what;
    bool wrong_tag;
    uint32_t data_sn, offset, length;
    bool final;
  };
  for (const Case& c :
       {Case{"offset", false, 0, 512, 4096, true}, Case{"too long", false, 0, 0, 8192, true},
        Case{"short", false, 0, 0, 512, true}, Case{"tag", true, 0, 0, 4096, true}}) {
    SCOPED_TRACE(c.what);
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    const uint32_t tag = client.send_command(write10(0, 8), kF | kW, 4096);
    const auto r2t = client.receive();
    ASSERT_TRUE(r2t);
    ASSERT_EQ(r2t->bhs.opcode(), Opcode::r2t);
    const uint32_t transfer_tag = r2t->bhs.get32(field::kTargetTransferTag) + (c.wrong_tag ? 1 : 0);
    client.send_data_out(tag, transfer_tag, c.data_sn, c.offset, ByteView(data).first(c.length),
                         c.final);
    expect_reject(client, RejectReason::protocol_error);
    EXPECT_TRUE(client.closed_by_peer());
  }
  EXPECT_TRUE(unit->opcodes().empty());
  expect_others_work();
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
}

// RFC 7143 7.9: lost data, as a digest error would be. The command must not run, the session lives.
TEST_F(IscsiDataTest, AWrongDataSnEndsTheCommandAlone) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  for (const uint32_t data_sn : {1U, 27U, 0xFFFFFFFFU}) {
    const uint32_t tag = client.send_command(write10(0, 8), kF | kW, 4096);
    const auto r2t = client.receive();
    ASSERT_TRUE(r2t);
    ASSERT_EQ(r2t->bhs.opcode(), Opcode::r2t);
    client.send_data_out(tag, r2t->bhs.get32(field::kTargetTransferTag), data_sn, 0,
                         pattern(4096, 7), true);
    const auto response = client.receive();
    ASSERT_TRUE(response);
    ASSERT_EQ(response->bhs.opcode(), Opcode::scsi_response);
    EXPECT_EQ(response->bhs.get8(field::kStatus), 0x02);
    ASSERT_GE(response->data.size(), 16U);
    EXPECT_EQ(response->data[2 + 2], std::byte{0x0B});
    EXPECT_EQ(response->data[2 + 12], std::byte{0x47});
    EXPECT_EQ(response->data[2 + 13], std::byte{0x05});
  }
  EXPECT_TRUE(unit->opcodes().empty());
  expect_alive(client);
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
}

TEST_F(IscsiDataTest, DataForNoTaskIsDropped) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  client.send_data_out(4711, 1, 0, 0, pattern(8192, 1), true);
  expect_alive(client);
}

TEST_F(IscsiDataTest, OversizeSegmentsAreRefusedUnread) {
  options.limits.max_recv_data_segment_length = 65536;
  start();
  for (const Opcode opcode :
       {Opcode::scsi_command, Opcode::data_out, Opcode::nop_out, Opcode::text_request}) {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    Bhs bhs(opcode, static_cast<uint8_t>(kF | (opcode == Opcode::scsi_command ? kW : 0)));
    bhs.set32(field::kInitiatorTaskTag, 5);
    bhs.set32(field::kCmdSn, client.cmd_sn);
    bhs.set32(field::kExpectedLength, 0xffffffffU);
    bhs.set_data_length((1U << 24) - 1);
    client.send_bytes(bhs.bytes());
    expect_reject(client, RejectReason::invalid_pdu_field, &bhs);
    EXPECT_TRUE(client.closed_by_peer());
  }
  expect_others_work();
}

TEST_F(IscsiDataTest, HugeCommandsAllocateNothing) {
  options.max_data_out_bytes = 1 * MiB;
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  // 4 GiB expected, 32 MiB asked for by the CDB.
  auto outcome = client.complete(client.send_command(write10(0, 0xffff), kF | kW, 0xffffffffU));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.sense_key(), 5);
  // 4 GiB expected of a command that takes one block: one block is solicited.
  const Buffer data = pattern(512, 2);
  outcome = client.complete(client.send_command(write10(0, 1), kF | kW, 0xffffffffU), data);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.residual, 0xffffffffU - 512U);
  EXPECT_TRUE(outcome.flags & flag::kUnderflow);
}

TEST_F(IscsiDataTest, TruncatedPdusAndGarbage) {
  start();
  for (const size_t cut : {size_t{1}, size_t{20}, size_t{47}}) {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    Bhs bhs(Opcode::scsi_command);
    client.send_bytes(bhs.bytes().first(cut));
    client.disconnect();
  }
  {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    Bhs bhs(Opcode::scsi_command, kF | kW);
    bhs.set32(field::kInitiatorTaskTag, 3);
    bhs.set32(field::kCmdSn, client.cmd_sn);
    bhs.set32(field::kExpectedLength, 4096);
    bhs.set8(field::kCdb, 0x2a);
    bhs.set8(field::kCdb + 8, 8);
    bhs.set_data_length(4096);
    client.send_bytes(bhs.bytes());
    client.send_bytes(pattern(1000, 3));
    client.disconnect();  // in the middle of the data segment
  }
  EXPECT_TRUE(eventually([this] { return server->connection_count() == 0; }));
  EXPECT_TRUE(unit->opcodes().empty());
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
  expect_others_work();
}

TEST_F(IscsiDataTest, AdditionalHeadersAreSkipped) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  Bhs bhs(Opcode::scsi_command, kF);
  bhs.set8(4, 255);  // TotalAHSLength: the most there can be
  bhs.set32(field::kInitiatorTaskTag, 3);
  bhs.set32(field::kCmdSn, client.cmd_sn++);
  client.send_bytes(bhs.bytes());
  client.send_bytes(pattern(kMaxAhsLength, 3));
  const auto outcome = client.complete(3);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.sense_key(), 5);
  client.next_tag = 4;
  expect_alive(client);
}

TEST_F(IscsiDataTest, RejectsCarryTheHeader) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  Bhs snack(Opcode::snack);
  client.send_pdu(snack);
  expect_reject(client, RejectReason::snack_reject, &snack);
  Bhs unknown(static_cast<Opcode>(0x1d));
  unknown.set_data_length(12);
  client.send_pdu(unknown, pattern(12, 1));
  expect_reject(client, RejectReason::command_not_supported, &unknown);
  Bhs reserved(Opcode::scsi_command);
  reserved.set32(field::kInitiatorTaskTag, kReservedTag);
  reserved.set32(field::kCmdSn, client.cmd_sn++);
  client.send_pdu(reserved);
  expect_reject(client, RejectReason::invalid_pdu_field, &reserved);
  expect_alive(client);
  // A task tag that is in use.
  const uint32_t tag = client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  client.next_tag = tag;
  client.send_command({0}, kF, 0);
  expect_reject(client, RejectReason::task_in_progress);
  unit->release();
  EXPECT_EQ(client.complete(tag).status, 0);
  // Login has no place here.
  Bhs login(Opcode::login_request, 0x87);
  client.send_pdu(login);
  expect_reject(client, RejectReason::protocol_error, &login);
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(IscsiDataTest, OtherLogicalUnits) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  auto outcome = client.complete(client.send_command({0x12, 0, 0, 0, 36}, kF | kR, 36, {}, 3));
  EXPECT_EQ(outcome.status, 0);
  ASSERT_EQ(outcome.data.size(), 36U);
  EXPECT_EQ(outcome.data[0], std::byte{0x7f});
  outcome =
      client.complete(client.send_command({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16}, kF | kR, 16, {}, 3));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.data.size(), 16U);
  const Buffer data = pattern(512, 1);
  outcome = client.complete(client.send_command(write10(0, 1), kF | kW, 512, data, 3));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.sense_key(), 5);
  EXPECT_EQ(outcome.asc(), 0x2500);
  expect_alive(client);
}

TEST_F(IscsiDataTest, AThrowingUnitIsContained) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const auto outcome = client.complete(client.send_command({MemoryUnit::kThrow}, kF, 0));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.sense_key(), 0x0b);
  expect_alive(client);
}

TEST_F(IscsiDataTest, WritesWaitForTheByteBudget) {
  options.data_out_budget_bytes = 64 * KiB;
  options.limits.first_burst_length = 16 * KiB;
  start(true);
  const Buffer data = pattern(64 * KiB, 12);
  // Each wants the whole budget, from many connections and several deep; all come to their end.
  std::vector<std::thread> threads;
  for (uint8_t n = 0; n < 6; ++n) {
    threads.emplace_back([this, n, &data] {
      IscsiRawClient client(endpoint());
      client.isid[5] = n;
      ASSERT_TRUE(client.login(kTarget, {{"InitialR2T", "No"}, {"FirstBurstLength", "16384"}}));
      const size_t immediate = n % 2 == 0 ? 8192 : 0;
      for (int round = 0; round < 10; ++round) {
        const uint32_t tag = client.send_command(write10(n * 128U, 128), kF | kW, 65536,
                                                 ByteView(data).first(immediate));
        ASSERT_EQ(client.complete(tag, data, 20000).status, 0);
      }
      // Two at once in one connection.
      const uint32_t first = client.send_command(write10(n * 128U, 128), kF | kW, 65536);
      const uint32_t second = client.send_command(write10(n * 128U, 64), kF | kW, 32768);
      ASSERT_EQ(client.complete(first, data, 20000).status, 0);
      // Its R2T may have come, and been passed over, before the first one's status.
      static_cast<void>(second);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(eventually([this] { return server->data_out_bytes_held() == 0; }));
}

// It asks for all there is and sends nothing: its own commands wait, and nobody else's.
TEST_F(IscsiDataTest, ASilentHostDoesNotStopTheOthersWrites) {
  options.data_out_budget_bytes = 4 * MiB;
  options.max_data_out_bytes = 512 * KiB;
  start();
  IscsiRawClient silent(endpoint()), other(endpoint());
  ASSERT_TRUE(silent.login(kTarget));
  for (int i = 0; i < 100; ++i) silent.send_command(write10(0, 512), kF | kW, 256 * KiB);
  ASSERT_TRUE(eventually([this] { return server->data_out_bytes_held() == 2 * MiB; }));
  ASSERT_TRUE(other.login(kSecondTarget, {{"FirstBurstLength", "8192"}}));
  const Buffer data = pattern(32 * KiB, 14);
  for (const size_t immediate : {size_t{0}, size_t{4096}}) {
    const uint32_t tag =
        other.send_command(write10(0, 64), kF | kW, 32 * KiB, ByteView(data).first(immediate));
    EXPECT_EQ(other.complete(tag, data, 1000).status, 0);
  }
}

// Many of them can; then a write is refused in good time, and what comes behind it is heard.
TEST_F(IscsiDataTest, AWriteThatFindsNoBudgetIsRefusedInTime) {
  options.data_out_budget_bytes = 1 * MiB;
  options.max_data_out_bytes = 256 * KiB;
  start();
  std::vector<std::unique_ptr<IscsiRawClient>> silent;
  for (uint8_t n = 0; n < 4; ++n) {
    silent.push_back(std::make_unique<IscsiRawClient>(endpoint()));
    silent.back()->isid[5] = n;
    ASSERT_TRUE(silent.back()->login(kTarget));
    for (int i = 0; i < 8; ++i) silent.back()->send_command(write10(0, 256), kF | kW, 128 * KiB);
  }
  ASSERT_TRUE(eventually([this] { return server->data_out_bytes_held() == 1 * MiB; }));
  IscsiRawClient client(endpoint());
  client.isid[5] = 9;
  ASSERT_TRUE(client.login(kSecondTarget));
  const Buffer data = pattern(4096, 15);
  std::vector<uint32_t> tags;
  for (int i = 0; i < 5; ++i)
    tags.push_back(client.send_command(write10(0, 8), kF | kW, 4096, data));
  client.send_nop({});
  for (const uint32_t tag : tags) EXPECT_EQ(client.complete(tag, data, 4000).status, 0x28);
  const auto pong = client.receive(4000);
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->bhs.opcode(), Opcode::nop_in);
  // What is as short as a reservation's parameter list never is.
  for (const size_t immediate : {size_t{0}, size_t{512}}) {
    const ByteView block = ByteView(data).first(512);
    const uint32_t tag = client.send_command(write10(0, 1), kF | kW, 512, block.first(immediate));
    EXPECT_EQ(client.complete(tag, block, 500).status, 0);
  }
  silent.clear();
  EXPECT_TRUE(eventually([this] { return server->data_out_bytes_held() == 0; }));
  EXPECT_EQ(client.complete(client.send_command(write10(0, 8), kF | kW, 4096, data)).status, 0);
}

}  // namespace
}  // namespace coldshelf::testing
