#include "gateway/tape_service.h"

#include <algorithm>

#include "base/log.h"
#include "gateway/barcode.h"
#include "gateway/units.h"
#include "tape/drive/media.h"

namespace coldshelf {

namespace {

bool belongs_in_library(TapeStatus status) {
  return status == TapeStatus::available || status == TapeStatus::retrieved ||
         status == TapeStatus::recovered;
}

bool contains(const std::vector<std::string_view>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

Error wrong_status(const TapeRow& row, std::string_view wanted) {
  return {ErrorCode::conflict, "tape " + row.barcode + " is " + std::string(to_string(row.status)) +
                                   "; it must be " + std::string(wanted)};
}

}  // namespace

TapeService::TapeService(Env env, Options options)
    : env_(env), options_(std::move(options)), verifier_(std::make_unique<WorkerPool>(1)) {}

TapeService::~TapeService() { stop(); }

Result<TapeRow> TapeService::tape(std::string_view barcode) {
  ASSIGN_OR_RETURN(auto row, env_.catalog->tape_by_barcode(barcode));
  if (!row || row->status == TapeStatus::deleted) {
    return Error(ErrorCode::not_found, "there is no tape " + std::string(barcode));
  }
  return std::move(*row);
}

Result<TapeView> TapeService::view(TapeRow row) {
  TapeView out;
  ASSIGN_OR_RETURN(out.job, env_.catalog->unfinished_job(row.uuid));
  out.element = library_->find(row.barcode);
  if (out.element) out.location = library_->element_name(out.element->address);
  out.pinned = env_.shelf->is_pinned(row.uuid);
  out.held = env_.shelf->is_held(row.uuid);
  out.row = std::move(row);
  return out;
}

Result<std::vector<TapeView>> TapeService::list(size_t limit, std::string_view after_barcode) {
  ASSIGN_OR_RETURN(auto rows, env_.catalog->tapes(limit, after_barcode));
  std::map<std::string, Element> places;  // one look at the library, not one for each tape
  for (Element& e : library_->elements()) {
    if (e.cartridge) places.emplace(e.cartridge->barcode, e);
  }
  std::vector<TapeView> out;
  for (TapeRow& row : rows) {
    TapeView view;
    if (const auto found = places.find(row.barcode); found != places.end()) {
      view.element = found->second;
      view.location = library_->element_name(found->second.address);
    }
    view.pinned = env_.shelf->is_pinned(row.uuid);
    view.held = env_.shelf->is_held(row.uuid);
    view.row = std::move(row);
    out.push_back(std::move(view));
  }
  return out;
}

Result<TapeView> TapeService::show(std::string_view barcode) {
  ASSIGN_OR_RETURN(auto row, env_.catalog->tape_by_barcode(barcode));
  if (!row) return Error(ErrorCode::not_found, "there is no tape " + std::string(barcode));
  return view(std::move(*row));
}

// -- creating

Result<std::string> TapeService::choose_medium(const CreateRequest& request,
                                               const std::string& barcode) const {
  const DriveProfile& drive = *options_.drive;
  if (!request.medium.empty()) {
    if (find_medium(request.medium) == nullptr) {
      std::string known;
      for (const MediumProfile& m : all_media()) {
        known += (known.empty() ? "" : ", ") + std::string(m.name);
      }
      return Error(ErrorCode::invalid_argument,
                   "there is no medium '" + request.medium + "'; known are " + known);
    }
    if (contains(drive.writes, request.medium)) return request.medium;
    return Error(ErrorCode::invalid_argument,
                 "the drives (" + std::string(drive.name) + ") cannot write " + request.medium);
  }
  const MediumProfile* medium = medium_of_barcode(barcode);
  if (medium == nullptr) return std::string(drive.medium);
  if (contains(drive.writes, medium->name)) return std::string(medium->name);
  return Error(ErrorCode::invalid_argument,
               "barcode " + barcode + " says " + std::string(medium->name) + " (" +
                   std::string(medium->barcode_suffix) + "), which the drives (" +
                   std::string(drive.name) + ") cannot write; use another barcode or --medium " +
                   std::string(drive.medium));
}

Result<std::string> TapeService::choose_pool(const std::string& wanted) {
  const std::string name = wanted.empty() ? options_.default_pool : wanted;
  ASSIGN_OR_RETURN(const auto pools, env_.catalog->pools());
  std::string known;
  for (const PoolRow& pool : pools) {
    if (pool.name == name) return name;
    known += (known.empty() ? "" : ", ") + pool.name;
  }
  return Error(ErrorCode::not_found, "there is no pool '" + name + "'; pools are " + known);
}

Result<std::vector<TapeView>> TapeService::create(const CreateRequest& request) {
  const std::lock_guard operation(operations_mutex_);
  if (request.count < 1 || request.count > kMaxTapesPerRequest) {
    return Error(ErrorCode::out_of_range, "a request makes 1 to " +
                                              std::to_string(kMaxTapesPerRequest) + " tapes, not " +
                                              std::to_string(request.count));
  }
  if (request.size_bytes < kMinTapeBytes || request.size_bytes > kMaxTapeBytes) {
    return Error(ErrorCode::out_of_range,
                 "a tape of " + format_size(request.size_bytes) + " cannot be made: sizes are " +
                     format_size(kMinTapeBytes) + " to " + format_size(kMaxTapeBytes));
  }
  ASSIGN_OR_RETURN(const auto barcodes, count_barcodes(request.barcode, request.count));
  ASSIGN_OR_RETURN(const std::string medium, choose_medium(request, barcodes.front()));
  ASSIGN_OR_RETURN(const std::string pool, choose_pool(request.pool));
  for (const std::string& barcode : barcodes) {
    ASSIGN_OR_RETURN(const auto old, env_.catalog->tape_by_barcode(barcode));
    if (!old) continue;
    return Error(ErrorCode::exists, old->status == TapeStatus::deleted
                                        ? "barcode " + barcode + " belonged to a tape that was " +
                                              "deleted; a barcode is never used again"
                                        : "there is a tape " + barcode + " already");
  }
  size_t room = 0;
  const bool locked = library_->prevented();  // an initiator keeps the import/export slots
  for (const Element& e : library_->elements()) {
    const bool place =
        e.type == ElementType::storage || (e.type == ElementType::import_export && !locked);
    room += place && !e.cartridge ? 1 : 0;
  }
  if (room < barcodes.size()) {
    return Error(ErrorCode::element_full, "the library has " + std::to_string(room) +
                                              " empty slots, " + std::to_string(barcodes.size()) +
                                              " are needed; archive or delete tapes, " +
                                              "or configure more slots");
  }
  std::vector<std::pair<std::string, Uuid>> named;
  for (const std::string& barcode : barcodes) {
    named.emplace_back(barcode, Uuid::generate(*env_.random));
  }
  TRY(claim(named));
  std::vector<TapeView> out;
  for (const auto& [barcode, uuid] : named) {
    ASSIGN_OR_RETURN(TapeRow row, create_one(request, uuid, barcode, medium, pool));
    ASSIGN_OR_RETURN(TapeView made, view(std::move(row)));
    out.push_back(std::move(made));
  }
  return out;
}

// A barcode is one tape's in the whole store. A claim that nothing comes of (a crash, a failure
// below) does no harm: the next tape of that barcode here takes it.
Status TapeService::claim(const std::vector<std::pair<std::string, Uuid>>& barcodes) {
  if (env_.ownership == nullptr) return {};
  Status claimed = env_.ownership->claim_barcodes(barcodes);
  if (claimed.ok()) return claimed;
  Error why = claimed.error();
  if (why.code != ErrorCode::exists) {
    why.context = "a new tape's barcode is claimed in the store first: " + why.context;
  }
  return why;
}

void TapeService::discard_half_made(const NewCartridge& what) {
  const Status undone = env_.vault->discard(what.uuid);
  if (undone.ok() || undone.error().code == ErrorCode::not_found) return;
  log_warning("tapes", "half-made cartridge stays behind",
              {{"barcode", what.label}, {"error", undone.error().message()}});
}

Result<TapeRow> TapeService::create_one(const CreateRequest& request, const Uuid& uuid,
                                        const std::string& barcode, const std::string& medium,
                                        const std::string& pool) {
  NewCartridge what;
  what.uuid = uuid;
  what.label = barcode;
  what.medium = medium;
  what.capacity_bytes = request.size_bytes;
  what.worm = request.worm;
  what.properties = request.properties;
  what.properties["pool"] = pool;
  // 1. The cartridge on disk. A crash behind this leaves a cartridge that Shelf::reconcile enters.
  auto manifest = env_.vault->create(what);
  if (!manifest.ok()) {
    discard_half_made(what);
    Error why = manifest.error();
    why.context = "creating tape " + barcode + ": " + why.context;
    return why;
  }
  // 2. Its row. The barcode is taken from here on.
  Status adopted = env_.shelf->adopt(*manifest, pool, TapeStatus::available);
  if (!adopted.ok()) {
    discard_half_made(what);
    return adopted.error();
  }
  ASSIGN_OR_RETURN(auto row, env_.catalog->tape(what.uuid));
  if (!row) return Error(ErrorCode::internal, "tape " + barcode + " is not in the catalog");
  note_transition(*row, TapeStatus::creating);
  // 3. Its place. A crash before this is mended by reconcile(). The room that was there may be gone
  // by now: then it waits for some, as one does that comes back from the shelf.
  put_back(*row, std::nullopt);
  return std::move(*row);
}

// -- jobs

Result<std::optional<uint16_t>> TapeService::take_out(const TapeRow& row) {
  const std::optional<Element> element = library_->find(row.barcode);
  if (!element) return std::optional<uint16_t>{};
  if (element->type == ElementType::data_transfer || element->type == ElementType::transport) {
    return Error(ErrorCode::busy, "tape " + row.barcode + " is in " +
                                      library_->element_name(element->address) +
                                      "; unload it first");
  }
  TRY(library_->remove(row.uuid));
  return std::optional<uint16_t>(element->address);
}

void TapeService::put_back(const TapeRow& row, std::optional<uint16_t> address) {
  const LibraryCartridge what{row.uuid, row.barcode, row.medium};
  auto added = library_->add(what, address);
  if (!added.ok() && address) added = library_->add(what);
  if (added.ok() || added.error().code == ErrorCode::exists) return;
  log_error("tapes", "tape is in no slot",
            {{"barcode", row.barcode}, {"error", added.error().message()}});
  const std::lock_guard lock(state_mutex_);
  place_wanted_ = true;
}

Result<int64_t> TapeService::archive_locked(const TapeRow& row) {
  if (row.status != TapeStatus::available && row.status != TapeStatus::retrieved &&
      row.status != TapeStatus::recovered && row.status != TapeStatus::irrecoverable) {
    return wrong_status(row, "AVAILABLE, RETRIEVED or RECOVERED to be archived");
  }
  // Out of the library first: nobody can load it while it goes away. A crash behind this finds the
  // tape AVAILABLE and in no slot, and puts it back.
  ASSIGN_OR_RETURN(const auto address, take_out(row));
  auto job = env_.shelf->archive(row.uuid);
  if (!job.ok() && address) put_back(row, address);
  return job;
}

Result<int64_t> TapeService::archive(std::string_view barcode) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  return archive_locked(row);
}

Result<int64_t> TapeService::remove(std::string_view barcode) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  // The row's count may lag behind what was just written.
  auto manifest = env_.vault->read_manifest(row.uuid);
  const uint64_t used = manifest.ok() ? manifest->plain_bytes() : row.used_bytes;
  if (row.worm && used > 0) {
    return Error(ErrorCode::write_protected,
                 "tape " + row.barcode + " is write-once and holds data; it cannot be deleted");
  }
  if (env_.shelf->is_held(row.uuid)) {
    return Error(ErrorCode::write_protected,
                 "tape " + row.barcode + " is under a legal hold; it cannot be deleted");
  }
  if (row.locked_until_ms > env_.clock->unix_ms()) {
    return Error(ErrorCode::write_protected,
                 "tape " + row.barcode + " is locked (" + row.lock_mode + ") until " +
                     format_utc(row.locked_until_ms) + "; it cannot be deleted before");
  }
  ASSIGN_OR_RETURN(const auto address, take_out(row));
  auto job = env_.shelf->remove(row.uuid);
  if (!job.ok() && address) put_back(row, address);
  return job;
}

