// HttpTransport by libcurl. A handle is an easy handle with a multi handle of its own, which keeps
// its connections: handles are taken from a pool, the one used last first, so that few connections
// are kept busy rather than many going stale.
#include <curl/curl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/clock.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/http_body.h"

namespace coldshelf {

namespace {

constexpr long kTransferBuffer = 256 * 1024;  // curl's, for each direction of a request under way
constexpr long kConnectionsPerHandle = 4;     // S3, and now and then STS or KMS
constexpr size_t kMaxHeaderBytes = 256 * KiB;
constexpr int64_t kBaseTimeoutMs = 60'000;
constexpr int64_t kProgressCheckMs = 200;
constexpr int64_t kLongestWaitMs = 1'000;

struct Handle {
  CURL* easy = curl_easy_init();
  CURLM* multi = curl_multi_init();
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
};

struct HeaderList {
  curl_slist* list = nullptr;
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    CHECK(longer != nullptr);
    list = longer;
  }
};

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

// "PUT host:port", for messages: a path can be long, and the caller knows it.
std::string where(const HttpRequest& request) {
  const size_t scheme = request.url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  return request.method + " " + request.url.substr(begin, request.url.find('/', begin) - begin);
}

// One request under way; curl calls back into it on the thread that performs it.
class Exchange {
 public:
  Exchange(const HttpRequest& request, Clock& clock)
      : request_(request), clock_(clock), body_(request) {}

  void prepare(CURL* easy, const CurlOptions& options);
  Result<HttpResponse> finish(CURLcode code);

  // Changes whenever bytes move.
  uint64_t progress(CURL* easy) const;
  int64_t file_ns() const { return file_ns_; }  // spent waiting for the request's file
  void fail(Error error) {
    if (!failed_) failed_ = std::move(error);
  }

