// The segments that the map of an image names, and their bytes, wherever they lie.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "tape/cartridge/cartridge.h"
#include "tape/format/image_frame.h"

namespace coldshelf {

struct SegmentId {
  Uuid cartridge;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  auto operator<=>(const SegmentId&) const = default;
};

// One segment of the log, of this image or of one it was cloned from.
struct ImageSegment {
  SegmentId id;
  std::string path;  // of the sealed file
  bool own = true;   // else it belongs to an ancestor, and is never dropped by us
  bool encrypted = false;
  FrameCipher cipher;  // when encrypted
  const FrameCipher* cipher_or_null() const { return encrypted ? &cipher : nullptr; }

  // Under the volume's mutex.
  uint32_t slot = 0;
  bool sealed = false;  // `entry` is set
  SegmentEntry entry;
  uint64_t readable_bytes = 0;  // written so far
  uint64_t live_blocks = 0;     // that the map names
  uint64_t total_blocks = 0;    // that were written to it; at least live_blocks
};

// Reads bytes of segments: from open files, a bounded number of them, or by range from the source.
// Thread-safe.
class SegmentFiles {
 public:
  SegmentFiles(const CartridgeEnv& env, size_t max_open, int64_t fetch_timeout_ms)
      : env_(env), max_open_(max_open), fetch_timeout_ms_(fetch_timeout_ms) {}

  // Of `segment` all of [offset, offset + out.size()), which lies below `size`.
  Status read_at(const ImageSegment& segment, uint64_t offset, MutableBytes out);
  Result<uint64_t> size_of(const ImageSegment& segment);
  // The file of a segment that is being written: kept until unpin().
  void pin(const ImageSegment& segment, std::shared_ptr<File> file);
  void unpin(const ImageSegment& segment);
  void forget(const SegmentId& id);
  // Its file is gone: an open one is closed, unless it is being written. What was fetched stays.
  void close_file(const SegmentId& id);
  // What was fetched there failed a check; it is fetched anew.
  void distrust(const ImageSegment& segment, uint64_t offset, uint64_t length);
  // Whether reading must ask the source.
  bool is_local(const ImageSegment& segment);

 private:
  struct Open {
    std::shared_ptr<File> file;
    bool pinned = false;
    std::list<SegmentId>::iterator use;
  };
  struct Window {  // bytes fetched from the source
    SegmentId id;
    uint64_t offset = 0;
    std::shared_ptr<const Buffer> bytes;
  };
  Result<std::shared_ptr<File>> local_file(const ImageSegment& segment);
  Status fetch(const ImageSegment& segment, uint64_t offset, MutableBytes out);
  std::shared_ptr<const Buffer> find_window(const SegmentId& id, uint64_t offset);
  void close_some();  // mutex_ is held

  const CartridgeEnv env_;
  const size_t max_open_;
  const int64_t fetch_timeout_ms_;
  std::mutex mutex_;
  std::map<SegmentId, Open> open_;
  std::list<SegmentId> used_;  // last used first
  std::list<Window> windows_;  // last used first
};

}  // namespace coldshelf
