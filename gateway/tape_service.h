// The operator's and the API's view: tapes through their whole life, and the library they are in.
// Keeps library inventory and catalog in step: a tape is in the library exactly while its status is
// AVAILABLE, RETRIEVED or RECOVERED. Thread-safe. Plain code: a test calls tick(), the daemon
// start().
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/random.h"
#include "catalog/catalog.h"
#include "gateway/vault.h"
#include "tape/library/library.h"
#include "uploader/shelf.h"

namespace coldshelf {

constexpr uint64_t kMinTapeBytes = 16 * MiB;
constexpr uint64_t kMaxTapeBytes = 64 * TiB;
constexpr unsigned kMaxTapesPerRequest = 1'000;

struct TapeView {
  TapeRow row;
  std::optional<Element> element;  // where it is in the library
  std::string location;            // "slot 3", "drive 1", "" when not in the library
  std::optional<JobRow> job;       // the unfinished one
  bool pinned = false;
  bool held = false;  // under a legal hold
};

struct TapeCost {
  std::vector<ObjectGroup> stored;  // by class, as the catalog has it
  MonthlyCost monthly;
  unsigned minimum_days = 0;  // of the classes; what goes earlier is billed for the rest
};

struct RetrieveEstimate {
  struct Tier {
    RestoreTier tier = RestoreTier::standard;
    std::optional<RestoreCost> cost;  // none: a class among the objects has no such tier
    RestoreTime time;
  };
  uint64_t objects = 0, bytes = 0;  // in the store, of what was asked for
  unsigned days = 0;
  std::vector<Tier> tiers;
  double reading = 0;  // downloading it once
};

struct PoolView {
  PoolRow row;
  uint64_t tapes = 0, used_bytes = 0;
  std::vector<ObjectGroup> stored;
  MonthlyCost monthly;
};
// "slot", "import_export", "drive", "transport": of the inventory in the store.
std::string_view inventory_name(ElementType type);

class TapeService final : public LibraryListener {
 public:
  struct Env {
    Clock* clock = nullptr;
    Random* random = nullptr;
    Catalog* catalog = nullptr;
    Shelf* shelf = nullptr;
    Vault* vault = nullptr;
    ObjectStore* store = nullptr;    // asked what it can do when a pool is made; may be null
    Ownership* ownership = nullptr;  // null: the store is nobody else's
  };
  struct Options {
    const DriveProfile* drive = nullptr;  // the library's model: what media fit
    bool archive_on_export = true;
    int64_t export_delay_ms = 60'000;
    unsigned restore_days = 7;
    std::string default_pool;
    Prices prices;
    std::string gateway_id;  // of the inventory in the store
    std::string gateway_name;
    std::string serial_prefix;
  };
  TapeService(Env env, Options options);
  ~TapeService() override;

  // The library tells the service of moves, so the service is made first.
  void attach(Library* library) { library_ = library; }
  // After Shelf::reconcile() and Library::open(): brings the inventory in step with the statuses
  // and takes up what a restart interrupted.
  Status reconcile();
  void start();  // a thread that calls tick()
  void stop();
  // Does what is due: exports whose delay has passed, tapes waiting for a slot, the library's
  // document in the store. False when nothing was.
  bool tick();

  // -- tapes
  struct CreateRequest {
    std::string barcode;  // the first, when count > 1
    uint64_t size_bytes = 0;
    unsigned count = 1;
    std::string pool;    // empty: the default one
    std::string medium;  // empty: by the barcode's suffix, else what the drives write
    bool worm = false;
    std::map<std::string, std::string> properties = {};  // of its manifest
  };
  // All or, when a check fails, none.
  Result<std::vector<TapeView>> create(const CreateRequest& request);
  Result<std::vector<TapeView>> list(size_t limit, std::string_view after_barcode);
  Result<TapeView> show(std::string_view barcode);
  // These start a job and give its id.
  Result<int64_t> archive(std::string_view barcode);
  Result<int64_t> retrieve(std::string_view barcode, const Shelf::RetrieveRequest& request);
  Result<int64_t> retrieve(std::string_view barcode, RestoreTier tier) {
    return retrieve(barcode, Shelf::RetrieveRequest{tier, 0, {}});
  }
  Result<int64_t> remove(std::string_view barcode);
  // A tape of a gateway that is gone; `force`: that may be alive. It comes read-only.
  Result<TapeView> take_over(std::string_view barcode, bool force);
  // What is here of a tape that another gateway took over (Shelf::forget).
  Status forget(std::string_view barcode, bool force);
  Result<int64_t> verify(std::string_view barcode);
  // Its segments stay in the cache, or are fetched; conflict: it is archived, or on its way.
  Result<TapeView> set_pinned(std::string_view barcode, bool on);
  // A legal hold: neither deleted nor overwritten until it is taken away; in the store by Object
  // Lock, where it has that. busy: it is in a drive; conflict: a job is at work on it, or it is on
  // its way. Gives the job.
  Result<int64_t> set_hold(std::string_view barcode, bool on);
  // A property of its manifest, in the store with the next one; "" removes it. conflict: a job is
  // at work on the tape.
  Status set_property(std::string_view barcode, const std::string& name, const std::string& value);
  Result<std::string> property(std::string_view barcode, const std::string& name);
  Status cancel_archive(std::string_view barcode);
  Status cancel_retrieve(std::string_view barcode);
  // Whatever job is under way that can be cancelled.
  Status cancel_job(std::string_view barcode);

