// One AWS service in one region: requests signed for it and sent once. What its answers mean, and
// whether to try again, is the client's (ebs_client.h, ec2_client.h, kms_client.h). Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/http.h"

namespace coldshelf {

struct AwsCall {
  std::string method = "GET";
  std::string path = "/";                                    // percent-encoded
  std::vector<std::pair<std::string, std::string>> query;    // decoded
  std::vector<std::pair<std::string, std::string>> headers;  // all of them are signed
  ByteView body;
  bool unsigned_body = false;  // its checksum is among the signed headers
  MutableBytes sink;           // as HttpRequest's
  uint64_t max_answer_bytes = 16 * MiB;
  int64_t timeout_ms = 20'000;  // total
  bool once = false;            // as HttpRequest's
};

class AwsService {
 public:
  struct Options {
    std::string service;  // "ebs"
    std::string region;
    std::string endpoint;  // empty: the region's own
  };
  AwsService(Options options, std::shared_ptr<Clock> clock,
             std::shared_ptr<HttpTransport> transport,
             std::shared_ptr<CredentialsProvider> credentials);

  // An answer of whatever status is a result. Errors: permission (no credentials), unavailable,
  // timed_out, cancelled (the transport was given up).
  Result<HttpResponse> send(const AwsCall& call);

  // What may be put right at once when the service refused a request with the error `name`:
  // credentials that are others by now, a clock that is wrong. Each at most once for a request:
  // `tried` remembers.
  struct Remedies {
    bool credentials = false;
    bool clock = false;
  };
  bool put_right(const std::string& name, const HttpResponse& response, Remedies& tried);

  // Our clock minus the service's, as its last answer had it; 0 before there is one.
  int64_t clock_ahead_ms() const { return clock_ahead_ms_; }

  const Options& options() const { return options_; }

 private:
  bool learn_clock(const HttpResponse& response);

  const Options options_;
  const std::shared_ptr<Clock> clock_;
  const std::shared_ptr<HttpTransport> transport_;
  const std::shared_ptr<CredentialsProvider> credentials_;
  std::atomic<int64_t> clock_offset_ms_{0};  // the service's clock minus ours, for signatures
  std::atomic<int64_t> clock_ahead_ms_{0};
};

}  // namespace coldshelf
