// The management API over TLS, driven by clients that no one here wrote: boto3 and the AWS CLI of
// Debian, and curl.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/e2e/gateway.h"
#include "tests/support/disk_client.h"

namespace coldshelf::test {
namespace {

using nlohmann::json;

class ApiClients : public ::testing::Test {
 protected:
  ApiClients() : port(free_port()), gateway(configuration()) {}
  void SetUp() override {
    ASSERT_TRUE(gateway.start().ok()) << gateway.log();
    for (const char* role : {"admin", "operator", "viewer"}) {
      const json made = gateway.json({"user", "add", role, "--role", role});
      keys[role] = {made["AccessKeyId"], made["SecretAccessKey"]};
      std::ofstream(credentials(), std::ios::app)
          << "[" << role << "]\naws_access_key_id = " << keys[role].first
          << "\naws_secret_access_key = " << keys[role].second << "\n";
    }
    id = gateway.json({"status"})["GatewayId"];
  }
  std::string configuration() const {
    return "[api]\nlisten = \"127.0.0.1:" + std::to_string(port) +
           "\"\n[cache]\nlimit = \"4GiB\"\n[buffer]\nlimit = \"2GiB\"\n";
  }
  std::string endpoint() const { return "https://127.0.0.1:" + std::to_string(port); }
  std::string ca() const { return gateway.data() + "/api/tls-cert.pem"; }
  std::string credentials() const { return gateway.directory() + "/credentials"; }
  CommandResult boto(const std::string& command, const std::string& of = "api_client.py") {
    auto result =
        run_to_end({"env", "COLDSHELF=" + program("coldshelf") + " --data " + gateway.data(),
                    "/usr/bin/python3", COLDSHELF_SOURCE "/tests/e2e/" + of, endpoint(), ca(),
                    credentials(), id, command});
    EXPECT_TRUE(result.ok());
    return *result;
  }
  CommandResult aws(const std::string& user, std::vector<std::string> arguments) {
    std::vector<std::string> all = {"env",
                                    "AWS_ACCESS_KEY_ID=" + keys[user].first,
                                    "AWS_SECRET_ACCESS_KEY=" + keys[user].second,
                                    "AWS_EC2_METADATA_DISABLED=true",
                                    "AWS_PAGER=",
                                    "AWS_CONFIG_FILE=/dev/null",
                                    "/usr/bin/aws",
                                    "--endpoint-url",
                                    endpoint(),
                                    "--ca-bundle",
                                    ca(),
                                    "--region",
                                    "eu-central-1",
                                    "--output",
                                    "json",
                                    "storagegateway"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    auto result = run_to_end(all);
    EXPECT_TRUE(result.ok());
    return *result;
  }
  CommandResult curl(std::vector<std::string> arguments) {
    std::vector<std::string> all = {"curl", "-sS", "-i", "--cacert", ca()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    auto result = run_to_end(all);
    EXPECT_TRUE(result.ok());
    return *result;
  }

  const int port;
  Gateway gateway;
  std::map<std::string, std::pair<std::string, std::string>> keys;
  std::string id;
};

TEST_F(ApiClients, BotoThroughTheLifeOfTapes) {
  const CommandResult tapes = boto("tapes");
  EXPECT_EQ(tapes.exit_code, 0) << tapes.output;
  // What was set is there after a restart, and after the catalog is lost.
  ASSERT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  const std::string arn = "arn:aws:storagegateway:local-1:000000000000:tape/BOTO01L8";
  const CommandResult tags = aws("viewer", {"list-tags-for-resource", "--resource-arn", arn});
  EXPECT_NE(tags.output.find("\"shelf\""), std::string::npos) << tags.output;
  EXPECT_EQ(gateway.cli({"audit", "verify"}).exit_code, 0);
}

TEST_F(ApiClients, BotoSetsAndReadsEverySetting) {
  const CommandResult settings = boto("settings");
  EXPECT_EQ(settings.exit_code, 0) << settings.output;
  ASSERT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  // In force after a restart: the limits, the changer's new model, CHAP of one drive alone.
  const json status = gateway.json({"library", "status"});
  EXPECT_EQ(status["Changer"], "AWS-Gateway-VTL");
  const CommandResult schedule =
      aws("viewer", {"describe-bandwidth-rate-limit-schedule", "--gateway-arn",
                     "arn:aws:storagegateway:local-1:000000000000:gateway/" + id});
  EXPECT_NE(schedule.output.find("8000000"), std::string::npos) << schedule.output;
  EXPECT_FALSE(TapeClient::connect(gateway.portal(), gateway.target("tapedrive-01"), 0,
                                   "iqn.1994-05.com.example:host")
                   .ok());
  EXPECT_TRUE(TapeClient::connect(gateway.portal(), gateway.target("tapedrive-02"), 0,
                                  "iqn.1994-05.com.example:host")
                  .ok());
  const auto inquiry = [&](const std::string& secret) {
    return run_to_end({"env", "LIBISCSI_CHAP_USERNAME=iqn.1994-05.com.example:host",
                       "LIBISCSI_CHAP_PASSWORD=" + secret, "iscsi-inq", "-i",
                       "iqn.1994-05.com.example:host",
                       "iscsi://" + gateway.portal() + "/" + gateway.target("tapedrive-01") + "/0"})
        ->exit_code;
  };
  EXPECT_EQ(inquiry("initiator-key1"), 0);
  EXPECT_NE(inquiry("initiator-key2"), 0);
  // No secret of theirs is in a log, and none lies about in the clear.
  EXPECT_EQ(gateway.log().find("initiator-key1"), std::string::npos);
  const CommandResult found =
      *run_to_end({"grep", "-rlE", "initiator-key1|target-key-12", gateway.data()});
  EXPECT_EQ(found.output, "");
}

TEST_F(ApiClients, EveryInputIsChecked) {
  const CommandResult inputs = boto("inputs");
  EXPECT_EQ(inputs.exit_code, 0) << inputs.output;
}

TEST_F(ApiClients, RolesAndSignatures) {
  const CommandResult roles = boto("roles");
  EXPECT_EQ(roles.exit_code, 0) << roles.output;
}

TEST_F(ApiClients, EveryOperationIsServed) {
  const CommandResult served = boto("served");
  EXPECT_EQ(served.exit_code, 0) << served.output;
}

TEST_F(ApiClients, BotoThroughTheLifeOfVolumes) {
  for (const char* command : {"volumes", "snapshots"}) {
    const CommandResult done = boto(command, "api_volumes.py");
    EXPECT_EQ(done.exit_code, 0) << done.output;
  }
  // What was set is there after a restart.
  ASSERT_EQ(gateway.stop(), 0);
  ASSERT_TRUE(gateway.start().ok()) << gateway.log();
  const json volumes = gateway.json({"volume", "schedule", "list"});
  EXPECT_EQ(volumes["Schedules"].size(), 1U) << volumes;
  EXPECT_EQ(gateway.cli({"audit", "verify"}).exit_code, 0);
}

TEST_F(ApiClients, BotoMovesAVolume) {
  const CommandResult moved = boto("moves", "api_volumes.py");
  EXPECT_EQ(moved.exit_code, 0) << moved.output << gateway.log();
}

TEST_F(ApiClients, AVolumesInitiatorsAreListed) {
  gateway.ok(
      {"volume", "create", "--name", "Disk-A", "--size", "1GiB"});  // its target is in lower case
  const std::string iqn = "iqn.1994-05.com.example:host";
  const std::string arn = "arn:aws:storagegateway:local-1:000000000000:gateway/" + id;
  const json listed = json::parse(aws("viewer", {"list-volumes"}).output);
  ASSERT_EQ(listed["VolumeInfos"].size(), 1U) << listed;
  const std::string volume = listed["VolumeInfos"][0]["VolumeARN"];
  EXPECT_EQ(volume.rfind(arn + "/volume/vol-", 0), 0U) << volume;
  {
    const auto disk = DiskClient::connect(gateway.portal(), gateway.target("volume-disk-a"), iqn);
    ASSERT_TRUE(disk.ok()) << disk.error().message();
    const CommandResult who = aws("viewer", {"list-volume-initiators", "--volume-arn", volume});
    EXPECT_EQ(json::parse(who.output)["Initiators"], json::array({iqn})) << who.output;
    const CommandResult busy = aws("admin", {"delete-volume", "--volume-arn", volume});
    EXPECT_NE(busy.exit_code, 0);
    EXPECT_NE(busy.output.find("InvalidGatewayRequestException"), std::string::npos) << busy.output;
  }
  const CommandResult denied = aws("operator", {"update-snapshot-schedule", "--volume-arn", volume,
                                                "--start-at", "0", "--recurrence-in-hours", "24"});
  EXPECT_NE(denied.output.find("AccessDeniedException"), std::string::npos) << denied.output;
  const CommandResult snapshot =
      aws("operator", {"create-snapshot", "--volume-arn", volume, "--snapshot-description", "d"});
  EXPECT_EQ(json::parse(snapshot.output)["VolumeARN"], volume) << snapshot.output;
}

TEST_F(ApiClients, TheAwsCommandLine) {
  const std::string arn = "arn:aws:storagegateway:local-1:000000000000:gateway/" + id;
  const CommandResult made =
      aws("admin", {"create-tapes", "--gateway-arn", arn, "--tape-size-in-bytes", "1073741824",
                    "--client-token", "token-1", "--num-tapes-to-create", "3",
                    "--tape-barcode-prefix", "CLI"});
  EXPECT_EQ(made.exit_code, 0) << made.output;
  const CommandResult listed = aws("viewer", {"list-tapes", "--page-size", "1"});
  EXPECT_EQ(listed.exit_code, 0) << listed.output;
  EXPECT_EQ(json::parse(listed.output)["TapeInfos"].size(), 3U);
  const CommandResult denied =
      aws("viewer", {"create-tape-with-barcode", "--gateway-arn", arn, "--tape-size-in-bytes",
                     "1073741824", "--tape-barcode", "CLI001L8"});
  EXPECT_NE(denied.exit_code, 0);
  EXPECT_NE(denied.output.find("AccessDeniedException"), std::string::npos) << denied.output;
  const CommandResult wrong = aws("admin", {"describe-tapes", "--gateway-arn", arn + "X"});
  EXPECT_NE(wrong.output.find("InvalidGatewayRequestException"), std::string::npos) << wrong.output;
  const json audit = gateway.json({"audit", "list"});
  EXPECT_EQ(audit["Records"][0]["Result"], "denied");
  EXPECT_EQ(audit["Records"][0]["Who"], "viewer");
  EXPECT_EQ(audit["Records"][1]["Operation"], "CreateTapes");
  EXPECT_EQ(audit["Records"][1]["From"], "127.0.0.1");
}

TEST_F(ApiClients, TheCommandLineFromElsewhere) {
  const auto remote = [&](const std::string& profile, std::vector<std::string> arguments) {
    std::vector<std::string> all = {"env",
                                    "AWS_SHARED_CREDENTIALS_FILE=" + credentials(),
                                    "AWS_CONFIG_FILE=/dev/null",
                                    program("coldshelf"),
                                    "--endpoint",
                                    endpoint(),
                                    "--ca-file",
                                    ca(),
                                    "--profile",
                                    profile};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return *run_to_end(all);
  };
  const CommandResult made =
      remote("admin", {"tape", "create", "--barcode", "REM001L8", "--size", "1GiB"});
  EXPECT_EQ(made.exit_code, 0) << made.output;
  const CommandResult list = remote("viewer", {"tape", "list"});
  EXPECT_NE(list.output.find("REM001L8"), std::string::npos) << list.output;
  const CommandResult denied = remote("viewer", {"tape", "delete", "REM001L8"});
  EXPECT_EQ(denied.exit_code, 1) << denied.output;
  EXPECT_NE(denied.output.find("is for admins"), std::string::npos) << denied.output;
  const CommandResult archived = remote("operator", {"tape", "archive", "REM001L8", "--wait"});
  EXPECT_EQ(archived.exit_code, 0) << archived.output;
  EXPECT_EQ(remote("viewer", {"tape", "show", "NONE01L8"}).exit_code, 3);
  EXPECT_EQ(remote("nobody", {"tape", "list"}).exit_code, 3);
  const CommandResult watched = remote("viewer", {"job", "watch", "1"});
  EXPECT_EQ(watched.exit_code, 0) << watched.output;
}

TEST_F(ApiClients, CompletionAndManualPage) {
  const std::string script = gateway.directory() + "/completion";
  std::ofstream(script) << gateway.cli({"completion", "bash"}).output
                        << "COMP_WORDS=(coldshelf tape re); COMP_CWORD=2; _coldshelf; "
                           "echo \"${COMPREPLY[@]}\"\n"
                           "COMP_WORDS=(coldshelf tape create --b); COMP_CWORD=3; _coldshelf; "
                           "echo \"${COMPREPLY[@]}\"\n";
  const CommandResult completed = *run_to_end({"bash", script});
  EXPECT_NE(completed.output.find("retrieve reassign"), std::string::npos) << completed.output;
  EXPECT_NE(completed.output.find("--barcode"), std::string::npos) << completed.output;
  const std::string page = gateway.cli({"man"}).output;
  for (const char* text :
       {".TH coldshelf 1", "coldshelf tape retrieve", "\\-\\-estimate", "coldshelf user add ada"}) {
    EXPECT_NE(page.find(text), std::string::npos) << text;
  }
}

TEST_F(ApiClients, BrowsersAndScrapers) {
  EXPECT_NE(curl({endpoint() + "/healthz"}).output.find("HTTP/1.1 200"), std::string::npos);
  const CommandResult page = curl({endpoint() + "/"});
  EXPECT_NE(page.output.find("Content-Security-Policy: default-src 'none'"), std::string::npos);
  EXPECT_NE(
      curl({"-u", keys["viewer"].first + ":" + keys["viewer"].second, endpoint() + "/metrics"})
          .output.find("coldshelf_tapes"),
      std::string::npos);
  const json login = {{"AccessKeyId", keys["operator"].first},
                      {"SecretAccessKey", keys["operator"].second}};
  const std::string jar = gateway.directory() + "/cookies";
  const CommandResult in = curl({"-c", jar, "-H", "Content-Type: application/json", "-d",
                                 login.dump(), endpoint() + "/login"});
  ASSERT_NE(in.output.find("HTTP/1.1 200"), std::string::npos) << in.output;
  const json session = json::parse(in.output.substr(in.output.find("\r\n\r\n") + 4));
  const CommandResult listed =
      curl({"-b", jar, "-H", "X-Coldshelf-Csrf: " + session["CsrfToken"].get<std::string>(), "-H",
            "X-Amz-Target: Coldshelf_20261101.ListTapes", "-d", "{}", endpoint() + "/"});
  EXPECT_NE(listed.output.find("HTTP/1.1 200"), std::string::npos) << listed.output;
  // The certificate is not one that anybody trusts by itself, and plain HTTP is not spoken.
  EXPECT_NE(run_to_end({"curl", "-sS", endpoint() + "/healthz"})->exit_code, 0);
  EXPECT_NE(
      run_to_end({"curl", "-sS", "http://127.0.0.1:" + std::to_string(port) + "/"})->exit_code, 0);
  namespace fs = std::filesystem;
  const auto mode = fs::status(gateway.data() + "/api/tls-key.pem").permissions();
  EXPECT_EQ(mode & fs::perms::all, fs::perms::owner_read | fs::perms::owner_write);
}

// Nobody has to sign in to send this.
TEST_F(ApiClients, ABodyOfBracketsIsRefused) {
  const std::string path = gateway.directory() + "/deep";
  std::ofstream(path) << R"({"AccessKeyId":)" << std::string(500'000, '[')
                      << std::string(500'000, ']') << R"(,"SecretAccessKey":"x"})";
  const CommandResult refused = curl(
      {"-H", "Content-Type: application/json", "--data-binary", "@" + path, endpoint() + "/login"});
  EXPECT_NE(refused.output.find("HTTP/1.1 400"), std::string::npos) << refused.output;
  EXPECT_TRUE(gateway.running());
  EXPECT_EQ(gateway.cli({"status"}).exit_code, 0);
}

TEST_F(ApiClients, AnEditedAuditLogIsFound) {
  gateway.ok({"tape", "create", "--barcode", "AUD001L8", "--size", "1GiB"});
  EXPECT_EQ(gateway.cli({"audit", "verify"}).exit_code, 0);
  const std::string path = gateway.data() + "/audit/audit.log";
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  std::string edited = text.str();
  edited.replace(edited.find("AUD001L8"), 8, "AUD002L8");
  std::ofstream(path) << edited;
  const CommandResult verify = gateway.cli({"audit", "verify"});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_NE(verify.output.find("was changed"), std::string::npos) << verify.output;
}

}  // namespace
}  // namespace coldshelf::test
