// Clients that no one here wrote, against a volume of the real daemon: libiscsi's test suite, and
// QEMU's tools beside a raw file.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/e2e/gateway.h"
#include "tests/support/iscsi_suite.h"

namespace coldshelf::test {
namespace {

class VolumeSuite : public ::testing::Test {
 protected:
  VolumeSuite() : gateway("[cartridge]\nsegment_size = \"8MiB\"\n") {}
  void SetUp() override { ASSERT_TRUE(gateway.start().ok()) << gateway.log(); }
  std::string url(const std::string& name) const {
    return "iscsi://" + gateway.portal() + "/" + gateway.target("volume-" + name) + "/0";
  }
  static std::string run(const std::vector<std::string>& arguments) {
    const auto done = run_command(arguments);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    return done.ok() ? *done : std::string();
  }
  static void expect_same(const std::string& a, const std::string& b) {
    EXPECT_NE(
        run({"qemu-img", "compare", "-f", "raw", "-F", "raw", a, b}).find("Images are identical"),
        std::string::npos);
  }

  Gateway gateway;
};

TEST_F(VolumeSuite, EveryTestOfLibiscsiPasses) {
  gateway.ok({"volume", "create", "--name", "suite", "--size", "64MiB"});
  const SuiteRun suite = run_suite({"--test=ALL"}, url("suite"));
  EXPECT_GE(suite.tests, 230) << suite.output;
  EXPECT_EQ(suite.passed, suite.tests) << suite.output;
  EXPECT_EQ(suite.failed, 0) << suite.output;
  expect_skips(suite, allowed_skips());
  EXPECT_EQ(gateway.stop(), 0) << gateway.log();
}

TEST_F(VolumeSuite, QemuReadsWhatQemuWrote) {
  const uint64_t seed = 7;
  std::cout << "seed " << seed << "\n";
  SeededRandom random(seed);
  gateway.ok({"volume", "create", "--name", "q", "--size", "64MiB"});
  const std::string raw = gateway.directory() + "/reference.raw";
  run({"qemu-img", "create", "-q", "-f", "raw", raw, "64M"});
  std::vector<std::string> commands;
  for (int i = 0; i < 80; ++i) {
    const uint64_t offset = random.below(60 * 256) * 4096;
    const uint64_t length = std::min((1 + random.below(1024)) * 4096, 64 * MiB - offset);
    const std::string where = std::to_string(offset) + " " + std::to_string(length);
    switch (random.below(4)) {
      case 0:
        commands.push_back("write -z -u " + where);
        break;
      case 1:
        commands.push_back("discard " + where);
        commands.push_back("write -z " + where);  // a raw file need not read zeroes there
        break;
      default:
        commands.push_back("write -P " + std::to_string(1 + random.below(255)) + " " + where);
    }
  }
  commands.push_back("flush");
  for (const std::string& image : {raw, url("q")}) {
    std::vector<std::string> arguments = {"qemu-io", "-f", "raw", "-t", "writeback"};
    for (const std::string& command : commands) {
      arguments.push_back("-c");
      arguments.push_back(command);
    }
    arguments.push_back(image);
    const std::string said = run(arguments);
    EXPECT_EQ(said.find("rror"), std::string::npos) << said;
  }
  expect_same(raw, url("q"));
  // After a kill, too: the page cache has what was acknowledged.
  gateway.kill();
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  expect_same(raw, url("q"));
  // There and back through qemu-img convert.
  const std::string copy = gateway.directory() + "/copy.raw";
  run({"qemu-img", "convert", "-f", "raw", "-O", "raw", url("q"), copy});
  expect_same(raw, copy);
  gateway.ok({"volume", "create", "--name", "q2", "--size", "64MiB", "--block-size", "4096"});
  run({"qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, url("q2")});
  expect_same(url("q2"), copy);
}

}  // namespace
}  // namespace coldshelf::test
