// A segment's object in memory, looked at as a file.
#pragma once

#include <algorithm>

#include "base/buffer_pool.h"
#include "base/file_system.h"
#include "base/secret.h"
#include "tape/format/manifest.h"

namespace coldshelf {

// An object in memory as a file.
class ObjectFile final : public File {
 public:
  explicit ObjectFile(MutableBytes content) : content_(content) {}
  Status read_at(uint64_t offset, MutableBytes out) override {
    if (offset > content_.size() || out.size() > content_.size() - offset) {
      return Error(ErrorCode::corrupt, "short read");
    }
    const ByteView from = content_.subspan(static_cast<size_t>(offset), out.size());
    std::copy(from.begin(), from.end(), out.begin());
    return {};
  }
  Status write_at(uint64_t, ByteView) override { return refused(); }
  Status sync() override { return {}; }
  Status truncate(uint64_t) override { return refused(); }
  Result<uint64_t> size() override { return content_.size(); }
  void start_writeback(uint64_t, uint64_t) override {}
  void drop_cache() override {}

 private:
  static Status refused() { return Error(ErrorCode::read_only, "an object is never changed"); }
  MutableBytes content_;
};

// Every byte of a segment's file: its checksums, its structure, and that it is the one `entry`
// means. corrupt says what is wrong.
Status check_segment_object(File& file, const Uuid& cartridge, const SegmentEntry& entry,
                            const Secret* data_key, BufferPool& pool);

}  // namespace coldshelf
