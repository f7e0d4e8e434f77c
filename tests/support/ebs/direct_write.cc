// The EBS direct APIs that write: StartSnapshot, PutSnapshotBlock, CompleteSnapshot.
// https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations.html
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tests/support/ebs/service.h"

namespace coldshelf::test::ebs {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxVolumeGib = 65'536;
constexpr int64_t kMinuteMs = 60'000;

Answer invalid(const std::string& what, std::string_view reason = "INVALID_PARAMETER_VALUE") {
  return direct_error("ValidationException", what, reason);
}

struct StartRequest {
  uint64_t size_gib = 0;
  std::string parent, description, client_token, kms_key;
  EbsTags tags;
  bool encrypted = false;
  bool has_encrypted = false;
  int64_t timeout_ms = 60 * kMinuteMs;
};

// What the model says of lengths, ranges and types. "" or what is wrong.
std::string read_text(const Json& json, const char* name, size_t max, std::string& out) {
  if (!json.contains(name) || json[name].is_null()) return "";
  if (!json[name].is_string()) return std::string(name) + " is not a string";
  out = json[name].get<std::string>();
  if (out.empty() || out.size() > max) return std::string(name) + " has a wrong length";
  return "";
}

std::string read_tags(const Json& json, EbsTags& out) {
  if (!json.contains("Tags") || json["Tags"].is_null()) return "";
  if (!json["Tags"].is_array() || json["Tags"].size() > 50) return "Tags: not a list of up to 50";
  for (const Json& tag : json["Tags"]) {
    std::string key;
    std::string value;
    if (!tag.is_object() || !read_text(tag, "Key", 127, key).empty() || key.empty()) {
      return "a tag without a proper Key";
    }
    if (tag.contains("Value") && tag["Value"] != "" && !read_text(tag, "Value", 255, value).empty())
      return "a tag without a proper Value";
    if (key.starts_with("aws:")) return "a tag's key begins with aws:";
    if (!out.emplace(key, value).second) return "a tag's key twice";
  }
  return "";
}

std::string read_start(const std::string& body, StartRequest& out) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return "the body is not a JSON object";
  static const std::vector<std::string> kKnown = {"VolumeSize",  "ParentSnapshotId", "Tags",
                                                  "Description", "ClientToken",      "Encrypted",
                                                  "KmsKeyArn",   "Timeout"};
  for (const auto& [name, value] : json.items()) {
    if (std::count(kKnown.begin(), kKnown.end(), name) == 0) return "unknown member " + name;
  }
  if (!json.contains("VolumeSize") || !json["VolumeSize"].is_number_integer()) {
    return "VolumeSize is missing or not an integer";
  }
  const auto size = json["VolumeSize"].get<int64_t>();
  if (size < 1 || size > static_cast<int64_t>(kMaxVolumeGib)) return "VolumeSize out of range";
  out.size_gib = static_cast<uint64_t>(size);
  for (const std::string& wrong :
       {read_text(json, "ParentSnapshotId", 64, out.parent),
        read_text(json, "Description", 255, out.description),
        read_text(json, "ClientToken", 255, out.client_token),
        read_text(json, "KmsKeyArn", 2048, out.kms_key), read_tags(json, out.tags)}) {
    if (!wrong.empty()) return wrong;
  }
  if (json.contains("Encrypted") && !json["Encrypted"].is_null()) {
    if (!json["Encrypted"].is_boolean()) return "Encrypted is not a boolean";
    out.has_encrypted = true;
    out.encrypted = json["Encrypted"].get<bool>();
  }
  if (json.contains("Timeout") && !json["Timeout"].is_null()) {
    if (!json["Timeout"].is_number_integer()) return "Timeout is not an integer";
    const auto minutes = json["Timeout"].get<int64_t>();
    if (minutes < 10 || minutes > 4320) return "Timeout must be between 10 and 4320 minutes";
    out.timeout_ms = minutes * kMinuteMs;
  }
  return "";
}

}  // namespace

