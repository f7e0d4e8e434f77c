// The client of the EBS direct APIs against scripted answers.
#include "uploader/cloud/ebs_client.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/log.h"
#include "snapshot/block_list.h"
#include "tests/support/scripted_http.h"
#include "tests/support/sim_clock.h"

namespace coldshelf::test {
namespace {

HttpResponse refusal(int status, const std::string& type, const std::string& reason = "") {
  HttpResponse out = http_answer(status, R"({"Message":"no","Reason":")" + reason + R"("})");
  out.headers["x-amzn-errortype"] = type + ":http://internal.amazon.com/";
  return out;
}

std::string page(std::initializer_list<std::pair<int, std::string>> blocks,
                 const std::string& next = "", const char* list = "Blocks",
                 const char* token = "BlockToken") {
  std::string out = std::string(R"({"VolumeSize":4,"BlockSize":524288,")") + list + R"(":[)";
  bool first = true;
  for (const auto& [index, value] : blocks) {
    if (!first) out += ",";
    first = false;
    out += R"({"BlockIndex":)" + std::to_string(index);
    if (!value.empty()) out += R"(,")" + std::string(token) + R"(":")" + value + R"(")";
    out += "}";
  }
  out += "]";
  if (!next.empty()) out += R"(,"NextToken":")" + next + R"(")";
  return out + "}";
}

class EbsClientTest : public ::testing::Test {
 protected:
  EbsClientTest() {
    capture_log([](std::string_view) {});
  }
  ~EbsClientTest() override { capture_log(nullptr); }

  EbsClient& make(ScriptedHttp::Script script) {
    http = std::make_shared<ScriptedHttp>(std::move(script));
    EbsClient::Options options;
    options.region = "eu-central-1";
    options.account = "1/eu-central-1";
    options.timeout_ms = 7'000;
    options.patience_ms = 100'000;
    Credentials key;
    key.access_key_id = "AKID";
    key.secret_access_key = Secret(std::string_view("hush"));
    client = std::make_unique<EbsClient>(options, clock, http, make_static_credentials(key),
                                         std::make_shared<EbsPace>(EbsQuotas{}), stop);
    return *client;
  }

  // A block whose bytes come into the sink: ScriptedHttp does not fill it, so this does.
  class BlockHttp final : public HttpTransport {
   public:
    std::function<Result<HttpResponse>(const HttpRequest&)> answer;
    Result<HttpResponse> perform(const HttpRequest& request) override { return answer(request); }
    void give_up() override {}
  };

  std::shared_ptr<SimClock> clock = std::make_shared<SimClock>();
  std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<ScriptedHttp> http;
  std::unique_ptr<EbsClient> client;
};

TEST_F(EbsClientTest, ListsBlocks) {
  EbsClient& ebs = make([](const SeenRequest&) {
    return http_answer(200, page({{3, "abc"}, {7, "def"}}, "next=="));
  });
  const auto got = ebs.list({"snap-0a", ""}, "", 3);
  ASSERT_TRUE(got.ok()) << got.error().message();
  ASSERT_EQ(got->entries.size(), 2U);
  EXPECT_EQ(got->entries[1].index, 7U);
  EXPECT_EQ(got->entries[1].token, "def");
  EXPECT_EQ(got->next_token, "next==");
  EXPECT_EQ(got->volume_gib, 4U);
  const SeenRequest seen = http->seen().at(0);
  EXPECT_EQ(seen.url,
            "https://ebs.eu-central-1.amazonaws.com/snapshots/snap-0a/blocks?"
            "maxResults=10000&startingBlockIndex=3");
  EXPECT_EQ(seen.timeout_ms, 7'000);
  EXPECT_NE(seen.header("authorization").find("/eu-central-1/ebs/aws4_request"), std::string::npos);
}

class ExchangedKeys final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    return Credentials{expired == 0 ? "AKOLD" : "AKNEW", Secret(std::string_view("s")), "", 0};
  }
  void expire() override { ++expired; }
  int expired = 0;
};

TEST_F(EbsClientTest, KeysThatAreRefusedAreReadAgain) {
  for (const char* name : {"ExpiredTokenException", "UnrecognizedClientException"}) {
    http = std::make_shared<ScriptedHttp>([&](const SeenRequest& seen) {
      const bool known = seen.header("authorization").find("AKNEW") != std::string::npos;
      return known ? http_answer(200, page({{3, "abc"}})) : refusal(403, name);
    });
    EbsClient::Options options;
    options.region = "eu-central-1";
    EbsClient ebs(options, clock, http, std::make_shared<ExchangedKeys>(),
                  std::make_shared<EbsPace>(EbsQuotas{}));
    const auto got = ebs.list({"snap-0a", ""}, "", 0);
    EXPECT_TRUE(got.ok()) << name;
    EXPECT_EQ(http->seen().size(), 2U) << name;
  }
}

// What EBS says of an upload that was too slow, or is under way still: no reason to give up.
TEST_F(EbsClientTest, ABlockThatWasNotTakenInIsSentAgain) {
  const Buffer data(kEbsBlockBytes, std::byte{1});
  const Sha256Digest digest = Sha256::of(data);
  const auto put = [&](const HttpResponse& first) {
    EbsClient& ebs = make([&](const SeenRequest&) {
      return http->seen().size() == 1 ? first : http_answer(201, "");
    });
    const Status done = ebs.put_block("snap-0a", 7, data, digest, 1);
    return std::make_pair(done.ok(), http->seen().size());
  };
  HttpResponse slow = refusal(400, "ValidationException", "INVALID_PARAMETER_VALUE");
  EXPECT_EQ(put(slow), std::make_pair(false, size_t{1}));
  slow.body = to_buffer(as_view(std::string_view(
      R"({"Message":"Failed to read block data","Reason":"INVALID_PARAMETER_VALUE"})")));
  EXPECT_EQ(put(slow), std::make_pair(true, size_t{2}));
  EXPECT_EQ(put(refusal(400, "ValidationException", "WRITE_REQUEST_TIMEOUT")),
            std::make_pair(true, size_t{2}));
  EXPECT_EQ(put(refusal(400, "ValidationException", "CONFLICTING_BLOCK_UPDATE")),
            std::make_pair(true, size_t{2}));
}

TEST_F(EbsClientTest, AChangedBlockWithoutASecondTokenIsATombstone) {
  EbsClient& ebs = make([](const SeenRequest&) {
    return http_answer(200, page({{1, "abc"}, {2, ""}}, "", "ChangedBlocks", "SecondBlockToken"));
  });
  const auto got = ebs.list({"snap-0b", "snap-0a"}, "p&1", 0);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->entries[0].token, "abc");
  EXPECT_EQ(got->entries[1].token, "");
  EXPECT_EQ(http->seen()[0].url,
            "https://ebs.eu-central-1.amazonaws.com/snapshots/snap-0b/changedblocks?"
            "firstSnapshotId=snap-0a&maxResults=10000&pageToken=p%261");
}

TEST_F(EbsClientTest, PagesThatMakeNoSenseAreRefused) {
  for (const char* bad : {
           "no json",
           R"({"Blocks":[]})",
           R"({"VolumeSize":4,"BlockSize":4096,"Blocks":[]})",
           R"({"VolumeSize":0,"BlockSize":524288,"Blocks":[]})",
           R"({"VolumeSize":1,"BlockSize":524288,"Blocks":[{"BlockIndex":2048,"BlockToken":"a"}]})",
           R"({"VolumeSize":1,"BlockSize":524288,"Blocks":[{"BlockIndex":-1,"BlockToken":"a"}]})",
           R"({"VolumeSize":1,"BlockSize":524288,"Blocks":[{"BlockIndex":3}]})",
           R"({"VolumeSize":1,"BlockSize":524288,"Blocks":[{"BlockIndex":3,"BlockToken":"a"},
               {"BlockIndex":3,"BlockToken":"a"}]})",
       }) {
    EbsClient& ebs = make([bad](const SeenRequest&) { return http_answer(200, bad); });
    const auto got = ebs.list({"snap-0a", ""}, "", 0);
    ASSERT_FALSE(got.ok()) << bad;
    EXPECT_EQ(got.error().code, ErrorCode::corrupt) << bad;
  }
}

