// An HTTP request as it came in, and the texts servers of tests make their answers of. Knows no
// service: the S3 imposter and the EBS stand-in share it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace coldshelf::test::imposter {

using Headers = std::map<std::string, std::string>;  // names in lower case

struct HttpMessage {
  std::string method;
  std::string raw_path;                      // as sent, without the query
  std::map<std::string, std::string> query;  // decoded
  std::string host;
  Headers headers;
  Buffer body;  // as it arrives: without transfer codings

  std::string header(const std::string& lower_case_name) const;  // "" when absent
  bool has_header(const std::string& name) const { return headers.count(name) != 0; }
  bool has_query(const std::string& name) const { return query.count(name) != 0; }
  std::string query_value(const std::string& name) const;
};

constexpr size_t kMaxHeadBytes = 32 * KiB;

// Method, host and headers of `head`, which ends with its empty line; the target as sent. False:
// not HTTP.
bool parse_head(std::string_view head, HttpMessage& request, std::string& target);
// Path and decoded query of the target. "" or what is wrong.
std::string split_target(const std::string& target, HttpMessage& request);
// "a=1&b=2", decoded, into `out`. "" or what is wrong.
std::string parse_form(std::string_view text, std::map<std::string, std::string>& out);
std::string_view status_reason(int status);

std::string lower_case(std::string_view text);
std::string escape_xml(std::string_view text);
std::string element(std::string_view name, std::string_view text);  // escaped
std::string encode_uri(std::string_view text, bool keep_slashes);
bool decode_uri(std::string_view text, bool plus_is_space, std::string& out);
std::string http_date(int64_t unix_ms);  // RFC 7231: Sun, 06 Nov 1994 ...

}  // namespace coldshelf::test::imposter
