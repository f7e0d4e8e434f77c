#include "tests/support/s3_imposter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <thread>

#include "tests/support/imposter/checks.h"
#include "tests/support/imposter/faults.h"
#include "tests/support/imposter/service.h"
#include "tests/support/imposter/wire.h"

namespace coldshelf::test {

using imposter::Headers;
using imposter::Key;
using imposter::Request;
using imposter::Response;
using imposter::Wire;

namespace {

constexpr size_t kMaxRejections = 200;
constexpr uint64_t kDamageStep = 7919;

// Of something in front of the server, which knows nothing of S3.
Response foreign_response(int status, const std::string& type, const std::string& text) {
  Response response;
  response.status = status;
  response.foreign = true;
  response.set("Content-Type", type);
  response.text = text;
  return response;
}

// What a fault answers instead of doing anything.
std::optional<Response> refusal(S3Fault fault) {
  using imposter::error_response;
  switch (fault) {
    case S3Fault::internal_error:
      return error_response("InternalError", "We encountered an internal error. Please try again.");
    case S3Fault::unavailable:
      return error_response("ServiceUnavailable", "Please reduce your request rate.");
    case S3Fault::slow_down:
      return error_response("SlowDown", "Please reduce your request rate.");
    case S3Fault::request_timeout:
      return error_response("RequestTimeout",
                            "Your socket connection to the server was not read from or written "
                            "to within the timeout period.");
    case S3Fault::expired_token:
      return error_response("ExpiredToken", "The provided token has expired.");
    case S3Fault::conditional_conflict:
      return error_response("ConditionalRequestConflict",
                            "A conflicting operation is under way against this resource");
    case S3Fault::expedited_unavailable:
      return error_response("GlacierExpeditedRetrievalNotAvailable",
                            "Glacier expedited retrievals are currently not available");
    case S3Fault::error_in_200: {
      Response response =
          error_response("InternalError", "We encountered an internal error. Please try again.");
      response.status = 200;
      return response;
    }
    case S3Fault::bare_503:
      return foreign_response(503, "text/html",
                              "<html><body><h1>503 Service Unavailable</h1></body></html>");
    case S3Fault::bare_404:
      return foreign_response(404, "text/plain; charset=utf-8", "404 page not found\n");
    default:
      return std::nullopt;
  }
}

// Codes only a client that does something wrong gets to see.
bool is_rejection(const Response& response) {
  static constexpr std::string_view kCodes[] = {"AccessDenied",
                                                "AuthorizationHeaderMalformed",
                                                "BadDigest",
                                                "EntityTooLarge",
                                                "EntityTooSmall",
                                                "IncompleteBody",
                                                "InvalidAccessKeyId",
                                                "InvalidArgument",
                                                "InvalidDigest",
                                                "InvalidPart",
                                                "InvalidPartOrder",
                                                "InvalidRange",
                                                "InvalidRequest",
                                                "InvalidStorageClass",
                                                "InvalidToken",
                                                "KeyTooLongError",
                                                "MalformedTrailerError",
                                                "MalformedXML",
                                                "MetadataTooLarge",
                                                "MethodNotAllowed",
                                                "MissingContentLength",
                                                "SignatureDoesNotMatch",
                                                "XAmzContentSHA256Mismatch"};
  return std::count(std::begin(kCodes), std::end(kCodes), response.code) > 0;
}

}  // namespace

class S3Imposter::Impl {
 public:
  explicit Impl(ImposterOptions options)
      : options_(std::move(options)),
        clock_(options_.clock != nullptr ? *options_.clock : system_clock_),
        service_(options_, clock_),
        in_(stop_),
        out_(stop_) {
    keys_[options_.access_key] = {options_.secret_key, "", false};
  }
  ~Impl();
  Status listen();

 private:
  friend class S3Imposter;
  struct Connection {
    std::unique_ptr<Wire> wire;
    std::thread thread;
    std::atomic<bool> done{false};
  };

  void accept_loop();
  void serve(Connection& connection);
  bool serve_one(Wire& wire);
  bool read_body(Wire& wire, Request& request, S3Fault fault, bool& open);
  bool answer(Wire& wire, Request& request, S3Fault fault);
  Response respond(Request& request, S3Fault fault);
  std::optional<Response> check_signature(const Request& request);
  void reject(const Request& request, const Response& response);
  int64_t auth_now_ms() { return clock_.unix_ms() + skew_ms_; }

