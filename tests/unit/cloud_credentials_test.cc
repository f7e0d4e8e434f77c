// The credential chain: where it looks, in which order, what it does when a place is broken.
#include <gtest/gtest.h>

#include <thread>

#include "base/log.h"
#include "tests/support/process.h"
#include "tests/support/scripted_http.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_file_system.h"
#include "uploader/cloud/credential_sources.h"
#include "uploader/cloud/credentials.h"
#include "uploader/cloud/role_credentials.h"

namespace coldshelf::test {
namespace {

constexpr const char* kConfig = "/home/u/.aws/config";
constexpr const char* kKeys = "/home/u/.aws/credentials";

class CredentialChain : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.create_directories("/home/u/.aws/sso/cache").ok());
    options_.home = "/home/u";
    options_.environment = [this](const char* name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    };
    script_ = [](const SeenRequest&) -> Result<HttpResponse> {
      return Error(ErrorCode::unavailable, "connection refused");
    };
  }
  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(files_.replace_file(path, as_view(text)).ok());
  }
  std::unique_ptr<CredentialsProvider> chain() {
    return make_credential_chain(files_, clock_, http_, options_);
  }
  Result<Credentials> get() { return chain()->get(); }
  std::string key() {
    auto got = get();
    return got.ok() ? got->access_key_id : got.error().message();
  }
  std::string in_seconds(int64_t seconds) { return format_utc(clock_.unix_ms() + seconds * 1000); }
  // What STS answers to `action`.
  std::string sts_answer(const std::string& action, const std::string& id, int64_t seconds = 3600) {
    return "<" + action + "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" +
           action + "Result><Credentials><AccessKeyId>" + id +
           "</AccessKeyId><SecretAccessKey>sts-secret</SecretAccessKey><SessionToken>sts-token"
           "</SessionToken><Expiration>" +
           in_seconds(seconds) + "</Expiration></Credentials></" + action + "Result></" + action +
           "Response>";
  }

  std::map<std::string, std::string> environment_;
  SimFileSystem files_;
  SimClock clock_;
  CredentialOptions options_;
  ScriptedHttp::Script script_;
  ScriptedHttp http_{[this](const SeenRequest& r) { return script_(r); }};
};

TEST_F(CredentialChain, TheEnvironmentComesFirst) {
  environment_ = {{"AWS_ACCESS_KEY_ID", "AKENV"},
                  {"AWS_SECRET_ACCESS_KEY", "env-secret"},
                  {"AWS_SESSION_TOKEN", "env-token"}};
  write(kKeys, "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\n");
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "AKENV");
  EXPECT_EQ(got->secret_access_key.reveal(), "env-secret");
  EXPECT_EQ(got->session_token, "env-token");
  EXPECT_EQ(got->expires_ms, 0);
  EXPECT_TRUE(http_.seen().empty());
}

TEST_F(CredentialChain, HalfAKeyInTheEnvironmentIsAnError) {
  environment_ = {{"AWS_ACCESS_KEY_ID", "AKENV"}};
  EXPECT_EQ(get().error().code, ErrorCode::permission);
  EXPECT_NE(key().find("AWS_SECRET_ACCESS_KEY go together"), std::string::npos) << key();
}

TEST_F(CredentialChain, ProfilesOfBothFiles) {
  write(kConfig,
        "# a comment\n"
        "[default]\nregion = eu-west-1 ; inline\naws_access_key_id = AKCONFIG\n"
        "aws_secret_access_key = config-secret\ns3 =\n  max_concurrent_requests = 20\n"
        "[profile other]\r\nregion=us-west-2\r\n"
        "[profile \"two words\"]\n  aws_access_key_id = AKTWO\n  aws_secret_access_key = two/+=\n"
        "[services x]\nnonsense = 1\n[plugins]\ncli = y\n");
  write(kKeys,
        "[other]\nAWS_ACCESS_KEY_ID=AKOTHER\naws_secret_access_key=other\naws_session_token=tok\n"
        "[default]\naws_access_key_id = AKKEYS\naws_secret_access_key = keys-secret\n");
  EXPECT_EQ(key(), "AKKEYS");  // the credentials file wins
  environment_["AWS_PROFILE"] = "other";
  auto other = get();
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->access_key_id, "AKOTHER");
  EXPECT_EQ(other->session_token, "tok");
  options_.profile = "two words";
  auto two = get();
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->secret_access_key.reveal(), "two/+=");
}

