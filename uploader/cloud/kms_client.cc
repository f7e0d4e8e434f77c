#include "uploader/cloud/kms_client.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace coldshelf {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxAnswerBytes = 64 * KiB;
constexpr int64_t kFirstPauseMs = 250;

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

KmsClient::KmsClient(Options options, std::shared_ptr<Clock> clock,
                     std::shared_ptr<HttpTransport> transport,
                     std::shared_ptr<CredentialsProvider> credentials)
    : options_(std::move(options)),
      clock_(clock),
      service_({"kms", options_.region, options_.endpoint}, clock, std::move(transport),
               std::move(credentials)) {}

// One attempt. An answer that is no success is an error; `put_right`: it may be asked again at
// once.
Result<Buffer> KmsClient::once(const std::string& operation, const std::string& body,
                               AwsService::Remedies& remedies, bool& put_right) {
  AwsCall call;
  call.method = "POST";
  call.headers = {{"content-type", "application/x-amz-json-1.1"},
                  {"x-amz-target", "TrentService." + operation}};
  call.body = as_view(body);
  call.max_answer_bytes = kMaxAnswerBytes;
  call.timeout_ms = options_.timeout_ms;
  auto answer = service_.send(call);
  if (!answer.ok()) {
    return Error(answer.error().code, "KMS " + operation + ": " + answer.error().context);
  }
  if (answer->status == 200) return std::move(answer->body);
  const Json json = Json::parse(as_text(answer->body), nullptr, false);
  const std::string name = error_name(*answer, json);
  std::string message = string_of(json, "message");
  if (message.empty()) message = string_of(json, "Message");
  put_right = service_.put_right(name, *answer, remedies);
  std::string said = "HTTP " + std::to_string(answer->status);
  if (!name.empty()) said += ", " + name;
  if (!message.empty()) said += ": " + message;
  return Error(code_of(answer->status, name), "KMS " + operation + ": " + said);
}

Result<Buffer> KmsClient::call(const std::string& operation, const std::string& body) {
  AwsService::Remedies remedies;
  for (unsigned attempt = 1;;) {  // ends with the attempts: what is put right is put right once
    bool put_right = false;
    auto answer = once(operation, body, remedies, put_right);
    if (answer.ok()) return answer;
    if (put_right) continue;
    if (answer.error().code != ErrorCode::unavailable || attempt >= options_.attempts) {
      return answer;
    }
    const int64_t longest = kFirstPauseMs << std::min(attempt - 1, 6U);
    clock_->sleep_ms(static_cast<int64_t>(random_.below(static_cast<uint64_t>(longest) + 1)));
    ++attempt;
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
