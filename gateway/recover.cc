#include "gateway/recover.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "gateway/composition.h"
#include "gateway/data_directory.h"
#include "gateway/store_adoption.h"
#include "gateway/tape_service.h"
#include "tape/format/image_manifest.h"
#include "tape/library/inventory.h"
#include "uploader/bucket_scan.h"
#include "uploader/bucket_takeover.h"
#include "uploader/detached_document.h"
#include "uploader/inventory_document.h"
#include "uploader/shelf.h"

namespace coldshelf {

namespace {

constexpr size_t kPage = 1'000;
constexpr uint64_t kMarkerLimit = 64 * KiB;

struct Marker {
  std::string gateway, instance, store;
};

// What is in the directory of an attempt that was cut short, and is made anew.
Status remove_below(FileSystem& files, const std::string& directory) {
  const auto names = files.list(directory);
  if (!names.ok() && names.error().code == ErrorCode::not_found) return {};
  if (!names.ok()) return names.error();
  for (const std::string& name : *names) {
    const std::string path = join_path(directory, name);
    ASSIGN_OR_RETURN(const FileInfo info, files.info(path));
    if (!info.is_directory) {
      TRY(files.remove(path));
      continue;
    }
    TRY(remove_below(files, path));
    TRY(files.remove_directory(path));
  }
  return {};
}

std::string toml_text(const std::string& text) { return nlohmann::json(text).dump(); }

class Rebuild {
 public:
  Rebuild(const RecoverEnv& env, const RecoverRequest& request) : env_(env), request_(request) {}

