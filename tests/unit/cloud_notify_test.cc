// Notifications: what is sent, what is tried again, and that nobody waits for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>

#include "tests/support/process.h"
#include "tests/support/raw_http_server.h"
#include "tests/support/scripted_http.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/notification_http.h"
#include "uploader/cloud/notification_mail.h"
#include "uploader/cloud/notifier.h"

namespace coldshelf::test {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr std::string_view kBusy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
constexpr std::string_view kGone = "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n";

std::string scratch_parent() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr ? set : "/tmp";
}

Notification example() {
  Notification out;
  out.id = "n-1";
  out.event = "policy.run";
  out.severity = NotificationSeverity::warning;
  out.subject = "policy nightly: 1 done, 1 failed";
  out.gateway = "gw";
  out.time_ms = 1'795'000'000'000;
  out.fields = {{"policy", "nightly"}};
  out.done = {"vol-1: snap-1"};
  out.skipped = {"vol-2: encrypted"};
  out.failed = {"vol-3: HTTP 500"};
  return out;
}

std::shared_ptr<HttpTransport> transport() {
  auto made = make_curl_transport({});
  EXPECT_TRUE(made.ok());
  return std::shared_ptr<HttpTransport>(std::move(*made));
}

std::shared_ptr<CredentialsProvider> some_credentials() {
  Credentials credentials;
  credentials.access_key_id = "AKID";
  credentials.secret_access_key = Secret(std::string_view("secret"));
  return make_static_credentials(credentials);
}

TEST(Notify, AWebhookGetsJsonWithASignature) {
  std::promise<RawConnection::Request> got;
  RawHttpServer server([&](RawConnection& c) {
    got.set_value(c.read_request());
    c.send(kOk);
  });
  WebhookOptions options;
  options.url = server.url("/hook/token");
  options.authorization = Secret(std::string_view("Bearer abc"));
  options.signing_secret = Secret(std::string_view("key"));
  auto channel = make_webhook_channel(std::move(options), transport());
  const Status delivered = channel->deliver(example());
  ASSERT_TRUE(delivered.ok()) << delivered.error().message();
  const auto request = got.get_future().get();
  EXPECT_THAT(request.head, HasSubstr("POST /hook/token HTTP/1.1\r\n"));
  EXPECT_THAT(request.head, HasSubstr("content-type: application/json\r\n"));
  EXPECT_THAT(request.head, HasSubstr("authorization: Bearer abc\r\n"));
  EXPECT_THAT(request.head, HasSubstr("x-coldshelf-delivery: n-1\r\n"));
  EXPECT_THAT(request.head, HasSubstr("x-coldshelf-event: policy.run\r\n"));
  const Json body = Json::parse(request.body);
  EXPECT_EQ(body["severity"], "warning");
  EXPECT_EQ(body["time"], "2026-11-18T11:06:40.000Z");
  EXPECT_EQ(body["fields"]["policy"], "nightly");
  EXPECT_EQ(body["done"], Json::array({"vol-1: snap-1"}));
  EXPECT_EQ(body["skipped"], Json::array({"vol-2: encrypted"}));
  EXPECT_EQ(body["failed"], Json::array({"vol-3: HTTP 500"}));
  // Python: hmac.new(b"key", body, "sha256").hexdigest()
  const auto independent =
      run_to_end({"python3", "-c",
                  "import hmac, sys; print(hmac.new(b'key', sys.argv[1].encode(), 'sha256')"
                  ".hexdigest())",
                  request.body});
  ASSERT_TRUE(independent.ok());
  EXPECT_THAT(
      request.head,
      HasSubstr("x-coldshelf-signature: sha256=" + independent->output.substr(0, 64) + "\r\n"));
}

