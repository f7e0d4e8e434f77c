// A BlockUnit over a file, reached directly or over iSCSI.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "target/iscsi/server.h"
#include "target/scsi/block_unit.h"
#include "target/scsi/wire.h"
#include "tests/support/file_block_device.h"
#include "tests/support/scsi_client.h"
#include "tests/support/tape_rig.h"

namespace coldshelf::test {

class BlockRig {
 public:
  static constexpr const char* kTarget = "iqn.2026-11.io.coldshelf:test-volume-one";

  explicit BlockRig(Transport transport, FileBlockDevice::Options options = {},
                    uint32_t physical_block_bytes = 0)
      : transport_(transport),
        device_options_(std::move(options)),
        physical_block_bytes_(physical_block_bytes) {
    std::string pattern = (std::filesystem::temp_directory_path() / "sbc.XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    device_options_.path = directory_ + "/disk";
    store_ = std::make_unique<scsi::FileUnitStore>(&files_, directory_);
    start();
  }
  ~BlockRig() {
    stop();
    std::filesystem::remove_all(directory_);
  }
  BlockRig(const BlockRig&) = delete;
  BlockRig& operator=(const BlockRig&) = delete;

  // As the daemon does when it ends and comes back; the files stay.
  void stop() {
    if (server_) server_->stop(std::chrono::milliseconds(0));
    server_.reset();
    unit_.reset();
    device_.reset();
  }
  void start() {
    device_ = std::make_shared<FileBlockDevice>(device_options_);
    scsi::BlockUnitOptions options;
    options.device = device_;
    options.clock = &clock_;
    options.store = store_.get();
    options.physical_block_bytes = physical_block_bytes_;
    options.serial = "VOL0000000000001";
    options.target_name = kTarget;
    auto opened = scsi::BlockUnit::open(std::move(options));
    CHECK(opened.ok());
    unit_ = std::move(opened).value();
    if (transport_ == Transport::direct) return;
    iscsi::ServerOptions server;
    server.listen = {"127.0.0.1:0"};
    auto started = iscsi::Server::start(server, {{kTarget, "disk", unit_}}, random_);
    CHECK(started.ok());
    server_ = std::move(*started);
  }

  // An initiator port; the number makes its name.
  std::unique_ptr<ScsiClient> connect(unsigned number) {
    const std::string name = "iqn.2026-11.test:initiator-" + std::to_string(number);
    if (transport_ == Transport::direct)
      return std::make_unique<DirectClient>(*unit_, next_nexus_++, name);
    auto client = IscsiClient::connect(portal(), kTarget, name, number);
    CHECK(client.ok());
    return std::move(*client);
  }
  std::string portal() const { return server_->endpoints().front(); }
  std::string url() const { return "iscsi://" + portal() + "/" + kTarget + "/0"; }
  FileBlockDevice& device() { return *device_; }
  scsi::BlockUnit& unit() { return *unit_; }
  std::shared_ptr<scsi::BlockUnit> shared_unit() { return unit_; }
  iscsi::Server& server() { return *server_; }
  const std::string& directory() const { return directory_; }

 private:
  const Transport transport_;
  FileBlockDevice::Options device_options_;
  const uint32_t physical_block_bytes_;
  std::string directory_;
  SystemClock clock_;
  SystemRandom random_;
  PosixFileSystem files_;
  std::unique_ptr<scsi::FileUnitStore> store_;
  std::shared_ptr<FileBlockDevice> device_;
  std::shared_ptr<scsi::BlockUnit> unit_;
  std::unique_ptr<iscsi::Server> server_;
  uint64_t next_nexus_ = 1;
};

}  // namespace coldshelf::test
