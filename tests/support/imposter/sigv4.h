// AWS Signature Version 4 as a server checks it. Written against AWS's documents, with OpenSSL:
// none of the project's signing code. The S3 imposter and the EBS stand-in share it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/support/imposter/http_message.h"

namespace coldshelf::test::imposter {

struct Key {
  std::string secret;
  std::string session_token;
  bool expired = false;
};

struct Authorization {
  std::string access_key, date, region, service, terminator;
  std::vector<std::string> signed_headers;
  std::string signature;
};
bool parse_authorization(const std::string& header, Authorization& out);

enum class SignatureFault {
  service,          // the scope is not this service's
  region,           // nor this region's
  no_date,          // no valid x-amz-date
  skew,             // x-amz-date is too far from now
  scope_date,       // the scope's date is not x-amz-date's
  signed_headers,   // host missing, or not sorted
  unsigned_header,  // an x-amz-* header that is not signed
  mismatch,         // the signature
  expired,          // the key
  token,            // the session token
};
struct SignatureProblem {
  SignatureFault fault = SignatureFault::mismatch;
  std::string detail;  // the header's name, the canonical request
};

constexpr int64_t kMaxSkewMs = 15LL * 60 * 1000;

// Who signs what: the service and region this server is.
struct SigningPlace {
  std::string service;
  std::string region;
};

// What is wrong before the signature itself is looked at.
std::optional<SignatureProblem> check_scope(const HttpMessage& request, const Authorization& a,
                                            const SigningPlace& place, int64_t now_ms);
// Signature, key and token. `payload_hash`: as the canonical request ends.
std::optional<SignatureProblem> check_signed(const HttpMessage& request, const Authorization& a,
                                             const Key& key, const std::string& payload_hash);

std::string collapse(const std::string& value);  // trimmed, runs of spaces as one
std::vector<std::string> split(const std::string& text, char at);

}  // namespace coldshelf::test::imposter
