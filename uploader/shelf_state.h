// The shelf's inside: what its source files share. docs/ARCHITECTURE.md, "The shelf".
//
// Work comes in kinds, each with a time at which it is due. A kind's step does one unit. Threads of
// the daemon wait for the kinds of their role; run_once() takes one step of every kind that is due.
// The catalog and the disk say what there is to do; memory holds only hints, claims and backoff, so
// that a restart loses nothing.
//
// Locks: `mutex` guards what is below it. It is never held during a call to the catalog, the file
// system, the store or the listener. `flush_mutex` is held while new rows go into the catalog.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "tape/format/manifest.h"
#include "tape/format/segment.h"
#include "uploader/range_cache.h"
#include "uploader/segment_download.h"
#include "uploader/shelf.h"
#include "uploader/transfer_governor.h"
#include "uploader/upload_buffer.h"

namespace coldshelf {

struct ImageBase;  // tape/format/image_manifest.h

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

struct SegmentId {
  Uuid cartridge;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  auto operator<=>(const SegmentId&) const = default;
};
inline SegmentId id_of(const SegmentRow& row) { return {row.cartridge, row.sequence, row.epoch}; }
inline SegmentId id_of(const Uuid& cartridge, const SegmentEntry& entry) {
  return {cartridge, entry.sequence, entry.epoch};
}
// Those that a manifest names.
inline std::set<SegmentId> segments_of(const Manifest& manifest) {
  std::set<SegmentId> out;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) out.insert(id_of(manifest.uuid, entry));
  }
  return out;
}
std::string describe(const SegmentId& id);  // "segment 12 of cartridge <uuid>", for messages

inline bool in_store(SegmentState state) { return state >= SegmentState::verified; }
// Worth trying again later as it is: the store or the disk may be better then.
// Given up by a program that stops is passing too: the next one takes it up.
inline bool is_passing(const Error& error) {
  return error.disposition == Disposition::retry || error.disposition == Disposition::no_space ||
         error.disposition == Disposition::cancelled;
}
int64_t backoff_ms(unsigned attempts);  // 1 s doubled up to a minute

enum class Work {
  rows,       // what cartridges told, into the catalog
  uploads,    // one segment
  manifests,  // one manifest
  discards,   // one dropped segment
  documents,  // one small object
  eviction,   // some segments
  jobs,       // one step of one job
  objects,    // one object of a job
  recalls,    // one segment back, or a part of one
  ranges,     // some chunks ahead of a reader
  pins,       // what pinned cartridges lack
  leftovers,  // what interrupted puts left in the store
};
constexpr size_t kWorkKinds = 12;

enum class JobPhase { begin, transfer, settle, manifest, confirm, finish, fail, cancel };

// A job in memory: what its row does not need to say. Changed with the lock held; id, kind,
// cartridge and barcode stay what they are, and may be read without it.
struct JobRun {
  JobRow row;
  JobPhase phase = JobPhase::begin;
  int64_t not_before_ms = 0;  // of the monotonic clock
  int64_t saved_ms = 0;
  uint64_t generation = 0;  // of the manifest that must be confirmed
  bool cancel = false;
  bool edited = false;  // the manifest on disk says the new status
  Error failure;        // phase fail
  bool data_lost = false;
  unsigned attempts = 0;  // passing failures in a row

  // Objects to work on: handed out in order, bounded in number at a time.
  std::vector<SegmentRow> rows;
  std::vector<std::string> keys;  // delete
  std::vector<size_t> turn;       // indices of this sweep
  size_t next = 0;                // in turn
  size_t outstanding = 0;
  size_t ready = 0;
  size_t ready_before = 0;  // at the sweep's beginning
  std::vector<bool> is_ready;
  std::vector<bool> extended;  // the copy there was asked to be kept for this job's days
  size_t still_waiting = 0;    // of this sweep: restores that go on
  bool first_sweep = true;
  bool upload_again = false;
  std::optional<Error> error;  // of an object; the first one ends the sweep
};

struct ObjectTask {
  int64_t job = 0;
  size_t index = 0;
};