TEST(Notify, AWebhooksAnswersAreTemporaryOrFinalAndItsPathIsKeptSecret) {
  for (const auto& [answer, code] :
       {std::pair{kBusy, ErrorCode::unavailable}, std::pair{kGone, ErrorCode::invalid_argument}}) {
    const std::string_view text = answer;
    RawHttpServer server([text](RawConnection& c) {
      c.read_request();
      c.send(text);
    });
    WebhookOptions options;
    options.url = server.url("/hook/token");
    auto channel = make_webhook_channel(std::move(options), transport());
    const Status delivered = channel->deliver(example());
    ASSERT_FALSE(delivered.ok());
    EXPECT_EQ(delivered.error().code, code);
    EXPECT_THAT(delivered.error().message(), Not(HasSubstr("token")));
  }
}

TEST(Notify, SnsPublishesSigned) {
  auto http = std::make_shared<ScriptedHttp>([](const SeenRequest&) -> Result<HttpResponse> {
    return http_answer(200,
                       "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">"
                       "<PublishResult><MessageId>m</MessageId></PublishResult>"
                       "</PublishResponse>");
  });
  SnsOptions options;
  options.topic_arn = "arn:aws:sns:eu-west-1:123456789012:backup.fifo";
  auto channel = make_sns_channel(options, std::make_shared<SimClock>(), http, some_credentials());
  ASSERT_TRUE(channel.ok());
  Notification long_one = example();
  long_one.subject = "näh: " + std::string(200, 'x');
  long_one.failed.assign(400, std::string(1'000, 'y'));
  const Status delivered = (*channel)->deliver(long_one);
  ASSERT_TRUE(delivered.ok()) << delivered.error().message();
  const SeenRequest seen = http->seen().at(0);
  EXPECT_EQ(seen.url, "https://sns.eu-west-1.amazonaws.com/");
  EXPECT_THAT(seen.header("authorization"), HasSubstr("/eu-west-1/sns/aws4_request"));
  EXPECT_THAT(seen.body, HasSubstr("Action=Publish&"));
  EXPECT_THAT(seen.body, HasSubstr("MessageDeduplicationId=n-1&MessageGroupId=coldshelf"));
  EXPECT_THAT(seen.body, HasSubstr("&Subject=n%3F%3Fh%3A%20xxx"));
  EXPECT_THAT(seen.body,
              HasSubstr("&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Abackup.fifo&"));
  EXPECT_LT(seen.body.size(), 300u * 1024);
}

TEST(Notify, SnsErrorsAreTold) {
  int status = 400;
  std::string code = "Throttling";
  auto http = std::make_shared<ScriptedHttp>([&](const SeenRequest&) -> Result<HttpResponse> {
    return http_answer(status, "<ErrorResponse><Error><Type>Sender</Type><Code>" + code +
                                   "</Code><Message>why</Message></Error></ErrorResponse>");
  });
  SnsOptions options;
  options.topic_arn = "arn:aws:sns:eu-west-1:123456789012:backup";
  auto channel = make_sns_channel(options, std::make_shared<SimClock>(), http, some_credentials());
  ASSERT_TRUE(channel.ok());
  EXPECT_EQ((*channel)->deliver(example()).error().code, ErrorCode::unavailable);
  status = 403;
  code = "AuthorizationError";
  const Status refused = (*channel)->deliver(example());
  EXPECT_EQ(refused.error().code, ErrorCode::permission);
  EXPECT_THAT(refused.error().message(), HasSubstr("AuthorizationError: why"));
  status = 404;
  code = "NotFound";
  EXPECT_EQ((*channel)->deliver(example()).error().code, ErrorCode::invalid_argument);
  for (const char* wrong :
       {"", "backup", "arn:aws:sqs:eu-west-1:1:q", "arn:aws:sns:eu-west-1:1:"}) {
    options.topic_arn = wrong;
    EXPECT_FALSE(
        make_sns_channel(options, std::make_shared<SimClock>(), http, some_credentials()).ok())
        << wrong;
  }
}

class MailTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto made = run_to_end(
        {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", directory_.path() + "/key.pem",
         "-out", directory_.path() + "/cert.pem"});
    ASSERT_TRUE(made.ok() && made->exit_code == 0) << made->output;
  }
  std::string start(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"python3", COLDSHELF_SMTP_SERVER, directory_.path()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto started = Process::start(words, directory_.path() + "/log", SIGTERM);
    EXPECT_TRUE(started.ok());
    server_ = std::move(*started);
    return wait_for(directory_.path() + "/port");
  }
  std::string wait_for(const std::string& path) {
    SystemClock clock;
    for (int i = 0; i < 6'000 && server_->running(); ++i) {
      Result<Buffer> bytes = files_.read_file(path);
      if (bytes.ok()) return to_text(*bytes);
      clock.sleep_ms(5);
    }
    ADD_FAILURE() << path << " does not come";
    return "0";
  }
  Json mail(int number) {
    return Json::parse(wait_for(directory_.path() + "/mail-" + std::to_string(number) + ".json"));
  }
  Status send(MailOptions options, const Notification& what = example()) {
    if (options.from.empty()) options.from = "gw@example.com";
    if (options.to.empty()) options.to = {"a@example.com", "b@example.com"};
    auto channel = make_mail_channel(std::move(options));
    if (!channel.ok()) return channel.error();
    return (*channel)->deliver(what);
  }
  std::string certificate() { return directory_.path() + "/cert.pem"; }

  PosixFileSystem files_;
  ScratchDirectory directory_{scratch_parent()};
  std::unique_ptr<Process> server_;
};

