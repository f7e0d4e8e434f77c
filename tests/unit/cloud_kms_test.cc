// KMS: a strict stand-in of ours, and moto's where it is installed.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "tests/support/process.h"
#include "tests/support/scripted_http.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/kms_client.h"
#include "uploader/cloud/sigv4.h"
#include "uploader/cloud/sts_client.h"
#include "uploader/kms_key.h"

namespace coldshelf::test {
namespace {

using Json = nlohmann::json;

constexpr const char* kArn = "arn:aws:kms:eu-west-1:111122223333:key/1234";

Uuid uuid_of(char digit) {
  return *Uuid::parse(std::string(8, digit) + "-" + std::string(4, digit) + "-" +
                      std::string(4, digit) + "-" + std::string(4, digit) + "-" +
                      std::string(12, digit));
}

class FakeCredentials final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    Credentials out;
    out.access_key_id = "AK" + std::to_string(generation);
    out.secret_access_key = Secret(std::string_view("sEcReT"));
    return out;
  }
  void expire() override { ++generation; }
  int generation = 1;
};

// Encrypts by writing the context in front of the plain text; refuses what is not exactly right.
class FakeKms {
 public:
  Result<HttpResponse> answer(const SeenRequest& r) {
    ++calls;
    if (!failures.empty()) {
      auto failure = failures.front();
      failures.erase(failures.begin());
      return failure;
    }
    EXPECT_EQ(r.method, "POST");
    EXPECT_EQ(r.url, "https://kms.eu-west-1.amazonaws.com/");
    EXPECT_EQ(r.header("content-type"), "application/x-amz-json-1.1");
    EXPECT_NE(r.header("authorization")
                  .find("/eu-west-1/kms/aws4_request, SignedHeaders="
                        "content-type;host;x-amz-date;x-amz-target,"),
              std::string::npos)
        << r.header("authorization");
    EXPECT_GT(r.timeout_ms, 0);
    const Json body = Json::parse(r.body);
    const std::string key = body.at("KeyId");
    if (key != kArn && key != "alias/tapes") return refuse(400, "NotFoundException", "no such key");
    const std::string context = body.at("EncryptionContext").dump() + "|";
    const std::string operation = r.header("x-amz-target");
    if (operation == "TrentService.Decrypt") {
      EXPECT_EQ(body.size(), 3U);
      Buffer bytes;
      EXPECT_TRUE(from_base64(body.at("CiphertextBlob").get<std::string>(), bytes));
      if (!as_text(bytes).starts_with(context))
        return refuse(400, "InvalidCiphertextException", "");
      return http_answer(
          200, Json{{"KeyId", kArn},
                    {"Plaintext", to_base64(as_view(as_text(bytes).substr(context.size())))}}
                   .dump());
    }
    Buffer plain = to_buffer(as_view(std::string(32, static_cast<char>('k' + calls))));
    if (operation == "TrentService.Encrypt") {
      EXPECT_EQ(body.size(), 3U);
      EXPECT_TRUE(from_base64(body.at("Plaintext").get<std::string>(), plain));
    } else {
      EXPECT_EQ(operation, "TrentService.GenerateDataKey");
      EXPECT_EQ(body.at("KeySpec"), "AES_256");
    }
    Buffer sealed = to_buffer(as_view(context));
    append(sealed, plain);
    return http_answer(200, Json{{"KeyId", kArn},
                                 {"CiphertextBlob", to_base64(sealed)},
                                 {"Plaintext", to_base64(plain)}}
                                .dump());
  }
  static HttpResponse refuse(int status, const std::string& type, const std::string& message) {
    return http_answer(status,
                       Json{{"__type", "com.amazonaws.kms#" + type}, {"message", message}}.dump());
  }
  std::vector<Result<HttpResponse>> failures;  // come first
  int calls = 0;
};

class Kms : public testing::Test {
 protected:
  std::unique_ptr<KmsClient> client() {
    KmsClient::Options options;
    options.region = "eu-west-1";
    return std::make_unique<KmsClient>(options, clock_, http_, credentials_);
  }
  std::unique_ptr<KmsKey> key(const std::string& name = kArn) {
    auto opened = KmsKey::open(client(), name);
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    return std::move(opened).value();
  }
  FakeKms kms_;
  SystemRandom random_;
  std::shared_ptr<SimClock> clock_ = std::make_shared<SimClock>();
  std::shared_ptr<FakeCredentials> credentials_ = std::make_shared<FakeCredentials>();
  std::shared_ptr<ScriptedHttp> http_ = std::make_shared<ScriptedHttp>(
      [this](const SeenRequest& request) { return kms_.answer(request); });
};

