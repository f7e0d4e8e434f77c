// Images that go from one gateway to another: given up as a whole (detach), taken by whoever wants
// it (attach), or taken from a gateway that is gone.
#include <algorithm>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"
#include "tape/format/image_manifest.h"
#include "uploader/bucket_scan.h"
#include "uploader/bucket_takeover.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

namespace {

constexpr size_t kPage = 1'000;
constexpr uint64_t kDocumentLimit = 64 * KiB;

}  // namespace

Result<bool> Shelf::store_has(const Uuid& image) {
  State& s = *state_;
  const auto manifest = s.env.store->head(manifest_key(image));
  if (manifest.ok()) return true;
  if (manifest.error().code != ErrorCode::not_found) return manifest.error();
  if (s.env.ownership == nullptr) return false;
  ASSIGN_OR_RETURN(const auto owner, s.env.ownership->owner_of(image));
  return owner && owner->gateway != s.env.ownership->self().id;
}

// -- detach

Result<int64_t> Shelf::detach(const Uuid& image) {
  State& s = *state_;
  ASSIGN_OR_RETURN(const TapeRow row, s.tape_row(image));
  if (row.kind != RowKind::image) {
    return Error(ErrorCode::invalid_argument, "tape " + row.barcode + " is archived, not detached");
  }
  if (s.env.ownership == nullptr || !s.env.ownership->conditional()) {
    return Error(ErrorCode::not_supported,
                 "the store has no conditional writes: it is this gateway's alone");
  }
  if (row.status != TapeStatus::available) {
    return Error(ErrorCode::conflict, "image " + row.barcode + " is " +
                                          std::string(to_string(row.status)) +
                                          ": it cannot be detached now");
  }
  TRY(s.check_owned(image));
  TRY(s.check_no_clones(row));
  TRY(s.check_closed(row));
  return s.begin_job(JobKind::detach, row, {{"before", std::string(to_string(row.status))}});
}

Status Shelf::cancel_detach(const Uuid& image) {
  return state_->cancel_job(image, JobKind::detach);
}

Status Shelf::State::check_closed(const TapeRow& row) {
  ASSIGN_OR_RETURN(const auto found, list_segments(*env.files, directory_of(row.uuid)));
  bool open = std::any_of(found.begin(), found.end(), [](const auto& s) { return s.open; });
  if (!open && row.kind == RowKind::tape) {
    // Sealed when the disk was full, and so in no manifest yet: synced it was, and promised.
    ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(row.uuid));
    open = std::any_of(found.begin(), found.end(),
                       [&](const auto& s) { return may_continue(manifest, s.name); });
  }
  if (!open) return {};
  return Error(ErrorCode::conflict, row.barcode + " was not closed; open and close it once");
}

Status Shelf::State::advance_detach(JobRun& run) {
  const bool ends = run.phase == JobPhase::begin || run.phase == JobPhase::finish;
  if (!ends) TRY(check_owned(run.row.cartridge));
  switch (run.phase) {
    case JobPhase::begin:
      return begin_detach(run);
    case JobPhase::transfer: {
      ASSIGN_OR_RETURN(const bool done, uploads_done(run));
      if (done) set_phase(run, JobPhase::manifest, "writing the manifest");
      return save(run, done);
    }
    case JobPhase::settle:
    case JobPhase::manifest:
      run.edited = true;
      return edit_manifest(run, {SetProperty{"status", std::string(kDetachedStatus)}});
    case JobPhase::confirm:
      return await_manifest(run);
    default:
      return finish_detach(run);
  }
}

Status Shelf::State::begin_detach(JobRun& run) {
  ASSIGN_OR_RETURN(const std::optional<TapeRow> row, env.catalog->tape(run.row.cartridge));
  if (!row) return end_job(run, JobState::succeeded, "detached");
  // Interrupted when all was done but the last step: it may be somebody else's by now.
  const Result<Manifest> manifest = read_manifest(row->uuid);
  const bool gone = !manifest.ok() && manifest.error().code == ErrorCode::not_found;
  if (!manifest.ok() && !gone) return manifest.error();
  if (gone || (property_of(*manifest, "status") == kDetachedStatus &&
               row->uploaded_manifest_generation == manifest->generation)) {
    set_phase(run, JobPhase::finish, "finishing");
    return {};
  }
  if (!parameter_of(run, "found").empty()) {  // begun by a start without its catalog
    ASSIGN_OR_RETURN(const auto owner, env.ownership->owner_of(row->uuid));
    if (!still_ours(owner)) return finish_found_detach(run, *owner);
  }
  TRY(load_rows(run));
  set_phase(run, JobPhase::transfer, "uploading");
  return save(run, true);
}

bool Shelf::State::still_ours(const std::optional<Owner>& owner) const {
  return !owner ||
         (owner->gateway == env.ownership->self().id && owner->state == OwnerState::owned);
}

