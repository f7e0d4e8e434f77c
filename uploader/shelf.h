// The shelf: takes sealed segments to the object store, keeps the local cache within its limit,
// archives and retrieves cartridges, and brings segments back for readers. Plain code: a test calls
// run_once() on a simulated clock and store; the daemon calls start().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/secret.h"
#include "catalog/catalog.h"
#include "tape/cartridge/segment_hooks.h"
#include "uploader/cloud/object_store.h"
#include "uploader/cost_model.h"
#include "uploader/detached_document.h"
#include "uploader/ownership.h"
#include "uploader/range_cache.h"
#include "uploader/restore_plan.h"
#include "uploader/upload_buffer.h"

namespace coldshelf {

// Keys in the store, below the configured prefix.
std::string segment_key(const Uuid& cartridge, uint64_t sequence,
                        uint64_t epoch);          // cartridges/<uuid>/segments/<stem>.seg
std::string manifest_key(const Uuid& cartridge);  // cartridges/<uuid>/manifest
// The manifest of a tape archived under a lock, never changed again: cartridges/<uuid>/locked/<n>
std::string locked_manifest_key(const Uuid& cartridge, uint64_t generation);
constexpr std::string_view kPinnedProperty = "pinned";         // "true" in a manifest
constexpr std::string_view kLegalHoldProperty = "legal_hold";  // "on" in a manifest

// What the shelf knows of an image. Bytes of segments of its own; those it shares with what it was
// cloned from are that one's.
struct ImageStatistics {
  uint64_t local_bytes = 0;
  uint64_t stored_bytes = 0;        // confirmed in the store
  uint64_t not_uploaded_bytes = 0;  // only here, with what is not sealed yet
  int64_t not_uploaded_age_ms = 0;  // of the oldest of these that is sealed; 0: there is none
  std::string problem;
};

// As the manifest of an image says.
ImageMode mode_of(const Manifest& manifest);
bool says_pinned(const Manifest& manifest);

struct ShelfOptions {
  std::string cartridges_directory;  // <dir>/<uuid>/...
  uint64_t cache_limit_bytes = 0;    // local segments and ranges; 0: no limit
  // Of parts of segments that are not local, up to half of cache_limit_bytes; empty: none is kept.
  std::string range_cache_directory = {};
  unsigned transfer_threads = 16;   // at most, each way; how many run follows the store
  uint64_t buffer_limit_bytes = 0;  // of what is not in the store; 0: no limit
  // Uploads cost the machine so much itself (a store on its own disks) that they stand back while
  // drives write, for a while and up to some data, and that half of the processors do for them.
  bool uploads_yield = false;
  int64_t longest_yield_ms = 60'000;
  uint64_t most_yield_bytes = 4 * GiB;
  unsigned read_ahead_segments = 2;
  unsigned default_restore_days = 7;
  // reconcile() looks up, so many at a time, whose the cartridges are; what is left after that
  // while, the running shelf does.
  unsigned start_check_threads = 16;
  int64_t start_check_ms = 10'000;
  int64_t stop_grace_ms = 5'000;     // how long stop() goes on sending what the store lacks
  int64_t restore_poll_ms = 30'000;  // at first; rarer the longer it takes
  unsigned restore_requests_per_second = 500;
  int64_t day_ms = 86'400'000;  // of "days to keep"; a test's days are shorter
  // How long restores take here, by tier (a directory's are short); empty: as S3 documents it.
  std::map<RestoreTier, RestoreTime> restore_times;
  int64_t manifest_interval_ms = 60'000;  // a changed manifest goes up after at most this while
                                          // segments flow, at once when idle
  int64_t image_interval_ms = 15'000;     // the same of images
};

// Told when a tape's status changed for good; called on the shelf's threads without its lock.
using StatusListener = std::function<void(const TapeRow& row, TapeStatus before)>;

class Shelf : public SegmentSource, public CartridgeObserver, public WriteGate {
 public:
  struct Env {
    FileSystem* files = nullptr;
    Clock* clock = nullptr;
    Catalog* catalog = nullptr;
    ObjectStore* store = nullptr;
    std::shared_ptr<BufferPool> buffers;
    // Null: the store is nobody else's, and nothing is put under a condition.
    Ownership* ownership = nullptr;
    // Another gateway has the cartridge: whoever has it open must stop writing. Called on the
    // shelf's threads without its lock.
    std::function<void(const Uuid&, const Error&)> on_fenced = {};
    // A segment's local file went away, and the store has it: whoever has the file open keeps its
    // space (Volume::segment_evicted, for every open volume). As above.
    std::function<void(const Uuid&, uint64_t sequence, uint64_t epoch)> on_evicted = {};
  };
  Shelf(Env env, ShelfOptions options, StatusListener listener);
  ~Shelf() override;

