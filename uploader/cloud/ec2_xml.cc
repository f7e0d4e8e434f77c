#include "uploader/cloud/ec2_xml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <pugixml.hpp>

#include "uploader/cloud/credential_sources.h"

namespace coldshelf {

namespace {

Error malformed(const std::string& why) {
  return Error(ErrorCode::unavailable, "EC2: the answer makes no sense: " + why);
}

Result<pugi::xml_node> load(pugi::xml_document& document, const std::string& xml) {
  if (!document.load_buffer(xml.data(), xml.size())) return malformed("no XML");
  const pugi::xml_node root = document.first_child();
  if (!std::string_view(root.name()).ends_with("Response")) return malformed("no answer");
  return root;
}

std::string text_of(pugi::xml_node node, const char* name) { return node.child_value(name); }

uint64_t number_of(pugi::xml_node node, const char* name) {
  const std::string_view text = node.child_value(name);
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Ec2Tags tags_of(pugi::xml_node node) {
  Ec2Tags out;
  for (const pugi::xml_node item : node.child("tagSet").children("item")) {
    out[text_of(item, "key")] = text_of(item, "value");
  }
  return out;
}

Result<Ec2Snapshot> snapshot_of(pugi::xml_node node) {
  Ec2Snapshot out;
  out.id = text_of(node, "snapshotId");
  if (out.id.empty()) return malformed("a snapshot without an id");
  out.volume = text_of(node, "volumeId");
  out.state = text_of(node, "status");
  if (out.state.empty()) out.state = text_of(node, "state");  // CreateSnapshots
  out.progress = text_of(node, "progress");
  out.description = text_of(node, "description");
  out.owner = text_of(node, "ownerId");
  out.kms_key = text_of(node, "kmsKeyId");
  out.tier = text_of(node, "storageTier");
  out.volume_gib = number_of(node, "volumeSize");
  out.encrypted = text_of(node, "encrypted") == "true";
  out.started_ms = parse_iso8601_ms(text_of(node, "startTime")).value_or(0);
  out.tags = tags_of(node);
  return out;
}

Result<Ec2Volume> volume_of(pugi::xml_node node) {
  Ec2Volume out;
  out.id = text_of(node, "volumeId");
  if (out.id.empty()) return malformed("a volume without an id");
  out.state = text_of(node, "status");
  out.zone = text_of(node, "availabilityZone");
  out.type = text_of(node, "volumeType");
  out.kms_key = text_of(node, "kmsKeyId");
  out.snapshot = text_of(node, "snapshotId");
  out.gib = number_of(node, "size");
  out.encrypted = text_of(node, "encrypted") == "true";
  for (const pugi::xml_node item : node.child("attachmentSet").children("item")) {
    out.attachments.push_back(
        {text_of(item, "instanceId"), text_of(item, "device"), text_of(item, "status")});
  }
  out.tags = tags_of(node);
  return out;
}

struct Row {
  std::string_view code;
  ErrorCode means;
};
constexpr std::array<Row, 14> kRows = {{
    {"UnauthorizedOperation", ErrorCode::permission},
    {"AuthFailure", ErrorCode::permission},
    {"Blocked", ErrorCode::permission},
    {"OptInRequired", ErrorCode::permission},
    {"PendingVerification", ErrorCode::permission},
    {"InvalidSnapshot.InUse", ErrorCode::busy},
    {"IncorrectState", ErrorCode::busy},
    {"InvalidAMIName.Duplicate", ErrorCode::exists},
    {"IdempotentParameterMismatch", ErrorCode::conflict},
    {"InternalError", ErrorCode::unavailable},
    {"InternalFailure", ErrorCode::unavailable},
    {"Unavailable", ErrorCode::unavailable},
    {"ServiceUnavailable", ErrorCode::unavailable},
    {"InsufficientVolumeCapacity", ErrorCode::no_space},
}};
constexpr std::array<std::string_view, 7> kThrottled = {"RequestLimitExceeded",
                                                        "Throttling",
                                                        "ThrottlingException",
                                                        "RequestThrottledException",
                                                        "ThrottledException",
                                                        "EC2ThrottledException",
                                                        "SnapshotCreationPerVolumeRateExceeded"};

}  // namespace

void add_ec2_list(Ec2Parameters& to, const std::string& name,
                  const std::vector<std::string>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    to.emplace_back(name + "." + std::to_string(i + 1), values[i]);
  }
}

void add_ec2_filters(Ec2Parameters& to, const std::vector<Ec2Filter>& filters) {
  for (size_t i = 0; i < filters.size(); ++i) {
    const std::string name = "Filter." + std::to_string(i + 1);
    to.emplace_back(name + ".Name", filters[i].name);
    add_ec2_list(to, name + ".Value", filters[i].values);
  }
}

void add_ec2_tags(Ec2Parameters& to, const std::string& resource_type, const Ec2Tags& tags) {
  if (tags.empty()) return;
  to.emplace_back("TagSpecification.1.ResourceType", resource_type);
  size_t n = 0;
  for (const auto& [key, value] : tags) {
    const std::string name = "TagSpecification.1.Tag." + std::to_string(++n);
    to.emplace_back(name + ".Key", key);
    to.emplace_back(name + ".Value", value);
  }
}

Result<std::string> parse_ec2_snapshots(const std::string& xml, std::vector<Ec2Snapshot>& out) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  for (const pugi::xml_node item : root.child("snapshotSet").children("item")) {
    ASSIGN_OR_RETURN(Ec2Snapshot snapshot, snapshot_of(item));
    out.push_back(std::move(snapshot));
  }
  return text_of(root, "nextToken");
}

