// Arbitrary bytes as the PDU stream of a connection to a real server: before login, after it, and
// after it with data digests. Whatever comes, the server answers the next connection.
#include <sys/socket.h>
#include <sys/time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "target/iscsi/server.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/iscsi_raw_client.h"
#include "tests/support/memory_unit.h"

using namespace coldshelf;         // NOLINT
using namespace coldshelf::iscsi;  // NOLINT

namespace {

constexpr const char* kTarget = "iqn.2026-11.io.coldshelf:fuzz";

struct Fixture {
  Fixture() {
    capture_log([](std::string_view) {});
    ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.nop_interval = std::chrono::milliseconds(0);
    options.max_data_out_bytes = 1 * MiB;
    options.data_out_budget_bytes = 2 * MiB;
    auto started = Server::start(
        options, {{kTarget, "", std::make_shared<testing::MemoryUnit>(256, false)}}, random);
    CHECK(started.ok());
    server = std::move(started).value();
  }
  SystemRandom random;
  std::unique_ptr<Server> server;
};

Buffer pdu(Opcode opcode, uint8_t flags, uint32_t tag, uint32_t cmd_sn, std::vector<uint8_t> cdb,
           size_t data_length, uint32_t expected) {
  Bhs bhs(opcode, flags);
  bhs.set32(field::kInitiatorTaskTag, tag);
  bhs.set32(field::kExpectedLength, expected);
  bhs.set32(field::kCmdSn, cmd_sn);
  for (size_t i = 0; i < cdb.size(); ++i) bhs.set8(field::kCdb + i, cdb[i]);
  bhs.set_data_length(data_length);
  Buffer out = to_buffer(bhs.bytes());
  out.resize(out.size() + data_length + padding_of(data_length), std::byte{0x5a});
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Fixture fixture;  // one server for all inputs, as in life
  if (size == 0) return 0;
  testing::IscsiRawClient client(fixture.server->endpoints().at(0));
  CHECK(client.connected());
  const unsigned mode = data[0] % 3;
  if (mode > 0) {
    testing::Keys extra;
    if (mode == 2) extra = {{"InitialR2T", "No"}, {"FirstBurstLength", "4096"}};
    CHECK(client.login(kTarget, extra));
  }
  client.send_bytes(ByteView(reinterpret_cast<const std::byte*>(data) + 1, size - 1));
  client.finish_sending();
  CHECK(client.closed_by_peer(20000));
  CHECK(fixture.server->data_out_bytes_held() <= 2 * MiB);
  return 0;
}

std::vector<Buffer> fuzz_seeds() {
  std::vector<Buffer> seeds;
  const auto add = [&seeds](uint8_t mode, std::vector<Buffer> pdus) {
    Buffer all(1, static_cast<std::byte>(mode));
    for (const Buffer& one : pdus) append(all, one);
    seeds.push_back(std::move(all));
  };
  const std::vector<uint8_t> read = {0x28, 0, 0, 0, 0, 0, 0, 0, 8};
  const std::vector<uint8_t> write = {0x2a, 0, 0, 0, 0, 0, 0, 0, 8};
  add(0, {pdu(static_cast<Opcode>(0x43), 0x87, 0, 0, {}, 40, 0)});
  add(1, {pdu(Opcode::scsi_command, 0xc1, 1, 100, read, 0, 4096),
          pdu(Opcode::scsi_command, 0xa1, 2, 101, write, 4096, 4096),
          pdu(Opcode::nop_out, 0x80, 3, 102, {}, 64, kReservedTag)});
  add(2,
      {pdu(Opcode::scsi_command, 0x21, 1, 100, write, 512, 4096),
       pdu(Opcode::data_out, 0x80, 1, 0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 3584, kReservedTag),
       pdu(Opcode::text_request, 0x80, 2, 101, {}, 16, kReservedTag)});
  add(1, {pdu(Opcode::scsi_command, 0xa1, 1, 100, write, 0, 4096),
          pdu(static_cast<Opcode>(0x42), 0x85, 2, 101, {}, 0, kReservedTag),
          pdu(Opcode::snack, 0x80, 3, 0, {}, 0, 0),
          pdu(static_cast<Opcode>(0x46), 0x80, 4, 101, {}, 0, 0)});
  return seeds;
}
