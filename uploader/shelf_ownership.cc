// Cartridges in a store that other gateways write to as well: conditions on what is put, and what
// is done when one does not hold.
#include <algorithm>

#include "base/log.h"
#include "uploader/bucket_takeover.h"
#include "uploader/inventory_document.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

// A segment's name is never used for another content, so that one which is there already is either
// this one or damaged; or of a time that this data directory was set back from.
Result<ObjectInfo> Shelf::State::put_segment(const SegmentRow& row, const PutSource& source,
                                             StorageClass storage_class) {
  const std::string key = segment_key(row.cartridge, row.sequence, row.epoch);
  if (env.ownership == nullptr) return env.store->put(key, source, storage_class);
  TRY(env.ownership->may_write());
  PutOptions options(storage_class);
  if (!env.ownership->conditional()) {
    TRY(look_before_puts(row.cartridge));
    return env.store->put(key, source, options);
  }
  options.condition = PutCondition::must_not_exist;
  Result<ObjectInfo> put = env.store->put(key, source, options);
  if (put.ok() || put.error().code != ErrorCode::precondition_failed) return put;
  Result<ObjectInfo> there = env.store->head(key);
  if (there.ok() && there->size == source.size && there->sha256 &&
      *there->sha256 == source.sha256) {
    return there;
  }
  if (!there.ok() && is_passing(there.error())) return there;
  TRY(may_replace(row));
  // Damaged, or put by an attempt the store cannot vouch for: replaced, but only that very object.
  log_warning("shelf", "segment in the store is replaced", {{"key", key}});
  options.condition = there.ok() ? PutCondition::must_match : PutCondition::none;
  options.etag = there.ok() ? there->etag : std::string();
  put = env.store->put(key, source, options);
  if (!put.ok() && put.error().code == ErrorCode::precondition_failed) {
    return Error(ErrorCode::unavailable, key + " changes while it is put");
  }
  return put;
}

// Where nothing refuses a put: that the store is not ahead of what is here has to be known before.
Status Shelf::State::look_before_puts(const Uuid& cartridge) {
  {
    const std::lock_guard lock(mutex);
    if (manifests[cartridge].etag) return {};
  }
  ASSIGN_OR_RETURN(const Manifest local, read_manifest(cartridge));
  const Result<std::string> looked = manifest_before(local);
  return looked.ok() ? Status() : Status(looked.error());
}

// Not what the store's manifest names with another digest, nor anything when that manifest is later
// than what was here.
Status Shelf::State::may_replace(const SegmentRow& row) {
  ASSIGN_OR_RETURN(const Manifest local, read_manifest(row.cartridge));
  ASSIGN_OR_RETURN(const StoredManifest stored, stored_manifest(local));
  if (!stored.manifest) return {};
  for (const Partition& partition : stored.manifest->partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      if (id_of(row.cartridge, entry) != id_of(row) || entry.sha256 == row.sha256) continue;
      fence(row.cartridge,
            Error(ErrorCode::conflict,
                  "the store has another " + describe(id_of(row)) + ", which its manifest names"));
      return check_owned(row.cartridge).error();
    }
  }
  return {};
}

// Always on top of the manifest put before: one that somebody else put is found out.
Result<std::string> Shelf::State::manifest_before(const Manifest& local) {
  if (env.ownership == nullptr) return std::string();
  TRY(env.ownership->may_write());
  TRY(check_owned(local.uuid));
  {
    const std::lock_guard lock(mutex);
    const auto& etag = manifests[local.uuid].etag;
    if (etag) return *etag;
  }
  ASSIGN_OR_RETURN(std::string etag, look_at_manifest(local));
  TRY(env.ownership->may_write());
  const std::lock_guard lock(mutex);
  manifests[local.uuid].etag = etag;
  return etag;
}

