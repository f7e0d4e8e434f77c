#include "gateway/api/service.h"

#include "base/log.h"
#include "gateway/api/aws_inputs.h"

namespace coldshelf::api {

namespace {

// AWS answers nearly every refusal with InvalidGatewayRequestException; `code` is our own, finer
// one, which the command line turns into its exit code.
struct ErrorShape {
  ErrorCode code;
  const char* type;
  unsigned status;
};
constexpr size_t kMaxTokens = 1'000;
constexpr ErrorShape kErrorShapes[] = {
    {ErrorCode::io, "InternalServerError", 500},
    {ErrorCode::corrupt, "InternalServerError", 500},
    {ErrorCode::internal, "InternalServerError", 500},
    {ErrorCode::unavailable, "ServiceUnavailableError", 503},
    {ErrorCode::timed_out, "ServiceUnavailableError", 503},  // the store's doing, not the caller's
};

}  // namespace

ApiResponse error_response(const Error& error, std::string_view target) {
  ApiResponse out;
  out.status = 400;
  const char* type = "InvalidGatewayRequestException";
  for (const ErrorShape& shape : kErrorShapes) {
    if (shape.code != error.code) continue;
    type = shape.type;
    out.status = shape.status;
  }
  Json body;
  body["__type"] = type;
  body["message"] = error.context;
  body["code"] = to_string(error.code);
  if (target.starts_with(kAwsPrefix)) {
    body["error"] = {
        {"errorCode", aws_error_code(target.substr(kAwsPrefix.size()), error)},
        {"errorDetails", {{"code", to_string(error.code)}, {"message", error.context}}}};
  }
  out.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

std::string drive_device_name(unsigned number) {
  const std::string digits = std::to_string(number);
  return "tapedrive-" + std::string(digits.size() < 2 ? "0" : "") + digits;
}

std::string target_name(const std::string& gateway, std::string_view device) {
  return "iqn.2026-11.io.coldshelf:" + gateway + "-" + std::string(device);
}

Service::Service(ServiceEnv env)
    : env_(std::move(env)),
      survey_(env_.object_store == nullptr
                  ? nullptr
                  : std::make_unique<BucketSurvey>(*env_.object_store, *env_.tapes->env().clock)) {
  add_tape_operations();
  add_shelf_operations();
  add_archive_shelf_operations();
  add_pool_operations();
  add_library_operations();
  add_job_operations();
  add_store_operations();
  add_gateway_operations();
  add_key_operations();
  add_ebs_operations();
  add_console_operations();
  add_volume_operations();
  add_aws_volume_operations();
  add_notify_operations();
  add_policy_operations();
  add_alarm_operations();
  add_user_operations();
  add_tag_operations();
  add_creation_operations();
  add_bandwidth_operations();
  add_chap_operations();
  add_disk_operations();
  add_device_operations();
  add_recovery_operations();
}

void Service::aws(const std::string& name, Operation op) {
  operations_[std::string(kAwsPrefix) + name] = std::move(op);
}

void Service::own(const std::string& name, Operation op) {
  operations_[std::string(kOwnPrefix) + name] = std::move(op);
}

Result<Json> Service::once(const std::string& operation, const Params& in,
                           const std::function<Result<Json>()>& make) {
  ASSIGN_OR_RETURN(const std::string token, in.text("ClientToken"));
  const std::string key = operation + " " + token;
  const std::lock_guard lock(tokens_mutex_);
  for (const auto& [seen, answer] : tokens_) {
    if (seen == key) return answer;
  }
  ASSIGN_OR_RETURN(Json answer, make());
  tokens_.emplace_back(key, answer);
  if (tokens_.size() > kMaxTokens) tokens_.pop_front();
  return answer;
}

std::vector<std::string> Service::operations() const {
  std::vector<std::string> out;
  for (const auto& [name, op] : operations_) out.push_back(name);
  return out;
}

Result<Json> Service::run(const std::string& target, const Json& input) {
  const auto found = operations_.find(target);
  if (found == operations_.end()) {
    return Error(ErrorCode::invalid_argument, "there is no operation '" + target + "'");
  }
  if (!input.is_object()) {
    return Error(ErrorCode::invalid_argument, "the input must be a JSON object");
  }
  TRY(check_input(target, input));
  return found->second(Params(input));
}

Status Service::check_input(const std::string& target, const Json& input) const {
  if (!target.starts_with(kAwsPrefix)) return {};
  const std::string operation = target.substr(kAwsPrefix.size());
  TRY(check_aws_input(operation, input));
  const Params in(input);
  if (!names_gateway(operation) || !in.has("GatewayARN")) return {};
  ASSIGN_OR_RETURN(const std::string arn, in.text("GatewayARN"));
  if (arn == gateway_arn()) return {};
  return Error(ErrorCode::not_found, "there is no gateway " + arn + "; this is " + gateway_arn());
}

ApiResponse Service::handle(const ApiRequest& request) {
  if (request.method == "GET" && request.path == "/healthz") return health();
  if (request.method == "GET" && request.path == "/readyz") return readiness();
  if (request.method == "GET" && request.path == "/metrics" && env_.metrics != nullptr) {
    return {200, "text/plain; version=0.0.4", env_.metrics->render()};
  }
  if (request.method != "POST" || request.path != "/") {
    ApiResponse out = error_response(
        Error(ErrorCode::not_found, "there is nothing at " + request.method + " " + request.path));
    out.status = 404;
    return out;
  }
  const auto input = parse_body(request.body);
  if (!input.ok()) return error_response(input.error());
  if (!serves(request.amz_target)) {
    ApiResponse out = error_response(
        Error(ErrorCode::invalid_argument, "there is no operation '" + request.amz_target + "'"));
    Json body = Json::parse(out.body);
    body["__type"] = "UnknownOperationException";
    out.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    return out;
  }
  auto output = run(request.amz_target, *input);
  if (!output.ok()) {
    log_debug("api", "operation refused",
              {{"operation", request.amz_target}, {"error", output.error().message()}});
    return error_response(output.error(), request.amz_target);
  }
  ApiResponse out;
  out.body = output->dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

ApiResponse Service::health() const {
  const Status healthy = env_.health ? env_.health() : Status();
  Json body;
  body["status"] = healthy.ok() ? "ok" : "failed";
  if (!healthy.ok()) body["problem"] = healthy.error().context;
  return {healthy.ok() ? 200U : 503U, "application/json", body.dump() + "\n"};
}

// Whether initiators can be served now; health says whether the daemon should be looked at.
ApiResponse Service::readiness() const {
  const Status ready = env_.ready ? env_.ready() : Status();
  Json body;
  body["status"] = ready.ok() ? "ready" : "not ready";
  if (!ready.ok()) body["problem"] = ready.error().context;
  return {ready.ok() ? 200U : 503U, "application/json", body.dump() + "\n"};
}

// -- names

// AWS's clients check that an ARN has at least 50 characters (botocore's storagegateway model).
std::string Service::gateway_arn() const {
  return "arn:aws:storagegateway:local-1:000000000000:gateway/" + env_.gateway_id;
}

std::string Service::tape_arn(const std::string& barcode) const {
  return "arn:aws:storagegateway:local-1:000000000000:tape/" + barcode;
}

std::string Service::device_arn(const std::string& device) const {
  return gateway_arn() + "/device/" + device;
}

std::string Service::target_iqn(const std::string& device) const {
  return target_name(env_.config.gateway.name, device);
}

}  // namespace coldshelf::api
