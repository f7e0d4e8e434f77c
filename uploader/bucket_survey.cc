#include "uploader/bucket_survey.h"

#include <algorithm>

#include "uploader/bucket_takeover.h"

namespace coldshelf {

Result<SurveyedTapes> BucketSurvey::tapes(int64_t max_age_ms) {
  std::unique_lock lock(mutex_);
  if (latest_ && !latest_->done) {
    const std::shared_ptr<Look> under_way = latest_;
    ended_.wait(lock, [&] { return under_way->done; });
    return under_way->found;
  }
  if (latest_ && latest_->found.ok() &&
      clock_.monotonic_ns() - latest_->ended_ns < max_age_ms * 1'000'000) {
    return latest_->found;
  }
  const auto mine = std::make_shared<Look>();
  latest_ = mine;
  lock.unlock();
  Result<SurveyedTapes> found = look();
  lock.lock();
  mine->found = found;
  mine->ended_ns = clock_.monotonic_ns();
  mine->done = true;
  ended_.notify_all();
  return found;
}

Result<SurveyedTapes> BucketSurvey::look() {
  std::mutex mutex;
  std::vector<SurveyedTape> tapes;
  TRY(scan_bucket(store_, ScanOptions{}, [&](BucketCartridge& found) -> Status {
    if (!found.manifest || found.manifest->kind != CartridgeKind::tape || !found.owner) return {};
    const Manifest& manifest = *found.manifest;
    SurveyedTape tape;
    tape.barcode = manifest.label;
    tape.uuid = manifest.uuid;
    tape.owner = *found.owner;
    tape.medium = manifest.medium;
    tape.pool = property_of(manifest, "pool");
    tape.status = property_of(manifest, "status");
    tape.archived_at = property_of(manifest, "archived_at");
    tape.capacity_bytes = manifest.capacity_bytes;
    tape.plain_bytes = manifest.plain_bytes();
    tape.stored_bytes = manifest.stored_bytes();
    const std::lock_guard lock(mutex);
    tapes.push_back(std::move(tape));
    return {};
  }));
  std::sort(tapes.begin(), tapes.end(),
            [](const SurveyedTape& a, const SurveyedTape& b) { return a.barcode < b.barcode; });
  return std::make_shared<const std::vector<SurveyedTape>>(std::move(tapes));
}

}  // namespace coldshelf
