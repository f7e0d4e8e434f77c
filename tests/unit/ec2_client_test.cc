// The client of EC2's Query API against scripted answers.
#include "uploader/cloud/ec2_client.h"

#include <gtest/gtest.h>

#include "tests/support/scripted_http.h"
#include "tests/support/sim_clock.h"

namespace coldshelf::test {
namespace {

std::string fault(const std::string& code) {
  return "<?xml version=\"1.0\"?><Response><Errors><Error><Code>" + code +
         "</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>";
}

class Ec2ClientTest : public ::testing::Test {
 protected:
  Ec2Client& make(ScriptedHttp::Script script) {
    http = std::make_shared<ScriptedHttp>(std::move(script));
    Ec2Client::Options options;
    options.region = "eu-central-1";
    client = std::make_unique<Ec2Client>(
        options, clock, http,
        make_static_credentials({"AKID", Secret(std::string_view("s")), "", 0}));
    return *client;
  }
  std::shared_ptr<SimClock> clock = std::make_shared<SimClock>();
  std::shared_ptr<ScriptedHttp> http;
  std::unique_ptr<Ec2Client> client;
};

TEST_F(Ec2ClientTest, DescribesSnapshotsPageByPage) {
  Ec2Client& ec2 = make([&](const SeenRequest& seen) {
    if (seen.body.find("NextToken") == std::string::npos) {
      return http_answer(200, R"(<?xml version="1.0" encoding="UTF-8"?>
<DescribeSnapshotsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<snapshotSet><item><snapshotId>snap-01</snapshotId><volumeId>vol-1</volumeId><status>completed</status>
<startTime>2026-11-21T01:02:03.000Z</startTime><progress>100%</progress><ownerId>111</ownerId>
<volumeSize>15</volumeSize><description>a &amp; b</description><encrypted>true</encrypted>
<kmsKeyId>arn:k</kmsKeyId><tagSet><item><key>Name</key><value>x</value></item></tagSet>
<storageTier>standard</storageTier></item></snapshotSet><nextToken>more</nextToken>
</DescribeSnapshotsResponse>)");
    }
    EXPECT_NE(seen.body.find("NextToken=more"), std::string::npos);
    return http_answer(200, R"(<DescribeSnapshotsResponse><snapshotSet><item>
<snapshotId>snap-02</snapshotId><status>pending</status></item></snapshotSet>
</DescribeSnapshotsResponse>)");
  });
  const auto got = ec2.describe_snapshots({}, {{"volume-id", {"vol-1"}}, {"tag:a b", {"1", "2"}}});
  ASSERT_TRUE(got.ok()) << got.error().message();
  ASSERT_EQ(got->size(), 2U);
  EXPECT_EQ(got->at(0).id, "snap-01");
  EXPECT_EQ(got->at(0).volume_gib, 15U);
  EXPECT_EQ(got->at(0).description, "a & b");
  EXPECT_TRUE(got->at(0).encrypted);
  EXPECT_EQ(got->at(0).tags.at("Name"), "x");
  EXPECT_EQ(got->at(0).started_ms, 1'795'222'923'000);
  EXPECT_EQ(got->at(1).state, "pending");
  EXPECT_EQ(http->seen()[0].body,
            "Action=DescribeSnapshots&Filter.1.Name=volume-id&Filter.1.Value.1=vol-1&"
            "Filter.2.Name=tag%3Aa%20b&Filter.2.Value.1=1&Filter.2.Value.2=2&MaxResults=500&"
            "Owner.1=self&Version=2016-11-15");
}

TEST_F(Ec2ClientTest, WhatCannotBeRepeatedIsNot) {
  Ec2Client& ec2 = make([&](const SeenRequest&) -> Result<HttpResponse> {
    if (http->seen().size() == 1) return http_answer(503, fault("RequestLimitExceeded"));
    return Error(ErrorCode::timed_out, "nothing came");
  });
  EXPECT_EQ(ec2.create_snapshot("vol-1", "d", {}).error().code, ErrorCode::unavailable);
  EXPECT_EQ(http->seen().size(), 2U);  // refused: again; lost: not
}

TEST_F(Ec2ClientTest, WhatCanBeRepeatedIs) {
  Ec2Client& ec2 = make([&](const SeenRequest&) -> Result<HttpResponse> {
    switch (http->seen().size()) {
      case 1:
        return http_answer(500, fault("InternalError"));
      case 2:
        return Error(ErrorCode::unavailable, "reset");
      case 3:
        return http_answer(400, fault("Throttling"));
      default:
        return http_answer(200,
                           "<DeleteSnapshotResponse><return>true</return>"
                           "</DeleteSnapshotResponse>");
    }
  });
  EXPECT_TRUE(ec2.delete_snapshot("snap-1").ok());
  EXPECT_EQ(http->seen().size(), 4U);
}

// Keys that expire as those of a role do, and are others once somebody says so.
class RotatingKeys final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    return Credentials{expired == 0 ? "AKOLD" : "AKNEW", Secret(std::string_view("s")), "t", 0};
  }
  void expire() override { ++expired; }
  int expired = 0;
};

