#include "tape/cartridge/segment_file.h"

#include <utility>

namespace coldshelf {

namespace {
std::optional<FrameCipher> make_cipher(const SegmentHeader& header, const Secret& data_key) {
  if (data_key.empty()) return std::nullopt;
  FrameCipher cipher;
  cipher.data_key = data_key;
  cipher.epoch = static_cast<uint32_t>(header.epoch);
  cipher.sequence = static_cast<uint32_t>(header.sequence);
  return cipher;
}
}  // namespace

SegmentFile::SegmentFile(const SegmentHeader& header, const Secret& data_key,
                         const PartitionEnd& start)
    : header_(header), cipher_(make_cipher(header, data_key)) {
  guarded.start = start;
  guarded.end = start;
  synced.end = start;
}

SegmentFile::SegmentFile(const SegmentHeader& header, const Secret& data_key,
                         std::shared_ptr<File> file, SegmentIndex index)
    : header_(header),
      cipher_(make_cipher(header, data_key)),
      file_(std::move(file)),
      index_(std::move(index)) {}

std::shared_ptr<File> SegmentFile::file() const {
  const std::lock_guard lock(mutex_);
  return file_;
}

void SegmentFile::set_file(std::shared_ptr<File> file) {
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
}

size_t SegmentFile::frame_count() const {
  const std::lock_guard lock(mutex_);
  return index_.frames.size();
}

std::optional<FrameIndexEntry> SegmentFile::frame(size_t at) const {
  const std::lock_guard lock(mutex_);
  if (at >= index_.frames.size()) return std::nullopt;
  return index_.frames[at];
}

std::optional<size_t> SegmentFile::find_block(uint64_t block) const {
  const std::lock_guard lock(mutex_);
  const FrameIndexEntry* found = index_.find_block(block);
  if (found == nullptr) return std::nullopt;
  return static_cast<size_t>(found - index_.frames.data());
}

std::optional<size_t> SegmentFile::find_filemark(uint64_t filemark) const {
  const std::lock_guard lock(mutex_);
  const FrameIndexEntry* found = index_.find_filemark(filemark);
  if (found == nullptr) return std::nullopt;
  return static_cast<size_t>(found - index_.frames.data());
}

uint64_t SegmentFile::plain_bytes_before(size_t frame) const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (size_t i = 0; i < frame && i < index_.frames.size(); ++i) sum += index_.frames[i].plain_size;
  return sum;
}

void SegmentFile::append_frame(const FrameIndexEntry& entry) {
  const std::lock_guard lock(mutex_);
  index_.frames.push_back(entry);
}

void SegmentFile::keep_frames(size_t count) {
  const std::lock_guard lock(mutex_);
  if (count < index_.frames.size()) index_.frames.resize(count);
}

SegmentIndex SegmentFile::index() const {
  const std::lock_guard lock(mutex_);
  return index_;
}

}  // namespace coldshelf
