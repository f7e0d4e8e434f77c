// The S3 client over a transport that only remembers: what it asks, and what it makes of answers.
#include <gtest/gtest.h>

#include <deque>

#include "base/crc32c.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/s3_client.h"
#include "uploader/cloud/s3_store.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {
namespace {

constexpr const char* kSecret = "wJalrXUtnFEMI/K7MDENG";

struct Exchange {
  HttpRequest request;
  std::string body;  // as sent, without framing
  std::string trailer;
};

class RecordingTransport final : public HttpTransport {
 public:
  void answer(int status, std::map<std::string, std::string> headers = {}, std::string body = {}) {
    HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    response.body = to_buffer(as_view(body));
    answers_.push_back(std::move(response));
  }
  Result<HttpResponse> perform(const HttpRequest& request) override {
    Exchange exchange{request, to_text(request.body), ""};
    if (request.on_body_sent) request.on_body_sent(request.body);
    if (request.trailer) exchange.trailer = request.trailer();
    exchanges.push_back(std::move(exchange));
    if (answers_.empty()) return Error(ErrorCode::unavailable, "nothing more was expected");
    HttpResponse response = std::move(answers_.front());
    answers_.pop_front();
    if (!request.sink.empty() && response.status / 100 == 2) {
      response.sink_bytes = std::min(request.sink.size(), response.body.size());
      std::copy_n(response.body.begin(), response.sink_bytes, request.sink.begin());
    }
    return response;
  }
  void give_up() override {}

  std::vector<Exchange> exchanges;

 private:
  std::deque<HttpResponse> answers_;
};

class CountingCredentials final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    Credentials c;
    c.access_key_id = "AKIDEXAMPLE";
    c.secret_access_key = Secret(std::string_view(kSecret));
    c.session_token = "token-" + std::to_string(expired);
    return c;
  }
  void expire() override { ++expired; }
  int expired = 0;
};

std::string header(const HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "absent";
}

std::string error_xml(const std::string& code, const std::string& more = {}) {
  return "<?xml version=\"1.0\"?>\n<Error><Code>" + code + "</Code><Message>as said</Message>" +
         more + "<RequestId>R1</RequestId></Error>";
}

class S3ClientTest : public testing::Test {
 protected:
  S3Client& client(S3ClientOptions options = {}) {
    if (options.bucket.empty()) options.bucket = "my-bucket";
    auto made = S3Client::create(options, http_, credentials_, clock_);
    EXPECT_TRUE(made.ok());
    client_ = std::move(made).value();
    return *client_;
  }
  std::string url_of(const S3ClientOptions& options, const std::string& key) {
    http_.answer(404, {{"x-amz-request-id", "R1"}});
    EXPECT_FALSE(client(options).head_object(key, false).ok());
    return http_.exchanges.back().request.url;
  }
  S3Body body(std::string_view text) {
    S3Body body;
    body.bytes = as_view(text);
    body.payload_hash = to_hex(Sha256::of(body.bytes));
    return body;
  }

  RecordingTransport http_;
  CountingCredentials credentials_;
  SimClock clock_;
  std::unique_ptr<S3Client> client_;
};

TEST_F(S3ClientTest, AddressesOfAwsAndOthers) {
  EXPECT_EQ(url_of({"my-bucket", "eu-central-1", "", {}}, "a b/ü+%"),
            "https://my-bucket.s3.eu-central-1.amazonaws.com/a%20b/%C3%BC%2B%25");
  EXPECT_EQ(url_of({"my.bucket", "eu-central-1", "", {}}, "k"),
            "https://s3.eu-central-1.amazonaws.com/my.bucket/k");
  EXPECT_EQ(url_of({"my-bucket", "cn-north-1", "", S3Addressing::path}, "k"),
            "https://s3.cn-north-1.amazonaws.com.cn/my-bucket/k");
  EXPECT_EQ(url_of({"my-bucket", "", "http://host:9000/", {}}, "k"),
            "http://host:9000/my-bucket/k");
  EXPECT_EQ(url_of({"my-bucket", "", "https://host:443", S3Addressing::virtual_host}, "k"),
            "https://my-bucket.host/k");
  for (const char* bad :
       {"host:9000", "ftp://host", "https://", "https://host/path", "https://h?x"}) {
    EXPECT_FALSE(S3Client::create({"b", "", bad, {}}, http_, credentials_, clock_).ok()) << bad;
  }
}

