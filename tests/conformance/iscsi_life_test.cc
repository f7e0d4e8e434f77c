// Task management, keepalive, half-open connections, shutdown.
#include <sys/resource.h>

#include <algorithm>

#include "tests/conformance/iscsi_fixture.h"

namespace coldshelf::testing {
namespace {

using namespace iscsi;  // NOLINT
using std::chrono::milliseconds;

class IscsiLifeTest : public IscsiFixture {
 protected:
  // The response to a task management request; statuses of other tasks that come before it are
  // noted.
  uint8_t task_response(IscsiRawClient& client, uint32_t tag) {
    while (const auto pdu = client.receive()) {
      if (pdu->bhs.opcode() == Opcode::scsi_response)
        statuses.emplace_back(pdu->bhs.task_tag(), pdu->bhs.get8(field::kStatus));
      if (pdu->bhs.opcode() == Opcode::task_management_response && pdu->bhs.task_tag() == tag)
        return pdu->bhs.get8(field::kResponse);
    }
    return 0xee;
  }
  size_t count_event(const std::string& prefix) const {
    const auto events = unit->events();
    return static_cast<size_t>(
        std::count_if(events.begin(), events.end(),
                      [&](const std::string& e) { return e.substr(0, prefix.size()) == prefix; }));
  }
  std::vector<std::pair<uint32_t, uint8_t>> statuses;
};

TEST_F(IscsiLifeTest, AbortsTheRunningTask) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t tag = client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  EXPECT_EQ(task_response(client, client.send_task_management(1, tag)), 0);
  EXPECT_TRUE(statuses.empty());  // an aborted task has no response
  EXPECT_EQ(task_response(client, client.send_task_management(1, tag)), 1);  // gone
  expect_alive(client);
}

TEST_F(IscsiLifeTest, AbortsAWaitingAndAGatheringTask) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  const uint32_t waiting = client.send_command({0x35}, kF, 0);
  const uint32_t gathering = client.send_command(write10(0, 8), kF | kW, 4096);
  ASSERT_EQ(client.receive()->bhs.opcode(), Opcode::r2t);
  EXPECT_EQ(task_response(client, client.send_task_management(1, waiting)), 0);
  EXPECT_EQ(task_response(client, client.send_task_management(1, gathering)), 0);
  EXPECT_EQ(server->data_out_bytes_held(), 0U);
  unit->release();
  EXPECT_EQ(client.receive()->bhs.opcode(), Opcode::scsi_response);
  expect_alive(client);
  EXPECT_EQ(unit->opcodes(), (std::vector<uint8_t>{MemoryUnit::kHang, 0}));
}

TEST_F(IscsiLifeTest, AbortsACommandThatIsStillComing) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t late = client.cmd_sn++;  // sent never
  EXPECT_EQ(task_response(client, client.send_task_management(1, 77, late)), 0);
  expect_alive(client);  // its number counts as received
}

// A unit that takes its time to notice: requests for its task do not add up without a bound.
TEST_F(IscsiLifeTest, WaitingTaskManagementIsBounded) {
  options.command_window = 4;
  start(true);
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t tag = client.send_command({MemoryUnit::kBusy}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  std::vector<uint32_t> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(client.send_task_management(1, tag));
  for (int i = 0; i < 2; ++i) {
    const auto refused = client.receive();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->bhs.opcode(), Opcode::reject);
    EXPECT_EQ(refused->bhs.get8(field::kResponse),
              static_cast<uint8_t>(RejectReason::immediate_command_reject));
  }
  unit->release();
  for (int i = 0; i < 4; ++i) {
    const auto done = client.receive();
    ASSERT_TRUE(done);
    EXPECT_EQ(done->bhs.opcode(), Opcode::task_management_response);
    EXPECT_EQ(done->bhs.task_tag(), requests[static_cast<size_t>(i)]);
  }
  EXPECT_EQ(task_response(client, client.send_task_management(1, tag)), 1) << "there is room again";
  expect_alive(client);
}

