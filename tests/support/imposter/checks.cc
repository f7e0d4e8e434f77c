#include "tests/support/imposter/checks.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

namespace coldshelf::test::imposter {

namespace {

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

// In S3's words.
Response refuse(const SignatureProblem& problem, const HttpMessage& request,
                const std::string& region, int64_t now_ms) {
  switch (problem.fault) {
    case SignatureFault::service:
      return error_response("AuthorizationHeaderMalformed", "the credential's scope is not S3's");
    case SignatureFault::region:
      return error_response("AuthorizationHeaderMalformed",
                            "The authorization header is malformed; the region '" + problem.detail +
                                "' is wrong; expecting '" + region + "'",
                            element("Region", region));
    case SignatureFault::no_date:
      return error_response("AccessDenied", "AWS authentication requires a valid x-amz-date");
    case SignatureFault::skew:
      return error_response(
          "RequestTimeTooSkewed",
          "The difference between the request time and the current time is too large.",
          element("RequestTime", request.header("x-amz-date")) +
              element("ServerTime", format_utc(now_ms)) +
              element("MaxAllowedSkewMilliseconds", std::to_string(kMaxSkewMs)));
    case SignatureFault::scope_date:
      return error_response("SignatureDoesNotMatch", "the scope's date is not x-amz-date's");
    case SignatureFault::signed_headers:
      return error_response("SignatureDoesNotMatch", "SignedHeaders: host missing, or not sorted");
    case SignatureFault::unsigned_header:
      return error_response("AccessDenied",
                            "There were headers present in the request which were not signed",
                            element("HeadersNotSigned", problem.detail));
    case SignatureFault::mismatch:
      return error_response("SignatureDoesNotMatch",
                            "The request signature we calculated does not match",
                            element("CanonicalRequest", problem.detail));
    case SignatureFault::expired:
      return error_response("ExpiredToken", "The provided token has expired.");
    case SignatureFault::token:
      break;
  }
  return error_response("InvalidToken", "The provided token is malformed or invalid.");
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
  if (const auto problem = check_scope(request, a, {"s3", region}, now_ms)) {
    return refuse(*problem, request, region, now_ms);
  }
  if (!request.has_header("x-amz-content-sha256")) {
    return error_response("InvalidRequest",
                          "Missing required header for this request: x-amz-content-sha256");
  }
  const std::string payload_hash = request.header("x-amz-content-sha256");
  if (const auto problem = check_signed(request, a, key->second, payload_hash)) {
    return refuse(*problem, request, region, now_ms);
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