  const ImposterOptions options_;
  SystemClock system_clock_;
  Clock& clock_;
  imposter::Service service_;
  imposter::FaultPlan faults_;
  imposter::StopSign stop_;
  imposter::Throttle in_;
  imposter::Throttle out_;
  std::atomic<int64_t> skew_ms_{0};
  std::atomic<int64_t> latency_ms_{0};
  std::atomic<unsigned> hang_connections_{0};

  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread acceptor_;
  mutable std::mutex mutex_;  // connections_, keys_, rejections_
  std::list<Connection> connections_;
  std::map<std::string, Key> keys_;
  std::vector<std::string> rejections_;

  std::array<std::atomic<uint64_t>, kS3Operations> requests_{};
  std::atomic<uint64_t> damages_{0};
  std::atomic<uint64_t> bytes_in_{0};
  std::atomic<uint64_t> bytes_out_{0};
  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> under_way_{0};
  std::atomic<uint64_t> peak_{0};
};

Status S3Imposter::Impl::listen() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) return error_from_errno(errno, "socket");
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 1024) != 0) {
    return error_from_errno(errno, "listen on port " + std::to_string(options_.port));
  }
  socklen_t size = sizeof address;
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
  return {};
}

S3Imposter::Impl::~Impl() {
  stop_.stop();
  if (listener_ >= 0) ::shutdown(listener_, SHUT_RDWR);  // wakes the acceptor
  if (acceptor_.joinable()) acceptor_.join();
  if (listener_ >= 0) ::close(listener_);
  for (Connection& connection : connections_) connection.wire->interrupt();
  for (Connection& connection : connections_) connection.thread.join();
}

void S3Imposter::Impl::accept_loop() {
  while (!stop_.stopped()) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, 50) <= 0) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++accepted_;
    const std::lock_guard lock(mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      if (!it->done) {
        ++it;
        continue;
      }
      it->thread.join();
      it = connections_.erase(it);
    }
    Connection& connection = connections_.emplace_back();
    connection.wire = std::make_unique<Wire>(fd, stop_, in_, out_, options_.slow_bytes_per_s);
    connection.thread = std::thread([this, &connection] { serve(connection); });
  }
}

void S3Imposter::Impl::serve(Connection& connection) {
  unsigned hanging = hang_connections_;
  while (hanging > 0 && !hang_connections_.compare_exchange_weak(hanging, hanging - 1)) {
  }
  if (hanging > 0) {
    connection.wire->hang();
    // What was sent in the meantime is not read: closing is a reset.
  } else {
    while (!stop_.stopped() && serve_one(*connection.wire)) {
    }
  }
  connection.wire->interrupt();
  connection.done = true;
}

bool S3Imposter::Impl::serve_one(Wire& wire) {
  Request request;
  std::string target;
  const Wire::Read read = wire.read_head(request, target);
  if (read == Wire::Read::closed) return false;
  std::string wrong = "not HTTP";
  if (read == Wire::Read::ok) {
    wrong = imposter::parse_target(target, service_.bucket_names(), request);
  }
  if (!wrong.empty()) {
    const Response response = imposter::error_response("InvalidRequest", wrong);
    reject(request, response);
    uint64_t bytes = 0;
    (void)wire.send(response, S3Fault::none, auth_now_ms(), bytes);
    return false;
  }
  ++requests_[static_cast<size_t>(request.operation)];
  const uint64_t now_under_way = ++under_way_;
  uint64_t peak = peak_;
  while (now_under_way > peak && !peak_.compare_exchange_weak(peak, now_under_way)) {
  }
  const S3Fault fault = faults_.choose(request);
  const bool go_on = answer(wire, request, fault);
  --under_way_;
  return go_on && request.header("connection") != "close";
}

std::optional<Response> S3Imposter::Impl::check_signature(const Request& request) {
  std::map<std::string, Key> keys;
  {
    const std::lock_guard lock(mutex_);
    keys = keys_;
  }
  return imposter::check_signature(request, keys, options_.region, auth_now_ms());
}

