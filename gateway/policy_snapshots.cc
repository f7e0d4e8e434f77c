#include "gateway/policy_snapshots.h"

#include <algorithm>

#include "gateway/volume_entry.h"

namespace coldshelf {

namespace {
constexpr int64_t kPollMs = 1'000;
constexpr int64_t kLongestMs = 7LL * 86'400'000;
}  // namespace

Result<std::vector<ArchivePoint>> PolicySnapshots::points() {
  std::vector<ArchivePoint> out;
  for (const SnapshotArchive& archive : snapshots_.list()) {
    for (const ArchivedSnapshot& held : archive.points) {
      if (!held.ebs) continue;
      ArchivePoint point;
      point.archive = archive.image.name;
      point.status = archive.image.status;
      point.point = held.point.id.to_string();
      point.snapshot = held.ebs->snapshot;
      point.volume = held.ebs->volume;
      point.started_ms = held.ebs->started_ms;
      point.pulled_against = held.ebs->base;
      point.gib = held.ebs->volume_gib;
      point.listed_blocks = held.ebs->listed_blocks;
      point.fetched_blocks = held.ebs->fetched_blocks;
      point.stored_blocks = held.ebs->stored_blocks;
      point.tags = held.ebs->tags;
      out.push_back(std::move(point));
    }
  }
  return out;
}

bool PolicySnapshots::is_held(const std::string& snapshot) {
  const Result<std::vector<ArchivePoint>> all = points();
  if (!all.ok()) return false;
  return std::any_of(all->begin(), all->end(),
                     [&snapshot](const ArchivePoint& p) { return p.snapshot == snapshot; });
}

bool PolicySnapshots::is_on_its_way(const std::string& volume) {
  const std::vector<SnapshotArchive> all = snapshots_.list();
  return std::any_of(all.begin(), all.end(), [&volume](const SnapshotArchive& archive) {
    return archive.source.volume == volume && is_in_transit(archive.image.status);
  });
}

Status PolicySnapshots::wait_for(int64_t job) {
  for (int64_t waited_ms = 0; waited_ms < kLongestMs; waited_ms += kPollMs) {
    ASSIGN_OR_RETURN(const JobRow row, snapshots_.job(job));
    if (row.state == JobState::succeeded) return {};
    if (row.state == JobState::failed || row.state == JobState::cancelled) {
      return Error(ErrorCode::unavailable,
                   row.error.empty() ? "the pull was cancelled" : row.error);
    }
    if (stopping_) return Error(ErrorCode::cancelled, "the gateway stops");
    clock_.sleep_ms(kPollMs);
  }
  return Error(ErrorCode::timed_out, "the pull has not ended in a week");
}

Status PolicySnapshots::pull(const PolicyPlace& place, const CloudSnapshot& snapshot) {
  SnapshotService::PullOrder order;
  order.snapshot = snapshot.id;
  order.place = {place.account, place.region};
  for (int64_t waited_ms = 0; waited_ms < kLongestMs; waited_ms += kPollMs) {
    if (is_held(snapshot.id)) return {};
    const Result<int64_t> job = snapshots_.pull(order);
    if (job.ok()) return wait_for(*job);
    // It may take days, and is no failure: as with one that is on the shelf.
    if (job.error().code == ErrorCode::not_ready && is_on_its_way(snapshot.volume)) {
      return Error(ErrorCode::cold, job.error().context);
    }
    // Another job works on the archive; perhaps ours, from before a restart.
    if (job.error().code != ErrorCode::busy) return job.error();
    if (stopping_) return Error(ErrorCode::cancelled, "the gateway stops");
    clock_.sleep_ms(kPollMs);
  }
  return Error(ErrorCode::timed_out, "the archive was busy for a week");
}

Status PolicySnapshots::remove(const std::string& archive, const std::string& point) {
  const Status removed = snapshots_.remove(archive + "@" + point, false);
  if (!removed.ok() && removed.error().code == ErrorCode::not_found) return {};
  return removed;
}

}  // namespace coldshelf
