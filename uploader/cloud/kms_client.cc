#include "uploader/cloud/kms_client.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxAnswerBytes = 64 * KiB;
constexpr int64_t kFirstPauseMs = 250;
constexpr int64_t kSkewMs = 60'000;  // less than this is not why a signature was refused

struct KnownError {
  std::string_view name;
  ErrorCode code;
};
constexpr std::array<KnownError, 12> kErrors = {{
    {"AccessDeniedException", ErrorCode::permission},
    {"UnrecognizedClientException", ErrorCode::permission},
    {"InvalidSignatureException", ErrorCode::permission},
    {"NotFoundException", ErrorCode::key_missing},
    {"DisabledException", ErrorCode::key_missing},
    {"KMSInvalidStateException", ErrorCode::key_missing},
    {"IncorrectKeyException", ErrorCode::key_mismatch},
    {"InvalidCiphertextException", ErrorCode::corrupt},
    {"KeyUnavailableException", ErrorCode::unavailable},
    {"KMSInternalException", ErrorCode::unavailable},
    {"DependencyTimeoutException", ErrorCode::unavailable},
    {"ThrottlingException", ErrorCode::unavailable},
}};

std::string string_of(const Json& json, const char* name) {
  if (!json.is_object()) return {};
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// "com.amazonaws.kms#NotFoundException:http://..." -> "NotFoundException"
std::string error_name(const HttpResponse& response, const Json& body) {
  std::string name = string_of(body, "__type");
  if (name.empty()) name = response.header("x-amzn-errortype");
  name = name.substr(0, name.find(':'));
  const size_t hash = name.find('#');
  return hash == std::string::npos ? name : name.substr(hash + 1);
}

ErrorCode code_of(int status, const std::string& name) {
  for (const KnownError& known : kErrors) {
    if (name == known.name) return known.code;
  }
  if (status >= 500 || status == 429) return ErrorCode::unavailable;
  return status == 403 ? ErrorCode::permission : ErrorCode::invalid_argument;
}

bool is_about_expired_credentials(const std::string& name) {
  return name == "ExpiredTokenException" || name == "ExpiredToken";
}

bool is_about_the_signature(const std::string& name) {
  return name == "InvalidSignatureException" || name == "SignatureDoesNotMatch" ||
         name == "RequestExpired" || name == "RequestTimeTooSkewed";
}

Json context_json(const KmsContext& context) {
  Json out = Json::object();
  for (const auto& [name, value] : context) out[name] = value;
  return out;
}

Error malformed(const std::string& operation) {
  return Error(ErrorCode::unavailable, "KMS " + operation + ": the answer makes no sense");
}

Result<Buffer> bytes_of(const Json& json, const char* name, const std::string& operation) {
  std::string text = string_of(json, name);
  Buffer out;
  const bool good = !text.empty() && from_base64(text, out);
  OPENSSL_cleanse(text.data(), text.size());
  if (!good) return malformed(operation);
  return out;
}

Result<Secret> secret_of(const Json& json, const char* name, const std::string& operation) {
  ASSIGN_OR_RETURN(Buffer bytes, bytes_of(json, name, operation));
  Secret out{ByteView(bytes)};
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return out;
}

}  // namespace

struct KmsClient::Answer {
  HttpResponse response;
  std::string error;  // KMS's name of it; "" when there is none
  std::string message;
};

KmsClient::KmsClient(Options options, std::shared_ptr<Clock> clock,
                     std::shared_ptr<HttpTransport> transport,
                     std::shared_ptr<CredentialsProvider> credentials)
    : options_([](Options o) {
        if (o.endpoint.empty()) o.endpoint = aws_endpoint("kms", o.region);
        o.attempts = std::max(o.attempts, 1U);
        return o;
      }(std::move(options))),
      clock_(std::move(clock)),
      transport_(std::move(transport)),
      credentials_(std::move(credentials)) {}

bool KmsClient::learn_clock(const HttpResponse& response) {
  const std::string date(response.header("date"));
  const time_t theirs = date.empty() ? -1 : curl_getdate(date.c_str(), nullptr);
  if (theirs < 0) return false;
  const int64_t offset = int64_t{theirs} * 1000 - clock_->unix_ms();
  if (std::abs(offset - clock_offset_ms_) < kSkewMs) return false;
  clock_offset_ms_ = offset;
  return true;
}

