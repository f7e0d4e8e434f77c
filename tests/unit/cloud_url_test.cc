#include <gtest/gtest.h>

#include "uploader/cloud/url.h"

namespace coldshelf::test {
namespace {

TEST(Url, Parts) {
  auto url = parse_url("https://S3.Example.com:9443/a/b?c");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "s3.example.com");
  EXPECT_EQ(url->port, 9443);
  EXPECT_EQ(url->path, "/a/b?c");
  EXPECT_EQ(url->host_and_port(), "s3.example.com:9443");
  EXPECT_EQ(url->origin(), "https://s3.example.com:9443");
  EXPECT_EQ(parse_url("https://h:443")->host_and_port(), "h");
  EXPECT_EQ(parse_url("http://h:443")->host_and_port(), "h:443");
  EXPECT_EQ(parse_url("http://h:80/")->host_and_port(), "h");
  EXPECT_EQ(parse_url("http://h")->path_or_root(), "/");
  EXPECT_EQ(parse_url("http://[fd00:ec2::254]:81/x")->host_and_port(), "[fd00:ec2::254]:81");
}

TEST(Url, Refused) {
  for (const char* bad : {"",
                          "h",
                          "h:80",
                          "://h",
                          "ftp://h",
                          "http://",
                          "http:///x",
                          "http://h:0",
                          "http://h:65536",
                          "http://h:x",
                          "http://h:",
                          "http://h:80x",
                          "http://user:sEcReT@h",
                          "http://h x/",
                          "http://h/a b",
                          "http://h\n",
                          "http://[::1",
                          "http://[h]",
                          "http://h?x",
                          "http://h#x",
                          "http://a,b/"}) {
    auto url = parse_url(bad);
    ASSERT_FALSE(url.ok()) << bad;
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(url.error().message().find("sEcReT"), std::string::npos);
  }
}

}  // namespace
}  // namespace coldshelf::test
