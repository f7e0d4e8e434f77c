#include "gateway/cli/image_export.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <list>
#include <mutex>

#include "base/executor.h"
#include "gateway/cli/scratch_directory.h"
#include "tape/format/image_manifest.h"
#include "uploader/bucket_scan.h"
#include "uploader/shelf.h"
#include "volume/volume.h"

namespace coldshelf::cli {

namespace {

constexpr uint64_t kChunkBytes = 2 * MiB;  // of a segment, at a time
constexpr size_t kChunksKept = 48;
constexpr uint64_t kPieceBytes = 4 * MiB;  // of the disk
constexpr unsigned kReaders = 8;
constexpr size_t kMaxGenerations = 64;  // of clones of clones

// Parts of segments from the store; the last ones used are kept. The reader checks every frame.
class StoreRanges final : public SegmentSource {
 public:
  explicit StoreRanges(ObjectStore& store) : store_(store) {}

  Result<std::unique_ptr<File>> fetch(const Uuid&, const SegmentEntry&, int64_t) override {
    return Error(ErrorCode::not_supported, "segments of images are read by range");
  }
  void will_need(const Uuid&, std::span<const SegmentEntry>) override {}

  Status fetch_range(const Uuid& cartridge, const SegmentEntry& entry, uint64_t offset,
                     MutableBytes out, int64_t) override {
    const std::string key = segment_key(cartridge, entry.sequence, entry.epoch);
    for (size_t done = 0; done < out.size();) {
      const uint64_t at = offset + done;
      ASSIGN_OR_RETURN(const auto bytes, chunk(key, entry.stored_bytes, at / kChunkBytes));
      const uint64_t within = at % kChunkBytes;
      if (within >= bytes->size()) return Error(ErrorCode::corrupt, key + " is too short");
      const size_t n = std::min<size_t>(bytes->size() - within, out.size() - done);
      std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(within), n,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
      done += n;
    }
    return {};
  }

 private:
  struct Chunk {
    std::string key;
    uint64_t number = 0;
    std::shared_ptr<const Buffer> bytes;  // null: on its way
  };

  Result<std::shared_ptr<const Buffer>> chunk(const std::string& key, uint64_t size,
                                              uint64_t number) {
    std::unique_lock lock(mutex_);
    while (true) {  // each turn finds the chunk, or waits for whoever fetches it
      const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const Chunk& c) {
        return c.number == number && c.key == key;
      });
      if (at == kept_.end()) break;
      if (at->bytes) {
        kept_.splice(kept_.begin(), kept_, at);
        return at->bytes;
      }
      came_.wait(lock);
    }
    kept_.push_front({key, number, nullptr});
    const auto mine = kept_.begin();
    lock.unlock();
    const uint64_t begin = number * kChunkBytes;
    auto bytes = std::make_shared<Buffer>(
        static_cast<size_t>(std::min(kChunkBytes, size - std::min(size, begin))));
    const Status got = store_.get(key, begin, *bytes);
    lock.lock();
    came_.notify_all();
    if (!got.ok()) {
      kept_.erase(mine);
      return got.error();
    }
    mine->bytes = bytes;
    for (auto last = kept_.end(); kept_.size() > kChunksKept && last != kept_.begin();) {
      --last;
      if (last->bytes) last = kept_.erase(last);
    }
    return std::shared_ptr<const Buffer>(std::move(bytes));
  }

  ObjectStore& store_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::list<Chunk> kept_;  // used last first
};

class Directories final : public ImageDirectory {
 public:
  explicit Directories(std::string root) : root_(std::move(root)) {}
  Result<std::string> directory_of(const Uuid& image) override {
    return join_path(root_, image.to_string());
  }

 private:
  const std::string root_;
};

// The image and what it was cloned from, as directories without segments.
Status put_manifests(const ExportEnv& env, const std::string& root, Manifest manifest) {
  for (size_t generation = 0; generation < kMaxGenerations; ++generation) {
    const std::string directory = join_path(root, manifest.uuid.to_string());
    TRY(env.files->create_directories(directory));
    TRY(env.files->replace_file(join_path(directory, "manifest"), encode_manifest(manifest)));
    ASSIGN_OR_RETURN(const auto base, image_base(manifest));
    if (!base) return {};
    ASSIGN_OR_RETURN(BucketCartridge found, read_cartridge(*env.store, base->image, false));
    if (!found.manifest) {
      Error why = *found.problem;
      why.context = "the image that this one was cloned from: " + why.context;
      return why;
    }
    manifest = std::move(*found.manifest);
  }
  return Error(ErrorCode::corrupt, "clones of clones without an end");
}

Result<Uuid> find_point(const Volume& volume, const std::string& image, const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<RecoveryPoint> points, volume.points());
  std::optional<Uuid> found;
  std::string names;
  for (const RecoveryPoint& point : points) {
    names += (names.empty() ? "" : ", ") + point.name;
    if (point.name != wanted && point.id.to_string() != wanted) continue;
    if (found) {
      return Error(ErrorCode::conflict, "two recovery points of " + image + " are named " + wanted +
                                            "; name one by its id");
    }
    found = point.id;
  }
  if (found) return *found;
  return Error(ErrorCode::not_found, "the store's image " + image + " has no recovery point " +
                                         wanted + (names.empty() ? "" : "; it has " + names));
}

