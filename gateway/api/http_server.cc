#include "gateway/api/http_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/log.h"

namespace coldshelf {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using LocalProtocol = asio::local::stream_protocol;
using Stream = beast::basic_stream<LocalProtocol>;

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(HttpServerOptions o, HttpHandler h)
      : options(std::move(o)), handler(std::move(h)), acceptor(context) {}

  const HttpServerOptions options;
  const HttpHandler handler;
  asio::io_context context;
  LocalProtocol::acceptor acceptor;
  std::vector<std::thread> threads;
  std::atomic<unsigned> connections{0};
  std::atomic<bool> stopping{false};
  std::mutex streams_mutex;
  std::set<Stream*> streams;  // open ones, to be cancelled by stop()

  // A connection's place in `streams` and `connections`, given up however it ends.
  struct Registration {
    Registration(State& s, Stream& t) : state(s), stream(t) {
      const std::lock_guard lock(state.streams_mutex);
      state.streams.insert(&stream);
    }
    ~Registration() {
      const std::lock_guard lock(state.streams_mutex);
      state.streams.erase(&stream);
      --state.connections;
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    State& state;
    Stream& stream;
  };

  Status listen();
  asio::awaitable<void> accept_loop(std::shared_ptr<State> self);
  asio::awaitable<void> serve(std::shared_ptr<State> self, LocalProtocol::socket socket);
  asio::awaitable<void> converse(Stream& stream);
  http::response<http::string_body> answer(const http::request<http::string_body>& request) const;
};

namespace {

Error socket_error(const std::string& what, const std::string& path, int number) {
  return error_from_errno(number, what + " " + path);
}

// A socket left by a killed daemon is taken away; a living one and anything else is not.
Status clear_stale_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return socket_error("looking at the API socket", path, errno);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Error(ErrorCode::exists, "the API socket " + path + " is in the way of another file");
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error("making the API socket", path, errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int connected =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);  // NOLINT
  ::close(fd);
  if (connected == 0) {
    return Error(ErrorCode::busy, "another program listens on the API socket " + path);
  }
  if (::unlink(path.c_str()) != 0) return socket_error("removing the old socket", path, errno);
  return {};
}

}  // namespace

Status HttpServer::State::listen() {
  if (options.socket_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(ErrorCode::invalid_argument,
                 "the API socket's path is too long: " + options.socket_path);
  }
  TRY(clear_stale_socket(options.socket_path));
  boost::system::error_code failed;
  acceptor.open(LocalProtocol(), failed);
  // umask decides the mode at bind; nobody else may get in between bind and chmod.
  const mode_t before = ::umask(0177);
  if (!failed) acceptor.bind(LocalProtocol::endpoint(options.socket_path), failed);
  ::umask(before);
  if (!failed) acceptor.listen(64, failed);
  if (failed)
    return socket_error("listening on the API socket", options.socket_path, failed.value());
  return {};
}

http::response<http::string_body> HttpServer::State::answer(
    const http::request<http::string_body>& request) const {
  ApiRequest plain;
  plain.method = std::string(request.method_string());
  plain.path = std::string(request.target());
  plain.amz_target = std::string(request["X-Amz-Target"]);
  plain.body = request.body();
  ApiResponse made;
  try {
    made = handler(plain);
  } catch (const std::exception& e) {
    // A bug in one operation must not take the tapes down.
    log_error("api", "operation failed", {{"target", plain.amz_target}, {"error", e.what()}});
    made.status = 500;
    made.body = R"({"__type":"InternalServerError","message":"internal error","code":"internal"})";
  }
  http::response<http::string_body> response{static_cast<http::status>(made.status),
                                             request.version()};
  response.set(http::field::server, "coldshelf");
  response.set(http::field::content_type, made.content_type);
  response.keep_alive(request.keep_alive() && !stopping);
  response.body() = std::move(made.body);
  response.prepare_payload();
  return response;
}

asio::awaitable<void> HttpServer::State::converse(Stream& stream) {
  beast::flat_buffer buffer;
  while (!stopping) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(options.body_limit_bytes);
    parser.header_limit(16 * 1024);
    stream.expires_after(std::chrono::seconds(options.idle_timeout_s));
    boost::system::error_code failed;
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, failed));
    http::response<http::string_body> response;
    if (failed == http::error::body_limit || failed == http::error::header_limit) {
      response.result(http::status::payload_too_large);
      response.body() =
          R"({"__type":"InvalidGatewayRequestException","message":"the request is too big",)"
          R"("code":"invalid_argument"})";
      response.keep_alive(false);
      response.prepare_payload();
    } else if (failed) {
      co_return;
    } else {
      stream.expires_never();
      response = answer(parser.get());
    }
    stream.expires_after(std::chrono::seconds(options.idle_timeout_s));
    co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, failed));
    if (failed || response.need_eof()) co_return;
  }
}

asio::awaitable<void> HttpServer::State::serve(std::shared_ptr<State> /*self*/,
                                               LocalProtocol::socket socket) {
  Stream stream(std::move(socket));
  const Registration registered(*this, stream);
  co_await converse(stream);
  boost::system::error_code ignored;
  stream.socket().shutdown(LocalProtocol::socket::shutdown_both, ignored);
}

asio::awaitable<void> HttpServer::State::accept_loop(std::shared_ptr<State> self) {
  while (!stopping) {
    boost::system::error_code failed;
    // A strand for each connection: its handlers, timers included, never run at the same time.
    LocalProtocol::socket socket(asio::make_strand(context));
    co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, failed));
    if (stopping) co_return;
    if (failed) {
      log_warning("api", "accept failed", {{"error", failed.message()}});
      if (!acceptor.is_open()) co_return;
      // Out of descriptors, most likely: others must close first.
      asio::steady_timer pause(context, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, failed));
      continue;
    }
    if (connections >= options.max_connections) continue;  // closes it
    ++connections;
    const auto strand = socket.get_executor();
    asio::co_spawn(strand, serve(self, std::move(socket)), asio::detached);
  }
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerOptions options,
                                                      HttpHandler handler) {
  auto state = std::make_shared<State>(std::move(options), std::move(handler));
  TRY(state->listen());
  asio::co_spawn(state->context, state->accept_loop(state), asio::detached);
  for (unsigned i = 0; i < state->options.threads; ++i) {
    state->threads.emplace_back([raw = state.get()] { raw->context.run(); });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::stop() {
  if (state_->stopping.exchange(true)) return;
  ::unlink(state_->options.socket_path.c_str());
  asio::post(state_->context, [state = state_] {
    boost::system::error_code ignored;
    state->acceptor.close(ignored);
  });
  {
    // Idle connections end now; one in the middle of an operation sees `stopping` after it.
    const std::lock_guard lock(state_->streams_mutex);
    for (Stream* stream : state_->streams) {
      ::shutdown(stream->socket().native_handle(), SHUT_RD);
    }
  }
  for (std::thread& thread : state_->threads) thread.join();
  state_->threads.clear();
}

}  // namespace coldshelf
