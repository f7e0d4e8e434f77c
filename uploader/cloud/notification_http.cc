#include "uploader/cloud/notification_http.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <pugixml.hpp>

#include "base/sha256.h"
#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/url.h"

namespace coldshelf {

namespace {

constexpr uint64_t kMaxAnswerBytes = 256 * KiB;
constexpr size_t kMaxSnsSubject = 99;  // "must be less than 100 characters"
constexpr size_t kMaxSnsMessage = 256 * KiB - 1 * KiB;

std::string hmac_hex(const Secret& key, std::string_view message) {
  Sha256Digest digest{};
  unsigned length = 0;
  const ByteView bytes = key.reveal_bytes();
  CHECK(HMAC(EVP_sha256(), bytes.data(), static_cast<int>(bytes.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(),
             reinterpret_cast<unsigned char*>(digest.data()), &length) != nullptr);
  return to_hex(digest);
}

bool may_help_again(int status) { return status == 408 || status == 429 || status >= 500; }

class WebhookChannel final : public NotificationChannel {
 public:
  WebhookChannel(WebhookOptions options, std::shared_ptr<HttpTransport> transport)
      : options_(std::move(options)), transport_(std::move(transport)) {}

  Status deliver(const Notification& notification) override {
    ASSIGN_OR_RETURN(const Url url, parse_url(options_.url));
    const std::string body = notification_json(notification);
    HttpRequest request;
    request.method = "POST";
    request.url = options_.url;
    request.headers = {{"content-type", "application/json"},
                       {"x-coldshelf-event", notification.event},
                       {"x-coldshelf-delivery", notification.id}};
    if (!options_.authorization.empty()) {
      request.headers.emplace_back("authorization", options_.authorization.reveal());
    }
    if (!options_.signing_secret.empty()) {
      request.headers.emplace_back("x-coldshelf-signature",
                                   "sha256=" + hmac_hex(options_.signing_secret, body));
    }
    request.body = as_view(body);
    request.max_body_bytes = kMaxAnswerBytes;
    request.total_timeout_ms = options_.timeout_ms;
    const auto answer = transport_->perform(request);
    if (!answer.ok()) return answer.error();
    if (answer->status / 100 == 2) return {};
    // The path may hold a token (as chat services have it): only the host is named.
    return Error(
        may_help_again(answer->status) ? ErrorCode::unavailable : ErrorCode::invalid_argument,
        url.host_and_port() + " answered HTTP " + std::to_string(answer->status));
  }
  void give_up() override { transport_->give_up(); }

 private:
  const WebhookOptions options_;
  const std::shared_ptr<HttpTransport> transport_;
};

// Printable ASCII, one line, never beginning with a blank, as SNS asks.
std::string sns_subject(const std::string& subject) {
  std::string out;
  for (const char c : subject) {
    if (out.size() == kMaxSnsSubject) break;
    if (c == ' ' && out.empty()) continue;
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  return out.empty() ? "coldshelf" : out;
}

// Not in the middle of a character of UTF-8.
std::string cut(std::string text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  text.resize(bytes);
  return text;
}

class SnsChannel final : public NotificationChannel {
 public:
  SnsChannel(SnsOptions options, std::string region, std::shared_ptr<Clock> clock,
             std::shared_ptr<HttpTransport> transport,
             std::shared_ptr<CredentialsProvider> credentials)
      : options_(std::move(options)),
        region_(std::move(region)),
        clock_(std::move(clock)),
        transport_(std::move(transport)),
        credentials_(std::move(credentials)) {}

  Status deliver(const Notification& notification) override {
    const std::string endpoint =
        options_.endpoint.empty() ? aws_endpoint("sns", region_) : options_.endpoint;
    ASSIGN_OR_RETURN(const Url url, parse_url(endpoint));
    ASSIGN_OR_RETURN(const Credentials credentials, credentials_->get());
    const std::string body = encode_query(parameters(notification));
    HttpRequest request;
    request.method = "POST";
    request.url = url.origin() + url.path_or_root();
    request.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
    request.body = as_view(body);
    request.max_body_bytes = kMaxAnswerBytes;
    request.total_timeout_ms = options_.timeout_ms;
    SignedRequest to_sign;
    to_sign.method = request.method;
    to_sign.host = url.host_and_port();
    to_sign.path = url.path_or_root();
    to_sign.headers = request.headers;
    to_sign.payload_hash = to_hex(Sha256::of(as_view(body)));
    const auto added = sign_v4(to_sign, {region_, "sns"}, credentials, clock_->unix_ms());
    request.headers.insert(request.headers.end(), added.begin(), added.end());
    const auto answer = transport_->perform(request);
    const std::string who = "SNS (" + url.host_and_port() + ") Publish";
    if (!answer.ok()) return error_of_transport(who, answer.error());
    return check(who, *answer);
  }
  void give_up() override { transport_->give_up(); }

 private:
  std::vector<std::pair<std::string, std::string>> parameters(
      const Notification& notification) const {
    std::vector<std::pair<std::string, std::string>> out = {
        {"Action", "Publish"},
        {"Version", "2010-03-31"},
        {"TopicArn", options_.topic_arn},
        {"Subject", sns_subject(notification.subject)},
        {"Message", cut(notification_text(notification), kMaxSnsMessage)}};
    if (options_.topic_arn.ends_with(".fifo")) {
      out.emplace_back("MessageGroupId", "coldshelf");
      out.emplace_back("MessageDeduplicationId", notification.id);
    }
    return out;
  }

  Status check(const std::string& who, const HttpResponse& answer) {
    pugi::xml_document document;
    const bool is_xml = document.load_buffer(answer.body.data(), answer.body.size());
    if (answer.status == 200) {
      const auto published = document.child("PublishResponse").child("PublishResult");
      if (is_xml && published.child("MessageId")) return {};
      return Error(ErrorCode::unavailable, who + ": the answer makes no sense");
    }
    const pugi::xml_node error = document.child("ErrorResponse").child("Error");
    const std::string code = error.child_value("Code");
    if (are_refused_keys(code)) {
      credentials_->expire();
      return Error(ErrorCode::unavailable, who + ": the credentials are refused: " + code);
    }
    const std::string said =
        who + ": HTTP " + std::to_string(answer.status) +
        (code.empty() ? std::string() : ", " + code + ": " + error.child_value("Message"));
    if (may_help_again(answer.status) || code == "Throttling" || code == "Throttled" ||
        code == "ThrottledException") {
      return Error(ErrorCode::unavailable, said);
    }
    return Error(answer.status == 403 ? ErrorCode::permission : ErrorCode::invalid_argument, said);
  }

  const SnsOptions options_;
  const std::string region_;
  const std::shared_ptr<Clock> clock_;
  const std::shared_ptr<HttpTransport> transport_;
  const std::shared_ptr<CredentialsProvider> credentials_;
};

}  // namespace

std::unique_ptr<NotificationChannel> make_webhook_channel(
    WebhookOptions options, std::shared_ptr<HttpTransport> transport) {
  return std::make_unique<WebhookChannel>(std::move(options), std::move(transport));
}

Result<std::unique_ptr<NotificationChannel>> make_sns_channel(
    SnsOptions options, std::shared_ptr<Clock> clock, std::shared_ptr<HttpTransport> transport,
    std::shared_ptr<CredentialsProvider> credentials) {
  // arn:PARTITION:sns:REGION:ACCOUNT:NAME
  std::array<std::string_view, 6> parts;
  std::string_view rest = options.topic_arn;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t end = i + 1 < parts.size() ? rest.find(':') : rest.size();
    if (end == std::string_view::npos) break;
    parts[i] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (parts[0] != "arn" || parts[2] != "sns" || parts[3].empty() || parts[5].empty()) {
    return Error(ErrorCode::invalid_argument,
                 "\"" + options.topic_arn + "\" is not a topic (arn:aws:sns:REGION:ACCOUNT:NAME)");
  }
  std::string region(parts[3]);
  return std::unique_ptr<NotificationChannel>(
      std::make_unique<SnsChannel>(std::move(options), std::move(region), std::move(clock),
                                   std::move(transport), std::move(credentials)));
}

}  // namespace coldshelf