// A file beside the one that is wanted, until it is whole.
class RawFile {
 public:
  static Result<std::unique_ptr<RawFile>> create(FileSystem& files, const std::string& path,
                                                 bool overwrite) {
    ASSIGN_OR_RETURN(const bool there, files.exists(path));
    if (there && !overwrite) {
      return Error(ErrorCode::exists, path + " is there already; --force replaces it");
    }
    const std::string partial = path + ".partial";
    const Status stale = files.remove(partial);
    if (!stale.ok() && stale.error().code != ErrorCode::not_found) return stale.error();
    ASSIGN_OR_RETURN(auto file, files.open(partial, OpenMode::create));
    return std::unique_ptr<RawFile>(new RawFile(files, path, std::move(file)));
  }
  ~RawFile() {
    if (!file_) return;
    file_.reset();
    const Status removed = files_.remove(path_ + ".partial");
    if (!removed.ok()) {
      std::fprintf(stderr, "coldshelf: %s.partial stays behind: %s\n", path_.c_str(),
                   removed.error().context.c_str());
    }
  }
  File& file() { return *file_; }
  Status finish() {
    TRY(file_->sync());
    file_.reset();
    TRY(files_.rename(path_ + ".partial", path_));
    return files_.sync_directory(parent_directory(path_));
  }

 private:
  RawFile(FileSystem& files, std::string path, std::unique_ptr<File> file)
      : files_(files), path_(std::move(path)), file_(std::move(file)) {}
  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;
};

// What is mapped in one piece of the disk, into the file. Gives the bytes.
Result<uint64_t> copy_piece(BlockDevice& disk, uint64_t begin, uint64_t end, File& to) {
  uint64_t copied = 0;
  Buffer bytes;
  for (uint64_t at = begin; at < end;) {
    ASSIGN_OR_RETURN(const BlockDevice::Run run, disk.run_at(at, end - at));
    if (run.mapped) {
      bytes.resize(static_cast<size_t>(run.length));
      TRY(disk.read(at, bytes));
      TRY(to.write_at(at, bytes));
      copied += run.length;
    }
    at += run.length;
  }
  return copied;
}

}  // namespace

Result<ExportReport> export_image(const ExportEnv& env, const ExportRequest& request,
                                  const Manifest& manifest, const std::string& point) {
  ASSIGN_OR_RETURN(auto raw, RawFile::create(*env.files, request.output, request.overwrite));
  ASSIGN_OR_RETURN(auto scratch, ScratchDirectory::make(*env.files, *env.random,
                                                        parent_directory(request.output)));
  TRY(put_manifests(env, scratch->path(), manifest));
  StoreRanges source(*env.store);
  Directories directories(scratch->path());
  WorkerPool workers(2);
  WorkerPool sealers(1);
  VolumeEnv with;
  with.cartridge.files = env.files;
  with.cartridge.clock = env.clock;
  with.cartridge.random = env.random;
  with.cartridge.workers = &workers;
  with.cartridge.sealers = &sealers;
  with.cartridge.buffers = BufferPool::create(32 * MiB);
  with.cartridge.source = &source;
  with.images = &directories;
  VolumeOptions options;
  options.key = env.key;
  options.compact_percent = 100;  // nothing is written here that is to last
  ASSIGN_OR_RETURN(
      const auto volume,
      Volume::open(with, options, join_path(scratch->path(), manifest.uuid.to_string())));
  std::unique_ptr<BlockDevice> view;
  if (!point.empty()) {
    ASSIGN_OR_RETURN(const Uuid id, find_point(*volume, manifest.label, point));
    ASSIGN_OR_RETURN(view, volume->open_point(id));
  }
  BlockDevice& disk = view ? *view : *volume;
  const uint64_t size = disk.size_bytes();
  TRY(raw->file().truncate(size));
  std::mutex mutex;
  ExportReport report;
  report.barcode = manifest.label;
  report.image = true;
  report.size_bytes = size;
  uint64_t done = 0;
  const auto pieces = static_cast<size_t>((size + kPieceBytes - 1) / kPieceBytes);
  TRY(in_parallel(kReaders, pieces, [&](size_t i) -> Status {
    const uint64_t begin = i * kPieceBytes;
    const uint64_t end = std::min(size, begin + kPieceBytes);
    ASSIGN_OR_RETURN(const uint64_t copied, copy_piece(disk, begin, end, raw->file()));
    const std::lock_guard lock(mutex);
    report.bytes += copied;
    done += end - begin;
    if (env.progress) env.progress(done, size);
    return {};
  }));
  TRY(raw->finish());
  return report;
}

}  // namespace coldshelf::cli
