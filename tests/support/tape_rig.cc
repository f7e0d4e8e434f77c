#include "tests/support/tape_rig.h"

namespace coldshelf::test {

namespace {
constexpr const char* kTarget = "iqn.2026-11.io.coldshelf:test-tapedrive-01";
}

TapeRig::TapeRig(Transport transport, RigOptions options)
    : transport_(transport), options_(std::move(options)) {
  TapeDrive::Options drive;
  drive.number = 1;
  drive.serial = "TEST000001";
  drive.profile = find_drive(options_.profile);
  CHECK(drive.profile != nullptr);
  drive.clock = &clock_;
  drive.early_warning_bytes = options_.early_warning_bytes;
  drive_ = std::make_unique<TapeDrive>(drive);
  scsi::TapeUnitOptions unit;
  unit.drive = drive_.get();
  unit.clock = &clock_;
  unit.target_name = kTarget;
  unit.on_prevent_changed = [this](bool prevented) { prevented_ = prevented; };
  unit_ = std::make_shared<scsi::TapeUnit>(std::move(unit));
  if (transport_ == Transport::iscsi) {
    iscsi::ServerOptions server;
    server.listen = {"127.0.0.1:0"};
    auto started = iscsi::Server::start(server, {{kTarget, "tape", unit_}}, random_);
    CHECK(started.ok());
    server_ = std::move(*started);
  }
  client_ = connect(1);
  if (!options_.load) return;
  insert(options_.worm);
  client_->clear_unit_attentions();
}

TapeRig::~TapeRig() {
  client_.reset();
  if (server_) server_->stop(std::chrono::milliseconds(1000));
  server_.reset();
  unit_.reset();
}

std::unique_ptr<ScsiClient> TapeRig::connect(unsigned number) {
  const std::string name = "iqn.2026-11.test:initiator-" + std::to_string(number);
  if (transport_ == Transport::direct)
    return std::make_unique<DirectClient>(*unit_, next_nexus_++, name);
  auto client = IscsiClient::connect(server_->endpoints().front(), kTarget, name);
  CHECK(client.ok());
  return std::move(*client);
}

MemoryCartridge& TapeRig::insert(bool worm) {
  SeededRandom random(7);
  NewCartridge what;
  what.uuid = Uuid::generate(random);
  what.label = "TST001L8";
  what.medium = options_.medium;
  what.capacity_bytes = options_.capacity_bytes;
  what.worm = worm;
  auto made = std::make_unique<MemoryCartridge>(what);
  cartridge_ = made.get();
  std::unique_ptr<Cartridge> in = std::move(made);
  const Status inserted = drive_->insert(in);
  CHECK(inserted.ok());
  return *cartridge_;
}

void TapeRig::eject() {
  const Status ejected = try_eject();
  CHECK(ejected.ok());
}

Status TapeRig::try_eject() {
  std::unique_ptr<Cartridge> out;
  Status ejected = drive_->eject(&out);
  cartridge_ = nullptr;
  return ejected;
}

}  // namespace coldshelf::test
