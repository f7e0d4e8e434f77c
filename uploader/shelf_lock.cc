// Object Lock of archived tapes. Segments get the pool's retention when they are settled; of the
// manifest, which has to change when the tape is retrieved, a copy of its own is locked.
#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "uploader/shelf_state.h"

namespace coldshelf {

void Shelf::State::choose_lock(JobRun& run, const TapeRow& tape, const PoolRow& pool) {
  const int64_t now = env.clock->unix_ms();
  std::string mode;
  int64_t until_ms = 0;
  if (tape.locked_until_ms > now) {
    mode = tape.lock_mode;
    until_ms = tape.locked_until_ms;
  }
  if (pool.locks()) {
    if (mode != to_string(LockMode::compliance)) mode = pool.lock;
    until_ms = std::max(until_ms, now + static_cast<int64_t>(pool.lock_days) * options.day_ms);
  }
  const std::lock_guard lock(mutex);
  if (mode.empty() || run.row.parameters.contains("lock")) return;  // as it was before a restart
  run.row.parameters["lock"] = mode;
  run.row.parameters["lock_until_ms"] = std::to_string(until_ms);
}

std::optional<ObjectLock> Shelf::State::lock_of_job(const JobRun& run) {
  const std::lock_guard lock(mutex);
  const auto mode = run.row.parameters.find("lock");
  const auto until = run.row.parameters.find("lock_until_ms");
  const auto hold = run.row.parameters.find("hold");
  ObjectLock out;
  out.legal_hold = hold != run.row.parameters.end() && hold->second == "on";
  if (mode == run.row.parameters.end() || until == run.row.parameters.end()) {
    return out.legal_hold ? std::optional<ObjectLock>(out) : std::nullopt;
  }
  out.mode = parse_lock_mode(mode->second);
  out.retain_until_ms = std::strtoll(until->second.c_str(), nullptr, 10);
  return out;
}

Result<std::vector<ManifestEdit>> Shelf::State::note_lock(JobRun& run) {
  std::vector<ManifestEdit> edits;
  const std::optional<ObjectLock> lock = lock_of_job(run);
  if (!lock || !lock->mode) return edits;
  const std::string mode(to_string(*lock->mode));
  TRY(env.catalog->set_tape_lock(run.row.cartridge, mode, lock->retain_until_ms));
  edits.push_back(SetProperty{"lock", mode});
  edits.push_back(SetProperty{"locked_until_ms", std::to_string(lock->retain_until_ms)});
  return edits;
}

Status Shelf::State::lock_object(JobRun& run, const std::string& key) {
  std::optional<ObjectLock> wanted = lock_of_job(run);
  if (!wanted) return {};
  if (!wanted->mode && !wanted->legal_hold) {
    return Error(ErrorCode::invalid_argument, key + ": the pool's lock has an unknown mode");
  }
  ASSIGN_OR_RETURN(const ObjectLock now, env.store->lock_of(key));
  const bool compliance = now.mode == LockMode::compliance;
  // A hold that is there already is an operator's, and left to them.
  const bool held_as_wanted = now.legal_hold || !wanted->legal_hold;
  const bool kept_as_wanted =
      !wanted->mode || (now.mode && now.retain_until_ms >= wanted->retain_until_ms &&
                        (compliance || wanted->mode == LockMode::governance));
  if (held_as_wanted && kept_as_wanted) return {};
  wanted->legal_hold = wanted->legal_hold || now.legal_hold;
  if (now.mode) {
    wanted->retain_until_ms = std::max(wanted->retain_until_ms, now.retain_until_ms);
    if (compliance || !wanted->mode) wanted->mode = now.mode;
  }
  return env.store->set_lock(key, *wanted);
}

Status Shelf::State::lock_manifest(JobRun& run) {
  if (!lock_of_job(run)) return {};
  ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(run.row.cartridge));
  const Buffer image = encode_manifest(manifest);
  PutSource source;
  source.bytes = image;
  source.size = image.size();
  source.sha256 = Sha256::of(image);
  const std::string key = locked_manifest_key(manifest.uuid, manifest.generation);
  const Result<ObjectInfo> there = env.store->head(key);
  if (!there.ok() && there.error().code != ErrorCode::not_found) return there.error();
  // A first attempt may have put and locked it.
  if (!there.ok() || there->size != source.size ||
      (there->sha256 && *there->sha256 != source.sha256)) {
    TRY(env.store->put(key, source, StorageClass::standard));
  }
  return lock_object(run, key);
}

}  // namespace coldshelf
