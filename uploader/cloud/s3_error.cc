#include "uploader/cloud/s3_error.h"

#include <array>
#include <pugixml.hpp>

namespace coldshelf {

namespace {

constexpr size_t kMaxMessage = 300;

struct CodeRow {
  std::string_view name;
  ErrorCode code;
  Disposition disposition;
};
constexpr auto kRetry = Disposition::retry;
constexpr auto kPermanent = Disposition::permanent;

// Bad luck, load, or a race: the same request may succeed later.
constexpr std::array<CodeRow, 63> kCodes = {{
    {"SlowDown", ErrorCode::unavailable, kRetry},
    {"SlowDownRead", ErrorCode::unavailable, kRetry},
    {"SlowDownWrite", ErrorCode::unavailable, kRetry},
    {"ServiceUnavailable", ErrorCode::unavailable, kRetry},
    {"ServerBusy", ErrorCode::unavailable, kRetry},
    {"Busy", ErrorCode::unavailable, kRetry},
    {"InternalError", ErrorCode::unavailable, kRetry},
    {"RequestTimeout", ErrorCode::unavailable, kRetry},
    {"RequestTimeTooSkewed", ErrorCode::unavailable, kRetry},
    {"RequestLimitExceeded", ErrorCode::unavailable, kRetry},
    {"Throttling", ErrorCode::unavailable, kRetry},
    {"ThrottlingException", ErrorCode::unavailable, kRetry},
    {"TooManyRequests", ErrorCode::unavailable, kRetry},
    {"TooManyRequestsException", ErrorCode::unavailable, kRetry},
    {"BandwidthLimitExceeded", ErrorCode::unavailable, kRetry},
    {"PriorRequestNotComplete", ErrorCode::unavailable, kRetry},
    {"TransactionInProgressException", ErrorCode::unavailable, kRetry},
    {"OperationAborted", ErrorCode::unavailable, kRetry},
    {"ConditionalRequestConflict", ErrorCode::unavailable, kRetry},
    {"IncompleteBody", ErrorCode::unavailable, kRetry},
    {"GlacierExpeditedRetrievalNotAvailable", ErrorCode::busy, kRetry},
    {"TemporaryRedirect", ErrorCode::unavailable, kRetry},
    {"InvalidPart", ErrorCode::unavailable, kRetry},  // upload it again
    {"NoSuchUpload", ErrorCode::unavailable, kRetry},
    {"KMS.ThrottlingException", ErrorCode::unavailable, kRetry},
    {"KMS.InternalException", ErrorCode::unavailable, kRetry},
    {kForeignNotFound, ErrorCode::unavailable, kRetry},

    {"NoSuchKey", ErrorCode::not_found, kPermanent},
    {"NoSuchVersion", ErrorCode::not_found, kPermanent},
    {"NoSuchObjectLockConfiguration", ErrorCode::not_found, kPermanent},
    {"ObjectLockConfigurationNotFoundError", ErrorCode::not_found, kPermanent},
    // Not not_found: that would say that an object is not there.
    {"NoSuchBucket", ErrorCode::invalid_argument, kPermanent},
    {"InvalidBucketName", ErrorCode::invalid_argument, kPermanent},
    {"InvalidObjectState", ErrorCode::cold, Disposition::cold},
    {"PreconditionFailed", ErrorCode::precondition_failed, kPermanent},
    {"RestoreAlreadyInProgress", ErrorCode::conflict, kPermanent},
    {"InvalidRange", ErrorCode::out_of_range, kPermanent},
    {"EntityTooLarge", ErrorCode::out_of_range, kPermanent},
    {"ObjectNotInActiveTierError", ErrorCode::cold, Disposition::cold},

    {"BadDigest", ErrorCode::corrupt, Disposition::corrupt},
    {"InvalidDigest", ErrorCode::corrupt, Disposition::corrupt},
    {"XAmzContentSHA256Mismatch", ErrorCode::corrupt, Disposition::corrupt},
    {"XAmzContentChecksumMismatch", ErrorCode::corrupt, Disposition::corrupt},
    {"ContentSHA256Mismatch", ErrorCode::corrupt, Disposition::corrupt},

    {"AccessDenied", ErrorCode::permission, kPermanent},
    {"AccountProblem", ErrorCode::permission, kPermanent},
    {"AllAccessDisabled", ErrorCode::permission, kPermanent},
    {"InvalidAccessKeyId", ErrorCode::permission, kPermanent},
    {"InvalidToken", ErrorCode::permission, kPermanent},
    // After a refresh that brought nothing newer: whoever gives them out may do so later.
    {"ExpiredToken", ErrorCode::permission, kRetry},
    {"SignatureDoesNotMatch", ErrorCode::permission, kPermanent},
    {"NotSignedUp", ErrorCode::permission, kPermanent},
    {"KMS.DisabledException", ErrorCode::permission, kPermanent},
    {"KMS.KMSInvalidStateException", ErrorCode::permission, kPermanent},
    {"KMS.NotFoundException", ErrorCode::permission, kPermanent},

    {"NotImplemented", ErrorCode::not_supported, kPermanent},
    {"MethodNotAllowed", ErrorCode::not_supported, kPermanent},
    {"InvalidStorageClass", ErrorCode::not_supported, kPermanent},
    {"PermanentRedirect", ErrorCode::invalid_argument, kPermanent},
    {"AuthorizationHeaderMalformed", ErrorCode::invalid_argument, kPermanent},

    {"QuotaExceeded", ErrorCode::no_space, Disposition::no_space},
    {"InsufficientStorage", ErrorCode::no_space, Disposition::no_space},
    {"XMinioStorageFull", ErrorCode::no_space, Disposition::no_space},
}};

// For answers whose code we do not know, or that have none.
struct StatusRow {
  int status;
  std::string_view name;
  ErrorCode code;
  Disposition disposition;
};
constexpr std::array<StatusRow, 19> kStatuses = {{
    {301, "PermanentRedirect", ErrorCode::invalid_argument, kPermanent},
    {307, "TemporaryRedirect", ErrorCode::unavailable, kRetry},
    {400, "BadRequest", ErrorCode::invalid_argument, kPermanent},
    {401, "AccessDenied", ErrorCode::permission, kPermanent},
    {403, "AccessDenied", ErrorCode::permission, kPermanent},
    {404, "NoSuchKey", ErrorCode::not_found, kPermanent},
    {405, "MethodNotAllowed", ErrorCode::not_supported, kPermanent},
    {408, "RequestTimeout", ErrorCode::unavailable, kRetry},
    {409, "Conflict", ErrorCode::conflict, kPermanent},
    {412, "PreconditionFailed", ErrorCode::precondition_failed, kPermanent},
    {413, "EntityTooLarge", ErrorCode::out_of_range, kPermanent},
    {416, "InvalidRange", ErrorCode::out_of_range, kPermanent},
    {422, "UnprocessableEntity", ErrorCode::corrupt, Disposition::corrupt},  // Swift: wrong digest
    {425, "TooEarly", ErrorCode::unavailable, kRetry},
    {429, "TooManyRequests", ErrorCode::unavailable, kRetry},
    {498, "RateLimited", ErrorCode::unavailable, kRetry},
    {501, "NotImplemented", ErrorCode::not_supported, kPermanent},
    {507, "InsufficientStorage", ErrorCode::no_space, Disposition::no_space},
    {499, "ClientClosedRequest", ErrorCode::unavailable, kRetry},
}};

const StatusRow* find_status(int status) {
  for (const StatusRow& row : kStatuses) {
    if (row.status == status) return &row;
  }
  return nullptr;
}

Error classified(const S3Failure& failure, std::string text) {
  for (const CodeRow& row : kCodes) {
    if (row.name == failure.code) return {row.code, row.disposition, std::move(text)};
  }
  if (const StatusRow* row = find_status(failure.status)) {
    return {row->code, row->disposition, std::move(text)};
  }
  // Any other 5xx, and an error in a success that we do not know: another time.
  const bool ours = failure.status / 100 == 4 || failure.status / 100 == 3;
  return {ours ? ErrorCode::invalid_argument : ErrorCode::unavailable, std::move(text)};
}

pugi::xml_node error_node(const pugi::xml_document& document) {
  const pugi::xml_node root = document.document_element();
  if (std::string_view(root.name()) == "Error") return root;
  return root.child("Error");  // <ErrorResponse><Error>, as some gateways wrap it
}

// One line of printable text, whatever came.
std::string tidy(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxMessage)) out += c >= 0 && c < ' ' ? ' ' : c;
  return out;
}

}  // namespace

