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
  // Every piece of the body (without framing) as it goes out, in order; after a restart from the
  // first one again.
  std::function<void(ByteView)> on_body_sent;
  std::function<void()> on_body_restart;
  // aws-chunked bodies: the transport frames the body in chunks and asks for the trailer,
  // "name:value\r\n" of exactly `trailer_bytes`, when all of it was sent.
  bool aws_chunked = false;
  std::function<std::string()> trailer;
  size_t trailer_bytes = 0;

  // Where the body of a 2xx answer goes, when `sink` is not empty: at most its size, and
  // HttpResponse::sink_bytes says how much came. Other answers' bodies go to HttpResponse::body.
  MutableBytes sink;
  uint64_t max_body_bytes = 16 * MiB;
  // 0: the transport's own; its total grows with the bytes to move. The time `file` takes to give
  // its bytes counts for neither.
  int64_t total_timeout_ms = 0;
  int64_t idle_timeout_ms = 0;
  bool direct = false;  // past any proxy: services of the machine itself
  // Must not reach the server twice: on a connection of its own, because one that was kept and
  // turns out to be closed would have it sent again.
  bool once = false;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  Buffer body;
  uint64_t sink_bytes = 0;
  // Sent again because a kept connection turned out to be closed: the server may have seen it
  // twice.
  bool repeated = false;

  std::string_view header(const std::string& lower_case_name) const;  // "" when absent
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  // An answer of whatever status is a result. Errors: timed_out (connect, idle or total; nothing is
  // known of what the server did), unavailable (connection refused, reset, cut short), permission
  // (the certificate is not trusted), cancelled (give_up), out_of_range (a body over its limit),
  // whatever reading `file` fails with.
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
