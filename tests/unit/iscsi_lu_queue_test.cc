// Commands that a logical unit wants kept back: no thread waits, others go past, aborts work.
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <string>

#include "target/iscsi/lu_queue.h"

namespace coldshelf::iscsi {
namespace {

constexpr std::byte kWrite{0x0A};
constexpr std::byte kReady{0x00};
constexpr std::byte kRewind{0x01};
constexpr std::byte kVerify{0x2F};  // in three turns

class HeldUnit final : public scsi::LogicalUnit {
 public:
  uint64_t data_out_length(ByteView) const override { return 0; }
  bool may_block(const scsi::Command& c) const override {
    return c.cdb[0] == kRewind || c.cdb[0] == kVerify;
  }
  int64_t hold_ms(const scsi::Command& c) const override { return c.cdb[0] == kWrite ? hold : 0; }
  bool may_overtake(const scsi::Command& c) const override { return c.cdb[0] == kReady; }
  scsi::Footprint footprint(const scsi::Command& c) const override {
    if (!disk) return {};
    const auto block = std::to_integer<uint64_t>(c.cdb[1]);
    if (c.cdb[0] == kVerify) return scsi::Footprint::reads_from(0, 100);
    return c.cdb[0] == kWrite ? scsi::Footprint::writes_to(block, block + 1)
                              : scsi::Footprint::nothing();
  }
  unsigned concurrency() const override { return 16; }
  scsi::Reply execute(const scsi::Command& c) override {
    scsi::Reply reply;
    if (c.cdb[0] == kVerify) {
      order += 'V';
      if (after_turn) after_turn();
      reply.goes_on_at = c.goes_on_at < 2 ? c.goes_on_at + 1 : 0;
      return reply;
    }
    order += c.cdb[0] == kWrite ? 'W' : c.cdb[0] == kReady ? 'T' : 'R';
    return {};
  }
  void nexus_established(std::shared_ptr<const scsi::Nexus>) override {}
  void nexus_lost(const scsi::Nexus&) override {}
  void reset(scsi::ResetKind) override {}
  void task_set_cleared(const scsi::Nexus&) override {}

  int64_t hold = 0;
  bool disk = false;  // each write of a block of its own
  std::string order;
  std::function<void()> after_turn;
};

class LuQueueTest : public testing::Test {
 protected:
  std::shared_ptr<Task> task(std::byte opcode, uint64_t nexus = 1) {
    auto out = std::make_shared<Task>();
    out->command.cdb[0] = opcode;
    out->command.aborted = std::make_shared<std::atomic<bool>>(false);
    out->command.nexus = nexus_of(nexus);
    out->done = [this](std::shared_ptr<Task>) { ++done; };
    return out;
  }
  static std::shared_ptr<const scsi::Nexus> nexus_of(uint64_t id) {
    auto nexus = std::make_shared<scsi::Nexus>();
    nexus->id = id;
    return nexus;
  }
  void run_posted() {
    while (!posted.empty()) {
      const auto work = std::move(posted.front());
      posted.pop_front();
      work();
    }
  }
  // The time of the hold is over.
  void fire() {
    ASSERT_TRUE(timer);
    const auto work = std::move(timer);
    timer = nullptr;
    work();
    run_posted();
  }