  void start();  // its own threads, until stop()
  void stop();   // finishes the transfers under way or leaves them to be resumed; nothing is lost
  // Does one unit of every kind of work that is due (upload, manifest, job step, eviction); false
  // when nothing was due.
  bool run_once();

  // Compares catalog, local directories and manifests at start-up: adds rows the catalog lacks,
  // re-queues interrupted uploads and jobs. Manifests win.
  Status reconcile();

  // A cartridge that exists on disk: its row and segments are entered. `pool` names a pool row.
  // Images too, with TapeStatus::available: what their manifest says of mode (kPropertyMode) and
  // pin (kPinnedProperty) counts, now and whenever it changes. Their pool may be empty: STANDARD.
  Status adopt(const Manifest& manifest, const std::string& pool, TapeStatus status);

  // Starts a job; the cartridge must be closed. conflict: wrong status or another job; not_found.
  // Gives the job's id. archive: AVAILABLE or RETRIEVED -> IN TRANSIT TO VTS -> ARCHIVING ->
  // ARCHIVED once every segment and the manifest are confirmed (class and checksum) in the store;
  // local segments are evicted then.
  Result<int64_t> archive(const Uuid& cartridge);
  // retrieve: ARCHIVED -> RETRIEVING -> RETRIEVED: restore requests for every segment in an archive
  // class, polled until all are readable. The tape comes back write-protected. Of parts: for the
  // segments that hold them; the others answer cold. A RETRIEVED tape stays that while more of it
  // is retrieved, and may be in a drive. days 0: the default. out_of_range: no such parts;
  // invalid_argument: a tier that a segment's class does not have.
  struct RetrieveRequest {
    RestoreTier tier = RestoreTier::standard;
    unsigned days = 0;
    std::vector<TapeRange> parts;  // empty: all of it
  };
  Result<int64_t> retrieve(const Uuid& cartridge, const RetrieveRequest& request);
  Result<int64_t> retrieve(const Uuid& cartridge, RestoreTier tier, unsigned days) {
    return retrieve(cartridge, RetrieveRequest{tier, days, {}});
  }
  // An ARCHIVED tape to a colder pool: each object is restored where its class needs that, copied
  // within the store and confirmed. The status stays. conflict: the pool is not colder.
  Result<int64_t> reassign(const Uuid& cartridge, const std::string& pool, RestoreTier tier);
  // A tape that is not archived; the cartridge must be closed. Segments that are in the store
  // already move when it is archived.
  Status assign_pool(const Uuid& cartridge, const std::string& pool);
  // A tape that another gateway archived, or that this one did not know, by its barcode: its row is
  // entered as ARCHIVED and can be retrieved. not_found; conflict: it is not on the shelf.
  Result<TapeRow> import_from_shelf(const std::string& barcode);
  // Takes a tape from a gateway that is gone (`force`: that may be alive): it comes as RECOVERED,
  // read-only, with what the store has of it. One that is ARCHIVED comes as that.
  Result<TapeRow> take_over(const std::string& barcode, bool force);
  // -- images between gateways
  // Gives a closed image up: all of it goes into the store, and any gateway of the store may attach
  // it. A job; AVAILABLE -> DETACHING, then nothing of it is left here. busy: a clone stands on it.
  Result<int64_t> detach(const Uuid& image);
  Status cancel_detach(const Uuid& image);
  Result<std::vector<DetachedImage>> detached_images();  // asks the store
  // Its manifest, whose it ever is, or at least another gateway's claim to it; asks the store.
  Result<bool> store_has(const Uuid& image);
  // One that was detached; with `take_over` one of a gateway that is gone (`force`: or alive): what
  // that had not uploaded is lost then, and the image is as it was before. Comes as AVAILABLE with
  // nothing of it here but the manifest; an archived one as ARCHIVED. exists: it is here, or the
  // name is taken.
  struct AttachRequest {
    std::string image;  // name or uuid
    bool take_over = false;
    bool force = false;
  };
  Result<TapeRow> attach(const AttachRequest& request);
  // Where the manifest of an image lies that an image here was cloned from (ImageDirectory): its
  // own directory, or, of another gateway's, a copy from the store.
  Result<std::string> image_directory(const Uuid& image);
  Result<std::string> stored_image_directory(const Uuid& image);  // such a copy, as it is now

  // Why this gateway must not write the cartridge any more (write_protected); ok: it may.
  Status check_owned(const Uuid& cartridge);
  Status look_at_owner(const Uuid& cartridge);  // the same, and the store is asked

