// Volumes of a real daemon, by its command line and over iSCSI.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/coding.h"
#include "base/random.h"
#include "tests/e2e/gateway.h"
#include "tests/support/disk_client.h"

namespace coldshelf::test {
namespace {

Buffer noise(uint64_t seed, size_t bytes) {
  SeededRandom random(seed);
  Buffer out(bytes);
  random.fill(out);
  return out;
}

class VolumeE2e : public ::testing::Test {
 protected:
  VolumeE2e() : gateway("[cartridge]\nsegment_size = \"8MiB\"\n") {}
  void SetUp() override { ASSERT_TRUE(gateway.start().ok()) << gateway.log(); }
  void restart() {
    ASSERT_EQ(gateway.stop(), 0) << gateway.log();
    ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  }
  Result<DiskClient> disk(const std::string& name) {
    return DiskClient::connect(gateway.portal(), gateway.target("volume-" + name));
  }
  DiskClient must(const std::string& name) {
    auto connected = disk(name);
    CHECK(connected.ok());
    return std::move(*connected);
  }
  void expect_bytes(DiskClient& disk, uint64_t offset, ByteView expected) {
    const auto read = disk.read(offset, expected.size());
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(equal(*read, expected)) << "at " << offset;
  }
  int code(std::vector<std::string> arguments) { return gateway.cli(arguments).exit_code; }