  std::shared_ptr<HeldUnit> unit = std::make_shared<HeldUnit>();
  std::deque<std::function<void()>> posted;
  std::function<void()> timer;
  int64_t timer_ms = 0;
  int timers = 0;  // that were started
  int done = 0;
  std::shared_ptr<LuQueue> queue = std::make_shared<LuQueue>(
      unit, [this](std::function<void()> work) { posted.push_back(std::move(work)); },
      [this](int64_t ms, std::function<void()> work) -> std::function<void()> {
        timer_ms = ms;
        timer = std::move(work);
        ++timers;
        return [this] { timer = nullptr; };
      });
};

TEST_F(LuQueueTest, AHeldWriteWaitsForItsTimer) {
  unit->hold = 700;
  EXPECT_FALSE(queue->submit(task(kWrite)));
  run_posted();
  EXPECT_EQ(unit->order, "");
  EXPECT_EQ(timer_ms, 700);
  unit->hold = 0;
  fire();
  EXPECT_EQ(unit->order, "W");
  EXPECT_EQ(done, 1);
  EXPECT_TRUE(queue->submit(task(kWrite))) << "at once, on the caller's thread";
}

TEST_F(LuQueueTest, WhatMayOvertakeDoesAndTheRestKeepsItsOrder) {
  unit->hold = 500;
  queue->submit(task(kWrite));
  run_posted();
  queue->submit(task(kRewind));
  queue->submit(task(kReady));
  run_posted();
  EXPECT_EQ(unit->order, "T");
  ASSERT_TRUE(timer) << "the write waits on";
  unit->hold = 0;
  fire();
  EXPECT_EQ(unit->order, "TWR");
  EXPECT_EQ(done, 2) << "the first was done when it was submitted";
}

TEST_F(LuQueueTest, NothingOvertakesAnOrderedCommand) {
  unit->hold = 500;
  const auto write = task(kWrite);
  write->command.attribute = scsi::TaskAttribute::ordered;
  queue->submit(write);
  run_posted();
  queue->submit(task(kReady));
  run_posted();
  EXPECT_EQ(unit->order, "");
  unit->hold = 0;
  fire();
  EXPECT_EQ(unit->order, "WT");
}

TEST_F(LuQueueTest, AHeldCommandIsAborted) {
  unit->hold = 5'000;
  const auto write = task(kWrite);
  queue->submit(write);
  run_posted();
  queue->submit(task(kRewind, 2));
  EXPECT_EQ(queue->cancel(*write), LuQueue::Cancelled::never_runs);
  run_posted();
  EXPECT_EQ(unit->order, "R") << "what is behind it does not wait for the timer";
  EXPECT_FALSE(timer);
  EXPECT_EQ(done, 1);
}

TEST_F(LuQueueTest, ALostSessionTakesItsHeldCommandsAlong) {
  unit->hold = 5'000;
  queue->submit(task(kWrite, 7));
  run_posted();
  queue->submit(task(kWrite, 7));
  queue->submit(task(kRewind, 8));
  queue->abort_nexus(nexus_of(7));
  run_posted();
  EXPECT_EQ(unit->order, "R");
  unit->hold = 0;
  EXPECT_TRUE(queue->submit(task(kWrite, 8)));
}

// RFC 7143 6.3.5: its connection had them at hand, and did not know yet.
TEST_F(LuQueueTest, WhatASessionSubmitsAfterItsEndNeverRuns) {
  const auto old = nexus_of(7);
  queue->abort_nexus(old);
  queue->abort_nexus(nexus_of(9));
  for (const std::byte opcode : {kWrite, kRewind}) {
    const auto late = task(opcode, 7);
    EXPECT_TRUE(queue->submit(late)) << "nothing more comes of it";
    EXPECT_TRUE(late->command.aborted->load());
  }
  run_posted();
  EXPECT_EQ(unit->order, "");
  EXPECT_EQ(done, 0);
  EXPECT_TRUE(queue->submit(task(kReady, 8)));
  EXPECT_EQ(unit->order, "T");
}

TEST_F(LuQueueTest, WhatWaitsForItsThreadWhenItsSessionEndsNeverRuns) {
  queue->submit(task(kRewind, 7));
  queue->abort_nexus(nexus_of(7));
  run_posted();
  EXPECT_EQ(unit->order, "");
  EXPECT_EQ(done, 1) << "its connection is told";
}

TEST_F(LuQueueTest, ALongCommandLetsOthersHaveTheirTurn) {
  unit->disk = true;
  EXPECT_FALSE(queue->submit(task(kVerify)));
  EXPECT_FALSE(queue->submit(task(kWrite)));
  EXPECT_FALSE(queue->submit(task(kVerify)));
  run_posted();
  EXPECT_EQ(unit->order, "VWVVVVV");
  EXPECT_EQ(done, 3);
}

TEST_F(LuQueueTest, ALongCommandIsAbortedBetweenItsTurns) {
  unit->disk = true;
  const auto verify = task(kVerify);
  EXPECT_FALSE(queue->submit(verify));
  EXPECT_FALSE(queue->submit(task(kRewind)));
  verify->command.aborted->store(true);
  run_posted();
  EXPECT_EQ(unit->order, "R") << "it never ran";
  const auto second = task(kVerify);
  unit->after_turn = [&] { second->command.aborted->store(true); };
  EXPECT_FALSE(queue->submit(second));
  run_posted();
  EXPECT_EQ(unit->order, "RV");
  EXPECT_EQ(done, 3);
}

// A full buffer, and an initiator that has many writes at work while it reads: what runs past them
// does not start a timer for each.
TEST_F(LuQueueTest, OneTimerIsForAll) {
  unit->disk = true;
  unit->hold = 500;
  for (int i = 0; i < 10; ++i) {
    const auto write = task(kWrite);
    write->command.cdb[1] = static_cast<std::byte>(i);
    EXPECT_FALSE(queue->submit(write));
  }
  EXPECT_EQ(timers, 1);
  EXPECT_TRUE(queue->submit(task(kReady)));
  EXPECT_EQ(timers, 2);
  EXPECT_EQ(unit->order, "T");
  unit->hold = 0;
  fire();
  EXPECT_EQ(unit->order, "TWWWWWWWWWW");
  EXPECT_EQ(timers, 2);
  EXPECT_EQ(done, 10);
}

TEST_F(LuQueueTest, AnOldTimerMeansNothing) {
  unit->hold = 500;
  const auto first = task(kWrite);
  queue->submit(first);
  run_posted();
  const auto old = timer;
  ASSERT_EQ(queue->cancel(*first), LuQueue::Cancelled::never_runs);
  run_posted();
  queue->submit(task(kWrite));
  run_posted();
  old();  // was on its way when it was cancelled
  run_posted();
  EXPECT_EQ(unit->order, "");
}

}  // namespace
}  // namespace coldshelf::iscsi