TEST_F(S3ClientTest, TheBucketsRegionIsLearntAndKept) {
  S3Client& s3 = client({"my-bucket", "us-east-1", "", {}});
  http_.answer(301, {{"x-amz-bucket-region", "eu-west-1"}}, error_xml("PermanentRedirect"));
  http_.answer(200, {{"content-length", "5"}});
  ASSERT_TRUE(s3.head_object("k", false).ok());
  ASSERT_EQ(http_.exchanges.size(), 2U);
  EXPECT_NE(http_.exchanges[1].request.url.find("s3.eu-west-1."), std::string::npos);
  EXPECT_NE(header(http_.exchanges[1].request, "authorization").find("/eu-west-1/s3/"),
            std::string::npos);
  http_.answer(204);
  ASSERT_TRUE(s3.delete_object("k").ok());
  EXPECT_NE(http_.exchanges[2].request.url.find("s3.eu-west-1."), std::string::npos);

  S3Client& other = client({"my-bucket", "us-east-1", "http://host", {}});
  http_.answer(400, {}, error_xml("AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>"));
  http_.answer(400, {}, error_xml("AuthorizationHeaderMalformed", "<Region>eu-south-1</Region>"));
  const auto failed = other.list_objects({});
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().context.find("the bucket is in region eu-south-1"), std::string::npos)
      << failed.error().context;
}

TEST_F(S3ClientTest, TheServersClockIsLearnt) {
  S3Client& s3 = client();
  clock_.advance_ms(1'800'000'000'000 - clock_.unix_ms());  // 2027-01-15T08:00:00Z
  http_.answer(403, {{"date", "Fri, 15 Jan 2027 09:00:00 GMT"}}, error_xml("RequestTimeTooSkewed"));
  http_.answer(204);
  ASSERT_TRUE(s3.delete_object("k").ok());
  EXPECT_EQ(header(http_.exchanges[0].request, "x-amz-date"), "20270115T080000Z");
  EXPECT_EQ(header(http_.exchanges[1].request, "x-amz-date"), "20270115T090000Z");
}

TEST_F(S3ClientTest, ExpiredCredentialsAreAskedForAnewOnce) {
  S3Client& s3 = client();
  http_.answer(400, {}, error_xml("ExpiredToken"));
  http_.answer(204);
  ASSERT_TRUE(s3.delete_object("k").ok());
  EXPECT_EQ(header(http_.exchanges[1].request, "x-amz-security-token"), "token-1");
  http_.answer(400, {}, error_xml("ExpiredToken"));
  http_.answer(400, {}, error_xml("ExpiredToken"));
  const Status failed = s3.delete_object("k");
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::permission);
  EXPECT_EQ(http_.exchanges.size(), 4U);
  // Exchanged, and the old ones deleted.
  http_.answer(403, {}, error_xml("InvalidAccessKeyId"));
  http_.answer(204);
  EXPECT_TRUE(s3.delete_object("k").ok());
}

