// Disks as iSCSI targets of a running server: iqn.2026-11.io.coldshelf:<gateway>-volume-<name>,
// LUN 0.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/uuid.h"
#include "target/iscsi/server.h"
#include "target/scsi/block_unit.h"

namespace coldshelf {

struct DiskTarget {
  std::string name;  // of the volume or mount
  Uuid uuid;         // what the disk's serial number and its reservations are known by
  std::shared_ptr<BlockDevice> device;
  std::string unit_directory;  // of its reservations and saved pages; empty: none are kept
};

// An interface, because tests do without a server.
class VolumeTargets {
 public:
  virtual ~VolumeTargets() = default;
  virtual std::string iqn_of(const std::string& name) const = 0;
  virtual Status add(const DiskTarget& disk) = 0;
  // Its sessions are logged out. When this returns, nobody uses the device any more; busy: a
  // command that does not end still does.
  virtual Status remove(const std::string& name) = 0;
  // By iqn; targets without sessions are left out.
  virtual std::map<std::string, size_t> sessions() const = 0;

  size_t sessions_of(const std::string& name) const {
    const auto all = sessions();
    const auto at = all.find(iqn_of(name));
    return at == all.end() ? 0 : at->second;
  }
};

class IscsiVolumeTargets final : public VolumeTargets {
 public:
  IscsiVolumeTargets(FileSystem* files, Clock* clock, iscsi::Server* server,
                     std::string gateway_name)
      : files_(files), clock_(clock), server_(server), gateway_name_(std::move(gateway_name)) {}

  std::string iqn_of(const std::string& name) const override;
  Status add(const DiskTarget& disk) override;
  Status remove(const std::string& name) override;
  std::map<std::string, size_t> sessions() const override;

 private:
  FileSystem* const files_;
  Clock* const clock_;
  iscsi::Server* const server_;
  const std::string gateway_name_;
};

// "iqn.2026-11.io.coldshelf:<gateway>-volume-<name>", in lower case as iSCSI has it.
std::string volume_iqn(const std::string& gateway_name, const std::string& name);

}  // namespace coldshelf
