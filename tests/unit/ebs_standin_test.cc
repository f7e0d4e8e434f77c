// The stand-in itself: that it refuses what AWS refuses, keeps its clocks and quotas, and that its
// faults are what they are called. That it is AWS to a client that is not ours is
// tests/conformance/aws_cli.sh's to show.
#include "tests/support/ebs_standin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/random.h"
#include "base/sha256.h"
#include "tests/support/sim_clock.h"
#include "uploader/cloud/http.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Call {
  std::string method = "GET";
  std::string path = "/snapshots";
  Fields query;
  Fields headers;
  Buffer body;
  std::string service = "ebs";
  std::string region = "us-east-1";
  std::string access_key = "AKIAEBSSTANDIN";
  std::string secret = "standin-secret";
  std::string token;
  int64_t shift_ms = 0;
};

class EbsStandinTest : public testing::Test {
 protected:
  void start(EbsStandinOptions options = {}) {
    options.clock = &clock_;
    auto standin = EbsStandin::start(std::move(options));
    ASSERT_TRUE(standin.ok()) << standin.error().message();
    standin_ = std::move(standin).value();
    CurlOptions curl;
    curl.connect_timeout_ms = 5'000;
    curl.idle_timeout_ms = 1'000;
    auto transport = make_curl_transport(curl);
    ASSERT_TRUE(transport.ok());
    transport_ = std::move(transport).value();
  }

  Result<HttpResponse> perform(const Call& call) {
    SignedRequest to_sign;
    to_sign.method = call.method;
    to_sign.host = standin_->endpoint().substr(7);
    to_sign.path = call.path;
    to_sign.query = call.query;
    to_sign.headers = call.headers;
    to_sign.payload_hash = to_hex(Sha256::of(call.body));
    Credentials credentials;
    credentials.access_key_id = call.access_key;
    credentials.secret_access_key = Secret(call.secret);
    credentials.session_token = call.token;
    HttpRequest request;
    request.method = call.method;
    request.url = standin_->endpoint() + call.path;
    if (!call.query.empty()) request.url += "?" + encode_query(call.query);
    request.headers = call.headers;
    for (auto& header : sign_v4(to_sign, {call.region, call.service}, credentials,
                                clock_.unix_ms() + call.shift_ms)) {
      request.headers.push_back(std::move(header));
    }
    request.body = call.body;
    return transport_->perform(request);
  }

