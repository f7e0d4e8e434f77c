#include "bench/locate_bench.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "bench/processes.h"
#include "tape/cartridge/cartridge.h"
#include "tape/cartridge/segment_listing.h"
#include "tape/drive/tape_drive.h"
#include "tape/format/segment.h"

namespace coldshelf::bench {

namespace {

constexpr uint64_t kCartridgeBytes = 1 * TiB;
constexpr uint32_t kRecordBytes = 64 * KiB;
constexpr uint32_t kFramesPerSegment = 63;
constexpr uint64_t kRecordsPerFrame = kMaxFramePlainBytes / kRecordBytes;
// In the middle of every segment lies a filemark, so that a position cannot be known without a
// footer.
constexpr uint32_t kFilemarkBeforeFrame = kFramesPerSegment / 2;
constexpr uint64_t kBlocksPerSegment = kFramesPerSegment * kRecordsPerFrame + 1;

// Counts how many segment files are opened: one for each footer that is read.
class CountingFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (path.ends_with(".seg")) segments_opened_.fetch_add(1);
    return below_.open(path, mode);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return below_.rename(from, to);
  }
  Status remove(const std::string& path) override { return below_.remove(path); }
  Status remove_directory(const std::string& path) override {
    return below_.remove_directory(path);
  }
  Status create_directories(const std::string& path) override {
    return below_.create_directories(path);
  }
  Status sync_directory(const std::string& path) override { return below_.sync_directory(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return below_.list(directory);
  }
  Result<FileInfo> info(const std::string& path) override { return below_.info(path); }
  Result<uint64_t> available_bytes(const std::string& path) override {
    return below_.available_bytes(path);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    return below_.lock(path);
  }
  uint64_t segments_opened() const { return segments_opened_.load(); }

 private:
  PosixFileSystem below_;
  std::atomic<uint64_t> segments_opened_{0};
};

// One segment: everything but the frames' content, which stays a hole.
Result<SegmentEntry> write_sparse_segment(FileSystem& files, const std::string& directory,
                                          const Uuid& cartridge, uint64_t number) {
  SegmentHeader header;
  header.cartridge = cartridge;
  header.epoch = 1;
  header.sequence = number;
  header.first_block = number * kBlocksPerSegment;
  header.first_filemark = number;
  SegmentIndex index;
  uint64_t offset = kSegmentHeaderSize;
  uint64_t block = header.first_block;
  for (uint32_t f = 0; f < kFramesPerSegment; ++f) {
    FrameIndexEntry frame;
    if (f == kFilemarkBeforeFrame) {
      frame.kind = FrameKind::filemarks;
      frame.offset = offset;
      frame.first_block = block++;
      frame.first_filemark = number;
      frame.block_count = 1;
      frame.filemark_count = 1;
      frame.header_size = kFrameHeaderFixedSize + 4;
      offset += frame.header_size;
      index.frames.push_back(frame);
      frame = FrameIndexEntry{};
    }
    frame.offset = offset;
    frame.first_block = block;
    frame.first_filemark = number + (f >= kFilemarkBeforeFrame ? 1 : 0);
    block += kRecordsPerFrame;
    frame.block_count = kRecordsPerFrame;
    frame.header_size = kFrameHeaderFixedSize + 8;
    frame.stored_size = static_cast<uint32_t>(kMaxFramePlainBytes);
    frame.plain_size = static_cast<uint32_t>(kMaxFramePlainBytes);
    offset += frame.header_size + frame.stored_size;
    index.frames.push_back(frame);
  }
  Sha256 running;
  SegmentEntry entry;
  const Buffer end = encode_segment_end(index, offset, running, entry.sha256);
  ASSIGN_OR_RETURN(auto file, files.open(segment_path(directory, number, 1), OpenMode::create));
  TRY(file->write_at(0, encode_segment_header(header)));
  TRY(file->write_at(offset, end));
  entry.sequence = number;
  entry.epoch = 1;
  entry.first_block = header.first_block;
  entry.block_count = kBlocksPerSegment;
  entry.first_filemark = number;
  entry.filemark_count = 1;
  entry.plain_bytes = kFramesPerSegment * kMaxFramePlainBytes;
  entry.stored_bytes = offset + end.size();
  return entry;
}

Result<uint64_t> build_cartridge(FileSystem& files, const std::string& directory, Random& random) {
  TRY(files.create_directories(directory));
  Manifest manifest;
  manifest.uuid = Uuid::generate(random);
  manifest.label = "SPARSE1L8";
  manifest.medium = "LTO-8";
  manifest.capacity_bytes = 2 * kCartridgeBytes;
  manifest.epoch = 1;
  manifest.partitions.resize(1);
  manifest.partitions[0].capacity_bytes = manifest.capacity_bytes;
  uint64_t plain = 0;
  for (uint64_t n = 0; plain < kCartridgeBytes; ++n) {
    ASSIGN_OR_RETURN(const SegmentEntry entry,
                     write_sparse_segment(files, directory, manifest.uuid, n));
    plain += entry.plain_bytes;
    manifest.partitions[0].segments.push_back(entry);
    manifest.next_sequence = n + 1;
  }
  const uint64_t blocks = manifest.partitions[0].end_block();
  ASSIGN_OR_RETURN(auto log,
                   ManifestLog::create(files, directory + "/manifest", std::move(manifest)));
  return blocks;
}

}  // namespace

