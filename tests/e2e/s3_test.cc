// The real daemon with a tape's whole life in S3: Swift, with and without TLS, and moto for the
// archive classes. What stands in the bucket is looked at with AWS's own command line.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file_system.h"
#include "base/sha256.h"
#include "tests/e2e/gateway.h"
#include "tests/support/s3_server.h"

namespace coldshelf::test {
namespace {

constexpr unsigned kRecords = 80;
constexpr size_t kMaxRecord = 512 * KiB;
constexpr uint64_t kSeed = 20261121;

std::string configuration(Gateway& gateway, const S3Server& server, const std::string& bucket,
                          const std::string& pool_class) {
  const std::string secret = gateway.directory() + "/secret";
  std::ofstream(secret) << server.secret() << "\n";
  std::filesystem::permissions(secret, std::filesystem::perms(0600));
  return "[cartridge]\nsegment_size = \"4MiB\"\n[store]\ntype = \"s3\"\nurl = \"s3://" + bucket +
         "/shelf\"\nrestore_poll = \"50ms\"\n[store.s3]\nregion = \"us-east-1\"\nendpoint = \"" +
         server.endpoint() + "\"\nca_file = \"" + server.ca_file() + "\"\naccess_key_id = \"" +
         server.access_key_id() + "\"\nsecret_key_file = \"" + secret +
         "\"\n[[pool]]\nname = \"POOL\"\nstorage_class = \"" + pool_class + "\"\n";
}

void write_tape(Gateway& gateway, unsigned drive) {
  auto client = gateway.drive(drive);
  ASSERT_TRUE(client.ok()) << client.error().message();
  for (unsigned n = 0; n < kRecords; ++n) {
    Buffer record = numbered_record(kSeed, n, kMaxRecord);
    const Status written = client->write(record);
    ASSERT_TRUE(written.ok()) << written.error().message();
  }
  ASSERT_TRUE(client->write_filemarks(1, false).ok());
}

void check_tape(Gateway& gateway, unsigned drive) {
  auto client = gateway.drive(drive);
  ASSERT_TRUE(client.ok()) << client.error().message();
  ASSERT_TRUE(client->rewind().ok());
  Buffer room(1 * MiB);
  for (unsigned n = 0; n < kRecords; ++n) {
    const auto next = client->read_next(room);
    ASSERT_TRUE(next.ok()) << next.error().message() << " record " << n;
    ASSERT_TRUE(equal(ByteView(room).first(next->size), numbered_record(kSeed, n, kMaxRecord)))
        << "record " << n;
  }
  const auto mark = client->read_next(room);
  ASSERT_TRUE(mark.ok()) << mark.error().message();
  EXPECT_EQ(mark->kind, TapeClient::Next::Kind::filemark);
}

bool have_aws() { return run_command({"sh", "-c", "command -v aws"}).ok(); }

// `aws s3api ...` with JSON as its answer.
nlohmann::json aws(const S3Server& server, std::vector<std::string> arguments) {
  std::vector<std::string> command = {"env"};
  for (const std::string& variable : server.environment()) command.push_back(variable);
  command.insert(command.end(), {"aws", "--endpoint-url", server.endpoint(), "s3api"});
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto result = run_to_end(command, false);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0) << result->output;
  return nlohmann::json::parse(result->output, nullptr, false);
}

// Segments as the store's own tools see it: its class, and content that matches the digest.
void check_objects(Gateway& gateway, S3Server& server, const std::string& bucket,
                   const std::string& pool_class, bool readable) {
  if (!have_aws()) GTEST_SKIP() << "no aws command line here";
  const auto listed =
      aws(server, {"list-objects-v2", "--bucket", bucket, "--prefix", "shelf/cartridges/"});
  unsigned segments = 0;
  unsigned manifests = 0;
  for (const auto& object : listed.at("Contents")) {
    const std::string key = object.at("Key");
    if (key.ends_with("/manifest")) ++manifests;
    if (!key.ends_with(".seg")) continue;
    // A look at some is enough: each costs the start of a Python program.
    if (++segments > 2) continue;
    const auto head = aws(server, {"head-object", "--bucket", bucket, "--key", key});
    EXPECT_EQ(head.value("StorageClass", "STANDARD"), pool_class);
    EXPECT_EQ(head.at("ContentLength"), object.at("Size"));
    const std::string digest = head.at("Metadata").at("coldshelf-sha256");
    if (!readable) continue;
    const std::string copy = gateway.directory() + "/copy";
    aws(server, {"get-object", "--bucket", bucket, "--key", key, copy});
    const auto content = PosixFileSystem().read_file(copy);
    ASSERT_TRUE(content.ok());
    EXPECT_EQ(to_hex(Sha256::of(*content)), digest) << key;
  }
  EXPECT_GE(segments, 3U);
  EXPECT_EQ(manifests, 1U);
}

void whole_life(S3Server& server, const std::string& pool_class) {
  const bool cold = pool_class != "STANDARD";
  const std::string bucket = server.make_bucket();
  Gateway gateway;
  gateway.set_configuration(configuration(gateway, server, bucket, pool_class));
  const Status started = gateway.start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  gateway.ok({"tape", "create", "--barcode", "CLOUD1L8", "--size", "10GiB"});
  gateway.ok({"library", "load", "CLOUD1L8", "1"});
  write_tape(gateway, 1);
  gateway.ok({"library", "unload", "1"});
  gateway.ok({"tape", "archive", "CLOUD1L8", "--wait"});
  EXPECT_EQ(gateway.json({"tape", "show", "CLOUD1L8"}).at("Status"), "ARCHIVED");
  check_objects(gateway, server, bucket, pool_class, !cold);

  // Nothing of it is here any more: what is read comes from the bucket.
  gateway.ok({"tape", "retrieve", "CLOUD1L8", "--tier", "Expedited", "--wait"});
  gateway.ok({"library", "load", "CLOUD1L8", "2"});
  check_tape(gateway, 2);
  gateway.ok({"library", "unload", "2"});
  gateway.ok({"tape", "verify", "CLOUD1L8"});
  EXPECT_EQ(gateway.stop(), 0);
  EXPECT_EQ(gateway.log().find(server.secret() + "\""), std::string::npos);
}

TEST(S3EndToEnd, ATapesLifeInSwift) {
  const auto server = S3Server::swift();
  if (!server.ok()) GTEST_SKIP() << server.error().message();
  whole_life(**server, "STANDARD");
}

TEST(S3EndToEnd, ATapesLifeOnTheGlacierShelf) {
  const auto server = S3Server::moto();
  if (!server.ok()) GTEST_SKIP() << server.error().message();
  whole_life(**server, "GLACIER");
}

TEST(S3EndToEnd, TlsIsCheckedAgainstTheConfiguredAuthority) {
  const auto server = S3Server::swift_with_tls();
  if (!server.ok()) GTEST_SKIP() << server.error().message();
  const std::string bucket = (*server)->make_bucket();
  Gateway gateway;
  const std::string trusted = configuration(gateway, **server, bucket, "STANDARD");
  gateway.set_configuration(trusted);
  const Status started = gateway.start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  gateway.ok({"tape", "create", "--barcode", "CLOUD2L8", "--size", "10GiB"});
  EXPECT_EQ(gateway.stop(), 0);

  std::string untrusting = trusted;
  const std::string key = "ca_file = \"" + (*server)->ca_file() + "\"\n";
  untrusting.replace(untrusting.find(key), key.size(), "");
  gateway.set_configuration(untrusting);
  CommandResult result;
  ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.exit_code, 124) << result.output;
  EXPECT_NE(result.output.find("certificate"), std::string::npos) << result.output;
}

