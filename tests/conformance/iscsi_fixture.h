// A server with one or more memory units, for the conformance tests of the iSCSI target.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "base/random.h"
#include "target/iscsi/server.h"
#include "tests/support/iscsi_raw_client.h"
#include "tests/support/memory_unit.h"

namespace coldshelf::testing {

class IscsiFixture : public ::testing::Test {
 protected:
  static constexpr const char* kTarget = "iqn.2026-11.io.coldshelf:test-tapedrive-01";
  static constexpr const char* kSecondTarget = "iqn.2026-11.io.coldshelf:test-mediachanger";

  IscsiFixture() {
    options.listen = {"127.0.0.1:0"};
    options.nop_interval = std::chrono::milliseconds(0);
  }
  ~IscsiFixture() override {
    if (server) server->stop(std::chrono::milliseconds(0));
  }

  void start(bool blocking = false, size_t blocks = 8192) {
    unit = std::make_shared<MemoryUnit>(blocks, blocking);
    second_unit = std::make_shared<MemoryUnit>(64, blocking);
    auto started = iscsi::Server::start(
        options, {{kTarget, "drive 1", unit}, {kSecondTarget, "changer", second_unit}}, random);
    ASSERT_TRUE(started.ok()) << started.error().message();
    server = std::move(started).value();
  }
  std::string endpoint() const { return server->endpoints().at(0); }

  static bool eventually(const std::function<bool()>& condition, int timeout_ms = 5000) {
    for (int waited = 0; waited < timeout_ms; waited += 5) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return condition();
  }
  static Buffer pattern(size_t size, uint64_t seed) {
    Buffer out(size);
    SeededRandom(seed).fill(out);
    return out;
  }
  static std::vector<uint8_t> read10(uint32_t lba, uint16_t blocks) {
    return rw10(0x28, lba, blocks);
  }
  static std::vector<uint8_t> write10(uint32_t lba, uint16_t blocks) {
    return rw10(0x2a, lba, blocks);
  }
  static std::vector<uint8_t> rw10(uint8_t opcode, uint32_t lba, uint16_t blocks) {
    return {opcode,
            0,
            static_cast<uint8_t>(lba >> 24),
            static_cast<uint8_t>(lba >> 16),
            static_cast<uint8_t>(lba >> 8),
            static_cast<uint8_t>(lba),
            0,
            static_cast<uint8_t>(blocks >> 8),
            static_cast<uint8_t>(blocks)};
  }
  // The unit's blocks, as stored.
  Buffer stored(size_t lba, size_t bytes) const {
    const auto all = unit->contents();
    const auto first = all.begin() + static_cast<ptrdiff_t>(lba * MemoryUnit::kBlock);
    return Buffer(first, first + static_cast<ptrdiff_t>(bytes));
  }

  static void expect_alive(IscsiRawClient& client) {
    EXPECT_EQ(client.complete(client.send_command({0}, kF, 0)).status, 0);
  }

  static constexpr uint8_t kF = 0x80, kR = 0x40, kW = 0x20;
  static constexpr uint8_t kTaskAborted = 0x40;
  SystemRandom random;
  iscsi::ServerOptions options;
  std::shared_ptr<MemoryUnit> unit, second_unit;
  std::unique_ptr<iscsi::Server> server;
};

}  // namespace coldshelf::testing
