#include "gateway/cli/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/environment.h"
#include "base/sha256.h"
#include "gateway/api/service.h"
#include "uploader/cloud/aws_profiles.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf::cli {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr uint64_t kAnswerLimit = 256 * MiB;
// Some operations wait for the store.
constexpr int64_t kAnswerTimeMs = 600'000;
constexpr const char* kContentType = "application/x-amz-json-1.1";

ErrorCode code_of(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (to_string(code) == name) return code;
  }
  return ErrorCode::internal;
}

Error broken(const boost::system::error_code& failed) {
  return {ErrorCode::unavailable, "the daemon ended the conversation: " + failed.message()};
}

Result<Json> answer_of(bool ok, std::string_view body) {
  Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object()) return Error(ErrorCode::internal, "the daemon's answer is not JSON");
  if (ok) return answer;
  return Error(code_of(answer.value("code", "internal")),
               answer.value("message", "the daemon gave no reason"));
}

void fill(std::string& value, const AwsSettings& settings, const char* name) {
  if (const auto at = settings.find(name); value.empty() && at != settings.end()) {
    value = at->second;
  }
}

}  // namespace

Result<Remote> find_remote(FileSystem& files, const RemoteChoice& choice) {
  Remote out;
  out.endpoint = choice.endpoint;
  out.ca_file = choice.ca_file;
  std::string secret;
  AwsSettings settings;
  std::string profile = choice.profile.empty() ? environment("AWS_PROFILE") : choice.profile;
  if (choice.profile.empty()) {
    out.credentials.access_key_id = environment("AWS_ACCESS_KEY_ID");
    secret = environment("AWS_SECRET_ACCESS_KEY");
  }
  if (profile.empty()) profile = "default";
  ASSIGN_OR_RETURN(const AwsProfiles known,
                   load_aws_profiles(files, environment, environment("HOME")));
  if (const auto at = known.profiles.find(profile); at != known.profiles.end()) {
    settings = at->second;
  } else if (!choice.profile.empty()) {
    return Error(ErrorCode::not_found, "there is no profile " + profile + " in " +
                                           known.credentials_path + " or " + known.config_path);
  }
  fill(out.endpoint, settings, "endpoint_url");
  fill(out.ca_file, settings, "ca_bundle");
  if (out.endpoint.empty()) out.endpoint = environment("COLDSHELF_ENDPOINT");
  if (out.ca_file.empty()) out.ca_file = environment("COLDSHELF_CA_FILE");
  if (out.credentials.access_key_id.empty() || secret.empty()) {
    out.credentials.access_key_id.clear();
    secret.clear();
    fill(out.credentials.access_key_id, settings, "aws_access_key_id");
    fill(secret, settings, "aws_secret_access_key");
  }
  if (out.endpoint.empty()) {
    return Error(ErrorCode::invalid_argument,
                 "where is the gateway? Give --endpoint, or "
                 "endpoint_url in profile " +
                     profile);
  }
  if (out.credentials.access_key_id.empty() || secret.empty()) {
    return Error(
        ErrorCode::permission,
        "no access key: it is looked for in profile " + profile + " of " + known.credentials_path +
            ", or $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY (see `coldshelf user add`)");
  }
  out.credentials.secret_access_key = Secret(std::string_view(secret));
  ASSIGN_OR_RETURN(const Url url, parse_url(out.endpoint));
  if (!url.tls()) {
    return Error(ErrorCode::invalid_argument, "the endpoint must begin with https://");
  }
  out.endpoint = url.origin();
  return out;
}

Result<ApiClient> ApiClient::remote(Remote remote, Clock& clock) {
  CurlOptions options;
  options.ca_file = remote.ca_file;
  options.idle_timeout_ms = kAnswerTimeMs;
  ASSIGN_OR_RETURN(auto transport, make_curl_transport(options));
  ApiClient out;
  out.transport_ = std::move(transport);
  out.remote_ = std::move(remote);
  out.clock_ = &clock;
  return out;
}

Result<Json> ApiClient::call(const std::string& operation, const Json& input,
                             bool& unreachable) const {
  unreachable = false;
  const bool whole = operation.find('.') != std::string::npos;
  const std::string target = whole ? operation : std::string(api::kOwnPrefix) + operation;
  const std::string body = input.dump(-1, ' ', false, Json::error_handler_t::replace);
  return transport_ ? call_remote(target, body, unreachable)
                    : call_local(target, body, unreachable);
}

Result<Json> ApiClient::call_remote(const std::string& target, const std::string& body,
                                    bool& unreachable) const {
  ASSIGN_OR_RETURN(const Url url, parse_url(remote_.endpoint));
  SignedRequest sign;
  sign.method = "POST";
  sign.host = url.host_and_port();
  sign.path = "/";
  sign.headers = {{"Content-Type", kContentType}, {"X-Amz-Target", target}};
  sign.payload_hash = to_hex(Sha256::of(as_view(body)));
  HttpRequest request;
  request.method = "POST";
  request.url = remote_.endpoint + "/";
  request.headers = sign.headers;
  for (auto& header :
       sign_v4(sign, {"local-1", "storagegateway"}, remote_.credentials, clock_->unix_ms())) {
    request.headers.push_back(std::move(header));
  }
  request.body = as_view(body);
  request.max_body_bytes = kAnswerLimit;
  request.total_timeout_ms = request.idle_timeout_ms = kAnswerTimeMs;
  auto response = transport_->perform(request);
  if (!response.ok()) {
    Error why = response.error();
    unreachable = why.code == ErrorCode::unavailable;
    why.context = remote_.endpoint + ": " + why.context;
    return why;
  }
  return answer_of(response->status == 200, as_text(response->body));
}

Result<Json> ApiClient::call_local(const std::string& target, const std::string& body,
                                   bool& unreachable) const {
  asio::io_context context;
  asio::local::stream_protocol::socket socket(context);
  boost::system::error_code failed;
  if (socket_path_.size() > 107) {
    return Error(ErrorCode::invalid_argument, "the socket's path is too long: " + socket_path_);
  }
  socket.connect(asio::local::stream_protocol::endpoint(socket_path_), failed);
  if (failed == boost::system::errc::permission_denied) {
    return Error(ErrorCode::permission, "no permission to use " + socket_path_);
  }
  if (failed) {
    unreachable = true;
    return Error(ErrorCode::unavailable,
                 "no coldshelfd answers at " + socket_path_ + ": " + failed.message());
  }
  http::request<http::string_body> request{http::verb::post, "/", 11};
  request.set(http::field::host, "localhost");
  request.set(http::field::content_type, kContentType);
  request.set("X-Amz-Target", target);
  request.keep_alive(false);
  request.body() = body;
  request.prepare_payload();
  http::write(socket, request, failed);
  if (failed) return broken(failed);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerLimit);
  http::read(socket, buffer, parser, failed);
  if (failed) return broken(failed);
  return answer_of(parser.get().result() == http::status::ok, parser.get().body());
}

}  // namespace coldshelf::cli