TEST_F(IscsiLifeTest, AbortTaskSetEndsOnlyOurTasks) {
  start();
  IscsiRawClient client(endpoint()), other(endpoint());
  other.isid[5] = 50;
  ASSERT_TRUE(client.login(kTarget));
  ASSERT_TRUE(other.login(kTarget));
  client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  client.send_command({0x35}, kF, 0);
  const uint32_t theirs = other.send_command({0x35}, kF, 0);
  EXPECT_EQ(task_response(client, client.send_task_management(2, kReservedTag)), 0);
  EXPECT_EQ(other.complete(theirs).status, 0);
  expect_alive(client);
}

TEST_F(IscsiLifeTest, ClearTaskSetAndResetsEndEverybodysTasks) {
  options.io_threads = 2;
  start();
  for (const uint8_t function : {uint8_t{4}, uint8_t{5}, uint8_t{6}}) {
    SCOPED_TRACE(static_cast<int>(function));
    IscsiRawClient client(endpoint()), other(endpoint());
    other.isid[5] = 50;
    ASSERT_TRUE(client.login(kTarget));
    ASSERT_TRUE(other.login(kTarget));
    const uint32_t theirs = other.send_command({MemoryUnit::kHang}, kF, 0);
    ASSERT_TRUE(unit->wait_hanging());
    const uint32_t waiting = other.send_command({0x35}, kF, 0);
    client.send_command({0x35}, kF, 0);
    // Both must have arrived before the reset does.
    ASSERT_TRUE(other.send_nop({}) != 0 && other.receive());
    statuses.clear();
    EXPECT_EQ(task_response(client, client.send_task_management(function, kReservedTag)), 0);
    EXPECT_TRUE(statuses.empty());
    std::map<uint32_t, uint8_t> answers;
    for (int i = 0; i < 2; ++i) {
      const auto pdu = other.receive();
      ASSERT_TRUE(pdu);
      answers[pdu->bhs.task_tag()] = pdu->bhs.get8(field::kStatus);
    }
    EXPECT_EQ(answers,
              (std::map<uint32_t, uint8_t>{{theirs, kTaskAborted}, {waiting, kTaskAborted}}));
    expect_alive(client);
    expect_alive(other);
  }
  EXPECT_EQ(count_event("cleared by"), 1U);
  EXPECT_EQ(count_event("reset 0"), 1U);
  EXPECT_EQ(count_event("reset 1"), 1U);
  const auto opcodes = unit->opcodes();
  EXPECT_EQ(std::count(opcodes.begin(), opcodes.end(), uint8_t{0x35}), 0);
}

TEST_F(IscsiLifeTest, ColdResetEndsEverySession) {
  start();
  IscsiRawClient client(endpoint()), other(endpoint()), elsewhere(endpoint());
  other.isid[5] = 50;
  ASSERT_TRUE(client.login(kTarget));
  ASSERT_TRUE(other.login(kTarget));
  ASSERT_TRUE(elsewhere.login(kSecondTarget));
  EXPECT_EQ(task_response(client, client.send_task_management(7, kReservedTag)), 0);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(other.closed_by_peer());
  EXPECT_EQ(count_event("reset 2"), 1U);
  expect_alive(elsewhere);
}

TEST_F(IscsiLifeTest, OtherFunctionsAreAnsweredToo) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  EXPECT_EQ(task_response(client, client.send_task_management(3, kReservedTag)), 5);
  EXPECT_EQ(task_response(client, client.send_task_management(8, 1)), 4);
  EXPECT_EQ(task_response(client, client.send_task_management(99, 1)), 5);
  EXPECT_EQ(task_response(client, client.send_task_management(1, 4711)), 1);
  Bhs bhs(Opcode::task_management_request, 0x85);
  bhs.set8(0, 0x42);
  bhs.set8(field::kLun + 1, 9);
  bhs.set32(field::kInitiatorTaskTag, 600);
  client.send_pdu(bhs);
  EXPECT_EQ(task_response(client, 600), 2);
}