TEST_F(Kms, DataKeysComeAndGo) {
  auto kek = key("alias/tapes");
  EXPECT_EQ(kek->id(), std::string("kms:") + kArn);
  auto made = kek->make_data_key(uuid_of('1'), random_);
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ(made->plain.reveal().size(), 32U);
  EXPECT_EQ(made->wrapped.key_id, kek->id());
  EXPECT_TRUE(kek->opens(made->wrapped.key_id));
  auto opened = kek->unwrap(made->wrapped, uuid_of('1'));
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ(opened->reveal(), made->plain.reveal());
  EXPECT_EQ(kek->unwrap(made->wrapped, uuid_of('2')).error().code, ErrorCode::corrupt);
  const Secret other(std::string_view("0123456789abcdef0123456789abcdef"));
  auto wrapped = kek->wrap(other, uuid_of('3'), random_);
  ASSERT_TRUE(wrapped.ok()) << wrapped.error().message();
  EXPECT_EQ(kek->unwrap(*wrapped, uuid_of('3'))->reveal(), other.reveal());
}

TEST_F(Kms, InARing) {
  auto local = KeyEncryptionKey::parse(std::string(64, 'a'));
  ASSERT_TRUE(local.ok());
  KeyRing ring(key());
  ASSERT_TRUE(ring.add_old(std::make_unique<const KeyEncryptionKey>(*local)).ok());
  auto old = local->make_data_key(uuid_of('1'), random_);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(ring.unwrap(old->wrapped, uuid_of('1'))->reveal(), old->plain.reveal());
  auto fresh = ring.wrap(old->plain, uuid_of('1'), random_);
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh->key_id, ring.id());
  EXPECT_EQ(ring.unwrap(*fresh, uuid_of('1'))->reveal(), old->plain.reveal());
  EXPECT_EQ(local->unwrap(*fresh, uuid_of('1')).error().code, ErrorCode::key_mismatch);
  EXPECT_FALSE(ring.opens("kms:arn:aws:kms:us-east-1:1:key/x"));  // another region
}

TEST_F(Kms, RefusalsAreNamed) {
  auto kek = key();
  const std::vector<std::tuple<int, std::string, ErrorCode>> cases = {
      {400, "AccessDeniedException", ErrorCode::permission},
      {400, "NotFoundException", ErrorCode::key_missing},
      {400, "DisabledException", ErrorCode::key_missing},
      {400, "KMSInvalidStateException", ErrorCode::key_missing},
      {400, "IncorrectKeyException", ErrorCode::key_mismatch},
      {400, "InvalidCiphertextException", ErrorCode::corrupt},
      {400, "ValidationException", ErrorCode::invalid_argument},
      {403, "SomethingElse", ErrorCode::permission}};
  for (const auto& [status, name, code] : cases) {
    const int before = kms_.calls;
    kms_.failures = {FakeKms::refuse(status, name, "as it says")};
    auto refused = kek->make_data_key(uuid_of('1'), random_);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code, code) << name;
    EXPECT_NE(refused.error().context.find(name + ": as it says"), std::string::npos);
    EXPECT_EQ(refused.error().context.find("sEcReT"), std::string::npos);
    EXPECT_EQ(kms_.calls, before + 1) << name;
  }
}

TEST_F(Kms, WhatPassesIsTriedAgain) {
  auto kek = key();
  kms_.failures = {FakeKms::refuse(400, "ThrottlingException", "slow"),
                   Error(ErrorCode::timed_out, "no answer")};
  EXPECT_TRUE(kek->make_data_key(uuid_of('1'), random_).ok());
  const int before = kms_.calls;
  kms_.failures.assign(10, http_answer(503, "<html>"));
  EXPECT_EQ(kek->make_data_key(uuid_of('1'), random_).error().code, ErrorCode::unavailable);
  EXPECT_EQ(kms_.calls, before + 3);
}