TEST_F(CredentialChain, TheProfileThatWasAskedForIsTheOnlyPlace) {
  environment_ = {{"AWS_ACCESS_KEY_ID", "AKENV"}, {"AWS_SECRET_ACCESS_KEY", "s"}};
  write(kKeys, "[mine]\naws_access_key_id = AKMINE\naws_secret_access_key = s\n");
  options_.profile = "mine";
  EXPECT_EQ(key(), "AKMINE");
  options_.profile = "missing";
  EXPECT_EQ(get().error().code, ErrorCode::permission);
  EXPECT_NE(key().find("profile missing is neither in /home/u/.aws/config nor in"),
            std::string::npos)
      << key();
  write(kConfig, "[profile empty]\nregion = x\n");
  options_.profile = "empty";
  EXPECT_NE(key().find("names no credentials"), std::string::npos) << key();
}

TEST_F(CredentialChain, FilesElsewhere) {
  ASSERT_TRUE(files_.create_directories("/etc/x").ok());
  environment_ = {{"AWS_CONFIG_FILE", "/etc/x/config"},
                  {"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/elsewhere"}};
  write("/home/u/.aws/elsewhere", "[default]\naws_access_key_id=AKE\naws_secret_access_key=s\n");
  EXPECT_EQ(key(), "AKE");
}

TEST_F(CredentialChain, ALineThatCannotBeReadIsNamedButNotShown) {
  write(kKeys, "[default]\naws_access_key_id = AK\nsEcReT-alone\n");
  auto got = get();
  ASSERT_FALSE(got.ok());
  EXPECT_NE(got.error().message().find("credentials:3:"), std::string::npos);
  EXPECT_EQ(got.error().message().find("sEcReT"), std::string::npos);
}

TEST_F(CredentialChain, NothingFoundSaysWhereItLooked) {
  auto got = get();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, ErrorCode::permission);
  for (const char* place :
       {"environment", "web identity", "profile default", "container", "EC2 instance metadata"}) {
    EXPECT_NE(got.error().message().find(place), std::string::npos) << place;
  }
}

TEST_F(CredentialChain, ARoleBySourceProfile) {
  write(kConfig,
        "[profile base]\naws_access_key_id = AKBASE\naws_secret_access_key = base\n"
        "[profile r]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        "external_id = x/y\nrole_session_name = me\nduration_seconds = 1800\nregion = eu-west-1\n");
  script_ = [this](const SeenRequest& r) -> Result<HttpResponse> {
    EXPECT_EQ(r.url, "https://sts.eu-west-1.amazonaws.com/");
    EXPECT_EQ(r.method, "POST");
    EXPECT_EQ(r.body,
              "Action=AssumeRole&DurationSeconds=1800&ExternalId=x%2Fy&"
              "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me&Version=2011-06-15");
    EXPECT_NE(r.header("authorization").find("Credential=AKBASE/"), std::string::npos);
    EXPECT_NE(r.header("authorization").find("/eu-west-1/sts/aws4_request"), std::string::npos);
    EXPECT_GT(r.timeout_ms, 0);
    return http_answer(200, sts_answer("AssumeRole", "ASIAROLE"));
  };
  options_.profile = "r";
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "ASIAROLE");
  EXPECT_EQ(got->secret_access_key.reveal(), "sts-secret");
  EXPECT_EQ(got->session_token, "sts-token");
  EXPECT_EQ(got->expires_ms, clock_.unix_ms() + 3'600'000);
}

