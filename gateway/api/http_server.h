// HTTP/1.1 over a Unix socket: the transport of the management API. Whoever may open the socket
// (mode 0600: the daemon's user and root) may use it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace coldshelf {

struct ApiRequest {
  std::string method;
  std::string path;
  std::string amz_target;  // X-Amz-Target
  std::string body;
};

struct ApiResponse {
  unsigned status = 200;
  std::string content_type = "application/x-amz-json-1.1";
  std::string body;
};

// Called on one of the server's threads; may block for as long as an operation takes.
using HttpHandler = std::function<ApiResponse(const ApiRequest&)>;

struct HttpServerOptions {
  std::string socket_path;
  unsigned threads = 4;
  unsigned max_connections = 64;
  uint64_t body_limit_bytes = 1 << 20;
  unsigned idle_timeout_s = 60;
};

class HttpServer {
 public:
  // Replaces a socket nobody listens on any more; busy when somebody does, exists when the path is
  // no socket.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, HttpHandler handler);
  ~HttpServer();  // stop()
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // No new requests; waits for the running ones.
  void stop();

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace coldshelf
