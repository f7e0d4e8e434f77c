// Units whose commands run on threads of their own, side by side.
#include <atomic>
#include <map>

#include "tests/conformance/iscsi_fixture.h"

namespace coldshelf::testing {
namespace {

using namespace iscsi;  // NOLINT
using std::chrono::milliseconds;

using IscsiThreadsTest = IscsiFixture;

// Commands on threads of their own, none of which is in the way of another.
class PooledUnit : public scsi::LogicalUnit {
 public:
  uint64_t data_out_length(ByteView) const override { return 0; }
  bool may_block(const scsi::Command&) const override { return true; }
  scsi::Footprint footprint(const scsi::Command&) const override {
    return scsi::Footprint::nothing();
  }
  void nexus_established(std::shared_ptr<const scsi::Nexus>) override {}
  void nexus_lost(const scsi::Nexus&) override {}
  void reset(scsi::ResetKind) override {}
  void task_set_cleared(const scsi::Nexus&) override {}
};

// Reads side by side on threads of their own, as a volume's.
class ParallelReads final : public PooledUnit {
 public:
  unsigned concurrency() const override { return 64; }
  scsi::Reply execute(const scsi::Command& command) override {
    const uint64_t now = running += command.expected_in;
    for (uint64_t most = at_most; most < now && !at_most.compare_exchange_weak(most, now);) {
    }
    while (hold) std::this_thread::sleep_for(milliseconds(1));
    scsi::Reply reply;
    reply.data = scsi::DataIn::from(Buffer(command.expected_in));
    read += command.expected_in;
    running -= command.expected_in;
    return reply;
  }

