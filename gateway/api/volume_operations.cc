// Volumes, recovery points, clones and mounts: Coldshelf_20261101 only.
#include "gateway/api/service.h"
#include "gateway/api/volume_json.h"
#include "gateway/volume_points.h"
#include "gateway/volume_scheduler.h"

namespace coldshelf::api {

namespace {

Json volume_json(const VolumeView& v) {
  Json out = {{"Name", v.name},
              {"Uuid", v.uuid.to_string()},
              {"VolumeId", volume_id_of(v.uuid)},
              {"Mode", v.mode},
              {"Status", v.status},
              {"SizeInBytes", v.size_bytes},
              {"BlockBytes", v.block_bytes},
              {"Pinned", v.pinned},
              {"Encrypted", v.encrypted},
              {"Target", v.target},
              {"Sessions", v.sessions},
              {"RecoveryPoints", v.points},
              {"Created", format_utc(v.created_ms)},
              {"MappedInBytes", v.usage.mapped_bytes},
              {"LocalInBytes", v.usage.local_bytes},
              {"StoredInBytes", v.usage.stored_bytes},
              {"NotUploadedInBytes", v.not_uploaded_bytes},
              {"NotUploadedAgeMs", v.not_uploaded_age_ms}};
  if (!v.problem.empty()) out["Problem"] = v.problem;
  if (!v.parent.is_nil()) out["CloneOf"] = v.parent.to_string();
  return out;
}

// What writing costs, since the volume was opened.
Json counters_json(const VolumeView& v) {
  const VolumeCounters& c = v.counters;
  Json out = {{"WrittenBytes", c.written_bytes}, {"LogBytes", c.log_bytes},
              {"MovedBytes", c.moved_bytes},     {"MapBytes", c.map_bytes},
              {"DroppedBytes", c.dropped_bytes}, {"SegmentsSealed", c.segments_sealed},
              {"Extents", v.map.extents},        {"MapMemoryBytes", v.map.memory_bytes}};
  if (c.written_bytes > 0) {
    out["WriteAmplification"] = static_cast<double>(c.log_bytes + c.moved_bytes + c.map_bytes) /
                                static_cast<double>(c.written_bytes);
  }
  return out;
}

}  // namespace

Json made_json(const VolumePoints::Made& made) {
  Json out = {{"RecoveryPoints", Json::array()}};
  for (const VolumePoint& p : made.points) out["RecoveryPoints"].push_back(point_json(p));
  if (!made.warning.empty()) out["Warning"] = made.warning;
  return out;
}

Json point_json(const VolumePoint& p) {
  Json out = {
      {"Volume", p.volume_name},           {"VolumeUuid", p.volume.to_string()},
      {"Id", p.point.id.to_string()},      {"Name", p.point.name},
      {"SizeInBytes", p.point.size_bytes}, {"Created", format_utc(p.point.created_unix_ms)}};
  if (!p.mounted.empty()) out["MountedAs"] = p.mounted;
  if (!p.point.about.empty()) {
    Json about = Json::parse(p.point.about, nullptr, false);
    if (about.is_object()) out["About"] = std::move(about);
  }
  return out;
}

namespace {

Json mount_json(const VolumeMount& m) {
  Json out = {{"Name", m.name},
              {"Target", m.target},
              {"Sessions", m.sessions},
              {"RecoveryPoint", point_json(m.point)}};
  if (!m.problem.empty()) out["Problem"] = m.problem;
  return out;
}

}  // namespace

Result<VolumeService::CreateRequest> volume_request(const Params& in, uint64_t lowest_size) {
  VolumeService::CreateRequest request;
  ASSIGN_OR_RETURN(request.name, in.text("Name"));
  if (lowest_size > 0 || in.has("SizeInBytes")) {
    ASSIGN_OR_RETURN(request.size_bytes, in.number("SizeInBytes", lowest_size, kMaxVolumeBytes));
  }
  ASSIGN_OR_RETURN(request.mode, in.text_or("Mode", "cached"));
  ASSIGN_OR_RETURN(const uint64_t block, in.number_or("BlockBytes", 512, 512, 4096));
  request.block_bytes = static_cast<uint32_t>(block);
  return request;
}

void Service::add_volume_operations() {
  if (env_.volumes == nullptr) return;
  VolumeService& volumes = *env_.volumes;
  own("CreateVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto request, volume_request(in, 1));
    ASSIGN_OR_RETURN(const VolumeView made, volumes.create(request));
    return volume_json(made);
  });
  own("ListVolumes", [&volumes](const Params&) -> Result<Json> {
    Json out = {{"Volumes", Json::array()}, {"Mounts", Json::array()}};
    for (const VolumeView& v : volumes.list()) out["Volumes"].push_back(volume_json(v));
    for (const VolumeMount& m : volumes.mounts()) out["Mounts"].push_back(mount_json(m));
    return out;
  });
  own("DescribeVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.show(name));
    Json out = volume_json(v);
    out["Writing"] = counters_json(v);
    return out;
  });
  own("ResizeVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const uint64_t size, in.number("SizeInBytes", 1, kMaxVolumeBytes));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.resize(name, size));
    return volume_json(v);
  });
  own("DeleteVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.show(name));
    if (v.archive) {
      return Error(ErrorCode::conflict, v.name +
                                            " is an archive of EBS snapshots, not a volume; "
                                            "see `snapshot delete`");
    }
    TRY(volumes.remove(name, force));
    return Json{{"Volume", name}};
  });
  for (const bool on : {true, false}) {
    own(on ? "PinVolume" : "UnpinVolume", [&volumes, on](const Params& in) -> Result<Json> {
      ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
      ASSIGN_OR_RETURN(const VolumeView v, volumes.set_pinned(name, on));
      return volume_json(v);
    });
  }
  own("DetachVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    ASSIGN_OR_RETURN(const int64_t job, volumes.detach(name, force));
    return Json{{"JobId", job}, {"Volume", name}};
  });
  own("AttachVolume", [this, &volumes](const Params& in) -> Result<Json> {
    Shelf::AttachRequest request;
    ASSIGN_OR_RETURN(request.image, in.text("Volume"));
    ASSIGN_OR_RETURN(request.take_over, in.flag_or("TakeOver", false));
    ASSIGN_OR_RETURN(request.force, in.flag_or("Force", false));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.attach(request));
    if (env_.volume_schedules != nullptr) TRY(env_.volume_schedules->load());
    return volume_json(v);
  });
  own("ForgetVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    TRY(volumes.forget(name, force));
    return Json{{"Volume", name}};
  });
  own("ListDetachedVolumes", [&volumes](const Params&) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto detached, volumes.detached());
    Json out = {{"Volumes", Json::array()}};
    for (const DetachedImage& image : detached) {
      out["Volumes"].push_back({{"Name", image.name},
                                {"Uuid", image.uuid.to_string()},
                                {"SizeInBytes", image.size_bytes},
                                {"Gateway", image.gateway},
                                {"Detached", format_utc(image.detached_ms)}});
    }
    return out;
  });
  own("CompactVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.compact(name));
    Json out = volume_json(v);
    out["Writing"] = counters_json(v);
    return out;
  });
  add_point_operations();
  add_volume_schedule_operations();
  add_volume_transfer_operations();
}

