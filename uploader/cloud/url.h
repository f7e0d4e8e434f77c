// "https://host[:port][/path]": where a service is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coldshelf {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; an IPv6 address without its brackets
  uint16_t port = 0;   // 0: the scheme's
  std::string path;    // with its query, as given; "" or begins with '/'

  bool tls() const { return scheme == "https"; }
  std::string host_and_port() const;  // as a Host header has it
  std::string origin() const { return scheme + "://" + host_and_port(); }
  std::string path_or_root() const { return path.empty() ? "/" : path; }
};

// invalid_argument; user names and passwords are refused, and never repeated in the message.
Result<Url> parse_url(std::string_view text);

}  // namespace coldshelf
