// Volumes in AWS's terms. A snapshot is a recovery point of the volume, in the store with it.
#include "base/log.h"
#include "gateway/api/service.h"
#include "gateway/volume_points.h"
#include "gateway/volume_scheduler.h"
#include "gateway/volume_service.h"

namespace coldshelf::api {

namespace {

constexpr size_t kSnapshotDigits = 17;
constexpr const char* kDiskId = "coldshelf-data";
constexpr const char* kSchedulePrefix = "aws-";

double seconds(int64_t ms) { return static_cast<double>(ms) / 1000.0; }

std::string snapshot_id_of(const Uuid& point) {
  std::string id = "snap-";
  for (const char c : point.to_string()) {
    if (c != '-' && id.size() < 5 + kSnapshotDigits) id += c;
  }
  return id;
}

const char* type_of(const VolumeView& v) {
  return v.mode == "stored" ? "STORED iSCSI" : "CACHED iSCSI";
}

// "coldshelf-data/100GiB": a stored volume is as large as its disk, and ours has no size of its
// own.
Result<uint64_t> size_of_disk(const std::string& disk) {
  const size_t slash = disk.find('/');
  if (disk.substr(0, slash) != kDiskId || slash == std::string::npos) {
    return Error(ErrorCode::not_found, "there is no disk " + disk + "; DiskId is " + kDiskId +
                                           "/SIZE, e.g. " + kDiskId + "/100GiB");
  }
  return parse_size(disk.substr(slash + 1));
}

// Tags of volumes are kept; a recovery point has none.
Status check_no_tags(const Params& in) {
  ASSIGN_OR_RETURN(const TagMap tags, tags_of(in));
  if (tags.empty()) return {};
  return Error(ErrorCode::not_supported, "a recovery point takes no tags; Tags must be empty");
}

}  // namespace

std::string Service::volume_arn(const Uuid& uuid) const {
  return gateway_arn() + "/volume/" + volume_id_of(uuid);
}

Result<VolumeView> Service::volume_of(const std::string& arn) const {
  const auto none = [&] { return Error(ErrorCode::not_found, "there is no volume " + arn); };
  const std::string prefix = gateway_arn() + "/volume/";
  if (!arn.starts_with(prefix) || env_.volumes == nullptr) return none();
  ASSIGN_OR_RETURN(VolumeView v, env_.volumes->show(arn.substr(prefix.size())));
  // A volume may be named as another one's id; an archive of EBS snapshots is no volume of AWS's.
  if (volume_arn(v.uuid) != arn || v.archive) return none();
  return v;
}

Result<VolumeView> Service::volume_of(const Params& in) const {
  ASSIGN_OR_RETURN(const std::string arn, in.text("VolumeARN"));
  return volume_of(arn);
}

Result<Json> Service::volume_made(const VolumeView& v, const Params& in) {
  ASSIGN_OR_RETURN(const TagMap tags, tags_of(in));
  if (!tags.empty() && env_.tags != nullptr) {
    TRY(env_.tags->add("gateway/" + env_.gateway_id + "/volume/" + volume_id_of(v.uuid), tags));
  }
  return Json{{"VolumeARN", volume_arn(v.uuid)},
              {"TargetARN", target_arn(volume_iqn(env_.config.gateway.name, v.name))}};
}

Json Service::aws_volume(const VolumeView& v) const {
  const std::string iqn = volume_iqn(env_.config.gateway.name, v.name);
  HostPort where{"127.0.0.1", 3260};
  const auto endpoints = env_.endpoints ? env_.endpoints() : std::vector<std::string>();
  if (!endpoints.empty()) {
    if (auto parsed = parse_listen_address(endpoints.front(), 3260); parsed.ok()) where = *parsed;
  }
  Json out = {{"VolumeARN", volume_arn(v.uuid)},
              {"VolumeId", volume_id_of(v.uuid)},
              {"VolumeType", type_of(v)},
              {"VolumeStatus", v.status},
              {"VolumeAttachmentStatus", "ATTACHED"},
              {"VolumeSizeInBytes", v.size_bytes},
              {"CreatedDate", seconds(v.created_ms)},
              {"VolumeUsedInBytes", v.usage.mapped_bytes},
              {"TargetName", v.name},
              {"VolumeiSCSIAttributes",
               {{"TargetARN", target_arn(iqn)},
                {"NetworkInterfaceId", where.host},
                {"NetworkInterfacePort", where.port},
                {"ChapEnabled", chap_enabled(iqn)}}}};
  if (v.mode == "stored") {
    out["VolumeDiskId"] = std::string(kDiskId) + "/" + format_exact_size(v.size_bytes);
    out["PreservedExistingData"] = false;
  }
  return out;
}

// "VOLUME@POINT" of a SnapshotId.
Result<std::string> Service::point_of_snapshot(const std::string& snapshot) const {
  for (const VolumeView& v : env_.volumes->list()) {
    const auto points = env_.volumes->points(v.name);
    if (!points.ok()) continue;
    for (const VolumePoint& p : *points) {
      if (snapshot_id_of(p.point.id) == snapshot) return v.name + "@" + p.point.id.to_string();
    }
  }
  return Error(ErrorCode::not_found, "there is no snapshot " + snapshot);
}

// An empty volume, or one that begins as a snapshot or as another volume's newest recovery point.
Result<VolumeView> Service::make_volume(const Params& in, const std::string& mode, uint64_t size) {
  ASSIGN_OR_RETURN(const std::string name, in.text("TargetName"));
  ASSIGN_OR_RETURN(const std::string snapshot, in.text_or("SnapshotId", ""));
  ASSIGN_OR_RETURN(const std::string source, in.text_or("SourceVolumeARN", ""));
  TRY(check_encryption(in));
  TRY(tags_of(in));  // before there is a volume that would stay without them
  if (snapshot.empty() && source.empty()) {
    VolumeService::CreateRequest request;
    request.name = name;
    request.mode = mode;
    request.size_bytes = size;
    return env_.volumes->create(request);
  }
  if (!snapshot.empty() && !source.empty()) {
    return Error(ErrorCode::invalid_argument, "SnapshotId and SourceVolumeARN exclude each other");
  }
  std::string point;
  uint64_t source_bytes = 0;
  if (!snapshot.empty()) {
    ASSIGN_OR_RETURN(point, point_of_snapshot(snapshot));
    ASSIGN_OR_RETURN(const VolumePoint origin, env_.volumes->find_point(point));
    source_bytes = origin.point.size_bytes;
  } else {
    ASSIGN_OR_RETURN(const VolumeView from, volume_of(source));
    point = from.name;
    source_bytes = from.size_bytes;
  }
  if (size < source_bytes) {
    return Error(ErrorCode::invalid_argument, "the new volume is smaller than its source");
  }
  if (snapshot.empty()) {
    VolumePoints::Request request;
    request.volumes = {point};
    ASSIGN_OR_RETURN(const auto made, env_.volume_points->create(request));
    point += "@" + made.points.front().point.id.to_string();
  }
  ASSIGN_OR_RETURN(const VolumeView made, env_.volumes->clone(point, name));
  const auto finish = [&]() -> Status {
    if (made.mode != mode) {
      TRY(env_.volumes->set_properties(name, {{std::string(kPropertyMode), mode}}));
    }
    if (made.size_bytes != size) TRY(env_.volumes->resize(name, size));
    return {};
  };
  if (const Status done = finish(); !done.ok()) {
    // What was not asked for does not stay.
    const Status undone = env_.volumes->remove(made.uuid.to_string(), true);
    if (!undone.ok()) log_warning("api", "clone stays", {{"error", undone.error().message()}});
    return done.error();
  }
  return env_.volumes->show(name);
}

void Service::add_aws_volume_making() {
  aws("CreateCachediSCSIVolume", [this](const Params& in) -> Result<Json> {
    return once("CreateCachediSCSIVolume", in, [&]() -> Result<Json> {
      ASSIGN_OR_RETURN(const uint64_t size, in.number("VolumeSizeInBytes", 1, INT64_MAX));
      ASSIGN_OR_RETURN(const VolumeView v, make_volume(in, "cached", size));
      return volume_made(v, in);
    });
  });
  aws("CreateStorediSCSIVolume", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string disk, in.text("DiskId"));
    ASSIGN_OR_RETURN(const bool preserve, in.flag_or("PreserveExistingData", false));
    if (preserve) {
      return Error(ErrorCode::not_supported,
                   "there is no data to preserve on a disk of the gateway; see `volume import`");
    }
    ASSIGN_OR_RETURN(const uint64_t size, size_of_disk(disk));
    ASSIGN_OR_RETURN(const VolumeView v, make_volume(in, "stored", size));
    ASSIGN_OR_RETURN(Json answer, volume_made(v, in));
    answer["VolumeSizeInBytes"] = v.size_bytes;
    return answer;
  });
  aws("DeleteVolume", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    TRY(env_.volumes->remove(v.uuid.to_string(), false));
    return Json{{"VolumeARN", volume_arn(v.uuid)}};
  });
  aws("DetachVolume", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const bool force, in.flag_or("ForceDetach", false));
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    TRY(env_.volumes->detach(v.uuid.to_string(), force));
    return Json{{"VolumeARN", volume_arn(v.uuid)}};
  });
  aws("AttachVolume", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string arn, in.text("VolumeARN"));
    ASSIGN_OR_RETURN(const std::string target, in.text_or("TargetName", ""));
    ASSIGN_OR_RETURN(const std::string disk, in.text_or("DiskId", ""));
    if (!disk.empty()) TRY(size_of_disk(disk));
    ASSIGN_OR_RETURN(const auto detached, env_.volumes->detached());
    for (const DetachedImage& image : detached) {
      if (volume_id_of(image.uuid) != barcode_of(arn)) continue;
      if (!target.empty() && target != image.name) {
        return Error(ErrorCode::not_supported,
                     "a volume keeps its name: TargetName must be " + image.name + " or missing");
      }
      ASSIGN_OR_RETURN(const VolumeView v, env_.volumes->attach({image.uuid.to_string()}));
      return Json{{"VolumeARN", volume_arn(v.uuid)},
                  {"TargetARN", target_arn(volume_iqn(env_.config.gateway.name, v.name))}};
    }
    return Error(ErrorCode::not_found, "there is no detached volume " + arn);
  });
}

