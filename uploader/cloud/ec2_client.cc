#include "uploader/cloud/ec2_client.h"

#include <algorithm>

#include "uploader/cloud/ec2_xml.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr std::string_view kVersion = "2016-11-15";
constexpr const char* kPageSize = "500";
constexpr int64_t kFirstPauseMs = 200;
constexpr int64_t kLongestPauseMs = 20'000;
constexpr int64_t kLookMs = 200;
constexpr unsigned kMaxPages = 10'000;

}  // namespace

struct Ec2Client::Reply {
  int status = 0;
  std::string body;
  Ec2Fault fault;
  bool put_right = false;
};

Ec2Client::Ec2Client(Options options, std::shared_ptr<Clock> clock,
                     std::shared_ptr<HttpTransport> transport,
                     std::shared_ptr<CredentialsProvider> credentials,
                     std::shared_ptr<const std::atomic<bool>> stop)
    : options_(std::move(options)),
      clock_(clock),
      service_({"ec2", options_.region, options_.endpoint}, clock, std::move(transport),
               std::move(credentials)),
      stop_(std::move(stop)) {}

Result<Ec2Client::Reply> Ec2Client::once(const Parameters& parameters, bool repeat,
                                         AwsService::Remedies& remedies) {
  const std::string form = encode_query(parameters);
  AwsCall call;
  call.method = "POST";
  call.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
  call.body = as_view(form);
  call.timeout_ms = options_.timeout_ms;
  call.once = !repeat;
  ASSIGN_OR_RETURN(const HttpResponse answer, service_.send(call));
  Reply reply;
  reply.status = answer.status;
  reply.body = to_text(answer.body);
  if (answer.status == 200) return reply;
  reply.fault = parse_ec2_fault(reply.body);
  reply.put_right = service_.put_right(reply.fault.code, answer, remedies);
  return reply;
}

Result<std::string> Ec2Client::call(const std::string& action, Parameters parameters, bool repeat) {
  parameters.emplace_back("Action", action);
  parameters.emplace_back("Version", std::string(kVersion));
  const int64_t begun_ns = clock_->monotonic_ns();
  AwsService::Remedies remedies;
  for (unsigned attempt = 0;; ++attempt) {  // ends with the patience
    auto reply = once(parameters, repeat, remedies);
    if (reply.ok() && reply->status == 200) return std::move(reply->body);
    Error error;
    bool again = repeat;
    if (reply.ok()) {
      std::string said = "HTTP " + std::to_string(reply->status);
      if (!reply->fault.code.empty()) said += ", " + reply->fault.code;
      if (!reply->fault.message.empty()) said += ": " + reply->fault.message;
      error =
          Error(ec2_error_code(reply->status, reply->fault.code), "EC2 " + action + ": " + said);
      if (reply->put_right) continue;
      again = repeat || ec2_is_throttled(reply->fault.code);
    } else {
      error = Error(reply.error().code, action + ": " + reply.error().context);
    }
    const int64_t spent_ms = (clock_->monotonic_ns() - begun_ns) / 1'000'000;
    if (error.code != ErrorCode::unavailable || !again || spent_ms >= options_.patience_ms) {
      return error;
    }
    const int64_t longest = std::min(kFirstPauseMs << std::min(attempt, 8U), kLongestPauseMs);
    int64_t left = 1 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(longest)));
    for (; left > 0; left -= kLookMs) {
      if (stop_ != nullptr && *stop_) return Error(ErrorCode::cancelled, "EC2: told to stop");
      clock_->sleep_ms(std::min(left, kLookMs));
    }
  }
}

Result<std::vector<Ec2Snapshot>> Ec2Client::describe_snapshots(
    const std::vector<std::string>& ids, const std::vector<Ec2Filter>& filters) {
  std::vector<Ec2Snapshot> out;
  std::string token;
  for (unsigned page = 0; page < kMaxPages; ++page) {
    Parameters parameters;
    add_ec2_list(parameters, "SnapshotId", ids);
    add_ec2_filters(parameters, filters);
    if (ids.empty()) {
      parameters.emplace_back("Owner.1", "self");
      parameters.emplace_back("MaxResults", kPageSize);
    }
    if (!token.empty()) parameters.emplace_back("NextToken", token);
    ASSIGN_OR_RETURN(const std::string xml, call("DescribeSnapshots", parameters, true));
    ASSIGN_OR_RETURN(token, parse_ec2_snapshots(xml, out));
    if (token.empty()) return out;
  }
  return Error(ErrorCode::unavailable, "EC2 DescribeSnapshots: pages without an end");
}

Result<Ec2Snapshot> Ec2Client::describe_snapshot(const std::string& id) {
  ASSIGN_OR_RETURN(const auto found, describe_snapshots({id}));
  for (const Ec2Snapshot& snapshot : found) {
    if (snapshot.id == id) return snapshot;
  }
  return Error(ErrorCode::not_found, "EC2: there is no snapshot " + id);
}

Result<std::vector<Ec2Volume>> Ec2Client::describe_volumes(const std::vector<std::string>& ids,
                                                           const std::vector<Ec2Filter>& filters) {
  std::vector<Ec2Volume> out;
  std::string token;
  for (unsigned page = 0; page < kMaxPages; ++page) {
    Parameters parameters;
    add_ec2_list(parameters, "VolumeId", ids);
    add_ec2_filters(parameters, filters);
    if (ids.empty()) parameters.emplace_back("MaxResults", kPageSize);
    if (!token.empty()) parameters.emplace_back("NextToken", token);
    ASSIGN_OR_RETURN(const std::string xml, call("DescribeVolumes", parameters, true));
    ASSIGN_OR_RETURN(token, parse_ec2_volumes(xml, out));
    if (token.empty()) return out;
  }
  return Error(ErrorCode::unavailable, "EC2 DescribeVolumes: pages without an end");
}