Status Shelf::State::put_manifest(const Manifest& local, const Manifest& stored) {
  ASSIGN_OR_RETURN(const std::string etag, manifest_before(local));
  {
    const std::lock_guard lock(mutex);
    ManifestWatch& watch = manifests[local.uuid];
    watch.latest = std::max(watch.latest, stored.generation);
    watch.latest_epoch = std::max(watch.latest_epoch, stored.epoch);
  }
  const Buffer image = encode_manifest_after(stored, etag);
  const PutSource source = source_of(image);
  TRY(put_manifest_after(local, source, etag));
  const std::string key = manifest_key(local.uuid);
  ASSIGN_OR_RETURN(const ObjectInfo head, env.store->head(key));
  if (head.size != image.size() || (head.sha256 && *head.sha256 != source.sha256)) {
    return Error(ErrorCode::unavailable, key + ": the store does not confirm what was put");
  }
  uploaded_bytes += image.size();
  return {};
}

Result<ObjectInfo> Shelf::State::put_manifest_after(const Manifest& local, const PutSource& source,
                                                    const std::string& etag) {
  const std::string key = manifest_key(local.uuid);
  if (env.ownership == nullptr) return env.store->put(key, source, StorageClass::standard);
  PutOptions options;
  if (env.ownership->conditional()) {
    options.condition = etag.empty() ? PutCondition::must_not_exist : PutCondition::must_match;
    options.etag = etag;
  }
  Result<ObjectInfo> put = env.store->put(key, source, options);
  {
    // After an error nobody knows what the store has now.
    const std::lock_guard lock(mutex);
    ManifestWatch& watch = manifests[local.uuid];
    watch.etag.reset();
    if (put.ok() && !put->etag.empty()) watch.etag = put->etag;
  }
  if (put.ok() || put.error().code != ErrorCode::precondition_failed) return put;
  // Our own, its answer lost? Then it goes on from there; else the cartridge is somebody else's.
  env.ownership->forget(local.uuid);
  ASSIGN_OR_RETURN(const std::string now, look_at_manifest(local));
  {
    const std::lock_guard lock(mutex);
    manifests[local.uuid].etag = now;
  }
  return Error(ErrorCode::unavailable, key + " is not the one put before; it is tried again");
}

// The store's manifest, when it is one this gateway put: then the next may go on top of it.
Result<Shelf::State::StoredManifest> Shelf::State::stored_manifest(const Manifest& local) {
  const Status owned = ensure_owned(local.uuid);
  if (!owned.ok() && owned.error().code == ErrorCode::conflict) {
    return check_owned(local.uuid).error();
  }
  TRY(owned);
  const Result<Versioned> found = read_versioned(*env.store, manifest_key(local.uuid));
  if (!found.ok() && found.error().code == ErrorCode::not_found) return StoredManifest();
  if (!found.ok()) return found.error();
  const Result<ReplayedManifest> stored = decode_manifest(found->content, false);
  // A damaged one is replaced; that very one.
  if (!stored.ok() && stored.error().code == ErrorCode::corrupt) {
    return StoredManifest{found->info.etag, std::nullopt};
  }
  if (!stored.ok()) return stored.error();
  uint64_t latest = local.generation;
  uint64_t epoch = local.epoch;
  {
    // Of what was written since the start nothing is there that was not put since; another thread
    // may just have put it.
    const std::lock_guard lock(mutex);
    const ManifestWatch& watch = manifests[local.uuid];
    if (watch.latest != 0) latest = watch.latest;
    epoch = std::max(epoch, watch.latest_epoch);
  }
  if (stored->manifest.epoch > epoch || stored->manifest.generation > latest) {
    fence(local.uuid,
          Error(ErrorCode::conflict, "the store has a later manifest of " + local.label +
                                         " than this gateway wrote: another one took it over, or "
                                         "the data directory is an earlier copy"));
    return check_owned(local.uuid).error();
  }
  return StoredManifest{found->info.etag, stored->manifest};
}

Result<std::string> Shelf::State::look_at_manifest(const Manifest& local) {
  ASSIGN_OR_RETURN(StoredManifest stored, stored_manifest(local));
  return std::move(stored.etag);
}

