#include "tests/support/imposter/wire.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace coldshelf::test::imposter {

namespace {
constexpr uint64_t kMaxBodyBytes = 5 * GiB;
constexpr size_t kSendBytes = 256 * KiB;
constexpr int64_t kSlowMs = 50;  // between the pieces of a slow body

}  // namespace

void StopSign::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
}

void StopSign::wait_ms(int64_t ms) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stopped_.load(); });
}

void Throttle::set(uint64_t bytes_per_s) {
  const std::lock_guard lock(mutex_);
  bytes_per_s_ = bytes_per_s;
  free_at_ns_ = clock_.monotonic_ns();
}

void Throttle::take(uint64_t bytes) {
  if (bytes_per_s_ == 0) return;
  int64_t wait_ms = 0;
  {
    const std::lock_guard lock(mutex_);
    if (bytes_per_s_ == 0) return;
    const int64_t now = clock_.monotonic_ns();
    free_at_ns_ =
        std::max(free_at_ns_, now) + static_cast<int64_t>(static_cast<double>(bytes) * 1e9 /
                                                          static_cast<double>(bytes_per_s_.load()));
    wait_ms = (free_at_ns_ - now) / 1'000'000;
  }
  if (wait_ms > 0) stop_.wait_ms(wait_ms);
}

Wire::Wire(int fd, StopSign& stop, Throttle& in, Throttle& out, uint64_t slow_bytes_per_s)
    : fd_(fd), stop_(stop), in_(in), out_(out), slow_bytes_per_s_(slow_bytes_per_s) {}

Wire::~Wire() { close(); }

