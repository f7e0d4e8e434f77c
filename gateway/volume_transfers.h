// Disk images into volumes, recovery points into disk images and into volumes of their own: jobs of
// the catalog, on threads of their own. A restart ends them as failed; what they had begun is
// removed.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/executor.h"
#include "catalog/catalog.h"
#include "gateway/disk_image.h"
#include "gateway/volume_service.h"

namespace coldshelf {

class VolumeTransfers {
 public:
  struct Env {
    Clock* clock = nullptr;
    FileSystem* files = nullptr;
    Catalog* catalog = nullptr;
    VolumeService* volumes = nullptr;
    std::string data_directory;  // nothing is exported into it
    std::string scratch;         // where qcow2 images are unpacked
  };
  explicit VolumeTransfers(Env env);
  ~VolumeTransfers() { stop(); }

  // Removes what a killed program left in the scratch directory.
  Status clean_up();
  void stop();  // ends what is under way

  struct ImportRequest {
    std::string file;                     // absolute
    std::string format;                   // empty: by its first bytes
    VolumeService::CreateRequest volume;  // size 0: the image's, rounded up to a block
  };
  // Give the job's id.
  Result<int64_t> import(const ImportRequest& request);
  // A new volume with all that "VOLUME@POINT" holds. Unlike a clone it shares nothing with it: of
  // an archive that is RETRIEVED for some days it can be had, too.
  Result<int64_t> copy(const std::string& point, const std::string& name);
  struct ExportRequest {
    std::string point;  // "VOLUME@POINT"
    std::string file;   // absolute
    std::string format = "raw";
    bool replace = false;
  };
  Result<int64_t> export_point(const ExportRequest& request);
  // Of the volume. conflict: nothing is under way.
  Status cancel(const std::string& volume);

 private:
  struct Run {
    JobRow job;
    std::atomic<bool> cancelled{false};
    int64_t shown_ms = 0;
  };
  using RunPtr = std::shared_ptr<Run>;
  Result<RunPtr> begin(JobKind kind, const Uuid& uuid, const std::string& name, uint64_t bytes,
                       std::map<std::string, std::string> parameters);
  Result<int64_t> fill(const VolumeService::CreateRequest& wanted, uint64_t bytes,
                       std::map<std::string, std::string> parameters,
                       std::function<Status(const RunPtr&, const std::shared_ptr<Volume>&)> work);
  void finish(const RunPtr& run, const Status& done);
  void step(const RunPtr& run, const std::string& what);
  void show(const RunPtr& run, uint64_t done);
  Status run_import(const RunPtr& run, const ImportRequest& request, ImageFormat format,
                    const std::shared_ptr<Volume>& volume);
  Status copy_in(const RunPtr& run, const std::string& file, Volume& volume);
  Status copy_disk(const RunPtr& run, BlockDevice& from, Volume& volume);
  Status each_piece(const RunPtr& run, BlockDevice& disk,
                    const std::function<Status(uint64_t, ByteView)>& take);
  Status write_piece(Volume& volume, uint64_t at, ByteView piece);
  Status run_export(const RunPtr& run, const ExportRequest& request, ImageFormat format,
                    BlockDevice& disk);
  Status check_target(const std::string& file, bool replace) const;

  const Env env_;
  std::mutex mutex_;
  std::map<int64_t, RunPtr> runs_;
  bool stopping_ = false;
  std::unique_ptr<WorkerPool> workers_;
};

}  // namespace coldshelf
