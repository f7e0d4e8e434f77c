// Recovery points with what stands around them: applications quiesced before and let go after.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gateway/volume_service.h"
#include "snapshot/quiesce.h"

namespace coldshelf {

class VolumePoints {
 public:
  // `quiescer` may be null: then nothing can be quiesced. `commands` by name, of the configuration.
  VolumePoints(VolumeService* volumes, Quiescer* quiescer,
               std::map<std::string, QuiesceCommands> commands)
      : volumes_(volumes), quiescer_(quiescer), commands_(std::move(commands)) {}

  struct Request {
    std::vector<std::string> volumes;
    std::string name;      // empty: the time
    std::string quiesce;   // the name of commands; empty: none
    std::string schedule;  // whose point it is; empty: somebody's who made it by hand
    std::string description;
  };
  struct Made {
    std::vector<VolumePoint> points;
    std::string warning;  // the command after failed: the points are good
  };
  // No point stays when the command before failed, or when the system was let go before the moment
  // (the watchdog).
  Result<Made> create(const Request& request);
  Status check_quiesce(const std::string& name) const;  // not_found

 private:
  VolumeService* const volumes_;
  Quiescer* const quiescer_;
  const std::map<std::string, QuiesceCommands> commands_;
};

// What "about" of a point says.
std::string schedule_of(const RecoveryPoint& point);

}  // namespace coldshelf
