// Any CDB with any parameter data, on a drive with a small cartridge: an input is a sequence of
// commands, each of 16 bytes of CDB, a byte of flags, two bytes of data-out length, and that data.
#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "target/scsi/tape_unit.h"
#include "target/scsi/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/memory_cartridge.h"

namespace {

using namespace coldshelf;  // NOLINT: a test program

constexpr size_t kHeader = 16 + 1 + 2;
constexpr unsigned kMaxCommands = 64;

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

struct Drive {
  SystemClock clock;
  std::unique_ptr<TapeDrive> drive;
  std::unique_ptr<scsi::TapeUnit> unit;
  std::shared_ptr<scsi::Nexus> nexuses[2];

  Drive() {
    TapeDrive::Options options;
    options.serial = "FUZZ000001";
    options.profile = find_drive("IBM-ULT3580-TD8");
    options.clock = &clock;
    options.early_warning_bytes = 1000;
    drive = std::make_unique<TapeDrive>(options);
    scsi::TapeUnitOptions unit_options;
    unit_options.drive = drive.get();
    unit_options.clock = &clock;
    unit_options.target_name = "iqn.2026-11.io.coldshelf:fuzz";
    unit = std::make_unique<scsi::TapeUnit>(std::move(unit_options));
    SeededRandom random(1);
    NewCartridge what;
    what.uuid = Uuid::generate(random);
    what.label = "FUZ001L8";
    what.medium = "LTO-8";
    what.capacity_bytes = 1 << 20;
    std::unique_ptr<Cartridge> cartridge = std::make_unique<MemoryCartridge>(what);
    CHECK(drive->insert(cartridge).ok());
    for (uint64_t i = 0; i < 2; ++i) {
      nexuses[i] = std::make_shared<scsi::Nexus>();
      nexuses[i]->id = i + 1;
      nexuses[i]->initiator_name = i == 0 ? "iqn.a" : "iqn.b";
      unit->nexus_established(nexuses[i]);
    }
  }
};

// What must hold of every reply.
void examine(const scsi::Command& command, const scsi::Reply& reply) {
  CHECK(reply.data.size <= command.expected_in);
  uint64_t bytes = 0;
  unsigned sum = 0;
  for (ByteView part : reply.data.parts) {
    bytes += part.size();
    for (std::byte b : part) sum += std::to_integer<unsigned>(b);  // every byte is readable
  }
  volatile unsigned keep = sum;
  (void)keep;
  CHECK(bytes == reply.data.size);
  CHECK(reply.data_in_wanted >= reply.data.size);
  CHECK(reply.data_out_wanted <= 16 * MiB);
  const bool check = reply.status == scsi::ScsiStatus::check_condition;
  CHECK(check == !reply.sense.empty());
  if (check) CHECK(scsi::decode_sense(reply.sense).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteView in(reinterpret_cast<const std::byte*>(data), size);
  Drive drive;
  for (unsigned n = 0; n < kMaxCommands && in.size() >= kHeader; ++n) {
    scsi::Command command;
    std::copy(in.begin(), in.begin() + 16, command.cdb.begin());
    const unsigned flags = std::to_integer<unsigned>(in[16]);
    command.nexus = drive.nexuses[flags & 1];
    command.expected_in = (flags & 2) != 0 ? 16 : 1 << 20;
    const auto length = static_cast<size_t>(scsi::get_number(in, 17, 2));
    in = in.subspan(kHeader);
    ByteView out = in.first(std::min(length, in.size()));
    in = in.subspan(out.size());
    const uint64_t wanted = drive.unit->data_out_length(command.cdb);
    command.data_out = out.first(std::min<size_t>(static_cast<size_t>(wanted), out.size()));
    if ((flags & 4) != 0) drive.unit->reset(scsi::ResetKind::logical_unit);
    (void)drive.unit->may_block(command);
    // FORMAT and filemark counts in the millions are legal; keep the run short.
    if ((command.cdb[0] == std::byte{0x10} && command.cdb[2] != std::byte{0}) ||
        (command.cdb[0] == std::byte{0x80} && command.cdb[12] != std::byte{0}))
      continue;
    examine(command, drive.unit->execute(command));
  }
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  std::vector<Buffer> seeds;
  const Buffer record(512, std::byte{7});
  Buffer traffic;
  for (const Buffer& s :
       {step({0x00}), step({0x00}), step({0x0A, 0, 0, 2, 0}, record), step({0x10, 0, 0, 0, 1}),
        step({0x0A, 0, 0, 2, 0}, record), step({0x01}), step({0x08, 0, 0, 2, 0}),
        step({0x08, 0, 0, 4, 0}), step({0x11, 1, 0xFF, 0xFF, 0xFF}),
        step({0x92, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), step({0x34, 6}),
        step({0x34, 8, 0, 0, 0, 0, 0, 0, 32}), step({0x13, 0x20}), step({0x19, 1}),
        step({0x1B, 0, 0, 0, 0}), step({0x1B, 0, 0, 0, 1}), step({0x04, 0, 1})})
    append(traffic, s);
  seeds.push_back(traffic);
  const unsigned reads[][10] = {{0x12, 0, 0, 0, 96},
                                {0x12, 1, 0x83, 0, 255},
                                {0x1A, 0, 0x3F, 0xFF, 255},
                                {0x5A, 0, 0x11, 0, 0, 0, 0, 1, 0},
                                {0x4D, 0, 0x57, 0, 0, 0, 0, 8, 0},
                                {0x4D, 0, 0x6E, 0, 0, 0, 0, 8, 0},
                                {0x44, 1, 0, 0, 0, 0, 0, 8, 0},
                                {0xA3, 0x0C, 0x80, 0, 0, 0, 0, 0, 32},
                                {0x5E, 3, 0, 0, 0, 0, 0, 8, 0},
                                {0xA2, 0, 0, 0, 0, 0, 0, 0, 1}};
  for (const auto& r : reads) {
    Buffer seed = step({0x00});
    append(seed, step({r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9]}));
    seeds.push_back(std::move(seed));
  }
  Buffer select(36, std::byte{0});
  select[2] = std::byte{0x10};
  select[4] = std::byte{0x50};
  select[5] = std::byte{1};
  select[7] = std::byte{28};
  Buffer key(24, std::byte{0});
  key[15] = std::byte{9};
  const Buffer attribute =
      to_buffer(as_view(std::string("\0\0\0\x0D\x08\0\x01\0\x08VENDOR  ", 17)));
  Buffer lists;
  for (const Buffer& s : {step({0x00}), step({0x15, 0x10, 0, 0, 36}, select),
                          step({0x5F, 6, 0, 0, 0, 0, 0, 0, 24}, key),
                          step({0x8D, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17}, attribute),
                          step({0x8C, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0})})
    append(lists, s);
  seeds.push_back(lists);
  return seeds;
}