// -- the shelf, where any gateway may take a tape from

Status Shelf::State::give_to_shelf(const Uuid& cartridge) {
  if (env.ownership == nullptr) return {};
  const Status given = change_owner(cartridge, &Ownership::shelve);
  if (!given.ok() && given.error().code == ErrorCode::conflict) fence(cartridge, given.error());
  return given;
}

// Ours from here on, and known as the store has it: another gateway may have had it meanwhile.
Status Shelf::State::acquire_from_shelf(const TapeRow& tape) {
  if (env.ownership == nullptr) return {};
  env.ownership->forget(tape.uuid);
  TRY(change_owner(tape.uuid, &Ownership::acquire));
  const auto refresh = [&]() -> Status {
    ASSIGN_OR_RETURN(const Versioned found, read_versioned(*env.store, manifest_key(tape.uuid)));
    ASSIGN_OR_RETURN(const ReplayedManifest stored, decode_manifest(found.content, false));
    if (property_of(stored.manifest, "status") != to_string(TapeStatus::archived)) {
      return Error(ErrorCode::conflict, "tape " + tape.barcode +
                                            " was never archived as a whole; it can be taken " +
                                            "over, not retrieved");
    }
    const Result<Manifest> local = read_manifest(tape.uuid);
    if (local.ok() && *local == stored.manifest) {
      {
        const std::lock_guard lock(mutex);
        manifests[tape.uuid].etag = found.info.etag;
      }
      return lift_fence(tape.uuid);
    }
    ASSIGN_OR_RETURN([[maybe_unused]] const TapeRow row,
                     enter_remote(stored.manifest, TapeStatus::archived, found.info.etag));
    return {};
  };
  Status done = refresh();
  if (!done.ok()) give_back_quietly(tape.uuid);
  return done;
}

Result<int64_t> Shelf::State::with_shelved(const TapeRow& tape,
                                           const std::function<Result<int64_t>()>& begin) {
  if (env.ownership == nullptr) return begin();
  if (tape.status != TapeStatus::archived) {
    const Status owned = check_owned(tape.uuid);
    if (owned.ok()) return begin();
    return Error(owned.error().code, owned.error().context +
                                         "; forget what is here, and what is on the shelf can be "
                                         "retrieved");
  }
  const std::lock_guard lending(lending_mutex);
  ASSIGN_OR_RETURN(const auto other, env.catalog->unfinished_job(tape.uuid));
  if (other) return begin();  // which says what stands against it
  TRY(acquire_from_shelf(tape));
  Result<int64_t> job = begin();
  if (!job.ok()) give_back_quietly(tape.uuid);
  return job;
}

void Shelf::State::end_shelved(const JobRun& run) {
  if (env.ownership == nullptr || run.row.kind == JobKind::archive) return;
  if (status_before(run) == TapeStatus::archived) give_back_quietly(run.row.cartridge);
}

void Shelf::State::give_back_quietly(const Uuid& cartridge) {
  const Status back = give_to_shelf(cartridge);
  if (back.ok()) return;
  log_warning("shelf", "tape not given back to the shelf",
              {{"cartridge", cartridge.to_string()}, {"error", back.error().message()}});
  if (!is_passing(back.error())) return;
  const std::lock_guard lock(mutex);
  rechecks.push_back(cartridge);
  wake_locked(Work::manifests, now_ms() + backoff_ms(1));
}

Status Shelf::State::ensure_pool(const Manifest& manifest, const std::string& gateway) {
  const std::string name = property_of(manifest, "pool");
  ASSIGN_OR_RETURN(const std::vector<PoolRow> pools, env.catalog->pools());
  const auto named = [&](const PoolRow& pool) { return pool.name == name; };
  if (std::any_of(pools.begin(), pools.end(), named)) return {};
  const Result<Versioned> found = read_versioned(*env.store, inventory_key(gateway));
  if (found.ok()) {
    ASSIGN_OR_RETURN(const InventoryDocument document, decode_inventory_document(found->content));
    const auto pool = std::find_if(document.pools.begin(), document.pools.end(), named);
    if (pool != document.pools.end()) return env.catalog->put_pool(*pool);
  } else if (found.error().code != ErrorCode::not_found) {
    return found.error();
  }
  return Error(ErrorCode::conflict, "tape " + manifest.label + " is of pool " + name +
                                        ", which is not known here; make that pool first");
}