Result<std::string> parse_ec2_volumes(const std::string& xml, std::vector<Ec2Volume>& out) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  for (const pugi::xml_node item : root.child("volumeSet").children("item")) {
    ASSIGN_OR_RETURN(Ec2Volume volume, volume_of(item));
    out.push_back(std::move(volume));
  }
  return text_of(root, "nextToken");
}

Result<Ec2Snapshot> parse_ec2_snapshot(const std::string& xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  return snapshot_of(root);
}

Result<Ec2Volume> parse_ec2_volume(const std::string& xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  return volume_of(root);
}

Result<std::string> parse_ec2_root_volume(const std::string& xml, const std::string& instance) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  for (const pugi::xml_node reservation : root.child("reservationSet").children("item")) {
    for (const pugi::xml_node item : reservation.child("instancesSet").children("item")) {
      if (text_of(item, "instanceId") != instance) continue;
      const std::string device = text_of(item, "rootDeviceName");
      for (const pugi::xml_node disk : item.child("blockDeviceMapping").children("item")) {
        if (text_of(disk, "deviceName") == device) return text_of(disk.child("ebs"), "volumeId");
      }
      return std::string();
    }
  }
  return Error(ErrorCode::not_found, "EC2: there is no instance " + instance);
}

Result<std::vector<std::string>> parse_ec2_regions(const std::string& xml) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  std::vector<std::string> out;
  for (const pugi::xml_node item : root.child("regionInfo").children("item")) {
    out.push_back(text_of(item, "regionName"));
  }
  return out;
}

Result<std::string> parse_ec2_value(const std::string& xml, const char* name) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  std::string value = text_of(root, name);
  if (value.empty()) return malformed(std::string("no ") + name);
  return value;
}

Result<std::string> parse_ec2_image_on(const std::string& xml, const std::string& snapshot) {
  pugi::xml_document document;
  ASSIGN_OR_RETURN(const pugi::xml_node root, load(document, xml));
  for (const pugi::xml_node image : root.child("imagesSet").children("item")) {
    for (const pugi::xml_node disk : image.child("blockDeviceMapping").children("item")) {
      if (text_of(disk.child("ebs"), "snapshotId") == snapshot) return text_of(image, "imageId");
    }
  }
  return std::string();
}

Ec2Fault parse_ec2_fault(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  pugi::xml_node error = document.child("Response").child("Errors").child("Error");
  if (!error) error = document.child("ErrorResponse").child("Error");
  return {text_of(error, "Code"), text_of(error, "Message")};
}

bool ec2_is_throttled(const std::string& code) {
  return std::find(kThrottled.begin(), kThrottled.end(), code) != kThrottled.end();
}

ErrorCode ec2_error_code(int status, const std::string& code) {
  if (ec2_is_throttled(code)) return ErrorCode::unavailable;
  for (const Row& row : kRows) {
    if (row.code == code) return row.means;
  }
  if (code.ends_with(".NotFound") || code.ends_with(".Unknown")) return ErrorCode::not_found;
  if (code.ends_with("LimitExceeded") || code.ends_with("QuotaExceeded")) {
    return ErrorCode::no_space;
  }
  if (status >= 500 || status == 429) return ErrorCode::unavailable;
  return status == 403 || status == 401 ? ErrorCode::permission : ErrorCode::invalid_argument;
}

}  // namespace coldshelf