  Status cancel_archive(const Uuid& cartridge);  // back to AVAILABLE; conflict when it is past that
  Status cancel_retrieve(const Uuid& cartridge);  // back to what it was before
  // What moved stays where it is; the pool stays the old one.
  Status cancel_reassign(const Uuid& cartridge);
  // How long restoring these takes with the tier; none: one of the classes does not have it.
  std::optional<RestoreTime> time_to_restore(const std::vector<ObjectGroup>& groups,
                                             RestoreTier tier) const;
  // By class: what is in the store of these parts (empty: of the whole tape).
  struct Holdings {
    std::vector<ObjectGroup> stored;      // all of it
    std::vector<ObjectGroup> to_restore;  // of that: in an archive class, not readable now
    uint64_t not_stored_objects = 0, not_stored_bytes = 0;
    int64_t readable_until_ms = 0;  // the first restored copy to expire; 0: none is restored
  };
  Result<Holdings> holdings(const Uuid& cartridge, const std::vector<TapeRange>& parts);
  // Removes objects, local files and rows: AVAILABLE, ARCHIVED, RETRIEVED... -> DELETING -> DELETED
  // (barcode stays taken; an image's row goes, and its name is free). Images must be closed;
  // busy: a clone stands on it. Of a clone: tell its source (Volume::release_clone) when the job is
  // done, not before.
  Result<int64_t> remove(const Uuid& cartridge);
  // Removes what is here of a cartridge that another gateway took over; nothing in the store
  // changes. conflict: it is this gateway's, a job of it is unfinished, or part of it is only here,
  // which `force` gives up. Nobody may have it open.
  Status forget(const Uuid& cartridge, bool force);
  Result<JobRow> wait(int64_t job,
                      int64_t timeout_ms);  // until finished or timed_out (the row as it is then)

  // Deep verification: every segment's bytes (local or from the store) against its digest and
  // structure. Counts and problems.
  struct VerifyReport {
    uint64_t segments = 0, bytes = 0;
    std::vector<std::string> problems;
  };
  Result<VerifyReport> verify(const Uuid& cartridge, const Secret* data_key,
                              const std::function<void(uint64_t done, uint64_t total)>& progress);
  // Running verifications end with `cancelled` after their segment: for a program that stops.
  void abandon_verify();

  // Puts a small object that `recover` needs (library inventory and so on). Asynchronous, newest
  // content wins.
  void put_document(const std::string& key, Buffer content);

  struct Statistics {
    uint64_t uploaded_bytes = 0, downloaded_bytes = 0, upload_errors = 0, download_errors = 0;
    uint64_t cache_bytes = 0, not_uploaded_bytes = 0, queued_segments = 0;
    uint64_t reader_waits = 0;  // reads that waited for the store: what they want was not here
    UploadBuffer::View buffer;  // with what drives have written and not sealed
    unsigned uploads_at_once = 0, downloads_at_once = 0;  // allowed now
    RangeCache::View ranges;  // parts of segments; their bytes are in cache_bytes
  };
  Statistics statistics() const;

  // not_found: no such image (or tape).
  Result<ImageStatistics> image_statistics(const Uuid& cartridge) const;

  // The store complains of too many requests, or does not answer: what it said to an attempt that
  // is made again.
  void store_overloaded();

  // A pinned cartridge's segments are never evicted, and fetched when they are not here and can be
  // read. Kept in its manifest (kPinnedProperty); this is what the shelf has seen there.
  bool is_pinned(const Uuid& cartridge) const;

  // A legal hold, in the store (Object Lock, where it has that) and, of an ARCHIVED tape, in its
  // manifest; of one in the library the caller has edited the manifest (kLegalHoldProperty). The
  // status stays. Off: a WORM cartridge's objects keep theirs.
  Result<int64_t> hold(const Uuid& cartridge, bool on);
  bool is_held(const Uuid& cartridge) const;  // by what manifests say

  // SegmentSource and CartridgeObserver
  Result<std::unique_ptr<File>> fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                      int64_t timeout_ms) override;
  Status fetch_range(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                     MutableBytes out, int64_t timeout_ms) override;
  void distrust(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                uint64_t length) override;
  void will_need(const Uuid& cartridge, std::span<const SegmentEntry> next) override;
  void segment_sealed(const Manifest& manifest, const SegmentEntry& entry,
                      const std::optional<Sha256Digest>& file_sha256) override;
  void segments_dropped(const Uuid& cartridge, std::span<const SegmentEntry> dropped) override;
  void manifest_changed(const Manifest& manifest) override;
  void write_failed(const Uuid& cartridge, const Error& why) override;
  void used(const Uuid& cartridge, const SegmentEntry& entry) override;
  // WriteGate
  int64_t hold_ms(const Uuid& cartridge) override;
  void wrote(const Uuid& cartridge, uint64_t bytes, uint64_t unsealed_bytes) override;
  void closed(const Uuid& cartridge) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coldshelf
