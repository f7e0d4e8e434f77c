#include "gateway/cli/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "gateway/api/service.h"

namespace coldshelf::cli {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr uint64_t kAnswerLimit = 256 * MiB;

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

}  // namespace

Result<Json> ApiClient::call(const std::string& operation, const Json& input) const {
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
    return Error(ErrorCode::unavailable,
                 "no coldshelfd answers at " + socket_path_ + ": " + failed.message());
  }
  http::request<http::string_body> request{http::verb::post, "/", 11};
  request.set(http::field::host, "localhost");
  request.set(http::field::content_type, "application/x-amz-json-1.1");
  request.set("X-Amz-Target", std::string(api::kOwnPrefix) + operation);
  request.keep_alive(false);
  request.body() = input.dump(-1, ' ', false, Json::error_handler_t::replace);
  request.prepare_payload();
  http::write(socket, request, failed);
  if (failed) return broken(failed);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerLimit);
  http::read(socket, buffer, parser, failed);
  if (failed) return broken(failed);
  Json answer = Json::parse(parser.get().body(), nullptr, false);
  if (answer.is_discarded()) {
    return Error(ErrorCode::internal, "the daemon's answer is not JSON");
  }
  if (parser.get().result() == http::status::ok) return answer;
  const std::string code = answer.value("code", "internal");
  return Error(code_of(code), answer.value("message", "the daemon gave no reason"));
}

}  // namespace coldshelf::cli