TEST_F(CredentialChain, RolesOverRoles) {
  write(kConfig,
        "[profile base]\naws_access_key_id = AKBASE\naws_secret_access_key = base\n"
        "[profile a]\nrole_arn = arn:a\nsource_profile = base\n"
        "[profile b]\nrole_arn = arn:b\nsource_profile = a\n"
        "[profile self]\nrole_arn = arn:self\nsource_profile = self\n"
        "aws_access_key_id = AKSELF\naws_secret_access_key = s\n");
  script_ = [this](const SeenRequest& r) -> Result<HttpResponse> {
    const std::string& by = r.header("authorization");
    const bool is_a = r.body.find("RoleArn=arn%3Aa&") != std::string::npos;
    const bool is_b = r.body.find("RoleArn=arn%3Ab&") != std::string::npos;
    EXPECT_NE(by.find(is_a ? "AKBASE" : is_b ? "ASIA-A" : "AKSELF"), std::string::npos) << r.body;
    return http_answer(200, sts_answer("AssumeRole", is_a ? "ASIA-A" : is_b ? "ASIA-B" : "ASIA-S"));
  };
  options_.profile = "b";
  EXPECT_EQ(key(), "ASIA-B");
  options_.profile = "self";
  EXPECT_EQ(key(), "ASIA-S");
}

TEST_F(CredentialChain, CirclesAndUnusableProfilesAreErrors) {
  write(kConfig,
        "[profile a]\nrole_arn = arn:a\nsource_profile = b\n"
        "[profile b]\nrole_arn = arn:b\nsource_profile = a\n"
        "[profile both]\nrole_arn = r\nsource_profile = a\ncredential_source = Environment\n"
        "[profile neither]\nrole_arn = r\n"
        "[profile mfa]\nrole_arn = r\nsource_profile = a\nmfa_serial = arn:mfa\n"
        "[profile time]\nrole_arn = r\nsource_profile = a\nduration_seconds = soon\n"
        "[profile kind]\nrole_arn = r\ncredential_source = Moon\n"
        "[profile env]\nrole_arn = r\ncredential_source = Environment\n"
        "[profile half]\naws_access_key_id = AK\n"
        "[profile quote]\ncredential_process = 'unclosed\n");
  const std::map<std::string, std::string> expected = {{"a", "a -> b -> a"},
                                                       {"both", "one of them"},
                                                       {"neither", "one of them"},
                                                       {"mfa", "one-time password"},
                                                       {"time", "duration_seconds"},
                                                       {"kind", "credential_source"},
                                                       {"env", "nothing is found there"},
                                                       {"half", "go together"},
                                                       {"quote", "not closed"}};
  for (const auto& [profile, text] : expected) {
    options_.profile = profile;
    auto got = get();
    ASSERT_FALSE(got.ok()) << profile;
    EXPECT_EQ(got.error().code, ErrorCode::permission) << profile;
    EXPECT_NE(got.error().message().find(text), std::string::npos) << got.error().message();
  }
}

TEST_F(CredentialChain, StsRefusals) {
  write(kConfig,
        "[default]\nrole_arn = arn:a\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = AKBASE\naws_secret_access_key = base-sEcReT\n");
  script_ = [](const SeenRequest&) -> Result<HttpResponse> {
    return http_answer(403,
                       "<ErrorResponse><Error><Code>AccessDenied</Code><Message>User may not"
                       "</Message></Error></ErrorResponse>");
  };
  auto got = get();
  EXPECT_EQ(got.error().code, ErrorCode::permission);
  EXPECT_NE(got.error().message().find("AccessDenied: User may not"), std::string::npos);
  EXPECT_EQ(got.error().message().find("sEcReT"), std::string::npos);
  script_ = [](const SeenRequest&) -> Result<HttpResponse> { return http_answer(503, "busy"); };
  EXPECT_EQ(get().error().code, ErrorCode::unavailable);
  script_ = [](const SeenRequest&) -> Result<HttpResponse> {
    return Error(ErrorCode::timed_out, "no answer");
  };
  EXPECT_EQ(get().error().code, ErrorCode::unavailable);
  for (const char* strange : {"", "<a/>", "not xml", "<AssumeRoleResponse/>"}) {
    script_ = [strange](const SeenRequest&) -> Result<HttpResponse> {
      return http_answer(200, strange);
    };
    EXPECT_FALSE(get().ok()) << strange;
  }
}