// It was given up, and perhaps attached elsewhere since. What the store lacks of it is kept here.
Status Shelf::State::finish_found_detach(JobRun& run, const Owner& owner) {
  const Uuid& image = run.row.cartridge;
  ASSIGN_OR_RETURN(const uint64_t bytes, only_here(image));
  if (bytes > 0) {
    fence(image,
          Error(ErrorCode::conflict, run.row.barcode + " belongs to gateway " + owner.gateway));
    return check_owned(image).error();
  }
  set_phase(run, JobPhase::finish, "finishing");
  return {};
}

Status Shelf::State::finish_detach(JobRun& run) {
  const Uuid& image = run.row.cartridge;
  // After a restart in the middle of this another gateway may have it already.
  ASSIGN_OR_RETURN(const auto owner, env.ownership->owner_of(image));
  const bool ours = still_ours(owner);
  ASSIGN_OR_RETURN(const bool here, env.files->exists(manifest_path_of(image)));
  if (ours && here) {
    ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(image));
    DetachedImage document;
    document.uuid = image;
    document.name = manifest.label;
    document.gateway = env.ownership->self().id;
    document.size_bytes = image_size_bytes(manifest);
    document.detached_ms = env.clock->unix_ms();
    const Buffer content = encode_detached(document);
    TRY(env.store->put(detached_key(image), source_of(content), StorageClass::standard));
    // From here on it is anybody's.
    TRY(give_to_shelf(image));
  }
  TRY(remove_local(image));
  TRY(forget_rows(image));
  return end_job(run, JobState::succeeded, "detached");
}

// Nothing of it stays here but what others told of it while it goes.
Status Shelf::State::forget_rows(const Uuid& image) {
  TRY(env.catalog->forget_cartridge(image));
  const auto ours = [&](const SegmentId& id) { return id.cartridge == image; };
  const std::lock_guard lock(mutex);
  manifests.erase(image);
  images.erase(image);
  pinned.erase(image);
  new_usage.erase(image);
  new_keeping.erase(image);
  std::erase_if(new_rows, [&](const SegmentRow& row) { return row.cartridge == image; });
  std::erase_if(upload_queue, [&](const SegmentRow& row) { return row.cartridge == image; });
  std::erase_if(discards, ours);
  std::erase_if(dropped, ours);
  std::erase_if(troubles, [&](const auto& t) { return ours(t.first); });
  return {};
}

// -- attach

Result<std::vector<DetachedImage>> Shelf::detached_images() {
  ObjectStore& store = *state_->env.store;
  std::vector<DetachedImage> out;
  std::string after;
  do {
    ASSIGN_OR_RETURN(const auto page, store.list(std::string(kDetachedPrefix), after, kPage));
    for (const ObjectInfo& object : page.objects) {
      const Result<Versioned> found = read_versioned(store, object.key, kDocumentLimit);
      if (!found.ok() && found.error().code == ErrorCode::not_found) continue;
      if (!found.ok()) return found.error();
      Result<DetachedImage> image = decode_detached(found->content);
      if (!image.ok()) {
        log_warning("shelf", "detached image not understood",
                    {{"key", object.key}, {"error", image.error().message()}});
        continue;
      }
      // A put that a server carries out late says so of one that is attached or gone by now.
      ASSIGN_OR_RETURN(const bool still, state_->is_detached(image->uuid));
      if (!still) continue;
      out.push_back(std::move(*image));
    }
    after = page.next;
  } while (!after.empty());
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

Result<bool> Shelf::State::is_detached(const Uuid& image) {
  if (env.ownership == nullptr) return true;
  ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(*env.store, image, true));
  return coldshelf::is_detached(found) != Detached::no;
}

// The image of that name or uuid: a detached one, else any of the store.
Result<Uuid> Shelf::State::find_image(const std::string& wanted) {
  if (const auto uuid = Uuid::parse(wanted)) return *uuid;
  std::vector<Uuid> found;
  ASSIGN_OR_RETURN(const std::vector<DetachedImage> detached, shelf->detached_images());
  for (const DetachedImage& image : detached) {
    if (image.name == wanted) found.push_back(image.uuid);
  }
  if (found.empty()) {
    ScanOptions scan;
    scan.owners = false;
    scan.threads = running ? scan.threads : 1;
    std::mutex found_mutex;
    TRY(scan_bucket(*env.store, scan, [&](BucketCartridge& c) -> Status {
      if (!c.manifest || c.manifest->kind != CartridgeKind::image) return {};
      const std::lock_guard lock(found_mutex);
      if (c.manifest->label == wanted) found.push_back(c.uuid);
      return {};
    }));
  }
  if (found.empty()) {
    return Error(ErrorCode::not_found, "the store has no image " + wanted);
  }
  if (found.size() == 1) return found.front();
  std::sort(found.begin(), found.end());
  return Error(ErrorCode::conflict, "the store has several images " + wanted + ": " +
                                        found[0].to_string() + ", " + found[1].to_string() +
                                        (found.size() > 2 ? "..." : "") + "; name one by its uuid");
}

