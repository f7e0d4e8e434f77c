#include "tape/cartridge/segment_cache.h"

#include <utility>

#include "base/log.h"

namespace coldshelf {

namespace {
// Each holds a file open and some KiB of index; a sequential reader needs two or three.
constexpr size_t kMaxSegments = 16;
constexpr uint64_t kMaxFooterBytes = 64 * MiB;

SegmentHeader header_of(const CartridgeState& state, const SegmentEntry& entry) {
  SegmentHeader header;
  header.cartridge = state.uuid;
  header.partition = entry.partition;
  header.epoch = entry.epoch;
  header.sequence = entry.sequence;
  header.first_block = entry.first_block;
  header.first_filemark = entry.first_filemark;
  header.encrypted = !state.data_key.empty();
  return header;
}
}  // namespace

std::shared_ptr<SegmentFile> SegmentCache::find(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  for (auto it = recent_.begin(); it != recent_.end(); ++it) {
    if ((*it)->sequence() != sequence) continue;
    recent_.splice(recent_.begin(), recent_, it);
    return recent_.front();
  }
  return nullptr;
}

void SegmentCache::insert(std::shared_ptr<SegmentFile> segment) {
  const std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const auto& s) { return s->sequence() == segment->sequence(); });
  recent_.push_front(std::move(segment));
  if (recent_.size() > kMaxSegments) recent_.pop_back();
}

void SegmentCache::clear() {
  const std::lock_guard lock(mutex_);
  recent_.clear();
}

Result<std::shared_ptr<SegmentFile>> SegmentCache::load(const SegmentEntry& entry, bool may_fetch) {
  if (auto cached = find(entry.sequence)) return cached;
  const std::string path = state_.sealed_path(entry.sequence, entry.epoch);
  auto opened = state_.env.files->open(path, OpenMode::read);
  if (!opened.ok() && opened.error().code == ErrorCode::not_found) {
    if (!may_fetch || state_.env.source == nullptr) {
      return Error(ErrorCode::not_found, "segment " + std::to_string(entry.sequence) +
                                             " is not on this disk (" + path + ")");
    }
    opened = state_.env.source->fetch(state_.uuid, entry, state_.options.fetch_timeout_ms);
  } else if (opened.ok() && state_.env.source != nullptr) {
    state_.env.source->used(state_.uuid, entry);
  }
  if (!opened.ok()) return std::move(opened).error();
  std::shared_ptr<File> file = std::move(opened).value();
  ASSIGN_OR_RETURN(SegmentIndex index, read_index(*file, entry));
  auto segment = std::make_shared<SegmentFile>(header_of(state_, entry), state_.data_key,
                                               std::move(file), std::move(index));
  insert(segment);
  return segment;
}

Result<SegmentIndex> SegmentCache::read_index(File& file, const SegmentEntry& entry) const {
  auto map = read_segment_map(file);
  if (map.ok()) {
    const SegmentHeader& header = map->header;
    if (header.cartridge == state_.uuid && header.sequence == entry.sequence &&
        header.epoch == entry.epoch && header.partition == entry.partition &&
        map->trailer.sha256 == entry.sha256) {
      return std::move(map->index);
    }
  } else if (map.error().code != ErrorCode::corrupt) {
    return std::move(map).error();
  }
  const std::string why = map.ok() ? "not the segment the manifest names" : map.error().context;
  auto salvaged = salvage_index(file, entry);
  if (!salvaged.ok()) {
    return Error(ErrorCode::corrupt, "segment " + std::to_string(entry.sequence) + ": " + why);
  }
  log_warning("cartridge", "segment damaged, frames still readable",
              {{"label", state_.label}, {"segment", entry.sequence}, {"why", why}});
  return salvaged;
}

// The index is in the footer, and in the frames themselves: one of both is enough. Every frame is
// verified when it is read, so that a wrong guess here is found there.
Result<SegmentIndex> SegmentCache::salvage_index(File& file, const SegmentEntry& entry) const {
  const SegmentFile identity(header_of(state_, entry), state_.data_key, PartitionEnd{});
  auto scan = scan_segment(file, identity.cipher(), *state_.env.buffers);
  if (scan.ok()) {
    if (scan->header.cartridge != state_.uuid || scan->header.sequence != entry.sequence ||
        scan->header.epoch != entry.epoch) {
      return Error(ErrorCode::corrupt, "another segment's header");
    }
    return std::move(scan->index);
  }
  // The header is what is damaged: footer and trailer stand without it.
  ASSIGN_OR_RETURN(const uint64_t size, file.size());
  if (size < kSegmentHeaderSize + kSegmentTrailerSize) return scan.error();
  Buffer last(kSegmentTrailerSize);
  TRY(file.read_at(size - last.size(), last));
  ASSIGN_OR_RETURN(const SegmentTrailer trailer, decode_segment_trailer(last));
  if (trailer.sha256 != entry.sha256 || trailer.footer_size > kMaxFooterBytes) return scan.error();
  Buffer footer(static_cast<size_t>(trailer.footer_size));
  TRY(file.read_at(trailer.footer_offset, footer));
  return decode_segment_footer(footer, trailer);
}

}  // namespace coldshelf