// False: the connection ends here. `open`: an answer can still be sent.
bool S3Imposter::Impl::read_body(Wire& wire, Request& request, S3Fault fault, bool& open) {
  open = false;
  if (request.header("expect") == "100-continue") {
    if (auto wrong = check_signature(request)) {
      reject(request, *wrong);
      uint64_t bytes = 0;
      (void)wire.send(*wrong, S3Fault::none, auth_now_ms(), bytes);
      return false;  // whether the body comes all the same cannot be known
    }
    if (!wire.send_continue()) return false;
  }
  uint64_t limit = UINT64_MAX;
  if (fault == S3Fault::reset_upload) {
    limit = std::strtoull(request.header("content-length").c_str(), nullptr, 10) / 2;
  }
  uint64_t bytes = 0;
  const Wire::Read read = wire.read_body(request, limit, bytes);
  bytes_in_ += bytes;
  if (fault == S3Fault::reset_upload) {
    wire.reset();
    return false;
  }
  open = read == Wire::Read::ok;
  return open;
}

bool S3Imposter::Impl::answer(Wire& wire, Request& request, S3Fault fault) {
  if (latency_ms_ > 0) stop_.wait_ms(latency_ms_);
  bool open = false;
  if (!read_body(wire, request, fault, open)) return false;
  if (fault == S3Fault::hang_before_answer) {
    wire.hang();
    return false;
  }
  Response response = respond(request, fault);
  if (fault == S3Fault::lost_answer) {
    wire.reset();
    return false;
  }
  // HEAD has no body, whatever there is to say.
  if (request.method == "HEAD" && !response.head) {
    response.head = true;
    response.told_length = 0;
  }
  // Another byte each time: what is damaged alike twice is taken for damaged where it lies.
  if (const uint64_t size = response.body_size(); fault == S3Fault::corrupted_body && size > 0) {
    response.damage_at = (size / 2 + kDamageStep * damages_++) % size;
  }
  uint64_t bytes = 0;
  const bool go_on = wire.send(response, fault, auth_now_ms(), bytes);
  bytes_out_ += bytes;
  return go_on;
}

Response S3Imposter::Impl::respond(Request& request, S3Fault fault) {
  if (auto instead = refusal(fault)) return *instead;
  std::optional<Response> wrong = check_signature(request);
  const ImposterSupport support = service_.support();
  const bool chunked = request.header("content-encoding").find("aws-chunked") != std::string::npos;
  if (!wrong && chunked && support.aws_chunked == S3Support::refused) {
    wrong = imposter::error_response("NotImplemented", "aws-chunked is not done here");
  }
  if (!wrong && chunked && support.aws_chunked == S3Support::yes) {
    wrong = imposter::decode_aws_chunked(request);
  }
  if (fault == S3Fault::corrupted_upload && !request.body.empty()) {
    request.body[request.body.size() / 2] ^= std::byte{4};
  }
  request.content = imposter::Blob::in_memory(std::move(request.body));
  request.body.clear();
  Headers checksums;
  if (!wrong && !(chunked && support.aws_chunked == S3Support::ignored)) {
    wrong = imposter::check_body(request, support, checksums);
  }
  Response response = wrong ? *wrong : service_.handle(request, checksums);
  if (is_rejection(response) && fault != S3Fault::corrupted_upload) reject(request, response);
  if (fault == S3Fault::done_internal_error) {
    return imposter::error_response("InternalError", "We encountered an internal error.");
  }
  if (fault == S3Fault::wrong_etag) {
    for (auto& [name, value] : response.headers) {
      if (name == "ETag") value = "\"00000000000000000000000000000bad\"";
    }
  }
  if (fault == S3Fault::garbled_xml && !response.has_blob && response.status / 100 == 2) {
    response.text.resize(response.text.size() * 2 / 3);
  }
  return response;
}

void S3Imposter::Impl::reject(const Request& request, const Response& response) {
  const std::lock_guard lock(mutex_);
  if (rejections_.size() >= kMaxRejections) return;
  rejections_.push_back(std::string(to_string(request.operation)) + " " + request.bucket + "/" +
                        request.key + ": " + response.code + ": " + response.text);
}

Result<std::unique_ptr<S3Imposter>> S3Imposter::start(ImposterOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TRY(impl->listen());
  return std::unique_ptr<S3Imposter>(new S3Imposter(std::move(impl)));
}

