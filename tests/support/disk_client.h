// A disk over iSCSI, by libiscsi: blocks in, blocks out.
#pragma once

#include <memory>
#include <sstream>
#include <string>

#include "target/scsi/wire.h"
#include "tests/support/scsi_client.h"

namespace coldshelf::test {

class DiskClient {
 public:
  static Result<DiskClient> connect(const std::string& portal, const std::string& target,
                                    const std::string& initiator = "iqn.2026-11.io.coldshelf:tests",
                                    std::optional<uint32_t> isid = {}) {
    ASSIGN_OR_RETURN(auto client, IscsiClient::connect(portal, target, initiator, isid));
    client->clear_unit_attentions();
    DiskClient disk(std::move(client));
    TRY(disk.read_capacity());
    return disk;
  }

  uint64_t size_bytes() const { return blocks_ * block_; }
  uint32_t block_bytes() const { return static_cast<uint32_t>(block_); }
  ScsiClient& scsi() { return *client_; }

  // READ CAPACITY(16), after unit attentions.
  Status read_capacity() {
    client_->clear_unit_attentions();
    const ScsiResult r = client_->read({0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32);
    if (!r.good() || r.data.size() < 12) return failed("READ CAPACITY", r);
    blocks_ = r.number(0, 8) + 1;
    block_ = r.number(8, 4);
    return {};
  }
  Status write(uint64_t offset, ByteView bytes, bool durable = false) {
    const ScsiResult r =
        client_->run(cdb16(0x8A, durable ? 0x08 : 0, offset, bytes.size()), bytes, 0);
    return r.good() ? Status() : Status(failed("WRITE", r));
  }
  Result<Buffer> read(uint64_t offset, size_t bytes) {
    ScsiResult r = client_->run(cdb16(0x88, 0, offset, bytes), {}, bytes);
    if (!r.good() || r.data.size() != bytes) return failed("READ", r);
    return std::move(r.data);
  }
  Status flush() {
    const ScsiResult r = client_->run({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    return r.good() ? Status() : Status(failed("SYNCHRONIZE CACHE", r));
  }
  // UNMAP of one range.
  Status unmap(uint64_t offset, uint64_t bytes) {
    Buffer list;
    scsi::WireWriter(list)
        .u16(22)
        .u16(16)
        .zeros(4)
        .u64(offset / block_)
        .u32(static_cast<uint32_t>(bytes / block_))
        .zeros(4);
    const ScsiResult r = client_->write({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, list);
    return r.good() ? Status() : Status(failed("UNMAP", r));
  }

 private:
  explicit DiskClient(std::unique_ptr<IscsiClient> client) : client_(std::move(client)) {}
  Buffer cdb16(uint8_t opcode, uint8_t flags, uint64_t offset, uint64_t bytes) const {
    Buffer cdb;
    scsi::WireWriter(cdb)
        .u8(opcode)
        .u8(flags)
        .u64(offset / block_)
        .u32(static_cast<uint32_t>(bytes / block_))
        .zeros(2);
    return cdb;
  }
  static Error failed(const char* what, const ScsiResult& r) {
    std::ostringstream text;
    text << what << ": " << r;
    return Error(ErrorCode::io, text.str());
  }

  std::unique_ptr<IscsiClient> client_;
  uint64_t blocks_ = 0;
  uint64_t block_ = 512;
};

}  // namespace coldshelf::test