TEST_F(S3ClientTest, WhatServersSayBecomesOurErrors) {
  const std::tuple<int, const char*, ErrorCode, Disposition> cases[] = {
      {503, "SlowDown", ErrorCode::unavailable, Disposition::retry},
      {500, "InternalError", ErrorCode::unavailable, Disposition::retry},
      {400, "RequestTimeout", ErrorCode::unavailable, Disposition::retry},
      {409, "ConditionalRequestConflict", ErrorCode::unavailable, Disposition::retry},
      {404, "NoSuchKey", ErrorCode::not_found, Disposition::permanent},
      {404, "NoSuchBucket", ErrorCode::invalid_argument, Disposition::permanent},
      {403, "AccessDenied", ErrorCode::permission, Disposition::permanent},
      {403, "InvalidObjectState", ErrorCode::cold, Disposition::cold},
      {412, "PreconditionFailed", ErrorCode::precondition_failed, Disposition::permanent},
      {400, "BadDigest", ErrorCode::corrupt, Disposition::corrupt},
      {400, "XAmzContentSHA256Mismatch", ErrorCode::corrupt, Disposition::corrupt},
      {501, "NotImplemented", ErrorCode::not_supported, Disposition::permanent},
      {507, "XMinioStorageFull", ErrorCode::no_space, Disposition::no_space},
      {404, "", ErrorCode::unavailable, Disposition::retry},
      {502, "", ErrorCode::unavailable, Disposition::retry},
      {429, "", ErrorCode::unavailable, Disposition::retry},
      {418, "Teapot", ErrorCode::invalid_argument, Disposition::permanent},
  };
  for (const auto& [status, code, wanted, disposition] : cases) {
    http_.answer(status, {}, *code != '\0' ? error_xml(code) : "<html>gateway</html>");
    const auto failed = client().put_object("some/key", body("x"), {});
    ASSERT_FALSE(failed.ok()) << code;
    EXPECT_EQ(failed.error().code, wanted) << code;
    EXPECT_EQ(failed.error().disposition, disposition) << code;
    const std::string& text = failed.error().context;
    EXPECT_NE(text.find("PutObject some/key: "), std::string::npos) << text;
    EXPECT_NE(text.find("HTTP " + std::to_string(status)), std::string::npos) << text;
    if (*code != '\0') {
      EXPECT_NE(text.find("[request R1]"), std::string::npos) << text;
    }
    EXPECT_EQ(text.find(kSecret), std::string::npos);
    EXPECT_EQ(text.find("token-"), std::string::npos);
  }
}

// Removed by hand in a bucket with versions: it can be had back.
TEST_F(S3ClientTest, ADeleteMarkerIsNamed) {
  http_.answer(404, {{"x-amz-request-id", "R1"}, {"x-amz-delete-marker", "true"}});
  const auto head = client().head_object("k", false);
  EXPECT_EQ(head.error().code, ErrorCode::not_found);
  EXPECT_NE(head.error().context.find("delete marker"), std::string::npos);
}

// An ingress that has no route for a moment says 404 too: that must not pass for "not there".
TEST_F(S3ClientTest, A404IsBelievedWhenItIsTheServers) {
  S3Client& s3 = client();
  const auto looked = [&] {
    http_.exchanges.clear();
    const auto head = s3.head_object("k", true);
    EXPECT_FALSE(head.ok());
    return head.ok() ? ErrorCode::internal : head.error().code;
  };
  http_.answer(404, {{"x-amz-request-id", "R1"}});
  EXPECT_EQ(looked(), ErrorCode::not_found);
  EXPECT_EQ(http_.exchanges.size(), 1U);
  // No id: the server's own words decide, which a HEAD has none of.
  http_.answer(404, {}, "404 page not found\n");
  http_.answer(404, {}, error_xml("NoSuchKey"));
  EXPECT_EQ(looked(), ErrorCode::not_found) << "a server that sends no ids";
  ASSERT_EQ(http_.exchanges.size(), 2U);
  EXPECT_EQ(http_.exchanges[1].request.method, "GET");
  http_.answer(404, {}, "404 page not found\n");
  http_.answer(404, {}, "404 page not found\n");
  EXPECT_EQ(looked(), ErrorCode::unavailable);
  http_.answer(404, {}, "404 page not found\n");
  http_.answer(206, {{"content-range", "bytes 0-0/9"}}, "x");
  EXPECT_EQ(looked(), ErrorCode::unavailable);
  http_.answer(404, {}, "404 page not found\n");
  http_.answer(403, {}, error_xml("InvalidObjectState"));
  EXPECT_EQ(looked(), ErrorCode::unavailable);
  http_.answer(404, {}, "<html><body>no such backend</body></html>");
  const Status removed = s3.delete_object("k");
  ASSERT_FALSE(removed.ok()) << "it may be there";
  EXPECT_EQ(removed.error().disposition, Disposition::retry);
  http_.answer(404, {}, error_xml("NoSuchKey"));
  EXPECT_TRUE(s3.delete_object("k").ok());
}

