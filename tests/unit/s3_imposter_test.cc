// The imposter itself: that it is S3 to a client that is not ours, that it refuses what is wrong,
// and that its faults are what they are called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "tests/support/imposter/checks.h"
#include "tests/support/process.h"
#include "tests/support/s3_imposter.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Call {
  std::string method = "GET";
  std::string path = "/tapes/key";
  Fields query;
  Fields headers;
  std::string body;
  std::string secret = "imposter-secret";
  std::string token;
  std::string region = "us-east-1";
  std::string payload_hash;  // empty: the body's
  int64_t shift_ms = 0;      // of the signature's time
  Fields unsigned_headers;
};

class S3ImposterTest : public testing::Test {
 protected:
  void start(ImposterOptions options = {}) {
    auto server = S3Imposter::start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
    CurlOptions curl;
    curl.connect_timeout_ms = 1'000;
    curl.idle_timeout_ms = 300;
    auto transport = make_curl_transport(curl);
    ASSERT_TRUE(transport.ok());
    transport_ = std::move(transport).value();
  }

  Result<HttpResponse> perform(const Call& call) {
    SignedRequest to_sign;
    to_sign.method = call.method;
    to_sign.host = server_->endpoint().substr(7);
    to_sign.path = call.path;
    to_sign.query = call.query;
    to_sign.headers = call.headers;
    to_sign.payload_hash =
        call.payload_hash.empty() ? to_hex(Sha256::of(as_view(call.body))) : call.payload_hash;
    Credentials credentials;
    credentials.access_key_id = "imposter";
    credentials.secret_access_key = Secret(call.secret);
    credentials.session_token = call.token;
    HttpRequest request;
    request.method = call.method;
    request.url = server_->endpoint() + call.path;
    if (!call.query.empty()) request.url += "?" + encode_query(call.query);
    request.headers = call.headers;
    for (auto& header :
         sign_v4(to_sign, {call.region, "s3"}, credentials, clock_.unix_ms() + call.shift_ms)) {
      request.headers.push_back(std::move(header));
    }
    for (const auto& header : call.unsigned_headers) request.headers.push_back(header);
    request.body = as_view(call.body);
    return transport_->perform(request);
  }
  // "200", "403 InvalidObjectState", "error timed_out".
  std::string outcome(const Call& call) {
    const auto response = perform(call);
    if (!response.ok()) return "error " + std::string(to_string(response.error().code));
    const std::string text = to_text(response->body);
    const size_t from = text.find("<Code>");
    std::string out = std::to_string(response->status);
    if (from != std::string::npos) {
      out += " " + text.substr(from + 6, text.find("</Code>") - from - 6);
    }
    return out;
  }
  Call put(const std::string& body) {
    Call call;
    call.method = "PUT";
    call.body = body;
    return call;
  }

  SystemClock clock_;
  std::unique_ptr<S3Imposter> server_;
  std::unique_ptr<HttpTransport> transport_;
};

std::string checksum(const std::string& name, std::string_view text) {
  const auto blob = imposter::Blob::in_memory(to_buffer(as_view(text)));
  Buffer raw;
  from_base64(imposter::checksum_of(name, blob).value_or(""), raw);
  return to_hex(raw);
}

}  // namespace