  // "200", "400 ValidationException INVALID_BLOCK", "503 RequestLimitExceeded", "error timed_out".
  std::string outcome(const Call& call) {
    const auto response = perform(call);
    if (!response.ok()) return "error " + std::string(to_string(response.error().code));
    const std::string text = to_text(response->body);
    std::string out = std::to_string(response->status);
    if (response->status / 100 == 2) return out;
    const size_t code = text.find("<Code>");
    if (code != std::string::npos) {
      return out + " " + text.substr(code + 6, text.find("</Code>") - code - 6);
    }
    out += " " + std::string(response->header("x-amzn-errortype"));
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_object() && json.contains("Reason")) {
      out += " " + json["Reason"].get<std::string>();
    }
    return out;
  }
  Json json(const Call& call) {
    const auto response = perform(call);
    EXPECT_TRUE(response.ok()) << response.error().message();
    if (!response.ok()) return {};
    EXPECT_EQ(response->status / 100, 2) << to_text(response->body);
    return Json::parse(to_text(response->body), nullptr, false);
  }
  std::string xml(const Call& call) {
    const auto response = perform(call);
    EXPECT_TRUE(response.ok()) << response.error().message();
    return response.ok() ? to_text(response->body) : "";
  }

  static Call start_call(const Json& body) {
    Call call;
    call.method = "POST";
    call.body = to_buffer(as_view(body.dump()));
    return call;
  }
  static Call put_call(const std::string& snapshot, uint64_t index, const Buffer& bytes) {
    Call call;
    call.method = "PUT";
    call.path = "/snapshots/" + snapshot + "/blocks/" + std::to_string(index);
    call.headers = {{"x-amz-data-length", std::to_string(bytes.size())},
                    {"x-amz-checksum", to_base64(Sha256::of(bytes))},
                    {"x-amz-checksum-algorithm", "SHA256"}};
    call.body = bytes;
    return call;
  }
  static Call complete_call(const std::string& snapshot, uint64_t count) {
    Call call;
    call.method = "POST";
    call.path = "/snapshots/completion/" + snapshot;
    call.headers = {{"x-amz-changedblockscount", std::to_string(count)}};
    return call;
  }
  static Call list_call(const std::string& snapshot, const Fields& query = {}) {
    Call call;
    call.path = "/snapshots/" + snapshot + "/blocks";
    call.query = query;
    return call;
  }
  static Call changed_call(const std::string& first, const std::string& second) {
    Call call;
    call.path = "/snapshots/" + second + "/changedblocks";
    call.query = {{"firstSnapshotId", first}};
    return call;
  }
  static Call get_call(const std::string& snapshot, uint64_t index, const std::string& token) {
    Call call;
    call.path = "/snapshots/" + snapshot + "/blocks/" + std::to_string(index);
    call.query = {{"blockToken", token}};
    return call;
  }
  static Call query_call(const std::string& service, const std::string& action,
                         const std::string& parameters = {}) {
    Call call;
    call.method = "POST";
    call.path = "/";
    call.service = service;
    call.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
    const std::string version = service == "ec2"   ? "2016-11-15"
                                : service == "sts" ? "2011-06-15"
                                                   : "2010-03-31";
    call.body = to_buffer(as_view("Action=" + action + "&Version=" + version +
                                  (parameters.empty() ? "" : "&" + parameters)));
    return call;
  }
  std::string token_of(const std::string& snapshot, uint64_t index) {
    const Json page = json(list_call(
        snapshot, {{"startingBlockIndex", std::to_string(index)}, {"maxResults", "100"}}));
    return page["Blocks"][0]["BlockToken"].get<std::string>();
  }
  static Buffer random_block(uint64_t seed) {
    Buffer bytes(kEbsBlockBytes);
    SeededRandom random(seed);
    random.fill(bytes);
    return bytes;
  }

  SimClock clock_;
  std::unique_ptr<EbsStandin> standin_;
  std::unique_ptr<HttpTransport> transport_;
};

std::vector<uint64_t> indexes(const Json& blocks) {
  std::vector<uint64_t> out;
  for (const Json& block : blocks) out.push_back(block["BlockIndex"].get<uint64_t>());
  return out;
}

}  // namespace

TEST_F(EbsStandinTest, TakesASnapshotAndGivesItBack) {
  start();
  const Json started = json(start_call(
      {{"VolumeSize", 2}, {"Description", "d"}, {"Tags", {{{"Key", "a"}, {"Value", "b"}}}}}));
  const std::string id = started["SnapshotId"].get<std::string>();
  EXPECT_EQ(started["Status"], "pending");
  EXPECT_EQ(started["BlockSize"], kEbsBlockBytes);
  const Buffer a = random_block(1);
  const Buffer zeros(kEbsBlockBytes, std::byte{0});
  EXPECT_EQ(outcome(put_call(id, 4095, a)), "201");
  EXPECT_EQ(outcome(put_call(id, 7, zeros)), "201");
  Call complete = complete_call(id, 2);
  Sha256 linear;
  linear.update(Sha256::of(zeros));
  linear.update(Sha256::of(a));
  complete.headers.insert(complete.headers.end(),
                          {{"x-amz-checksum", to_base64(linear.finish())},
                           {"x-amz-checksum-algorithm", "SHA256"},
                           {"x-amz-checksum-aggregation-method", "LINEAR"}});
  EXPECT_EQ(outcome(complete), "202");
  const Json page = json(list_call(id));
  EXPECT_THAT(indexes(page["Blocks"]), ElementsAre(7, 4095));
  EXPECT_FALSE(page.contains("NextToken"));
  EXPECT_EQ(page["VolumeSize"], 2);
  const auto block = perform(get_call(id, 4095, page["Blocks"][1]["BlockToken"]));
  ASSERT_TRUE(block.ok());
  EXPECT_EQ(block->body, a);
  EXPECT_EQ(block->header("x-amz-checksum"), to_base64(Sha256::of(a)));
  EXPECT_EQ(block->header("x-amz-data-length"), "524288");
  EXPECT_EQ(standin_->snapshot_block(id, 7), zeros);
  EXPECT_THAT(standin_->rejections(), IsEmpty());
}

