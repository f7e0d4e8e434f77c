// What the SSC suites share: a rig for each transport and short names for commands.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/tape_rig.h"

namespace coldshelf::test {

using scsi::ScsiStatus;
using scsi::SenseKey;
namespace asc = scsi::asc;

class SscSuite : public testing::TestWithParam<Transport> {
 protected:
  explicit SscSuite(RigOptions options = {}) : rig_(GetParam(), std::move(options)) {}

  ScsiClient& host() { return rig_.client(); }
  static Buffer pattern(size_t size, unsigned seed = 1) {
    Buffer out(size);
    for (size_t i = 0; i < size; ++i)
      out[i] = static_cast<std::byte>((i * 7 + seed * 31 + i / 251) & 0xFF);
    return out;
  }
  static unsigned b(uint64_t v, unsigned shift) { return static_cast<unsigned>(v >> shift) & 0xFF; }

  ScsiResult write(ByteView record) {
    const size_t n = record.size();
    return host().write({0x0A, 0, b(n, 16), b(n, 8), b(n, 0), 0}, record);
  }
  ScsiResult write_fixed(unsigned count, ByteView data) {
    return host().write({0x0A, 1, b(count, 16), b(count, 8), b(count, 0), 0}, data);
  }
  ScsiResult read(size_t n, unsigned flags = 0) {
    return host().read({0x08, flags, b(n, 16), b(n, 8), b(n, 0), 0}, n);
  }
  ScsiResult read_fixed(unsigned count, size_t block) {
    return host().read({0x08, 1, b(count, 16), b(count, 8), b(count, 0), 0}, count * block);
  }
  ScsiResult filemarks(unsigned count, bool immediate = false) {
    return host().run({0x10, immediate ? 1U : 0U, b(count, 16), b(count, 8), b(count, 0), 0});
  }
  ScsiResult rewind() { return host().run({0x01, 0, 0, 0, 0, 0}); }
  ScsiResult space(unsigned code, int count) {
    const auto n = static_cast<uint32_t>(count);
    return host().run({0x11, code, b(n, 16), b(n, 8), b(n, 0), 0});
  }
  ScsiResult locate16(unsigned type, uint64_t id, int partition = -1) {
    return host().run({0x92, (type << 3) | (partition >= 0 ? 2U : 0U), 0,
                       partition >= 0 ? static_cast<unsigned>(partition) : 0U, b(id, 56), b(id, 48),
                       b(id, 40), b(id, 32), b(id, 24), b(id, 16), b(id, 8), b(id, 0), 0, 0, 0, 0});
  }
  ScsiResult unload() { return host().run({0x1B, 0, 0, 0, 0, 0}); }
  ScsiResult load() { return host().run({0x1B, 0, 0, 0, 1, 0}); }
  ScsiResult test_ready() { return host().run({0x00, 0, 0, 0, 0, 0}); }
  uint64_t block_number() {  // READ POSITION, long form
    const ScsiResult r = host().read({0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32);
    EXPECT_TRUE(r.good()) << r;
    return r.number(8, 8);
  }
  uint64_t file_number() {
    return host().read({0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0}, 32).number(16, 8);
  }
  // MODE SELECT(6) with a block descriptor, as st sends it.
  ScsiResult set_block_length(uint32_t n) {
    return host().write({0x15, 0x10, 0, 0, 12, 0}, ScsiClient::bytes({0, 0, 0x10, 8, 0, 0, 0, 0, 0,
                                                                      b(n, 16), b(n, 8), b(n, 0)}));
  }
  // "r": a record of 100 bytes, "f": a filemark.
  void layout(std::string_view what) {
    for (char c : what) {
      if (c == 'f')
        ASSERT_TRUE(filemarks(1, true).good());
      else
        ASSERT_TRUE(write(pattern(100)).good());
    }
  }

  TapeRig rig_;
};

inline std::string transport_name(const testing::TestParamInfo<Transport>& info) {
  return info.param == Transport::direct ? "Direct" : "Iscsi";
}

#define COLDSHELF_SSC_SUITE(suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(Over, suite, testing::Values(Transport::direct, Transport::iscsi), \
                           transport_name)

}  // namespace coldshelf::test
