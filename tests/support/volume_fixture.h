// A volume on the simulated disk, everything done on the calling thread.
#pragma once

#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/support/cartridge_fixture.h"
#include "volume/volume.h"

namespace coldshelf::test {

inline constexpr uint64_t kBlocks = 4096;  // of 4096 bytes

class VolumeTest : public ::testing::Test, public ImageDirectory {
 protected:
  VolumeTest() {
    env.cartridge.files = &files;
    env.cartridge.clock = &clock;
    env.cartridge.random = &random;
    env.cartridge.workers = &inline_executor;
    env.cartridge.sealers = &inline_executor;
    env.cartridge.buffers = BufferPool::create(8 * MiB);
    env.cartridge.observer = &observer;
    env.images = this;
    options.segment_bytes = 1 * MiB;
    capture_log([](std::string_view) {});
  }
  ~VolumeTest() override { capture_log(nullptr); }
  Result<std::string> directory_of(const Uuid&) override { return std::string("/v"); }

  std::unique_ptr<Volume> create(uint32_t block_bytes = 4096) {
    auto made = Volume::create(env, options, "/v",
                               {Uuid::generate(random), "v", kBlocks * 4096, block_bytes});
    CHECK(made.ok());
    return std::move(*made);
  }
  std::unique_ptr<Volume> open() {
    auto opened = Volume::open(env, options, "/v");
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message());
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  static Buffer pattern(uint64_t seed, size_t size) {
    SeededRandom random(seed);
    Buffer out(size);
    random.fill(out);
    return out;
  }
  static Buffer read(BlockDevice& disk, uint64_t offset, size_t size) {
    Buffer out(size);
    const Status done = disk.read(offset, out);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    return out;
  }
  uint64_t segment_files() {
    uint64_t n = 0;
    for (const std::string& path : files.all_files()) n += path.ends_with(".seg");
    return n;
  }

  SimFileSystem files;
  StillClock clock;
  SeededRandom random{99};
  InlineExecutor inline_executor;
  RecordingObserver observer;
  VolumeEnv env;
  VolumeOptions options;
};

}  // namespace coldshelf::test
