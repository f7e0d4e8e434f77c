#include "uploader/cloud/aws_service.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <optional>

#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

constexpr int64_t kSkewMs = 60'000;  // less than this is not why a signature was refused

std::optional<int64_t> time_of(const HttpResponse& response) {
  const std::string date(response.header("date"));
  const time_t theirs = date.empty() ? -1 : curl_getdate(date.c_str(), nullptr);
  if (theirs < 0) return std::nullopt;
  return int64_t{theirs} * 1000;
}

constexpr std::array<std::string_view, 6> kWrongClock = {
    "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired",
    "RequestTimeTooSkewed",      "AuthFailure",           "InvalidSignature"};

}  // namespace

AwsService::AwsService(Options options, std::shared_ptr<Clock> clock,
                       std::shared_ptr<HttpTransport> transport,
                       std::shared_ptr<CredentialsProvider> credentials)
    : options_([](Options o) {
        if (o.endpoint.empty()) o.endpoint = aws_endpoint(o.service, o.region);
        return o;
      }(std::move(options))),
      clock_(std::move(clock)),
      transport_(std::move(transport)),
      credentials_(std::move(credentials)) {}

bool AwsService::learn_clock(const HttpResponse& response) {
  const auto theirs = time_of(response);
  if (!theirs) return false;
  const int64_t offset = *theirs - clock_->unix_ms();
  if (std::abs(offset - clock_offset_ms_) < kSkewMs) return false;
  clock_offset_ms_ = offset;
  return true;
}

bool AwsService::put_right(const std::string& name, const HttpResponse& response, Remedies& tried) {
  const bool clock = std::find(kWrongClock.begin(), kWrongClock.end(), name) != kWrongClock.end();
  if (clock && !tried.clock && learn_clock(response)) {
    tried.clock = true;
    return true;
  }
  if (!are_refused_keys(name) || tried.credentials) return false;
  tried.credentials = true;
  credentials_->expire();
  return true;
}

Result<HttpResponse> AwsService::send(const AwsCall& call) {
  ASSIGN_OR_RETURN(const Url url, parse_url(options_.endpoint));
  ASSIGN_OR_RETURN(const Credentials credentials, credentials_->get());
  HttpRequest request;
  request.method = call.method;
  request.headers = call.headers;
  request.body = call.body;
  request.sink = call.sink;
  request.max_body_bytes = call.max_answer_bytes;
  request.total_timeout_ms = call.timeout_ms;
  request.once = call.once;
  if (call.unsigned_body) {
    request.headers.emplace_back("x-amz-content-sha256", std::string(kUnsignedPayload));
  }
  SignedRequest to_sign;
  to_sign.method = call.method;
  to_sign.host = url.host_and_port();
  const bool at_root = url.path.empty() || url.path == "/";
  to_sign.path = at_root ? call.path : url.path + call.path;
  to_sign.query = call.query;
  to_sign.headers = request.headers;
  if (call.unsigned_body) {
    to_sign.payload_hash = std::string(kUnsignedPayload);
  } else if (!call.body.empty()) {
    to_sign.payload_hash = to_hex(Sha256::of(call.body));
  }
  const auto added = sign_v4(to_sign, {options_.region, options_.service}, credentials,
                             clock_->unix_ms() + clock_offset_ms_);
  request.headers.insert(request.headers.end(), added.begin(), added.end());
  request.url = url.origin() + to_sign.path;
  if (!call.query.empty()) request.url += "?" + encode_query(call.query);
  auto response = transport_->perform(request);
  if (!response.ok()) {
    return error_of_transport(options_.service + " (" + url.host_and_port() + ")",
                              response.error());
  }
  if (const auto theirs = time_of(*response)) clock_ahead_ms_ = clock_->unix_ms() - *theirs;
  return response;
}

}  // namespace coldshelf
