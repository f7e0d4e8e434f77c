#include "gateway/volume_targets.h"

#include <algorithm>

namespace coldshelf {

namespace {

constexpr std::chrono::milliseconds kLogoutGrace{3'000};
// Of one disk at once. As many as initiators usually queue: flushes that wait together are served
// by one fdatasync, those that wait for a thread are not.
constexpr unsigned kWaitingCommands = 32;

// A unit whose records outlive it.
class StoredUnit final : public scsi::UnitStore {
 public:
  StoredUnit(FileSystem* files, std::string directory)
      : files_(files), directory_(directory), store_(files, std::move(directory)) {}
  Result<Buffer> load(const std::string& name) override { return store_.load(name); }
  Status save(const std::string& name, ByteView record) override {
    TRY(files_->create_directories(directory_));
    return store_.save(name, record);
  }

 private:
  FileSystem* const files_;
  const std::string directory_;
  scsi::FileUnitStore store_;
};

std::string serial_of(const Uuid& uuid) {
  std::string serial;
  for (const char c : uuid.to_string()) {
    if (c != '-') serial += static_cast<char>(c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c);
  }
  return serial.substr(0, 16);
}

}  // namespace

std::string volume_iqn(const std::string& gateway_name, const std::string& name) {
  std::string iqn = "iqn.2026-11.io.coldshelf:" + gateway_name + "-volume-" + name;
  std::transform(iqn.begin(), iqn.end(), iqn.begin(), [](char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return iqn;
}

std::string IscsiVolumeTargets::iqn_of(const std::string& name) const {
  return volume_iqn(gateway_name_, name);
}

Status IscsiVolumeTargets::add(const DiskTarget& disk) {
  std::shared_ptr<StoredUnit> store;
  scsi::BlockUnitOptions options;
  options.device = disk.device;
  options.clock = clock_;
  if (!disk.unit_directory.empty()) {
    store = std::make_shared<StoredUnit>(files_, disk.unit_directory);
    options.store = store.get();
  }
  options.serial = serial_of(disk.uuid);
  options.target_name = iqn_of(disk.name);
  options.concurrency = kWaitingCommands;
  ASSIGN_OR_RETURN(auto unit, scsi::BlockUnit::open(options));
  // The records go with the unit, which sessions may hold longer than we know of.
  struct Kept {
    std::shared_ptr<StoredUnit> store;
    std::unique_ptr<scsi::BlockUnit> unit;
  };
  auto kept = std::make_shared<Kept>(Kept{store, std::move(unit)});
  std::shared_ptr<scsi::LogicalUnit> shared(kept, kept->unit.get());
  return server_->add_target({options.target_name, disk.name, std::move(shared)});
}

Status IscsiVolumeTargets::remove(const std::string& name) {
  return server_->remove_target(iqn_of(name), kLogoutGrace);
}

std::map<std::string, size_t> IscsiVolumeTargets::sessions() const {
  std::map<std::string, size_t> out;
  for (const iscsi::SessionInfo& session : server_->sessions()) ++out[session.target_name];
  return out;
}

}  // namespace coldshelf