TEST_F(MailTest, PlainMailIsWhatAnotherParserReads) {
  MailOptions options;
  options.url = "smtp://127.0.0.1:" + start({});
  options.tls = MailOptions::Tls::never;
  Notification what = example();
  what.subject =
      "Sicherung für \"café\" – 1 fehlgeschlagen, und das ist eine recht lange Zeile\r\nX: y";
  what.failed = {".", "From x", std::string(3'000, 'z')};
  const Status sent = send(options, what);
  ASSERT_TRUE(sent.ok()) << sent.error().message();
  const Json got = mail(1);
  EXPECT_EQ(got["from"], "gw@example.com");
  EXPECT_EQ(got["to"], Json::array({"a@example.com", "b@example.com"}));
  EXPECT_EQ(got["header_to"], "a@example.com, b@example.com");
  EXPECT_EQ(got["header_from"], "coldshelf <gw@example.com>");
  EXPECT_EQ(got["subject"],
            "Sicherung für \"café\" – 1 fehlgeschlagen, und das ist eine recht lange Zeile  X: y");
  EXPECT_EQ(got["date"], "2026-11-18T11:06:40+00:00");
  EXPECT_EQ(got["id"], "<n-1@example.com>");
  EXPECT_EQ(got["defects"], Json::array());
  EXPECT_EQ(got["body"].get<std::string>(), notification_text(what));
}

TEST_F(MailTest, StartTlsAndALogin) {
  MailOptions options;
  options.url = "smtp://127.0.0.1:" + start({"--tls", "starttls", "--login", "me:pass word"});
  options.ca_file = certificate();
  options.user = "me";
  options.password = Secret(std::string_view("pass word"));
  const Status sent = send(options);
  ASSERT_TRUE(sent.ok()) << sent.error().message();
  EXPECT_EQ(mail(1)["tls"], true);
  EXPECT_EQ(mail(1)["user"], "me");
  options.password = Secret(std::string_view("wrong"));
  const Status refused = send(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::permission) << refused.error().message();
  EXPECT_THAT(refused.error().message(), Not(HasSubstr("wrong")));
  options.user.clear();
  EXPECT_EQ(send(options).error().code, ErrorCode::invalid_argument);  // 530
  options.ca_file.clear();
  EXPECT_EQ(send(options).error().code, ErrorCode::permission);  // nobody knows its certificate
}

TEST_F(MailTest, TlsFromTheFirstByte) {
  MailOptions options;
  options.url = "smtps://localhost:" + start({"--tls", "implicit"}) + "/";
  options.ca_file = certificate();
  const Status sent = send(options);
  ASSERT_TRUE(sent.ok()) << sent.error().message();
  EXPECT_EQ(mail(1)["tls"], true);
}

TEST_F(MailTest, WithoutTlsNothingIsSentWhenItIsRequired) {
  MailOptions options;
  options.url = "smtp://127.0.0.1:" + start({"--busy", "1"});
  const Status busy = send(options);
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.error().code, ErrorCode::unavailable) << busy.error().message();
  const Status refused = send(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::permission) << refused.error().message();
  options.tls = MailOptions::Tls::offered;
  EXPECT_TRUE(send(options).ok());
  options.to = {"nobody@example.com"};
  EXPECT_EQ(send(options).error().code, ErrorCode::invalid_argument);
  options.url = "smtp://127.0.0.1:" + std::to_string(free_port());
  EXPECT_EQ(send(options).error().code, ErrorCode::unavailable);
}

TEST_F(MailTest, SettingsThatCannotWorkAreRefused) {
  MailOptions good;
  good.url = "smtp://mail.example.com";
  good.from = "gw@example.com";
  good.to = {"a@example.com"};
  ASSERT_TRUE(make_mail_channel(good).ok());
  const auto refused = [&](const std::function<void(MailOptions&)>& change) {
    MailOptions options = good;
    change(options);
    return !make_mail_channel(options).ok();
  };
  EXPECT_TRUE(refused([](MailOptions& o) { o.url = "http://mail.example.com"; }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.url = "smtp://user:pw@mail.example.com"; }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.url = "smtp://"; }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.from = "gw"; }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.to.clear(); }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.to = {"a@b\r\nRCPT TO:<c@d>"}; }));
  EXPECT_TRUE(refused([](MailOptions& o) { o.ca_file = "/no/such/file"; }));
  EXPECT_TRUE(refused([](MailOptions& o) {
    o.user = "me";
    o.tls = MailOptions::Tls::offered;
  }));
}

