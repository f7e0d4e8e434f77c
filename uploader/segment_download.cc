#include "uploader/segment_download.h"

#include <algorithm>

namespace coldshelf {

SegmentDownload::SegmentDownload(ObjectStore& store, std::string key, std::string name,
                                 const SegmentEntry& entry, std::unique_ptr<File> file,
                                 std::shared_ptr<BufferPool> buffers)
    : store_(store),
      key_(std::move(key)),
      name_(std::move(name)),
      entry_(entry),
      file_(std::move(file)),
      buffers_(std::move(buffers)),
      parts_(static_cast<size_t>((entry.stored_bytes + kPartBytes - 1) / kPartBytes)),
      written_(parts_, false),
      hasher_(entry.stored_bytes) {}

uint64_t SegmentDownload::size_of(size_t part) const {
  return std::min(kPartBytes, entry_.stored_bytes - part * kPartBytes);
}

std::optional<size_t> SegmentDownload::take() {
  const std::lock_guard lock(mutex_);
  if (error_ || next_ == parts_) return std::nullopt;
  ++under_way_;
  return next_++;
}

bool SegmentDownload::all_taken() const {
  const std::lock_guard lock(mutex_);
  return error_ || next_ == parts_;
}

bool SegmentDownload::settled() const {
  const std::lock_guard lock(mutex_);
  return under_way_ == 0 && (error_ || next_ == parts_);
}

void SegmentDownload::abandon(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = why;
}

uint64_t SegmentDownload::run(size_t part) {
  const auto buffer = buffers_->take(static_cast<size_t>(size_of(part)));
  const MutableBytes bytes(*buffer);
  Status done = fetch(part, bytes);
  const uint64_t came = done.ok() ? bytes.size() : 0;
  if (done.ok()) done = hash_in_order(part, bytes);
  const std::lock_guard lock(mutex_);
  if (!done.ok() && !error_) error_ = done.error();
  --under_way_;
  return came;
}

Status SegmentDownload::fetch(size_t part, MutableBytes bytes) {
  const uint64_t at = part * kPartBytes;
  Status got = store_.get(key_, at, bytes);
  if (!got.ok() && got.error().code == ErrorCode::out_of_range) {
    return Error(ErrorCode::corrupt, name_ + ": the object in the store is too short");
  }
  TRY(std::move(got));
  return file_->write_at(at, bytes);
}

// Whoever has written the part that is next in line hashes it, and what others have written behind
// it meanwhile.
Status SegmentDownload::hash_in_order(size_t part, MutableBytes bytes) {
  std::unique_lock lock(mutex_);
  written_[part] = true;
  if (hashing_) return {};
  hashing_ = true;
  Status done;
  bool holds_part = true;
  while (done.ok() && hashed_ < parts_ && written_[hashed_]) {
    const size_t next = hashed_;
    lock.unlock();
    const MutableBytes from =
        bytes.first(static_cast<size_t>(std::min<uint64_t>(bytes.size(), size_of(next))));
    if (next == part && holds_part) {
      hasher_.update(bytes);
    } else {
      // From the file, in steps of what this part's buffer holds.
      holds_part = false;
      for (uint64_t at = 0; done.ok() && at < size_of(next); at += from.size()) {
        const MutableBytes piece =
            from.first(static_cast<size_t>(std::min<uint64_t>(from.size(), size_of(next) - at)));
        done = file_->read_at(next * kPartBytes + at, piece);
        if (done.ok()) hasher_.update(piece);
      }
    }
    lock.lock();
    ++hashed_;
  }
  hashing_ = false;
  return done;
}

Status SegmentDownload::finish(Sha256Digest& object_sha256) {
  const std::lock_guard lock(mutex_);
  CHECK(under_way_ == 0);
  if (error_) return *error_;
  CHECK(hashed_ == parts_);
  const Status whole = hasher_.finish(entry_.sha256);
  object_sha256 = hasher_.object();
  if (!whole.ok()) {
    return Error(ErrorCode::corrupt,
                 name_ + " came damaged from the store: " + whole.error().context);
  }
  return {};
}

}  // namespace coldshelf
