#include "uploader/cloud/ebs_error.h"

#include <array>
#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

using Json = nlohmann::json;
using Kind = EbsFault::Kind;

struct Row {
  std::string_view name;
  std::string_view reason;  // empty: any
  Kind kind;
};
// The first row that fits counts.
constexpr std::array<Row, 26> kRows = {{
    {"RequestThrottledException", "", Kind::throttled},
    {"ThrottlingException", "", Kind::throttled},
    {"Throttling", "", Kind::throttled},
    {"TooManyRequestsException", "", Kind::throttled},
    {"RequestLimitExceeded", "", Kind::throttled},
    {"ConcurrentLimitExceededException", "", Kind::throttled},
    {"InternalServerException", "", Kind::server},
    {"ServiceUnavailableException", "", Kind::server},
    {"RequestTimeout", "", Kind::server},
    {"RequestTimeoutException", "", Kind::server},
    {"ValidationException", "WRITE_REQUEST_TIMEOUT", Kind::server},
    // Of a block whose first upload, which we gave up waiting for, is still under way.
    {"ValidationException", "CONFLICTING_BLOCK_UPDATE", Kind::server},
    {"ValidationException", "INVALID_PAGE_TOKEN", Kind::page_token},
    {"ValidationException", "INVALID_BLOCK_TOKEN", Kind::block_token},
    {"ValidationException", "INVALID_BLOCK", Kind::bad_block},
    {"ValidationException", "UNRELATED_SNAPSHOTS", Kind::unrelated},
    {"ValidationException", "", Kind::invalid},
    {"ResourceNotFoundException", "", Kind::not_found},
    {"ConflictException", "", Kind::conflict},
    {"ServiceQuotaExceededException", "", Kind::quota},
    {"AccessDeniedException", "", Kind::refused},
    {"UnrecognizedClientException", "", Kind::refused},
    {"InvalidSignatureException", "", Kind::refused},
    {"MissingAuthenticationTokenException", "", Kind::refused},
    {"IncompleteSignature", "", Kind::refused},
    {"OptInRequired", "", Kind::refused},
}};

std::string string_of(const Json& json, const char* name) {
  if (!json.is_object()) return {};
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Said of a block that came too slowly, with a reason that is that of a wrong parameter
// (github.com/nanovms/ops/pull/1268).
constexpr std::string_view kCameTooSlowly = "Failed to read block data";

Kind kind_of(const EbsFault& fault, int status) {
  if (fault.message.find(kCameTooSlowly) != std::string::npos) return Kind::server;
  for (const Row& row : kRows) {
    if (row.name == fault.name && (row.reason.empty() || row.reason == fault.reason)) {
      return row.kind;
    }
  }
  if (status >= 500) return Kind::server;
  switch (status) {
    case 429:
      return Kind::throttled;
    case 408:
      return Kind::server;
    case 402:
      return Kind::quota;
    case 401:
    case 403:
      return Kind::refused;
    case 404:
      return Kind::not_found;
    case 409:
      return Kind::conflict;
    default:
      return Kind::invalid;
  }
}

ErrorCode code_of(Kind kind) {
  switch (kind) {
    case Kind::throttled:
    case Kind::server:
      return ErrorCode::unavailable;
    case Kind::not_found:
      return ErrorCode::not_found;
    case Kind::page_token:
    case Kind::block_token:
      return ErrorCode::precondition_failed;
    case Kind::bad_block:
      return ErrorCode::corrupt;
    case Kind::conflict:
    case Kind::unrelated:
      return ErrorCode::conflict;
    case Kind::quota:
      return ErrorCode::no_space;
    case Kind::refused:
      return ErrorCode::permission;
    case Kind::invalid:
      break;
  }
  return ErrorCode::invalid_argument;
}

}  // namespace

EbsFault read_ebs_fault(const HttpResponse& response) {
  EbsFault out;
  const Json json = Json::parse(as_text(response.body), nullptr, false);
  out.name = std::string(response.header("x-amzn-errortype"));
  if (out.name.empty()) out.name = string_of(json, "__type");
  if (out.name.empty()) out.name = string_of(json, "code");
  out.name = out.name.substr(0, out.name.find(':'));
  const size_t hash = out.name.find('#');
  if (hash != std::string::npos) out.name = out.name.substr(hash + 1);
  out.reason = string_of(json, "Reason");
  if (out.reason.empty()) out.reason = string_of(json, "reason");
  out.message = string_of(json, "Message");
  if (out.message.empty()) out.message = string_of(json, "message");
  out.kind = kind_of(out, response.status);
  out.whose_account = out.reason == "ACCOUNT_THROTTLED";
  out.whose_snapshot = out.reason == "RESOURCE_LEVEL_THROTTLE";
  return out;
}

Error error_of(const EbsFault& fault, const std::string& what, int status) {
  std::string text = what + ": HTTP " + std::to_string(status);
  if (!fault.name.empty()) text += ", " + fault.name;
  if (!fault.reason.empty()) text += " " + fault.reason;
  if (!fault.message.empty()) text += ": " + fault.message;
  return Error(code_of(fault.kind), text);
}

}  // namespace coldshelf
