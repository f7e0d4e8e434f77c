// EBS snapshots: archives of EBS volumes, and the jobs that pull snapshots into them and make
// snapshots of them. Jobs are rows of the catalog and go on after a restart. Thread-safe.
// docs/snapshots.md.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "catalog/catalog.h"
#include "gateway/aws_accounts.h"
#include "gateway/volume_service.h"
#include "snapshot/ebs_image.h"
#include "snapshot/pull.h"
#include "snapshot/restore.h"

namespace coldshelf {

struct ArchivedSnapshot {
  RecoveryPoint point;
  std::optional<EbsPoint> ebs;      // what it was in EC2; none: no snapshot of EBS
  std::vector<std::string> pushed;  // snapshots made of it
};

struct SnapshotArchive {
  VolumeView image;
  int64_t readable_until_ms = 0;  // of a RETRIEVED one; 0: for good, or it is not
  EbsSource source;
  std::optional<PullUnderWay> pull;
  std::vector<ArchivedSnapshot> points;  // by time
};

class SnapshotService {
 public:
  struct Env {
    Clock* clock = nullptr;
    Random* random = nullptr;  // thread-safe
    Catalog* catalog = nullptr;
    VolumeService* volumes = nullptr;  // which has the archives, too
    Shelf* shelf = nullptr;
    AwsAccounts* aws = nullptr;
  };
  SnapshotService(const Env& env, const Config::Aws& settings);
  ~SnapshotService();

  Status resume();  // what a restart interrupted goes on
  void give_up();   // what is under way ends soon, and that is no failure; nothing more begins
  void stop();      // gives up, and waits; the next start goes on

  struct PullOrder {
    std::string snapshot;
    std::string base = "auto";  // "auto"; a snapshot that is held; "none": in full
    std::string to;             // the archive's name; empty: that of the volume, or its id
    std::string pool;           // of an archive that is made; empty: the default one
    AwsPlace place;
    std::map<std::string, std::string> notes = {};  // kept with the job
  };
  // The archive is there when this returns; a snapshot that is pending is waited for. Gives the
  // job's id. not_found, permission, unavailable (EC2 was asked); busy: the archive has a job;
  // conflict: it is of another volume, or the snapshot failed in EC2.
  Result<int64_t> pull(const PullOrder& order);

  struct RestoreOrder {
    // "NAME@POINT"; NAME: the latest. Of an archive, or of a volume of our own.
    std::string point;
    AwsPlace place;
    std::string description;
    std::map<std::string, std::string> tags;
    bool copy_tags = true;  // of the snapshot the point was
    bool encrypted = false;
    std::string kms_key;
    // "": in full. A snapshot that a point of the same volume was or became; or "auto": the one of
    // the nearest point, if there is one.
    std::string parent;
    uint64_t volume_gib = 0;
    std::optional<Ec2CreateVolume> create_volume;    // snapshot and token are filled in
    std::optional<Ec2RegisterImage> register_image;  // the snapshot is
  };
  Result<int64_t> restore(const RestoreOrder& order);

  std::vector<SnapshotArchive> list();
  Result<SnapshotArchive> show(const std::string& archive);
  // What EC2 has, of this volume or all; the newest first.
  Result<std::vector<Ec2Snapshot>> in_ec2(const AwsPlace& place, const std::string& volume);
  // "NAME@POINT": that; NAME: the whole archive, with `force` one that cannot be opened, too. busy:
  // somebody works with it.
  Status remove(const std::string& point, bool force);
  // Reads every block of a snapshot ("NAME@POINT"; NAME: of all of them), each checked. A job.
  Result<int64_t> verify(const std::string& point);
  // A pull, a restore, a verification; going to the shelf, coming from there, or on the way to
  // another pool. conflict: it is not under way, or no job of this kind.
  Status cancel(int64_t job);
  // For those who wait: what a job came to. not_found.
  Result<JobRow> job(int64_t id);

 private:
  struct Run {
    JobRow row;
    std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);
    std::atomic<bool> cancelled{false};
    int64_t shown_ms = 0;
  };
  using RunPtr = std::shared_ptr<Run>;

  Result<int64_t> begin(JobKind kind, const Uuid& image, const std::string& name,
                        std::map<std::string, std::string> parameters);
  void submit(const RunPtr& run);
  void work(const RunPtr& run);
  void show_progress(const RunPtr& run, uint64_t done_blocks, uint64_t total_blocks,
                     uint64_t fetched_blocks, bool now);
  void step(const RunPtr& run, const std::string& what);
  Status save(const RunPtr& run);
  Status wait(const RunPtr& run, int64_t ms);

  // snapshot_jobs.cc
  Status run_pull(const RunPtr& run);
  Status run_restore(const RunPtr& run);
  Result<Ec2Snapshot> wait_completed(const RunPtr& run, Ec2Client& ec2,
                                     const std::string& snapshot);
  Status run_verify(const RunPtr& run);
  Result<VolumeService::Archive> archive_for(const PullOrder& order, const Ec2Snapshot& snapshot,
                                             const AwsPlace& place);
  Result<SnapshotArchive> view_of(VolumeView image, const Manifest& manifest);
  struct Parent {
    std::string snapshot;
    Uuid point;
  };
  Result<std::optional<Parent>> parent_of(const std::string& wanted, Volume& image,
                                          const Uuid& point, uint64_t gib, Ec2Client& ec2);
  Status after_restore(const RunPtr& run, Ec2Client& ec2, const std::string& snapshot);
  static Status note_pushed(Volume& image, const Uuid& point, const std::string& snapshot);

  const Env env_;
  const Config::Aws settings_;
  std::mutex making_;  // one new archive at a time
  std::mutex mutex_;
  std::map<int64_t, RunPtr> runs_;
  bool stopping_ = false;
  std::unique_ptr<WorkerPool> workers_;
};

// "NAME" is "NAME@latest".
std::string point_or_latest(const std::string& point);

}  // namespace coldshelf