// What is known of a cartridge's manifest beside the disk.
struct ManifestWatch {
  uint64_t announced = 0;  // generation known to be durable here
  bool dirty = false;
  bool urgent = false;  // a job waits
  bool image = false;
  int64_t changed_ms = 0;
  int64_t dirty_since_ms = 0;
  int64_t not_before_ms = 0;
  int64_t uploaded_ms = 0;  // 0: not since the start
  unsigned attempts = 0;
  uint64_t sent_generation = UINT64_MAX;  // of what the store holds; UINT64_MAX: not known
  uint64_t sent_segments = 0;
  std::optional<Error> error;  // of the last attempt
  // The store's can be no later one: what was here at the start, or came from the store, and what
  // was put since. 0: not known.
  uint64_t latest = 0, latest_epoch = 0;
  // Of the store's manifest, which the next one replaces and no other; "": there is none. Not
  // known: the store is looked at first.
  std::optional<std::string> etag;
  std::set<SegmentId> garbage;  // dropped; the store's manifest may still name them
};

// What is known of an image beside the disk.
struct ImageWatch {
  std::optional<std::pair<ImageMode, bool>> keeping;  // mode, pinned: as the manifest says
  std::shared_ptr<const Manifest> last;
  std::deque<std::shared_ptr<const Manifest>> history;  // each the last before a map entered
  std::set<Uuid> sent_holds;  // clones that the store's manifest knows of, sent since the start
  bool base_seen = false;     // of a clone: its base, another gateway's, is in the store
};
// What has become of an archive of which only the manifest tells.
enum class FoundArchive {
  open,      // to be gone on with
  over,      // on the shelf, another gateway's by now, or deleted
  replaced,  // the store has a later state, which is not on the shelf: it was being taken over
};
struct Recall {
  SegmentEntry entry;
  bool done = false;  // with the file under its part name until the recall is no longer known
  std::optional<Error> error;
};

// Chunks of a segment on their way into the cache of ranges.
struct RangeFetch {
  uint32_t count = 0;
  bool done = false;
  std::shared_ptr<const Buffer> bytes;
  std::optional<Error> error;
};

// Somebody who reads one chunk after the other.
struct RangeStream {
  SegmentId id;
  uint32_t next = 0;   // behind what was read
  uint32_t run = 0;    // chunks read in a row
  uint32_t ahead = 0;  // behind what was asked for
  bool crossed = false;
};
struct RangeAhead {
  SegmentId id;
  SegmentEntry entry;
  uint32_t first = 0;
  uint32_t count = 0;  // 0: the next segment's
  uint32_t run = 0;
};
constexpr int64_t kRangeAheadMs = 60'000;

struct Download {
  SegmentId id;
  std::shared_ptr<SegmentDownload> parts;
};

struct UploadTrouble {
  Error error;
  int64_t not_before_ms = 0;
};

struct Usage {
  uint64_t used = 0, stored = 0, generation = 0;
  bool write_protected = false;
};

struct Shelf::State {
  State(Env e, ShelfOptions o, StatusListener l)
      : env(std::move(e)),
        options(std::move(o)),
        listener(std::move(l)),
        upload_governor(*env.clock, governor_options(4, most_uploads(options))),
        download_governor(*env.clock, governor_options(8, options.transfer_threads)),
        buffer(*env.clock, options.buffer_limit_bytes),
        ranges(*env.files, options.range_cache_directory, range_limit(options)) {
    due.fill(0);
  }

  const Env env;
  const ShelfOptions options;
  const StatusListener listener;
  Shelf* shelf = nullptr;

  // With locks of their own, taken after `mutex`.
  TransferGovernor upload_governor;
  TransferGovernor download_governor;  // places are for parts
  UploadBuffer buffer;
  RangeCache ranges;

  std::mutex flush_mutex;  // one flush of new rows at a time, taken before `mutex`
  std::mutex job_mutex;    // one write of jobs' rows at a time, the newest last; likewise
  std::mutex mutex;
  std::condition_variable changed;
  std::array<int64_t, kWorkKinds> due;
  bool running = false;
  std::atomic<bool> stopping{false};
  std::atomic<bool> verify_abandoned{false};
  std::vector<std::thread> threads;  // more come as there is work for them
  unsigned upload_threads = 0;
  unsigned recall_threads = 0;

  // Rows
  std::deque<SegmentRow> new_rows;
  std::map<Uuid, Usage> new_usage;
  std::map<Uuid, std::string> new_problems;
  std::map<SegmentId, int64_t> touched;
  std::map<Uuid, std::pair<ImageMode, bool>> new_keeping;

  // Claims: a segment is worked on by one thread at a time.
  std::set<SegmentId> busy;
  std::set<Uuid> deleting;
  std::optional<Uuid> manifest_busy;

