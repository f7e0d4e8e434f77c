#include "gateway/key_rotation.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr const char* kSetting = "key_rotation";  // "running" while one is to be finished
constexpr size_t kPage = 500;
constexpr size_t kMaxFailures = 100;
constexpr int64_t kLookAgainMs = 1'000;

bool is_gone(TapeStatus status) {
  return status == TapeStatus::deleted || status == TapeStatus::deleting ||
         status == TapeStatus::creating;
}

// Calls `use` with every tape and every volume there is.
template <typename Use>
Status for_each_tape(Catalog& catalog, const Use& use) {
  ASSIGN_OR_RETURN(const auto images, catalog.images());
  for (const TapeRow& row : images) {
    if (!is_gone(row.status)) TRY(use(row));
  }
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(const auto rows, catalog.tapes(kPage, after));
    for (const TapeRow& row : rows) {
      if (!is_gone(row.status)) TRY(use(row));
    }
    if (rows.size() < kPage) return {};
    after = rows.back().barcode;
  }
}

}  // namespace

std::string_view to_string(KeyState state) {
  switch (state) {
    case KeyState::none:
      return "none";
    case KeyState::current:
      return "current";
    case KeyState::old:
      return "old";
    case KeyState::missing:
      return "missing";
  }
  return "unknown";
}

std::string_view to_string(RotationProgress::State state) {
  switch (state) {
    case RotationProgress::State::none:
      return "none";
    case RotationProgress::State::running:
      return "running";
    case RotationProgress::State::succeeded:
      return "succeeded";
    case RotationProgress::State::failed:
      return "failed";
  }
  return "unknown";
}

// Read once: from then on only a rotation changes it.
Result<KeyRotation::Known> KeyRotation::known(const TapeRow& row) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(row.uuid);
    if (found != known_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(const Manifest manifest, env_.vault->read_manifest(row.uuid));
  const Known fresh{manifest.key.empty() ? std::string() : manifest.key.key_id,
                    manifest.generation};
  const std::lock_guard lock(mutex_);
  return known_.try_emplace(row.uuid, fresh).first->second;
}

Result<TapeKey> KeyRotation::key_of(const TapeRow& row) {
  if (is_gone(row.status)) return Error(ErrorCode::not_found, row.barcode + " is gone");
  ASSIGN_OR_RETURN(const Known what, known(row));
  TapeKey out;
  out.id = what.key_id;
  if (out.id.empty()) return out;
  out.state = env_.ring == nullptr        ? KeyState::missing
              : out.id == env_.ring->id() ? KeyState::current
              : env_.ring->opens(out.id)  ? KeyState::old
                                          : KeyState::missing;
  return out;
}

Result<KeyReport> KeyRotation::report() {
  KeyReport out;
  if (env_.ring != nullptr) {
    for (const std::string& id : env_.ring->ids()) {
      out.keys.push_back({id, out.keys.empty() ? KeyState::current : KeyState::old, 0});
    }
  }
  TRY(for_each_tape(*env_.catalog, [&](const TapeRow& row) -> Status {
    const auto what = known(row);
    const auto found = key_of(row);
    if (!what.ok() || !found.ok()) {
      ++out.unreadable;
      return {};
    }
    const TapeKey& key = *found;
    if (key.state == KeyState::none) {
      ++out.not_encrypted;
      return {};
    }
    const bool behind = row.uploaded_manifest_generation < what->generation;
    if (key.state == KeyState::current && behind) ++out.not_uploaded;
    auto at = std::find_if(out.keys.begin(), out.keys.end(),
                           [&](const KeyReport::Key& k) { return k.id == key.id; });
    if (at == out.keys.end()) at = out.keys.insert(out.keys.end(), {key.id, key.state, 0});
    ++at->tapes;
    return {};
  }));
  return out;
}

Status KeyRotation::start() {
  const std::lock_guard lock(mutex_);
  if (env_.ring == nullptr) {
    return Error(ErrorCode::conflict, "no key is configured: set one in [encryption]");
  }
  if (progress_.state == RotationProgress::State::running) {
    return Error(ErrorCode::conflict, "a rotation is running already");
  }
  // 1. Durable, so that a restart goes on. 2. The work.
  TRY(env_.catalog->set_setting(kSetting, "running"));
  return begin();
}

Status KeyRotation::resume() {
  ASSIGN_OR_RETURN(const auto setting, env_.catalog->setting(kSetting));
  if (!setting || *setting != "running") return {};
  const std::lock_guard lock(mutex_);
  if (env_.ring == nullptr) {
    log_error("keys", "rotation cannot go on: no key is configured");
    return {};
  }
  return begin();
}

Status KeyRotation::begin() {
  if (stopping_) return Error(ErrorCode::cancelled, "the gateway is stopping");
  progress_ = {};
  progress_.state = RotationProgress::State::running;
  if (!worker_) worker_ = std::make_unique<WorkerPool>(1);
  worker_->submit([this] { run(); });
  log_info("keys", "rotation begins", {{"to", env_.ring->id()}});
  return {};
}

