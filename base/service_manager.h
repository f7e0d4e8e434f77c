// What a daemon tells systemd: that it is ready, and log records with their fields. Both are
// datagrams to a Unix socket, so that no library is needed. Outside systemd nothing happens.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace coldshelf {

// sd_notify(3): "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...". False: nobody asked for it
// ($NOTIFY_SOCKET is not set), or it was not sent.
bool notify_service_manager(std::string_view state);

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

// Journal's native protocol (systemd's "Native Journal Protocol"): each field a line NAME=value,
// or, where the value has a line feed, the name, its length in 8 little-endian bytes, and the
// bytes.
using JournalFields = std::vector<std::pair<std::string, std::string>>;
std::string encode_journal_entry(const JournalFields& fields);
// As the journal wants names: A-Z, 0-9 and '_', not beginning with '_' or a digit, at most 64.
std::string journal_field_name(std::string_view name);

// One socket for the life of the process; thread-safe. An entry that does not fit into a datagram
// is shortened, as nobody needs a log line of a megabyte.
class JournalSocket {
 public:
  JournalSocket() = default;
  ~JournalSocket();
  JournalSocket(const JournalSocket&) = delete;
  JournalSocket& operator=(const JournalSocket&) = delete;

  Status open(const std::string& path = kJournalSocket);
  bool is_open() const { return fd_ >= 0; }
  bool send(const JournalFields& fields) const;

 private:
  int fd_ = -1;
};

}  // namespace coldshelf
