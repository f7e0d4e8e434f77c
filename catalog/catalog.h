// The catalog: states, locations and jobs in SQLite. It lags the disk and the store, never leads
// them, and can be rebuilt from manifests. Thread-safe: one connection behind a lock; every method
// is one transaction, durable when it returns.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/uuid.h"

namespace coldshelf {

// AWS Storage Gateway's TapeStatus values, as to_string() spells them ("IN TRANSIT TO VTS").
enum class TapeStatus {
  creating,
  available,
  in_transit_to_vts,
  archiving,
  archived,
  retrieving,
  retrieved,
  recovered,
  irrecoverable,
  deleting,
  deleted,
  detaching,  // images alone: on the way to the store, to be attached elsewhere
};
std::string_view to_string(TapeStatus status);
std::optional<TapeStatus> parse_tape_status(std::string_view text);

// Tapes and images live the same life in the store; names of images are apart from barcodes, and
// free again when the image is deleted.
enum class RowKind { tape, image };
// Of an image: `cached` keeps what is used locally, `stored` all of it.
enum class ImageMode { cached, stored };
std::string_view to_string(ImageMode mode);
std::optional<ImageMode> parse_image_mode(std::string_view text);

// A tape, or an image (the cartridge of a volume).
struct TapeRow {
  Uuid uuid;
  std::string barcode;  // of an image its name
  std::string medium;   // "LTO-8"
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;    // plain bytes on it
  uint64_t stored_bytes = 0;  // what it takes in the store
  std::string pool;
  TapeStatus status = TapeStatus::creating;
  bool worm = false;
  bool write_protected = false;
  int64_t created_ms = 0;
  int64_t status_changed_ms = 0;
  int64_t archived_ms = 0;                    // 0: never
  uint64_t manifest_generation = 0;           // of the local manifest
  uint64_t uploaded_manifest_generation = 0;  // of the copy the store has confirmed
  std::string problem;                        // for the operator; empty: none
  // RETRIEVED in part: which (uploader/restore_plan.h); empty: all of it.
  std::string parts;
  // Object Lock of its segments, "GOVERNANCE" or "COMPLIANCE", until then; empty: none.
  std::string lock_mode;
  int64_t locked_until_ms = 0;
  RowKind kind = RowKind::tape;
  // Images; as the manifest says.
  ImageMode mode = ImageMode::cached;
  bool pinned = false;
};

// States of a sealed segment. `evicted` and `recalling` have no local file.
enum class SegmentState { sealed, uploading, uploaded, verified, evicted, recalling };
std::string_view to_string(SegmentState state);

struct SegmentRow {
  Uuid cartridge;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint64_t stored_bytes = 0;
  Sha256Digest sha256{};  // as the manifest has it: of everything before the trailer's digest
  std::optional<Sha256Digest>
      object_sha256;  // of the whole object; from sealing or the first upload
  SegmentState state = SegmentState::sealed;
  bool local = true;              // the file is in the cartridge's directory
  std::string storage_class;      // of the object, "" before it is uploaded
  int64_t last_used_ms = 0;       // for eviction, least recently used first
  int64_t restored_until_ms = 0;  // archive class: readable until then (0: not restored)
};

struct PoolRow {
  std::string name;
  std::string storage_class;  // "STANDARD", "GLACIER", "DEEP_ARCHIVE", ...
  // "direct": segments are put into the class at once; "staged": into STANDARD, and copied within
  // the store when the tape is archived.
  std::string mode = "staged";
  std::string lock =
      {};  // "GOVERNANCE", "COMPLIANCE": archived tapes are locked; empty: they are not
  uint64_t lock_days = 0;
  bool locks() const { return !lock.empty(); }
  bool operator==(const PoolRow&) const = default;
};

enum class JobKind {
  archive,
  retrieve,
  delete_tape,
  verify,
  export_tape,  // nobody's any more; old catalogs have them
  reassign,
  detach,
  snapshot_pull,  // of an EBS snapshot into an image
  snapshot_restore,
  hold,  // a legal hold begins or ends
  import_volume,
  export_volume,
};
enum class JobState { queued, running, waiting, succeeded, failed, cancelled };
std::string_view to_string(JobKind kind);
std::string_view to_string(JobState state);

struct JobRow {
  int64_t id = 0;
  JobKind kind = JobKind::archive;
  JobState state = JobState::queued;
  Uuid cartridge;
  std::string barcode;
  std::map<std::string, std::string> parameters;  // "tier", "days", ...
  std::string step;                               // what it does now, for a person
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  uint64_t done_objects = 0;
  uint64_t total_objects = 0;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  int64_t not_before_ms = 0;  // waiting: when to look again
  std::string error;          // failed: why
};
// A job that begins now, "queued", for Catalog::add_job().
JobRow make_job(JobKind kind, const Uuid& cartridge, const std::string& barcode, int64_t now_ms,
                std::map<std::string, std::string> parameters = {});

class Catalog {
 public:
  // ":memory:" or a path. Creates or upgrades the schema; unsupported_version when it is newer than
  // this program.
  static Result<std::unique_ptr<Catalog>> open(const std::string& path);
  ~Catalog();

