// HTTP/1.1, the transport of the management API: over a Unix socket, where whoever may open it
// (mode 0600: the daemon's user and root) may do everything, or over TLS, where requests carry who
// asks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace coldshelf {

struct ApiRequest {
  std::string method;
  std::string path;        // without the query
  std::string amz_target;  // X-Amz-Target
  std::string body;
  std::string query = {};                                         // what follows '?', as it came
  std::vector<std::pair<std::string, std::string>> headers = {};  // names in lower case
  // Who is at the other end: "uid 0" of a local socket, "192.0.2.7" over TLS.
  std::string peer = {};
  bool local = true;  // over the Unix socket

  // The first of that name; "" when there is none.
  std::string_view header(std::string_view lower_case_name) const;
};

struct ApiResponse {
  unsigned status = 200;
  std::string content_type = "application/x-amz-json-1.1";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// Called on one of the server's threads; may block for as long as an operation takes. /healthz,
// /readyz and /metrics have a thread of their own and do not wait behind operations, nor do
// operations of one lane behind those of another.
using HttpHandler = std::function<ApiResponse(const ApiRequest&)>;

struct HttpLane {
  unsigned threads = 4;        // operations at once
  unsigned most = UINT32_MAX;  // under way and waiting; one more is refused
};

struct HttpServerOptions {
  std::string socket_path = {};  // of a server on a Unix socket
  // Of a server over TLS: "127.0.0.1:8443"; port 0: any. The files are PEM.
  std::string listen = {};
  std::string certificate_file = {};  // with the chain, the server's own first
  std::string key_file = {};
  std::vector<HttpLane> lanes = {HttpLane{}};
  // Of an X-Amz-Target, below lanes.size(); empty: all are in the first one.
  std::function<size_t(std::string_view)> lane_of = {};
  unsigned max_connections = 64;
  uint64_t body_limit_bytes = 1 << 20;
  unsigned idle_timeout_s = 60;
  unsigned handshake_timeout_s = 10;
  unsigned header_timeout_s = 10;  // from a request's first byte to the end of its header
};

class HttpServer {
 public:
  // With a socket_path: replaces a socket nobody listens on any more; busy when somebody does,
  // exists when the path is no socket. With `listen`: TLS 1.2 or newer.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, HttpHandler handler);
  ~HttpServer();  // stop()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Where it listens over TLS, as bound: "127.0.0.1:8443". Empty on a Unix socket.
  std::string endpoint() const;

  // No new requests; waits for the running ones.
  void stop();

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace coldshelf
