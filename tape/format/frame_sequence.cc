#include "tape/format/frame_sequence.h"

namespace coldshelf {

namespace {
Error out_of_sequence(const char* what) {
  return Error(ErrorCode::corrupt, std::string("frame out of sequence: ") + what);
}
}  // namespace

FrameSequence::FrameSequence(const SegmentHeader& segment)
    : encrypted_(segment.encrypted),
      next_block_(segment.first_block),
      next_filemark_(segment.first_filemark) {}

Status FrameSequence::accept(const FrameHeader& frame) {
  if (frame.frame_index != next_index_) return out_of_sequence("frame index");
  if (frame.encrypted != encrypted_) return out_of_sequence("encryption differs from the segment");
  if (frame.first_block != next_block_) return out_of_sequence("block number");
  if (frame.first_filemark != next_filemark_) return out_of_sequence("filemark number");
  // Only the first frame may go on with something that is not here.
  if (!first_ && frame.continues_previous != in_record_) return out_of_sequence("part of a record");
  if (frame.continues_previous && in_record_ && frame.record_size != record_size_) {
    return out_of_sequence("record size");
  }
  const bool begun_here = frame.continues_previous ? begun_here_ : true;
  const uint64_t bytes = (frame.continues_previous ? record_bytes_ : 0) + frame.plain_size;
  if (frame.record_size != 0) {
    const bool complete = bytes == frame.record_size;
    if (frame.continues_next ? bytes >= frame.record_size : begun_here && !complete) {
      return out_of_sequence("parts and record differ in size");
    }
    if (!begun_here && bytes >= frame.record_size) {
      return out_of_sequence("parts and record differ in size");
    }
  }
  in_record_ = frame.continues_next;
  begun_here_ = begun_here;
  record_size_ = frame.record_size;
  record_bytes_ = frame.continues_next ? bytes : 0;
  first_ = false;
  ++next_index_;
  next_block_ += frame.block_count();
  next_filemark_ += frame.filemark_count;
  return {};
}

}  // namespace coldshelf
