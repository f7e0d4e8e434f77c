#include "gateway/api/authenticator.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/sha256.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";
constexpr size_t kMaxSignedHeaders = 64;

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> out;
  while (true) {
    const size_t end = text.find(at);
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// "20261121T010203Z" as milliseconds since 1970.
bool parse_amz_date(std::string_view text, int64_t& unix_ms) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return false;
  int numbers[6] = {};
  constexpr std::pair<size_t, size_t> kFields[] = {{0, 4}, {4, 2},  {6, 2},
                                                   {9, 2}, {11, 2}, {13, 2}};
  for (size_t i = 0; i < 6; ++i) {
    const char* begin = text.data() + kFields[i].first;
    const char* end = begin + kFields[i].second;
    const auto [after, failed] = std::from_chars(begin, end, numbers[i]);
    if (failed != std::errc{} || after != end || numbers[i] < 0) return false;
  }
  const std::chrono::year_month_day day{std::chrono::year(numbers[0]),
                                        std::chrono::month(static_cast<unsigned>(numbers[1])),
                                        std::chrono::day(static_cast<unsigned>(numbers[2]))};
  if (!day.ok() || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 60) return false;
  const auto since = std::chrono::sys_days(day).time_since_epoch();
  unix_ms = (std::chrono::duration_cast<std::chrono::seconds>(since).count() + numbers[3] * 3'600 +
             numbers[4] * 60 + numbers[5]) *
            1'000;
  return true;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_query(const std::string& query) {
  std::vector<std::pair<std::string, std::string>> out;
  if (query.empty()) return out;
  for (const std::string& part : split(query, '&')) {
    const size_t equals = part.find('=');
    out.emplace_back(percent_decode(std::string_view(part).substr(0, equals)),
                     equals == std::string::npos
                         ? std::string()
                         : percent_decode(std::string_view(part).substr(equals + 1)));
  }
  return out;
}

// What an Authorization header says.
struct Claim {
  std::string access_key_id, date, signature;
  SigningScope scope;
  std::vector<std::string> signed_headers;
};

bool parse_claim(std::string_view header, Claim& out) {
  if (!header.starts_with(kAlgorithm)) return false;
  header.remove_prefix(kAlgorithm.size());
  std::string credential, names;
  for (const std::string& raw : split(header, ',')) {
    const std::string_view part = trimmed(raw);
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view name = part.substr(0, equals);
    const std::string value(part.substr(equals + 1));
    if (name == "Credential") credential = value;
    if (name == "SignedHeaders") names = value;
    if (name == "Signature") out.signature = value;
  }
  const auto parts = split(credential, '/');
  if (parts.size() != 5 || parts[4] != kTerminator || names.empty() || out.signature.empty()) {
    return false;
  }
  out.access_key_id = parts[0];
  out.date = parts[1];
  out.scope = {parts[2], parts[3]};
  out.signed_headers = split(names, ';');
  return out.signed_headers.size() <= kMaxSignedHeaders;
}

bool is_signed(const Claim& claim, std::string_view name) {
  return std::find(claim.signed_headers.begin(), claim.signed_headers.end(), name) !=
         claim.signed_headers.end();
}

std::string hash_of(std::string_view body) { return to_hex(Sha256::of(as_view(body))); }

AuthFailure incomplete(const std::string& what) { return {"IncompleteSignatureException", what}; }
AuthFailure invalid(const std::string& what) { return {"InvalidSignatureException", what}; }

// The parts of a claim that need no secret; none: they hold.
std::optional<AuthFailure> check_claim(const ApiRequest& request, const Claim& claim,
                                       std::string_view amz_date, int64_t now_ms) {
  if (claim.scope.service != kSigningService) {
    return invalid("Credential should be scoped to the service " + std::string(kSigningService) +
                   ", not " + claim.scope.service);
  }
  for (const char* needed : {"host", "x-amz-date"}) {
    if (!is_signed(claim, needed)) return incomplete(std::string(needed) + " must be signed");
  }
  // What is done is in this header: a signature that leaves it out could be used for anything.
  if (!request.amz_target.empty() && !is_signed(claim, "x-amz-target")) {
    return incomplete("x-amz-target must be signed");
  }
  int64_t signed_ms = 0;
  if (!parse_amz_date(amz_date, signed_ms) || claim.date != amz_date.substr(0, 8)) {
    return incomplete("x-amz-date is not the date of the credential's scope");
  }
  if (signed_ms > now_ms + kMaxClockSkewMs) {
    return invalid("Signature not yet current: " + std::string(amz_date) +
                   " is later than this gateway's clock, " + format_utc(now_ms));
  }
  if (signed_ms < now_ms - kMaxClockSkewMs) {
    return invalid("Signature expired: " + std::string(amz_date) +
                   " is earlier than this gateway's clock, " + format_utc(now_ms));
  }
  const std::string_view said = request.header("x-amz-content-sha256");
  if (!said.empty() && said != hash_of(request.body)) {
    return invalid("x-amz-content-sha256 is not the hash of the body");
  }
  return std::nullopt;
}

}  // namespace