// The tape as the store has it, with nothing of it on the local disk but its manifest.
Result<TapeRow> Shelf::State::enter_remote(const Manifest& manifest, TapeStatus status,
                                           const std::string& etag) {
  const Uuid& uuid = manifest.uuid;
  // 1. No row and no file of another time. A fence stays until the manifest is this one.
  TRY(remove_segment_files(uuid));
  ASSIGN_OR_RETURN(const std::vector<SegmentRow> old, env.catalog->segments(uuid));
  std::vector<std::pair<uint64_t, uint64_t>> gone;
  for (const SegmentRow& row : old) gone.emplace_back(row.sequence, row.epoch);
  if (!gone.empty()) TRY(env.catalog->remove_segments(uuid, gone));
  {
    const std::lock_guard lock(mutex);
    const auto ours = [&](const SegmentId& id) { return id.cartridge == uuid; };
    manifests.erase(uuid);
    std::erase_if(discards, ours);
    std::erase_if(dropped, ours);
    std::erase_if(troubles, [&](const auto& t) { return ours(t.first); });
  }
  // 2. The manifest, then the rows: a crash in between is mended by reconcile().
  TRY(env.files->create_directories(directory_of(uuid)));
  TRY(env.files->replace_file(manifest_path_of(uuid), encode_manifest(manifest)));
  TRY(enter_tape(manifest, property_of(manifest, "pool"), status));
  ASSIGN_OR_RETURN(const auto pool, env.catalog->pool(property_of(manifest, "pool")));
  TRY(env.catalog->put_segments(
      remote_rows(manifest, class_in_store(pool, status), env.clock->unix_ms())));
  TRY(env.catalog->set_uploaded_generation(uuid, manifest.generation));
  {
    const std::lock_guard lock(mutex);
    ManifestWatch& watch = manifests[uuid];
    watch.announced = watch.latest = manifest.generation;
    watch.etag = etag;
  }
  // 3. It may be gone on with.
  TRY(lift_fence(uuid));
  return tape_row(uuid);
}

std::string class_in_store(const std::optional<PoolRow>& pool, TapeStatus status) {
  const bool moved = status == TapeStatus::archived || (pool && pool->mode == "direct");
  return pool && moved ? pool->storage_class : std::string(to_string(StorageClass::standard));
}