  // Uploads
  std::deque<SegmentRow> upload_queue;
  bool filling = false;
  std::map<SegmentId, UploadTrouble> troubles;
  int64_t upload_pause_until_ms = 0;
  unsigned upload_failures = 0;   // passing ones in a row
  int64_t yielding_since_ms = 0;  // 0: uploads do not stand back for writers now
  bool yielded_enough = false;    // nor will they before all of it is in the store

  // Manifests, dropped segments, documents
  std::map<Uuid, ManifestWatch> manifests;
  std::deque<SegmentId> discards;  // the store's manifest does not name them any more
  std::set<SegmentId> dropped;     // in garbage or discards
  unsigned discard_failures = 0;
  std::map<std::string, Buffer> documents;
  unsigned document_failures = 0;

  std::map<Uuid, ImageWatch> images;

  // Cartridges that belong to another gateway now, and why we think so
  std::map<Uuid, Error> fenced;
  uint64_t lapses_seen = 0;
  // After a lapse of the lease: are they still ours? And ARCHIVED ones that were not given back.
  std::deque<Uuid> rechecks;
  int64_t recheck_due_ms = 0;
  unsigned recheck_failures = 0;
  std::mutex lending_mutex;  // from taking an ARCHIVED tape off the shelf to the job it is for

  // Jobs
  std::map<int64_t, std::shared_ptr<JobRun>> jobs;
  std::deque<ObjectTask> object_queue;
  double restore_tokens = 0;
  int64_t restore_tokens_ms = -1;  // when they were counted; -1: never

  // Recalls
  std::map<SegmentId, std::shared_ptr<Recall>> recalls;
  std::deque<Download> downloads;      // of those under way
  std::deque<SegmentId> recall_queue;  // readers wait for these
  std::deque<SegmentId> ahead_queue;   // read-ahead, bounded
  std::map<SegmentId, int64_t> ahead_failed_ms;
  std::map<SegmentId, unsigned> wanted;  // readers about to open it: not to be evicted
  std::map<std::pair<SegmentId, uint32_t>, std::shared_ptr<RangeFetch>> range_fetches;
  std::list<RangeStream> streams;  // used last first
  std::deque<RangeAhead> range_queue;
  std::set<Uuid> pinned;  // all their segments stay, or come back; images of mode stored too
  std::set<Uuid> held;    // under a legal hold

  std::atomic<uint64_t> uploaded_bytes{0}, downloaded_bytes{0}, upload_errors{0},
      download_errors{0}, reader_waits{0};

  static unsigned most_uploads(const ShelfOptions& options) {
    if (!options.uploads_yield) return options.transfer_threads;
    return std::min(options.transfer_threads, std::thread::hardware_concurrency() / 2);
  }
  static GovernorOptions governor_options(unsigned initial, unsigned maximum) {
    GovernorOptions out;
    out.maximum = std::max(1U, maximum);
    out.initial = initial;
    return out;
  }

  // -- time and paths
  int64_t now_ms() const { return env.clock->monotonic_ns() / 1'000'000; }
  int64_t& due_of(Work work) { return due[static_cast<size_t>(work)]; }
  void wake(Work work, int64_t at_ms = 0);  // takes the lock
  void wake_locked(Work work, int64_t at_ms = 0);
  std::string directory_of(const Uuid& cartridge) const;
  std::string reference_directory_of(const Uuid& image) const;  // of another gateway's
  std::string segment_path_of(const SegmentId& id) const;
  std::string manifest_path_of(const Uuid& cartridge) const;

  // -- steps: true when something was done
  bool step(Work work);
  bool rows_step();
  bool uploads_step();
  bool manifests_step();
  bool discards_step();
  bool documents_step();
  bool eviction_step();
  bool jobs_step();
  bool objects_step();
  bool recalls_step();
  bool ranges_step();
  void send_what_is_left();
  bool pins_step();
  bool leftovers_step();
  void run_thread(const std::vector<Work>& kinds);
  void spawn(std::vector<Work> kinds, bool nobody_waits);  // the lock is held
  void grow_uploads(unsigned wanted_threads);              // likewise
  void grow_recalls();                                     // likewise

