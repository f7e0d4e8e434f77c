// AWS Signature Version 4 (docs.aws.amazon.com, "AWS Signature Version 4 for API requests"): the
// Authorization header of one request.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "uploader/cloud/credentials.h"

namespace coldshelf {

constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
constexpr std::string_view kStreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

struct SigningScope {
  std::string region;   // "eu-central-1"
  std::string service;  // "s3", "kms", "sts", "ebs"
};

struct SignedRequest {
  std::string method;
  std::string host;  // with ":port" when it is not the scheme's
  std::string path;  // percent-encoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> query;    // decoded
  std::vector<std::pair<std::string, std::string>> headers;  // all of them are signed
  std::string payload_hash;  // lower-case hex of SHA-256, or one of the constants above
};

// The headers to add: x-amz-date, x-amz-security-token (when there is one), x-amz-content-sha256
// (s3 only) and authorization. `unix_ms` is the time as the server sees it. For services other than
// s3 the path is normalized and encoded twice, as the specification says.
std::vector<std::pair<std::string, std::string>> sign_v4(const SignedRequest& request,
                                                         const SigningScope& scope,
                                                         const Credentials& credentials,
                                                         int64_t unix_ms);

// The steps, for tests against AWS's published vectors.
std::string canonical_request(const SignedRequest& request, const SigningScope& scope,
                              std::string* signed_headers);
std::string string_to_sign(const std::string& canonical, const SigningScope& scope,
                           const std::string& amz_date);
// The hexadecimal signature of `to_sign`; a server computes it to compare.
std::string signature_v4(const Credentials& credentials, const SigningScope& scope,
                         std::string_view amz_date, const std::string& to_sign);
std::string encode_query(const std::vector<std::pair<std::string, std::string>>& query);  // sorted

}  // namespace coldshelf
