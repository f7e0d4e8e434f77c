#include "gateway/secrets.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/clock.h"
#include "gateway/api/tls_identity.h"
#include "gateway/data_directory.h"
#include "gateway/setup.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/gateway_fixture.h"

namespace coldshelf::test {
namespace {

constexpr const char* kChapSecret = "correct-horse-battery";
constexpr const char* kOtherSecret = "staple-staple-staple";

class Secrets : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    const std::string path = gateway.root() + "/" + name;
    EXPECT_OK(gateway.files.replace_file(path, as_view(content), OpenMode::create_private));
    return path;
  }
  Config config() {
    auto made = default_config(gateway.root());
    EXPECT_OK(made);
    return *made;
  }
  TestGateway gateway;
};

TEST_F(Secrets, AreLoadedFromFilesAndEnvironment) {
  Config c = config();
  c.iscsi.chap.user = "backup";
  c.iscsi.chap.secret_file = write("chap", std::string(kChapSecret) + "\n");
  ::setenv("COLDSHELF_TEST_SECRET", kOtherSecret, 1);
  c.iscsi.chap.mutual_user = "gateway";
  c.iscsi.chap.mutual_secret_env = "COLDSHELF_TEST_SECRET";
  auto loaded = load_secrets(gateway.files, c);
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->chap->secret.reveal(), kChapSecret);
  EXPECT_EQ(loaded->mutual_chap->secret.reveal(), kOtherSecret);
}

TEST_F(Secrets, BadOnesAreRefusedWithoutBeingShown) {
  Config c = config();
  c.iscsi.chap.user = "backup";
  c.iscsi.chap.secret_file = write("short", "tooshort11");
  auto loaded = load_secrets(gateway.files, c);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().message().find("tooshort11"), std::string::npos);
  EXPECT_NE(loaded.error().message().find("at least 12"), std::string::npos);

  c.iscsi.chap.secret_file = gateway.root() + "/absent";
  EXPECT_CODE(load_secrets(gateway.files, c), not_found);

  c.iscsi.chap.secret_file = write("same", kChapSecret);
  c.iscsi.chap.mutual_user = "gateway";
  c.iscsi.chap.mutual_secret_file = c.iscsi.chap.secret_file;
  EXPECT_CODE(load_secrets(gateway.files, c), invalid_argument);

  Config k = config();
  k.encryption.key_file = write("key", "0123456789abcdef not a key");
  auto key = load_secrets(gateway.files, k);
  ASSERT_FALSE(key.ok());
  EXPECT_EQ(key.error().message().find("0123456789abcdef"), std::string::npos);
}

TEST_F(Secrets, NeverReachLogsOrTheEffectiveConfiguration) {
  const Secret text = KeyEncryptionKey::generate_text(gateway.random);
  auto key = KeyEncryptionKey::parse(text.reveal());
  ASSERT_OK(key);
  gateway.key.emplace(std::move(*key));
  std::mutex mutex;
  std::string log;
  configure_log(LogLevel::debug, true);
  capture_log([&](std::string_view line) {
    const std::lock_guard lock(mutex);
    log += std::string(line) + "\n";
  });
  gateway.open();
  gateway.create("SECRETL8");
  gateway.write_files("SECRETL8", 1, 4, 100'000);
  gateway.archive("SECRETL8");
  gateway.retrieve("SECRETL8");
  auto row = gateway.tapes->show("SECRETL8");
  ASSERT_OK(row);
  auto manifest = gateway.vault->read_manifest(row->row.uuid);
  ASSERT_OK(manifest);
  auto data_key = gateway.vault->data_key(*manifest);
  ASSERT_OK(data_key);
  ASSERT_TRUE(data_key->has_value());
  gateway.close();
  capture_log(nullptr);
  configure_log(LogLevel::info, false);
  ASSERT_NE(log.find("TapeStatusTransition"), std::string::npos);
  EXPECT_EQ(log.find(std::string(text.reveal())), std::string::npos);
  EXPECT_EQ(log.find(to_hex((*data_key)->reveal_bytes())), std::string::npos);

  Config c = config();
  c.encryption.key_file = write("kek", std::string(text.reveal()));
  c.iscsi.chap.user = "backup";
  c.iscsi.chap.secret_file = write("chap", kChapSecret);
  EXPECT_EQ(effective_config(c).find(std::string(text.reveal())), std::string::npos);
  EXPECT_EQ(effective_config(c).find(kChapSecret), std::string::npos);
}

TEST_F(Secrets, AnotherKeyDoesNotFit) {
  auto fresh = [&] {
    return KeyEncryptionKey::parse(KeyEncryptionKey::generate_text(gateway.random).reveal());
  };
  gateway.key.emplace(*fresh());
  gateway.open();
  gateway.create("CRYPTOL8");
  gateway.write_files("CRYPTOL8", 1, 1, 1'000);
  gateway.close();
  gateway.key.emplace(*fresh());
  gateway.open();
  EXPECT_CODE(gateway.tapes->load("CRYPTOL8", 1), key_mismatch);
  EXPECT_EQ(gateway.location("CRYPTOL8"), "slot 1");
  gateway.close();
  gateway.key.reset();
  gateway.open();
  EXPECT_CODE(gateway.tapes->load("CRYPTOL8", 1), key_missing);
}

TEST_F(Secrets, DataDirectoryIsGuarded) {
  const std::string path = gateway.root() + "/guarded";
  auto first = DataDirectory::open(gateway.files, path);
  ASSERT_OK(first);
  EXPECT_OK((*first)->check());
  auto second = DataDirectory::open(gateway.files, path);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_NE(second.error().context.find("another coldshelfd is running"), std::string::npos);
  first->reset();
  ASSERT_OK(DataDirectory::open(gateway.files, path));

  ASSERT_OK(gateway.files.replace_file(path + "/version", as_view("coldshelf data format 2\n")));
  EXPECT_CODE(DataDirectory::open(gateway.files, path), unsupported_version);
  ASSERT_OK(gateway.files.replace_file(path + "/version", as_view("something else\n")));
  EXPECT_CODE(DataDirectory::open(gateway.files, path), corrupt);
}

TEST_F(Secrets, AVanishedDataDirectoryIsNoticed) {
  const std::string path = gateway.root() + "/gone";
  auto opened = DataDirectory::open(gateway.files, path);
  ASSERT_OK(opened);
  ASSERT_OK(gateway.files.rename(path, path + "-elsewhere"));
  EXPECT_CODE((*opened)->check(), io);
}

// A KMS that refuses everything, behind a certificate that no system trusts.
constexpr const char* kKmsServer = R"(
import http.server, ssl, sys
class Kms(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"__type": "NotFoundException", "message": "no such key"}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Kms)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
)";

