// Puts a gateway together from a configuration, and takes it apart again in an order that loses
// nothing.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "gateway/api/service.h"
#include "gateway/api_doors.h"
#include "gateway/automatic_tapes.h"
#include "gateway/aws_accounts.h"
#include "gateway/bandwidth_control.h"
#include "gateway/config.h"
#include "gateway/data_directory.h"
#include "gateway/history.h"
#include "gateway/identity.h"
#include "gateway/policy_service.h"
#include "gateway/policy_snapshots.h"
#include "gateway/secrets.h"
#include "gateway/snapshot_service.h"
#include "gateway/store_keeper.h"
#include "gateway/tape_service.h"
#include "gateway/vault.h"
#include "gateway/volume_scheduler.h"
#include "gateway/volume_transfers.h"
#include "target/iscsi/server.h"
#include "target/scsi/changer_unit.h"
#include "target/scsi/tape_unit.h"
#include "uploader/cloud/notifier.h"

namespace coldshelf {

struct GatewayEnv {
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  Random* random = nullptr;  // thread-safe
  bool adopt_store = false;  // although the store does not know this gateway: --adopt-store
};

class Gateway {
 public:
  // Everything is running when this returns ok.
  static Result<std::unique_ptr<Gateway>> start(const Config& config, const GatewayEnv& env);
  ~Gateway();  // stop()
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Log out initiators, unload and seal every tape, stop transfers. Uploads under way are resumed
  // at the next start.
  Status stop();

  std::vector<std::string> endpoints() const;  // iSCSI, as bound
  Status health() const;
  TapeService& tapes() { return *tapes_; }

 private:
  Gateway(const Config& config, const GatewayEnv& env) : config_(config), env_(env) {}
  Status build();
  Status open_storage();  // data directory, catalog, store, shelf
  Status open_library();  // vault, drives, library, their agreement with the catalog
  void make_volumes();
  Status open_volumes();  // the disks, without targets
  Status thaw_left_behind();
  Status open_target();  // iSCSI
  // composition_watch.cc
  Status open_monitor();  // alarms and metrics
  Status ready() const;
  Status open_snapshots();  // archives of EBS volumes
  Status open_policies();   // EBS snapshots by schedule
  std::vector<Metrics::Volume> volume_metrics() const;
  std::optional<int64_t> certificate_expires_ms() const;
  Status open_api();
  HistorySample measure() const;
  Status choose_identity();  // gateway id, instance, serial numbers
  Status enter_pools();      // the store is open
  Status take_lease();
  Status doubt_store();
  void end_orders();
  CartridgeOptions cartridge_options() const;
  Status may_write(const Uuid& cartridge);  // another gateway may have taken it over

  const Config config_;
  const GatewayEnv env_;
  int64_t started_ms_ = 0;
  std::atomic<bool> stopped_{false};
  Identity identity_;
  std::string gateway_id_;
  std::string serial_prefix_;
  LoadedSecrets secrets_;

  // In the order they are made; destroyed in the reverse one.
  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<Catalog> catalog_;
  std::shared_ptr<BufferPool> buffers_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<WorkerPool> sealers_;
  std::unique_ptr<WorkerPool> volume_sealers_;  // compaction must not hold up a tape
  std::shared_ptr<StoreMeter> meter_;
  std::unique_ptr<BandwidthControl> bandwidth_;
  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<Ownership> ownership_;
  std::unique_ptr<Shelf> shelf_;
  std::unique_ptr<Vault> vault_;
  std::vector<std::unique_ptr<TapeDrive>> drives_;
  std::unique_ptr<TapeService> tapes_;
  std::unique_ptr<KeyRotation> keys_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<VolumeService> volumes_;
  std::unique_ptr<CommandQuiescer> quiescer_;
  std::unique_ptr<VolumePoints> volume_points_;
  std::unique_ptr<VolumeScheduler> volume_schedules_;
  std::unique_ptr<VolumeTransfers> volume_transfers_;
  std::shared_ptr<Clock> clock_;  // env_.clock, for those who share it
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<AwsAccounts> aws_;
  std::unique_ptr<SnapshotService> snapshots_;
  PolicySnapshots* policy_snapshots_ = nullptr;  // the policies'
  std::unique_ptr<PolicyService> policies_;
  std::unique_ptr<StoreKeeper> keeper_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<iscsi::Server> server_;
  std::unique_ptr<VolumeTargets> volume_targets_;
  std::unique_ptr<History> history_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<AutomaticTapes> automatic_tapes_;
  std::unique_ptr<Tags> tags_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<ApiDoors> doors_;
};

}  // namespace coldshelf
