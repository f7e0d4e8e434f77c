#include "tests/support/imposter/checks.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <memory>

namespace coldshelf::test::imposter {

namespace {

constexpr int64_t kMaxSkewMs = 15LL * 60 * 1000;

std::string hmac_sha256(const std::string& key, std::string_view text) {
  std::array<unsigned char, 32> out{};
  unsigned int n = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &n);
  return {reinterpret_cast<const char*>(out.data()), n};
}

std::string hash(const EVP_MD* kind, const Blob& bytes) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), kind, nullptr);
  bytes.each(0, bytes.size(), [&](ByteView view) {
    EVP_DigestUpdate(context.get(), view.data(), view.size());
    return true;
  });
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int n = 0;
  EVP_DigestFinal_ex(context.get(), out.data(), &n);
  return {reinterpret_cast<const char*>(out.data()), n};
}

std::string hash(const EVP_MD* kind, ByteView bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int n = 0;
  EVP_Digest(bytes.data(), bytes.size(), out.data(), &n, kind, nullptr);
  return {reinterpret_cast<const char*>(out.data()), n};
}

// Reflected CRCs, eight bytes at a time.
template <typename Word>
class Crc {
 public:
  explicit Crc(Word polynomial) {
    for (size_t i = 0; i < 256; ++i) {
      Word value = static_cast<Word>(i);
      for (int bit = 0; bit < 8; ++bit) {
        value = (value & 1U) != 0 ? (value >> 1U) ^ polynomial : value >> 1U;
      }
      table_[0][i] = value;
    }
    for (size_t row = 1; row < 8; ++row) {
      for (size_t i = 0; i < 256; ++i) {
        const Word before = table_[row - 1][i];
        table_[row][i] = (before >> 8U) ^ table_[0][before & 255U];
      }
    }
  }
  Word update(Word state, ByteView bytes) const {
    size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, 8);
      word ^= state;
      Word next = 0;
      for (size_t i = 0; i < 8; ++i) next ^= table_[7 - i][(word >> (8 * i)) & 255U];
      state = next;
    }
    for (; at < bytes.size(); ++at) {
      state = static_cast<Word>(state >> 8U) ^
              table_[0][(state ^ std::to_integer<Word>(bytes[at])) & 255U];
    }
    return state;
  }

 private:
  std::array<std::array<Word, 256>, 8> table_{};
};

template <typename Word>
std::string crc(Word polynomial, const Blob& bytes) {
  const Crc<Word> table(polynomial);
  Word state = static_cast<Word>(~Word{0});
  bytes.each(0, bytes.size(), [&](ByteView view) {
    state = table.update(state, view);
    return true;
  });
  state = static_cast<Word>(~state);
  std::string out;
  for (size_t i = sizeof(Word); i-- > 0;) out += static_cast<char>((state >> (8 * i)) & 255U);
  return out;
}

std::optional<std::string> raw_checksum(const std::string& name, const Blob& bytes) {
  if (name == "crc32") return crc<uint32_t>(0xedb88320U, bytes);
  if (name == "crc32c") return crc<uint32_t>(0x82f63b78U, bytes);
  if (name == "crc64nvme") return crc<uint64_t>(0x9a6c9329ac4bc9b5U, bytes);
  if (name == "sha1") return hash(EVP_sha1(), bytes);
  if (name == "sha256") return hash(EVP_sha256(), bytes);
  return std::nullopt;
}