Result<TapeView> TapeService::set_pinned(std::string_view barcode, bool on) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(TapeRow row, tape(barcode));
  if (!belongs_in_library(row.status)) {
    return wrong_status(row, "AVAILABLE, RETRIEVED or RECOVERED");
  }
  const std::string name(kPinnedProperty);
  const std::string value = on ? "true" : "false";
  const auto element = library_->find(row.barcode);
  if (element && element->type == ElementType::data_transfer) {
    TRY(library_->set_property_in_drive(element->number, row.barcode, name, value));
  } else {
    ASSIGN_OR_RETURN(auto cartridge, env_.vault->open(row.uuid));
    Status set = cartridge->set_property(name, value);
    TRY(env_.vault->close(std::move(cartridge)));
    TRY(std::move(set));
  }
  log_info("tapes", on ? "tape pinned" : "tape unpinned", {{"barcode", row.barcode}});
  return view(std::move(row));
}

Result<TapeView> TapeService::take_over(std::string_view barcode, bool force) {
  const std::lock_guard operation(operations_mutex_);
  const Result<TapeRow> known = tape(barcode);
  if (!known.ok() && known.error().code != ErrorCode::not_found) return known.error();
  if (known.ok()) {
    const auto element = library_->find(barcode);
    if (element &&
        (element->type == ElementType::data_transfer || element->type == ElementType::transport)) {
      return Error(ErrorCode::busy, "tape " + known->barcode + " is in " +
                                        library_->element_name(element->address) +
                                        "; unload it first");
    }
    TRY(env_.catalog->check_no_job(known->uuid));
  }
  ASSIGN_OR_RETURN(TapeRow row, env_.shelf->take_over(std::string(barcode), force));
  // It may have been archived since this gateway had it.
  if (!belongs_in_library(row.status) && library_->find(barcode)) {
    TRY(library_->remove(row.uuid));
  }
  return view(std::move(row));
}