void Service::add_point_operations() {
  VolumeService& volumes = *env_.volumes;
  own("CreateRecoveryPoint", [this](const Params& in) -> Result<Json> {
    VolumePoints::Request request;
    ASSIGN_OR_RETURN(request.volumes, in.texts("Volumes"));
    ASSIGN_OR_RETURN(request.name, in.text_or("Name", ""));
    ASSIGN_OR_RETURN(request.quiesce, in.text_or("Quiesce", ""));
    ASSIGN_OR_RETURN(request.description, in.text_or("Description", ""));
    ASSIGN_OR_RETURN(const auto made, env_.volume_points->create(request));
    return made_json(made);
  });
  own("ListRecoveryPoints", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Volume"));
    ASSIGN_OR_RETURN(const auto points, volumes.points(name));
    Json out = {{"RecoveryPoints", Json::array()}};
    for (const VolumePoint& p : points) out["RecoveryPoints"].push_back(point_json(p));
    return out;
  });
  own("DeleteRecoveryPoint", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("RecoveryPoint"));
    TRY(volumes.delete_point(point));
    return Json{{"RecoveryPoint", point}};
  });
  own("CloneVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("RecoveryPoint"));
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.clone(point, name));
    return volume_json(v);
  });
  own("RollBackVolume", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("RecoveryPoint"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    ASSIGN_OR_RETURN(const VolumeView v, volumes.roll_back(point, force));
    return volume_json(v);
  });
  own("MountRecoveryPoint", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("RecoveryPoint"));
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const VolumeMount m, volumes.mount(point, name));
    return mount_json(m);
  });
  own("UnmountRecoveryPoint", [&volumes](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Name"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    TRY(volumes.unmount(name, force));
    return Json{{"Name", name}};
  });
}

}  // namespace coldshelf::api