// A channel whose answers the test gives.
class FakeChannel final : public NotificationChannel {
 public:
  using Answer = std::function<Status(const Notification&)>;
  explicit FakeChannel(Answer answer) : answer_(std::move(answer)) {}
  Status deliver(const Notification& notification) override { return answer_(notification); }
  void give_up() override {}

 private:
  const Answer answer_;
};

Notifier::Channel channel(const std::string& name, FakeChannel::Answer answer) {
  Notifier::Channel out;
  out.name = name;
  out.channel = std::make_unique<FakeChannel>(std::move(answer));
  return out;
}

Notifier::Options quick() {
  Notifier::Options options;
  options.gateway = "gw";
  options.first_pause_ms = 1;
  options.longest_pause_ms = 2;
  return options;
}

bool send_and_wait(Notifier& notifier, Notification what) {
  auto done = std::make_shared<std::promise<bool>>();
  notifier.send(std::move(what), [done](bool delivered) { done->set_value(delivered); });
  return done->get_future().get();
}

TEST(Notifier, TriesAgainWhatMayWorkAndSettlesOnce) {
  std::atomic<int> first = 0;
  std::atomic<int> second = 0;
  std::vector<Notifier::Channel> channels;
  channels.push_back(channel("flaky", [&](const Notification& n) -> Status {
    EXPECT_EQ(n.gateway, "gw");
    EXPECT_FALSE(n.id.empty());
    EXPECT_GT(n.time_ms, 0);
    if (++first < 3) return Error(ErrorCode::unavailable, "busy");
    return {};
  }));
  channels.push_back(channel("refusing", [&](const Notification&) -> Status {
    ++second;
    return Error(ErrorCode::invalid_argument, "no such place");
  }));
  Notifier notifier(std::move(channels), std::make_shared<SystemClock>(), quick());
  Notification what;
  what.subject = "x";
  // One that refuses is no reason to tell the other once more.
  EXPECT_TRUE(send_and_wait(notifier, what));
  EXPECT_EQ(first, 3);
  SystemClock clock;
  for (int wait = 0; wait < 10'000 && notifier.state()[1].failed == 0; ++wait) clock.sleep_ms(1);
  EXPECT_EQ(second, 1);
  const auto state = notifier.state();
  EXPECT_EQ(state[0].delivered, 1u);
  EXPECT_EQ(state[1].failed, 1u);
  EXPECT_THAT(state[1].last_error, HasSubstr("no such place"));
}

TEST(Notifier, GivesUpAfterTheLastAttempt) {
  std::atomic<unsigned> tries = 0;
  std::vector<Notifier::Channel> channels;
  channels.push_back(channel("down", [&](const Notification&) -> Status {
    ++tries;
    return Error(ErrorCode::timed_out, "nobody answers");
  }));
  Notifier::Options options = quick();
  options.attempts = 4;
  Notifier notifier(std::move(channels), std::make_shared<SystemClock>(), options);
  EXPECT_FALSE(send_and_wait(notifier, {}));
  EXPECT_EQ(tries, 4u);
}

TEST(Notifier, ChannelsTakeWhatTheyAskFor) {
  std::mutex mutex;
  std::vector<std::string> got;
  std::vector<Notifier::Channel> channels;
  channels.push_back(channel("pager", [&](const Notification& n) -> Status {
    const std::lock_guard lock(mutex);
    got.push_back(n.subject);
    return {};
  }));
  channels[0].at_least = NotificationSeverity::warning;
  channels[0].events = {"policy.", "alarm.raised"};
  Notifier notifier(std::move(channels), std::make_shared<SystemClock>(), quick());
  const auto say = [&](const std::string& event, NotificationSeverity severity) {
    Notification what;
    what.event = event;
    what.subject = event + " " + std::string(to_string(severity));
    what.severity = severity;
    EXPECT_TRUE(send_and_wait(notifier, what));
  };
  say("policy.run", NotificationSeverity::info);
  say("policy.run", NotificationSeverity::error);
  say("alarm.cleared", NotificationSeverity::error);
  say("alarm.raised", NotificationSeverity::warning);
  EXPECT_THAT(got, ElementsAre("policy.run error", "alarm.raised warning"));
}

TEST(Notifier, AHangingChannelHoldsUpNobodyAndItsQueueIsBounded) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> fast = 0;
  std::vector<Notifier::Channel> channels;
  channels.push_back(channel("hangs", [released](const Notification&) -> Status {
    released.wait();
    return {};
  }));
  channels.push_back(channel("fast", [&](const Notification&) -> Status {
    ++fast;
    return {};
  }));
  Notifier::Options options = quick();
  options.queue = 16;
  Notifier notifier(std::move(channels), std::make_shared<SystemClock>(), options);
  std::atomic<int> settled = 0;
  for (int i = 0; i < 100; ++i) {
    // Not faster than the other channel takes them.
    SystemClock clock;
    for (int wait = 0; wait < 10'000 && fast < i; ++wait) clock.sleep_ms(1);
    notifier.send({}, [&](bool delivered) {
      EXPECT_TRUE(delivered);
      ++settled;
    });
  }
  SystemClock clock;
  for (int wait = 0; wait < 10'000 && fast < 100; ++wait) clock.sleep_ms(1);
  EXPECT_EQ(fast, 100);
  EXPECT_GE(notifier.state()[0].dropped, 83u);  // 16 wait, one is under way
  EXPECT_LE(notifier.state()[0].waiting, 16u);
  release.set_value();
  for (int wait = 0; wait < 10'000 && settled < 100; ++wait) clock.sleep_ms(1);
  EXPECT_EQ(settled, 100);
}

TEST(Notifier, EndsWhileAReceiverHangs) {
  RawHttpServer server([](RawConnection& c) {
    c.read_request();
    c.wait_for_peer();
  });
  std::vector<Notifier::Channel> channels(1);
  channels[0].name = "hook";
  WebhookOptions options;
  options.url = server.url("/");
  options.timeout_ms = 3'600'000;
  channels[0].channel = make_webhook_channel(std::move(options), transport());
  auto notifier =
      std::make_unique<Notifier>(std::move(channels), std::make_shared<SystemClock>(), quick());
  notifier->send({}, {});
  SystemClock clock;
  for (int wait = 0; wait < 10'000 && server.connections() == 0; ++wait) clock.sleep_ms(1);
  notifier.reset();
}

}  // namespace
}  // namespace coldshelf::test
