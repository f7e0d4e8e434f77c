// What goes on behind the writers: sealing in the order of the log, writing maps, giving segments
// back, moving what lives out of mostly dead ones. One job at a time, on Env::sealers.
#pragma once

#include <set>

#include "volume/compactor.h"
#include "volume/log_writer.h"
#include "volume/map_file.h"

namespace coldshelf {

// How far the digest of the open segment stays behind the writer: with who waits for a sync the
// disk is busy and a processor is not, so that little is worth a thread.
constexpr uint64_t kFollowBytes = 256 * KiB;
constexpr uint64_t kFollowInSyncBytes = 64 * KiB;

class Maintenance {
 public:
  Maintenance(VolumeState& state, LogWriter& writer)
      : state_(state), writer_(writer), compactor_(state, writer) {}
  ~Maintenance() { ending_ = true; }  // compaction ends where it is

  // Starts what is due, unless that is under way. Any thread, no lock held.
  void kick();
  // Has the digest of the open segment follow the writer when it is as far behind. Any thread, no
  // lock held.
  void digest(uint64_t behind_bytes);
  // What follows the use of the disk: after every command of a user, and once a second or so. Any
  // thread, no lock held.
  void used();
  void tick();
  // Start what is due, and wait. no_space and others that pass: it is put off, and goes on by
  // itself.
  Status drain();                          // what is finished now sealed, what is asked for written
  Status wait_sealed(uint64_t position);   // the log below `position`
  Status wait_for_map(uint64_t position);  // of that position
  Status wait_replaced();                  // what becomes of the map that replaces the content
  // Compaction as far as it pays, of what there is now, a map, and everything given back that
  // nothing needs.
  Status collect();

 private:
  // Has another try begin at what is put off. Gives how many had begun before.
  uint64_t start();
  bool put_off_since(uint64_t tried) const {  // state's mutex held
    return state_.waits_for && state_.waits_since > tried;
  }
  Status wait_maps(uint64_t tried, uint64_t done, uint64_t sealed);
  Status compact();
  void start_step();
  void run();
  enum class Did { nothing, something, moved };
  Did step();
  void follow_writer();
  // Its digest up to `end`, and the disk writes what is there when that is as much.
  Status follow_to(TailSegment& tail, uint64_t end, uint64_t writeback_from);
  Status make_end(TailSegment& tail);
  Status seal(const std::shared_ptr<TailSegment>& tail);
  Status write_pending(const PendingMap& pending);
  std::vector<ManifestEdit> edits_for(const WrittenMap& written, uint64_t position,
                                      const Manifest& manifest, const std::set<uint64_t>& points);
  void give_back(const std::vector<SegmentEntry>& dropped);
  Result<const std::vector<MapSource>*> sources_of(const SegmentEntry& map);
  Result<std::set<SegmentId>> needed_by_points(const Manifest& manifest,
                                               const std::set<uint64_t>& points);
  // Where recovery points stand: those of a manifest, and those that are being made.
  struct Points {
    Manifest manifest;
    std::set<uint64_t> positions;
  };
  Points points();

  VolumeState& state_;
  LogWriter& writer_;
  Compactor compactor_;
  std::mutex mutex_;
  bool running_ = false;
  std::atomic<bool> ending_{false};
  std::atomic<bool> digesting_{false};
  int64_t writeback_ns_ = 0;               // when the disk was told last; of who set digesting_
  std::atomic<uint64_t> digest_asked_{0};  // of appended_bytes
  std::map<uint64_t, std::vector<MapSource>> map_sources_;  // by sequence; the runner's
  JobGroup jobs_;  // last: waits for the job before the rest goes
};

}  // namespace coldshelf