TEST_F(EbsStandinTest, RefusesWhatIsWrong) {
  start();
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 4, 1);
  const std::string base = standin_->make_snapshot(volume);
  const std::string invalid = "400 ValidationException ";
  EXPECT_EQ(outcome(start_call({{"VolumeSize", 0}})), invalid + "INVALID_PARAMETER_VALUE");
  EXPECT_EQ(outcome(start_call({{"VolumeSize", 1}, {"Volume", 1}})),
            invalid + "INVALID_PARAMETER_VALUE");
  EXPECT_EQ(
      outcome(start_call({{"VolumeSize", 1}, {"ParentSnapshotId", base}, {"Encrypted", true}})),
      invalid + "INVALID_PARAMETER_VALUE");
  EXPECT_EQ(outcome(start_call({{"VolumeSize", 1}, {"ParentSnapshotId", "snap-1"}})),
            "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND");
  const std::string id = json(start_call({{"VolumeSize", 1}}))["SnapshotId"].get<std::string>();
  EXPECT_EQ(outcome(list_call(id)), invalid + "INVALID_SNAPSHOT_ID");  // pending
  const Buffer a = random_block(1);
  EXPECT_EQ(outcome(put_call(id, 2048, a)), invalid + "INVALID_BLOCK");
  EXPECT_EQ(outcome(put_call(id, 0, Buffer(1024, std::byte{1}))), invalid + "INVALID_BLOCK");
  Call wrong = put_call(id, 0, a);
  wrong.headers[1].second = to_base64(Sha256::of(as_view("other")));
  EXPECT_EQ(outcome(wrong), invalid + "INVALID_BLOCK");
  EXPECT_EQ(outcome(put_call(id, 0, a)), "201");
  EXPECT_EQ(outcome(complete_call(id, 2)), invalid + "INVALID_PARAMETER_VALUE");
  Call linear = complete_call(id, 1);
  linear.headers.insert(linear.headers.end(), {{"x-amz-checksum", to_base64(Sha256::of(a))},
                                               {"x-amz-checksum-algorithm", "SHA256"},
                                               {"x-amz-checksum-aggregation-method", "LINEAR"}});
  EXPECT_EQ(outcome(linear), invalid + "INVALID_PARAMETER_VALUE");  // of the digest, not of bytes
  EXPECT_EQ(outcome(list_call(base, {{"maxResults", "99"}})), invalid + "INVALID_PARAMETER_VALUE");
  EXPECT_EQ(outcome(get_call(base, 1, token_of(base, 0))), invalid + "INVALID_BLOCK_TOKEN");

  Call call = list_call(base);
  call.secret = "another";
  EXPECT_EQ(outcome(call), "403 InvalidSignatureException");
  call = list_call(base);
  call.service = "ec2";  // the scope is another service's
  EXPECT_THAT(outcome(call), testing::StartsWith("4"));
  call = list_call(base);
  call.region = "eu-central-1";
  EXPECT_EQ(outcome(call), "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND");
  call = list_call(base);
  call.shift_ms = 16 * 60'000;
  EXPECT_EQ(outcome(call), "403 InvalidSignatureException");
  EXPECT_GT(standin_->rejections().size(), 10U);
}

TEST_F(EbsStandinTest, ListsChangesTombstonesAndNewBlocks) {
  start();
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 10, 1);
  standin_->write_zeros(volume, 20, 1);
  const std::string first = standin_->make_snapshot(volume);
  standin_->write_pattern(volume, 1, 1, 2);
  standin_->write_pattern(volume, 100, 1, 2);
  standin_->trim(volume, 5, 1);
  standin_->touch(volume, 20, 1);
  const std::string second = standin_->make_snapshot(volume);
  const Json changed = json(changed_call(first, second))["ChangedBlocks"];
  EXPECT_THAT(indexes(changed), ElementsAre(1, 5, 20, 100));
  EXPECT_TRUE(changed[0].contains("FirstBlockToken") && changed[0].contains("SecondBlockToken"));
  EXPECT_FALSE(changed[1].contains("SecondBlockToken"));  // a tombstone
  EXPECT_FALSE(changed[3].contains("FirstBlockToken"));   // new
  // The first snapshot's token reads the first snapshot.
  const std::string old_token = changed[0]["FirstBlockToken"].get<std::string>();
  EXPECT_EQ(perform(get_call(first, 1, old_token))->body, *standin_->snapshot_block(first, 1));
  EXPECT_EQ(outcome(get_call(second, 1, old_token)), "400 ValidationException INVALID_BLOCK_TOKEN");
  const std::string other = standin_->make_snapshot(standin_->make_volume({}));
  EXPECT_EQ(outcome(changed_call(other, second)), "400 ValidationException UNRELATED_SNAPSHOTS");
}

