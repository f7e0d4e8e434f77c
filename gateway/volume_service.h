// Block volumes through their whole life, each of them a disk of its own over iSCSI. Thread-safe.
// Plain code: a test calls tick(), the daemon start(). docs/volumes.md.
//
// A volume is a directory <cartridges>/<uuid>, as a tape is; what the operator set (mode, schedule,
// mounts) stands in its manifest, so that it comes back with the volume, here and from the store.
//
// So is an archive of EBS snapshots (docs/snapshots.md): an image that has no target and that
// nobody but pulls writes to. What follows works on both, unless it says otherwise.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "gateway/volume_targets.h"
#include "uploader/shelf.h"
#include "volume/volume.h"

namespace coldshelf {

constexpr uint64_t kMinVolumeBytes = 1 * MiB;
constexpr uint64_t kMaxVolumeBytes = 1024 * TiB;
constexpr size_t kMaxVolumes = 1'000;
constexpr size_t kMaxArchives = 10'000;
constexpr size_t kMaxVolumeName = 100;
constexpr size_t kMaxPointsOfVolume = 10'000;

// Properties of a volume's manifest.
constexpr std::string_view kVolumeDeleting = "deleting";    // its removal goes on at the next start
constexpr std::string_view kVolumeImporting = "importing";  // not whole until this is gone
constexpr std::string_view kVolumeMount = "mount.";         // + id of a point: name of the mount
constexpr std::string_view kVolumeReleasing =
    "releasing.";  // + uuid of a clone that is being deleted

struct VolumeView {
  Uuid uuid;
  std::string name;
  std::string mode;
  bool archive = false;  // of EBS snapshots
  std::string pool;      // empty: STANDARD
  std::string status;    // AVAILABLE, IMPORTING, DELETING, DETACHING, FAILED; ARCHIVED and others
  std::string problem;   // FAILED: why; AVAILABLE: what is wrong though it works
  uint64_t size_bytes = 0;
  uint32_t block_bytes = 0;
  bool pinned = false;
  std::string target;   // its iqn; empty: none now
  size_t sessions = 0;  // of initiators
  size_t points = 0;    // recovery points
  Uuid parent;          // of a clone
  int64_t created_ms = 0;
  bool encrypted = false;
  BlockDevice::Usage usage;
  uint64_t not_uploaded_bytes = 0;  // only here
  int64_t not_uploaded_age_ms = 0;  // of the oldest of these; 0: there is none
  VolumeCounters counters;
  Volume::MapStatistics map;
};

struct VolumePoint {
  Uuid volume;
  std::string volume_name;
  RecoveryPoint point;
  std::string mounted;  // the mount's name; empty: it is not mounted
};

struct VolumeMount {
  std::string name;
  std::string target;
  std::string problem;  // why it is not there
  size_t sessions = 0;
  VolumePoint point;
};

// "vol-0A1B2C3D": what AWS's clients want a volume's id to look like.
std::string volume_id_of(const Uuid& uuid);

class VolumeService final : public ImageDirectory {
 public:
  struct Env {
    VolumeEnv volume;  // images is this service's own
    VolumeOptions options;
    std::string directory;  // <directory>/<uuid>/
    std::string units;      // <units>/<uuid>/: reservations and saved pages of the disks
    std::string gateway_name;
    // Whether the data directory is the one it was. May be empty.
    std::function<Status()> storage;
    // Whether this gateway may write the volume, which another one may have taken over. May be
    // empty.
    std::function<Status(const Uuid&)> writable = {};
    // What else is kept under the name of a volume goes with it (CHAP credentials). Called before
    // the name is free, again when it failed. May be empty.
    std::function<Status(const std::string& name)> forget = {};
    // Both null: volumes are of this disk alone.
    Shelf* shelf = nullptr;
    Catalog* catalog = nullptr;
    std::string default_pool = {};  // of archives
    // How many open_all() opens at once: one may wait for the store.
    unsigned open_at_once = 1;
  };
  explicit VolumeService(Env env);
  ~VolumeService() override;

  // Opens every volume that lies in the directory. One that cannot be opened is FAILED, and the
  // others are there.
  Status open_all();
  // The disks are offered from now on: those that there are, and each new one.
  void attach_targets(VolumeTargets* targets);
  // Ends what takes its time: removals, detaching. False when nothing was under way.
  bool tick();
  // Every volume flushed and sealed. The targets are gone by then.
  Status stop();