void Service::add_aws_volume_views() {
  aws("ListVolumes", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string marker, in.text_or("Marker", ""));
    ASSIGN_OR_RETURN(const uint64_t limit, in.number_or("Limit", 100, 1, INT32_MAX));
    std::map<std::string, VolumeView> all;
    for (VolumeView& v : env_.volumes->list()) all.emplace(volume_id_of(v.uuid), std::move(v));
    Json out = {{"GatewayARN", gateway_arn()}, {"VolumeInfos", Json::array()}};
    std::string last;
    for (auto at = all.upper_bound(marker); at != all.end(); ++at) {
      if (out["VolumeInfos"].size() == limit) {
        out["Marker"] = last;
        break;
      }
      last = at->first;
      out["VolumeInfos"].push_back({{"VolumeARN", volume_arn(at->second.uuid)},
                                    {"VolumeId", at->first},
                                    {"GatewayARN", gateway_arn()},
                                    {"GatewayId", env_.gateway_id},
                                    {"VolumeType", type_of(at->second)},
                                    {"VolumeSizeInBytes", at->second.size_bytes},
                                    {"VolumeAttachmentStatus", "ATTACHED"}});
    }
    return out;
  });
  for (const bool stored : {false, true}) {
    aws(stored ? "DescribeStorediSCSIVolumes" : "DescribeCachediSCSIVolumes",
        [this, stored](const Params& in) -> Result<Json> {
          const char* list = stored ? "StorediSCSIVolumes" : "CachediSCSIVolumes";
          ASSIGN_OR_RETURN(const auto arns, in.texts("VolumeARNs"));
          Json out;
          out[list] = Json::array();
          for (const std::string& arn : arns) {
            ASSIGN_OR_RETURN(const VolumeView v, volume_of(arn));
            if ((v.mode == "stored") != stored) {
              return Error(ErrorCode::not_found, "there is no such volume of this type: " + arn);
            }
            out[list].push_back(aws_volume(v));
          }
          return out;
        });
  }
  aws("ListVolumeInitiators", [this](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    Json out = {{"Initiators", Json::array()}};
    for (const Session& session : env_.sessions ? env_.sessions() : std::vector<Session>()) {
      if (session.target == volume_iqn(env_.config.gateway.name, v.name)) {
        out["Initiators"].push_back(session.initiator);
      }
    }
    return out;
  });
  // The moment up to which everything written is in the store.
  aws("ListVolumeRecoveryPoints", [this](const Params&) -> Result<Json> {
    Json out = {{"GatewayARN", gateway_arn()}, {"VolumeRecoveryPointInfos", Json::array()}};
    const int64_t now_ms = env_.tapes->env().clock->unix_ms();
    for (const VolumeView& v : env_.volumes->list()) {
      if (v.mode == "stored") continue;  // as AWS has it: of cached volumes
      out["VolumeRecoveryPointInfos"].push_back(
          {{"VolumeARN", volume_arn(v.uuid)},
           {"VolumeSizeInBytes", v.size_bytes},
           {"VolumeUsageInBytes", v.usage.mapped_bytes},
           {"VolumeRecoveryPointTime", format_utc(now_ms - v.not_uploaded_age_ms)}});
    }
    return out;
  });
}

