#include "tests/support/imposter/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>

namespace coldshelf::test::imposter {

namespace {

std::string hmac_sha256(const std::string& key, std::string_view text) {
  std::array<unsigned char, 32> out{};
  unsigned int n = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &n);
  return {reinterpret_cast<const char*>(out.data()), n};
}

std::string sha256_hex(std::string_view text) {
  std::array<std::byte, 32> out{};
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
             EVP_sha256(), nullptr);
  return to_hex(out);
}

bool parse_amz_date(const std::string& text, int64_t& unix_ms) {
  if (text.size() != 16) return false;
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (end == nullptr || *end != 0) return false;
  unix_ms = timegm(&parts) * 1000LL;
  return true;
}

std::string canonical_request(const HttpMessage& request, const Authorization& authorization,
                              const std::string& payload_hash) {
  // S3 takes the path as it is, all others encode what was sent once more.
  std::string path;
  decode_uri(request.raw_path, false, path);
  path = encode_uri(path, true);
  if (authorization.service != "s3") path = encode_uri(path, true);
  std::string text = request.method + "\n" + path + "\n";
  std::vector<std::string> query;
  for (const auto& [name, value] : request.query) {
    query.push_back(encode_uri(name, false) + "=" + encode_uri(value, false));
  }
  std::sort(query.begin(), query.end());
  for (size_t i = 0; i < query.size(); ++i) text += (i > 0 ? "&" : "") + query[i];
  text += "\n";
  std::string names;
  for (const std::string& name : authorization.signed_headers) {
    text += name + ":" + collapse(request.header(name)) + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  return text + "\n" + names + "\n" + payload_hash;
}

}  // namespace

std::string collapse(const std::string& value) {  // trimmed, runs of spaces as one
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  size_t from = 0;
  while (true) {
    const size_t to = text.find(at, from);
    out.push_back(text.substr(from, to - from));
    if (to == std::string::npos) return out;
    from = to + 1;
  }
}

bool parse_authorization(const std::string& text, Authorization& out) {
  const std::string algorithm = "AWS4-HMAC-SHA256 ";
  if (text.compare(0, algorithm.size(), algorithm) != 0) return false;
  std::map<std::string, std::string> fields;
  for (const std::string& item : split(text.substr(algorithm.size()), ',')) {
    const std::string field = collapse(item);
    const size_t equals = field.find('=');
    if (equals == std::string::npos) return false;
    fields[field.substr(0, equals)] = field.substr(equals + 1);
  }
  const std::vector<std::string> scope = split(fields["Credential"], '/');
  if (scope.size() < 5) return false;
  const size_t n = scope.size();
  out.terminator = scope[n - 1];
  out.service = scope[n - 2];
  out.region = scope[n - 3];
  out.date = scope[n - 4];
  out.access_key = scope[0];
  for (size_t i = 1; i + 4 < n; ++i) out.access_key += "/" + scope[i];
  out.signed_headers = split(fields["SignedHeaders"], ';');
  out.signature = fields["Signature"];
  return !out.signature.empty();
}

std::optional<SignatureProblem> check_scope(const HttpMessage& request, const Authorization& a,
                                            const SigningPlace& place, int64_t now_ms) {
  if (a.service != place.service || a.terminator != "aws4_request") {
    return SignatureProblem{SignatureFault::service, a.service};
  }
  if (a.region != place.region) return SignatureProblem{SignatureFault::region, a.region};
  int64_t signed_ms = 0;
  const std::string date = request.header("x-amz-date");
  if (!parse_amz_date(date, signed_ms)) return SignatureProblem{SignatureFault::no_date, date};
  if (std::abs(signed_ms - now_ms) > kMaxSkewMs) {
    return SignatureProblem{SignatureFault::skew, date};
  }
  if (date.compare(0, 8, a.date) != 0) return SignatureProblem{SignatureFault::scope_date, date};
  const auto is_signed = [&](const std::string& name) {
    return std::count(a.signed_headers.begin(), a.signed_headers.end(), name) == 1;
  };
  if (!std::is_sorted(a.signed_headers.begin(), a.signed_headers.end()) || !is_signed("host")) {
    return SignatureProblem{SignatureFault::signed_headers, ""};
  }
  for (const auto& [name, value] : request.headers) {
    const bool must = name.compare(0, 6, "x-amz-") == 0 || name == "content-md5";
    if (must && !is_signed(name)) return SignatureProblem{SignatureFault::unsigned_header, name};
  }
  return std::nullopt;
}

std::optional<SignatureProblem> check_signed(const HttpMessage& request, const Authorization& a,
                                             const Key& key, const std::string& payload_hash) {
  const std::string canonical = canonical_request(request, a, payload_hash);
  const std::string scope = a.date + "/" + a.region + "/" + a.service + "/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + request.header("x-amz-date") + "\n" + scope +
                              "\n" + sha256_hex(canonical);
  std::string derived = hmac_sha256("AWS4" + key.secret, a.date);
  for (const std::string& step : {a.region, a.service, std::string("aws4_request")}) {
    derived = hmac_sha256(derived, step);
  }
  if (to_hex(as_view(hmac_sha256(derived, to_sign))) != a.signature) {
    return SignatureProblem{SignatureFault::mismatch, canonical};
  }
  if (key.expired) return SignatureProblem{SignatureFault::expired, ""};
  if (request.header("x-amz-security-token") != key.session_token) {
    return SignatureProblem{SignatureFault::token, ""};
  }
  return std::nullopt;
}

}  // namespace coldshelf::test::imposter