TEST_F(EbsStandinTest, ChangesOfAChildAreItsPuts) {
  start();
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 10, 1);
  const std::string parent = standin_->make_snapshot(volume);
  const std::string child =
      json(start_call({{"VolumeSize", 1}, {"ParentSnapshotId", parent}}))["SnapshotId"];
  EXPECT_EQ(outcome(put_call(child, 3, random_block(9))), "201");
  EXPECT_EQ(outcome(complete_call(child, 1)), "202");
  EXPECT_THAT(indexes(json(changed_call(parent, child))["ChangedBlocks"]), ElementsAre(3));
  EXPECT_EQ(standin_->snapshot_blocks(child).size(), 10U);
  EXPECT_EQ(standin_->snapshot(child)->volume_id, "vol-ffffffff");
}

TEST_F(EbsStandinTest, TokensEndOnTheClock) {
  start();
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 500, 1);
  const std::string id = standin_->make_snapshot(volume);
  const Json page = json(list_call(id, {{"maxResults", "100"}}));
  const std::string next = page["NextToken"].get<std::string>();
  const std::string block = page["Blocks"][0]["BlockToken"].get<std::string>();
  EXPECT_EQ(page["Blocks"].size(), 100U);
  clock_.advance_ms(3'599'000);
  const Json more = json(list_call(id, {{"pageToken", next}}));
  EXPECT_EQ(more["Blocks"][0]["BlockIndex"], 100);
  clock_.advance_ms(1'000);
  EXPECT_EQ(outcome(list_call(id, {{"pageToken", next}})),
            "400 ValidationException INVALID_PAGE_TOKEN");
  EXPECT_EQ(outcome(get_call(id, 0, block)), "200");
  clock_.advance_ms(7LL * 24 * 3'600'000);
  EXPECT_EQ(outcome(get_call(id, 0, block)), "400 ValidationException INVALID_BLOCK_TOKEN");
  const Json again = json(list_call(id, {{"startingBlockIndex", "250"}, {"maxResults", "100"}}));
  EXPECT_EQ(again["Blocks"][0]["BlockIndex"], 250);
}

TEST_F(EbsStandinTest, ClientTokensAreIdempotent) {
  start();
  const Json body = {{"VolumeSize", 1}, {"ClientToken", "t1"}};
  const std::string id = json(start_call(body))["SnapshotId"].get<std::string>();
  EXPECT_EQ(json(start_call(body))["SnapshotId"], id);
  EXPECT_EQ(outcome(start_call({{"VolumeSize", 2}, {"ClientToken", "t1"}})),
            "409 ConflictException");
  EXPECT_NE(json(start_call({{"VolumeSize", 1}}))["SnapshotId"], id);
}