TEST(S3ImposterChecksums, HaveTheirPublishedCheckValues) {
  EXPECT_EQ(checksum("crc32", "123456789"), "cbf43926");
  EXPECT_EQ(checksum("crc32c", "123456789"), "e3069283");
  EXPECT_EQ(checksum("crc64nvme", "123456789"), "ae8b14860a799888");
  EXPECT_EQ(checksum("sha1", "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST_F(S3ImposterTest, ServesTheAwsCommandLine) {
  if (!run_command({"aws", "--version"}).ok()) GTEST_SKIP() << "no aws on PATH";
  start();
  const ScratchDirectory scratch(std::filesystem::temp_directory_path());
  const std::string file = scratch.path() + "/file";
  {
    Buffer bytes(12 * MiB);
    SeededRandom random(1);
    random.fill(bytes);
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  const auto aws = [&](std::vector<std::string> arguments) {
    std::vector<std::string> command = {"env",
                                        "AWS_ACCESS_KEY_ID=imposter",
                                        "AWS_SECRET_ACCESS_KEY=imposter-secret",
                                        "AWS_DEFAULT_REGION=us-east-1",
                                        "AWS_EC2_METADATA_DISABLED=true",
                                        "AWS_CONFIG_FILE=/nonexistent",
                                        "AWS_SHARED_CREDENTIALS_FILE=/nonexistent",
                                        "AWS_MAX_ATTEMPTS=1",
                                        "aws",
                                        "--endpoint-url",
                                        server_->endpoint()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const auto done = run_to_end(command);
    return done.ok() ? done->output : done.error().message();
  };
  // Above 8 MiB the command line uploads and downloads in parts.
  aws({"s3", "cp", file, "s3://tapes/a b/big"});
  EXPECT_GT(server_->requests(S3Operation::upload_part), 1U);
  aws({"s3", "cp", "s3://tapes/a b/big", file + ".back"});
  EXPECT_TRUE(run_command({"cmp", file, file + ".back"}).ok());
  const std::string head =
      aws({"s3api", "put-object", "--bucket", "tapes", "--key", "cold", "--body", file,
           "--storage-class", "GLACIER", "--checksum-algorithm", "SHA256", "--metadata", "a=b"});
  EXPECT_NE(head.find("ChecksumSHA256"), std::string::npos) << head;
  EXPECT_NE(aws({"s3api", "get-object", "--bucket", "tapes", "--key", "cold", file + ".x"})
                .find("InvalidObjectState"),
            std::string::npos);
  aws({"s3api", "restore-object", "--bucket", "tapes", "--key", "cold", "--restore-request",
       "{\"Days\":1,\"GlacierJobParameters\":{\"Tier\":\"Bulk\"}}"});
  const std::string listed = aws({"s3", "ls", "--recursive", "s3://tapes/"});
  EXPECT_NE(listed.find("a b/big"), std::string::npos) << listed;
  const std::string shown =
      aws({"s3api", "head-object", "--bucket", "tapes", "--key", "cold", "--output", "json"});
  EXPECT_NE(shown.find("ongoing-request=\\\"true\\\""), std::string::npos) << shown;
  EXPECT_NE(shown.find("GLACIER"), std::string::npos) << shown;
  aws({"s3", "rm", "s3://tapes/a b/big"});
  EXPECT_EQ(server_->keys("tapes"), std::vector<std::string>{"cold"});
  EXPECT_THAT(server_->rejections(), testing::IsEmpty());
}

TEST_F(S3ImposterTest, RefusesWhatIsWrong) {
  start();
  EXPECT_EQ(outcome(put("content")), "200");
  Call call = put("content");
  call.secret = "another";
  EXPECT_EQ(outcome(call), "403 SignatureDoesNotMatch");
  call = put("content");
  call.region = "eu-west-1";
  EXPECT_EQ(outcome(call), "400 AuthorizationHeaderMalformed");
  call = put("content");
  call.shift_ms = -16LL * 60 * 1000;
  EXPECT_EQ(outcome(call), "403 RequestTimeTooSkewed");
  call = put("content");
  call.unsigned_headers = {{"x-amz-meta-late", "1"}};
  EXPECT_EQ(outcome(call), "403 AccessDenied");
  call = put("content");
  call.payload_hash = to_hex(Sha256::of(as_view("other")));
  EXPECT_EQ(outcome(call), "400 XAmzContentSHA256Mismatch");
  call = put("content");
  call.headers = {{"content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="}};  // of nothing
  EXPECT_EQ(outcome(call), "400 BadDigest");
  call.headers = {{"content-md5", "short"}};
  EXPECT_EQ(outcome(call), "400 InvalidDigest");
  call.headers = {{"x-amz-checksum-crc32c", "AAAAAA=="}};
  EXPECT_EQ(outcome(call), "400 BadDigest");
  call.headers = {{"x-amz-storage-class", "TAPE"}};
  EXPECT_EQ(outcome(call), "400 InvalidStorageClass");
  call = put("content");
  call.token = "no such token";
  EXPECT_EQ(outcome(call), "400 InvalidToken");
  EXPECT_EQ(server_->rejections().size(), 9U) << testing::PrintToString(server_->rejections());
  server_->expire_key("imposter");
  EXPECT_EQ(outcome(put("content")), "400 ExpiredToken");
}

TEST_F(S3ImposterTest, TakesAwsChunkedBodiesApart) {
  start();
  Call call;
  call.method = "PUT";
  call.payload_hash = std::string(kStreamingUnsignedTrailer);
  call.headers = {{"content-encoding", "aws-chunked"},
                  {"x-amz-decoded-content-length", "9"},
                  {"x-amz-trailer", "x-amz-checksum-crc32c"}};
  const std::string whole =
      "4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n";
  call.body = whole;
  EXPECT_EQ(outcome(call), "200");
  EXPECT_EQ(to_text(server_->object("tapes", "key")->bytes), "123456789");
  call.body = whole.substr(0, whole.size() - 2);
  EXPECT_EQ(outcome(call), "400 IncompleteBody");
  call.body = "4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n";
  EXPECT_EQ(outcome(call), "400 MalformedTrailerError");
  call.body = whole;
  call.body[3] = 'x';
  EXPECT_EQ(outcome(call), "400 BadDigest");
  ImposterSupport without;
  without.aws_chunked = S3Support::refused;
  server_->set_support(without);
  EXPECT_EQ(outcome(call), "501 NotImplemented");
}

TEST_F(S3ImposterTest, FaultsAreWhatTheyAreCalled) {
  start();
  const std::string content(64 * KiB, 'c');
  ASSERT_EQ(outcome(put(content)), "200");
  struct Case {
    S3Fault fault;
    std::string of_put;  // empty: not tried
    std::string of_get;
  };
  const Case cases[] = {
      {S3Fault::internal_error, "500 InternalError", "500 InternalError"},
      {S3Fault::unavailable, "503 ServiceUnavailable", "503 ServiceUnavailable"},
      {S3Fault::slow_down, "503 SlowDown", "503 SlowDown"},
      {S3Fault::bare_503, "503", "503"},
      {S3Fault::bare_404, "404", "404"},
      {S3Fault::request_timeout, "400 RequestTimeout", ""},
      {S3Fault::expired_token, "400 ExpiredToken", "400 ExpiredToken"},
      {S3Fault::hang_before_answer, "error timed_out", "error timed_out"},
      {S3Fault::hang_after_headers, "", "error timed_out"},
      {S3Fault::truncated_body, "", "error unavailable"},
      {S3Fault::reset_download, "", "error unavailable"},
      {S3Fault::corrupted_upload, "400 XAmzContentSHA256Mismatch", ""},
      {S3Fault::corrupted_body, "", "200"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(to_string(c.fault));
    if (!c.of_put.empty()) {
      server_->fail_next(S3Operation::put_object, c.fault);
      EXPECT_EQ(outcome(put("not this")), c.of_put);
      // A request that hung or was refused has changed nothing.
      EXPECT_EQ(to_text(server_->object("tapes", "key")->bytes), content);
    }
    if (!c.of_get.empty()) {
      server_->fail_next(S3Operation::get_object, c.fault);
      EXPECT_EQ(outcome({}), c.of_get);
    }
    EXPECT_EQ(server_->faults_done(c.fault),
              static_cast<uint64_t>(!c.of_put.empty()) + static_cast<uint64_t>(!c.of_get.empty()));
  }
  server_->fail_next(S3Operation::get_object, S3Fault::corrupted_body);
  const auto damaged = perform({});
  ASSERT_TRUE(damaged.ok());
  EXPECT_NE(to_text(damaged->body), content);
  server_->fail_next(S3Operation::put_object, S3Fault::wrong_etag);
  EXPECT_EQ(perform(put(content))->header("etag"), "\"00000000000000000000000000000bad\"");
  // The transport repeats what a kept connection lost: twice, then.
  server_->fail_next(S3Operation::put_object, S3Fault::lost_answer, 2);
  EXPECT_EQ(outcome(put("done")), "error unavailable");
  EXPECT_EQ(to_text(server_->object("tapes", "key")->bytes), "done");
  server_->fail_next(S3Operation::put_object, S3Fault::done_internal_error);
  EXPECT_EQ(outcome(put("done again")), "500 InternalError");
  EXPECT_EQ(to_text(server_->object("tapes", "key")->bytes), "done again");
  server_->fail_next(S3Operation::put_object, S3Fault::reset_upload, 2);
  EXPECT_EQ(outcome(put(content)), "error unavailable");
  EXPECT_EQ(to_text(server_->object("tapes", "key")->bytes), "done again");
  EXPECT_THAT(server_->rejections(), testing::IsEmpty());
}

TEST_F(S3ImposterTest, ScriptsChooseByKeyAndCount) {
  start();
  Call other = put("x");
  other.path = "/tapes/other";
  server_->fail_next(S3Operation::put_object, S3Fault::slow_down, 2, "other", 1);
  EXPECT_EQ(outcome(put("x")), "200");
  EXPECT_EQ(outcome(other), "200");
  EXPECT_EQ(outcome(other), "503 SlowDown");
  EXPECT_EQ(outcome(put("x")), "200");
  EXPECT_EQ(outcome(other), "503 SlowDown");
  EXPECT_EQ(outcome(other), "200");
  server_->hang_next_connections(1);
  auto fresh = make_curl_transport({});
  ASSERT_TRUE(fresh.ok());
  transport_ = std::move(fresh).value();
  HttpRequest bounded;
  bounded.url = server_->endpoint() + "/tapes";
  bounded.total_timeout_ms = 200;
  EXPECT_EQ(transport_->perform(bounded).error().code, ErrorCode::timed_out);
}

TEST_F(S3ImposterTest, TheSameSeedIsTheSameStorm) {
  start();
  const auto run = [&](uint64_t seed) {
    server_->set_storm({seed, 3, {S3Fault::slow_down, S3Fault::internal_error}});
    std::string log;
    for (int i = 0; i < 40; ++i) log += outcome(put("x")) + "\n";
    return log;
  };
  const std::string first = run(7);
  EXPECT_EQ(run(7), first);
  EXPECT_NE(run(8), first);
  EXPECT_NE(first.find("SlowDown"), std::string::npos);
  EXPECT_NE(first.find("InternalError"), std::string::npos);
  EXPECT_NE(first.find("200"), std::string::npos);
}

TEST_F(S3ImposterTest, ListsLagWhenTold) {
  SimClock clock;
  clock.advance_ms(SystemClock().unix_ms() - clock.unix_ms());
  ImposterOptions options;
  options.clock = &clock;
  options.support.object_lock = false;
  start(options);
  server_->set_list_lag_ms(1'000);
  Call list;
  list.path = "/tapes";
  list.query = {{"list-type", "2"}};
  const auto listed = [&] {
    const auto response = perform(list);
    return response.ok() && to_text(response->body).find("<Key>key</Key>") != std::string::npos;
  };
  ASSERT_EQ(outcome(put("x")), "200");
  EXPECT_FALSE(listed());
  server_->advance_ms(1'000);
  EXPECT_TRUE(listed());
  Call remove;
  remove.method = "DELETE";
  ASSERT_EQ(outcome(remove), "204");
  EXPECT_EQ(outcome({}), "404 NoSuchKey");
  EXPECT_TRUE(listed());
  server_->advance_ms(1'000);
  EXPECT_FALSE(listed());
}

TEST_F(S3ImposterTest, PagesThroughKeysAndFolders) {
  start();
  for (const char* path : {"/tapes/a", "/tapes/f/1", "/tapes/f/2", "/tapes/g/1", "/tapes/h"}) {
    Call call = put("x");
    call.path = path;
    ASSERT_EQ(outcome(call), "200");
  }
  const auto names = [&](bool folders) {
    std::string all;
    std::string token;
    for (int page = 0; page < 10; ++page) {
      Call call;
      call.path = "/tapes";
      call.query = {{"list-type", "2"}, {"max-keys", "1"}};
      if (folders) call.query.emplace_back("delimiter", "/");
      if (!token.empty()) call.query.emplace_back("continuation-token", token);
      const auto response = perform(call);
      if (!response.ok()) return response.error().message();
      const std::string text = to_text(response->body);
      for (const std::string tag : {"<Key>", "<CommonPrefixes><Prefix>"}) {
        const size_t at = text.find(tag);
        if (at == std::string::npos) continue;
        const size_t from = at + tag.size();
        all += text.substr(from, text.find('<', from) - from) + " ";
      }
      const size_t next = text.find("<NextContinuationToken>");
      if (next == std::string::npos) return all;
      token = text.substr(next + 23, text.find('<', next + 23) - next - 23);
    }
    return all + "endless";
  };
  EXPECT_EQ(names(false), "a f/1 f/2 g/1 h ");
  EXPECT_EQ(names(true), "a f/ g/ h ");
}

TEST_F(S3ImposterTest, KeepsBodiesInFilesWhenAsked) {
  const ScratchDirectory scratch(std::filesystem::temp_directory_path());
  ImposterOptions options;
  options.directory = scratch.path();
  options.support.object_lock = false;
  start(options);
  const std::string content(600 * KiB, 'f');
  ASSERT_EQ(outcome(put(content)), "200");
  const auto files = [&] {
    const std::filesystem::directory_iterator all(scratch.path());
    return std::distance(begin(all), end(all));
  };
  EXPECT_EQ(files(), 1);
  EXPECT_EQ(to_text(perform({})->body), content);
  ASSERT_EQ(outcome(put("another")), "200");
  EXPECT_EQ(files(), 1);
}

}  // namespace coldshelf::test
