// Archives, and the life of a job. What a job does: snapshot_jobs.cc.
#include "gateway/snapshot_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace coldshelf {

namespace {

constexpr int64_t kShowMs = 1'000;
constexpr size_t kMaxTags = 50;          // of a snapshot
constexpr size_t kMaxDescription = 255;  // of StartSnapshot
constexpr int64_t kLookMs = 200;

std::string text_of(const std::map<std::string, std::string>& tags) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, value] : tags) json[key] = value;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_ours(const JobRow& row) {
  return row.kind == JobKind::snapshot_pull || row.kind == JobKind::snapshot_restore;
}

}  // namespace

std::string point_or_latest(const std::string& point) {
  return point.find('@') == std::string::npos ? point + "@latest" : point;
}

SnapshotService::SnapshotService(const Env& env, const Config::Aws& settings)
    : env_(env),
      settings_(settings),
      workers_(std::make_unique<WorkerPool>(static_cast<unsigned>(settings.jobs))) {}

SnapshotService::~SnapshotService() { stop(); }

Status SnapshotService::resume() {
  ASSIGN_OR_RETURN(const auto rows, env_.catalog->unfinished_jobs());
  for (const JobRow& row : rows) {
    if (!is_ours(row)) continue;
    auto run = std::make_shared<Run>();
    run->row = row;
    submit(run);
  }
  return {};
}

void SnapshotService::give_up() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (const auto& [id, run] : runs_) *run->stop = true;
}

void SnapshotService::stop() {
  give_up();
  env_.aws->give_up();  // after the mark: what this ends is no failure
  workers_.reset();
}

Result<int64_t> SnapshotService::begin(JobKind kind, const Uuid& image, const std::string& name,
                                       std::map<std::string, std::string> parameters) {
  auto run = std::make_shared<Run>();
  run->row = make_job(kind, image, name, env_.clock->unix_ms(), std::move(parameters));
  auto id = env_.catalog->add_job(run->row);
  if (!id.ok()) {
    if (id.error().code != ErrorCode::conflict) return id;
    return Error(ErrorCode::busy, name + " has an unfinished job");
  }
  run->row.id = *id;
  submit(run);
  return *id;
}

void SnapshotService::submit(const RunPtr& run) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  runs_[run->row.id] = run;
  workers_->submit([this, run] { work(run); });
}

Status SnapshotService::save(const RunPtr& run) {
  run->row.updated_ms = env_.clock->unix_ms();
  return env_.catalog->update_job(run->row);
}

void SnapshotService::step(const RunPtr& run, const std::string& what) {
  run->row.step = what;
  const Status saved = save(run);
  if (!saved.ok()) log_warning("snapshot", "job not saved", {{"error", saved.error().message()}});
}

void SnapshotService::show_progress(const RunPtr& run, uint64_t done_blocks, uint64_t total_blocks,
                                    uint64_t moved_blocks, bool now) {
  const int64_t time_ms = env_.clock->unix_ms();
  if (!now && time_ms - run->shown_ms < kShowMs) return;
  run->shown_ms = time_ms;
  run->row.done_bytes = done_blocks * kEbsBlockBytes;
  run->row.total_bytes = total_blocks * kEbsBlockBytes;
  run->row.done_objects = moved_blocks;
  step(run, run->row.step);
}

void SnapshotService::work(const RunPtr& run) {
  run->row.state = JobState::running;
  Status done = save(run);
  if (*run->stop) {
    done = Error(ErrorCode::cancelled, "told to stop before it began");
  } else if (done.ok()) {
    done = run->row.kind == JobKind::snapshot_pull      ? run_pull(run)
           : run->row.kind == JobKind::snapshot_restore ? run_restore(run)
                                                        : run_verify(run);
  }
  {
    const std::lock_guard lock(mutex_);
    runs_.erase(run->row.id);
    // The next start goes on with it.
    if (stopping_ && !run->cancelled && !done.ok()) return;
  }
  run->row.state = done.ok()        ? JobState::succeeded
                   : run->cancelled ? JobState::cancelled
                                    : JobState::failed;
  run->row.error = done.ok() ? "" : done.error().message();
  run->row.step = done.ok() ? "done" : run->row.step;
  if (!done.ok()) {
    log_warning("snapshot", "job failed",
                {{"job", run->row.id}, {"error", done.error().message()}});
  }
  const Status saved = save(run);
  if (!saved.ok()) log_error("snapshot", "job not saved", {{"error", saved.error().message()}});
}

