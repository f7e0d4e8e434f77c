#include "gateway/api/front_door.h"

#include <fstream>
#include <sstream>

#include "base/log.h"
#include "gateway/api/roles.h"
#include "tests/unit/gateway/gateway_fixture.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {
namespace {

using api::Json;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kHost = "127.0.0.1:8443";
const std::string kOwn = "Coldshelf_20261101.";
const std::string kAws = "StorageGateway_20130630.";

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

class FrontDoorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    gateway.open();
    open_keys();
    AuditLog::Options options;
    options.directory = gateway.root() + "/data/audit";
    options.load_head = [this]() -> Result<std::string> { return head; };
    options.save_head = [this](const std::string& text) -> Status {
      head = text;
      return {};
    };
    auto opened = AuditLog::open(gateway.files, gateway.clock(), options);
    ASSERT_OK(opened);
    audit = std::move(*opened);
    api::ServiceEnv env;
    env.tapes = gateway.tapes.get();
    config = *default_config(gateway.root() + "/data");
    env.config = config;
    env.gateway_id = "sgw-0A1B2C3D";
    env.version = "test";
    env.access_keys = keys.get();
    env.audit = audit.get();
    Metrics::Env numbers;
    numbers.tapes = gateway.tapes.get();
    numbers.config = &config;
    metrics = std::make_unique<Metrics>(std::move(numbers));
    env.metrics = metrics.get();
    env.health = [this] { return health; };
    service = std::make_unique<api::Service>(std::move(env));
    door = std::make_unique<api::FrontDoor>(api::FrontDoor::Env{
        service.get(), keys.get(), audit.get(), &gateway.clock(), &gateway.random, 30 * 60'000});
  }
  void open_keys() {
    auto made = AccessKeys::open(gateway.files, gateway.clock(), gateway.random, keys_directory());
    ASSERT_OK(made);
    keys = std::move(*made);
  }
  std::string keys_directory() const { return gateway.root() + "/data/api"; }

  Credentials user(const std::string& name, Role role) {
    auto made = keys->add(name, role);
    EXPECT_OK(made);
    Credentials out;
    out.access_key_id = made->access_key_id;
    out.secret_access_key = made->secret;
    return out;
  }

  // A POST / as an SDK makes it.
  ApiRequest sign(const Credentials& who, const std::string& target, const std::string& body,
                  const SigningScope& scope = {"eu-central-1", "storagegateway"},
                  int64_t late_ms = 0) {
    SignedRequest plain;
    plain.method = "POST";
    plain.host = kHost;
    plain.path = "/";
    plain.headers = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", target}};
    plain.payload_hash = to_hex(Sha256::of(as_view(body)));
    ApiRequest out{"POST", "/", target, body};
    out.local = false;
    out.peer = "192.0.2.7";
    out.headers = {{"host", kHost}};
    for (const auto& [name, value] : plain.headers) out.headers.emplace_back(lower(name), value);
    for (const auto& [name, value] :
         sign_v4(plain, scope, who, gateway.clock().unix_ms() + late_ms)) {
      out.headers.emplace_back(lower(name), value);
    }
    return out;
  }
  static void set(ApiRequest& request, const std::string& name, const std::string& value) {
    for (auto& [known, held] : request.headers) {
      if (known == name) held = value;
    }
  }
  std::string type_of(const ApiRequest& request) {
    const ApiResponse response = door->handle(request);
    const Json body = Json::parse(response.body, nullptr, false);
    return response.status == 200 ? "ok" : body.value("__type", "no type");
  }

  ApiRequest browser(const std::string& method, const std::string& path, Headers headers,
                     const std::string& body = "") {
    ApiRequest out{method, path, "", body};
    out.local = false;
    out.peer = "192.0.2.8";
    out.headers = std::move(headers);
    out.headers.emplace_back("host", kHost);
    return out;
  }
  ApiResponse sign_in(const std::string& id, const std::string& secret) {
    return door->handle(browser("POST", "/login", {{"content-type", "application/json"}},
                                Json{{"AccessKeyId", id}, {"SecretAccessKey", secret}}.dump()));
  }
  static std::string cookie_of(const ApiResponse& response) {
    for (const auto& [name, value] : response.headers) {
      if (name == "Set-Cookie") return value.substr(0, value.find(';'));
    }
    return "";
  }

  TestGateway gateway;
  std::string head;
  std::unique_ptr<AccessKeys> keys;
  std::unique_ptr<AuditLog> audit;
  Config config;
  std::unique_ptr<Metrics> metrics;
  Status health;
  std::unique_ptr<api::Service> service;
  std::unique_ptr<api::FrontDoor> door;
};

TEST_F(FrontDoorTest, SignaturesAreVerifiedForAnyRegion) {
  const Credentials ada = user("ada", Role::admin);
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}")), "ok");
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", {"us-east-1", "storagegateway"})), "ok");
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", {"us-east-1", "s3"})),
            "InvalidSignatureException");
  ApiRequest none{"POST", "/", kAws + "ListTapes", "{}"};
  none.local = false;
  EXPECT_EQ(type_of(none), "MissingAuthenticationTokenException");
  ApiRequest nonsense = sign(ada, kAws + "ListTapes", "{}");
  set(nonsense, "authorization", "AWS4-HMAC-SHA256 Credential=x");
  EXPECT_EQ(type_of(nonsense), "IncompleteSignatureException");
}

