#include "gateway/api/service.h"

#include <sstream>

#include "base/log.h"

namespace coldshelf::api {

namespace {

// AWS answers nearly every refusal with InvalidGatewayRequestException; `code` is our own, finer
// one, which the command line turns into its exit code.
struct ErrorShape {
  ErrorCode code;
  const char* type;
  unsigned status;
};
constexpr ErrorShape kErrorShapes[] = {
    {ErrorCode::io, "InternalServerError", 500},
    {ErrorCode::corrupt, "InternalServerError", 500},
    {ErrorCode::internal, "InternalServerError", 500},
    {ErrorCode::unavailable, "ServiceUnavailableError", 503},
};

}  // namespace

ApiResponse error_response(const Error& error) {
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

Service::Service(ServiceEnv env) : env_(std::move(env)) {
  add_tape_operations();
  add_shelf_operations();
  add_pool_operations();
  add_library_operations();
  add_job_operations();
  add_store_operations();
  add_gateway_operations();
  add_key_operations();
  add_console_operations();
  add_volume_operations();
  add_notify_operations();
  add_policy_operations();
}

void Service::aws(const std::string& name, Operation op) {
  operations_[std::string(kAwsPrefix) + name] = std::move(op);
}

void Service::own(const std::string& name, Operation op) {
  operations_[std::string(kOwnPrefix) + name] = std::move(op);
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
  return found->second(Params(input));
}

ApiResponse Service::handle(const ApiRequest& request) {
  if (request.method == "GET" && request.path == "/healthz") return health();
  if (request.method == "GET" && request.path == "/metrics") {
    return {200, "text/plain; version=0.0.4", metrics()};
  }
  if (request.method != "POST" || request.path != "/") {
    ApiResponse out = error_response(
        Error(ErrorCode::not_found, "there is nothing at " + request.method + " " + request.path));
    out.status = 404;
    return out;
  }
  const Json input =
      request.body.empty() ? Json::object() : Json::parse(request.body, nullptr, false);
  if (input.is_discarded()) {
    return error_response(Error(ErrorCode::invalid_argument, "the body is not JSON"));
  }
  auto output = run(request.amz_target, input);
  if (!output.ok()) {
    log_debug("api", "operation refused",
              {{"operation", request.amz_target}, {"error", output.error().message()}});
    return error_response(output.error());
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

std::string Service::metrics() const {
  std::ostringstream out;
  auto metric = [&](const char* name, const char* type, const char* help) {
    out << "# HELP " << name << " " << help << "\n# TYPE " << name << " " << type << "\n";
  };
  const Shelf::Statistics shelf = env_.tapes->env().shelf->statistics();
  const std::pair<const char*, uint64_t> counters[] = {
      {"coldshelf_cloud_bytes_uploaded_total", shelf.uploaded_bytes},
      {"coldshelf_cloud_bytes_downloaded_total", shelf.downloaded_bytes},
      {"coldshelf_upload_errors_total", shelf.upload_errors},
      {"coldshelf_download_errors_total", shelf.download_errors},
      {"coldshelf_writers_slowed_milliseconds_total", shelf.buffer.slowed_ms},
  };
  for (const auto& [name, value] : counters) {
    metric(name, "counter", "Object store transfers since start.");
    out << name << " " << value << "\n";
  }
  const std::pair<const char*, uint64_t> gauges[] = {
      {"coldshelf_cache_bytes", shelf.cache_bytes},
      {"coldshelf_not_uploaded_bytes", shelf.not_uploaded_bytes},
      {"coldshelf_queued_segments", shelf.queued_segments},
      {"coldshelf_buffer_bytes", shelf.buffer.bytes},
      {"coldshelf_buffer_limit_bytes", shelf.buffer.limit_bytes},
      {"coldshelf_writers_slowed", shelf.buffer.slowing ? 1U : 0U},
      {"coldshelf_uploads_allowed", shelf.uploads_at_once},
      {"coldshelf_downloads_allowed", shelf.downloads_at_once},
  };
  for (const auto& [name, value] : gauges) {
    metric(name, "gauge", "Local segments.");
    out << name << " " << value << "\n";
  }
  metric("coldshelf_drive_loaded", "gauge", "Whether a tape is loaded.");
  std::ostringstream written, read;
  for (const Element& e : library().elements(ElementType::data_transfer)) {
    const DriveCounters counters_now = e.drive->counters();
    const std::string label = "{drive=\"" + std::to_string(e.number) + "\"} ";
    out << "coldshelf_drive_loaded" << label << (e.drive->loaded() ? 1 : 0) << "\n";
    written << "coldshelf_drive_written_bytes_total" << label << counters_now.bytes_from_initiator
            << "\n";
    read << "coldshelf_drive_read_bytes_total" << label << counters_now.bytes_to_initiator << "\n";
  }
  metric("coldshelf_drive_written_bytes_total", "counter", "Plain bytes written by initiators.");
  out << written.str();
  metric("coldshelf_drive_read_bytes_total", "counter", "Plain bytes read by initiators.");
  out << read.str();
  std::map<std::string, uint64_t> by_status;
  if (auto rows = catalog().tapes(); rows.ok()) {
    for (const TapeRow& row : *rows) ++by_status[std::string(to_string(row.status))];
  }
  metric("coldshelf_tapes", "gauge", "Tapes by status.");
  for (const auto& [status, count] : by_status) {
    out << "coldshelf_tapes{status=\"" << status << "\"} " << count << "\n";
  }
  metric("coldshelf_iscsi_sessions", "gauge", "iSCSI sessions.");
  out << "coldshelf_iscsi_sessions " << (env_.sessions ? env_.sessions().size() : 0) << "\n";
  return out.str();
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