Status SnapshotService::wait(const RunPtr& run, int64_t ms) {
  for (; ms > 0; ms -= kLookMs) {
    if (*run->stop) return Error(ErrorCode::cancelled, "told to stop");
    env_.clock->sleep_ms(std::min(ms, kLookMs));
  }
  return {};
}

Status SnapshotService::cancel(int64_t job) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(job);
    if (found != runs_.end()) {
      found->second->cancelled = true;
      *found->second->stop = true;
      return {};
    }
  }
  ASSIGN_OR_RETURN(const auto row, env_.catalog->job(job));
  const bool shelf = row && (row->kind == JobKind::archive || row->kind == JobKind::retrieve ||
                             row->kind == JobKind::reassign);
  if (shelf && row->state < JobState::succeeded &&
      env_.volumes->find_archive(row->cartridge.to_string()).ok()) {
    return env_.volumes->cancel_shelf_job(row->cartridge);
  }
  return Error(ErrorCode::conflict,
               "job " + std::to_string(job) + " is not under way, or not one of an archive");
}

Result<JobRow> SnapshotService::job(int64_t id) {
  ASSIGN_OR_RETURN(const auto row, env_.catalog->job(id));
  if (row) return *row;
  return Error(ErrorCode::not_found, "there is no job " + std::to_string(id));
}

// -- orders

Result<int64_t> SnapshotService::pull(const PullOrder& order) {
  if (!is_snapshot_id(order.snapshot)) {
    return Error(ErrorCode::invalid_argument, "'" + order.snapshot + "' is no snapshot: snap-...");
  }
  if (order.base != "auto" && order.base != "none" && !is_snapshot_id(order.base)) {
    return Error(ErrorCode::invalid_argument,
                 "the base is 'auto', 'none' or a snapshot, not '" + order.base + "'");
  }
  ASSIGN_OR_RETURN(const AwsPlace place, env_.aws->resolve(order.place));
  ASSIGN_OR_RETURN(const auto ec2, env_.aws->ec2(place));
  ASSIGN_OR_RETURN(const Ec2Snapshot snapshot, ec2->describe_snapshot(order.snapshot));
  if (snapshot.state == "error") {
    return Error(ErrorCode::conflict, "snapshot " + order.snapshot + " failed in EC2");
  }
  TRY(check_readable(snapshot));
  const std::lock_guard making(making_);
  ASSIGN_OR_RETURN(const auto archive, archive_for(order, snapshot, place));
  std::map<std::string, std::string> parameters = order.notes;
  parameters["snapshot"] = order.snapshot;
  parameters["base"] = order.base;
  parameters["account"] = place.account;
  parameters["region"] = place.region;
  return begin(JobKind::snapshot_pull, archive.uuid, archive.name, std::move(parameters));
}