  struct CreateRequest {
    std::string name;
    uint64_t size_bytes = 0;
    std::string mode = "cached";
    uint32_t block_bytes = 512;
  };
  Result<VolumeView> create(const CreateRequest& request);
  std::vector<VolumeView> list();  // without archives
  // `volume`: its name, uuid or id ("vol-...").
  Result<VolumeView> show(const std::string& volume);
  // "volume", "archive"; "": neither is here.
  std::string_view type_of(const Uuid& image);
  Result<VolumeView> resize(const std::string& volume, uint64_t size_bytes);
  // busy: initiators are logged in (unless `force`), or clones stand on it. Its recovery points go
  // with it.
  Status remove(const std::string& volume, bool force);
  Result<VolumeView> set_pinned(const std::string& volume, bool on);
  // Gives a volume up, for a gateway of the same store to attach: all of it goes into the store
  // first, and nothing of it stays here. A job. busy: initiators are logged in (unless `force`).
  Result<int64_t> detach(const std::string& volume, bool force);
  // exists: it is here. One that another gateway had taken over from this one is replaced; busy:
  // initiators are logged in to that (unless `force`), or a point of it is mounted.
  Result<VolumeView> attach(const Shelf::AttachRequest& request);
  // Removes what is here of a volume that another gateway took over (Shelf::forget); busy as above.
  Status forget(const std::string& volume, bool force);
  Result<std::vector<DetachedImage>> detached();
  // Gives space back: compaction as far as it pays, and a fresh map.
  Result<VolumeView> compact(const std::string& volume);

  // -- archives of EBS snapshots (volume_service_archives.cc)
  struct Archive {
    Uuid uuid;
    std::string name;
    Manifest manifest;
    std::shared_ptr<Volume> image;  // null: it is not open
  };
  // `properties`: among them kPropertyEbsSource. `pool` empty: the default one.
  Result<Archive> create_archive(const CreateRequest& request, const std::string& pool,
                                 const Volume::Properties& properties);
  std::vector<Archive> archives();  // by name
  struct ImageView {
    VolumeView image;
    Manifest manifest;  // of one that is not open: as far as it can be read
  };
  std::vector<ImageView> archive_views();  // by name
  Result<ImageView> archive_view(const std::string& archive);
  Result<Archive> find_archive(const std::string& archive);  // not_found: a volume neither
  Result<Archive> open_archive(const std::string& archive);  // not_ready
  // To its pool (`pool` not empty: to that one) on the shelf, as a tape; busy: a clone or a mount
  // stands on it, or it has a job. It is not open until it is RETRIEVED. Jobs.
  Result<int64_t> shelve(const std::string& archive, const std::string& pool);
  Result<int64_t> retrieve(const std::string& archive, const Shelf::RetrieveRequest& request);
  // To another pool: of an archived one a job that takes it to a colder one; else at once, and
  // none.
  Result<std::optional<int64_t>> reassign(const std::string& archive, const std::string& pool,
                                          RestoreTier tier);
  // Of these. conflict: there is none, or it cannot be cancelled any more.
  Status cancel_shelf_job(const Uuid& uuid);

  // -- recovery points (volume_service_points.cc). A point is named "VOLUME@POINT": POINT is its
  // name (the newest of that name), its uuid, or "latest".
  struct PointRequest {
    std::vector<std::string> volumes;  // of all at one moment
    std::string name;                  // empty: the time
    std::string about = {};
    std::function<void()> passed = {};  // Volume::PointRequest
  };
  Result<std::vector<VolumePoint>> create_points(const PointRequest& request);
  Result<std::vector<VolumePoint>> points(const std::string& volume);  // by time
  Result<VolumePoint> find_point(const std::string& point);
  Status delete_point(const std::string& point);
  // A new volume that begins as the point was.
  Result<VolumeView> clone(const std::string& point, const std::string& name);
  // The disk is what it was at the point. busy: initiators are logged in (unless `force`: they are
  // logged out; what they have in memory of the disk is not true any more).
  Result<VolumeView> roll_back(const std::string& point, bool force);
  // The point as a disk of its own, read-only; stays over restarts.
  Result<VolumeMount> mount(const std::string& point, const std::string& name);
  Status unmount(const std::string& name, bool force);
  std::vector<VolumeMount> mounts();

  // -- for those who work on volumes
  // The open volume. not_ready: it is failed, detached or going.
  Result<std::shared_ptr<Volume>> open_volume(const std::string& volume);
  // A recovery point as a disk, which keeps its volume.
  Result<std::shared_ptr<BlockDevice>> open_point(const std::string& point);
  // A volume without a target, until finish_import() says that it is whole; a restart removes it.
  Result<std::shared_ptr<Volume>> begin_import(const CreateRequest& request);
  Status finish_import(const Uuid& uuid);
  Status abandon_import(const Uuid& uuid);
  Status set_properties(const std::string& volume,
                        const std::map<std::string, std::string>& values);
  // Of all volumes: what stands under names with the prefix, by volume.
  std::map<std::string, std::map<std::string, std::string>> properties(std::string_view prefix);

