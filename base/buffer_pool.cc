#include "base/buffer_pool.h"

namespace coldshelf {

namespace {
// Buffers are made in whole steps, so that one made for 900 KiB serves for 1 MiB too.
constexpr size_t kStep = 64 * KiB;
}  // namespace

std::shared_ptr<BufferPool> BufferPool::create(uint64_t keep_bytes) {
  return std::shared_ptr<BufferPool>(new BufferPool(keep_bytes));
}

std::shared_ptr<Buffer> BufferPool::take(size_t size) {
  std::unique_ptr<Buffer> buffer;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = idle_.size(); i-- > 0;) {
      // Big enough, and not wastefully so.
      if (idle_[i]->capacity() >= size && idle_[i]->capacity() <= 2 * size + kStep) {
        buffer = std::move(idle_[i]);
        idle_[i] = std::move(idle_.back());
        idle_.pop_back();
        idle_bytes_ -= buffer->capacity();
        break;
      }
    }
  }
  if (!buffer) {
    buffer = std::make_unique<Buffer>();
    buffer->reserve((size + kStep - 1) / kStep * kStep);
  }
  buffer->resize(size);
  Buffer* raw = buffer.release();
  return std::shared_ptr<Buffer>(raw, [pool = weak_from_this()](Buffer* done) {
    std::unique_ptr<Buffer> owned(done);
    if (auto alive = pool.lock()) alive->give_back(std::move(owned));
  });
}

void BufferPool::give_back(std::unique_ptr<Buffer> buffer) {
  const std::lock_guard lock(mutex_);
  if (idle_bytes_ + buffer->capacity() > keep_bytes_) return;
  idle_bytes_ += buffer->capacity();
  idle_.push_back(std::move(buffer));
}

}  // namespace coldshelf