Status TapeService::forget(std::string_view barcode, bool force) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  ASSIGN_OR_RETURN(const auto address, take_out(row));
  const Status done = env_.shelf->forget(row.uuid, force);
  if (!done.ok() && address) put_back(row, address);
  return done;
}

Status TapeService::cancel_archive(std::string_view barcode) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  TRY(env_.shelf->cancel_archive(row.uuid));
  put_back(row, std::nullopt);
  return {};
}

Status TapeService::cancel_retrieve(std::string_view barcode) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  return env_.shelf->cancel_retrieve(row.uuid);
}

Result<int64_t> TapeService::verify(std::string_view barcode) {
  const std::lock_guard operation(operations_mutex_);
  ASSIGN_OR_RETURN(const TapeRow row, tape(barcode));
  if (!belongs_in_library(row.status)) {
    return wrong_status(row, "AVAILABLE or RETRIEVED to be verified (retrieve it first)");
  }
  if (!row.parts.empty()) {
    return Error(ErrorCode::conflict, "of tape " + row.barcode +
                                          " only parts are retrieved; retrieve all of it to "
                                          "verify it");
  }
  if (env_.vault->in_use(row.uuid)) {
    return Error(ErrorCode::busy, "tape " + row.barcode + " is in a drive; unload it first");
  }
  JobRow job = make_job(JobKind::verify, row.uuid, row.barcode, env_.clock->unix_ms());
  job.state = JobState::running;
  job.step = "reading and checking segments";
  job.total_bytes = row.stored_bytes;
  ASSIGN_OR_RETURN(job.id, env_.catalog->add_job(job));
  verifier_->submit([this, job] { run_verify(job); });
  return job.id;
}

