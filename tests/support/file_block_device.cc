#include "tests/support/file_block_device.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "base/check.h"

namespace coldshelf::test {

FileBlockDevice::FileBlockDevice(Options options)
    : options_(std::move(options)), size_(options_.size_bytes) {
  fd_ = ::open(options_.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(fd_ >= 0);
  const off_t there = ::lseek(fd_, 0, SEEK_END);
  if (there > static_cast<off_t>(options_.size_bytes)) size_ = static_cast<uint64_t>(there);
  CHECK(::ftruncate(fd_, static_cast<off_t>(size_.load())) == 0);
  mapped_.resize(static_cast<size_t>(size_ / options_.block_bytes));
  // What the file has as data counts as mapped.
  for (off_t at = 0; at < there;) {
    const off_t data = ::lseek(fd_, at, SEEK_DATA);
    if (data < 0) break;
    at = ::lseek(fd_, data, SEEK_HOLE);
    mark(static_cast<uint64_t>(data), static_cast<uint64_t>(at - data), true);
  }
}

FileBlockDevice::~FileBlockDevice() {
  thaw();
  ::close(fd_);
}

void FileBlockDevice::check_range(uint64_t offset, uint64_t length) const {
  CHECK(offset % options_.block_bytes == 0 && length % options_.block_bytes == 0);
  CHECK(offset <= size_ && length <= size_ - offset);
}

void FileBlockDevice::mark(uint64_t offset, uint64_t length, bool mapped) {
  const uint64_t end = (offset + length + options_.block_bytes - 1) / options_.block_bytes;
  for (uint64_t b = offset / options_.block_bytes; b < end; ++b) {
    if (mapped_[static_cast<size_t>(b)] == mapped) continue;
    mapped_[static_cast<size_t>(b)] = mapped;
    mapped_blocks_ = mapped ? mapped_blocks_ + 1 : mapped_blocks_ - 1;
  }
}

Status FileBlockDevice::read(uint64_t offset, MutableBytes out) {
  check_range(offset, out.size());
  if (frozen_) {
    std::unique_lock lock(frozen_mutex_);
    ++waiting_;
    thawed_.notify_all();
    thawed_.wait(lock, [&] { return !is_frozen(offset, out.size()); });
    --waiting_;
  }
  if (damaged_ >= offset && damaged_ < offset + out.size())
    return Error(ErrorCode::corrupt, "a damaged block, for a test");
  const std::shared_lock lock(whole_);
  for (size_t done = 0; done < out.size();) {
    const ssize_t got =
        ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got <= 0) return error_from_errno(errno, "pread");
    done += static_cast<size_t>(got);
  }
  return {};
}

Status FileBlockDevice::write(uint64_t offset, ByteView bytes, bool durable) {
  check_range(offset, bytes.size());
  if (read_only_) return Error(ErrorCode::read_only, "read-only, for a test");
  if (full_) return Error(ErrorCode::no_space, "full, for a test");
  {
    const std::unique_lock lock(whole_);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t put = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(offset + done));
      if (put <= 0) return error_from_errno(errno, "pwrite");
      done += static_cast<size_t>(put);
    }
    mark(offset, bytes.size(), true);
  }
  if (!durable) return {};
  ++durable_writes_;
  return ::fdatasync(fd_) == 0 ? Status() : Status(error_from_errno(errno, "fdatasync"));
}

Status FileBlockDevice::unmap(uint64_t offset, uint64_t length) {
  check_range(offset, length);
  if (read_only_) return Error(ErrorCode::read_only, "read-only, for a test");
  const std::unique_lock lock(whole_);
  if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) != 0)
    return error_from_errno(errno, "fallocate");
  mark(offset, length, false);
  unmapped_ += length;
  return {};
}

Status FileBlockDevice::flush() {
  ++flushes_;
  return ::fdatasync(fd_) == 0 ? Status() : Status(error_from_errno(errno, "fdatasync"));
}

Result<BlockDevice::Run> FileBlockDevice::run_at(uint64_t offset, uint64_t limit) {
  check_range(offset, limit);
  const std::shared_lock lock(whole_);
  const auto first = static_cast<size_t>(offset / options_.block_bytes);
  const auto end = static_cast<size_t>((offset + limit) / options_.block_bytes);
  size_t last = first;
  while (last < end && mapped_[last] == mapped_[first]) ++last;
  return Run{(last - first) * options_.block_bytes, mapped_[first]};
}

bool FileBlockDevice::prefetch(uint64_t offset, uint64_t length) {
  check_range(offset, length);
  return false;
}

bool FileBlockDevice::is_frozen(uint64_t offset, uint64_t length) const {
  return frozen_ && offset < frozen_offset_ + frozen_length_ && frozen_offset_ < offset + length;
}

bool FileBlockDevice::read_may_wait(uint64_t offset, uint64_t length) const {
  if (!frozen_) return false;
  const std::lock_guard lock(frozen_mutex_);
  return is_frozen(offset, length);
}

Status FileBlockDevice::erase(Erasure) {
  {
    std::unique_lock lock(frozen_mutex_);
    thawed_.wait(lock, [this] { return !erase_held_; });
  }
  const std::unique_lock lock(whole_);
  if (::ftruncate(fd_, 0) != 0 || ::ftruncate(fd_, static_cast<off_t>(size_.load())) != 0 ||
      ::fdatasync(fd_) != 0)
    return error_from_errno(errno, "erasing");
  mapped_.assign(mapped_.size(), false);
  mapped_blocks_ = 0;
  return {};
}

BlockDevice::Usage FileBlockDevice::usage() const {
  const std::shared_lock lock(whole_);
  const uint64_t bytes = mapped_blocks_ * options_.block_bytes;
  return {bytes, bytes, 0};
}

void FileBlockDevice::grow(uint64_t size_bytes) {
  const std::unique_lock lock(whole_);
  CHECK(size_bytes >= size_ && ::ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0);
  mapped_.resize(static_cast<size_t>(size_bytes / options_.block_bytes));
  size_ = size_bytes;
}

void FileBlockDevice::freeze(uint64_t offset, uint64_t length) {
  const std::lock_guard lock(frozen_mutex_);
  frozen_offset_ = offset;
  frozen_length_ = length;
  frozen_ = true;
}

void FileBlockDevice::thaw() {
  const std::lock_guard lock(frozen_mutex_);
  frozen_ = false;
  erase_held_ = false;
  thawed_.notify_all();
}

bool FileBlockDevice::wait_for_waiting_reads(size_t count) {
  std::unique_lock lock(frozen_mutex_);
  return thawed_.wait_for(lock, std::chrono::seconds(10), [&] { return waiting_ >= count; });
}

void FileBlockDevice::hold_erase(bool hold) {
  const std::lock_guard lock(frozen_mutex_);
  erase_held_ = hold;
  thawed_.notify_all();
}

}  // namespace coldshelf::test
