// What an S3 server says when it refuses, and what that means to us. One table.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "uploader/cloud/http.h"

namespace coldshelf {

// Our name for a 404 with neither S3's code nor x-amz-request-id.
constexpr std::string_view kForeignNotFound = "ForeignNotFound";

struct S3Failure {
  int status = 0;          // HTTP's; 200 when an error came in the body of a success
  std::string code;        // "NoSuchKey"; made up from the status when there was no body
  std::string message;     // as the server put it
  std::string request_id;  // x-amz-request-id
  std::string region;      // the bucket's, when the server tells it
};

// Of an answer that is no success; or of a success whose body is an <Error>.
S3Failure s3_failure_of(const HttpResponse& response);
// Whether a 2xx answer carries an error as its body (CompleteMultipartUpload, CopyObject).
bool is_s3_error_body(const HttpResponse& response);

// "PutObject cartridges/x: SlowDown (HTTP 503): Please reduce ... [request 4442587FB7D0A2F9]"
Error s3_error(std::string_view operation, std::string_view key, const S3Failure& failure);

}  // namespace coldshelf
