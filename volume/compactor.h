// Compaction: moves what lives out of mostly dead segments, a little at a time, so that a map can
// give them back.
//
// It keeps step with the users of the disk: what they append allows it to append something, the
// more the further what is dead is beyond the limit. So it takes little of the disk and of the
// processors while little is written, and all it can get while nobody comes.
#pragma once

#include <functional>
#include <set>

#include "volume/log_writer.h"

namespace coldshelf {

class Compactor {
 public:
  Compactor(VolumeState& state, LogWriter& writer) : state_(state), writer_(writer) {}

  // The maintenance job's: moves as much as a frame holds, or asks for a map. false: nothing to
  // do, or not now. `pinned`: the segments that recovery points need.
  using Pinned = std::function<Result<std::set<SegmentId>>()>;
  Result<bool> step(const Pinned& pinned);
  // How often it found nothing to move, or could not look. State's mutex held.
  uint64_t rests() const { return rests_; }

  // Any thread, no lock held. After every command of a user; and once a second or so. true: what
  // waited may go on.
  bool used();
  bool tick();
  // While one of these is there it does not wait.
  class Hurry {
   public:
    explicit Hurry(Compactor& compactor) : compactor_(compactor) { ++compactor_.in_hurry_; }
    ~Hurry() { --compactor_.in_hurry_; }
    Hurry(const Hurry&) = delete;
    Hurry& operator=(const Hurry&) = delete;

   private:
    Compactor& compactor_;
  };

 private:
  struct Source {  // the segment that is being emptied
    std::shared_ptr<ImageSegment> segment;
    SegmentIndex index;
    size_t next = 0;  // frame
  };
  struct Choice {
    std::shared_ptr<ImageSegment> segment;  // null: it does not pay
    bool map_now = false;                   // first, for what that gives back
  };
  class Moving;
  Choice choose(const std::set<SegmentId>& pinned);
  Result<bool> begin(const Pinned& pinned);
  Result<bool> set_aside(const ImageSegment& segment, const Error& why);
  bool unhurried() const;
  bool may_move();
  Status move_some(Source& source);
  Result<std::vector<ExtentMap::Extent>> live_in(const ImageSegment& segment,
                                                 const FrameIndexEntry& frame);
  Status move(LogOp& op);

  static constexpr uint64_t kNothingWaits = UINT64_MAX;

  VolumeState& state_;
  LogWriter& writer_;
  // The job's.
  std::optional<Source> source_;
  uint64_t moved_per_100_ = 100;  // bytes of users
  uint64_t allowed_bytes_ = 0;    // that it may append
  // What users, and it, had appended when that was reckoned.
  std::optional<uint64_t> users_seen_;
  uint64_t moved_seen_ = 0;
  std::map<SegmentId, int64_t> set_aside_;  // could not be read; until when, monotonic
  uint64_t rests_ = 0;                      // under state's mutex
  // Anybody's.
  std::atomic<uint64_t> goes_on_at_{kNothingWaits};  // of appended_bytes
  std::atomic<uint64_t> granted_bytes_{0};           // beside what users appended
  std::atomic<uint64_t> uses_{0};
  std::atomic<uint64_t> uses_at_tick_{UINT64_MAX};
  std::atomic<uint64_t> idle_since_{UINT64_MAX};  // of uses_
  std::atomic<unsigned> in_hurry_{0};
};

}  // namespace coldshelf
