// HTTP requests as the cloud code needs them: blocking, bounded in time and memory. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/result.h"

namespace coldshelf {

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // "https://host[:port]/path?query", percent-encoded as it goes onto the wire
  std::vector<std::pair<std::string, std::string>> headers;  // Host and Content-Length are added

  // The body: of a file when that is given, else `body`. Read again from its start when the
  // transport repeats the request on a fresh connection.
  ByteView body;
  File* file = nullptr;
  uint64_t file_offset = 0;
  uint64_t file_bytes = 0;
  // aws-chunked bodies: gives the bytes that follow the last data chunk, computed from what was
  // sent. The transport then frames the body in chunks.
  bool aws_chunked = false;
  std::function<void(ByteView)> on_body_sent;  // aws_chunked: every piece, in order
  std::function<void()> on_body_restart;       // aws_chunked: from the start again
  std::function<std::string()> trailer;        // aws_chunked: "name:value\r\n"

  // Where the body of a 2xx answer goes: its length must be exactly that of `sink`, when `sink` is
  // not empty; other answers and other bodies go to HttpResponse::body.
  MutableBytes sink;
  uint64_t max_body_bytes = 16 * MiB;
  int64_t total_timeout_ms = 0;  // 0: the transport's own, which grows with the bytes to move
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  Buffer body;
  uint64_t sink_bytes = 0;

  std::string_view header(const std::string& lower_case_name) const;  // "" when absent
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  // An answer of whatever status is a result. Errors: timed_out (connect, idle or total; nothing is
  // known of what the server did), unavailable (connection refused, reset, cut short), permission
  // (the certificate is not trusted), cancelled (give_up), out_of_range (a body over its limit).
  virtual Result<HttpResponse> perform(const HttpRequest& request) = 0;
  virtual void give_up() = 0;  // requests under way and later ones end soon, with cancelled
};

struct CurlOptions {
  std::string ca_file;  // empty: the system's certificates
  int64_t connect_timeout_ms = 5'000;
  int64_t idle_timeout_ms = 20'000;         // no byte moved for so long
  uint64_t slowest_bytes_per_s = 64 * KiB;  // total: 60 s and this for every byte
  size_t idle_connections = 64;             // kept open for later requests
  std::string proxy;                        // empty: as the environment says
};
// libcurl, with connections kept open between requests. Certificates are always verified.
Result<std::unique_ptr<HttpTransport>> make_curl_transport(const CurlOptions& options);

std::string percent_encode(std::string_view text, bool keep_slashes);  // RFC 3986, upper-case hex

}  // namespace coldshelf