void Wire::close() {
  const std::lock_guard lock(closing_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Wire::interrupt() {
  const std::lock_guard lock(closing_);
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

bool Wire::fill() {
  char buffer[16 * KiB];
  const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  ahead_.append(buffer, static_cast<size_t>(n));
  return true;
}

bool Wire::receive(MutableBytes out) {
  size_t at = std::min(out.size(), ahead_.size());
  if (at > 0) std::memcpy(out.data(), ahead_.data(), at);
  ahead_.erase(0, at);
  in_.take(at);
  const size_t step = in_.limited() ? 64 * KiB : out.size();
  while (at < out.size()) {
    const size_t want = std::min(step, out.size() - at);
    const ssize_t n = ::recv(fd_, out.data() + at, want, in_.limited() ? 0 : MSG_WAITALL);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
    in_.take(static_cast<uint64_t>(n));
  }
  return true;
}

Wire::Read Wire::read_head(Request& request, std::string& target) {
  size_t end = 0;
  while ((end = ahead_.find("\r\n\r\n")) == std::string::npos) {
    if (ahead_.size() > kMaxHeadBytes) return Read::malformed;
    if (!fill()) return Read::closed;
  }
  if (!parse_head(std::string_view(ahead_).substr(0, end + 4), request, target)) {
    return Read::malformed;
  }
  ahead_.erase(0, end + 4);
  return Read::ok;
}

Wire::Read Wire::read_chunked(Buffer& out, uint64_t limit) {
  while (true) {
    size_t end = 0;
    while ((end = ahead_.find("\r\n")) == std::string::npos) {
      if (ahead_.size() > kMaxHeadBytes || !fill()) return Read::closed;
    }
    char* rest = nullptr;
    const uint64_t size = std::strtoull(ahead_.c_str(), &rest, 16);
    if (rest == ahead_.c_str() || (*rest != '\r' && *rest != ';')) return Read::malformed;
    ahead_.erase(0, end + 2);
    if (out.size() + size > kMaxBodyBytes) return Read::malformed;
    const size_t at = out.size();
    out.resize(at + size);
    if (!receive(MutableBytes(out).subspan(at))) return Read::closed;
    std::byte line_end[2];
    if (!receive(line_end)) return Read::closed;
    if (as_text(line_end) != "\r\n") return Read::malformed;  // no trailers of HTTP's own
    if (size == 0 || out.size() >= limit) return Read::ok;
  }
}

Wire::Read Wire::read_body(Request& request, uint64_t limit, uint64_t& bytes) {
  Read outcome = Read::ok;
  if (lower_case(request.header("transfer-encoding")) == "chunked") {
    outcome = read_chunked(request.body, limit);
  } else if (request.has_header("content-length")) {
    const std::string text = request.header("content-length");
    const uint64_t size = std::strtoull(text.c_str(), nullptr, 10);
    if (size > kMaxBodyBytes) return Read::malformed;
    request.body.resize(std::min(size, limit));
    if (!receive(request.body)) outcome = Read::closed;
  }
  bytes = request.body.size();
  return outcome;
}

bool Wire::send_continue() { return write_all(as_view("HTTP/1.1 100 Continue\r\n\r\n")); }

bool Wire::write_all(ByteView bytes, bool more) {
  size_t at = 0;
  while (at < bytes.size()) {
    size_t want = bytes.size() - at;
    if (out_.limited()) {
      want = std::min<size_t>(want, 64 * KiB);
      out_.take(want);
    }
    if (stop_.stopped()) return false;
    const ssize_t n = ::send(fd_, bytes.data() + at, want, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

bool Wire::send_body(const Response& response, S3Fault fault, uint64_t& bytes) {
  const uint64_t size = response.body_size();
  const uint64_t half = size / 2;
  const bool cut = fault == S3Fault::truncated_body || fault == S3Fault::reset_download;
  uint64_t at = 0;
  const auto piece = [&](ByteView view) {
    if (cut) view = view.first(std::min<uint64_t>(view.size(), half - at));
    Buffer damaged;
    const uint64_t bad = response.damage_at;
    if (fault == S3Fault::corrupted_body && at <= bad && bad < at + view.size()) {
      damaged = to_buffer(view);
      damaged[bad - at] ^= std::byte{16};
      view = damaged;
    }
    const size_t step = fault == S3Fault::slow_body
                            ? std::max<size_t>(slow_bytes_per_s_ * kSlowMs / 1000, 1)
                            : kSendBytes;
    for (size_t from = 0; from < view.size(); from += step) {
      const ByteView part = view.subspan(from, std::min(step, view.size() - from));
      if (!write_all(part)) return false;
      bytes += part.size();
      at += part.size();
      if (fault == S3Fault::slow_body) stop_.wait_ms(kSlowMs);
    }
    return !cut || at < half;
  };
  const bool whole = response.has_blob
                         ? response.blob.each(response.blob_offset, response.blob_length, piece)
                         : piece(as_view(response.text));
  if (fault == S3Fault::reset_download) {
    stop_.wait_ms(5);  // what was sent arrives before the reset does
    reset();
  }
  return whole && !cut;
}

bool Wire::send(const Response& response, S3Fault fault, int64_t now_ms, uint64_t& bytes) {
  bytes = 0;
  const bool bodiless = response.status == 204 || response.status == 304;
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(status_reason(response.status)) +
                     "\r\nDate: " + http_date(now_ms) + "\r\n";
  if (!response.foreign) head += "Server: AmazonS3\r\nx-amz-request-id: IMPOSTER\r\n";
  for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
  if (!bodiless) {
    const uint64_t length = response.head ? response.told_length : response.body_size();
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  }
  head += "\r\n";
  const bool body = !bodiless && !response.head && response.body_size() > 0;
  if (body && !response.has_blob && fault == S3Fault::none) {  // in one packet
    bytes = response.text.size();
    return write_all(as_view(head + response.text));
  }
  if (!write_all(as_view(head), body && fault == S3Fault::none)) return false;
  if (fault == S3Fault::hang_after_headers) {
    hang();
    return false;
  }
  return !body || send_body(response, fault, bytes);
}

void Wire::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

void Wire::hang() {
  while (!stop_.stopped()) {
    pollfd waiting{fd_, POLLRDHUP, 0};
    if (::poll(&waiting, 1, 50) != 0) return;  // the peer has gone
  }
}

}  // namespace coldshelf::test::imposter
