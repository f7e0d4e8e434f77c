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
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/log.h"
#include "gateway/units.h"

namespace coldshelf {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using LocalProtocol = asio::local::stream_protocol;
using Tcp = asio::ip::tcp;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

std::string_view ApiRequest::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(HttpServerOptions o, HttpHandler h)
      : options(std::move(o)),
        handler(std::move(h)),
        local(asio::make_strand(context)),
        tcp(asio::make_strand(context)),
        tls(asio::ssl::context::tls_server) {
    for (const HttpLane& lane : options.lanes) operations.emplace_back(lane);
  }

  const HttpServerOptions options;
  const HttpHandler handler;
  asio::io_context context;
  LocalProtocol::acceptor local;  // each used on its own strand alone
  Tcp::acceptor tcp;
  asio::ssl::context tls;
  std::vector<std::thread> threads;  // of `context`: they never wait for an operation
  // Where the handler is called. Operations that wait for a store must not take the place of what
  // tells how the gateway is. A connection has one request under way: max_connections bounds what
  // is queued, and a lane that may be stuck must not have all of them.
  struct Lane {
    explicit Lane(const HttpLane& lane) : pool(lane.threads), most(lane.most) {}
    asio::thread_pool pool;
    const unsigned most;
    std::atomic<unsigned> inside{0};
  };
  std::deque<Lane> operations;
  Lane probes{{1, UINT32_MAX}};
  std::atomic<unsigned> connections{0};
  std::atomic<bool> stopping{false};
  std::mutex sockets_mutex;
  std::set<int> sockets;  // of open connections, to be cut short by stop()

  // A connection's place in `sockets` and `connections`, given up however it ends.
  struct Registration {
    Registration(State& s, int f) : state(s), fd(f) {
      const std::lock_guard lock(state.sockets_mutex);
      state.sockets.insert(fd);
    }
    ~Registration() {
      const std::lock_guard lock(state.sockets_mutex);
      state.sockets.erase(fd);
      --state.connections;
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    State& state;
    const int fd;
  };

  // An operation's place in a lane, given up however it ends.
  struct Place {
    explicit Place(Lane& l) : lane(l), taken(lane.inside++ < lane.most) {}
    ~Place() { --lane.inside; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    Lane& lane;
    const bool taken;
  };

  bool over_tls() const { return !options.listen.empty(); }
  Status listen();
  Status listen_local();
  Status listen_tls();
  template <typename Acceptor>
  asio::awaitable<void> accept_loop(std::shared_ptr<State> self, Acceptor& acceptor);
  asio::awaitable<void> serve(std::shared_ptr<State> self, LocalProtocol::socket socket);
  asio::awaitable<void> serve(std::shared_ptr<State> self, Tcp::socket socket);
  template <typename Stream>
  asio::awaitable<void> converse(Stream& stream, const std::string& peer);
  // Reads a request; the first byte may take idle_timeout_s, the header header_timeout_s from then.
  template <typename Stream>
  asio::awaitable<boost::system::error_code> read(Stream& stream, beast::flat_buffer& buffer,
                                                  http::request_parser<http::string_body>& parser);
  Lane& lane_of(const Request& request);
  // `request` and `peer` live until it has ended.
  asio::awaitable<Response> answer_there(const Request& request, const std::string& peer) const;
  Response answer(const Request& request, const std::string& peer) const;
};

namespace {

constexpr uint16_t kDefaultApiPort = 8443;
constexpr unsigned kSocketThreads = 2;

constexpr const char* kTooBigBody =
    R"({"__type":"InvalidGatewayRequestException","message":"the request is too big",)"
    R"("code":"invalid_argument"})";
constexpr const char* kBusyBody =
    R"({"__type":"ServiceUnavailableError","message":"too many operations wait already, for the )"
    R"(store most likely","code":"unavailable"})";
constexpr const char* kStoppingBody =
    R"({"__type":"ServiceUnavailableError","message":"the gateway is stopping",)"
    R"("code":"not_ready"})";

// The connection ends with it.
Response refusal(http::status status, const char* body) {
  Response out;
  out.result(status);
  out.body() = body;
  out.keep_alive(false);
  out.prepare_payload();
  return out;
}