TEST_F(IscsiLifeTest, LostConnectionsEndTheirTasks) {
  start();
  {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    client.send_command({MemoryUnit::kHang}, kF, 0);
    ASSERT_TRUE(unit->wait_hanging());
    client.send_command({0x35}, kF, 0);
  }
  IscsiRawClient next(endpoint());
  next.isid[5] = 9;
  ASSERT_TRUE(next.login(kTarget));
  expect_alive(next);
  EXPECT_TRUE(eventually([this] { return count_event("lost") == 1; }));
  const auto opcodes = unit->opcodes();
  EXPECT_EQ(std::count(opcodes.begin(), opcodes.end(), uint8_t{0x35}), 0);
}

// RFC 7143 6.3.5: what a connection has read, but not begun, ends with the session too, even when
// its thread has no time to learn of it.
TEST_F(IscsiLifeTest, AReplacedSessionBeginsNothingMore) {
  options.io_threads = 2;
  start();
  IscsiRawClient next(endpoint()), old(endpoint());  // a thread for each; next has the acceptor's
  ASSERT_TRUE(old.login(kTarget));
  const Buffer stale = pattern(512, 1), fresh = pattern(512, 2);
  old.cork();
  old.send_command({MemoryUnit::kBusy}, kF, 0);
  old.send_command(write10(5, 1), kF | kW, 512, stale);
  old.send_task_management(5, kReservedTag);  // LOGICAL UNIT RESET
  old.uncork();
  ASSERT_TRUE(unit->wait_hanging());
  ASSERT_TRUE(next.login(kTarget)) << "the same port: session reinstatement";
  const uint32_t write = next.send_command(write10(5, 1), kF | kW, 512, fresh);
  unit->release();
  EXPECT_EQ(next.complete(write).status, 0);
  EXPECT_FALSE(old.receive()) << "closed without another word";
  EXPECT_TRUE(eventually([this] { return server->connection_count() == 1; }));
  EXPECT_EQ(unit->opcodes(), (std::vector<uint8_t>{MemoryUnit::kBusy, 0x2a})) << "one write ran";
  EXPECT_EQ(stored(5, 512), fresh);
  EXPECT_EQ(count_event("reset"), 0U);
  expect_alive(next);
}

TEST_F(IscsiLifeTest, Logout) {
  start();
  for (const uint8_t reason : {uint8_t{0}, uint8_t{1}}) {
    IscsiRawClient client(endpoint());
    ASSERT_TRUE(client.login(kTarget));
    client.send_logout(2);
    auto response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->bhs.get8(field::kResponse), 2);  // no recovery at ErrorRecoveryLevel 0
    client.cid = 9;
    client.send_logout(1);
    response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->bhs.get8(field::kResponse), 1);
    client.cid = 1;
    client.send_logout(reason);
    response = client.receive();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->bhs.opcode(), Opcode::logout_response);
    EXPECT_EQ(response->bhs.get8(field::kResponse), 0);
    EXPECT_TRUE(client.closed_by_peer());
  }
  EXPECT_EQ(count_event("lost"), 2U);
}

TEST_F(IscsiLifeTest, PingsAndDropsTheSilent) {
  options.nop_interval = milliseconds(100);
  options.nop_timeout = milliseconds(300);
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  for (int i = 0; i < 3; ++i) {
    const auto ping = client.receive();
    ASSERT_TRUE(ping);
    ASSERT_EQ(ping->bhs.opcode(), Opcode::nop_in);
    EXPECT_EQ(ping->bhs.task_tag(), kReservedTag);
    EXPECT_NE(ping->bhs.get32(field::kTargetTransferTag), kReservedTag);
    EXPECT_EQ(ping->bhs.get32(field::kStatSn), client.exp_stat_sn);
    Bhs pong(Opcode::nop_out);
    pong.set8(0, 0x40);
    pong.copy(field::kLun, ping->bhs.lun());
    pong.set32(field::kInitiatorTaskTag, kReservedTag);
    pong.set32(field::kTargetTransferTag, ping->bhs.get32(field::kTargetTransferTag));
    pong.set32(field::kCmdSn, client.cmd_sn);
    client.send_pdu(pong);
  }
  expect_alive(client);
  ASSERT_TRUE(client.receive());  // a ping that we leave unanswered
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(eventually([this] { return server->sessions().empty(); }));
}