TEST_F(Kms, ExpiredCredentialsAreRenewedOnce) {
  auto kek = key();
  kms_.failures = {FakeKms::refuse(400, "ExpiredTokenException", "expired")};
  EXPECT_TRUE(kek->make_data_key(uuid_of('1'), random_).ok());
  EXPECT_EQ(credentials_->generation, 2);
  EXPECT_NE(http_->seen().back().header("authorization").find("AK2/"), std::string::npos);
  kms_.failures.assign(10, FakeKms::refuse(400, "ExpiredTokenException", "expired"));
  EXPECT_FALSE(kek->make_data_key(uuid_of('1'), random_).ok());
  EXPECT_EQ(credentials_->generation, 3);
}

TEST_F(Kms, AClockThatIsWrongIsLearnt) {
  auto kek = key();
  HttpResponse skewed = FakeKms::refuse(400, "InvalidSignatureException", "Signature expired");
  skewed.headers["date"] = "Fri, 01 Jan 2100 00:00:00 GMT";
  kms_.failures = {skewed};
  EXPECT_TRUE(kek->make_data_key(uuid_of('1'), random_).ok());
  EXPECT_EQ(http_->seen().back().header("x-amz-date"), "21000101T000000Z");
  kms_.failures.assign(5, skewed);  // with the right time it is the key that is wrong
  EXPECT_EQ(kek->make_data_key(uuid_of('1'), random_).error().code, ErrorCode::permission);
}

TEST_F(Kms, TheStartChecksTheKey) {
  EXPECT_EQ(KmsKey::open(client(), "alias/none").error().code, ErrorCode::key_missing);
  kms_.failures = {FakeKms::refuse(400, "AccessDeniedException", "not you")};
  EXPECT_EQ(KmsKey::open(client(), kArn).error().code, ErrorCode::permission);
  kms_.failures.assign(3, Error(ErrorCode::unavailable, "down"));
  EXPECT_EQ(KmsKey::open(client(), "alias/tapes").error().code, ErrorCode::unavailable);
  kms_.failures.assign(3, Error(ErrorCode::unavailable, "down"));
  auto later = KmsKey::open(client(), kArn);
  ASSERT_TRUE(later.ok());
  EXPECT_TRUE((*later)->make_data_key(uuid_of('1'), random_).ok());
}

TEST_F(Kms, AnswersThatMakeNoSense) {
  auto kek = key();
  const std::vector<std::string> bad = {
      "",
      "{}",
      "[]",
      R"({"KeyId":"x","CiphertextBlob":"AA==","Plaintext":"AA=="})",
      R"({"KeyId":"x","CiphertextBlob":"!","Plaintext":"AA=="})",
      R"({"KeyId":1,"CiphertextBlob":2,"Plaintext":3})"};
  for (const std::string& text : bad) {
    kms_.failures = {http_answer(200, text)};
    EXPECT_FALSE(kek->make_data_key(uuid_of('1'), random_).ok()) << text;
  }
  auto made = kek->make_data_key(uuid_of('1'), random_);
  ASSERT_TRUE(made.ok());
  kms_.failures = {http_answer(200, R"({"KeyId":"x","Plaintext":"AA=="})")};
  EXPECT_EQ(kek->unwrap(made->wrapped, uuid_of('1')).error().code, ErrorCode::corrupt);
}

TEST(KmsArn, Regions) {
  EXPECT_EQ(region_of_kms_arn(kArn), "eu-west-1");
  EXPECT_EQ(region_of_kms_arn("arn:aws-cn:kms:cn-north-1:1:alias/x"), "cn-north-1");
  for (const char* bad : {"", "alias/x", "arn:aws:s3:eu-west-1:1:x", "arn:aws:kms", "1234-5678"}) {
    EXPECT_EQ(region_of_kms_arn(bad), "") << bad;
  }
}

// -- moto: checks no signature, but has the services' own ideas of requests and answers.

