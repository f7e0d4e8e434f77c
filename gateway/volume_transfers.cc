#include "gateway/volume_transfers.h"

#include <algorithm>
#include <filesystem>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr unsigned kAtOnce = 2;
constexpr size_t kMostWaiting = 100;
constexpr uint64_t kPieceBytes = 1 * MiB;
constexpr int64_t kShowMs = 250;
constexpr int64_t kLongestHoldMs = 1'000;

Error ended() { return {ErrorCode::cancelled, "cancelled"}; }

}  // namespace

VolumeTransfers::VolumeTransfers(Env env)
    : env_(std::move(env)), workers_(std::make_unique<WorkerPool>(kAtOnce)) {}

Status VolumeTransfers::clean_up() {
  ASSIGN_OR_RETURN(const bool there, env_.files->exists(env_.scratch));
  if (!there) return {};
  ASSIGN_OR_RETURN(const auto names, env_.files->list(env_.scratch));
  for (const std::string& name : names) TRY(env_.files->remove(join_path(env_.scratch, name)));
  return {};
}

void VolumeTransfers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [id, run] : runs_) run->cancelled = true;
  }
  workers_.reset();
}

// -- jobs

Result<VolumeTransfers::RunPtr> VolumeTransfers::begin(
    JobKind kind, const Uuid& uuid, const std::string& name, uint64_t bytes,
    std::map<std::string, std::string> parameters) {
  auto run = std::make_shared<Run>();
  run->job = make_job(kind, uuid, name, env_.clock->unix_ms(), std::move(parameters));
  run->job.state = JobState::running;
  run->job.step = "waiting for its turn";
  run->job.total_bytes = bytes;
  const std::lock_guard lock(mutex_);
  if (stopping_) return Error(ErrorCode::not_ready, "the gateway is stopping");
  if (runs_.size() >= kMostWaiting) {
    return Error(ErrorCode::conflict, "too many imports and exports wait already");
  }
  ASSIGN_OR_RETURN(run->job.id, env_.catalog->add_job(run->job));
  runs_[run->job.id] = run;
  return run;
}

void VolumeTransfers::finish(const RunPtr& run, const Status& done) {
  JobRow& job = run->job;
  job.updated_ms = env_.clock->unix_ms();
  job.step.clear();
  const bool cancelled = !done.ok() && done.error().code == ErrorCode::cancelled;
  job.state = done.ok() ? JobState::succeeded : cancelled ? JobState::cancelled : JobState::failed;
  if (done.ok()) job.done_bytes = job.total_bytes;
  if (!done.ok()) job.error = done.error().message();
  {
    const std::lock_guard lock(mutex_);
    runs_.erase(job.id);
    if (stopping_ && cancelled) {
      job.state = JobState::failed;
      job.error = "interrupted by a restart";
    }
  }
  const Status noted = env_.catalog->update_job(job);
  log_line(job.state == JobState::failed ? LogLevel::error : LogLevel::info, "volumes",
           to_string(job.kind),
           {{"name", job.barcode},
            {"state", to_string(job.state)},
            {"bytes", job.done_bytes},
            {"error", job.error.empty() && !noted.ok() ? noted.error().message() : job.error}});
}

void VolumeTransfers::step(const RunPtr& run, const std::string& what) {
  run->job.step = what;
  run->shown_ms = 0;
  show(run, run->job.done_bytes);
}

void VolumeTransfers::show(const RunPtr& run, uint64_t done) {
  const int64_t now = env_.clock->unix_ms();
  run->job.done_bytes = done;
  if (now - run->shown_ms < kShowMs) return;
  run->shown_ms = run->job.updated_ms = now;
  const Status noted = env_.catalog->update_job(run->job);
  if (!noted.ok()) {
    log_warning("volumes", "progress not recorded", {{"error", noted.error().message()}});
  }
}

Status VolumeTransfers::cancel(const std::string& volume) {
  ASSIGN_OR_RETURN(const VolumeView view, env_.volumes->show(volume));
  const std::lock_guard lock(mutex_);
  bool found = false;
  for (const auto& [id, run] : runs_) {
    if (run->job.cartridge != view.uuid) continue;
    run->cancelled = true;
    found = true;
  }
  if (found) return {};
  return Error(ErrorCode::conflict, "nothing is under way with volume " + view.name);
}

// -- import

