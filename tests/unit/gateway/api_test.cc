#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "gateway/api/service.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

using api::Json;

class Api : public ::testing::Test {
 protected:
  void SetUp() override {
    gateway.open();
    service = std::make_unique<api::Service>(environment());
  }
  api::ServiceEnv environment() {
    api::ServiceEnv env;
    env.tapes = gateway.tapes.get();
    env.config = *default_config(gateway.root() + "/data");
    env.gateway_id = "sgw-0A1B2C3D";
    env.version = "test";
    env.store = gateway.store->describe();
    env.health = [this] { return health; };
    env.ready = env.health;
    configuration = env.config;
    metrics = std::make_unique<Metrics>(Metrics::Env{.tapes = gateway.tapes.get(),
                                                     .monitor = nullptr,
                                                     .meter = nullptr,
                                                     .config = &configuration,
                                                     .gateway_id = env.gateway_id,
                                                     .version = env.version,
                                                     .started_ms = 0,
                                                     .units = {},
                                                     .traffic = {},
                                                     .sessions = {},
                                                     .health = {},
                                                     .volumes = {},
                                                     .certificate_expires_ms = {}});
    env.metrics = metrics.get();
    return env;
  }
  Json ok(const std::string& operation, const Json& input = Json::object()) {
    auto out = service->run(operation, input);
    EXPECT_OK(out);
    return out.ok() ? *out : Json();
  }
  Json post(const std::string& target, const std::string& body, unsigned status) {
    const ApiResponse response = service->handle({"POST", "/", target, body});
    EXPECT_EQ(response.status, status) << response.body;
    return Json::parse(response.body, nullptr, false);
  }
  Json self() const { return {{"GatewayARN", arn_}}; }
  const std::string arn_ = "arn:aws:storagegateway:local-1:000000000000:gateway/sgw-0A1B2C3D";
  const std::string aws = "StorageGateway_20130630.";
  const std::string own = "Coldshelf_20261101.";
  TestGateway gateway;
  Status health;
  Config configuration;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<api::Service> service;
};

TEST_F(Api, TapesThroughTheirLifeInAwsTerms) {
  const Json made = ok(aws + "CreateTapeWithBarcode", {{"GatewayARN", arn_},
                                                       {"TapeBarcode", "AWS001L8"},
                                                       {"TapeSizeInBytes", 107374182400},
                                                       {"PoolId", "DEEP_ARCHIVE"}});
  const std::string arn = made["TapeARN"];
  EXPECT_TRUE(arn.ends_with(":tape/AWS001L8"));
  EXPECT_GE(arn.size(), 50U);
  Json list = ok(aws + "ListTapes");
  ASSERT_EQ(list["TapeInfos"].size(), 1U);
  EXPECT_EQ(list["TapeInfos"][0]["TapeStatus"], "AVAILABLE");
  EXPECT_EQ(list["TapeInfos"][0]["PoolId"], "DEEP_ARCHIVE");
  Json tapes = ok(aws + "DescribeTapes", {{"GatewayARN", arn_}, {"TapeARNs", {arn}}});
  EXPECT_EQ(tapes["Tapes"][0]["TapeSizeInBytes"], 107374182400);
  EXPECT_TRUE(ok(aws + "DescribeTapeArchives")["TapeArchives"].empty());

  ok(own + "ArchiveTape", {{"Barcode", "AWS001L8"}});
  gateway.settle();
  EXPECT_TRUE(ok(aws + "DescribeTapes", self())["Tapes"].empty());
  EXPECT_EQ(ok(aws + "DescribeTapeArchives")["TapeArchives"][0]["TapeStatus"], "ARCHIVED");
  EXPECT_FALSE(service->run(aws + "DeleteTape", {{"GatewayARN", arn_}, {"TapeARN", arn}}).ok());
  ok(aws + "RetrieveTapeArchive", {{"TapeARN", arn}, {"GatewayARN", arn_}});
  gateway.settle();
  EXPECT_EQ(ok(aws + "DescribeTapes", self())["Tapes"][0]["TapeStatus"], "RETRIEVED");
  ok(aws + "DeleteTape", {{"GatewayARN", arn_}, {"TapeARN", arn}});
  gateway.settle();
  EXPECT_TRUE(ok(aws + "ListTapes")["TapeInfos"].empty());
}