void Service::add_aws_snapshots() {
  for (const bool with_time : {false, true}) {
    aws(with_time ? "CreateSnapshotFromVolumeRecoveryPoint" : "CreateSnapshot",
        [this, with_time](const Params& in) -> Result<Json> {
          VolumePoints::Request request;
          ASSIGN_OR_RETURN(request.description, in.text("SnapshotDescription"));
          TRY(check_no_tags(in));
          ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
          request.volumes = {v.name};
          ASSIGN_OR_RETURN(const auto made, env_.volume_points->create(request));
          const RecoveryPoint& point = made.points.front().point;
          Json out = {{"VolumeARN", volume_arn(v.uuid)}, {"SnapshotId", snapshot_id_of(point.id)}};
          if (with_time) out["VolumeRecoveryPointTime"] = format_utc(point.created_unix_ms);
          return out;
        });
  }
  const auto schedule_name = [](const VolumeView& v) { return kSchedulePrefix + v.name; };
  const auto find = [this, schedule_name](const VolumeView& v) -> Result<VolumeSchedule> {
    for (const auto& view : env_.volume_schedules->list()) {
      if (view.schedule.name == schedule_name(v)) return view.schedule;
    }
    return Error(ErrorCode::not_found, "volume " + v.name + " has no snapshot schedule");
  };
  aws("UpdateSnapshotSchedule", [this, schedule_name](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    VolumeSchedule schedule;
    schedule.name = schedule_name(v);
    schedule.volumes = {v.name};
    ASSIGN_OR_RETURN(const uint64_t hours, in.number("RecurrenceInHours", 1, 24));
    ASSIGN_OR_RETURN(const uint64_t start, in.number("StartAt", 0, 23));
    schedule.hours = static_cast<unsigned>(hours);
    schedule.start_hour = static_cast<unsigned>(start);
    schedule.utc = true;
    ASSIGN_OR_RETURN(schedule.description, in.text_or("Description", ""));
    TRY(check_no_tags(in));
    TRY(env_.volume_schedules->put(std::move(schedule)));
    return Json{{"VolumeARN", volume_arn(v.uuid)}};
  });
  aws("DescribeSnapshotSchedule", [this, find](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    ASSIGN_OR_RETURN(const VolumeSchedule schedule, find(v));
    Json out = {{"VolumeARN", volume_arn(v.uuid)},
                {"StartAt", schedule.start_hour},
                {"RecurrenceInHours", schedule.hours},
                {"Timezone", "GMT"}};
    if (!schedule.description.empty()) out["Description"] = schedule.description;
    return out;
  });
  aws("DeleteSnapshotSchedule", [this, find](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const VolumeView v, volume_of(in));
    ASSIGN_OR_RETURN(const VolumeSchedule schedule, find(v));
    TRY(env_.volume_schedules->remove(schedule.name));
    return Json{{"VolumeARN", volume_arn(v.uuid)}};
  });
}

void Service::add_aws_volume_operations() {
  if (env_.volumes == nullptr) return;
  add_aws_volume_making();
  add_aws_volume_views();
  add_aws_snapshots();
}

}  // namespace coldshelf::api