void KeyRotation::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  worker_.reset();
}

RotationProgress KeyRotation::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

bool KeyRotation::pause(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stopping_; });
}

void KeyRotation::note_failure(const TapeRow& row, const Error& why) {
  log_error("keys", "tape keeps its old key", {{"barcode", row.barcode}, {"error", why.message()}});
  const std::lock_guard lock(mutex_);
  ++progress_.failed;
  if (progress_.failures.size() < kMaxFailures) {
    progress_.failures.push_back({row.barcode, why.message()});
  }
}

Result<std::vector<TapeRow>> KeyRotation::tapes_to_do() {
  std::vector<TapeRow> out;
  TRY(for_each_tape(*env_.catalog, [&](const TapeRow& row) -> Status {
    const auto key = key_of(row);
    if (!key.ok()) {
      note_failure(row, key.error());
    } else if (key->state == KeyState::old || key->state == KeyState::missing) {
      out.push_back(row);
    }
    return {};
  }));
  return out;
}

// On the worker's thread. Those that cannot be done now are tried again until none is left.
void KeyRotation::run() {
  auto listed = tapes_to_do();
  if (!listed.ok()) note_failure({}, listed.error());
  std::vector<TapeRow> to_do = listed.ok() ? std::move(*listed) : std::vector<TapeRow>();
  {
    const std::lock_guard lock(mutex_);
    progress_.total = to_do.size();
  }
  while (!to_do.empty()) {
    std::vector<TapeRow> later;
    for (const TapeRow& row : to_do) {
      if (!pause(0)) return;  // the setting stays: resume() goes on
      const auto done = rotate(row);
      if (!done.ok()) {
        note_failure(row, done.error());
      } else if (*done == Outcome::later) {
        later.push_back(row);
        continue;
      }
      const std::lock_guard lock(mutex_);
      ++progress_.done;
    }
    {
      const std::lock_guard lock(mutex_);
      progress_.waiting = later.size();
    }
    to_do = std::move(later);
    if (!to_do.empty() && !pause(kLookAgainMs)) return;
  }
  const Status noted = env_.catalog->set_setting(kSetting, "");
  if (!noted.ok()) log_error("keys", "end not recorded", {{"error", noted.error().message()}});
  const std::lock_guard lock(mutex_);
  progress_.state =
      progress_.failed == 0 ? RotationProgress::State::succeeded : RotationProgress::State::failed;
  log_info("keys", "rotation ends",
           {{"tapes", progress_.done - progress_.failed}, {"failed", progress_.failed}});
}

Result<KeyRotation::Outcome> KeyRotation::rotate(const TapeRow& row) {
  ASSIGN_OR_RETURN(const auto now, env_.catalog->tape(row.uuid));
  if (!now || is_gone(now->status)) return Outcome::not_needed;  // deleted meanwhile
  ASSIGN_OR_RETURN(const Manifest manifest, env_.vault->read_manifest(row.uuid));
  if (manifest.key.empty() || manifest.key.key_id == env_.ring->id()) return Outcome::not_needed;
  // 1. The data key in its new wrapping, without any lock: this may ask a service.
  const auto plain = env_.ring->unwrap(manifest.key, row.uuid);
  const auto is_passing = [](const Error& e) { return e.disposition == Disposition::retry; };
  if (!plain.ok()) {
    if (is_passing(plain.error())) return Outcome::later;
    return plain.error();
  }
  const auto fresh = env_.ring->wrap(*plain, row.uuid, *env_.random);
  if (!fresh.ok()) {
    if (is_passing(fresh.error())) return Outcome::later;
    return fresh.error();
  }
  // 2. What was wrapped must open again before the old wrapping goes.
  const auto again = env_.ring->unwrap(*fresh, row.uuid);
  if (!again.ok()) {
    if (is_passing(again.error())) return Outcome::later;
    return again.error();
  }
  if (!constant_time_equal(again->reveal_bytes(), plain->reveal_bytes())) {
    return Error(ErrorCode::internal, "the key wrapped anew is another one");
  }
  // 3. One durable edit of the manifest; the shelf takes it to the store.
  const bool volume = row.kind == RowKind::image && env_.volumes != nullptr;
  const auto changed = volume ? env_.volumes->set_wrapped_key(row.uuid, manifest.key, *fresh)
                              : env_.tapes->set_wrapped_key(row.uuid, manifest.key, *fresh);
  if (!changed.ok()) {
    if (changed.error().code == ErrorCode::busy) return Outcome::later;
    return changed.error();
  }
  const std::lock_guard lock(mutex_);
  known_[row.uuid] = {fresh->key_id, *changed};
  return Outcome::done;
}

}  // namespace coldshelf
