#include "gateway/snapshot_archives.h"

#include <algorithm>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr uint32_t kBlockBytes = 512;  // as EBS volumes have it

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text;
}

bool is_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
  };
  return !name.empty() && name.size() <= kMaxArchiveName && name.front() != '-' &&
         name.front() != '.' && std::all_of(name.begin(), name.end(), good);
}

}  // namespace

SnapshotArchives::SnapshotArchives(VolumeEnv env, VolumeOptions options, std::string directory)
    : env_(std::move(env)), options_(std::move(options)), directory_(std::move(directory)) {
  env_.images = this;
}

SnapshotArchives::~SnapshotArchives() {
  const Status stopped = stop();
  if (!stopped.ok()) log_error("snapshot", "stop", {{"error", stopped.error().message()}});
}

Status SnapshotArchives::open_all() {
  FileSystem& files = *env_.cartridge.files;
  TRY(files.create_directories(directory_));
  ASSIGN_OR_RETURN(const auto names, files.list(directory_));
  for (const std::string& name : names) {
    if (const auto uuid = Uuid::parse(name)) open_one(*uuid);
  }
  return {};
}

void SnapshotArchives::open_one(const Uuid& uuid) {
  // What a removal left, or a creation that was cut short.
  const auto there = env_.cartridge.files->exists(join_path(path_of(uuid), "manifest"));
  if (there.ok() && !*there) return;
  Archive archive;
  archive.uuid = uuid;
  auto opened = Volume::open(env_, options_, path_of(uuid));
  if (opened.ok()) {
    archive.image = std::move(*opened);
    archive.name = archive.image->manifest().label;
    if (const Status done = wrap_anew(*archive.image); !done.ok()) {
      log_warning("snapshot", "archive keeps its old key",
                  {{"name", archive.name}, {"error", done.error().message()}});
    }
  } else {
    archive.name = uuid.to_string();
    archive.problem = opened.error().message();
    log_error("snapshot", "archive cannot be opened",
              {{"uuid", uuid.to_string()}, {"error", archive.problem}});
  }
  const std::lock_guard lock(mutex_);
  archives_[uuid] = std::move(archive);
}

// `key rotate` does not come here: what an old key wraps is wrapped by the one in use at the start,
// while both are configured.
Status SnapshotArchives::wrap_anew(Volume& image) {
  const WrappedKey before = image.manifest().key;
  if (before.empty() || options_.key == nullptr || before.key_id == options_.key->id()) return {};
  const Uuid uuid = image.manifest().uuid;
  ASSIGN_OR_RETURN(const Secret plain, options_.key->unwrap(before, uuid));
  ASSIGN_OR_RETURN(const WrappedKey after, options_.key->wrap(plain, uuid, *env_.cartridge.random));
  // It must open again before the old wrapping goes.
  ASSIGN_OR_RETURN(const Secret again, options_.key->unwrap(after, uuid));
  if (!constant_time_equal(again.reveal_bytes(), plain.reveal_bytes())) {
    return Error(ErrorCode::internal, "the key wrapped anew is another one");
  }
  return image.set_wrapped_key(before, after);
}

Status SnapshotArchives::stop() {
  std::vector<Archive> all;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return {};
    stopped_ = true;
    for (auto& [uuid, archive] : archives_) all.push_back(archive);
    archives_.clear();
  }
  Status done;
  for (const Archive& archive : all) {
    if (!archive.image) continue;
    const Status closed = archive.image->close();
    if (!closed.ok() && done.ok()) done = closed;
  }
  return done;
}