Result<int64_t> VolumeTransfers::import(const ImportRequest& request) {
  if (request.file.empty() || request.file.front() != '/') {
    return Error(ErrorCode::invalid_argument, "the image's path must be absolute");
  }
  ImageFormat format{};
  if (request.format.empty()) {
    ASSIGN_OR_RETURN(format, detect_image_format(request.file));
  } else {
    ASSIGN_OR_RETURN(format, parse_image_format(request.format));
  }
  uint64_t size = 0;
  if (format == ImageFormat::raw) {
    ASSIGN_OR_RETURN(const auto image, RawImage::open(request.file));
    size = image->size();
  } else {
    ASSIGN_OR_RETURN(size, check_qcow2(request.file));
  }
  VolumeService::CreateRequest wanted = request.volume;
  const uint64_t block = std::max<uint64_t>(wanted.block_bytes, 1);
  if (wanted.size_bytes == 0) {
    wanted.size_bytes = std::max(kMinVolumeBytes, (size + block - 1) / block * block);
  }
  if (wanted.size_bytes < size) {
    return Error(ErrorCode::out_of_range,
                 "the image has " + std::to_string(size) + " bytes, more than the volume would");
  }
  return fill(wanted, size, {{"file", request.file}, {"format", std::string(to_string(format))}},
              [this, request, format](const RunPtr& run, const std::shared_ptr<Volume>& volume) {
                return run_import(run, request, format, volume);
              });
}

Result<int64_t> VolumeTransfers::copy(const std::string& point, const std::string& name) {
  ASSIGN_OR_RETURN(const VolumePoint from, env_.volumes->find_point(point));
  ASSIGN_OR_RETURN(const VolumeView source, env_.volumes->show(from.volume.to_string()));
  ASSIGN_OR_RETURN(auto disk, env_.volumes->open_point(from.volume.to_string() + "@" +
                                                       from.point.id.to_string()));
  VolumeService::CreateRequest wanted;
  wanted.name = name;
  wanted.size_bytes = disk->size_bytes();
  wanted.block_bytes = disk->block_bytes();
  wanted.mode = source.mode;
  return fill(wanted, wanted.size_bytes, {{"point", from.volume_name + "@" + from.point.name}},
              [this, disk = std::move(disk)](const RunPtr& run,
                                             const std::shared_ptr<Volume>& volume) mutable {
                const Status done = copy_disk(run, *disk, *volume);
                disk.reset();
                return done;
              });
}

// A new volume that is there when `work` is done, and gone when it failed.
Result<int64_t> VolumeTransfers::fill(
    const VolumeService::CreateRequest& wanted, uint64_t bytes,
    std::map<std::string, std::string> parameters,
    std::function<Status(const RunPtr&, const std::shared_ptr<Volume>&)> work) {
  ASSIGN_OR_RETURN(auto volume, env_.volumes->begin_import(wanted));
  auto run =
      begin(JobKind::import_volume, volume->uuid(), wanted.name, bytes, std::move(parameters));
  if (!run.ok()) {
    const Uuid uuid = volume->uuid();
    volume.reset();
    const Status undone = env_.volumes->abandon_import(uuid);
    if (!undone.ok()) log_warning("volumes", "import", {{"error", undone.error().message()}});
    return run.error();
  }
  const RunPtr job = *run;
  workers_->submit([this, job, work = std::move(work), volume]() mutable {
    const Uuid uuid = volume->uuid();
    Status done = work(job, volume);
    volume.reset();
    if (done.ok()) done = env_.volumes->finish_import(uuid);
    if (!done.ok()) {
      const Status undone = env_.volumes->abandon_import(uuid);
      if (!undone.ok()) {
        log_warning("volumes", "half an import stays until the next start",
                    {{"name", job->job.barcode}, {"error", undone.error().message()}});
      }
    }
    finish(job, done);
  });
  return job->job.id;
}

Status VolumeTransfers::run_import(const RunPtr& run, const ImportRequest& request,
                                   ImageFormat format, const std::shared_ptr<Volume>& volume) {
  if (run->cancelled) return ended();
  if (format == ImageFormat::raw) return copy_in(run, request.file, *volume);
  step(run, "unpacking the image");
  TRY(env_.files->create_directories(env_.scratch));
  const std::string raw = join_path(env_.scratch, volume->uuid().to_string() + ".raw");
  Status done = convert_to_raw(request.file, format, raw, run->cancelled);
  if (done.ok()) done = copy_in(run, raw, *volume);
  const Status gone = env_.files->remove(raw);
  if (!gone.ok() && gone.error().code != ErrorCode::not_found && done.ok()) return gone;
  return done;
}

