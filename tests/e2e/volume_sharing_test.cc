// Volumes of real gateways on one store: given up and taken, taken from one that is gone, and
// erased with all that was ever on them.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/e2e/shared_store.h"
#include "tests/support/disk_client.h"

namespace coldshelf::test {
namespace {

Buffer noise(uint64_t seed, size_t bytes) {
  SeededRandom random(seed);
  Buffer out(bytes);
  random.fill(out);
  return out;
}

Result<DiskClient> disk_of(const Gateway& gateway, const std::string& name) {
  return DiskClient::connect(gateway.portal(), gateway.target("volume-" + name));
}

void write(const Gateway& gateway, const std::string& name, uint64_t offset, ByteView bytes) {
  auto disk = disk_of(gateway, name);
  ASSERT_TRUE(disk.ok()) << disk.error().message();
  const Status done = disk->write(offset, bytes, true);
  ASSERT_TRUE(done.ok()) << done.error().message();
}

void expect(const Gateway& gateway, const std::string& name, uint64_t offset, ByteView bytes) {
  auto disk = disk_of(gateway, name);
  ASSERT_TRUE(disk.ok()) << disk.error().message();
  const auto read = disk->read(offset, bytes.size());
  ASSERT_TRUE(read.ok()) << read.error().message() << "\n" << gateway.log();
  EXPECT_TRUE(equal(*read, bytes)) << name << " at " << offset;
}

// A removal is over when the store has nothing of it, which the command does not wait for.
bool gone(Gateway& gateway, const std::string& volume) {
  SystemClock clock;
  for (int i = 0; i < 200; ++i) {
    if (gateway.cli({"volume", "show", volume}).exit_code == 3) return true;
    clock.sleep_ms(100);
  }
  return false;
}

TEST(VolumeSharing, MovesWithItsRecoveryPointsAndAClone) {
  SharedStore store;
  Gateway a(store.configuration());
  Gateway b(store.configuration());
  ASSERT_TRUE(a.start().ok()) << a.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  const Buffer before = noise(1, 3 * MiB), after = noise(2, 1 * MiB), mine = noise(3, 512 * KiB);
  a.ok({"volume", "create", "--name", "src", "--size", "64MiB"});
  write(a, "src", 0, before);
  a.ok({"volume", "point", "create", "src", "--name", "p"});
  write(a, "src", 0, after);
  a.ok({"volume", "clone", "src@p", "--name", "copy"});
  EXPECT_EQ(a.cli({"volume", "detach", "src"}).exit_code, 4) << "a clone stands on it";
  EXPECT_EQ(b.cli({"volume", "attach", "copy"}).exit_code, 3) << "it is not detached";

  // The clone goes to the other gateway, and reads there what it stands on.
  a.ok({"volume", "detach", "copy"});
  ASSERT_TRUE(gone(a, "copy")) << a.log();
  EXPECT_EQ(b.json({"volume", "list", "--detached"})["Volumes"].size(), 1U);
  b.ok({"volume", "attach", "copy"});
  expect(b, "copy", 0, before);
  write(b, "copy", 1 * MiB, mine);
  EXPECT_EQ(a.cli({"volume", "point", "delete", "src@p"}).exit_code, 4) << "held elsewhere";
  EXPECT_EQ(a.cli({"volume", "delete", "src"}).exit_code, 4);
  expect(b, "copy", 1 * MiB, mine);

  // So does one of a point that came after the first one went there.
  a.ok({"volume", "point", "create", "src", "--name", "r"});
  a.ok({"volume", "clone", "src@r", "--name", "late"});
  a.ok({"volume", "detach", "late"});
  ASSERT_TRUE(gone(a, "late")) << a.log();
  b.ok({"volume", "attach", "late"});
  expect(b, "late", 0, after);
  expect(b, "late", 1 * MiB, ByteView(before).subspan(1 * MiB));

  // Deleted there, they hold nothing here.
  for (const char* clone : {"copy", "late"}) {
    b.ok({"volume", "delete", clone});
    ASSERT_TRUE(gone(b, clone)) << b.log();
  }
  a.ok({"volume", "point", "delete", "src@r"});
  a.ok({"volume", "point", "create", "src", "--name", "q"});
  a.ok({"volume", "point", "delete", "src@p"});

  // And the source may go, with its other point.
  a.ok({"volume", "detach", "src"});
  b.ok({"volume", "attach", "src"});
  expect(b, "src", 0, after);
  expect(b, "src", 1 * MiB, ByteView(before).subspan(1 * MiB));
  EXPECT_EQ(b.cli({"volume", "clone", "src@p", "--name", "x"}).exit_code, 3);
  b.ok({"volume", "mount", "src@q", "--name", "look"});
  expect(b, "look", 0, after);
  b.ok({"volume", "unmount", "look"});
  ASSERT_EQ(b.stop(), 0) << b.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  expect(b, "src", 0, after);
  a.ok({"store", "verify", "--deep"});
  EXPECT_EQ(a.cli({"volume", "attach", "src"}).exit_code, 4) << "its owner is alive";
}

TEST(VolumeSharing, IsTakenOverOnlyFromAGatewayThatIsGone) {
  SharedStore store;
  Gateway a(store.configuration());
  Gateway b(store.configuration());
  ASSERT_TRUE(a.start().ok()) << a.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  const Buffer first = noise(11, 3 * MiB), theirs = noise(12, 1 * MiB), late = noise(13, 64 * KiB);
  a.ok({"volume", "create", "--name", "V", "--size", "64MiB"});
  write(a, "v", 0, first);
  a.ok({"volume", "point", "create", "V", "--name", "p"});  // ends the segment
  ASSERT_TRUE(uploaded(a));
  auto disk = disk_of(a, "v");
  ASSERT_TRUE(disk.ok()) << disk.error().message();
  const CommandResult alive = b.cli({"volume", "attach", "V", "--takeover"});
  EXPECT_EQ(alive.exit_code, 4) << alive.output;

  // Its owner is silent for longer than its lease, and than clocks may differ.
  store.pause(a);
  SystemClock clock;
  bool taken = false;
  for (int i = 0; i < 60 && !taken; ++i) {
    clock.sleep_ms(1'000);
    taken = b.cli({"volume", "attach", "V", "--takeover"}).exit_code == 0;
  }
  ASSERT_TRUE(taken) << b.log();
  expect(b, "v", 0, first);
  write(b, "v", 0, theirs);
  b.ok({"volume", "point", "create", "V", "--name", "mine"});

  // And comes back: it finds out, its disk takes no more writes, and what it had written goes
  // nowhere.
  a.process().go_on();
  bool refused = false;
  for (unsigned n = 0; n < 200 && !refused; ++n) {
    refused = !disk->write(n % 16 * late.size(), late, true).ok();
    clock.sleep_ms(50);
  }
  EXPECT_TRUE(refused) << a.log();
  const std::string problem = a.json({"volume", "show", "V"})["Problem"];
  EXPECT_NE(problem.find("no longer this gateway's"), std::string::npos) << problem;
  clock.sleep_ms(1'500);
  ASSERT_TRUE(uploaded(b));
  expect(b, "v", 0, theirs);
  expect(b, "v", 1 * MiB, ByteView(first).subspan(1 * MiB));
  b.ok({"store", "verify", "--deep"});
  const CommandResult used = a.cli({"volume", "attach", "V", "--takeover"});
  EXPECT_EQ(used.exit_code, 4) << used.output;
  EXPECT_NE(used.output.find("in use by 1 initiator session"), std::string::npos) << used.output;
  a.kill();
  ASSERT_EQ(b.stop(), 0) << b.log();
  ASSERT_TRUE(b.start().ok()) << b.log();
  expect(b, "v", 0, theirs);
  expect(b, "v", 1 * MiB, ByteView(first).subspan(1 * MiB));

  // Started anew it knows from the beginning; it takes the volume back from one that has ended.
  ASSERT_TRUE(a.start().ok()) << a.log();
  EXPECT_NE(std::string(a.json({"volume", "show", "V"})["Problem"]).find("no longer"),
            std::string::npos);
  EXPECT_EQ(a.cli({"volume", "delete", "V", "--force"}).exit_code, 4) << "it is another's";
  EXPECT_EQ(a.cli({"volume", "attach", "V"}).exit_code, 4) << "it is not detached";
  EXPECT_EQ(a.cli({"volume", "attach", "V", "--takeover"}).exit_code, 4) << "its owner is alive";
  expect(a, "v", 1 * MiB, ByteView(first).subspan(1 * MiB));  // as it had it
  ASSERT_EQ(b.stop(), 0) << b.log();
  a.ok({"volume", "attach", "V", "--takeover"});
  EXPECT_FALSE(a.json({"volume", "show", "V"}).contains("Problem"));
  expect(a, "v", 0, theirs);
  expect(a, "v", 1 * MiB, ByteView(first).subspan(1 * MiB));
  write(a, "v", 2 * MiB, theirs);
  ASSERT_TRUE(b.start().ok()) << b.log();
  EXPECT_NE(std::string(b.json({"volume", "show", "V"})["Problem"]).find("no longer"),
            std::string::npos);
  EXPECT_EQ(a.cli({"volume", "forget", "V"}).exit_code, 4) << "it is its own";
  b.ok({"volume", "forget", "V", "--force"});
  EXPECT_EQ(b.cli({"volume", "show", "V"}).exit_code, 3);
  expect(a, "v", 2 * MiB, theirs);
  a.ok({"volume", "delete", "V"});
}

// Whether some file below the directory holds the text.
bool holds(const std::string& directory, const std::string& text) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(in), {}};
    if (content.find(text) != std::string::npos) return true;
  }
  return false;
}

struct SanitizeCase {
  const char* name;
  unsigned action;  // SBC-4 table 118
};

class VolumeSanitize : public ::testing::TestWithParam<SanitizeCase> {};

TEST_P(VolumeSanitize, LeavesNothingHereOrInTheStore) {
  const std::string secret = "what nobody may read again";
  Gateway gateway("[cartridge]\nsegment_size = \"1MiB\"\n[store]\nlink = false\n");
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  gateway.ok({"volume", "create", "--name", "V", "--size", "16MiB"});
  Buffer bytes(4 * MiB);
  for (size_t at = 0; at + 64 <= bytes.size(); at += 64) {
    std::memcpy(bytes.data() + at, secret.data(), secret.size());
  }
  auto disk = disk_of(gateway, "v");
  ASSERT_TRUE(disk.ok()) << disk.error().message();
  for (size_t at = 0; at < bytes.size(); at += 1 * MiB) {
    ASSERT_TRUE(disk->write(at, ByteView(bytes).subspan(at, 1 * MiB), true).ok());
  }
  gateway.ok({"volume", "point", "create", "V", "--name", "p"});
  ASSERT_TRUE(uploaded(gateway));
  const std::string here = gateway.data() + "/cartridges";
  ASSERT_TRUE(holds(here, secret));
  ASSERT_TRUE(holds(gateway.store(), secret));
  const auto sanitize = [&] {
    const unsigned action = GetParam().action;
    if (action == 2) return disk->scsi().run({0x48, action, 0, 0, 0, 0, 0, 0, 0, 0});
    // OVERWRITE once, by a pattern of four bytes of zeroes.
    Buffer list(8, std::byte{0});
    list[0] = std::byte{0x01};
    list[3] = std::byte{0x04};
    return disk->scsi().write({0x48, action, 0, 0, 0, 0, 0, 0, 8, 0}, list);
  };
  // A recovery point is not the disk's to erase.
  EXPECT_FALSE(sanitize().good());
  EXPECT_TRUE(holds(gateway.store(), secret));
  gateway.ok({"volume", "point", "delete", "V@p"});
  const ScsiResult done = sanitize();
  ASSERT_TRUE(done.good()) << done << gateway.log();
  const auto read = disk->read(0, bytes.size());
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_TRUE(equal(*read, Buffer(bytes.size(), std::byte{0})));
  EXPECT_FALSE(holds(here, secret));
  EXPECT_FALSE(holds(gateway.store(), secret));
  // The disk works on, and a power failure brings nothing back.
  const Buffer fresh = noise(21, 256 * KiB);
  ASSERT_TRUE(disk->write(0, fresh, true).ok());
  gateway.kill();
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  expect(gateway, "v", 0, fresh);
  expect(gateway, "v", 1 * MiB, Buffer(1 * MiB, std::byte{0}));
  EXPECT_FALSE(holds(gateway.data(), secret));
  gateway.ok({"store", "verify", "--deep"});
}

INSTANTIATE_TEST_SUITE_P(Actions, VolumeSanitize,
                         ::testing::Values(SanitizeCase{"Overwrite", 1},
                                           SanitizeCase{"BlockErase", 2}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace coldshelf::test
