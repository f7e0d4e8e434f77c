// Any CDB with any parameter data, on a small disk in memory: an input is a sequence of commands,
// each of 16 bytes of CDB, a byte of flags, two bytes of data-out length, and that data. A model of
// the blocks says what plain reads must return.
#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/clock.h"
#include "target/scsi/block_unit.h"
#include "target/scsi/wire.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace coldshelf;  // NOLINT: a test program

constexpr size_t kHeader = 16 + 1 + 2;
constexpr unsigned kMaxCommands = 64;
constexpr uint64_t kBlock = 512;
constexpr uint64_t kBlocks = 4096;

// Every call must keep to BlockDevice's contract.
class MemoryDisk final : public BlockDevice {
 public:
  uint64_t size_bytes() const override { return kBlocks * kBlock; }
  uint32_t block_bytes() const override { return kBlock; }
  bool read_only() const override { return false; }
  uint64_t max_atomic_bytes() const override { return 64 * KiB; }
  uint32_t granularity_bytes() const override { return 4096; }
  Status read(uint64_t offset, MutableBytes out) override {
    check(offset, out.size());
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Status write(uint64_t offset, ByteView in, bool) override {
    check(offset, in.size());
    std::copy(in.begin(), in.end(), bytes.begin() + static_cast<ptrdiff_t>(offset));
    return {};
  }
  Status unmap(uint64_t offset, uint64_t length) override {
    check(offset, length);
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
    return {};
  }
  Status flush() override { return {}; }
  Result<Run> run_at(uint64_t offset, uint64_t limit) override {
    check(offset, limit);
    CHECK(limit >= kBlock);
    return Run{std::min<uint64_t>(limit, 8 * kBlock), offset % (16 * kBlock) == 0};
  }
  bool prefetch(uint64_t offset, uint64_t length) override {
    check(offset, length);
    return false;
  }
  bool read_may_wait(uint64_t offset, uint64_t length) const override {
    check(offset, length);
    return false;
  }
  bool write_may_wait(uint64_t offset, uint64_t length) const override {
    check(offset, length);
    return false;
  }
  bool can_erase(Erasure) const override { return true; }
  Status erase(Erasure) override { return unmap(0, size_bytes()); }
  Usage usage() const override { return {}; }

  Buffer bytes = Buffer(kBlocks * kBlock, std::byte{0});

 private:
  static void check(uint64_t offset, uint64_t length) {
    CHECK(offset % kBlock == 0 && length % kBlock == 0);
    CHECK(offset <= kBlocks * kBlock && length <= kBlocks * kBlock - offset);
  }
};

struct Disk {
  SystemClock clock;
  std::shared_ptr<MemoryDisk> device = std::make_shared<MemoryDisk>();
  std::unique_ptr<scsi::BlockUnit> unit;
  std::shared_ptr<scsi::Nexus> nexuses[2];

