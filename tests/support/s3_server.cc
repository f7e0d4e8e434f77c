#include "tests/support/s3_server.h"

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "uploader/cloud/sigv4.h"

namespace coldshelf::test {

namespace {

constexpr int kStartSeconds = 40;

std::string content_of(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace

Result<std::unique_ptr<S3Server>> S3Server::start(const std::string& script,
                                                  const std::string& argument) {
  std::unique_ptr<S3Server> server(new S3Server);
  server->directory_ =
      std::make_unique<ScratchDirectory>(std::filesystem::temp_directory_path().string());
  const std::string& directory = server->directory_->path();
  std::vector<std::string> command = {
      "bash", std::string(COLDSHELF_SOURCE_DIR) + "/tests/support/" + script, "run", directory};
  if (!argument.empty()) command.push_back(argument);
  const std::string log = directory + "/script.log";
  ASSIGN_OR_RETURN(server->process_, Process::start(command, log, SIGTERM));
  for (int i = 0; i < kStartSeconds * 20; ++i) {
    if (!server->process_->running()) return Error(ErrorCode::unavailable, content_of(log));
    std::string url = content_of(directory + "/url");
    if (url.ends_with('\n')) {
      url.pop_back();
      server->endpoint_ = url;
      if (url.starts_with("https")) server->ca_file_ = directory + "/etc/cert.pem";
      return server;
    }
    server->clock_.sleep_ms(50);
  }
  return Error(ErrorCode::timed_out, content_of(log));
}

S3Server::~S3Server() {
  if (process_) process_->stop_and_wait();
}

namespace {

// One for the whole program; it ends with it.
Result<S3Server*> keep(const Result<std::unique_ptr<S3Server>>& server) {
  if (!server.ok()) return server.error();
  return server.value().get();
}

}  // namespace

Result<S3Server*> S3Server::swift() {
  static const auto server = [] {
    auto made = start("swift_s3.sh", "");
    if (made.ok()) {
      (*made)->access_key_id_ = "test:tester";
      (*made)->secret_ = "testing";
    }
    return made;
  }();
  return keep(server);
}

Result<S3Server*> S3Server::swift_with_tls() {
  static const auto server = [] {
    auto made = start("swift_s3.sh", "tls");
    if (made.ok()) {
      (*made)->access_key_id_ = "test:tester";
      (*made)->secret_ = "testing";
    }
    return made;
  }();
  return keep(server);
}

Result<S3Server*> S3Server::moto() {
  static const auto server = [] {
    auto made = start("moto.sh", "");
    if (made.ok()) {
      (*made)->access_key_id_ = "AKIDTEST";
      (*made)->secret_ = "testing";
    }
    return made;
  }();
  return keep(server);
}

S3StoreOptions S3Server::store_options(const std::string& bucket) const {
  S3StoreOptions options;
  options.client.bucket = bucket;
  options.client.region = "us-east-1";
  options.client.endpoint = endpoint_;
  return options;
}

Result<std::unique_ptr<S3Store>> S3Server::open(const S3StoreOptions& options) {
  CurlOptions curl;
  curl.ca_file = ca_file_;
  ASSIGN_OR_RETURN(auto transport, make_curl_transport(curl));
  Credentials credentials;
  credentials.access_key_id = access_key_id_;
  credentials.secret_access_key = Secret(secret_);
  return S3Store::create(options, std::move(transport), make_static_credentials(credentials),
                         clock_, random_);
}

std::string S3Server::make_bucket() {
  const std::string bucket = "bucket-" + std::to_string(++buckets_);
  CurlOptions curl;
  curl.ca_file = ca_file_;
  auto transport = make_curl_transport(curl);
  CHECK(transport.ok());
  SignedRequest request;
  request.method = "PUT";
  request.host = endpoint_.substr(endpoint_.find("://") + 3);
  request.path = "/" + bucket;
  Credentials credentials;
  credentials.access_key_id = access_key_id_;
  credentials.secret_access_key = Secret(secret_);
  HttpRequest http;
  http.method = request.method;
  http.url = endpoint_ + request.path;
  http.headers = sign_v4(request, {"us-east-1", "s3"}, credentials, clock_.unix_ms());
  // The servers behind Swift's proxy may take a moment longer than itself.
  bool made = false;
  for (int i = 0; i < kStartSeconds * 10 && !made; ++i) {
    if (i > 0) clock_.sleep_ms(100);
    const auto response = (*transport)->perform(http);
    made = response.ok() && response->status == 200;
  }
  CHECK(made);
  return bucket;
}

std::vector<std::string> S3Server::environment() const {
  return {"AWS_ACCESS_KEY_ID=" + access_key_id_, "AWS_SECRET_ACCESS_KEY=" + secret_,
          "AWS_DEFAULT_REGION=us-east-1",        "AWS_EC2_METADATA_DISABLED=true",
          "AWS_CONFIG_FILE=/nonexistent",        "AWS_SHARED_CREDENTIALS_FILE=/nonexistent"};
}

}  // namespace coldshelf::test
