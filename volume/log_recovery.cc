#include "volume/log_recovery.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"

namespace coldshelf {

namespace {

// A segment of the last writer that the manifest does not name, as far as it can be read.
struct Candidate {
  ListedSegment found;
  std::unique_ptr<File> file;
  FrameCipher cipher;
  SegmentScan scan;
  LogMark mark;
};

class LogRecovery {
 public:
  LogRecovery(const CartridgeEnv& env, const std::string& directory, ManifestLog& log,
              const Secret& data_key, uint32_t block_bytes)
      : env_(env),
        directory_(directory),
        log_(log),
        data_key_(data_key),
        block_bytes_(block_bytes) {}

  Result<RecoveredLog> run();

 private:
  Status find_end();
  Candidate* follower(std::vector<Candidate>& candidates);
  Result<std::optional<Candidate>> read_candidate(const ListedSegment& found);
  Result<LogMark> read_mark(Candidate& candidate);
  Status cut_group(Candidate& candidate);
  Status seal(Candidate& candidate);
  Status remove(const ListedSegment& found);
  const FrameCipher* cipher(const Candidate& c) const {
    return data_key_.empty() ? nullptr : &c.cipher;
  }

  const CartridgeEnv& env_;
  const std::string& directory_;
  ManifestLog& log_;
  const Secret& data_key_;
  const uint32_t block_bytes_;
  RecoveredLog result_;
};

// Step 1, the replay of the manifest, was ManifestLog::open().
Result<RecoveredLog> LogRecovery::run() {
  // 2. Which segment files there are; new sequences begin beyond all of them.
  ASSIGN_OR_RETURN(const std::vector<ListedSegment> all, list_segments(*env_.files, directory_));
  result_.next_sequence = log_.manifest().next_sequence;
  std::vector<ListedSegment> unnamed;
  for (const ListedSegment& found : all) {
    result_.next_sequence = std::max(result_.next_sequence, found.name.sequence + 1);
    if (!names_segment(log_.manifest(), found.name)) {
      unnamed.push_back(found);
    } else if (found.open && found.sealed) {
      TRY(env_.files->remove(open_segment_path(directory_, found.name.sequence, found.name.epoch)));
    }
  }
  // 3. Those of the last writer's log, while each is tied to the one before: its first frame says
  //    which that was and how many frames it had. One that lost frames ends the log; frames beyond
  //    that number were never acknowledged. Where two are tied to the same one, the first was given
  //    up when the disk was full, and its removal lost.
  TRY(find_end());
  std::vector<Candidate> candidates;
  for (const ListedSegment& found : unnamed) {
    ASSIGN_OR_RETURN(auto candidate, read_candidate(found));
    if (candidate) candidates.push_back(std::move(*candidate));
  }
  Candidate* last = nullptr;
  std::set<uint64_t> kept;
  for (Candidate* next = follower(candidates); next != nullptr; next = follower(candidates)) {
    if (last != nullptr) {
      auto& frames = last->scan.index.frames;
      if (frames.size() < next->mark.frame_count) break;
      frames.resize(static_cast<size_t>(next->mark.frame_count));
      TRY(seal(*last));
    } else if (next->mark.frame_count != result_.last.frame_count) {
      break;
    }
    TRY(cut_group(*next));
    result_.last = {block_bytes_, next->mark.block_count, next->found.name.sequence + 1,
                    next->scan.index.frames.size()};
    kept.insert(next->found.name.sequence);
    last = next;
  }
  if (last != nullptr) TRY(seal(*last));
  // 4. Everything else was never synced, or is of an older writer, or a map that was not finished.
  for (const ListedSegment& found : unnamed) {
    const bool whole = kept.contains(found.name.sequence);
    if (!whole || found.name.epoch != log_.manifest().epoch) TRY(remove(found));
  }
  return std::move(result_);
}

// The last candidate that is tied to the end of the log so far; sequences rise along the log.
Candidate* LogRecovery::follower(std::vector<Candidate>& candidates) {
  for (auto c = candidates.rbegin(); c != candidates.rend(); ++c) {
    if (c->found.name.sequence < result_.last.next_sequence) break;
    if (c->mark.next_sequence == result_.last.next_sequence) return &*c;
  }
  return nullptr;
}

// The log ends with the manifest's last segment, so far. Where that is not on this disk, it was
// sealed and stored long ago, and nothing unnamed can follow a lost file.
Status LogRecovery::find_end() {
  result_.last.block_bytes = block_bytes_;
  const auto& segments = log_.manifest().partitions[kImageLogPartition].segments;
  if (segments.empty()) return {};
  const SegmentEntry& entry = segments.back();
  result_.last.next_sequence = entry.sequence + 1;
  Buffer bytes(kSegmentTrailerSize);
  auto file =
      env_.files->open(segment_path(directory_, entry.sequence, entry.epoch), OpenMode::read);
  if (file.ok()) {
    TRY((*file)->read_at(entry.stored_bytes - bytes.size(), bytes));
  } else if (file.error().code == ErrorCode::not_found && env_.source != nullptr) {
    TRY(env_.source->fetch_range(log_.manifest().uuid, entry, entry.stored_bytes - bytes.size(),
                                 bytes, 60'000));
  } else {
    return std::move(file).error();
  }
  ASSIGN_OR_RETURN(const SegmentTrailer trailer, decode_segment_trailer(bytes));
  result_.last.frame_count = trailer.frame_count;
  return {};
}

// Room that the writer had made for what did not come. What cannot be read is none.
bool only_zeros(File& file, uint64_t at, uint64_t end) {
  Buffer chunk;
  for (; at < end; at += chunk.size()) {
    chunk.resize(static_cast<size_t>(std::min<uint64_t>(64 * KiB, end - at)));
    if (!file.read_at(at, chunk).ok()) return false;
    if (!all_zeroes(chunk)) return false;
  }
  return true;
}

// nullopt: no segment of the last writer's log, or torn at its beginning.
Result<std::optional<Candidate>> LogRecovery::read_candidate(const ListedSegment& found) {
  std::optional<Candidate> none;
  const Manifest& manifest = log_.manifest();
  if (found.name.epoch != manifest.epoch) return none;
  Candidate c;
  c.found = found;
  c.cipher = {data_key_, static_cast<uint32_t>(found.name.epoch),
              static_cast<uint32_t>(found.name.sequence)};
  const auto [sequence, epoch] = found.name;
  ASSIGN_OR_RETURN(c.file,
                   env_.files->open(found.open ? open_segment_path(directory_, sequence, epoch)
                                               : segment_path(directory_, sequence, epoch),
                                    OpenMode::read_write));
  Buffer head(kSegmentHeaderSize);
  ASSIGN_OR_RETURN(const uint64_t size, c.file->size());
  if (size < head.size()) return none;
  TRY(c.file->read_at(0, head));
  const auto header = decode_segment_header(head);
  if (!header.ok()) {
    if (header.error().code != ErrorCode::corrupt) return header.error();
    return none;
  }
  if (header->partition != kImageLogPartition || header->cartridge != manifest.uuid ||
      header->epoch != found.name.epoch || header->sequence != found.name.sequence ||
      header->encrypted == data_key_.empty()) {
    return none;
  }
  // A frame whose checksum fits and whose tag does not is no torn write, and not ours to throw
  // away: then this fails.
  ASSIGN_OR_RETURN(c.scan, scan_segment(*c.file, cipher(c), *env_.buffers));
  if (c.scan.index.frames.empty()) return none;
  ASSIGN_OR_RETURN(c.mark, read_mark(c));
  if (found.open && !only_zeros(*c.file, c.scan.valid_end, size)) {
    log_info("volume", "end of a segment dropped",
             {{"label", manifest.label},
              {"segment", found.name.sequence},
              {"kept_bytes", c.scan.valid_end},
              {"dropped_bytes", size - c.scan.valid_end}});
  }
  return std::optional<Candidate>(std::move(c));
}

Result<LogMark> LogRecovery::read_mark(Candidate& c) {
  ASSIGN_OR_RETURN(const DecodedFrame frame,
                   read_frame(*c.file, c.scan.index.frames[0], cipher(c), *env_.buffers));
  if (frame.header.kind != FrameKind::truncate || !frame.plain) {
    return Error(ErrorCode::corrupt, "a segment of an image that does not begin with a mark");
  }
  ASSIGN_OR_RETURN(const LogMark mark, decode_log_mark(*frame.plain));
  if (mark.block_bytes != block_bytes_) {
    return Error(ErrorCode::corrupt, "a segment of another block size");
  }
  return mark;
}

// A write whose last frame is missing counts for nothing.
Status LogRecovery::cut_group(Candidate& c) {
  auto& frames = c.scan.index.frames;
  while (frames.back().kind == FrameKind::extents) {  // the mark ends it at the latest
    ASSIGN_OR_RETURN(const DecodedFrame frame,
                     read_frame(*c.file, frames.back(), cipher(c), *env_.buffers));
    ASSIGN_OR_RETURN(const uint32_t table_bytes,
                     extent_table_bytes(*frame.plain, frame.header.plain_size));
    ASSIGN_OR_RETURN(const ExtentTable table,
                     decode_extent_table(ByteView(*frame.plain).first(table_bytes),
                                         frame.header.kind, block_bytes_, frame.header.plain_size));
    if (!table.continues_next) break;
    frames.pop_back();
  }
  return {};
}

Status LogRecovery::seal(Candidate& c) {
  // 3a. Footer and trailer after the last frame that counts, synced.
  const FrameIndexEntry& last = c.scan.index.frames.back();
  const uint64_t end_at = last.offset + last.header_size + last.stored_size;
  Sha256 running;
  uint64_t hashed = 0;
  TRY(hash_file(*c.file, hashed, end_at, running));
  SegmentEntry entry;
  entry.sequence = c.found.name.sequence;
  entry.epoch = c.found.name.epoch;
  entry.partition = kImageLogPartition;
  entry.plain_bytes = c.scan.index.plain_bytes();
  const Buffer end = encode_segment_end(c.scan.index, end_at, running, entry.sha256);
  entry.stored_bytes = end_at + end.size();
  TRY(c.file->truncate(end_at));
  TRY(c.file->write_at(end_at, end));
  TRY(c.file->sync());
  // 3b. Its final name, durable before the manifest has it.
  if (c.found.open) {
    TRY(env_.files->rename(open_segment_path(directory_, entry.sequence, entry.epoch),
                           segment_path(directory_, entry.sequence, entry.epoch)));
  }
  TRY(env_.files->sync_directory(directory_));
  // 3c. The manifest.
  TRY(log_.commit({AddSegment{entry}}));
  result_.sealed.push_back(entry);
  return {};
}

Status LogRecovery::remove(const ListedSegment& found) {
  log_info("volume", "segment dropped by recovery",
           {{"label", log_.manifest().label},
            {"segment", found.name.sequence},
            {"epoch", found.name.epoch}});
  return remove_segment(*env_.files, directory_, found);
}

}  // namespace

Result<RecoveredLog> recover_log(const CartridgeEnv& env, const std::string& directory,
                                 ManifestLog& log, const Secret& data_key, uint32_t block_bytes) {
  return LogRecovery(env, directory, log, data_key, block_bytes).run();
}

}  // namespace coldshelf
