// The EC2 Query API that reads. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
#include <algorithm>

#include "tests/support/ebs/query.h"

namespace coldshelf::test::ebs {

using imposter::element;

namespace {

std::string flag(bool value) { return value ? "true" : "false"; }
std::string number(uint64_t value) { return std::to_string(value); }
using Values = std::optional<std::vector<std::string>>;

}  // namespace

std::string volume_xml(const Volume& v) {
  std::string out = element("volumeId", v.id) + element("size", number(v.size_gib)) +
                    element("snapshotId", v.snapshot_id) + element("availabilityZone", v.zone) +
                    element("status", v.instance_id.empty() ? "available" : "in-use") +
                    element("createTime", iso_time(v.created_ms)) + "<attachmentSet>";
  if (!v.instance_id.empty()) {
    out += "<item>" + element("volumeId", v.id) + element("instanceId", v.instance_id) +
           element("device", v.device) + element("status", "attached") +
           element("attachTime", iso_time(v.created_ms)) + element("deleteOnTermination", "false") +
           "</item>";
  }
  out += "</attachmentSet>" + tag_set(v.tags) + element("volumeType", v.type) +
         element("encrypted", flag(v.encrypted)) + element("multiAttachEnabled", "false");
  if (v.iops > 0) out += element("iops", number(v.iops));
  if (v.throughput > 0) out += element("throughput", number(v.throughput));
  if (v.encrypted) out += element("kmsKeyId", v.kms_key);
  return out;
}

namespace {

Values volume_values(const Volume& v, const std::string& name) {
  using List = std::vector<std::string>;
  if (name == "volume-id") return List{v.id};
  if (name == "size") return List{number(v.size_gib)};
  if (name == "status") return List{v.instance_id.empty() ? "available" : "in-use"};
  if (name == "encrypted") return List{flag(v.encrypted)};
  if (name == "availability-zone") return List{v.zone};
  if (name == "volume-type") return List{v.type};
  if (name == "snapshot-id") return List{v.snapshot_id};
  if (name == "create-time") return List{iso_time(v.created_ms)};
  if (name == "attachment.instance-id") {
    return v.instance_id.empty() ? List{} : List{v.instance_id};
  }
  if (name == "attachment.device") return v.device.empty() ? List{} : List{v.device};
  if (name == "attachment.status") return v.device.empty() ? List{} : List{"attached"};
  return tag_values(v.tags, name);
}

Values instance_values(const Instance& i, const std::string& name) {
  using List = std::vector<std::string>;
  if (name == "instance-id") return List{i.id};
  if (name == "instance-state-name") return List{"running"};
  if (name == "availability-zone") return List{i.zone};
  if (name == "root-device-name") return List{i.devices.front().first};
  if (name == "block-device-mapping.volume-id") {
    List out;
    for (const auto& [device, volume] : i.devices) out.push_back(volume);
    return out;
  }
  return tag_values(i.tags, name);
}

std::string image_xml(const MachineImage& image) {
  std::string out = element("imageId", image.id) + element("imageState", "available") +
                    element("imageOwnerId", image.account) + element("isPublic", "false") +
                    element("architecture", image.architecture) + element("imageType", "machine") +
                    element("name", image.name) + element("description", image.description) +
                    element("rootDeviceType", "ebs") +
                    element("rootDeviceName", image.root_device) +
                    element("virtualizationType", "hvm") +
                    element("creationDate", iso_time(image.created_ms)) + tag_set(image.tags);
  if (!image.boot_mode.empty()) out += element("bootMode", image.boot_mode);
  out += "<blockDeviceMapping>";
  for (const MachineImage::Mapping& mapping : image.mappings) {
    out += "<item>" + element("deviceName", mapping.device) + "<ebs>" +
           element("snapshotId", mapping.snapshot_id) +
           element("volumeSize", number(mapping.size_gib)) +
           element("volumeType", mapping.volume_type) + "</ebs></item>";
  }
  return out + "</blockDeviceMapping>";
}

}  // namespace

Answer Service::ec2(const Call& call) {
  switch (call.operation) {
    case EbsOperation::describe_volumes:
      return describe_volumes(call);
    case EbsOperation::describe_snapshots:
      return describe_snapshots(call);
    case EbsOperation::describe_instances:
      return describe_instances(call);
    case EbsOperation::describe_images:
      return describe_images(call);
    case EbsOperation::describe_regions:
      return describe_regions(call);
    case EbsOperation::describe_tags:
      return describe_tags(call);
    case EbsOperation::create_snapshot:
      return create_snapshot(call);
    case EbsOperation::create_snapshots:
      return create_snapshots(call);
    case EbsOperation::delete_snapshot:
      return delete_snapshot(call);
    case EbsOperation::create_volume:
      return create_volume(call);
    case EbsOperation::delete_volume:
      return delete_volume(call);
    case EbsOperation::register_image:
      return register_image(call);
    case EbsOperation::deregister_image:
      return deregister_image(call);
    case EbsOperation::create_tags:
      return change_tags(call, false);
    default:
      return change_tags(call, true);
  }
}

Answer Service::describe_volumes(const Call& call) const {
  if (auto wrong = check_params(call, {"VolumeId.", "Filter.", "MaxResults", "NextToken"})) {
    return *wrong;
  }
  Describe page(call, "VolumeId", options_.ec2_page_items);
  for (const auto& [id, volume] : volumes_) {
    if (!owns(call, volume.account, volume.region)) continue;
    const auto values = [&v = volume](const std::string& name) { return volume_values(v, name); };
    if (!page.add(id, values, [&v = volume] { return volume_xml(v); })) break;
  }
  return page.finish("volumeSet", "InvalidVolume.NotFound");
}

std::string Service::snapshot_xml(const Snapshot& s, const char* state_name) const {
  const std::string state = state_of(s);
  std::string out = element("snapshotId", s.id) + element("volumeId", s.volume_id) +
                    element(state_name, state) + element("startTime", iso_time(s.start_ms)) +
                    element("progress", state == "completed" ? "100%" : "42%") +
                    element("ownerId", s.account) + element("volumeSize", number(s.size_gib)) +
                    element("description", s.description) +
                    element("encrypted", flag(s.encrypted)) + tag_set(s.tags);
  if (s.encrypted) out += element("kmsKeyId", s.kms_key);
  if (std::string_view(state_name) == "status") {
    out += element("storageTier", s.archived ? "archive" : "standard");
  }
  if (state == "error") out += element("statusMessage", "The snapshot timed out");
  return out;
}

Answer Service::describe_snapshots(const Call& call) const {
  if (auto wrong = check_params(
          call, {"SnapshotId.", "Filter.", "MaxResults", "NextToken", "Owner.", "RestorableBy."})) {
    return *wrong;
  }
  const std::vector<std::string> owners = param_list(call, "Owner");
  const bool own = owners.empty() || std::any_of(owners.begin(), owners.end(), [&](const auto& o) {
                     return o == "self" || o == call.account;
                   });
  Describe page(call, "SnapshotId", options_.ec2_page_items);
  for (const auto& [id, snapshot] : snapshots_) {
    if (!own || !owns(call, snapshot.account, snapshot.region)) continue;
    const Snapshot& s = snapshot;
    const auto values = [this, &s](const std::string& name) -> Values {
      using List = std::vector<std::string>;
      if (name == "snapshot-id") return List{s.id};
      if (name == "volume-id") return List{s.volume_id};
      if (name == "status") return List{state_of(s)};
      if (name == "description") return List{s.description};
      if (name == "encrypted") return List{flag(s.encrypted)};
      if (name == "owner-id") return List{s.account};
      if (name == "volume-size") return List{number(s.size_gib)};
      if (name == "start-time") return List{iso_time(s.start_ms)};
      if (name == "progress") return List{state_of(s) == "completed" ? "100%" : "42%"};
      if (name == "storage-tier") return List{s.archived ? "archive" : "standard"};
      return tag_values(s.tags, name);
    };
    if (!page.add(id, values, [this, &s] { return snapshot_xml(s, "status"); })) break;
  }
  return page.finish("snapshotSet", "InvalidSnapshot.NotFound");
}

std::string Service::instance_xml(const Instance& i) const {
  std::string out = element("reservationId", "r-" + i.id.substr(2)) +
                    element("ownerId", i.account) + "<groupSet/><instancesSet><item>" +
                    element("instanceId", i.id) + element("imageId", "ami-0123456789abcdef0") +
                    "<instanceState><code>16</code><name>running</name></instanceState>" +
                    element("instanceType", "m6i.large") +
                    element("launchTime", iso_time(i.launched_ms)) + "<placement>" +
                    element("availabilityZone", i.zone) + "</placement>" +
                    element("architecture", "x86_64") + element("rootDeviceType", "ebs") +
                    element("rootDeviceName", i.devices.front().first) + "<blockDeviceMapping>";
  for (const auto& [device, volume] : i.devices) {
    out += "<item>" + element("deviceName", device) + "<ebs>" + element("volumeId", volume) +
           element("status", "attached") + element("attachTime", iso_time(i.launched_ms)) +
           element("deleteOnTermination", "false") + "</ebs></item>";
  }
  return out + "</blockDeviceMapping>" + tag_set(i.tags) + "</item></instancesSet>";
}

Answer Service::describe_instances(const Call& call) const {
  if (auto wrong = check_params(call, {"InstanceId.", "Filter.", "MaxResults", "NextToken"})) {
    return *wrong;
  }
  Describe page(call, "InstanceId", options_.ec2_page_items);
  for (const auto& [id, instance] : instances_) {
    if (!owns(call, instance.account, instance.region)) continue;
    const Instance& i = instance;
    const auto values = [&i](const std::string& name) { return instance_values(i, name); };
    if (!page.add(id, values, [this, &i] { return instance_xml(i); })) break;
  }
  return page.finish("reservationSet", "InvalidInstanceID.NotFound");
}

Answer Service::describe_images(const Call& call) const {
  if (auto wrong = check_params(call, {"ImageId.", "Filter.", "MaxResults", "NextToken", "Owner.",
                                       "ExecutableBy.", "IncludeDeprecated"})) {
    return *wrong;
  }
  Describe page(call, "ImageId", options_.ec2_page_items);
  for (const auto& [id, image] : images_) {
    if (!owns(call, image.account, image.region)) continue;
    const MachineImage& m = image;
    const auto values = [&m](const std::string& name) -> Values {
      using List = std::vector<std::string>;
      if (name == "image-id") return List{m.id};
      if (name == "name") return List{m.name};
      if (name == "architecture") return List{m.architecture};
      if (name == "state") return List{"available"};
      if (name == "block-device-mapping.snapshot-id") {
        List out;
        for (const MachineImage::Mapping& mapping : m.mappings) out.push_back(mapping.snapshot_id);
        return out;
      }
      return tag_values(m.tags, name);
    };
    if (!page.add(id, values, [&m] { return image_xml(m); })) break;
  }
  return page.finish("imagesSet", "InvalidAMIID.NotFound");
}

Answer Service::describe_regions(const Call& call) const {
  if (auto wrong = check_params(call, {"RegionName.", "Filter.", "AllRegions"})) return *wrong;
  Describe page(call, "RegionName", options_.regions.size());
  std::vector<std::string> regions = options_.regions;
  std::sort(regions.begin(), regions.end());
  for (const std::string& region : regions) {
    const auto values = [&region](const std::string& name) -> Values {
      using List = std::vector<std::string>;
      if (name == "region-name") return List{region};
      if (name == "opt-in-status") return List{"opt-in-not-required"};
      if (name == "endpoint") return List{"ec2." + region + ".amazonaws.com"};
      return std::nullopt;
    };
    const auto xml = [&region] {
      return element("regionName", region) +
             element("regionEndpoint", "ec2." + region + ".amazonaws.com") +
             element("optInStatus", "opt-in-not-required");
    };
    if (!page.add(region, values, xml)) break;
  }
  return page.finish("regionInfo", "InvalidParameterValue");
}

Answer Service::describe_tags(const Call& call) const {
  if (auto wrong = check_params(call, {"Filter.", "MaxResults", "NextToken"})) return *wrong;
  Describe page(call, "no ids", options_.ec2_page_items);
  bool going = true;
  const auto each = [&](const auto& all, const std::string& type) {
    for (const auto& [id, resource] : all) {
      if (!going || !owns(call, resource.account, resource.region)) continue;
      for (const auto& tag : resource.tags) {
        const std::string& key = tag.first;
        const std::string& value = tag.second;
        const auto values = [&, i = id](const std::string& name) -> Values {
          using List = std::vector<std::string>;
          if (name == "resource-id") return List{i};
          if (name == "resource-type") return List{type};
          if (name == "key") return List{key};
          if (name == "value") return List{value};
          return tag_values({tag}, name);
        };
        const auto xml = [&, i = id] {
          return element("resourceId", i) + element("resourceType", type) + element("key", key) +
                 element("value", value);
        };
        going = going && page.add(id + " " + key, values, xml);
      }
    }
  };
  // In the order of their ids' prefixes, as pages go on.
  each(images_, "image");
  each(instances_, "instance");
  each(snapshots_, "snapshot");
  each(volumes_, "volume");
  return page.finish("tagSet", "InvalidID");
}

}  // namespace coldshelf::test::ebs
