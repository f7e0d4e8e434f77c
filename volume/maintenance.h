// What goes on behind the writers: sealing in the order of the log, writing maps, giving segments
// back, moving what lives out of mostly dead ones. One job at a time, on Env::sealers.
#pragma once

#include <set>

#include "volume/log_writer.h"
#include "volume/map_file.h"

namespace coldshelf {

class Maintenance {
 public:
  Maintenance(VolumeState& state, LogWriter& writer) : state_(state), writer_(writer) {}

  // Starts what is due, unless that is under way. Any thread, no lock held.
  void kick();
  // Waits until every finished segment is sealed and every pending map written, or failed.
  Status drain();
  // Waits until the log below `position` is sealed, or failed.
  Status wait_sealed(uint64_t position);
  // Compaction as far as it pays, a map, and everything given back that nothing needs.
  Status collect();
  void wait_idle() { jobs_.wait(); }

 private:
  void run();
  bool step();
  Status seal(const std::shared_ptr<TailSegment>& tail);
  Status write_pending(const PendingMap& pending);
  std::vector<ManifestEdit> edits_for(const WrittenMap& written, uint64_t position,
                                      const Manifest& manifest);
  void give_back(const std::vector<SegmentEntry>& dropped);
  Result<const std::vector<MapSource>*> sources_of(const SegmentEntry& map);
  Result<std::set<SegmentId>> needed_by_points(const Manifest& manifest);
  std::set<uint64_t> point_positions(const Manifest& manifest);
  std::shared_ptr<ImageSegment> choose(const std::set<SegmentId>& pinned);
  Result<bool> compact_one();
  Status compact(const std::shared_ptr<ImageSegment>& segment);

  VolumeState& state_;
  LogWriter& writer_;
  std::mutex mutex_;
  bool running_ = false;
  std::map<uint64_t, std::vector<MapSource>> map_sources_;  // by sequence; the runner's
  JobGroup jobs_;  // last: waits for the job before the rest goes
};

}  // namespace coldshelf
