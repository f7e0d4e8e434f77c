// Quiescing: the command after always runs once the one before was started, whatever happens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/clock.h"
#include "base/dead_man.h"
#include "snapshot/quiesce.h"
#include "tests/support/process.h"
#include "tests/support/sim_clock.h"

namespace coldshelf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string scratch_parent() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr ? set : "/tmp";
}

class QuiesceTest : public testing::Test {
 protected:
  // A command that adds a line to the log, then ends with `code`.
  std::vector<std::string> says(const std::string& line, const std::string& then = "true") {
    return {"sh", "-c", "echo " + line + " >> \"$1\"; " + then, "sh", log_};
  }
  std::string log() {
    Result<Buffer> bytes = files_.read_file(log_);
    return bytes.ok() ? to_text(*bytes) : "";
  }
  // Another process writes it: waits until it says that.
  bool log_becomes(const std::string& wanted) {
    SystemClock clock;
    for (int i = 0; i < 3'000; ++i) {
      if (log() == wanted) return true;
      clock.sleep_ms(10);
    }
    return false;
  }
  std::vector<std::string> journal() {
    Result<std::vector<std::string>> names = files_.list(directory_);
    return names.ok() ? *names : std::vector<std::string>{};
  }

  PosixFileSystem files_;
  test::SimClock clock_;  // pauses between attempts cost nothing
  SystemRandom random_;
  test::ScratchDirectory scratch_{scratch_parent()};
  const std::string log_ = scratch_.path() + "/log";
  const std::string directory_ = scratch_.path() + "/quiesce";
  CommandQuiescer quiescer_{files_, clock_, random_, directory_};
  QuiesceCommands commands_;
};

TEST_F(QuiesceTest, BeforeThenAfter) {
  commands_.pre = says("before");
  commands_.post = says("after");
  auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_TRUE(frozen.ok()) << frozen.error().message();
  EXPECT_EQ(log(), "before\n");
  EXPECT_EQ(journal().size(), 1u);
  Status thawed = (*frozen)->thaw();
  EXPECT_TRUE(thawed.ok()) << thawed.error().message();
  EXPECT_TRUE((*frozen)->thaw().ok());
  frozen->reset();
  EXPECT_EQ(log(), "before\nafter\n");
  EXPECT_THAT(journal(), IsEmpty());
}

TEST_F(QuiesceTest, DestroyingThaws) {
  commands_.pre = says("before");
  commands_.post = says("after");
  { ASSERT_TRUE(quiescer_.freeze(commands_, "v1").ok()); }
  EXPECT_EQ(log(), "before\nafter\n");
}

TEST_F(QuiesceTest, AfterRunsWhenBeforeFails) {
  commands_.pre = says("before", "echo no such database >&2; exit 3");
  commands_.post = says("after");
  const auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_FALSE(frozen.ok());
  EXPECT_THAT(frozen.error().message(), HasSubstr("command before (v1)"));
  EXPECT_THAT(frozen.error().message(), HasSubstr("exit code 3: no such database"));
  EXPECT_EQ(log(), "before\nafter\n");
  EXPECT_THAT(journal(), IsEmpty());
}

TEST_F(QuiesceTest, AfterRunsWhenBeforeHangs) {
  commands_.pre = says("before", "sleep 1000");
  commands_.post = says("after");
  commands_.pre_timeout_ms = 300;
  const auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_FALSE(frozen.ok());
  EXPECT_EQ(frozen.error().code, ErrorCode::timed_out);
  EXPECT_THAT(log(), HasSubstr("after\n"));
}

