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

void SegmentFiles::close_file(const SegmentId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(id);
  if (found == open_.end() || found->second.pinned) return;
  used_.erase(found->second.use);
  open_.erase(found);
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

std::shared_ptr<const Buffer> SegmentFiles::find_window(const SegmentId& id, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  for (auto w = windows_.begin(); w != windows_.end(); ++w) {
    if (w->id != id || w->offset != offset) continue;
    windows_.splice(windows_.begin(), windows_, w);
    return w->bytes;
  }
  return nullptr;
}

// In whole windows, which begin at multiples of their size: so does what a source may keep.
Status SegmentFiles::fetch(const ImageSegment& segment, uint64_t offset, MutableBytes out) {
  const uint64_t size = segment.entry.stored_bytes;
  if (offset > size || out.size() > size - offset) {
    return Error(ErrorCode::corrupt, "short read of " + segment.path);
  }
  const uint64_t end = offset + out.size();
  for (uint64_t at = offset; at < end;) {
    const uint64_t begin = at / kWindowBytes * kWindowBytes;
    auto bytes = find_window(segment.id, begin);
    if (bytes == nullptr) {
      uint64_t stop = begin + kWindowBytes;
      while (stop < end && find_window(segment.id, stop) == nullptr) stop += kWindowBytes;
      auto fresh = std::make_shared<Buffer>(static_cast<size_t>(std::min(stop, size) - begin));
      TRY(env_.source->fetch_range(segment.id.cartridge, segment.entry, begin, *fresh,
                                   fetch_timeout_ms_));
      for (uint64_t part = begin; part < begin + fresh->size(); part += kWindowBytes) {
        const ByteView window = ByteView(*fresh).subspan(
            part - begin, std::min<uint64_t>(kWindowBytes, begin + fresh->size() - part));
        const std::lock_guard lock(mutex_);
        windows_.push_front({segment.id, part,
                             part == begin && window.size() == fresh->size()
                                 ? fresh
                                 : std::make_shared<const Buffer>(window.begin(), window.end())});
        if (windows_.size() > kMaxWindows) windows_.pop_back();
      }
      bytes = std::move(fresh);
    }
    const size_t n = static_cast<size_t>(std::min<uint64_t>(begin + bytes->size() - at, end - at));
    std::memcpy(out.data() + (at - offset), bytes->data() + (at - begin), n);
    at += n;
  }
  return {};
}

void SegmentFiles::distrust(const ImageSegment& segment, uint64_t offset, uint64_t length) {
  {
    const std::lock_guard lock(mutex_);
    windows_.remove_if([&](const Window& w) {
      return w.id == segment.id && w.offset < offset + length &&
             offset < w.offset + w.bytes->size();
    });
  }
  if (env_.source != nullptr) {
    env_.source->distrust(segment.id.cartridge, segment.entry, offset, length);
  }
}

}  // namespace coldshelf