bool Authenticator::verify(const ApiRequest& request, Principal& who, AuthFailure& why) const {
  const std::string_view header = request.header("authorization");
  if (header.empty()) {
    why = {"MissingAuthenticationTokenException", "Missing Authentication Token"};
    return false;
  }
  Claim claim;
  if (!parse_claim(header, claim)) {
    why = incomplete("the Authorization header is not one of AWS Signature Version 4");
    return false;
  }
  const std::string_view amz_date = request.header("x-amz-date");
  if (auto wrong = check_claim(request, claim, amz_date, clock_.unix_ms())) {
    why = std::move(*wrong);
    return false;
  }
  const auto found = keys_.find(claim.access_key_id);
  // Coldshelf gives out no session tokens.
  if (!found || !request.header("x-amz-security-token").empty()) {
    why = {"UnrecognizedClientException", "The security token included in the request is invalid."};
    return false;
  }
  SignedRequest plain;
  plain.method = request.method;
  plain.host = std::string(request.header("host"));
  plain.path = request.path;
  plain.query = parse_query(request.query);
  plain.payload_hash = hash_of(request.body);
  for (const std::string& name : claim.signed_headers) {
    if (name == "host") continue;
    for (const auto& [given, value] : request.headers) {
      if (given == name) plain.headers.emplace_back(given, value);
    }
  }
  std::string names;
  const std::string canonical = canonical_request(plain, claim.scope, &names);
  Credentials credentials;
  credentials.access_key_id = claim.access_key_id;
  credentials.secret_access_key = found->secret;
  const std::string expected =
      signature_v4(credentials, claim.scope, amz_date,
                   string_to_sign(canonical, claim.scope, std::string(amz_date)));
  if (!constant_time_equal(as_view(expected), as_view(claim.signature))) {
    why = invalid(
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method.");
    return false;
  }
  who = {found->user, found->role, claim.access_key_id};
  return true;
}

bool Authenticator::check_secret(std::string_view access_key_id, std::string_view secret,
                                 Principal& who) const {
  const auto found = keys_.find(access_key_id);
  if (!found) return false;
  if (!constant_time_equal(found->secret.reveal_bytes(), as_view(secret))) return false;
  who = {found->user, found->role, std::string(access_key_id)};
  return true;
}

bool Authenticator::verify_basic(const ApiRequest& request, Principal& who) const {
  std::string_view header = request.header("authorization");
  if (!header.starts_with("Basic ")) return false;
  header.remove_prefix(6);
  Buffer plain;
  if (!from_base64(header, plain)) return false;
  const std::string_view text = as_text(plain);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  return check_secret(text.substr(0, colon), text.substr(colon + 1), who);
}

}  // namespace coldshelf