TEST_F(IscsiLifeTest, DataThatNeverComesEndsTheConnection) {
  options.data_out_timeout = milliseconds(100);
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  client.send_command(write10(0, 8), kF | kW, 4096);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_TRUE(eventually([this] { return server->data_out_bytes_held() == 0; }));
}

// R2Ts are served in order: the second task waits for longer than the time for one.
TEST_F(IscsiLifeTest, ASlowWriterIsServed) {
  options.data_out_timeout = milliseconds(1200);
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const Buffer data = pattern(4096, 4);
  std::vector<std::pair<uint32_t, uint32_t>> transfers;
  for (uint32_t lba : {0U, 8U}) client.send_command(write10(lba, 8), kF | kW, 4096);
  for (int i = 0; i < 2; ++i) {
    const auto r2t = client.receive();
    ASSERT_TRUE(r2t);
    transfers.emplace_back(r2t->bhs.task_tag(), r2t->bhs.get32(field::kTargetTransferTag));
  }
  for (const auto& [tag, transfer] : transfers) {
    for (uint32_t n = 0; n < 8; ++n) {
      std::this_thread::sleep_for(milliseconds(300));
      client.send_data_out(tag, transfer, n, n * 512, ByteView(data).subspan(n * 512, 512), n == 7);
    }
    EXPECT_EQ(client.complete(tag).status, 0);
  }
}

// The ping comes behind what is read, and its answer behind that.
TEST_F(IscsiLifeTest, ASlowReaderIsNotSilent) {
  options.nop_interval = milliseconds(100);
  options.nop_timeout = milliseconds(2000);
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget, {{"MaxRecvDataSegmentLength", "262144"}}));
  constexpr int kReads = 10;
  for (int i = 0; i < kReads; ++i) client.send_command(read10(0, 4096), kF | kR, 2 << 20);
  int done = 0;
  while (done < kReads) {
    const auto pdu = client.receive();
    ASSERT_TRUE(pdu) << "after " << done << " reads";
    if (pdu->bhs.opcode() == Opcode::data_in && pdu->bhs.has(flag::kStatusPresent)) ++done;
    std::this_thread::sleep_for(milliseconds(50));
  }
}

