#include "tests/support/ebs/session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

// GCC 12 takes the allocator of coroutine frames for a mismatched one (its bug 109224).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace coldshelf::test::ebs {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kMaxAheadBytes = 2 * MiB;
constexpr uint64_t kMaxBodyBytes = 2 * MiB;
constexpr size_t kMaxRejections = 200;

// Codes only a client that does something wrong gets to see.
bool is_rejection(const Answer& answer) {
  static constexpr std::string_view kCodes[] = {"ValidationException",
                                                "InvalidSignatureException",
                                                "MissingAuthenticationTokenException",
                                                "IncompleteSignature",
                                                "UnrecognizedClientException",
                                                "UnknownOperationException",
                                                "AuthFailure",
                                                "SignatureDoesNotMatch",
                                                "InvalidClientTokenId",
                                                "InvalidParameterValue",
                                                "UnknownParameter",
                                                "MissingParameter",
                                                "InvalidParameterCombination",
                                                "InvalidAction",
                                                "NoSuchVersion",
                                                "InvalidNextToken",
                                                "ValidationError",
                                                "InvalidParameter",
                                                "InvalidParameterDependency",
                                                "IncorrectState",
                                                "IdempotentParameterMismatch",
                                                "ConflictException"};
  return std::count(std::begin(kCodes), std::end(kCodes), answer.code) > 0;
}

bool explains(EbsFault fault) {
  return fault == EbsFault::corrupted_upload || fault == EbsFault::expired_page_token ||
         fault == EbsFault::expired_block_token || fault == EbsFault::conflict;
}

}  // namespace

void Shared::reject(const Call& call, const Answer& answer) {
  const std::lock_guard lock(mutex);
  if (rejections.size() >= kMaxRejections) return;
  rejections.push_back(std::string(to_string(call.operation)) + " " + call.key + ": " +
                       answer.code + ": " + answer.text);
}

Session::Session(asio::ip::tcp::socket socket, Shared& shared)
    : socket_(std::move(socket)), shared_(shared) {}

Session::Awaitable<void> Session::run(std::shared_ptr<Session> self) {
  unsigned hanging = self->shared_.hang_connections;
  while (hanging > 0 &&
         !self->shared_.hang_connections.compare_exchange_weak(hanging, hanging - 1)) {
  }
  if (hanging > 0) {
    co_await self->hang();
    co_return;
  }
  bool going = true;
  while (going) going = co_await self->serve_one();
}

Session::Awaitable<bool> Session::serve_one() {
  Call call;
  if (!co_await read_head(call)) co_return false;
  const int64_t started_ns =
      std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  const uint64_t now_under_way = ++shared_.under_way;
  uint64_t peak = shared_.peak;
  while (now_under_way > peak && !shared_.peak.compare_exchange_weak(peak, now_under_way)) {
  }
  const bool going = co_await answer(call, started_ns);
  --shared_.under_way;
  co_return going&& call.http.header("connection") != "close";
}

Session::Awaitable<bool> Session::read_head(Call& call) {
  auto buffer = asio::dynamic_buffer(ahead_, kMaxAheadBytes);
  error_code error;
  const size_t size =
      co_await asio::async_read_until(socket_, buffer, std::string_view("\r\n\r\n"),
                                      asio::redirect_error(asio::use_awaitable, error));
  if (error || size > imposter::kMaxHeadBytes) co_return false;
  std::string target;
  const std::string_view head = std::string_view(ahead_).substr(0, size);
  if (!imposter::parse_head(head, call.http, target)) co_return false;
  ahead_.erase(0, size);
  co_return imposter::split_target(target, call.http).empty();
}