  std::atomic<uint64_t> running{0}, at_most{0}, read{0};
  std::atomic<bool> hold{false};
};

class IscsiParallelReads : public IscsiThreadsTest {
 protected:
  void SetUp() override {
    start();
    const char* target = "iqn.2026-11.io.coldshelf:test-volume-parallel";
    ASSERT_TRUE(server->add_target({target, "volume", reads}).ok());
    client = std::make_unique<IscsiRawClient>(endpoint());
    ASSERT_TRUE(client->login(target, {{"MaxRecvDataSegmentLength", "262144"}}));
  }
  const std::shared_ptr<ParallelReads> reads = std::make_shared<ParallelReads>();
  std::unique_ptr<IscsiRawClient> client;
};

TEST_F(IscsiParallelReads, ReadsAtWorkCountAsOutput) {
  std::vector<uint32_t> tags;
  for (int i = 0; i < 40; ++i)
    tags.push_back(client->send_command(read10(0, 2048), kF | kR, 1 << 20));
  std::this_thread::sleep_for(milliseconds(500));  // nothing is taken
  const uint64_t limit = options.max_queued_output_bytes;
  EXPECT_LE(reads->at_most, limit + MiB);
  // Beside what the socket's buffers took.
  EXPECT_LT(reads->read, 2 * limit + 16 * MiB);
  for (const uint32_t tag : tags) ASSERT_EQ(client->complete(tag).data.size(), size_t{1} << 20);
}

// What initiators usually have at work is all begun at once, one command beyond the limit as well.
TEST_F(IscsiParallelReads, ReadsOfTheUsualDepthRunSideBySide) {
  struct Load {
    int depth;
    uint32_t bytes;
  };
  for (const auto& [depth, bytes] : {Load{32, 4096}, Load{4, 1 << 20}, Load{1, 12 << 20}}) {
    SCOPED_TRACE(bytes);
    reads->hold = true;
    std::vector<uint32_t> tags;
    for (int i = 0; i < depth; ++i)
      tags.push_back(client->send_command(read10(0, 1), kF | kR, bytes));
    EXPECT_TRUE(eventually([&] { return reads->running == static_cast<uint64_t>(depth) * bytes; }));
    reads->hold = false;
    for (const uint32_t tag : tags) EXPECT_EQ(client->complete(tag).data.size(), bytes);
  }
}

// Two that preempt each other at the same time, as both sides of a cluster that came apart.
class MutualPreemption final : public PooledUnit {
 public:
  unsigned concurrency() const override { return 2; }
  scsi::Reply execute(const scsi::Command& command) override {
    scsi::Reply reply;
    std::unique_lock lock(mutex);
    if (command.cdb[0] != std::byte{0x5F}) return reply;
    ++running;
    changed.notify_all();
    changed.wait(lock, [this] { return running == 2; });
    for (const auto& [id, port] : ports)
      if (id != command.nexus->id) reply.abort_ports.push_back(port);
    return reply;
  }
  void nexus_established(std::shared_ptr<const scsi::Nexus> nexus) override {
    const std::lock_guard lock(mutex);
    ports[nexus->id] = nexus->port_name();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::map<uint64_t, std::string> ports;
  int running = 0;
};

TEST_F(IscsiThreadsTest, TwoThatPreemptEachOtherBothEnd) {
  options.io_threads = 2;
  start();
  const char* target = "iqn.2026-11.io.coldshelf:test-volume-cluster";
  const auto preempting = std::make_shared<MutualPreemption>();
  ASSERT_TRUE(server->add_target({target, "volume", preempting}).ok());
  for (int round = 0; round < 20; ++round) {
    IscsiRawClient one(endpoint()), two(endpoint());
    two.isid[5] = 9;
    ASSERT_TRUE(one.login(target));
    ASSERT_TRUE(two.login(target));
    const uint32_t first = one.send_command({0x5F, 5}, kF, 0);
    const uint32_t second = two.send_command({0x5F, 5}, kF, 0);
    const uint8_t a = one.complete(first).status, b = two.complete(second).status;
    EXPECT_TRUE(a == 0 || a == kTaskAborted) << int{a};
    EXPECT_TRUE(b == 0 || b == kTaskAborted) << int{b};
    EXPECT_TRUE(a == kTaskAborted || b == kTaskAborted);
    expect_alive(one);
    expect_alive(two);
    const std::lock_guard lock(preempting->mutex);
    preempting->running = 0;
    preempting->ports.clear();
  }
  // Nothing of them is left: the target can go.
  EXPECT_TRUE(server->remove_target(target, milliseconds(0)).ok());
}

// Commands that wait side by side, as a volume's do whose store is away.
class WaitingUnit final : public PooledUnit {
 public:
  unsigned concurrency() const override { return 6; }
  scsi::Reply execute(const scsi::Command&) override {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.wait(lock, [this] { return released; });
    return {};
  }
  void nexus_established(std::shared_ptr<const scsi::Nexus>) override {}
  void nexus_lost(const scsi::Nexus&) override {}
  void reset(scsi::ResetKind) override {}
  void task_set_cleared(const scsi::Nexus&) override {}
  void release() {
    const std::lock_guard lock(mutex);
    released = true;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  unsigned waiting = 0;
  bool released = false;
};

TEST_F(IscsiThreadsTest, UnitsThatWaitLeaveThreadsToTheOthers) {
  options.max_lu_threads = 8;
  start(true);
  std::vector<std::shared_ptr<WaitingUnit>> waiting;
  std::vector<std::unique_ptr<IscsiRawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    const std::string iqn = "iqn.2026-11.io.coldshelf:test-volume-" + std::to_string(i);
    waiting.push_back(std::make_shared<WaitingUnit>());
    ASSERT_TRUE(server->add_target({iqn, "volume", waiting.back()}).ok());
  }
  for (int i = 0; i < 4; ++i) {
    const std::string iqn = "iqn.2026-11.io.coldshelf:test-volume-" + std::to_string(i);
    WaitingUnit& one = *waiting[static_cast<size_t>(i)];
    clients.push_back(std::make_unique<IscsiRawClient>(endpoint()));
    ASSERT_TRUE(clients.back()->login(iqn));
    for (int n = 0; n < 6; ++n) clients.back()->send_command({0x35}, kF, 0);
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard lock(one.mutex);
      return one.waiting > 0;
    }));
  }
  IscsiRawClient client(endpoint());
  ASSERT_TRUE(client.login(kTarget));
  expect_alive(client);
  // Nothing is lost: when they go on, all of their commands are answered.
  for (const auto& unit_that_waits : waiting) unit_that_waits->release();
  for (const auto& one : clients) {
    for (int n = 0; n < 6; ++n) {
      const auto answer = one->receive();
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->bhs.opcode(), Opcode::scsi_response);
    }
  }
}

}  // namespace
}  // namespace coldshelf::testing
