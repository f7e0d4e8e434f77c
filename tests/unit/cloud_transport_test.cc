// HttpTransport against a server whose every byte the test decides.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "tests/support/memory_file.h"
#include "tests/support/raw_http_server.h"
#include "uploader/cloud/http.h"

namespace coldshelf::test {

namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"x\"\r\n\r\nok";

std::unique_ptr<HttpTransport> transport(CurlOptions options = {}) {
  auto made = make_curl_transport(options);
  EXPECT_TRUE(made.ok());
  return std::move(made).value();
}

HttpRequest get(const RawHttpServer& server, const std::string& path = "/") {
  HttpRequest request;
  request.url = server.url(path);
  return request;
}

int64_t now_ms() { return SystemClock().monotonic_ns() / 1'000'000; }

// Answers every request of a connection the same.
RawHttpServer::Handler always(std::string_view answer) {
  return [answer](RawConnection& c) {
    while (!c.read_request().head.empty()) c.send(answer);
  };
}

}  // namespace

TEST(CloudTransport, AnswersOfEveryStatusAreResultsAndConnectionsAreKept) {
  RawHttpServer server([](RawConnection& c) {
    for (auto request = c.read_request(); !request.head.empty(); request = c.read_request()) {
      EXPECT_NE(request.head.find("GET /a/../b%20c?x=%2F HTTP/1.1\r\n"), std::string::npos);
      EXPECT_NE(request.head.find("X-Empty:\r\n"), std::string::npos);
      c.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-Amz-Request-Id:  id \r\n\r\ngone");
    }
  });
  auto http = transport();
  HttpRequest request = get(server, "/a/../b%20c?x=%2F");
  request.headers = {{"X-Empty", ""}};
  Buffer sink(2);
  request.sink = sink;
  for (int i = 0; i < 5; ++i) {
    const auto response = http->perform(request);
    ASSERT_TRUE(response.ok()) << response.error().message();
    EXPECT_EQ(response->status, 404);
    EXPECT_EQ(response->header("x-amz-request-id"), "id");
    EXPECT_EQ(as_text(response->body), "gone");
    EXPECT_EQ(response->sink_bytes, 0U);
    EXPECT_FALSE(response->repeated);
  }
  EXPECT_EQ(server.connections(), 1U);
}

TEST(CloudTransport, TheBodyOfASuccessGoesIntoTheCallersMemory) {
  RawHttpServer server(always("HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nabcde"));
  auto http = transport();
  HttpRequest request = get(server);
  Buffer sink(5);
  request.sink = sink;
  auto response = http->perform(request);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->sink_bytes, 5U);
  EXPECT_EQ(as_text(sink), "abcde");
  EXPECT_TRUE(response->body.empty());
  Buffer larger(9);
  request.sink = larger;
  response = http->perform(request);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->sink_bytes, 5U);
  Buffer smaller(4);
  request.sink = smaller;
  response = http->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::out_of_range);
}

TEST(CloudTransport, ABodyOverTheLimitIsRefused) {
  RawHttpServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"));
  HttpRequest request = get(server);
  request.max_body_bytes = 4;
  const auto response = transport()->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::out_of_range);
}

TEST(CloudTransport, ABodyCutShortIsUnavailable) {
  RawHttpServer server([](RawConnection& c) {
    c.read_request();
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  });
  HttpRequest request = get(server);
  Buffer sink(10);
  request.sink = sink;
  const auto response = transport()->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::unavailable) << response.error().message();
  EXPECT_EQ(response.error().disposition, Disposition::retry);
}

TEST(CloudTransport, AResetIsUnavailable) {
  RawHttpServer server([](RawConnection& c) {
    c.read_head();
    c.reset();
  });
  HttpRequest request = get(server);
  request.method = "PUT";
  const std::string body(8 * MiB, 'x');
  request.body = as_view(body);
  const auto response = transport()->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::unavailable) << response.error().message();
}

TEST(CloudTransport, NobodyListensIsUnavailable) {
  HttpRequest request;
  {
    RawHttpServer server(always(kOk));
    request = get(server);
  }
  const auto response = transport()->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::unavailable);
}