TEST_F(Api, CreateTapesIsDoneOncePerClientToken) {
  const Json input = {{"GatewayARN", arn_},
                      {"TapeSizeInBytes", GiB},
                      {"ClientToken", "token-1"},
                      {"NumTapesToCreate", 2},
                      {"TapeBarcodePrefix", "DR"}};
  const Json first = ok(aws + "CreateTapes", input);
  EXPECT_EQ(first["TapeARNs"].size(), 2U);
  EXPECT_EQ(ok(aws + "CreateTapes", input), first);
  EXPECT_EQ(ok(aws + "ListTapes")["TapeInfos"].size(), 2U);
}

TEST_F(Api, ListsArePaged) {
  ok(own + "CreateTapes", {{"Barcode", "PAGE01L8"}, {"SizeInBytes", GiB}, {"Count", 3}});
  Json first = ok(aws + "ListTapes", {{"Limit", 2}});
  EXPECT_EQ(first["TapeInfos"].size(), 2U);
  Json rest = ok(aws + "ListTapes", {{"Limit", 2}, {"Marker", first["Marker"]}});
  EXPECT_EQ(rest["TapeInfos"].size(), 1U);
  EXPECT_FALSE(rest.contains("Marker"));
}

TEST_F(Api, LibraryIsShownAndMoved) {
  ok(own + "CreateTapes", {{"Barcode", "LIB001L8"}, {"SizeInBytes", GiB}});
  ok(own + "LoadDrive", {{"Barcode", "LIB001L8"}, {"Drive", 2}});
  Json status = ok(own + "LibraryStatus");
  ASSERT_EQ(status["Drives"].size(), 2U);
  EXPECT_EQ(status["Drives"][1]["Barcode"], "LIB001L8");
  EXPECT_EQ(status["Drives"][1]["Loaded"], true);
  EXPECT_EQ(status["Drives"][1]["Target"], "iqn.2026-11.io.coldshelf:coldshelf-tapedrive-02");
  EXPECT_EQ(status["Slots"].size(), 4U);
  EXPECT_EQ(ok(own + "UnloadDrive", {{"Drive", 2}})["Element"], "slot 1");
  EXPECT_EQ(ok(own + "MoveMedium", {{"Source", "slot1"}, {"Destination", "ie1"}})["Barcode"],
            "LIB001L8");
  EXPECT_EQ(ok(own + "ExportTapes")["Jobs"].size(), 1U);
  EXPECT_EQ(ok(aws + "DescribeVTLDevices", self())["VTLDevices"].size(), 3U);
  EXPECT_EQ(ok(own + "ListJobs")["Jobs"][0]["Barcode"], "LIB001L8");
}

TEST_F(Api, ErrorsHaveAwsShapeAndOurCode) {
  Json e = post(own + "DescribeTape", R"({"Barcode":"NONE01"})", 400);
  EXPECT_EQ(e["__type"], "InvalidGatewayRequestException");
  EXPECT_EQ(e["code"], "not_found");
  EXPECT_EQ(e["message"], "there is no tape NONE01");
  EXPECT_EQ(post(own + "Nonsense", "{}", 400)["code"], "invalid_argument");
  EXPECT_EQ(post("", "{}", 400)["code"], "invalid_argument");
  EXPECT_EQ(post(own + "DescribeTape", "{", 400)["message"], "the body is not JSON");
  EXPECT_EQ(post(own + "DescribeTape", "[]", 400)["message"], "the input must be a JSON object");
  EXPECT_EQ(post(own + "DescribeTape", "{}", 400)["message"], "Barcode is missing");
  EXPECT_EQ(post(own + "DescribeTape", R"({"Barcode":7})", 400)["message"],
            "Barcode must be a string");
  EXPECT_EQ(post(own + "LoadDrive", R"({"Barcode":"A","Drive":-1})", 400)["message"],
            "Drive must be a whole number, not below 0");
  EXPECT_EQ(post(own + "RetrieveTape", R"({"Barcode":"NONE01","Tier":"Warp"})", 400)["message"],
            "there is no tier 'Warp'; it is Expedited, Standard or Bulk");
  EXPECT_EQ(post(own + "DescribeJob", R"({"JobId":99})", 400)["code"], "not_found");
  EXPECT_EQ(service->handle({"GET", "/elsewhere", "", ""}).status, 404U);
}

