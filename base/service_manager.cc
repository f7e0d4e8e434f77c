#include "base/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace coldshelf {

namespace {

constexpr size_t kMostValueBytes = 32 * 1024;
constexpr size_t kMostNameBytes = 64;

// Length of the address; 0: the path does not fit. "@name" is in the abstract name space.
socklen_t address_of(std::string_view path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return 0;
  std::copy(path.begin(), path.end(), address.sun_path);
  if (path.front() == '@') address.sun_path[0] = 0;
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
}

}  // namespace

bool notify_service_manager(std::string_view state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return false;
  sockaddr_un address{};
  const socklen_t length = address_of(path, address);
  if (length == 0) return false;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const ssize_t sent = ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), length);  // NOLINT
  ::close(fd);
  return sent == static_cast<ssize_t>(state.size());
}

std::string journal_field_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (out.size() >= kMostNameBytes) break;
    const bool lower = c >= 'a' && c <= 'z';
    const bool upper = c >= 'A' && c <= 'Z';
    const bool digit = c >= '0' && c <= '9';
    if (out.empty() && !lower && !upper) continue;
    out += lower ? static_cast<char>(c - 'a' + 'A') : upper || digit ? c : '_';
  }
  return out;
}

std::string encode_journal_entry(const JournalFields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    if (name.empty()) continue;
    const std::string_view kept = std::string_view(value).substr(0, kMostValueBytes);
    out += name;
    if (kept.find('\n') == std::string_view::npos) {
      out += '=';
    } else {
      out += '\n';
      for (unsigned shift = 0; shift < 64; shift += 8) {
        out += static_cast<char>((uint64_t{kept.size()} >> shift) & 0xFF);
      }
    }
    out += kept;
    out += '\n';
  }
  return out;
}

JournalSocket::~JournalSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Status JournalSocket::open(const std::string& path) {
  sockaddr_un address{};
  const socklen_t length = address_of(path, address);
  if (length == 0) return Error(ErrorCode::invalid_argument, "no socket can be at " + path);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return error_from_errno(errno, "making a socket for the journal");
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) {  // NOLINT
    const int why = errno;
    ::close(fd);
    return error_from_errno(why, "reaching the journal at " + path);
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  return {};
}

bool JournalSocket::send(const JournalFields& fields) const {
  if (fd_ < 0) return false;
  const std::string entry = encode_journal_entry(fields);
  while (true) {
    const ssize_t sent = ::send(fd_, entry.data(), entry.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(entry.size())) return true;
    if (sent < 0 && errno == EINTR) continue;
    return false;
  }
}

}  // namespace coldshelf