Result<TapeRow> Shelf::attach(const AttachRequest& request) {
  State& s = *state_;
  if (s.env.ownership == nullptr) {
    return Error(ErrorCode::not_supported, "this gateway shares its store with nobody");
  }
  ASSIGN_OR_RETURN(const Uuid image, s.find_image(request.image));
  ASSIGN_OR_RETURN(const BucketCartridge found, read_cartridge(*s.env.store, image, true));
  if (found.problem) return *found.problem;
  const Manifest& manifest = *found.manifest;
  if (manifest.kind != CartridgeKind::image) {
    return Error(ErrorCode::invalid_argument, manifest.label + " is a tape, not an image");
  }
  ASSIGN_OR_RETURN(const auto known, s.env.catalog->tape(image));
  const bool shelved = found.owner && found.owner->state == OwnerState::shelved;
  if (known) {
    TRY(s.env.catalog->check_no_job(image));
    // An ARCHIVED one that is not on the shelf: it was being taken when this gateway ended.
    const bool archived = known->status == TapeStatus::archived;
    const bool here = archived ? shelved : s.still_ours(found.owner);
    if (here && s.check_owned(image).ok()) {
      return Error(ErrorCode::exists, "image " + manifest.label + " is attached here");
    }
  }
  ASSIGN_OR_RETURN(const auto other, s.env.catalog->image_by_name(manifest.label));
  if (other && other->uuid != image) {
    return Error(ErrorCode::exists, "another image is named " + manifest.label + " here");
  }
  const std::string from = found.owner ? found.owner->gateway : "";
  if (!property_of(manifest, "pool").empty()) TRY(s.ensure_pool(manifest, from));
  if (shelved && property_of(manifest, "status") == to_string(TapeStatus::archived)) {
    // Any gateway may retrieve it; until then it is nobody's.
    ASSIGN_OR_RETURN(const Versioned stored, read_versioned(*s.env.store, manifest_key(image)));
    return s.enter_remote(manifest, TapeStatus::archived, stored.info.etag);
  }
  // 1. The owner. 2. The manifest, with an epoch that its former owner never has. 3. Here. 4. What
  // says that it is to be had. Whatever comes between is made good by doing it again.
  if (known) {
    TRY(s.check_clones_stand(*known));
    TRY(s.fence_while_taken(*known, from));
  }
  if (request.take_over) {
    TRY(s.env.ownership->take_over(image, request.force));
  } else {
    const bool resumed = found.owner && found.owner->gateway == s.env.ownership->self().id;
    if (!shelved && !resumed) {
      return Error(ErrorCode::conflict, "image " + manifest.label + " belongs to gateway " + from +
                                            "; detach it there, or take it over");
    }
    s.env.ownership->forget(image);
    TRY(s.env.ownership->acquire(image));
  }
  ASSIGN_OR_RETURN(const TakenManifest taken,
                   take_over_manifest(*s.env.store, image, s.env.ownership->self().instance, true));
  const bool archived = property_of(taken.manifest, "status") == to_string(TapeStatus::archived);
  ASSIGN_OR_RETURN(
      TapeRow row,
      s.enter_remote(taken.manifest, archived ? TapeStatus::archived : TapeStatus::available,
                     taken.etag));
  if (archived) TRY(s.give_to_shelf(image));
  TRY(s.env.store->remove(detached_key(image)));
  if (taken.incomplete) {
    s.note_problem(image, "its former gateway had not uploaded the last of it");
  }
  log_info("shelf", request.take_over ? "image taken over" : "image attached",
           {{"image", manifest.label}, {"from", from}});
  return row;
}

Result<std::string> Shelf::image_directory(const Uuid& image) {
  State& s = *state_;
  for (const std::string& where : {s.directory_of(image), s.reference_directory_of(image)}) {
    ASSIGN_OR_RETURN(const bool there, s.env.files->exists(join_path(where, "manifest")));
    if (there) return where;
  }
  return stored_image_directory(image);
}

std::string Shelf::State::reference_directory_of(const Uuid& image) const {
  return join_path(join_path(parent_directory(options.cartridges_directory), "references"),
                   image.to_string());
}

Result<std::string> Shelf::stored_image_directory(const Uuid& image) {
  State& s = *state_;
  const std::string reference = s.reference_directory_of(image);
  ASSIGN_OR_RETURN(const Versioned found, read_versioned(*s.env.store, manifest_key(image)));
  ASSIGN_OR_RETURN(const ReplayedManifest replayed, decode_manifest(found.content, false));
  if (replayed.manifest.uuid != image || replayed.manifest.kind != CartridgeKind::image) {
    return Error(ErrorCode::corrupt, manifest_key(image) + " is of something else");
  }
  TRY(s.env.files->create_directories(reference));
  TRY(s.env.files->replace_file(join_path(reference, "manifest"), found.content));
  return reference;
}

}  // namespace coldshelf