 private:
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_read(char* data, size_t size, size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static int on_request(void* self, char*, char*, int, int);
  void set_body(CURL* easy);
  size_t take_header(std::string_view line);
  size_t take_body(ByteView bytes);
  size_t give_body(MutableBytes out);

  const HttpRequest& request_;
  Clock& clock_;
  HttpBody body_;
  HttpResponse response_;
  std::optional<Error> failed_;
  HeaderList headers_;
  char curl_message_[CURL_ERROR_SIZE] = {};
  size_t header_bytes_ = 0;
  unsigned times_sent_ = 0;
  uint64_t moved_ = 0;
  int64_t file_ns_ = 0;
};

void Exchange::prepare(CURL* easy, const CurlOptions& options) {
  set(easy, CURLOPT_URL, request_.url.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_QUICK_EXIT, 1L);  // a name server that hangs does not hold up who gives up
  set(easy, CURLOPT_PATH_AS_IS, 1L);  // keys may hold "/../"; the signature is over what is sent
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_MAXCONNECTS, kConnectionsPerHandle);
  set(easy, CURLOPT_BUFFERSIZE, kTransferBuffer);
  set(easy, CURLOPT_UPLOAD_BUFFERSIZE, kTransferBuffer);
  set(easy, CURLOPT_USERAGENT, "coldshelf");
  set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(easy, CURLOPT_ERRORBUFFER, curl_message_);
  if (!options.ca_file.empty()) {
    set(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    set(easy, CURLOPT_CAPATH, static_cast<char*>(nullptr));
  }
  if (!options.proxy.empty()) set(easy, CURLOPT_PROXY, options.proxy.c_str());
  if (request_.direct) set(easy, CURLOPT_PROXY, "");
  if (request_.once) set(easy, CURLOPT_FRESH_CONNECT, 1L);
  set(easy, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(easy, CURLOPT_PREREQFUNCTION, &Exchange::on_request);
  set(easy, CURLOPT_PREREQDATA, static_cast<void*>(this));
  set_body(easy);
  // No pause for "100 Continue" before a body: it costs a round trip, and servers that do not
  // answer it cost a second.
  headers_.add("Expect:");
  // curl leaves out a header without a value unless it ends in ';'.
  for (const auto& [name, value] : request_.headers) {
    headers_.add(value.empty() ? name + ";" : name + ": " + value);
  }
  set(easy, CURLOPT_HTTPHEADER, headers_.list);
}

void Exchange::set_body(CURL* easy) {
  const uint64_t bytes = body_.wire_bytes();
  set(easy, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  if (request_.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (bytes > 0 || request_.method == "PUT" || request_.method == "POST") {
    set(easy, CURLOPT_UPLOAD, 1L);
    set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(bytes));
    set(easy, CURLOPT_READFUNCTION, &Exchange::on_read);
    set(easy, CURLOPT_READDATA, static_cast<void*>(this));
    set(easy, CURLOPT_SEEKFUNCTION, &Exchange::on_seek);
    set(easy, CURLOPT_SEEKDATA, static_cast<void*>(this));
  }
}

uint64_t Exchange::progress(CURL* easy) const {
  // What left for the kernel's buffer has not arrived anywhere yet; what is left in there shrinks
  // as it does.
  curl_socket_t socket = CURL_SOCKET_BAD;
  int waiting = 0;
  if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK &&
      socket != CURL_SOCKET_BAD && ioctl(socket, SIOCOUTQ, &waiting) != 0) {
    waiting = 0;
  }
  return (moved_ << 32) ^ static_cast<uint64_t>(static_cast<uint32_t>(waiting));
}

size_t Exchange::on_header(char* data, size_t size, size_t count, void* self) {
  return static_cast<Exchange*>(self)->take_header({data, size * count});
}

size_t Exchange::on_body(char* data, size_t size, size_t count, void* self) {
  return static_cast<Exchange*>(self)->take_body(as_view({data, size * count}));
}

size_t Exchange::on_read(char* data, size_t size, size_t count, void* self) {
  return static_cast<Exchange*>(self)->give_body(
      {reinterpret_cast<std::byte*>(data), size * count});
}

int Exchange::on_seek(void* self, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_FAIL;
  static_cast<Exchange*>(self)->body_.restart();
  return CURL_SEEKFUNC_OK;
}

// Before each sending of the request: the second time on a fresh connection.
int Exchange::on_request(void* self, char*, char*, int, int) {
  auto* exchange = static_cast<Exchange*>(self);
  exchange->response_.repeated = ++exchange->times_sent_ > 1;
  return CURL_PREREQFUNC_OK;
}

size_t Exchange::take_header(std::string_view line) {
  const size_t taken = line.size();
  moved_ += taken;
  header_bytes_ += taken;
  if (header_bytes_ > kMaxHeaderBytes) {
    fail({ErrorCode::out_of_range, where(request_) + ": the answer's header has no end"});
    return 0;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' ')) {
    line.remove_suffix(1);
  }
  if (line.starts_with("HTTP/")) {  // the first line, also of the answer after "100 Continue"
    const size_t blank = line.find(' ');
    response_.headers.clear();
    response_.status = blank == std::string_view::npos
                           ? 0
                           : std::atoi(std::string(line.substr(blank + 1)).c_str());
    return taken;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return taken;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  std::string& there = response_.headers[name];
  there = there.empty() ? std::string(value) : there + "," + std::string(value);
  return taken;
}

size_t Exchange::take_body(ByteView bytes) {
  moved_ += bytes.size();
  if (!request_.sink.empty() && response_.status / 100 == 2) {
    if (bytes.size() > request_.sink.size() - response_.sink_bytes) {
      fail({ErrorCode::out_of_range, where(request_) + ": the answer is longer than the " +
                                         std::to_string(request_.sink.size()) +
                                         " bytes asked for"});
      return 0;
    }
    std::memcpy(request_.sink.data() + response_.sink_bytes, bytes.data(), bytes.size());
    response_.sink_bytes += bytes.size();
    return bytes.size();
  }
  if (bytes.size() > request_.max_body_bytes - response_.body.size()) {
    fail({ErrorCode::out_of_range, where(request_) + ": the answer is longer than " +
                                       std::to_string(request_.max_body_bytes) + " bytes"});
    return 0;
  }
  append(response_.body, bytes);
  return bytes.size();
}

size_t Exchange::give_body(MutableBytes out) {
  const int64_t before_ns = clock_.monotonic_ns();
  Result<size_t> given = body_.read(out);
  file_ns_ += clock_.monotonic_ns() - before_ns;
  if (!given.ok()) {
    fail(std::move(given).error());
    return CURL_READFUNC_ABORT;
  }
  moved_ += *given;
  return *given;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::timed_out;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
      return ErrorCode::permission;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return ErrorCode::invalid_argument;
    case CURLE_OUT_OF_MEMORY:
      return ErrorCode::internal;
    default:  // resolving, connecting, TLS, sending, receiving: another time it may work
      return ErrorCode::unavailable;
  }
}

Result<HttpResponse> Exchange::finish(CURLcode code) {
  if (failed_) return std::move(*failed_);
  if (code == CURLE_OK) return std::move(response_);
  return Error(code_of(code),
               where(request_) + ": " +
                   (curl_message_[0] != '\0' ? curl_message_ : curl_easy_strerror(code)));
}

class CurlTransport final : public HttpTransport {
 public:
  explicit CurlTransport(CurlOptions options) : options_(std::move(options)) {}

