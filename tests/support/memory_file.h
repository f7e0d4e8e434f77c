// A File in memory, for tests of what is read from and written to files.
#pragma once

#include <utility>

#include "base/file_system.h"

namespace coldshelf {

class MemoryFile final : public File {
 public:
  MemoryFile() = default;
  explicit MemoryFile(Buffer content) : bytes_(std::move(content)) {}
  explicit MemoryFile(ByteView content) : bytes_(to_buffer(content)) {}

  Buffer& bytes() { return bytes_; }
  // The read_at call with this number (from 0) fails with io; none by default.
  void fail_read(size_t number) { failing_read_ = number; }
  size_t reads() const { return reads_; }

  Status read_at(uint64_t offset, MutableBytes out) override {
    if (reads_++ == failing_read_) return Error(ErrorCode::io, "read failed on purpose");
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Error(ErrorCode::corrupt, "short read");
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }
  Status write_at(uint64_t offset, ByteView bytes) override {
    if (offset + bytes.size() > bytes_.size()) {
      bytes_.resize(static_cast<size_t>(offset) + bytes.size(), std::byte{0});
    }
    if (!bytes.empty()) std::memcpy(bytes_.data() + offset, bytes.data(), bytes.size());
    return {};
  }
  Status sync() override { return {}; }
  Status truncate(uint64_t size) override {
    bytes_.resize(static_cast<size_t>(size), std::byte{0});
    return {};
  }
  Result<uint64_t> size() override { return uint64_t{bytes_.size()}; }
  void start_writeback(uint64_t, uint64_t) override {}
  void drop_cache() override {}

 private:
  Buffer bytes_;
  size_t reads_ = 0;
  size_t failing_read_ = SIZE_MAX;
};

}  // namespace coldshelf
