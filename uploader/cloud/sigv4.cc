#include "uploader/cloud/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/clock.h"
#include "uploader/cloud/http.h"

namespace coldshelf {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";

// A key on its way to the signature: wiped when it is no longer needed.
class Mac {
 public:
  Mac(ByteView key, std::string_view message) {
    unsigned length = 0;
    const unsigned char* done =
        HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(),
             reinterpret_cast<unsigned char*>(bytes_.data()), &length);
    CHECK(done != nullptr && length == bytes_.size());
  }
  Mac(const Mac&) = delete;
  Mac& operator=(const Mac&) = delete;
  ~Mac() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  ByteView view() const { return bytes_; }

 private:
  std::array<std::byte, 32> bytes_;
};

std::string hex_sha256(std::string_view text) { return to_hex(Sha256::of(as_view(text))); }

// 20261121T010203Z
std::string amz_date_of(int64_t unix_ms) {
  std::string out;
  for (const char c : format_utc(unix_ms)) {
    if (c == '.') break;
    if (c != '-' && c != ':') out += c;
  }
  return out + "Z";
}

std::string credential_scope(const SigningScope& scope, std::string_view amz_date) {
  return std::string(amz_date.substr(0, 8)) + "/" + scope.region + "/" + scope.service + "/" +
         std::string(kTerminator);
}

// RFC 3986 5.2.4, and runs of slashes become one.
std::string normalize(std::string_view path) {
  std::vector<std::string_view> parts;
  size_t at = 0;
  bool ends_in_slash = true;
  while (at < path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    ends_in_slash = end < path.size() || part.empty() || part == "." || part == "..";
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    at = end + 1;
  }
  std::string out;
  for (const std::string_view part : parts) out.append("/").append(part);
  if (ends_in_slash || out.empty()) out += '/';
  return out;
}

// White space at both ends goes, runs inside become one space.
std::string trim_all(std::string_view value) {
  std::string out;
  bool gap = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += c;
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view payload_hash_of(const SignedRequest& request) {
  static constexpr std::string_view kEmpty =
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  return request.payload_hash.empty() ? kEmpty : std::string_view(request.payload_hash);
}

}  // namespace

std::string encode_query(const std::vector<std::pair<std::string, std::string>>& query) {
  std::vector<std::pair<std::string, std::string>> encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) {
    encoded.emplace_back(percent_encode(name, false), percent_encode(value, false));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name + "=" + value;
  }
  return out;
}

std::string canonical_request(const SignedRequest& request, const SigningScope& scope,
                              std::string* signed_headers) {
  std::map<std::string, std::string> headers;
  headers["host"] = trim_all(request.host);
  for (const auto& [name, value] : request.headers) {
    auto [place, fresh] = headers.try_emplace(lower(name), trim_all(value));
    if (!fresh) place->second += "," + trim_all(value);
  }
  std::string names;
  std::string lines;
  for (const auto& [name, value] : headers) {
    if (!names.empty()) names += ';';
    names += name;
    lines += name + ":" + value + "\n";
  }
  const std::string path =
      scope.service == "s3" ? request.path : percent_encode(normalize(request.path), true);
  if (signed_headers != nullptr) *signed_headers = names;
  return request.method + "\n" + path + "\n" + encode_query(request.query) + "\n" + lines + "\n" +
         names + "\n" + std::string(payload_hash_of(request));
}

std::string string_to_sign(const std::string& canonical, const SigningScope& scope,
                           const std::string& amz_date) {
  return std::string(kAlgorithm) + "\n" + amz_date + "\n" + credential_scope(scope, amz_date) +
         "\n" + hex_sha256(canonical);
}

std::string signature_v4(const Credentials& credentials, const SigningScope& scope,
                         std::string_view amz_date, const std::string& to_sign) {
  std::string secret = "AWS4";
  secret.reserve(4 + credentials.secret_access_key.reveal().size());
  secret += credentials.secret_access_key.reveal();
  const Mac date_key(as_view(secret), amz_date.substr(0, 8));
  OPENSSL_cleanse(secret.data(), secret.size());
  const Mac region_key(date_key.view(), scope.region);
  const Mac service_key(region_key.view(), scope.service);
  const Mac signing_key(service_key.view(), kTerminator);
  return to_hex(Mac(signing_key.view(), to_sign).view());
}

std::vector<std::pair<std::string, std::string>> sign_v4(const SignedRequest& request,
                                                         const SigningScope& scope,
                                                         const Credentials& credentials,
                                                         int64_t unix_ms) {
  const std::string amz_date = amz_date_of(unix_ms);
  std::vector<std::pair<std::string, std::string>> added;
  added.emplace_back("x-amz-date", amz_date);
  if (!credentials.session_token.empty()) {
    added.emplace_back("x-amz-security-token", credentials.session_token);
  }
  if (scope.service == "s3") {
    added.emplace_back("x-amz-content-sha256", std::string(payload_hash_of(request)));
  }
  SignedRequest all = request;
  all.headers.insert(all.headers.end(), added.begin(), added.end());
  std::string signed_headers;
  const std::string canonical = canonical_request(all, scope, &signed_headers);
  const std::string to_sign = string_to_sign(canonical, scope, amz_date);
  added.emplace_back("authorization",
                     std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                         credential_scope(scope, amz_date) + ", SignedHeaders=" + signed_headers +
                         ", Signature=" + signature_v4(credentials, scope, amz_date, to_sign));
  return added;
}

}  // namespace coldshelf