TEST(S3EndToEnd, WhatIsWrongForGoodStopsTheStartAndSaysWhat) {
  const auto server = S3Server::swift();
  if (!server.ok()) GTEST_SKIP() << server.error().message();
  const std::string bucket = (*server)->make_bucket();
  Gateway gateway;
  const std::string right = configuration(gateway, **server, bucket, "STANDARD");
  const auto refused = [&](const std::string& text, const std::string& with) {
    gateway.set_configuration(text);
    CommandResult result;
    ASSERT_TRUE(gateway.start_expecting_exit(result).ok());
    EXPECT_NE(result.exit_code, 0);
    EXPECT_NE(result.exit_code, 124) << result.output;
    EXPECT_NE(result.output.find(with), std::string::npos) << result.output;
    EXPECT_EQ(result.output.find((*server)->secret() + "x"), std::string::npos);
  };
  std::string wrong = right;
  wrong.replace(wrong.find(bucket), bucket.size(), "no-such-bucket");
  refused(wrong, "bucket 'no-such-bucket' does not exist");
  refused(configuration(gateway, **server, bucket, "GLACIER"), "GLACIER");
  std::ofstream(gateway.directory() + "/secret") << (*server)->secret() << "x\n";
  refused(right, "SignatureDoesNotMatch");
}

}  // namespace
}  // namespace coldshelf::test