TEST_F(S3ClientTest, AnErrorInASuccessIsAnError) {
  S3Client& s3 = client();
  http_.answer(200, {}, "\n\n" + error_xml("InternalError"));
  const auto completed = s3.complete_upload("k", "id", {{"etag", ""}}, {});
  ASSERT_FALSE(completed.ok());
  EXPECT_EQ(completed.error().disposition, Disposition::retry);
  http_.answer(200, {}, error_xml("SlowDown"));
  EXPECT_FALSE(s3.copy_object("k", "k", {}).ok());
  for (const char* nothing : {"", "   ", "<html/>", "<CopyObjectResult></CopyObjectResult>"}) {
    http_.answer(200, {}, nothing);
    const Status copied = s3.copy_object("k", "k", {});
    ASSERT_FALSE(copied.ok()) << nothing;
    EXPECT_EQ(copied.error().disposition, Disposition::retry);
  }
  http_.answer(200, {}, "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>");
  EXPECT_TRUE(s3.copy_object("k", "k", {}).ok());
}

TEST_F(S3ClientTest, OnlyTheRangeThatWasAskedForIsTaken) {
  S3Client& s3 = client();
  Buffer out(4);
  const auto get = [&](int status, const char* range, const char* text) {
    http_.answer(status, {{"content-range", range}}, text);
    const Status got = s3.get_object("k", 2, out);
    return got.ok() ? ErrorCode::internal : got.error().code;
  };
  EXPECT_EQ(get(206, "bytes 2-5/10", "cdef"), ErrorCode::internal);
  EXPECT_EQ(as_text(out), "cdef");
  EXPECT_EQ(header(http_.exchanges.back().request, "range"), "bytes=2-5");
  EXPECT_EQ(get(206, "bytes 3-6/10", "defg"), ErrorCode::unavailable);
  EXPECT_EQ(get(206, "", "cdef"), ErrorCode::unavailable);
  EXPECT_EQ(get(200, "", "abcd"), ErrorCode::unavailable) << "a server that ignores ranges";
  EXPECT_EQ(get(206, "bytes 2-3/4", "cd"), ErrorCode::out_of_range);
  EXPECT_EQ(get(206, "bytes 2-5/10", "cd"), ErrorCode::unavailable) << "cut short";
}

TEST_F(S3ClientTest, TrailersCarryTheSumOfWhatWasSent) {
  S3Client& s3 = client();
  http_.answer(200, {{"etag", "\"e\""}});
  S3Body chunked = body("123456789");
  chunked.crc32c_trailer = true;
  const auto put = s3.upload_part("k", "id", 7, chunked, {});
  ASSERT_TRUE(put.ok()) << put.error().message();
  // CRC-32C of "123456789" is E3069283.
  EXPECT_EQ(put->crc32c, "4waSgw==");
  const Exchange& sent = http_.exchanges.back();
  EXPECT_TRUE(sent.request.aws_chunked);
  EXPECT_EQ(sent.trailer, "x-amz-checksum-crc32c:4waSgw==\r\n");
  EXPECT_EQ(sent.trailer.size(), sent.request.trailer_bytes);
  EXPECT_EQ(header(sent.request, "content-encoding"), "aws-chunked");
  EXPECT_EQ(header(sent.request, "x-amz-decoded-content-length"), "9");
  EXPECT_EQ(header(sent.request, "x-amz-content-sha256"), kStreamingUnsignedTrailer);
  EXPECT_NE(sent.request.url.find("partNumber=7&uploadId=id"), std::string::npos);
}

TEST_F(S3ClientTest, ListingsAreReadWithTheirEncoding) {
  S3Client& s3 = client();
  http_.answer(200, {},
               "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
               "<NextContinuationToken>t</NextContinuationToken>"
               "<Contents><Key>a%2Bb+c%C3%BC</Key><Size>7</Size><ETag>&quot;x&quot;</ETag>"
               "<LastModified>2026-11-21T10:00:00.500Z</LastModified>"
               "<StorageClass>DEEP_ARCHIVE</StorageClass></Contents>"
               "<CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes></ListBucketResult>");
  const auto listing = s3.list_objects({});
  ASSERT_TRUE(listing.ok()) << listing.error().message();
  ASSERT_EQ(listing->objects.size(), 1U);
  EXPECT_EQ(listing->objects[0].key, "a+b cü");
  EXPECT_EQ(listing->objects[0].size, 7U);
  EXPECT_EQ(listing->objects[0].etag, "x");
  EXPECT_EQ(listing->objects[0].modified_ms, 1795255200500);
  EXPECT_EQ(listing->objects[0].storage_class, StorageClass::deep_archive);
  EXPECT_EQ(listing->common_prefixes, std::vector<std::string>{"p/"});
  EXPECT_TRUE(listing->truncated);
  http_.answer(200, {}, "<html>a proxy says hello</html>");
  EXPECT_FALSE(s3.list_objects({}).ok());
}