  Gateway gateway;
};

TEST_F(VolumeE2e, LivesThroughRestartsUntilItIsDeleted) {
  gateway.ok({"volume", "create", "--name", "V", "--size", "1TiB"});
  gateway.ok({"volume", "create", "--name", "four", "--size", "1GiB", "--mode", "stored",
              "--block-size", "4096"});
  const auto shown = gateway.json({"volume", "show", "V"});
  EXPECT_EQ(shown["Status"], "AVAILABLE");
  EXPECT_EQ(shown["Mode"], "cached");
  EXPECT_EQ(shown["Target"], gateway.target("volume-v"));
  EXPECT_EQ(gateway.json({"volume", "list"})["Volumes"].size(), 2U);
  const Buffer a = noise(1, 256 * KiB), b = noise(2, 64 * KiB);
  {
    DiskClient v = must("v"), four = must("four");
    EXPECT_EQ(v.size_bytes(), 1 * TiB);
    EXPECT_EQ(v.block_bytes(), 512U);
    EXPECT_EQ(four.block_bytes(), 4096U);
    ASSERT_TRUE(v.write(1 * TiB - a.size(), a).ok());
    ASSERT_TRUE(four.write(4096, b).ok());
    EXPECT_EQ(code({"volume", "delete", "V"}), 4) << "somebody is logged in";
  }
  restart();
  {
    DiskClient v = must("v"), four = must("four");
    expect_bytes(v, 1 * TiB - a.size(), a);
    expect_bytes(v, 0, Buffer(4096, std::byte{0}));
    expect_bytes(four, 4096, b);
    // Thin: what was written is what it takes.
    EXPECT_EQ(gateway.json({"volume", "show", "V"})["MappedInBytes"], a.size());
    ASSERT_TRUE(v.unmap(1 * TiB - a.size(), a.size()).ok());
    expect_bytes(v, 1 * TiB - a.size(), Buffer(a.size(), std::byte{0}));
    EXPECT_EQ(gateway.json({"volume", "show", "V"})["MappedInBytes"], 0U);
  }
  const std::string uuid = gateway.json({"volume", "show", "four"})["Uuid"];
  gateway.ok({"volume", "delete", "four"});
  EXPECT_EQ(code({"volume", "show", "four"}), 3);
  EXPECT_FALSE(disk("four").ok());
  EXPECT_FALSE(std::filesystem::exists(gateway.data() + "/cartridges/" + uuid));
  EXPECT_FALSE(std::filesystem::exists(gateway.data() + "/units/" + uuid));
  restart();
  EXPECT_EQ(gateway.json({"volume", "list"})["Volumes"].size(), 1U);
  gateway.ok({"volume", "create", "--name", "four", "--size", "1GiB"});
  EXPECT_EQ(must("four").block_bytes(), 512U) << "the name may be used again";
}

TEST_F(VolumeE2e, GrowsUnderAnInitiator) {
  gateway.ok({"volume", "create", "--name", "grow", "--size", "1GiB"});
  DiskClient v = must("grow");
  gateway.ok({"volume", "resize", "grow", "--size", "3GiB"});
  ASSERT_TRUE(v.read_capacity().ok());
  EXPECT_EQ(v.size_bytes(), 3 * GiB);
  const Buffer a = noise(3, 4096);
  ASSERT_TRUE(v.write(3 * GiB - 4096, a, true).ok());
  EXPECT_EQ(code({"volume", "resize", "grow", "--size", "1GiB"}), 2) << "it never shrinks";
  restart();
  DiskClient again = must("grow");
  EXPECT_EQ(again.size_bytes(), 3 * GiB);
  expect_bytes(again, 3 * GiB - 4096, a);
}

TEST_F(VolumeE2e, PointsAreClonedMountedAndRolledBackTo) {
  gateway.ok({"volume", "create", "--name", "src", "--size", "64MiB"});
  const Buffer before = noise(4, 1 * MiB), after = noise(5, 1 * MiB), mine = noise(6, 1 * MiB);
  {
    DiskClient v = must("src");
    ASSERT_TRUE(v.write(0, before).ok());
    gateway.ok({"volume", "point", "create", "src", "--name", "before"});
    ASSERT_TRUE(v.write(0, after).ok());
  }
  EXPECT_EQ(gateway.json({"volume", "point", "list", "src"})["RecoveryPoints"].size(), 1U);
  gateway.ok({"volume", "clone", "src@before", "--name", "copy"});
  gateway.ok({"volume", "mount", "src@latest", "--name", "look"});
  const auto check = [&](const Buffer& copied) {
    DiskClient src = must("src"), copy = must("copy"), look = must("look");
    expect_bytes(src, 0, after);
    expect_bytes(copy, 0, copied);
    expect_bytes(look, 0, before);
    EXPECT_FALSE(look.write(0, mine).ok()) << "a mounted point is read-only";
  };
  check(before);
  {
    DiskClient copy = must("copy");
    ASSERT_TRUE(copy.write(0, mine).ok());
  }
  check(mine);
  restart();
  check(mine);
  // What others stand on stays.
  EXPECT_EQ(code({"volume", "point", "delete", "src@before"}), 4);
  EXPECT_EQ(code({"volume", "delete", "src"}), 4);
  EXPECT_EQ(code({"volume", "mount", "src@before", "--name", "copy"}), 4) << "the name is taken";
  gateway.ok({"volume", "rollback", "src@before"});
  {
    DiskClient src = must("src");
    expect_bytes(src, 0, before);
    EXPECT_EQ(code({"volume", "rollback", "src@before"}), 4) << "somebody is logged in";
  }
  restart();
  {
    DiskClient src = must("src");
    expect_bytes(src, 0, before);
  }
  gateway.ok({"volume", "unmount", "look"});
  EXPECT_FALSE(disk("look").ok());
  gateway.ok({"volume", "delete", "copy"});
  gateway.ok({"volume", "point", "delete", "src@before"});
  EXPECT_EQ(gateway.json({"volume", "point", "list", "src"})["RecoveryPoints"].size(), 0U);
  gateway.ok({"volume", "delete", "src"});
  EXPECT_EQ(gateway.json({"volume", "list"})["Volumes"].size(), 0U);
  EXPECT_EQ(gateway.json({"volume", "list"})["Mounts"].size(), 0U);
}

// A writer that puts a number on one volume and then on the other, each acknowledged before the
// next: no moment has a newer one on the second.
TEST_F(VolumeE2e, PointsOfSeveralVolumesAreOfOneMoment) {
  gateway.ok({"volume", "create", "--name", "data", "--size", "16MiB"});
  gateway.ok({"volume", "create", "--name", "log", "--size", "16MiB"});
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    DiskClient log = must("log"), data = must("data");
    for (uint64_t n = 1; !stop; ++n) {
      Buffer block(512);
      store_le<uint64_t>(block.data(), n);
      ASSERT_TRUE(log.write(0, block).ok());
      ASSERT_TRUE(data.write(0, block).ok());
    }
  });
  constexpr int kRounds = 8;
  for (int i = 0; i < kRounds; ++i) {
    gateway.ok({"volume", "point", "create", "data", "log", "--name", "r" + std::to_string(i)});
  }
  stop = true;
  writer.join();
  for (int i = 0; i < kRounds; ++i) {
    const std::string name = "r" + std::to_string(i);
    gateway.ok({"volume", "mount", "data@" + name, "--name", "d"});
    gateway.ok({"volume", "mount", "log@" + name, "--name", "l"});
    {
      DiskClient d = must("d"), l = must("l");
      const uint64_t in_data = load_le<uint64_t>(d.read(0, 512)->data());
      const uint64_t in_log = load_le<uint64_t>(l.read(0, 512)->data());
      EXPECT_TRUE(in_log == in_data || in_log == in_data + 1) << in_log << " " << in_data;
    }
    gateway.ok({"volume", "unmount", "d"});
    gateway.ok({"volume", "unmount", "l"});
  }
}