TEST_F(CredentialChain, WebIdentity) {
  environment_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", "/home/u/token"},
                  {"AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"},
                  {"AWS_ROLE_SESSION_NAME", "pod"},
                  {"AWS_REGION", "eu-north-1"}};
  EXPECT_NE(key().find("web identity token"), std::string::npos) << key();
  write("/home/u/token", "header.payload.signature\n");
  script_ = [this](const SeenRequest& r) -> Result<HttpResponse> {
    EXPECT_EQ(r.url, "https://sts.eu-north-1.amazonaws.com/");
    EXPECT_EQ(r.header("authorization"), "");
    EXPECT_NE(r.body.find("Action=AssumeRoleWithWebIdentity&"), std::string::npos);
    EXPECT_NE(r.body.find("&WebIdentityToken=header.payload.signature"), std::string::npos);
    return http_answer(200, sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB"));
  };
  EXPECT_EQ(key(), "ASIAWEB");
  environment_.erase("AWS_ROLE_ARN");
  EXPECT_NE(key().find("AWS_ROLE_ARN is not"), std::string::npos);
}

TEST_F(CredentialChain, CredentialProcess) {
  const auto use = [this](const std::string& script) {
    write(kConfig, "[default]\ncredential_process = /bin/sh -c '" + script + "'\n");
  };
  use(R"(echo "{\"Version\":1,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"p\",)"
      R"(\"SessionToken\":\"t\",\"Expiration\":\"2999-01-01T00:00:00Z\"}")");
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->access_key_id, "AKP");
  EXPECT_EQ(got->session_token, "t");
  EXPECT_GT(got->expires_ms, clock_.unix_ms());
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"echo no json", "not a JSON object"},
      {R"(echo "{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}")", "Version 2"},
      {R"(echo "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}")", "no Version"},
      {R"(echo "{\"Version\":1,\"AccessKeyId\":\"A\"}")", "no AccessKeyId and"},
      {R"(echo "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",)"
       R"(\"Expiration\":\"1999-01-01T00:00:00Z\"}")",
       "expired already"},
      {"echo vault is sealed >&2; exit 3", "exit code 3: vault is sealed"},
      {"head -c 100000 /dev/zero", "more than 65536 bytes"}};
  for (const auto& [script, text] : bad) {
    use(script);
    got = get();
    ASSERT_FALSE(got.ok()) << script;
    EXPECT_EQ(got.error().code, ErrorCode::permission) << got.error().message();
    EXPECT_NE(got.error().message().find(text), std::string::npos) << got.error().message();
  }
}

TEST_F(CredentialChain, ContainerCredentials) {
  script_ = [this](const SeenRequest& r) -> Result<HttpResponse> {
    if (r.url.find("169.254.169.254") != std::string::npos) {
      return Error(ErrorCode::unavailable, "nothing there");
    }
    EXPECT_TRUE(r.direct);
    return http_answer(200, R"({"AccessKeyId":"AKC","SecretAccessKey":"c","Token":")" + r.url +
                                "|" + r.header("authorization") + R"(","Expiration":")" +
                                in_seconds(600) + "\"}");
  };
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"}};
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->session_token, "http://169.254.170.2/v2/credentials/1|");

  ASSERT_NO_FATAL_FAILURE(write("/home/u/pod-token", "pod-token\n"));
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"},
                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "ignored"},
                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/home/u/pod-token"}};
  got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->session_token, "http://169.254.170.23/v1/credentials|pod-token");

  for (const char* allowed : {"http://localhost:81/x", "http://127.9.9.9/", "http://[::1]:1/",
                              "http://[fd00:ec2::23]/v1"}) {
    environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", allowed}};
    EXPECT_EQ(key(), "AKC") << allowed;
  }
  const size_t before = http_.seen().size();
  for (const char* refused :
       {"http://example.com/", "http://127.0.0.1.example.com/", "http://169.254.170.24/",
        "http://user@127.0.0.1/", "ftp://127.0.0.1/", "http://128.0.0.1/", "http://127.1/"}) {
    environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", refused}};
    EXPECT_EQ(get().error().code, ErrorCode::permission) << refused;
  }
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/"},
                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nb"}};
  EXPECT_EQ(get().error().code, ErrorCode::permission);
  EXPECT_EQ(http_.seen().size(), before);  // nobody was asked
}

