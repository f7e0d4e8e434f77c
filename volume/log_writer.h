// The end of the log. Operations of many threads queue up; one of the threads, the leader, frames
// what has gathered, appends it with one write, enters it in the map and answers. So the order of
// the log is the order of the answers, and an answer means that everything before it is in the
// page cache, too.
#pragma once

#include <functional>

#include "volume/prepared_write.h"
#include "volume/volume_state.h"

namespace coldshelf {

// A piece of data that compaction moves, if by then it still lies where it was read.
struct MovedPiece {
  BlockRange range;
  uint32_t slot = 0;
  uint32_t offset = 0;
  ByteView data;
};

// The frame of what is moved; compressed where that pays, so on the mover's time.
struct MovedFrame {
  std::vector<BlockRange> ranges;
  FrameCodec codec = FrameCodec::none;
  uint32_t plain_size = 0;
  std::shared_ptr<const Buffer> payload;
};
MovedFrame make_moved_frame(std::span<const MovedPiece> pieces, const VolumeState& state);

struct LogOp {
  enum class Kind { write, prepared, unmap, move, roll };

  Kind kind = Kind::write;
  BlockRange range;  // write, unmap
  ByteView data;     // write: at most kMaxAtomicBytes
  const PreparedWrite* prepared = nullptr;
  std::vector<MovedPiece> moved;  // move: at most kMaxFrameDataBytes in all, ascending
  MovedFrame moved_frame;         // of all of them
  // roll: ends the open segment if it holds anything, then called with mutex held and the mark of
  // what is finished now; nothing is written meanwhile. `force`: even when it is empty.
  std::function<void(const LogMark&)> at_boundary;
  bool force = false;

  Status status;
  bool done = false;
  std::condition_variable answered;
};

class LogWriter {
 public:
  LogWriter(VolumeState& state, uint64_t epoch, const LogMark& last);

  // Returns when the operation is in the log and the map, or failed.
  Status run(LogOp& op);
  // Ends the open segment and asks for a map of what is there, unless one that replaces it is under
  // way. Gives what maps_done will be when that is written.
  Result<uint64_t> end_with_map();

 private:
  struct Framed {  // what enters the map when the buffer is written
    std::vector<BlockRange> ranges;
    uint32_t offset = 0;
    bool mapped = true;
  };
  void lead(std::unique_lock<std::mutex>& lock, const LogOp& own);
  void process(std::vector<LogOp*>& batch);
  void frame_op(LogOp& op);
  void frame_small(std::vector<LogOp*>& ops);
  Status frame_write(const LogOp& op);
  Status frame_prepared(const LogOp& op);
  Status frame_move(LogOp& op);
  Status roll(const LogOp& op);
  Status add_frame(FrameKind kind, std::span<const BlockRange> ranges, bool continues,
                   std::span<const ByteView> data);
  Status add_packed(std::span<const BlockRange> ranges, FrameCodec codec, uint32_t plain_size,
                    const std::shared_ptr<const Buffer>& payload, uint64_t& counter);
  template <typename Fill>
  Status add_stored(FrameHeader header, size_t table, std::span<const ByteView> data,
                    const Fill& fill);
  MutableBytes grow(size_t bytes);
  void lend(ByteView bytes);
  void clear_buffer();
  Status add_mark();
  void index_frame(const FrameHeader& header, size_t at, uint32_t header_size);
  Status make_room(uint64_t bytes);
  Status check_disk(bool makes_room);
  Status open_segment();
  void finish_segment();
  Status write_out();
  void prepare_room();
  Status framed(Status done);
  Status discard(const Error& why);
  void abandon(const Error& why);
  uint64_t enter_in_map();
  void want_map();  // state's mutex held
  Status wait_for_sealer();

  VolumeState& state_;
  const uint64_t epoch_;
  // The queue.
  std::mutex mutex_;
  std::deque<LogOp*> queue_;
  bool leading_ = false;
  // The leader's.
  LogMark last_;  // of the segment finished last
  std::shared_ptr<TailSegment> open_;
  uint64_t offset_ = 0;           // where the buffer will be written
  uint64_t counted_at_ = 0;       // where in the file counting syncs began,
  uint64_t counted_syncs_ = 0;    // and how many there had been
  uint64_t unchecked_ = 1 * TiB;  // bytes since the disk was last seen to have room
  size_t indexed_ = 0;            // frames of open_ that are written
  // What write_out() writes: `used_` bytes in all, some of the buffer and then some that still lie
  // where an operation has them, and so on; at last what the buffer has beyond.
  struct Lent {
    size_t buffered;  // bytes of the buffer before it
    ByteView bytes;
  };
  size_t used_ = 0;
  Buffer buffer_;
  size_t buffer_used_ = 0;
  std::vector<Lent> lent_;
  std::vector<TailSegment::Kept> kept_;  // of what is lent, what may stay in memory
  std::vector<ByteView> pieces_;
  std::vector<Framed> framed_;
  std::vector<LogOp*> buffered_;  // whose frames are in the buffer
  VolumeCounters gained_;
};

}  // namespace coldshelf