TEST_F(VolumeE2e, RefusesWhatMakesNoSense) {
  EXPECT_EQ(code({"volume", "create", "--name", "a b", "--size", "1GiB"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", "a_b", "--size", "1GiB"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", std::string(300, 'a'), "--size", "1GiB"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", "a", "--size", "1000"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", "a", "--size", "9999PiB"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", "a", "--size", "1GiB", "--mode", "best"}), 2);
  EXPECT_EQ(code({"volume", "create", "--name", "a", "--size", "1GiB", "--block-size", "1024"}), 2);
  gateway.ok({"volume", "create", "--name", "a", "--size", "1GiB"});
  EXPECT_EQ(code({"volume", "create", "--name", "A", "--size", "1GiB"}), 4);
  EXPECT_EQ(code({"volume", "show", "nobody"}), 3);
  EXPECT_EQ(code({"volume", "point", "delete", "a@nothing"}), 3);
  EXPECT_EQ(code({"volume", "point", "delete", "a"}), 2);
  EXPECT_EQ(code({"volume", "clone", "a@latest", "--name", "b"}), 3);
  EXPECT_EQ(code({"volume", "unmount", "nothing"}), 3);
}

// Registrations with APTPL are there after the daemon is killed; another initiator meets them.
TEST_F(VolumeE2e, ReservationsOfTwoInitiatorsOutliveTheDaemon) {
  gateway.ok({"volume", "create", "--name", "pr", "--size", "16MiB"});
  const auto connect = [&](const char* who, uint32_t isid) {
    auto client = DiskClient::connect(gateway.portal(), gateway.target("volume-pr"),
                                      std::string("iqn.2026-11.io.coldshelf:") + who, isid);
    CHECK(client.ok());
    return std::move(*client);
  };
  const auto reserve = [](DiskClient& who, unsigned action, uint64_t key, uint64_t new_key,
                          unsigned type) {
    Buffer list;
    scsi::WireWriter(list).u64(key).u64(new_key).u32(0).u8(1).zeros(3);
    return who.scsi().write({0x5F, action, type, 0, 0, 0, 0, 0, 24, 0}, list);
  };
  const Buffer block = noise(8, 512);
  {
    DiskClient one = connect("one", 1), two = connect("two", 2);
    ASSERT_TRUE(reserve(one, 0, 0, 0xA, 0).good());
    ASSERT_TRUE(reserve(two, 0, 0, 0xB, 0).good());
    ASSERT_TRUE(reserve(one, 1, 0xA, 0, 5).good());  // write exclusive, registrants only
    EXPECT_TRUE(one.write(0, block).ok());
    EXPECT_TRUE(two.write(0, block).ok());
  }
  gateway.kill();
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  DiskClient one = connect("one", 1), two = connect("two", 2), stranger = connect("three", 3);
  EXPECT_TRUE(one.write(0, block).ok());
  EXPECT_TRUE(two.write(0, block).ok());
  EXPECT_FALSE(stranger.write(0, block).ok());
  EXPECT_TRUE(stranger.read(0, 512).ok());
  ASSERT_TRUE(reserve(two, 4, 0xB, 0xA, 5).good());  // preempt
  one.scsi().clear_unit_attentions();
  EXPECT_FALSE(one.write(0, block).ok()) << "its registration is gone";
  EXPECT_TRUE(two.write(0, block).ok());
}

}  // namespace
}  // namespace coldshelf::test