  // -- rows and tapes
  Status flush_rows();
  Status set_status(const Uuid& cartridge, TapeStatus status);
  void note_problem(const Uuid& cartridge, const std::string& problem);  // logs, writes the row
  Result<Manifest> read_manifest(const Uuid& cartridge);
  Result<TapeRow> tape_row(const Uuid& cartridge);
  // Rows for entries that have none. `at_start`: nothing is under way, so the states left by an
  // interruption are corrected and rows the manifest does not name become garbage.
  Status sync_rows(const Manifest& manifest, bool at_start);
  // `store_answers`: false once it did not; then it is not asked again.
  Status reconcile_cartridge(const Uuid& cartridge, bool& store_answers);
  Result<FoundArchive> find_archive(const Manifest& manifest);
  Status reconcile_missing(const TapeRow& row);
  Status enter_tape(const Manifest& manifest, const std::string& pool, TapeStatus status);
  void watch_manifest(const Uuid& cartridge, uint64_t generation, bool dirty, bool urgent);

  // -- uploads
  void count_buffer();  // what is sealed and not in the store, anew
  int64_t yield_ms();   // how long uploads stand back for writers; the lock is held
  std::optional<SegmentRow> claim_upload();
  bool fill_upload_queue();
  // True: its bytes were sent; false: the store had them.
  Result<bool> upload_segment(const SegmentRow& row);
  Result<bool> send_segment(const SegmentRow& row, File& file);
  Status confirm_remote(const SegmentRow& row);
  Status note_confirmed(const SegmentRow& row, const ObjectInfo& object);
  void upload_finished(const SegmentRow& row, const Status& result);

  // -- manifests
  enum class Sent { complete, partly, waiting };
  Result<Sent> send_manifest(const Uuid& cartridge, uint64_t announced, bool may_be_partial,
                             uint64_t& generation);
  Result<bool> goes_back(const Manifest& part, const std::set<SegmentId>& whole);
  int64_t manifest_due_ms(const ManifestWatch& watch) const;
  int64_t interval_ms(const ManifestWatch& watch) const;
  void collect_garbage(const Uuid& cartridge, const Manifest& in_the_store);

  void manifest_changed(const Manifest& manifest, bool map_entered);

  // -- images (shelf_images.cc)
  void note_image(const Manifest& manifest, bool map_entered);  // the lock is held
  void note_image_sent(const Manifest& sent);                   // likewise
  std::optional<Manifest> storable(const Manifest& now, const std::vector<SegmentRow>& rows,
                                   bool& complete, std::set<SegmentId>& whole);
  Result<bool> is_detached(const Uuid& image);  // what its document says is so; asks the store
  Status check_clones_stand(const TapeRow& image);
  Result<bool> others_base_is_stored(const Uuid& clone, const ImageBase& base);
  Result<bool> base_is_stored(const Manifest& manifest);
  Status claim_image(const Uuid& cartridge);
  Status check_no_clones(const TapeRow& image);  // busy: there are some
  Status check_closed(const TapeRow& row);
  Status advance_detach(JobRun& run);
  Status begin_detach(JobRun& run);
  Status finish_detach(JobRun& run);
  bool still_ours(const std::optional<Owner>& owner) const;
  Status finish_found_detach(JobRun& run, const Owner& owner);
  Status forget_rows(const Uuid& image);
  Result<Uuid> find_image(const std::string& wanted);

  // -- who took it over (shelf_fence.cc)
  void fence(const Uuid& cartridge, const Error& why);
  std::string fence_path_of(const Uuid& cartridge) const;
  Status record_fence(const Uuid& cartridge, const std::string& why);
  Status fence_while_taken(const TapeRow& row, const std::string& from);
  Status check_owned(const Uuid& cartridge);
  Status load_fenced(const Uuid& cartridge);
  Status lift_fence(const Uuid& cartridge);
  Result<uint64_t> only_here(const Uuid& cartridge);
  Result<std::vector<Uuid>> to_recheck();
  Status ensure_owned(const Uuid& cartridge);  // conflict: it is fenced now
  Status change_owner(const Uuid& cartridge, Status (Ownership::*change)(const Uuid&));
  Result<bool> never_deleted(const Uuid& cartridge);
  Status recheck(const Uuid& cartridge);  // the same
  Status recheck_at_start();
  bool recheck_step();