bool is_probe(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  return path == "/healthz" || path == "/readyz" || path == "/metrics";
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// The user at the other end of a Unix socket.
std::string local_peer(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return "local";
  return "uid " + std::to_string(credentials.uid);
}

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

Status HttpServer::State::listen() { return over_tls() ? listen_tls() : listen_local(); }

Status HttpServer::State::listen_local() {
  if (options.socket_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(ErrorCode::invalid_argument,
                 "the API socket's path is too long: " + options.socket_path);
  }
  TRY(clear_stale_socket(options.socket_path));
  boost::system::error_code failed;
  local.open(LocalProtocol(), failed);
  // umask decides the mode at bind; nobody else may get in between bind and chmod.
  const mode_t before = ::umask(0177);
  if (!failed) local.bind(LocalProtocol::endpoint(options.socket_path), failed);
  ::umask(before);
  if (!failed) local.listen(64, failed);
  if (failed)
    return socket_error("listening on the API socket", options.socket_path, failed.value());
  return {};
}

Status HttpServer::State::listen_tls() {
  boost::system::error_code failed;
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  tls.use_certificate_chain_file(options.certificate_file, failed);
  if (failed) {
    return Error(ErrorCode::invalid_argument, "the API's certificate " + options.certificate_file +
                                                  " cannot be used: " + failed.message());
  }
  tls.use_private_key_file(options.key_file, asio::ssl::context::pem, failed);
  if (failed) {
    return Error(ErrorCode::invalid_argument,
                 "the API's key " + options.key_file + " cannot be used: " + failed.message());
  }
  if (SSL_CTX_check_private_key(tls.native_handle()) != 1) {
    return Error(ErrorCode::invalid_argument,
                 options.key_file + " is not the key of " + options.certificate_file);
  }
  ASSIGN_OR_RETURN(const HostPort where, parse_listen_address(options.listen, kDefaultApiPort));
  const Tcp::endpoint endpoint(asio::ip::make_address(where.host), where.port);
  tcp.open(endpoint.protocol(), failed);
  if (!failed) tcp.set_option(Tcp::acceptor::reuse_address(true), failed);
  if (!failed) tcp.bind(endpoint, failed);
  if (!failed) tcp.listen(128, failed);
  if (failed) {
    return socket_error("listening for the management API (api.listen) on", options.listen,
                        failed.value());
  }
  return {};
}

Response HttpServer::State::answer(const Request& request, const std::string& peer) const {
  ApiRequest plain;
  plain.method = std::string(request.method_string());
  const std::string target(request.target());
  plain.path = target.substr(0, target.find('?'));
  if (plain.path.size() < target.size()) plain.query = target.substr(plain.path.size() + 1);
  plain.amz_target = std::string(request["X-Amz-Target"]);
  plain.body = request.body();
  plain.peer = peer;
  plain.local = !over_tls();
  for (const auto& field : request) {
    plain.headers.emplace_back(lower(field.name_string()), std::string(field.value()));
  }
  ApiResponse made;
  try {
    made = handler(plain);
  } catch (const std::exception& e) {
    // A bug in one operation must not take the tapes down.
    log_error("api", "operation failed", {{"target", plain.amz_target}, {"error", e.what()}});
    made = {};
    made.status = 500;
    made.body = R"({"__type":"InternalServerError","message":"internal error","code":"internal"})";
  }
  Response response{static_cast<http::status>(made.status), request.version()};
  response.set(http::field::server, "coldshelf");
  if (!made.content_type.empty()) response.set(http::field::content_type, made.content_type);
  for (const auto& [name, value] : made.headers) response.insert(name, value);
  response.keep_alive(request.keep_alive() && !stopping);
  if (request.method() == http::verb::head) {
    response.content_length(made.body.size());
  } else {
    response.body() = std::move(made.body);
    response.prepare_payload();
  }
  return response;
}

HttpServer::State::Lane& HttpServer::State::lane_of(const Request& request) {
  if (is_probe(request.target())) return probes;
  const auto target = request["X-Amz-Target"];
  return operations.at(options.lane_of ? options.lane_of({target.data(), target.size()}) : 0);
}

asio::awaitable<Response> HttpServer::State::answer_there(const Request& request,
                                                          const std::string& peer) const {
  // What waited behind others is not begun any more: each might wait for a store once more.
  if (stopping) co_return refusal(http::status::service_unavailable, kStoppingBody);
  co_return answer(request, peer);
}

template <typename Stream>
asio::awaitable<boost::system::error_code> HttpServer::State::read(
    Stream& stream, beast::flat_buffer& buffer, http::request_parser<http::string_body>& parser) {
  auto& lowest = beast::get_lowest_layer(stream);
  boost::system::error_code failed;
  if (buffer.size() == 0) {
    lowest.expires_after(std::chrono::seconds(options.idle_timeout_s));
    const auto room = buffer.prepare(4'096);
    const size_t got =
        co_await stream.async_read_some(room, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) co_return failed;
    buffer.commit(got);
  }
  lowest.expires_after(std::chrono::seconds(options.header_timeout_s));
  co_await http::async_read_header(stream, buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, failed));
  if (failed) co_return failed;
  lowest.expires_after(std::chrono::seconds(options.idle_timeout_s));
  co_await http::async_read(stream, buffer, parser,
                            asio::redirect_error(asio::use_awaitable, failed));
  co_return failed;
}

template <typename Stream>
asio::awaitable<void> HttpServer::State::converse(Stream& stream, const std::string& peer) {
  beast::flat_buffer buffer;
  while (!stopping) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(options.body_limit_bytes);
    parser.header_limit(16 * 1024);
    boost::system::error_code failed = co_await read(stream, buffer, parser);
    Response response;
    if (failed == http::error::body_limit || failed == http::error::header_limit) {
      response = refusal(http::status::payload_too_large, kTooBigBody);
    } else if (failed) {
      co_return;
    } else {
      beast::get_lowest_layer(stream).expires_never();
      const Place place(lane_of(parser.get()));
      if (place.taken) {
        auto work = answer_there(parser.get(), peer);
        auto& pool = place.lane.pool;
        response = co_await asio::co_spawn(pool, std::move(work), asio::use_awaitable);
      } else {
        response = refusal(http::status::service_unavailable, kBusyBody);
      }
    }
    beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(options.idle_timeout_s));
    co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, failed));
    if (failed || response.need_eof()) co_return;
  }
}