TEST_F(S3ClientTest, ARestoreThatIsNotNeededIsNotCold) {
  S3Client& s3 = client();
  http_.answer(403, {}, error_xml("InvalidObjectState"));
  const Status refused = s3.restore_object("k", RestoreTier::bulk, 3);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(http_.exchanges.back().body.find("<Days>3</Days>"), std::string::npos);
  EXPECT_NE(http_.exchanges.back().body.find("<Tier>Bulk</Tier>"), std::string::npos);
  http_.answer(409, {}, error_xml("RestoreAlreadyInProgress"));
  EXPECT_EQ(s3.restore_object("k", RestoreTier::bulk, 3).error().code, ErrorCode::conflict);
  http_.answer(202);
  EXPECT_TRUE(s3.restore_object("k", RestoreTier::bulk, 3).ok());
}

TEST_F(S3ClientTest, HeadTellsOfRestoresAndDigests) {
  S3Client& s3 = client();
  http_.answer(200, {{"content-length", "9"},
                     {"etag", "\"e\""},
                     {"x-amz-storage-class", "GLACIER"},
                     {"x-amz-restore",
                      "ongoing-request=\"false\", expiry-date=\"Fri, 15 Jan 2027 08:00:00 GMT\""},
                     {"x-amz-checksum-sha256", to_base64(Sha256::of(as_view("x")))}});
  const auto object = s3.head_object("k", true);
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(object->info.size, 9U);
  EXPECT_EQ(object->info.storage_class, StorageClass::glacier);
  EXPECT_FALSE(object->info.restore_ongoing);
  EXPECT_EQ(object->info.restored_until_ms, 1'800'000'000'000);
  EXPECT_EQ(object->info.sha256, Sha256::of(as_view("x")));
  // A sum of parts' sums is not the object's.
  http_.answer(200, {{"x-amz-restore", "ongoing-request=\"true\""},
                     {"x-amz-checksum-sha256", to_base64(Sha256::of(as_view("x"))) + "-2"}});
  const auto composite = s3.head_object("k", true);
  ASSERT_TRUE(composite.ok());
  EXPECT_TRUE(composite->info.restore_ongoing);
  EXPECT_FALSE(composite->info.sha256.has_value());
}

TEST(S3StoreListing, AnEndlessPageIsNotACompleteOne) {
  SimClock clock;
  SeededRandom random(1);
  auto http = std::make_unique<RecordingTransport>();
  RecordingTransport& server = *http;
  S3StoreOptions options;
  options.client.bucket = "my-bucket";
  options.prefix = "p";
  auto store = S3Store::create(options, std::move(http), std::make_unique<CountingCredentials>(),
                               clock, random);
  ASSERT_TRUE(store.ok());
  const std::string cut = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
  server.answer(200, {}, cut);
  EXPECT_FALSE((*store)->list("", "", 10).ok());
  server.answer(200, {}, cut);
  EXPECT_FALSE((*store)->list_folders("", "", 10).ok());
  // A page that is empty but has a next one is gone over.
  server.answer(200, {},
                "<ListBucketResult><IsTruncated>true</IsTruncated>"
                "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>");
  server.answer(200, {},
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/k</Key>"
                "<Size>1</Size></Contents></ListBucketResult>");
  const auto page = (*store)->list("", "", 10);
  ASSERT_TRUE(page.ok()) << page.error().message();
  ASSERT_EQ(page->objects.size(), 1U);
  EXPECT_EQ(page->objects[0].key, "k");
  EXPECT_NE(server.exchanges.back().request.url.find("continuation-token=t"), std::string::npos);
}

