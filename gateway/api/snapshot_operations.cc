// EBS snapshots: archives, pulling, restoring. Coldshelf_20261101 only.
#include "gateway/api/service.h"
#include "gateway/snapshot_service.h"

namespace coldshelf::api {

namespace {

constexpr uint64_t kMaxTags = 50;  // EC2's

Json point_json(const ArchivedSnapshot& s) {
  Json out = {{"Id", s.point.id.to_string()},
              {"Name", s.point.name},
              {"SizeInBytes", s.point.size_bytes},
              {"Created", format_utc(s.point.created_unix_ms)},
              {"RestoredTo", s.pushed}};
  if (!s.ebs) return out;
  const EbsPoint& e = *s.ebs;
  out["SnapshotId"] = e.snapshot;
  out["Base"] = e.base;
  out["VolumeId"] = e.volume;
  out["Description"] = e.description;
  out["Started"] = format_utc(e.started_ms);
  out["Pulled"] = format_utc(e.pulled_ms);
  out["VolumeSizeInGiB"] = e.volume_gib;
  out["Encrypted"] = e.encrypted;
  if (!e.kms_key.empty()) out["KmsKeyId"] = e.kms_key;
  out["Tags"] = e.tags;
  out["ListedBlocks"] = e.listed_blocks;
  out["FetchedBlocks"] = e.fetched_blocks;
  out["StoredBlocks"] = e.stored_blocks;
  out["RemovedBlocks"] = e.removed_blocks;
  return out;
}

Json archive_json(const SnapshotArchive& a, bool points) {
  const VolumeView& v = a.image;
  Json out = {{"Name", v.name},
              {"Uuid", v.uuid.to_string()},
              {"VolumeId", a.source.volume},
              {"Region", a.source.region},
              {"Account", a.source.account},
              {"Status", v.status},
              {"Pool", v.pool},
              {"Encrypted", v.encrypted},
              {"SizeInBytes", v.size_bytes},
              {"LocalInBytes", v.usage.local_bytes},
              {"StoredInBytes", v.usage.stored_bytes},
              {"NotUploadedInBytes", v.not_uploaded_bytes},
              {"NotUploadedAgeMs", v.not_uploaded_age_ms},
              {"Snapshots", a.points.size()}};
  if (!v.problem.empty()) out["Problem"] = v.problem;
  if (a.readable_until_ms != 0) out["ReadableUntil"] = format_utc(a.readable_until_ms);
  if (!a.points.empty()) {
    const ArchivedSnapshot& newest = a.points.back();
    out["Newest"] = newest.point.name;
    out["NewestStarted"] =
        format_utc(newest.ebs ? newest.ebs->started_ms : newest.point.created_unix_ms);
  }
  if (a.pull) {
    out["Pull"] = {{"SnapshotId", a.pull->snapshot},
                   {"Base", a.pull->base},
                   {"NextBlock", a.pull->next_block}};
  }
  if (!points) return out;
  out["Points"] = Json::array();
  for (const ArchivedSnapshot& s : a.points) out["Points"].push_back(point_json(s));
  return out;
}

Json ec2_json(const Ec2Snapshot& s) {
  return {{"SnapshotId", s.id},
          {"VolumeId", s.volume},
          {"State", s.state},
          {"Progress", s.progress},
          {"Started", format_utc(s.started_ms)},
          {"VolumeSizeInGiB", s.volume_gib},
          {"Encrypted", s.encrypted},
          {"Description", s.description},
          {"Tags", s.tags}};
}

Result<AwsPlace> place_of(const Params& in) {
  AwsPlace place;
  ASSIGN_OR_RETURN(place.account, in.text_or("Account", ""));
  ASSIGN_OR_RETURN(place.region, in.text_or("Region", ""));
  return place;
}

Result<Ec2CreateVolume> volume_of(const Json& given) {
  const Params in(given);
  Ec2CreateVolume out;
  ASSIGN_OR_RETURN(out.zone, in.text("AvailabilityZone"));
  ASSIGN_OR_RETURN(out.type, in.text_or("VolumeType", ""));
  ASSIGN_OR_RETURN(out.gib, in.number_or("SizeInGiB", 0, 0, kEbsMaxVolumeGib));
  ASSIGN_OR_RETURN(out.iops, in.number_or("Iops", 0, 0, 1'000'000));
  ASSIGN_OR_RETURN(out.throughput, in.number_or("Throughput", 0, 0, 100'000));
  ASSIGN_OR_RETURN(out.encrypted, in.flag_or("Encrypted", false));
  ASSIGN_OR_RETURN(out.kms_key, in.text_or("KmsKeyId", ""));
  return out;
}

Result<Ec2RegisterImage> image_of(const Json& given) {
  const Params in(given);
  Ec2RegisterImage out;
  ASSIGN_OR_RETURN(out.name, in.text("Name"));
  ASSIGN_OR_RETURN(out.description, in.text_or("Description", ""));
  ASSIGN_OR_RETURN(out.architecture, in.text_or("Architecture", "x86_64"));
  ASSIGN_OR_RETURN(out.root_device, in.text_or("RootDeviceName", "/dev/xvda"));
  ASSIGN_OR_RETURN(out.volume_type, in.text_or("VolumeType", ""));
  ASSIGN_OR_RETURN(out.boot_mode, in.text_or("BootMode", ""));
  return out;
}

Result<SnapshotService::RestoreOrder> restore_order(const Params& in) {
  SnapshotService::RestoreOrder order;
  ASSIGN_OR_RETURN(order.point, in.text("Point"));
  ASSIGN_OR_RETURN(order.place, place_of(in));
  ASSIGN_OR_RETURN(order.description, in.text_or("Description", ""));
  ASSIGN_OR_RETURN(order.tags, in.text_map("Tags"));
  if (order.tags.size() > kMaxTags) {
    return Error(ErrorCode::out_of_range, "EC2 takes at most 50 tags");
  }
  ASSIGN_OR_RETURN(order.copy_tags, in.flag_or("CopyTags", true));
  ASSIGN_OR_RETURN(order.encrypted, in.flag_or("Encrypted", false));
  ASSIGN_OR_RETURN(order.kms_key, in.text_or("KmsKeyId", ""));
  if (!order.kms_key.empty()) order.encrypted = true;
  ASSIGN_OR_RETURN(order.parent, in.text_or("Parent", ""));
  ASSIGN_OR_RETURN(order.volume_gib, in.number_or("VolumeSizeInGiB", 0, 0, kEbsMaxVolumeGib));
  if (in.has("CreateVolume")) {
    ASSIGN_OR_RETURN(const Json given, in.object("CreateVolume"));
    ASSIGN_OR_RETURN(order.create_volume, volume_of(given));
  }
  if (in.has("RegisterImage")) {
    ASSIGN_OR_RETURN(const Json given, in.object("RegisterImage"));
    ASSIGN_OR_RETURN(order.register_image, image_of(given));
  }
  return order;
}

}  // namespace

void Service::add_ebs_operations() {
  if (env_.snapshots == nullptr) return;
  SnapshotService& snapshots = *env_.snapshots;
  own("PullSnapshot", [&snapshots](const Params& in) -> Result<Json> {
    SnapshotService::PullOrder order;
    ASSIGN_OR_RETURN(order.snapshot, in.text("SnapshotId"));
    ASSIGN_OR_RETURN(order.base, in.text_or("Base", "auto"));
    ASSIGN_OR_RETURN(order.to, in.text_or("Archive", ""));
    ASSIGN_OR_RETURN(order.pool, in.text_or("Pool", ""));
    ASSIGN_OR_RETURN(order.place, place_of(in));
    ASSIGN_OR_RETURN(const int64_t job, snapshots.pull(order));
    return Json{{"JobId", job}, {"SnapshotId", order.snapshot}};
  });
  own("RestoreSnapshot", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const auto order, restore_order(in));
    ASSIGN_OR_RETURN(const int64_t job, snapshots.restore(order));
    return Json{{"JobId", job}, {"Point", order.point}};
  });
  own("ListSnapshotArchives", [&snapshots](const Params&) -> Result<Json> {
    Json out = {{"Archives", Json::array()}};
    for (const SnapshotArchive& a : snapshots.list()) {
      out["Archives"].push_back(archive_json(a, false));
    }
    return out;
  });
  own("DescribeSnapshotArchive", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string name, in.text("Archive"));
    ASSIGN_OR_RETURN(const SnapshotArchive archive, snapshots.show(name));
    return archive_json(archive, true);
  });
  own("ListEc2Snapshots", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const AwsPlace place, place_of(in));
    ASSIGN_OR_RETURN(const std::string volume, in.text_or("VolumeId", ""));
    ASSIGN_OR_RETURN(const auto found, snapshots.in_ec2(place, volume));
    Json out = {{"Snapshots", Json::array()}};
    for (const Ec2Snapshot& s : found) out["Snapshots"].push_back(ec2_json(s));
    return out;
  });
  own("DeleteArchivedSnapshot", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("Point"));
    ASSIGN_OR_RETURN(const bool force, in.flag_or("Force", false));
    TRY(snapshots.remove(point, force));
    return Json{{"Point", point}};
  });
  own("VerifyArchivedSnapshot", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const std::string point, in.text("Point"));
    ASSIGN_OR_RETURN(const int64_t job, snapshots.verify(point));
    return Json{{"JobId", job}, {"Point", point}};
  });
  own("CancelSnapshotJob", [&snapshots](const Params& in) -> Result<Json> {
    ASSIGN_OR_RETURN(const uint64_t id, in.number("JobId", 1, INT64_MAX));
    TRY(snapshots.cancel(static_cast<int64_t>(id)));
    return Json{{"JobId", id}};
  });
}

}  // namespace coldshelf::api
