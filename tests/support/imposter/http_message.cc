#include "tests/support/imposter/http_message.h"

#include <algorithm>
#include <boost/beast/http.hpp>
#include <ctime>

namespace coldshelf::test::imposter {

namespace http = boost::beast::http;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string HttpMessage::header(const std::string& lower_case_name) const {
  const auto it = headers.find(lower_case_name);
  return it == headers.end() ? "" : it->second;
}

std::string HttpMessage::query_value(const std::string& name) const {
  const auto it = query.find(name);
  return it == query.end() ? "" : it->second;
}

bool parse_head(std::string_view head, HttpMessage& request, std::string& target) {
  http::request_parser<http::empty_body> parser;
  parser.body_limit(boost::none);
  parser.header_limit(kMaxHeadBytes);
  boost::beast::error_code error;
  const size_t used = parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error || used != head.size() || !parser.is_header_done()) return false;
  const auto& parsed = parser.get();
  request.method = std::string(parsed.method_string());
  target = std::string(parsed.target());
  for (const auto& field : parsed) {
    std::string& value = request.headers[lower_case(
        std::string_view(field.name_string().data(), field.name_string().size()))];
    if (!value.empty()) value += ",";
    value += std::string(field.value());
  }
  request.host = request.header("host");
  return true;
}

std::string split_target(const std::string& target, HttpMessage& request) {
  const size_t mark = target.find('?');
  request.raw_path = target.substr(0, mark);
  if (request.raw_path.empty() || request.raw_path[0] != '/') return "the path is not absolute";
  if (mark == std::string::npos) return "";
  return parse_form(std::string_view(target).substr(mark + 1), request.query);
}

std::string parse_form(std::string_view rest, std::map<std::string, std::string>& out) {
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    std::string name;
    std::string value;
    if (!decode_uri(pair.substr(0, equals), true, name)) return "bad %-encoding";
    if (equals != std::string_view::npos && !decode_uri(pair.substr(equals + 1), true, value)) {
      return "bad %-encoding";
    }
    if (!out.emplace(name, value).second) return "parameter " + name + " twice";
  }
  return "";
}

std::string_view status_reason(int status) {
  const auto known = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {known.data(), known.size()};
}

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string element(std::string_view name, std::string_view text) {
  std::string out = "<";
  out.append(name).append(">").append(escape_xml(text)).append("</").append(name).append(">");
  return out;
}

std::string encode_uri(std::string_view text, bool keep_slashes) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || (keep_slashes && c == '/');
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[u >> 4U];
      out += kHex[u & 15U];
    }
  }
  return out;
}

bool decode_uri(std::string_view text, bool plus_is_space, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      Buffer byte;
      if (i + 2 >= text.size() || !from_hex(text.substr(i + 1, 2), byte)) return false;
      out += static_cast<char>(byte[0]);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return true;
}

std::string http_date(int64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t n = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, n};
}

}  // namespace coldshelf::test::imposter
