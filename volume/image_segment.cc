#include "volume/image_segment.h"

#include <algorithm>

#include "base/check.h"

namespace coldshelf {

namespace {
// What is asked of the source at once, and how many of such windows are kept.
constexpr uint64_t kWindowBytes = 256 * KiB;
constexpr size_t kMaxWindows = 32;
}  // namespace

Result<std::shared_ptr<File>> SegmentFiles::local_file(const ImageSegment& segment) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(segment.id);
    if (found != open_.end()) {
      used_.splice(used_.begin(), used_, found->second.use);
      return found->second.file;
    }
  }
  ASSIGN_OR_RETURN(auto opened, env_.files->open(segment.path, OpenMode::read));
  std::shared_ptr<File> file = std::move(opened);
  // A file under the right name that is another segment must not pass.
  Buffer head(kSegmentHeaderSize);
  TRY(file->read_at(0, head));
  ASSIGN_OR_RETURN(const SegmentHeader header, decode_segment_header(head));
  if (SegmentId{header.cartridge, header.sequence, header.epoch} != segment.id ||
      header.encrypted != segment.encrypted) {
    return Error(ErrorCode::corrupt, segment.path + " is another segment");
  }
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = open_.try_emplace(segment.id);
  if (fresh) {
    used_.push_front(segment.id);
    at->second = {file, false, used_.begin()};
    close_some();
  }
  return file;
}

void SegmentFiles::close_some() {
  for (auto at = used_.end(); open_.size() > max_open_ && at != used_.begin();) {
    --at;
    const auto open = open_.find(*at);
    if (open->second.pinned) continue;
    open_.erase(open);
    at = used_.erase(at);
  }
}

void SegmentFiles::pin(const ImageSegment& segment, std::shared_ptr<File> file) {
  const std::lock_guard lock(mutex_);
  CHECK(open_.find(segment.id) == open_.end());
  used_.push_front(segment.id);
  open_[segment.id] = {std::move(file), true, used_.begin()};
}

void SegmentFiles::unpin(const ImageSegment& segment) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(segment.id);
  if (found != open_.end()) found->second.pinned = false;
  close_some();
}

void SegmentFiles::forget(const SegmentId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(id);
  if (found != open_.end()) {
    used_.erase(found->second.use);
    open_.erase(found);
  }
  windows_.remove_if([&](const Window& w) { return w.id == id; });
}

bool SegmentFiles::is_local(const ImageSegment& segment) {
  {
    const std::lock_guard lock(mutex_);
    if (open_.find(segment.id) != open_.end()) return true;
  }
  auto there = env_.files->exists(segment.path);
  return there.ok() && *there;
}

Result<uint64_t> SegmentFiles::size_of(const ImageSegment& segment) {
  auto file = local_file(segment);
  if (file.ok()) return (*file)->size();
  if (file.error().code == ErrorCode::not_found && env_.source != nullptr && segment.sealed) {
    return uint64_t{segment.entry.stored_bytes};
  }
  return file.error();
}

Status SegmentFiles::read_at(const ImageSegment& segment, uint64_t offset, MutableBytes out) {
  auto file = local_file(segment);
  if (file.ok()) return (*file)->read_at(offset, out);
  if (file.error().code != ErrorCode::not_found || env_.source == nullptr || !segment.sealed) {
    return std::move(file).error();
  }
  return fetch(segment, offset, out);
}

Status SegmentFiles::fetch(const ImageSegment& segment, uint64_t offset, MutableBytes out) {
  const uint64_t size = segment.entry.stored_bytes;
  if (offset > size || out.size() > size - offset) {
    return Error(ErrorCode::corrupt, "short read of " + segment.path);
  }
  {
    const std::lock_guard lock(mutex_);
    for (auto w = windows_.begin(); w != windows_.end(); ++w) {
      if (w->id != segment.id || offset < w->offset ||
          offset + out.size() > w->offset + w->bytes->size()) {
        continue;
      }
      std::memcpy(out.data(), w->bytes->data() + (offset - w->offset), out.size());
      windows_.splice(windows_.begin(), windows_, w);
      return {};
    }
  }
  const uint64_t length =
      std::min<uint64_t>(size - offset, std::max<uint64_t>(kWindowBytes, out.size()));
  auto bytes = std::make_shared<Buffer>(static_cast<size_t>(length));
  TRY(env_.source->fetch_range(segment.id.cartridge, segment.entry, offset, *bytes,
                               fetch_timeout_ms_));
  std::memcpy(out.data(), bytes->data(), out.size());
  const std::lock_guard lock(mutex_);
  windows_.push_front({segment.id, offset, std::move(bytes)});
  if (windows_.size() > kMaxWindows) windows_.pop_back();
  return {};
}

}  // namespace coldshelf