TEST(CloudTransport, AServerThatHangsTimesOut) {
  RawHttpServer server([](RawConnection& c) { c.wait_for_peer(); });
  CurlOptions options;
  options.idle_timeout_ms = 300;
  const int64_t before = now_ms();
  const auto response = transport(options)->perform(get(server));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::timed_out);
  EXPECT_GE(now_ms() - before, 250);
  EXPECT_LT(now_ms() - before, 3'000);
}

TEST(CloudTransport, AHangAfterTheTcpHandshakeTimesOutForTls) {
  RawHttpServer server([](RawConnection& c) { c.wait_for_peer(); });
  CurlOptions options;
  options.connect_timeout_ms = 300;
  HttpRequest request;
  request.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/";
  const int64_t before = now_ms();
  const auto response = transport(options)->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::timed_out) << response.error().message();
  EXPECT_LT(now_ms() - before, 3'000);
}

TEST(CloudTransport, ASlowBodyIsNotIdleButHasAnEnd) {
  // A byte every 50 ms: never idle for 400 ms.
  RawHttpServer server([](RawConnection& c) {
    c.read_request();
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 30; ++i) {
      c.send("x");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  CurlOptions options;
  options.idle_timeout_ms = 400;
  HttpRequest request = get(server);
  request.total_timeout_ms = 1'200;
  const int64_t before = now_ms();
  const auto response = transport(options)->perform(request);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::timed_out);
  EXPECT_GE(now_ms() - before, 1'100);
  EXPECT_LT(now_ms() - before, 3'000);
}

TEST(CloudTransport, GiveUpEndsWhatIsUnderWayAndWhatComesLater) {
  RawHttpServer server([](RawConnection& c) { c.wait_for_peer(); });
  auto http = transport();
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    http->give_up();
  });
  const int64_t before = now_ms();
  auto response = http->perform(get(server));
  other.join();
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::cancelled);
  EXPECT_LT(now_ms() - before, 2'000);
  response = http->perform(get(server));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::cancelled);
}

TEST(CloudTransport, BodiesComeFromFilesWithoutWaitingForAContinue) {
  RawHttpServer server([](RawConnection& c) {
    for (auto request = c.read_request(); !request.head.empty(); request = c.read_request()) {
      EXPECT_EQ(request.head.find("100-continue"), std::string::npos);
      if (request.body.size() < 5 * MiB) return;  // the reading that fails on purpose
      EXPECT_EQ(request.body, std::string(5 * MiB, 'y'));
      c.send(kOk);
    }
  });
  MemoryFile file(as_view("xx" + std::string(5 * MiB, 'y') + "zz"));
  HttpRequest request = get(server);
  request.method = "PUT";
  request.file = &file;
  request.file_offset = 2;
  request.file_bytes = 5 * MiB;
  uint64_t seen = 0;
  request.on_body_sent = [&](ByteView piece) { seen += piece.size(); };
  auto http = transport();
  const int64_t before = now_ms();
  const auto response = http->perform(request);
  ASSERT_TRUE(response.ok()) << response.error().message();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->header("etag"), "\"x\"");
  EXPECT_EQ(seen, 5 * MiB);
  EXPECT_LT(now_ms() - before, 900);

  file.fail_read(file.reads() + 1);
  const auto failed = http->perform(request);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::io) << failed.error().message();
}

TEST(CloudTransport, EmptyBodiesHaveALength) {
  RawHttpServer server([](RawConnection& c) {
    for (auto request = c.read_request(); !request.head.empty(); request = c.read_request()) {
      EXPECT_NE(request.head.find("Content-Length: 0\r\n"), std::string::npos) << request.head;
      c.send(kOk);
    }
  });
  auto http = transport();
  for (const char* method : {"PUT", "POST"}) {
    HttpRequest request = get(server);
    request.method = method;
    const auto response = http->perform(request);
    ASSERT_TRUE(response.ok()) << response.error().message();
  }
}