asio::awaitable<void> HttpServer::State::serve(std::shared_ptr<State> /*self*/,
                                               LocalProtocol::socket socket) {
  beast::basic_stream<LocalProtocol> stream(std::move(socket));
  const Registration registered(*this, stream.socket().native_handle());
  const std::string peer = local_peer(stream.socket().native_handle());
  co_await converse(stream, peer);
  boost::system::error_code ignored;
  stream.socket().shutdown(LocalProtocol::socket::shutdown_both, ignored);
}

asio::awaitable<void> HttpServer::State::serve(std::shared_ptr<State> /*self*/,
                                               Tcp::socket socket) {
  boost::system::error_code failed;
  const Tcp::endpoint remote = socket.remote_endpoint(failed);
  const std::string peer = failed ? std::string() : remote.address().to_string();
  socket.set_option(Tcp::no_delay(true), failed);
  asio::ssl::stream<beast::basic_stream<Tcp>> stream(beast::basic_stream<Tcp>(std::move(socket)),
                                                     tls);
  auto& lowest = beast::get_lowest_layer(stream);
  const Registration registered(*this, lowest.socket().native_handle());
  lowest.expires_after(std::chrono::seconds(options.handshake_timeout_s));
  co_await stream.async_handshake(asio::ssl::stream_base::server,
                                  asio::redirect_error(asio::use_awaitable, failed));
  if (failed) {
    log_debug("api", "TLS handshake failed", {{"peer", peer}, {"error", failed.message()}});
    co_return;
  }
  co_await converse(stream, peer);
  lowest.expires_after(std::chrono::seconds(2));
  co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, failed));
}

template <typename Acceptor>
asio::awaitable<void> HttpServer::State::accept_loop(std::shared_ptr<State> self,
                                                     Acceptor& acceptor) {
  while (!stopping) {
    boost::system::error_code failed;
    // A strand for each connection: its handlers, timers included, never run at the same time.
    typename Acceptor::protocol_type::socket socket(asio::make_strand(context));
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
  if (state->over_tls()) {
    asio::co_spawn(state->tcp.get_executor(), state->accept_loop(state, state->tcp),
                   asio::detached);
  } else {
    asio::co_spawn(state->local.get_executor(), state->accept_loop(state, state->local),
                   asio::detached);
  }
  for (unsigned i = 0; i < kSocketThreads; ++i) {
    state->threads.emplace_back([raw = state.get()] { raw->context.run(); });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::~HttpServer() { stop(); }

std::string HttpServer::endpoint() const {
  if (!state_->over_tls()) return {};
  boost::system::error_code failed;
  const Tcp::endpoint bound = state_->tcp.local_endpoint(failed);
  if (failed) return {};
  const std::string host = bound.address().to_string();
  return (bound.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(bound.port());
}

void HttpServer::stop() {
  if (state_->stopping.exchange(true)) return;
  if (!state_->over_tls()) ::unlink(state_->options.socket_path.c_str());
  const auto close = [](auto& acceptor) {
    boost::system::error_code ignored;
    acceptor.close(ignored);
  };
  // These do not own the state: a connection that comes right now ends the threads' work, and what
  // is posted behind that lies in the context until the state goes.
  asio::post(state_->local.get_executor(), [state = state_.get(), close] { close(state->local); });
  asio::post(state_->tcp.get_executor(), [state = state_.get(), close] { close(state->tcp); });
  {
    // Idle connections end now; one in the middle of an operation sees `stopping` after it.
    const std::lock_guard lock(state_->sockets_mutex);
    for (const int fd : state_->sockets) ::shutdown(fd, SHUT_RD);
  }
  for (std::thread& thread : state_->threads) thread.join();
  state_->threads.clear();
  // Nothing is left in them: a connection that waits for its answer is work of `context`.
  for (State::Lane& lane : state_->operations) lane.pool.join();
  state_->probes.pool.join();
  close(state_->local);
  close(state_->tcp);
}

}  // namespace coldshelf