bool is_s3_error_body(const HttpResponse& response) {
  pugi::xml_document document;
  if (!document.load_buffer(response.body.data(), response.body.size())) return false;
  return !error_node(document).empty();
}

S3Failure s3_failure_of(const HttpResponse& response) {
  S3Failure failure;
  failure.status = response.status;
  failure.request_id = response.header("x-amz-request-id");
  failure.region = response.header("x-amz-bucket-region");
  pugi::xml_document document;
  if (!response.body.empty() && document.load_buffer(response.body.data(), response.body.size())) {
    const pugi::xml_node error = error_node(document);
    failure.code = error.child("Code").text().get();
    failure.message = error.child("Message").text().get();
    if (failure.request_id.empty()) failure.request_id = error.child("RequestId").text().get();
    if (failure.region.empty()) failure.region = error.child("Region").text().get();
  }
  // No S3 server: something in front of it that has no route now ("404 page not found"). What
  // stands in the store is not known.
  if (failure.code.empty() && response.status == 404 && failure.request_id.empty()) {
    failure.code = kForeignNotFound;
    failure.message = "the answer is not an S3 server's; is a proxy in between?";
  }
  // In a bucket with versions nothing is gone yet, whoever removed it.
  if (response.header("x-amz-delete-marker") == "true") {
    failure.message += failure.message.empty() ? "" : "; ";
    failure.message += "a delete marker stands in front of it, an earlier version may be there";
  }
  if (failure.code.empty()) {
    const StatusRow* row = find_status(response.status);
    failure.code = row != nullptr               ? std::string(row->name)
                   : response.status / 100 == 5 ? "ServiceUnavailable"
                                                : "Unexpected";
  }
  return failure;
}

Error s3_error(std::string_view operation, std::string_view key, const S3Failure& failure) {
  std::string text(operation);
  if (!key.empty()) text += " " + std::string(key);
  text += ": " + tidy(failure.code) + " (HTTP " + std::to_string(failure.status) + ")";
  if (!failure.message.empty()) text += ": " + tidy(failure.message);
  if (!failure.region.empty() && (failure.status == 301 || failure.status == 400)) {
    text += " (the bucket is in region " + tidy(failure.region) + ")";
  }
  if (!failure.request_id.empty()) text += " [request " + tidy(failure.request_id) + "]";
  return classified(failure, std::move(text));
}

}  // namespace coldshelf