Answer Service::started(const Snapshot& snapshot) const {
  Json json = {{"SnapshotId", snapshot.id},
               {"OwnerId", snapshot.account},
               {"Status", state_of(snapshot)},
               {"StartTime", static_cast<double>(snapshot.start_ms) / 1000.0},
               {"VolumeSize", snapshot.size_gib},
               {"BlockSize", kEbsBlockBytes}};
  if (!snapshot.description.empty()) json["Description"] = snapshot.description;
  if (!snapshot.parent_id.empty()) json["ParentSnapshotId"] = snapshot.parent_id;
  if (snapshot.encrypted) json["KmsKeyArn"] = snapshot.kms_key;
  for (const auto& [key, value] : snapshot.tags) {
    json["Tags"].push_back({{"Key", key}, {"Value", value}});
  }
  Answer answer;
  answer.status = 201;
  answer.set("Content-Type", "application/json");
  answer.text = json.dump();
  return answer;
}

Answer Service::start_snapshot(const Call& call) {
  StartRequest start;
  const std::string body = to_text(call.http.body);
  const std::string wrong = read_start(body, start);
  if (!wrong.empty()) return invalid(wrong);
  const std::string as = Json::parse(body).dump();  // members in order
  size_t pending = 0;
  for (const auto& [id, other] : snapshots_) {
    if (!owns(call, other.account, other.region) || !other.direct) continue;
    if (!start.client_token.empty() && other.client_token == start.client_token) {
      if (other.started_as == as) return started(other);
      return direct_error("ConflictException",
                          "The client token was used before with other parameters");
    }
    if (!other.sealed && state_of(other) == "pending") ++pending;
  }
  if (pending >= limits_.pending_snapshots) {
    return direct_error("ConcurrentLimitExceededException",
                        "You have reached the limit for concurrent API requests");
  }
  if (!start.kms_key.empty() && !start.encrypted) {
    return invalid("KmsKeyArn without Encrypted", "INVALID_CUSTOMER_KEY");
  }
  if (!start.kms_key.empty() &&
      (start.kms_key.rfind("arn:aws", 0) != 0 ||
       start.kms_key.find(":kms:" + call.region + ":") == std::string::npos)) {
    return invalid("KmsKeyArn is no key of this region", "INVALID_CUSTOMER_KEY");
  }
  const Snapshot* parent = nullptr;
  if (!start.parent.empty()) {
    if (start.has_encrypted) return invalid("Encrypted with ParentSnapshotId");
    if (auto refused = find_listable(call, start.parent, parent)) return *refused;
    if (start.size_gib < parent->size_gib) {
      return invalid("VolumeSize is smaller than the parent's", "INVALID_VOLUME_SIZE");
    }
  }
  Snapshot snapshot;
  snapshot.id = new_id("snap", &snapshot.number);
  snapshot.account = call.account;
  snapshot.region = call.region;
  snapshot.volume_id = "vol-ffffffff";  // as AWS tells of such snapshots
  snapshot.parent_id = start.parent;
  snapshot.description = start.description;
  snapshot.tags = start.tags;
  snapshot.size_gib = start.size_gib;
  snapshot.client_token = start.client_token;
  snapshot.started_as = as;
  snapshot.direct = true;
  snapshot.timeout_ms = start.timeout_ms;
  snapshot.start_ms = snapshot.active_ms = now_ms();
  snapshot.lineage = parent != nullptr ? parent->lineage : snapshot.id;
  snapshot.image = parent != nullptr ? parent->image : std::make_shared<const BlockImage>();
  snapshot.encrypted = parent != nullptr ? parent->encrypted : start.encrypted;
  if (snapshot.encrypted) {
    snapshot.kms_key = parent != nullptr ? parent->kms_key : start.kms_key;
    if (snapshot.kms_key.empty()) {
      snapshot.kms_key = "arn:aws:kms:" + call.region + ":" + call.account + ":key/aws-ebs";
    }
  }
  return started(snapshots_[snapshot.id] = snapshot);
}

Service::Refusal Service::find_writable(const Call& call, Snapshot*& out) {
  const auto it = snapshots_.find(call.snapshot);
  if (it == snapshots_.end() || !owns(call, it->second.account, it->second.region)) {
    return direct_error("ResourceNotFoundException",
                        "The snapshot '" + call.snapshot + "' does not exist.",
                        "SNAPSHOT_NOT_FOUND");
  }
  if (!it->second.direct || state_of(it->second) == "error") {
    return invalid("Snapshot " + call.snapshot + " is not pending", "INVALID_SNAPSHOT_ID");
  }
  out = &it->second;
  return std::nullopt;
}

