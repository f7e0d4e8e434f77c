// Whether frames follow each other as one segment's frames must.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "tape/format/segment.h"

namespace coldshelf {

// Feed the frames of a segment in order, from its first one.
class FrameSequence {
 public:
  explicit FrameSequence(const SegmentHeader& segment);
  // corrupt: `frame` cannot be the next one. Then the sequence is as before the call.
  Status accept(const FrameHeader& frame);

 private:
  bool encrypted_;
  uint32_t next_index_ = 0;
  uint64_t next_block_;
  uint64_t next_filemark_;
  bool first_ = true;
  // The record that goes on in the next frame; its bytes so far are unknown when it was begun in
  // the segment before.
  bool in_record_ = false;
  bool begun_here_ = false;
  uint32_t record_size_ = 0;
  uint64_t record_bytes_ = 0;
};

}  // namespace coldshelf