// The archive a snapshot goes to, made if it is not there.
Result<VolumeService::Archive> SnapshotService::archive_for(const PullOrder& order,
                                                            const Ec2Snapshot& snapshot,
                                                            const AwsPlace& place) {
  const bool of_volume = !snapshot.volume.empty() && snapshot.volume != kNoVolume;
  const std::string& origin = of_volume ? snapshot.volume : snapshot.id;
  for (const VolumeService::Archive& archive : env_.volumes->archives()) {
    const auto image = read_ebs_image(archive.manifest);
    const bool same =
        image.ok() && image->source.volume == origin && image->source.region == place.region;
    if (order.to == archive.name && !same) {
      TRY(image);
      return Error(ErrorCode::conflict, "archive " + archive.name + " is of " +
                                            image->source.volume + " in " + image->source.region +
                                            ", not of " + origin);
    }
    if (same && (order.to.empty() || order.to == archive.name)) {
      return env_.volumes->open_archive(archive.uuid.to_string());
    }
  }
  VolumeService::CreateRequest wanted;
  wanted.name = order.to.empty() ? origin : order.to;
  wanted.size_bytes = snapshot.volume_gib * GiB;
  return env_.volumes->create_archive(wanted, order.pool,
                                      property_of(EbsSource{origin, place.region, snapshot.owner}));
}

Result<int64_t> SnapshotService::restore(const RestoreOrder& order) {
  ASSIGN_OR_RETURN(const AwsPlace place, env_.aws->resolve(order.place));
  ASSIGN_OR_RETURN(const auto point, env_.volumes->find_point(point_or_latest(order.point)));
  ASSIGN_OR_RETURN(const auto source, env_.volumes->open_volume(point.volume.to_string()));
  if (!order.parent.empty() && order.parent != "auto" && !is_snapshot_id(order.parent)) {
    return Error(ErrorCode::invalid_argument, "the parent is 'auto' or a snapshot");
  }
  if (order.encrypted && !order.parent.empty()) {
    return Error(ErrorCode::invalid_argument,
                 "EBS does not encrypt a snapshot that has a parent: leave one of the two");
  }
  std::map<std::string, std::string> tags = order.tags;
  std::string description = order.description;
  ASSIGN_OR_RETURN(const EbsImage image, read_ebs_image(source->manifest()));
  const EbsPoint* was = image.find(point.point.id);
  if (was != nullptr && order.copy_tags) {
    for (const auto& tag : tags_to_restore(was->tags)) {  // what the order says wins
      if (tags.size() < kMaxTags) tags.insert(tag);
    }
  }
  if (description.empty()) {
    description = "coldshelf: " + point.volume_name + "@" + point.point.name;
    if (description.size() > kMaxDescription) description = "coldshelf: " + point.volume_name;
  }
  std::map<std::string, std::string> parameters = {
      {"point", point.point.id.to_string()},
      {"account", place.account},
      {"region", place.region},
      {"description", description},
      {"tags", text_of(tags)},
      {"encrypted", order.encrypted ? "true" : "false"},
      {"kms_key", order.kms_key},
      {"parent", order.parent},
      {"volume_gib", std::to_string(order.volume_gib > 0 ? order.volume_gib
                                    : was != nullptr     ? was->volume_gib
                                                         : 0)}};
  if (order.create_volume) {
    const Ec2CreateVolume& v = *order.create_volume;
    if (v.zone.empty()) {
      return Error(ErrorCode::invalid_argument, "a volume needs an availability zone");
    }
    parameters["volume"] = nlohmann::json{
        {"zone", v.zone},
        {"type", v.type},
        {"gib", v.gib},
        {"iops", v.iops},
        {"throughput", v.throughput},
        {"encrypted", v.encrypted},
        {"kms_key", v.kms_key}}.dump();
  }
  if (order.register_image) {
    const Ec2RegisterImage& i = *order.register_image;
    if (i.name.empty()) return Error(ErrorCode::invalid_argument, "an image needs a name");
    parameters["image"] = nlohmann::json{
        {"name", i.name},
        {"description", i.description},
        {"architecture", i.architecture},
        {"root_device", i.root_device},
        {"volume_type", i.volume_type},
        {"boot_mode",
         i.boot_mode}}.dump();
  }
  return begin(JobKind::snapshot_restore, point.volume, point.volume_name, std::move(parameters));
}