TEST(CloudTransport, ARequestOnAConnectionThatWasClosedMeanwhileIsSentAgainWhole) {
  // The first connection answers once and goes away when the second request has come.
  RawHttpServer server([](RawConnection& c) {
    auto request = c.read_request();
    while (!request.head.empty()) {
      c.send(kOk);
      request = c.read_request();
      if (c.number() == 0) return;
      EXPECT_TRUE(request.head.empty() || request.body == "the body");
    }
  });
  auto http = transport();
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = as_view("the body");
  std::string sent;
  request.on_body_sent = [&](ByteView piece) { sent += as_text(piece); };
  request.on_body_restart = [&] { sent.clear(); };
  ASSERT_TRUE(http->perform(request).ok());
  sent.clear();
  const auto response = http->perform(request);
  ASSERT_TRUE(response.ok()) << response.error().message();
  EXPECT_TRUE(response->repeated);
  EXPECT_EQ(sent, "the body");
  EXPECT_EQ(server.connections(), 2U);
}

TEST(CloudTransport, AwsChunkedFramesTheBodyAndEndsWithTheTrailer) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1 * MiB}, size_t{2 * MiB + 5}}) {
    std::string received;
    RawHttpServer server([&](RawConnection& c) {
      received = c.read_request().body;
      c.send(kOk);
    });
    const std::string body(size, 'b');
    std::string sent;
    HttpRequest request = get(server);
    request.method = "PUT";
    request.body = as_view(body);
    request.aws_chunked = true;
    request.on_body_sent = [&](ByteView piece) { sent += as_text(piece); };
    request.trailer = [&] {
      EXPECT_EQ(sent.size(), size);
      return std::string("x-sum:0000\r\n");
    };
    request.trailer_bytes = 12;
    const auto response = transport()->perform(request);
    ASSERT_TRUE(response.ok()) << response.error().message();
    // Take the frames apart again.
    std::string_view rest = received;
    std::string content;
    while (true) {
      const size_t end = rest.find("\r\n");
      ASSERT_NE(end, std::string_view::npos);
      const size_t n = std::stoul(std::string(rest.substr(0, end)), nullptr, 16);
      rest.remove_prefix(end + 2);
      if (n == 0) break;
      ASSERT_GE(rest.size(), n + 2);
      content += rest.substr(0, n);
      EXPECT_EQ(rest.substr(n, 2), "\r\n");
      rest.remove_prefix(n + 2);
    }
    EXPECT_EQ(rest, "x-sum:0000\r\n\r\n");
    EXPECT_EQ(content, body);
  }
}

TEST(CloudTransport, OnlyTheLastAnswersHeadersCount) {
  RawHttpServer server(
      always("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
             "HTTP/1.1 204 No Content\r\nX-Late: 2\r\nX-Late: 3\r\n\r\n"));
  HttpRequest request = get(server);
  request.method = "DELETE";
  const auto response = transport()->perform(request);
  ASSERT_TRUE(response.ok()) << response.error().message();
  EXPECT_EQ(response->status, 204);
  EXPECT_EQ(response->header("x-early"), "");
  EXPECT_EQ(response->header("x-late"), "2,3");
}

TEST(CloudTransport, RedirectsAreNotFollowedAndOtherSchemesRefused) {
  RawHttpServer server(
      always("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"));
  auto http = transport();
  const auto response = http->perform(get(server));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 301);
  HttpRequest file;
  file.url = "file:///etc/passwd";
  const auto refused = http->perform(file);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST(CloudTransport, AMissingCertificateFileIsSaidAtOnce) {
  CurlOptions options;
  options.ca_file = "/nonexistent/ca.pem";
  const auto made = make_curl_transport(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::not_found);
}

TEST(CloudTransport, PercentEncoding) {
  EXPECT_EQ(percent_encode("a/b c~-._\xc3\xa4+", true), "a/b%20c~-._%C3%A4%2B");
  EXPECT_EQ(percent_encode("a/b", false), "a%2Fb");
}

}  // namespace coldshelf::test
