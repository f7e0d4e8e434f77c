// The images that archive EBS volumes: making, opening and removing them. Nobody but pulls writes
// to them, so that they have no target. Thread-safe. docs/snapshots.md.
//
// <directory>/<uuid>/ each.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "volume/volume.h"

namespace coldshelf {

constexpr size_t kMaxArchives = 10'000;
constexpr size_t kMaxArchiveName = 100;

class SnapshotArchives final : public ImageDirectory {
 public:
  struct Archive {
    Uuid uuid;
    std::string name;
    std::shared_ptr<Volume> image;  // null: it cannot be opened
    std::string problem;            // why
  };
  SnapshotArchives(VolumeEnv env, VolumeOptions options, std::string directory);
  ~SnapshotArchives() override;

  // Opens what there is. One that cannot be opened has a problem, and the others are there.
  Status open_all();
  Status stop();  // every image flushed and sealed

  Result<Archive> create(const std::string& name, uint64_t size_bytes,
                         const Volume::Properties& properties);
  // By name or uuid. not_found; not_ready: it cannot be opened.
  Result<Archive> find(const std::string& archive);
  std::vector<Archive> list();  // by name
  // "NAME@POINT": POINT is its name (the newest of that name), its uuid or "latest".
  struct Point {
    Archive archive;
    RecoveryPoint point;
  };
  Result<Point> find_point(const std::string& point);
  // Keeps its image.
  Result<std::shared_ptr<BlockDevice>> open_point(const Point& point);
  // With everything in it. busy: somebody works with it.
  Status remove(const std::string& archive);

  Result<std::string> directory_of(const Uuid& image) override;

 private:
  void open_one(const Uuid& uuid);
  Status wrap_anew(Volume& image);
  std::string path_of(const Uuid& uuid) const { return join_path(directory_, uuid.to_string()); }

  VolumeEnv env_;
  const VolumeOptions options_;
  const std::string directory_;
  std::mutex mutex_;
  std::map<Uuid, Archive> archives_;
  bool stopped_ = false;
};

}  // namespace coldshelf
