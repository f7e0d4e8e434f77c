// The EC2 Query API that changes something.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/
#include <algorithm>
#include <charconv>

#include "tests/support/ebs/query.h"

namespace coldshelf::test::ebs {

using imposter::element;

namespace {

constexpr uint64_t kMaxVolumeGib = 65'536;

bool read_number(const Call& call, const std::string& name, uint64_t& out) {
  const std::string text = param(call, name);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

Answer missing(const Call& call, const std::string& name) {
  return query_error(call, "MissingParameter", "The request must contain the parameter " + name);
}

// "vol-" and 8 or 17 hex digits.
bool well_formed(const std::string& id, const std::string& prefix) {
  const std::string digits = id.size() > prefix.size() ? id.substr(prefix.size()) : "";
  return id.rfind(prefix, 0) == 0 && (digits.size() == 8 || digits.size() == 17) &&
         digits.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool one_of(const std::string& value, std::initializer_list<const char*> known) {
  return std::any_of(known.begin(), known.end(), [&value](const char* k) { return value == k; });
}

}  // namespace

Answer Service::create_snapshot(const Call& call) {
  if (auto wrong = check_params(call, {"VolumeId", "Description", "TagSpecification."})) {
    return *wrong;
  }
  const std::string id = param(call, "VolumeId");
  if (id.empty()) return missing(call, "VolumeId");
  if (!well_formed(id, "vol-")) {
    return query_error(call, "InvalidParameterValue", "Value (" + id + ") is no volume's id");
  }
  const auto it = volumes_.find(id);
  if (it == volumes_.end() || !owns(call, it->second.account, it->second.region)) {
    return query_error(call, "InvalidVolume.NotFound", "The volume '" + id + "' does not exist.");
  }
  EbsTags tags;
  if (auto wrong = tag_specification(call, "snapshot", tags)) return *wrong;
  if (it->second.snapshot_ms != 0 &&
      now_ms() - it->second.snapshot_ms < options_.create_interval_ms) {
    return query_error(call, "SnapshotCreationPerVolumeRateExceeded",
                       "The maximum per volume CreateSnapshot request rate has been exceeded. Use "
                       "an increasing or variable sleep interval between requests.");
  }
  if (snapshots_.size() >= limits_.snapshots) {
    return query_error(call, "SnapshotLimitExceeded", "You have reached your snapshots limit.");
  }
  Snapshot& made = snap(it->second, tags, now_ms() + options_.pending_ms);
  made.description = param(call, "Description");
  return ec2_answer(call, snapshot_xml(made, "status"));
}

Answer Service::create_snapshots(const Call& call) {
  if (auto wrong = check_params(
          call, {"InstanceSpecification.InstanceId", "InstanceSpecification.ExcludeBootVolume",
                 "InstanceSpecification.ExcludeDataVolumeId.", "Description", "TagSpecification.",
                 "CopyTagsFromSource"})) {
    return *wrong;
  }
  const std::string id = param(call, "InstanceSpecification.InstanceId");
  if (id.empty()) return missing(call, "InstanceSpecification.InstanceId");
  const auto it = instances_.find(id);
  if (it == instances_.end() || !owns(call, it->second.account, it->second.region)) {
    return query_error(call, "InvalidInstanceID.NotFound",
                       "The instance ID '" + id + "' does not exist");
  }
  const std::string copy = param(call, "CopyTagsFromSource");
  if (!copy.empty() && copy != "volume")
    return *bad_param(call, "CopyTagsFromSource", "volume only");
  EbsTags tags;
  if (auto wrong = tag_specification(call, "snapshot", tags)) return *wrong;
  const auto excluded = param_list(call, "InstanceSpecification.ExcludeDataVolumeId");
  if (excluded.size() > 40) {
    return query_error(call, "InvalidParameterValue", "More than 40 volumes are excluded");
  }
  const bool no_boot = param(call, "InstanceSpecification.ExcludeBootVolume") == "true";
  const auto& devices = it->second.devices;
  for (const std::string& volume : excluded) {
    const bool data = std::any_of(devices.begin() + 1, devices.end(),
                                  [&volume](const auto& d) { return d.second == volume; });
    if (!data) {
      return query_error(call, "InvalidParameterValue", volume + " is no data volume of " + id);
    }
  }
  std::vector<std::pair<Volume*, EbsTags>> chosen;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (i == 0 ? no_boot : std::count(excluded.begin(), excluded.end(), devices[i].second) > 0) {
      continue;
    }
    Volume& volume = volume_of(devices[i].second);
    EbsTags of_this = tags;
    if (copy == "volume") of_this.insert(volume.tags.begin(), volume.tags.end());
    if (of_this.size() > 50) {
      return query_error(call, "TagLimitExceeded", "More than 50 tags of " + volume.id);
    }
    chosen.emplace_back(&volume, std::move(of_this));
  }
  std::string set;
  for (const auto& [volume, of_this] : chosen) {
    Snapshot& made = snap(*volume, of_this, now_ms() + options_.pending_ms);
    made.description = param(call, "Description");
    set += "<item>" + snapshot_xml(made, "state") + "</item>";
  }
  if (set.empty()) return query_error(call, "InvalidParameterValue", "No volume is left");
  return ec2_answer(call, "<snapshotSet>" + set + "</snapshotSet>");
}

Answer Service::delete_snapshot(const Call& call) {
  if (auto wrong = check_params(call, {"SnapshotId"})) return *wrong;
  const std::string id = param(call, "SnapshotId");
  if (id.empty()) return missing(call, "SnapshotId");
  if (!well_formed(id, "snap-")) {
    return query_error(call, "InvalidParameterValue", "Value (" + id + ") is no snapshot's id");
  }
  const auto it = snapshots_.find(id);
  if (it == snapshots_.end() || !owns(call, it->second.account, it->second.region)) {
    return query_error(call, "InvalidSnapshot.NotFound",
                       "The snapshot '" + id + "' does not exist.");
  }
  for (const auto& [image_id, image] : images_) {
    for (const MachineImage::Mapping& mapping : image.mappings) {
      if (mapping.snapshot_id == id) {
        return query_error(call, "InvalidSnapshot.InUse",
                           "The snapshot " + id + " is currently in use by " + image_id);
      }
    }
  }
  snapshots_.erase(it);
  return ec2_answer(call, element("return", "true"));
}

Answer Service::create_volume(const Call& call) {
  if (auto wrong = check_params(call, {"AvailabilityZone", "Encrypted", "Iops", "KmsKeyId", "Size",
                                       "SnapshotId", "VolumeType", "TagSpecification.",
                                       "MultiAttachEnabled", "Throughput", "ClientToken"})) {
    return *wrong;
  }
  const std::string client_token = param(call, "ClientToken");
  const std::string snapshot_id = param(call, "SnapshotId");
  Volume volume;
  volume.zone = param(call, "AvailabilityZone");
  if (volume.zone.empty()) return missing(call, "AvailabilityZone");
  if (volume.zone.size() != call.region.size() + 1 || volume.zone.rfind(call.region, 0) != 0) {
    return query_error(call, "InvalidZone.NotFound",
                       "The zone '" + volume.zone + "' does not exist.");
  }
  volume.type = has_param(call, "VolumeType") ? param(call, "VolumeType") : "gp2";
  if (!one_of(volume.type, {"standard", "io1", "io2", "gp2", "gp3", "sc1", "st1"})) {
    return *bad_param(call, "VolumeType", "No such type.");
  }
  for (const auto& [id, other] : volumes_) {
    if (client_token.empty() || other.client_token != client_token) continue;
    if (!owns(call, other.account, other.region)) continue;
    if (other.snapshot_id == snapshot_id && other.zone == volume.zone) {
      return ec2_answer(call, volume_xml(other));
    }
    return query_error(call, "IdempotentParameterMismatch", "ClientToken with other parameters");
  }
  if (has_param(call, "Size") && (!read_number(call, "Size", volume.size_gib) ||
                                  volume.size_gib < 1 || volume.size_gib > kMaxVolumeGib)) {
    return *bad_param(call, "Size", "Not a size in GiB.");
  }
  if (has_param(call, "Iops") && !read_number(call, "Iops", volume.iops)) {
    return *bad_param(call, "Iops", "Not a number.");
  }
  if (has_param(call, "Throughput") && !read_number(call, "Throughput", volume.throughput)) {
    return *bad_param(call, "Throughput", "Not a number.");
  }
  volume.encrypted = param(call, "Encrypted") == "true";
  volume.kms_key = param(call, "KmsKeyId");
  if (!volume.kms_key.empty() && !volume.encrypted) {
    return query_error(call, "InvalidParameterDependency", "KmsKeyId without Encrypted");
  }
  if (auto wrong = tag_specification(call, "volume", volume.tags)) return *wrong;
  volume.id = new_id("vol");
  volume.account = call.account;
  volume.region = call.region;
  volume.lineage = volume.id;
  volume.image = std::make_shared<BlockImage>();
  if (!snapshot_id.empty()) {
    const auto it = snapshots_.find(snapshot_id);
    if (it == snapshots_.end() || !owns(call, it->second.account, it->second.region)) {
      return query_error(call, "InvalidSnapshot.NotFound",
                         "The snapshot '" + snapshot_id + "' does not exist.");
    }
    const Snapshot& from = it->second;
    if (state_of(from) != "completed") {
      return query_error(call, "IncorrectState",
                         "Snapshot is in invalid state - " + state_of(from));
    }
    if (volume.size_gib == 0) volume.size_gib = from.size_gib;
    if (volume.size_gib < from.size_gib) {
      return *bad_param(call, "Size", "Smaller than the snapshot.");
    }
    if (from.encrypted && volume.kms_key.empty()) volume.kms_key = from.kms_key;
    volume.encrypted = volume.encrypted || from.encrypted;
    volume.snapshot_id = snapshot_id;
    volume.lineage = from.lineage;
    *volume.image = *from.image;
  } else if (volume.size_gib == 0) {
    return missing(call, "Size");
  }
  if (volume.encrypted && volume.kms_key.empty()) {
    volume.kms_key = "arn:aws:kms:" + call.region + ":" + call.account + ":key/aws-ebs";
  }
  volume.client_token = client_token;
  volume.created_ms = now_ms();
  return ec2_answer(call, volume_xml(volumes_[volume.id] = volume));
}

Answer Service::delete_volume(const Call& call) {
  if (auto wrong = check_params(call, {"VolumeId"})) return *wrong;
  const std::string id = param(call, "VolumeId");
  const auto it = volumes_.find(id);
  if (it == volumes_.end() || !owns(call, it->second.account, it->second.region)) {
    return query_error(call, "InvalidVolume.NotFound", "The volume '" + id + "' does not exist.");
  }
  if (!it->second.instance_id.empty()) {
    return query_error(call, "VolumeInUse", "Volume " + id + " is attached");
  }
  volumes_.erase(it);
  return ec2_answer(call, element("return", "true"));
}

Service::Refusal Service::read_mappings(const Call& call, MachineImage& image) const {
  for (size_t i = 1;; ++i) {
    const std::string at = "BlockDeviceMapping." + std::to_string(i);
    if (!has_param(call, at + ".DeviceName")) break;
    MachineImage::Mapping mapping;
    mapping.device = param(call, at + ".DeviceName");
    mapping.snapshot_id = param(call, at + ".Ebs.SnapshotId");
    mapping.volume_type = has_param(call, at + ".Ebs.VolumeType")
                              ? param(call, at + ".Ebs.VolumeType")
                              : std::string("gp2");
    const auto it = snapshots_.find(mapping.snapshot_id);
    if (it == snapshots_.end() || !owns(call, it->second.account, it->second.region)) {
      return query_error(call, "InvalidSnapshot.NotFound",
                         "The snapshot '" + mapping.snapshot_id + "' does not exist.");
    }
    if (state_of(it->second) != "completed") {
      return query_error(call, "InvalidSnapshot.State", "The snapshot is not completed");
    }
    if (has_param(call, at + ".Ebs.Encrypted")) {
      return query_error(call, "InvalidParameterCombination",
                         "Encrypted cannot be given for a snapshot of an image");
    }
    mapping.size_gib = it->second.size_gib;
    if (has_param(call, at + ".Ebs.VolumeSize") &&
        (!read_number(call, at + ".Ebs.VolumeSize", mapping.size_gib) ||
         mapping.size_gib < it->second.size_gib)) {
      return bad_param(call, at + ".Ebs.VolumeSize", "Smaller than the snapshot.");
    }
    image.mappings.push_back(mapping);
  }
  const bool has_root =
      std::any_of(image.mappings.begin(), image.mappings.end(),
                  [&image](const auto& mapping) { return mapping.device == image.root_device; });
  if (!has_root) {
    return query_error(call, "InvalidBlockDeviceMapping",
                       "The root device is not among the mappings");
  }
  return std::nullopt;
}

Answer Service::register_image(const Call& call) {
  if (auto wrong = check_params(
          call, {"Name", "Description", "Architecture", "RootDeviceName", "BlockDeviceMapping.",
                 "VirtualizationType", "EnaSupport", "SriovNetSupport", "BootMode", "TpmSupport",
                 "UefiData", "ImdsSupport", "TagSpecification."})) {
    return *wrong;
  }
  MachineImage image;
  image.name = param(call, "Name");
  if (image.name.empty()) return missing(call, "Name");
  if (image.name.size() < 3 || image.name.size() > 128) {
    return query_error(call, "InvalidAMIName.Malformed", "AMI names are 3 to 128 characters long");
  }
  for (const auto& [id, other] : images_) {
    if (owns(call, other.account, other.region) && other.name == image.name) {
      return query_error(call, "InvalidAMIName.Duplicate",
                         "AMI name " + image.name + " is already in use by AMI " + id);
    }
  }
  image.architecture =
      has_param(call, "Architecture") ? param(call, "Architecture") : std::string("i386");
  if (!one_of(image.architecture, {"i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"})) {
    return *bad_param(call, "Architecture", "No such architecture.");
  }
  image.boot_mode = param(call, "BootMode");
  if (!image.boot_mode.empty() &&
      !one_of(image.boot_mode, {"legacy-bios", "uefi", "uefi-preferred"})) {
    return *bad_param(call, "BootMode", "No such mode.");
  }
  const std::string virtualization = param(call, "VirtualizationType");
  if (!virtualization.empty() && !one_of(virtualization, {"hvm", "paravirtual"})) {
    return *bad_param(call, "VirtualizationType", "No such type.");
  }
  image.root_device = param(call, "RootDeviceName");
  if (image.root_device.empty()) return missing(call, "RootDeviceName");
  if (auto wrong = read_mappings(call, image)) return *wrong;
  if (auto wrong = tag_specification(call, "image", image.tags)) return *wrong;
  image.id = new_id("ami");
  image.account = call.account;
  image.region = call.region;
  image.description = param(call, "Description");
  image.created_ms = now_ms();
  images_[image.id] = image;
  return ec2_answer(call, element("imageId", image.id));
}

Answer Service::deregister_image(const Call& call) {
  if (auto wrong = check_params(call, {"ImageId"})) return *wrong;
  const auto it = images_.find(param(call, "ImageId"));
  if (it == images_.end() || !owns(call, it->second.account, it->second.region)) {
    return query_error(call, "InvalidAMIID.NotFound", "The image does not exist");
  }
  images_.erase(it);
  return ec2_answer(call, element("return", "true"));
}

Answer Service::change_tags(const Call& call, bool remove) {
  if (auto wrong = check_params(call, {"ResourceId.", "Tag."})) return *wrong;
  const std::vector<std::string> ids = param_list(call, "ResourceId");
  if (ids.empty()) return missing(call, "ResourceId");
  EbsTags tags;
  if (!param_tags(call, "Tag", tags)) return *bad_param(call, "Tag.1.Key", "Not a proper tag.");
  if (tags.empty() && !remove) return missing(call, "Tag");
  std::vector<EbsTags*> all;
  for (const std::string& id : ids) {
    EbsTags* there = tags_of(call, id);
    if (there == nullptr) {
      return query_error(call, "InvalidID", "The ID '" + id + "' is not valid");
    }
    EbsTags merged = tags;
    merged.insert(there->begin(), there->end());
    if (!remove && merged.size() > 50) {
      return query_error(call, "TagLimitExceeded", "More than 50 tags");
    }
    all.push_back(there);
  }
  for (EbsTags* there : all) {
    if (remove && tags.empty()) there->clear();
    for (const auto& [key, value] : tags) {
      if (!remove) {
        (*there)[key] = value;
        continue;
      }
      const auto it = there->find(key);
      if (it != there->end() && (value.empty() || it->second == value)) there->erase(it);
    }
  }
  return ec2_answer(call, element("return", "true"));
}

}  // namespace coldshelf::test::ebs