TEST_F(S3ClientTest, OnlyAServerThatSaysSoHasNoObjectLock) {
  const std::tuple<int, const char*, std::optional<ErrorCode>> cases[] = {
      {404, "ObjectLockConfigurationNotFoundError", std::nullopt},
      {501, "NotImplemented", std::nullopt},
      {405, "MethodNotAllowed", std::nullopt},
      {403, "AccessDenied", ErrorCode::permission},
      {404, "NoSuchBucket", ErrorCode::invalid_argument},
      {503, "SlowDown", ErrorCode::unavailable},
  };
  for (const auto& [status, code, error] : cases) {
    http_.answer(status, {}, error_xml(code));
    const auto has = client().bucket_has_lock();
    ASSERT_EQ(has.ok(), !error.has_value()) << code;
    if (has.ok()) {
      EXPECT_FALSE(*has) << code;
      continue;
    }
    EXPECT_EQ(has.error().code, *error) << code;
    const bool told =
        has.error().context.find("s3:GetBucketObjectLockConfiguration") != std::string::npos;
    EXPECT_EQ(told, *error == ErrorCode::permission) << has.error().context;
  }
}

TEST_F(S3ClientTest, ABucketSaysWhetherItKeepsVersions) {
  http_.answer(200, {},
               "<VersioningConfiguration><Status>Enabled</Status>"
               "</VersioningConfiguration>");
  EXPECT_TRUE(*client().bucket_has_versions());
  EXPECT_NE(http_.exchanges.back().request.url.find("?versioning="), std::string::npos);
  for (const char* none : {"<VersioningConfiguration/>", "<ListBucketResult/>", ""}) {
    http_.answer(200, {}, none);
    EXPECT_FALSE(*client().bucket_has_versions()) << none;
  }
  http_.answer(403, {}, error_xml("AccessDenied"));
  EXPECT_FALSE(client().bucket_has_versions().ok());
}

// A store over a server that answers what it is told to.
class S3StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    auto http = std::make_unique<RecordingTransport>();
    server_ = http.get();
    S3StoreOptions options;
    options.client.bucket = "my-bucket";
    auto made = S3Store::create(options, std::move(http), std::make_unique<CountingCredentials>(),
                                clock_, random_);
    ASSERT_TRUE(made.ok());
    store_ = std::move(*made);
  }

  SimClock clock_;
  SeededRandom random_{1};
  RecordingTransport* server_ = nullptr;
  std::unique_ptr<S3Store> store_;
};

TEST_F(S3StoreTest, WhatMayNotBeAskedIsAnErrorAndAskedAgain) {
  const auto asked = [&](int status, const std::string& lock) {
    server_->answer(200, {{"etag", "\"e\""}});
    server_->answer(501);                       // If-None-Match
    server_->answer(400);                       // x-amz-checksum-sha256
    server_->answer(400);                       // a body that lies
    server_->answer(204);                       // and what it may have left
    server_->answer(200, {{"etag", "\"e\""}});  // STANDARD_IA
    server_->answer(200);
    server_->answer(status, {}, lock);
    server_->answer(204);
    server_->answer(204);
    return store_->capabilities();
  };
  const auto refused = asked(403, error_xml("AccessDenied"));
  ASSERT_FALSE(refused.ok()) << "a bucket with Object Lock would count as one without";
  EXPECT_EQ(refused.error().code, ErrorCode::permission);
  const auto allowed = asked(200,
                             "<ObjectLockConfiguration><ObjectLockEnabled>Enabled"
                             "</ObjectLockEnabled></ObjectLockConfiguration>");
  ASSERT_TRUE(allowed.ok()) << allowed.error().message();
  EXPECT_TRUE(allowed->object_lock);
}