TEST_F(CredentialChain, InstanceMetadata) {
  script_ = [this](const SeenRequest& r) -> Result<HttpResponse> {
    EXPECT_TRUE(r.direct);
    EXPECT_GT(r.timeout_ms, 0);
    if (r.method == "PUT" && r.url == "http://169.254.169.254/latest/api/token") {
      EXPECT_EQ(r.header("x-aws-ec2-metadata-token-ttl-seconds"), "21600");
      return http_answer(200, "TOKEN");
    }
    EXPECT_EQ(r.header("x-aws-ec2-metadata-token"), "TOKEN");
    if (r.url.ends_with("/security-credentials/")) return http_answer(200, "my role\n");
    if (r.url.ends_with("/security-credentials/my%20role")) {
      return http_answer(200, R"({"Code":"Success","AccessKeyId":"AKI","SecretAccessKey":"i",)"
                              R"("Token":"t","Expiration":")" +
                                  in_seconds(21'600) + "\"}");
    }
    if (r.url.ends_with("/placement/region")) return http_answer(200, "ap-south-1");
    return http_answer(404, "");
  };
  EXPECT_EQ(key(), "AKI");
  auto region = find_aws_region(files_, clock_, http_, options_, true);
  ASSERT_TRUE(region.ok());
  EXPECT_EQ(*region, "ap-south-1");
  EXPECT_EQ(*find_aws_region(files_, clock_, http_, options_, false), "");
  write(kConfig, "[default]\nregion = eu-south-1\n");
  EXPECT_EQ(*find_aws_region(files_, clock_, http_, options_, true), "eu-south-1");
  environment_ = {{"AWS_DEFAULT_REGION", "us-gov-west-1"}};
  EXPECT_EQ(*find_aws_region(files_, clock_, http_, options_, true), "us-gov-west-1");
  environment_["AWS_REGION"] = "cn-north-1";
  EXPECT_EQ(*find_aws_region(files_, clock_, http_, options_, true), "cn-north-1");

  environment_ = {{"AWS_EC2_METADATA_DISABLED", "TRUE"}};
  const size_t before = http_.seen().size();
  EXPECT_EQ(get().error().code, ErrorCode::permission);
  EXPECT_EQ(http_.seen().size(), before);
}

TEST_F(CredentialChain, AnInstanceThatTimesOutOnceIsAskedAgain) {
  int asked = 0;
  script_ = [&asked](const SeenRequest& r) -> Result<HttpResponse> {
    if (r.method == "PUT" && ++asked == 1) return Error(ErrorCode::timed_out, "lost");
    if (r.method == "PUT") return http_answer(200, "T");
    if (r.url.ends_with("/")) return http_answer(200, "r");
    return http_answer(200, R"({"AccessKeyId":"AKI","SecretAccessKey":"i","Token":"t"})");
  };
  EXPECT_EQ(key(), "AKI");
  EXPECT_EQ(asked, 2);
}

TEST_F(CredentialChain, SsoWithASession) {
  write(kConfig,
        "[default]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Tape\n"
        "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n"
        "sso_region = eu-central-1\n");
  // sha1("corp")
  const std::string cache = "/home/u/.aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
  EXPECT_NE(key().find("run \"aws sso login\""), std::string::npos) << key();
  const auto token = [&](const std::string& access, int64_t seconds, bool refreshable) {
    std::string text = R"({"accessToken":")" + access + R"(","expiresAt":")" + in_seconds(seconds) +
                       R"(","region":"eu-central-1")";
    if (refreshable) {
      text += R"(,"refreshToken":"R1","clientId":"id","clientSecret":"cs",)"
              R"("registrationExpiresAt":")" +
              in_seconds(86'400) + "\"";
    }
    write(cache, text + "}");
  };
  int refreshed = 0;
  script_ = [&](const SeenRequest& r) -> Result<HttpResponse> {
    if (r.url == "https://oidc.eu-central-1.amazonaws.com/token") {
      ++refreshed;
      EXPECT_NE(r.body.find("\"refreshToken\":\"R1\""), std::string::npos);
      EXPECT_NE(r.body.find("\"grantType\":\"refresh_token\""), std::string::npos);
      return http_answer(200, R"({"accessToken":"fresh","expiresIn":28800,"refreshToken":"R2"})");
    }
    EXPECT_EQ(r.url,
              "https://portal.sso.eu-central-1.amazonaws.com/federation/credentials?"
              "account_id=111122223333&role_name=Tape");
    if (r.header("x-amz-sso_bearer_token") == "stale") return http_answer(401, "{}");
    return http_answer(200, R"({"roleCredentials":{"accessKeyId":"AKSSO","secretAccessKey":"s",)"
                            R"("sessionToken":")" +
                                r.header("x-amz-sso_bearer_token") + R"(","expiration":)" +
                                std::to_string(clock_.unix_ms() + 3'600'000) + "}}");
  };
  token("live", 3600, false);
  auto got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->session_token, "live");
  EXPECT_EQ(got->expires_ms, clock_.unix_ms() + 3'600'000);
  token("stale", 3600, false);
  EXPECT_NE(key().find("no longer accepted"), std::string::npos) << key();
  token("old", -10, false);
  EXPECT_NE(key().find("has expired"), std::string::npos) << key();
  EXPECT_EQ(refreshed, 0);
  token("old", -10, true);
  got = get();
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(got->session_token, "fresh");
  EXPECT_EQ(refreshed, 1);
  const std::string written = to_text(*files_.read_file(cache));
  EXPECT_NE(written.find("\"refreshToken\":\"R2\""), std::string::npos) << written;
  EXPECT_NE(written.find("\"clientSecret\":\"cs\""), std::string::npos);
  got = get();  // from the cache as it was written
  ASSERT_TRUE(got.ok()) << got.error().message();
  EXPECT_EQ(refreshed, 1);
}