  Disk() {
    scsi::BlockUnitOptions options;
    options.device = device;
    options.clock = &clock;
    options.serial = "FUZZ000001";
    options.target_name = "iqn.2026-11.io.coldshelf:fuzz";
    options.max_transfer_bytes = 1 * MiB;
    auto opened = scsi::BlockUnit::open(std::move(options));
    CHECK(opened.ok());
    unit = std::move(opened).value();
    for (uint64_t i = 0; i < 2; ++i) {
      nexuses[i] = std::make_shared<scsi::Nexus>();
      nexuses[i]->id = i + 1;
      nexuses[i]->initiator_name = i == 0 ? "iqn.a" : "iqn.b";
      unit->nexus_established(nexuses[i]);
    }
  }
};

void examine(const scsi::Command& command, const scsi::Reply& reply, const MemoryDisk& disk) {
  CHECK(reply.data.size <= command.expected_in);
  Buffer all;
  for (ByteView part : reply.data.parts) append(all, part);
  CHECK(all.size() == reply.data.size);
  CHECK(reply.data_in_wanted >= reply.data.size);
  CHECK(reply.data_out_wanted <= 1 * MiB);
  const bool check = reply.status == scsi::ScsiStatus::check_condition;
  CHECK(check == !reply.sense.empty());
  if (check) CHECK(scsi::decode_sense(reply.sense).has_value());
  if (reply.status != scsi::ScsiStatus::good) return;
  const uint8_t opcode = scsi::get_byte(command.cdb, 0);
  if (opcode == 0x28 || opcode == 0x88 || opcode == 0xA8 || opcode == 0x08) {
    const scsi::Extent extent = scsi::extent_of(command.cdb);
    CHECK(equal(all, ByteView(disk.bytes).subspan(extent.lba * kBlock, all.size())));
  }
}

Buffer step(std::initializer_list<unsigned> cdb, ByteView data = {}) {
  Buffer out;
  for (unsigned v : cdb) out.push_back(static_cast<std::byte>(v));
  out.resize(16, std::byte{0});
  out.push_back(std::byte{0});
  out.push_back(static_cast<std::byte>(data.size() >> 8));
  out.push_back(static_cast<std::byte>(data.size() & 0xFF));
  append(out, data);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView in(reinterpret_cast<const std::byte*>(data), size);
  Disk disk;
  for (unsigned n = 0; n < kMaxCommands && in.size() >= kHeader; ++n) {
    scsi::Command command;
    std::copy(in.begin(), in.begin() + 16, command.cdb.begin());
    const unsigned flags = std::to_integer<unsigned>(in[16]);
    command.nexus = disk.nexuses[flags & 1];
    command.expected_in = (flags & 2) != 0 ? 16 : 1 << 20;
    const auto length = static_cast<size_t>(scsi::get_number(in, 17, 2));
    in = in.subspan(kHeader);
    const ByteView out = in.first(std::min(length, in.size()));
    in = in.subspan(out.size());
    const uint64_t wanted = disk.unit->data_out_length(command.cdb);
    command.data_out = out.first(std::min<size_t>(static_cast<size_t>(wanted), out.size()));
    command.expected_out = out.size();
    if ((flags & 4) != 0) disk.unit->reset(scsi::ResetKind::logical_unit);
    (void)disk.unit->may_block(command);
    const scsi::Footprint footprint = disk.unit->footprint(command);
    command.alone = footprint.alone;
    const Buffer before = disk.device->bytes;
    const scsi::Reply reply = disk.unit->execute(command);
    examine(command, reply, *disk.device);
    // SANITIZE goes on behind the command; everything else keeps to what it said it would touch.
    if (command.cdb[0] == std::byte{0x48}) {
      scsi::Command ready;
      ready.nexus = disk.nexuses[0];
      while (disk.unit->execute(ready).status == scsi::ScsiStatus::check_condition) {
      }
      continue;
    }
    if (footprint.alone) continue;
    for (uint64_t lba = 0; lba < kBlocks; ++lba) {
      if (footprint.writes && lba >= footprint.begin && lba < footprint.end) continue;
      CHECK(std::memcmp(&before[lba * kBlock], &disk.device->bytes[lba * kBlock], kBlock) == 0);
    }
  }
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  const Buffer block(kBlock, std::byte{7});
  const Buffer two(2 * kBlock, std::byte{7});
  Buffer unmap(24, std::byte{0});
  unmap[1] = std::byte{22};
  unmap[3] = std::byte{16};
  unmap[19] = std::byte{4};
  Buffer overwrite(5, std::byte{1});
  overwrite[2] = std::byte{0};
  Buffer copy(16 + 32 + 28, std::byte{0});
  copy[3] = std::byte{32};
  copy[11] = std::byte{28};
  copy[16] = std::byte{0xE4};
  copy[48] = std::byte{2};
  copy[51] = std::byte{24};
  copy[59] = std::byte{4};
  Buffer key(24, std::byte{0});
  key[15] = std::byte{9};
  Buffer select(24, std::byte{0});
  select[4] = std::byte{8};
  select[5] = std::byte{18};
  std::vector<Buffer> seeds;
  Buffer traffic = step({0x00});
  for (const Buffer& s : {step({0x0A, 0, 0, 1, 1}, block),
                          step({0x2A, 0, 0, 0, 0, 9, 0, 0, 1}, block),
                          step({0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2}, two),
                          step({0x08, 0, 0, 0, 16}),
                          step({0x28, 0, 0, 0, 0, 1, 0, 0, 8}),
                          step({0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4}),
                          step({0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, two),
                          step({0x2E, 2, 0, 0, 0, 4, 0, 0, 1}, block),
                          step({0x2F, 6, 0, 0, 0, 4, 0, 0, 9}, block),
                          step({0x8B, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, block),
                          step({0x9C, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, block),
                          step({0x41, 8, 0, 0, 0, 1, 0, 0, 8}, block),
                          step({0x93, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8}),
                          step({0x42, 0, 0, 0, 0, 0, 0, 0, 24}, unmap),
                          step({0x34, 0, 0, 0, 0, 1, 0, 0, 8}),
                          step({0x35}),
                          step({0x9E, 0x12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 200}),
                          step({0x48, 1, 0, 0, 0, 0, 0, 0, 5}, overwrite),
                          step({0x48, 2}),
                          step({0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 76}, copy),
                          step({0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64}),
                          step({0x04}),
                          step({0x1B}),
                          step({0x1B, 0, 0, 0, 1}),
                          step({0x15, 0x10, 0, 0, 24}, select),
                          step({0x5F, 6, 0, 0, 0, 0, 0, 0, 24}, key),
                          step({0x37, 0, 0x1F, 0, 0, 0, 0, 0, 8})})
    append(traffic, s);
  seeds.push_back(traffic);
  for (unsigned page : {0x83U, 0x86U, 0x8FU, 0xB0U, 0xB1U, 0xB2U}) {
    Buffer seed = step({0x00});
    append(seed, step({0x12, 1, page, 0, 255}));
    append(seed, step({0x4D, 0, 0x4C, 0, 0, 0, 0, 1, 0}));
    append(seed, step({0x5A, 0, 0x3F, 0xFF, 0, 0, 0, 1, 0}));
    seeds.push_back(std::move(seed));
  }
  return seeds;
}