// Where nothing matches S3 says 404, other servers 412: one answer of ours for both.
TEST_F(S3StoreTest, NothingToMatchIsAConditionThatDoesNotHold) {
  const std::map<std::string, std::string> etag = {{"etag", "\"e\""}};
  server_->answer(200, etag);
  server_->answer(412);  // If-None-Match
  server_->answer(412);  // If-Match
  server_->answer(200, etag);
  server_->answer(200, etag);
  server_->answer(400);  // x-amz-checksum-sha256
  server_->answer(400);  // a body that lies
  server_->answer(204);
  server_->answer(400);  // STANDARD_IA
  server_->answer(501);  // Object Lock
  server_->answer(204);
  server_->answer(204);
  ASSERT_TRUE(store_->capabilities()->conditional_put);
  PutSource source;
  source.bytes = as_view("x");
  source.size = 1;
  source.sha256 = Sha256::of(source.bytes);
  PutOptions matching(StorageClass::standard, PutCondition::must_match);
  matching.etag = "e";
  for (const auto& [status, code] :
       {std::pair(404, "NoSuchKey"), std::pair(412, "PreconditionFailed")}) {
    server_->answer(status, {}, error_xml(code));
    const auto put = store_->put("k", source, matching);
    ASSERT_FALSE(put.ok());
    EXPECT_EQ(put.error().code, ErrorCode::precondition_failed) << code;
  }
}

TEST_F(S3StoreTest, ObjectsTooLargeForOneCopyAreCopiedInParts) {
  // What the store can do: classes, and no more.
  server_->answer(200, {{"etag", "\"e\""}});
  server_->answer(501);                       // If-None-Match
  server_->answer(400);                       // x-amz-checksum-sha256
  server_->answer(400);                       // a body that lies
  server_->answer(204);                       // and what it may have left
  server_->answer(200, {{"etag", "\"e\""}});  // STANDARD_IA
  server_->answer(200, {{"x-amz-storage-class", "STANDARD_IA"}});
  server_->answer(404, {}, error_xml("ObjectLockConfigurationNotFoundError"));
  server_->answer(204);
  server_->answer(204);
  ASSERT_TRUE(store_->capabilities()->storage_classes);
  for (const Exchange& exchange : server_->exchanges) {
    if (exchange.request.method != "PUT") continue;
    EXPECT_NE(header(exchange.request, "content-md5"), "absent")
        << "a bucket with a default retention would refuse it";
  }

  const std::string digest = to_hex(Sha256::of(as_view("six gigabytes")));
  std::map<std::string, std::string> head = {{"content-length", std::to_string(6 * GiB)},
                                             {"etag", "\"old\""},
                                             {"x-amz-meta-coldshelf-sha256", digest}};
  server_->answer(400, {}, error_xml("InvalidRequest"));
  server_->answer(200, head);
  server_->answer(200, {},
                  "<InitiateMultipartUploadResult><UploadId>U</UploadId>"
                  "</InitiateMultipartUploadResult>");
  for (int part = 0; part < 6; ++part) {
    if (part == 2) server_->answer(503, {}, error_xml("SlowDown"));
    server_->answer(200, {}, "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>");
  }
  server_->answer(200, {},
                  "<CompleteMultipartUploadResult><ETag>\"new-6\"</ETag>"
                  "</CompleteMultipartUploadResult>");
  head["x-amz-storage-class"] = "DEEP_ARCHIVE";
  server_->answer(200, head);
  server_->exchanges.clear();
  const auto moved = store_->change_class("k", StorageClass::deep_archive);
  ASSERT_TRUE(moved.ok()) << moved.error().message();
  EXPECT_EQ(moved->storage_class, StorageClass::deep_archive);
  EXPECT_EQ(to_hex(*moved->sha256), digest);
  ASSERT_EQ(server_->exchanges.size(), 12U);
  const HttpRequest& create = server_->exchanges[2].request;
  EXPECT_EQ(header(create, "x-amz-storage-class"), "DEEP_ARCHIVE");
  EXPECT_EQ(header(create, "x-amz-meta-coldshelf-sha256"), digest);
  EXPECT_EQ(header(server_->exchanges[3].request, "x-amz-copy-source-range"), "bytes=0-1073741823");
  const HttpRequest& last = server_->exchanges[9].request;
  EXPECT_EQ(header(last, "x-amz-copy-source-range"), "bytes=5368709120-6442450943");
  EXPECT_EQ(header(last, "x-amz-copy-source-if-match"), "\"old\"");
  EXPECT_NE(last.url.find("partNumber=6&uploadId=U"), std::string::npos);
  EXPECT_NE(server_->exchanges[10].body.find("<PartNumber>6</PartNumber>"), std::string::npos);
}

}  // namespace
}  // namespace coldshelf::test