TEST_F(EbsStandinTest, StatesFollowTheClock) {
  EbsStandinOptions options;
  options.pending_ms = 60'000;
  options.early_not_found_puts = 2;
  start(options);
  const std::string id = json(start_call({{"VolumeSize", 1}}))["SnapshotId"].get<std::string>();
  const Buffer a = random_block(1);
  EXPECT_EQ(outcome(put_call(id, 0, a)), "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND");
  EXPECT_EQ(outcome(put_call(id, 0, a)), "404 ResourceNotFoundException SNAPSHOT_NOT_FOUND");
  EXPECT_EQ(outcome(put_call(id, 0, a)), "201");
  EXPECT_EQ(outcome(complete_call(id, 1)), "202");
  EXPECT_EQ(standin_->snapshot(id)->state, "pending");
  EXPECT_EQ(outcome(list_call(id)), "400 ValidationException INVALID_SNAPSHOT_ID");
  EXPECT_EQ(outcome(put_call(id, 1, a)), "400 ValidationException INVALID_SNAPSHOT_ID");
  clock_.advance_ms(60'000);
  EXPECT_EQ(outcome(list_call(id)), "200");
  EXPECT_EQ(outcome(complete_call(id, 1)), "202");  // the answer may have been lost
  const std::string idle = json(start_call({{"VolumeSize", 1}, {"Timeout", 10}}))["SnapshotId"];
  clock_.advance_ms(10 * 60'000 + 1);
  EXPECT_EQ(standin_->snapshot(idle)->state, "error");
}

TEST_F(EbsStandinTest, QuotasOfAccountAndSnapshot) {
  EbsStandinOptions options;
  options.limits.get_per_s = 3;
  options.limits.snapshot_get_per_s = 2;
  options.limits.list_per_s = 1;
  start(options);
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 1, 1);
  const std::string id = standin_->make_snapshot(volume);
  const std::string token = token_of(id, 0);
  EXPECT_EQ(outcome(list_call(id)), "400 ThrottlingException ACCOUNT_THROTTLED");
  EXPECT_EQ(outcome(get_call(id, 0, token)), "200");
  EXPECT_EQ(outcome(get_call(id, 0, token)), "200");
  EXPECT_EQ(outcome(get_call(id, 0, token)),
            "400 RequestThrottledException RESOURCE_LEVEL_THROTTLE");
  EXPECT_EQ(outcome(get_call(id, 0, token)), "400 ThrottlingException ACCOUNT_THROTTLED");
  clock_.advance_ms(1'000);
  EXPECT_EQ(outcome(list_call(id)), "200");
  EXPECT_EQ(outcome(get_call(id, 0, token)), "200");
  EXPECT_EQ(standin_->throttled(), 3U);
}

TEST_F(EbsStandinTest, FaultsAreWhatTheyAreCalled) {
  start();
  const std::string volume = standin_->make_volume({});
  standin_->write_pattern(volume, 0, 300, 1);
  const std::string id = standin_->make_snapshot(volume);
  const std::string token = token_of(id, 0);
  const Call get = get_call(id, 0, token);
  const Buffer real = *standin_->snapshot_block(id, 0);
  const auto fail = [&](EbsFault fault) { standin_->fail_next(EbsOperation::unknown, fault); };
  const std::map<EbsFault, std::string> answers = {
      {EbsFault::internal_error, "500 InternalServerException"},
      {EbsFault::done_internal_error, "500 InternalServerException"},
      {EbsFault::unavailable, "503 ServiceUnavailableException"},
      {EbsFault::bare_503, "503 "},
      {EbsFault::throttling, "400 ThrottlingException"},
      {EbsFault::request_throttled, "400 RequestThrottledException RESOURCE_LEVEL_THROTTLE"},
      {EbsFault::quota_exceeded,
       "402 ServiceQuotaExceededException DEPENDENCY_SERVICE_QUOTA_EXCEEDED"},
      {EbsFault::expired_credentials, "403 ExpiredTokenException"},
      {EbsFault::expired_block_token, "400 ValidationException INVALID_BLOCK_TOKEN"},
      {EbsFault::hang_before_answer, "error timed_out"},
      {EbsFault::hang_after_headers, "error timed_out"},
      {EbsFault::truncated_body, "error unavailable"},
      {EbsFault::reset_download, "error unavailable"},
      {EbsFault::lost_answer, "error unavailable"}};
  for (const auto& [fault, answer] : answers) {
    fail(fault);
    EXPECT_EQ(outcome(get), answer) << to_string(fault);
    EXPECT_EQ(standin_->faults_done(fault), 1U);
  }
  fail(EbsFault::corrupted_body);
  auto block = perform(get);
  ASSERT_TRUE(block.ok());
  EXPECT_NE(block->body, real);
  EXPECT_EQ(block->header("x-amz-checksum"), to_base64(Sha256::of(real)));
  fail(EbsFault::wrong_checksum);
  block = perform(get);
  EXPECT_EQ(block->body, real);
  EXPECT_NE(block->header("x-amz-checksum"), to_base64(Sha256::of(real)));
  fail(EbsFault::empty_page);
  const Json empty = json(list_call(id));
  EXPECT_EQ(empty["Blocks"].size(), 0U);
  EXPECT_TRUE(empty.contains("NextToken"));
  fail(EbsFault::short_page);
  EXPECT_LT(json(list_call(id))["Blocks"].size(), 300U);
  fail(EbsFault::garbled);
  EXPECT_TRUE(json(list_call(id)).is_discarded());
  EXPECT_EQ(perform(get)->body, real);
  EXPECT_THAT(standin_->rejections(), IsEmpty());
}

TEST_F(EbsStandinTest, VolumesSnapshotsInstances) {
  EbsStandinOptions options;
  options.ec2_page_items = 2;
  start(options);
  std::vector<std::string> volumes;
  for (int i = 0; i < 5; ++i) {
    EbsVolumeSpec spec;
    spec.tags = {{"Backup", i < 3 ? "daily" : "weekly"}};
    volumes.push_back(standin_->make_volume(spec));
  }
  std::string after;
  int pages = 0;
  size_t seen = 0;
  do {
    const std::string page =
        xml(query_call("ec2", "DescribeVolumes",
                       "Filter.1.Name=tag%3ABackup&Filter.1.Value.1=da*" +
                           (after.empty() ? "" : "&NextToken=" + percent_encode(after, false))));
    ++pages;
    for (const std::string& id : volumes) {
      if (page.find("<volumeId>" + id + "<") != std::string::npos) ++seen;
    }
    const size_t at = page.find("<nextToken>");
    after =
        at == std::string::npos ? "" : page.substr(at + 11, page.find("</nextToken>") - at - 11);
  } while (!after.empty() && pages < 10);
  EXPECT_EQ(seen, 3U);
  EXPECT_EQ(pages, 2);
  const std::string instance = standin_->make_instance({volumes[0], volumes[1]});
  const std::string made = xml(query_call("ec2", "CreateSnapshots",
                                          "InstanceSpecification.InstanceId=" + instance +
                                              "&CopyTagsFromSource=volume"
                                              "&TagSpecification.1.ResourceType=snapshot"
                                              "&TagSpecification.1.Tag.1.Key=by"
                                              "&TagSpecification.1.Tag.1.Value=us"));
  EXPECT_THAT(made, HasSubstr("<volumeId>" + volumes[1]));
  ASSERT_EQ(standin_->snapshots().size(), 2U);
  const EbsSnapshotInfo first = standin_->snapshots()[0];
  EXPECT_EQ(first.tags, (EbsTags{{"Backup", "daily"}, {"by", "us"}}));
  const std::string image =
      "Name=boot&RootDeviceName=%2Fdev%2Fxvda&Architecture=x86_64"
      "&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda"
      "&BlockDeviceMapping.1.Ebs.SnapshotId=" +
      first.id;
  EXPECT_EQ(outcome(query_call("ec2", "RegisterImage", image)), "200");
  EXPECT_EQ(outcome(query_call("ec2", "RegisterImage", image)), "400 InvalidAMIName.Duplicate");
  const Call remove = query_call("ec2", "DeleteSnapshot", "SnapshotId=" + first.id);
  EXPECT_EQ(outcome(remove), "400 InvalidSnapshot.InUse");
  EXPECT_EQ(outcome(query_call("ec2", "DeregisterImage", "ImageId=" + standin_->images()[0].id)),
            "200");
  EXPECT_EQ(outcome(remove), "200");
  EXPECT_EQ(outcome(remove), "400 InvalidSnapshot.NotFound");
  EXPECT_EQ(outcome(query_call("ec2", "DescribeVolumes", "Volume=1")), "400 UnknownParameter");
  EXPECT_EQ(outcome(query_call("ec2", "DescribeVolumes", "Filter.1.Name=no&Filter.1.Value.1=x")),
            "400 InvalidParameterValue");
  EXPECT_EQ(outcome(query_call("ec2", "RunInstances")), "400 InvalidAction");
  EXPECT_EQ(outcome(query_call("ec2", "CreateSnapshot", "DryRun=true&VolumeId=" + volumes[4])),
            "412 DryRunOperation");
}

TEST_F(EbsStandinTest, AbsentBlocksOfAnEncryptedVolumeAreGarbage) {
  start();
  const std::string id =
      json(start_call({{"VolumeSize", 1}, {"Encrypted", true}}))["SnapshotId"].get<std::string>();
  EXPECT_EQ(outcome(put_call(id, 3, random_block(3))), "201");
  EXPECT_EQ(outcome(complete_call(id, 1)), "202");
  EXPECT_EQ(
      outcome(query_call("ec2", "CreateVolume", "AvailabilityZone=us-east-1a&SnapshotId=" + id)),
      "200");
  const std::string volume = standin_->volumes()[0].id;
  EXPECT_TRUE(standin_->volumes()[0].encrypted);
  EXPECT_EQ(standin_->volume_block(volume, 3), random_block(3));
  EXPECT_NE(standin_->volume_block(volume, 4), Buffer(kEbsBlockBytes, std::byte{0}));
}

TEST_F(EbsStandinTest, RolesLeadIntoOtherAccounts) {
  EbsStandinOptions options;
  options.accounts.push_back({"444455556666", "AKIAOTHER", "other-secret"});
  start(options);
  const std::string there = standin_->make_volume({}, {"444455556666", "eu-central-1"});
  standin_->add_role("arn:aws:iam::444455556666:role/backup", {"111122223333"}, "x1");
  const std::string role =
      "RoleSessionName=tests&RoleArn=arn%3Aaws%3Aiam%3A%3A444455556666%3Arole%2Fbackup";
  EXPECT_EQ(outcome(query_call("sts", "AssumeRole", role)), "403 AccessDenied");
  const std::string answer = xml(query_call("sts", "AssumeRole", role + "&ExternalId=x1"));
  const auto field = [&](const std::string& name) {
    const size_t from = answer.find("<" + name + ">") + name.size() + 2;
    return answer.substr(from, answer.find("</" + name + ">") - from);
  };
  Call call = query_call("ec2", "DescribeVolumes");
  call.region = "eu-central-1";
  EXPECT_THAT(xml(call), testing::Not(HasSubstr(there)));
  call.access_key = field("AccessKeyId");
  call.secret = field("SecretAccessKey");
  EXPECT_EQ(outcome(call), "401 AuthFailure");  // without the token
  call.token = field("SessionToken");
  EXPECT_THAT(xml(call), HasSubstr(there));
  clock_.advance_ms(3'600'000);
  EXPECT_EQ(outcome(call), "400 RequestExpired");
}

TEST_F(EbsStandinTest, PublishedMessagesAreKept) {
  start();
  const std::string topic = "TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A111122223333%3At";
  EXPECT_EQ(outcome(query_call("sns", "Publish", topic + "&Subject=s&Message=m+1")), "200");
  ASSERT_EQ(standin_->messages().size(), 1U);
  EXPECT_EQ(standin_->messages()[0].message, "m 1");
  EXPECT_EQ(outcome(query_call("sns", "Publish", topic)), "400 InvalidParameter");
}

TEST_F(EbsStandinTest, ASixteenTebibyteVolumeCostsNothing) {
  EbsStandinOptions options;
  options.limits.list_per_s = 0;
  start(options);
  EbsVolumeSpec spec;
  spec.size_gib = 16'384;
  spec.seed = 7;
  spec.fill_per_mille = 1000;
  const std::string id = standin_->make_snapshot(standin_->make_volume(spec));
  const Json page =
      json(list_call(id, {{"startingBlockIndex", "33554000"}, {"maxResults", "10000"}}));
  EXPECT_EQ(page["Blocks"].size(), 33'554'432U - 33'554'000U);
  const auto block = perform(get_call(id, 33'554'431, page["Blocks"][431]["BlockToken"]));
  ASSERT_TRUE(block.ok());
  EXPECT_EQ(block->body, *standin_->snapshot_block(id, 33'554'431));
  EXPECT_EQ(block->header("x-amz-checksum"), to_base64(Sha256::of(block->body)));
}

}  // namespace coldshelf::test