S3Imposter::S3Imposter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
S3Imposter::~S3Imposter() = default;

uint16_t S3Imposter::port() const { return impl_->port_; }
std::string S3Imposter::endpoint() const {
  return "http://127.0.0.1:" + std::to_string(impl_->port_);
}
const ImposterOptions& S3Imposter::options() const { return impl_->options_; }

void S3Imposter::fail_next(S3Operation operation, S3Fault fault, unsigned count,
                           std::string key_part, unsigned skip) {
  impl_->faults_.script(operation, fault, count, std::move(key_part), skip);
}
void S3Imposter::set_storm(ImposterStorm storm) { impl_->faults_.set_storm(std::move(storm)); }
void S3Imposter::hang_next_connections(unsigned count) { impl_->hang_connections_ = count; }
void S3Imposter::clear_faults() {
  impl_->faults_.clear();
  impl_->hang_connections_ = 0;
}
void S3Imposter::set_clock_skew_ms(int64_t skew_ms) { impl_->skew_ms_ = skew_ms; }

void S3Imposter::expire_key(const std::string& access_key) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->keys_[access_key].expired = true;
}
void S3Imposter::add_key(const std::string& access_key, const std::string& secret_key,
                         const std::string& session_token) {
  const std::lock_guard lock(impl_->mutex_);
  impl_->keys_[access_key] = {secret_key, session_token, false};
}

void S3Imposter::set_list_lag_ms(int64_t lag_ms) { impl_->service_.set_list_lag_ms(lag_ms); }
void S3Imposter::set_latency_ms(int64_t per_request_ms) { impl_->latency_ms_ = per_request_ms; }
void S3Imposter::set_bandwidth(uint64_t in_bytes_per_s, uint64_t out_bytes_per_s) {
  impl_->in_.set(in_bytes_per_s);
  impl_->out_.set(out_bytes_per_s);
}
void S3Imposter::set_support(const ImposterSupport& support) {
  impl_->service_.set_support(support);
}
void S3Imposter::advance_ms(int64_t ms) { impl_->service_.advance_ms(ms); }

uint64_t S3Imposter::requests(S3Operation operation) const {
  return impl_->requests_[static_cast<size_t>(operation)];
}
uint64_t S3Imposter::requests() const {
  uint64_t sum = 0;
  for (const auto& n : impl_->requests_) sum += n;
  return sum;
}
uint64_t S3Imposter::faults_done(S3Fault fault) const { return impl_->faults_.done(fault); }
uint64_t S3Imposter::faults_done() const { return impl_->faults_.done(); }
uint64_t S3Imposter::bytes_in() const { return impl_->bytes_in_; }
uint64_t S3Imposter::bytes_out() const { return impl_->bytes_out_; }
uint64_t S3Imposter::connections() const { return impl_->accepted_; }
uint64_t S3Imposter::peak_requests_under_way() const { return impl_->peak_; }
void S3Imposter::reset_counts() {
  for (auto& n : impl_->requests_) n = 0;
  impl_->bytes_in_ = 0;
  impl_->bytes_out_ = 0;
  impl_->accepted_ = 0;
  impl_->peak_ = 0;
  impl_->faults_.reset_counts();
}
std::vector<std::string> S3Imposter::rejections() const {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->rejections_;
}

std::vector<std::string> S3Imposter::keys(const std::string& bucket) const {
  return impl_->service_.keys(bucket);
}
std::optional<ImposterObject> S3Imposter::object(const std::string& bucket,
                                                 const std::string& key) const {
  return impl_->service_.object(bucket, key);
}
bool S3Imposter::erase(const std::string& bucket, const std::string& key) {
  return impl_->service_.erase(bucket, key);
}
bool S3Imposter::flip_bit(const std::string& bucket, const std::string& key, uint64_t offset) {
  return impl_->service_.flip_bit(bucket, key, offset);
}
size_t S3Imposter::unfinished_uploads() const { return impl_->service_.unfinished_uploads(); }
size_t S3Imposter::versions(const std::string& bucket, const std::string& key) const {
  return impl_->service_.versions(bucket, key);
}

}  // namespace coldshelf::test
