// kill -9 under load, again and again: every synced write of a volume is there, and each block is
// one that was written to it, whole.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/coding.h"
#include "tests/e2e/crash_rounds.h"
#include "tests/support/disk_client.h"

namespace coldshelf::test {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kBlocks = 4096;  // 16 MiB: overwritten many times, so that compaction works too

// Version `n` of a block: its content says which. 0: never written, or unmapped: zeroes.
Buffer content(uint64_t block, uint64_t version) {
  Buffer out(kBlock, std::byte{0});
  if (version == 0) return out;
  SeededRandom random(block * 1'000'003 + version);
  random.fill(out);
  store_le<uint64_t>(out.data(), block);
  store_le<uint64_t>(out.data() + 8, version);
  return out;
}

// What a block may hold: any of these, from the last synced version on.
struct Model {
  std::vector<std::vector<uint64_t>> versions{kBlocks, {0}};  // the first is the synced one
  uint64_t next = 1;
  void synced() {
    for (auto& v : versions) v.erase(v.begin(), v.end() - 1);
  }
};

void check(DiskClient& disk, Model& model) {
  constexpr uint64_t kStep = 256;
  for (uint64_t at = 0; at < kBlocks; at += kStep) {
    const auto read = disk.read(at * kBlock, kStep * kBlock);
    ASSERT_TRUE(read.ok()) << read.error().message();
    for (uint64_t b = at; b < at + kStep; ++b) {
      const ByteView found = ByteView(*read).subspan((b - at) * kBlock, kBlock);
      auto& allowed = model.versions[b];
      uint64_t is = ~uint64_t{0};
      for (const uint64_t version : allowed) {
        if (equal(found, content(b, version))) is = version;
      }
      ASSERT_NE(is, ~uint64_t{0}) << "block " << b << " holds none of " << allowed.size()
                                  << " versions since the last sync; the newest is "
                                  << allowed.back() << ", it says block "
                                  << load_le<uint64_t>(found.data()) << ", version "
                                  << load_le<uint64_t>(found.data() + 8) << " of " << model.next;
      allowed = {is};
    }
  }
}

void load_until_killed(DiskClient& disk, SeededRandom& random, Model& model) {
  while (true) {
    for (uint64_t n = random.below(60); n > 0; --n) {
      const uint64_t first = random.below(kBlocks);
      const uint64_t count =
          std::min(1 + random.below(random.below(4) == 0 ? 64 : 4), kBlocks - first);
      const bool unmap = random.below(8) == 0;
      Buffer bytes;
      const uint64_t version = unmap ? 0 : model.next++;
      for (uint64_t b = first; b < first + count; ++b) {
        // Even one without an answer may be there.
        model.versions[b].push_back(version);
        append(bytes, content(b, version));
      }
      const bool durable = !unmap && random.below(20) == 0;
      const Status done = unmap ? disk.unmap(first * kBlock, count * kBlock)
                                : disk.write(first * kBlock, bytes, durable);
      if (!done.ok()) return;
      if (!durable) continue;
      for (uint64_t b = first; b < first + count; ++b) model.versions[b] = {version};
    }
    if (!disk.flush().ok()) return;
    model.synced();
  }
}

TEST(VolumeCrash, KilledDaemonKeepsWhatWasSynced) {
  SeededRandom random = crash_seed();
  Gateway gateway("[cartridge]\nsegment_size = \"1MiB\"\n");
  Model model;
  std::optional<DiskClient> disk;
  CrashLoad what;
  what.prepare = [&] {
    gateway.ok({"volume", "create", "--name", "crash", "--size", "16MiB", "--block-size", "4096"});
  };
  what.check = [&] {
    disk.reset();
    auto connected = DiskClient::connect(gateway.portal(), gateway.target("volume-crash"));
    ASSERT_TRUE(connected.ok()) << connected.error().message();
    disk.emplace(std::move(*connected));
    check(*disk, model);
  };
  what.load = [&] { load_until_killed(*disk, random, model); };
  run_crash_rounds(gateway, 5, random, what);
  EXPECT_GT(model.next, 1U);
}

}  // namespace
}  // namespace coldshelf::test
