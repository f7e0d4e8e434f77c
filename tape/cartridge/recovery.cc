#include "tape/cartridge/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "tape/cartridge/segment_listing.h"

namespace coldshelf {

namespace {

class Recovery {
 public:
  Recovery(const CartridgeEnv& env, const std::string& directory, ManifestLog& log,
           const Secret& data_key)
      : env_(env), directory_(directory), log_(log), data_key_(data_key) {}

  Result<RecoveredCartridge> run();

 private:
  bool continues(const SegmentHeader& header, const SegmentName& name) const;
  Result<bool> keep(const ListedSegment& found);
  Result<std::optional<SegmentEntry>> rewrite_end(File& file, SegmentScan scan);
  Status remove(const ListedSegment& found);

  const CartridgeEnv& env_;
  const std::string& directory_;
  ManifestLog& log_;
  const Secret& data_key_;
  RecoveredCartridge result_;
};

// Step 1, the replay of the manifest, was ManifestLog::open().
Result<RecoveredCartridge> Recovery::run() {
  // 2. Which segment files there are; new sequences begin beyond all of them.
  ASSIGN_OR_RETURN(const std::vector<ListedSegment> found, list_segments(*env_.files, directory_));
  result_.next_sequence = log_.manifest().next_sequence;
  for (const ListedSegment& segment : found) {
    result_.next_sequence = std::max(result_.next_sequence, segment.name.sequence + 1);
  }
  // 3. Those the manifest does not name are kept and sealed while they continue the chain: the
  //    last writer's epoch, the next sequence, the next block. At the first one that does not, or
  //    that lost something, the rest is what was never synced.
  // 4. Everything else is garbage: of an older epoch, dropped by an overwrite, or torn.
  bool chain = true;
  for (const ListedSegment& segment : found) {
    if (names_segment(log_.manifest(), segment.name)) {
      // Sealed names are durable before the manifest names them; a .open beside it is left over.
      if (segment.open && segment.sealed) {
        TRY(env_.files->remove(
            open_segment_path(directory_, segment.name.sequence, segment.name.epoch)));
      }
      continue;
    }
    if (chain) {
      ASSIGN_OR_RETURN(const bool kept, keep(segment));
      if (kept) continue;
      if (segment.name.epoch == log_.manifest().epoch) chain = false;
    }
    TRY(remove(segment));
  }
  return result_;
}

bool Recovery::continues(const SegmentHeader& header, const SegmentName& name) const {
  const Manifest& manifest = log_.manifest();
  if (header.cartridge != manifest.uuid || header.epoch != name.epoch ||
      header.sequence != name.sequence || header.partition >= manifest.partitions.size()) {
    return false;
  }
  const Partition& partition = manifest.partitions[header.partition];
  return header.first_block == partition.end_block() &&
         header.first_filemark == partition.end_filemark();
}

// Seals the segment if it continues the chain with at least one object.
Result<bool> Recovery::keep(const ListedSegment& found) {
  const Manifest& manifest = log_.manifest();
  if (found.name.epoch != manifest.epoch || found.name.sequence != manifest.next_sequence) {
    return false;
  }
  const std::string open_path =
      open_segment_path(directory_, found.name.sequence, found.name.epoch);
  const std::string sealed_path = segment_path(directory_, found.name.sequence, found.name.epoch);
  ASSIGN_OR_RETURN(auto file,
                   env_.files->open(found.open ? open_path : sealed_path, OpenMode::read_write));
  FrameCipher cipher;
  cipher.data_key = data_key_;
  cipher.epoch = static_cast<uint32_t>(found.name.epoch);
  cipher.sequence = static_cast<uint32_t>(found.name.sequence);
  // 3a. Every whole frame. A damaged segment header is a torn write, too; a frame whose checksum
  //     fits and whose tag does not is no torn write, and not ours to throw away.
  Buffer head(kSegmentHeaderSize);
  ASSIGN_OR_RETURN(const uint64_t size, file->size());
  if (size < head.size()) return false;
  TRY(file->read_at(0, head));
  const auto header = decode_segment_header(head);
  if (!header.ok() && header.error().code != ErrorCode::corrupt) return header.error();
  if (!header.ok() || !continues(*header, found.name)) return false;
  ASSIGN_OR_RETURN(SegmentScan scan,
                   scan_segment(*file, data_key_.empty() ? nullptr : &cipher, *env_.buffers));
  if (!scan.clean) {
    // Never synced, as far as anybody can tell: but the operator may want to know how much it was.
    log_warning("cartridge", "torn end of a segment dropped",
                {{"label", manifest.label},
                 {"segment", found.name.sequence},
                 {"kept_bytes", scan.valid_end},
                 {"dropped_bytes", size - scan.valid_end}});
  }
  // 3b. The end after the last whole object, footer and trailer, synced.
  ASSIGN_OR_RETURN(const std::optional<SegmentEntry> entry, rewrite_end(*file, std::move(scan)));
  if (!entry) return false;
  // 3c. Its final name, durable before the manifest has it.
  if (found.open) TRY(env_.files->rename(open_path, sealed_path));
  TRY(env_.files->sync_directory(directory_));
  // 3d. The manifest.
  TRY(log_.commit({AddSegment{*entry}}));
  result_.sealed.push_back(*entry);
  log_info("cartridge", "segment recovered",
           {{"label", manifest.label},
            {"segment", entry->sequence},
            {"blocks", entry->block_count},
            {"bytes", entry->stored_bytes}});
  return true;
}

Result<std::optional<SegmentEntry>> Recovery::rewrite_end(File& file, SegmentScan scan) {
  auto& frames = scan.index.frames;
  // The parts of a record whose last part is missing are no object.
  bool rehash = false;
  while (!frames.empty() && frames.back().continues_next) {
    scan.valid_end = frames.back().offset;
    frames.pop_back();
    rehash = true;
  }
  if (frames.empty()) return std::optional<SegmentEntry>();
  if (rehash) {
    scan.running.reset();
    uint64_t hashed = 0;
    TRY(hash_file(file, hashed, scan.valid_end, scan.running));
  }
  SegmentEntry entry;
  entry.sequence = scan.header.sequence;
  entry.epoch = scan.header.epoch;
  entry.partition = scan.header.partition;
  entry.first_block = scan.header.first_block;
  entry.first_filemark = scan.header.first_filemark;
  for (const FrameIndexEntry& frame : frames) {
    entry.block_count += frame.block_count;
    entry.filemark_count += frame.filemark_count;
    entry.plain_bytes += frame.plain_size;
  }
  const Buffer end = encode_segment_end(scan.index, scan.valid_end, scan.running, entry.sha256);
  entry.stored_bytes = scan.valid_end + end.size();
  TRY(file.truncate(scan.valid_end));
  TRY(file.write_at(scan.valid_end, end));
  TRY(file.sync());
  return std::optional<SegmentEntry>(entry);
}

Status Recovery::remove(const ListedSegment& found) {
  // Of an older epoch: overwritten. Of the last one: behind a torn write, never synced.
  log_line(found.name.epoch == log_.manifest().epoch ? LogLevel::warning : LogLevel::info,
           "cartridge", "segment dropped by recovery",
           {{"label", log_.manifest().label},
            {"segment", found.name.sequence},
            {"epoch", found.name.epoch}});
  return remove_segment(*env_.files, directory_, found);
}

}  // namespace

Result<RecoveredCartridge> recover_cartridge(const CartridgeEnv& env, const std::string& directory,
                                             ManifestLog& log, const Secret& data_key) {
  return Recovery(env, directory, log, data_key).run();
}

}  // namespace coldshelf