  // -- for owners, keys and the shelf
  // Key rotation, as Vault::set_wrapped_key; gives the manifest's generation.
  Result<uint64_t> set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                   const WrappedKey& after);
  void segment_evicted(const Uuid& image, uint64_t sequence, uint64_t epoch);
  void stop_writes(const Uuid& uuid, const Error& why);
  void stop_all_writes(const Error& why);

  Result<std::string> directory_of(const Uuid& image) override;
  Result<std::string> stored_directory_of(const Uuid& image) override;

 private:
  struct Entry;
  struct Mount;
  using EntryPtr = std::shared_ptr<Entry>;

  Result<EntryPtr> find(const std::string& volume);  // not_found
  Result<EntryPtr> find_open(const std::string& volume);
  Result<EntryPtr> find_volume(const std::string& volume);  // open, and no archive
  // not_ready; cold: it is on the shelf. mutex_ is held.
  static Error not_open(const Entry& entry);
  Status check_name(const std::string& name, bool archive = false);
  Status check_request(const CreateRequest& request);
  std::string path_of(const Uuid& uuid) const;
  VolumeEnv volume_env();
  Result<EntryPtr> make(const CreateRequest& request,
                        const std::map<std::string, std::string>& more);
  EntryPtr enter(std::shared_ptr<Volume> volume);
  EntryPtr open_one(const Uuid& uuid);
  Status reopen(const EntryPtr& entry, const std::string& status = "AVAILABLE");
  Archive view_of_archive(const EntryPtr& entry);
  Result<EntryPtr> find_archive_entry(const std::string& archive);
  // conflict: what it holds can be read for some days only, and a clone would outlive that.
  Status check_lasting(const EntryPtr& entry);
  Status check_idle(const EntryPtr& entry);       // busy: it has a job
  Status check_deletable(const EntryPtr& entry);  // no lock and no hold stands against it
  Result<std::optional<TapeRow>> row_of(const Uuid& uuid);
  std::vector<std::shared_ptr<Volume>> open_volumes();
  Status adopt(const Volume& volume);
  Status wait_dropped(const Uuid& uuid);
  // Nobody else has it from here on. busy: somebody works with it; it is offered again.
  Result<std::shared_ptr<Volume>> take_open(const EntryPtr& entry, const std::string& status,
                                            bool force);
  void look_again(const EntryPtr& entry);
  bool cannot_be_opened(const EntryPtr& entry);
  Result<int64_t> shelve_again(const EntryPtr& entry, const std::string& pool);
  void settle(const EntryPtr& entry);  // what a job of the shelf came to
  void settle_detach(const EntryPtr& entry);
  void release_clones();
  void release_clones_gone_elsewhere(const EntryPtr& entry);  // no entry's life is held
  void restore_mounts(const EntryPtr& entry);
  Status offer(const EntryPtr& entry);
  Status withdraw(const EntryPtr& entry, bool force);
  Status begin_removal(const EntryPtr& entry);  // where the shelf is
  Status finish_removal(const EntryPtr& entry);
  Status check_not_stood_on(const EntryPtr& entry, const Manifest& manifest);
  Status check_not_mounted(const EntryPtr& entry);
  Status check_ours(const EntryPtr& entry);  // write_protected: another gateway took it over
  Status replace_stale(const EntryPtr& entry, bool force, const std::function<Status()>& work);
  Status close(const EntryPtr& entry);
  using Sessions = std::map<std::string, size_t>;
  VolumeView view(const EntryPtr& entry);
  ImageView look(const EntryPtr& entry, const Sessions* sessions);
  std::vector<ImageView> look_at_all(bool of_archives);  // by name
  VolumeMount view_of(const std::shared_ptr<Mount>& mount);
  VolumePoint view_of(const EntryPtr& entry, const RecoveryPoint& point);
  struct FoundPoint {
    EntryPtr entry;
    std::shared_ptr<Volume> volume;
    RecoveryPoint point;
  };
  Result<FoundPoint> resolve_point(const std::string& point);
  Status offer_mount(const std::shared_ptr<Mount>& mount);
  Status make_mount(const FoundPoint& found, const std::string& name);

  const Env env_;
  std::mutex making_;  // one new name at a time; taken before an entry's
  std::mutex mutex_;   // what follows, and the entries' fields
  VolumeTargets* targets_ = nullptr;
  std::map<Uuid, EntryPtr> entries_;
  std::map<std::string, std::shared_ptr<Mount>> mounts_;  // by lower-case name
  bool stopped_ = false;
};

}  // namespace coldshelf
