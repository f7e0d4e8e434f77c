// A disk and its initiators, for the conformance tests of SBC-4.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/block_rig.h"

namespace coldshelf::test {

using scsi::ScsiStatus;
using scsi::SenseKey;
namespace asc = scsi::asc;

inline unsigned octet(uint64_t v, unsigned shift) {
  return static_cast<unsigned>((v >> shift) & 0xFFU);
}
inline Buffer filled(size_t bytes, unsigned value) {
  return Buffer(bytes, static_cast<std::byte>(value));
}

class SbcTest : public ::testing::TestWithParam<Transport> {
 protected:
  explicit SbcTest(FileBlockDevice::Options options = {}) : rig_(GetParam(), std::move(options)) {
    host_ = rig_.connect(1);
    host_->clear_unit_attentions();
  }
  ScsiClient& host() { return *host_; }
  ScsiClient& other() {
    if (!other_) {
      other_ = rig_.connect(2);
      other_->clear_unit_attentions();
    }
    return *other_;
  }
  FileBlockDevice& device() { return rig_.device(); }

  // CDBs of 10 and 16 bytes: opcode, flags of byte 1, LBA, blocks.
  static ScsiResult out10(ScsiClient& who, unsigned op, unsigned flags, uint64_t lba,
                          unsigned blocks, ByteView data) {
    return who.write({op, flags, octet(lba, 24), octet(lba, 16), octet(lba, 8), octet(lba, 0), 0,
                      octet(blocks, 8), octet(blocks, 0), 0},
                     data);
  }
  static ScsiResult in10(ScsiClient& who, unsigned op, unsigned flags, uint64_t lba,
                         unsigned blocks, size_t bytes) {
    return who.read({op, flags, octet(lba, 24), octet(lba, 16), octet(lba, 8), octet(lba, 0), 0,
                     octet(blocks, 8), octet(blocks, 0), 0},
                    bytes);
  }
  static ScsiResult out16(ScsiClient& who, unsigned op, unsigned flags, uint64_t lba,
                          uint64_t blocks, ByteView data) {
    return who.write(
        {op, flags, octet(lba, 56), octet(lba, 48), octet(lba, 40), octet(lba, 32), octet(lba, 24),
         octet(lba, 16), octet(lba, 8), octet(lba, 0), octet(blocks, 24), octet(blocks, 16),
         octet(blocks, 8), octet(blocks, 0), 0, 0},
        data);
  }
  ScsiResult write(uint64_t lba, const Buffer& data, unsigned flags = 0) {
    return out10(host(), 0x2A, flags, lba, static_cast<unsigned>(data.size() / kBlock), data);
  }
  ScsiResult read(uint64_t lba, unsigned blocks, unsigned flags = 0) {
    return in10(host(), 0x28, flags, lba, blocks, blocks * kBlock);
  }
  ScsiResult vpd(unsigned page, size_t bytes = 512) {
    return host().read({0x12, 1, page, octet(bytes, 8), octet(bytes, 0), 0}, bytes);
  }
  ScsiResult ready(ScsiClient& who) { return who.run({0, 0, 0, 0, 0, 0}); }
  // MODE SELECT(6) of the caching (08h) and control (0Ah) pages: their changeable bits.
  ScsiResult set_write_cache(bool on, bool save = false) {
    Buffer list(4 + 20, std::byte{0});
    list[4] = std::byte{0x08};
    list[5] = std::byte{18};
    list[6] = on ? std::byte{0x04} : std::byte{0};
    return host().write({0x15, 0x10U | (save ? 1U : 0U), 0, 0, 24, 0}, list);
  }
  ScsiResult set_control(bool descriptor_sense, bool protect) {
    Buffer list(4 + 12, std::byte{0});
    list[4] = std::byte{0x0A};
    list[5] = std::byte{10};
    list[6] = descriptor_sense ? std::byte{0x04} : std::byte{0};
    list[8] = protect ? std::byte{0x08} : std::byte{0};
    list[9] = std::byte{0x40};
    return host().write({0x15, 0x10, 0, 0, 16, 0}, list);
  }

  static constexpr size_t kBlock = 512;
  static constexpr uint64_t kBlocks = 64 * MiB / kBlock;

  BlockRig rig_;
  std::unique_ptr<ScsiClient> host_, other_;
};

#define INSTANTIATE_SBC(suite)                                                                 \
  INSTANTIATE_TEST_SUITE_P(Transports, suite,                                                  \
                           ::testing::Values(Transport::direct, Transport::iscsi),             \
                           [](const ::testing::TestParamInfo<Transport>& transport) {          \
                             return transport.param == Transport::direct ? "Direct" : "Iscsi"; \
                           })

}  // namespace coldshelf::test