  Result<HttpResponse> perform(const HttpRequest& request) override {
    std::unique_ptr<Handle> handle = take();
    if (!handle) return given_up(request);
    Exchange exchange(request, clock_);
    exchange.prepare(handle->easy, options_);
    const CURLcode code = run(*handle, exchange, request);
    give_back(std::move(handle));
    return exchange.finish(code);
  }

  void give_up() override {
    const std::lock_guard lock(mutex_);
    give_up_ = true;
    for (Handle* handle : busy_) curl_multi_wakeup(handle->multi);
  }

 private:
  static Error given_up(const HttpRequest& request) {
    return {ErrorCode::cancelled, where(request) + ": given up"};
  }

  std::unique_ptr<Handle> take() {
    const std::lock_guard lock(mutex_);
    if (give_up_) return nullptr;
    std::unique_ptr<Handle> handle;
    if (idle_.empty()) {
      handle = std::make_unique<Handle>();
      CHECK(handle->easy != nullptr && handle->multi != nullptr);
    } else {
      handle = std::move(idle_.back());
      idle_.pop_back();
    }
    busy_.insert(handle.get());
    return handle;
  }

  void give_back(std::unique_ptr<Handle> handle) {
    const std::lock_guard lock(mutex_);
    busy_.erase(handle.get());
    if (idle_.size() < options_.idle_connections) idle_.push_back(std::move(handle));
  }

  int64_t total_ms(const HttpRequest& request) const {
    if (request.total_timeout_ms > 0) return request.total_timeout_ms;
    const uint64_t bytes = HttpBody(request).wire_bytes() + request.sink.size();
    return kBaseTimeoutMs +
           static_cast<int64_t>(bytes / std::max<uint64_t>(1, options_.slowest_bytes_per_s)) * 1000;
  }

  CURLcode run(Handle& handle, Exchange& exchange, const HttpRequest& request) {
    if (curl_multi_add_handle(handle.multi, handle.easy) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
    const CURLcode code = drive(handle, exchange, request);
    curl_multi_remove_handle(handle.multi, handle.easy);
    curl_easy_reset(handle.easy);  // it points into the exchange; connections stay
    return code;
  }

  CURLcode drive(Handle& handle, Exchange& exchange, const HttpRequest& request) {
    const int64_t total = total_ms(request);
    const int64_t idle =
        request.idle_timeout_ms > 0 ? request.idle_timeout_ms : options_.idle_timeout_ms;
    const int64_t started = clock_.monotonic_ns() / 1'000'000;
    int64_t checked = started;
    int64_t moved = started;  // when bytes last moved
    uint64_t progress = 0;
    int64_t file_ms = 0;
    while (true) {
      int running = 0;
      if (curl_multi_perform(handle.multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
      if (running == 0) break;
      if (give_up_) {
        exchange.fail(given_up(request));
        return CURLE_ABORTED_BY_CALLBACK;
      }
      const int64_t now = clock_.monotonic_ns() / 1'000'000;
      if (now - checked >= std::min(kProgressCheckMs, idle / 4)) {
        checked = now;
        const uint64_t seen = exchange.progress(handle.easy);
        if (seen != progress) moved = now;
        progress = seen;
        file_ms = exchange.file_ns() / 1'000'000;
      }
      const int64_t left = std::min(total - (now - started - file_ms), idle - (now - moved));
      if (left <= 0) {
        exchange.fail({ErrorCode::timed_out, where(request) + ": no byte moved or no end for " +
                                                 std::to_string(now - started) + " ms"});
        return CURLE_OPERATION_TIMEDOUT;
      }
      const int64_t wait = std::clamp<int64_t>(std::min(left, idle / 4), 1, kLongestWaitMs);
      if (curl_multi_poll(handle.multi, nullptr, 0, static_cast<int>(wait), nullptr) != CURLM_OK) {
        return CURLE_OUT_OF_MEMORY;
      }
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(handle.multi, &left);
    return message != nullptr && message->msg == CURLMSG_DONE ? message->data.result
                                                              : CURLE_RECV_ERROR;
  }

  const CurlOptions options_;
  SystemClock clock_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;  // the one used last at the end
  std::set<Handle*> busy_;
  std::atomic<bool> give_up_{false};
};

}  // namespace

Result<std::unique_ptr<HttpTransport>> make_curl_transport(const CurlOptions& options) {
  static std::once_flag once;  // libcurl's own global state
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
  if (!options.ca_file.empty() && access(options.ca_file.c_str(), R_OK) != 0) {
    return error_from_errno(errno, "the file of trusted certificates " + options.ca_file);
  }
  return std::unique_ptr<HttpTransport>(std::make_unique<CurlTransport>(options));
}

}  // namespace coldshelf