Session::Awaitable<bool> Session::read_body(Call& call) {
  const std::string length = call.http.header("content-length");
  if (length.empty()) co_return !call.http.has_header("transfer-encoding");
  char* end = nullptr;
  const uint64_t size = std::strtoull(length.c_str(), &end, 10);
  if (*end != 0 || size > kMaxBodyBytes) co_return false;
  error_code error;
  if (size > 0 && call.http.header("expect") == "100-continue") {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto text = asio::buffer(kContinue);
    co_await asio::async_write(socket_, text, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
  }
  call.http.body.resize(size);
  const size_t have = std::min<size_t>(size, ahead_.size());
  if (have > 0) std::memcpy(call.http.body.data(), ahead_.data(), have);
  ahead_.erase(0, have);
  const auto rest = asio::buffer(call.http.body.data() + have, size - have);
  const auto how = asio::transfer_exactly(size - have);
  if (size > have) {
    co_await asio::async_read(socket_, rest, how, asio::redirect_error(asio::use_awaitable, error));
  }
  shared_.bytes_in += size;
  co_return !error;
}

EbsFault Session::choose_fault(const Call& call) {
  const std::string what = std::string(to_string(call.operation)) + " " + call.key + "?" +
                           call.http.query_value("startingBlockIndex") + call.action;
  return shared_.faults.choose(call.operation, call.key, what, [&call](EbsFault fault) {
    if (fault == EbsFault::expired_page_token && !call.http.has_query("pageToken")) return false;
    return applies(fault, call.operation);
  });
}

Session::Awaitable<bool> Session::answer(Call& call, int64_t started_ns) {
  // Of a direct request the head says all; the body of a Query request says what it is.
  const bool put = call.http.method == "PUT";
  bool understood = false;
  if (put) {
    understood = shared_.service.understand(call);
    ++shared_.requests[static_cast<size_t>(call.operation)];
    call.fault = choose_fault(call);
    if (call.fault == EbsFault::reset_upload) {
      char some[4096];
      error_code error;
      const auto buffer = asio::buffer(some);
      co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
      reset();
      co_return false;
    }
  }
  if (!co_await read_body(call)) co_return false;
  if (!put) {
    understood = shared_.service.understand(call);
    ++shared_.requests[static_cast<size_t>(call.operation)];
    call.fault = choose_fault(call);
  }
  if (call.fault == EbsFault::hang_before_answer) {
    co_await hang();
    co_return false;
  }
  Answer out;
  if (understood) {
    out = respond(call);
  } else {
    out = service_error(call, call.service == "ebs" ? "UnrecognizedClientException" : "AuthFailure",
                        "region '" + call.region + "' or the form is not served here");
    shared_.reject(call, out);
  }
  if (shared_.latency_ms > 0) {
    asio::steady_timer timer(socket_.get_executor());
    timer.expires_at(std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(started_ns) + std::chrono::milliseconds(shared_.latency_ms)));
    error_code error;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  if (call.fault == EbsFault::lost_answer) {
    reset();
    co_return false;
  }
  const bool sent = co_await send(call, std::move(out));
  co_return sent;
}

Answer Session::respond(Call& call) {
  if (auto instead = shared_.service.refusal(call)) return *instead;
  if (call.fault == EbsFault::corrupted_upload && !call.http.body.empty()) {
    call.http.body[call.http.body.size() / 2] ^= std::byte{4};
  }
  call.body_digest = Sha256::of(call.http.body);
  std::optional<Answer> wrong = shared_.service.authenticate(call);
  Answer out = wrong ? *wrong : shared_.service.handle(call);
  if (is_rejection(out) && !explains(call.fault)) shared_.reject(call, out);
  if (call.fault == EbsFault::done_internal_error) {
    Call failed;
    failed.service = call.service;
    failed.fault = EbsFault::internal_error;
    return *shared_.service.refusal(failed);
  }
  if (call.fault == EbsFault::garbled && out.status / 100 == 2) {
    out.text.resize(out.text.size() * 2 / 3);
  }
  return out;
}

Session::Awaitable<bool> Session::send(const Call& call, Answer answer) {
  const size_t size = answer.body_bytes();
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " " +
                     std::string(imposter::status_reason(answer.status)) +
                     "\r\nDate: " + imposter::http_date(shared_.service.now_ms()) +
                     "\r\nx-amzn-RequestId: standin\r\nContent-Length: " + std::to_string(size) +
                     "\r\n";
  for (const auto& [name, value] : answer.headers) head += name + ": " + value + "\r\n";
  head += "\r\n";
  Buffer corrupted;
  std::vector<ByteView> pieces{as_view(head)};
  if (answer.block && call.fault == EbsFault::corrupted_body) {
    corrupted = answer.block->all();
    corrupted[imposter::hash_of(1, call.key) % corrupted.size()] ^= std::byte{16};
    pieces.push_back(corrupted);
  } else if (answer.block) {
    pieces.push_back(answer.block->body);
    pieces.push_back(ByteView(answer.block->tail).first(answer.block->tail_bytes));
  } else {
    pieces.push_back(as_view(answer.text));
  }
  size_t limit = size;
  if (call.fault == EbsFault::truncated_body) limit = size * 2 / 3;
  if (call.fault == EbsFault::reset_download) limit = size / 2;
  if (call.fault == EbsFault::hang_after_headers) limit = 0;
  size_t left = limit;
  for (size_t i = 1; i < pieces.size(); ++i) {
    pieces[i] = pieces[i].first(std::min(left, pieces[i].size()));
    left -= pieces[i].size();
  }
  shared_.bytes_out += limit;
  const bool sent = co_await write_all(std::move(pieces));
  if (!sent) co_return false;
  if (call.fault == EbsFault::hang_after_headers) {
    co_await hang();
    co_return false;
  }
  if (call.fault == EbsFault::reset_download) reset();
  co_return call.fault != EbsFault::truncated_body&& call.fault != EbsFault::reset_download;
}

// As much as the socket takes with each call: asio::async_write would cut it to 64 KiB.
Session::Awaitable<bool> Session::write_all(std::vector<ByteView> pieces) {
  std::vector<asio::const_buffer> left;
  size_t total = 0;
  for (const ByteView piece : pieces) {
    if (piece.empty()) continue;
    left.emplace_back(piece.data(), piece.size());
    total += piece.size();
  }
  while (total > 0) {
    error_code error;
    size_t sent =
        co_await socket_.async_write_some(left, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
    total -= sent;
    while (sent > 0) {
      const size_t step = std::min(sent, left.front().size());
      left.front() += step;
      sent -= step;
      if (left.front().size() == 0) left.erase(left.begin());
    }
  }
  co_return true;
}

Session::Awaitable<void> Session::hang() {
  error_code error;
  char some[4096];
  const auto buffer = asio::buffer(some);
  while (!error) {  // until the peer goes
    co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
  }
}

void Session::reset() {
  error_code error;
  socket_.set_option(asio::socket_base::linger(true, 0), error);
  socket_.close(error);
}

}  // namespace coldshelf::test::ebs