TEST_F(IscsiLifeTest, EmptyDataIsNoProgress) {
  options.data_out_timeout = milliseconds(100);
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  const uint32_t tag = client.send_command(write10(0, 8), kF | kW, 4096);
  const auto r2t = client.receive();
  ASSERT_TRUE(r2t);
  ASSERT_EQ(r2t->bhs.opcode(), Opcode::r2t);
  const uint32_t transfer = r2t->bhs.get32(field::kTargetTransferTag);
  for (uint32_t sn = 0; sn < 200 && server->connection_count() > 0; ++sn) {
    client.send_data_out(tag, transfer, sn, 0, {}, false);
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(server->connection_count(), 0U);
}

TEST_F(IscsiLifeTest, LoginsThatHangAreClosed) {
  options.login_timeout = milliseconds(200);
  start();
  IscsiRawClient silent(endpoint()), half(endpoint());
  half.send_bytes(Bhs(Opcode::login_request).bytes().first(20));
  EXPECT_TRUE(silent.closed_by_peer());
  EXPECT_TRUE(half.closed_by_peer());
}

TEST_F(IscsiLifeTest, AThousandHalfOpenConnectionsBesideAWorkingSession) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GE(files.rlim_cur, 2400U);
  start();
  IscsiRawClient working(endpoint());
  ASSERT_TRUE(working.login(kTarget));
  const Buffer data = pattern(65536, 3);
  std::vector<std::unique_ptr<IscsiRawClient>> half_open;
  for (int i = 0; i < 1000; ++i) {
    half_open.push_back(std::make_unique<IscsiRawClient>(endpoint()));
    ASSERT_TRUE(half_open.back()->connected());
    // Some say nothing, some begin a login.
    if (i % 2 == 0) half_open.back()->send_bytes(Bhs(Opcode::login_request).bytes().first(30));
    if (i % 100 == 0) {
      const uint32_t tag = working.send_command(write10(0, 128), kF | kW, 65536);
      ASSERT_EQ(working.complete(tag, data).status, 0);
    }
  }
  const uint32_t tag = working.send_command(read10(0, 128), kF | kR, 65536);
  EXPECT_TRUE(equal(working.complete(tag).data, data));
  // And a newcomer gets in.
  IscsiRawClient late(endpoint());
  late.isid[5] = 42;
  ASSERT_TRUE(late.login(kTarget));
  expect_alive(late);
  EXPECT_LE(server->connection_count(), options.max_pending_logins + 2);
}

TEST_F(IscsiLifeTest, ConnectionsAreLimited) {
  options.max_connections = 3;
  start();
  std::vector<std::unique_ptr<IscsiRawClient>> clients;
  for (uint8_t i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<IscsiRawClient>(endpoint()));
    clients.back()->isid[5] = i;
    ASSERT_TRUE(clients.back()->login(kTarget));
  }
  IscsiRawClient extra(endpoint());
  extra.isid[5] = 99;
  EXPECT_FALSE(extra.login(kTarget));
  for (auto& client : clients) expect_alive(*client);
  clients.pop_back();
  EXPECT_TRUE(eventually([this] { return server->connection_count() == 2; }));
  IscsiRawClient again(endpoint());
  again.isid[5] = 99;
  EXPECT_TRUE(again.login(kTarget));
}

TEST_F(IscsiLifeTest, AReaderThatDoesNotReadIsNotReadEither) {
  options.max_queued_output_bytes = 256 * KiB;
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget, {{"MaxRecvDataSegmentLength", "262144"}}));
  // 120 reads of 1 MiB, and nothing taken: the server must not hold them all.
  std::vector<uint32_t> tags;
  for (int i = 0; i < 120; ++i)
    tags.push_back(client.send_command(read10(0, 2048), kF | kR, 1 << 20));
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(unit->opcodes().size(), 40U);
  for (const uint32_t tag : tags) ASSERT_EQ(client.complete(tag).data.size(), size_t{1} << 20);
}

TEST_F(IscsiLifeTest, StopAsksForLogoutAndWaits) {
  start();
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  std::thread stopper([this] { server->stop(milliseconds(5000)); });
  const auto message = client.receive();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bhs.opcode(), Opcode::async_message);
  EXPECT_EQ(message->bhs.get8(field::kAsyncEvent), 1);
  EXPECT_EQ(message->bhs.get16(field::kAsyncParameter3), 5);
  expect_alive(client);  // what is under way may still end
  client.send_logout();
  const auto response = client.receive();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->bhs.opcode(), Opcode::logout_response);
  stopper.join();
  EXPECT_EQ(count_event("lost"), 1U);
  EXPECT_FALSE(IscsiRawClient(endpoint()).connected());
}

TEST_F(IscsiLifeTest, StopDoesNotWaitForever) {
  start();
  IscsiRawClient client(endpoint()), silent(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  client.send_command({MemoryUnit::kHang}, kF, 0);
  ASSERT_TRUE(unit->wait_hanging());
  server->stop(milliseconds(100));
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(server->connection_count(), 0U);
}

}  // namespace
}  // namespace coldshelf::testing
