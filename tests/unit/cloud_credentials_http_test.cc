// The chain over real HTTP on loopback: what only a transport can get wrong.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/clock.h"
#include "tests/support/process.h"
#include "tests/support/raw_http_server.h"
#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/credentials.h"

namespace coldshelf::test {
namespace {

std::string http_text(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

class CredentialsOverHttp : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_curl_transport({});
    ASSERT_TRUE(made.ok());
    http_ = std::move(made).value();
    options_.home = scratch_.path();
    options_.environment = [this](const char* name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    };
  }
  Result<Credentials> get() {
    return make_credential_chain(files_, clock_, *http_, options_)->get();
  }

  const ScratchDirectory scratch_{"/tmp"};
  PosixFileSystem files_;
  SystemClock clock_;
  std::unique_ptr<HttpTransport> http_;
  std::map<std::string, std::string> environment_;
  CredentialOptions options_;
};

// A proxy that is set for the world outside must not see the machine's own credentials.
TEST_F(CredentialsOverHttp, InstanceMetadataGoesPastTheProxy) {
  RawHttpServer proxy([](RawConnection& c) {
    ADD_FAILURE() << "asked the proxy: " << c.read_head();
    c.send(http_text("502 Bad Gateway", ""));
  });
  RawHttpServer server([this](RawConnection& c) {
    for (auto r = c.read_request(); !r.head.empty(); r = c.read_request()) {
      if (r.head.starts_with("PUT /latest/api/token HTTP/1.1\r\n")) {
        c.send(http_text("200 OK", "T0KEN"));
      } else if (r.head.find("x-aws-ec2-metadata-token: T0KEN\r\n") == std::string::npos) {
        c.send(http_text("401 Unauthorized", ""));
      } else if (r.head.starts_with("GET /latest/meta-data/iam/security-credentials/ ")) {
        c.send(http_text("200 OK", "role"));
      } else {
        c.send(http_text("200 OK", R"({"Code":"Success","AccessKeyId":"AKI","SecretAccessKey":"s",)"
                                   R"("Token":"t","Expiration":")" +
                                       format_utc(clock_.unix_ms() + 3'600'000) + "\"}"));
      }
    }
  });
  ::setenv("http_proxy", proxy.url("").c_str(), 1);
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url("/");
  auto got = get();
  ::unsetenv("http_proxy");
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "AKI");
}

TEST_F(CredentialsOverHttp, AServiceThatHangsEndsInTime) {
  RawHttpServer server([](RawConnection& c) { c.wait_for_peer(); });
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url("");
  const int64_t before = clock_.monotonic_ns();
  EXPECT_EQ(get().error().code, ErrorCode::permission);  // nobody gives any
  EXPECT_LT(clock_.monotonic_ns() - before, 6'000'000'000);
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url("/c");
  EXPECT_EQ(get().error().code, ErrorCode::unavailable);
}

TEST_F(CredentialsOverHttp, AContainerGivesCredentials) {
  RawHttpServer server([](RawConnection& c) {
    const auto r = c.read_request();
    EXPECT_TRUE(r.head.starts_with("GET /role?x=1 HTTP/1.1\r\n")) << r.head;
    EXPECT_NE(r.head.find("authorization: Basic abc\r\n"), std::string::npos) << r.head;
    c.send(http_text("200 OK", R"({"AccessKeyId":"AKC","SecretAccessKey":"s","Token":"t"})"));
  });
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/role?x=1")},
                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc"}};
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "AKC");
}

// The refreshed token goes back into the user's cache, readable by nobody else.
TEST_F(CredentialsOverHttp, TheSsoCacheStaysPrivate) {
  RawHttpServer server([](RawConnection& c) {
    for (auto r = c.read_request(); !r.head.empty(); r = c.read_request()) {
      c.send(http_text("200 OK",
                       r.head.starts_with("POST /token ")
                           ? R"({"accessToken":"fresh","expiresIn":3600,"refreshToken":"R2"})"
                           : R"({"roleCredentials":{"accessKeyId":"AKS","secretAccessKey":"s",)"
                             R"("sessionToken":"t","expiration":0}})"));
    }
  });
  const std::string aws = scratch_.path() + "/.aws";
  ASSERT_TRUE(files_.create_directories(aws + "/sso/cache").ok());
  const std::string config =
      "[default]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"
      "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://x\n";
  ASSERT_TRUE(files_.replace_file(aws + "/config", as_view(config)).ok());
  const std::string cache = aws + "/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
  const std::string token =
      R"({"accessToken":"old","expiresAt":"2001-01-01T00:00:00Z","refreshToken":"R1",)"
      R"("clientId":"i","clientSecret":"s"})";
  ASSERT_TRUE(files_.replace_file(cache, as_view(token)).ok());
  options_.sso_endpoint = server.url("");
  options_.sso_oidc_endpoint = server.url("");
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "AKS");
  EXPECT_NE(to_text(*files_.read_file(cache)).find("R2"), std::string::npos);
  EXPECT_EQ(files_.info(cache)->permissions, 0600U);
}

}  // namespace
}  // namespace coldshelf::test