  Result<RecoverReport> run() {
    TRY(choose_gateway());
    TRY(begin_directory());
    TRY(take_identity());
    ScanOptions options;
    options.threads = env_.threads;
    options.progress = [this](size_t done, size_t total) {
      ownership_->tick();
      if (env_.progress) env_.progress(done, total);
    };
    TRY(scan_bucket(*env_.store, options,
                    [this](BucketCartridge& found) { return take_cartridge(found); }));
    TRY(retire_barcodes());
    for (const InventoryElement& e : inventory_.elements) {
      if (!entered_.contains(e.cartridge) && !seen_.contains(e.cartridge)) {
        report_.lost.push_back(e.barcode + ": the store has nothing of it");
      }
    }
    TRY(place_tapes());
    TRY(finish());
    std::sort(report_.tapes.begin(), report_.tapes.end(),
              [](const auto& a, const auto& b) { return a.barcode < b.barcode; });
    std::sort(report_.images.begin(), report_.images.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return report_;
  }

 private:
  std::string marker_path() const { return join_path(request_.data_dir, kRecoveringName); }

  Result<std::optional<Marker>> read_marker() {
    const auto content = env_.files->read_file(marker_path(), kMarkerLimit);
    if (!content.ok()) {
      if (content.error().code == ErrorCode::not_found) return std::optional<Marker>();
      return content.error();
    }
    const auto json = nlohmann::json::parse(as_text(*content), nullptr, false);
    Marker marker;
    const auto text = [&](const char* name) {
      return json.is_object() && json.contains(name) && json[name].is_string()
                 ? json[name].get<std::string>()
                 : std::string();
    };
    marker = {text("gateway"), text("instance"), text("store")};
    if (marker.gateway.empty() || marker.instance.empty()) {
      return Error(ErrorCode::corrupt, marker_path() + " is damaged; empty the directory");
    }
    return std::optional<Marker>(std::move(marker));
  }

  Status choose_gateway() {
    ASSIGN_OR_RETURN(const auto leases, read_leases(*env_.store));
    std::string known;
    for (const auto& [id, lease] : leases) {
      known += (known.empty() ? "" : ", ") + id;
      if (lease) known += " (" + lease->name + " on " + lease->host + ")";
    }
    const std::string where = env_.store->describe();
    if (leases.empty()) {
      return Error(ErrorCode::not_found, where + " knows no gateway; is it the right prefix?");
    }
    id_ = request_.gateway;
    if (id_.empty() && leases.size() > 1) {
      return Error(ErrorCode::invalid_argument,
                   where + " knows several gateways, choose one with --gateway: " + known);
    }
    if (id_.empty()) id_ = leases.begin()->first;
    const auto at = leases.find(id_);
    if (at == leases.end()) {
      return Error(ErrorCode::not_found,
                   where + " knows no gateway " + id_ + "; it knows " + known);
    }
    lease_ = at->second;
    const Result<Versioned> found = read_versioned(*env_.store, inventory_key(id_));
    if (found.ok()) {
      ASSIGN_OR_RETURN(inventory_, decode_inventory_document(found->content));
    } else if (found.error().code == ErrorCode::not_found) {
      report_.lost.push_back("the library's layout: the store has no inventory of " + id_);
    } else {
      return found.error();
    }
    report_.gateway = id_;
    report_.name = !inventory_.name.empty() ? inventory_.name : lease_ ? lease_->name : "";
    return {};
  }

  Status begin_directory() {
    FileSystem& files = *env_.files;
    TRY(files.create_directories(request_.data_dir));
    ASSIGN_OR_RETURN(const auto marker, read_marker());
    ASSIGN_OR_RETURN(const auto names, files.list(request_.data_dir));
    if (!marker && !names.empty()) {
      return Error(ErrorCode::exists, "the data directory " + request_.data_dir +
                                          " is not empty; recover needs an empty one");
    }
    if (marker && (marker->gateway != id_ || marker->store != env_.store->describe())) {
      return Error(ErrorCode::conflict, "the recovery of gateway " + marker->gateway + " from " +
                                            marker->store + " was cut short in " +
                                            request_.data_dir + "; finish that, or empty it");
    }
    instance_ = marker ? marker->instance : Uuid::generate(*env_.random).to_string();
    const bool alive = lease_ && lease_->alive(env_.clock->unix_ms());
    if (alive && lease_->instance != instance_ && !request_.force) {
      return Error(ErrorCode::conflict, "gateway " + id_ + " (" + lease_->name + " on " +
                                            lease_->host + ") is alive until " +
                                            format_utc(lease_->expires_unix_ms) +
                                            "; stop it, or wait, or use --force");
    }
    const nlohmann::json json = {
        {"gateway", id_}, {"instance", instance_}, {"store", env_.store->describe()}};
    const std::string text = json.dump() + "\n";
    TRY(files.replace_file(marker_path(), as_view(text)));
    // What an attempt before this one left is made anew.
    TRY(remove_below(files, join_path(request_.data_dir, "cartridges")));
    for (const char* name : {"catalog.db", "catalog.db-wal", "catalog.db-shm", "library"}) {
      const Status removed = files.remove(join_path(request_.data_dir, name));
      if (!removed.ok() && removed.error().code != ErrorCode::not_found) return removed;
    }
    ASSIGN_OR_RETURN(data_, DataDirectory::open(files, request_.data_dir, true));
    ASSIGN_OR_RETURN(catalog_, Catalog::open(data_->catalog_path()));
    TRY(catalog_->set_setting("gateway_id", id_));
    TRY(catalog_->set_setting(kInstanceSetting, instance_));
    if (!inventory_.serial_prefix.empty()) {
      TRY(catalog_->set_setting("serial_prefix", inventory_.serial_prefix));
    }
    for (const PoolRow& pool : inventory_.pools) TRY(catalog_->put_pool(pool));
    return {};
  }

  Status take_identity() {
    Ownership::Options options;
    options.take_identity = true;
    ownership_ = std::make_unique<Ownership>(
        Ownership::Env{env_.store, env_.clock},
        GatewayIdentity{id_, report_.name, request_.host, instance_}, options);
    TRY(ownership_->open());
    TRY(ownership_->may_write());
    return remember_lease_epoch(*catalog_, ownership_->view().lease.epoch);
  }

  void note_lost(const Uuid& uuid, const std::string& why) {
    const std::lock_guard lock(mutex_);
    seen_.insert(uuid);
    std::string name = uuid.to_string();
    for (const InventoryElement& e : inventory_.elements) {
      if (e.cartridge == uuid) name = e.barcode;
    }
    report_.lost.push_back(name + ": " + why);
  }

  // On the scan's threads.
  Status take_cartridge(BucketCartridge& found) {
    const bool ours = !found.owner || found.owner->gateway == id_;
    if (!ours) {
      const std::lock_guard lock(mutex_);
      seen_.insert(found.uuid);
      ++report_.others;
      return {};
    }
    if (!found.manifest) {
      // No manifest, no tape: one that is being deleted, or never got that far.
      if (found.problem->code != ErrorCode::not_found) {
        note_lost(found.uuid, found.problem->message());
      }
      return {};
    }
    std::string note;
    if (found.owner && found.owner->state == OwnerState::deleting) {
      // A deletion takes the manifest before anything else: this one was asked for at most.
      TRY(ownership_->take_back(found.uuid, [] { return Result<bool>(true); }));
      found.owner->state = OwnerState::owned;
      note = "its deletion had not begun, delete it again";
    }
    if (found.manifest->kind == CartridgeKind::image) return take_image(found, std::move(note));
    RecoveredTape tape;
    tape.note = std::move(note);
    TapeStatus status = TapeStatus::archived;
    const std::string said = property_of(*found.manifest, "status");
    if (said == to_string(TapeStatus::archived)) {
      // An archive or a retrieval that was cut short leaves it on the shelf.
      if (!found.owner || found.owner->state != OwnerState::shelved) {
        TRY(ownership_->shelve(found.uuid));
      }
    } else {
      TRY(ownership_->take_over(found.uuid, true));
      ASSIGN_OR_RETURN(TakenManifest taken, take_over_manifest(*env_.store, found.uuid, instance_,
                                                               ownership_->conditional()));
      status = TapeStatus::recovered;
      if (property_of(taken.manifest, "status") == to_string(TapeStatus::archived)) {
        status = TapeStatus::archived;
        tape.note = "was RETRIEVED, retrieve it again";
        TRY(ownership_->shelve(found.uuid));
      }
      if (taken.incomplete) tape.note = "its end had not been uploaded and is lost";
      found.manifest = std::move(taken.manifest);
    }
    return enter(*found.manifest, status, std::move(tape));
  }

  // An image goes on where the store's copy ends; whatever that is, the disk once was that.
  Status take_image(BucketCartridge& found, std::string note) {
    const Uuid uuid = found.uuid;
    const bool shelved = found.owner && found.owner->state == OwnerState::shelved;
    const std::string said = property_of(*found.manifest, "status");
    if (shelved && said == kDetachedStatus) {
      const std::lock_guard lock(mutex_);
      seen_.insert(uuid);
      ++report_.others;  // anybody's; attach it here if it is wanted
      return {};
    }
    RecoveredImage image;
    image.note = std::move(note);
    TapeStatus status = TapeStatus::available;
    if (said == to_string(TapeStatus::archived)) {
      status = TapeStatus::archived;
      if (!shelved) TRY(ownership_->shelve(uuid));
    } else {
      TRY(ownership_->take_over(uuid, true));
      ASSIGN_OR_RETURN(TakenManifest taken,
                       take_over_manifest(*env_.store, uuid, instance_, ownership_->conditional()));
      if (property_of(taken.manifest, "status") == to_string(TapeStatus::archived)) {
        status = TapeStatus::archived;
        image.note = "was RETRIEVED, retrieve it again";
        TRY(ownership_->shelve(uuid));
      }
      if (taken.incomplete) image.note = "the last of it had not been uploaded and is lost";
      found.manifest = std::move(taken.manifest);
    }
    const Manifest& manifest = *found.manifest;
    ASSIGN_OR_RETURN(const auto rows, put_rows(manifest, status, image.note));
    if (!rows) return {};
    image.name = manifest.label;
    image.status = to_string(status);
    image.mode = to_string(mode_of(manifest));
    image.size_bytes = image_size_bytes(manifest);
    image.segments = *rows;
    image.clone = manifest.properties.contains(std::string(kPropertyBase));
    for (const auto& [name, value] : manifest.properties) {
      image.recovery_points += name.starts_with(kPropertyPoint) ? 1 : 0;
    }
    const std::lock_guard lock(mutex_);
    seen_.insert(uuid);
    report_.images.push_back(std::move(image));
    return {};
  }

  Status enter(const Manifest& manifest, TapeStatus status, RecoveredTape tape) {
    ASSIGN_OR_RETURN(const auto rows, put_rows(manifest, status, tape.note));
    if (!rows) return {};
    tape.barcode = manifest.label;
    tape.status = to_string(status);
    tape.segments = *rows;
    const std::lock_guard lock(mutex_);
    entered_[manifest.uuid] = {manifest.uuid, manifest.label, manifest.medium};
    if (status == TapeStatus::recovered) in_library_.insert(manifest.uuid);
    barcodes_.insert(manifest.label);
    report_.tapes.push_back(std::move(tape));
    return {};
  }

  // Manifest on the disk, rows in the catalog: how many segments; none: the label is taken.
  Result<std::optional<uint64_t>> put_rows(const Manifest& manifest, TapeStatus status,
                                           const std::string& note) {
    const std::string directory = join_path(data_->cartridges_path(), manifest.uuid.to_string());
    TRY(env_.files->create_directories(directory));
    TRY(env_.files->replace_file(join_path(directory, "manifest"), encode_manifest(manifest)));
    const int64_t now = env_.clock->unix_ms();
    TapeRow row;
    row.uuid = manifest.uuid;
    row.barcode = manifest.label;
    row.medium = manifest.medium;
    row.capacity_bytes = manifest.capacity_bytes;
    row.used_bytes = manifest.plain_bytes();
    row.stored_bytes = manifest.stored_bytes();
    row.pool = property_of(manifest, "pool");
    row.status = status;
    row.worm = manifest.worm;
    row.write_protected = manifest.write_protected;
    row.created_ms = manifest.created_unix_ms;
    row.status_changed_ms = now;
    row.archived_ms = status == TapeStatus::archived ? now : 0;
    row.lock_mode = property_of(manifest, "lock");
    row.locked_until_ms =
        std::strtoll(property_of(manifest, "locked_until_ms").c_str(), nullptr, 10);
    row.manifest_generation = row.uploaded_manifest_generation = manifest.generation;
    row.problem = note;
    if (manifest.kind == CartridgeKind::image) {
      row.kind = RowKind::image;
      row.mode = mode_of(manifest);
      row.pinned = says_pinned(manifest);
    }
    const Status put = catalog_->put_tape(row);
    if (!put.ok() && put.error().code == ErrorCode::exists) {
      const bool image = row.kind == RowKind::image;
      note_lost(manifest.uuid,
                (image ? "another image has the name " : "another cartridge has barcode ") +
                    manifest.label + ", too");
      return std::optional<uint64_t>();
    }
    TRY(put);
    ASSIGN_OR_RETURN(const auto pool, catalog_->pool(row.pool));
    const std::vector<SegmentRow> rows = remote_rows(manifest, class_in_store(pool, status), now);
    if (!rows.empty()) TRY(catalog_->put_segments(rows));
    return std::optional<uint64_t>(rows.size());
  }

  // Barcodes of tapes that are gone stay taken.
  Status retire_barcodes() {
    std::vector<std::string> unknown;
    std::string after;
    const std::string prefix(kBarcodesPrefix);
    do {
      ASSIGN_OR_RETURN(const auto page, env_.store->list(prefix, after, kPage));
      for (const ObjectInfo& object : page.objects) {
        std::string barcode = object.key.substr(prefix.size());
        if (!barcodes_.contains(barcode)) unknown.push_back(std::move(barcode));
      }
      after = page.next;
    } while (!after.empty());
    return in_parallel(env_.threads, unknown.size(), [&](size_t i) -> Status {
      const Result<BarcodeClaim> claim = ownership_->find_barcode(unknown[i]);
      if (!claim.ok() && claim.error().code == ErrorCode::not_found) return {};
      if (!claim.ok() && claim.error().code != ErrorCode::corrupt) return claim.error();
      const std::lock_guard lock(mutex_);
      if (!claim.ok()) {
        report_.lost.push_back("barcode " + unknown[i] + ": " + claim.error().message());
        return {};
      }
      if (claim->gateway != id_ || seen_.contains(claim->cartridge)) return {};
      TapeRow row;
      row.uuid = claim->cartridge;
      row.barcode = unknown[i];
      row.status = TapeStatus::deleted;
      row.status_changed_ms = env_.clock->unix_ms();
      TRY(catalog_->put_tape(row));
      report_.retired.push_back(unknown[i]);
      return {};
    });
  }

  // Where they were, as far as that is a slot: what was in a drive is put into one at the start.
  Status place_tapes() {
    std::vector<Placement> placements;
    for (const InventoryElement& e : inventory_.elements) {
      if (!in_library_.contains(e.cartridge)) continue;
      const bool slot = e.type == inventory_name(ElementType::storage);
      const bool ie = e.type == inventory_name(ElementType::import_export);
      const uint64_t limit = slot ? request_.slots : ie ? request_.import_export_slots : 0;
      if (e.number == 0 || e.number > limit) continue;
      Placement placement;
      placement.cartridge = entered_[e.cartridge];
      placement.where = {slot ? ElementType::storage : ElementType::import_export, e.number};
      placement.placed_by_operator = true;
      placements.push_back(std::move(placement));
    }
    return env_.files->replace_file(data_->inventory_path(), encode_inventory(placements));
  }

  Status finish() {
    std::string& toml = report_.configuration;
    toml = "[gateway]\nname = " + toml_text(report_.name) + "\n";
    if (!inventory_.changer.empty()) {
      toml += "[library]\nchanger = " + toml_text(inventory_.changer) +
              "\ndrive_model = " + toml_text(inventory_.drive_model) +
              "\nslots = " + std::to_string(inventory_.slots) +
              "\nimport_export_slots = " + std::to_string(inventory_.import_export_slots) +
              "\ndrives = " + std::to_string(inventory_.drives) + "\n";
    }
    for (const PoolRow& pool : inventory_.pools) {
      toml += "[[pool]]\nname = " + toml_text(pool.name) +
              "\nstorage_class = " + toml_text(pool.storage_class) +
              "\nmode = " + toml_text(pool.mode) + "\n";
      if (pool.locks()) {
        std::string lock = pool.lock;  // the configuration's spelling
        for (char& c : lock) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        toml +=
            "lock = " + toml_text(lock) + "\nlock_days = " + std::to_string(pool.lock_days) + "\n";
      }
    }
    TRY(env_.files->replace_file(join_path(request_.data_dir, "recovered.toml"), as_view(toml)));
    // The catalog is closed before the directory is said to be whole.
    catalog_.reset();
    TRY(env_.files->remove(marker_path()));
    return env_.files->sync_directory(request_.data_dir);
  }

  const RecoverEnv& env_;
  const RecoverRequest& request_;
  std::string id_, instance_;
  std::optional<Lease> lease_;
  InventoryDocument inventory_;
  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Ownership> ownership_;

  std::mutex mutex_;  // what follows
  std::map<Uuid, LibraryCartridge> entered_;
  std::set<Uuid> in_library_;
  std::set<Uuid> seen_;  // not ours, or lost and told
  std::set<std::string> barcodes_;
  RecoverReport report_;
};

}  // namespace

Result<RecoverReport> recover_gateway(const RecoverEnv& env, const RecoverRequest& request) {
  return Rebuild(env, request).run();
}

}  // namespace coldshelf
