#include "tests/support/ebs/service.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace coldshelf::test::ebs {

namespace {

using imposter::SignatureFault;

struct DirectStatus {
  std::string_view code;
  int status;
};
// The model's httpStatusCode, and the common errors'.
constexpr DirectStatus kDirectStatuses[] = {
    {"AccessDeniedException", 403},
    {"ResourceNotFoundException", 404},
    {"ConflictException", 409},
    {"ServiceQuotaExceededException", 402},
    {"InternalServerException", 500},
    {"ServiceUnavailableException", 503},
    {"MissingAuthenticationTokenException", 403},
    {"UnrecognizedClientException", 403},
    {"InvalidSignatureException", 403},
    {"ExpiredTokenException", 403},
    {"UnknownOperationException", 404},
};
constexpr DirectStatus kQueryStatuses[] = {
    {"AccessDenied", 403},          {"AuthFailure", 401},
    {"DryRunOperation", 412},       {"ExpiredToken", 403},
    {"InternalError", 500},         {"InternalFailure", 500},
    {"InvalidClientTokenId", 403},  {"NotFound", 404},
    {"RequestLimitExceeded", 503},  {"ServiceUnavailable", 503},
    {"SignatureDoesNotMatch", 403}, {"Unavailable", 503},
    {"UnauthorizedOperation", 403},
};

struct ActionName {
  std::string_view service;
  std::string_view action;
  EbsOperation operation;
};
constexpr ActionName kActions[] = {
    {"ec2", "DescribeVolumes", EbsOperation::describe_volumes},
    {"ec2", "DescribeSnapshots", EbsOperation::describe_snapshots},
    {"ec2", "DescribeInstances", EbsOperation::describe_instances},
    {"ec2", "DescribeImages", EbsOperation::describe_images},
    {"ec2", "DescribeRegions", EbsOperation::describe_regions},
    {"ec2", "DescribeTags", EbsOperation::describe_tags},
    {"ec2", "CreateSnapshot", EbsOperation::create_snapshot},
    {"ec2", "CreateSnapshots", EbsOperation::create_snapshots},
    {"ec2", "DeleteSnapshot", EbsOperation::delete_snapshot},
    {"ec2", "CreateVolume", EbsOperation::create_volume},
    {"ec2", "DeleteVolume", EbsOperation::delete_volume},
    {"ec2", "RegisterImage", EbsOperation::register_image},
    {"ec2", "DeregisterImage", EbsOperation::deregister_image},
    {"ec2", "CreateTags", EbsOperation::create_tags},
    {"ec2", "DeleteTags", EbsOperation::delete_tags},
    {"sts", "AssumeRole", EbsOperation::assume_role},
    {"sts", "GetCallerIdentity", EbsOperation::get_caller_identity},
    {"sns", "Publish", EbsOperation::publish},
};

// The error's name as the service of the call has it.
std::string_view code_of(std::string_view service, SignatureFault fault) {
  const bool direct = service == "ebs";
  const bool ec2 = service == "ec2";
  switch (fault) {
    case SignatureFault::expired:
      return direct ? "ExpiredTokenException" : ec2 ? "RequestExpired" : "ExpiredToken";
    case SignatureFault::token:
      return direct ? "UnrecognizedClientException" : ec2 ? "AuthFailure" : "InvalidClientTokenId";
    default:
      return direct ? "InvalidSignatureException" : ec2 ? "AuthFailure" : "SignatureDoesNotMatch";
  }
}

std::vector<std::string> path_parts(const std::string& path) {
  std::vector<std::string> parts = imposter::split(path.substr(1), '/');
  if (!parts.empty() && parts.back().empty()) parts.pop_back();
  return parts;
}

std::optional<uint64_t> parse_index(const std::string& text) {
  uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

EbsOperation direct_operation(Call& call) {
  const std::vector<std::string> parts = path_parts(call.http.raw_path);
  const std::string& method = call.http.method;
  if (parts.empty() || parts[0] != "snapshots") return EbsOperation::unknown;
  if (parts.size() == 1) {
    return method == "POST" ? EbsOperation::start_snapshot : EbsOperation::unknown;
  }
  if (parts.size() == 3 && parts[1] == "completion" && method == "POST") {
    call.snapshot = parts[2];
    return EbsOperation::complete_snapshot;
  }
  call.snapshot = parts[1];
  if (parts.size() == 3 && method == "GET") {
    if (parts[2] == "blocks") return EbsOperation::list_snapshot_blocks;
    if (parts[2] == "changedblocks") return EbsOperation::list_changed_blocks;
  }
  if (parts.size() == 4 && parts[2] == "blocks") {
    call.block = parse_index(parts[3]);
    if (!call.block) return EbsOperation::unknown;
    if (method == "GET") return EbsOperation::get_snapshot_block;
    if (method == "PUT") return EbsOperation::put_snapshot_block;
  }
  return EbsOperation::unknown;
}

}  // namespace

Answer direct_error(std::string_view code, std::string_view message, std::string_view reason) {
  Answer answer;
  answer.status = 400;
  for (const DirectStatus& known : kDirectStatuses) {
    if (known.code == code) answer.status = known.status;
  }
  answer.code = code;
  nlohmann::json json = {{"Message", message}};
  if (!reason.empty()) json["Reason"] = reason;
  answer.text = json.dump();
  answer.set("Content-Type", "application/json");
  answer.set("x-amzn-ErrorType", std::string(code));
  return answer;
}

Answer query_error(const Call& call, std::string_view code, std::string_view message) {
  using imposter::element;
  Answer answer;
  answer.status = 400;
  for (const DirectStatus& known : kQueryStatuses) {
    if (known.code == code) answer.status = known.status;
  }
  answer.code = code;
  answer.set("Content-Type", "text/xml;charset=UTF-8");
  const std::string error = element("Code", code) + element("Message", message);
  if (call.service == "ec2") {
    answer.text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>" + error +
                  "</Error></Errors><RequestID>standin</RequestID></Response>";
  } else {
    const std::string_view space = call.service == "sts"
                                       ? "https://sts.amazonaws.com/doc/2011-06-15/"
                                       : "http://sns.amazonaws.com/doc/2010-03-31/";
    answer.text = "<ErrorResponse xmlns=\"" + std::string(space) + "\"><Error>" +
                  element("Type", answer.status < 500 ? "Sender" : "Receiver") + error +
                  "</Error><RequestId>standin</RequestId></ErrorResponse>";
  }
  return answer;
}

Answer service_error(const Call& call, std::string_view code, std::string_view message) {
  return call.service == "ebs" ? direct_error(code, message) : query_error(call, code, message);
}

std::string tag_set(const EbsTags& tags) {
  if (tags.empty()) return "";
  std::string out = "<tagSet>";
  for (const auto& [key, value] : tags) {
    out += "<item>" + imposter::element("key", key) + imposter::element("value", value) + "</item>";
  }
  return out + "</tagSet>";
}

bool Bucket::take(double per_s, double burst_ms, int64_t now_ns) {
  const double most = std::max(1.0, per_s * burst_ms / 1000.0);
  if (tokens_ < 0) tokens_ = most;
  tokens_ = std::min(most, tokens_ + per_s * static_cast<double>(now_ns - at_ns_) / 1e9);
  at_ns_ = now_ns;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

Service::Service(const EbsStandinOptions& options, Clock& clock)
    : options_(options), clock_(clock), limits_(options.limits) {
  for (const EbsAccount& account : options_.accounts) {
    Identity who;
    who.account = account.id;
    who.arn = "arn:aws:iam::" + account.id + ":user/standin";
    who.key.secret = account.secret_key;
    identities_[account.access_key] = who;
  }
}

std::optional<Answer> Service::authenticate(Call& call) {
  const std::lock_guard lock(mutex_);
  imposter::Authorization a;
  if (!call.http.has_header("authorization")) {
    return service_error(
        call, call.service == "ebs" ? "MissingAuthenticationTokenException" : "AuthFailure",
        "Missing Authentication Token");
  }
  if (!imposter::parse_authorization(call.http.header("authorization"), a)) {
    return service_error(call, "IncompleteSignature", "not an AWS4-HMAC-SHA256 header");
  }
  const auto who = identities_.find(a.access_key);
  if (who == identities_.end()) {
    return service_error(call, code_of(call.service, SignatureFault::token),
                         "The security token included in the request is invalid.");
  }
  imposter::Key key = who->second.key;
  if (who->second.expires_ms != 0 && who->second.expires_ms <= now_ms()) key.expired = true;
  auto problem = imposter::check_scope(call.http, a, {call.service, call.region}, now_ms());
  if (!problem) {
    // The body's digest when the header does not say another thing; a block's may be unsigned.
    std::string hash = call.http.header("x-amz-content-sha256");
    const std::string real = to_hex(call.body_digest);
    const bool may_be_unsigned = call.operation == EbsOperation::put_snapshot_block;
    if (hash.empty()) {
      hash = real;
    } else if (hash != real && !(may_be_unsigned && hash == "UNSIGNED-PAYLOAD")) {
      return service_error(call, code_of(call.service, SignatureFault::mismatch),
                           "x-amz-content-sha256 is not the body's");
    }
    problem = imposter::check_signed(call.http, a, key, hash);
    if (problem && problem->fault == SignatureFault::mismatch && may_be_unsigned &&
        !call.http.has_header("x-amz-content-sha256")) {
      problem = imposter::check_signed(call.http, a, key, "UNSIGNED-PAYLOAD");
    }
  }
  if (problem) {
    return service_error(call, code_of(call.service, problem->fault),
                         "The request's signature, date or token is wrong: " + problem->detail);
  }
  call.account = who->second.account;
  return std::nullopt;
}

bool Service::understand(Call& call) const {
  imposter::Authorization a;
  if (imposter::parse_authorization(call.http.header("authorization"), a)) {
    call.service = a.service;
    call.region = a.region;
  }
  if (call.service == "ec2" || call.service == "sts" || call.service == "sns") {
    const std::string type = call.http.header("content-type");
    call.params = call.http.query;
    if (call.http.method == "POST") {
      if (type.rfind("application/x-www-form-urlencoded", 0) != 0) return false;
      if (!imposter::parse_form(as_text(call.http.body), call.params).empty()) return false;
    }
    call.action = call.params["Action"];
    for (const ActionName& known : kActions) {
      if (known.service == call.service && known.action == call.action) {
        call.operation = known.operation;
      }
    }
    for (const char* name :
         {"VolumeId", "SnapshotId", "InstanceSpecification.InstanceId", "SnapshotId.1",
          "VolumeId.1", "ResourceId.1", "Name", "RoleArn", "TopicArn"}) {
      if (call.params.count(name) != 0) call.key += call.params[name] + " ";
    }
  } else {
    call.service = "ebs";
    call.operation = direct_operation(call);
    call.key = call.snapshot + (call.block ? " " + std::to_string(*call.block) : "");
  }
  return std::count(options_.regions.begin(), options_.regions.end(), call.region) != 0 ||
         !call.http.has_header("authorization");
}

std::optional<Answer> Service::refusal(const Call& call) const {
  const bool direct = call.service == "ebs";
  const bool ec2 = call.service == "ec2";
  switch (call.fault) {
    case EbsFault::internal_error:
      return service_error(call,
                           direct ? "InternalServerException"
                           : ec2  ? "InternalError"
                                  : "InternalFailure",
                           "An internal error has occurred");
    case EbsFault::unavailable:
      return service_error(call,
                           direct ? "ServiceUnavailableException"
                           : ec2  ? "Unavailable"
                                  : "ServiceUnavailable",
                           "The service is unavailable. Please try again shortly.");
    case EbsFault::bare_503: {
      Answer answer;
      answer.status = 503;
      answer.code = "503";
      answer.set("Content-Type", "text/html");
      answer.text = "<html><body><h1>503 Service Unavailable</h1></body></html>";
      return answer;
    }
    case EbsFault::throttling:
      return service_error(call,
                           direct ? "ThrottlingException"
                           : ec2  ? "RequestLimitExceeded"
                                  : "Throttling",
                           "Rate exceeded");
    case EbsFault::request_throttled:
      return direct_error("RequestThrottledException", "Rate exceeded", "RESOURCE_LEVEL_THROTTLE");
    case EbsFault::quota_exceeded:
      return direct_error("ServiceQuotaExceededException",
                          "Your current service quotas do not allow it",
                          "DEPENDENCY_SERVICE_QUOTA_EXCEEDED");
    case EbsFault::concurrent_limit:
      return direct_error("ConcurrentLimitExceededException",
                          "You have reached the limit for concurrent API requests");
    case EbsFault::conflict:
      return direct_error("ConflictException", "The request conflicts with another one under way");
    case EbsFault::early_not_found:
      return direct_error("ResourceNotFoundException",
                          "The snapshot '" + call.snapshot + "' does not exist.",
                          "SNAPSHOT_NOT_FOUND");
    case EbsFault::expired_credentials:
      return service_error(call, code_of(call.service, SignatureFault::expired),
                           "The security token included in the request is expired");
    default:
      return std::nullopt;
  }
}

Service::Refusal Service::limit(const Call& call) {
  const int64_t now_ns = clock_.monotonic_ns();
  const auto take = [&](const std::string& who, double per_s) {
    return per_s <= 0 || buckets_[who].take(per_s, limits_.burst_ms, now_ns);
  };
  const std::string place = call.account + " " + call.region + " ";
  const auto throttled = [&](std::string_view code, std::string_view message,
                             std::string_view reason) {
    ++throttled_;
    return direct_error(code, message, reason);
  };
  double account_per_s = 0;
  double snapshot_per_s = 0;
  std::string what = std::string(to_string(call.operation));
  switch (call.operation) {
    case EbsOperation::get_snapshot_block:
      account_per_s = limits_.get_per_s;
      snapshot_per_s = limits_.snapshot_get_per_s;
      break;
    case EbsOperation::put_snapshot_block:
      account_per_s = limits_.put_per_s;
      snapshot_per_s = limits_.snapshot_put_per_s;
      break;
    case EbsOperation::list_snapshot_blocks:
    case EbsOperation::list_changed_blocks:
      account_per_s = limits_.list_per_s;
      break;
    case EbsOperation::start_snapshot:
      account_per_s = limits_.start_per_s;
      break;
    case EbsOperation::complete_snapshot:
      account_per_s = limits_.complete_per_s;
      break;
    default:
      if (call.service == "ec2" && !take(place + "ec2", limits_.ec2_per_s)) {
        ++throttled_;
        return query_error(call, "RequestLimitExceeded", "Request limit exceeded.");
      }
      return std::nullopt;
  }
  if (!take(place + what, account_per_s)) {
    return throttled("ThrottlingException", "Rate exceeded", "ACCOUNT_THROTTLED");
  }
  if (!take(call.snapshot + what, snapshot_per_s)) {
    return throttled("RequestThrottledException", "Rate exceeded", "RESOURCE_LEVEL_THROTTLE");
  }
  return std::nullopt;
}

Answer Service::handle(Call& call) {
  const std::lock_guard lock(mutex_);
  if (auto refused = limit(call)) return *refused;
  return dispatch(call);
}

Answer Service::dispatch(Call& call) {
  switch (call.operation) {
    case EbsOperation::list_snapshot_blocks:
      return list_snapshot_blocks(call);
    case EbsOperation::list_changed_blocks:
      return list_changed_blocks(call);
    case EbsOperation::get_snapshot_block:
      return get_snapshot_block(call);
    case EbsOperation::start_snapshot:
      return start_snapshot(call);
    case EbsOperation::put_snapshot_block:
      return put_snapshot_block(call);
    case EbsOperation::complete_snapshot:
      return complete_snapshot(call);
    case EbsOperation::assume_role:
      return assume_role(call);
    case EbsOperation::get_caller_identity:
      return get_caller_identity(call);
    case EbsOperation::publish:
      return publish(call);
    case EbsOperation::unknown:
      if (call.service == "ebs")
        return direct_error("UnknownOperationException", "no such operation");
      return query_error(call, "InvalidAction", "The action " + call.action + " is not valid");
    default:
      return ec2(call);
  }
}

uint64_t Service::throttled() const {
  const std::lock_guard lock(mutex_);
  return throttled_;
}

void Service::set_limits(const EbsLimits& limits) {
  const std::lock_guard lock(mutex_);
  limits_ = limits;
  buckets_.clear();
}

std::string Service::state_of(const Snapshot& snapshot) const {
  if (snapshot.direct && !snapshot.sealed) {
    return now_ms() - snapshot.active_ms > snapshot.timeout_ms ? "error" : "pending";
  }
  return now_ms() < snapshot.completed_ms ? "pending" : "completed";
}

std::string Service::new_id(const char* prefix, uint64_t* number) {
  // 17 digits, as AWS's; never twice.
  const uint64_t n = ++ids_;
  if (number != nullptr) *number = n;
  static constexpr char kHex[] = "0123456789abcdef";
  uint64_t scrambled = n * 0x9e3779b97f4a7c15U;
  std::string out = std::string(prefix) + "-0";
  for (int i = 0; i < 16; ++i) {
    out += kHex[scrambled >> 60U];
    scrambled <<= 4U;
  }
  return out;
}

}  // namespace coldshelf::test::ebs