Result<SnapshotArchives::Archive> SnapshotArchives::create(const std::string& name,
                                                           uint64_t size_bytes,
                                                           const Volume::Properties& properties) {
  if (!is_name(name)) {
    return Error(ErrorCode::invalid_argument,
                 "'" + name + "' is no name of an archive: 1 to " +
                     std::to_string(kMaxArchiveName) +
                     " letters, digits, '-' and '.', and a letter or digit in front");
  }
  const std::lock_guard lock(mutex_);
  if (stopped_) return Error(ErrorCode::not_ready, "the gateway is stopping");
  if (archives_.size() >= kMaxArchives) {
    return Error(ErrorCode::conflict, "there are too many archives");
  }
  for (const auto& [uuid, archive] : archives_) {
    if (lower_case(archive.name) != lower_case(name)) continue;
    return Error(ErrorCode::exists, "there is an archive " + archive.name + " already");
  }
  Archive made;
  made.uuid = Uuid::generate(*env_.cartridge.random);
  made.name = name;
  ASSIGN_OR_RETURN(auto image, Volume::create(env_, options_, path_of(made.uuid),
                                              {made.uuid, name, size_bytes, kBlockBytes}));
  made.image = std::move(image);
  TRY(made.image->set_properties(properties));
  archives_[made.uuid] = made;
  log_info("snapshot", "archive made", {{"name", name}, {"bytes", size_bytes}});
  return made;
}

Result<SnapshotArchives::Archive> SnapshotArchives::find(const std::string& archive) {
  const std::string wanted = lower_case(archive);
  const std::lock_guard lock(mutex_);
  for (const auto& [uuid, known] : archives_) {
    if (lower_case(known.name) != wanted && uuid.to_string() != wanted) continue;
    if (known.image) return known;
    return Error(ErrorCode::not_ready, "archive " + known.name + ": " + known.problem);
  }
  return Error(ErrorCode::not_found, "there is no archive " + archive);
}

std::vector<SnapshotArchives::Archive> SnapshotArchives::list() {
  std::vector<Archive> out;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [uuid, archive] : archives_) out.push_back(archive);
  }
  std::sort(out.begin(), out.end(),
            [](const Archive& a, const Archive& b) { return a.name < b.name; });
  return out;
}

Result<SnapshotArchives::Point> SnapshotArchives::find_point(const std::string& point) {
  const size_t at = point.find('@');
  if (at == std::string::npos || at == 0 || at + 1 == point.size()) {
    return Error(ErrorCode::invalid_argument,
                 "'" + point + "': a snapshot of an archive is NAME@SNAPSHOT or NAME@latest");
  }
  const std::string wanted = point.substr(at + 1);
  Point out;
  ASSIGN_OR_RETURN(out.archive, find(point.substr(0, at)));
  ASSIGN_OR_RETURN(const auto points, out.archive.image->points());
  for (auto p = points.rbegin(); p != points.rend(); ++p) {  // the newest of a name
    if (wanted != "latest" && p->name != wanted && p->id.to_string() != wanted) continue;
    out.point = *p;
    return out;
  }
  return Error(ErrorCode::not_found, "archive " + out.archive.name + " has no snapshot " + wanted);
}

Result<std::shared_ptr<BlockDevice>> SnapshotArchives::open_point(const Point& point) {
  struct Held {
    std::shared_ptr<Volume> image;
    std::unique_ptr<BlockDevice> disk;  // goes first
  };
  auto held = std::make_shared<Held>();
  held->image = point.archive.image;
  ASSIGN_OR_RETURN(held->disk, held->image->open_point(point.point.id));
  return std::shared_ptr<BlockDevice>(held, held->disk.get());
}

Status SnapshotArchives::remove(const std::string& wanted) {
  ASSIGN_OR_RETURN(Archive archive, find(wanted));
  const std::string path = path_of(archive.uuid);
  FileSystem& files = *env_.cartridge.files;
  {
    const std::lock_guard lock(mutex_);
    // One of ours and the map's.
    if (archive.image.use_count() > 2) {
      return Error(ErrorCode::busy, "archive " + archive.name + " is being worked on");
    }
    archives_.erase(archive.uuid);
  }
  TRY(archive.image->close());
  archive.image.reset();
  // Without its manifest a directory is no archive: what a crash leaves is not opened again.
  ASSIGN_OR_RETURN(auto names, files.list(path));
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name == "manifest"; });
  for (const std::string& name : names) TRY(files.remove(join_path(path, name)));
  TRY(files.remove_directory(path));
  log_info("snapshot", "archive deleted", {{"name", archive.name}});
  return {};
}

Result<std::string> SnapshotArchives::directory_of(const Uuid& image) {
  ASSIGN_OR_RETURN(const bool there, env_.cartridge.files->exists(path_of(image)));
  if (there) return path_of(image);
  return Error(ErrorCode::not_found, "there is no image " + image.to_string());
}

}  // namespace coldshelf