  // Key rotation, as Vault::set_wrapped_key. busy: a job is at work on the tape.
  Result<uint64_t> set_wrapped_key(const Uuid& uuid, const WrappedKey& before,
                                   const WrappedKey& after);

  // -- pools: immutable once made (tape_service_shelf.cc)
  Status add_pool(const PoolRow& pool);
  Status remove_pool(const std::string& name);  // conflict: tapes are in it
  Result<std::vector<PoolView>> list_pools();
  // A job for an archived tape, which only goes to a colder pool; none for one in the library,
  // which changes its pool at once and must not be in a drive.
  Result<std::optional<int64_t>> assign_pool(std::string_view barcode, const std::string& pool,
                                             RestoreTier tier);

  // -- costs, at the configured prices
  Result<TapeCost> cost_of(const TapeRow& row);
  // Both of a tape or an image. days 0: the configured ones.
  Result<RetrieveEstimate> estimate_retrieve(const Uuid& cartridge,
                                             const std::vector<TapeRange>& parts, unsigned days);
  Result<MoveCost> estimate_assign(const Uuid& cartridge, const std::string& pool,
                                   RestoreTier tier);

  // -- library, by the operator; elements as Library::parse_element reads them, or a barcode
  Status move(std::string_view source, std::string_view destination);
  Status load(std::string_view barcode, unsigned drive);
  // To where it came from, else the first empty slot; gives the element.
  Result<uint16_t> unload(unsigned drive);
  // Archives what lies in import/export slots: all that was moved there, or one ("ie2", barcode).
  // Gives the jobs, by barcode.
  Result<std::map<std::string, int64_t>> export_tapes(std::string_view which);

  const Env& env() const { return env_; }
  const Options& options() const { return options_; }
  Library& library() const { return *library_; }

  // For Shelf's constructor.
  void tape_status_changed(const TapeRow& row, TapeStatus before);

  void cartridge_moved(const LibraryCartridge& what, const Element* from, const Element* to,
                       bool by_initiator) override;

 private:
  Result<TapeRow> tape(std::string_view barcode);
  Result<TapeView> view(TapeRow row);
  Result<uint16_t> resolve_element(std::string_view text);
  Result<std::string> choose_medium(const CreateRequest& request, const std::string& barcode) const;
  Result<std::string> choose_pool(const std::string& wanted);
  Result<TapeRow> create_one(const CreateRequest& request, const Uuid& uuid,
                             const std::string& barcode, const std::string& medium,
                             const std::string& pool);
  Status claim(const std::vector<std::pair<std::string, Uuid>>& barcodes);
  void discard_half_made(const NewCartridge& what);
  Result<int64_t> archive_locked(const TapeRow& row);
  // Takes it out of the library, where it lies is given back so that it can be put there again.
  Result<std::optional<uint16_t>> take_out(const TapeRow& row);
  // Where it was, when given and still empty, else anywhere.
  void put_back(const TapeRow& row, std::optional<uint16_t> address);
  // AVAILABLE/RETRIEVED tapes that are in no element; false when none could be placed.
  bool place_tapes();
  bool run_due_exports();
  bool publish_library();
  Status reconcile_element(const Element& element);
  void run_verify(JobRow job);
  void note_transition(const TapeRow& row, TapeStatus before);

  const Env env_;
  const Options options_;
  Library* library_ = nullptr;

  std::mutex operations_mutex_;  // one change of a tape's life at a time; taken before state_mutex_
  std::mutex state_mutex_;       // what follows
  std::condition_variable wake_;
  std::map<Uuid, int64_t> export_due_ms_;  // bounded by the import/export slots
  bool place_wanted_ = false;
  bool place_waiting_ = false;  // some tape found no room
  bool library_changed_ = false;
  bool wake_wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
  std::atomic<bool> abandon_verify_{false};
  std::unique_ptr<WorkerPool> verifier_;
};

}  // namespace coldshelf