std::string collapse(const std::string& value) {  // trimmed, runs of spaces as one
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

bool parse_amz_date(const std::string& text, int64_t& unix_ms) {
  if (text.size() != 16) return false;
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (end == nullptr || *end != 0) return false;
  unix_ms = timegm(&parts) * 1000LL;
  return true;
}

struct Authorization {
  std::string access_key, date, region, service, terminator;
  std::vector<std::string> signed_headers;
  std::string signature;
};

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

std::string canonical_request(const Request& request, const Authorization& authorization) {
  std::string path;
  decode_uri(request.raw_path, false, path);
  std::string text = request.method + "\n" + encode_uri(path, true) + "\n";
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
  return text + "\n" + names + "\n" + request.header("x-amz-content-sha256");
}

std::optional<Response> check_scope(const Request& request, const Authorization& a,
                                    const std::string& region, int64_t now_ms) {
  if (a.service != "s3" || a.terminator != "aws4_request") {
    return error_response("AuthorizationHeaderMalformed", "the credential's scope is not S3's");
  }
  if (a.region != region) {
    return error_response("AuthorizationHeaderMalformed",
                          "The authorization header is malformed; the region '" + a.region +
                              "' is wrong; expecting '" + region + "'",
                          element("Region", region));
  }
  int64_t signed_ms = 0;
  const std::string date = request.header("x-amz-date");
  if (!parse_amz_date(date, signed_ms)) {
    return error_response("AccessDenied", "AWS authentication requires a valid x-amz-date");
  }
  if (std::abs(signed_ms - now_ms) > kMaxSkewMs) {
    return error_response(
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        element("RequestTime", date) + element("ServerTime", format_utc(now_ms)) +
            element("MaxAllowedSkewMilliseconds", std::to_string(kMaxSkewMs)));
  }
  if (date.compare(0, 8, a.date) != 0) {
    return error_response("SignatureDoesNotMatch", "the scope's date is not x-amz-date's");
  }
  const auto is_signed = [&](const std::string& name) {
    return std::count(a.signed_headers.begin(), a.signed_headers.end(), name) == 1;
  };
  if (!std::is_sorted(a.signed_headers.begin(), a.signed_headers.end()) || !is_signed("host")) {
    return error_response("SignatureDoesNotMatch", "SignedHeaders: host missing, or not sorted");
  }
  for (const auto& [name, value] : request.headers) {
    const bool must = name.compare(0, 6, "x-amz-") == 0 || name == "content-md5";
    if (must && !is_signed(name)) {
      return error_response("AccessDenied",
                            "There were headers present in the request which were not signed",
                            element("HeadersNotSigned", name));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Response> check_signature(const Request& request,
                                        const std::map<std::string, Key>& keys,
                                        const std::string& region, int64_t now_ms) {
  Authorization a;
  if (!request.has_header("authorization")) {
    return error_response("AccessDenied", "Anonymous access is forbidden");
  }
  if (!parse_authorization(request.header("authorization"), a)) {
    return error_response("AuthorizationHeaderMalformed", "not an AWS4-HMAC-SHA256 header");
  }
  const auto key = keys.find(a.access_key);
  if (key == keys.end()) {
    return error_response("InvalidAccessKeyId", "The access key Id does not exist");
  }
  if (auto wrong = check_scope(request, a, region, now_ms)) return wrong;
  if (!request.has_header("x-amz-content-sha256")) {
    return error_response("InvalidRequest",
                          "Missing required header for this request: x-amz-content-sha256");
  }
  const std::string canonical = canonical_request(request, a);
  const std::string scope = a.date + "/" + region + "/s3/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + request.header("x-amz-date") + "\n" + scope +
                              "\n" + to_hex(as_view(hash(EVP_sha256(), as_view(canonical))));
  std::string derived = hmac_sha256("AWS4" + key->second.secret, a.date);
  for (const std::string& step : {region, std::string("s3"), std::string("aws4_request")}) {
    derived = hmac_sha256(derived, step);
  }
  if (to_hex(as_view(hmac_sha256(derived, to_sign))) != a.signature) {
    return error_response("SignatureDoesNotMatch",
                          "The request signature we calculated does not match",
                          element("CanonicalRequest", canonical));
  }
  if (key->second.expired) return error_response("ExpiredToken", "The provided token has expired.");
  if (request.header("x-amz-security-token") != key->second.session_token) {
    return error_response("InvalidToken", "The provided token is malformed or invalid.");
  }
  return std::nullopt;
}

std::optional<std::string> checksum_of(const std::string& name, const Blob& bytes) {
  const auto raw = raw_checksum(name, bytes);
  if (!raw) return std::nullopt;
  return to_base64(as_view(*raw));
}

std::string raw_checksum_to_composite(const std::string& name,
                                      const std::vector<std::string>& base64_of_parts) {
  Buffer all;
  for (const std::string& part : base64_of_parts) {
    Buffer raw;
    from_base64(part, raw);
    append(all, raw);
  }
  return checksum_of(name, Blob::in_memory(std::move(all))).value_or("") + "-" +
         std::to_string(base64_of_parts.size());
}

std::string md5_hex(const Blob& bytes) { return to_hex(as_view(hash(EVP_md5(), bytes))); }

std::optional<Response> decode_aws_chunked(Request& request) {
  const Response malformed =
      error_response("IncompleteBody", "The aws-chunked body is malformed or incomplete");
  const std::string declared = request.header("x-amz-decoded-content-length");
  if (declared.empty()) {
    return error_response("MissingContentLength", "You must provide the decoded length");
  }
  Buffer& body = request.body;
  size_t in = 0;
  size_t out = 0;
  const auto line = [&](std::string& text) {
    const std::string_view rest = as_text(ByteView(body).subspan(in));
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return false;
    text = rest.substr(0, end);
    in += end + 2;
    return true;
  };
  std::string text;
  while (true) {
    if (!line(text) || text.empty() || text.find(';') != std::string::npos) return malformed;
    char* end = nullptr;
    const uint64_t size = std::strtoull(text.c_str(), &end, 16);
    if (*end != 0) return malformed;
    if (size == 0) break;
    if (in + size + 2 > body.size()) return malformed;
    std::memmove(body.data() + out, body.data() + in, size);
    out += size;
    in += size;
    if (!line(text) || !text.empty()) return malformed;
  }
  while (true) {
    if (!line(text)) return malformed;
    if (text.empty()) break;
    const size_t colon = text.find(':');
    if (colon == std::string::npos) return malformed;
    request.trailers[text.substr(0, colon)] = collapse(text.substr(colon + 1));
  }
  if (in != body.size() || std::to_string(out) != declared) return malformed;
  body.resize(out);
  for (const std::string& name : split(request.header("x-amz-trailer"), ',')) {
    if (!name.empty() && request.trailers.count(collapse(name)) == 0) {
      return error_response("MalformedTrailerError", "a trailer that was announced is missing");
    }
  }
  return std::nullopt;
}

std::optional<Response> check_body(const Request& request, const ImposterSupport& support,
                                   Headers& verified) {
  const std::string payload = request.header("x-amz-content-sha256");
  if (payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    if (request.trailers.empty()) {
      return error_response("InvalidRequest", "a streaming payload without its trailer");
    }
  } else if (payload.compare(0, 10, "STREAMING-") == 0) {
    return error_response("NotImplemented", "signed chunks are not done here");
  } else if (payload != "UNSIGNED-PAYLOAD") {
    if (payload.size() != 64) {
      return error_response("InvalidArgument", "x-amz-content-sha256 is not a digest");
    }
    if (support.payload_hashes && to_hex(as_view(hash(EVP_sha256(), request.content))) != payload) {
      return error_response("XAmzContentSHA256Mismatch",
                            "The provided 'x-amz-content-sha256' header does not match");
    }
  }
  if (request.has_header("content-md5") && support.content_md5) {
    Buffer md5;
    if (!from_base64(request.header("content-md5"), md5) || md5.size() != 16) {
      return error_response("InvalidDigest", "The Content-MD5 you specified is not valid");
    }
    if (to_hex(as_view(hash(EVP_md5(), request.content))) != to_hex(md5)) {
      return error_response("BadDigest", "The Content-MD5 you specified did not match");
    }
  }
  if (support.checksums == S3Support::ignored) return std::nullopt;
  // On CompleteMultipartUpload the header is of the whole object, not of the request's body.
  if (request.operation == S3Operation::complete_multipart) return std::nullopt;
  const std::string prefix = "x-amz-checksum-";
  Headers all = request.headers;
  all.insert(request.trailers.begin(), request.trailers.end());
  for (const auto& [name, value] : all) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string algorithm = name.substr(prefix.size());
    if (algorithm == "mode" || algorithm == "type" || algorithm == "algorithm") continue;
    if (support.checksums == S3Support::refused) return error_response("NotImplemented", name);
    std::optional<std::string> real;
    if (algorithm == "sha256" && payload.size() == 64 && support.payload_hashes) {
      Buffer raw;  // computed above, and equal to it
      from_hex(payload, raw);
      real = to_base64(raw);
    } else {
      real = checksum_of(algorithm, request.content);
    }
    if (!real) return error_response("InvalidRequest", name + " is no known checksum");
    if (!verified.empty()) {
      return error_response("InvalidRequest", "Expecting a single x-amz-checksum- header");
    }
    if (*real != value) {
      return error_response("BadDigest", "The " + name + " you specified did not match");
    }
    verified[name] = value;
  }
  return std::nullopt;
}

}  // namespace coldshelf::test::imposter