TEST_F(CredentialChain, SsoOfTheOldKind) {
  write(kConfig,
        "[default]\nsso_start_url = https://old.awsapps.com/start\nsso_region = us-east-1\n"
        "sso_account_id = 1\nsso_role_name = r\n[profile incomplete]\n"
        "sso_start_url = https://old.awsapps.com/start\nsso_region = us-east-1\n"
        "[profile nowhere]\nsso_session = missing\n");
  std::string expires = in_seconds(3600);
  expires = expires.substr(0, expires.find('.')) + "UTC";
  // sha1("https://old.awsapps.com/start")
  write("/home/u/.aws/sso/cache/33d5ca4bf3b1a62edb96b47f7c203034a43ac435.json",
        R"({"startUrl":"https://old.awsapps.com/start","accessToken":"a","expiresAt":")" + expires +
            "\"}");
  script_ = [](const SeenRequest&) -> Result<HttpResponse> {
    return http_answer(200, R"({"roleCredentials":{"accessKeyId":"AKOLD","secretAccessKey":"s",)"
                            R"("sessionToken":"t","expiration":0}})");
  };
  EXPECT_EQ(key(), "AKOLD");
  options_.profile = "incomplete";
  EXPECT_NE(key().find("sso_account_id is missing"), std::string::npos) << key();
  options_.profile = "nowhere";
  EXPECT_NE(key().find("[sso-session missing]"), std::string::npos) << key();
}

// -- refreshing