class Moto : public testing::Test {
 protected:
  void SetUp() override {
    if (run_to_end({"/bin/sh", "-c", "command -v moto_server"})->exit_code != 0) {
      GTEST_SKIP() << "moto_server is not installed";
    }
    const int port = free_port();
    endpoint_ = "http://127.0.0.1:" + std::to_string(port);
    auto started = Process::start({"moto_server", "-H", "127.0.0.1", "-p", std::to_string(port)},
                                  scratch_.path() + "/log", 15);
    ASSERT_TRUE(started.ok());
    server_ = std::move(started).value();
    auto transport = make_curl_transport({});
    ASSERT_TRUE(transport.ok());
    http_ = std::move(transport).value();
    HttpRequest request;
    request.url = endpoint_ + "/moto-api/";
    for (int i = 0; i < 200 && !http_->perform(request).ok(); ++i) clock_->sleep_ms(100);
    ASSERT_TRUE(http_->perform(request).ok()) << "moto_server does not answer";
  }
  Credentials root() {
    Credentials out;
    out.access_key_id = "AKIAIOSFODNN7EXAMPLE";
    out.secret_access_key = Secret(std::string_view("secret"));
    return out;
  }
  std::string make_key() {
    SignedRequest to_sign;
    to_sign.method = "POST";
    to_sign.host = endpoint_.substr(7);
    to_sign.path = "/";
    to_sign.headers = {{"content-type", "application/x-amz-json-1.1"},
                       {"x-amz-target", "TrentService.CreateKey"}};
    to_sign.payload_hash = to_hex(Sha256::of(as_view("{}")));
    HttpRequest request;
    request.method = "POST";
    request.url = endpoint_ + "/";
    request.headers = to_sign.headers;
    request.body = as_view("{}");
    for (auto& h : sign_v4(to_sign, {"us-east-1", "kms"}, root(), clock_->unix_ms())) {
      request.headers.push_back(h);
    }
    auto answer = http_->perform(request);
    EXPECT_TRUE(answer.ok());
    return Json::parse(as_text(answer->body)).at("KeyMetadata").at("Arn");
  }
  const ScratchDirectory scratch_{"/tmp"};
  std::string endpoint_;
  std::unique_ptr<Process> server_;
  std::shared_ptr<Clock> clock_ = std::make_shared<SystemClock>();
  std::shared_ptr<HttpTransport> http_;
  SystemRandom random_;
};

TEST_F(Moto, KmsAndSts) {
  const std::string arn = make_key();
  ASSERT_EQ(region_of_kms_arn(arn), "us-east-1");
  KmsClient::Options options;
  options.region = "us-east-1";
  options.endpoint = endpoint_;
  const auto client = [&] {
    return std::make_unique<KmsClient>(
        options, clock_, http_,
        std::shared_ptr<CredentialsProvider>(make_static_credentials(root())));
  };
  auto opened = KmsKey::open(client(), arn);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const KmsKey& kek = **opened;
  EXPECT_EQ(kek.id(), "kms:" + arn);
  auto made = kek.make_data_key(uuid_of('1'), random_);
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ(kek.unwrap(made->wrapped, uuid_of('1'))->reveal(), made->plain.reveal());
  EXPECT_FALSE(kek.unwrap(made->wrapped, uuid_of('2')).ok());
  auto wrapped = kek.wrap(made->plain, uuid_of('3'), random_);
  ASSERT_TRUE(wrapped.ok()) << wrapped.error().message();
  EXPECT_EQ(kek.unwrap(*wrapped, uuid_of('3'))->reveal(), made->plain.reveal());
  auto missing = KmsKey::open(client(), "arn:aws:kms:us-east-1:123456789012:key/none");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::key_missing) << missing.error().message();

  StsClient sts(*clock_, *http_, "us-east-1", endpoint_);
  auto role = sts.assume_role({"arn:aws:iam::123456789012:role/tapes", "me", "x", 900}, root());
  ASSERT_TRUE(role.ok()) << role.error().message();
  EXPECT_TRUE(role->access_key_id.starts_with("ASIA")) << role->access_key_id;
  EXPECT_FALSE(role->session_token.empty());
  const int64_t life_ms = role->expires_ms - clock_->unix_ms();
  EXPECT_GT(life_ms, 600'000);
  EXPECT_LE(life_ms, 901'000);
  auto web = sts.assume_role_with_web_identity(
      {"arn:aws:iam::123456789012:role/tapes", "me", "", 0}, "token");
  ASSERT_TRUE(web.ok()) << web.error().message();
  EXPECT_GT(web->expires_ms, clock_->unix_ms());
}

}  // namespace
}  // namespace coldshelf::test