Result<KmsClient::Answer> KmsClient::once(const std::string& operation, const std::string& body) {
  ASSIGN_OR_RETURN(const Url url, parse_url(options_.endpoint));
  ASSIGN_OR_RETURN(const Credentials credentials, credentials_->get());
  HttpRequest request;
  request.method = "POST";
  request.url = url.origin() + url.path_or_root();
  request.headers = {{"content-type", "application/x-amz-json-1.1"},
                     {"x-amz-target", "TrentService." + operation}};
  request.body = as_view(body);
  request.max_body_bytes = kMaxAnswerBytes;
  request.total_timeout_ms = options_.timeout_ms;
  SignedRequest to_sign;
  to_sign.method = request.method;
  to_sign.host = url.host_and_port();
  to_sign.path = url.path_or_root();
  to_sign.headers = request.headers;
  to_sign.payload_hash = to_hex(Sha256::of(as_view(body)));
  const auto added =
      sign_v4(to_sign, {options_.region, "kms"}, credentials, clock_->unix_ms() + clock_offset_ms_);
  request.headers.insert(request.headers.end(), added.begin(), added.end());
  auto response = transport_->perform(request);
  if (!response.ok()) {
    return error_of_transport("KMS (" + url.host_and_port() + ") " + operation, response.error());
  }
  Answer answer;
  answer.response = std::move(*response);
  if (answer.response.status == 200) return answer;
  const Json json = Json::parse(as_text(answer.response.body), nullptr, false);
  answer.error = error_name(answer.response, json);
  answer.message = string_of(json, "message");
  if (answer.message.empty()) answer.message = string_of(json, "Message");
  return answer;
}

Result<Buffer> KmsClient::call(const std::string& operation, const std::string& body) {
  bool renewed = false;
  bool clock_learnt = false;
  for (unsigned attempt = 1;; ++attempt) {
    auto answer = once(operation, body);
    Error error;
    if (answer.ok()) {
      if (answer->response.status == 200) return std::move(answer->response.body);
      // Each of them once, and neither counts as an attempt.
      if (is_about_expired_credentials(answer->error) && !renewed) {
        renewed = true;
        credentials_->expire();
        --attempt;
        continue;
      }
      if (is_about_the_signature(answer->error) && !clock_learnt && learn_clock(answer->response)) {
        clock_learnt = true;
        --attempt;
        continue;
      }
      const int status = answer->response.status;
      std::string said = "HTTP " + std::to_string(status);
      if (!answer->error.empty()) said += ", " + answer->error;
      if (!answer->message.empty()) said += ": " + answer->message;
      error = Error(code_of(status, answer->error), "KMS " + operation + ": " + said);
    } else {
      error = answer.error();
    }
    if (error.code != ErrorCode::unavailable || attempt >= options_.attempts) return error;
    const int64_t longest = kFirstPauseMs << std::min(attempt - 1, 6U);
    clock_->sleep_ms(static_cast<int64_t>(random_.below(static_cast<uint64_t>(longest) + 1)));
  }
}

Result<KmsDataKey> KmsClient::generate_data_key(const std::string& key, const KmsContext& context) {
  static const std::string kOperation = "GenerateDataKey";
  const Json body = {
      {"KeyId", key}, {"KeySpec", "AES_256"}, {"EncryptionContext", context_json(context)}};
  ASSIGN_OR_RETURN(Buffer answer, call(kOperation, body.dump()));
  const Json json = Json::parse(as_text(answer), nullptr, false);
  OPENSSL_cleanse(answer.data(), answer.size());
  KmsDataKey out;
  out.encrypted.key_arn = string_of(json, "KeyId");
  ASSIGN_OR_RETURN(out.encrypted.bytes, bytes_of(json, "CiphertextBlob", kOperation));
  ASSIGN_OR_RETURN(out.plain, secret_of(json, "Plaintext", kOperation));
  if (out.plain.reveal().size() != 32 || out.encrypted.key_arn.empty()) {
    return malformed(kOperation);
  }
  return out;
}

Result<KmsCiphertext> KmsClient::encrypt(const std::string& key, const Secret& plain,
                                         const KmsContext& context) {
  static const std::string kOperation = "Encrypt";
  const Json body = {{"KeyId", key},
                     {"Plaintext", to_base64(plain.reveal_bytes())},
                     {"EncryptionContext", context_json(context)}};
  std::string text = body.dump();
  const auto answer = call(kOperation, text);
  OPENSSL_cleanse(text.data(), text.size());
  if (!answer.ok()) return answer.error();
  const Json json = Json::parse(as_text(*answer), nullptr, false);
  KmsCiphertext out;
  out.key_arn = string_of(json, "KeyId");
  ASSIGN_OR_RETURN(out.bytes, bytes_of(json, "CiphertextBlob", kOperation));
  if (out.key_arn.empty()) return malformed(kOperation);
  return out;
}

Result<Secret> KmsClient::decrypt(const KmsCiphertext& encrypted, const KmsContext& context) {
  static const std::string kOperation = "Decrypt";
  const Json body = {{"KeyId", encrypted.key_arn},
                     {"CiphertextBlob", to_base64(encrypted.bytes)},
                     {"EncryptionContext", context_json(context)}};
  ASSIGN_OR_RETURN(Buffer answer, call(kOperation, body.dump()));
  const Json json = Json::parse(as_text(answer), nullptr, false);
  OPENSSL_cleanse(answer.data(), answer.size());
  return secret_of(json, "Plaintext", kOperation);
}

}  // namespace coldshelf