Result<int64_t> SnapshotService::verify(const std::string& wanted) {
  std::map<std::string, std::string> parameters;
  ASSIGN_OR_RETURN(const auto archive,
                   env_.volumes->open_archive(wanted.substr(0, wanted.find('@'))));
  if (wanted.find('@') != std::string::npos) {
    ASSIGN_OR_RETURN(const auto point, env_.volumes->find_point(wanted));
    parameters["point"] = point.point.id.to_string();
  }
  return begin(JobKind::verify, archive.uuid, archive.name, std::move(parameters));
}

// -- looking

Result<SnapshotArchive> SnapshotService::view_of(VolumeView view, const Manifest& manifest) {
  SnapshotArchive out;
  ASSIGN_OR_RETURN(const EbsImage image, read_ebs_image(manifest));
  out.source = image.source;
  out.pull = image.pull;
  ASSIGN_OR_RETURN(const auto points, recovery_points(manifest));
  for (const RecoveryPoint& point : points) {
    ArchivedSnapshot snapshot;
    snapshot.point = point;
    if (const EbsPoint* ebs = image.find(point.id)) snapshot.ebs = *ebs;
    const auto pushed = image.pushed.find(point.id);
    if (pushed != image.pushed.end()) snapshot.pushed = pushed->second;
    out.points.push_back(std::move(snapshot));
  }
  std::stable_sort(out.points.begin(), out.points.end(), [](const auto& a, const auto& b) {
    const auto when = [](const ArchivedSnapshot& s) {
      return s.ebs ? s.ebs->started_ms : s.point.created_unix_ms;
    };
    return when(a) < when(b);
  });
  out.image = std::move(view);
  return out;
}

Result<SnapshotArchive> SnapshotService::show(const std::string& wanted) {
  ASSIGN_OR_RETURN(const auto archive, env_.volumes->archive_view(wanted));
  ASSIGN_OR_RETURN(SnapshotArchive out, view_of(archive.image, archive.manifest));
  if (env_.shelf != nullptr && out.image.status == to_string(TapeStatus::retrieved)) {
    ASSIGN_OR_RETURN(const Shelf::Holdings held, env_.shelf->holdings(out.image.uuid, {}));
    out.readable_until_ms = held.readable_until_ms;
  }
  return out;
}

std::vector<SnapshotArchive> SnapshotService::list() {
  std::vector<SnapshotArchive> out;
  for (const VolumeService::ImageView& archive : env_.volumes->archive_views()) {
    auto shown = view_of(archive.image, archive.manifest);
    if (!shown.ok()) {
      SnapshotArchive broken;
      broken.image = archive.image;
      broken.image.problem = shown.error().message();
      shown = std::move(broken);
    }
    out.push_back(std::move(*shown));
  }
  return out;
}

Result<std::vector<Ec2Snapshot>> SnapshotService::in_ec2(const AwsPlace& place,
                                                         const std::string& volume) {
  ASSIGN_OR_RETURN(const auto ec2, env_.aws->ec2(place));
  std::vector<Ec2Filter> filters;
  if (!volume.empty()) filters.push_back({"volume-id", {volume}});
  ASSIGN_OR_RETURN(auto found, ec2->describe_snapshots({}, filters));
  std::stable_sort(found.begin(), found.end(), [](const Ec2Snapshot& a, const Ec2Snapshot& b) {
    return a.started_ms > b.started_ms;
  });
  return found;
}

Status SnapshotService::remove(const std::string& wanted, bool force) {
  ASSIGN_OR_RETURN(auto archive, env_.volumes->find_archive(wanted.substr(0, wanted.find('@'))));
  archive.image.reset();  // whoever holds one works on it
  if (wanted.find('@') == std::string::npos) {
    return env_.volumes->remove(archive.uuid.to_string(), force);
  }
  if (!force) return env_.volumes->delete_point(wanted);
  return Error(ErrorCode::invalid_argument,
               "force is for whole archives; what stands on a snapshot goes first");
}

}  // namespace coldshelf