std::vector<SegmentRow> remote_rows(const Manifest& manifest, const std::string& storage_class,
                                    int64_t now_unix_ms) {
  std::vector<SegmentRow> rows;
  for (const Partition& partition : manifest.partitions) {
    for (const SegmentEntry& entry : partition.segments) {
      SegmentRow row;
      row.cartridge = manifest.uuid;
      row.sequence = entry.sequence;
      row.epoch = entry.epoch;
      row.stored_bytes = entry.stored_bytes;
      row.sha256 = entry.sha256;
      row.state = SegmentState::evicted;
      row.local = false;
      row.storage_class = storage_class;
      row.last_used_ms = now_unix_ms;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

Result<TapeRow> Shelf::import_from_shelf(const std::string& barcode) {
  State& s = *state_;
  if (s.env.ownership == nullptr) {
    return Error(ErrorCode::not_found, "there is no tape " + barcode);
  }
  const Result<BarcodeClaim> claim = s.env.ownership->find_barcode(barcode);
  if (!claim.ok() && claim.error().code == ErrorCode::not_found) {
    return Error(ErrorCode::not_found,
                 "there is no tape " + barcode + ", here or on the store's shelf");
  }
  if (!claim.ok()) return claim.error();
  ASSIGN_OR_RETURN(const auto owner, s.env.ownership->owner_of(claim->cartridge));
  if (!owner || owner->state != OwnerState::shelved) {
    return Error(ErrorCode::conflict, "tape " + barcode + " is not on the shelf: gateway " +
                                          (owner ? owner->gateway : claim->gateway) + " has it");
  }
  ASSIGN_OR_RETURN(const Versioned found,
                   read_versioned(*s.env.store, manifest_key(claim->cartridge)));
  ASSIGN_OR_RETURN(const ReplayedManifest stored, decode_manifest(found.content, false));
  if (stored.manifest.kind != CartridgeKind::tape || stored.manifest.label != barcode) {
    return Error(ErrorCode::corrupt, "the store's barcode " + barcode + " names cartridge " +
                                         stored.manifest.label + ", which is not that tape");
  }
  TRY(s.ensure_pool(stored.manifest, owner->gateway));
  log_info("shelf", "tape of another gateway found on the shelf",
           {{"barcode", barcode}, {"gateway", owner->gateway}});
  return s.enter_remote(stored.manifest, TapeStatus::archived, found.info.etag);
}

Result<TapeRow> Shelf::take_over(const std::string& barcode, bool force) {
  State& s = *state_;
  if (s.env.ownership == nullptr) {
    return Error(ErrorCode::not_supported, "this gateway shares its store with nobody");
  }
  ASSIGN_OR_RETURN(const BarcodeClaim claim, s.env.ownership->find_barcode(barcode));
  ASSIGN_OR_RETURN(const auto owner, s.env.ownership->owner_of(claim.cartridge));
  const std::string from = owner ? owner->gateway : claim.gateway;
  ASSIGN_OR_RETURN(const auto known, s.env.catalog->tape(claim.cartridge));
  // Ours, and not known here or on the shelf: a takeover that was cut short, done again.
  if (known && from == s.env.ownership->self().id && s.check_owned(claim.cartridge).ok()) {
    ASSIGN_OR_RETURN(const auto job, s.env.catalog->unfinished_job(claim.cartridge));
    if (known->status != TapeStatus::archived || job) {
      return Error(ErrorCode::conflict, "tape " + barcode + " belongs to this gateway");
    }
  }
  // Without a manifest there is nothing to take, and its owner goes on undisturbed.
  const Result<ObjectInfo> there = s.env.store->head(manifest_key(claim.cartridge));
  if (!there.ok() && there.error().code == ErrorCode::not_found) {
    return Error(ErrorCode::not_found,
                 "the store has nothing of tape " + barcode + " yet but its barcode");
  }
  if (!there.ok()) return there.error();
  // 1. The owner: from here on nobody else may. 2. The manifest: from here on the old owner, should
  // it live, finds out at its next put. 3. Here.
  if (known && known->status != TapeStatus::archived) TRY(s.fence_while_taken(*known, from));
  TRY(s.env.ownership->take_over(claim.cartridge, force));
  ASSIGN_OR_RETURN(
      const TakenManifest taken,
      take_over_manifest(*s.env.store, claim.cartridge, s.env.ownership->self().instance, true));
  TRY(s.ensure_pool(taken.manifest, from));
  const bool archived = property_of(taken.manifest, "status") == to_string(TapeStatus::archived);
  ASSIGN_OR_RETURN(
      TapeRow row,
      s.enter_remote(taken.manifest, archived ? TapeStatus::archived : TapeStatus::recovered,
                     taken.etag));
  if (archived) TRY(s.give_to_shelf(claim.cartridge));
  if (taken.incomplete) {
    s.note_problem(claim.cartridge, "its former gateway had not uploaded all of it");
  }
  log_warning("shelf", "tape taken over", {{"barcode", barcode}, {"from", from}});
  if (s.listener) s.listener(row, TapeStatus::creating);
  return row;
}

}  // namespace coldshelf