// On the verifier's thread.
void TapeService::run_verify(JobRow job) {
  auto report = [&]() -> Result<Shelf::VerifyReport> {
    ASSIGN_OR_RETURN(const Manifest manifest, env_.vault->read_manifest(job.cartridge));
    ASSIGN_OR_RETURN(const auto key, env_.vault->data_key(manifest));
    int64_t shown_ms = 0;
    return env_.shelf->verify(
        job.cartridge, key ? &*key : nullptr, [&](uint64_t done, uint64_t total) {
          const int64_t now = env_.clock->unix_ms();
          if (now - shown_ms < 250) return;
          shown_ms = now;
          job.done_bytes = done;
          job.total_bytes = total;
          job.updated_ms = now;
          Status noted = env_.catalog->update_job(job);
          if (!noted.ok()) {
            log_warning("tapes", "progress not recorded", {{"error", noted.error().message()}});
          }
        });
  }();
  if (abandon_verify_) return;  // the next start says that it was interrupted
  job.updated_ms = env_.clock->unix_ms();
  job.step.clear();
  if (!report.ok()) {
    job.state = JobState::failed;
    job.error = report.error().message();
  } else {
    job.state = report->problems.empty() ? JobState::succeeded : JobState::failed;
    job.done_bytes = job.total_bytes = report->bytes;
    job.done_objects = job.total_objects = report->segments;
    for (const std::string& problem : report->problems) {
      if (job.error.size() > 4'000) break;  // the first ones tell enough
      job.error += (job.error.empty() ? "" : "; ") + problem;
    }
    Status noted = env_.catalog->set_tape_problem(
        job.cartridge, report->problems.empty() ? "" : "verify found: " + job.error);
    if (!noted.ok()) {
      log_error("tapes", "problem not recorded", {{"error", noted.error().message()}});
    }
  }
  Status noted = env_.catalog->update_job(job);
  const LogLevel level = job.error.empty() ? LogLevel::info : LogLevel::error;
  log_line(level, "tapes", "tape verified",
           {{"barcode", job.barcode},
            {"bytes", job.done_bytes},
            {"error", job.error.empty() && !noted.ok() ? noted.error().message() : job.error}});
}

// -- transitions

void TapeService::note_transition(const TapeRow& row, TapeStatus before) {
  log_info("tapes", "TapeStatusTransition",
           {{"barcode", row.barcode},
            {"from", to_string(before)},
            {"to", to_string(row.status)},
            {"pool", row.pool}});
}

void TapeService::tape_status_changed(const TapeRow& row, TapeStatus before) {
  note_transition(row, before);
  if (!belongs_in_library(row.status)) return;
  // At once, so that whoever waited for the job finds the tape in its slot. Not before the library
  // is open: reconcile() does it then.
  if (library_ != nullptr) {
    const auto placed = library_->add({row.uuid, row.barcode, row.medium});
    if (placed.ok() || placed.error().code == ErrorCode::exists) return;
  }
  {
    const std::lock_guard lock(state_mutex_);
    place_wanted_ = true;  // tick() tries again, and says what is wrong
    wake_wanted_ = true;
  }
  wake_.notify_all();
}

}  // namespace coldshelf