Answer Service::put_snapshot_block(const Call& call) {
  Snapshot* snapshot = nullptr;
  if (auto wrong = find_writable(call, snapshot)) return *wrong;
  if (snapshot->puts_refused < options_.early_not_found_puts) {
    ++snapshot->puts_refused;
    return direct_error("ResourceNotFoundException",
                        "The snapshot '" + call.snapshot + "' does not exist.",
                        "SNAPSHOT_NOT_FOUND");
  }
  if (snapshot->sealed) {
    return invalid("Snapshot " + call.snapshot + " is not pending", "INVALID_SNAPSHOT_ID");
  }
  if (!call.block || *call.block >= snapshot->size_gib * kEbsBlocksPerGib) {
    return invalid("The block is not one of the volume", "INVALID_BLOCK");
  }
  if (call.http.header("x-amz-data-length") != "524288" ||
      call.http.body.size() != kEbsBlockBytes) {
    return invalid("x-amz-Data-Length must be 524288, and so many bytes must come",
                   "INVALID_BLOCK");
  }
  if (call.http.header("x-amz-checksum-algorithm") != "SHA256") {
    return invalid("x-amz-Checksum-Algorithm must be SHA256");
  }
  if (call.http.header("x-amz-checksum") != to_base64(call.body_digest)) {
    return invalid("The checksum is not the block's", "INVALID_BLOCK");
  }
  if (call.http.has_header("x-amz-progress")) {
    const std::string text = call.http.header("x-amz-progress");
    unsigned progress = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), progress);
    if (error != std::errc() || end != text.data() + text.size() || progress > 100) {
      return invalid("x-amz-Progress is not between 0 and 100");
    }
  }
  snapshot->active_ms = now_ms();
  PutBlock put{contents_.keep(call.http.body, call.body_digest), call.body_digest};
  put.block.stamp = ++stamps_;
  snapshot->puts[*call.block] = std::move(put);
  Answer answer;
  answer.status = 201;
  answer.set("x-amz-Checksum", to_base64(call.body_digest));
  answer.set("x-amz-Checksum-Algorithm", "SHA256");
  return answer;
}

Answer Service::complete_snapshot(const Call& call) {
  Snapshot* snapshot = nullptr;
  if (auto wrong = find_writable(call, snapshot)) return *wrong;
  if (snapshot->sealed && options_.complete_once) {
    return invalid("Snapshot " + call.snapshot + " is not pending", "INVALID_SNAPSHOT_ID");
  }
  const HttpMessage& http = call.http;
  if (http.header("x-amz-changedblockscount") != std::to_string(snapshot->puts.size())) {
    return invalid("x-amz-ChangedBlocksCount: " + std::to_string(snapshot->puts.size()) +
                   " blocks were put");
  }
  if (http.has_header("x-amz-checksum")) {
    if (http.header("x-amz-checksum-algorithm") != "SHA256" ||
        http.header("x-amz-checksum-aggregation-method") != "LINEAR") {
      return invalid("x-amz-Checksum needs its algorithm, SHA256, and aggregation method, LINEAR");
    }
    Sha256 all;
    for (const auto& [index, put] : snapshot->puts) all.update(put.digest);
    if (http.header("x-amz-checksum") != to_base64(all.finish())) {
      return invalid("The LINEAR checksum is not the snapshot's");
    }
  } else if (http.has_header("x-amz-checksum-aggregation-method")) {
    return invalid("x-amz-Checksum-Aggregation-Method without x-amz-Checksum");
  }
  if (!snapshot->sealed) {
    auto image = std::make_shared<BlockImage>(*snapshot->image);
    for (const auto& [index, put] : snapshot->puts) image->written[index] = put.block;
    snapshot->image = std::move(image);
    snapshot->sealed = true;
    snapshot->completed_ms = now_ms() + options_.pending_ms;
  }
  Answer answer;
  answer.status = 202;
  answer.set("Content-Type", "application/json");
  answer.text = R"({"Status":")" + state_of(*snapshot) + R"("})";
  return answer;
}

}  // namespace coldshelf::test::ebs
