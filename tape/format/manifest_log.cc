// The manifest on disk. Order of the steps: docs/format/manifest.md, "The log".
#include "base/check.h"
#include "base/log.h"
#include "tape/format/manifest_codec.h"

namespace coldshelf {

namespace {

constexpr uint64_t kCompactSlackBytes = 1 * MiB;
constexpr uint64_t kMaxManifestBytes = 1 * GiB;

// What it takes to go back: everything but the segments, and these only where an edit removes some.
class Undo {
 public:
  Undo(Manifest& manifest, const std::vector<ManifestEdit>& edits) : manifest_(manifest) {
    for (const ManifestEdit& edit : edits) {
      whole_ = whole_ || std::holds_alternative<Manifest>(edit) ||
               std::holds_alternative<TruncatePartition>(edit) ||
               std::holds_alternative<SetPartitions>(edit) ||
               std::holds_alternative<SetCapacity>(edit) ||
               std::holds_alternative<DropSegments>(edit);
    }
    if (whole_) {
      before_ = manifest;
      return;
    }
    // A quarter of a million segments are not copied to add one.
    std::vector<Partition> partitions = std::move(manifest.partitions);
    before_ = manifest;
    manifest.partitions = std::move(partitions);
    for (const Partition& p : manifest.partitions) segment_counts_.push_back(p.segments.size());
  }

  void restore() {
    if (!whole_) {
      before_.partitions = std::move(manifest_.partitions);
      for (size_t i = 0; i < segment_counts_.size(); ++i) {
        before_.partitions[i].segments.resize(segment_counts_[i]);
      }
    }
    manifest_ = std::move(before_);
  }

 private:
  Manifest& manifest_;
  bool whole_ = false;
  Manifest before_;
  std::vector<size_t> segment_counts_;
};

}  // namespace

ManifestLog::ManifestLog(FileSystem& files, std::string path, std::unique_ptr<File> file,
                         ReplayedManifest state)
    : files_(files),
      path_(std::move(path)),
      file_(std::move(file)),
      manifest_(std::move(state.manifest)),
      size_bytes_(state.valid_bytes),
      snapshot_bytes_(encode_manifest(manifest_).size()) {}

Result<std::unique_ptr<ManifestLog>> ManifestLog::create(FileSystem& files, std::string path,
                                                         Manifest first) {
  auto usable = check_manifest(first);
  if (!usable.ok()) return Error(ErrorCode::invalid_argument, usable.error().context);
  ASSIGN_OR_RETURN(const bool there, files.exists(path));
  if (there) return Error(ErrorCode::exists, path + " is there already");
  const Buffer image = encode_manifest(first);
  // Complete under its name or not there at all.
  TRY(files.replace_file(path, image));
  ASSIGN_OR_RETURN(auto file, files.open(path, OpenMode::read_write));
  return std::unique_ptr<ManifestLog>(new ManifestLog(files, std::move(path), std::move(file),
                                                      {std::move(first), image.size(), 1}));
}

Result<std::unique_ptr<ManifestLog>> ManifestLog::open(FileSystem& files, std::string path) {
  ASSIGN_OR_RETURN(const Buffer image, files.read_file(path, kMaxManifestBytes));
  auto state = decode_manifest(image, true);
  if (!state.ok()) {
    Error error = std::move(state).error();
    error.context = path + ": " + error.context;
    return error;
  }
  ASSIGN_OR_RETURN(auto file, files.open(path, OpenMode::read_write));
  if (state->valid_bytes < image.size()) {
    // The torn tail goes before anything is appended, so that it cannot come to lie in the middle.
    TRY(file->truncate(state->valid_bytes));
  }
  // A program that was killed between writing an edit and syncing it left the edit in the page
  // cache: whoever acts on it now must not lose it to a power loss.
  TRY(file->sync());
  return std::unique_ptr<ManifestLog>(
      new ManifestLog(files, std::move(path), std::move(file), std::move(state).value()));
}

Status ManifestLog::compact() {
  const Buffer image = encode_manifest(manifest_);
  // 1. the snapshot beside the log, synced; 2. renamed over it; 3. the directory synced. The old
  // and the new file say the same, so it does not matter which of them a crash leaves.
  TRY(files_.replace_file(path_, image));
  ASSIGN_OR_RETURN(file_, files_.open(path_, OpenMode::read_write));
  size_bytes_ = image.size();
  snapshot_bytes_ = image.size();
  return {};
}

// Whether the file under our name is the one that we append to.
bool ManifestLog::stands() const {
  const auto info = files_.info(path_);
  return info.ok() && info->size == size_bytes_;
}

Status ManifestLog::commit(const std::vector<ManifestEdit>& edits,
                           std::vector<SegmentEntry>* dropped) {
  if (failed_) {
    return Error(ErrorCode::read_only, path_ + ": an earlier change could not be made durable");
  }
  if (edits.empty()) return {};
  if (size_bytes_ > 2 * snapshot_bytes_ + kCompactSlackBytes) {
    auto compacted = compact();
    if (!compacted.ok() && compacted.error().code == ErrorCode::no_space && stands()) {
      // The old log is untouched; on a full disk a small edit may still fit behind it. Tried
      // again when the log has doubled.
      auto removed = files_.remove(path_ + ".new");
      if (!removed.ok() && removed.error().code != ErrorCode::not_found) {
        log_warning("format", "incomplete manifest left behind", {{"path", path_ + ".new"}});
      }
      snapshot_bytes_ = size_bytes_;
    } else if (!compacted.ok()) {
      failed_ = true;
      return compacted;
    }
  }
  Undo undo(manifest_, edits);
  std::vector<SegmentEntry> gone;
  for (const ManifestEdit& edit : edits) {
    auto applied = apply_edit(manifest_, edit, &gone);
    if (!applied.ok()) {
      undo.restore();  // nothing was written: the log goes on
      return applied;
    }
  }
  const Buffer bytes = encode_manifest_commit(edits, manifest_.generation);
  auto written = file_->write_at(size_bytes_, bytes);
  if (!written.ok() && written.error().code == ErrorCode::no_space) {
    // What fitted goes again: then the log goes on when there is room.
    undo.restore();
    failed_ = !file_->truncate(size_bytes_).ok();
    return written;
  }
  if (written.ok()) written = file_->sync();
  if (!written.ok()) {
    undo.restore();
    failed_ = true;
    return written;
  }
  size_bytes_ += bytes.size();
  if (dropped != nullptr) dropped->insert(dropped->end(), gone.begin(), gone.end());
  return {};
}

}  // namespace coldshelf
