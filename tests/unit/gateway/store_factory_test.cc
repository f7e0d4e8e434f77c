#include "gateway/store_factory.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "tests/support/process.h"

namespace coldshelf {
namespace {

std::string error_of(const std::string& text) {
  auto parsed = parse_config(text, "c.toml", "/etc", "/data");
  return parsed.ok() ? "accepted" : parsed.error().context;
}

TEST(StoreUrl, WhatIsOneAndWhatIsNot) {
  const auto s3 = parse_store_url("s3://my-bucket/some/prefix/");
  ASSERT_TRUE(s3.ok());
  EXPECT_TRUE(s3->s3);
  EXPECT_EQ(s3->bucket, "my-bucket");
  EXPECT_EQ(s3->prefix, "some/prefix");
  EXPECT_EQ(parse_store_url("s3://my-bucket")->prefix, "");
  EXPECT_EQ(parse_store_url("/srv/store")->directory, "/srv/store");
  EXPECT_EQ(parse_store_url("file:///srv/store")->directory, "/srv/store");
  EXPECT_EQ(parse_store_url("store")->directory, "store");
  for (const char* bad : {"", "s3://", "s3:///prefix", "s3://b//p", "file://srv", "http://x/y"}) {
    EXPECT_FALSE(parse_store_url(bad).ok()) << bad;
  }
}

TEST(StoreConfig, WhatDoesNotFitTogetherIsRefused) {
  const std::string s3 = "[store]\ntype = 's3'\nurl = 's3://b/p'\n[store.s3]\n";
  EXPECT_EQ(error_of(s3), "accepted");
  const std::pair<std::string, const char*> cases[] = {
      {"[store]\ntype = 's3'\n", "c.toml:2:1: store.type: needs store.url"},
      {"[store]\nurl = 's3://b'\n", "c.toml:2:1: store.url: is for store.type"},
      {"[store]\ntype = 's3'\nurl = '/srv'\n", "store.url: must be s3://"},
      {"[store]\ntype = 's3'\nurl = 's3://'\n", "store.url: 's3://' is no store"},
      {"[store]\ntype = 'tape'\n", "it must be one of \"directory\", \"s3\""},
      {s3 + "endpoint = 'host:9000'\n", "store.s3.endpoint: must be https://"},
      {s3 + "access_key_id = 'AKID'\n", "store.s3.access_key_id: needs store.s3.secret_key_file"},
      {s3 + "secret_key_env = 'X'\n", "store.s3.secret_key_env: needs store.s3.access_key_id"},
      {s3 + "access_key_id = 'A'\nsecret_key_env = 'X'\nsecret_key_file = 'y'\n", "not both"},
      {s3 + "access_key_id = 'A'\nsecret_key_env = 'X'\nprofile = 'y'\n", "not both"},
      {s3 + "kms_key_id = 'alias/x'\n", "store.s3.kms_key_id: needs store.s3.sse"},
      {s3 + "part_size = '1MiB'\n", "store.s3.part_size: is 1MiB; it must be between 5MiB"},
  };
  for (const auto& [text, wanted] : cases) {
    EXPECT_NE(error_of(text).find(wanted), std::string::npos) << text << error_of(text);
  }
}

TEST(StoreFactory, AUrlOnACommandLineKeepsTheSettings) {
  Config::Store settings;
  settings.s3.region = "eu-central-1";
  const auto s3 = store_at("s3://b/p", settings);
  ASSERT_TRUE(s3.ok());
  EXPECT_EQ(s3->type, "s3");
  EXPECT_EQ(s3->s3.region, "eu-central-1");
  settings.type = "s3";
  EXPECT_EQ(store_at("/srv/store", settings)->type, "directory");
  EXPECT_FALSE(store_at("ftp://x", settings).ok());
}

TEST(StoreFactory, ADirectoryThatIsNotThereIsNotMadeForReading) {
  const test::ScratchDirectory scratch("/tmp");
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  Config::Store store;
  store.path = scratch.path() + "/store";
  const auto missing = open_store(store, {&files, &clock, &random}, true);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  ASSERT_TRUE(open_store(store, {&files, &clock, &random}).ok());
  EXPECT_TRUE(open_store(store, {&files, &clock, &random}, true).ok());
}

TEST(StoreFactory, SecretsAreLookedForBeforeAnythingIsAsked) {
  PosixFileSystem files;
  SystemClock clock;
  SystemRandom random;
  Config::Store store;
  store.type = "s3";
  store.url = "s3://b/p";
  store.s3.region = "us-east-1";
  store.s3.access_key_id = "AKID";
  store.s3.secret_key_file = "/nonexistent/secret";
  const auto opened = open_store(store, {&files, &clock, &random});
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().context.find("/nonexistent/secret"), std::string::npos);
}

}  // namespace
}  // namespace coldshelf