// EC2 says RequestExpired of temporary keys that have expired, too (the clock is right here), and
// AuthFailure of those it does not know: keys in a file that were exchanged, the old ones deleted.
TEST_F(Ec2ClientTest, KeysThatAreRefusedAreReadAgain) {
  for (const char* name : {"RequestExpired", "AuthFailure", "UnauthorizedOperation"}) {
    const auto keys = std::make_shared<RotatingKeys>();
    http = std::make_shared<ScriptedHttp>([&](const SeenRequest& seen) {
      if (seen.header("authorization").find("AKNEW") == std::string::npos) {
        return http_answer(400, fault(name));
      }
      return http_answer(200,
                         "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>");
    });
    Ec2Client::Options options;
    options.region = "eu-central-1";
    Ec2Client ec2(options, clock, http, keys);
    const Status deleted = ec2.delete_snapshot("snap-1");
    const bool may_help = name != std::string("UnauthorizedOperation");
    EXPECT_EQ(deleted.ok(), may_help) << name;
    EXPECT_EQ(keys->expired, may_help ? 1 : 0) << name;
    EXPECT_EQ(http->seen().size(), may_help ? 2U : 1U) << name;
  }
}

TEST_F(Ec2ClientTest, HowFarOurClockIsAhead) {
  std::string date = "Sun, 01 Jan 2023 00:00:00 GMT";
  Ec2Client& ec2 = make([&](const SeenRequest&) {
    HttpResponse answer =
        http_answer(200, "<DeleteSnapshotResponse><return>true</return></DeleteSnapshotResponse>");
    answer.headers["date"] = date;
    return answer;
  });
  EXPECT_EQ(ec2.clock_ahead_ms(), 0);
  ASSERT_TRUE(ec2.delete_snapshot("snap-1").ok());
  EXPECT_EQ(ec2.clock_ahead_ms(), clock->unix_ms() - 1'672'531'200'000);
  date = "nonsense";
  ASSERT_TRUE(ec2.delete_snapshot("snap-1").ok());
  EXPECT_EQ(ec2.clock_ahead_ms(), clock->unix_ms() - 1'672'531'200'000);
}

TEST_F(Ec2ClientTest, ErrorsSayWhatTheyAre) {
  for (const auto& [name, code] : std::vector<std::pair<std::string, ErrorCode>>{
           {"UnauthorizedOperation", ErrorCode::permission},
           {"InvalidSnapshot.InUse", ErrorCode::busy},
           {"SnapshotLimitExceeded", ErrorCode::no_space},
           {"InvalidParameterValue", ErrorCode::invalid_argument}}) {
    Ec2Client& ec2 =
        make([&name = name](const SeenRequest&) { return http_answer(400, fault(name)); });
    EXPECT_EQ(ec2.delete_snapshot("snap-1").error().code, code) << name;
  }
  Ec2Client& ec2 =
      make([&](const SeenRequest&) { return http_answer(400, fault("InvalidSnapshot.NotFound")); });
  EXPECT_TRUE(ec2.delete_snapshot("snap-1").ok());
  EXPECT_EQ(ec2.describe_snapshot("snap-1").error().code, ErrorCode::not_found);
}

TEST_F(Ec2ClientTest, AnImageRegisteredBeforeIsFound) {
  std::string on = "snap-1";
  Ec2Client& ec2 = make([&](const SeenRequest& seen) {
    if (seen.body.find("Action=RegisterImage") != std::string::npos) {
      return http_answer(400, fault("InvalidAMIName.Duplicate"));
    }
    return http_answer(200,
                       "<DescribeImagesResponse><imagesSet><item><imageId>ami-7</imageId>"
                       "<blockDeviceMapping><item><ebs><snapshotId>" +
                           on +
                           "</snapshotId></ebs></item></blockDeviceMapping></item></imagesSet>"
                           "</DescribeImagesResponse>");
  });
  Ec2RegisterImage what;
  what.name = "n";
  what.snapshot = "snap-1";
  const auto got = ec2.register_image(what);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, "ami-7");
  on = "snap-other";
  EXPECT_EQ(ec2.register_image(what).error().code, ErrorCode::exists);
}

TEST_F(Ec2ClientTest, CreatesVolumesAndSnapshotsOfInstances) {
  Ec2Client& ec2 = make([&](const SeenRequest& seen) {
    if (seen.body.find("Action=CreateVolume") != std::string::npos) {
      return http_answer(200,
                         "<CreateVolumeResponse><volumeId>vol-9</volumeId><size>8</size>"
                         "<status>creating</status></CreateVolumeResponse>");
    }
    return http_answer(200,
                       "<CreateSnapshotsResponse><snapshotSet><item><snapshotId>snap-5"
                       "</snapshotId><volumeId>vol-1</volumeId><state>pending</state></item>"
                       "</snapshotSet></CreateSnapshotsResponse>");
  });
  Ec2CreateVolume volume;
  volume.zone = "eu-central-1a";
  volume.snapshot = "snap-1";
  volume.type = "gp3";
  volume.client_token = "t";
  EXPECT_EQ(ec2.create_volume(volume)->id, "vol-9");
  EXPECT_EQ(http->seen()[0].body,
            "Action=CreateVolume&AvailabilityZone=eu-central-1a&ClientToken=t&SnapshotId=snap-1&"
            "Version=2016-11-15&VolumeType=gp3");
  Ec2CreateSnapshots all;
  all.instance = "i-1";
  all.copy_tags_from_volumes = true;
  all.tags = {{"k", "v"}};
  const auto got = ec2.create_snapshots(all);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->at(0).state, "pending");
  EXPECT_EQ(http->seen()[1].body,
            "Action=CreateSnapshots&CopyTagsFromSource=volume&InstanceSpecification.InstanceId=i-1&"
            "TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=k&"
            "TagSpecification.1.Tag.1.Value=v&Version=2016-11-15");
}

}  // namespace
}  // namespace coldshelf::test