TEST_F(Api, NoOperationBreaksOnOddInput) {
  const Json odd[] = {Json::object(),
                      {{"Barcode", nullptr}, {"TapeARN", 5}, {"JobId", "x"}, {"Drive", 1e300}},
                      {{"Barcode", "\xff\xfe"}, {"TapeARN", "arn:"}, {"Source", ""}, {"Limit", 0}},
                      {{"Barcode", std::string(100'000, 'A')}, {"SizeInBytes", UINT64_MAX}}};
  for (const std::string& name : service->operations()) {
    for (const Json& input : odd) {
      const auto out = service->run(name, input);
      EXPECT_TRUE(out.ok() || out.error().code != ErrorCode::internal) << name;
    }
  }
}

TEST_F(Api, HealthAndMetrics) {
  EXPECT_EQ(service->handle({"GET", "/healthz", "", ""}).status, 200U);
  health = Error(ErrorCode::io, "the data directory has vanished");
  const ApiResponse sick = service->handle({"GET", "/healthz", "", ""});
  EXPECT_EQ(sick.status, 503U);
  EXPECT_NE(sick.body.find("vanished"), std::string::npos);
  EXPECT_EQ(service->handle({"GET", "/readyz", "", ""}).status, 503U);
  health = {};
  EXPECT_EQ(service->handle({"GET", "/readyz", "", ""}).status, 200U);
  gateway.create("MET001L8");
  const ApiResponse told = service->handle({"GET", "/metrics", "", ""});
  EXPECT_NE(told.body.find("coldshelf_tapes{status=\"AVAILABLE\"} 1\n"), std::string::npos);
  EXPECT_NE(told.body.find("coldshelf_drive_loaded{drive=\"1\"} 0\n"), std::string::npos);
}

TEST_F(Api, AStoreThatDoesNotAnswerIsNotTheCallersFault) {
  EXPECT_EQ(api::error_response(Error(ErrorCode::timed_out, "the store"), "X").status, 503U);
  EXPECT_EQ(api::error_response(Error(ErrorCode::unavailable, "the store"), "X").status, 503U);
}

// -- the socket

std::string converse(const std::string& path, const std::string& bytes, bool is_there = true) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  EXPECT_TRUE(connected == 0 || !is_there);
  std::string answer;
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) break;
    at += static_cast<size_t>(n);
  }
  ::shutdown(fd, SHUT_WR);
  char part[4096];
  for (ssize_t n = 0; (n = ::recv(fd, part, sizeof part, 0)) > 0;) {
    answer.append(part, static_cast<size_t>(n));
  }
  ::close(fd);
  return answer;
}

class Http : public ::testing::Test {
 protected:
  HttpServerOptions options() { return {.socket_path = gateway.root() + "/api.sock"}; }
  static ApiResponse echo(const ApiRequest& request) {
    if (request.body == "throw") throw std::runtime_error("a bug");
    return {200, "text/plain", request.method + " " + request.path + " " + request.body};
  }
  TestGateway gateway;
};

TEST_F(Http, AnswersAndBoundsRequests) {
  auto server = HttpServer::start(options(), echo);
  ASSERT_OK(server);
  const std::string path = options().socket_path;
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_NE(converse(path, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
                .find("POST /x hi"),
            std::string::npos);
  EXPECT_NE(converse(path, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nthrow")
                .find("HTTP/1.1 500"),
            std::string::npos);
  EXPECT_NE(converse(path, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
                .find("HTTP/1.1 413"),
            std::string::npos);
  EXPECT_EQ(converse(path, "\x01\x02 nonsense\r\n\r\n"), "");
  EXPECT_NE(converse(path, "GET /after HTTP/1.1\r\nHost: h\r\n\r\n").find("GET /after"),
            std::string::npos);
}

constexpr const char* kPost = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n";

// Operations that wait for a store, until it comes back. Those named "Quick" do not.
class HttpOfAStuckStore : public Http {
 protected:
  ApiResponse operate(const ApiRequest& request) {
    if (request.path == "/" && request.amz_target != "Quick") {
      ++begun;
      back.wait();
    }
    return {200, "text/plain", request.path};
  }
  void start(const HttpServerOptions& chosen) {
    path = chosen.socket_path;
    auto made = HttpServer::start(chosen, [this](const ApiRequest& r) { return operate(r); });
    ASSERT_OK(made);
    server = std::move(*made);
    for (int i = 0; i < 6; ++i) {
      clients.emplace_back(
          [this, i] { answers.at(static_cast<size_t>(i)) = converse(path, kPost + kEnd); });
    }
    for (int i = 0; i < 3'000 && begun < chosen.lanes[0].threads; ++i) clock.sleep_ms(10);
    EXPECT_EQ(begun, chosen.lanes[0].threads);
  }
  void come_back() {
    store.set_value();
    for (std::thread& client : clients) client.join();
  }
  bool answered(const std::string& request) {
    return converse(path, request + kEnd).find("HTTP/1.1 200") != std::string::npos;
  }

  const std::string kEnd = "\r\n";
  std::promise<void> store;
  const std::shared_future<void> back = store.get_future().share();
  std::atomic<unsigned> begun{0};
  SystemClock clock;
  std::string path;
  std::unique_ptr<HttpServer> server;
  std::vector<std::thread> clients;
  std::array<std::string, 6> answers;
};

TEST_F(HttpOfAStuckStore, ProbesDoNotWaitBehindOperations) {
  start(options());
  for (const char* probe : {"/healthz", "/readyz", "/metrics?x"}) {
    EXPECT_TRUE(answered("GET " + std::string(probe) + " HTTP/1.1\r\nHost: h\r\n")) << probe;
  }
  come_back();
  for (const std::string& one : answers) EXPECT_NE(one.find("HTTP/1.1 200"), std::string::npos);
}

TEST_F(HttpOfAStuckStore, OperationsOfAnotherLaneDoNotWait) {
  HttpServerOptions chosen = options();
  chosen.lanes = {HttpLane{2}, HttpLane{1}};
  chosen.lane_of = [](std::string_view target) {
    return target == "Quick" ? size_t{1} : size_t{0};
  };
  start(chosen);
  EXPECT_TRUE(answered(std::string(kPost) + "X-Amz-Target: Quick\r\n"));
  EXPECT_EQ(begun, 2U);
  come_back();
}

// Else those who ask again and again take every connection there may be.
TEST_F(HttpOfAStuckStore, ALaneIsFullOneDay) {
  HttpServerOptions chosen = options();
  chosen.lanes = {HttpLane{1, 4}};
  start(chosen);
  clock.sleep_ms(200);
  EXPECT_NE(converse(path, kPost + kEnd).find("HTTP/1.1 503"), std::string::npos);
  come_back();
  size_t done = 0;
  for (const std::string& one : answers) done += one.find("HTTP/1.1 200") != std::string::npos;
  EXPECT_EQ(done, 4U);
  EXPECT_TRUE(answered(kPost)) << "there is room again";
}

TEST_F(HttpOfAStuckStore, WhatWaitsIsNotBegunAnyMoreWhenItStops) {
  HttpServerOptions chosen = options();
  chosen.lanes = {HttpLane{1}};
  start(chosen);
  clock.sleep_ms(200);  // so that the others are in the queue
  std::thread stop([this] { server->stop(); });
  clock.sleep_ms(200);
  come_back();
  stop.join();
  EXPECT_EQ(begun, 1U);
  size_t done = 0;
  for (const std::string& one : answers) done += one.find("HTTP/1.1 200") != std::string::npos;
  EXPECT_EQ(done, 1U);
}

TEST_F(Http, AHeaderHasAnEnd) {
  HttpServerOptions hurried = options();
  hurried.header_timeout_s = 1;
  auto server = HttpServer::start(hurried, echo);
  ASSERT_OK(server);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  hurried.socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string begin = "GET / HTTP/1.1\r\nHos";
  ASSERT_EQ(::send(fd, begin.data(), begin.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(begin.size()));
  const timeval limit{30, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char part[16];
  EXPECT_EQ(::recv(fd, part, sizeof part, 0), 0) << "it was not closed";
  ::close(fd);
}

TEST_F(Http, GuardsItsSocket) {
  auto first = HttpServer::start(options(), echo);
  ASSERT_OK(first);
  EXPECT_CODE(HttpServer::start(options(), echo), busy);
  first->reset();
  // What a killed daemon leaves is replaced, another file is not.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options().socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  auto second = HttpServer::start(options(), echo);
  ASSERT_OK(second);
  second->reset();
  std::ofstream(options().socket_path) << "a file";
  EXPECT_CODE(HttpServer::start(options(), echo), exists);
}

TEST_F(Http, StopsWhileClientsIdle) {
  auto server = HttpServer::start(options(), echo);
  ASSERT_OK(server);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options().socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::send(fd, "POST / HT", 9, 0), 9);
  (*server)->stop();
  ::close(fd);
}

// ThreadSanitizer looks at whether the door is shut beside somebody who comes in; whoever comes
// last must not keep the server alive.
TEST_F(Http, StopsWhileClientsCome) {
  const std::string path = options().socket_path;
  for (int round = 0; round < 50; ++round) {
    const auto held = std::make_shared<int>();
    auto server = HttpServer::start(options(), [held](const ApiRequest& r) { return echo(r); });
    ASSERT_OK(server);
    std::atomic<int> answered{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back([&] {
        while (!converse(path, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false).empty()) ++answered;
      });
    }
    while (answered < 10) std::this_thread::yield();
    (*server)->stop();
    server->reset();
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(held.use_count(), 1) << "round " << round;
  }
}

}  // namespace
}  // namespace coldshelf::test