  // -- who may write (shelf_ownership.cc)
  Status may_write() { return env.ownership != nullptr ? env.ownership->may_write() : Status(); }
  Result<ObjectInfo> put_segment(const SegmentRow& row, const PutSource& source,
                                 StorageClass storage_class);
  Status look_before_puts(const Uuid& cartridge);
  Status may_replace(const SegmentRow& row);
  // `stored`: what the store is to have of `local`, or a part of it, or an earlier one; on top of
  // what it has, and confirmed.
  Status put_manifest(const Manifest& local, const Manifest& stored);
  Result<std::string> manifest_before(const Manifest& local);  // its etag; empty: none
  Result<ObjectInfo> put_manifest_after(const Manifest& local, const PutSource& source,
                                        const std::string& etag);
  struct StoredManifest {
    std::string etag;                  // "": there is none
    std::optional<Manifest> manifest;  // none: it is damaged
  };
  Result<StoredManifest> stored_manifest(const Manifest& local);
  Result<std::string> look_at_manifest(const Manifest& local);  // gives its etag
  Status acquire_from_shelf(const TapeRow& tape);
  // Takes an ARCHIVED tape from the shelf for the job that `begin` begins, and gives it back when
  // that fails.
  Result<int64_t> with_shelved(const TapeRow& tape, const std::function<Result<int64_t>()>& begin);
  void end_shelved(const JobRun& run);  // a job that failed or was cancelled
  Status give_to_shelf(const Uuid& cartridge);
  void give_back_quietly(const Uuid& cartridge);  // after a failure that is told already
  Status ensure_pool(const Manifest& manifest, const std::string& gateway);
  Result<TapeRow> enter_remote(const Manifest& manifest, TapeStatus status,
                               const std::string& etag);

  // -- recalls, eviction and pins
  void touch(const SegmentId& id);                                  // the lock is held
  void note_pin(const Manifest& manifest);                          // likewise
  bool read_ahead(const SegmentId& id, const SegmentEntry& entry);  // the lock is held
  void note_hold(const Manifest& manifest);                         // likewise
  Result<size_t> fetch_pinned(const Uuid& cartridge);
  Result<bool> has_room_for(uint64_t bytes, const std::set<Uuid>& kept);
  Result<std::unique_ptr<File>> fetch(const Uuid& cartridge, const SegmentEntry& entry,
                                      int64_t timeout_ms);
  Result<std::unique_ptr<File>> fetch_wanted(const SegmentId& id, const SegmentEntry& entry,
                                             int64_t deadline_ms, int64_t timeout_ms);
  void run_recall(const SegmentId& id);
  Status recall(const SegmentId& id, Recall& mine);
  void hand_out(Recall& mine);
  Result<std::unique_ptr<File>> open_local(const SegmentId& id);
  bool next_recall(std::deque<SegmentId>& queue, SegmentId& id);
  std::string part_path_of(const SegmentId& id) const;
  Status discard_part(const SegmentId& id);
  Result<std::shared_ptr<SegmentDownload>> download(const SegmentId& id, const SegmentEntry& entry,
                                                    Sha256Digest& object_sha256);
  Status keep_download(const SegmentId& id, SegmentDownload& parts);
  Status run_download(const SegmentId& id, const std::shared_ptr<SegmentDownload>& parts,
                      Sha256Digest& object_sha256);
  bool is_urgent(const SegmentId& id) const;  // the lock is held
  bool may_begin_part(bool urgent);           // likewise
  bool run_part(SegmentDownload& parts);
  void part_done();
  bool help_download(bool urgent);
  Result<size_t> evict_down_to(uint64_t limit_bytes);
  bool may_evict() const;
  Status evict(const SegmentRow& row);

  // -- ranges (shelf_ranges.cc)
  static uint64_t range_limit(const ShelfOptions& options);
  Status check_readable(const SegmentId& id);
  Result<std::shared_ptr<const Buffer>> get_chunks(const SegmentId& id, const SegmentEntry& entry,
                                                   uint32_t first, uint32_t count);
  Result<std::shared_ptr<const Buffer>> fetch_chunks(const SegmentId& id, const SegmentEntry& entry,
                                                     uint32_t first, uint32_t count,
                                                     int64_t deadline_ms);
  Status fetch_range(const SegmentId& id, const SegmentEntry& entry, uint64_t offset,
                     MutableBytes out, int64_t timeout_ms);
  void note_read(const SegmentId& id, const SegmentEntry& entry, uint32_t first, uint32_t last);
  bool begin_next_segment(RangeAhead& ahead);

