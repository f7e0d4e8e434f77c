#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gateway/cli/commands.h"
#include "gateway/exit_codes.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

using api::Json;

class CommandLine : public ::testing::Test {
 protected:
  CommandLine() : gateway(true) {}
  void SetUp() override {
    gateway.open();
    api::ServiceEnv env;
    env.tapes = gateway.tapes.get();
    env.config = *default_config(gateway.root() + "/data");
    env.gateway_id = "sgw-0A1B2C3D";
    env.version = "test";
    env.store = gateway.store->describe();
    service = std::make_unique<api::Service>(std::move(env));
    HttpServerOptions options;
    options.socket_path = gateway.root() + "/data/coldshelf.sock";
    auto server = HttpServer::start(
        options, [this](const ApiRequest& request) { return service->handle(request); });
    ASSERT_OK(server);
    http = std::move(*server);
  }
  void TearDown() override { http.reset(); }

  int run(std::vector<std::string> arguments) {
    out.str("");
    err.str("");
    arguments.insert(arguments.begin(), {"--data", gateway.root() + "/data"});
    SystemClock clock;
    SystemRandom random;
    return cli::run_command_line(arguments, {&gateway.files, &clock, &random, &out, &err});
  }
  Json json(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    EXPECT_EQ(run(arguments), kExitOk) << err.str();
    return Json::parse(out.str(), nullptr, false);
  }

  TestGateway gateway;
  std::unique_ptr<api::Service> service;
  std::unique_ptr<HttpServer> http;
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(CommandLine, DoesTheWholeLife) {
  EXPECT_EQ(run({"status"}), kExitOk) << err.str();
  EXPECT_NE(out.str().find("sgw-0A1B2C3D"), std::string::npos);
  EXPECT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "10GiB", "--count", "2"}),
            kExitOk)
      << err.str();
  EXPECT_NE(out.str().find("CLI002L8"), std::string::npos);
  gateway.write_files("CLI001L8", 2, 10, 120'000);
  EXPECT_EQ(run({"library", "load", "CLI001L8", "2"}), kExitOk);
  EXPECT_EQ(run({"library", "status"}), kExitOk);
  EXPECT_NE(out.str().find("CLI001L8"), std::string::npos);
  EXPECT_EQ(run({"tape", "archive", "CLI001L8"}), kExitConflict);
  EXPECT_NE(err.str().find("unload it first"), std::string::npos);
  EXPECT_EQ(run({"library", "unload", "2"}), kExitOk);
  EXPECT_EQ(run({"tape", "verify", "CLI001L8"}), kExitOk) << err.str();
  EXPECT_EQ(run({"tape", "archive", "CLI001L8", "--wait"}), kExitOk) << err.str();
  EXPECT_NE(out.str().find("ARCHIVED"), std::string::npos) << out.str();
  EXPECT_EQ(run({"export", "CLI001L8", "--to", gateway.root() + "/x.tar"}), kExitConflict);
  EXPECT_NE(err.str().find("tape retrieve"), std::string::npos) << err.str();
  EXPECT_EQ(run({"tape", "retrieve", "CLI001L8", "--tier", "Bulk", "--wait"}), kExitOk)
      << err.str();
  EXPECT_EQ(json({"tape", "show", "CLI001L8"})["Status"], "RETRIEVED");
  EXPECT_EQ(json({"tape", "list"})["Tapes"].size(), 2U);
  EXPECT_EQ(json({"job", "list"})["Jobs"].size(), 3U);
  EXPECT_EQ(run({"job", "watch", "1"}), kExitOk);
  EXPECT_EQ(run({"tape", "delete", "CLI001L8"}), kExitOk) << err.str();
  EXPECT_EQ(json({"--json", "tape", "list"})["Tapes"].size(), 1U);
}