  // -- tapes
  Status put_tape(const TapeRow& row);  // insert or replace by uuid; exists: another uuid has (or
                                        // had) that barcode
  Result<std::optional<TapeRow>> tape(const Uuid& uuid);
  Result<std::optional<TapeRow>> tape_by_barcode(
      std::string_view barcode);  // also deleted ones: a barcode is never reused
  Result<std::vector<TapeRow>> tapes(
      size_t limit = 0, std::string_view after_barcode = {});  // by barcode, without deleted
  Result<std::vector<TapeRow>> deleted_tapes();                // by barcode
  Result<std::optional<TapeRow>> image_by_name(std::string_view name);
  Result<std::vector<TapeRow>> images();  // by name
  Status set_image(const Uuid& uuid, ImageMode mode, bool pinned);
  // Row and segments: nothing is left of it here.
  Status forget_cartridge(const Uuid& uuid);
  Status set_tape_status(const Uuid& uuid, TapeStatus status, int64_t now_ms);
  // Takes the tape's segments away and leaves a deleted row, so that the barcode stays taken.
  Status set_tape_deleted(const Uuid& uuid, int64_t now_ms);
  Status set_tape_problem(const Uuid& uuid, std::string_view problem);
  Status set_tape_usage(const Uuid& uuid, uint64_t used_bytes, uint64_t stored_bytes,
                        uint64_t generation, bool write_protected);
  Status set_tape_pool(const Uuid& uuid, std::string_view pool);
  Status set_tape_parts(const Uuid& uuid, std::string_view parts);
  Status set_tape_lock(const Uuid& uuid, std::string_view mode, int64_t until_ms);
  Status set_uploaded_generation(const Uuid& uuid, uint64_t generation);
  // Counted as rows change, not by looking at them (overview.cc); deleted tapes too.
  Result<std::map<TapeStatus, uint64_t>> tape_counts();
  // Barcodes and problems, by barcode.
  Result<std::vector<std::pair<std::string, std::string>>> tape_problems(size_t limit);

  // -- segments
  Status put_segments(
      const std::vector<SegmentRow>& rows);  // insert or replace by (cartridge, sequence, epoch)
  Status remove_segments(const Uuid& cartridge,
                         const std::vector<std::pair<uint64_t, uint64_t>>& sequence_epoch);
  Result<std::vector<SegmentRow>> segments(const Uuid& cartridge);  // by sequence
  Result<std::optional<SegmentRow>> segment(const Uuid& cartridge, uint64_t sequence,
                                            uint64_t epoch);
  Result<std::vector<SegmentRow>> segments_in_state(SegmentState state,
                                                    size_t limit);  // oldest sequence first
  Status set_segment_state(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                           SegmentState state, bool local, std::string_view storage_class);
  Status set_restored_until(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                            int64_t until_ms);
  // The store took the object and told its digest; state, class and digest in one transaction.
  Status set_segment_uploaded(const Uuid& cartridge, uint64_t sequence, uint64_t epoch,
                              SegmentState state, bool local, std::string_view storage_class,
                              const Sha256Digest& object_sha256);
  Status touch_segment(const Uuid& cartridge, uint64_t sequence, uint64_t epoch, int64_t now_ms);
  // Verified and local, of no cartridge in `kept`, least recently used first; none of a cartridge
  // in use whose object could not be read back without a restore, none of an image that keeps
  // everything here.
  Result<std::vector<SegmentRow>> eviction_candidates(size_t limit,
                                                      const std::set<Uuid>& kept = {});
  // In the store and not here, from a sequence on, in its order.
  Result<std::vector<SegmentRow>> evicted_segments(const Uuid& cartridge, uint64_t from_sequence,
                                                   size_t limit);
  // What of a tape is in the store, by class; "": its class is not known yet.
  struct ClassUsage {
    std::string storage_class;
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  Result<std::vector<ClassUsage>> usage_by_class(const Uuid& cartridge);
  struct Totals {
    uint64_t local_bytes = 0;  // all local segments
    uint64_t not_uploaded_bytes = 0;
    uint64_t segments = 0;
    uint64_t stored_image_bytes = 0;  // of local_bytes: of images that keep everything here
  };
  Result<Totals> totals();
  struct CartridgeUsage {
    uint64_t segments = 0, bytes = 0;
    uint64_t local_bytes = 0;
    uint64_t stored_bytes = 0;        // the store has confirmed them
    uint64_t not_uploaded_bytes = 0;  // it has not
    int64_t oldest_unsent_ms = 0;     // when the first of these was sealed; 0: there is none
  };
  Result<CartridgeUsage> cartridge_usage(const Uuid& cartridge);

  // -- jobs
  Result<int64_t> add_job(
      const JobRow& row);  // gives the id; conflict: the cartridge has an unfinished job
  Status update_job(const JobRow& row);
  Result<std::optional<JobRow>> job(int64_t id);
  Result<std::optional<JobRow>> unfinished_job(const Uuid& cartridge);
  // `code`, with what is under way: the cartridge has an unfinished job.
  Status check_no_job(const Uuid& cartridge, ErrorCode code = ErrorCode::conflict);
  Result<std::vector<JobRow>> unfinished_jobs();
  Result<std::vector<JobRow>> jobs(size_t limit);  // newest first

  // -- pools and settings
  Status put_pool(const PoolRow& row);
  Result<std::vector<PoolRow>> pools();
  Result<std::optional<PoolRow>> pool(std::string_view name);
  Status remove_pool(std::string_view name);  // not_found; conflict: tapes are in it
  Status set_setting(std::string_view name, std::string_view value);
  Result<std::optional<std::string>> setting(std::string_view name);

 private:
  struct State;
  explicit Catalog(std::unique_ptr<State> state);
  Status begin_counting();
  std::unique_ptr<State> state_;
};

}  // namespace coldshelf
