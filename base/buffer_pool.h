// Reuses large buffers, so that streaming does not pay a page fault for every 4 KiB.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"

namespace coldshelf {

// Thread-safe. Keeps at most `keep_bytes` of idle buffers; what comes back beyond that is freed.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static std::shared_ptr<BufferPool> create(uint64_t keep_bytes);

  // A buffer with size() == size; its content is unspecified. Goes back to the pool with the last
  // reference.
  std::shared_ptr<Buffer> take(size_t size);

 private:
  explicit BufferPool(uint64_t keep_bytes) : keep_bytes_(keep_bytes) {}
  void give_back(std::unique_ptr<Buffer> buffer);

  const uint64_t keep_bytes_;
  std::mutex mutex_;
  uint64_t idle_bytes_ = 0;
  std::vector<std::unique_ptr<Buffer>> idle_;
};

}  // namespace coldshelf