TEST_F(FrontDoorTest, WhatWasNotSignedIsRefused) {
  const Credentials ada = user("ada", Role::admin);
  const ApiRequest good = sign(ada, kOwn + "CreatePool", R"({"Name":"a"})");
  // Another body under the same signature, with and without a hash that fits it.
  ApiRequest other = good;
  other.body = R"({"Name":"b"})";
  EXPECT_EQ(type_of(other), "InvalidSignatureException");
  other.headers.emplace_back("x-amz-content-sha256", to_hex(Sha256::of(as_view(other.body))));
  EXPECT_EQ(type_of(other), "InvalidSignatureException");
  other.headers.back().second = "UNSIGNED-PAYLOAD";
  EXPECT_EQ(type_of(other), "InvalidSignatureException");
  // Another operation.
  ApiRequest operation = good;
  operation.amz_target = kOwn + "DeletePool";
  set(operation, "x-amz-target", operation.amz_target);
  EXPECT_EQ(type_of(operation), "InvalidSignatureException");
  // Another host, path, query, method.
  ApiRequest host = good;
  set(host, "host", "elsewhere");
  EXPECT_EQ(type_of(host), "InvalidSignatureException");
  ApiRequest query = good;
  query.query = "a=b";
  EXPECT_EQ(type_of(query), "InvalidSignatureException");
  // A signature that leaves the operation out could be used for any.
  ApiRequest unsigned_target = good;
  std::string header(good.header("authorization"));
  const size_t at = header.find(";x-amz-target");
  ASSERT_NE(at, std::string::npos);
  set(unsigned_target, "authorization", header.erase(at, 13));
  EXPECT_EQ(type_of(unsigned_target), "IncompleteSignatureException");
  // Every byte of the signature counts.
  const std::string whole(good.header("authorization"));
  for (size_t i = whole.find("Signature=") + 10; i < whole.size(); ++i) {
    ApiRequest flipped = good;
    std::string changed = whole;
    changed[i] = changed[i] == '0' ? '1' : '0';
    set(flipped, "authorization", changed);
    ASSERT_EQ(type_of(flipped), "InvalidSignatureException") << i;
  }
}