TEST_F(CommandLine, ExitCodesTellWhatIsWrong) {
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "10GiB"}), kExitOk);
  const std::pair<std::vector<std::string>, int> cases[] = {
      {{}, kExitUsage},
      {{"frobnicate"}, kExitUsage},
      {{"tape"}, kExitUsage},
      {{"tape", "show"}, kExitUsage},
      {{"tape", "create", "--barcode", "bad", "--size", "1GiB"}, kExitUsage},
      {{"tape", "create", "--barcode", "CLI009L8", "--size", "big"}, kExitUsage},
      {{"tape", "create", "--barcode", "CLI009L8", "--size", "1KiB"}, kExitUsage},
      {{"tape", "create", "--barcode", "CLI001L8", "--size", "1GiB"}, kExitConflict},
      {{"tape", "show", "NONE01"}, kExitNotFound},
      {{"tape", "archive", "NONE01"}, kExitNotFound},
      {{"tape", "retrieve", "CLI001L8"}, kExitConflict},
      {{"tape", "retrieve", "CLI001L8", "--tier", "Warp"}, kExitUsage},
      {{"library", "move", "slot4", "slot3"}, kExitConflict},
      {{"library", "move", "slot99", "slot3"}, kExitNotFound},
      {{"library", "unload", "1"}, kExitConflict},
      {{"job", "watch", "99"}, kExitNotFound},
      {{"export", "NONE01", "--to", "/nowhere/x.tar"}, kExitNotFound},
      {{"--socket", "/nowhere/socket", "status"}, kExitNoDaemon},
      {{"--config", "/nowhere/coldshelf.toml", "status"}, kExitNotFound},
      {{"--help"}, kExitOk},
      {{"tape", "create", "--help"}, kExitOk},
      {{"--version"}, kExitOk},
  };
  for (const auto& [arguments, wanted] : cases) {
    EXPECT_EQ(run(arguments), wanted) << testing::PrintToString(arguments) << err.str();
    EXPECT_EQ(err.str().empty(), wanted == kExitOk) << testing::PrintToString(arguments);
  }
  EXPECT_EQ(run({"--json", "tape", "show", "NONE01"}), kExitNotFound);
  EXPECT_EQ(Json::parse(out.str())["error"], "not_found");
}

// What the daemon says of its store is not said of the daemon.
TEST_F(CommandLine, ADaemonThatAnswersIsThere) {
  std::string code;
  HttpServerOptions options;
  options.socket_path = gateway.root() + "/other.sock";
  auto server = HttpServer::start(options, [&](const ApiRequest&) -> ApiResponse {
    return api::error_response(
        Error(code == "timed_out" ? ErrorCode::timed_out : ErrorCode::unavailable, "the store"),
        "");
  });
  ASSERT_OK(server);
  for (const char* said : {"timed_out", "unavailable"}) {
    code = said;
    EXPECT_EQ(run({"--socket", options.socket_path, "--json", "tape", "list"}), kExitFailed);
    EXPECT_EQ(Json::parse(out.str())["error"], said);
  }
  server->reset();
  EXPECT_EQ(run({"--socket", options.socket_path, "--json", "tape", "list"}), kExitNoDaemon);
}

TEST_F(CommandLine, JsonWantsItsErrorsInJson) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--json", "bogus"},
                                             {"tape", "list", "--bogus", "--json"},
                                             {"--json", "tape", "show"}}) {
    EXPECT_EQ(run(arguments), kExitUsage);
    const Json said = Json::parse(out.str(), nullptr, false);
    ASSERT_TRUE(said.is_object()) << testing::PrintToString(arguments) << out.str();
    EXPECT_EQ(said["error"], "invalid_argument");
    EXPECT_FALSE(said["message"].get<std::string>().empty());
  }
  EXPECT_EQ(run({"--json", "--help"}), kExitOk);
  EXPECT_NE(out.str().find("tape create"), std::string::npos) << out.str();
}

