#include "gateway/composition.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/deadline.h"
#include "base/log.h"
#include "gateway/config_quiesce.h"
#include "gateway/notifications.h"
#include "gateway/old_archives.h"
#include "gateway/policy_archive.h"
#include "gateway/pools.h"
#include "gateway/store_adoption.h"
#include "gateway/store_factory.h"
#include "gateway/version.h"
#include "uploader/transfer_governor.h"

namespace coldshelf {

namespace {

// Ten drives streaming stay below 512 MiB together: what is on its way to disk, what is read ahead,
// what initiators have in flight, and idle buffers.
constexpr uint64_t kPendingBudget = 192 * MiB;
constexpr uint64_t kReadAheadBudget = 64 * MiB;
constexpr uint64_t kDataOutBudget = 96 * MiB;
constexpr uint64_t kIdleBuffers = 48 * MiB;
constexpr uint64_t kIdleTargetBuffers = 32 * MiB;
constexpr unsigned kSealers = 2;
constexpr unsigned kVolumeSealers = 3;
constexpr auto kLogoutDeadline = std::chrono::milliseconds(5'000);
constexpr unsigned kVolumesAtOnce = 8;
constexpr int64_t kOrdersDeadlineMs = 30'000;
constexpr int64_t kLeaseDeadlineMs = 5'000;

// A damaged catalog is no reason to despair of what it was made from.
Result<std::unique_ptr<Catalog>> open_catalog(const std::string& path) {
  auto opened = Catalog::open(path);
  if (opened.ok() || opened.error().code != ErrorCode::corrupt) return opened;
  Error why = std::move(opened).error();
  why.context += " (" + path + "). Move it, " + path + "-wal and " + path +
                 "-shm away and start again: it is made anew from the cartridges beside it; what " +
                 "is lost with it is in docs/recovery.md";
  return why;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown";
  return name;
}

std::string numbered_serial(const std::string& prefix, unsigned number) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%03u", number);
  // Unit serial numbers are 10 characters here, as IBM's are.
  return prefix + std::string(7 - std::min<size_t>(7, prefix.size()), '0') + digits;
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::start(const Config& config, const GatewayEnv& env) {
  std::unique_ptr<Gateway> gateway(new Gateway(config, env));
  Status built = gateway->build();
  if (built.ok()) return gateway;
  Status stopped = gateway->stop();
  if (!stopped.ok()) {
    log_error("gateway", "stop after a failed start", {{"error", stopped.error().message()}});
  }
  return built.error();
}

Gateway::~Gateway() {
  Status stopped = stop();
  if (!stopped.ok()) log_error("gateway", "stop", {{"error", stopped.error().message()}});
}

Status Gateway::build() {
  started_ms_ = env_.clock->unix_ms();
  ASSIGN_OR_RETURN(secrets_, load_secrets(*env_.files, config_));
  // The caller's outlives us.
  clock_ = std::shared_ptr<Clock>(std::shared_ptr<void>(), env_.clock);
  ASSIGN_OR_RETURN(notifier_, make_notifier(config_, *env_.files, clock_));
  TRY(open_storage());
  TRY(open_library());
  make_volumes();  // before the shelf's threads, which tell it of what they do
  ownership_->start();
  shelf_->start();
  tapes_->start();
  TRY(open_volumes());
  keys_ = std::make_unique<KeyRotation>(KeyRotation::Env{env_.clock, env_.random, catalog_.get(),
                                                         vault_.get(), tapes_.get(),
                                                         secrets_.key.get(), volumes_.get()});
  TRY(keys_->resume());
  TRY(open_target());
  volumes_->attach_targets(volume_targets_.get());
  volume_schedules_->start();
  TRY(open_monitor());
  TRY(open_snapshots());
  TRY(open_policies());
  TRY(open_api());
  monitor_->start();  // it looks at the API's certificate too
  return {};
}

Status Gateway::choose_identity() {
  ASSIGN_OR_RETURN(identity_, open_identity(*env_.files, *env_.random, *data_, *catalog_));
  gateway_id_ = identity_.gateway;
  serial_prefix_ = config_.library.serial_prefix;
  if (serial_prefix_.empty()) serial_prefix_ = identity_.serial_prefix;
  return {};
}

Status Gateway::take_lease() {
  GatewayIdentity self;
  self.id = gateway_id_;
  self.name = config_.gateway.name;
  self.host = host_name();
  self.instance = identity_.instance;
  Ownership::Options options;
  options.lease_ttl_ms = config_.store.lease_ttl_ms;
  ASSIGN_OR_RETURN(const auto known, known_lease_epoch(*catalog_));
  // Not noted: a catalog that was made anew, or one from before it was. A barcode is claimed in the
  // store before there is a cartridge: where there is one, the store has known this gateway.
  ASSIGN_OR_RETURN(const bool in_use, data_->has_cartridges());
  options.known_epoch = known.value_or(in_use ? 1 : 0);
  options.adopt_store = env_.adopt_store;
  ownership_ = std::make_unique<Ownership>(Ownership::Env{store_.get(), env_.clock}, self, options);
  ownership_->on_lost([this](const Error& why) {
    if (vault_) vault_->stop_all_writes(why);
    if (volumes_) volumes_->stop_all_writes(why);
  });
  ownership_->on_epoch([this](uint64_t epoch) {
    const Status kept = remember_lease_epoch(*catalog_, epoch);
    // The next start takes what it finds in the store for less than it is, and goes on.
    if (!kept.ok()) log_warning("gateway", "lease not noted", {{"error", kept.error().message()}});
  });
  if (!env_.adopt_store) {
    TRY(ownership_->open());
    // But a volume is made without the store, should it be away from the first start on.
    const bool never = !known && !in_use && !ownership_->store_known();
    return never ? remember_lease_epoch(*catalog_, 0) : Status();
  }
  // Doubted first: cut short behind the lease, the next start would believe all of it.
  TRY(doubt_store());
  TRY(ownership_->open());
  TRY(ownership_->may_write());
  return claim_barcodes_again(*catalog_, *ownership_);
}

// Nothing is believed of a store that only the operator knows.
Status Gateway::doubt_store() {
  ASSIGN_OR_RETURN(const uint64_t doubted, doubt_the_store(*catalog_));
  log_warning("gateway", "store to be adopted: it is asked for what it has",
              {{"store", store_->describe()}, {"segments", doubted}});
  return {};
}

Status Gateway::enter_pools() {
  ASSIGN_OR_RETURN(const auto known, catalog_->pools());
  // A library must start while its store is away, and soon: one that says nothing would be waited
  // for once more for each pool.
  const bool ask = ownership_->store_known();
  if (!ask) log_warning("gateway", "store not asked about pools: it does not answer");
  for (const PoolConfig& pool : config_.pools) {
    const PoolRow wanted = row_of(pool);
    const auto old = std::find_if(known.begin(), known.end(),
                                  [&](const PoolRow& row) { return row.name == pool.name; });
    if (old != known.end() && old->storage_class != wanted.storage_class) {
      return Error(ErrorCode::conflict, "pool " + pool.name + " is in class " + old->storage_class +
                                            " here; its class cannot be changed to " +
                                            wanted.storage_class);
    }
    if (old != known.end() && (old->lock != wanted.lock || old->lock_days != wanted.lock_days)) {
      return Error(ErrorCode::conflict,
                   "pool " + pool.name + " has another lock here; it cannot be changed");
    }
    const Status fits = ask ? check_pool_fits(wanted, *store_) : Status();
    if (!fits.ok() && fits.error().code == ErrorCode::not_supported) return fits.error();
    if (!fits.ok()) {
      log_warning("gateway", "store not asked about pools", {{"error", fits.error().message()}});
    }
    if (old == known.end() || *old != wanted) TRY(catalog_->put_pool(wanted));
  }
  return {};
}

Status Gateway::open_storage() {
  ASSIGN_OR_RETURN(data_, DataDirectory::open(*env_.files, config_.gateway.data_dir));
  // Before a store is waited for, too.
  quiescer_ = std::make_unique<CommandQuiescer>(*env_.files, *env_.clock, *env_.random,
                                                data_->quiesce_path());
  TRY(thaw_left_behind());
  ASSIGN_OR_RETURN(catalog_, open_catalog(data_->catalog_path()));
  TRY(choose_identity());
  buffers_ = BufferPool::create(kIdleBuffers);
  workers_ = std::make_unique<WorkerPool>(std::max(2U, std::thread::hardware_concurrency()));
  sealers_ = std::make_unique<WorkerPool>(kSealers);
  volume_sealers_ = std::make_unique<WorkerPool>(kVolumeSealers);
  ASSIGN_OR_RETURN(bandwidth_, BandwidthControl::open(*catalog_, config_.bandwidth));
  StoreEnv store{env_.files, env_.clock, env_.random, {}, nullptr};
  store.live_bandwidth = bandwidth_->live();
  meter_ = std::make_shared<StoreMeter>(*env_.clock);
  store.meter = meter_;
  store.on_retry = [this](const Error& why) {
    if (shelf_ && is_overload(why)) shelf_->store_overloaded();
  };
  ASSIGN_OR_RETURN(store_, open_store(config_.store, store));
  TRY(take_lease());
  TRY(enter_pools());

  ShelfOptions options;
  options.cartridges_directory = data_->cartridges_path();
  options.cache_limit_bytes = config_.cache.limit_bytes;
  options.range_cache_directory = join_path(config_.gateway.data_dir, "cache");
  options.transfer_threads = static_cast<unsigned>(config_.store.transfer_threads);
  options.read_ahead_segments = static_cast<unsigned>(config_.cache.read_ahead_segments);
  options.default_restore_days = static_cast<unsigned>(config_.store.restore_days);
  options.restore_poll_ms = config_.store.restore_poll_ms;
  options.restore_requests_per_second =
      static_cast<unsigned>(config_.store.restore_requests_per_second);
  if (config_.store.type == "directory") {
    const auto takes = [](int64_t ms) { return RestoreTime{ms, ms}; };
    options.restore_times = {{RestoreTier::expedited, takes(config_.store.restore_expedited_ms)},
                             {RestoreTier::standard, takes(config_.store.restore_standard_ms)},
                             {RestoreTier::bulk, takes(config_.store.restore_bulk_ms)}};
  }
  options.buffer_limit_bytes = config_.buffer.limit_bytes;
  // A directory on the data's own disk: what an upload costs, it costs this machine.
  options.uploads_yield = config_.store.type == "directory" && config_.store.link;
  shelf_ = std::make_unique<Shelf>(
      Shelf::Env{env_.files, env_.clock, catalog_.get(), store_.get(), buffers_, ownership_.get(),
                 [this](const Uuid& uuid, const Error& why) {
                   if (vault_) vault_->stop_writes(uuid, why);
                   if (volumes_) volumes_->stop_writes(uuid, why);
                 },
                 [this](const Uuid& uuid, uint64_t sequence, uint64_t epoch) {
                   if (volumes_) volumes_->segment_evicted(uuid, sequence, epoch);
                 }},
      options, [this](const TapeRow& row, TapeStatus before) {
        if (row.kind == RowKind::tape) tapes_->tape_status_changed(row, before);
      });
  return {};
}

CartridgeOptions Gateway::cartridge_options() const {
  const uint64_t drives = std::max<uint64_t>(1, config_.library.drives);
  CartridgeOptions options;
  options.segment_bytes = config_.cartridge.segment_bytes;
  options.compression.enabled = config_.cartridge.compression == "zstd";
  options.compression.level = static_cast<int>(config_.cartridge.level);
  options.key = secrets_.key ? &*secrets_.key : nullptr;
  options.max_pending_bytes = std::clamp(kPendingBudget / drives, 10 * MiB, 24 * MiB);
  options.read_ahead_bytes = std::clamp(kReadAheadBudget / drives, 4 * MiB, 8 * MiB);
  return options;
}

Status Gateway::may_write(const Uuid& cartridge) {
  if (Status ours = shelf_->check_owned(cartridge); !ours.ok()) return ours;
  const Status may = ownership_->may_write();
  // A lease that is only late does not keep anybody from writing to the local disk.
  if (!may.ok() && may.error().code == ErrorCode::write_protected) return may.error();
  return {};
}

Status Gateway::open_library() {
  Vault::Options vault;
  vault.directory = data_->cartridges_path();
  vault.env = {env_.files, env_.clock,   env_.random,  workers_.get(), sealers_.get(),
               buffers_,   shelf_.get(), shelf_.get(), shelf_.get()};
  vault.cartridge = cartridge_options();
  vault.catalog = catalog_.get();
  vault.storage = [this] { return health(); };
  vault.writable = [this](const Uuid& uuid) { return may_write(uuid); };
  vault_ = std::make_unique<Vault>(vault);

  const DriveProfile* profile = find_drive(config_.library.drive_model);
  TapeService::Options options;
  options.drive = profile;
  options.archive_on_export = config_.library.on_export == "archive";
  options.export_delay_ms = config_.library.export_delay_ms;
  options.restore_days = static_cast<unsigned>(config_.store.restore_days);
  options.gateway_id = gateway_id_;
  options.gateway_name = config_.gateway.name;
  options.serial_prefix = serial_prefix_;
  options.prices = config_.prices;
  options.default_pool = config_.pools.empty() ? "" : config_.pools.front().name;
  tapes_ = std::make_unique<TapeService>(
      TapeService::Env{env_.clock, env_.random, catalog_.get(), shelf_.get(), vault_.get(),
                       store_.get(), ownership_.get()},
      options);
  TRY(take_over_old_archives(*env_.files, *catalog_, config_.gateway.data_dir,
                             data_->cartridges_path()));
  // Statuses are true before the library opens what lies in its drives.
  TRY(shelf_->reconcile());

  LibraryOptions library;
  ASSIGN_OR_RETURN(const auto changer, catalog_->setting(api::kChangerSetting));
  library.profile = find_changer(changer.value_or(config_.library.changer));
  if (changer && *changer != config_.library.changer) {
    log_info("gateway", "medium changer as set through the API, not the configuration's",
             {{"changer", *changer}, {"configured", config_.library.changer}});
  }
  if (library.profile == nullptr) library.profile = find_changer(config_.library.changer);
  library.serial = numbered_serial(serial_prefix_, 0);
  library.slots = static_cast<unsigned>(config_.library.slots);
  library.import_export_slots = static_cast<unsigned>(config_.library.import_export_slots);
  library.inventory_path = data_->inventory_path();
  library.files = env_.files;
  library.vault = vault_.get();
  for (unsigned number = 1; number <= config_.library.drives; ++number) {
    TapeDrive::Options drive;
    drive.number = number;
    drive.serial = numbered_serial(serial_prefix_, number);
    drive.profile = profile;
    drive.clock = env_.clock;
    drives_.push_back(std::make_unique<TapeDrive>(drive));
    library.drives.push_back(drives_.back().get());
  }
  ASSIGN_OR_RETURN(library_, Library::open(library, tapes_.get()));
  tapes_->attach(library_.get());
  for (unsigned number = 1; number <= config_.library.drives; ++number) {
    if (const auto why = library_->drive_problem(number)) {
      log_error("gateway", "drive starts empty-handed",
                {{"drive", number}, {"error", why->message()}});
    }
  }
  return tapes_->reconcile();
}

void Gateway::make_volumes() {
  VolumeService::Env env;
  env.volume.cartridge = {
      env_.files, env_.clock,   env_.random,  workers_.get(), volume_sealers_.get(),
      buffers_,   shelf_.get(), shelf_.get(), shelf_.get()};
  const CartridgeOptions tapes = cartridge_options();
  env.options.segment_bytes = tapes.segment_bytes;
  env.options.compression = tapes.compression;
  env.options.key = tapes.key;
  env.directory = data_->cartridges_path();
  env.units = data_->units_path();
  env.gateway_name = config_.gateway.name;
  env.storage = [this] { return health(); };
  env.writable = [this](const Uuid& uuid) { return may_write(uuid); };
  // Who may log in to a volume says nothing of a later one with its name.
  env.forget = [this](const std::string& name) {
    if (doors_ == nullptr) return Status(Error(ErrorCode::not_ready, "the gateway is starting"));
    return doors_->chap().forget(volume_iqn(config_.gateway.name, name));
  };
  env.shelf = shelf_.get();
  env.catalog = catalog_.get();
  env.default_pool = config_.pools.empty() ? "" : config_.pools.front().name;
  env.open_at_once = kVolumesAtOnce;
  volumes_ = std::make_unique<VolumeService>(std::move(env));
}

// A former process may have been killed between freezing and thawing. Once, and before anything
// that freezes was started: what is frozen later looks just the same.
Status Gateway::thaw_left_behind() {
  ASSIGN_OR_RETURN(const auto thawed, quiescer_->thaw_left_behind());
  if (thawed.empty()) return {};
  for (const std::string& what : thawed) log_warning("gateway", "quiescing", {{"done", what}});
  Notification out;
  out.event = "policy.thawed";
  out.severity = NotificationSeverity::warning;
  out.subject = "what a killed gateway left frozen was thawed";
  out.done = thawed;
  notifier_->send(std::move(out), {});
  return {};
}

Status Gateway::open_volumes() {
  TRY(volumes_->open_all());
  volume_points_ =
      std::make_unique<VolumePoints>(volumes_.get(), quiescer_.get(), quiesce_commands(config_));
  VolumeScheduler::Env schedules;
  schedules.clock = env_.clock;
  schedules.volumes = volumes_.get();
  schedules.points = volume_points_.get();
  volume_schedules_ = std::make_unique<VolumeScheduler>(std::move(schedules));
  TRY(volume_schedules_->load());
  volume_transfers_ = std::make_unique<VolumeTransfers>(
      VolumeTransfers::Env{env_.clock, env_.files, catalog_.get(), volumes_.get(), data_->path(),
                           data_->scratch_path()});
  return volume_transfers_->clean_up();
}

Status Gateway::open_target() {
  const std::string& name = config_.gateway.name;
  std::vector<iscsi::TargetConfig> targets;
  scsi::ChangerUnitOptions changer;
  changer.library = library_.get();
  changer.clock = env_.clock;
  changer.target_name = api::target_name(name, api::kChangerDeviceName);
  targets.push_back(
      {changer.target_name, "media changer", std::make_shared<scsi::ChangerUnit>(changer)});
  for (auto& drive : drives_) {
    const unsigned number = drive->options().number;
    scsi::TapeUnitOptions unit;
    unit.drive = drive.get();
    unit.clock = env_.clock;
    unit.target_name = api::target_name(name, api::drive_device_name(number));
    unit.on_prevent_changed = [library = library_.get(), number](bool prevented) {
      library->set_drive_prevent(number, prevented);
    };
    targets.push_back({unit.target_name, "tape drive " + std::to_string(number),
                       std::make_shared<scsi::TapeUnit>(unit)});
  }
  iscsi::ServerOptions options;
  // With the first login, not soon after it.
  ASSIGN_OR_RETURN(doors_,
                   ApiDoors::open(config_, {env_.files, env_.clock, env_.random, catalog_.get()}));
  options.target_chap = doors_->chap().all();
  options.listen = config_.iscsi.listen;
  options.io_threads = static_cast<unsigned>(config_.iscsi.io_threads);
  options.chap = secrets_.chap;
  options.mutual = secrets_.mutual_chap;
  options.allow_unauthenticated = config_.iscsi.allow_unauthenticated;
  options.max_connections = static_cast<unsigned>(config_.iscsi.max_connections);
  options.nop_interval = std::chrono::milliseconds(config_.iscsi.nop_interval_ms);
  options.data_out_budget_bytes = kDataOutBudget;
  options.buffer_pool_bytes = kIdleTargetBuffers;
  ASSIGN_OR_RETURN(server_, iscsi::Server::start(options, targets, *env_.random));
  volume_targets_ = std::make_unique<IscsiVolumeTargets>(env_.files, env_.clock, server_.get(),
                                                         config_.gateway.name);
  std::string portals;
  for (const std::string& e : server_->endpoints()) portals += (portals.empty() ? "" : ",") + e;
  for (const iscsi::TargetConfig& target : targets) {
    log_info("gateway", "target", {{"name", target.iqn}, {"portals", portals}});
  }
  return {};
}

Status Gateway::open_snapshots() {
  ASSIGN_OR_RETURN(aws_, AwsAccounts::create(config_, {env_.files, clock_}));
  snapshots_ = std::make_unique<SnapshotService>(
      SnapshotService::Env{env_.clock, env_.random, catalog_.get(), volumes_.get(), shelf_.get(),
                           aws_.get()},
      config_.aws);
  return snapshots_->resume();
}

Status Gateway::open_policies() {
  PolicyService::Env env;
  env.files = env_.files;
  env.clock = env_.clock;
  env.random = env_.random;
  env.notify = notifier_.get();
  env.quiescer = quiescer_.get();
  env.directory = config_.gateway.data_dir;
  env.gateway = gateway_id_;
  env.cloud = make_policy_cloud(*aws_);
  auto archive = std::make_unique<PolicySnapshots>(*snapshots_, *env_.clock);
  policy_snapshots_ = archive.get();
  env.archive = std::move(archive);
  env.pulls = static_cast<unsigned>(config_.aws.jobs);
  ASSIGN_OR_RETURN(policies_, PolicyService::open(std::move(env), config_.policies));
  policies_->start();
  return {};
}

Status Gateway::open_api() {
  api::ServiceEnv env;
  env.metrics = metrics_.get();
  env.monitor = monitor_.get();
  env.ready = [this] { return ready(); };
  env.tapes = tapes_.get();
  env.keys = keys_.get();
  env.config = config_;
  env.gateway_id = gateway_id_;
  env.version = kVersion;
  env.store = store_->describe();
  env.volumes = volumes_.get();
  env.volume_points = volume_points_.get();
  env.volume_schedules = volume_schedules_.get();
  env.volume_transfers = volume_transfers_.get();
  env.ownership = ownership_.get();
  env.object_store = store_.get();
  StoreKeeper::Env keeper{store_.get(), env_.clock, buffers_};
  keeper.data_key = [this](const Manifest& manifest) -> std::optional<Secret> {
    auto key = vault_->data_key(manifest);
    if (!key.ok()) return std::nullopt;
    return std::move(*key);
  };
  keeper_ = std::make_unique<StoreKeeper>(std::move(keeper));
  env.keeper = keeper_.get();
  history_ = std::make_unique<History>(*env_.clock, [this] { return measure(); });
  history_->start();
  env.history = history_.get();
  env.notifier = notifier_.get();
  env.policies = policies_.get();
  env.snapshots = snapshots_.get();
  env.started_ms = started_ms_;
  env.endpoints = [this] { return endpoints(); };
  env.health = [this] { return health(); };
  env.sessions = [this] {
    std::vector<api::Session> out;
    for (const iscsi::SessionInfo& s : server_->sessions()) {
      out.push_back(
          {s.initiator_name, s.target_name, s.peer, s.commands, s.bytes_received, s.bytes_sent});
    }
    return out;
  };
  doors_->chap().apply_to([this](const std::string& iqn, std::vector<iscsi::TargetChap> chap) {
    server_->set_chap(iqn, std::move(chap));
  });
  automatic_tapes_ = std::make_unique<AutomaticTapes>(*catalog_, *tapes_);
  tags_ = std::make_unique<Tags>(*catalog_, *tapes_);
  env.access_keys = &doors_->keys();
  env.audit = &doors_->audit();
  env.chap = &doors_->chap();
  env.bandwidth = bandwidth_.get();
  env.automatic_tapes = automatic_tapes_.get();
  env.tags = tags_.get();
  service_ = std::make_unique<api::Service>(std::move(env));
  TRY(doors_->start(*service_));
  automatic_tapes_->start();
  return {};
}

std::vector<std::string> Gateway::endpoints() const {
  return server_ ? server_->endpoints() : std::vector<std::string>();
}

HistorySample Gateway::measure() const {
  const Shelf::Statistics shelf = shelf_->statistics();
  HistorySample out;
  const iscsi::Traffic traffic = server_ ? server_->traffic() : iscsi::Traffic();
  out.initiator_written_bytes = traffic.write_bytes;
  out.initiator_read_bytes = traffic.read_bytes;
  out.uploaded_bytes = shelf.uploaded_bytes;
  out.downloaded_bytes = shelf.downloaded_bytes;
  out.cache_bytes = shelf.cache_bytes;
  out.not_uploaded_bytes = shelf.not_uploaded_bytes;
  out.buffer_bytes = shelf.buffer.bytes;
  return out;
}

Status Gateway::health() const { return data_->check(); }

// No new orders, from operators and initiators; running commands end. They may wait for a store
// that does not answer, each for minutes: whoever waits for us so long kills us, and what is in
// drives is not sealed then.
void Gateway::end_orders() {
  const Deadline deadline(kOrdersDeadlineMs, [this] {
    if (!store_) return;
    log_warning("gateway", "what is under way no longer waits for the store");
    if (snapshots_) snapshots_->give_up();  // their jobs are interrupted, and have not failed
    store_->give_up();
  });
  if (history_) history_->stop();
  if (doors_) doors_->stop();
  if (automatic_tapes_) automatic_tapes_->stop();
  if (server_) server_->stop(kLogoutDeadline);
  if (volume_schedules_) volume_schedules_->stop();
  if (volume_transfers_) volume_transfers_->stop();
  if (policies_) policy_snapshots_->give_up();
  if (snapshots_) snapshots_->stop();  // after it was told, what ends is no failure
  if (aws_) aws_->give_up();
  if (policies_) policies_->stop();
  if (keys_) keys_->stop();
  if (tapes_) tapes_->stop();
  if (keeper_) keeper_->stop();
  if (monitor_) monitor_->stop();
}

Status Gateway::stop() {
  if (stopped_.exchange(true)) return {};
  // 1. What others asked for.
  end_orders();
  // 2. Every tape and volume synced and sealed, tapes still in their drives' elements.
  Status closed;
  if (library_) closed = library_->close_drives();
  if (volumes_) {
    const Status sealed = volumes_->stop();
    if (closed.ok()) closed = sealed;
  }
  // 3. Transfers last: they were told of the segments just sealed and know them after a restart.
  if (shelf_) shelf_->stop();
  // 4. Others need not wait for the lease to run out. A renewal may be under way.
  if (ownership_) {
    const Deadline deadline(kLeaseDeadlineMs, [this] { store_->give_up(); });
    ownership_->stop();
  }
  // 5. What could not be delivered yet is not waited for.
  notifier_.reset();
  return closed;
}

}  // namespace coldshelf
