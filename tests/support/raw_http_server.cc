#include "tests/support/raw_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/check.h"

namespace coldshelf::test {

namespace {
constexpr size_t kReadBytes = 64 * 1024;
}

std::string RawConnection::read_head() {
  std::array<char, kReadBytes> piece;
  size_t end = 0;
  while ((end = buffered_.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t n = recv(fd_, piece.data(), piece.size(), 0);
    if (n <= 0) return {};
    buffered_.append(piece.data(), static_cast<size_t>(n));
  }
  std::string head = buffered_.substr(0, end + 4);
  buffered_.erase(0, end + 4);
  return head;
}

RawConnection::Request RawConnection::read_request() {
  Request request;
  request.head = read_head();
  const size_t at = request.head.find("Content-Length: ");
  if (at == std::string::npos) return request;
  const auto length =
      static_cast<size_t>(std::strtoull(request.head.c_str() + at + 16, nullptr, 10));
  std::array<char, kReadBytes> piece;
  while (buffered_.size() < length) {
    const ssize_t n = recv(fd_, piece.data(), piece.size(), 0);
    if (n <= 0) break;
    buffered_.append(piece.data(), static_cast<size_t>(n));
  }
  request.body = buffered_.substr(0, length);
  buffered_.erase(0, length);
  return request;
}

void RawConnection::send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void RawConnection::reset() {
  const linger abort{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

void RawConnection::wait_for_peer() {
  std::array<char, kReadBytes> piece;
  while (recv(fd_, piece.data(), piece.size(), 0) > 0) {
  }
}

RawHttpServer::RawHttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listener_ >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(listen(listener_, 64) == 0);
  CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

void RawHttpServer::accept_all() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      close(fd);
      return;
    }
    const auto number = static_cast<unsigned>(handlers_.size());
    open_.push_back(fd);
    handlers_.emplace_back([this, fd, number] {
      RawConnection connection(fd, number);
      handler_(connection);
      const std::lock_guard done(mutex_);
      std::erase(open_, fd);
      close(fd);
    });
  }
}

unsigned RawHttpServer::connections() {
  const std::lock_guard lock(mutex_);
  return static_cast<unsigned>(handlers_.size());
}

RawHttpServer::~RawHttpServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : handlers_) thread.join();
  close(listener_);
}

}  // namespace coldshelf::test
