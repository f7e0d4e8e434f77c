// What tests of images fill them with, and look for: noise that depends on a seed and on the place.
#pragma once

#include <gtest/gtest.h>

#include "base/random.h"
#include "volume/volume.h"

namespace coldshelf::test {

constexpr uint64_t kContentStep = 64 * KiB;  // `from` and `bytes` are multiples of it

inline Buffer content_at(uint64_t seed, uint64_t at) {
  SeededRandom random(seed + at);
  Buffer out(kContentStep);
  random.fill(out);
  return out;
}

inline void fill(Volume& volume, uint64_t from, uint64_t bytes, uint64_t seed) {
  for (uint64_t at = from; at < from + bytes; at += kContentStep) {
    ASSERT_TRUE(volume.write(at, content_at(seed, at), false).ok());
  }
}

inline void expect_content(BlockDevice& volume, uint64_t from, uint64_t bytes, uint64_t seed) {
  Buffer read(kContentStep);
  for (uint64_t at = from; at < from + bytes; at += kContentStep) {
    const Status done = volume.read(at, read);
    ASSERT_TRUE(done.ok()) << done.error().message();
    ASSERT_TRUE(equal(read, content_at(seed, at))) << "at " << at;
  }
}

}  // namespace coldshelf::test