Status run_locate(const std::string& scratch_parent) {
  ScratchDirectory scratch(scratch_parent);
  CountingFileSystem files;
  SystemClock clock;
  SystemRandom random;
  WorkerPool workers(2);
  const std::string directory = scratch.path() + "/cartridge";
  ASSIGN_OR_RETURN(const uint64_t blocks, build_cartridge(files, directory, random));

  CartridgeEnv env;
  env.files = &files;
  env.clock = &clock;
  env.random = &random;
  env.workers = &workers;
  env.sealers = &workers;
  env.buffers = BufferPool::create(64 * MiB);
  const int64_t before_open = clock.monotonic_ns();
  ASSIGN_OR_RETURN(auto cartridge, Cartridge::open(env, CartridgeOptions{}, directory));
  TapeDrive::Options options;
  options.serial = "BENCH00001";
  options.profile = find_drive("IBM-ULT3580-TD8");
  options.clock = &clock;
  TapeDrive drive(options);
  TRY(drive.insert(cartridge));
  const int64_t load_ns = clock.monotonic_ns() - before_open;

  constexpr int kLocates = 1000;
  SeededRandom places(1);
  std::vector<int64_t> times;
  uint64_t most_footers = 0;
  for (int i = 0; i < kLocates; ++i) {
    const uint64_t block = places.below(blocks);
    const uint64_t opened = files.segments_opened();
    const int64_t start = clock.monotonic_ns();
    ASSIGN_OR_RETURN(const LocateOutcome outcome, drive.locate_block(0, block));
    ASSIGN_OR_RETURN(const DrivePosition position, drive.position());  // with the file number
    times.push_back(clock.monotonic_ns() - start);
    most_footers = std::max(most_footers, files.segments_opened() - opened);
    if (outcome != LocateOutcome::done || position.at.block != block) {
      return Error(ErrorCode::internal, "LOCATE went astray");
    }
  }
  std::sort(times.begin(), times.end());
  const double worst_ms = static_cast<double>(times.back()) / 1e6;
  std::printf(
      "%-34s load %.1f ms; %d LOCATEs: median %.3f ms, worst %.3f ms (goal 10 %s), "
      "at most %llu footer read each (goal 1 %s)\n",
      "LOCATE on 1 TiB", static_cast<double>(load_ns) / 1e6, kLocates,
      static_cast<double>(times[times.size() / 2]) / 1e6, worst_ms,
      worst_ms < 10 ? "met" : "MISSED", static_cast<unsigned long long>(most_footers),
      most_footers <= 1 ? "met" : "MISSED");
  TRY(drive.eject(&cartridge));
  return cartridge->close();
}

}  // namespace coldshelf::bench