TEST_F(EbsClientTest, AnAnswerThatIsNoJsonIsAskedForAgain) {
  unsigned asked = 0;
  unsigned damaged = 2;
  EbsClient& ebs = make([&](const SeenRequest& request) -> Result<HttpResponse> {
    const bool cut = asked++ < damaged;
    if (request.method == "GET") {
      const std::string whole = page({{1, "a"}});
      return http_answer(200, cut ? whole.substr(0, whole.size() / 2) : whole);
    }
    const std::string whole = R"({"SnapshotId":"snap-00000001","VolumeSize":4,"Status":"pending"})";
    return http_answer(201, cut ? whole.substr(0, whole.size() / 2) : whole);
  });
  const auto listed = ebs.list({"snap-00000001", ""}, "", 0);
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  EXPECT_EQ(listed->entries.size(), 1U);
  EXPECT_EQ(asked, 3U);
  asked = 0;
  EbsStart start;  // its token makes it one snapshot, however often it is asked for
  start.volume_gib = 4;
  start.client_token = "token";
  const auto started = ebs.start_snapshot(start);
  ASSERT_TRUE(started.ok()) << started.error().message();
  EXPECT_EQ(started->snapshot, "snap-00000001");
  EXPECT_EQ(asked, 3U);
  asked = 0;
  damaged = 1'000;
  EXPECT_EQ(ebs.start_snapshot(start).error().code, ErrorCode::corrupt);
  EXPECT_EQ(asked, 6U);
}

