#include "uploader/cloud/url.h"

#include <charconv>

namespace coldshelf {

namespace {

Error malformed(const std::string& why) {
  return Error(ErrorCode::invalid_argument,
               "URL: " + why + "; expected http(s)://host[:port][/path]");
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

std::string Url::host_and_port() const {
  std::string out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  const uint16_t standard = tls() ? 443 : 80;
  if (port != 0 && port != standard) out += ":" + std::to_string(port);
  return out;
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return malformed("it has no scheme");
  url.scheme = text.substr(0, scheme_end);
  if (url.scheme != "http" && url.scheme != "https") return malformed("not http or https");
  text.remove_prefix(scheme_end + 3);
  for (const char c : text) {
    if (c <= ' ' || c == '\x7f') return malformed("white space or a control character in it");
  }
  const size_t authority_end = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, authority_end);
  url.path = text.substr(authority_end);
  if (!url.path.empty() && url.path[0] != '/') return malformed("'/' is missing after the host");
  if (authority.find('@') != std::string_view::npos) {
    return malformed("a user name or password has no place in it");
  }
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return malformed("']' is missing");
    url.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    if (url.host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos ||
        url.host.find(':') == std::string::npos) {
      return malformed("not an IPv6 address between the brackets");
    }
  } else {
    const size_t end = std::min(authority.find(':'), authority.size());
    for (const char c : authority.substr(0, end)) {
      const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      if (!is_host_character(low)) return malformed("a character that no host name has");
      url.host += low;
    }
    authority.remove_prefix(end);
  }
  if (url.host.empty()) return malformed("it has no host");
  if (!authority.empty()) {
    const char* begin = authority.data() + 1;
    const char* end = authority.data() + authority.size();
    const auto parsed = std::from_chars(begin, end, url.port);
    if (authority[0] != ':' || parsed.ec != std::errc() || parsed.ptr != end || url.port == 0) {
      return malformed("not a port after the host");
    }
  }
  return url;
}

}  // namespace coldshelf