  // -- jobs (shelf_jobs.cc, shelf_objects.cc)
  Result<int64_t> begin_job(JobKind kind, const TapeRow& tape,
                            std::map<std::string, std::string> parameters);
  Status set_status_of_job(const JobRun& run);
  Status cancel_job(const Uuid& cartridge, JobKind kind);
  std::string parameter_of(const JobRun& run, const char* name);  // "": there is none
  TapeStatus status_before(const JobRun& run);                    // the tape's, when it began
  Status advance(JobRun& run);  // an error: passing, it is tried again; else the job fails
  Status advance_archive(JobRun& run);
  Status advance_retrieve(JobRun& run);
  Status advance_delete(JobRun& run);
  Status begin_archive(JobRun& run);
  Status await_uploads(JobRun& run);
  Result<bool> uploads_done(JobRun& run);
  Status settle_objects(JobRun& run);
  Result<bool> is_lost_on_shelf(const TapeRow& tape);
  Status begin_retrieve(JobRun& run);
  Status await_restores(JobRun& run);
  Status advance_reassign(JobRun& run);
  Status begin_reassign(JobRun& run);
  Status await_moves(JobRun& run);
  Status restores_swept(JobRun& run, const char* what);
  // -- legal holds (shelf_hold.cc)
  Status choose_hold(JobRun& run, const TapeRow& tape);
  Status advance_hold(JobRun& run);
  Status begin_holding(JobRun& run);
  Result<bool> hold_object(JobRun& run, size_t index);
  Status hold_key(const std::string& key, bool on);
  Status hold_manifests(JobRun& run);
  // The lock that the job's objects get: the pool's or the tape's own, whichever is stronger.
  void choose_lock(JobRun& run, const TapeRow& tape, const PoolRow& pool);
  // Into the tape's row; gives the edits that tell it in the manifest.
  Result<std::vector<ManifestEdit>> note_lock(JobRun& run);
  Status lock_object(JobRun& run, const std::string& key);
  Status lock_manifest(JobRun& run);
  std::optional<ObjectLock> lock_of_job(const JobRun& run);
  // How many of `wanted` restore requests may go now; 0: `at_ms` says when to ask again.
  size_t take_restore_tokens(size_t wanted, int64_t& at_ms);  // with the lock held
  std::vector<TapeRange> parts_of(const JobRun& run);
  RestoreTier tier_of(const JobRun& run);
  void note_first_sweep(JobRun& run);  // whether nothing was asked for before a restart
  Status ask_restore(JobRun& run, const std::string& key);
  bool expedited_is_given_up(JobRun& run);
  // The restores of a first sweep have been asked for; a restart need not do it again.
  void note_sweep(JobRun& run);
  int64_t restore_poll_ms(const JobRun& run) const;
  void expect_ready(JobRun& run, RestoreTier tier);
  Status note_parts(const JobRun& run);
  Status remove_local(const Uuid& cartridge);
  Status remove_segment_files(const Uuid& cartridge);
  Result<bool> is_left_over(const Uuid& cartridge);  // its directory, of files that tell nothing
  Status edit_manifest(JobRun& run, const std::vector<ManifestEdit>& edits);
  Status await_manifest(JobRun& run);
  Status evict_all(JobRun& run);
  Status end_failed(JobRun& run);
  Status end_cancelled(JobRun& run);
  Status end_job(JobRun& run, JobState state, const std::string& step);
  Status load_rows(JobRun& run);
  Status save(JobRun& run, bool at_once);
  // False: a cancellation came first.
  bool set_phase(JobRun& run, JobPhase phase, const std::string& step);
  void finish_step(JobRun& run, const Status& done);
  Status begin_delete(JobRun& run);
  Status refuse_delete(JobRun& run, const Error& why);
  Status delete_objects(JobRun& run);
  void look_again(JobRun& run, int64_t after_ms);
  void begin_sweep(JobRun& run);
  // Hands out objects of the sweep; true when all of it came back.
  Result<bool> sweep(JobRun& run);
  Result<bool> do_object(JobRun& run, size_t index);  // true: this one is ready
  std::optional<SegmentId> segment_of(const ObjectTask& task);
  void object_finished(const ObjectTask& task, const Result<bool>& result);
  Status confirm_missing(const std::string& key);
  Result<bool> object_lost(JobRun& run, const SegmentRow& row, const std::string& why);
  Result<bool> settle_object(JobRun& run, size_t index);
  Result<bool> enter_settled(JobRun& run, SegmentRow row, const ObjectInfo& object);
  Result<bool> restore_object(JobRun& run, size_t index);
  Result<PoolRow> pool_row(const std::string& pool);
  Result<StorageClass> class_of_pool(const std::string& pool);
  Result<StorageClass> class_for_upload(const Uuid& cartridge);
  bool is_cold(
      const SegmentRow& row) const;  // in an archive class and, as far as known, not restored
};

}  // namespace coldshelf