Status VolumeTransfers::copy_in(const RunPtr& run, const std::string& file, Volume& volume) {
  step(run, "copying");
  ASSIGN_OR_RETURN(const auto image, RawImage::open(file));
  const uint64_t block = volume.block_bytes();
  if (image->size() > volume.size_bytes()) {
    return Error(ErrorCode::out_of_range, "the image has grown meanwhile");
  }
  run->job.total_bytes = image->size();
  Buffer piece;
  for (uint64_t at = image->next_data(0); at < image->size(); at = image->next_data(at)) {
    if (run->cancelled) return ended();
    at = at / kPieceBytes * kPieceBytes;
    const uint64_t bytes = std::min(kPieceBytes, image->size() - at);
    // The last block may be more than what the image has of it.
    piece.assign(static_cast<size_t>((bytes + block - 1) / block * block), std::byte{0});
    TRY(image->read(at, MutableBytes(piece).first(static_cast<size_t>(bytes))));
    TRY(write_piece(volume, at, piece));
    at += bytes;
    show(run, at);
  }
  step(run, "making it durable");
  return volume.seal();
}

Status VolumeTransfers::write_piece(Volume& volume, uint64_t at, ByteView piece) {
  if (all_zeroes(piece)) return {};
  if (const int64_t hold = volume.write_hold_ms(); hold > 0) {
    env_.clock->sleep_ms(std::min(hold, kLongestHoldMs));
  }
  return volume.write(at, piece, false);
}

Status VolumeTransfers::copy_disk(const RunPtr& run, BlockDevice& from, Volume& volume) {
  step(run, "copying");
  TRY(each_piece(run, from,
                 [&](uint64_t at, ByteView piece) { return write_piece(volume, at, piece); }));
  step(run, "making it durable");
  return volume.seal();
}

// What is mapped of a disk, in pieces.
Status VolumeTransfers::each_piece(const RunPtr& run, BlockDevice& disk,
                                   const std::function<Status(uint64_t, ByteView)>& take) {
  const uint64_t size = disk.size_bytes();
  Buffer piece;
  for (uint64_t at = 0; at < size;) {
    if (run->cancelled) return ended();
    ASSIGN_OR_RETURN(const BlockDevice::Run there, disk.run_at(at, size - at));
    for (uint64_t done = 0; there.mapped && done < there.length;) {
      if (run->cancelled) return ended();
      const uint64_t bytes = std::min(kPieceBytes, there.length - done);
      piece.resize(static_cast<size_t>(bytes));
      TRY(disk.read(at + done, piece));
      TRY(take(at + done, piece));
      done += bytes;
      show(run, at + done);
    }
    at += there.length;
    show(run, at);
  }
  return {};
}

// -- export

Status VolumeTransfers::check_target(const std::string& file, bool replace) const {
  if (file.empty() || file.front() != '/') {
    return Error(ErrorCode::invalid_argument, "the file's path must be absolute");
  }
  std::error_code failed;
  const auto directory = std::filesystem::canonical(parent_directory(file), failed);
  if (failed) {
    return Error(ErrorCode::not_found, parent_directory(file) + ": " + failed.message());
  }
  const auto ours = std::filesystem::weakly_canonical(env_.data_directory, failed);
  const std::string inside = directory.string() + "/";
  if (failed || inside.starts_with(ours.string() + "/")) {
    return Error(ErrorCode::invalid_argument, "nothing is exported into the data directory");
  }
  // Said before the work begins; who makes the file says it again.
  if (!replace && std::filesystem::exists(std::filesystem::symlink_status(file, failed))) {
    return Error(ErrorCode::exists, file + " is there already");
  }
  return {};
}

Result<int64_t> VolumeTransfers::export_point(const ExportRequest& request) {
  TRY(check_target(request.file, request.replace));
  ASSIGN_OR_RETURN(const ImageFormat format, parse_image_format(request.format));
  ASSIGN_OR_RETURN(const VolumePoint point, env_.volumes->find_point(request.point));
  ASSIGN_OR_RETURN(auto disk, env_.volumes->open_point(point.volume.to_string() + "@" +
                                                       point.point.id.to_string()));
  ASSIGN_OR_RETURN(
      const RunPtr run,
      begin(JobKind::export_volume, point.volume, point.volume_name, disk->size_bytes(),
            {{"file", request.file}, {"point", point.point.name}, {"format", request.format}}));
  workers_->submit([this, run, request, format, disk]() mutable {
    const Status done = run_export(run, request, format, *disk);
    disk.reset();
    finish(run, done);
  });
  return run->job.id;
}

Status VolumeTransfers::run_export(const RunPtr& run, const ExportRequest& request,
                                   ImageFormat format, BlockDevice& disk) {
  if (run->cancelled) return ended();
  step(run, "copying");
  ASSIGN_OR_RETURN(const auto image,
                   RawImageWriter::create(request.file, disk.size_bytes(), request.replace));
  TRY(each_piece(run, disk, [&](uint64_t at, ByteView piece) { return image->write(at, piece); }));
  step(run, format == ImageFormat::raw ? "making it durable" : "packing the image");
  return image->finish(format, run->cancelled);
}

}  // namespace coldshelf