TEST_F(EbsClientTest, ACompletionThatIsAcceptedStands) {
  unsigned asked = 0;
  EbsClient& ebs = make([&](const SeenRequest&) -> Result<HttpResponse> {
    ++asked;
    return http_answer(202, R"({"Sta)");
  });
  const auto status = ebs.complete_snapshot("snap-00000001", 1, Sha256Digest{});
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_EQ(*status, "pending");
  EXPECT_EQ(asked, 1U);
}

// The table of what is tried again.
TEST_F(EbsClientTest, RetriesWhatMayPassAndNothingElse) {
  struct Case {
    int status;
    const char* type;
    const char* reason;
    bool again;
    ErrorCode code;
  };
  for (const Case& c : std::vector<Case>{
           {400, "ThrottlingException", "", true, ErrorCode::unavailable},
           {400, "RequestThrottledException", "ACCOUNT_THROTTLED", true, ErrorCode::unavailable},
           {400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", true,
            ErrorCode::unavailable},
           {500, "InternalServerException", "", true, ErrorCode::unavailable},
           {503, "", "", true, ErrorCode::unavailable},
           {429, "", "", true, ErrorCode::unavailable},
           {402, "ServiceQuotaExceededException", "", false, ErrorCode::no_space},
           {403, "AccessDeniedException", "", false, ErrorCode::permission},
           {404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", false, ErrorCode::not_found},
           {409, "ConflictException", "", false, ErrorCode::conflict},
           {400, "ValidationException", "INVALID_PAGE_TOKEN", false,
            ErrorCode::precondition_failed},
           {400, "ValidationException", "INVALID_BLOCK_TOKEN", false,
            ErrorCode::precondition_failed},
           {400, "ValidationException", "UNRELATED_SNAPSHOTS", false, ErrorCode::conflict},
           {400, "ValidationException", "INVALID_SNAPSHOT_ID", false,
            ErrorCode::invalid_argument}}) {
    EbsClient& ebs = make([&](const SeenRequest&) {
      return http->seen().size() < 4 ? refusal(c.status, c.type, c.reason)
                                     : http_answer(200, page({}));
    });
    const auto got = ebs.list({"snap-0a", ""}, "", 0);
    EXPECT_EQ(got.ok(), c.again) << c.type << c.reason;
    EXPECT_EQ(http->seen().size(), c.again ? 4U : 1U) << c.type;
    if (!got.ok()) {
      EXPECT_EQ(got.error().code, c.code) << c.type;
    }
  }
}

TEST_F(EbsClientTest, LosesPatienceInTheEnd) {
  EbsClient& ebs = make([this](const SeenRequest&) -> Result<HttpResponse> {
    clock->advance_ms(7'000);
    return Error(ErrorCode::timed_out, "no byte moved");
  });
  const auto got = ebs.list({"snap-0a", ""}, "", 0);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, ErrorCode::unavailable);
  EXPECT_GE(clock->elapsed_ms(), 100'000);
  EXPECT_LT(http->seen().size(), 20U);
}

TEST_F(EbsClientTest, StopsWhenTold) {
  EbsClient& ebs = make([this](const SeenRequest&) {
    *stop = true;
    return refusal(500, "InternalServerException");
  });
  const auto got = ebs.list({"snap-0a", ""}, "", 0);
  EXPECT_EQ(got.error().code, ErrorCode::cancelled);
  EXPECT_EQ(http->seen().size(), 1U);
}

TEST_F(EbsClientTest, FetchesABlockAgainUntilItsDigestFits) {
  auto transport = std::make_shared<BlockHttp>();
  unsigned asked = 0;
  transport->answer = [&](const HttpRequest& request) {
    EXPECT_EQ(request.sink.size(), kEbsBlockBytes);
    std::fill(request.sink.begin(), request.sink.end(), std::byte{7});
    HttpResponse out;
    out.status = 200;
    out.sink_bytes = request.sink.size();
    out.headers["x-amz-checksum-algorithm"] = "SHA256";
    out.headers["x-amz-checksum"] = to_base64(Sha256::of(request.sink));
    ++asked;
    if (asked == 1) request.sink[100] ^= std::byte{1};  // damaged on the way
    if (asked == 2) out.sink_bytes -= 1;                // cut short
    if (asked == 3) out.headers.erase("x-amz-checksum");
    return out;
  };
  EbsClient::Options options;
  options.region = "eu-central-1";
  EbsClient ebs(options, clock, transport,
                make_static_credentials({"A", Secret(std::string_view("s")), "", 0}),
                std::make_shared<EbsPace>(EbsQuotas{}), stop);
  Buffer out(kEbsBlockBytes);
  const auto got = ebs.get_block("snap-0a", 5, "tok", out);
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(asked, 4U);
  EXPECT_EQ(out, Buffer(kEbsBlockBytes, std::byte{7}));
  EXPECT_EQ(ebs.counters().bad_digests, 3U);
  // And gives up on one that never does.
  transport->answer = [&](const HttpRequest& request) {
    HttpResponse bad;
    bad.status = 200;
    bad.sink_bytes = request.sink.size();
    bad.headers["x-amz-checksum-algorithm"] = "SHA256";
    bad.headers["x-amz-checksum"] = to_base64(Sha256::of(as_view("other")));
    return bad;
  };
  EXPECT_EQ(ebs.get_block("snap-0a", 5, "tok", out).error().code, ErrorCode::corrupt);
}

TEST_F(EbsClientTest, PutsWithSignedDigestAndWaitsForAFreshSnapshot) {
  const Buffer data(kEbsBlockBytes, std::byte{9});
  const Sha256Digest digest = Sha256::of(data);
  EbsClient& ebs = make([&](const SeenRequest&) {
    return http->seen().size() < 3 ? refusal(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
                                   : http_answer(201, "");
  });
  ASSERT_TRUE(ebs.put_block("snap-0a", 11, data, digest, 42).ok());
  const SeenRequest seen = http->seen().at(2);
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.url, "https://ebs.eu-central-1.amazonaws.com/snapshots/snap-0a/blocks/11");
  EXPECT_EQ(seen.header("x-amz-checksum"), to_base64(digest));
  EXPECT_EQ(seen.header("x-amz-checksum-algorithm"), "SHA256");
  EXPECT_EQ(seen.header("x-amz-data-length"), "524288");
  EXPECT_EQ(seen.header("x-amz-progress"), "42");
  EXPECT_EQ(seen.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
  EXPECT_NE(seen.header("authorization").find("x-amz-checksum;"), std::string::npos);
  EXPECT_EQ(seen.body.size(), kEbsBlockBytes);
}

TEST_F(EbsClientTest, ASnapshotThatNeverAppearsIsNotFound) {
  const Buffer data(kEbsBlockBytes, std::byte{9});
  EbsClient& ebs = make([&](const SeenRequest&) {
    return refusal(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND");
  });
  EXPECT_EQ(ebs.put_block("snap-0a", 1, data, Sha256::of(data), 0).error().code,
            ErrorCode::not_found);
  EXPECT_GE(clock->elapsed_ms(), 60'000);
  EXPECT_LT(clock->elapsed_ms(), 90'000);
}

TEST_F(EbsClientTest, StartsAndCompletes) {
  EbsClient& ebs = make([&](const SeenRequest& seen) {
    if (seen.url.ends_with("/snapshots")) {
      return http_answer(
          201, R"({"SnapshotId":"snap-0c","Status":"pending","VolumeSize":3,"BlockSize":524288})");
    }
    return http_answer(202, R"({"Status":"pending"})");
  });
  EbsStart start;
  start.volume_gib = 3;
  start.client_token = "token";
  start.tags = {{"a", "b"}};
  start.timeout_minutes = 60;
  const auto started = ebs.start_snapshot(start);
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(started->snapshot, "snap-0c");
  EXPECT_EQ(
      http->seen()[0].body,
      R"({"ClientToken":"token","Tags":[{"Key":"a","Value":"b"}],"Timeout":60,"VolumeSize":3})");
  const auto done = ebs.complete_snapshot("snap-0c", 12, Sha256::of(as_view("x")));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(*done, "pending");
  const SeenRequest seen = http->seen()[1];
  EXPECT_EQ(seen.url, "https://ebs.eu-central-1.amazonaws.com/snapshots/completion/snap-0c");
  EXPECT_EQ(seen.header("x-amz-changedblockscount"), "12");
  EXPECT_EQ(seen.header("x-amz-checksum-aggregation-method"), "LINEAR");
}

// -- lists

TEST_F(EbsClientTest, GoesOnThroughEmptyPagesAndExpiredTokens) {
  std::vector<std::string> asked;
  EbsClient& ebs = make([&](const SeenRequest& seen) {
    const std::string query = seen.url.substr(seen.url.find("maxResults"));
    switch (http->seen().size()) {
      case 1:
        return http_answer(200, page({}, "t1"));
      case 2:
        EXPECT_NE(query.find("pageToken=t1"), std::string::npos);
        return http_answer(200, page({{4, "a"}, {9, "b"}}, "t2"));
      case 3:
        EXPECT_NE(query.find("pageToken=t2"), std::string::npos);
        return refusal(400, "ValidationException", "INVALID_PAGE_TOKEN");
      case 4:
        EXPECT_NE(query.find("startingBlockIndex=10"), std::string::npos) << query;
        return http_answer(200, page({{9, "b2"}, {10, "c"}}));
      default:
        return http_answer(200, "too many");
    }
  });
  BlockList list(ebs, {"snap-0a", ""}, 0);
  EXPECT_EQ(*list.volume_gib(), 4U);
  std::vector<std::pair<uint32_t, std::string>> got;
  EbsEntry entry;
  while (*list.next(entry)) got.emplace_back(entry.index, entry.token);
  const std::vector<std::pair<uint32_t, std::string>> expected = {{4, "a"}, {9, "b"}, {10, "c"}};
  EXPECT_EQ(got, expected);
  EXPECT_FALSE(*list.next(entry));
}

TEST_F(EbsClientTest, AListWithoutAnEndIsAnError) {
  EbsClient& ebs = make([&](const SeenRequest&) { return http_answer(200, page({}, "t")); });
  BlockList list(ebs, {"snap-0a", ""}, 0);
  EbsEntry entry;
  EXPECT_EQ(list.next(entry).error().code, ErrorCode::unavailable);
}

// Whatever the size of the snapshot, two pages are held.
TEST_F(EbsClientTest, MemoryOfAListDoesNotGrow) {
  constexpr int kPages = 120;
  constexpr int kPageSize = 500;
  std::atomic<int> given{0};
  EbsClient& ebs = make([&](const SeenRequest& seen) {
    const size_t at = seen.url.find("pageToken=");
    const int number = at == std::string::npos ? 0 : std::stoi(seen.url.substr(at + 10));
    std::string body = R"({"VolumeSize":16384,"BlockSize":524288,"Blocks":[)";
    for (int i = 0; i < kPageSize; ++i) {
      if (i > 0) body += ',';
      body += R"({"BlockIndex":)" + std::to_string(number * kPageSize + i) +
              R"(,"BlockToken":"AAABAXdSWVT1pqpJFMWyuB3E0mHEVyhRYBlYVKKyc5MMuYG0"})";
    }
    body += "]";
    if (number + 1 < kPages) body += R"(,"NextToken":")" + std::to_string(number + 1) + "\"";
    ++given;
    return http_answer(200, body + "}");
  });
  BlockList list(ebs, {"snap-0a", ""}, 0, kPageSize);
  EbsEntry entry;
  uint64_t count = 0;
  while (*list.next(entry)) {
    EXPECT_EQ(entry.index, count++);
    EXPECT_LE(given.load() - static_cast<int>(count / kPageSize), 2);
  }
  EXPECT_EQ(count, uint64_t{kPages} * kPageSize);
  EXPECT_LE(list.peak_entries(), 2U * kPageSize);
}

}  // namespace
}  // namespace coldshelf::test