Result<std::string> Ec2Client::root_volume(const std::string& instance) {
  Parameters parameters = {{"InstanceId.1", instance}};
  ASSIGN_OR_RETURN(const std::string xml, call("DescribeInstances", parameters, true));
  return parse_ec2_root_volume(xml, instance);
}

Result<std::vector<std::string>> Ec2Client::describe_regions() {
  ASSIGN_OR_RETURN(const std::string xml, call("DescribeRegions", {}, true));
  return parse_ec2_regions(xml);
}

Result<Ec2Snapshot> Ec2Client::create_snapshot(const std::string& volume,
                                               const std::string& description,
                                               const Ec2Tags& tags) {
  Parameters parameters = {{"VolumeId", volume}};
  if (!description.empty()) parameters.emplace_back("Description", description);
  add_ec2_tags(parameters, "snapshot", tags);
  ASSIGN_OR_RETURN(const std::string xml, call("CreateSnapshot", parameters, false));
  return parse_ec2_snapshot(xml);
}

Result<std::vector<Ec2Snapshot>> Ec2Client::create_snapshots(const Ec2CreateSnapshots& what) {
  Parameters parameters = {{"InstanceSpecification.InstanceId", what.instance}};
  if (what.without_boot_volume) {
    parameters.emplace_back("InstanceSpecification.ExcludeBootVolume", "true");
  }
  add_ec2_list(parameters, "InstanceSpecification.ExcludeDataVolumeId", what.without_volumes);
  if (!what.description.empty()) parameters.emplace_back("Description", what.description);
  if (what.copy_tags_from_volumes) parameters.emplace_back("CopyTagsFromSource", "volume");
  add_ec2_tags(parameters, "snapshot", what.tags);
  ASSIGN_OR_RETURN(const std::string xml, call("CreateSnapshots", parameters, false));
  std::vector<Ec2Snapshot> out;
  TRY(parse_ec2_snapshots(xml, out));
  return out;
}

Status Ec2Client::delete_snapshot(const std::string& id) {
  const auto done = call("DeleteSnapshot", {{"SnapshotId", id}}, true);
  if (done.ok() || done.error().code == ErrorCode::not_found) return {};
  return done.error();
}

Status Ec2Client::create_tags(const std::string& resource, const Ec2Tags& tags) {
  Parameters parameters = {{"ResourceId.1", resource}};
  size_t n = 0;
  for (const auto& [key, value] : tags) {
    const std::string name = "Tag." + std::to_string(++n);
    parameters.emplace_back(name + ".Key", key);
    parameters.emplace_back(name + ".Value", value);
  }
  TRY(call("CreateTags", parameters, true));
  return {};
}

Result<Ec2Volume> Ec2Client::create_volume(const Ec2CreateVolume& what) {
  Parameters parameters = {{"AvailabilityZone", what.zone}, {"SnapshotId", what.snapshot}};
  if (!what.type.empty()) parameters.emplace_back("VolumeType", what.type);
  if (what.gib > 0) parameters.emplace_back("Size", std::to_string(what.gib));
  if (what.iops > 0) parameters.emplace_back("Iops", std::to_string(what.iops));
  if (what.throughput > 0) parameters.emplace_back("Throughput", std::to_string(what.throughput));
  if (what.encrypted) parameters.emplace_back("Encrypted", "true");
  if (!what.kms_key.empty()) parameters.emplace_back("KmsKeyId", what.kms_key);
  if (!what.client_token.empty()) parameters.emplace_back("ClientToken", what.client_token);
  add_ec2_tags(parameters, "volume", what.tags);
  ASSIGN_OR_RETURN(const std::string xml,
                   call("CreateVolume", parameters, !what.client_token.empty()));
  return parse_ec2_volume(xml);
}

Result<std::string> Ec2Client::image_of(const std::string& name, const std::string& snapshot) {
  Parameters parameters = {{"Owner.1", "self"}};
  add_ec2_filters(parameters, {{"name", {name}}});
  ASSIGN_OR_RETURN(const std::string xml, call("DescribeImages", parameters, true));
  return parse_ec2_image_on(xml, snapshot);
}

Result<std::string> Ec2Client::register_image(const Ec2RegisterImage& what) {
  Parameters parameters = {{"Name", what.name},
                           {"Architecture", what.architecture},
                           {"RootDeviceName", what.root_device},
                           {"VirtualizationType", "hvm"},
                           {"EnaSupport", "true"},
                           {"BlockDeviceMapping.1.DeviceName", what.root_device},
                           {"BlockDeviceMapping.1.Ebs.SnapshotId", what.snapshot},
                           {"BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"}};
  if (!what.description.empty()) parameters.emplace_back("Description", what.description);
  if (!what.volume_type.empty()) {
    parameters.emplace_back("BlockDeviceMapping.1.Ebs.VolumeType", what.volume_type);
  }
  if (!what.boot_mode.empty()) parameters.emplace_back("BootMode", what.boot_mode);
  add_ec2_tags(parameters, "image", what.tags);
  // Names are unique: once more after a lost answer is refused, and then it is looked up.
  const auto done = call("RegisterImage", parameters, true);
  if (done.ok()) return parse_ec2_value(*done, "imageId");
  if (done.error().code != ErrorCode::exists) return done.error();
  ASSIGN_OR_RETURN(std::string image, image_of(what.name, what.snapshot));
  if (image.empty()) return done.error();
  return image;
}

}  // namespace coldshelf
