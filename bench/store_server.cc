#include "bench/store_server.h"

#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/support/s3_server.h"

namespace coldshelf::bench {

Result<std::unique_ptr<StoreServer>> StoreServer::imposter(const ImposterSettings& settings) {
  auto server = std::make_unique<StoreServer>();
  server->name_ = settings.name;
  server->access_key_ = "bench";
  server->secret_ = "bench-secret";
  const std::string port = std::to_string(test::free_port());
  ASSIGN_OR_RETURN(
      server->process_,
      Process::start(
          {settings.programs + "/coldshelf_s3_imposter", "--port", port, "--bucket",
           server->bucket_, "--access-key", server->access_key_, "--secret-key", server->secret_,
           "--latency-ms", std::to_string(settings.latency_ms), "--in-mib-s",
           std::to_string(settings.in_mib_s), "--out-mib-s", std::to_string(settings.out_mib_s)},
          settings.log_path, SIGTERM));
  server->endpoint_ = "http://127.0.0.1:" + port;
  SystemClock clock;
  ASSIGN_OR_RETURN(const auto store, server->open(""));
  Status up = store->check();
  for (int i = 0; i < 100 && !up.ok(); ++i) {
    clock.sleep_ms(50);
    up = store->check();
  }
  TRY(std::move(up));
  return server;
}

Result<std::unique_ptr<StoreServer>> StoreServer::swift() {
  ASSIGN_OR_RETURN(test::S3Server * swift, test::S3Server::swift());
  auto server = std::make_unique<StoreServer>();
  server->name_ = "Swift";
  server->endpoint_ = swift->endpoint();
  server->access_key_ = swift->access_key_id();
  server->secret_ = swift->secret();
  server->bucket_ = swift->make_bucket();
  return server;
}

std::unique_ptr<StoreServer> StoreServer::at(const test::S3Imposter& imposter) {
  auto server = std::make_unique<StoreServer>();
  server->name_ = "imposter";
  server->endpoint_ = imposter.endpoint();
  server->access_key_ = imposter.options().access_key;
  server->secret_ = imposter.options().secret_key;
  server->bucket_ = imposter.options().buckets.front();
  return server;
}

std::vector<std::string> StoreServer::environment() const {
  return {"AWS_ACCESS_KEY_ID=" + access_key_, "AWS_SECRET_ACCESS_KEY=" + secret_,
          "AWS_DEFAULT_REGION=us-east-1",     "AWS_EC2_METADATA_DISABLED=true",
          "AWS_CONFIG_FILE=/nonexistent",     "AWS_SHARED_CREDENTIALS_FILE=/nonexistent"};
}

std::string StoreServer::configuration(const std::string& secret_path) const {
  std::ofstream(secret_path) << secret_ << "\n";
  std::filesystem::permissions(secret_path, std::filesystem::perms::owner_read);
  return "[store]\ntype = \"s3\"\nurl = \"s3://" + bucket_ + "/" + std::string(kGatewayPrefix) +
         "\"\n[store.s3]\nendpoint = \"" + endpoint_ +
         "\"\nregion = \"us-east-1\"\naccess_key_id = \"" + access_key_ +
         "\"\nsecret_key_file = \"" + secret_path +
         "\"\n[[pool]]\nname = \"BENCH\"\nstorage_class = \"STANDARD\"\n";
}

Result<std::unique_ptr<S3Store>> StoreServer::open(const std::string& prefix) {
  S3StoreOptions options;
  options.client.bucket = bucket_;
  options.client.region = "us-east-1";
  options.client.endpoint = endpoint_;
  options.prefix = prefix;
  ASSIGN_OR_RETURN(auto transport, make_curl_transport({}));
  Credentials credentials;
  credentials.access_key_id = access_key_;
  credentials.secret_access_key = Secret(secret_);
  return S3Store::create(options, std::move(transport), make_static_credentials(credentials),
                         clock_, random_);
}

Status StoreServer::remove_everything(const std::string& prefix) {
  ASSIGN_OR_RETURN(const auto store, open(""));
  std::string after;
  do {
    ASSIGN_OR_RETURN(const ObjectStore::ListPage page, store->list(prefix, after, 1000));
    std::vector<std::string> keys;
    for (const ObjectInfo& object : page.objects) keys.push_back(object.key);
    if (!keys.empty()) TRY(store->remove_all(keys));
    after = page.next;
  } while (!after.empty());
  return {};
}

}  // namespace coldshelf::bench
