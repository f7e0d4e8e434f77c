// libiscsi's own test suite, all of it, against a disk on the real server; and QEMU's tools as
// clients that no one here wrote.
#include <gtest/gtest.h>

#include "tests/support/block_rig.h"
#include "tests/support/iscsi_suite.h"
#include "tests/support/process.h"

namespace coldshelf::test {
namespace {

class SbcSuite : public ::testing::TestWithParam<uint32_t> {
 protected:
  static FileBlockDevice::Options disk() {
    FileBlockDevice::Options options;
    options.block_bytes = GetParam();
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Blocks, SbcSuite, ::testing::Values(512U, 4096U),
                         [](const auto& info) { return "Of" + std::to_string(info.param); });

TEST_P(SbcSuite, EverythingPasses) {
  BlockRig rig(Transport::iscsi, disk());
  const SuiteRun run = run_suite({"--test=ALL"}, rig.url());
  EXPECT_GE(run.tests, 230) << run.output;
  EXPECT_EQ(run.passed, run.tests) << run.output;
  EXPECT_EQ(run.failed, 0) << run.output;
  expect_skips(run, allowed_skips());
}

// What the suite runs for disks with bigger physical blocks alone.
TEST(SbcSuitePhysicalBlocks, WhatNeedsThem) {
  BlockRig rig(Transport::iscsi, {}, 4096);
  for (const char* test :
       {"ALL.CompareAndWrite", "ALL.Unmap", "ALL.WriteSame10", "ALL.WriteSame16"}) {
    const SuiteRun run = run_suite({std::string("--test=") + test}, rig.url());
    EXPECT_GT(run.tests, 0) << run.output;
    EXPECT_EQ(run.passed, run.tests) << run.output;
    expect_skips(run, {"WRITESAME10 does not support 0-blocks", "WRITESAME16 does not support 0"});
  }
}

// SANITIZE: all but Reset, which wants an operation that takes longer than three seconds. Its
// question is asked in sbc_test. The disk has no key to destroy.
TEST_P(SbcSuite, Sanitize) {
  BlockRig rig(Transport::iscsi, disk());
  for (const char* test :
       {"BlockErase", "BlockEraseReserved", "CryptoErase", "CryptoEraseReserved", "ExitFailureMode",
        "InvalidServiceAction", "Overwrite", "OverwriteReserved", "Readonly", "Reservations"}) {
    const SuiteRun run = run_suite({"-S", std::string("--test=ALL.Sanitize.") + test}, rig.url());
    EXPECT_EQ(run.tests, 1) << run.output;
    EXPECT_EQ(run.passed, 1) << run.output;
    expect_skips(run, {"SANITIZE CRYPTO_ERASE is not implemented"});
  }
}

// A gateway whose disk waits with every write gives the same answers.
TEST(SbcSuiteWaiting, EverythingPasses) {
  FileBlockDevice::Options options;
  options.writes_wait = true;
  BlockRig rig(Transport::iscsi, options);
  const SuiteRun run = run_suite({"--test=ALL"}, rig.url());
  EXPECT_EQ(run.passed, run.tests) << run.output;
  EXPECT_EQ(run.failed, 0) << run.output;
}

// -- QEMU

class SbcQemu : public SbcSuite {
 protected:
  static std::string qemu(const std::vector<std::string>& arguments) {
    const auto done = run_command(arguments);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    return done.ok() ? *done : std::string();
  }
};
INSTANTIATE_TEST_SUITE_P(Blocks, SbcQemu, ::testing::Values(512U, 4096U),
                         [](const auto& info) { return "Of" + std::to_string(info.param); });

TEST_P(SbcQemu, APatternedImageIsTheSameEverywhere) {
  BlockRig rig(Transport::iscsi, disk());
  const std::string raw = rig.directory() + "/reference.raw";
  qemu({"qemu-img", "create", "-q", "-f", "raw", raw, "64M"});
  std::vector<std::string> commands;
  uint64_t seed = 42;
  std::cout << "seed " << seed << "\n";
  SeededRandom random(seed);
  for (int i = 0; i < 60; ++i) {
    const uint64_t offset = random.below(60 * 1024) * KiB;
    const uint64_t length = (1 + random.below(1024)) * 4 * KiB;
    const std::string where = std::to_string(offset / 4096 * 4096) + " " +
                              std::to_string(std::min(length, 64 * MiB - offset));
    switch (random.below(4)) {
      case 0:
        commands.push_back("write -z -u " + where);
        break;
      case 1:
        commands.push_back("discard " + where);
        // A raw file and a thin disk need not read alike there, until they are told what to hold.
        commands.push_back("write -z " + where);
        break;
      default:
        commands.push_back("write -P " + std::to_string(1 + random.below(255)) + " " + where);
    }
  }
  commands.push_back("flush");
  for (const std::string& image : {raw, rig.url()}) {
    std::vector<std::string> arguments = {"qemu-io", "-f", "raw", "-t", "writeback"};
    for (const std::string& command : commands) {
      arguments.push_back("-c");
      arguments.push_back(command);
    }
    arguments.push_back(image);
    const std::string said = qemu(arguments);
    EXPECT_EQ(said.find("rror"), std::string::npos) << said;
  }
  EXPECT_NE(qemu({"qemu-img", "compare", "-f", "raw", "-F", "raw", raw, rig.url()})
                .find("Images are identical"),
            std::string::npos);
  // There and back through qemu-img convert.
  const std::string copy = rig.directory() + "/copy.raw";
  qemu({"qemu-img", "convert", "-f", "raw", "-O", "raw", rig.url(), copy});
  EXPECT_NE(qemu({"qemu-img", "compare", "-f", "raw", "-F", "raw", raw, copy})
                .find("Images are identical"),
            std::string::npos);
  qemu({"qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, rig.url()});
  EXPECT_NE(qemu({"qemu-img", "compare", "-f", "raw", "-F", "raw", rig.url(), copy})
                .find("Images are identical"),
            std::string::npos);
}

}  // namespace
}  // namespace coldshelf::test
