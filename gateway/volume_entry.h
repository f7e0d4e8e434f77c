// What VolumeService knows of one volume, and of one mounted recovery point.
#pragma once

#include "gateway/volume_service.h"
#include "snapshot/ebs_image.h"

namespace coldshelf {

struct VolumeService::Entry {
  Entry(const Manifest& manifest, std::string where)
      : uuid(manifest.uuid),
        name(manifest.label),
        directory(std::move(where)),
        archive(manifest.properties.contains(std::string(kPropertyEbsSource))) {}
  const Uuid uuid;
  const std::string name;
  const std::string directory;
  const bool archive;     // of EBS snapshots
  std::timed_mutex life;  // one change of its life at a time; taken before the service's mutex

  // Under the service's mutex.
  std::shared_ptr<Volume> volume;  // null: it is not open
  std::string status = "AVAILABLE";
  std::string problem;
  int64_t open_again_ms = 0;  // FAILED for something that passes; 0: it is not
  bool offered = false;       // its target is there
  bool moving = false;        // ARCHIVED: a job takes it to another pool
  Manifest known;             // of one that is not open, as far as it can be read
};

struct VolumeService::Mount {
  std::string name;
  Uuid volume;
  std::string volume_name;
  RecoveryPoint point;
  // Under the service's mutex.
  bool offered = false;
  std::string problem;
};

// Not open, because of a job of the shelf that is under way.
bool is_in_transit(const std::string& status);
std::string lower_case(std::string text);
std::string property_or(const Manifest& manifest, std::string_view name, std::string otherwise);

}  // namespace coldshelf
