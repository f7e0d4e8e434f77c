#include "tests/support/imposter/faults.h"

#include <array>

namespace coldshelf::test {

namespace {

constexpr std::array<std::string_view, kS3Operations> kOperationNames = {
    "list_buckets",     "create_bucket",  "head_bucket",      "delete_bucket",
    "bucket_setting",   "put_object",     "get_object",       "head_object",
    "delete_object",    "delete_objects", "copy_object",      "list_objects",
    "create_multipart", "upload_part",    "upload_part_copy", "complete_multipart",
    "abort_multipart",  "list_multipart", "list_parts",       "restore_object",
    "put_lock",         "get_lock",       "unknown"};

constexpr std::array<std::string_view, kS3Faults> kFaultNames = {"none",
                                                                 "internal_error",
                                                                 "done_internal_error",
                                                                 "unavailable",
                                                                 "slow_down",
                                                                 "bare_503",
                                                                 "bare_404",
                                                                 "request_timeout",
                                                                 "expired_token",
                                                                 "conditional_conflict",
                                                                 "expedited_unavailable",
                                                                 "hang_before_answer",
                                                                 "hang_after_headers",
                                                                 "slow_body",
                                                                 "truncated_body",
                                                                 "corrupted_body",
                                                                 "reset_download",
                                                                 "reset_upload",
                                                                 "corrupted_upload",
                                                                 "lost_answer",
                                                                 "error_in_200",
                                                                 "wrong_etag",
                                                                 "garbled_xml"};

bool sends_content(S3Operation operation) {
  return operation == S3Operation::put_object || operation == S3Operation::upload_part;
}

bool answers_xml(S3Operation operation) {
  switch (operation) {
    case S3Operation::delete_objects:
    case S3Operation::copy_object:
    case S3Operation::list_objects:
    case S3Operation::create_multipart:
    case S3Operation::upload_part_copy:
    case S3Operation::complete_multipart:
    case S3Operation::list_multipart:
    case S3Operation::list_parts:
    case S3Operation::get_lock:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string_view to_string(S3Operation operation) {
  return kOperationNames[static_cast<size_t>(operation)];
}

std::string_view to_string(S3Fault fault) { return kFaultNames[static_cast<size_t>(fault)]; }

std::optional<S3Fault> parse_s3_fault(std::string_view name) {
  for (size_t i = 0; i < kS3Faults; ++i) {
    if (kFaultNames[i] == name) return static_cast<S3Fault>(i);
  }
  return std::nullopt;
}

std::vector<S3Fault> all_s3_faults() {
  std::vector<S3Fault> all;
  for (size_t i = 1; i < kS3Faults; ++i) all.push_back(static_cast<S3Fault>(i));
  return all;
}

bool applies(S3Fault fault, S3Operation operation) {
  switch (fault) {
    case S3Fault::none:
      return false;
    case S3Fault::conditional_conflict:
      return operation == S3Operation::put_object || operation == S3Operation::complete_multipart;
    case S3Fault::expedited_unavailable:
      return operation == S3Operation::restore_object;
    case S3Fault::hang_after_headers:
    case S3Fault::slow_body:
    case S3Fault::truncated_body:
    case S3Fault::reset_download:
      return operation == S3Operation::get_object || answers_xml(operation);
    case S3Fault::corrupted_body:
      return operation == S3Operation::get_object;
    case S3Fault::reset_upload:
    case S3Fault::corrupted_upload:
    case S3Fault::wrong_etag:
      return sends_content(operation);
    case S3Fault::error_in_200:
      return operation == S3Operation::complete_multipart ||
             operation == S3Operation::copy_object || operation == S3Operation::upload_part_copy;
    case S3Fault::garbled_xml:
      return answers_xml(operation);
    default:
      return true;
  }
}

}  // namespace coldshelf::test

namespace coldshelf::test::imposter {

namespace {

bool means_something(S3Fault fault, const Request& request) {
  if (!applies(fault, request.operation)) return false;
  return fault != S3Fault::conditional_conflict || request.has_header("if-match") ||
         request.has_header("if-none-match");
}

}  // namespace

S3Fault FaultPlan::choose(const Request& request) {
  const std::string what = std::string(to_string(request.operation)) + " " + request.bucket + "/" +
                           request.key + "?" + request.query_value("partNumber");
  return FaultScript::choose(request.operation, request.key, what,
                             [&request](S3Fault fault) { return means_something(fault, request); });
}

}  // namespace coldshelf::test::imposter