TEST_F(Secrets, KmsIsTrustedByItsOwnCertificates) {
  const ScratchDirectory scratch(testing::TempDir());
  const std::string certificate = scratch.path() + "/cert.pem", key = scratch.path() + "/key.pem";
  const auto made =
      run_command({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                   "-days", "2", "-subj", "/CN=kms", "-addext", "subjectAltName=IP:127.0.0.1"});
  ASSERT_TRUE(made.ok()) << made.error().message();
  const std::string port = std::to_string(free_port());
  const std::string log = scratch.path() + "/log";
  auto server = Process::start({"python3", "-c", kKmsServer, port, certificate, key}, log, SIGTERM);
  ASSERT_OK(server);
  SystemClock clock;
  for (int i = 0; i < 200 && std::filesystem::file_size(log) == 0; ++i) clock.sleep_ms(50);
  ::setenv("AWS_ACCESS_KEY_ID", "AK", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  Config c = config();
  c.encryption.kms_key_id = "alias/tapes";
  c.encryption.kms_region = "eu-west-1";
  c.encryption.kms_endpoint = "https://127.0.0.1:" + port;
  PosixFileSystem files;
  const auto untrusted = load_secrets(files, c);
  c.encryption.kms_ca_file = certificate;
  const auto trusted = load_secrets(files, c);
  c.encryption.kms_ca_file = scratch.path() + "/none.pem";
  const auto missing = load_secrets(files, c);
  ::unsetenv("AWS_ACCESS_KEY_ID");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  EXPECT_CODE(untrusted, permission);
  EXPECT_NE(untrusted.error().message().find("certificate"), std::string::npos)
      << untrusted.error().message();
  EXPECT_CODE(trusted, key_missing);  // what KMS itself says
  EXPECT_NE(trusted.error().message().find("no such key"), std::string::npos);
  EXPECT_CODE(missing, not_found);
}

TEST_F(Secrets, ASetupThatFailsLeavesNoNewKey) {
  SystemClock clock;
  SystemRandom random;
  SetupAnswers answers;
  answers.config_path = gateway.root() + "/etc/coldshelf.toml";
  answers.data_dir = gateway.root() + "/data";
  answers.store = write("no-directory", "a file") + "/store";
  const std::string key = gateway.root() + "/etc/coldshelf.key";
  EXPECT_FALSE(run_setup({&gateway.files, &clock, &random}, answers).ok());
  EXPECT_FALSE(*gateway.files.exists(key));
  answers.store.clear();
  const auto made = run_setup({&gateway.files, &clock, &random}, answers);
  ASSERT_OK(made);
  EXPECT_TRUE(made->key_made) << "and says to keep a copy of it";
  // One that was there is not thrown away.
  answers.store = gateway.root() + "/no-directory/store";
  answers.force = true;
  EXPECT_FALSE(run_setup({&gateway.files, &clock, &random}, answers).ok());
  EXPECT_TRUE(*gateway.files.exists(key));
}

TEST_F(Secrets, TheNamesThatACertificateIsNotForAreTold) {
  SystemClock clock;
  SystemRandom random;
  const std::string directory = gateway.root() + "/api";
  const std::vector<std::string> names = {"localhost", "127.0.0.1", "::1", "gw.example"};
  const auto made = self_signed_identity(gateway.files, clock, random, directory, "gateway", names);
  ASSERT_OK(made);
  const auto missing = [&](const std::vector<std::string>& wanted) {
    const auto out = names_missing(gateway.files, made->certificate_file, wanted);
    EXPECT_OK(out);
    return out.ok() ? *out : std::vector<std::string>{"error"};
  };
  EXPECT_EQ(missing(names), std::vector<std::string>{});
  EXPECT_EQ(missing({"localhost", "192.0.2.7", "other.example", "gw.example"}),
            (std::vector<std::string>{"192.0.2.7", "other.example"}));
}

}  // namespace
}  // namespace coldshelf::test
