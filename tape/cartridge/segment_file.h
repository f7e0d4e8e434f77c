// One segment with its file and frame index: sealed (immutable, index from the footer) or in the
// cartridge's tail (being written, or finished and not yet sealed; its index grows).
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "base/file_system.h"
#include "base/sha256.h"
#include "tape/format/segment.h"

namespace coldshelf {

// Objects, filemarks and plain bytes of a partition before some point.
struct PartitionEnd {
  uint64_t block = 0;
  uint64_t filemark = 0;
  uint64_t plain_bytes = 0;
};

class SegmentFile {
 public:
  // A segment to be written; `start` is where its partition ends so far.
  SegmentFile(const SegmentHeader& header, const Secret& data_key, const PartitionEnd& start);
  // A sealed segment.
  SegmentFile(const SegmentHeader& header, const Secret& data_key, std::shared_ptr<File> file,
              SegmentIndex index);

  const SegmentHeader& header() const { return header_; }
  uint64_t sequence() const { return header_.sequence; }
  uint64_t epoch() const { return header_.epoch; }
  uint32_t partition() const { return header_.partition; }
  const FrameCipher* cipher() const { return cipher_ ? &*cipher_ : nullptr; }

  // Thread-safe; the file is there once a frame is.
  std::shared_ptr<File> file() const;
  void set_file(std::shared_ptr<File> file);
  size_t frame_count() const;
  std::optional<FrameIndexEntry> frame(size_t at) const;
  std::optional<size_t> find_block(uint64_t block) const;
  std::optional<size_t> find_filemark(uint64_t filemark) const;
  uint64_t plain_bytes_before(size_t frame) const;
  void append_frame(const FrameIndexEntry& entry);
  void keep_frames(size_t count);
  SegmentIndex index() const;

  // -- of a segment in the tail; who may touch what:
  struct WriteStage {  // the pipeline's write stage (one thread at a time)
    uint64_t offset = 0;
    uint64_t written_back = 0;
  } write_stage;
  struct HashStage {  // the pipeline's hash stage (one thread at a time)
    Sha256 running;
    bool header_seen = false;
  } hash_stage;
  struct Guarded {  // under CartridgeState::mutex
    uint32_t frames_submitted = 0;
    uint64_t plain_submitted = 0;
    uint64_t plain_written = 0;
    uint64_t bytes_written = 0;  // in the file: header, frames, and footer and trailer at last
    PartitionEnd start;
    PartitionEnd end;       // of the frames written
    bool finished = false;  // footer and trailer are written
    Sha256Digest digest{};
    Sha256Digest file_digest{};  // of the whole file, trailer and all
  } guarded;
  struct Synced {
    std::mutex mutex;  // held over fdatasync: an error reaches whoever comes second, too
    // Changed under CartridgeState::mutex, too.
    size_t frames = 0;
    uint64_t bytes = 0;
    PartitionEnd end;
    bool directory_entry = false;
  } synced;

 private:
  const SegmentHeader header_;
  std::optional<FrameCipher> cipher_;
  mutable std::mutex mutex_;
  std::shared_ptr<File> file_;
  SegmentIndex index_;
};

}  // namespace coldshelf