class Refreshing : public CredentialChain {
 protected:
  void SetUp() override {
    CredentialChain::SetUp();
    environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/c"}};
    script_ = [this](const SeenRequest&) -> Result<HttpResponse> {
      if (down_) return Error(ErrorCode::unavailable, "down");
      return http_answer(200, R"({"AccessKeyId":"AK)" + std::to_string(++given_) +
                                  R"(","SecretAccessKey":"c","Token":"t","Expiration":")" +
                                  in_seconds(3600) + "\"}");
    };
    provider_ = chain();
  }
  std::string next() {
    auto got = provider_->get();
    return got.ok() ? got->access_key_id : std::string(to_string(got.error().code));
  }
  std::atomic<int> given_{0};
  std::atomic<bool> down_{false};
  std::unique_ptr<CredentialsProvider> provider_;
};

TEST_F(Refreshing, WellBeforeTheyExpire) {
  EXPECT_EQ(next(), "AK1");
  clock_.advance_ms(44 * 60'000);
  EXPECT_EQ(next(), "AK1");
  clock_.advance_ms(2 * 60'000);
  EXPECT_EQ(next(), "AK2");
  EXPECT_EQ(given_, 2);
}

TEST_F(Refreshing, OldOnesGoOnWhileTheServiceIsDown) {
  EXPECT_EQ(next(), "AK1");
  down_ = true;
  clock_.advance_ms(50 * 60'000);
  EXPECT_EQ(next(), "AK1");
  const size_t asked = http_.seen().size();
  EXPECT_EQ(next(), "AK1");
  EXPECT_EQ(http_.seen().size(), asked);  // not once per request
  clock_.advance_ms(31'000);
  EXPECT_EQ(next(), "AK1");
  EXPECT_EQ(http_.seen().size(), asked + 1);
  clock_.advance_ms(10 * 60'000);
  EXPECT_EQ(next(), "unavailable");
  down_ = false;
  EXPECT_EQ(next(), "AK2");
}

TEST_F(Refreshing, RefusedOnesAreAskedForAnewOnce) {
  EXPECT_EQ(next(), "AK1");
  clock_.advance_ms(5'000);
  provider_->expire();
  EXPECT_EQ(next(), "AK2");
  provider_->expire();  // of a request that still had AK1
  EXPECT_EQ(next(), "AK2");
  clock_.advance_ms(5'000);
  down_ = true;
  provider_->expire();
  EXPECT_EQ(next(), "unavailable");  // refused ones are not used again
}

TEST_F(Refreshing, ThePlaceDoesNotChange) {
  EXPECT_EQ(next(), "AK1");
  environment_ = {{"AWS_ACCESS_KEY_ID", "AKOTHER"}, {"AWS_SECRET_ACCESS_KEY", "s"}};
  clock_.advance_ms(3'700'000);
  EXPECT_EQ(next(), "unavailable");
}

TEST_F(Refreshing, OneThreadAsksTheOthersGoOn) {
  ASSERT_EQ(next(), "AK1");
  clock_.advance_ms(50 * 60'000);
  std::mutex mutex;
  std::condition_variable changed;
  bool asking = false;
  bool answer = false;
  const ScriptedHttp::Script plain = script_;
  script_ = [&](const SeenRequest& r) -> Result<HttpResponse> {
    std::unique_lock lock(mutex);
    asking = true;
    changed.notify_all();
    changed.wait(lock, [&] { return answer; });
    return plain(r);
  };
  std::string of_refresher;
  std::thread refresher([&] { of_refresher = next(); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return asking; });
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(next(), "AK1");
  {
    const std::lock_guard lock(mutex);
    answer = true;
  }
  changed.notify_all();
  refresher.join();
  EXPECT_EQ(of_refresher, "AK2");
  EXPECT_EQ(next(), "AK2");
  EXPECT_EQ(given_, 2);
}

TEST_F(Refreshing, ManyThreadsWithNothingYetAskOnce) {
  down_ = false;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<std::string> seen;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      std::string got = next();
      const std::lock_guard lock(mutex);
      seen.push_back(std::move(got));
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(seen, std::vector<std::string>(8, "AK1"));
  EXPECT_EQ(given_, 1);
}

TEST_F(CredentialChain, NoSecretReachesTheLog) {
  std::mutex mutex;
  std::string log;
  capture_log([&](std::string_view line) {
    const std::lock_guard lock(mutex);
    log += line;
  });
  environment_ = {{"AWS_ACCESS_KEY_ID", "AKENV"},
                  {"AWS_SECRET_ACCESS_KEY", "sEcReT"},
                  {"AWS_SESSION_TOKEN", "tOkEn"}};
  EXPECT_TRUE(get().ok());
  capture_log(nullptr);
  EXPECT_NE(log.find("environment"), std::string::npos) << log;
  EXPECT_EQ(log.find("sEcReT"), std::string::npos);
  EXPECT_EQ(log.find("tOkEn"), std::string::npos);
}

class RotatedKeys final : public CredentialsProvider {
 public:
  Result<Credentials> get() override {
    return Credentials{expired == 0 ? "AKOLD" : "AKNEW", Secret(std::string_view("s")), "t", 0};
  }
  void expire() override { ++expired; }
  int expired = 0;
};

// The keys a role is assumed with are temporary too, in a file that somebody writes anew.
TEST_F(CredentialChain, ARolesOwnKeysAreReadAgainWhenTheyHaveExpired) {
  for (const std::string code :
       {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "AccessDenied"}) {
    unsigned asked = 0;
    const auto http = std::make_shared<ScriptedHttp>([&](const SeenRequest& r) {
      ++asked;
      if (r.header("authorization").find("AKNEW") == std::string::npos) {
        return http_answer(403, "<ErrorResponse><Error><Code>" + code +
                                    "</Code><Message>no</Message></Error></ErrorResponse>");
      }
      return http_answer(200, sts_answer("AssumeRole", "ASIAROLE"));
    });
    const auto keys = std::make_shared<RotatedKeys>();
    AssumeRole role;
    role.role_arn = "arn:aws:iam::1:role/r";
    role.session_name = "me";
    const auto provider =
        make_role_credentials(keys, role, "us-east-1", "", std::make_shared<SimClock>(), http);
    const auto got = provider->get();
    const bool may_help = code != "AccessDenied";
    EXPECT_EQ(got.ok(), may_help) << code;
    EXPECT_EQ(keys->expired, may_help ? 1 : 0) << code;
    EXPECT_EQ(asked, may_help ? 2U : 1U) << code;
  }
}

TEST(Iso8601, Times) {
  EXPECT_EQ(parse_iso8601_ms("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_iso8601_ms("2015-08-30T12:36:00Z"), 1'440'938'160'000);
  EXPECT_EQ(parse_iso8601_ms("2015-08-30T14:36:00.25+02:00"), 1'440'938'160'250);
  EXPECT_EQ(parse_iso8601_ms("2015-08-30T07:36:00-0500"), 1'440'938'160'000);
  EXPECT_EQ(parse_iso8601_ms("2015-08-30T12:36:00UTC"), 1'440'938'160'000);
  for (const char* bad :
       {"", "now", "2015-08-30", "2015-02-30T00:00:00Z", "2015-08-30T25:00:00Z",
        "2015-08-30T12:36:00", "2015-08-30T12:36:00Zx", "2015-08-30T12:36:00+1"}) {
    EXPECT_FALSE(parse_iso8601_ms(bad)) << bad;
  }
}

TEST(AwsEndpoint, Partitions) {
  EXPECT_EQ(aws_endpoint("sts", "eu-west-1"), "https://sts.eu-west-1.amazonaws.com");
  EXPECT_EQ(aws_endpoint("kms", "cn-north-1"), "https://kms.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(aws_endpoint("kms", "us-gov-west-1"), "https://kms.us-gov-west-1.amazonaws.com");
}

}  // namespace
}  // namespace coldshelf::test