// Whoever may write a name must not write lines, nor move the cursor, in what others read.
TEST_F(CommandLine, WhatOthersNamedForgesNoLine) {
  const std::string name = "X\n2 forged\x1b[2J\x7f\xc2\x9b\xc3\xa4\\";
  HttpServerOptions options;
  options.socket_path = gateway.root() + "/other.sock";
  bool refuse = false;
  auto server = HttpServer::start(options, [&](const ApiRequest&) -> ApiResponse {
    if (refuse) return api::error_response(Error(ErrorCode::not_found, "no " + name), "");
    const Json record = {{"Sequence", 1},
                         {"Time", "t"},
                         {"Who", name},
                         {"From", "f"},
                         {"Result", "r"},
                         {"Operation", "o"},
                         {"Input", {{"Name", name}}}};
    ApiResponse out;
    out.body = Json{{"Records", Json::array({record})}}.dump();
    return out;
  });
  ASSERT_OK(server);
  EXPECT_EQ(run({"--socket", options.socket_path, "audit", "list"}), kExitOk) << err.str();
  EXPECT_NE(out.str().find("X\\x0a2 forged\\x1b[2J\\x7f\\x9b\xc3\xa4\\"), std::string::npos)
      << out.str();
  EXPECT_EQ(out.str().find("\n2 forged"), std::string::npos);
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
  refuse = true;
  EXPECT_EQ(run({"--socket", options.socket_path, "audit", "list"}), kExitNotFound);
  EXPECT_NE(err.str().find("X\\x0a2 forged\\x1b"), std::string::npos) << err.str();
}

TEST_F(CommandLine, AVerificationWithTheWrongKeySaysSo) {
  gateway.close();
  SystemRandom random;
  const auto key_file = [&](const char* name) {
    const std::string path = gateway.root() + "/" + name;
    const Secret text = KeyEncryptionKey::generate_text(random);
    EXPECT_OK(gateway.files.replace_file(path, as_view(text.reveal()), OpenMode::create_private));
    return path;
  };
  const std::string right = key_file("right"), wrong = key_file("wrong");
  auto key = KeyEncryptionKey::load_file(gateway.files, right);
  ASSERT_OK(key);
  gateway.key.emplace(std::move(*key));
  gateway.open();
  gateway.create("KEY001L8");
  gateway.write_files("KEY001L8", 1, 10, 100'000);
  gateway.archive("KEY001L8");
  const auto verify = [&](std::vector<std::string> more) {
    more.insert(more.begin(),
                {"store", "verify", "--deep", "--store", gateway.root() + "/data/store"});
    return run(more);
  };
  EXPECT_EQ(verify({"--key-file", right}), kExitOk) << out.str() << err.str();
  EXPECT_NE(out.str().find("1 of 1 encrypted cartridges"), std::string::npos) << out.str();
  EXPECT_EQ(verify({"--key-file", wrong}), kExitFailed);
  EXPECT_NE(out.str().find(gateway.key->id()), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("KEY001L8"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("1 problems"), std::string::npos) << out.str();
  EXPECT_EQ(verify({}), kExitOk) << "what needs no key is whole";
  EXPECT_NE(out.str().find("0 of 1 encrypted cartridges"), std::string::npos) << out.str();
}

TEST_F(CommandLine, WhatIsNotThereIsNamed) {
  const auto said = [&](std::vector<std::string> arguments) {
    EXPECT_NE(run(std::move(arguments)), kExitOk);
    return err.str();
  };
  EXPECT_NE(said({"frobnicate"}).find("no command 'frobnicate'; `coldshelf --help`"),
            std::string::npos)
      << err.str();
  EXPECT_NE(said({"tape", "frobnicate", "X"}).find("'tape frobnicate'; `coldshelf tape --help`"),
            std::string::npos)
      << err.str();
  EXPECT_NE(said({"tape"}).find("A subcommand is required"), std::string::npos) << err.str();
  EXPECT_NE(said({"library", "unload", "99"}).find("no drive 99; the last one is drive "),
            std::string::npos)
      << err.str();
}

TEST_F(CommandLine, WaitingHasAnEnd) {
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "1GiB"}), kExitOk);
  gateway.shelf->stop();  // nobody works on jobs
  EXPECT_EQ(run({"tape", "archive", "CLI001L8", "--wait", "--timeout", "300ms"}), kExitTimedOut);
  gateway.shelf->start();
  EXPECT_EQ(run({"job", "watch", "1"}), kExitOk) << err.str();
}