// Killed here, it goes on elsewhere, as what it has ssh do on another machine, and freezes that
// after the first thaw.
TEST_F(QuiesceTest, WhatIsFrozenTooLateIsThawedToo) {
  const std::string frozen_flag = scratch_.path() + "/frozen";
  commands_.pre = {"sh", "-c", "setsid sh -c 'sleep 1; touch \"$1\"' sh \"$1\" & sleep 1000", "sh",
                   frozen_flag};
  commands_.post = {"sh", "-c", "rm -f \"$1\"; echo after >> \"$2\"", "sh", frozen_flag, log_};
  commands_.pre_timeout_ms = 300;
  // Time passes while it is waited for.
  class Waiting final : public Clock {
   public:
    int64_t unix_ms() override { return system.unix_ms(); }
    int64_t monotonic_ns() override { return system.monotonic_ns(); }
    void sleep_ms(int64_t ms) override { system.sleep_ms(ms / 8); }
    SystemClock system;
  } clock;
  CommandQuiescer quiescer(files_, clock, random_, directory_);
  ASSERT_FALSE(quiescer.freeze(commands_, "v1").ok());
  EXPECT_EQ(log(), "after\nafter\n");
  clock.system.sleep_ms(1'000);
  EXPECT_FALSE(*files_.exists(frozen_flag));
  EXPECT_THAT(journal(), IsEmpty());
}

TEST_F(QuiesceTest, AfterIsTriedThreeTimesAndItsFailureReported) {
  commands_.post = says("after", "exit 1");
  auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_TRUE(frozen.ok());
  const Status thawed = (*frozen)->thaw();
  ASSERT_FALSE(thawed.ok());
  EXPECT_THAT(thawed.error().message(), HasSubstr("command after (v1)"));
  EXPECT_EQ(log(), "after\nafter\nafter\n");
  EXPECT_EQ(journal().size(), 1u);  // the next start tries it again
}

TEST_F(QuiesceTest, NothingBeginsWhenAfterCannotRun) {
  commands_.pre = says("before");
  commands_.post = {scratch_.path() + "/no-such-program"};
  EXPECT_FALSE(quiescer_.freeze(commands_, "v1").ok());
  commands_.post = {"no-such-program-anywhere"};
  const auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_FALSE(frozen.ok());
  EXPECT_EQ(frozen.error().code, ErrorCode::not_found);
  EXPECT_EQ(log(), "");
  EXPECT_THAT(journal(), IsEmpty());
}

TEST_F(QuiesceTest, TheWatchdogThawsAndThePointIsNotConsistent) {
  commands_.pre = says("before");
  commands_.post = says("after");
  commands_.longest_ms = 1'000;
  auto frozen = quiescer_.freeze(commands_, "v1");
  ASSERT_TRUE(frozen.ok());
  EXPECT_TRUE(log_becomes("before\nafter\n"));
  const Status thawed = (*frozen)->thaw();
  ASSERT_FALSE(thawed.ok());
  EXPECT_EQ(thawed.error().code, ErrorCode::timed_out);
  EXPECT_EQ(log(), "before\nafter\n");
  EXPECT_THAT(journal(), IsEmpty());
}

// The process that froze is killed. `and_then` happens in it once it has frozen.
pid_t freeze_in_a_child(CommandQuiescer& quiescer, const QuiesceCommands& commands) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto frozen = quiescer.freeze(commands, "v1");
    if (!frozen.ok()) ::_exit(1);
    while (true) ::pause();
  }
  return child;
}

TEST_F(QuiesceTest, AKilledGatewayLeavesNothingFrozen) {
  commands_.pre = says("before");
  commands_.post = says("after");
  const pid_t child = freeze_in_a_child(quiescer_, commands_);
  ASSERT_GT(child, 0);
  ASSERT_TRUE(log_becomes("before\n"));
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(log_becomes("before\nafter\n"));
  // The next start cannot know that, and runs it again.
  EXPECT_EQ(journal().size(), 1u);
  const auto done = quiescer_.thaw_left_behind();
  ASSERT_TRUE(done.ok());
  EXPECT_THAT(*done, ElementsAre("v1: thawed after a crash"));
  EXPECT_EQ(log(), "before\nafter\nafter\n");
  EXPECT_THAT(journal(), IsEmpty());
}

// Killed while the command before still works: it may freeze the system after the helper has
// thawed it, so the helper comes a second time.
TEST_F(QuiesceTest, AGatewayKilledWhileItFreezesLeavesNothingFrozen) {
  auto helper = DeadManCommand::arm(says("after"), 1'000, 100'000);
  ASSERT_TRUE(helper.ok()) << helper.error().message();
  const DeadManCommand::Outcome outcome = (*helper)->disarm(30'000);
  EXPECT_FALSE(outcome.ran);
  const pid_t child = ::fork();
  if (child == 0) {
    auto armed = DeadManCommand::arm(says("after"), 200, 100'000);
    ::_exit(armed.ok() ? 0 : 1);  // no destructor runs
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(log_becomes("after\nafter\n"));
}

TEST_F(QuiesceTest, WhatCannotBeThawedIsTriedAtThreeStarts) {
  commands_.post = says("after", "exit 1");
  { ASSERT_TRUE(quiescer_.freeze(commands_, "v1").ok()); }
  for (int start = 1; start <= 3; ++start) {
    EXPECT_EQ(journal().size(), 1u) << start;
    const auto done = quiescer_.thaw_left_behind();
    ASSERT_TRUE(done.ok());
    ASSERT_EQ(done->size(), 1u);
    EXPECT_THAT((*done)[0], HasSubstr("thawing after a crash failed"));
  }
  EXPECT_THAT(journal(), IsEmpty());
  ASSERT_TRUE(files_.replace_file(directory_ + "/x.json", as_view("{")).ok());
  const auto done = quiescer_.thaw_left_behind();
  ASSERT_TRUE(done.ok());
  EXPECT_THAT(*done, ElementsAre(HasSubstr("is not what quiescing leaves behind")));
}

TEST(QuiesceArguments, AreReplacedButNeverTheProgram) {
  QuiesceCommands commands;
  commands.pre = {"{instance}", "host-{instance}.{instance}", "{volume}", "{other}"};
  const QuiesceCommands filled =
      with_arguments(commands, {{"instance", "i-{instance}"}, {"volume", "a b; c"}});
  EXPECT_THAT(filled.pre,
              ElementsAre("{instance}", "host-i-{instance}.i-{instance}", "a b; c", "{other}"));
}

}  // namespace
}  // namespace coldshelf
