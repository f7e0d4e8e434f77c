// Programs that are asked for secrets: what they may do to us.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/command.h"
#include "base/file_system.h"
#include "tests/support/process.h"

namespace coldshelf::test {
namespace {

using Words = std::vector<std::string>;

Result<Secret> shell(const std::string& script, CommandLimits limits = {}) {
  return run_program({"/bin/sh", "-c", script}, limits);
}

int64_t now_ms() { return SystemClock().monotonic_ns() / 1'000'000; }

TEST(CommandLine, IsCutIntoWords) {
  const std::vector<std::pair<std::string, Words>> good = {
      {"a b  c", {"a", "b", "c"}},
      {"  'a b' \"c d\"e ", {"a b", "c de"}},
      {R"(a\ b "c\"d" 'e\f' "g\h")", {"a b", "c\"d", "e\\f", "g\\h"}},
      {"'' x", {"", "x"}},
      {"a\\", {"a\\"}},
      {"$HOME `id` *", {"$HOME", "`id`", "*"}}};
  for (const auto& [text, words] : good) {
    auto cut = split_command_line(text);
    ASSERT_TRUE(cut.ok()) << text;
    EXPECT_EQ(*cut, words) << text;
  }
  for (const char* bad : {"", "   ", "'a", "a \"b"}) {
    EXPECT_EQ(split_command_line(bad).error().code, ErrorCode::invalid_argument) << bad;
  }
}

TEST(RunProgram, GivesItsOutput) {
  EXPECT_EQ(shell("echo a; echo b >&2; printf c")->reveal(), "a\nc");
  EXPECT_EQ(shell("cat")->reveal(), "");  // nothing to read
  EXPECT_EQ(run_program({"echo", "in $PATH"}, {})->reveal(), "in $PATH\n");
  CommandLimits limits;
  limits.max_output_bytes = 100'000;
  EXPECT_EQ(shell("head -c 100000 /dev/zero", limits)->reveal().size(), 100'000U);
  // More on standard error than a pipe holds does not block it.
  EXPECT_EQ(shell("head -c 300000 /dev/zero >&2; echo done")->reveal(), "done\n");
}

TEST(RunProgram, Failures) {
  auto failed = shell("echo out; echo 'the vault is sealed\nmore' >&2; exit 7");
  EXPECT_EQ(failed.error().code, ErrorCode::io);
  EXPECT_EQ(failed.error().context, "/bin/sh: exit code 7: the vault is sealed");
  EXPECT_NE(shell("kill -9 $$").error().context.find("signal 9"), std::string::npos);
  EXPECT_EQ(run_program({"/no/such/program"}, {}).error().code, ErrorCode::not_found);
  EXPECT_EQ(run_program({"/etc/passwd"}, {}).error().code, ErrorCode::permission);
  EXPECT_EQ(run_program({}, {}).error().code, ErrorCode::invalid_argument);
  CommandLimits limits;
  limits.max_output_bytes = 10;
  EXPECT_EQ(shell("printf 0123456789", limits)->reveal(), "0123456789");
  EXPECT_EQ(shell("printf 01234567890", limits).error().code, ErrorCode::out_of_range);
  EXPECT_EQ(shell("cat /dev/zero", limits).error().code, ErrorCode::out_of_range);
}

// What it started goes with it.
TEST(RunProgram, TimeIsBoundedForTheWholeFamily) {
  const ScratchDirectory scratch("/tmp");
  const std::string pid_file = scratch.path() + "/pid";
  CommandLimits limits;
  limits.timeout_ms = 300;
  for (const std::string& script : {"sleep 60 & echo $! > " + pid_file + "; wait",
                                    std::string("echo $$ > " + pid_file + "; exec >&-; sleep 60"),
                                    "sleep 60 & echo $! > " + pid_file}) {
    const int64_t before = now_ms();
    EXPECT_EQ(shell(script, limits).error().code, ErrorCode::timed_out) << script;
    EXPECT_LT(now_ms() - before, 5'000);
    PosixFileSystem files;
    auto pid = files.read_file(pid_file);
    ASSERT_TRUE(pid.ok());
    const pid_t child = std::stoi(to_text(*pid));
    for (int i = 0; i < 100 && ::kill(child, 0) == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    // Gone, or dead and waiting for an init that reaps.
    if (::kill(child, 0) == 0) {
      const auto text = run_command({"ps", "-o", "stat=", "-p", std::to_string(child)});
      EXPECT_TRUE(!text.ok() || text->starts_with("Z")) << *text;
    }
  }
}

// The daemon's descriptors (sockets, tapes) are none of its business.
TEST(RunProgram, InheritsNoDescriptors) {
  const int leaked = ::dup(2);  // without O_CLOEXEC
  auto listed = shell("ls /proc/self/fd | wc -l");
  ::close(leaked);
  ASSERT_TRUE(listed.ok());
  EXPECT_LE(std::stoi(std::string(listed->reveal())), 4);  // 0, 1, 2 and ls's own
}

}  // namespace
}  // namespace coldshelf::test