std::string shell(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  char part[4096];
  for (size_t n = 0; (n = std::fread(part, 1, sizeof part, pipe)) > 0;) text.append(part, n);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return text;
}

TEST_F(CommandLine, ExportNeedsNoDaemon) {
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "1GiB", "--pool", "NEAR"}),
            kExitNotFound);
  ASSERT_OK(gateway.tapes->add_pool({"NEAR", "STANDARD"}));
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "1GiB", "--pool", "NEAR"}),
            kExitOk);
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI002L8", "--size", "1GiB"}), kExitOk);
  gateway.write_files("CLI001L8", 3, 12, 300'001);
  ASSERT_EQ(run({"tape", "archive", "CLI001L8", "--wait"}), kExitOk) << err.str();
  http.reset();
  gateway.close();

  const std::string tar = gateway.root() + "/out.tar";
  ASSERT_EQ(run({"export", "CLI001L8", "--to", tar}), kExitOk) << err.str();
  EXPECT_EQ(run({"export", "CLI001L8", "--to", tar}), kExitConflict);
  EXPECT_EQ(run({"export", "CLI001L8", "--to", tar, "--force", "--json"}), kExitOk) << err.str();
  EXPECT_EQ(Json::parse(out.str())["Records"], 36);
  // Read by somebody else's tar.
  EXPECT_EQ(shell("tar -tf " + tar), "file-0001.bin\nfile-0002.bin\nfile-0003.bin\nindex.json\n");
  for (int f = 0; f < 3; ++f) {
    std::string wanted;
    for (int r = 0; r < 12; ++r) wanted += to_text(TestGateway::record(f, r, 300'001));
    EXPECT_EQ(shell("tar -xOf " + tar + " file-000" + std::to_string(f + 1) + ".bin"), wanted);
  }
  const Json index = Json::parse(shell("tar -xOf " + tar + " index.json"));
  EXPECT_EQ(index["files"][1]["record_lengths"], Json::parse("[[300001,12]]"));
  // Nothing of the scratch files is left.
  for (const auto& entry : std::filesystem::directory_iterator(gateway.root())) {
    EXPECT_NE(entry.path().filename().string().rfind(".coldshelf-export", 0), 0U);
  }
  gateway.open();
}

TEST_F(CommandLine, ADamagedObjectFailsTheExportAndLeavesNoTar) {
  ASSERT_OK(gateway.tapes->add_pool({"NEAR", "STANDARD"}));
  ASSERT_EQ(run({"tape", "create", "--barcode", "CLI001L8", "--size", "1GiB", "--pool", "NEAR"}),
            kExitOk);
  gateway.write_files("CLI001L8", 1, 5, 50'000);
  ASSERT_EQ(run({"tape", "archive", "CLI001L8", "--wait"}), kExitOk) << err.str();
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(gateway.root() + "/data/store")) {
    const std::string name = entry.path().filename().string();
    if (name.find(".seg~data") == std::string::npos) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(70'000);
    file.put('!');
  }
  const std::string tar = gateway.root() + "/out.tar";
  EXPECT_EQ(run({"export", "CLI001L8", "--to", tar}), kExitFailed);
  EXPECT_FALSE(std::filesystem::exists(tar));
  EXPECT_FALSE(std::filesystem::exists(tar + ".partial"));
}

TEST_F(CommandLine, KeysAreMadeAndFit) {
  const std::string path = gateway.root() + "/kek";
  ASSERT_EQ(run({"key", "generate", "--to", path}), kExitOk) << err.str();
  EXPECT_EQ(out.str().rfind("kek-", 0), 0U);
  EXPECT_TRUE(KeyEncryptionKey::load_file(gateway.files, path).ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  EXPECT_EQ(run({"key", "generate", "--to", path}), kExitConflict);  // never over another key
  ASSERT_EQ(run({"key", "generate"}), kExitOk);
  EXPECT_EQ(out.str().size(), 65U);
}

}  // namespace
}  // namespace coldshelf::test