TEST_F(FrontDoorTest, TheClockMayBeFiveMinutesOff) {
  const Credentials ada = user("ada", Role::admin);
  const SigningScope scope{"x", "storagegateway"};
  constexpr int64_t kLimit = 5 * 60'000;
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", scope, kLimit - 2'000)), "ok");
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", scope, 2'000 - kLimit)), "ok");
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", scope, kLimit + 2'000)),
            "InvalidSignatureException");
  EXPECT_EQ(type_of(sign(ada, kAws + "ListTapes", "{}", scope, -kLimit - 2'000)),
            "InvalidSignatureException");
}

TEST_F(FrontDoorTest, KeysAreRotatedAndRemoved) {
  const Credentials first = user("ada", Role::admin);
  auto second = keys->rotate("ada", 60'000);
  ASSERT_OK(second);
  Credentials fresh;
  fresh.access_key_id = second->access_key_id;
  fresh.secret_access_key = second->secret;
  EXPECT_EQ(type_of(sign(first, kAws + "ListTapes", "{}")), "ok");
  EXPECT_EQ(type_of(sign(fresh, kAws + "ListTapes", "{}")), "ok");
  gateway.clock().sleep_ms(60'001);
  EXPECT_EQ(type_of(sign(first, kAws + "ListTapes", "{}")), "UnrecognizedClientException");
  EXPECT_EQ(type_of(sign(fresh, kAws + "ListTapes", "{}")), "ok");
  ASSERT_OK(keys->rotate("ada", 0));
  EXPECT_EQ(type_of(sign(fresh, kAws + "ListTapes", "{}")), "UnrecognizedClientException");
  ASSERT_OK(keys->remove("ada"));
  EXPECT_CODE(keys->remove("ada"), not_found);
  EXPECT_CODE(keys->rotate("ada", 0), not_found);
  EXPECT_CODE(keys->add("no blanks", Role::viewer), invalid_argument);
}

TEST_F(FrontDoorTest, SecretsAreKeptEncryptedAndSurviveARestart) {
  const Credentials ada = user("ada", Role::operator_);
  std::ifstream in(keys_directory() + "/users.json");
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_NE(text.str().find(ada.access_key_id), std::string::npos);
  EXPECT_EQ(text.str().find(std::string(ada.secret_access_key.reveal())), std::string::npos);
  for (const char* name : {"/users.json", "/users.key"}) {
    auto info = gateway.files.info(keys_directory() + name);
    ASSERT_OK(info);
    EXPECT_EQ(info->permissions, 0600U) << name;
  }
  auto again = AccessKeys::open(gateway.files, gateway.clock(), gateway.random, keys_directory());
  ASSERT_OK(again);
  const auto found = (*again)->find(ada.access_key_id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->user, "ada");
  EXPECT_EQ(found->secret.reveal(), ada.secret_access_key.reveal());
  // A role that is edited in the file is found.
  std::string edited = text.str();
  edited.replace(edited.find("operator"), 8, "admin");
  std::ofstream(keys_directory() + "/users.json") << edited;
  EXPECT_CODE(AccessKeys::open(gateway.files, gateway.clock(), gateway.random, keys_directory()),
              corrupt);
}

// Each operation with each role: who may not is told so, and nothing else is decided by the role.
TEST_F(FrontDoorTest, EachOperationWithEachRole) {
  const std::pair<Role, Credentials> users[] = {{Role::viewer, user("vera", Role::viewer)},
                                                {Role::operator_, user("olga", Role::operator_)},
                                                {Role::admin, user("ada", Role::admin)}};
  size_t denied = 0, tried = 0;
  for (const std::string& operation : service->operations()) {
    EXPECT_TRUE(api::has_rule(operation)) << operation << " needs a row in gateway/api/roles.cc";
    const api::OperationRule rule = api::rule_of(operation);
    for (const auto& [role, credentials] : users) {
      // No input: nothing that takes any is done.
      const std::string body = operation.ends_with("DeleteUser") ? "[]" : "{}";
      const ApiResponse response = door->handle(sign(credentials, operation, body));
      const bool refused = response.status == 403;
      EXPECT_EQ(refused, role < rule.role) << operation << " as " << to_string(role);
      EXPECT_EQ(response.body.find("AccessDeniedException") != std::string::npos, refused);
      denied += refused ? 1 : 0;
      ++tried;
    }
  }
  EXPECT_EQ(tried, 3 * service->operations().size());
  EXPECT_GT(denied, 20U);
  EXPECT_LT(denied, tried);
  // What the table does not know is for admins, whatever its name says.
  EXPECT_EQ(api::rule_of(kOwn + "Frobnicate").role, Role::admin);
  EXPECT_TRUE(api::rule_of(kOwn + "Frobnicate").changes);
  EXPECT_EQ(api::rule_of(kOwn + "DescribeFrobs").role, Role::admin);
  EXPECT_EQ(api::lane_of(kOwn + "GatewayStatus"), api::Lane::look);
  EXPECT_EQ(api::lane_of(kOwn + "LoadDrive"), api::Lane::change);
  EXPECT_EQ(api::lane_of(kOwn + "ListShelf"), api::Lane::ask);
}

// Copying and writing a JSON value recurses: a body of brackets must not reach that, least of all
// from somebody who has not signed in.
TEST_F(FrontDoorTest, ABodyOfBracketsIsRefused) {
  const std::string deep(500'000, '['), end(500'000, ']');
  const std::string body = R"({"AccessKeyId":)" + deep + end + R"(,"SecretAccessKey":"x"})";
  const ApiResponse login =
      door->handle(browser("POST", "/login", {{"content-type", "application/json"}}, body));
  EXPECT_EQ(login.status, 400U);
  const Credentials ada = user("ada", Role::admin);
  for (const char* operation : {"CreateTapes", "ListTapes"}) {
    const ApiResponse signed_one = door->handle(sign(ada, kOwn + operation, body));
    EXPECT_EQ(signed_one.status, 400U) << operation;
    EXPECT_NE(signed_one.body.find("nested too deeply"), std::string::npos) << signed_one.body;
  }
  ApiRequest local{"POST", "/", kOwn + "CreateTapes", body};
  EXPECT_EQ(door->handle(local).status, 400U);
  // Brackets in a text are no nesting.
  const std::string text = Json{{"Barcode", std::string(1'000, '[') + "\\\"]{"}}.dump();
  EXPECT_EQ(type_of(sign(ada, kOwn + "DescribeTape", text)), "InvalidGatewayRequestException");
  EXPECT_TRUE(api::parse_body(text).ok());
  EXPECT_TRUE(api::parse_body(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(api::parse_body(std::string(65, '[') + std::string(65, ']')).ok());
  EXPECT_FALSE(api::parse_body("{").ok());
}

TEST_F(FrontDoorTest, ChangesAreAuditedWithTheirResult) {
  const Credentials ada = user("ada", Role::admin);
  const Credentials vera = user("vera", Role::viewer);
  const std::string tape = R"({"Barcode":"AUD001L8","SizeInBytes":1073741824})";
  EXPECT_EQ(type_of(sign(ada, kOwn + "CreateTapes", tape)), "ok");
  EXPECT_EQ(type_of(sign(ada, kOwn + "CreateTapes", tape)), "InvalidGatewayRequestException");
  EXPECT_EQ(type_of(sign(vera, kOwn + "CreateTapes", tape)), "AccessDeniedException");
  EXPECT_EQ(type_of(sign(ada, kOwn + "ListTapes", "{}")), "ok");  // reads are not
  ApiRequest local{"POST", "/", kOwn + "CreateUser", R"({"Name":"new","Role":"viewer"})"};
  local.peer = "uid 0";
  const ApiResponse made = door->handle(local);
  ASSERT_EQ(made.status, 200U);
  auto records = audit->list(10, 0);
  ASSERT_OK(records);
  ASSERT_EQ(records->size(), 4U);
  EXPECT_EQ((*records)[0]["who"], "uid 0");
  EXPECT_EQ((*records)[0]["operation"], "CreateUser");
  EXPECT_EQ((*records)[1]["result"], "denied");
  EXPECT_EQ((*records)[1]["who"], "vera");
  EXPECT_TRUE((*records)[2]["result"].get<std::string>().starts_with("exists"));
  EXPECT_EQ((*records)[3]["result"], "ok");
  EXPECT_EQ((*records)[3]["from"], "192.0.2.7");
  EXPECT_EQ((*records)[3]["input"]["Barcode"], "AUD001L8");
  // The new secret went to its user alone.
  const std::string secret = Json::parse(made.body)["SecretAccessKey"];
  EXPECT_EQ(Json(*records).dump().find(secret), std::string::npos);
  const Json hidden =
      api::without_secrets({{"a", Json::array({{{"SecretToAuthenticateInitiator", "x"}}})}});
  EXPECT_EQ(hidden["a"][0]["SecretToAuthenticateInitiator"], "(not shown)");
}

TEST_F(FrontDoorTest, NothingIsChangedWhileTheAuditLogCannotBeWritten) {
  const std::string path = gateway.root() + "/data/audit/audit.log";
  ASSERT_OK(gateway.files.create_directories(path));
  ApiRequest create{"POST", "/", kOwn + "CreateTapes",
                    R"({"Barcode":"AUD001L8","SizeInBytes":1073741824})"};
  const ApiResponse first = door->handle(create);  // done, its record waits
  EXPECT_EQ(first.status, 200U);
  create.body = R"({"Barcode":"AUD002L8","SizeInBytes":1073741824})";
  EXPECT_EQ(door->handle(create).status, 503U);
  EXPECT_CODE(gateway.tapes->show("AUD002L8"), not_found);
  const Credentials ada = user("ada", Role::admin);
  EXPECT_EQ(sign_in(ada.access_key_id, std::string(ada.secret_access_key.reveal())).status, 503U);
  EXPECT_EQ(door->handle({"POST", "/", kOwn + "ListTapes", "{}"}).status, 200U);
  ASSERT_OK(gateway.files.remove_directory(path));
  EXPECT_EQ(door->handle(create).status, 200U);
  EXPECT_EQ(audit->list(10, 0)->size(), 2U) << "who was refused did not sign in";
  EXPECT_TRUE(audit->verify()->ok());
}

TEST_F(FrontDoorTest, BrowsersSignInWithACookieAndACsrfToken) {
  const Credentials olga = user("olga", Role::operator_);
  const std::string secret(olga.secret_access_key.reveal());
  EXPECT_EQ(sign_in(olga.access_key_id, secret + "x").status, 403U);
  EXPECT_EQ(sign_in("nobody", secret).status, 403U);
  const ApiResponse in = sign_in(olga.access_key_id, secret);
  ASSERT_EQ(in.status, 200U) << in.body;
  EXPECT_EQ(in.body.find(secret), std::string::npos);
  const std::string csrf = Json::parse(in.body)["CsrfToken"];
  const std::string cookie = cookie_of(in);
  for (const auto& [name, value] : in.headers) {
    if (name != "Set-Cookie") continue;
    for (const char* part : {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"}) {
      EXPECT_NE(value.find(part), std::string::npos) << part;
    }
  }
  auto list = [&](Headers headers) {
    ApiRequest request = browser("POST", "/", std::move(headers), "{}");
    request.amz_target = kOwn + "ListTapes";
    return door->handle(request).status;
  };
  EXPECT_EQ(list({{"cookie", cookie}, {"x-coldshelf-csrf", csrf}}), 200U);
  EXPECT_EQ(list({{"cookie", "a=b; " + cookie}, {"x-coldshelf-csrf", csrf}}), 200U);
  EXPECT_EQ(list({{"cookie", cookie}}), 403U);
  EXPECT_EQ(list({{"cookie", cookie}, {"x-coldshelf-csrf", csrf + "0"}}), 403U);
  EXPECT_EQ(list({{"cookie", cookie + "0"}, {"x-coldshelf-csrf", csrf}}), 401U);
  EXPECT_EQ(list({{"cookie", cookie},
                  {"x-coldshelf-csrf", csrf},
                  {"origin", "https://elsewhere.example"}}),
            403U);
  EXPECT_EQ(list({{"cookie", cookie},
                  {"x-coldshelf-csrf", csrf},
                  {"origin", std::string("https://") + kHost}}),
            200U);
  const ApiResponse who = door->handle(browser("GET", "/session", {{"cookie", cookie}}));
  EXPECT_EQ(Json::parse(who.body)["User"], "olga");
  EXPECT_EQ(Json::parse(who.body)["Role"], "operator");
  EXPECT_EQ(Json::parse(who.body)["CsrfToken"], csrf);
  // Idle for too long; a removed user; a sign-out.
  gateway.clock().sleep_ms(31 * 60'000);
  EXPECT_EQ(list({{"cookie", cookie}, {"x-coldshelf-csrf", csrf}}), 401U);
  const ApiResponse again = sign_in(olga.access_key_id, secret);
  const std::string csrf2 = Json::parse(again.body)["CsrfToken"];
  const Headers session = {{"cookie", cookie_of(again)}, {"x-coldshelf-csrf", csrf2}};
  EXPECT_EQ(list(session), 200U);
  EXPECT_EQ(door->handle(browser("POST", "/logout", session)).status, 200U);
  EXPECT_EQ(list(session), 401U);
  const ApiResponse third = sign_in(olga.access_key_id, secret);
  const std::string csrf3 = Json::parse(third.body)["CsrfToken"];
  ASSERT_OK(keys->remove("olga"));
  EXPECT_EQ(list({{"cookie", cookie_of(third)}, {"x-coldshelf-csrf", csrf3}}), 401U);
}

TEST_F(FrontDoorTest, WhyTheGatewayIsNotWellIsNotForEverybody) {
  const Credentials vera = user("vera", Role::viewer);
  health = Error(ErrorCode::io, "the directory /srv/data has vanished");
  const ApiResponse told = door->handle(browser("GET", "/healthz", {}));
  EXPECT_EQ(told.status, 503U);
  EXPECT_EQ(Json::parse(told.body), Json({{"status", "failed"}}));
  const std::string pair = vera.access_key_id + ":" + std::string(vera.secret_access_key.reveal());
  const ApiResponse more = door->handle(
      browser("GET", "/healthz", {{"authorization", "Basic " + to_base64(as_view(pair))}}));
  EXPECT_EQ(more.status, 503U);
  EXPECT_NE(more.body.find("/srv/data"), std::string::npos);
  const ApiResponse local = door->handle({"GET", "/healthz", "", ""});
  EXPECT_NE(local.body.find("/srv/data"), std::string::npos);
}

TEST_F(FrontDoorTest, MetricsNeedAKeyHealthDoesNot) {
  const Credentials vera = user("vera", Role::viewer);
  EXPECT_EQ(door->handle(browser("GET", "/healthz", {})).status, 200U);
  EXPECT_EQ(door->handle(browser("GET", "/metrics", {})).status, 401U);
  const std::string pair = vera.access_key_id + ":" + std::string(vera.secret_access_key.reveal());
  EXPECT_EQ(door->handle(browser("GET", "/metrics",
                                 {{"authorization", "Basic " + to_base64(as_view(pair))}}))
                .status,
            200U);
  EXPECT_EQ(door->handle(browser("GET", "/metrics",
                                 {{"authorization", "Basic " + to_base64(as_view(pair + "x"))}}))
                .status,
            401U);
  EXPECT_EQ(door->handle({"GET", "/metrics", "", ""}).status, 200U);  // the local socket
}

TEST_F(FrontDoorTest, TheConsoleIsServedUnderAStrictPolicy) {
  const ApiResponse page = door->handle(browser("GET", "/", {}));
  ASSERT_EQ(page.status, 200U);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  std::map<std::string, std::string> headers(page.headers.begin(), page.headers.end());
  EXPECT_NE(headers["Content-Security-Policy"].find("script-src 'self'"), std::string::npos);
  EXPECT_EQ(headers["Content-Security-Policy"].find("unsafe"), std::string::npos);
  EXPECT_EQ(door->handle(browser("GET", "/", {{"if-none-match", headers["ETag"]}})).status, 304U);
  const ApiResponse packed = door->handle(browser("GET", "/", {{"accept-encoding", "br, gzip"}}));
  EXPECT_LT(packed.body.size(), page.body.size());
  EXPECT_EQ(packed.body.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(door->handle(browser("GET", "/", {{"accept-encoding", "gzip;q=0"}})).body, page.body);
  EXPECT_EQ(door->handle(browser("GET", "/../etc/passwd", {})).status, 404U);
  EXPECT_EQ(door->handle(browser("PUT", "/", {})).status, 405U);
}

TEST_F(FrontDoorTest, NoSecretReachesTheLog) {
  std::string logged;
  configure_log(LogLevel::debug, false);
  capture_log([&](std::string_view line) { logged += line; });
  const Credentials ada = user("ada", Role::admin);
  const std::string secret(ada.secret_access_key.reveal());
  sign_in(ada.access_key_id, secret);
  sign_in(ada.access_key_id, secret + "x");
  type_of(sign(ada, kAws + "Nothing", R"({"SecretToAuthenticateInitiator":"very-private"})"));
  capture_log(nullptr);
  configure_log(LogLevel::info, false);
  EXPECT_NE(logged.find("sign-in refused"), std::string::npos);
  EXPECT_EQ(logged.find(secret), std::string::npos);
  EXPECT_EQ(logged.find("very-private"), std::string::npos);
}

}  // namespace
}  // namespace coldshelf::test
